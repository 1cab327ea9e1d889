//! The memory of a session, beside that of express-session and tower-sessions.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use procfs::{Current as _, Meminfo};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::memory_store::{Memory, Ours, TowerSessions};
use crate::plot::Plot;
use crate::process::{self, Options};
use crate::report::{Row, Section, Table, Target, cells, figure};
use crate::{machine, view_counter};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    library: String,
    sessions: u64,
}

/// The memory of a process around so many sessions: in all, and JavaScript's heap on Node.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Held {
    resident: Growth,
    heap: Option<Growth>,
    sessions: u64,
}

/// In bytes.
#[derive(Debug, Deserialize, Serialize)]
struct Growth {
    before: u64,
    after: u64,
}

/// The visitors of ours come within this time, so that their sessions do not all expire together. It is
/// less than the day that a session lives.
const COMING: Duration = Duration::from_secs(20 * 60 * 60);

impl Args {
    pub(crate) async fn run(&self) -> Result<Held> {
        match self.library.as_str() {
            "ours" => hold::<Ours>(self.sessions).await,
            "tower-sessions" => hold::<TowerSessions>(self.sessions).await,
            other => bail!("{other} has no memory store in Rust"),
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
    Ok(Held { resident: Growth { before, after }, heap: None, sessions })
}

/// The libraries, with the share of their memory that ours may take.
const LIBRARIES: [(&str, Option<f64>); 3] =
    [("ours", None), ("express-session", Some(0.6)), ("tower-sessions", Some(0.5))];

/// The number of sessions of the targets.
pub(crate) const MILLION: u64 = 1_000_000;
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
    let held = |(library, _): (&'static str, Option<f64>)| {
        let is_possible = |count: &u64| library != "express-session" || *count < LARGEST_OBJECT;
        let held = counts.iter().copied().filter(is_possible).map(|count| match library {
            "express-session" => Held::on_node(count, &record, None),
            library => process::found(&["hold", library, &count.to_string()]),
        });
        Ok((library, held.collect::<Result<Vec<_>>>()?))
    };
    let all = LIBRARIES.into_iter().map(held).collect::<Result<Vec<_>>>()?;
    let bytes = |library: usize, sessions: u64| {
        Some(all[library].1.iter().find(|held| held.sessions == sessions)?.resident_of_one())
    };
    let row = |count: &u64| {
        let cell = |at| bytes(at, *count).map_or("–".to_owned(), figure);
        cells(figure(*count as f64), (0..all.len()).map(cell))
    };
    let points = |held: &Held| (held.sessions as f64, held.resident_of_one());
    let lines = all.iter().map(|(library, held)| (*library, held.iter().map(points).collect()));
    let names = ["sessions", "bytes"];
    let title = "Resident memory of a session";
    let plot = Plot::lines("memory", title, names, true, &lines.collect::<Vec<_>>())?;
    let rows = LIBRARIES.iter().enumerate().filter_map(|(at, (library, most))| {
        let case = format!("memory store, 1,000,000 sessions, beside {library}");
        let (target, unit) = (Target::TimesAtMost((*most)?), "bytes/session");
        Some(Row { case, unit, target, ours: bytes(0, MILLION), peer: bytes(at, MILLION) })
    });
    let head = ["sessions"].into_iter().chain(LIBRARIES.map(|(library, _)| library));
    let caption = "Bytes of resident memory for a session";
    let raw = all.iter().map(|(library, held)| json!({ "store": library, "held": held }));
    Ok(Section {
        tables: vec![Table::new(caption, head, counts.iter().map(row))],
        plots: vec![plot],
        rows: rows.collect(),
        raw: raw.collect(),
        ..Section::default()
    })
}

impl Held {
    /// Fills a store on Node with so many sessions, each like the record: express-session's, or a named one of ours.
    pub(crate) fn on_node(sessions: u64, record: &str, store: Option<&str>) -> Result<Self> {
        let mut node = process::node()?;
        // More than it needs: the limit is not what is measured.
        node.args(["--expose-gc", "--max-old-space-size=16000", "memory.mjs"]);
        process::read(node.args([&sessions.to_string(), record]).args(store))
    }

    pub(crate) fn resident_of_one(&self) -> f64 {
        self.of_one(&self.resident)
    }

    pub(crate) fn heap_of_one(&self) -> f64 {
        self.heap.as_ref().map_or(f64::NAN, |heap| self.of_one(heap))
    }

    fn of_one(&self, growth: &Growth) -> f64 {
        growth.after.saturating_sub(growth.before) as f64 / self.sessions as f64
    }
}
