//! The steps that cargo does alone.

use anyhow::Result;

use crate::process::{self, cargo};
use crate::workspace::Workspace;

/// Complains about a file that the formatter would change.
pub(super) fn format(workspace: &Workspace) -> Result<()> {
    process::run(&mut cargo(workspace, ["fmt", "--all", "--check"]))
}

/// Lints everything with every feature, and the crate that users name also with none. It compiles with each store alone.
pub(super) fn lint(workspace: &Workspace) -> Result<()> {
    let selections = [
        &["--workspace", "--all-targets", "--all-features"][..],
        &["--package", "express-session", "--lib", "--no-default-features"],
    ];
    selections.into_iter().try_for_each(|selection| {
        let mut command = cargo(workspace, ["clippy"]);
        process::run(command.args(selection).args(["--", "-D", "warnings"]))
    })?;
    STORES.into_iter().try_for_each(|store| {
        let mut command = cargo(workspace, ["check", "--package=express-session", "--lib"]);
        process::run(command.args(["--no-default-features", "--features", store]))
    })
}

/// The features of stores, which share code.
const STORES: [&str; 6] = ["redis", "postgres", "mysql", "sqlite", "file", "memcached"];

/// Builds the documentation of what is published; a broken link fails.
pub(super) fn document(workspace: &Workspace) -> Result<()> {
    let mut command = cargo(workspace, ["doc", "--no-deps", "--all-features"]);
    for package in workspace.published() {
        command.args(["--package", &package.name]);
    }
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Runs the tests, with every feature, so that each store meets its laws on its real server. Not with
/// `--all-targets`, which leaves out the examples in the documentation.
///
/// A missing server makes a test fail; plain `cargo test` skips the test.
pub(super) fn test(workspace: &Workspace) -> Result<()> {
    let mut command = cargo(workspace, ["test", "--workspace", "--all-features"]);
    command.env("EXPRESS_SESSION_REQUIRE_SERVERS", "1");
    process::run(command.env("RUST_TEST_THREADS", TEST_THREADS))
}

/// Tests on servers mostly wait: for a record to expire, or a server to come back.
pub(super) const TEST_THREADS: &str = "8";
