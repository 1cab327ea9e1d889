//! `cargo xtask races`: overlapping requests of one visitor, on every store, and the changes that they lose.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
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

/// Sends overlapping requests of one visitor, on every store, and counts lost changes. Beside ours, express-session
/// on Node and tower-sessions, with their own stores.
///
/// Every handler takes 20 ms between loading its session and changing it. The cases:
///
/// alone: one request at a time.
/// apart: all writers concurrently, each with a session of its own.
/// members: all concurrently set a member each, of one session. Lost: members that are missing afterwards.
/// counter: all concurrently add one to the same member. Lost: the increments missing from the sum.
/// logout: while they all are between load and save, the session is destroyed. Resurrected: sessions that
/// the store or a request with the old cookie finds afterwards.
/// regenerate: the same, and the session gets a new id. Lost: new sessions that are missing afterwards.
/// lock: all concurrently add one by reading and setting, under the session's lock (ours, if the store has locks).
/// renew: while they all are between load and save, the session gets another id and keeps its data. Lost: members that
/// are missing afterwards, under either id. Resurrected: sessions that outlive a logout under the old id.
/// renewals: all concurrently renew the id, and set a member each.
/// revoke: while they all are between load and save, another session of the user ends this one.
/// logins: all concurrently log the same user in, who may have three sessions. Resurrected: the sessions beyond. Lost: those
/// that are missing, in the store or in the list.
/// logins during end: all concurrently log the same user in, and before their sessions are stored the user's others end, with
/// epochs. Resurrected: those sessions. This case and the four before it are ours alone.
/// with node: while they all are between load and save, an Express application on the same store answers
/// a request of that session. Lost: members of either.
/// around node: the other way round. Node loses these changes, and the verdict ignores them.
///
/// A change is lost if its response was a success and it is missing afterwards. A change with another response
/// (a 409 or 503) is refused, not lost. "x alone" is the 99th percentile over the median of "alone", "x apart" the
/// same over the 99th percentile of "apart". The cases with Node have no times, because both sides wait for each other.
///
/// The last line sums up ours: "lost 0, resurrected 0". The exit code is 0 unless a change of ours is lost or
/// refused, a session of ours is resurrected, or a server is missing.
#[derive(Parser)]
#[command(name = "races", args_conflicts_with_subcommands = true, verbatim_doc_comment)]
struct Args {
    /// Plays only with this store; may be given several times
    #[arg(long, value_name = "STORE")]
    store: Vec<Place>,
    /// Plays Express applications only: our npm package with `integrity`, alone and together with Rust processes on the
    /// same records, and express-session. They are left out otherwise, but for express-session
    #[arg(long, value_name = "WHAT")]
    against: Option<Against>,
    /// The number of overlapping requests
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    writers: u16,
    /// The number of rounds of each case
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Spreads the requests over so many processes, with the stores that several can share
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    processes: u16,
    /// Does not fail if the server of a store is not installed
    #[arg(long)]
    allow_missing: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Against {
    Node,
}

#[derive(Subcommand)]
enum Role {
    /// Serves an entrant's application on a port of loopback, which is printed, until the input ends
    #[command(hide = true)]
    Worker { maker: Maker, place: Place, url: String },
}

const SECRET: &str = "kR8vQm2xZt7LwYc4HsNf9BpJd3GaTe6U";

/// The time of a handler.
const WAIT: Duration = Duration::from_millis(20);

/// A round takes a fraction of a second; one that takes longer hangs.
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

/// Returns whether no change of ours is lost.
fn run(args: &Args) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(Role::Worker { maker, place, url }) = &args.role {
        let entrant = Entrant { maker: *maker, place: *place };
        return runtime.block_on(serve(entrant, url)).map(|()| true);
    }
    let mut report = Report::new(io::stdout().lock());
    let folder = TemporaryFolder::new("races")?;
    report.begin()?;
    let wanted = |entrant: &&Entrant| {
        let is_wanted = match args.against {
            Some(Against::Node) => entrant.is_on_node(),
            None => !entrant.needs_npm_package(),
        };
        is_wanted && (args.store.is_empty() || args.store.contains(&entrant.place))
    };
    for entrant in entrants::ALL.iter().filter(wanted) {
        runtime.block_on(play(*entrant, args, folder.path(), &mut report))?;
    }
    Ok(report.end(args.allow_missing)?)
}

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
    // The first round opens connections, and is not timed.
    one(Case::Apart, &cluster, writers, rounds).await?;
    for case in Case::value_variants().iter().copied().filter(|case| case.suits(&cluster)) {
        if case.needs_locks() && !cluster.has_locks().await? {
            report.say(entrant, &format!("{}: the store has no locks", case.name()))?;
            continue;
        }
        let tally = all(case, &cluster, writers, rounds).await.with_context(|| {
            format!("{} on {}, {}", entrant.name(), entrant.place.name(), case.name())
        })?;
        report.add(entrant, case, tally)?;
    }
    Ok(())
}

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
        .with_context(|| format!("a round did not end within {LIMIT:?}"))?
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
