//! The command line: the parts of a run, and the measurements that it starts as processes of their own.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;
use clap::{Parser, Subcommand};
use serde::Serialize;
use tokio::runtime::{self, Runtime};

use crate::inprocess::{drive, lower_bound, time};
use crate::process::Options;
use crate::report::{Report, Section};
use crate::scale::{churn, hold, latency, threads};
use crate::stores::{calls, outage, trips};
use crate::{contention, http, inprocess, node, scale, stores, view_counter};

/// Measures ours and the peers on the same work in one run, and prints ratios with the raw figures.
///
/// The last table compares each target with ours and the peer. The figures do not change the exit code, which is 0:
/// people read them, and they mean something only on a machine that does nothing else.
///
/// `cargo xtask bench --record` does none of this: it counts the instructions of our hot paths again, for
/// `cargo xtask test` to compare with.
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    args_conflicts_with_subcommands = true,
    subcommand_help_heading = "Tasks that a run starts",
    disable_help_subcommand = true
)]
struct Args {
    #[command(flatten)]
    options: Options,
    /// Runs only this part; may be given several times
    #[arg(long, value_name = "PART", value_parser = PossibleValuesParser::new(PARTS.map(|(name, _)| name)))]
    only: Vec<String>,
    /// Writes the figures to a file too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes BENCHMARKS.md and its plots into the tree, from this run
    #[arg(long)]
    write: bool,
    #[command(subcommand)]
    task: Option<Task>,
}

type Part = (&'static str, fn(Options) -> Result<Section>);

/// The parts, in the order of the report.
const PARTS: [Part; 6] = [
    ("inprocess", inprocess::run),
    ("http", http::run),
    ("scale", scale::run),
    ("stores", stores::run),
    ("node", node::run),
    ("contention", contention::run),
];

/// A measurement that a run takes in a process of its own. Each task prints what it found as JSON.
#[derive(Debug, Subcommand)]
enum Task {
    /// Measures the time of every case of every subject
    Time(time::Args),
    /// Measures the steps that every session layer has to take
    LowerBound(lower_bound::Args),
    /// Sends requests of one case to one subject, and nothing else
    Drive(drive::Args),
    /// Serves the view counter on a port of loopback, which is printed, until the input ends
    Serve(http::serve::Args),
    /// Prints the text of the view counter's first record
    Record,
    /// Fills a memory store, and measures the memory of the process
    Hold(hold::Args),
    /// Measures our memory store's calls while it sweeps a million sessions, and while it does not
    Latency(latency::Args),
    /// Measures a memory store from several threads
    Threads(threads::Args),
    /// Creates sessions in our memory store as others expire, and measures the memory of the process
    Churn(churn::Args),
    /// Measures the calls of a store, beside a plain write
    Calls(calls::Args),
    /// Counts the round trips of a request
    Trips(trips::Args),
    /// Measures how long visitors wait for a store whose server is silent
    Outage(outage::Args),
}

/// Runs the program.
pub fn main() -> Result<()> {
    let args = Args::parse();
    match &args.task {
        Some(task) => task.run(),
        None => args.measure(),
    }
}

impl Args {
    fn measure(&self) -> Result<()> {
        let mut report = Report::new(self.options.quick);
        println!("{}", report.beginning());
        for (name, run) in PARTS {
            if !self.only.is_empty() && !self.only.iter().any(|only| only == name) {
                continue;
            }
            eprintln!("bench: {name}");
            let section = run(self.options).with_context(|| format!("part {name}"))?;
            println!("{}", section.markdown(None));
            report.add(name, section);
        }
        println!("{}", report.verdict());
        if let Some(file) = &self.json {
            write(file, &serde_json::to_string_pretty(&report.json())?)?;
        }
        if self.write {
            let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
            write(&bench.with_file_name("BENCHMARKS.md"), &report.markdown("bench/plots"))?;
            for (name, svg) in report.plots()? {
                write(&bench.join("plots").join(name), svg)?;
            }
        }
        Ok(())
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

impl Task {
    fn run(&self) -> Result<()> {
        let single = || runtime::Builder::new_current_thread().enable_all().build();
        match self {
            Self::Time(args) => print(&args.run()?),
            Self::LowerBound(args) => print(&args.run()?),
            Self::Drive(args) => args.run(),
            Self::Serve(args) => single()?.block_on(args.run()),
            Self::Record => print(&*single()?.block_on(view_counter::record())?.text),
            Self::Hold(args) => print(&single()?.block_on(args.run())?),
            Self::Latency(args) => print(&single()?.block_on(args.run())?),
            Self::Threads(args) => print(&args.run()?),
            Self::Churn(args) => print(&single()?.block_on(args.run())?),
            Self::Calls(args) => print(&Runtime::new()?.block_on(args.run())?),
            Self::Trips(args) => print(&single()?.block_on(args.run())?),
            Self::Outage(args) => print(&Runtime::new()?.block_on(args.run())?),
        }
    }
}

fn print(found: &(impl Serialize + ?Sized)) -> Result<()> {
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string(found)?)?)
}
