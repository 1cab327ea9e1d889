//! `cargo xtask bench`: ours and the peers on the same work, in one run.

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

/// Installs what is needed, builds and measures; the program's exit code is ours.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    for tool in [Tool::Servers, Tool::NodeBench, Tool::Loader] {
        tools::provide(&workspace, tool)?;
    }
    process::run(cargo(&workspace, "build").args(["--release", "--bins"]))?;
    let program = workspace.target.join("release/bench");
    process::become_it(Command::new(program).args(&options.arguments))
}

/// The benchmarks' own workspace.
const MANIFEST: &str = "bench/Cargo.toml";

/// Cargo there, with what this workspace built, where that is the same.
fn cargo(workspace: &Workspace, subcommand: &str) -> Command {
    let mut command = process::cargo(workspace, [subcommand, "--locked", "--manifest-path"]);
    command.arg(workspace.root.join(MANIFEST));
    command.arg("--target-dir").arg(&workspace.target);
    command
}
