//! `cargo xtask fuzz`: lets libFuzzer look for inputs that break what always has to hold.
//!
//! The targets are in `fuzz/`, with what each is held against. New inputs are kept below the target folder,
//! so that a run leaves the tree as it is; what is worth keeping for good is copied to `fuzz/corpus` by
//! `--keep`. After the fuzzer, Node is asked about all that was found, where it has a reader of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use regex::Regex;

use crate::process;
use crate::tools::{self, Tool};
use crate::workspace::Workspace;

/// Looks for inputs that break what always has to hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fuzzes only this target; may be given several times.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Fuzzes each target for so long.
    #[arg(long, value_name = "N", default_value_t = 60, conflicts_with = "long")]
    seconds: u32,
    /// Fuzzes each target for an hour.
    #[arg(long)]
    long: bool,
    /// Copies to fuzz/corpus what reaches code that nothing there reaches, after the run.
    #[arg(long)]
    keep: bool,
    /// Runs this input alone, without the fuzzer, on the target that --target names.
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with_all = ["seconds", "long", "keep"])]
    replay: Option<PathBuf>,
}

/// Fuzzes the targets one after the other, and asks Node.
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
    let session = Session {
        workspace: &workspace,
        seconds: if options.long { 60 * 60 } else { options.seconds },
        keep: options.keep,
    };
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

/// The step of `cargo xtask test`: all inputs that are kept, without the fuzzer.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let manifest = workspace.root.join(MANIFEST);
    process::run(process::this_cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest))?;
    process::run(&mut stable(workspace, &["test", "--locked", "--quiet", "--test", "corpus"]))
}

/// The fuzz targets' own workspace.
const MANIFEST: &str = "fuzz/Cargo.toml";

/// Below the target folder: what was found, for each target.
const CORPUS: &str = "fuzz/corpus";

const HEADING: &str = "target                inputs run  covered  corpus  finding";

/// The program that needs no fuzzer.
fn replayer(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = stable(workspace, &["run", "--quiet", "--example", "replay", "--"]);
    command.args(arguments);
    command
}

/// Cargo in the targets' workspace, in a folder of its own: the stores are built there with another flag.
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
        ensure!(all.contains(&&**name), "there is no target {name}, but {}", all.join(", "));
    }
    let is_wanted = |target: &&str| wanted.is_empty() || wanted.iter().any(|name| name == target);
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// One call of the command.
#[derive(Clone, Copy, Debug)]
struct Session<'a> {
    workspace: &'a Workspace,
    seconds: u32,
    keep: bool,
}

impl Session<'_> {
    /// cargo-fuzz by the nightly toolchain.
    ///
    /// Without a sanitizer: no code here is `unsafe`, and the fuzzer runs twice as many inputs.
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
        // The first is written to, both are read.
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

    /// Copies what covers more, the smallest inputs first.
    fn merge(self, target: &str, grown: &Path, kept: &Path) -> Result<()> {
        let mut fuzzer = self.fuzzer(&["run", target]);
        fuzzer.args([kept, grown]).args(["--", "-merge=1", "-max_len=1000"]);
        process::read(&mut fuzzer).map(drop)
    }
}

/// What libFuzzer wrote.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    executions: u64,
    /// Edges of the program that were run.
    covered: u64,
    /// Inputs that are kept, each for an edge of its own.
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
        // A panic, or what libFuzzer itself has to complain about.
        let text = last(r"(?s)thread '[^']*'[^\n]* panicked at ([^\n]*\n[^\n]*)")?;
        let text = text.or(last(r"(?m)ERROR: libFuzzer: (.+)$")?);
        Ok(Self {
            executions: number(r"stat::number_of_executed_units: *([0-9]+)")?
                .max(number(r"(?m)^#([0-9]+)[\t ]")?),
            covered: number(r"cov: ([0-9]+)")?,
            corpus: number(r"corp: ([0-9]+)")?,
            finding: input.map(|input| Finding {
                text: text.unwrap_or_else(|| "it ended".to_owned()),
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
    fn what_the_fuzzer_wrote_is_understood() {
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
    fn a_finding_has_its_input_and_what_did_not_hold() {
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
    fn a_target_that_is_not_there_is_told_with_those_that_are() {
        assert_eq!(chosen("a\nb\n", &[]).unwrap(), ["a", "b"]);
        assert_eq!(chosen("a\nb\n", &["b".to_owned()]).unwrap(), ["b"]);
        let error = chosen("a\nb\n", &["c".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "there is no target c, but a, b");
    }
}
