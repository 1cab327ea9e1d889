//! The view counter over HTTP: requests in a second, and the processor's time for one.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;

pub(crate) use self::round::Round;
use self::site::{SITES, Sessions, Site, Stack};
pub(crate) use self::visitors::Visitors;
use crate::parts::Options;
use crate::plot::{Bar, Bars, Plot};
use crate::process::Core;
use crate::report::{Row, Section, Table, Target, figure};
use crate::{figures, process};

mod round;
mod site;
mod visitors;

const TEXT: &str = "\
Every server answers `GET /` with the number of views, which is one more each time: on axum without sessions, on
axum with ours and with tower-sessions, and on Express. The load is the same for all: `wrk` with 32 connections,
and 1,000 visitors in turn, each with a session and its cookie. Each server is one process on the first core,
axum on a runtime of one thread; `wrk` and Redis are on the second. The rounds are interleaved, and the medians
shown. The processor's time is that of the server's process, user and system, as the kernel counts it. \"Busy\" is
its share of the first core, \"other\" the share that `wrk` and Redis had of the second: the one that is near 100 %
limits the requests in a second. Where that is the second, a server can be slower unnoticed; the processor's time
shows it all the same. Where it is neither, something else ran on the machine, and the requests in a second say
nothing. Ours and express-session sign their cookies, and tower-sessions is as its README has it, without
signature. In the end every visitor is asked for the number of views: \"lost\" are requests that were answered and
not counted.";

/// How many visitors there are.
pub(crate) const VISITORS: usize = 1000;

/// Loads every server.
///
/// # Errors
///
/// A server that does not start, or does not answer as a view counter does.
pub fn run(options: &Options) -> Result<Section> {
    let (rounds, time) = if options.quick { (2, 1) } else { (5, 3) };
    let redis = express_session_testkit::servers::redis().context("Redis is not installed")?;
    let redis_process = redis.process().context("Redis has ended")?;
    Core::Other.take(redis_process)?;
    let folder = tempfile::tempdir()?;

    let mut runs = Vec::new();
    for site in SITES {
        let server = site.start(redis.url()).with_context(|| site.name())?;
        let visitors = Visitors::new(server.port, VISITORS).with_context(|| site.name())?;
        let cookies = folder.path().join(format!("{}.cookies", runs.len()));
        runs.push(Run { site: *site, server, visitors, cookies, rounds: Vec::new() });
    }
    // Where there are no sessions, requests are as long all the same.
    let some = runs.iter().find(|run| run.visitors.has_cookies()).map(|run| run.visitors.clone());
    for run in &mut runs {
        let visitors = if run.visitors.has_cookies() { Some(&run.visitors) } else { some.as_ref() };
        visitors.context("there are no sessions at all")?.write(&run.cookies)?;
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
    let mut results = Vec::new();
    for run in runs {
        let lost = match run.site.sessions {
            Sessions::None => None,
            Sessions::Memory | Sessions::Redis => Some(run.visitors.lost(run.server.port)?),
        };
        results.push(Outcome::new(run.site, &run.rounds, lost));
    }
    Ok(section(&results))
}

struct Run {
    site: Site,
    server: process::Server,
    visitors: Visitors,
    cookies: PathBuf,
    rounds: Vec<Round>,
}

/// The medians of a server.
#[derive(Debug)]
struct Outcome {
    site: Site,
    per_second: f64,
    /// Of the server's process, for a request, in seconds.
    cpu: f64,
    redis_cpu: f64,
    busy: f64,
    other_busy: f64,
    p50: f64,
    p99: f64,
    lost: Option<u64>,
    rounds: serde_json::Value,
}

impl Outcome {
    fn new(site: Site, rounds: &[Round], lost: Option<u64>) -> Self {
        let median = |of: fn(&Round) -> f64| figures::median(rounds.iter().map(of));
        Self {
            site,
            per_second: median(Round::per_second),
            cpu: median(Round::cpu_of_one),
            redis_cpu: median(Round::redis_cpu_of_one),
            busy: median(Round::busy),
            other_busy: median(Round::other_busy),
            p50: median(|round| round.p50),
            p99: median(|round| round.p99),
            lost,
            rounds: json!(rounds),
        }
    }

    fn per_cpu_second(&self) -> f64 {
        1.0 / self.cpu
    }

    fn cells(&self) -> Vec<String> {
        let uses_redis = self.site.sessions == Sessions::Redis;
        vec![
            self.site.name(),
            figure(self.per_second),
            format!("{:.1}", self.cpu * 1e6),
            figure(self.per_cpu_second()),
            if uses_redis { format!("{:.1}", self.redis_cpu * 1e6) } else { String::new() },
            format!("{:.0} %", self.busy * 100.0),
            format!("{:.0} %", self.other_busy * 100.0),
            format!("{:.2}", self.p50 / 1000.0),
            format!("{:.2}", self.p99 / 1000.0),
            self.lost.map(|lost| lost.to_string()).unwrap_or_default(),
        ]
    }
}

/// What must be reached, and of whom.
struct Goal {
    case: &'static str,
    unit: &'static str,
    least: f64,
    ours: Sessions,
    peer: Site,
    of: fn(&Outcome) -> f64,
}

const GOALS: [Goal; 5] = [
    Goal {
        case: "view counter over HTTP, memory, beside Express",
        unit: PER_CPU_SECOND,
        least: 8.0,
        ours: Sessions::Memory,
        peer: Site { stack: Stack::Express, sessions: Sessions::Memory },
        of: Outcome::per_cpu_second,
    },
    Goal {
        case: "view counter over HTTP, Redis, beside Express",
        unit: PER_CPU_SECOND,
        least: 4.0,
        ours: Sessions::Redis,
        peer: Site { stack: Stack::Express, sessions: Sessions::Redis },
        of: Outcome::per_cpu_second,
    },
    Goal {
        case: "view counter over HTTP, memory, beside axum without sessions",
        unit: PER_SECOND,
        least: 0.95,
        ours: Sessions::Memory,
        peer: Site { stack: Stack::Axum, sessions: Sessions::None },
        of: |outcome| outcome.per_second,
    },
    // The stricter reading of the same: nothing but the server's own time counts.
    Goal {
        case: "view counter over HTTP, memory, beside axum without sessions, by the server's time",
        unit: PER_CPU_SECOND,
        least: 0.95,
        ours: Sessions::Memory,
        peer: Site { stack: Stack::Axum, sessions: Sessions::None },
        of: Outcome::per_cpu_second,
    },
    Goal {
        case: "view counter over HTTP, Redis, beside tower-sessions",
        unit: PER_SECOND,
        least: 1.5,
        ours: Sessions::Redis,
        peer: Site { stack: Stack::TowerSessions, sessions: Sessions::Redis },
        of: |outcome| outcome.per_second,
    },
];

const PER_SECOND: &str = "requests/s";
const PER_CPU_SECOND: &str = "requests/CPU s";

impl Goal {
    fn row(&self, outcomes: &[Outcome]) -> Row {
        let of = |site| outcomes.iter().find(|outcome| outcome.site == site).map(self.of);
        Row {
            case: self.case.to_owned(),
            unit: self.unit,
            target: Target::TimesAtLeast(self.least),
            ours: of(Site { stack: Stack::Ours, sessions: self.ours }),
            peer: of(self.peer),
        }
    }
}

fn section(outcomes: &[Outcome]) -> Section {
    let head = [
        "server",
        "requests/s",
        "CPU µs/request",
        "requests/CPU second",
        "Redis CPU µs/request",
        "busy",
        "other",
        "p50 ms",
        "p99 ms",
        "lost",
    ];
    let raw = outcomes.iter().map(|outcome| {
        json!({
            "server": outcome.site.name(),
            "requests_per_second": outcome.per_second,
            "cpu_microseconds_per_request": outcome.cpu * 1e6,
            "redis_cpu_microseconds_per_request": outcome.redis_cpu * 1e6,
            "lost": outcome.lost,
            "rounds": outcome.rounds,
        })
    });
    let bars = outcomes.iter().map(|outcome| Bar {
        label: outcome.site.name(),
        value: outcome.per_cpu_second(),
        is_ours: outcome.site.stack == Stack::Ours,
    });
    Section {
        title: "Over HTTP".to_owned(),
        text: TEXT.to_owned(),
        tables: vec![Table {
            caption: "The view counter".to_owned(),
            head: head.map(str::to_owned).to_vec(),
            rows: outcomes.iter().map(Outcome::cells).collect(),
        }],
        plots: vec![Plot::Bars(Bars {
            name: "http".to_owned(),
            title: "The view counter over HTTP: requests in a second of the processor".to_owned(),
            unit: String::new(),
            bars: bars.collect(),
        })],
        rows: GOALS.iter().map(|goal| goal.row(outcomes)).collect(),
        raw: raw.collect(),
    }
}
