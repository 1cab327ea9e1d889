//! The programs that the tasks need, installed where they are missing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};

use crate::process;
use crate::workspace::Workspace;

mod node_stores;
mod servers;

/// Something that must be on the machine.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Tool {
    Rustfmt,
    Clippy,
    /// Node with the real express-session, which is the judge.
    Node,
    /// The dependencies of our npm package and of its tests.
    NodePackage,
    /// The servers that the stores are tested on.
    Servers,
    /// Those of these Debian packages.
    ServersOf(&'static [&'static str]),
    /// The npm stores that ours are played against.
    NodeStores,
    /// Chromium, which visits what our npm package serves.
    Chromium,
    /// Express with express-session and stores for it, which loses what ours must not.
    NodePeers,
    /// Express with express-session, which is measured beside ours.
    NodeBench,
    /// wrk, which loads servers.
    Loader,
    /// valgrind, which counts instructions.
    Valgrind,
    /// cargo-deny, which checks the dependencies.
    Deny,
    /// cargo-cyclonedx, which writes the bill of materials.
    CycloneDx,
    /// cargo-mutants, which changes code to test its tests.
    Mutants,
    /// cargo-fuzz, and the nightly toolchain that it needs.
    Fuzz,
}

/// Finds or installs the tool; an error says what to install.
pub(crate) fn provide(workspace: &Workspace, tool: Tool) -> Result<()> {
    match tool {
        Tool::Rustfmt => component("fmt", "rustfmt"),
        Tool::Clippy => component("clippy", "clippy"),
        Tool::Node => node_folder(&workspace.root.join("conformance/node")),
        Tool::NodePackage => node_folder(&node_package(workspace)),
        Tool::Servers => servers::provide(None),
        Tool::ServersOf(packages) => servers::provide(Some(packages)),
        Tool::NodeStores => node_stores::provide(&workspace.root.join("interop/node")),
        Tool::Chromium => debian("chromium", "--version"),
        Tool::NodePeers => node_folder(&workspace.root.join("races/node")),
        Tool::NodeBench => node_folder(&workspace.root.join("bench/node")),
        Tool::Loader => debian("wrk", "-v"),
        Tool::Valgrind => debian("valgrind", "--version"),
        Tool::Deny => subcommand("deny", "cargo-deny", "0.20.2"),
        Tool::CycloneDx => subcommand("cyclonedx", "cargo-cyclonedx", "0.5.9"),
        Tool::Mutants => subcommand("mutants", "cargo-mutants", "27.1.0"),
        Tool::Fuzz => {
            nightly()?;
            subcommand("fuzz", "cargo-fuzz", "0.13.2")
        }
    }
}

/// Node, and what a folder's package.json names.
fn node_folder(folder: &Path) -> Result<()> {
    program("node")?;
    program("npm")?;
    node_packages(folder)
}

/// Where our npm package is.
const NODE_PACKAGE: &str = "crates/node";

/// Builds the addon of our npm package, whose packages are installed.
pub(crate) fn build_node_package(workspace: &Workspace) -> Result<()> {
    process::run(Command::new("npm").args(["run", "build"]).current_dir(node_package(workspace)))
}

/// Where our npm package is on this machine.
pub(crate) fn node_package(workspace: &Workspace) -> PathBuf {
    workspace.root.join(NODE_PACKAGE)
}

/// A part of the Rust toolchain, called as a subcommand of cargo.
fn component(subcommand: &str, name: &str) -> Result<()> {
    let there = || process::works(process::this_cargo().args([subcommand, "--version"]));
    if there() {
        return Ok(());
    }
    process::run(Command::new("rustup").args(["component", "add", name])).with_context(|| {
        format!("`cargo {subcommand}` is missing: install the toolchain's component {name}")
    })?;
    if !there() {
        bail!("`cargo {subcommand}` does not work although the component {name} is installed");
    }
    Ok(())
}

/// The fuzzer counts what is run by flags that stable Rust does not take.
fn nightly() -> Result<()> {
    if !process::works(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])) {
        bail!("nightly Rust is missing: rustup toolchain install nightly --profile minimal");
    }
    Ok(())
}

/// A program that cargo calls as a subcommand, built from its sources where it is missing.
fn subcommand(name: &str, package: &str, version: &str) -> Result<()> {
    if process::works(process::this_cargo().args([name, "--version"])) {
        return Ok(());
    }
    // Without optimization: a fifth of the time to build, and the tools wait for others most of the time.
    let options = ["install", "--debug", "--locked", "--version", version, package];
    process::run(process::this_cargo().args(options))
        .with_context(|| format!("`cargo {name}` is missing: install {package} {version}"))
}

/// A program from Debian's package of the same name. It is there if it starts; its exit code is ignored.
fn debian(name: &str, option: &str) -> Result<()> {
    let is_there = || Command::new(name).arg(option).output().is_ok();
    if is_there() {
        return Ok(());
    }
    let instruction =
        format!("`{name}` is missing: install it (on Debian: apt-get install {name})");
    ensure!(servers::can_install(), "{instruction}");
    servers::install(&[name]).context(instruction)?;
    ensure!(is_there(), "{name} is installed, and cannot be started");
    Ok(())
}

fn program(name: &str) -> Result<()> {
    if !process::works(Command::new(name).arg("--version")) {
        bail!(
            "`{name}` is missing, the judge needs it: install Node 20 or later with npm \
             (on Debian: apt-get install nodejs npm)"
        );
    }
    Ok(())
}

/// Brings `node_modules` to what the lock file says, if it is not there already.
fn node_packages(folder: &Path) -> Result<()> {
    let lock = changed(&folder.join("package-lock.json"))
        .with_context(|| format!("{} has no package-lock.json", folder.display()))?;
    // npm writes this copy of the lock file last, so it is there only after a whole installation.
    let installed = changed(&folder.join("node_modules/.package-lock.json"));
    if is_current(installed, lock) {
        return Ok(());
    }
    let options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    process::run(Command::new("npm").args(options).current_dir(folder))
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|file| file.modified()).ok()
}

fn is_current(installed: Option<SystemTime>, lock: SystemTime) -> bool {
    installed.is_some_and(|installed| installed >= lock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn packages_older_than_the_lock_file_are_installed_again() {
        let lock = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert!(!is_current(None, lock));
        assert!(!is_current(Some(lock - Duration::from_secs(1)), lock));
        assert!(is_current(Some(lock), lock));
        assert!(is_current(Some(lock + Duration::from_secs(1)), lock));
    }

    #[test]
    fn a_missing_program_is_named_with_what_to_install() {
        let message = program("no-such-program-anywhere").unwrap_err().to_string();
        assert!(message.contains("`no-such-program-anywhere` is missing"), "{message}");
        assert!(message.contains("install Node"), "{message}");
    }
}
