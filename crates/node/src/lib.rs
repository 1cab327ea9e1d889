//! The addon of the npm package `express-session-rs`: the engine, and the stores.
//!
//! JavaScript hooks the response and holds the session; here are the cookie, its signature, what is to
//! be done with a session, and the stores. A panic becomes a JavaScript error: each exported function
//! catches it.

pub mod engine;
pub mod store;
