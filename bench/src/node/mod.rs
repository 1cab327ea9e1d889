//! Our npm package beside express-session, in an Express application.

use anyhow::Result;

use crate::process::Options;
use crate::report::Section;

mod classic;
mod heap;

const TEXT: &str = "\
The classic application of Express as its users write it, with `resave: false` and `saveUninitialized: true`, on
Node: with express-session, and with our npm package in its place. Load, cores and rounds are those of the part
over HTTP. The native stores work on a thread of their own, which is on the server's core here and counts as its
time. The memory stores are called without HTTP, each in a process of its own, and read after a garbage
collection.";

pub(crate) fn run(options: Options) -> Result<Section> {
    let parts = [("classic", classic::section(options)?), ("heap", heap::section()?)];
    Ok(Section::of_parts("The npm package", TEXT, parts))
}
