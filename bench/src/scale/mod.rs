//! The memory store with many sessions.

use anyhow::Result;

use crate::process::Options;
use crate::report::Section;

pub(crate) mod churn;
pub(crate) mod hold;
pub(crate) mod latency;
mod memory_store;
pub(crate) mod threads;

pub(crate) fn run(options: Options) -> Result<Section> {
    let parts = [
        ("memory", hold::section(options)?),
        ("latency", latency::section(options)?),
        ("threads", threads::section(options)?),
        ("churn", churn::section(options)?),
    ];
    Ok(Section::of_parts("Many sessions in memory", include_str!("section.md"), parts))
}
