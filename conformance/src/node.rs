//! The Node process that runs the real express-session, or the npm package in its place.

use std::io;
use std::path::Path;

use express_session_testkit::child::{self, Child};

use crate::outcome::Outcome;
use crate::scenario::Scenario;

/// A running judge. Dropping it ends the process.
#[derive(Debug)]
pub struct Node(Child);

impl Node {
    pub fn start() -> io::Result<Self> {
        Self::play_module("express-session")
    }

    /// Starts our npm package in its place.
    pub fn start_package() -> io::Result<Self> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("crates").join("node");
        if !package.join("express-session.node").exists() {
            let folder = package.display();
            let how = format!("run `npm ci && npm run build` in {folder} first");
            return Err(io::Error::other(how));
        }
        Self::play_module("../../crates/node/lib/index.mjs")
    }

    fn play_module(module: &str) -> io::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        let mut command = child::node(&folder, &format!("`npm ci` in {}", folder.display()))?;
        Ok(Self(Child::start(command.args(["judge.mjs", module]).env_remove("NODE_ENV"))?))
    }

    /// Plays one scenario and waits for its outcome.
    pub fn play(&mut self, scenario: &Scenario) -> io::Result<Outcome> {
        self.play_line(&scenario.line())
    }

    /// Plays the scenario on a line.
    pub(crate) fn play_line(&mut self, line: &str) -> io::Result<Outcome> {
        Ok(serde_json::from_str(&self.0.ask(line)?)?)
    }

    /// Plays many scenarios, Node ahead of `judge`, which gets each with its outcome, in order.
    pub fn play_all(
        &mut self,
        scenarios: impl Iterator<Item = Scenario> + Clone + Send,
        mut judge: impl FnMut(Scenario, Outcome) -> io::Result<()>,
    ) -> io::Result<()> {
        self.0.ask_all(scenarios, Scenario::line, |scenario, line| {
            judge(scenario, serde_json::from_str(line)?)
        })
    }
}
