//! How often a request allocates. `src/bin/count.rs` counts, with an allocator that does.

use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process;

/// What one subject allocates for a request in one case.
#[derive(Debug, Deserialize, Serialize)]
pub struct Allocations {
    /// The case's name.
    pub case: String,
    /// The subject's name.
    pub subject: String,
    /// Pieces that were allocated, or allocated anew to grow.
    pub count: f64,
    /// Their bytes.
    pub bytes: f64,
}

/// Lets the other program count.
pub(super) fn counted() -> Result<Vec<Allocations>> {
    let mut program = Command::new(process::beside("count")?);
    Ok(serde_json::from_str(&process::output(&mut program)?)?)
}
