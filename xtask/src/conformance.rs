//! `cargo xtask conformance`: compares ours, in Rust or on Node, with the real express-session.

use std::ffi::OsStr;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::passthrough_args::PassthroughArgs;
use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

pub(crate) fn run(options: &PassthroughArgs) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    tools::provide(&workspace, Tool::Node)?;
    if options.arguments.iter().any(|argument| argument == "node-package") {
        tools::provide(&workspace, Tool::NodePackage)?;
        tools::build_node_package(&workspace)?;
    }
    process::become_it(&mut judge(&workspace, &options.arguments)?)
}

/// Returns the judge with these arguments. Node's packages must be installed.
pub(crate) fn judge<A: AsRef<OsStr>>(workspace: &Workspace, arguments: &[A]) -> Result<Command> {
    let mut command = process::program(workspace, "conformance")?;
    command.args(arguments);
    Ok(command)
}
