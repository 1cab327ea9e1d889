//! The revisions of the records that were last read or written here, most of which are still current.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use express_session::store::Revision;
use express_session_core::SessionId;
use lru::LruCache;

/// The revisions of the most recently used sessions. A missing or outdated one costs a round trip.
pub(super) struct Seen(Mutex<LruCache<Box<str>, Revision>>);

impl Seen {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(SESSIONS)))
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<Revision> {
        self.lock().get(id.as_str()).copied()
    }

    pub(super) fn insert(&self, id: &SessionId, revision: Revision) {
        self.lock().put(id.as_str().into(), revision);
    }

    pub(super) fn remove(&self, id: &SessionId) {
        self.lock().pop(id.as_str());
    }

    /// Ignores poisoning, since no other code runs while the lock is held.
    fn lock(&self) -> MutexGuard<'_, LruCache<Box<str>, Revision>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some megabyte at most.
const SESSIONS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
