use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Admin, Created, Cursor, Error, Fenced, FencingToken, Lifetime, Loaded, LockOutcome, LockToken,
    Page, Record, Revision, Store, Touch, Touched, Updated, scan,
};
use express_session_core::{SessionId, Timestamp};

use crate::Subject;
use crate::laws::real_time;

/// The simplest store that obeys every law: one map behind one lock.
///
/// It is here to be read, to be copied from, and to compare another store with. It never removes what
/// has expired unless [`purge`](Admin::purge) is called, and a listing is as slow as it looks.
///
/// ```
/// use express_session_core::store::{Created, Error, Record, Store as _};
/// use express_session_core::{SessionId, Timestamp};
/// use express_session_testkit::MapStore;
/// # use express_session_testkit::block_on;
///
/// # fn main() -> Result<(), Error> { block_on(async {
/// let store = MapStore::default();
/// let id = SessionId::from_random([0; 24]);
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
/// assert!(matches!(store.create(&id, &record, now).await?, Created::Done(_)));
/// assert_eq!(store.create(&id, &record, now).await?, Created::Taken);
/// # Ok(()) }) }
/// ```
#[derive(Clone, Default)]
pub struct MapStore(Arc<Mutex<Map>>);

#[derive(Default)]
struct Map {
    records: BTreeMap<Box<str>, Loaded>,
    /// The holder of each id's lock, the end of its lease, and its fencing token.
    locks: BTreeMap<Box<str>, (LockToken, Timestamp, FencingToken)>,
    last_fence: u64,
    /// Counts every writing, so that no number comes twice, also for an id that comes again.
    writings: u128,
}

impl Map {
    fn live(&mut self, id: &SessionId, now: Timestamp) -> Option<&mut Loaded> {
        self.records.get_mut(id.as_str()).filter(|loaded| loaded.record.is_live(now))
    }

    /// Returns the end that a record gets: its whole lifetime by the machine's clock if the call's is behind, and the
    /// record is live by the machine's, before or after the call.
    fn end(&self, id: &SessionId, new: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let old = self.records.get(id.as_str()).and_then(|loaded| loaded.record.deadline);
        new.map(|new| end(old, new, now))
    }

    fn put(&mut self, id: &SessionId, record: &Record) -> Revision {
        self.writings += 1;
        let revision = Revision::new(self.writings);
        self.records.insert(
            id.as_str().into(),
            Loaded { record: record.clone(), revision: revision.clone() },
        );
        revision
    }

    fn update(
        &mut self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Updated {
        match self.live(id, now) {
            None => Updated::Gone,
            Some(current) if current.revision != *expected => Updated::Conflict(current.clone()),
            Some(_) => {
                let deadline = self.end(id, record.deadline, now);
                Updated::Done(self.put(id, &Record { deadline, ..record.clone() }))
            }
        }
    }

    fn holder(&self, id: &SessionId, now: Timestamp) -> Option<LockToken> {
        let (holder, until, _) = self.locks.get(id.as_str())?;
        (*until > now).then_some(*holder)
    }
}

/// Returns the earlier of the call's clock and the machine's: what has ended by both may be removed.
fn ended(now: Timestamp) -> Timestamp {
    now.min(real_time())
}

fn end(old: Option<Timestamp>, new: Timestamp, now: Timestamp) -> Timestamp {
    let real = real_time();
    // The time of a call that took a while is not behind, and an end that has come by it is meant.
    let is_behind = now < new && (new <= real || now.saturating_add(DELAY) < real);
    let is_live = new > real || old.is_some_and(|old| old > real);
    if is_behind && is_live { real.saturating_add(new.saturating_since(now)) } else { new }
}

const DELAY: Duration = Duration::from_secs(5);

impl MapStore {
    fn map(&self) -> MutexGuard<'_, Map> {
        // No method panics halfway, so that the map is whole also then.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MapStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapStore").field("sessions", &self.map().records.len()).finish()
    }
}

impl Store for MapStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        Ok(self.map().live(id, now).cloned())
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let mut map = self.map();
        match map.live(id, ended(now)) {
            Some(_) => Ok(Created::Taken),
            None => {
                let deadline = map.end(id, record.deadline, now);
                Ok(Created::Done(map.put(id, &Record { deadline, ..record.clone() })))
            }
        }
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        Ok(self.map().update(id, record, expected, now))
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let mut map = self.map();
        let deadline = map.end(id, touch.deadline, now);
        match map.live(id, now) {
            None => Ok(Touched::Gone),
            Some(current) => {
                current.record.deadline = deadline;
                Ok(Touched::Done)
            }
        }
    }

    /// A record without a deadline never expires.
    fn lifetime(&self) -> Lifetime {
        Lifetime::MaxAgeOr(Duration::MAX)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.map().records.remove(id.as_str());
        Ok(())
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let (mut map, now) = (self.map(), ended(now));
        map.locks.retain(|_, (_, until, _)| *until > now);
        let fence = match map.locks.get(id.as_str()) {
            Some((other, ..)) if *other != holder => return Ok(LockOutcome::Held),
            Some((_, _, fence)) => *fence,
            None => FencingToken::after(map.last_fence, now),
        };
        map.last_fence = map.last_fence.max(fence.get());
        let until = end(None, now.saturating_add(lease), now);
        map.locks.insert(id.as_str().into(), (holder, until, fence));
        Ok(LockOutcome::Acquired(fence))
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let mut map = self.map();
        if map.holder(id, ended(now)) != Some(holder) {
            return Ok(Fenced::Lost);
        }
        Ok(Fenced::Held(map.update(id, record, expected, now)))
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let mut map = self.map();
        if map.locks.get(id.as_str()).is_some_and(|(owner, ..)| *owner == holder) {
            map.locks.remove(id.as_str());
        }
        Ok(())
    }

    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        scan(self, users, after, limit, now).await
    }

    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        Ok(ended(now))
    }
}

/// The store is its own subject, for examples that need one.
impl Subject for MapStore {
    type Store = Self;

    async fn store(&self) -> Self {
        Self::default()
    }
}

impl Admin for MapStore {
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let map = self.map();
        let from = after.as_ref().map_or(Bound::Unbounded, |last| Bound::Excluded(last.as_str()));
        let rest = map.records.range::<str, _>((from, Bound::Unbounded));
        let live = rest.filter(|(_, loaded)| loaded.record.is_live(now));
        let sessions: Vec<_> = live
            .filter_map(|(id, loaded)| Some((SessionId::new(&**id)?, loaded.record.clone())))
            .take(limit)
            .collect();
        let last = sessions.last().filter(|_| sessions.len() == limit);
        Ok(Page { next: last.map(|(id, _)| Cursor::new(id.as_str())), sessions })
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        let map = self.map();
        Ok(map.records.values().filter(|loaded| loaded.record.is_live(now)).count() as u64)
    }

    async fn clear(&self) -> Result<(), Error> {
        self.map().records.clear();
        Ok(())
    }

    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        let (mut left, now) = (limit, ended(now));
        self.map().records.retain(|_, loaded| {
            let keep = left == 0 || loaded.record.is_live(now);
            left -= usize::from(!keep);
            keep
        });
        Ok((limit - left) as u64)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Task, on_threads};

    use super::*;

    struct OnThreads;

    impl Subject for OnThreads {
        type Store = MapStore;

        async fn store(&self) -> MapStore {
            MapStore::default()
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            on_threads(tasks).await;
        }
    }

    crate::store_laws!(OnThreads);
    crate::lock_laws!(OnThreads);
    crate::admin_laws!(OnThreads);
    crate::clock_laws!(OnThreads);
    crate::order_laws!(OnThreads);

    mod taking_turns {
        use super::*;

        crate::store_laws!(MapStore::default());
        crate::lock_laws!(MapStore::default());
        crate::admin_laws!(MapStore::default());
    }

    #[test]
    fn lock_that_was_never_released_expires() {
        crate::block_on(async {
            let (store, lease) = (MapStore::default(), Duration::from_secs(1));
            for number in 0..100 {
                let now = Timestamp::from_millis(1_700_000_000_000 + number * 1000);
                let id = SessionId::new(format!("id-{number}")).unwrap();
                store.lock(&id, LockToken::from_random([1; 16]), lease, now).await.unwrap();
            }
            assert_eq!(store.map().locks.len(), 1);
        });
    }
}
