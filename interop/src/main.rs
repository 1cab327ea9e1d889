//! `cargo xtask interop`: the real npm stores on Node and ours, on the same servers: both sides write and read one
//! session.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use express_session_testkit::TemporaryFolder;

use crate::bench::Bench;
use crate::cases::Case;
use crate::node::Missing;
use crate::report::Report;
use crate::setups::Setup;

mod bench;
mod cases;
mod node;
mod ours;
mod providers;
mod report;
mod servers;
mod session;
mod setups;

/// Plays every case with every npm store and ours, on real servers on loopback.
///
/// Prints a table, store by store and case by case, and fails unless every row is ok.
#[derive(Parser)]
#[command(name = "interop")]
struct Args {
    /// Plays only with stores whose name or variant contains this
    #[arg(long, value_name = "TEXT")]
    store: Option<String>,
    /// Plays only cases whose name contains this
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
    /// Does not fail if the server or package of a store is not installed
    #[arg(long)]
    allow_missing: bool,
}

/// A case that takes longer hangs: no case waits for anything.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "interop: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether every row is ok.
fn run(args: &Args) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut report = Report::new(io::stdout().lock());
    let folder = TemporaryFolder::new("interop")?;
    if chosen(args.case.as_deref(), "providers") && chosen(args.store.as_deref(), "providers") {
        runtime.block_on(providers::play(&mut report))?;
    }
    let setups = setups::all();
    for (at, setup) in setups.iter().enumerate() {
        let number = setups[..at].iter().filter(|other| other.server == setup.server).count();
        let has_case = cases::ALL.iter().any(|case| chosen(args.case.as_deref(), case.name));
        let is_chosen =
            chosen(args.store.as_deref(), &format!("{}: {}", setup.name, setup.variant));
        if has_case && is_chosen {
            runtime.block_on(play(setup, number, args, folder.path(), &mut report))?;
        }
    }
    report.end()?;
    Ok(report.passed(args.allow_missing))
}

async fn play(
    setup: &Setup,
    number: usize,
    args: &Args,
    folder: &Path,
    report: &mut Report<impl io::Write>,
) -> Result<()> {
    let Some(place) = setup.server.place(number, folder)? else {
        let why = format!("{:?} is not installed", setup.server);
        return Ok(report.left_out(setup.name, setup.variant, &why)?);
    };
    let mut bench = match Bench::open(setup, place).await {
        Ok(bench) => bench,
        Err(error) => match error.downcast_ref::<Missing>() {
            Some(missing) => {
                let why = missing.to_string();
                return Ok(report.left_out(setup.name, setup.variant, &why)?);
            }
            None => {
                report.store(setup.name, setup.variant, "not opened")?;
                return Ok(report.case("both open the store", &Err(error))?);
            }
        },
    };
    report.store(setup.name, setup.variant, &bench.versions)?;
    for case in cases::ALL {
        if !chosen(args.case.as_deref(), case.name) {
            continue;
        }
        match tokio::time::timeout(LIMIT, play_one(case, &mut bench)).await {
            Ok(result) => report.case(case.name, &result)?,
            Err(_) => {
                report.case(case.name, &Err(anyhow!("did not end within {LIMIT:?}")))?;
                // Node may still work on it, and its answer would be taken for that of the next case.
                break;
            }
        }
    }
    Ok(())
}

async fn play_one(case: &Case, bench: &mut Bench) -> Result<()> {
    bench.node.empty().await.context("the store cannot be emptied")?;
    (case.play)(bench).await
}

fn chosen(wanted: Option<&str>, name: &str) -> bool {
    wanted.is_none_or(|wanted| name.contains(wanted))
}
