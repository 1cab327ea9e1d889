//! Measures ours and the peers on the same work: the parts, and the report that they fill.

pub mod inprocess;
pub mod machine;
pub mod parts;
pub mod plot;
pub mod report;
