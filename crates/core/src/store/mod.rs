//! The port that every store implements: records and deadlines go in, commands and keys stay inside.
//!
//! A store knows how to keep a text under a name until a time, and nothing of sessions: no cookie, no
//! policy, no merge. The rules it must obey, which the laws of `express-session-testkit` check:
//!
//! 1. A record is returned byte for byte as it was given.
//! 2. A record whose deadline is at or before `now` is never returned. The deadline that the store
//!    keeps is the truth; the `expires` inside the text is routinely older.
//! 3. [`create`](Store::create) refuses an id that has a live record.
//! 4. [`update`](Store::update) replaces the record only if nobody else did since `expected`, as one
//!    atomic step. Otherwise it changes nothing, and says what is there instead.
//! 5. What is gone stays gone: neither `update` nor [`touch`](Store::touch) brings a record back.
//! 6. [`destroy`](Store::destroy) of an absent record is success.
//! 7. A record that cannot be read is an error of kind [`ErrorKind::Corrupt`], and stays where it is.
//! 8. A store that has [locks](Store::lock) checks them in the same atomic step that writes.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::{SessionId, Timestamp};

/// Keeps sessions between requests.
///
/// Implement it for a store of your own; `express-session-testkit` has the laws to test it with.
/// Time comes in as an argument, so that an expiry can be tested without waiting for it: a store on
/// a server with a clock of its own uses `now` to turn a deadline into a remaining time.
///
/// Futures may be dropped at any await point. A store must then be left as if the call had either
/// happened or not.
///
/// The example is a store for one session only, enough to show each verb.
///
/// ```
/// use std::sync::Mutex;
/// use express_session_core::store::{
///     Created, Error, Loaded, Record, Revision, Store, Touch, Touched, Updated,
/// };
/// use express_session_core::{SessionId, Timestamp};
///
/// #[derive(Default)]
/// struct One(Mutex<Option<(SessionId, Loaded)>>);
///
/// impl One {
///     fn current(&self, id: &SessionId, now: Timestamp) -> Option<Loaded> {
///         let slot = self.0.lock().unwrap();
///         let (_, loaded) = slot.as_ref().filter(|(owner, _)| owner == id)?;
///         loaded.record.is_live(now).then(|| loaded.clone())
///     }
/// }
///
/// impl Store for One {
///     async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
///         Ok(self.current(id, now))
///     }
///
///     async fn create(&self, id: &SessionId, record: &Record, now: Timestamp) -> Result<Created, Error> {
///         if self.current(id, now).is_some() {
///             return Ok(Created::Taken);
///         }
///         let revision = Revision::new(1);
///         let loaded = Loaded { record: record.clone(), revision };
///         *self.0.lock().unwrap() = Some((id.clone(), loaded));
///         Ok(Created::Done(revision))
///     }
///
///     async fn update(
///         &self, id: &SessionId, record: &Record, expected: Revision, now: Timestamp,
///     ) -> Result<Updated, Error> {
///         let Some(current) = self.current(id, now) else { return Ok(Updated::Gone) };
///         if current.revision != expected {
///             return Ok(Updated::Conflict(current));
///         }
///         let revision = Revision::new(current.revision.get() + 1);
///         let loaded = Loaded { record: record.clone(), revision };
///         *self.0.lock().unwrap() = Some((id.clone(), loaded));
///         Ok(Updated::Done(revision))
///     }
///
///     async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
///         let Some(mut current) = self.current(id, now) else { return Ok(Touched::Gone) };
///         current.record.deadline = touch.deadline;
///         *self.0.lock().unwrap() = Some((id.clone(), current));
///         Ok(Touched::Done)
///     }
///
///     async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
///         self.0.lock().unwrap().take_if(|(owner, _)| owner == id);
///         Ok(())
///     }
/// }
///
/// # express_session_testkit::block_on(async {
/// let store = One::default();
/// let id = SessionId::from_random([7; 24]);
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
/// assert!(matches!(store.create(&id, &record, now).await?, Created::Done(_)));
/// assert_eq!(store.load(&id, now).await?.map(|loaded| loaded.record), Some(record));
/// # Ok::<(), Error>(())
/// # })?;
/// # Ok::<(), Error>(())
/// ```
pub trait Store: Send + Sync + 'static {
    /// Loads the live record of `id`, or `None` where there is none.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; a record that cannot be read is [`ErrorKind::Corrupt`].
    ///
    /// ```
    /// use express_session_core::store::{Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    ///
    /// assert_eq!(store.load(&id, now).await?, None);
    /// store.create(&id, &record, now).await?;
    /// let loaded = store.load(&id, now).await?.ok_or("no record")?;
    /// assert_eq!(loaded.record, record);
    /// # Ok(()) }) }
    /// ```
    fn load(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Loaded>, Error>> + Send;

    /// Stores the first record of a new session.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]. An id that is in use is no error but [`Created::Taken`].
    ///
    /// ```
    /// use express_session_core::store::{Created, Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// assert!(matches!(store.create(&id, &record, now).await?, Created::Done(_)));
    /// assert_eq!(store.create(&id, &record, now).await?, Created::Taken);
    /// # Ok(()) }) }
    /// ```
    fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> impl Future<Output = Result<Created, Error>> + Send;

    /// Replaces a record, if it still is the one that `expected` stands for.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]. A conflict, and a record that is gone, are no errors but results.
    ///
    /// ```
    /// use express_session_core::store::{Created, Record, Store as _, Updated};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// store.create(&id, &record, now).await?;
    /// let seen = store.load(&id, now).await?.ok_or("no record")?.revision;
    ///
    /// let changed = Record { text: r#"{"cookie":{},"views":1}"#.into(), deadline: None };
    /// assert!(matches!(store.update(&id, &changed, seen, now).await?, Updated::Done(_)));
    /// assert!(matches!(store.update(&id, &record, seen, now).await?, Updated::Conflict(_)));
    /// # Ok(()) }) }
    /// ```
    fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> impl Future<Output = Result<Updated, Error>> + Send;

    /// Moves a record's deadline, and its data not at all.
    ///
    /// A touch does not change the revision: two requests that touch do not conflict.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]. A record that is gone is no error but [`Touched::Gone`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::{Record, Store as _, Touch, Touched};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// store.create(&id, &record, now).await?;
    ///
    /// let deadline = Some(now.saturating_add(Duration::from_secs(60)));
    /// let touch = Touch { cookie: "{}".into(), deadline };
    /// assert_eq!(store.touch(&id, &touch, now).await?, Touched::Done);
    /// store.destroy(&id).await?;
    /// assert_eq!(store.touch(&id, &touch, now).await?, Touched::Gone);
    /// # Ok(()) }) }
    /// ```
    fn touch(
        &self,
        id: &SessionId,
        touch: &Touch,
        now: Timestamp,
    ) -> impl Future<Output = Result<Touched, Error>> + Send;

    /// Loads the live record and, in the same step, starts its time anew: what a request that only
    /// reads needs, in one round trip.
    ///
    /// The new deadline is that of [`Touch::renewing`] the record. A store that cannot do both in one step
    /// leaves this method alone: it is [`load`](Store::load), and the caller touches later.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; a record that cannot be read is [`ErrorKind::Corrupt`].
    ///
    /// ```
    /// use express_session_core::store::{Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// store.create(&id, &record, now).await?;
    ///
    /// let renewed = store.load_and_touch(&id, now).await?.ok_or("no record")?;
    /// assert_eq!(renewed.loaded.record, record);
    /// assert!(!renewed.is_touched, "this store does it in two steps");
    /// # Ok(()) }) }
    /// ```
    fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<LoadedAndTouched>, Error>> + Send {
        async move {
            let loaded = self.load(id, now).await?;
            Ok(loaded.map(|loaded| LoadedAndTouched { loaded, is_touched: false }))
        }
    }

    /// Removes a record. An absent one is success.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
    ///
    /// ```
    /// use express_session_core::store::{Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// store.create(&id, &record, now).await?;
    /// store.destroy(&id).await?;
    /// assert_eq!(store.load(&id, now).await?, None);
    /// store.destroy(&id).await?;
    /// # Ok(()) }) }
    /// ```
    fn destroy(&self, id: &SessionId) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes the lock of an id, if nobody else holds it, for as long as `lease` says. For the one who holds
    /// it already, the lease starts anew.
    ///
    /// A lock is a matter between those who ask for it: it keeps nobody else from writing. It belongs
    /// to the id, whether or not that has a record, and is never seen as a session. It ends by
    /// [`unlock`](Store::unlock) or by itself.
    ///
    /// A store that cannot check a lock in the step that writes leaves the three methods of locks alone.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; [`ErrorKind::Unsupported`] where the store has no locks. One that somebody else
    /// holds is no error but [`LockOutcome::Held`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::{LockToken, LockOutcome, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let (one, other) = (LockToken::from_random([1; 16]), LockToken::from_random([2; 16]));
    /// let lease = Duration::from_secs(30);
    ///
    /// assert_eq!(store.lock(&id, one, lease, now).await?, LockOutcome::Acquired);
    /// assert_eq!(store.lock(&id, other, lease, now).await?, LockOutcome::Held);
    /// let later = now.saturating_add(lease);
    /// assert_eq!(store.lock(&id, other, lease, later).await?, LockOutcome::Acquired);
    /// # Ok(()) }) }
    /// ```
    fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> impl Future<Output = Result<LockOutcome, Error>> + Send {
        let _ = (id, holder, lease, now);
        async { Err(without_locks()) }
    }

    /// Replaces a record as [`update`](Store::update) does, if `holder` still has the lock: one atomic step.
    ///
    /// This is the fence: a holder whose lease has run out writes nothing, even if nobody has taken the
    /// lock since.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; [`ErrorKind::Unsupported`] where the store has no locks. A lock that is lost is no
    /// error but [`Fenced::Lost`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::{Created, Fenced, LockToken, Record, Store as _, Updated};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// let Created::Done(seen) = store.create(&id, &record, now).await? else { return Ok(()) };
    ///
    /// let holder = LockToken::from_random([1; 16]);
    /// let fenced = store.update_locked(&id, &record, seen, holder, now).await?;
    /// assert_eq!(fenced, Fenced::Lost);
    /// store.lock(&id, holder, Duration::from_secs(30), now).await?;
    /// let fenced = store.update_locked(&id, &record, seen, holder, now).await?;
    /// assert!(matches!(fenced, Fenced::Held(Updated::Done(_))));
    /// # Ok(()) }) }
    /// ```
    fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> impl Future<Output = Result<Fenced, Error>> + Send {
        let _ = (id, record, expected, holder, now);
        async { Err(without_locks()) }
    }

    /// Gives a lock back. One that `holder` does not have, or not any more, is success and stays as it is.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; [`ErrorKind::Unsupported`] where the store has no locks.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::{LockToken, LockOutcome, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let id = SessionId::from_random([7; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let (one, other) = (LockToken::from_random([1; 16]), LockToken::from_random([2; 16]));
    /// let lease = Duration::from_secs(30);
    ///
    /// store.lock(&id, one, lease, now).await?;
    /// store.unlock(&id, other).await?;
    /// assert_eq!(store.lock(&id, other, lease, now).await?, LockOutcome::Held);
    /// store.unlock(&id, one).await?;
    /// assert_eq!(store.lock(&id, other, lease, now).await?, LockOutcome::Acquired);
    /// # Ok(()) }) }
    /// ```
    fn unlock(
        &self,
        id: &SessionId,
        holder: LockToken,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = (id, holder);
        async { Err(without_locks()) }
    }

    /// Says whether [`touch`](Store::touch) is of any use here; `true` unless overridden.
    ///
    /// `false` is a store without a `touch` method in express-session: it is not called at all, and
    /// an unmodified session keeps the deadline of its last save.
    ///
    /// ```
    /// use express_session_core::store::Store as _;
    /// use express_session_testkit::MapStore;
    ///
    /// assert!(MapStore::default().supports_touch());
    /// ```
    fn supports_touch(&self) -> bool {
        true
    }
}

/// Lists, counts and clears a store: what an operator needs, and a request never does.
///
/// ```
/// use express_session_core::store::{Admin as _, Record, Store as _};
/// use express_session_core::{SessionId, Timestamp};
/// use express_session_testkit::MapStore;
/// # use express_session_testkit::block_on;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
/// let store = MapStore::default();
/// let id = SessionId::from_random([7; 24]);
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
/// store.create(&id, &record, now).await?;
///
/// assert_eq!(store.count(now).await?, 1);
/// let page = store.list(None, 10, now).await?;
/// assert_eq!(page.sessions, [(id, record)]);
/// store.clear().await?;
/// assert_eq!(store.count(now).await?, 0);
/// # Ok(()) }) }
/// ```
pub trait Admin: Store {
    /// Gives up to `limit` live sessions, going on from the page that `after` ended.
    ///
    /// A session that is there from the first page to the last is given exactly once; one that
    /// comes or goes meanwhile may be given or not. The order is the store's own.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
    ///
    /// ```
    /// use express_session_core::store::{Admin as _, Error, Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Error> { block_on(async {
    /// let store = MapStore::default();
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// for byte in 0..3 {
    ///     store.create(&SessionId::from_random([byte; 24]), &record, now).await?;
    /// }
    /// let first = store.list(None, 2, now).await?;
    /// assert_eq!(first.sessions.len(), 2);
    /// let last = store.list(first.next, 2, now).await?;
    /// assert_eq!((last.sessions.len(), last.next), (1, None));
    /// # Ok(()) }) }
    /// ```
    fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> impl Future<Output = Result<Page, Error>> + Send;

    /// Counts the live sessions.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
    ///
    /// ```
    /// use express_session_core::store::{Admin as _, Error, Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Error> { block_on(async {
    /// let store = MapStore::default();
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// for byte in 0..3 {
    ///     store.create(&SessionId::from_random([byte; 24]), &record, now).await?;
    /// }
    /// assert_eq!(store.count(now).await?, 3);
    /// # Ok(()) }) }
    /// ```
    fn count(&self, now: Timestamp) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Removes every session of this store, and nothing outside of its prefix or table.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
    ///
    /// ```
    /// use express_session_core::store::{Admin as _, Error, Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Error> { block_on(async {
    /// let store = MapStore::default();
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// for byte in 0..3 {
    ///     store.create(&SessionId::from_random([byte; 24]), &record, now).await?;
    /// }
    /// store.clear().await?;
    /// assert_eq!(store.count(now).await?, 0);
    /// # Ok(()) }) }
    /// ```
    fn clear(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes up to `limit` expired records, and says how many there were.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::{Admin as _, Error, Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Error> { block_on(async {
    /// let store = MapStore::default();
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: Some(now.saturating_add(Duration::from_secs(60))) };
    /// for byte in 0..3 {
    ///     store.create(&SessionId::from_random([byte; 24]), &record, now).await?;
    /// }
    /// assert_eq!(store.purge(10, now).await?, 0);
    /// let later = now.saturating_add(Duration::from_secs(60));
    /// assert_eq!(store.purge(2, later).await?, 2);
    /// assert_eq!(store.purge(2, later).await?, 1);
    /// # Ok(()) }) }
    /// ```
    fn purge(
        &self,
        limit: usize,
        now: Timestamp,
    ) -> impl Future<Output = Result<u64, Error>> + Send;
}

/// What a store keeps under an id: the session's text, and until when.
///
/// ```
/// use express_session_core::store::Record;
///
/// let record = Record { text: r#"{"cookie":{},"user":"bob"}"#.into(), deadline: None };
/// assert_eq!(format!("{record:?}"), r#"Record { text: redacted, 26 bytes, deadline: None }"#);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The session as JSON, `{"cookie":{…},"views":1}`.
    pub text: Arc<str>,
    /// When the record ends. `None` is a session without an expiry of its own (a browser-session
    /// cookie), for which each store has a default, its `ttl`.
    pub deadline: Option<Timestamp>,
}

impl Record {
    /// Says whether the record may still be returned at `now`.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::store::Record;
    ///
    /// let [before, deadline] = [1_000, 2_000].map(Timestamp::from_millis);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: Some(deadline) };
    /// assert!(record.is_live(before));
    /// assert!(!record.is_live(deadline));
    /// ```
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.deadline.is_none_or(|deadline| deadline > now)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("text", &format_args!("redacted, {} bytes", self.text.len()))
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// A record as it was loaded, and which writing of it that was.
///
/// ```
/// use express_session_core::store::{Loaded, Record, Revision};
///
/// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
/// let first = Loaded { record, revision: Revision::new(1) };
/// let same_text_again = Loaded { revision: Revision::new(2), ..first.clone() };
/// assert_ne!(first, same_text_again);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The record.
    pub record: Record,
    /// Which writing of the record this is.
    pub revision: Revision,
}

/// What [`Store::load_and_touch`] gives.
///
/// ```
/// use express_session_core::store::{Loaded, Record, LoadedAndTouched, Revision};
///
/// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
/// let loaded = Loaded { record, revision: Revision::new(1) };
/// let renewed = LoadedAndTouched { loaded, is_touched: false };
/// assert!(!renewed.is_touched, "the caller is to touch it");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedAndTouched {
    /// The record, before or after its time was started anew.
    pub loaded: Loaded,
    /// Whether its deadline was moved; if not, it is still to be touched.
    pub is_touched: bool,
}

/// Which writing of a record one has seen, whatever the store finds cheapest: a counter, or a digest
/// of the text where another program writes too and keeps no counter.
///
/// ```
/// use express_session_core::store::Revision;
///
/// let (first, second) = (Revision::new(1), Revision::new(2));
/// assert_ne!(first, second);
/// assert_eq!(Revision::of_text("{}"), Revision::of_text("{}"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(u128);

impl Revision {
    /// Wraps a store's own number.
    ///
    /// ```
    /// use express_session_core::store::Revision;
    ///
    /// const FIRST: Revision = Revision::new(1);
    /// assert_eq!(FIRST.get(), 1);
    /// ```
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// Makes a revision of the text itself, for stores that another program writes to without counting: the
    /// first 16 bytes of its SHA-256, big-endian.
    ///
    /// ```
    /// use express_session_core::store::Revision;
    ///
    /// assert_eq!(Revision::of_text("").get(), 0xe3b0_c442_98fc_1c14_9afb_f4c8_996f_b924);
    /// ```
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(text.as_bytes());
        Self(digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    /// Gives the store its number back.
    ///
    /// ```
    /// use express_session_core::store::Revision;
    ///
    /// let next = Revision::new(Revision::new(1).get() + 1);
    /// assert_eq!(next, Revision::new(2));
    /// ```
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

/// What a touch moves: the deadline, and the `cookie` member for a store that keeps it current.
///
/// ```
/// use express_session_core::store::Touch;
///
/// let touch = Touch { cookie: r#"{"path":"/"}"#.into(), deadline: None };
/// assert_eq!(&*touch.cookie, r#"{"path":"/"}"#);
/// assert_eq!(format!("{touch:?}"), "Touch { deadline: None, .. }");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Touch {
    /// The new JSON of the record's `cookie` member. Stores whose npm counterpart leaves the text
    /// alone on touch (Redis, PostgreSQL, …) leave it alone too.
    pub cookie: Arc<str>,
    /// The new deadline, as in [`Record::deadline`].
    pub deadline: Option<Timestamp>,
}

impl Touch {
    /// Makes the touch that starts a record's time anew: its cookie with the max age it began with, as
    /// express-session's `touch()` makes it (item 57). `None` where the text is no session record.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::store::Touch;
    ///
    /// let text = r#"{"cookie":{"originalMaxAge":60000,"expires":"2023-11-14T22:13:50.123Z"},"a":1}"#;
    /// let now = Timestamp::from_millis(1_700_000_000_123);
    /// let touch = Touch::renewing(text, now).ok_or("no record")?;
    /// assert_eq!(touch.deadline, Some(Timestamp::from_millis(1_700_000_060_123)));
    /// # Ok::<(), &str>(())
    /// ```
    #[must_use]
    pub fn renewing(text: &str, now: Timestamp) -> Option<Self> {
        let cookie = crate::record::cookie_of(text)?;
        let mut cookie = crate::cookie::StoredCookie::parse(cookie, now).ok()?;
        cookie.reset_expiry(now);
        Some(Self { cookie: cookie.text().into(), deadline: cookie.deadline() })
    }
}

impl fmt::Debug for Touch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Touch").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// What became of a [`Store::create`].
///
/// ```
/// use express_session_core::store::{Created, Revision};
///
/// fn revision(created: Created) -> Option<Revision> {
///     match created {
///         Created::Done(revision) => Some(revision),
///         Created::Taken => None,
///     }
/// }
/// assert_eq!(revision(Created::Taken), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// Stored, as this revision.
    Done(Revision),
    /// Not stored: the id has a live record already.
    Taken,
}

/// What became of a [`Store::update`].
///
/// ```
/// use express_session_core::store::{Revision, Updated};
///
/// fn is_written(updated: &Updated) -> bool {
///     match updated {
///         Updated::Done(_) => true,
///         Updated::Conflict(_) | Updated::Gone => false,
///     }
/// }
/// assert!(is_written(&Updated::Done(Revision::new(2))));
/// assert!(!is_written(&Updated::Gone));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    /// Replaced; the record is now this revision.
    Done(Revision),
    /// Not replaced: somebody else wrote this in the meantime.
    Conflict(Loaded),
    /// Not replaced: there is no live record any more.
    Gone,
}

/// What became of a [`Store::touch`].
///
/// ```
/// use express_session_core::store::Touched;
///
/// // What a server answers to `EXPIRE`, say: whether there was a record.
/// let of_answer = |found: bool| if found { Touched::Done } else { Touched::Gone };
/// assert_eq!(of_answer(false), Touched::Gone);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The deadline is moved.
    Done,
    /// There is no live record any more.
    Gone,
}

/// Who holds a lock: a random number of its own for each time that one is asked for.
///
/// Prints as redacted: who knows it can write in the holder's place.
///
/// ```
/// use express_session_core::store::LockToken;
///
/// assert_eq!(format!("{:?}", LockToken::from_random([7; 16])), "LockToken(redacted)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockToken([u8; Self::BYTES]);

impl LockToken {
    /// How many random bytes make a holder: enough never to draw one twice.
    pub const BYTES: usize = 16;

    /// Makes a holder from random bytes.
    ///
    /// ```
    /// use express_session_core::store::LockToken;
    ///
    /// assert_ne!(LockToken::from_random([1; 16]), LockToken::from_random([2; 16]));
    /// ```
    #[must_use]
    pub const fn from_random(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Gives a store the bytes to keep.
    ///
    /// ```
    /// use express_session_core::store::LockToken;
    ///
    /// assert_eq!(LockToken::from_random([7; 16]).as_bytes(), &[7; 16]);
    /// ```
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for LockToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockToken(redacted)")
    }
}

/// What became of a [`Store::lock`].
///
/// ```
/// use express_session_core::store::LockOutcome;
///
/// // What a server answers to `SET … NX`, say: whether the key was set.
/// let of_answer = |set: bool| if set { LockOutcome::Acquired } else { LockOutcome::Held };
/// assert_eq!(of_answer(false), LockOutcome::Held);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOutcome {
    /// The lock is the holder's, and the lease runs from now on.
    Acquired,
    /// Somebody else holds it.
    Held,
}

/// What became of a [`Store::update_locked`].
///
/// ```
/// use express_session_core::store::{Fenced, Revision, Updated};
///
/// fn is_written(fenced: &Fenced) -> bool {
///     matches!(fenced, Fenced::Held(Updated::Done(_)))
/// }
/// assert!(!is_written(&Fenced::Lost));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// The holder has the lock, and this became of the update.
    Held(Updated),
    /// Not replaced: the lock is not the holder's any more.
    Lost,
}

/// Where a listing goes on. Only the store that gave it can read it.
///
/// ```
/// use express_session_core::store::Cursor;
///
/// assert_eq!(format!("{:?}", Cursor::new("an id, maybe")), "Cursor(redacted)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// Wraps a store's own mark.
    ///
    /// ```
    /// use express_session_core::store::Cursor;
    ///
    /// assert_ne!(Cursor::new("page 2"), Cursor::new("page 3"));
    /// ```
    #[must_use]
    pub fn new(mark: impl Into<Box<str>>) -> Self {
        Self(mark.into())
    }

    /// Gives the store its mark back.
    ///
    /// ```
    /// use express_session_core::store::Cursor;
    ///
    /// assert_eq!(Cursor::new("page 2").as_str(), "page 2");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    /// A mark may well be an id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(redacted)")
    }
}

/// One page of a listing.
///
/// ```
/// use express_session_core::store::Page;
///
/// let nothing = Page { sessions: Vec::new(), next: None };
/// assert!(nothing.sessions.is_empty() && nothing.next.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The sessions of this page.
    pub sessions: Vec<(SessionId, Record)>,
    /// Where the next page begins, or `None` after the last.
    pub next: Option<Cursor>,
}

/// Why a store could not do what it was asked.
///
/// The message names no id and no data; the driver's own error is kept as the
/// [source](StdError::source). A clone is the same error, for calls that share one.
///
/// ```
/// use express_session_core::store::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::TimedOut, "no answer within 5 s");
/// assert_eq!(error.kind(), ErrorKind::TimedOut);
/// assert_eq!(error.to_string(), "the session store timed out: no answer within 5 s");
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What a caller can tell store errors apart by.
///
/// ```
/// use express_session_core::store::{Error, ErrorKind};
///
/// fn is_temporary(error: &Error) -> bool {
///     matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut)
/// }
/// assert!(is_temporary(&Error::new(ErrorKind::TimedOut, "no answer within 5 s")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached. Trying later may help.
    Unavailable,
    /// The store did not answer in time. Whether the call happened is not known.
    TimedOut,
    /// The record is not what a session looks like. It stays where it is.
    Corrupt,
    /// The store answered, and said no: credentials, permissions, a missing table, no space.
    Refused,
    /// This id or record cannot be kept in this store: too long, too large.
    Unsuitable,
    /// This store has no such operation: no lock.
    Unsupported,
    /// Anything else.
    Other,
}

fn without_locks() -> Error {
    Error::new(ErrorKind::Unsupported, "it has no locks")
}

impl Error {
    /// Makes an error of a kind, with a message that holds no secret.
    ///
    /// ```
    /// use express_session_core::store::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Refused, "no such table");
    /// assert_eq!(error.to_string(), "the session store refused: no such table");
    /// ```
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps the driver's own error as the source.
    ///
    /// ```
    /// use std::error::Error as _;
    /// use express_session_core::store::{Error, ErrorKind};
    ///
    /// let driver = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    /// let error = Error::new(ErrorKind::Unavailable, "cannot connect").with_source(driver);
    /// assert!(error.source().is_some_and(|source| source.is::<std::io::Error>()));
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Says which kind of failure it is.
    ///
    /// ```
    /// use express_session_core::store::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Unavailable, "cannot connect");
    /// assert_eq!(error.kind(), ErrorKind::Unavailable);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::Unavailable => "the session store is unavailable",
            ErrorKind::TimedOut => "the session store timed out",
            ErrorKind::Corrupt => "the session's record is corrupt",
            ErrorKind::Refused => "the session store refused",
            ErrorKind::Unsuitable => "the session store cannot keep this",
            ErrorKind::Unsupported => "the session store cannot do this",
            ErrorKind::Other => "the session store failed",
        };
        write!(f, "{what}: {}", self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

    #[test]
    fn record_is_live_until_its_deadline_and_no_longer() {
        let millis = |millis: i64| Timestamp::from_millis(NOW.millis() + millis);
        for (deadline, is_live) in
            [(None, true), (Some(millis(1)), true), (Some(NOW), false), (Some(millis(-1)), false)]
        {
            assert_eq!(
                Record { text: "{}".into(), deadline }.is_live(NOW),
                is_live,
                "{deadline:?}"
            );
        }
    }

    #[test]
    fn revision_of_a_text_is_the_beginning_of_its_digest() {
        assert_eq!(Revision::of_text("").get(), 0xe3b0_c442_98fc_1c14_9afb_f4c8_996f_b924);
        assert_ne!(Revision::of_text("a"), Revision::of_text("b"));
    }

    #[test]
    fn touch_starts_the_time_of_a_record_anew() {
        let touch = Touch::renewing(r#"{"cookie":{"originalMaxAge":5}}"#, NOW).unwrap();
        assert_eq!(touch.deadline, Some(Timestamp::from_millis(NOW.millis() + 5)));
        assert_eq!(
            &*touch.cookie,
            r#"{"originalMaxAge":5,"expires":"2023-11-14T22:13:20.128Z","httpOnly":true,"path":"/"}"#
        );
        assert_eq!(Touch::renewing("{}", NOW), None);
    }

    #[test]
    fn nothing_of_a_visitor_prints() {
        let record = Record { text: "secret".into(), deadline: None };
        assert_eq!(
            format!("{record:?}"),
            "Record { text: redacted, 6 bytes, deadline: None }",
            "its length says enough"
        );
        let touch = Touch { cookie: "secret".into(), deadline: None };
        assert_eq!(format!("{touch:?}"), "Touch { deadline: None, .. }");
        assert_eq!(format!("{:?}", Cursor::new("secret")), "Cursor(redacted)");
        assert_eq!(Cursor::new("secret").as_str(), "secret");
        assert_eq!(format!("{:?}", LockToken::from_random([7; 16])), "LockToken(redacted)");
    }

    #[test]
    fn error_tells_its_kind_first_and_keeps_its_source() {
        for (kind, text) in [
            (ErrorKind::Unavailable, "the session store is unavailable: why"),
            (ErrorKind::TimedOut, "the session store timed out: why"),
            (ErrorKind::Corrupt, "the session's record is corrupt: why"),
            (ErrorKind::Refused, "the session store refused: why"),
            (ErrorKind::Unsuitable, "the session store cannot keep this: why"),
            (ErrorKind::Unsupported, "the session store cannot do this: why"),
            (ErrorKind::Other, "the session store failed: why"),
        ] {
            let error = Error::new(kind, "why");
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
            assert!(error.source().is_none());
            let error = error.with_source("the driver's word");
            assert_eq!(
                error.source().map(ToString::to_string).as_deref(),
                Some("the driver's word")
            );
        }
    }
}
