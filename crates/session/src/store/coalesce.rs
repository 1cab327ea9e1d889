//! One load for requests of one session that come at the same time.
//!
//! 1. A caller shares a call only if that had not begun when the caller came: one that is under way may
//!    have read before a write that the caller knows of.
//! 2. So there is at most one load of an id under way, and those who come meanwhile wait together for
//!    the next. Renewals are counted apart from loads.
//! 3. Whoever waits drives the call, and the one before it. A caller that goes away, or is not polled,
//!    holds nobody up; a call that nobody waits for any more is dropped.
//! 4. Who waits behind a call that the store does not answer shares that failure: without sharing it
//!    would have been under way at the same time. So nobody waits for two deadlines.
//! 5. A call is told the latest time that one of its callers brought: nobody gets a record that has
//!    expired for it, and nobody's renewal is shorter than it asked for.
//! 6. What writes passes on as it comes.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Loaded, LoadedAndTouched, LockOutcome,
    LockToken, Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};
use futures_util::future::{BoxFuture, FutureExt as _, Shared, WeakShared};

/// A store around another, whose parallel loads of one session share one call.
///
/// It is worth its while where pages make many requests at once, each with the session: of fifty, two
/// ask the store. Where requests of a session come one after the other it saves nothing, and costs some
/// allocations for each load. A load may take as long as two, because it waits for the one that is under
/// way. The sharing is within this process, and within this store and its clones.
///
/// What a caller has written, it finds: a load that was under way before is never taken for its own.
///
/// ```
/// use express_session::store::Coalesced;
/// use express_session::{MemoryStore, SessionLayer};
///
/// let layer = SessionLayer::new("keyboard cat").store(Coalesced::new(MemoryStore::new()));
/// assert!(layer.build().is_ok());
/// ```
pub struct Coalesced<S> {
    store: Arc<S>,
    loads: Arc<Calls<Option<Loaded>>>,
    renewals: Arc<Calls<Option<LoadedAndTouched>>>,
}

/// The calls of one kind, for as long as somebody waits for them.
struct Calls<T> {
    shards: [Mutex<Shard<T>>; SHARDS],
    hasher: RandomState,
    /// Numbers them.
    count: AtomicU64,
}

type Shard<T> = HashMap<Box<str>, Turns<T>>;

type Call<T> = BoxFuture<'static, Result<T, Error>>;

/// The calls for one id.
struct Turns<T> {
    /// The one that the store is busy with.
    under_way: Option<KeyedGuard<T>>,
    /// The one behind it, which those who come now share.
    next: Option<KeyedGuard<T>>,
}

/// A call that some caller is waiting for.
struct KeyedGuard<T> {
    number: u64,
    call: WeakShared<Call<T>>,
    /// The latest time that a caller brought.
    now: Timestamp,
}

/// A call's place among the others, until it ends or is dropped.
struct Place<T> {
    calls: Arc<Calls<T>>,
    id: SessionId,
    number: u64,
}

/// So that cores seldom wait for each other.
const SHARDS: usize = 16;

impl<S: Store> Coalesced<S> {
    /// Takes a store.
    ///
    /// ```
    /// use express_session::MemoryStore;
    /// use express_session::store::{Coalesced, Store as _};
    ///
    /// assert!(Coalesced::new(MemoryStore::new()).supports_touch());
    /// ```
    pub fn new(store: S) -> Self {
        Self { store: Arc::new(store), loads: Arc::default(), renewals: Arc::default() }
    }
}

impl<S> Clone for Coalesced<S> {
    /// Gives the same store.
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            loads: Arc::clone(&self.loads),
            renewals: Arc::clone(&self.renewals),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Coalesced<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Coalesced").field(&self.store).finish()
    }
}

impl<S: Store> Store for Coalesced<S> {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let store = Arc::clone(&self.store);
        let ask = move |id, now| async move { store.load(&id, now).await };
        self.loads.shared(id, now, ask).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.store.create(id, record, now).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        self.store.update(id, record, expected, now).await
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        self.store.touch(id, touch, now).await
    }

    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        let store = Arc::clone(&self.store);
        let ask = move |id, now| async move { store.load_and_touch(&id, now).await };
        self.renewals.shared(id, now, ask).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.store.destroy(id).await
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        self.store.lock(id, holder, lease, now).await
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        self.store.update_locked(id, record, expected, holder, now).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        self.store.unlock(id, holder).await
    }

    fn supports_touch(&self) -> bool {
        self.store.supports_touch()
    }
}

impl<S: Admin> Admin for Coalesced<S> {
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        self.store.list(after, limit, now).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        self.store.count(now).await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.store.clear().await
    }

    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        self.store.purge(limit, now).await
    }
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            count: AtomicU64::new(0),
        }
    }
}

impl<T> Calls<T> {
    fn shard(&self, id: &SessionId) -> MutexGuard<'_, Shard<T>> {
        let hash = self.hasher.hash_one(id.as_str().as_bytes());
        let shard = &self.shards[hash as usize % SHARDS];
        // Nothing panics while it is held.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + Send + Sync + 'static> Calls<T> {
    /// Gives the call to wait for: the one that is about to begin, or a new one behind what is under way.
    fn shared<F>(
        self: &Arc<Self>,
        id: &SessionId,
        now: Timestamp,
        ask: impl FnOnce(SessionId, Timestamp) -> F + Send + 'static,
    ) -> Shared<Call<T>>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let mut shard = self.shard(id);
        let turns = shard.entry(id.as_str().into()).or_default();
        let next = turns.next.as_mut();
        if let Some((call, next)) = next.and_then(|next| Some((next.call.upgrade()?, next))) {
            next.now = next.now.max(now);
            return call;
        }
        let before = turns.under_way.as_ref().and_then(|turn| turn.call.upgrade());
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let place = Place { calls: Arc::clone(self), id: id.clone(), number };
        let call: Call<T> = Box::pin(async move {
            if let Some(before) = before
                && let Err(error) = before.await
                && is_outage(&error)
            {
                return Err(error);
            }
            let now = place.begin().unwrap_or(now);
            ask(place.id.clone(), now).await
        });
        let call = call.shared();
        turns.next = call.downgrade().map(|call| KeyedGuard { number, call, now });
        call
    }
}

impl<T> Place<T> {
    /// Lets nobody else share the call, and gives the time to ask with.
    fn begin(&self) -> Option<Timestamp> {
        let mut shard = self.calls.shard(&self.id);
        let turns = shard.get_mut(self.id.as_str())?;
        turns.under_way = turns.next.take_if(|turn| turn.number == self.number);
        turns.under_way.as_ref().map(|turn| turn.now)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut shard = self.calls.shard(&self.id);
        let Some(turns) = shard.get_mut(self.id.as_str()) else { return };
        for turn in [&mut turns.under_way, &mut turns.next] {
            turn.take_if(|turn| turn.number == self.number);
        }
        if turns.under_way.is_none() && turns.next.is_none() {
            shard.remove(self.id.as_str());
        }
    }
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { under_way: None, next: None }
    }
}

/// Says whether a store could not be asked, or did not answer.
fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<T> Calls<T> {
        fn len(&self) -> usize {
            self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum()
        }
    }

    fn id() -> SessionId {
        SessionId::from_random([7; 24])
    }

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn nothing_is_left_of_calls_that_ended_or_were_dropped() {
        let calls = Arc::<Calls<u32>>::default();
        let answer = || calls.shared(&id(), NOW, |_, _| async { Ok(7) });
        assert_eq!(answer().now_or_never().unwrap().unwrap(), 7);
        assert_eq!(calls.len(), 0);

        drop(answer());
        assert_eq!(calls.len(), 0);

        let forever = || calls.shared(&id(), NOW, |_, _| std::future::pending());
        let mut under_way = forever();
        assert!((&mut under_way).now_or_never().is_none());
        let mut behind = forever();
        assert!((&mut behind).now_or_never().is_none());
        assert_eq!(calls.len(), 1);
        drop(under_way);
        assert_eq!(calls.len(), 1);
        drop(behind);
        assert_eq!(calls.len(), 0);
    }
}
