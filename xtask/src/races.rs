//! `cargo xtask races`: requests of one visitor that overlap, on every store, beside express-session and
//! tower-sessions.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// The program's own options, handed on as they are, `--help` included; but `--release` says how to build it.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// The program's options; `--help` lists them. With `--release`, it is optimised: for figures.
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Installs what is needed and plays; the program's exit code is ours.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    for tool in [Tool::Servers, Tool::NodePeers] {
        match tools::provide(&workspace, tool) {
            // The program says what it leaves out.
            Err(error) if options.has("--allow-missing") => eprintln!("{error:#}"),
            result => result?,
        }
    }
    let mut program = program(&workspace, options.has("--release"));
    process::become_it(program.args(options.handed_on()))
}

/// The step of `cargo xtask test`: enough that what does not merge loses something, in some seconds.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    process::run(program(workspace, false).args(["--writers", "20", "--rounds", "3"]))
}

fn program(workspace: &Workspace, is_optimised: bool) -> Command {
    let mut command = process::cargo(workspace, ["run", "--quiet", "--package", "races"]);
    if is_optimised {
        command.arg("--release");
    }
    command.arg("--");
    command
}

impl Options {
    fn has(&self, option: &str) -> bool {
        self.arguments.iter().any(|argument| argument == option)
    }

    fn handed_on(&self) -> impl Iterator<Item = &OsString> {
        self.arguments.iter().filter(|argument| *argument != "--release")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Task;

    fn parsed(arguments: &[&str]) -> Options {
        let line = ["xtask", "races"].iter().chain(arguments);
        let Task::Races(options) = Task::try_parse_from(line).unwrap() else {
            panic!("another task");
        };
        options
    }

    #[test]
    fn every_argument_but_release_reaches_the_program_as_it_is() {
        let options = parsed(&["--store", "redis", "--release", "--writers", "50"]);
        let handed_on: Vec<_> = options.handed_on().collect();
        assert_eq!(handed_on, ["--store", "redis", "--writers", "50"]);
        assert!(options.has("--release"));
        assert!(!parsed(&["--help"]).has("--release"));
    }
}
