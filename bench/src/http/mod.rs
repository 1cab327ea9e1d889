//! The view counter over HTTP: requests per second, and the processor time of a request.

use anyhow::Result;

pub(crate) use self::load::{Loaded, Subject, load};
use self::round::Round;
use self::serve::Stack;
use self::site::{SITES, Sessions, Site};
use crate::plot::{Bar, Data, Plot};
use crate::process::Options;
use crate::report::{Row, Section, Table, Target, figure};

mod load;
mod round;
pub(crate) mod serve;
mod site;
mod visitors;

const TEXT: &str = "\
Every server answers `GET /` with the number of views, which is one more each time: on axum without sessions, on
axum with ours and with tower-sessions, and on Express. The load is the same for all: `wrk` with 32 connections,
and 1,000 visitors in turn, each with a session and its cookie. Each server is one process on the first core,
axum on a runtime of one thread; `wrk` and Redis are on the second. The rounds are interleaved, and the medians
shown. The processor time is that of the server's process, user and system, as the kernel counts it. \"Busy\" is
its share of the first core, \"other\" the share that `wrk` and Redis had of the second: the one that is near 100 %
limits the requests per second. Where that is the second, a server can be slower unnoticed; the processor time
shows it all the same. Where it is neither, something else ran on the machine, and the requests per second mean
nothing. Ours, express-session and the minimal layer (see above) sign their cookies; tower-sessions is as its
README has it, without signature. At the end every visitor asks for the number of views: \"lost\" are requests
that were answered and not counted.";

/// Loads every server.
pub(crate) fn run(options: Options) -> Result<Section> {
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

const PER_SECOND: &str = "requests/s";
const PER_CPU_SECOND: &str = "requests/CPU s";

/// The targets: the case, its unit and figure, the least ratio, our sessions, and the peer.
type Goal = (&'static str, &'static str, fn(&Outcome) -> f64, f64, Sessions, Site);

const GOALS: [Goal; 5] = [
    (
        "view counter over HTTP, memory, beside Express",
        PER_CPU_SECOND,
        Loaded::per_cpu_second,
        8.0,
        Sessions::Memory,
        Site { stack: Stack::Express, sessions: Sessions::Memory },
    ),
    (
        "view counter over HTTP, Redis, beside Express",
        PER_CPU_SECOND,
        Loaded::per_cpu_second,
        4.0,
        Sessions::Redis,
        Site { stack: Stack::Express, sessions: Sessions::Redis },
    ),
    (
        "view counter over HTTP, memory, beside axum without sessions",
        PER_SECOND,
        Loaded::per_second,
        0.95,
        Sessions::Memory,
        Site { stack: Stack::Axum, sessions: Sessions::None },
    ),
    // The stricter reading of the same: only the server's own time counts.
    (
        "view counter over HTTP, memory, beside axum without sessions, by the server's time",
        PER_CPU_SECOND,
        Loaded::per_cpu_second,
        0.95,
        Sessions::Memory,
        Site { stack: Stack::Axum, sessions: Sessions::None },
    ),
    (
        "view counter over HTTP, Redis, beside tower-sessions",
        PER_SECOND,
        Loaded::per_second,
        1.5,
        Sessions::Redis,
        Site { stack: Stack::TowerSessions, sessions: Sessions::Redis },
    ),
];

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
        let mut raw = outcome.raw();
        raw["redis_cpu_microseconds_per_request"] = redis_cpu_micros(outcome).into();
        raw
    });
    let bars = outcomes.iter().map(|outcome| Bar {
        label: outcome.subject.name(),
        value: outcome.per_cpu_second(),
        is_ours: outcome.subject.stack == Stack::Ours,
    });
    let rows = GOALS.into_iter().map(|(case, unit, of, least, sessions, peer)| {
        let of = |site| outcomes.iter().find(|outcome| outcome.subject == site).map(of);
        Row {
            case: case.to_owned(),
            unit,
            target: Target::TimesAtLeast(least),
            ours: of(Site { stack: Stack::Ours, sessions }),
            peer: of(peer),
        }
    });
    Section {
        title: "Over HTTP",
        text: TEXT,
        tables: vec![Table::new("The view counter", head, outcomes.iter().map(cells))],
        plots: vec![Plot {
            name: "http",
            title: "The view counter over HTTP: requests in a second of the processor",
            data: Data::Bars("", bars.collect()),
        }],
        rows: rows.collect(),
        raw: raw.collect(),
    }
}
