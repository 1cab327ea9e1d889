//! `cargo xtask races`: overlapping requests of one visitor, on every store, beside express-session and
//! tower-sessions.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::passthrough_args::PassthroughArgs;
use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// Installs the tools and plays; returns the program's exit code.
pub(crate) fn run(options: &PassthroughArgs) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    let is_against =
        options.arguments.iter().any(|argument| argument.as_encoded_bytes().starts_with(AGAINST));
    let node: &[Tool] = if is_against { &[Tool::NodePackage] } else { &[] };
    for tool in [Tool::Servers, Tool::NodePeers].into_iter().chain(node.iter().copied()) {
        match tools::provide(&workspace, tool) {
            // The program reports what it leaves out.
            Err(error) if options.has("--allow-missing") => eprintln!("{error:#}"),
            result => result?,
        }
    }
    if is_against {
        tools::build_node_package(&workspace)?;
    }
    let mut program = program(&workspace, options.has(RELEASE))?;
    process::become_it(program.args(passthrough_args(options)))
}

/// The option for which the npm package is built.
const AGAINST: &[u8] = b"--against";

/// The only option of this task alone: it optimises the program, for figures.
const RELEASE: &str = "--release";

fn passthrough_args(options: &PassthroughArgs) -> impl Iterator<Item = &OsString> {
    options.arguments.iter().filter(|argument| *argument != RELEASE)
}

/// The step of `cargo xtask test`: in some seconds, enough requests that a store without merging loses some.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    process::run(process::program(workspace, "races")?.args(SHORT))
}

/// The same with processes of the npm package, which is built: two alone, and two with two of ours.
pub(crate) fn check_node(workspace: &Workspace) -> Result<()> {
    let node = ["--against", "node", "--processes", "2"];
    process::run(process::program(workspace, "races")?.args(SHORT).args(node))
}

/// The same with one store.
pub(crate) fn check_store(workspace: &Workspace, store: &str) -> Result<()> {
    process::run(process::program(workspace, "races")?.args(SHORT).args(["--store", store]))
}

const SHORT: [&str; 4] = ["--writers", "20", "--rounds", "3"];

fn program(workspace: &Workspace, is_optimised: bool) -> Result<Command> {
    if !is_optimised {
        return process::program(workspace, "races");
    }
    Ok(process::cargo(workspace, ["run", "--quiet", "--package", "races", "--release", "--"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_but_release_reaches_the_program_as_it_is() {
        let given = ["--store", "redis", "--release", "--writers", "50"];
        let options = PassthroughArgs { arguments: given.map(OsString::from).to_vec() };
        assert!(options.has(RELEASE));
        let expected = ["--store", "redis", "--writers", "50"];
        assert_eq!(passthrough_args(&options).collect::<Vec<_>>(), expected);
    }
}
