//! What a great many sessions take of a Node process: of JavaScript's heap, and in all.

use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::parts::Options;
use crate::process;
use crate::report::{Row, Section, Table, Target, figure};

/// What memory.mjs prints.
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

/// The number of sessions that the targets are for, also of a quick run.
const SESSIONS: &str = "1000000";

pub(super) fn run(_options: &Options) -> Result<Section> {
    let record: String = process::found(&["record"])?;
    let theirs = Held::by(&record, None)?;
    let ours = Held::by(&record, Some("native"))?;
    let stores = [("express-session's MemoryStore", &theirs), ("native MemoryStore", &ours)];
    let cells = |(name, held): &(&str, &Held)| {
        vec![
            (*name).to_owned(),
            figure(held.of_one(&held.heap)),
            figure(held.of_one(&held.resident)),
        ]
    };
    let row = |what, growth: fn(&Held) -> &Growth| Row {
        case: format!("npm package, 1,000,000 sessions in memory, {what}"),
        unit: "bytes/session",
        target: Target::TimesAtMost(1.0),
        ours: Some(ours.of_one(growth(&ours))),
        peer: Some(theirs.of_one(growth(&theirs))),
    };
    Ok(Section {
        tables: vec![Table {
            caption: "Bytes that a process grows by for each of 1,000,000 sessions".to_owned(),
            head: ["store", "heap", "resident"].map(str::to_owned).to_vec(),
            rows: stores.iter().map(cells).collect(),
        }],
        rows: vec![row("heap", |held| &held.heap), row("resident", |held| &held.resident)],
        raw: json!({ "express-session": theirs, "native": ours }),
        ..Section::default()
    })
}

impl Held {
    fn by(record: &str, store: Option<&str>) -> Result<Self> {
        let mut node = Command::new("node");
        // More than it takes: it is not the limit that is measured.
        node.args(["--expose-gc", "--max-old-space-size=16000", "memory.mjs", SESSIONS, record]);
        node.args(store).current_dir(process::node_folder()?);
        Ok(serde_json::from_str(&process::output(&mut node)?)?)
    }

    fn of_one(&self, growth: &Growth) -> f64 {
        growth.after.saturating_sub(growth.before) as f64 / self.sessions as f64
    }
}
