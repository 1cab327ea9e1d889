//! The classic application: how many requests it answers in a second.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use express_session_testkit::servers;
use serde_json::json;

use crate::figures;
use crate::http::{Round, VISITORS, Visitors};
use crate::parts::Options;
use crate::plot::{Bar, Bars, Plot};
use crate::process::{self, Core, Server};
use crate::report::{Row, Section, Table, Target, figure};

/// The application with some middleware and store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Site {
    session: &'static str,
    store: &'static str,
}

const THEIRS: &str = "express-session";
const OURS: &str = "express-session-rs";

const SITES: [Site; 7] = [
    Site { session: THEIRS, store: "MemoryStore" },
    Site { session: OURS, store: "MemoryStore" },
    Site { session: OURS, store: "native MemoryStore" },
    Site { session: THEIRS, store: "connect-redis" },
    Site { session: OURS, store: "connect-redis" },
    Site { session: THEIRS, store: "native RedisStore" },
    Site { session: OURS, store: "native RedisStore" },
];

/// Ours and the peer by which it is measured: the stores of each.
const GOALS: [(&str, &str); 4] = [
    ("MemoryStore", "MemoryStore"),
    ("native MemoryStore", "MemoryStore"),
    ("connect-redis", "connect-redis"),
    ("native RedisStore", "connect-redis"),
];

/// A server while it is measured.
struct Run {
    site: Site,
    server: Server,
    visitors: Visitors,
    cookies: PathBuf,
    rounds: Vec<Round>,
}

/// The medians of a server.
struct Outcome {
    site: Site,
    per_second: f64,
    /// Of the server's process, for a request, in seconds.
    cpu: f64,
    p50: f64,
    p99: f64,
    lost: u64,
    rounds: serde_json::Value,
}

pub(super) fn run(options: &Options) -> Result<Section> {
    let (rounds, time) = if options.quick { (2, 1) } else { (5, 3) };
    let redis = servers::redis().context("Redis is not installed")?;
    let redis_process = redis.process().context("Redis has ended")?;
    Core::Other.take(redis_process)?;
    let folder = tempfile::tempdir()?;

    let mut runs = Vec::new();
    for site in SITES {
        let server = site.start(redis.url()).with_context(|| site.name())?;
        let visitors = Visitors::new(server.port, VISITORS).with_context(|| site.name())?;
        let cookies = folder.path().join(format!("{}.cookies", runs.len()));
        visitors.write(&cookies)?;
        runs.push(Run { site, server, visitors, cookies, rounds: Vec::new() });
    }
    for number in 0..=rounds {
        for run in &mut runs {
            let round = Round::play(&run.server, &run.cookies, redis_process, time)
                .with_context(|| run.site.name())?;
            run.visitors.came(round.requests);
            // In the first round, code is compiled and memory asked for.
            if number > 0 {
                run.rounds.push(round);
            }
        }
    }
    let outcomes = runs.iter().map(Outcome::of).collect::<Result<Vec<_>>>()?;
    Ok(section(&outcomes))
}

impl Site {
    fn name(self) -> String {
        format!("{}, {}", self.session, self.store)
    }

    fn start(self, redis: &str) -> Result<Server> {
        let options = json!({ "session": self.session, "store": self.store, "url": redis });
        let mut command = Core::Measured.command("node");
        command.arg("classic.mjs").arg(options.to_string());
        command.current_dir(process::node_folder()?).env("NODE_ENV", "production");
        Server::start(command)
    }
}

impl Outcome {
    fn of(run: &Run) -> Result<Self> {
        let median = |of: fn(&Round) -> f64| figures::median(run.rounds.iter().map(of));
        Ok(Self {
            site: run.site,
            per_second: median(Round::per_second),
            cpu: median(Round::cpu_of_one),
            p50: median(|round| round.p50),
            p99: median(|round| round.p99),
            lost: run.visitors.lost(run.server.port)?,
            rounds: json!(run.rounds),
        })
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.site.name(),
            figure(self.per_second),
            format!("{:.1}", self.cpu * 1e6),
            format!("{:.2}", self.p50 / 1000.0),
            format!("{:.2}", self.p99 / 1000.0),
            self.lost.to_string(),
        ]
    }
}

fn section(outcomes: &[Outcome]) -> Section {
    let head = ["server", "requests/s", "CPU µs/request", "p50 ms", "p99 ms", "lost"];
    let bars = outcomes.iter().map(|outcome| Bar {
        label: outcome.site.name(),
        value: outcome.per_second,
        is_ours: outcome.site.session == OURS,
    });
    let raw = outcomes.iter().map(|outcome| {
        json!({
            "server": outcome.site.name(),
            "requests_per_second": outcome.per_second,
            "cpu_microseconds_per_request": outcome.cpu * 1e6,
            "lost": outcome.lost,
            "rounds": outcome.rounds,
        })
    });
    Section {
        tables: vec![Table {
            caption: "The classic application".to_owned(),
            head: head.map(str::to_owned).to_vec(),
            rows: outcomes.iter().map(Outcome::cells).collect(),
        }],
        plots: vec![Plot::Bars(Bars {
            name: "node".to_owned(),
            title: "The classic application on Express: requests in a second".to_owned(),
            unit: String::new(),
            bars: bars.collect(),
        })],
        rows: GOALS.iter().map(|(ours, theirs)| row(outcomes, ours, theirs)).collect(),
        raw: raw.collect(),
        ..Section::default()
    }
}

/// The target for a store of ours, beside express-session with its own.
fn row(outcomes: &[Outcome], ours: &'static str, theirs: &'static str) -> Row {
    let of = |session, store| {
        let site = Site { session, store };
        outcomes.iter().find(|outcome| outcome.site == site).map(|outcome| outcome.per_second)
    };
    Row {
        case: format!("npm package, {ours}, beside express-session with {theirs}"),
        unit: "requests/s",
        target: Target::TimesAtLeast(1.0),
        ours: of(OURS, ours),
        peer: of(THEIRS, theirs),
    }
}
