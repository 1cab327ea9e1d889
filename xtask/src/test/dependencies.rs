//! The licences, sources and versions of all dependencies, and the advisories against them, by cargo-deny and deny.toml.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// The published packages; the core crate is a dependency of both.
const MANIFESTS: [&str; 2] = ["crates/session/Cargo.toml", "crates/node/Cargo.toml"];

pub(super) fn check(workspace: &Workspace) -> Result<()> {
    // The advisories come from a repository of their own, which is not fetched: a check must not need the network.
    let has_advisories = advisories().is_some_and(|folder| folder.is_dir());
    if !has_advisories {
        println!(
            "left out: the advisories, of which this machine has no copy (`cargo deny fetch db`)"
        );
    }
    for manifest in MANIFESTS {
        let mut command = process::this_cargo();
        command.current_dir(&workspace.root).args([
            "deny",
            "--manifest-path",
            manifest,
            "--locked",
        ]);
        command.args(["--config", "deny.toml", "check", "licenses", "bans", "sources"]);
        if has_advisories {
            command.args(["advisories", "--disable-fetch"]);
        }
        process::run(&mut command)?;
    }
    Ok(())
}

/// Where cargo-deny keeps its copy of the advisories.
fn advisories() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    Some(home.join("advisory-dbs"))
}
