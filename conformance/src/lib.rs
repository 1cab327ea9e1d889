//! The judge: plays generated scenarios to the real express-session on Node and to ours, and compares.
//!
//! `generate` makes a scenario up, `node` plays it to express-session and `ours` to our layer, or `package`
//! to our npm package; `compare` says where the outcomes differ. `departures` decides whether a difference
//! is one of those listed in DEPARTURES.md, and `shrink` makes the scenario of any other as small as it gets.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the judge asks for one kind out of many, and all others are treated alike"
)]
#![allow(
    missing_debug_implementations,
    missing_docs,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "no other project calls the judge"
)]

pub mod compare;
pub mod cookie;
pub mod departures;
pub mod generate;
pub mod judge;
pub mod log;
pub mod node;
pub mod ours;
pub mod outcome;
pub mod package;
pub mod scenario;
pub mod shrink;
pub mod value;
