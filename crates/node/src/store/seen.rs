//! The revisions of the records that were last read or written here, most of which are still current.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use express_session::store::Revision;
use express_session_core::SessionId;
use lru::LruCache;

/// The revisions of the most recently used sessions. A missing or outdated one costs a round trip.
pub(super) struct Seen(Mutex<Revisions>);

struct Revisions {
    of: LruCache<Box<str>, Revision>,
    /// The bytes of the texts that are revisions.
    bytes: usize,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Revisions { of: LruCache::new(SESSIONS), bytes: 0 }))
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<Revision> {
        self.lock().of.get(id.as_str()).cloned()
    }

    pub(super) fn insert(&self, id: &SessionId, revision: Revision) {
        let mut revisions = self.lock();
        revisions.bytes += bytes(&revision);
        if let Some((_, before)) = revisions.of.push(id.as_str().into(), revision) {
            revisions.bytes -= bytes(&before);
        }
        while revisions.bytes > BYTES
            && let Some((_, oldest)) = revisions.of.pop_lru()
        {
            revisions.bytes -= bytes(&oldest);
        }
    }

    pub(super) fn remove(&self, id: &SessionId) {
        let mut revisions = self.lock();
        if let Some(before) = revisions.of.pop(id.as_str()) {
            revisions.bytes -= bytes(&before);
        }
    }

    /// Ignores poisoning, since no other code runs while the lock is held.
    fn lock(&self) -> MutexGuard<'_, Revisions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(revision: &Revision) -> usize {
    revision.text().map_or(0, str::len)
}

/// Some megabyte of ids at most,
const SESSIONS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// and as many bytes of texts.
const BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_revisions_are_forgotten_beyond_a_total_of_bytes() {
        let seen = Seen::new();
        let id = |number: usize| SessionId::new(format!("id-{number}")).unwrap();
        let text = |bytes| Revision::by_text("x".repeat(bytes).into());
        for number in 0..9 {
            seen.insert(&id(number), text(1 << 20));
        }
        assert!(seen.get(&id(0)).is_none());
        assert!((1..9).all(|number| seen.get(&id(number)).is_some()));
        // Neither a revision that is replaced nor one that is removed counts.
        for _ in 0..9 {
            seen.insert(&id(1), text(1 << 20));
        }
        seen.remove(&id(2));
        seen.insert(&id(0), text(1 << 20));
        assert!((3..9).chain([0, 1]).all(|number| seen.get(&id(number)).is_some()));
        seen.insert(&id(9), text(BYTES + 1));
        assert!((0..10).all(|number| seen.get(&id(number)).is_none()));
    }
}
