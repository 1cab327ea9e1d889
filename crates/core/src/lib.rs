//! The engine of [express-session for Rust](https://docs.rs/express-session): what a session is, says
//! and does, without any IO.
#![forbid(unsafe_code)]

mod id;
pub mod store;
mod time;

pub use id::SessionId;
pub use time::Timestamp;
