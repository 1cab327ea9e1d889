//! The folders and packages of this workspace, as cargo reports them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;

/// The workspace in which the tool was started.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// The build folder, which a developer may have moved away from `target`.
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The package's folder below the root.
    pub(crate) folder: PathBuf,
    pub(crate) published: bool,
    /// The names of direct dependencies, those for tests and builds included.
    pub(crate) dependencies: Vec<String>,
}

impl Workspace {
    /// Runs `cargo metadata`.
    pub(crate) fn read() -> Result<Self> {
        let metadata = process::read(process::this_cargo().args([
            "metadata",
            "--no-deps",
            "--format-version=1",
        ]))?;
        Self::parse(&metadata).context("cargo metadata has an unknown form")
    }

    /// Returns the packages that users install, in cargo's order.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.published)
    }

    fn parse(metadata: &str) -> Result<Self> {
        let metadata: Value = serde_json::from_str(metadata)?;
        let root = PathBuf::from(text(&metadata, "workspace_root")?);
        let packages = list(&metadata, "packages")?
            .iter()
            .map(|package| Package::parse(package, &root))
            .collect::<Result<_>>()?;
        Ok(Self { target: text(&metadata, "target_directory")?.into(), packages, root })
    }
}

impl Package {
    fn parse(package: &Value, root: &Path) -> Result<Self> {
        let manifest = Path::new(text(package, "manifest_path")?);
        let folder = manifest.parent().unwrap_or(manifest);
        let dependencies = list(package, "dependencies")?
            .iter()
            .map(|dependency| Ok(text(dependency, "name")?.to_owned()))
            .collect::<Result<_>>()?;
        Ok(Self {
            name: text(package, "name")?.to_owned(),
            version: text(package, "version")?.to_owned(),
            folder: folder.strip_prefix(root).unwrap_or(folder).to_owned(),
            // `publish = false` is an empty list of registries; a missing `publish` is null.
            published: package.get("publish").is_none_or(Value::is_null),
            dependencies,
        })
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("no text `{key}`"))
}

fn list<'v>(value: &'v Value, key: &str) -> Result<&'v [Value]> {
    let list = value.get(key).and_then(Value::as_array);
    Ok(list.with_context(|| format!("no list `{key}`"))?)
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
        assert_eq!(engine.dependencies, ["serde", "proptest"]);
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
        assert_eq!(error.to_string(), "no list `packages`");
    }
}
