//! The allocations of a request. `src/bin/count.rs` counts them with an allocator of its own.

use std::process::Command;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::process;

/// The allocations of one subject for a request in one case.
#[derive(Debug, Deserialize, Serialize)]
pub struct Allocations {
    /// The case's name.
    pub case: String,
    /// The subject's name.
    pub subject: String,
    /// The number of allocations, those that grow an older one included.
    pub count: f64,
    /// Their bytes.
    pub bytes: f64,
}

/// Runs the other program, which lies beside this one.
pub(super) fn counted() -> Result<Vec<Allocations>> {
    let program = process::itself()?.with_file_name("count");
    ensure!(program.exists(), "{} is missing: build all programs", program.display());
    process::read(&mut Command::new(program))
}
