//! A session id as the table keeps it: in place where it is short, which nearly every id is.

use std::hash::BuildHasher;

use express_session_core::SessionId;

/// Longest id that is kept in place: our own have 32 bytes, a UUID has 36.
const SHORT: usize = 38;

/// An id in 40 bytes, where a [`SessionId`] of its own takes 16 and 64 more on the heap.
pub(super) enum Key {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(SessionId),
}

/// An id to look for, hashed once.
pub(super) struct Probe {
    pub(super) key: Key,
    pub(super) hash: u64,
}

impl Probe {
    pub(super) fn new(id: &SessionId, hasher: &impl BuildHasher) -> Self {
        let key = Key::new(id);
        let hash = hasher.hash_one(key.as_bytes());
        Self { key, hash }
    }
}

impl Key {
    /// The key of a free slot. No id is empty, so no id equals it.
    pub(super) const FREE: Self = Self::Short { len: 0, bytes: [0; SHORT] };

    pub(super) fn new(id: &SessionId) -> Self {
        let text = id.as_str().as_bytes();
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(front) => {
                front.copy_from_slice(text);
                Self::Short { len: text.len() as u8, bytes }
            }
            None => Self::Long(id.clone()),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(id) => id.as_str().as_bytes(),
        }
    }

    /// Returns the id, or `None` for the key of a free slot.
    pub(super) fn id(&self) -> Option<SessionId> {
        match self {
            // The bytes were text when they came in.
            Self::Short { .. } => {
                std::str::from_utf8(self.as_bytes()).ok().and_then(SessionId::new)
            }
            Self::Long(id) => Some(id.clone()),
        }
    }
}

impl PartialEq for Key {
    /// Compares in constant time, as [`SessionId`] does.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Short { len, bytes }, Self::Short { len: other_len, bytes: other }) => {
                let differing = bytes.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
                (differing | (len ^ other_len)) == 0
            }
            (Self::Long(id), Self::Long(other)) => id == other,
            (Self::Short { .. }, Self::Long(_)) | (Self::Long(_), Self::Short { .. }) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(&SessionId::new(text).unwrap())
    }

    #[test]
    fn key_gives_back_the_id_it_was_made_of() {
        for len in [1, 32, 36, 37, 38, 39, 40, 4096] {
            let text = "é".repeat(len / 2) + &"x".repeat(len % 2);
            assert_eq!(key(&text).id().unwrap().as_str(), text);
            assert!(key(&text) == key(&text));
        }
        assert!(Key::FREE.id().is_none());
    }

    #[test]
    fn keys_of_different_ids_differ() {
        let texts =
            ["a", "b", "A", "a\0", "a\0\0", &"a".repeat(38), &"a".repeat(39), &"a".repeat(40)];
        for (at, text) in texts.iter().enumerate() {
            for other in &texts[at + 1..] {
                assert!(key(text) != key(other), "{text:?} {other:?}");
            }
            assert!(key(text) != Key::FREE);
        }
    }

    #[test]
    fn key_is_no_larger_than_promised() {
        assert_eq!(size_of::<Key>(), 40);
    }
}
