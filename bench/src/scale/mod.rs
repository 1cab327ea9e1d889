//! The memory store with many sessions.

use anyhow::Result;

use crate::process::Options;
use crate::report::Section;

pub(crate) mod churn;
pub(crate) mod hold;
pub(crate) mod latency;
mod memory_store;
pub(crate) mod threads;

const TEXT: &str = "\
The stores are called without HTTP, with the sessions of the view counter, each measurement in a process of its
own. The memory of a session is the growth of the process's resident memory over the number of sessions; Node's is
read after a garbage collection. express-session keeps the same text for a session as ours, in an object, which V8
sorts again for each session beyond some eight million: it has no figure for ten. The sweep: so many of our
sessions expire together that the store removes them during all of the measured calls; each call is timed alone,
the timer's own time included. The calls without a sweep are measured on the same store, before each sweep. A visit
loads a session and saves it. The churn: sessions are created at an even rate, visited for some seconds, and expire
after a minute of a clock that runs as fast as the store works; none is destroyed explicitly.";

pub(crate) fn run(options: Options) -> Result<Section> {
    let parts = [
        ("memory", hold::section(options)?),
        ("latency", latency::section(options)?),
        ("threads", threads::section(options)?),
        ("churn", churn::section(options)?),
    ];
    Ok(Section::of_parts("Many sessions in memory", TEXT, parts))
}
