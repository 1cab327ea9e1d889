//! `cargo xtask interop`: the real npm stores on Node and ours, over the same records.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// The program's own options, handed on as they are, `--help` included.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// The program's options; `--help` lists them.
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Installs what is needed and plays; the program's exit code is ours.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    for tool in [Tool::Servers, Tool::NodeStores] {
        match tools::provide(&workspace, tool) {
            // The program says what it leaves out.
            Err(error) if options.allows_missing() => eprintln!("{error:#}"),
            result => result?,
        }
    }
    process::become_it(program(&workspace).args(&options.arguments))
}

/// The step of `cargo xtask test`: every case with every store.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    process::run(&mut program(workspace))
}

fn program(workspace: &Workspace) -> Command {
    process::cargo(workspace, ["run", "--quiet", "--package", "interop", "--"])
}

impl Options {
    fn allows_missing(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--allow-missing")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::Task;

    #[test]
    fn every_argument_reaches_the_program_as_it_is() {
        for (given, allows) in
            [(&["--store", "redis", "--allow-missing"][..], true), (&["--help"], false)]
        {
            let line = ["xtask", "interop"].iter().chain(given);
            let Task::Interop(options) = Task::try_parse_from(line).unwrap() else {
                panic!("another task");
            };
            assert_eq!(options.arguments, given);
            assert_eq!(options.allows_missing(), allows);
        }
    }
}
