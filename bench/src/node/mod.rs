//! Our npm package beside express-session, in an Express application.

use anyhow::Result;

use crate::process::Options;
use crate::report::Section;

mod classic;
mod heap;

pub(crate) fn run(options: Options) -> Result<Section> {
    let parts = [("classic", classic::section(options)?), ("heap", heap::section()?)];
    Ok(Section::of_parts("The npm package", include_str!("section.md"), parts))
}
