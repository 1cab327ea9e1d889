//! The published crates as users get them: complete, licensed, and building outside of the workspace.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::process::{self, cargo};
use crate::workspace::{Package, Workspace};

/// At the root, and in each crate as a link that cargo follows when it packs.
const LICENSES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// Packs each published crate and looks at what is in it.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    for package in workspace.published() {
        lists_licenses(workspace, package)?;
    }
    pack(workspace)?;
    workspace.published().try_for_each(|package| carries_licenses(workspace, package))
}

fn lists_licenses(workspace: &Workspace, package: &Package) -> Result<()> {
    let list = ["package", "--list", "--allow-dirty", "--package", &package.name];
    let missing = missing(&process::read(&mut cargo(workspace, list))?);
    ensure!(missing.is_empty(), "the package {} lacks {}", package.name, missing.join(", "));
    Ok(())
}

fn missing(list: &str) -> Vec<&'static str> {
    LICENSES.into_iter().filter(|license| !list.lines().any(|file| file == *license)).collect()
}

/// Packs all at once: cargo then builds each against the others as packed, none being published yet.
fn pack(workspace: &Workspace) -> Result<()> {
    let mut command = cargo(workspace, ["package"]);
    for package in workspace.published() {
        command.args(["--package", &package.name]);
    }
    // By hand one checks a change before it is committed; CI has a clean clone.
    if !on_ci() {
        command.arg("--allow-dirty");
    }
    process::run(&mut command)
}

fn on_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Compares what cargo unpacked to build it: a link that was not followed would not be the text.
fn carries_licenses(workspace: &Workspace, package: &Package) -> Result<()> {
    let packed = format!("package/{}-{}", package.name, package.version);
    let packed = workspace.target.join(packed);
    for license in LICENSES {
        ensure!(
            read(&packed.join(license))? == read(&workspace.root.join(license))?,
            "the package {} carries another {license} than the repository",
            package.name
        );
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_a_license_is_told_which() {
        assert_eq!(missing("Cargo.toml\nLICENSE-APACHE\nsrc/lib.rs\n"), ["LICENSE-MIT"]);
        assert_eq!(missing("docs/LICENSE-MIT\n"), LICENSES);
        assert!(missing("LICENSE-APACHE\nLICENSE-MIT\n").is_empty());
    }
}
