//! The judge: plays generated scenarios to the real express-session on Node and to ours, and compares.
//!
//! `generate` makes a scenario up, `node` plays it to express-session, `ours` to our layer, and
//! `compare` says where the outcomes differ. `departures` decides whether a difference is one of
//! those listed in DEPARTURES.md, and `shrink` makes the scenario of any other as small as it gets.

pub mod cookie;
pub mod generate;
pub mod node;
pub mod outcome;
pub mod scenario;
pub mod value;
