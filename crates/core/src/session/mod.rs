//! The session of one request as a state machine without IO.

pub mod merge;
