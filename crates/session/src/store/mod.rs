//! Where sessions are kept between requests: the port that every store implements, and the stores
//! that come with this crate.
//!
//! | store | where records live | for |
//! |---|---|---|
//! | [`memory::MemoryStore`] | this process | one process, tests, development |
//!
//! A store of your own implements [`Store`]; `express-session-testkit` has the laws to test it with.

mod any;
pub mod memory;

pub use any::AnyStore;
pub use express_session_core::store::*;
