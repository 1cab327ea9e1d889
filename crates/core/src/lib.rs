//! The engine of [express-session for Rust](https://docs.rs/express-session): sessions, cookies, records and policy,
//! without IO.
#![forbid(unsafe_code)]

pub mod cookie;
pub mod decide;
mod id;
pub mod metadata;
pub mod policy;
pub mod record;
pub mod session;
pub mod signing;
mod sources;
pub mod store;
mod time;

pub use id::SessionId;
pub use metadata::Metadata;
pub use policy::{
    AmbiguousCookie, CacheHeaders, Departures, EndedBy, LateWrite, Outage, Policy, TouchAfter,
    UnreadableRecord, Unset,
};
pub use record::{Corrupt, Document, InsertError};
pub use signing::{Keyring, NoSecret, Verified};
pub use sources::{Clock, Random};
pub use time::Timestamp;
