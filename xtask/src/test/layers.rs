//! Which way dependencies may point: the engine is pure, the testkit serves every store, no crate
//! depends on the leaves.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, bail};

use crate::process::{self, cargo};
use crate::workspace::{Package, Workspace};

mod departures;

/// Packages that the engine must never depend on, directly or not: IO, frameworks, drivers, clocks, randomness.
/// A name stands for its family too: `tokio` for `tokio-util`, `rand` for `rand_core`.
const IMPURE: &str = "
    tokio async-std smol mio socket2 futures
    http hyper tower axum actix reqwest ureq
    redis fred deadpool postgres sqlx mysql mysql-async rusqlite memcache
    chrono time jiff web-time getrandom rand fastrand";

/// The folders of packages that nothing may depend on.
const LEAVES: &[&str] = &["crates/node", "crates/cli"];

/// Checks the four rules.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let mut offences = forbidden(workspace, "express-session-core", is_impure)?;
    offences
        .extend(forbidden(workspace, "express-session-testkit", |name| name == "express-session")?);
    offences.extend(uses_of_leaves(workspace));
    offences.extend(departures::check(workspace)?);
    if !offences.is_empty() {
        bail!("{}", offences.join("\n"));
    }
    Ok(())
}

/// Returns the package's dependencies, on any platform with any feature, that the rule forbids.
fn forbidden(
    workspace: &Workspace,
    package: &str,
    rule: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let selection = ["tree", "--package", package, "--all-features", "--target", "all"];
    let mut tree = cargo(workspace, selection);
    tree.args(["--edges", "normal", "--prefix", "none"]);
    println!("$ {}", process::line(&tree));
    let tree = process::read(&mut tree)?;
    let names = names(&tree).into_iter().filter(|name| rule(name));
    Ok(names.map(|name| format!("{package} must not depend on {name}")).collect())
}

/// The packages at the start of the lines of `cargo tree --prefix none`, which repeats them.
fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

fn is_impure(name: &str) -> bool {
    let name = name.replace('_', "-");
    IMPURE.split_whitespace().any(|family| {
        name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

fn uses_of_leaves(workspace: &Workspace) -> Vec<String> {
    let is_leaf = |folder: &Path| LEAVES.iter().any(|leaf| folder == Path::new(leaf));
    let leaves: Vec<_> =
        workspace.packages.iter().filter(|package| is_leaf(&package.folder)).collect();
    let mut uses = Vec::new();
    for package in &workspace.packages {
        let is_used = |leaf: &&&Package| package.dependencies.iter().any(|it| it.name == leaf.name);
        for leaf in leaves.iter().filter(is_used) {
            uses.push(format!("{} must not depend on {}, a leaf", package.name, leaf.name));
        }
    }
    uses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    #[test]
    fn the_tree_is_read_by_its_first_words_each_once() {
        let tree = "engine v0.1.0 (somewhere/engine)\nbase64 v0.23.1\n\n\
                    digest v0.11.3\ndigest v0.11.3 (*)\nserde_derive v1.0.229 (proc-macro)\n";
        let expected = ["engine", "base64", "digest", "serde_derive"];
        assert_eq!(names(tree), BTreeSet::from(expected));
    }

    #[test]
    fn a_family_is_impure_with_all_its_members_and_a_name_that_only_begins_alike_is_pure() {
        for name in ["tokio", "tokio-util", "http-body", "futures-core", "rand_core", "getrandom"] {
            assert!(is_impure(name), "{name}");
        }
        for name in ["httpdate", "httparse", "randomize", "timestamps", "base64", "libc"] {
            assert!(!is_impure(name), "{name}");
        }
    }

    #[test]
    fn a_package_that_uses_a_leaf_is_named() {
        let package = |name: &str, folder: &str, dependencies: &[&str]| Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            folder: folder.into(),
            published: true,
            dependencies: dependencies
                .iter()
                .map(|&name| Dependency { name: name.to_owned() })
                .collect(),
        };
        let workspace = Workspace {
            root: "w".into(),
            target: "target".into(),
            packages: vec![
                package("session-cli", "crates/cli", &["express-session"]),
                package("express-session", "crates/session", &["session-cli", "serde"]),
            ],
        };
        assert_eq!(
            uses_of_leaves(&workspace),
            ["express-session must not depend on session-cli, a leaf"]
        );
    }
}
