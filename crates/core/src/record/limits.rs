//! The limits of a record, which bound the work and the memory that one session can cost.

use std::fmt;

/// How large the record of a session may be.
///
/// The limits are checked before a record is used and before it is stored. A session that exceeds one is neither cut nor
/// deleted: the request fails with an error that names the limit, and the store keeps what it has. The defaults are far
/// above what applications store; they stop a visitor whose input becomes members of the session.
///
/// | limit | default | counts |
/// |---|---|---|
/// | [`members`](Self::members) | 10,000 | the members of the session, without the cookie |
/// | [`bytes`](Self::bytes) | 4 MiB | the JSON text |
/// | [`depth`](Self::depth) | 127 | lists and objects inside of each other in one member, which is as deep as serde_json reads |
///
/// ```
/// use express_session_core::record::{LimitExceeded, RecordLimits};
/// use express_session_core::Document;
///
/// let limits = RecordLimits::default().members(2);
/// let text = r#"{"cookie":{},"a":1,"b":2}"#;
/// let mut document = Document::parse(text)?;
/// assert_eq!(limits.check(&document, text.len()), Ok(()));
/// document.insert("c", &3)?;
/// assert_eq!(limits.check(&document, text.len()), Err(LimitExceeded::Members));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    members: usize,
    bytes: usize,
    depth: usize,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self { members: 10_000, bytes: 4 << 20, depth: 127 }
    }
}

impl RecordLimits {
    /// Sets the largest number of members. Default 10,000.
    #[must_use]
    pub fn members(self, members: usize) -> Self {
        Self { members, ..self }
    }

    /// Sets the largest length of the text in bytes. Default 4 MiB. A store may have a lower limit of its own.
    #[must_use]
    pub fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// Sets how many lists and objects may be inside of each other in one member. Default 127.
    #[must_use]
    pub fn depth(self, depth: usize) -> Self {
        Self { depth, ..self }
    }

    /// Checks a length before the text is read.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded::Bytes`].
    #[inline]
    pub fn check_bytes(&self, bytes: usize) -> Result<(), LimitExceeded> {
        if bytes > self.bytes { Err(LimitExceeded::Bytes) } else { Ok(()) }
    }

    /// Checks a document, with the length of its record.
    ///
    /// # Errors
    ///
    /// The first limit that is exceeded.
    #[inline]
    pub fn check(&self, document: &crate::Document, bytes: usize) -> Result<(), LimitExceeded> {
        self.check_bytes(bytes)?;
        if document.len() > self.members {
            return Err(LimitExceeded::Members);
        }
        if document.depth() > self.depth { Err(LimitExceeded::Depth) } else { Ok(()) }
    }
}

/// The limit that a record exceeds.
///
/// ```
/// use express_session_core::record::LimitExceeded;
///
/// assert_eq!(LimitExceeded::Depth.to_string(), "the record exceeds record_limits.depth");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitExceeded {
    /// [`RecordLimits::members`].
    Members,
    /// [`RecordLimits::bytes`].
    Bytes,
    /// [`RecordLimits::depth`].
    Depth,
}

impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Members => "the record exceeds record_limits.members",
            Self::Bytes => "the record exceeds record_limits.bytes",
            Self::Depth => "the record exceeds record_limits.depth",
        })
    }
}

impl std::error::Error for LimitExceeded {}
