//! Where sessions are kept between requests: the port that every store implements, and the stores
//! that come with this crate.
//!
//! | store | where records live | for |
//! |---|---|---|
//! | [`memory::MemoryStore`] | this process | one process, tests, development |
//!
//! A store of your own implements [`Store`]; `express-session-testkit` has the laws to test it with.

mod any;
mod connect;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "memcached")]
pub mod memcached;
pub mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use any::AnyStore;
pub use connect::{ConnectError, ConnectErrorKind, connect};
pub use express_session_core::store::*;
