//! The classic application: its requests per second.

use anyhow::Result;

use crate::http::{Loaded, Subject, load};
use crate::plot::{Bar, Plot};
use crate::process::Options;
use crate::report::{Row, Section, Table, Target, figure};

const THEIRS: &str = "express-session";
const OURS: &str = "express-session-rs";

const fn subject(name: &'static str, library: &'static str, store: &'static str) -> Subject {
    Subject { name, application: Some("classic"), library, store }
}

const SUBJECTS: [Subject; 7] = [
    subject("express-session, MemoryStore", THEIRS, "MemoryStore"),
    subject("express-session-rs, MemoryStore", OURS, "MemoryStore"),
    subject("express-session-rs, native MemoryStore", OURS, "native MemoryStore"),
    subject("express-session, connect-redis", THEIRS, "connect-redis"),
    subject("express-session-rs, connect-redis", OURS, "connect-redis"),
    subject("express-session, native RedisStore", THEIRS, "native RedisStore"),
    subject("express-session-rs, native RedisStore", OURS, "native RedisStore"),
];

/// The targets: our store, and the store of express-session beside it.
const GOALS: [(&str, &str); 4] = [
    ("MemoryStore", "MemoryStore"),
    ("native MemoryStore", "MemoryStore"),
    ("connect-redis", "connect-redis"),
    ("native RedisStore", "connect-redis"),
];

pub(super) fn section(options: Options) -> Result<Section> {
    let outcomes = load(&SUBJECTS, options)?;
    let of = |library, store| {
        let is_it = |it: &&Loaded| it.subject.library == library && it.subject.store == store;
        outcomes.iter().find(is_it).map(Loaded::per_second)
    };
    let bars = outcomes.iter().map(|outcome| Bar {
        label: outcome.subject.name.to_owned(),
        value: outcome.per_second(),
        is_ours: outcome.subject.library == OURS,
    });
    let rows = GOALS.map(|(ours, theirs)| Row {
        case: format!("npm package, {ours}, beside express-session with {theirs}"),
        unit: "requests/s",
        target: Target::TimesAtLeast(1.0),
        ours: of(OURS, ours),
        peer: of(THEIRS, theirs),
    });
    let head = ["server", "requests/s", "CPU µs/request", "p50 ms", "p99 ms", "lost"];
    let title = "The classic application on Express: requests in a second";
    Ok(Section {
        tables: vec![Table::new("The classic application", head, outcomes.iter().map(cells))],
        plots: vec![Plot::bars("node", title, "", bars)?],
        rows: rows.into(),
        raw: outcomes.iter().map(Loaded::raw).collect(),
        ..Section::default()
    })
}

fn cells(outcome: &Loaded) -> Vec<String> {
    let cpu = format!("{:.1}", outcome.cpu_micros());
    let first = [outcome.subject.name.to_owned(), figure(outcome.per_second()), cpu];
    first.into_iter().chain(outcome.last_cells()).collect()
}
