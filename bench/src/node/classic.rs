//! The classic application: its requests per second, and what the sessions add to the time of a request.

use anyhow::Result;

use crate::http::{Loaded, Paced, Program, Subject, Workload, load_and_pace};
use crate::plot::{Bar, Plot};
use crate::process::Options;
use crate::report::{Row, Section, Table, Target, figure};

const THEIRS: &str = "express-session";
const OURS: &str = "express-session-rs";
/// Ours with the option `integrity`.
const INTEGRITY: &str = "integrity";

const fn subject(name: &'static str, library: &'static str, store: &'static str) -> Subject {
    let workloads = &[Workload::COUNTING];
    Subject { name, program: Program::Node("classic"), library, store, workloads }
}

const SUBJECTS: [Subject; 13] = [
    subject("Express without sessions", THEIRS, "none"),
    subject("express-session, MemoryStore", THEIRS, "MemoryStore"),
    subject("express-session-rs, MemoryStore", OURS, "MemoryStore"),
    subject("express-session-rs, native MemoryStore", OURS, "native MemoryStore"),
    subject(
        "express-session-rs with integrity, native MemoryStore",
        INTEGRITY,
        "native MemoryStore",
    ),
    subject("express-session, connect-redis", THEIRS, "connect-redis"),
    subject("express-session-rs, connect-redis", OURS, "connect-redis"),
    subject("express-session, native RedisStore", THEIRS, "native RedisStore"),
    subject("express-session-rs, native RedisStore", OURS, "native RedisStore"),
    subject("express-session-rs with integrity, native RedisStore", INTEGRITY, "native RedisStore"),
    subject("express-session, connect-pg-simple", THEIRS, "connect-pg-simple"),
    subject("express-session-rs, native PostgresStore", OURS, "native PostgresStore"),
    subject(
        "express-session-rs with integrity, native PostgresStore",
        INTEGRITY,
        "native PostgresStore",
    ),
];

/// The targets of the requests in a second: our store, and the store of express-session beside it.
const GOALS: [(&str, &str); 5] = [
    ("MemoryStore", "MemoryStore"),
    ("native MemoryStore", "MemoryStore"),
    ("connect-redis", "connect-redis"),
    ("native RedisStore", "connect-redis"),
    ("native PostgresStore", "connect-pg-simple"),
];

/// The targets of what sessions add to the processor time of a request: ours, our store, and that of express-session.
const ADDED: [(&str, f64, &str, &str); 7] = [
    (OURS, 0.5, "MemoryStore", "MemoryStore"),
    (OURS, 0.5, "native MemoryStore", "MemoryStore"),
    (OURS, 0.5, "native RedisStore", "connect-redis"),
    (OURS, 0.5, "native PostgresStore", "connect-pg-simple"),
    (INTEGRITY, 0.8, "native MemoryStore", "MemoryStore"),
    (INTEGRITY, 0.8, "native RedisStore", "connect-redis"),
    (INTEGRITY, 0.8, "native PostgresStore", "connect-pg-simple"),
];

/// The load at which the delays are measured: this part of what express-session can serve, for both.
const PART: f64 = 0.8;
/// The targets of the delays: our store, and that of express-session.
const PACED: [(&str, &str); 3] = [
    ("MemoryStore", "MemoryStore"),
    ("native RedisStore", "connect-redis"),
    ("native PostgresStore", "connect-pg-simple"),
];

pub(super) fn section(options: Options) -> Result<Section> {
    let outcomes = load_and_pace(&SUBJECTS, options, &pace)?;
    let find = |library, store| {
        let is_it = |it: &&Loaded| it.subject.library == library && it.subject.store == store;
        outcomes.iter().find(is_it)
    };
    let of = |library, store| find(library, store).map(Loaded::per_second);
    let bare = find(THEIRS, "none").map_or(f64::NAN, Loaded::cpu_micros);
    let added = |library, store| find(library, store).map(|it| it.cpu_micros() - bare);
    let bars =
        outcomes.iter().filter(|outcome| outcome.subject.store != "none").map(|outcome| Bar {
            label: outcome.subject.name.to_owned(),
            value: outcome.per_second(),
            is_ours: outcome.subject.library != THEIRS,
        });
    let mut rows: Vec<_> = GOALS
        .into_iter()
        .map(|(ours, theirs)| Row {
            case: format!("npm package, {ours}, beside express-session with {theirs}"),
            unit: "requests/s",
            target: Target::TimesAtLeast(1.0),
            ours: of(OURS, ours),
            peer: of(THEIRS, theirs),
        })
        .collect();
    rows.extend(ADDED.map(|(library, most, ours, theirs)| Row {
        case: format!("{library}, {ours}: added to the bare application, beside {theirs}"),
        unit: "CPU µs/request",
        target: Target::TimesAtMost(most),
        ours: added(library, ours),
        peer: added(THEIRS, theirs),
    }));
    for (ours, theirs) in PACED {
        let delays = |library, store| find(library, store).and_then(|it| it.paced.as_ref());
        let (ours_paced, theirs_paced) = (delays(OURS, ours), delays(THEIRS, theirs));
        let row = |what, ours_has, theirs_has| Row {
            case: format!(
                "npm package, {ours}, at 80 % of the load that {theirs} can serve, {what}"
            ),
            unit: "µs",
            target: Target::TimesAtMost(1.0),
            ours: ours_has,
            peer: theirs_has,
        };
        rows.push(row("p99", ours_paced.map(|it| it.p99), theirs_paced.map(|it| it.p99)));
        let delay = |paced: Option<&Paced>| paced.map(|it| it.delay_p99);
        rows.push(row("p99 of the event loop's delay", delay(ours_paced), delay(theirs_paced)));
    }
    let mut head = vec!["server", "requests/s", "CPU µs/request", "added µs"];
    head.extend(["p50 ms", "p99 ms", "lost", "at 80 %: requests/s", "p99 ms", "event loop p99 ms"]);
    let title = "The classic application on Express: requests in a second";
    let cells = |outcome| cells(outcome, bare);
    Ok(Section {
        tables: vec![Table::new("The classic application", head, outcomes.iter().map(cells))],
        plots: vec![Plot::bars("node", title, "", bars)?],
        rows,
        raw: outcomes.iter().map(Loaded::raw).collect(),
        ..Section::default()
    })
}

/// Returns the requests in a second for a subject that has a target there, or is the peer of one.
fn pace(subject: Subject, loaded: &[&Loaded]) -> Option<f64> {
    let is_theirs = subject.library == THEIRS;
    let is_named = |(ours, theirs): &&(&str, &str)| {
        if is_theirs { *theirs == subject.store } else { *ours == subject.store }
    };
    if subject.library == INTEGRITY {
        return None;
    }
    let (_, theirs) = PACED.iter().find(is_named)?;
    let is_peer = |it: &&&Loaded| it.subject.library == THEIRS && it.subject.store == *theirs;
    loaded.iter().find(is_peer).map(|peer| PART * peer.per_second())
}

fn cells(outcome: &Loaded, bare: f64) -> Vec<String> {
    let micros = |value: f64| format!("{value:.1}");
    let cpu = outcome.cpu_micros();
    let added = if outcome.subject.store == "none" { String::new() } else { micros(cpu - bare) };
    let first = [outcome.subject.name.to_owned(), figure(outcome.per_second()), micros(cpu), added];
    let millis = |micros: f64| format!("{:.2}", micros / 1000.0);
    let paced = outcome.paced.as_ref().map_or_else(Default::default, |it| {
        [figure(it.per_second), millis(it.p99), millis(it.delay_p99)]
    });
    first.into_iter().chain(outcome.last_cells()).chain(paced).collect()
}
