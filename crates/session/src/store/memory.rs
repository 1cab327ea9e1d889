//! Sessions in the memory of this process: the default store, for tests, development and services of
//! one process.
//!
//! express-session's own memory store never lets go of a session that nobody asks for again, and
//! warns against its use. This one may stay:
//!
//! 1. Expired sessions go by themselves, a few with each call; see [`MemoryStore`] for the cost.
//! 2. A session without an expiry of its own ends after [`ttl`](MemoryStore::ttl), a day by default.
//! 3. [`max_sessions`](MemoryStore::max_sessions) and [`max_bytes`](MemoryStore::max_bytes) bound what
//!    it takes; the session that was not used for longest goes first.
//! 4. It keeps the sessions' text, as every other store does, so that what works here works there.
//!
//! It ends with the process, and another process does not see it.

use std::fmt;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Loaded, Page, Record, Revision, Store, Touch, Touched,
    Updated,
};
use express_session_core::{SessionId, Timestamp};

use self::key::Probe;
use self::shard::{Caps, Shard, TooLarge};

mod chain;
mod key;
mod shard;

/// Keeps sessions in memory, each as the JSON text that any other store would keep.
///
/// Clones share the sessions, so that an application can keep a handle to list or clear them.
///
/// # Cost
///
/// A call locks one of 64 parts of the store for well below a microsecond, and never waits for
/// anything else. A session takes its text, its id and about 110 bytes
/// ([`RECORD_OVERHEAD`](Self::RECORD_OVERHEAD) is what is counted). Loading copies nothing: the text
/// is shared.
///
/// Expired sessions are never returned, to the millisecond. Their memory is freed by the calls that
/// follow: each removes up to 4 of its own part, and every eighth up to 32 of another part, in turn.
/// So there is no task to start and no pause however many expire at once, and a store that is used
/// at all gets rid of everything that expired at least 16 s ago. The other side of it: an idle
/// process keeps what it has until the next call, or until [`purge`](Admin::purge).
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
}

/// A shard behind its lock, in cache lines of its own.
#[repr(align(128))]
struct Part(Mutex<Guarded>);

struct Guarded {
    shard: Shard,
    /// Counts the calls to this part, to visit another now and then.
    calls: u32,
}

#[derive(Clone, Copy)]
struct Options {
    ttl: Option<Duration>,
    max_sessions: Option<usize>,
    max_bytes: Option<usize>,
}

impl MemoryStore {
    /// What is counted for a session beside its id and its text: its place in the tables, measured
    /// for a store of a million.
    pub const RECORD_OVERHEAD: usize = 128;

    /// Makes an empty store, without caps, where a session without an expiry of its own ends after a
    /// day.
    ///
    /// ```
    /// use express_session::store::memory::MemoryStore;
    ///
    /// let store = MemoryStore::new();
    /// assert_eq!(
    ///     format!("{store:?}"),
    ///     "MemoryStore { sessions: 0, ttl: Some(86400s), max_sessions: None, max_bytes: None }",
    /// );
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with(Options { ttl: Some(DAY), max_sessions: None, max_bytes: None })
    }

    /// Says how long a session lives that has no expiry of its own, as those of a browser-session
    /// cookie. The default is 24 hours, as in npm's memorystore.
    ///
    /// The time begins anew with each save and touch. `None` keeps such sessions for ever, as
    /// express-session's own memory store does: it then only ever grows, unless there is a cap.
    ///
    /// Like the other options it gives a new, empty store, so it must be set before the store is
    /// used.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::store::memory::MemoryStore;
    ///
    /// let store = MemoryStore::new().ttl(Duration::from_secs(1800));
    /// assert!(format!("{store:?}").contains("ttl: Some(1800s)"));
    /// let leaking = MemoryStore::new().ttl(None);
    /// assert!(format!("{leaking:?}").contains("ttl: None"));
    /// ```
    #[must_use]
    pub fn ttl(self, ttl: impl Into<Option<Duration>>) -> Self {
        Self::with(Options { ttl: ttl.into(), ..self.shared.options })
    }

    /// Keeps at most this many sessions, at least one. The default is any number.
    ///
    /// Where there are more, expired ones go if some are found at once, and else the one that was
    /// loaded, created, updated or touched the longest time ago. Its visitor is logged out, as if it
    /// had expired: leave room for everybody, and for the sessions of bots.
    ///
    /// The order is exact below 4,096 sessions. Above, the store has up to 64 parts of at least
    /// 2,048 each, of which each keeps its share of the cap and its own order: the one that goes is
    /// the least recently used of its part, and as chance does not fill the parts evenly, this begins
    /// some per cent before the whole is full.
    ///
    /// Like the other options it gives a new, empty store, so it must be set before the store is
    /// used.
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
    /// What goes is chosen as in [`max_sessions`](Self::max_sessions). The order is exact below
    /// 16 MiB; above, each part has a share of at least 8 MiB. A record that is larger than the
    /// share of its part is refused, with an error of kind [`ErrorKind::Unsuitable`].
    ///
    /// Like the other options it gives a new, empty store, so it must be set before the store is
    /// used.
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

    fn with(options: Options) -> Self {
        let hasher = RandomState::new();
        let sessions = options.max_sessions.unwrap_or(usize::MAX);
        let bytes = options.max_bytes.unwrap_or(usize::MAX);
        let parts = (sessions / PART_SESSIONS).min(bytes / PART_BYTES).clamp(1, MOST_PARTS);
        let parts = 1 << parts.ilog2();
        let part = |at| {
            let shares = Caps {
                sessions: options.max_sessions.map_or(usize::MAX, |all| share(all, parts, at)),
                bytes: options.max_bytes.map_or(usize::MAX, |all| share(all, parts, at)),
            };
            Part(Mutex::new(Guarded { shard: Shard::new(hasher.clone(), shares), calls: 0 }))
        };
        let parts = (0..parts).map(part).collect();
        Self { shared: Arc::new(Shared { options, hasher, parts }) }
    }

    fn deadline(&self, deadline: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        deadline.or_else(|| self.shared.options.ttl.map(|ttl| now.saturating_add(ttl)))
    }

    fn record(&self, record: &Record, now: Timestamp) -> Record {
        Record { text: record.text.clone(), deadline: self.deadline(record.deadline, now) }
    }

    /// Does a call's work in the part of its id, and then the call's share of the cleaning.
    fn within<T>(
        &self,
        id: &SessionId,
        now: Timestamp,
        work: impl FnOnce(&mut Shard, Probe) -> T,
    ) -> T {
        let parts = &self.shared.parts;
        let probe = Probe::new(id, &self.shared.hasher);
        let at = self.part_of(&probe);
        let mut part = parts[at].lock();
        let done = work(&mut part.shard, probe);
        part.shard.reap(OWN_STEPS, now);
        part.calls = part.calls.wrapping_add(1);
        let calls = part.calls;
        drop(part);

        if calls % VISIT_EVERY == 0 {
            let other = (calls / VISIT_EVERY) as usize % parts.len();
            // A part that is being used cleans itself.
            if let Some(mut part) = parts[other].try_lock() {
                part.shard.reap(VISIT_STEPS, now);
            }
        }
        done
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
        let Options { ttl, max_sessions, max_bytes } = self.shared.options;
        let sessions = self.shared.parts.iter().map(|part| part.lock().shard.held());
        f.debug_struct("MemoryStore")
            .field("sessions", &sessions.sum::<usize>())
            .field("ttl", &ttl)
            .field("max_sessions", &max_sessions)
            .field("max_bytes", &max_bytes)
            .finish()
    }
}

impl Store for MemoryStore {
    /// Gives the record with the deadline that this store counts, its `ttl` included.
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        Ok(self.within(id, now, |shard, probe| shard.load(&probe, now)))
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let record = self.record(record, now);
        Ok(self.within(id, now, |shard, probe| shard.create(probe, record, now))?)
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let record = self.record(record, now);
        Ok(self.within(id, now, |shard, probe| shard.update(&probe, record, expected, now))?)
    }

    /// Moves the deadline, and puts the cookie into the text, as express-session's own store does.
    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let deadline = self.deadline(touch.deadline, now);
        let work =
            |shard: &mut Shard, probe| shard.touch(&probe, &touch.cookie, deadline, now);
        Ok(self.within(id, now, work)?)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        // This call is not told the time, so that it cleans nothing up but what it was asked to.
        let probe = Probe::new(id, &self.shared.hasher);
        self.shared.parts[self.part_of(&probe)].lock().shard.destroy(&probe);
        Ok(())
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
            // A page of none would never come to an end.
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
            let old = part.lock().shard.clear();
            // After the lock: dropping many texts takes its time.
            drop(old);
        }
        Ok(())
    }

    /// Removes what has expired, however recently, in steps that hold no lock for long.
    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        let mut purged = 0;
        for part in &self.shared.parts {
            loop {
                let steps = PURGE_STEPS.min(limit - purged);
                let reaped = part.lock().shard.reap(steps, now);
                purged += reaped.removed;
                if reaped.steps < steps || purged == limit {
                    break;
                }
            }
            purged += part.lock().shard.reap_begun(limit - purged, now);
        }
        Ok(purged as u64)
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
    fn from(_: TooLarge) -> Self {
        Self::new(ErrorKind::Unsuitable, "the record is larger than max_bytes allows")
    }
}

fn share(all: usize, parts: usize, at: usize) -> usize {
    all / parts + usize::from(at < all % parts)
}

fn place(cursor: &Cursor) -> Option<(usize, usize)> {
    let (part, slot) = cursor.as_str().split_once('.')?;
    Some((part.parse().ok()?, slot.parse().ok()?))
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MOST_PARTS: usize = 64;
const PART_SESSIONS: usize = 2048;
const PART_BYTES: usize = 8 << 20;

/// Slots of past buckets that a call looks at in its own part.
const OWN_STEPS: usize = 4;
/// How many calls to a part there are for one that also visits another part.
const VISIT_EVERY: u32 = 8;
/// Slots of past buckets that such a call looks at in the other part: as many, for each call, as in
/// its own.
const VISIT_STEPS: usize = OWN_STEPS * VISIT_EVERY as usize;
/// Slots that a purge looks at before it lets others to the part.
const PURGE_STEPS: usize = 256;
