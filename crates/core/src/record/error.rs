//! Errors of reading and writing a record.

use std::fmt;

use super::limits::LimitExceeded;

/// The reason why a stored text is not a session. It names the place of the error, and never the content.
///
/// ```
/// use express_session_core::{Corrupt, Document};
///
/// let corrupt = |text: &str| Document::parse(text).err();
/// assert_eq!(corrupt("{}x"), Some(Corrupt::NotJson(2)));
/// assert_eq!(corrupt("{}"), Some(Corrupt::NoCookie));
/// assert_eq!(Corrupt::NoCookie.to_string(), "no cookie object in the record");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corrupt {
    /// The text is not a JSON object; the error is at this byte.
    NotJson(usize),
    /// The record has no `cookie` member, or its `cookie` is not an object.
    NoCookie,
    /// A field of the `cookie` member has a value for which express-session throws.
    BadCookie(&'static str),
    /// The record is larger than the [limits](super::RecordLimits) allow.
    Limit(LimitExceeded),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(at) => write!(f, "not a JSON object, at byte {at}"),
            Self::NoCookie => f.write_str("no cookie object in the record"),
            Self::BadCookie(field) => write!(f, "unusable cookie.{field} in the record"),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}

impl std::error::Error for Corrupt {}

impl From<LimitExceeded> for Corrupt {
    fn from(limit: LimitExceeded) -> Self {
        Self::Limit(limit)
    }
}

/// The reason why a member could not be set.
///
/// ```
/// use express_session_core::{Document, InsertError};
///
/// let error = Document::new().insert("id", &1).unwrap_err();
/// assert!(matches!(error, InsertError::Reserved));
/// assert_eq!(error.to_string(), "the name is reserved by express-session");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum InsertError {
    /// express-session reserves this name, and would drop the member when it loads the record.
    Reserved,
    /// The value cannot be serialised as JSON.
    Serialize(serde_json::Error),
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved => f.write_str("the name is reserved by express-session"),
            Self::Serialize(_) => f.write_str("the value cannot be serialised as JSON"),
        }
    }
}

impl std::error::Error for InsertError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Reserved => None,
            Self::Serialize(source) => Some(source),
        }
    }
}
