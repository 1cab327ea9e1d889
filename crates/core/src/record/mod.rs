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

pub(crate) use codec::cookie_of;
pub use codec::{with_cookie, with_expiry_reset, with_expiry_reset_as};
pub use document::Document;
pub use error::{Corrupt, InsertError};
pub use limits::{LimitExceeded, RecordLimits};
pub use value::Json;
