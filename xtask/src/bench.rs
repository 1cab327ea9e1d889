//! `cargo xtask bench`: ours and the peers on the same work, in one run.

use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::instructions;
use crate::passthrough_args::HandedOn;
use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// Installs what is needed, builds and measures; the program's exit code is ours.
pub(crate) fn run(options: &HandedOn) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    if options.arguments.iter().any(|argument| argument == "--record") {
        ensure!(options.arguments.len() == 1, "--record stands alone");
        tools::provide(&workspace, Tool::Valgrind)?;
        return instructions::record(&workspace).map(|()| ExitCode::SUCCESS);
    }
    for tool in [Tool::Valgrind, Tool::Servers, Tool::NodeBench, Tool::NodePackage, Tool::Loader] {
        tools::provide(&workspace, tool)?;
    }
    tools::build_node_package(&workspace)?;
    process::run(cargo(&workspace, "build").args(["--release", "--bins"]))?;
    let program = workspace.target.join("release/bench");
    process::become_it(Command::new(program).args(&options.arguments))
}

/// The step of `cargo xtask test`: the linter has nothing to say, and its own tests pass. Measuring is for a machine
/// that does nothing else.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let manifest = workspace.root.join(MANIFEST);
    process::run(process::this_cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest))?;
    process::run(cargo(workspace, "clippy").args(["--all-targets", "--", "--deny", "warnings"]))?;
    process::run(cargo(workspace, "test").arg("--quiet"))
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
