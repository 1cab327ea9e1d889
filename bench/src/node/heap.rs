//! The memory of a million sessions in a Node process: JavaScript's heap, and in all.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::process;
use crate::report::{Row, Section, Table, Target, figure};

/// The output of memory.mjs.
#[derive(Debug, Deserialize, Serialize)]
struct Held {
    #[serde(flatten)]
    resident: Growth,
    heap: Growth,
    sessions: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Growth {
    before: u64,
    after: u64,
}

/// The number of sessions of the targets, also in a quick run.
const SESSIONS: &str = "1000000";

pub(super) fn section() -> Result<Section> {
    let record: String = process::found(&["record"])?;
    let theirs = Held::by(&record, None)?;
    let ours = Held::by(&record, Some("native"))?;
    let stores = [("express-session's MemoryStore", &theirs), ("native MemoryStore", &ours)];
    let cells = |(name, held): (&str, &Held)| {
        vec![name.to_owned(), figure(held.of_one(&held.heap)), figure(held.of_one(&held.resident))]
    };
    let caption = "Bytes that a process grows by for each of 1,000,000 sessions";
    let row = |what, growth: fn(&Held) -> &Growth| Row {
        case: format!("npm package, 1,000,000 sessions in memory, {what}"),
        unit: "bytes/session",
        target: Target::TimesAtMost(1.0),
        ours: Some(ours.of_one(growth(&ours))),
        peer: Some(theirs.of_one(growth(&theirs))),
    };
    Ok(Section {
        tables: vec![Table::new(caption, ["store", "heap", "resident"], stores.map(cells))],
        rows: vec![row("heap", |held| &held.heap), row("resident", |held| &held.resident)],
        raw: json!({ "express-session": theirs, "native": ours }),
        ..Section::default()
    })
}

impl Held {
    fn by(record: &str, store: Option<&str>) -> Result<Self> {
        let mut node = process::node()?;
        // More than it needs: the limit is not what is measured.
        node.args(["--expose-gc", "--max-old-space-size=16000", "memory.mjs", SESSIONS, record]);
        process::read(node.args(store))
    }

    fn of_one(&self, growth: &Growth) -> f64 {
        growth.after.saturating_sub(growth.before) as f64 / self.sessions as f64
    }
}
