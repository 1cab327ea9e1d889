//! `cargo xtask mutants`: mutation tests of the engine.
//!
//! cargo-mutants makes many small changes, each in a copy of the tree. A change that no test notices is a
//! survivor: the tests lack a row, or the change makes no difference. [`LIST`] lists the second kind, each with its
//! reason; a survivor that is not listed fails the run.
//!
//! Each change of a module is tried on the module's own unit tests first, which catch nearly all, and take a fraction
//! of the time. Only the survivors are tried on all tests and the examples.

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
    modules: Vec<Part>,
    /// Sets the number of changes to test in parallel.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Tests only this part of the changes, such as `0/4`: the first of four.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
}

impl Options {
    fn is_complete(&self) -> bool {
        self.file.is_empty() && self.modules.is_empty()
    }
}

/// Files that are changed, and the unit tests that each change is tried on first.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Part {
    files: Vec<String>,
    /// The beginning of the names of the tests; of all where it is empty.
    tests: String,
}

/// Turns the path of a module into its files and tests: `core::session` is `crates/core/src/session/**`.
fn module(path: &str) -> Result<Part> {
    let name = path.strip_prefix("core::").context("a module begins with `core::`")?;
    let file = format!("{SOURCES}{}", name.replace("::", "/"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files = if root.join(&file).is_dir() {
        format!("{file}/**")
    } else if root.join(format!("{file}.rs")).is_file() {
        format!("{file}.rs")
    } else {
        bail!("no such module in {SOURCES}")
    };
    Ok(Part { files: vec![files], tests: format!("{name}::") })
}

/// Returns the modules of the whole package.
fn modules(workspace: &Workspace) -> Result<Vec<Part>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace.root.join(SOURCES)).context(SOURCES)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // It has the list of modules only.
        if name != "lib" {
            names.push(name);
        }
    }
    names.sort();
    names.iter().map(|name| module(&format!("core::{name}"))).collect()
}

/// Runs cargo-mutants, and compares the survivors with the list.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    let list = fs::read_to_string(workspace.root.join(LIST)).context(LIST)?;
    let listed = listed(&list)?;
    tools::provide(&workspace, Tool::Mutants)?;
    let folder = workspace.target.join("mutants");
    // A folder of another run has the crates of a copy that is gone.
    let _ = fs::remove_dir_all(folder.join("build"));

    let mut parts = options.modules.clone();
    if options.is_complete() {
        parts = modules(&workspace)?;
    } else if !options.file.is_empty() {
        parts.push(Part { files: options.file.clone(), tests: String::new() });
    }
    let mut outcomes = Outcomes::default();
    for part in &parts {
        let mut unit_tests = command(&workspace, options, &folder);
        unit_tests.args(part.files.iter().flat_map(|file| ["--file", file]));
        unit_tests.args(options.shard.iter().flat_map(|shard| ["--shard", shard]));
        outcomes.add(test(unit_tests.args(["--", "--lib", &part.tests]), &folder)?);
    }
    if !outcomes.survivors.is_empty() {
        let mut all_tests = command(&workspace, options, &folder);
        // The expressions below do not bind cargo-mutants where it deletes a field: it would do so in all files.
        all_tests.args(outcomes.survivors.keys().flat_map(Mutant::of_file));
        for name in outcomes.survivors() {
            all_tests.arg("--re").arg(format!("^{}$", escaped(&name)));
        }
        outcomes.keep_survivors_of(&test(&mut all_tests, &folder)?);
    }
    let mut verdict = Verdict::of(&outcomes, &listed, options.is_complete());
    if options.shard.is_some() {
        // The survivor of a row may be in another part.
        verdict.stale.clear();
    }
    print!("\n{}", verdict.report(&outcomes));
    Ok(if verdict.unlisted.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn command(workspace: &Workspace, options: &Options, folder: &Path) -> Command {
    let mut command = process::cargo(workspace, ["mutants", "--package", PACKAGE]);
    command.arg("--output").arg(folder).arg("--jobs").arg(options.jobs.to_string());
    // Fewer random cases, and the same in every run, so that the survivors are reproducible.
    command.envs([("PROPTEST_CASES", "64"), ("PROPTEST_RNG_SEED", "1")]);
    // A change is one function: building the rest of the crate again takes five times as long.
    command.envs([("CARGO_INCREMENTAL", "1"), ("CARGO_PROFILE_DEV_DEBUG", "0")]);
    if options.jobs == 1 {
        // Both runs use the same dependencies.
        command.env("CARGO_TARGET_DIR", folder.join("build"));
    } else {
        // Copies that share a target folder would wait for each other.
        command.env_remove("CARGO_TARGET_DIR");
    }
    command
}

/// Checks that all changes were tested, and returns their outcomes.
fn test(command: &mut Command, folder: &Path) -> Result<Outcomes> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let status = process::announced(command)?;
    match status.code() {
        // All were caught; some survived; some never ended.
        Some(0 | 2 | 3) => {}
        _ => bail!("`{}` failed: {status}", process::line(command)),
    }
    let outcomes = folder.join("mutants.out/outcomes.json");
    let outcomes = fs::read_to_string(&outcomes).with_context(|| outcomes.display().to_string())?;
    Outcomes::parse(&outcomes).context("cargo-mutants wrote an unknown form")
}

/// Returns a regular expression that matches this text alone.
fn escaped(text: &str) -> String {
    let special = |char| r"\.+*?()|[]{}^$#&-~".contains(char);
    text.chars().flat_map(|char| special(char).then_some('\\').into_iter().chain([char])).collect()
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
    /// The arguments that name its file.
    fn of_file(&self) -> [String; 2] {
        ["--file".to_owned(), format!("{SOURCES}{}", self.file)]
    }

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

    /// The names of the survivors, as cargo-mutants prints them.
    fn survivors(&self) -> impl Iterator<Item = String> {
        self.survivors
            .iter()
            .flat_map(|(mutant, places)| places.iter().map(|at| format!("{at}: {}", mutant.change)))
    }

    /// Keeps what survived all tests too. cargo-mutants changes some fields of other structs as well, which are ignored.
    fn keep_survivors_of(&mut self, all_tests: &Self) {
        let before = self.survivors().count();
        for (mutant, places) in &mut self.survivors {
            let again = all_tests.survivors.get(mutant);
            places.retain(|place| again.is_some_and(|again| again.contains(place)));
        }
        self.survivors.retain(|_, places| !places.is_empty());
        self.caught += before - self.survivors().count();
    }

    fn add(&mut self, other: Self) {
        self.survivors.extend(other.survivors);
        self.files.extend(other.files);
        self.caught += other.caught;
        self.endless += other.endless;
        self.unviable += other.unviable;
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
    fn survivors_of_the_unit_tests_are_tested_again_by_their_names() {
        let name = "crates/core/src/a.rs:1:7: replace f -> Option<&'b str> with None";
        let caught = ("CaughtMutant", "crates/core/src/a.rs:2:1: replace g with ()");
        let mut first = outcomes(&[("MissedMutant", name), caught]);
        assert_eq!(first.survivors().collect::<Vec<_>>(), [name]);
        let other = "crates/core/src/b.rs:3:9: delete field c from struct Self expression in h";
        first.keep_survivors_of(&outcomes(&[("MissedMutant", name), ("MissedMutant", other)]));
        assert_eq!(first.survivors().collect::<Vec<_>>(), [name]);
        first.keep_survivors_of(&outcomes(&[("CaughtMutant", name), ("MissedMutant", other)]));
        assert!(first.survivors.is_empty() && first.caught == 2, "{first:?}");
        assert_eq!(
            escaped("a.rs:1:7: replace | with ^ in f"),
            r"a\.rs:1:7: replace \| with \^ in f"
        );
    }

    #[test]
    fn module_selects_its_folder_or_its_file_and_its_tests() {
        for (path, file, tests) in [
            ("core::session", "crates/core/src/session/**", "session::"),
            ("core::record::json", "crates/core/src/record/json.rs", "record::json::"),
        ] {
            let part = Part { files: vec![file.to_owned()], tests: tests.to_owned() };
            assert_eq!(module(path).unwrap(), part);
        }
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
