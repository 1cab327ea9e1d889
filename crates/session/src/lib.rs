//! express-session for Rust.
