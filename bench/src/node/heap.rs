//! The memory of a million sessions in a Node process: JavaScript's heap, and in all.

use anyhow::Result;
use serde_json::json;

use crate::process;
use crate::report::{Row, Section, Table, Target, figure};
use crate::scale::hold::{Held, MILLION};

/// Fills as many sessions as the targets have, also in a quick run.
pub(super) fn section() -> Result<Section> {
    let record: String = process::found(&["record"])?;
    let theirs = Held::on_node(MILLION, &record, None)?;
    let ours = Held::on_node(MILLION, &record, Some("native"))?;
    let stores = [("express-session's MemoryStore", &theirs), ("native MemoryStore", &ours)];
    let cells = |(name, held): (&str, &Held)| {
        vec![name.to_owned(), figure(held.heap_of_one()), figure(held.resident_of_one())]
    };
    let caption = "Bytes that a process grows by for each of 1,000,000 sessions";
    let row = |what, of_one: fn(&Held) -> f64| Row {
        case: format!("npm package, 1,000,000 sessions in memory, {what}"),
        unit: "bytes/session",
        target: Target::TimesAtMost(1.0),
        ours: Some(of_one(&ours)),
        peer: Some(of_one(&theirs)),
    };
    Ok(Section {
        tables: vec![Table::new(caption, ["store", "heap", "resident"], stores.map(cells))],
        rows: vec![row("heap", Held::heap_of_one), row("resident", Held::resident_of_one)],
        raw: json!({ "express-session": theirs, "native": ours }),
        ..Section::default()
    })
}
