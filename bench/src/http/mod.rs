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

/// A figure, with its unit.
type Measure = (&'static str, fn(&Outcome) -> f64);

const PER_SECOND: Measure = ("requests/s", Loaded::per_second);
const PER_CPU_SECOND: Measure = ("requests/CPU s", Loaded::per_cpu_second);

/// The targets: the case, its figure, the least ratio, our sessions, and the peer.
const GOALS: [(&str, Measure, f64, Sessions, Stack); 5] = [
    ("memory, beside Express", PER_CPU_SECOND, 8.0, Sessions::Memory, Stack::Express),
    ("Redis, beside Express", PER_CPU_SECOND, 4.0, Sessions::Redis, Stack::Express),
    ("memory, beside axum without sessions", PER_SECOND, 0.95, Sessions::Memory, Stack::Axum),
    // The stricter reading of the same: only the server's own time counts.
    (
        "memory, beside axum without sessions, by the server's time",
        PER_CPU_SECOND,
        0.95,
        Sessions::Memory,
        Stack::Axum,
    ),
    ("Redis, beside tower-sessions", PER_SECOND, 1.5, Sessions::Redis, Stack::TowerSessions),
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
    let rows = GOALS.into_iter().map(|(case, (unit, of), least, sessions, stack)| {
        let of = |site| outcomes.iter().find(|outcome| outcome.subject == site).map(of);
        let theirs = if stack == Stack::Axum { Sessions::None } else { sessions };
        Row {
            case: format!("view counter over HTTP, {case}"),
            unit,
            target: Target::TimesAtLeast(least),
            ours: of(Site { stack: Stack::Ours, sessions }),
            peer: of(Site { stack, sessions: theirs }),
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
