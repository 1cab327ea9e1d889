//! Stores sessions in the memory of this process: the default store, for tests, development and services of
//! one process.
//!
//! express-session's own memory store never evicts idle sessions, and warns against its use. This one is fit
//! for production:
//!
//! 1. Each call removes a few expired sessions; see [`MemoryStore`] for the cost.
//! 2. A session without `max_age` expires after [`ttl`](MemoryStore::ttl), a day by default.
//! 3. [`max_sessions`](MemoryStore::max_sessions) and [`max_bytes`](MemoryStore::max_bytes) limit the memory.
//!    A session that no request has loaded since its creation is evicted before one whose visitor came back, so
//!    that a flood of new sessions logs no user out.
//! 4. It keeps sessions as text, as every other store does, so that an application can change the store.
//!
//! Sessions end with the process, and other processes do not see them.
//!
//! A clock that is wrong deletes nothing: a session is removed only if its time has passed by the `now` of the
//! call and by the process's monotonic clock. After a forward step of the machine's clock the sessions are not
//! returned, and are back with the clock if that is corrected within an hour; then the new time is believed.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Lifetime, Loaded, LockOutcome, LockToken,
    Page, Record, Revision, Store, Touch, Touched, Updated, scan,
};
use express_session_core::{SessionId, Timestamp};

use self::key::Probe;
use self::lock::Locks;
use self::shard::{Limits, Shard, TooLarge, Victim};
use self::sync::{Mutex, MutexGuard, RandomState};
use super::steady::{self, Times};

mod chain;
#[cfg(all(test, shuttle))]
mod interleavings;
mod key;
mod lock;
mod shard;
mod sync;

/// Keeps sessions in memory, each as the JSON text that any other store would keep.
///
/// Clones share the sessions, so that an application can keep a handle to list or clear them.
///
/// # Cost
///
/// A call locks one of 64 parts of the store for about a microsecond, or for ten if it removes expired
/// sessions, and never waits for anything else. A session takes its text, its id and about 100 bytes, and 10
/// more with a cap. Loading shares the text without a copy.
///
/// Expired sessions are never returned, to the millisecond. Later calls free their memory: each removes one
/// session of its own part, and one call in 128 up to 32 of another part, in turn. So there is no task and no
/// pause, however many expire together; the store frees more than it can receive, and a store in use frees
/// everything that expired at least 16 s ago. An idle process keeps its memory until the next call or
/// [`purge`](Admin::purge).
///
/// [Locks](Store::lock) take less than 200 bytes each, until their release or some calls after the end of their
/// lease. The caps do not count them, and [`clear`](Admin::clear) keeps them.
///
/// ```
/// use std::time::Duration;
/// use express_session::store::memory::MemoryStore;
/// use express_session::store::{Admin as _, Created, Record, Store as _};
/// # use express_session_core::{SessionId, Timestamp};
/// # use express_session_testkit::block_on;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # block_on(async {
/// let store = MemoryStore::new();
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let later = now.saturating_add(Duration::from_secs(60));
///
/// let id = SessionId::from_random([7; 24]);
/// let record = Record { text: r#"{"cookie":{},"views":1}"#.into(), deadline: Some(later) };
/// assert!(matches!(store.create(&id, &record, now).await?, Created::Done(_)));
/// assert_eq!(store.load(&id, now).await?.map(|loaded| loaded.record), Some(record));
/// assert_eq!(store.load(&id, later).await?, None);
/// assert_eq!(store.count(later).await?, 0);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    hasher: RandomState,
    parts: Box<[Part]>,
    /// `None` without caps.
    totals: Option<Totals>,
}

/// The sessions and bytes of all parts together, and their caps.
struct Totals {
    max_sessions: usize,
    max_bytes: usize,
    sessions: AtomicUsize,
    bytes: AtomicUsize,
    /// Held by the call that evicts, so that no two evict for the same excess.
    evicting: Mutex<()>,
}

/// A shard behind its lock, in cache lines of its own.
#[repr(align(128))]
struct Part(Mutex<Guarded>);

struct Guarded {
    shard: Shard,
    locks: Locks,
    /// The sessions and bytes of this part that the totals include.
    counted: (usize, usize),
    /// Counts the calls to this part, to visit another now and then.
    calls: u32,
}

#[derive(Clone, Copy)]
struct Options {
    ttl: Option<Duration>,
    max_sessions: Option<usize>,
    max_bytes: Option<usize>,
    max_record_bytes: Option<usize>,
}

impl MemoryStore {
    /// The bytes that [`max_bytes`](Self::max_bytes) counts for a session in addition to its id and text: its
    /// place in the tables, measured for a store of a million.
    ///
    /// ```
    /// use express_session::MemoryStore;
    ///
    /// let (id, text) = (32, 1000);
    /// let room_for_ten = 10 * (id + text + MemoryStore::RECORD_OVERHEAD);
    /// let store = MemoryStore::new().max_bytes(room_for_ten);
    /// assert!(format!("{store:?}").contains("max_bytes: Some(11440)"));
    /// ```
    pub const RECORD_OVERHEAD: usize = 112;

    /// Makes an empty store, without caps and with a [`ttl`](Self::ttl) of a day.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Options {
            ttl: Some(DAY),
            max_sessions: None,
            max_bytes: None,
            max_record_bytes: None,
        })
    }

    /// Sets the TTL of sessions without `max_age`. The default is 24 hours, as in npm's memorystore.
    ///
    /// Each save and touch resets the expiry. `None` keeps such sessions for ever, as express-session's own
    /// memory store does: the store then only ever grows, unless it has a cap.
    ///
    /// Like the other options, it returns a new, empty store, so set it before the store is used.
    #[must_use]
    pub fn ttl(self, ttl: impl Into<Option<Duration>>) -> Self {
        Self::with(Options { ttl: ttl.into(), ..self.shared.options })
    }

    /// Keeps at most this many sessions, at least one. The default is any number.
    ///
    /// A session over the cap evicts the first of these that there is:
    ///
    /// 1. an expired session, if a short search finds one;
    /// 2. the oldest session that no request has loaded or touched since its creation, the new one last;
    /// 3. the least recently used one, whose visitor is logged out.
    ///
    /// So a flood of visitors who do not come back ends no session of one who did. Sessions that came back and
    /// fill the whole cap leave no room for a new one until one ends: leave room for all visitors.
    ///
    /// The cap counts all sessions exactly. The order is exact below 4,096 sessions; above, the store has up to
    /// 64 parts, which have an order each, and rule 2 holds over all parts.
    ///
    /// Like the other options, it returns a new, empty store, so set it before the store is used.
    ///
    /// ```
    /// use express_session::store::memory::MemoryStore;
    /// use express_session::store::{Admin as _, Record, Store as _};
    /// # use express_session_core::{SessionId, Timestamp};
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # block_on(async {
    /// let store = MemoryStore::new().max_sessions(2);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// for visitor in 0..3 {
    ///     let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    ///     store.create(&SessionId::from_random([visitor; 24]), &record, now).await?;
    /// }
    /// assert_eq!(store.count(now).await?, 2);
    /// assert_eq!(store.load(&SessionId::from_random([0; 24]), now).await?, None);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    #[must_use]
    pub fn max_sessions(self, sessions: usize) -> Self {
        Self::with(Options { max_sessions: Some(sessions.max(1)), ..self.shared.options })
    }

    /// Keeps at most this many bytes: ids, texts and [`RECORD_OVERHEAD`](Self::RECORD_OVERHEAD) for
    /// each session. The default is any number.
    ///
    /// Eviction is that of [`max_sessions`](Self::max_sessions), with an exact order below 16 MiB. A record
    /// larger than the cap is [`ErrorKind::Unsuitable`]; see also
    /// [`max_record_bytes`](Self::max_record_bytes).
    ///
    /// Like the other options, it returns a new, empty store, so set it before the store is used.
    ///
    /// ```
    /// use express_session::store::memory::MemoryStore;
    /// use express_session::store::{ErrorKind, Record, Store as _};
    /// # use express_session_core::{SessionId, Timestamp};
    /// # use express_session_testkit::block_on;
    ///
    /// # block_on(async {
    /// let store = MemoryStore::new().max_bytes(1000);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: "x".repeat(2000).into(), deadline: None };
    /// let refused = store.create(&SessionId::from_random([0; 24]), &record, now).await;
    /// assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Unsuitable));
    /// # });
    /// ```
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        Self::with(Options { max_bytes: Some(bytes), ..self.shared.options })
    }

    /// Refuses a record whose text has more bytes, with [`ErrorKind::Unsuitable`]. The default is any size up to
    /// [`max_bytes`](Self::max_bytes).
    ///
    /// It keeps the few sessions of one visitor from taking the room of many.
    ///
    /// Like the other options, it returns a new, empty store, so set it before the store is used.
    ///
    /// ```
    /// use express_session::store::memory::MemoryStore;
    /// use express_session::store::{ErrorKind, Record, Store as _};
    /// # use express_session_core::{SessionId, Timestamp};
    /// # use express_session_testkit::block_on;
    ///
    /// # block_on(async {
    /// let store = MemoryStore::new().max_record_bytes(64 << 10);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: "x".repeat(100_000).into(), deadline: None };
    /// let refused = store.create(&SessionId::from_random([0; 24]), &record, now).await;
    /// assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Unsuitable));
    /// # });
    /// ```
    #[must_use]
    pub fn max_record_bytes(self, bytes: usize) -> Self {
        Self::with(Options { max_record_bytes: Some(bytes), ..self.shared.options })
    }

    fn with(options: Options) -> Self {
        let hasher = RandomState::default();
        let sessions = options.max_sessions.unwrap_or(usize::MAX);
        let bytes = options.max_bytes.unwrap_or(usize::MAX);
        let parts = (sessions / PART_SESSIONS).min(bytes / PART_BYTES).clamp(1, MOST_PARTS);
        let parts = 1 << parts.ilog2();
        let totals =
            (options.max_sessions.is_some() || options.max_bytes.is_some()).then(|| Totals {
                max_sessions: sessions,
                max_bytes: bytes,
                sessions: AtomicUsize::new(0),
                bytes: AtomicUsize::new(0),
                evicting: Mutex::new(()),
            });
        let limits = Limits {
            record: options.max_record_bytes.unwrap_or(usize::MAX),
            weight: bytes,
            evicts: totals.is_some(),
        };
        let part = |_| {
            let shard = Shard::new(hasher.clone(), limits);
            let locks = Locks::default();
            Part(Mutex::new(Guarded { shard, locks, counted: (0, 0), calls: 0 }))
        };
        let parts = (0..parts).map(part).collect();
        Self { shared: Arc::new(Shared { options, hasher, parts, totals }) }
    }

    fn deadline(&self, deadline: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        deadline.or_else(|| self.shared.options.ttl.map(|ttl| now.saturating_add(ttl)))
    }

    fn record(&self, record: &Record, now: Timestamp) -> Record {
        Record { text: record.text.clone(), deadline: self.deadline(record.deadline, now) }
    }

    /// Does a call's work in the part of its id, and then removes its share of expired sessions.
    fn within<T>(
        &self,
        id: &SessionId,
        now: Timestamp,
        work: impl FnOnce(&mut Guarded, Probe, Times) -> T,
    ) -> T {
        let parts = &self.shared.parts;
        let probe = Probe::new(id, &self.shared.hasher);
        let at = self.part_of(&probe);
        let times = Times::of(now);
        let mut part = parts[at].lock();
        let done = work(&mut part, probe, times);
        part.reap(OWN_STEPS, times.ended());
        part.calls = part.calls.wrapping_add(1);
        let calls = part.calls;
        let is_over = self.count_in(&mut part);
        drop(part);

        if calls.is_multiple_of(VISIT_EVERY) {
            steady::ask();
            let other = (calls / VISIT_EVERY) as usize % parts.len();
            // A part that is being used cleans itself.
            if let Some(mut part) = parts[other].try_lock() {
                part.reap(VISIT_STEPS, times.ended());
                self.count_in(&mut part);
            }
        }
        if is_over {
            self.make_room(at, times.ended());
        }
        done
    }

    /// Adds the changes of a part to the totals, and returns whether they are over a cap now.
    fn count_in(&self, part: &mut Guarded) -> bool {
        let Some(totals) = &self.shared.totals else { return false };
        let held = (part.shard.held(), part.shard.bytes());
        if held == part.counted {
            return false;
        }
        let counted = std::mem::replace(&mut part.counted, held);
        totals.sessions.fetch_add(held.0.wrapping_sub(counted.0), Ordering::Relaxed);
        totals.bytes.fetch_add(held.1.wrapping_sub(counted.1), Ordering::Relaxed);
        totals.are_over()
    }

    /// Evicts until the store is within its caps. It locks one part at a time, and looks at each a few times at
    /// most for one eviction.
    #[cold]
    fn make_room(&self, own: usize, ended: Timestamp) {
        let Some(totals) = &self.shared.totals else { return };
        let parts = &self.shared.parts;
        let _alone = totals.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        let evict = |at: usize, victim| {
            let mut part = parts[at].lock();
            let is_done = part.shard.evict(victim, ended);
            self.count_in(&mut part);
            is_done
        };
        let others = || (1..parts.len()).map(|step| (own + step) % parts.len());
        while totals.are_over() {
            let is_done = evict(own, Victim::Older)
                || others().any(|at| evict(at, Victim::Fresh))
                || evict(own, Victim::Any)
                || others().any(|at| evict(at, Victim::Any));
            if !is_done {
                return;
            }
        }
    }

    fn part_of(&self, probe: &Probe) -> usize {
        // The table uses the lowest and the highest bits, so the middle is taken here.
        (probe.hash >> 32) as usize % self.shared.parts.len()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    /// Counts what is held, expired or not, and shows no session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { ttl, max_sessions, max_bytes, max_record_bytes } = self.shared.options;
        let sessions = self.shared.parts.iter().map(|part| part.lock().shard.held());
        f.debug_struct("MemoryStore")
            .field("sessions", &sessions.sum::<usize>())
            .field("ttl", &ttl)
            .field("max_sessions", &max_sessions)
            .field("max_bytes", &max_bytes)
            .field("max_record_bytes", &max_record_bytes)
            .finish()
    }
}

impl Store for MemoryStore {
    /// Returns the record with this store's deadline, which includes the `ttl`.
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        Ok(self.within(id, now, |part, probe, times| part.shard.load(&probe, times)))
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let record = self.record(record, now);
        Ok(self.within(id, now, |part, probe, times| part.shard.create(probe, record, times))?)
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let record = self.record(record, now);
        let update =
            |part: &mut Guarded, probe, times| part.shard.update(&probe, record, expected, times);
        Ok(self.within(id, now, update)?)
    }

    /// Moves the deadline, and puts the cookie into the text, as express-session's own store does.
    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let touch = |part: &mut Guarded, probe, times| {
            part.shard.touch(&probe, times, |text| {
                let (text, deadline) = touch.onto(text, now);
                (text, self.deadline(deadline, now))
            })
        };
        Ok(self.within(id, now, touch)?)
    }

    /// The process's own clock, which a step of the machine's does not move.
    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        Ok(Times::of(now).ended())
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::MaxAgeOr(self.shared.options.ttl.unwrap_or(Duration::MAX))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        // This call has no `now`, so that it removes no expired sessions.
        let probe = Probe::new(id, &self.shared.hasher);
        let mut part = self.shared.parts[self.part_of(&probe)].lock();
        part.shard.destroy(&probe);
        self.count_in(&mut part);
        Ok(())
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        Ok(self.within(id, now, |part, probe, times| {
            // By both clocks, so that one that is ahead neither takes a lock nor keeps one for long.
            part.locks.lock(probe, holder, times.lease(lease), times.ended())
        }))
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let record = self.record(record, now);
        let update = |part: &mut Guarded, probe: Probe, times: Times| {
            if !part.locks.is_held(&probe, holder, times.ended()) {
                return Ok(Fenced::Lost);
            }
            part.shard.update(&probe, record, expected, times).map(Fenced::Held)
        };
        Ok(self.within(id, now, update)?)
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let probe = Probe::new(id, &self.shared.hasher);
        self.shared.parts[self.part_of(&probe)].lock().locks.unlock(&probe, holder);
        Ok(())
    }

    /// Reads every session, as [`Admin::list`] does.
    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        scan(self, users, after, limit, now).await
    }
}

impl Admin for MemoryStore {
    /// Walks the store part by part, each locked for at most one page.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let (first, mut slot) = match &after {
            Some(cursor) => place(cursor).ok_or_else(|| {
                Error::new(ErrorKind::Other, "the cursor is not one of the memory store")
            })?,
            None => (0, 0),
        };
        let mut sessions = Vec::new();
        for (at, part) in self.shared.parts.iter().enumerate().skip(first) {
            // A limit of 0 would loop forever.
            let next = part.lock().shard.list(slot, limit.max(1), now, &mut sessions);
            if let Some(slot) = next {
                return Ok(Page { sessions, next: Some(Cursor::new(format!("{at}.{slot}"))) });
            }
            slot = 0;
        }
        Ok(Page { sessions, next: None })
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        Ok(self.shared.parts.iter().map(|part| part.lock().shard.count(now) as u64).sum())
    }

    async fn clear(&self) -> Result<(), Error> {
        for part in &self.shared.parts {
            let mut part = part.lock();
            let old = part.shard.clear();
            self.count_in(&mut part);
            drop(part);
            // After the lock: dropping many texts takes its time.
            drop(old);
        }
        Ok(())
    }

    /// Removes what has expired, however recently, in steps that hold no lock for long: by `now`, and by this
    /// process's own clock.
    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        let mut purged = 0;
        let ended = Times::of(now).ended();
        for part in &self.shared.parts {
            loop {
                let steps = PURGE_STEPS.min(limit - purged);
                let mut part = part.lock();
                let reaped = part.shard.reap(steps, ended);
                self.count_in(&mut part);
                purged += reaped.removed;
                if reaped.steps < steps || purged == limit {
                    break;
                }
            }
            let mut begun = part.lock();
            purged += begun.shard.reap_begun(limit - purged, ended);
            self.count_in(&mut begun);
            drop(begun);
            while part.lock().locks.reap(PURGE_STEPS, ended) == PURGE_STEPS {}
        }
        Ok(purged as u64)
    }
}

impl Guarded {
    /// Removes some of what has expired, and some locks whose lease is over.
    fn reap(&mut self, steps: usize, now: Timestamp) {
        let _ = self.shard.reap(steps, now);
        self.locks.reap(steps, now);
    }
}

impl Totals {
    fn are_over(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) > self.max_sessions
            || self.bytes.load(Ordering::Relaxed) > self.max_bytes
    }
}

impl Part {
    /// A panic while the lock was held is no reason to lose the sessions: every method leaves the
    /// shard whole, and none calls foreign code.
    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Guarded>> {
        match self.0.try_lock() {
            Ok(guarded) => Some(guarded),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl From<TooLarge> for Error {
    fn from(TooLarge(message): TooLarge) -> Self {
        Self::new(ErrorKind::Unsuitable, message)
    }
}

fn place(cursor: &Cursor) -> Option<(usize, usize)> {
    let (part, slot) = cursor.as_str().split_once('.')?;
    Some((part.parse().ok()?, slot.parse().ok()?))
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MOST_PARTS: usize = 64;
const PART_SESSIONS: usize = 2048;
const PART_BYTES: usize = 8 << 20;

/// Slots of past buckets that a call looks at in its own part: a call adds one at most, so that this is enough
/// for no part to grow, and takes no longer than the call itself.
const OWN_STEPS: usize = 1;
/// How many calls to a part there are for one that also visits another part: so many that such a visit, which
/// takes ten times as long as a call, is not among the slowest hundredth.
const VISIT_EVERY: u32 = 128;
/// Slots of past buckets that such a call looks at in the other part.
const VISIT_STEPS: usize = 32;
/// Slots that a purge looks at before it lets others to the part.
const PURGE_STEPS: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use express_session_testkit::block_on;
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn after(millis: i64) -> Timestamp {
        Timestamp::from_millis(NOW.millis() + millis)
    }

    fn id(number: usize) -> SessionId {
        SessionId::new(format!("id-{number}")).unwrap()
    }

    fn record(text: &str, deadline: impl Into<Option<Timestamp>>) -> Record {
        Record { text: text.into(), deadline: deadline.into() }
    }

    /// The calls of the store, made without waiting and expected to succeed.
    impl MemoryStore {
        fn put(&self, number: usize, deadline: impl Into<Option<Timestamp>>, now: Timestamp) {
            let record = record(r#"{"cookie":{}}"#, deadline);
            let created = block_on(self.create(&id(number), &record, now)).unwrap();
            assert!(matches!(created, Created::Done(_)), "{number}");
        }

        fn get(&self, number: usize, now: Timestamp) -> Option<Loaded> {
            block_on(self.load(&id(number), now)).unwrap()
        }

        fn move_to(&self, number: usize, deadline: Option<Timestamp>, now: Timestamp) -> Touched {
            let touch = Touch::new(r#"{"path":"/"}"#, deadline);
            block_on(self.touch(&id(number), &touch, now)).unwrap()
        }

        fn live(&self, now: Timestamp) -> u64 {
            block_on(self.count(now)).unwrap()
        }

        fn held(&self) -> usize {
            self.shared.parts.iter().map(|part| part.lock().shard.held()).sum()
        }

        /// Which sessions there are. Unlike a load, a listing is no use of them.
        fn present(&self, now: Timestamp) -> Vec<usize> {
            let page = block_on(self.list(None, usize::MAX, now)).unwrap();
            let number = |id: &SessionId| id.as_str()["id-".len()..].parse::<usize>().unwrap();
            let mut present: Vec<_> = page.sessions.iter().map(|(id, _)| number(id)).collect();
            present.sort_unstable();
            present
        }
    }

    #[test]
    fn every_option_is_set_and_shown() {
        let shown = |store: MemoryStore| format!("{store:?}");
        assert_eq!(
            shown(MemoryStore::new()),
            "MemoryStore { sessions: 0, ttl: Some(86400s), max_sessions: None, max_bytes: None, "
                .to_owned()
                + "max_record_bytes: None }",
        );
        let store = MemoryStore::new().ttl(Duration::from_secs(1800)).max_sessions(5).max_bytes(9);
        let store = store.max_record_bytes(7);
        assert_eq!(
            shown(store.clone()),
            "MemoryStore { sessions: 0, ttl: Some(1800s), max_sessions: Some(5), max_bytes: Some(9), "
                .to_owned()
                + "max_record_bytes: Some(7) }",
        );
        assert!(shown(store.ttl(None)).contains("ttl: None"));
    }

    #[test]
    fn locks_that_were_not_released_are_removed_by_calls_and_not_counted() {
        let store = MemoryStore::new().max_sessions(10).max_bytes(10_000);
        let (holder, lease) = (LockToken::from_random([1; 16]), Duration::from_millis(1000));
        let kept = || store.shared.parts.iter().map(|part| part.lock().locks.kept()).sum::<usize>();
        store.put(0, after(60_000), NOW);
        for number in 0..1000 {
            let locked = block_on(store.lock(&id(number), holder, lease, NOW)).unwrap();
            assert!(matches!(locked, LockOutcome::Acquired(_)));
        }
        assert_eq!((kept(), store.present(NOW)), (1000, vec![0]));
        assert!(store.get(0, after(999)).is_some());
        assert_eq!(kept(), 1000);
        for _ in 0..1000 {
            assert!(store.get(0, after(1000)).is_some());
        }
        assert_eq!(kept(), 0);
    }

    #[test]
    fn purge_removes_the_locks_that_are_over_and_counts_none() {
        let store = MemoryStore::new();
        let holder = LockToken::from_random([1; 16]);
        let kept = || store.shared.parts.iter().map(|part| part.lock().locks.kept()).sum::<usize>();
        for number in 0..1000 {
            let lease = Duration::from_millis(if number == 0 { 2000 } else { 1000 });
            block_on(store.lock(&id(number), holder, lease, NOW)).unwrap();
        }
        assert_eq!(block_on(store.purge(10, after(1000))).unwrap(), 0);
        assert_eq!(kept(), 1);
    }

    #[test]
    fn session_expires_to_the_millisecond() {
        let store = MemoryStore::new();
        store.put(0, after(1000), NOW);
        assert!(store.get(0, after(999)).is_some());
        assert_eq!(store.live(after(999)), 1);
        assert_eq!(store.live(after(1000)), 0);
        assert!(store.get(0, after(1000)).is_none());
        assert_eq!(store.held(), 0);
    }

    #[test]
    fn session_without_a_deadline_ends_a_ttl_after_its_last_save_or_touch() {
        let day = 24 * 60 * 60 * 1000;
        let store = MemoryStore::new();
        store.put(0, None, NOW);
        store.put(1, None, NOW);
        assert_eq!(store.move_to(1, None, after(1000)), Touched::Done);
        assert!(store.get(0, after(day - 1)).is_some());
        assert!(store.get(0, after(day)).is_none());
        assert_eq!(store.get(1, after(day)).unwrap().record.deadline, Some(after(day + 1000)));
        assert!(store.get(1, after(day + 1000)).is_none());
    }

    #[test]
    fn session_without_a_deadline_is_kept_for_ever_where_there_is_no_ttl() {
        let store = MemoryStore::new().ttl(None);
        store.put(0, None, NOW);
        assert_eq!(store.get(0, Timestamp::MAX).unwrap().record.deadline, None);
        assert_eq!(block_on(store.purge(10, Timestamp::MAX)).unwrap(), 0);
    }

    #[test]
    fn load_hands_out_the_text_that_was_given_without_a_copy() {
        let store = MemoryStore::new();
        let record = record(r#"{"cookie":{}}"#, after(1000));
        block_on(store.create(&id(0), &record, NOW)).unwrap();
        assert!(Arc::ptr_eq(&store.get(0, NOW).unwrap().record.text, &record.text));
    }

    #[test]
    fn touch_puts_the_cookie_into_the_text_and_keeps_the_revision() {
        let store = MemoryStore::new();
        let text = r#"{"7":"x","cookie":{"httpOnly":true},"b": 1.0}"#;
        block_on(store.create(&id(0), &record(text, after(1000)), NOW)).unwrap();
        let before = store.get(0, NOW).unwrap();
        assert_eq!(store.move_to(0, Some(after(2000)), NOW), Touched::Done);

        let touched = store.get(0, NOW).unwrap();
        assert_eq!(*touched.record.text, *r#"{"7":"x","cookie":{"path":"/"},"b": 1.0}"#);
        assert_eq!(touched.record.deadline, Some(after(2000)));
        assert_eq!(touched.revision, before.revision);
    }

    #[test]
    fn any_traffic_clears_everything_that_has_expired_in_small_steps() {
        let store = MemoryStore::new();
        for number in 0..20_000 {
            store.put(number, after(1), NOW);
        }
        let later = after(60_000);
        // One visitor only, whose calls all go to one part.
        store.put(20_000, after(600_000), later);
        let fullest = store.shared.parts.iter().map(|part| part.lock().shard.held()).max().unwrap();
        let mut held = store.held();
        let mut calls = 0;
        while held > 1 {
            assert!(store.get(20_000, later).is_some());
            let gone = held - store.held();
            assert!(gone <= OWN_STEPS + VISIT_STEPS, "{gone} in one call");
            held -= gone;
            calls += 1;
        }
        // One call in 128 removes 32 of the next part, and one more round begins where it will.
        let rounds = fullest.div_ceil(VISIT_STEPS) + 1;
        let each = MOST_PARTS * VISIT_EVERY as usize;
        assert!(calls <= rounds * each, "{calls} calls, where the fullest part had {fullest}");
    }

    #[test]
    fn idle_store_keeps_what_has_expired_until_it_is_purged() {
        let store = MemoryStore::new();
        for number in 0..1000 {
            store.put(number, after(1000), NOW);
            store.put(number + 1000, after(2000), NOW);
        }
        assert_eq!((store.held(), store.live(after(1000))), (2000, 1000));
        assert_eq!(block_on(store.purge(300, after(1000))).unwrap(), 300);
        assert_eq!(store.held(), 1700);
        assert_eq!(block_on(store.purge(usize::MAX, after(1000))).unwrap(), 700);
        assert_eq!(block_on(store.purge(usize::MAX, after(600_000))).unwrap(), 1000);
        assert_eq!(store.held(), 0);
    }

    #[test]
    fn touched_session_outlives_the_bucket_it_was_filed_in() {
        let store = MemoryStore::new();
        store.put(0, after(1000), NOW);
        for minute in 0..100 {
            let now = after(minute * 60_000);
            assert_eq!(
                store.move_to(0, Some(after((minute + 1) * 60_000 + 1)), now),
                Touched::Done
            );
            assert_eq!(block_on(store.purge(10, now)).unwrap(), 0);
        }
        assert_eq!(block_on(store.purge(10, after(6_000_001))).unwrap(), 1);
    }

    #[test]
    fn least_recently_used_session_goes_first() {
        let store = MemoryStore::new().max_sessions(4);
        for number in 0..4 {
            store.put(number, None, NOW);
        }
        // 0 is loaded, 1 touched, 2 updated: that leaves 3, and then 0.
        let revision = store.get(2, NOW).unwrap().revision;
        assert!(store.get(0, NOW).is_some());
        assert_eq!(store.move_to(1, None, NOW), Touched::Done);
        let updated = block_on(store.update(&id(2), &record("{}", None), &revision, NOW)).unwrap();
        assert!(matches!(updated, Updated::Done(_)));

        store.put(4, None, NOW);
        assert_eq!(store.present(NOW), [0, 1, 2, 4]);
        // 4 was never loaded, and goes before 2, 0 and 1.
        store.put(5, None, NOW);
        assert_eq!(store.present(NOW), [0, 1, 2, 5]);
    }

    #[test]
    fn expired_session_goes_before_the_least_recently_used() {
        let store = MemoryStore::new().max_sessions(3);
        store.put(0, after(900_000), NOW);
        store.put(1, after(10_000), NOW);
        store.put(2, after(900_000), NOW);
        store.put(3, after(900_000), after(10_000));
        assert_eq!(store.present(after(10_000)), [0, 2, 3]);
    }

    #[test]
    fn bytes_are_bounded_by_evicting_the_least_recently_used() {
        let size = "id-0".len() + r#"{"cookie":{}}"#.len() + MemoryStore::RECORD_OVERHEAD;
        let store = MemoryStore::new().max_bytes(4 * size);
        for number in 0..4 {
            store.put(number, None, NOW);
        }
        assert_eq!(store.present(NOW), [0, 1, 2, 3]);

        // An update that grows takes the room of the two that were not used for longest.
        let revision = store.get(3, NOW).unwrap().revision;
        let grown = record(&"x".repeat(2 * size), None);
        assert!(matches!(
            block_on(store.update(&id(3), &grown, &revision, NOW)).unwrap(),
            Updated::Done(_),
        ));
        assert_eq!(store.present(NOW), [2, 3]);
        store.put(4, None, NOW);
        assert_eq!(store.present(NOW), [3, 4]);
        // 3 was loaded, and 4 was not.
        store.put(5, None, NOW);
        assert_eq!(store.present(NOW), [3, 5]);
    }

    #[test]
    fn record_larger_than_the_cap_is_refused_and_evicts_nothing() {
        let store = MemoryStore::new().max_bytes(1000);
        store.put(0, None, NOW);
        let large = record(&format!(r#"{{"cookie":{{}},"x":"{}"}}"#, "x".repeat(1000)), None);
        let revision = store.get(0, NOW).unwrap().revision;
        let huge = Touch::new(large.text.clone(), None);
        let kinds = [
            block_on(store.create(&id(1), &large, NOW)).unwrap_err().kind(),
            block_on(store.update(&id(0), &large, &revision, NOW)).unwrap_err().kind(),
            block_on(store.touch(&id(0), &huge, NOW)).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::Unsuitable; 3]);
        assert_eq!(store.present(NOW), [0]);
        assert_eq!(store.get(0, NOW).unwrap().revision, revision);
    }

    #[test]
    fn large_cap_is_used_to_the_last_session() {
        for (cap, parts) in [(1, 1), (4095, 1), (4096, 2), (100_001, 32), (10_000_000, 64)] {
            let store = MemoryStore::new().max_sessions(cap);
            assert_eq!(store.shared.parts.len(), parts, "{cap}");
        }
        let store = MemoryStore::new().max_sessions(5000);
        for number in 0..20_000 {
            store.put(number, None, NOW);
        }
        assert_eq!(store.held(), 5000);
    }

    /// Returns a store with users who came back, `0..users`.
    fn with_returned(store: MemoryStore, users: usize) -> MemoryStore {
        for user in 0..users {
            store.put(user, None, NOW);
        }
        for user in 0..users {
            assert!(store.get(user, NOW).is_some(), "{user}");
        }
        store
    }

    #[test]
    fn audit_m4_flood_of_anonymous_sessions_ends_none_that_came_back() {
        let (users, cap) = (1_000, 100_000);
        let store = with_returned(MemoryStore::new().max_sessions(cap), users);
        for anonymous in 0..cap + 10_000 {
            store.put(users + anonymous, None, NOW);
        }
        assert_eq!(store.held(), cap);
        assert!((0..users).all(|user| store.get(user, NOW).is_some()));
    }

    #[test]
    fn audit_m4_few_huge_sessions_end_none_that_came_back() {
        let users = 10_000;
        let store = with_returned(MemoryStore::new().max_bytes(16 << 20), users);
        let huge = record(&format!(r#"{{"cookie":{{}},"x":"{}"}}"#, "x".repeat(8 << 20)), None);
        for number in 0..8 {
            block_on(store.create(&id(users + number), &huge, NOW)).unwrap();
        }
        assert!((0..users).all(|user| store.get(user, NOW).is_some()));
        let small = store.max_record_bytes(1 << 20);
        let refused = block_on(small.create(&id(0), &huge, NOW)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsuitable);
        assert!(refused.to_string().contains("max_record_bytes"), "{refused}");
    }

    /// Also where the sessions that came back are all in few of the parts.
    #[test]
    fn audit_m4_skewed_parts_end_no_session_that_came_back() {
        let cap = 4 * PART_SESSIONS;
        let store = MemoryStore::new().max_sessions(cap);
        assert_eq!(store.shared.parts.len(), 4);
        let is_in_first =
            |number: &usize| store.part_of(&Probe::new(&id(*number), &store.shared.hasher)) == 0;
        let users: Vec<usize> = (0..).filter(is_in_first).take(cap).collect();
        for user in &users {
            store.put(*user, None, NOW);
            assert!(store.get(*user, NOW).is_some());
        }
        for anonymous in 0..1000 {
            store.put(1_000_000_000 + anonymous, None, NOW);
        }
        assert_eq!(store.present(NOW), users, "the whole cap, all in one part");
        // One more that came back: then those alone exceed the cap, and the least recently used goes.
        block_on(store.destroy(&id(users[0]))).unwrap();
        store.put(2_000_000_000, None, NOW);
        assert!(store.get(2_000_000_000, NOW).is_some());
        let grown = record(&"x".repeat(100), None);
        let revision = store.get(users[7], NOW).unwrap().revision;
        block_on(store.update(&id(users[7]), &grown, &revision, NOW)).unwrap();
        assert_eq!(store.held(), cap);
    }

    #[test]
    fn audit_m4_request_that_creates_and_saves_again_is_no_return() {
        let store = with_returned(MemoryStore::new().max_sessions(10), 5);
        for anonymous in 5..100 {
            let created = block_on(store.create(&id(anonymous), &record("{}", None), NOW)).unwrap();
            let Created::Done(revision) = created else { panic!("taken") };
            block_on(store.update(&id(anonymous), &record("[]", None), &revision, NOW)).unwrap();
        }
        assert_eq!(store.present(NOW), [0, 1, 2, 3, 4, 95, 96, 97, 98, 99]);
    }

    #[test]
    fn audit_m1_forward_step_that_is_corrected_drops_nothing() {
        let real = Timestamp::from_millis(steady::ask());
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        for store in [MemoryStore::new(), MemoryStore::new().max_sessions(300)] {
            for number in 0..300 {
                store.put(number, real.saturating_add(hours(1)), real);
            }
            let ahead = real.saturating_add(hours(25));
            for round in 0..20_000 {
                assert!(store.get(round % 300, ahead).is_none());
            }
            assert_eq!(block_on(store.purge(usize::MAX, ahead)).unwrap(), 0);
            assert_eq!(store.live(real), 300);
            assert!((0..300).all(|number| store.get(number, real).is_some()));
        }
    }

    #[test]
    fn parallel_updates_lose_nothing() {
        const THREADS: usize = 64;
        const EACH: usize = 50;
        let store = MemoryStore::new();
        block_on(store.create(&id(0), &record("0", None), NOW)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let visitor = id(0);
                    for _ in 0..EACH {
                        let mut current = store.get(0, NOW).unwrap();
                        loop {
                            let next = current.record.text.parse::<usize>().unwrap() + 1;
                            let next = record(&next.to_string(), None);
                            let update = store.update(&visitor, &next, &current.revision, NOW);
                            match block_on(update).unwrap() {
                                Updated::Done(_) => break,
                                Updated::Conflict(newer) => current = newer,
                                Updated::Gone => panic!("gone"),
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(*store.get(0, NOW).unwrap().record.text, *(THREADS * EACH).to_string());
    }

    #[test]
    fn listing_gives_each_session_once_while_threads_write() {
        let store = MemoryStore::new();
        for number in 0..3000 {
            store.put(number, after(600_000), NOW);
        }
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = store.clone();
                scope.spawn(move || {
                    for round in 0..3000 {
                        let number = 10_000 + thread * 10_000 + round;
                        store.put(number, after(600_000), NOW);
                        store.move_to(round, Some(after(900_000)), NOW);
                        block_on(store.destroy(&id(number))).unwrap();
                    }
                });
            }
            let mut seen = HashMap::<_, usize>::new();
            let mut cursor = None;
            loop {
                let page = block_on(store.list(cursor, 7, NOW)).unwrap();
                assert!(page.sessions.len() <= 7);
                for (id, _) in page.sessions {
                    *seen.entry(id.as_str().to_owned()).or_default() += 1;
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            for number in 0..3000 {
                assert_eq!(seen.get(id(number).as_str()), Some(&1));
            }
        });
    }

    #[test]
    fn cursor_of_another_store_is_an_error() {
        let cursor = Some(Cursor::new("sess:42"));
        let listed = block_on(MemoryStore::new().list(cursor, 10, NOW));
        assert_eq!(listed.unwrap_err().kind(), ErrorKind::Other);
    }

    #[test]
    fn clear_removes_everything_for_all_clones() {
        let store = MemoryStore::new();
        let clone = store.clone();
        for number in 0..1000 {
            store.put(number, None, NOW);
        }
        block_on(clone.clear()).unwrap();
        assert_eq!((store.live(NOW), store.held()), (0, 0));
        assert!(store.get(0, NOW).is_none());
        store.put(0, None, NOW);
        assert_eq!(clone.live(NOW), 1);
    }

    #[test]
    fn poisoned_part_goes_on_working() {
        let store = MemoryStore::new();
        store.put(0, None, NOW);
        let panicked = std::thread::scope(|scope| {
            let part =
                &store.shared.parts[store.part_of(&Probe::new(&id(0), &store.shared.hasher))];
            let holding = scope.spawn(|| {
                let _guard = part.lock();
                panic!("while the lock is held");
            });
            holding.join()
        });
        assert!(panicked.is_err());
        assert!(store.get(0, NOW).is_some());
    }

    #[test]
    fn debug_shows_counts_and_no_id() {
        let store = MemoryStore::new().max_sessions(10);
        store.put(0, None, NOW);
        let shown = format!("{store:?}");
        assert!(shown.contains("sessions: 1") && shown.contains("max_sessions: Some(10)"));
        assert!(!shown.contains("id-"));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Load,
        Create(Option<i64>),
        Update { fresh: bool, deadline: Option<i64> },
        Touch(Option<i64>),
        Destroy,
        Count,
        Purge,
        Clear,
        Clock(i64),
    }

    fn op() -> impl Strategy<Value = (usize, Op)> {
        let deadline = || proptest::option::of(-2_000..60_000_i64);
        let op = prop_oneof![
            4 => Just(Op::Load),
            6 => deadline().prop_map(Op::Create),
            6 => (any::<bool>(), deadline())
                .prop_map(|(fresh, deadline)| Op::Update { fresh, deadline }),
            4 => deadline().prop_map(Op::Touch),
            2 => Just(Op::Destroy),
            2 => Just(Op::Count),
            1 => Just(Op::Purge),
            1 => Just(Op::Clear),
            4 => (-5_000..40_000_i64).prop_map(Op::Clock),
        ];
        (0..6_usize, op)
    }

    /// A model of the record that the store should hold.
    struct Expected {
        text: String,
        deadline: Timestamp,
        revision: Revision,
        /// Has been past its deadline once. Should the clock be set back, it may be there or not.
        lapsed: bool,
    }

    const TTL: Duration = Duration::from_secs(30);

    proptest! {
        #[test]
        fn store_does_what_a_plain_map_does(ops in prop::collection::vec(op(), 1..200)) {
            let store = MemoryStore::new().ttl(TTL);
            let mut model: BTreeMap<usize, Expected> = BTreeMap::new();
            let mut now = NOW;
            let mut stale = Revision::new(0);
            for (step, (number, op)) in ops.into_iter().enumerate() {
                let visitor = id(number);
                model.values_mut().for_each(|held| held.lapsed |= held.deadline <= now);
                // The store may or may not have records that came back with the clock; a load tells.
                model.retain(|number, held| {
                    let back = held.lapsed && held.deadline > now;
                    !back || store.get(*number, now).is_some()
                });
                let live = model.get(&number).filter(|held| held.deadline > now);
                let until = |wanted: Option<i64>| match wanted {
                    Some(millis) => Timestamp::from_millis(now.millis() + millis),
                    None => now.saturating_add(TTL),
                };
                let given = |wanted: Option<i64>| wanted.map(|_| until(wanted));
                let text = format!(r#"{{"cookie":{{}},"n":{step}}}"#);
                match op {
                    Op::Load => {
                        let loaded = store.get(number, now);
                        let expected = live.map(|held| Loaded {
                            record: record(&held.text, held.deadline),
                            revision: held.revision.clone(),
                        });
                        prop_assert_eq!(loaded, expected);
                    }
                    Op::Create(wanted) => {
                        let record = record(&text, given(wanted));
                        match block_on(store.create(&visitor, &record, now)).unwrap() {
                            Created::Taken => prop_assert!(live.is_some()),
                            Created::Done(revision) => {
                                prop_assert!(live.is_none());
                                let deadline = until(wanted);
                                let held = Expected { text, deadline, revision, lapsed: false };
                                model.insert(number, held);
                            }
                        }
                    }
                    Op::Update { fresh, deadline } => {
                        let expected = live.map_or(stale.clone(), |held| held.revision.clone());
                        let expected = if fresh { expected } else { stale.clone() };
                        let record = record(&text, given(deadline));
                        let update = store.update(&visitor, &record, &expected, now);
                        match block_on(update).unwrap() {
                            Updated::Gone => prop_assert!(live.is_none()),
                            Updated::Conflict(current) => {
                                let held = live.unwrap();
                                prop_assert_eq!(current.revision, held.revision.clone());
                                prop_assert_eq!(&*current.record.text, &held.text);
                                prop_assert!(expected != held.revision);
                            }
                            Updated::Done(revision) => {
                                prop_assert_eq!(Some(expected.clone()), live.map(|held| held.revision.clone()));
                                prop_assert!(revision != expected);
                                stale = expected;
                                let deadline = until(deadline);
                                let held = Expected { text, deadline, revision, lapsed: false };
                                model.insert(number, held);
                            }
                        }
                    }
                    Op::Touch(wanted) => match store.move_to(number, given(wanted), now) {
                        Touched::Gone => prop_assert!(live.is_none()),
                        Touched::Done => {
                            prop_assert!(live.is_some());
                            let deadline = until(wanted);
                            if let Some(held) = model.get_mut(&number) {
                                held.text = held.text.replace(r#"":{}"#, r#"":{"path":"/"}"#);
                                held.deadline = deadline;
                            }
                        }
                    },
                    Op::Destroy => {
                        block_on(store.destroy(&visitor)).unwrap();
                        model.remove(&number);
                    }
                    Op::Count => {
                        let live = model.iter().filter(|(_, held)| held.deadline > now);
                        let live: Vec<_> = live.map(|(number, _)| *number).collect();
                        prop_assert_eq!(store.live(now), live.len() as u64);
                        prop_assert_eq!(store.present(now), live);
                    }
                    Op::Purge => {
                        block_on(store.purge(usize::MAX, now)).unwrap();
                        model.retain(|_, held| held.deadline > now);
                        prop_assert_eq!(store.held(), model.len());
                    }
                    Op::Clear => {
                        block_on(store.clear()).unwrap();
                        model.clear();
                    }
                    Op::Clock(millis) => now = Timestamp::from_millis(now.millis() + millis),
                }
            }
        }

        /// Against the plainest model of a segmented LRU: two lists, the newest first.
        #[test]
        fn audit_m4_capped_store_is_a_segmented_lru(
            ops in prop::collection::vec((0..9_usize, 0..5_u8), 1..200),
        ) {
            const CAP: usize = 4;
            let store = MemoryStore::new().max_sessions(CAP);
            let (mut fresh, mut returned) = (Vec::<usize>::new(), Vec::<usize>::new());
            for (number, op) in ops {
                let known = fresh.contains(&number) || returned.contains(&number);
                let is_used = match op {
                    0 => store.get(number, NOW).is_some(),
                    1 => store.move_to(number, None, NOW) == Touched::Done,
                    2 => {
                        block_on(store.destroy(&id(number))).unwrap();
                        fresh.retain(|other| *other != number);
                        returned.retain(|other| *other != number);
                        continue;
                    }
                    3 => store.get(number, NOW).is_some(),
                    _ if known => continue,
                    _ => {
                        store.put(number, None, NOW);
                        fresh.insert(0, number);
                        if fresh.len() + returned.len() > CAP {
                            fresh.pop();
                        }
                        false
                    }
                };
                prop_assert!(op == 4 || is_used == known);
                if is_used {
                    fresh.retain(|other| *other != number);
                    returned.retain(|other| *other != number);
                    returned.insert(0, number);
                }
                let mut present: Vec<_> = fresh.iter().chain(&returned).copied().collect();
                present.sort_unstable();
                prop_assert_eq!(store.present(NOW), present);
            }
        }

    }

    proptest! {
        // A case holds 16 MiB.
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The totals are the sums of the parts after any calls, and never over the caps.
        #[test]
        fn audit_m4_accounting_is_exact(
            ops in prop::collection::vec((0..60_usize, 0..6_u8, 0..3000_usize), 1..300),
        ) {
            let (sessions, bytes) = (2 * PART_SESSIONS, 2 * PART_BYTES);
            let store = MemoryStore::new().max_sessions(sessions).max_bytes(bytes);
            for (number, op, size) in ops {
                let text = format!(r#"{{"cookie":{{}},"x":"{}"}}"#, "x".repeat(size * 500));
                let text = record(&text, after(1000));
                let now = after(if op == 5 { 60_000 } else { 0 });
                match op {
                    0..=2 => drop(block_on(store.create(&id(number), &text, now))),
                    3 => {
                        if let Some(loaded) = store.get(number, now) {
                            let (id, seen) = (id(number), loaded.revision);
                            drop(block_on(store.update(&id, &text, &seen, now)));
                        }
                    }
                    4 => block_on(store.destroy(&id(number))).unwrap(),
                    _ => drop(block_on(store.purge(size, now))),
                }
                let totals = store.shared.totals.as_ref().unwrap();
                let held = totals.bytes.load(Ordering::Relaxed);
                let parts = store.shared.parts.iter();
                prop_assert_eq!(held, parts.map(|part| part.lock().shard.bytes()).sum::<usize>());
                prop_assert_eq!(totals.sessions.load(Ordering::Relaxed), store.held());
                prop_assert!(held <= bytes, "{} bytes", held);
            }
        }
    }
}
