//! `cargo xtask races`: requests of one visitor that overlap, on every store, and what becomes of them.

use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use express_session_testkit::TemporaryFolder;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::cases::Case;
use crate::cluster::Cluster;
use crate::entrants::{Entrant, Maker, Place};
use crate::report::Report;
use crate::tally::Tally;

mod cases;
mod cluster;
mod entrants;
mod gate;
mod ours;
mod report;
mod routes;
mod site;
mod tally;
mod tower_sessions_app;

/// Lets requests of one visitor overlap, on every store, and counts what is lost. Beside ours,
/// express-session on Node and tower-sessions, with their own stores.
///
/// Every handler takes 20 ms between loading its session and changing it. The cases:
///
/// alone: one request at a time.
/// apart: all writers at once, each with a session of its own.
/// members: all at once set a member each, of one session. Lost: members that are missing afterwards.
/// counter: all at once add one to the same member. Lost: what the sum is short of.
/// logout: while they all are between load and save, the session is destroyed. Resurrected: sessions that
/// are there afterwards, by the store or by a request with the old cookie.
/// regenerate: the same, and the session gets a new id. Lost: new sessions that are not there afterwards.
/// lock: all at once add one by reading and setting, under the session's lock (ours, where the store can).
/// with node: while they all are between load and save, an Express application on the same store answers
/// a request of that session. Lost: members of either.
/// around node: the other way round, and what is lost is Node's doing: it is no part of the verdict.
///
/// A change is lost if its response was a success and it is not there afterwards. One whose response was
/// none (a 409 or 503) is refused, never lost. "x alone" is the 99th percentile over the median of "alone",
/// "x apart" the same over the 99th percentile of "apart". Where two parties have to wait for each other,
/// there is none.
///
/// The last line is "lost 0, resurrected 0", of ours, and the exit code 0, unless something of ours is
/// lost, resurrected or refused, or something is missing.
#[derive(Parser)]
#[command(name = "races", args_conflicts_with_subcommands = true, verbatim_doc_comment)]
struct Args {
    /// Plays only with this store; may be given several times
    #[arg(long, value_name = "STORE")]
    store: Vec<Place>,
    /// How many requests overlap
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    writers: u16,
    /// How often each case is played
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Spreads the requests over as many processes, with the stores that several can share
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    processes: u16,
    /// Plays only ours
    #[arg(long)]
    only_ours: bool,
    /// Writes the table to a file too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Does not fail for a store whose server is not installed
    #[arg(long)]
    allow_missing: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Serves an entrant's application on a port of loopback, which is printed, until the input ends
    #[command(hide = true)]
    Worker { maker: Maker, place: Place, url: String },
}

const SECRET: &str = "keyboard cat";

/// What a handler takes.
const WAIT: Duration = Duration::from_millis(20);

/// A round takes a fraction of a second: this is for one that hangs.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "races: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Says whether all is well.
fn run(args: &Args) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(Role::Worker { maker, place, url }) = &args.role {
        let entrant = Entrant { maker: *maker, place: *place };
        return runtime.block_on(serve(entrant, url)).map(|()| true);
    }
    let mut report = Report::new(io::stdout().lock());
    let folder = TemporaryFolder::new("races")?;
    report.begin()?;
    for entrant in entrants::ALL.iter().copied().filter(|entrant| args.wants(*entrant)) {
        runtime.block_on(play(entrant, args, folder.path(), &mut report))?;
    }
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report.json())?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(report.end(args.allow_missing)?)
}

impl Args {
    fn wants(&self, entrant: Entrant) -> bool {
        (self.store.is_empty() || self.store.contains(&entrant.place))
            && (!self.only_ours || entrant.maker == Maker::Ours)
    }
}

/// Plays every case with one entrant.
async fn play(
    entrant: Entrant,
    args: &Args,
    folder: &Path,
    report: &mut Report<impl io::Write>,
) -> Result<()> {
    let (writers, rounds) = (args.writers.into(), args.rounds.into());
    if args.processes > 1 && !entrant.place.is_shared() {
        return Ok(report.say(entrant, "is not shared by processes")?);
    }
    let Some(url) = entrant.place.url(folder) else {
        return Ok(report.left_out(entrant, "its server is not installed")?);
    };
    let opened = entrant.cluster(&url, args.processes.into(), WAIT).await;
    let cluster =
        opened.with_context(|| format!("{} on {}", entrant.name(), entrant.place.name()))?;
    // The first round opens connections, and is nobody's time.
    one(Case::Apart, &cluster, writers, rounds).await?;
    for case in Case::ALL.iter().copied().filter(|case| case.suits(&cluster)) {
        if case == Case::Lock && !cluster.has_locks().await? {
            report.say(entrant, "lock: the store has none")?;
            continue;
        }
        let tally = all(case, &cluster, writers, rounds).await.with_context(|| {
            format!("{} on {}, {}", entrant.name(), entrant.place.name(), case.name())
        })?;
        report.add(entrant, case, tally)?;
    }
    Ok(())
}

/// Plays every round of a case.
async fn all(case: Case, cluster: &Cluster, writers: usize, rounds: usize) -> Result<Tally> {
    let mut tally = Tally::default();
    for round in 0..if case == Case::Alone { 1 } else { rounds } {
        tally.add(one(case, cluster, writers, round).await?);
    }
    Ok(tally)
}

async fn one(case: Case, cluster: &Cluster, writers: usize, round: usize) -> Result<Tally> {
    tokio::time::timeout(LIMIT, case.play(cluster, writers, round))
        .await
        .with_context(|| format!("no end of a round within {LIMIT:?}"))?
}

/// The worker: serves until its input ends, which it does with the process that started it.
async fn serve(entrant: Entrant, url: &str) -> Result<()> {
    let application = entrant.application(url, WAIT).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    let (mut input, mut nothing) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        served = axum::serve(listener, application) => Ok(served?),
        read = input.read_to_end(&mut nothing) => Ok(read.map(drop)?),
    }
}
