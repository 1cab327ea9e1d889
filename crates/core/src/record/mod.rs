//! The record of a session: its JSON text, read and changed member by member.

mod codec;
mod document;
mod edited;
mod error;
pub(crate) mod json;
mod limits;
mod order;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use codec::{cookie_of, max_age_of};
pub use codec::{with_cookie, without_expiry};
pub use document::Document;
pub use error::{Corrupt, InsertError};
pub use limits::{LimitExceeded, RecordLimits};
pub use value::Json;
