//! `cargo xtask conformance`: judges our layer, or our npm package, by the real express-session.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use conformance::departures::TABLE;
use conformance::generate::Generator;
use conformance::judge::{Judge, judge_all};
use conformance::node::Node;
use conformance::ours;
use conformance::package::Package;
use conformance::scenario::Scenario;
use conformance::shrink::shrink;

/// Plays generated scenarios to the real express-session 1.19.0 and to ours, and compares the
/// Set-Cookie lines, the calls to the store, the records left behind and what the handler saw.
///
/// Fails if anything differs that DEPARTURES.md does not list.
#[derive(Parser)]
#[command(name = "conformance")]
struct Args {
    /// The seed of the scenarios: the same seed generates the same ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of scenarios
    #[arg(long, default_value_t = 20_000)]
    cases: usize,
    /// Turns the departures of DEPARTURES.md on or off [default: the default of users, on for the layer and off for
    /// the package]
    #[arg(long, value_enum)]
    departures: Option<Departures>,
    /// The side that is compared with express-session
    #[arg(long, value_enum, default_value_t = Side::RustLayer)]
    against: Side,
    /// Plays the scenario in this file instead
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// The number of differences to show, each shrunk as far as possible
    #[arg(long, default_value_t = 3)]
    show: usize,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Departures {
    On,
    Off,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Side {
    /// Our tower layer
    RustLayer,
    /// Our npm package, on Node
    NodePackage,
}

fn main() -> ExitCode {
    match run(&Args::parse(), &mut io::stdout().lock()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "conformance: {error}");
            ExitCode::from(2)
        }
    }
}

/// Prints the report, and returns the number of differences.
fn run(args: &Args, out: &mut impl io::Write) -> io::Result<usize> {
    let mut node = Node::start()?;
    let mut judge = judge(args)?;
    if let Some(file) = &args.replay {
        let scenario: Scenario = serde_json::from_str(&std::fs::read_to_string(file)?)?;
        return replay(&scenario, &mut node, &mut judge, out);
    }

    let scenarios = Generator::new(args.seed).take(args.cases);
    let report = judge_all(&mut node, scenarios, &judge, args.show)?;
    for (number, count) in report.explained {
        let field = TABLE.iter().find(|row| row.number == number).and_then(|row| row.field);
        writeln!(out, "departure {number} {}: {count} requests", field.unwrap_or_default())?;
    }
    for scenario in report.failed {
        show(scenario, &mut node, &mut judge, out)?;
    }
    writeln!(out, "{} scenarios, {} differences", args.cases, report.differences)?;
    Ok(report.differences)
}

fn judge(args: &Args) -> io::Result<Judge> {
    let default = match args.against {
        Side::RustLayer => Departures::On,
        Side::NodePackage => Departures::Off,
    };
    let departures = args.departures.unwrap_or(default) == Departures::On;
    Ok(match args.against {
        Side::RustLayer => Judge::new(ours::play, departures),
        Side::NodePackage => {
            let package = Package::start()?;
            let play = move |scenario: &_, switches| package.play(scenario, switches);
            Judge::new(play, departures).exact()
        }
    })
}

/// Shows the smallest scenario that still differs.
fn show(
    scenario: Scenario,
    node: &mut Node,
    judge: &mut Judge,
    out: &mut impl io::Write,
) -> io::Result<()> {
    let mut broken = None;
    let small = shrink(scenario, |scenario| match node.play(scenario) {
        Ok(outcome) => judge.judge(scenario, &outcome).is_err(),
        Err(error) => {
            broken.get_or_insert(error);
            false
        }
    });
    if let Some(error) = broken {
        return Err(error);
    }
    let reason = judge.judge(&small, &node.play(&small)?).err().unwrap_or_default();
    writeln!(out, "\ndifference in\n{}\n{reason}", small.line())
}

/// Plays one scenario, and shows the outcome of both sides.
fn replay(
    scenario: &Scenario,
    node: &mut Node,
    judge: &mut Judge,
    out: &mut impl io::Write,
) -> io::Result<usize> {
    let outcome = node.play(scenario)?;
    writeln!(out, "node {outcome:#?}")?;
    let verdict = judge.judge(scenario, &outcome);
    if let Err(reason) = &verdict {
        writeln!(out, "\n{reason}")?;
    }
    let differences = usize::from(verdict.is_err());
    writeln!(out, "1 scenarios, {differences} differences")?;
    Ok(differences)
}
