//! The hot paths of a session, as cases that any session library can be put to, and ours.
//!
//! A [`Site`] is a store with what answers requests on it. [`Prepared`] is a case made ready on a site: its
//! visitors have their sessions, and what comes next is nothing but the requests that are measured.

mod case;
mod handle;
mod ours;
mod prepared;
mod site;

pub use case::{Case, Work};
pub use handle::{Handle, service};
pub use ours::Ours;
pub use prepared::{Prepared, alter};
pub use site::{Bare, Body, Driver, Reply, Site, Tower};
