//! The npm stores that ours share their records with. Two of them have a native part, which is built
//! here: what could be downloaded instead is on a host that not every machine reaches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::servers::{can_install, install};
use super::{node_packages, program};
use crate::process;

/// Packages with a native part, and a line of JavaScript that needs it.
const NATIVE: &[(&str, &str)] = &[
    ("better-sqlite3", "new (require('better-sqlite3'))(':memory:')"),
    ("sqlite3", "require('sqlite3')"),
];

/// Their build tools, which Debian's packages of the same names have.
const BUILDERS: [&str; 3] = ["python3", "make", "g++"];

/// Installs the packages in the folder, and builds what has to be built.
pub(super) fn provide(folder: &Path) -> Result<()> {
    program("node")?;
    program("npm")?;
    node_packages(folder)?;
    let missing = unbuilt(folder);
    if missing.is_empty() {
        return Ok(());
    }
    builders()?;
    let mut npm = Command::new("npm");
    npm.arg("rebuild").args(&missing).args(["--no-audit", "--no-fund"]).current_dir(folder);
    // Where there are none, node-gyp downloads them.
    if let Some(prefix) = headers()? {
        npm.env("npm_config_nodedir", prefix);
    }
    process::run(&mut npm)?;
    let still = unbuilt(folder);
    if !still.is_empty() {
        bail!("built, but not usable: {}", still.join(" "));
    }
    Ok(())
}

/// The native packages that this Node cannot load: not built, or for another version.
fn unbuilt(folder: &Path) -> Vec<&'static str> {
    let loads =
        |script| process::works(Command::new("node").args(["--eval", script]).current_dir(folder));
    NATIVE.iter().filter(|(_, script)| !loads(script)).map(|(package, _)| *package).collect()
}

fn builders() -> Result<()> {
    let is_missing = |program: &&str| !process::works(Command::new(program).arg("--version"));
    let missing: Vec<_> = BUILDERS.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("install what npm's SQLite is built with: {}", missing.join(" "));
    if !can_install() {
        bail!("{by_hand}");
    }
    install(&missing).with_context(|| by_hand)
}

/// The folder above `include/node`, where the headers of this very Node are installed or can be.
fn headers() -> Result<Option<PathBuf>> {
    let script = "console.log(process.versions.node.split('.')[0]); console.log(process.execPath)";
    let answer = process::read(Command::new("node").args(["--eval", script]))?;
    let (major, path) =
        answer.trim_end().split_once('\n').context("node does not say where it is")?;
    let bin = fs::canonicalize(path)?;
    let Some(prefix) = bin.parent().and_then(Path::parent) else { return Ok(None) };
    let found = || has_headers(prefix, major).then(|| prefix.to_owned());
    if found().is_none() && can_install() && prefix == Path::new("/usr") {
        // A Node that is not Debian's has no such package, and node-gyp knows what to do.
        if let Err(error) = install(&["libnode-dev"]) {
            eprintln!("{error:#}");
        }
    }
    Ok(found())
}

fn has_headers(prefix: &Path, major: &str) -> bool {
    let version = fs::read_to_string(prefix.join("include/node/node_version.h"));
    let line = format!("#define NODE_MAJOR_VERSION {major}");
    version.is_ok_and(|version| version.lines().any(|other| other.trim_end() == line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_another_version_are_none() {
        let folder = std::env::temp_dir().join(format!("xtask-headers-{}", std::process::id()));
        let node = folder.join("include/node");
        fs::create_dir_all(&node).unwrap();
        assert!(!has_headers(&folder, "20"));
        fs::write(node.join("node_version.h"), "#define NODE_MAJOR_VERSION 20\n").unwrap();
        assert!(has_headers(&folder, "20"));
        assert!(!has_headers(&folder, "2"));
        assert!(!has_headers(&folder, "22"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
