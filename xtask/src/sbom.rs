//! `cargo xtask sbom`: the bill of materials of what is published, by cargo-cyclonedx.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// The crates that users depend on, and the npm package's addon.
const PUBLISHED: [&str; 3] = ["crates/core", "crates/session", "crates/node"];

const NAME: &str = "express-session.cdx";

/// Writes a file for each of them into the target folder.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    tools::provide(&workspace, Tool::CycloneDx)?;
    let options = ["cyclonedx", "--format", "json", "--all-features", "--override-filename", NAME];
    process::run(process::this_cargo().args(options).current_dir(&workspace.root))?;

    // It writes one file beside every manifest of the workspace.
    let list = ["ls-files", "Cargo.toml", "*/Cargo.toml"];
    let manifests = process::read(Command::new("git").args(list).current_dir(&workspace.root))?;
    let folder = workspace.target.join("sbom");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for krate in manifests.lines().filter_map(|manifest| Path::new(manifest).parent()) {
        let from = workspace.root.join(krate).join(format!("{NAME}.json"));
        if PUBLISHED.contains(&krate.to_str().unwrap_or_default()) {
            let name = krate.file_name().context("a crate at the root")?;
            let to = folder.join(name).with_extension("cdx.json");
            fs::rename(&from, &to).with_context(|| from.display().to_string())?;
            println!("{}", to.display());
        } else if from.exists() {
            fs::remove_file(&from)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
