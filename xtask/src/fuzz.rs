//! `cargo xtask fuzz`: runs libFuzzer on the targets in `fuzz/`.
//!
//! New inputs are kept below the target folder, so that a run leaves the tree unchanged; `--keep` copies to
//! `fuzz/corpus` those that cover more. After the fuzzer, Node's own parsers read the same inputs, and the results are
//! compared.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use regex::Regex;

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// Fuzzes for inputs that break an invariant.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fuzzes only this target; may be given several times.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Fuzzes each target for this many seconds.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Copies inputs that cover more than fuzz/corpus to that folder after the run.
    #[arg(long)]
    keep: bool,
    /// Runs only this input, without the fuzzer, on the target that --target names.
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with_all = ["seconds", "keep"])]
    replay: Option<PathBuf>,
}

/// Fuzzes the targets one after the other, and compares with Node.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::read()?;
    let replayer = |arguments: &[&str]| replayer(&workspace, arguments);
    if let (Some(input), Some(target)) = (&options.replay, options.target.first()) {
        let input = std::path::absolute(input)?;
        return process::become_it(replayer(&["replay", target]).arg(input));
    }
    [Tool::Fuzz, Tool::Node].into_iter().try_for_each(|tool| tools::provide(&workspace, tool))?;
    let all = process::read(&mut replayer(&["list"]))?;
    let targets = chosen(&all, &options.target)?;
    let session = Session { workspace: &workspace, seconds: options.seconds, keep: options.keep };
    process::run(&mut session.fuzzer(&["build"]))?;
    println!("\n{HEADING}");
    let mut findings = Vec::new();
    for target in targets {
        let outcome = session.fuzz(target)?;
        println!("{}", outcome.row(target));
        findings.extend(outcome.finding.map(|finding| (target, finding)));
    }
    for (target, finding) in &findings {
        println!("\n{target}: {}", finding.text);
        println!("  cargo xtask fuzz --target {target} --replay {}", finding.input.display());
    }
    println!();
    let found = workspace.target.join(CORPUS);
    let agrees = replayer(&["compare"]).arg(found).status()?.success();
    Ok(if findings.is_empty() && agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The step of `cargo xtask test`: replays the corpus without the fuzzer.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let manifest = workspace.root.join(MANIFEST);
    process::run(process::this_cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest))?;
    process::run(&mut stable(workspace, &["test", "--locked", "--quiet", "--test", "corpus"]))
}

/// The fuzz targets' own workspace.
const MANIFEST: &str = "fuzz/Cargo.toml";

/// The found inputs of each target, below the target folder.
const CORPUS: &str = "fuzz/corpus";

const HEADING: &str = "target                inputs run  covered  corpus  finding";

/// Returns the program that replays inputs on stable Rust.
fn replayer(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = stable(workspace, &["run", "--quiet", "--example", "replay", "--"]);
    command.args(arguments);
    command
}

/// Returns cargo in the targets' workspace. It builds in a separate folder, since `--cfg fuzzing` changes the stores.
fn stable(workspace: &Workspace, arguments: &[&str]) -> Command {
    let (subcommand, rest) = arguments.split_at(1);
    let mut command = process::cargo(workspace, subcommand);
    command.arg("--manifest-path").arg(workspace.root.join(MANIFEST));
    command.arg("--target-dir").arg(workspace.target.join("fuzz")).args(rest);
    process::with_cfg(&mut command, "fuzzing");
    command
}

fn chosen<'a>(all: &'a str, wanted: &[String]) -> Result<Vec<&'a str>> {
    let all: Vec<_> = all.lines().collect();
    for name in wanted {
        ensure!(
            all.contains(&&**name),
            "there is no target {name}; the targets are {}",
            all.join(", ")
        );
    }
    let is_wanted = |target: &&str| wanted.is_empty() || wanted.iter().any(|name| name == target);
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// One run of the command.
#[derive(Clone, Copy, Debug)]
struct Session<'a> {
    workspace: &'a Workspace,
    seconds: u32,
    keep: bool,
}

impl Session<'_> {
    /// Returns cargo-fuzz on the nightly toolchain.
    ///
    /// It runs without a sanitizer: no code here is `unsafe`, and the fuzzer runs twice as many inputs.
    fn fuzzer(self, arguments: &[&str]) -> Command {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly", "cargo", "fuzz"]).args(arguments);
        command.args(["--sanitizer", "none", "--features", "libfuzzer", "--fuzz-dir", "fuzz"]);
        command.arg("--target-dir").arg(self.workspace.target.join("fuzz"));
        command.current_dir(&self.workspace.root);
        command
    }

    fn fuzz(self, target: &str) -> Result<Outcome> {
        let folder = |name: &str| -> Result<PathBuf> {
            let folder = self.workspace.target.join(name).join(target);
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            Ok(folder)
        };
        let (grown, artifacts) = (folder(CORPUS)?, folder("fuzz/artifacts")?);
        let kept = self.workspace.root.join("fuzz/corpus").join(target);
        let dictionary = self.workspace.root.join(format!("fuzz/dict/{target}.dict"));
        let log = folder("fuzz/logs")?.join("log");

        let mut fuzzer = self.fuzzer(&["run", target]);
        // libFuzzer reads both folders and writes to the first.
        fuzzer.args([&grown, &kept]).arg("--");
        fuzzer.arg(format!("-max_total_time={}", self.seconds));
        fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
        fuzzer.args(["-print_final_stats=1", "-timeout=10", "-max_len=2048"]);
        if dictionary.is_file() {
            fuzzer.arg(format!("-dict={}", dictionary.display()));
        }
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        let status = fuzzer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).status()?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let outcome = Outcome::parse(&text)?;
        ensure!(
            status.success() || outcome.finding.is_some(),
            "`{}` failed: {status}, see {}",
            process::line(&fuzzer),
            log.display()
        );
        if self.keep && outcome.finding.is_none() {
            self.merge(target, &grown, &kept)?;
        }
        Ok(outcome)
    }

    /// Copies inputs that cover more, the smallest first.
    fn merge(self, target: &str, grown: &Path, kept: &Path) -> Result<()> {
        let mut fuzzer = self.fuzzer(&["run", target]);
        fuzzer.args([kept, grown]).args(["--", "-merge=1", "-max_len=1000"]);
        process::read(&mut fuzzer).map(drop)
    }
}

/// The parsed log of libFuzzer.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    executions: u64,
    /// Covered edges of the program.
    covered: u64,
    /// Kept inputs, each of which covers another edge.
    corpus: u64,
    finding: Option<Finding>,
}

#[derive(Debug, PartialEq)]
struct Finding {
    text: String,
    input: PathBuf,
}

impl Outcome {
    fn parse(log: &str) -> Result<Self> {
        let last = |pattern: &str| -> Result<Option<String>> {
            let found = Regex::new(pattern)?.captures_iter(log).last();
            Ok(found.and_then(|found| found.get(1)).map(|found| found.as_str().to_owned()))
        };
        let number = |pattern: &str| -> Result<u64> {
            Ok(last(pattern)?.and_then(|number| number.parse().ok()).unwrap_or(0))
        };
        let input = last(r"(?m)Test unit written to (.+)$")?;
        // A panic, or an error of libFuzzer itself.
        let text = last(r"(?s)thread '[^']*'[^\n]* panicked at ([^\n]*\n[^\n]*)")?;
        let text = text.or(last(r"(?m)ERROR: libFuzzer: (.+)$")?);
        Ok(Self {
            executions: number(r"stat::number_of_executed_units: *([0-9]+)")?
                .max(number(r"(?m)^#([0-9]+)[\t ]")?),
            covered: number(r"cov: ([0-9]+)")?,
            corpus: number(r"corp: ([0-9]+)")?,
            finding: input.map(|input| Finding {
                text: text.unwrap_or_else(|| "the process ended".to_owned()),
                input: input.into(),
            }),
        })
    }

    fn row(&self, target: &str) -> String {
        let Self { executions, covered, corpus, .. } = self;
        let finding = if self.finding.is_some() { "FOUND" } else { "none" };
        format!("{target:<20} {executions:>11}  {covered:>7}  {corpus:>6}  {finding}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_without_a_finding_has_its_counts() {
        let quiet = "\
#2\tINITED cov: 20 ft: 21 corp: 1/1b exec/s: 0 rss: 40Mb
#4096\tpulse  cov: 50 ft: 80 corp: 7/90b lim: 40 exec/s: 2048 rss: 41Mb
#8200\tDONE   cov: 51 ft: 90 corp: 8/100b lim: 80 exec/s: 4100 rss: 42Mb
stat::number_of_executed_units: 8200
";
        let outcome = Outcome::parse(quiet).unwrap();
        let expected = Outcome { executions: 8200, covered: 51, corpus: 8, finding: None };
        assert_eq!(outcome, expected);
        assert_eq!(outcome.row("date"), "date                        8200       51       8  none");
    }

    #[test]
    fn log_with_a_finding_has_its_input_and_message() {
        let loud = "\
#9\tNEW    cov: 20 ft: 21 corp: 1/1b exec/s: 0 rss: 40Mb

thread '<unnamed>' (7) panicked at fuzz/src/date.rs:30:5:
assertion `left == right` failed: read back
  left: 1
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
==7== ERROR: libFuzzer: deadly signal
artifact_prefix='out/'; Test unit written to out/crash-1
";
        let outcome = Outcome::parse(loud).unwrap();
        let finding = outcome.finding.unwrap();
        assert_eq!(
            finding.text,
            "fuzz/src/date.rs:30:5:\nassertion `left == right` failed: read back"
        );
        assert_eq!(finding.input, Path::new("out/crash-1"));
        assert_eq!(outcome.executions, 9);
        let slow =
            "ERROR: libFuzzer: timeout after 10 seconds\nTest unit written to out/timeout-1\n";
        let finding = Outcome::parse(slow).unwrap().finding.unwrap();
        assert_eq!(finding.text, "timeout after 10 seconds");
    }

    #[test]
    fn an_unknown_target_is_an_error_that_lists_the_targets() {
        assert_eq!(chosen("a\nb\n", &[]).unwrap(), ["a", "b"]);
        assert_eq!(chosen("a\nb\n", &["b".to_owned()]).unwrap(), ["b"]);
        let error = chosen("a\nb\n", &["c".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "there is no target c; the targets are a, b");
    }
}
