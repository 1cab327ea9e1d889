//! The view counter over HTTP: requests in a second, and the processor's time for one.

use anyhow::Result;
use serde_json::json;

pub(crate) use self::load::{Loaded, Subject, load};
use self::round::Round;
use self::site::{SITES, Sessions, Site, Stack};
use crate::parts::Options;
use crate::plot::{Bar, Bars, Plot};
use crate::report::{Row, Section, Table, Target, figure};

mod load;
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
nothing. Ours, express-session and the least layer (see above) sign their cookies, and tower-sessions is as its
README has it, without signature. In the end every visitor is asked for the number of views: \"lost\" are requests
that were answered and not counted.";

/// Loads every server.
///
/// # Errors
///
/// A server that does not start, or does not answer as a view counter does.
pub fn run(options: &Options) -> Result<Section> {
    load(SITES, options).map(|outcomes| section(&outcomes))
}

type Outcome = Loaded<Site>;

fn cells(outcome: &Outcome) -> Vec<String> {
    let uses_redis = outcome.subject.sessions == Sessions::Redis;
    let share = |of: fn(&Round) -> f64| format!("{:.0} %", outcome.median(of) * 100.0);
    let mut cells = vec![
        outcome.subject.name(),
        figure(outcome.per_second()),
        format!("{:.1}", outcome.cpu_micros()),
        figure(outcome.per_cpu_second()),
        if uses_redis { format!("{:.1}", redis_cpu_micros(outcome)) } else { String::new() },
        share(Round::busy),
        share(Round::other_busy),
    ];
    cells.extend(outcome.last_cells());
    cells
}

fn redis_cpu_micros(outcome: &Outcome) -> f64 {
    outcome.median(Round::redis_cpu_of_one) * 1e6
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
        of: Loaded::per_cpu_second,
    },
    Goal {
        case: "view counter over HTTP, Redis, beside Express",
        unit: PER_CPU_SECOND,
        least: 4.0,
        ours: Sessions::Redis,
        peer: Site { stack: Stack::Express, sessions: Sessions::Redis },
        of: Loaded::per_cpu_second,
    },
    Goal {
        case: "view counter over HTTP, memory, beside axum without sessions",
        unit: PER_SECOND,
        least: 0.95,
        ours: Sessions::Memory,
        peer: Site { stack: Stack::Axum, sessions: Sessions::None },
        of: Loaded::per_second,
    },
    // The stricter reading of the same: nothing but the server's own time counts.
    Goal {
        case: "view counter over HTTP, memory, beside axum without sessions, by the server's time",
        unit: PER_CPU_SECOND,
        least: 0.95,
        ours: Sessions::Memory,
        peer: Site { stack: Stack::Axum, sessions: Sessions::None },
        of: Loaded::per_cpu_second,
    },
    Goal {
        case: "view counter over HTTP, Redis, beside tower-sessions",
        unit: PER_SECOND,
        least: 1.5,
        ours: Sessions::Redis,
        peer: Site { stack: Stack::TowerSessions, sessions: Sessions::Redis },
        of: Loaded::per_second,
    },
];

const PER_SECOND: &str = "requests/s";
const PER_CPU_SECOND: &str = "requests/CPU s";

impl Goal {
    fn row(&self, outcomes: &[Outcome]) -> Row {
        let of = |site| outcomes.iter().find(|outcome| outcome.subject == site).map(self.of);
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
            "server": outcome.subject.name(),
            "requests_per_second": outcome.per_second(),
            "cpu_microseconds_per_request": outcome.cpu_micros(),
            "redis_cpu_microseconds_per_request": redis_cpu_micros(outcome),
            "lost": outcome.lost,
            "rounds": outcome.rounds,
        })
    });
    let bars = outcomes.iter().map(|outcome| Bar {
        label: outcome.subject.name(),
        value: outcome.per_cpu_second(),
        is_ours: outcome.subject.stack == Stack::Ours,
    });
    Section {
        title: "Over HTTP".to_owned(),
        text: TEXT.to_owned(),
        tables: vec![Table {
            caption: "The view counter".to_owned(),
            head: head.map(str::to_owned).to_vec(),
            rows: outcomes.iter().map(cells).collect(),
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
