//! The folders and packages of this workspace, as cargo reports them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Deserializer};

use crate::process;

/// The workspace in which the tool was started.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// The build folder, which a developer may have moved away from `target`.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The package's folder below the root.
    #[serde(rename = "manifest_path")]
    pub(crate) folder: PathBuf,
    #[serde(rename = "publish", deserialize_with = "is_published")]
    pub(crate) published: bool,
    /// The direct dependencies, those for tests and builds included.
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
}

/// `publish = false` is an empty list of registries; a missing `publish` is null.
fn is_published<'de, D: Deserializer<'de>>(publish: D) -> Result<bool, D::Error> {
    Option::<Vec<String>>::deserialize(publish).map(|registries| registries.is_none())
}

impl Workspace {
    pub(crate) fn read() -> Result<Self> {
        let arguments = ["metadata", "--no-deps", "--format-version=1"];
        let metadata = process::read(process::this_cargo().args(arguments))?;
        Self::parse(&metadata).context("cargo metadata has an unknown form")
    }

    /// Returns the packages that users install, in cargo's order.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.published)
    }

    fn parse(metadata: &str) -> Result<Self> {
        let mut workspace: Self = serde_json::from_str(metadata)?;
        for Package { folder, .. } in &mut workspace.packages {
            let below = folder.strip_prefix(&workspace.root).unwrap_or(folder);
            *folder = below.parent().map(Path::to_owned).unwrap_or_default();
        }
        Ok(workspace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "workspace_root": "/w", "target_directory": "/elsewhere",
        "packages": [
            {"name": "engine", "version": "0.1.0", "manifest_path": "/w/crates/engine/Cargo.toml",
             "publish": null, "dependencies": [{"name": "serde", "kind": null}, {"name": "proptest", "kind": "dev"}]},
            {"name": "tool", "version": "0.2.0", "manifest_path": "/w/tool/Cargo.toml",
             "publish": [], "dependencies": []}
        ]
    }"#;

    #[test]
    fn packages_are_read_with_their_folders_and_dependencies() {
        let workspace = Workspace::parse(METADATA).unwrap();
        assert_eq!(workspace.target, Path::new("/elsewhere"));
        let engine = &workspace.packages[0];
        assert_eq!(engine.folder, Path::new("crates/engine"));
        assert_eq!(engine.version, "0.1.0");
        let names: Vec<_> = engine.dependencies.iter().map(|it| &*it.name).collect();
        assert_eq!(names, ["serde", "proptest"]);
    }

    #[test]
    fn a_package_that_forbids_publishing_is_not_published() {
        let workspace = Workspace::parse(METADATA).unwrap();
        let published: Vec<_> = workspace.published().map(|package| &*package.name).collect();
        assert_eq!(published, ["engine"]);
    }

    #[test]
    fn an_unknown_form_is_an_error_that_names_the_member() {
        let error = Workspace::parse(r#"{"workspace_root": "/w"}"#).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("missing field `target_directory`"), "{message}");
    }
}
