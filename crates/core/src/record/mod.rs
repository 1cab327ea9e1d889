//! A session's record: its JSON text, read and changed member by member.

mod document;
pub(crate) mod json;

pub use document::*;
