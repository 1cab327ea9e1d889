//! Measures ours and the peers on the same work.
//!
//! Each part of the report is a module, and a measurement that needs a process of its own is a [`command`] of the same
//! program: the file that reports it also runs it.

pub mod command;
mod contention;
mod figures;
mod http;
pub mod inprocess;
mod machine;
mod minimal_layer;
mod node;
mod plot;
mod process;
mod report;
mod scale;
mod stores;
mod view_counter;
