//! How the memory store bears many sessions.

use anyhow::Result;
use serde_json::json;

use crate::parts::Options;
use crate::report::Section;

mod churn;
mod latency;
mod memory;
mod threads;

const TEXT: &str = "\
The stores are called without HTTP, with the sessions of the view counter, each measurement in a process of its
own. The memory of a session is what the resident memory of the process grows by, over the number of sessions;
Node's is read after its garbage is collected. express-session keeps the same text for a session as ours, in an
object, which V8 sorts anew for each session beyond some eight million: it has no figure for ten. The
sweeping: of our sessions, so many expire at once that the store is getting rid of them during all of the measured
calls; a call is timed alone, with the timer's own time included. The calls while nothing expires are measured on
the same store, before each sweep. A visit loads a session and saves it. The churn: sessions come at an even rate,
are visited for some seconds, and expire after a minute by a clock that goes as fast as the store does; nobody logs
out.";

/// The parts of a section, each with some tables, plots, rows and figures.
type Measurement = fn(&Options) -> Result<Section>;

/// Fills memory stores.
///
/// # Errors
///
/// A store that loses a session.
pub fn run(options: &Options) -> Result<Section> {
    let mut whole = Section {
        title: "Many sessions in memory".to_owned(),
        text: TEXT.to_owned(),
        raw: json!({}),
        ..Section::default()
    };
    let measurements: [(&str, Measurement); 4] = [
        ("memory", memory::run),
        ("latency", latency::run),
        ("threads", threads::run),
        ("churn", churn::run),
    ];
    for (name, run) in measurements {
        let part = run(options)?;
        whole.tables.extend(part.tables);
        whole.plots.extend(part.plots);
        whole.rows.extend(part.rows);
        whole.raw[name] = part.raw;
    }
    Ok(whole)
}
