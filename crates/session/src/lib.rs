//! express-session for Rust.

pub mod store;

pub use store::memory::MemoryStore;
