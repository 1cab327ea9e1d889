//! `cargo xtask mutants`: mutation tests of the engine.
//!
//! cargo-mutants makes many small changes, each in a copy of the tree. A change that no test notices is a
//! survivor: the tests lack a row, or the change makes no difference. [`LIST`] lists the second kind, each with its
//! reason; a survivor that is not listed fails the run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// The package under test. It is pure; the laws and the judge test the code that does IO.
const PACKAGE: &str = "express-session-core";

/// The folder of its sources. Paths in the list are relative to it.
const SOURCES: &str = "crates/core/src/";

/// The list of expected survivors.
const LIST: &str = "crates/core/MUTANTS.md";

/// Changes the engine, and checks that its tests fail.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Changes only the files with this name or path; may be given several times.
    #[arg(long, value_name = "FILE")]
    file: Vec<String>,
    /// Changes only the files of this module, such as `core::session`; may be given several times.
    #[arg(long = "in", value_name = "MODULE", value_parser = module)]
    modules: Vec<String>,
    /// Sets the number of changes to test in parallel.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
}

impl Options {
    fn is_complete(&self) -> bool {
        self.file.is_empty() && self.modules.is_empty()
    }
}

/// Turns the path of a module into a pattern of files: `core::session` is `crates/core/src/session/**`.
fn module(path: &str) -> Result<String> {
    let rest = path.strip_prefix("core::").context("a module begins with `core::`")?;
    let module = rest.replace("::", "/");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(SOURCES);
    if sources.join(&module).is_dir() {
        return Ok(format!("{SOURCES}{module}/**"));
    }
    if sources.join(format!("{module}.rs")).is_file() {
        return Ok(format!("{SOURCES}{module}.rs"));
    }
    bail!("no such module in {SOURCES}")
}

/// Runs cargo-mutants, and compares the survivors with the list.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    let list = fs::read_to_string(workspace.root.join(LIST)).context(LIST)?;
    let listed = listed(&list)?;
    tools::provide(&workspace, Tool::Mutants)?;
    let output = workspace.target.join("mutants");
    fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
    test(&mut command(&workspace, options, &output))?;

    let outcomes = output.join("mutants.out/outcomes.json");
    let outcomes = fs::read_to_string(&outcomes).with_context(|| outcomes.display().to_string())?;
    let outcomes = Outcomes::parse(&outcomes).context("cargo-mutants wrote an unknown form")?;
    let verdict = Verdict::of(&outcomes, &listed, options.is_complete());
    print!("\n{}", verdict.report(&outcomes));
    Ok(if verdict.unlisted.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn command(workspace: &Workspace, options: &Options, output: &Path) -> Command {
    let mut command = process::cargo(workspace, ["mutants", "--package", PACKAGE]);
    command.arg("--output").arg(output).arg("--jobs").arg(options.jobs.to_string());
    for file in options.file.iter().chain(&options.modules) {
        command.args(["--file", file]);
    }
    // Fewer random cases, and the same in every run, so that the survivors are reproducible.
    command.envs([("PROPTEST_CASES", "64"), ("PROPTEST_RNG_SEED", "1")]);
    // Copies that share a target folder would wait for each other.
    command.env_remove("CARGO_TARGET_DIR");
    command
}

/// Checks that all changes were tested. The outcomes state which of them survived.
fn test(command: &mut Command) -> Result<()> {
    let status = process::announced(command)?;
    match status.code() {
        // All were caught; some survived; some never ended.
        Some(0 | 2 | 3) => Ok(()),
        _ => bail!("`{}` failed: {status}", process::line(command)),
    }
}

/// A change as the list names it: the file and the change, without a line number, which would become outdated.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Mutant {
    file: String,
    change: String,
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file, self.change)
    }
}

impl Mutant {
    /// Parses a name of cargo-mutants: `path:line:column: change`.
    fn parse(name: &str) -> Result<(Self, &str)> {
        let (place, change) = name.split_once(": ").context("a name without a place")?;
        let path = place.split(':').next().unwrap_or(place);
        let file = path.strip_prefix(SOURCES).unwrap_or(path);
        Ok((Self { file: file.to_owned(), change: change.to_owned() }, place))
    }
}

#[derive(Debug, Default)]
struct Outcomes {
    /// The survivors, each with its places.
    survivors: BTreeMap<Mutant, Vec<String>>,
    /// The files that were changed.
    files: Vec<String>,
    caught: usize,
    endless: usize,
    unviable: usize,
}

impl Outcomes {
    fn parse(text: &str) -> Result<Self> {
        let text: Value = serde_json::from_str(text)?;
        let mut outcomes = Self::default();
        for outcome in text["outcomes"].as_array().context("no outcomes")? {
            // The other scenario is the baseline: the tests on the unchanged code.
            let Some(name) = outcome["scenario"]["Mutant"]["name"].as_str() else { continue };
            let (mutant, place) = Mutant::parse(name)?;
            if !outcomes.files.contains(&mutant.file) {
                outcomes.files.push(mutant.file.clone());
            }
            match outcome["summary"].as_str().context("no summary")? {
                "CaughtMutant" => outcomes.caught += 1,
                "Timeout" => outcomes.endless += 1,
                "Unviable" => outcomes.unviable += 1,
                "MissedMutant" => {
                    outcomes.survivors.entry(mutant).or_default().push(place.to_owned());
                }
                other => bail!("an outcome of {other}"),
            }
        }
        Ok(outcomes)
    }
}

/// Reads the list. Each row of its table is one expected survivor.
fn listed(text: &str) -> Result<BTreeMap<Mutant, usize>> {
    let mut listed = BTreeMap::new();
    // The first two rows are the heading and the line below it.
    for row in text.lines().filter(|line| line.starts_with('|')).skip(2) {
        let [file, change, reason] = &cells(row)[..] else {
            bail!("{LIST}: a row needs a file, a change and a reason: {row}");
        };
        if reason.is_empty() {
            bail!("{LIST}: no reason: {row}");
        }
        let mutant = Mutant { file: file.clone(), change: change.clone() };
        *listed.entry(mutant).or_default() += 1;
    }
    Ok(listed)
}

/// The cells of a row. A `|` in a cell is written `\|`.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').replace(r"\|", "\0");
    let row = row.trim_end_matches('|');
    row.split('|').map(|cell| cell.replace('\0', "|").trim().trim_matches('`').to_owned()).collect()
}

/// How the survivors and the list differ.
#[derive(Debug, Default)]
struct Verdict {
    /// Survivors that are not listed, each with its place.
    unlisted: Vec<String>,
    /// Rows without a survivor.
    stale: Vec<String>,
}

impl Verdict {
    /// With `all`, every file was changed, so that a row of any other file is stale.
    fn of(outcomes: &Outcomes, listed: &BTreeMap<Mutant, usize>, all: bool) -> Self {
        let mut verdict = Self::default();
        for (mutant, places) in &outcomes.survivors {
            let rows = listed.get(mutant).copied().unwrap_or(0);
            // Of several identical changes, the list does not state which one is expected.
            if places.len() > rows {
                let rows = if rows > 0 { format!(" ({rows} listed)") } else { String::new() };
                let lines = places.iter().map(|place| format!("{place}: {}{rows}", mutant.change));
                verdict.unlisted.extend(lines);
            }
        }
        for (mutant, rows) in listed {
            let survivors = outcomes.survivors.get(mutant).map_or(0, Vec::len);
            if survivors < *rows && (all || outcomes.files.contains(&mutant.file)) {
                let row =
                    if *rows > 1 { format!(" ({survivors} of {rows})") } else { String::new() };
                verdict.stale.push(format!("{mutant}{row}"));
            }
        }
        verdict
    }

    fn report(&self, outcomes: &Outcomes) -> String {
        let mut lines = Vec::new();
        if !self.stale.is_empty() {
            lines.push(format!("listed in {LIST} but caught; delete the rows:"));
            lines.extend(self.stale.iter().map(|row| format!("  {row}")));
        }
        if !self.unlisted.is_empty() {
            lines.push(format!("survived but not listed in {LIST}; write a test:"));
            lines.extend(self.unlisted.iter().map(|mutant| format!("  {mutant}")));
        }
        let survivors: usize = outcomes.survivors.values().map(Vec::len).sum();
        lines.push(format!(
            "{} caught, {} of them by a timeout; {survivors} survived; {} did not compile",
            outcomes.caught + outcomes.endless,
            outcomes.endless,
            outcomes.unviable,
        ));
        lines.push(format!("{} survived unlisted", self.unlisted.len()));
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        # Title\n\
        \n\
        | file | change | why |\n\
        |---|---|---|\n\
        | `time.rs` | `replace \\|\\| with && in of` | No year is that long. |\n\
        | `time.rs` | `replace < with <= in of` | Equal is both. |\n\
        | `cookie/set_cookie.rs` | `replace < with <= in of` | Equal is both. |\n";

    fn outcomes(of: &[(&str, &str)]) -> Outcomes {
        let outcomes: Vec<_> = of
            .iter()
            .map(|(summary, name)| {
                serde_json::json!({"scenario": {"Mutant": {"name": name}}, "summary": summary})
            })
            .collect();
        let baseline = serde_json::json!({"scenario": "Baseline", "summary": "Success"});
        let all = [vec![baseline], outcomes].concat();
        Outcomes::parse(&serde_json::json!({ "outcomes": all }).to_string()).unwrap()
    }

    #[test]
    fn listed_survivor_passes_on_any_line() {
        let outcomes = outcomes(&[
            ("MissedMutant", "crates/core/src/time.rs:7:1: replace || with && in of"),
            ("MissedMutant", "crates/core/src/time.rs:9:12: replace < with <= in of"),
            ("MissedMutant", "crates/core/src/cookie/set_cookie.rs:1:1: replace < with <= in of"),
            ("CaughtMutant", "crates/core/src/time.rs:9:12: replace < with == in of"),
        ]);
        let verdict = Verdict::of(&outcomes, &listed(TABLE).unwrap(), true);
        assert!(verdict.unlisted.is_empty() && verdict.stale.is_empty(), "{verdict:?}");
    }

    #[test]
    fn second_survivor_equal_to_a_listed_one_is_reported_with_both_places() {
        let outcomes = outcomes(&[
            ("MissedMutant", "crates/core/src/time.rs:9:12: replace < with <= in of"),
            ("MissedMutant", "crates/core/src/time.rs:10:12: replace < with <= in of"),
        ]);
        let verdict = Verdict::of(&outcomes, &listed(TABLE).unwrap(), false);
        assert_eq!(
            verdict.unlisted,
            [
                "crates/core/src/time.rs:9:12: replace < with <= in of (1 listed)",
                "crates/core/src/time.rs:10:12: replace < with <= in of (1 listed)",
            ]
        );
    }

    #[test]
    fn row_is_stale_only_if_its_file_was_changed() {
        let outcomes = outcomes(&[
            ("CaughtMutant", "crates/core/src/time.rs:7:1: replace || with && in of"),
            ("MissedMutant", "crates/core/src/time.rs:9:12: replace < with <= in of"),
        ]);
        let listed = listed(TABLE).unwrap();
        let some = Verdict::of(&outcomes, &listed, false);
        assert_eq!(some.stale, ["time.rs: replace || with && in of"]);
        let all = Verdict::of(&outcomes, &listed, true);
        assert_eq!(all.stale.len(), 2, "a change of cookie/set_cookie.rs survived: {all:?}");
        assert!(all.unlisted.is_empty());
    }

    #[test]
    fn report_ends_with_the_counts() {
        let outcomes = outcomes(&[
            ("CaughtMutant", "crates/core/src/a.rs:1:1: replace f with ()"),
            ("Timeout", "crates/core/src/a.rs:2:1: replace g with ()"),
            ("Unviable", "crates/core/src/a.rs:3:1: replace h with ()"),
            ("MissedMutant", "crates/core/src/a.rs:4:1: replace i with ()"),
        ]);
        let report = Verdict::of(&outcomes, &BTreeMap::new(), true).report(&outcomes);
        assert_eq!(
            report,
            "survived but not listed in crates/core/MUTANTS.md; write a test:\n  \
             crates/core/src/a.rs:4:1: replace i with ()\n\
             2 caught, 1 of them by a timeout; 1 survived; 1 did not compile\n\
             1 survived unlisted\n"
        );
    }

    #[test]
    fn module_selects_its_folder_or_its_file() {
        assert_eq!(module("core::session").unwrap(), "crates/core/src/session/**");
        assert_eq!(module("core::record::json").unwrap(), "crates/core/src/record/json.rs");
        for path in ["session", "core::nothing"] {
            assert!(module(path).is_err(), "{path}");
        }
    }

    #[test]
    fn row_without_a_reason_is_refused() {
        for row in ["| `a.rs` | `replace f with ()` | |", "| `a.rs` | `replace f with ()` |"] {
            let list = format!("| file | change | why |\n|---|---|---|\n{row}\n");
            assert!(listed(&list).is_err(), "{row}");
        }
    }

    #[test]
    fn every_row_of_the_list_names_an_existing_file() {
        let list = include_str!("../../crates/core/MUTANTS.md");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(SOURCES);
        for mutant in listed(list).unwrap().keys() {
            assert!(sources.join(&mutant.file).is_file(), "{mutant}");
        }
    }
}
