//! Measures ours and the peers on the same work: the parts, and the report that they fill.

mod figures;
pub mod http;
pub mod inprocess;
mod least;
pub mod machine;
pub mod node;
pub mod parts;
pub mod plot;
mod process;
pub mod report;
pub mod scale;
pub mod stores;

pub use least::{Held, Least};
