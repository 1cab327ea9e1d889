//! `cargo xtask conformance`: the real express-session on Node judges ours, in Rust or on Node.

use std::ffi::OsStr;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::passthrough_args::HandedOn;
use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// Runs the judge; its exit code is ours.
pub(crate) fn run(options: &HandedOn) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    tools::provide(&workspace, Tool::Node)?;
    if options.arguments.iter().any(|argument| argument == "node-package") {
        tools::provide(&workspace, Tool::NodePackage)?;
        tools::build_node_package(&workspace)?;
    }
    process::become_it(&mut judge(&workspace, &options.arguments)?)
}

/// The judge with these arguments, Node's packages being installed.
pub(crate) fn judge<A: AsRef<OsStr>>(workspace: &Workspace, arguments: &[A]) -> Result<Command> {
    let mut command = process::program(workspace, "conformance")?;
    command.args(arguments);
    Ok(command)
}
