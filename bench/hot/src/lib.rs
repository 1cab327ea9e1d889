//! The hot paths of a session, as cases for any session library, and our library.
//!
//! A [`Site`] is a store with services that answer requests. [`Prepared`] is a case made ready on a site: its visitors
//! have their sessions, and the next requests are the measured ones.
#![allow(
    missing_debug_implementations,
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "no other project calls the hot paths"
)]

mod case;
mod handle;
mod ours;
mod prepared;
mod site;

pub use case::{Case, Work};
pub use handle::{Handle, service};
pub use ours::Ours;
pub use prepared::{Prepared, runtime};
pub use site::{Bare, Body, Driver, Reply, Site, Tower};
