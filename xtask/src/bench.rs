//! `cargo xtask bench`: ours and the peers on the same work, in one run.

use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::instructions;
use crate::passthrough_args::PassthroughArgs;
use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// Installs the tools, builds and measures; returns the program's exit code.
pub(crate) fn run(options: &PassthroughArgs) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    if options.arguments.iter().any(|argument| argument == "--record") {
        ensure!(options.arguments.len() == 1, "--record takes no other option");
        tools::provide(&workspace, Tool::Valgrind)?;
        return instructions::record(&workspace).map(|()| ExitCode::SUCCESS);
    }
    for tool in TOOLS {
        tools::provide(&workspace, tool)?;
    }
    tools::build_node_package(&workspace)?;
    process::run(cargo(&workspace, "build").args(["--release", "--bins"]))?;
    let program = workspace.target.join("release/bench");
    process::become_it(Command::new(program).args(&options.arguments))
}

/// The step of `cargo xtask test`: runs the linter and the bench's own tests. A measurement needs a machine that does
/// nothing else.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    // The program with the peer of another version is built where it is measured: its libraries take minutes.
    for manifest in [MANIFEST, "bench/tower-sessions-14/Cargo.toml"] {
        let manifest = workspace.root.join(manifest);
        process::run(
            process::this_cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest),
        )?;
    }
    process::run(cargo(workspace, "clippy").args(["--all-targets", "--", "--deny", "warnings"]))?;
    process::run(cargo(workspace, "test").arg("--quiet"))
}

/// The programs that a measurement needs.
const TOOLS: [Tool; 6] = [
    Tool::Valgrind,
    Tool::Servers,
    Tool::NodeBench,
    Tool::NodePackage,
    Tool::NodeStores,
    Tool::Loader,
];

/// The workspace of the bench.
const MANIFEST: &str = "bench/Cargo.toml";

/// Returns cargo for that workspace, with the target folder of this one.
fn cargo(workspace: &Workspace, subcommand: &str) -> Command {
    let mut command = process::cargo(workspace, [subcommand, "--locked", "--manifest-path"]);
    command.arg(workspace.root.join(MANIFEST));
    command.arg("--target-dir").arg(&workspace.target);
    command
}
