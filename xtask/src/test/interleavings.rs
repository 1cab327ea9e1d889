//! Concurrent calls of the memory store, in the orders that a scheduler chooses.

use anyhow::Result;

use crate::process::{self, cargo};
use crate::workspace::Workspace;

/// Builds with the scheduler's locks, in a folder of its own: what is built otherwise stays as it is.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let selection = ["test", "--package", "express-session", "--lib", "--no-default-features"];
    let mut command = cargo(workspace, selection);
    command.arg("--target-dir").arg(workspace.target.join("interleavings"));
    process::run(process::with_cfg(command.arg("interleavings::"), "shuttle"))
}
