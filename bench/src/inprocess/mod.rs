//! The middleware's cost over the bare service, in this process.

use anyhow::Result;
use clap::Args;

use crate::parts::Options;
use crate::report::Section;

/// What a child does: one case of one subject.
#[derive(Debug, Args)]
pub struct Drive {
    /// How many requests
    requests: u64,
}

impl Drive {
    pub(crate) fn play(&self) -> Result<()> {
        anyhow::bail!("nothing to drive yet, {} times", self.requests)
    }
}

/// Measures every subject in every case.
///
/// # Errors
///
/// A subject that does not do what the case asks for.
pub fn run(_options: &Options) -> Result<Section> {
    Ok(Section { title: "In process".to_owned(), ..Section::default() })
}
