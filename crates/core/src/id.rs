//! The session id: the name of a record, and a secret.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::signing::constant_time;

/// A session's id: the key of its record and the content of the signed cookie.
///
/// An id grants access to its session. It therefore prints as `SessionId(redacted)` and compares in constant time.
/// Cloning an id increments a reference count.
///
/// ```
/// use express_session_core::SessionId;
///
/// let id = SessionId::from_random([0; 24]);
/// assert_eq!(id.as_str(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
/// assert_eq!(format!("{id:?}"), "SessionId(redacted)");
/// ```
#[derive(Clone)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// The number of random bytes of an id: 24 (192 bits), as express-session requests from uid-safe.
    pub const RANDOM_BYTES: usize = 24;

    /// Creates an id from 24 random bytes: 32 characters of base64url without padding (item 33).
    ///
    /// The bytes must come from a cryptographic source, which the caller provides.
    #[must_use]
    pub fn from_random(bytes: [u8; Self::RANDOM_BYTES]) -> Self {
        let mut text = [0; 32];
        // 24 bytes fill exactly 32 characters, so that the slice always has room.
        let _ = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        Self(std::str::from_utf8(&text).unwrap_or_default().into())
    }

    /// Creates an id from any other text. Returns `None` if it is empty.
    ///
    /// The ids of a custom `genid` are created this way. Like express-session, this accepts any length and any
    /// characters, but treats an empty id as a missing one (item 29).
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Option<Self> {
        let text = text.into();
        if text.is_empty() { None } else { Some(Self(text)) }
    }

    /// Returns the id itself, for a store's key. Do not log it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || constant_time::same(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for SessionId {}

/// For maps and sets. An id is random, so that its hash needs no protection from collisions beyond that of the map.
impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_become_32_url_safe_characters() {
        let bytes = std::array::from_fn(|i| 255 - i as u8);
        assert_eq!(SessionId::from_random(bytes).as_str(), "__79_Pv6-fj39vX08_Lx8O_u7ezr6uno");
    }

    #[test]
    fn empty_id_is_refused() {
        assert!(SessionId::new("").is_none());
    }

    #[test]
    fn id_equals_only_the_same_id() {
        let id = |text: &str| SessionId::new(text).unwrap();
        assert_eq!(id("apple"), id("apple"));
        for other in ["applf", "Apple", "appl", "apples"] {
            assert_ne!(id("apple"), id(other));
        }
        let set = std::collections::HashSet::from([id("apple"), id("pear")]);
        assert!(set.contains(&id("apple")) && !set.contains(&id("plum")));
    }

    #[test]
    fn id_never_prints() {
        let id = SessionId::new("very-secret").unwrap();
        assert_eq!(format!("{id:?} {id:#?}"), "SessionId(redacted) SessionId(redacted)");
    }
}
