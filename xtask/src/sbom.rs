//! `cargo xtask sbom`: the bill of materials of the published crates, by cargo-cyclonedx.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// The crates that users depend on, and the npm package's addon.
const CRATES: [&str; 3] = ["core", "session", "node"];

/// Writes a file for each crate into the target folder.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    tools::provide(&workspace, Tool::CycloneDx)?;
    let folder = workspace.target.join("sbom");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for name in CRATES {
        let krate = workspace.root.join("crates").join(name);
        let file = format!("express-session-{name}.cdx");
        let mut command = process::this_cargo();
        command.args([
            "cyclonedx",
            "--format",
            "json",
            "--all-features",
            "--override-filename",
            &file,
        ]);
        process::run(command.arg("--manifest-path").arg(krate.join("Cargo.toml")))?;
        // cargo-cyclonedx writes beside the manifest.
        let (from, to) = (krate.join(format!("{file}.json")), folder.join(format!("{file}.json")));
        fs::rename(&from, &to).with_context(|| from.display().to_string())?;
        println!("{}", to.display());
    }
    Ok(ExitCode::SUCCESS)
}
