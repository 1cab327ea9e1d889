//! The Node process that the real express-session runs in, or the npm package in its place.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use crate::outcome::Outcome;
use crate::scenario::Scenario;

/// What is played on Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Player {
    /// The real express-session.
    ExpressSession,
    /// Our npm package.
    Package,
}

/// A running judge. Dropping it ends the process.
#[derive(Debug)]
pub struct Node {
    process: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

impl Node {
    /// Starts the real express-session.
    ///
    /// # Errors
    ///
    /// When `node` is not installed, or the packages are not (`npm ci`).
    pub fn start() -> io::Result<Self> {
        Self::start_as(Player::ExpressSession)
    }

    /// Starts one of both.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when the npm package is not built.
    pub fn start_as(player: Player) -> io::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = here.join("node");
        let package = here.with_file_name("crates").join("node");
        let (needs, how, module) = match player {
            Player::ExpressSession => (
                folder.join("node_modules/express-session"),
                format!("`npm ci` in {}", folder.display()),
                "express-session",
            ),
            Player::Package => (
                package.join("express-session.node"),
                format!("`npm ci && npm run build` in {}", package.display()),
                "../../crates/node/lib/index.mjs",
            ),
        };
        if !needs.exists() {
            return Err(io::Error::other(format!("run {how} first")));
        }
        let mut process = Command::new("node")
            .args(["judge.mjs", module])
            .current_dir(folder)
            .env("NO_DEPRECATION", "express-session")
            .env_remove("NODE_ENV")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot run node: {error}")))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("the pipes of node are missing"));
        };
        Ok(Self { process, input: Some(BufWriter::new(input)), output: BufReader::new(output) })
    }

    /// Plays one scenario and waits for what becomes of it.
    ///
    /// # Errors
    ///
    /// When the process has ended, or writes what is no outcome.
    pub fn play(&mut self, scenario: &Scenario) -> io::Result<Outcome> {
        self.play_line(&scenario.line())
    }

    /// Plays what is written on a line.
    pub(crate) fn play_line(&mut self, line: &str) -> io::Result<Outcome> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{line}")?;
        input.flush()?;
        read(&mut self.output)
    }

    /// Plays many, Node ahead of `judge`, which gets each with its outcome, in order.
    ///
    /// # Errors
    ///
    /// As [`play`](Self::play), and what `judge` returns.
    pub fn play_all(
        &mut self,
        scenarios: impl Iterator<Item = Scenario> + Clone + Send,
        mut judge: impl FnMut(Scenario, Outcome) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut input = self.input.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let again = scenarios.clone();
        thread::scope(|scope| {
            let writer = scope.spawn(move || -> io::Result<_> {
                for scenario in scenarios {
                    writeln!(input, "{}", scenario.line())?;
                }
                input.flush()?;
                Ok(input)
            });
            let judged = again
                .map(|scenario| judge(scenario, read(&mut self.output)?))
                .find_map(Result::err);
            if let Some(error) = judged {
                // The writer may be waiting for Node to read on.
                let _ = self.process.kill();
                return Err(error);
            }
            self.input = Some(writer.join().map_err(|_| io::Error::other("the writer panicked"))??);
            Ok(())
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // With its input closed, Node ends by itself; after an error it may be in the middle.
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(output: &mut BufReader<ChildStdout>) -> io::Result<Outcome> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "node has ended"));
    }
    serde_json::from_str(&line).map_err(io::Error::from)
}
