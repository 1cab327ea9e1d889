//! The decision about a session at the end of its request, as a pure function.
//!
//! The caller determines the [`Facts`], calls [`plan`], and carries out the [`Plan`]. Together with the methods of
//! [`Policy`] this is the only place that decides about a session. The rules are express-session's (items 40, 41 and
//! 47 to 51); a rule that a [departure](crate::Departures) changes cites its number.
//!
//! `tests/decide.table` lists every row, so that a change of policy shows as changed lines; `tests/decide.rs` states
//! the invariants of all rows.

mod facts;
mod failure;
mod plan;

pub use facts::{
    Attributes, CookieMatch, Data, Expiry, Facts, Lifecycle, Origin, Reach, RecordStatus, Saved,
};
pub use failure::{Fault, OnFailure, Step};
pub use plan::{CookieAction, Plan, StoreAction, plan};

#[cfg(doc)]
use crate::Policy;
