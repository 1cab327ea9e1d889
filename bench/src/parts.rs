//! What is measured: the parts, each a section of the report.

use anyhow::Result;
use clap::Subcommand;

use crate::inprocess;
use crate::report::Section;

/// A part of the run.
#[derive(Debug)]
pub struct Part {
    /// What `--only` calls it.
    pub name: &'static str,
    /// Measures and reports.
    pub run: fn(&Options) -> Result<Section>,
}

/// The parts, in the order of the report.
pub const ALL: &[Part] = &[Part { name: "inprocess", run: inprocess::run }];

/// What every part is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Less of everything, to see that it works.
    pub quick: bool,
}

/// What the program is as a child of itself.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Drives one case of one subject
    #[command(hide = true)]
    Drive(inprocess::Drive),
}

impl Role {
    /// Does what the parent asked for.
    ///
    /// # Errors
    ///
    /// Whatever fails.
    pub fn play(&self) -> Result<()> {
        match self {
            Self::Drive(drive) => drive.play(),
        }
    }
}
