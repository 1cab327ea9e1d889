//! Rules for all tracked files: none names a registry host or a folder of one machine. Neither exists for the next
//! person who clones the repository.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use regex::bytes::Regex;

use crate::process;
use crate::workspace::Workspace;

/// A text that no file may contain.
#[derive(Debug)]
struct Rule {
    what: &'static str,
    pattern: Regex,
    /// The file name to which the rule is limited, if it is.
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
            // Written so that this line does not match.
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
            what: "the host from which a package was downloaded",
            pattern: Regex::new(r#"(?-u)"resolved"\s*:\s*"[a-z+]+://"#)?,
            file: Some("package-lock.json"),
        },
    ])
}

/// Returns the host from which this machine's npm downloads, if npm is installed and the host is remote. A private
/// mirror is in no list, so npm is the source of its name.
fn configured_registry() -> Option<String> {
    let url = process::read(Command::new("npm").args(["config", "get", "registry"])).ok()?;
    remote_host(url.trim()).map(str::to_owned)
}

/// Returns the host with its port, or nothing for this machine itself.
fn remote_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_local = host.is_empty() || host.starts_with("localhost") || host.starts_with("127.");
    (!is_local).then_some(host)
}

fn host_rule(host: &str) -> Result<Rule> {
    let pattern = Regex::new(&format!("(?-u){}", regex::escape(host)))?;
    Ok(Rule { what: "the host from which this machine's npm downloads", pattern, file: None })
}

/// Returns the paths of all tracked files.
pub(super) fn tracked(workspace: &Workspace) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    let list = process::read(git.args(["ls-files", "-z"]).current_dir(&workspace.root))?;
    Ok(list.split_terminator('\0').map(str::to_owned).collect())
}

/// Returns the file's bytes, or nothing for a deleted file and for a link to a folder.
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

    /// Joins the forbidden text from its parts, because this file is checked too.
    fn folder(first: &str) -> String {
        format!("/{first}/someone/project")
    }

    fn found(path: &str, contents: &str) -> Vec<String> {
        violations(&rules().unwrap(), path, contents.as_bytes())
    }

    /// A line of a lock file, as npm writes it.
    const DOWNLOADED: &str = r#""resolved": "https://mirror.example/express.tgz","#;

    #[test]
    fn forbidden_texts_are_found_with_their_line() {
        let folders = ["work", "root", "home", "farm"].map(folder);
        let hosts = [["https://registry", "npmjs", "org"], ["static", "crates", "io"]];
        let folders = folders.into_iter().map(|text| (text, "a folder of one machine"));
        let hosts = hosts.into_iter().map(|labels| (labels.join("."), "a registry host"));
        for (text, what) in folders.chain(hosts) {
            assert_eq!(found("a.md", &text), [format!("a.md:1 names {what}")]);
            let text = format!("fine\nsee \"{text}\"\n");
            assert_eq!(found("a.md", &text), [format!("a.md:2 names {what}")]);
        }
        let expected = "a/package-lock.json:1 names the host from which a package was downloaded";
        assert_eq!(found("a/package-lock.json", DOWNLOADED), [expected]);
    }

    #[test]
    fn other_texts_pass() {
        for (path, text) in [
            ("a.md", &*format!("docs{}", folder("work"))),
            ("a.md", &format!(".{}", folder("root"))),
            ("a.md", "https://example.com/homepage/ and /rooted/"),
            ("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\""),
            ("README.md", "published on crates.io"),
            ("notes.md", DOWNLOADED),
            ("package-lock.json", r#""resolved": "packages/local","#),
        ] {
            assert!(found(path, text).is_empty(), "{path}: {text}");
        }
    }

    #[test]
    fn a_registry_is_named_by_its_host_unless_it_is_local() {
        assert_eq!(remote_host("https://mirror.example/npm/"), Some("mirror.example"));
        assert_eq!(
            remote_host("http://name:word@mirror.example:4873"),
            Some("mirror.example:4873")
        );
        assert_eq!(remote_host("http://localhost:4873/"), None);
        assert_eq!(remote_host("undefined"), None);
    }
}
