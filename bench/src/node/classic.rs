//! The classic application: how many requests it answers in a second.

use anyhow::Result;
use serde_json::json;

use crate::http::{Loaded, Subject, load};
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

type Outcome = Loaded<Site>;

pub(super) fn run(options: &Options) -> Result<Section> {
    load(&SITES, options).map(|outcomes| section(&outcomes))
}

impl Subject for Site {
    fn name(self) -> String {
        format!("{}, {}", self.session, self.store)
    }

    fn has_sessions(self) -> bool {
        true
    }

    fn start(self, redis: &str) -> Result<Server> {
        let options = json!({ "session": self.session, "store": self.store, "url": redis });
        let mut command = Core::Measured.command("node");
        command.arg("classic.mjs").arg(options.to_string());
        command.current_dir(process::node_folder()?).env("NODE_ENV", "production");
        Server::start(command)
    }
}

fn cells(outcome: &Outcome) -> Vec<String> {
    let cpu = format!("{:.1}", outcome.cpu_micros());
    let mut cells = vec![outcome.subject.name(), figure(outcome.per_second()), cpu];
    cells.extend(outcome.last_cells());
    cells
}

fn section(outcomes: &[Outcome]) -> Section {
    let head = ["server", "requests/s", "CPU µs/request", "p50 ms", "p99 ms", "lost"];
    let bars = outcomes.iter().map(|outcome| Bar {
        label: outcome.subject.name(),
        value: outcome.per_second(),
        is_ours: outcome.subject.session == OURS,
    });
    let raw = outcomes.iter().map(|outcome| {
        json!({
            "server": outcome.subject.name(),
            "requests_per_second": outcome.per_second(),
            "cpu_microseconds_per_request": outcome.cpu_micros(),
            "lost": outcome.lost,
            "rounds": outcome.rounds,
        })
    });
    Section {
        tables: vec![Table {
            caption: "The classic application".to_owned(),
            head: head.map(str::to_owned).to_vec(),
            rows: outcomes.iter().map(cells).collect(),
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
        outcomes.iter().find(|outcome| outcome.subject == site).map(|outcome| outcome.per_second())
    };
    Row {
        case: format!("npm package, {ours}, beside express-session with {theirs}"),
        unit: "requests/s",
        target: Target::TimesAtLeast(1.0),
        ours: of(OURS, ours),
        peer: of(THEIRS, theirs),
    }
}
