//! `cargo xtask interop`: the real npm stores on Node and ours, over the same records.

use std::process::ExitCode;

use anyhow::Result;

use crate::passthrough_args::PassthroughArgs;
use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// Installs the tools and plays; returns the program's exit code.
pub(crate) fn run(options: &PassthroughArgs) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    for tool in [Tool::Servers, Tool::NodeStores] {
        match tools::provide(&workspace, tool) {
            // The program reports what it leaves out.
            Err(error) if options.has("--allow-missing") => eprintln!("{error:#}"),
            result => result?,
        }
    }
    process::become_it(process::program(&workspace, "interop")?.args(&options.arguments))
}

/// The step of `cargo xtask test`: every case with every store.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    process::run(&mut process::program(workspace, "interop")?)
}

/// The same with one npm store.
pub(crate) fn check_store(workspace: &Workspace, npm_store: &str) -> Result<()> {
    process::run(process::program(workspace, "interop")?.args(["--store", npm_store]))
}
