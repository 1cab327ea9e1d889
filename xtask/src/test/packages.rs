//! The published crates as users get them: complete, licensed, and building outside of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::process::{self, cargo};
use crate::workspace::{Package, Workspace};

/// At the root, and in each crate as a link that cargo follows when it packs.
const LICENSES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// Packs each published crate and looks at what is in it.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    forget_unpacked(&cargo_home()?, workspace.published())?;
    forget_built(workspace)?;
    pack(workspace)?;
    workspace.published().try_for_each(|package| carries_licenses(workspace, package))
}

/// Deletes the packages that cargo has unpacked earlier. Cargo unpacks each version once, and would build against an
/// outdated state.
fn forget_unpacked<'a>(home: &Path, packages: impl Iterator<Item = &'a Package>) -> Result<()> {
    let folders: Vec<_> = packages.map(|it| format!("{}-{}", it.name, it.version)).collect();
    let Ok(registries) = fs::read_dir(home.join("registry/src")) else { return Ok(()) };
    for registry in registries {
        let registry = registry?;
        // Those without a host are in a folder of this machine, as the one is that cargo packs into.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for unpacked in folders.iter().map(|folder| registry.path().join(folder)) {
            if unpacked.exists() {
                fs::remove_dir_all(&unpacked)
                    .with_context(|| format!("cannot remove {}", unpacked.display()))?;
            }
        }
    }
    Ok(())
}

/// Takes away what was built of an earlier state: to cargo, a version is built once for all.
fn forget_built(workspace: &Workspace) -> Result<()> {
    let folder = folder(workspace);
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Where packages are packed and built: a folder of their own, that can go.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("packages")
}

/// Returns the folder in which cargo keeps what it has fetched.
fn cargo_home() -> Result<PathBuf> {
    let home = || std::env::home_dir().map(|home| home.join(".cargo"));
    std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).context("no home folder")
}

/// Packs all in one call: cargo then builds each against the others as packed, none being published yet.
fn pack(workspace: &Workspace) -> Result<()> {
    let mut command = cargo(workspace, ["package"]);
    command.arg("--target-dir").arg(folder(workspace));
    for package in workspace.published() {
        command.args(["--package", &package.name]);
    }
    // A developer checks a change before committing it; CI has a clean clone.
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
    let packed = folder(workspace).join(packed);
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
    fn only_what_was_packed_here_is_forgotten() {
        let name = format!("express-session-packages-{}", std::process::id());
        let home = std::env::temp_dir().join(name);
        let (ours, theirs) = ("registry/src/-1f/a-0.1.0", "registry/src/index-2e/a-0.1.0");
        for folder in [ours, theirs, "registry/src/-1f/b-0.1.0"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        let a = Package {
            name: "a".to_owned(),
            version: "0.1.0".to_owned(),
            folder: PathBuf::new(),
            published: true,
            dependencies: Vec::new(),
        };
        forget_unpacked(&home, [&a].into_iter()).unwrap();
        assert!(!home.join(ours).exists());
        assert!(home.join(theirs).exists());
        assert!(home.join("registry/src/-1f/b-0.1.0").exists());
        forget_unpacked(&home.join("empty"), [&a].into_iter()).unwrap();
        fs::remove_dir_all(home).unwrap();
    }
}
