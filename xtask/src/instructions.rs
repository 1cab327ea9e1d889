//! The instructions of a request on each of the hot paths, compared with the recorded numbers.
//!
//! Time depends on the machine and its load; instructions hardly do. `bench/hot` sends requests to ours under
//! valgrind, few in one run and many in another; the difference is the cost of the requests. It includes the request
//! itself and the handler, which stay the same. Ids are the same in every run; the keys of the memory store's hashes
//! and the time are not, hence a tolerance. Another compiler generates other code: the tolerance is wider then, and
//! `cargo xtask bench --record` counts again.
//!
//! Valgrind's processor has no instructions for SHA-256, so that a signature has the same count on every machine, and
//! a higher one than it costs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use regex::Regex;

use crate::process;
use crate::workspace::Workspace;

/// The step of `cargo xtask test`: counts, and compares.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let file = workspace.root.join(FILE);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let recorded = Record::parse(&text).with_context(|| FILE.to_owned())?;
    let counted = Record::count(workspace)?;
    print!("{}", counted.beside(&recorded));
    let offences = counted.offences(&recorded);
    if !offences.is_empty() {
        bail!("{}\n{}", offences.join("\n"), counsel(workspace));
    }
    Ok(())
}

/// Counts, and records the result.
pub(crate) fn record(workspace: &Workspace) -> Result<()> {
    let counted = Record::count(workspace)?;
    let file = workspace.root.join(FILE);
    let before = fs::read_to_string(&file).ok().and_then(|text| Record::parse(&text).ok());
    print!("{}", counted.beside(&before.unwrap_or_default()));
    fs::write(&file, counted.text()).with_context(|| file.display().to_string())
}

/// The recorded numbers.
const FILE: &str = "bench/hot/instructions.txt";

/// Requests of the two runs.
const FEW: u64 = 100;
const MANY: u64 = 2100;

/// The repetitions of each run, of which the smallest count is used: the allocator sometimes cleans up, and hashes
/// collide.
const RUNS: usize = 3;

/// The percentage by which a figure may grow. Two runs differ by less than half of it.
const GROWTH: u64 = 5;

/// The same with another compiler than that of the record.
const GROWTH_ELSEWHERE: u64 = 25;

/// An improvement of so many percent must be recorded, or a later change could lose half of it unnoticed.
const GAIN: u64 = 10;

/// Instructions of a request in each case, and by which compiler.
#[derive(Clone, Debug, Default, PartialEq)]
struct Record {
    compiler: String,
    cases: Vec<(String, u64)>,
}

impl Record {
    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let compiler = lines.next().context("no compiler")?.to_owned();
        let cases = lines.map(|line| {
            let (case, count) =
                line.split_once(' ').with_context(|| format!("no figure: {line}"))?;
            Ok((case.to_owned(), count.trim().parse().with_context(|| line.to_owned())?))
        });
        Ok(Self { compiler, cases: cases.collect::<Result<_>>()? })
    }

    fn text(&self) -> String {
        let Self { compiler, cases } = self;
        let head = "# Instructions of a request on each hot path, written by `cargo xtask bench --record`.";
        let rows: String =
            cases.iter().map(|(case, count)| format!("{case:<13} {count}\n")).collect();
        format!("{head}\n{compiler}\n{rows}")
    }

    fn count(workspace: &Workspace) -> Result<Self> {
        let build = ["build", "--profile", "counted", "--package", "bench-hot"];
        process::run(&mut process::cargo(workspace, build))?;
        let program = workspace.target.join("counted/bench-hot");
        let profiles = profiles(workspace);
        fs::create_dir_all(&profiles).with_context(|| profiles.display().to_string())?;
        let names = process::read(&mut Command::new(&program))?;
        let cases = names.lines().map(|case| {
            let run = |requests| collected(&program, case, requests, &profiles);
            let least = |requests| -> Result<u64> {
                let runs = (0..RUNS).map(|_| run(requests)).collect::<Result<Vec<_>>>()?;
                Ok(runs.into_iter().min().unwrap_or_default())
            };
            let (few, many) = (least(FEW)?, least(MANY)?);
            ensure!(many > few, "{case}: {MANY} requests cost less than {FEW}");
            Ok((case.to_owned(), (many - few) / (MANY - FEW)))
        });
        let cases = cases.collect::<Result<_>>()?;
        let compiler = process::read(Command::new("rustc").arg("--version"))?;
        Ok(Self { compiler: compiler.trim().to_owned(), cases })
    }

    /// Returns the cases that exceed the tolerance.
    fn offences(&self, recorded: &Self) -> Vec<String> {
        let is_same = self.compiler == recorded.compiler;
        let growth = if is_same { GROWTH } else { GROWTH_ELSEWHERE };
        let mut offences = Vec::new();
        for (case, count) in &self.cases {
            let Some(before) = recorded.of(case) else {
                offences.push(format!("{case}: {count} instructions, and none recorded"));
                continue;
            };
            let change = percent(change(before, *count));
            let was = format!("{case}: {count} instructions, {before} recorded ({change})");
            if count * 100 > before * (100 + growth) {
                offences.push(format!("{was}, +{growth} % allowed"));
            } else if is_same && count * 100 < before * (100 - GAIN) {
                offences.push(format!("{was}: record the improvement"));
            }
        }
        let gone = recorded.cases.iter().filter(|(case, _)| self.of(case).is_none());
        offences.extend(gone.map(|(case, _)| format!("{case}: recorded, but not counted")));
        offences
    }

    /// A line for each case.
    fn beside(&self, recorded: &Self) -> String {
        let mut text = String::new();
        if self.compiler != recorded.compiler {
            text = format!("{}, recorded with {}\n", self.compiler, recorded.compiler);
        }
        for (case, count) in &self.cases {
            let change = recorded.of(case).map(|before| percent(change(before, *count)));
            text += &format!("{case:<13} {count:>8}  {}\n", change.as_deref().unwrap_or("new"));
        }
        text
    }

    fn of(&self, wanted: &str) -> Option<u64> {
        self.cases.iter().find(|(case, _)| case == wanted).map(|(_, count)| *count)
    }
}

/// Returns the growth as a share of the earlier count.
#[expect(clippy::cast_precision_loss, reason = "far from 2 to the 52nd")]
fn change(before: u64, now: u64) -> f64 {
    now as f64 / before as f64 - 1.0
}

fn percent(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

/// Runs the program under valgrind, which writes a profile.
fn collected(program: &Path, case: &str, requests: u64, profiles: &Path) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    let profile = profiles.join(case);
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", profile.display()));
    valgrind.arg(program).args([case, &requests.to_string()]);
    let output = valgrind.output().context("valgrind does not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{case} under valgrind: {}\n{said}", output.status);
    sum(&said)?.with_context(|| format!("{case}: valgrind printed no sum:\n{said}"))
}

/// Reads the number at the end of the output of callgrind.
fn sum(said: &str) -> Result<Option<u64>> {
    let found = Regex::new(r"Collected : *([0-9]+)")?.captures(said).map(|found| found[1].parse());
    Ok(found.transpose()?)
}

/// Returns the folder of the profiles.
fn profiles(workspace: &Workspace) -> PathBuf {
    workspace.target.join("instructions")
}

fn counsel(workspace: &Workspace) -> String {
    format!(
        "To see them: callgrind_annotate {}/CASE\nTo accept them: cargo xtask bench --record",
        profiles(workspace).display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(compiler: &str, cases: &[(&str, u64)]) -> Record {
        let cases = cases.iter().map(|(case, count)| ((*case).to_owned(), *count)).collect();
        Record { compiler: compiler.to_owned(), cases }
    }

    #[test]
    fn record_is_read_back_as_it_was_written() {
        let before = record("rustc 1.95.0", &[("no-cookie", 2700), ("five-cookies", 16_000)]);
        assert_eq!(Record::parse(&before.text()).unwrap(), before);
        assert!(Record::parse("rustc\nignore many\n").is_err());
    }

    #[test]
    fn growth_gain_and_missing_cases_are_offences_that_name_the_case() {
        let old = [("read", 1000), ("write", 1000), ("new", 1000)];
        for (compiler, now, expected) in [
            (
                "rustc 1",
                [("read", 1050), ("write", 1051), ("new", 1000)],
                &["write: 1051 instructions, 1000 recorded (+5.1 %), +5 % allowed"][..],
            ),
            // Another compiler has a wider tolerance.
            (
                "rustc 2",
                [("read", 1250), ("write", 1251), ("new", 500)],
                &["write: 1251 instructions, 1000 recorded (+25.1 %), +25 % allowed"],
            ),
            // A large improvement must be recorded.
            (
                "rustc 1",
                [("read", 899), ("write", 900), ("new", 1000)],
                &["read: 899 instructions, 1000 recorded (-10.1 %): record the improvement"],
            ),
            (
                "rustc 1",
                [("read", 1000), ("write", 1000), ("newer", 1)],
                &["newer: 1 instructions, and none recorded", "new: recorded, but not counted"],
            ),
        ] {
            assert_eq!(record(compiler, &now).offences(&record("rustc 1", &old)), expected);
        }
    }

    #[test]
    fn count_of_callgrind_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 14712983\n==7== \n";
        assert_eq!(sum(said).unwrap(), Some(14_712_983));
        assert_eq!(sum("==7== Events    : Ir\n").unwrap(), None);
    }
}
