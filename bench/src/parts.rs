//! What is measured: the parts, each a section of the report.

use anyhow::Result;

use crate::report::Section;
use crate::{http, inprocess, node, scale, stores};

/// A part of the run.
#[derive(Debug)]
pub struct Part {
    /// What `--only` calls it.
    pub name: &'static str,
    /// Measures and reports.
    pub run: fn(&Options) -> Result<Section>,
}

/// The parts, in the order of the report.
pub const ALL: &[Part] = &[
    Part { name: "inprocess", run: inprocess::run },
    Part { name: "http", run: http::run },
    Part { name: "scale", run: scale::run },
    Part { name: "stores", run: stores::run },
    Part { name: "node", run: node::run },
];

/// What every part is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Less of everything, to see that it works.
    pub quick: bool,
    /// How long the memory store's sessions come and go, if not as long as it takes.
    pub churn_minutes: Option<u32>,
}
