//! The values that a handler works with: the session, its cookie, its lock.

#[cfg(feature = "axum")]
mod extract;
pub(crate) mod lock;
pub(crate) mod session;
pub(crate) mod typed;
