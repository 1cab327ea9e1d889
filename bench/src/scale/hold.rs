//! The memory of a session, beside that of express-session and tower-sessions.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use procfs::{Current as _, Meminfo};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::memory_store::{Library, Memory, Ours, TowerSessions};
use crate::plot::{Data, Lines, Plot};
use crate::process::{self, Options};
use crate::report::{Row, Section, Table, Target, figure};
use crate::{machine, view_counter};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    library: Library,
    sessions: u64,
}

/// The memory of a process, in bytes, around so many sessions.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Held {
    before: u64,
    after: u64,
    sessions: u64,
}

/// The visitors of ours come within this time, so that their sessions do not all expire together. It is
/// less than the day that a session lives.
const COMING: Duration = Duration::from_secs(20 * 60 * 60);

impl Args {
    pub(crate) async fn run(&self) -> Result<Held> {
        match self.library {
            Library::Ours => hold::<Ours>(self.sessions).await,
            Library::TowerSessions => hold::<TowerSessions>(self.sessions).await,
            Library::ExpressSession => bail!("express-session runs on Node"),
        }
    }
}

async fn hold<M: Memory>(sessions: u64) -> Result<Held> {
    let mut random = fastrand::Rng::with_seed(1);
    // Temporary allocations of opening a store happen before the first reading.
    let _ = view_counter::record().await?;
    let before = machine::resident()?;
    let store = M::open().await?;
    for number in 0..sessions {
        store.create(&mut random, COMING.mul_f64(number as f64 / sessions as f64)).await?;
    }
    let after = machine::resident()?;
    store.check(sessions, COMING).await?;
    Ok(Held { before, after, sessions })
}

/// The stores, with the share of the library's memory that ours may take.
const LIBRARIES: [(Library, Option<f64>); 3] = [
    (Library::Ours, None),
    (Library::ExpressSession, Some(0.6)),
    (Library::TowerSessions, Some(0.5)),
];

/// The number of sessions of the targets.
const MILLION: u64 = 1_000_000;
const QUICK: [u64; 3] = [10_000, 100_000, MILLION];
const ALL: [u64; 5] = [1000, 10_000, 100_000, MILLION, 10 * MILLION];

/// An upper bound of a session's bytes, those of the measurement included.
const MOST_BYTES: u64 = 1200;

/// V8 numbers all members of an object again with each that is added beyond so many, which takes too long.
const LARGEST_OBJECT: u64 = 1 << 23;

pub(super) fn section(options: Options) -> Result<Section> {
    let counts = if options.quick { &QUICK[..] } else { &ALL };
    let available = Meminfo::current()?.mem_available;
    let room = available.context("the system does not report its free memory")? / MOST_BYTES;
    let counts: Vec<_> = counts.iter().copied().filter(|count| *count < room).collect();
    let record: String = process::found(&["record"])?;
    let mut all = Vec::new();
    for (library, _) in LIBRARIES {
        let held: Result<Vec<Held>> = counts
            .iter()
            .filter(|count| library != Library::ExpressSession || **count < LARGEST_OBJECT)
            .map(|count| held(library, *count, &record))
            .collect();
        all.push((library, held?));
    }
    let bytes = |library: usize, sessions: u64| -> Option<f64> {
        Some(all[library].1.iter().find(|held| held.sessions == sessions)?.bytes_of_one())
    };
    let row = |count: &u64| {
        let cells = (0..all.len()).map(|at| bytes(at, *count).map_or("–".to_owned(), figure));
        [figure(*count as f64)].into_iter().chain(cells).collect()
    };
    let points = |held: &Held| (held.sessions as f64, held.bytes_of_one());
    let lines =
        all.iter().map(|(library, held)| (library.name(), held.iter().map(points).collect()));
    let data =
        Data::Lines(Lines { x: "sessions", y: "bytes", is_log: true, series: lines.collect() });
    let rows = LIBRARIES.iter().enumerate().filter_map(|(at, (library, most))| {
        Some(Row {
            case: format!("memory store, 1,000,000 sessions, beside {}", library.name()),
            unit: "bytes/session",
            target: Target::TimesAtMost((*most)?),
            ours: bytes(0, MILLION),
            peer: bytes(at, MILLION),
        })
    });
    let head = ["sessions"].into_iter().chain(LIBRARIES.map(|(library, _)| library.name()));
    let raw = all.iter().map(|(library, held)| json!({ "store": library.name(), "held": held }));
    Ok(Section {
        tables: vec![Table::new(
            "Bytes of resident memory for a session",
            head,
            counts.iter().map(row),
        )],
        plots: vec![Plot { name: "memory", title: "Resident memory of a session", data }],
        rows: rows.collect(),
        raw: raw.collect(),
        ..Section::default()
    })
}

fn held(library: Library, sessions: u64, record: &str) -> Result<Held> {
    let count = sessions.to_string();
    if library != Library::ExpressSession {
        return process::found(&["hold", library.name(), &count]);
    }
    let mut node = process::node()?;
    // More than it needs: the limit is not what is measured.
    node.args(["--expose-gc", "--max-old-space-size=16000", "memory.mjs", &count, record]);
    process::read(&mut node)
}

impl Held {
    fn bytes_of_one(&self) -> f64 {
        self.after.saturating_sub(self.before) as f64 / self.sessions as f64
    }
}
