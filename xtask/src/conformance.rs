//! `cargo xtask conformance`: the real express-session on Node judges ours.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// The judge's own options, handed on as they are, `--help` included: the judge alone knows them.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// The judge's options; `--help` lists them.
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the judge; its exit code is ours.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    tools::provide(&workspace, Tool::Node)?;
    process::become_it(&mut judge(&workspace, &options.arguments))
}

/// The judge with these arguments, Node's packages being installed.
pub(crate) fn judge<A: AsRef<OsStr>>(workspace: &Workspace, arguments: &[A]) -> Command {
    let mut command =
        process::cargo(workspace, ["run", "--quiet", "--package", "conformance", "--"]);
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::Task;

    #[test]
    fn every_argument_reaches_the_judge_as_it_is() {
        for given in
            [&["--seed", "7", "--departures", "off"][..], &["--help"], &["--replay", "a b"]]
        {
            let line = ["xtask", "conformance"].iter().chain(given);
            let Task::Conformance(options) = Task::try_parse_from(line).unwrap() else {
                panic!("another task");
            };
            assert_eq!(options.arguments, given);
        }
    }
}
