//! The values that a handler works with: the session, its cookie, its lock, its login, the user's other sessions, its
//! flash messages and CSRF tokens.

#[cfg(feature = "csrf")]
pub(crate) mod csrf;
#[cfg(feature = "axum")]
mod extract;
pub(crate) mod flash;
pub(crate) mod lock;
pub(crate) mod login;
pub(crate) mod session;
pub(crate) mod typed;
pub(crate) mod users;
