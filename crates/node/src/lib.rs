//! The addon of the npm package `express-session-rs`: the engine and the stores.
//!
//! JavaScript hooks the response and has the session object; the addon has the cookie, its signature, the
//! decisions about a session, and the stores. Every exported function catches panics, and throws them as
//! JavaScript errors.

pub mod engine;
pub mod session;
pub mod store;
