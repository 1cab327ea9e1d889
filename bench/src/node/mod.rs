//! Our npm package beside express-session: what an Express application gains by its import.

use anyhow::Result;
use serde_json::json;

use crate::parts::Options;
use crate::report::Section;

mod classic;
mod heap;

const TEXT: &str = "\
The classic application of Express as its users write it, with `resave: false` and `saveUninitialized: true`, on
Node: with express-session, and with our npm package in its place. Load, cores and rounds are those of the part
over HTTP. The native stores work on a thread of their own, which is on the server's core here and counts as its
time. The memory stores are called without HTTP, each in a process of its own, and read after the garbage is
collected.";

/// Loads the classic application, and fills memory stores.
///
/// # Errors
///
/// A server that does not start, or does not answer as a view counter does.
pub fn run(options: &Options) -> Result<Section> {
    let (classic, heap) = (classic::run(options)?, heap::run(options)?);
    Ok(Section {
        title: "The npm package".to_owned(),
        text: TEXT.to_owned(),
        raw: json!({ "classic": classic.raw, "heap": heap.raw }),
        tables: [classic.tables, heap.tables].concat(),
        plots: [classic.plots, heap.plots].concat(),
        rows: [classic.rows, heap.rows].concat(),
    })
}
