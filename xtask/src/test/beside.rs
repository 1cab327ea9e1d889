//! Steps that compile in folders of their own, run beside the steps that mostly wait for servers.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context as _, Result, ensure};

use super::Step;
use crate::workspace::Workspace;

/// They block no other step: cargo locks the folder that it builds in.
const STEPS: [&str; 3] = ["interleavings", "instructions", "packages"];

/// After this step nearly everything is compiled that the other steps need.
pub(super) const AFTER: &str = "unit";

/// Divides the steps into those that run one after the other and those that run beside them.
pub(super) fn divide<'s>(steps: &[&'s Step]) -> (Vec<&'s Step>, Vec<&'s Step>) {
    let is_long = steps.iter().any(|step| step.name == AFTER);
    steps.iter().partition(|step| !(is_long && STEPS.contains(&step.name)))
}

/// A run of this program with some of the steps, whose output is kept until it ends.
#[derive(Debug)]
pub(super) struct Beside {
    child: Child,
    output: PathBuf,
}

impl Beside {
    pub(super) fn start(workspace: &Workspace, steps: &[&Step]) -> Result<Self> {
        let output = workspace.target.join("beside.log");
        let file = File::create(&output).with_context(|| output.display().to_string())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("test").stdout(file.try_clone()?).stderr(file);
        command.args(steps.iter().flat_map(|step| ["--only", step.name]));
        Ok(Self { child: command.spawn()?, output })
    }

    /// Waits for the end, and prints what the steps have printed.
    pub(super) fn finish(mut self) -> Result<()> {
        let status = self.child.wait()?;
        print!("{}", fs::read_to_string(&self.output)?);
        ensure!(status.success(), "a step above failed");
        Ok(())
    }
}

/// A failure of another step ends the run.
impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
