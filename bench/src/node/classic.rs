//! The classic application: its requests per second.

use anyhow::Result;
use serde_json::json;

use crate::http::{Loaded, Subject, load};
use crate::plot::{Bar, Data, Plot};
use crate::process::{self, Options, Server};
use crate::report::{Row, Section, Table, Target, figure};

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

/// The targets: our store, and the store of express-session beside it.
const GOALS: [(&str, &str); 4] = [
    ("MemoryStore", "MemoryStore"),
    ("native MemoryStore", "MemoryStore"),
    ("connect-redis", "connect-redis"),
    ("native RedisStore", "connect-redis"),
];

impl Subject for Site {
    fn name(self) -> String {
        format!("{}, {}", self.session, self.store)
    }

    fn has_sessions(self) -> bool {
        true
    }

    fn start(self, redis: &str) -> Result<Server> {
        let options = json!({ "session": self.session, "store": self.store, "url": redis });
        process::node_server("classic.mjs", &options)
    }
}

pub(super) fn section(options: Options) -> Result<Section> {
    let outcomes = load(&SITES, options)?;
    let of = |session, store| {
        let site = Site { session, store };
        outcomes.iter().find(|outcome| outcome.subject == site).map(Loaded::per_second)
    };
    let bars = outcomes.iter().map(|outcome| Bar {
        label: outcome.subject.name(),
        value: outcome.per_second(),
        is_ours: outcome.subject.session == OURS,
    });
    let rows = GOALS.map(|(ours, theirs)| Row {
        case: format!("npm package, {ours}, beside express-session with {theirs}"),
        unit: "requests/s",
        target: Target::TimesAtLeast(1.0),
        ours: of(OURS, ours),
        peer: of(THEIRS, theirs),
    });
    let head = ["server", "requests/s", "CPU µs/request", "p50 ms", "p99 ms", "lost"];
    Ok(Section {
        tables: vec![Table::new("The classic application", head, outcomes.iter().map(cells))],
        plots: vec![Plot {
            name: "node",
            title: "The classic application on Express: requests in a second",
            data: Data::Bars("", bars.collect()),
        }],
        rows: rows.into(),
        raw: outcomes.iter().map(Loaded::raw).collect(),
        ..Section::default()
    })
}

fn cells(outcome: &Loaded<Site>) -> Vec<String> {
    let cpu = format!("{:.1}", outcome.cpu_micros());
    let mut cells = vec![outcome.subject.name(), figure(outcome.per_second()), cpu];
    cells.extend(outcome.last_cells());
    cells
}
