//! The engine of [express-session for Rust](https://docs.rs/express-session): what a session is, says
//! and does, without any IO.
#![forbid(unsafe_code)]

mod constant;
pub mod cookie;
pub mod decide;
pub mod document;
mod id;
mod json;
mod keyring;
pub mod merge;
mod policy;
mod source;
pub mod store;
mod time;
pub mod token;

pub use document::{Corrupt, Document, InsertError};
pub use id::SessionId;
pub use keyring::{Keyring, NoSecret};
pub use policy::{Departures, LateWrite, Outage, Policy, Unset};
pub use source::{Clock, Random};
pub use time::Timestamp;
pub use token::Verified;
