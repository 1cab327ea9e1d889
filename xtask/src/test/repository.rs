//! What no tracked file may say: where packages came from, and how one machine is laid out. Neither
//! holds for the next person who clones the repository.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use regex::bytes::Regex;

use crate::process;
use crate::workspace::Workspace;

/// Something that must not stand in a file.
#[derive(Debug)]
struct Rule {
    what: &'static str,
    pattern: Regex,
    /// The only file name that it holds for, if it holds for one.
    file: Option<&'static str>,
}

/// Reads every tracked file.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let mut rules = rules()?;
    rules.extend(configured_registry().map(|host| host_rule(&host)).transpose()?);
    let mut offences = Vec::new();
    for path in tracked(workspace)? {
        if let Some(contents) = contents(&workspace.root.join(&path))? {
            offences.extend(violations(&rules, &path, &contents));
        }
    }
    if !offences.is_empty() {
        bail!("{}", offences.join("\n"));
    }
    Ok(())
}

fn rules() -> Result<Vec<Rule>> {
    Ok(vec![
        Rule {
            what: "a registry host",
            // Written so that this line does not name one.
            pattern: Regex::new(
                r"(?-u)(//([a-z0-9-]+\.)*|\b(registry|static|index|deb|security)\.)(npmjs|crates|debian)\.(org|com|io)\b",
            )?,
            file: None,
        },
        Rule {
            what: "a folder of one machine",
            pattern: Regex::new(r"(?-u)(^|[^.A-Za-z])/(work|root|home|farm)/")?,
            file: None,
        },
        Rule {
            what: "the host that a package was downloaded from",
            pattern: Regex::new(r#"(?-u)"resolved"\s*:\s*"[a-z+]+://"#)?,
            file: Some("package-lock.json"),
        },
    ])
}

/// The host that this machine's npm downloads from, where there is npm and another host to name: a
/// private mirror has a name that no list knows.
fn configured_registry() -> Option<String> {
    let url = process::read(Command::new("npm").args(["config", "get", "registry"])).ok()?;
    remote_host(url.trim()).map(str::to_owned)
}

/// The host with its port, unless it is this machine itself.
fn remote_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_local = host.is_empty() || host.starts_with("localhost") || host.starts_with("127.");
    (!is_local).then_some(host)
}

fn host_rule(host: &str) -> Result<Rule> {
    let pattern = Regex::new(&format!("(?-u){}", regex::escape(host)))?;
    Ok(Rule { what: "the host that this machine's npm downloads from", pattern, file: None })
}

/// Returns the paths of all tracked files.
pub(super) fn tracked(workspace: &Workspace) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    let list = process::read(git.args(["ls-files", "-z"]).current_dir(&workspace.root))?;
    Ok(list.split_terminator('\0').map(str::to_owned).collect())
}

/// The file's bytes; nothing where it is tracked but deleted, or a folder behind a link.
fn contents(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if [ErrorKind::NotFound, ErrorKind::IsADirectory].contains(&error.kind()) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

fn violations(rules: &[Rule], path: &str, contents: &[u8]) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let applies = |rule: &&Rule| rule.file.is_none_or(|only| only == name);
    let mut found = Vec::new();
    for rule in rules.iter().filter(applies) {
        for (number, line) in (1..).zip(contents.split(|&byte| byte == b'\n')) {
            if rule.pattern.is_match(line) {
                found.push(format!("{path}:{number} names {}", rule.what));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is forbidden is put together here, for this file is checked too.
    fn folder(first: &str) -> String {
        format!("/{first}/someone/project")
    }

    fn found(path: &str, contents: &str) -> Vec<String> {
        violations(&rules().unwrap(), path, contents.as_bytes())
    }

    #[test]
    fn a_folder_of_one_machine_is_found_with_its_line() {
        for first in ["work", "root", "home", "farm"] {
            let text = format!("fine\nsee \"{}\"\n", folder(first));
            assert_eq!(found("a.md", &text), ["a.md:2 names a folder of one machine"]);
            assert_eq!(found("a.md", &folder(first)).len(), 1);
        }
    }

    #[test]
    fn a_path_below_another_folder_is_no_folder_of_a_machine() {
        for text in [format!("docs{}", folder("work")), format!(".{}", folder("root"))] {
            assert!(found("a.md", &text).is_empty(), "{text}");
        }
        assert!(found("a.md", "https://example.com/homepage/ and /rooted/").is_empty());
    }

    #[test]
    fn a_registry_host_is_found_with_and_without_a_scheme() {
        let hosts = [["https://registry", "npmjs", "org"], ["static", "crates", "io"]];
        for host in hosts.map(|labels| labels.join(".")) {
            assert_eq!(found("b.txt", &host), ["b.txt:1 names a registry host"], "{host}");
        }
    }

    #[test]
    fn the_index_that_cargo_names_in_its_lock_file_is_no_registry_host() {
        let line = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        assert!(found("Cargo.lock", line).is_empty());
        assert!(found("README.md", "published on crates.io").is_empty());
    }

    #[test]
    fn a_lock_file_that_says_where_a_package_came_from_is_found() {
        let line = r#""resolved": "https://mirror.example/express.tgz","#;
        assert_eq!(
            found("conformance/node/package-lock.json", line),
            [
                "conformance/node/package-lock.json:1 names the host that a package was downloaded from"
            ]
        );
        assert!(found("notes.md", line).is_empty());
        assert!(found("package-lock.json", r#""resolved": "packages/local","#).is_empty());
    }

    #[test]
    fn a_registry_is_known_by_its_host_and_loopback_is_none() {
        assert_eq!(remote_host("https://mirror.example/npm/"), Some("mirror.example"));
        assert_eq!(
            remote_host("http://name:word@mirror.example:4873"),
            Some("mirror.example:4873")
        );
        assert_eq!(remote_host("http://localhost:4873/"), None);
        assert_eq!(remote_host("undefined"), None);
    }
}
