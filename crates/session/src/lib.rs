//! express-session for Rust.
#![forbid(unsafe_code)]

mod body;
mod config;
mod connection;
mod diagnose;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod layer;
mod service;
mod session;
mod source;
mod state;
pub mod store;
mod typed;

pub use body::SessionBody;
pub use config::Secret;
pub use connection::SecureConnection;
pub use error::{ConfigError, Error, ErrorKind};
pub use express_session_core::cookie::{Cookie, Priority, SameSite, Secure};
pub use express_session_core::{Departures, SessionId, Timestamp, Unset};
pub use layer::SessionLayer;
pub use service::{ResponseFuture, SessionService};
pub use session::{Session, SessionCookie, Unloaded};
pub use source::{Clock, Random};
pub use store::memory::MemoryStore;
pub use typed::Typed;
