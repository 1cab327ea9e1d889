//! Departures are read by the engine's policy and decisions only: other modules ask the policy, so that each departure
//! has one place.

use std::fs;

use anyhow::{Context as _, Result};

use crate::test::repository;
use crate::workspace::Workspace;

/// The modules that read departures.
const READERS: &[&str] = &["crates/core/src/policy", "crates/core/src/decide"];

/// Returns the lines of other modules that read a departure.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in repository::tracked(workspace)? {
        let file = workspace.root.join(&path);
        if is_restricted(&path) && file.exists() {
            let source = fs::read_to_string(&file).with_context(|| path.clone())?;
            for line in lines_that_read(&source) {
                found.push(format!("{path}:{line} must ask the policy, not read a departure"));
            }
        }
    }
    Ok(found)
}

fn is_restricted(path: &str) -> bool {
    let is_source = path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs");
    is_source && !READERS.iter().any(|reader| path.starts_with(reader))
}

/// Returns the numbers of lines that read a departure, without comments and the tests at the end of the file.
fn lines_that_read(source: &str) -> Vec<usize> {
    let code = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let is_read = |(_, line): &(usize, &str)| !line.trim_start().starts_with("//") && reads(line);
    (1..).zip(code.lines()).filter(is_read).map(|(number, _)| number).collect()
}

/// Whether the line uses a field of departures, or copies the departures of a policy. Methods set departures.
fn reads(line: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices("departures").any(|(at, name)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let field = after.strip_prefix('.').map(|rest| rest.trim_start_matches(is_name));
        let is_field =
            !before.ends_with(is_name) && field.is_some_and(|rest| !rest.starts_with('('));
        let is_set = after.starts_with('(') || after.starts_with(" = ");
        is_field || (before.ends_with("policy.") && !is_set)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_reads_a_departure_is_found() {
        for line in [
            "if self.policy.departures.verbatim {",
            "let departures = policy.departures;",
            "matches(path, departures.path_match)",
            "if policy.departures == other {",
        ] {
            assert_eq!(lines_that_read(&format!("\n{line}\n")), [2], "{line}");
        }
    }

    #[test]
    fn setting_departures_and_asking_the_policy_pass() {
        let source = "options.policy.departures = departures;\nlayer.departures(Departures::none())\n\
                      policy.on_missing_record()\n// as departures.verbatim says\n\
                      #[cfg(test)]\nmod tests { departures.verbatim }\n";
        assert!(lines_that_read(source).is_empty());
    }

    #[test]
    fn policy_and_decisions_may_read() {
        assert!(is_restricted("crates/session/src/middleware/service.rs"));
        assert!(is_restricted("crates/core/src/session/save.rs"));
        assert!(!is_restricted("crates/core/src/decide/plan.rs"));
        assert!(!is_restricted("crates/session/tests/handle.rs"));
        assert!(!is_restricted("conformance/src/main.rs"));
    }
}
