//! The view counter over HTTP: requests per second, and the processor time of a request.

use anyhow::Result;

pub(crate) use self::load::{Loaded, Subject, load};
use crate::plot::{Bar, Plot};
use crate::process::Options;
use crate::report::{Row, Section, Table, Target, figure};

mod load;
mod round;
pub(crate) mod serve;
mod visitors;

const fn axum(name: &'static str, library: &'static str, store: &'static str) -> Subject {
    Subject { name, application: None, library, store }
}

const fn express(name: &'static str, store: &'static str) -> Subject {
    Subject { name, application: Some("bare"), library: "express-session", store }
}

/// The servers, in the order of the rounds.
const SUBJECTS: [Subject; 9] = [
    axum("axum without sessions", "axum", "none"),
    axum("axum, the minimal layer, memory", "minimal-layer", "memory"),
    axum("axum, ours, memory", "ours", "memory"),
    axum("axum, tower-sessions 0.15, memory", "tower-sessions", "memory"),
    axum("axum, ours, Redis", "ours", "redis"),
    axum("axum, tower-sessions 0.14, Redis", "tower-sessions", "redis"),
    express("Express without sessions", "none"),
    express("Express, express-session, memory", "MemoryStore"),
    express("Express, express-session, Redis", "connect-redis"),
];

/// A figure, with its unit.
type Measure = (&'static str, fn(&Loaded) -> f64);

const PER_SECOND: Measure = ("requests/s", Loaded::per_second);
const PER_CPU_SECOND: Measure = ("requests/CPU s", Loaded::per_cpu_second);

/// The targets: the case, its figure, the least ratio, where our sessions are, and the peer.
const GOALS: [(&str, Measure, f64, &str, &str); 5] = [
    ("memory, beside Express", PER_CPU_SECOND, 8.0, "memory", "Express, express-session, memory"),
    ("Redis, beside Express", PER_CPU_SECOND, 4.0, "redis", "Express, express-session, Redis"),
    ("memory, beside axum without sessions", PER_SECOND, 0.95, "memory", "axum without sessions"),
    // The stricter reading of the same: only the server's own time counts.
    (
        "memory, beside axum without sessions, by the server's time",
        PER_CPU_SECOND,
        0.95,
        "memory",
        "axum without sessions",
    ),
    ("Redis, beside tower-sessions", PER_SECOND, 1.5, "redis", "axum, tower-sessions 0.14, Redis"),
];

pub(crate) fn run(options: Options) -> Result<Section> {
    let outcomes = load(&SUBJECTS, options)?;
    let raw = outcomes.iter().map(|outcome| {
        let mut raw = outcome.raw();
        raw["redis_cpu_microseconds_per_request"] = redis_cpu_micros(outcome).into();
        raw
    });
    let bars = outcomes.iter().map(|outcome| Bar {
        label: outcome.subject.name.to_owned(),
        value: outcome.per_cpu_second(),
        is_ours: outcome.subject.library == "ours",
    });
    let rows = GOALS.map(|(case, (unit, of), least, store, peer)| {
        let find = |is_it: &dyn Fn(&Subject) -> bool| {
            outcomes.iter().find(|outcome| is_it(&outcome.subject)).map(of)
        };
        let case = format!("view counter over HTTP, {case}");
        let ours = find(&|subject| subject.library == "ours" && subject.store == store);
        let peer = find(&|subject| subject.name == peer);
        Row { case, unit, target: Target::TimesAtLeast(least), ours, peer }
    });
    let mut head = vec!["server", "requests/s", "CPU µs/request", "requests/CPU second"];
    head.extend(["Redis CPU µs/request", "busy", "other", "p50 ms", "p99 ms", "lost"]);
    let title = "The view counter over HTTP: requests in a second of the processor";
    Ok(Section {
        title: "Over HTTP",
        text: include_str!("section.md"),
        tables: vec![Table::new("The view counter", head, outcomes.iter().map(cells))],
        plots: vec![Plot::bars("http", title, "", bars)?],
        rows: rows.into(),
        raw: raw.collect(),
    })
}

fn cells(outcome: &Loaded) -> Vec<String> {
    let uses_redis = ["redis", "connect-redis"].contains(&outcome.subject.store);
    let redis = uses_redis.then(|| format!("{:.1}", redis_cpu_micros(outcome)));
    let busy = outcome.median(|round| round.cpu_seconds / round.printed.seconds);
    let other = outcome
        .median(|round| (round.wrk_cpu_seconds + round.redis_cpu_seconds) / round.printed.seconds);
    let mut cells = vec![
        outcome.subject.name.to_owned(),
        figure(outcome.per_second()),
        format!("{:.1}", outcome.cpu_micros()),
        figure(outcome.per_cpu_second()),
        redis.unwrap_or_default(),
    ];
    cells.extend([busy, other].map(|share| format!("{:.0} %", share * 100.0)));
    cells.extend(outcome.last_cells());
    cells
}

fn redis_cpu_micros(outcome: &Loaded) -> f64 {
    outcome.median(|round| round.redis_cpu_seconds / round.printed.requests as f64) * 1e6
}
