//! The interface that every store implements.
//!
//! A store keeps a text under an id until a deadline. It knows nothing of cookies, policies or merges. It
//! must obey these rules, which the laws of `express-session-testkit` check:
//!
//! 1. A record is returned byte for byte as it was given.
//! 2. A record whose deadline is at or before `now` is never returned. The deadline that the store
//!    keeps decides; the `expires` inside the text is often older.
//! 3. [`create`](Store::create) refuses an id that has a live record.
//! 4. [`update`](Store::update) is a compare-and-swap: it replaces the record only if its revision is
//!    still `expected`. Otherwise it changes nothing and returns the current record.
//! 5. A deleted record stays deleted: neither `update` nor [`touch`](Store::touch) brings it back.
//! 6. [`destroy`](Store::destroy) of an absent record is success.
//! 7. A record that cannot be read is an error of kind [`ErrorKind::Corrupt`], and stays where it is.
//! 8. A store that has [locks](Store::lock) checks them in the same atomic step that writes.
//! 9. No call with a wrong `now` ends a record that is live by the server's clock or, without a server, the
//!    machine's: `create` and `purge` remove only what has ended by both, and a record that is live by that clock,
//!    before or after a call, has its whole lifetime by it, also where the caller's clock is behind. The
//!    `clock_laws!` check it, for a store that has such a clock.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::cookie::StoredCookie;
use crate::metadata::UserQuery;
use crate::{SessionId, Timestamp};

/// Keeps sessions between requests.
///
/// Implement it for a store of your own, and test that with the laws of `express-session-testkit`.
/// The time is an argument, so that tests need not wait for an expiry. A store whose server has its own
/// clock uses `now` to turn a deadline into a remaining time.
///
/// Futures may be dropped at any await point. The call happens or not, never in part: over a pool of connections maybe
/// later, after the next call for the same session.
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
///         let loaded = Loaded { record: record.clone(), revision: revision.clone() };
///         *self.0.lock().unwrap() = Some((id.clone(), loaded));
///         Ok(Created::Done(revision))
///     }
///
///     async fn update(
///         &self, id: &SessionId, record: &Record, expected: &Revision, now: Timestamp,
///     ) -> Result<Updated, Error> {
///         let Some(current) = self.current(id, now) else { return Ok(Updated::Gone) };
///         if current.revision != *expected {
///             return Ok(Updated::Conflict(current));
///         }
///         let revision = Revision::new(current.revision.number().unwrap_or_default() + 1);
///         let loaded = Loaded { record: record.clone(), revision: revision.clone() };
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
    fn load(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Loaded>, Error>> + Send;

    /// Stores the first record of a new session.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]. An id in use is [`Created::Taken`], not an error.
    fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> impl Future<Output = Result<Created, Error>> + Send;

    /// Replaces a record if its revision is still `expected`.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]. A conflict or a deleted record is a result, not an error.
    fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> impl Future<Output = Result<Updated, Error>> + Send;

    /// Moves a record's deadline without changing its data.
    ///
    /// A touch keeps the revision, so that two requests that touch do not conflict.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]. A deleted record is [`Touched::Gone`], not an error.
    fn touch(
        &self,
        id: &SessionId,
        touch: &Touch,
        now: Timestamp,
    ) -> impl Future<Output = Result<Touched, Error>> + Send;

    /// Removes a record. An absent one is success.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
    fn destroy(&self, id: &SessionId) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes the lock of an id for the duration of `lease`, unless another holder has it. A holder that
    /// locks again renews its lease.
    ///
    /// Locks are advisory: [`update`](Store::update) ignores them. A lock belongs to the id, with or without
    /// a record, and is not listed as a session. It ends with [`unlock`](Store::unlock) or its lease.
    ///
    /// The [`FencingToken`] of a holder is higher than that of every earlier holder of the id. It stays the same while
    /// the holder renews a lease that has not ended; a lease that has ended begins again with a new token.
    ///
    /// Implement the three lock methods only if the store can check the lock in the step that writes.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; [`ErrorKind::Unsupported`] where the store has no locks. A lock of another holder
    /// is [`LockOutcome::Held`], not an error.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::{LockOutcome, LockToken, Store as _};
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
    /// let LockOutcome::Acquired(first) = store.lock(&id, one, lease, now).await? else { panic!("it is free") };
    /// assert_eq!(store.lock(&id, other, lease, now).await?, LockOutcome::Held);
    /// let later = now.saturating_add(lease);
    /// let LockOutcome::Acquired(next) = store.lock(&id, other, lease, later).await? else { panic!("it is over") };
    /// assert!(next > first);
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

    /// Replaces a record as [`update`](Store::update) does, in one atomic step with the check that `holder`
    /// still has the lock.
    ///
    /// Once its lease has ended the holder writes nothing, even if the lock is free.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; [`ErrorKind::Unsupported`] where the store has no locks. A lost lock is
    /// [`Fenced::Lost`], not an error.
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
    /// let fenced = store.update_locked(&id, &record, &seen, holder, now).await?;
    /// assert_eq!(fenced, Fenced::Lost);
    /// store.lock(&id, holder, Duration::from_secs(30), now).await?;
    /// let fenced = store.update_locked(&id, &record, &seen, holder, now).await?;
    /// assert!(matches!(fenced, Fenced::Held(Updated::Done(_))));
    /// # Ok(()) }) }
    /// ```
    fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> impl Future<Output = Result<Fenced, Error>> + Send {
        let _ = (id, record, expected, holder, now);
        async { Err(without_locks()) }
    }

    /// Releases a lock. If `holder` does not have it, nothing changes, and that is a success.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; [`ErrorKind::Unsupported`] where the store has no locks.
    fn unlock(
        &self,
        id: &SessionId,
        holder: LockToken,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = (id, holder);
        async { Err(without_locks()) }
    }

    /// Returns up to `limit` live sessions of a user, from the end of the page that returned `after`. A page may be empty
    /// with others behind it.
    ///
    /// The sessions are those whose record [matches](UserQuery::matches) the query. One whose record does from the first page
    /// to the last is listed exactly once, whatever program has written it. The text of the record is the one that the
    /// decision was about. A store may have an index that other programs do not maintain, and answer from it unless the
    /// query is [complete](UserQuery::is_complete): then a session whose last write is another program's may be missing.
    ///
    /// A store that is an [`Admin`] does this by [`scan`], at the cost of a whole listing; one whose server can look for
    /// [a text](UserQuery::text) asks for less.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; [`ErrorKind::Unsupported`] where the store cannot list, the default.
    ///
    /// ```
    /// use express_session_core::metadata::{MemberName, UserQuery};
    /// use express_session_core::record::Json;
    /// use express_session_core::store::{Record, Store as _};
    /// use express_session_core::{SessionId, Timestamp};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// let store = MapStore::default();
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// for (byte, user) in [(1, "bob"), (2, "eve")] {
    ///     let text = format!(r#"{{"cookie":{{}},"passport":{{"user":"{user}"}}}}"#);
    ///     let record = Record { text: text.into(), deadline: None };
    ///     store.create(&SessionId::from_random([byte; 24]), &record, now).await?;
    /// }
    /// let bob = UserQuery::new(Json::of("bob")?, MemberName::DEFAULT);
    /// let page = store.sessions_of(&bob, None, 10, now).await?;
    /// assert_eq!(page.sessions[0].0, SessionId::from_random([1; 24]));
    /// assert_eq!(page.sessions.len(), 1);
    /// # Ok(()) }) }
    /// ```
    fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> impl Future<Output = Result<Page, Error>> + Send {
        let _ = (users, after, limit, now);
        async { Err(Error::new(ErrorKind::Unsupported, "it cannot list the sessions of a user")) }
    }

    /// Returns the time by the clock that the store removes records by: its server's, or for a store of one process a clock
    /// that a step of the machine's does not move. By default `now`, the caller's.
    ///
    /// It is asked for before the record of a session is destroyed because a limit has passed by the caller's clock, which
    /// may be ahead.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`]; the record stays then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::store::Store as _;
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
    /// // The clock of this machine is a year ahead.
    /// let ahead = Timestamp::now().saturating_add(Duration::from_secs(31_536_000));
    /// assert!(MapStore::default().time(ahead).await? < ahead);
    /// # Ok(()) }) }
    /// ```
    fn time(&self, now: Timestamp) -> impl Future<Output = Result<Timestamp, Error>> + Send {
        std::future::ready(Ok(now))
    }

    /// Returns how long a record lives after each reset of its expiry; [`Lifetime::OfMaxAge`] by default.
    ///
    /// A request that only reads leaves the expiry for a while if it knows when it was reset last
    /// ([`TouchAfter`](crate::policy::TouchAfter)): from this time and the deadline that [`load`](Store::load) returns.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::{Lifetime, Store as _};
    /// use express_session_testkit::MapStore;
    ///
    /// assert_eq!(MapStore::default().lifetime(), Lifetime::MaxAgeOr(Duration::MAX));
    /// ```
    fn lifetime(&self) -> Lifetime {
        Lifetime::OfMaxAge
    }

    /// Returns whether [`touch`](Store::touch) moves deadlines; `true` by default.
    ///
    /// `false` stands for an express-session store without a `touch` method: `touch` is never called, and
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

/// Lists, counts and clears the sessions of a store, for operators.
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
    /// Returns up to `limit` live sessions, from the end of the page that returned `after`.
    ///
    /// A session that exists from the first page to the last is listed exactly once. One that is created or
    /// deleted meanwhile may be missing. Each store has its own order.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
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
    fn count(&self, now: Timestamp) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Removes every session under this store's prefix or in its table.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
    fn clear(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes up to `limit` expired records, and returns how many it removed.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`].
    fn purge(
        &self,
        limit: usize,
        now: Timestamp,
    ) -> impl Future<Output = Result<u64, Error>> + Send;
}

/// Answers [`Store::sessions_of`] by one page of a store's listing, at the cost of that.
///
/// # Errors
///
/// Those of [`Admin::list`].
///
/// ```
/// use express_session_core::metadata::{MemberName, UserQuery};
/// use express_session_core::record::Json;
/// use express_session_core::store::{Record, Store as _, scan};
/// use express_session_core::{SessionId, Timestamp};
/// use express_session_testkit::MapStore;
/// # use express_session_testkit::block_on;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> { block_on(async {
/// let store = MapStore::default();
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
/// store.create(&SessionId::from_random([7; 24]), &record, now).await?;
/// let bob = UserQuery::new(Json::of("bob")?, MemberName::DEFAULT);
/// assert!(scan(&store, &bob, None, 10, now).await?.sessions.is_empty());
/// # Ok(()) }) }
/// ```
pub async fn scan<S: Admin>(
    store: &S,
    users: &UserQuery,
    after: Option<Cursor>,
    limit: usize,
    now: Timestamp,
) -> Result<Page, Error> {
    let mut page = store.list(after, limit, now).await?;
    page.sessions.retain(|(_, record)| users.matches(&record.text));
    Ok(page)
}

/// A stored session: its text and its deadline.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The session as JSON, `{"cookie":{…},"views":1}`.
    pub text: Arc<str>,
    /// The time at which the record expires. `None` is a session without `max_age`, whose TTL the store
    /// sets.
    pub deadline: Option<Timestamp>,
}

impl Record {
    /// Returns whether the record has not expired at `now`.
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

/// A loaded record and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The record.
    pub record: Record,
    /// The version of the record, for [`Store::update`].
    pub revision: Revision,
}

/// The version of a record, for optimistic concurrency: a counter, or, if other programs write to the store without
/// counting, a digest of the text or the text itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Revision(Version);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Version {
    Number(u128),
    Text(Arc<str>),
}

impl Revision {
    /// Wraps a store's own number.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(Version::Number(number))
    }

    /// Makes a revision from the first 16 bytes, big-endian, of the text's SHA-256.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(text.as_bytes());
        Self::new(digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    /// Makes the revision of a record that the store compares by its text, which is shared and not copied.
    #[must_use]
    pub const fn by_text(text: Arc<str>) -> Self {
        Self(Version::Text(text))
    }

    /// Returns the store's own number, or `None` for a revision of a text.
    #[must_use]
    pub const fn number(&self) -> Option<u128> {
        match &self.0 {
            Version::Number(number) => Some(*number),
            Version::Text(_) => None,
        }
    }

    /// Returns the text, or `None` for a number.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.0 {
            Version::Number(_) => None,
            Version::Text(text) => Some(text),
        }
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Version::Number(number) => f.debug_tuple("Revision").field(number).finish(),
            Version::Text(text) => write!(f, "Revision(redacted, {} bytes)", text.len()),
        }
    }
}

/// The new deadline of a touch, and the `cookie` member for stores that keep it current.
#[derive(Clone, PartialEq, Eq)]
pub struct Touch {
    /// The new JSON of the record's `cookie` member. A store whose npm counterpart does not change the
    /// text on touch (Redis, PostgreSQL, …) ignores it.
    pub cookie: Arc<str>,
    /// The new deadline, as in [`Record::deadline`].
    pub deadline: Option<Timestamp>,
    /// Whether [`onto`](Self::onto) replaces the whole cookie of a record, as express-session's stores do, so that a touch
    /// sets back what an overlapping request has changed. The default is `false`.
    pub replaces_cookie: bool,
}

impl Touch {
    /// Makes a touch that renews the expiry alone.
    #[must_use]
    pub fn new(cookie: impl Into<Arc<str>>, deadline: Option<Timestamp>) -> Self {
        Self { cookie: cookie.into(), deadline, replaces_cookie: false }
    }

    /// Returns the text and the deadline of a record after this touch, for a store that keeps the cookie current.
    ///
    /// The cookie becomes that of the touch. But if an overlapping request has changed an attribute or the max age of the
    /// cookie, that cookie stays, and its own max age begins again, unless the touch
    /// [replaces it](Self::replaces_cookie). A text that is not a session record stays as it is.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::store::Touch;
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let loaded = r#"{"cookie":{"originalMaxAge":60000,"path":"/"}}"#;
    /// let touch = Touch::renewing(loaded, now).unwrap();
    ///
    /// // Meanwhile a request has made the visitor a remembered one, for 30 days.
    /// let remembered = r#"{"cookie":{"originalMaxAge":2592000000,"path":"/"},"user":7}"#;
    /// let (text, deadline) = touch.onto(remembered, now);
    /// assert!(text.contains(r#""originalMaxAge":2592000000"#));
    /// assert_eq!(deadline.map(|it| it.millis() - now.millis()), Some(2_592_000_000));
    /// ```
    #[must_use]
    pub fn onto<'a>(&self, text: &'a str, now: Timestamp) -> (Cow<'a, str>, Option<Timestamp>) {
        let with = |cookie: &str| {
            crate::record::with_cookie(text, cookie).map_or(Cow::Borrowed(text), Cow::Owned)
        };
        let parse = |cookie| StoredCookie::parse(cookie, now).ok();
        let changed = (!self.replaces_cookie).then(|| {
            let stored = parse(crate::record::cookie_of(text)?)?;
            let own = parse(&self.cookie)?;
            stored.is_changed_from(&own).then_some(stored)
        });
        match changed.flatten() {
            None => (with(&self.cookie), self.deadline),
            // Its time is that of the store.
            Some(stored) if stored.original_max_age().is_none() => (text.into(), self.deadline),
            Some(mut stored) => {
                stored.reset_expiry(now);
                (with(&stored.text()), stored.deadline())
            }
        }
    }

    /// Makes the touch that resets a record's expiry to its original max age, as express-session's
    /// `touch()` does (item 57). Returns `None` if the text is not a session record.
    #[must_use]
    pub fn renewing(text: &str, now: Timestamp) -> Option<Self> {
        let cookie = crate::record::cookie_of(text)?;
        let mut cookie = StoredCookie::parse(cookie, now).ok()?;
        cookie.reset_expiry(now);
        Some(Self::new(cookie.text(), cookie.deadline()))
    }
}

impl fmt::Debug for Touch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Touch").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// The result of [`Store::create`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// Stored, as this revision.
    Done(Revision),
    /// Not stored: the id has a live record already.
    Taken,
}

/// The result of [`Store::update`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    /// Replaced; the record is now this revision.
    Done(Revision),
    /// Not replaced: another request has written this record since.
    Conflict(Loaded),
    /// Not replaced: there is no live record.
    Gone,
}

/// How long a record lives after each reset of its expiry: see [`Store::lifetime`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// For its max age. A record without one lives for an unknown time, or for ever.
    #[default]
    OfMaxAge,
    /// For its max age, and without one for this time: the store's TTL. With [`Duration::MAX`] it never expires.
    MaxAgeOr(Duration),
    /// For this time, with any max age.
    Always(Duration),
    /// For a time that the store does not know before.
    Unknown,
}

impl Lifetime {
    /// Returns the time for a record with this max age, if it is known.
    #[must_use]
    pub fn of(self, max_age: Option<Duration>) -> Option<Duration> {
        match self {
            Self::OfMaxAge => max_age,
            Self::MaxAgeOr(ttl) => max_age.or(Some(ttl)),
            Self::Always(ttl) => Some(ttl),
            Self::Unknown => None,
        }
    }
}

/// The result of [`Store::touch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// The deadline was moved.
    Done,
    /// There is no live record.
    Gone,
}

/// A random number that identifies the holder of a lock.
///
/// Its `Debug` output is redacted, since the number gives the right to write.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockToken([u8; Self::BYTES]);

impl LockToken {
    /// The length in bytes, enough that two random tokens never meet.
    pub const BYTES: usize = 16;

    /// Makes a token from random bytes.
    #[must_use]
    pub const fn from_random(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes for the store to keep.
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

/// A number that grows with every holder of an id's lock: a system that keeps the highest it has seen refuses a
/// holder whose lease ran out without its noticing.
///
/// It is no secret, and is not the [`LockToken`] that writes the record.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::store::FencingToken;
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let first = FencingToken::after(0, now);
/// assert_eq!(first.get(), 1_700_000_000_000_000);
/// // The same millisecond, or a clock that was set back, does not repeat a number.
/// assert!(FencingToken::after(first.get(), now) > first);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// Makes a token from the number that a store keeps.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the token after `last`: the time in microseconds, or the next number where that is not higher. So a
    /// store that has forgotten `last`, or lost it in a restart, still goes on upwards.
    #[must_use]
    pub fn after(last: u64, now: Timestamp) -> Self {
        let micros = now.millis().max(0).unsigned_abs() * 1000;
        Self(micros.max(last.saturating_add(1)))
    }

    /// Returns the number, at most 2⁶³ − 1 in the stores of this crate.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The result of [`Store::lock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOutcome {
    /// The holder has the lock, its lease has begun, and this is its fencing token.
    Acquired(FencingToken),
    /// Another holder has it.
    Held,
}

/// The result of [`Store::update_locked`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// The holder has the lock; this is the result of the update.
    Held(Updated),
    /// Not replaced: the holder has lost the lock.
    Lost,
}

/// The position at which a listing continues, readable only by the store that made it.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(Box<str>);

impl Cursor {
    /// Wraps a store's own mark.
    #[must_use]
    pub fn new(mark: impl Into<Box<str>>) -> Self {
        Self(mark.into())
    }

    /// Returns the store's own mark.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cursor {
    /// Hides the mark, which may be an id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(redacted)")
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The sessions of this page.
    pub sessions: Vec<(SessionId, Record)>,
    /// Where the next page begins, or `None` after the last.
    pub next: Option<Cursor>,
}

/// The error of a store.
///
/// The message names no id and no data; the driver's own error is the [source](StdError::source). Clones
/// share it, for calls that fail together.
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
    retry_after: Option<Duration>,
    is_unsent: bool,
}

/// The kind of a store's [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached. Trying later may help.
    Unavailable,
    /// The store did not answer in time. Whether the call happened is not known.
    TimedOut,
    /// The record is not a session. The store keeps it.
    Corrupt,
    /// The store refused: credentials, permissions, a missing table, no space.
    Refused,
    /// This id or record cannot be kept in this store: too long, too large.
    Unsuitable,
    /// This store does not have the operation, such as locks.
    Unsupported,
    /// Anything else.
    Other,
}

fn without_locks() -> Error {
    Error::new(ErrorKind::Unsupported, "it has no locks")
}

impl Error {
    /// Makes an error of a kind, with a message that holds no secret.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self { kind, message: message.into(), source: None, retry_after: None, is_unsent: false }
    }

    /// Keeps the driver's own error as the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Sets when the store is going to be tried again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Unavailable, "the server does not answer");
    /// assert_eq!(error.retry_after(), None);
    /// let error = error.with_retry_after(Duration::from_millis(400));
    /// assert_eq!(error.retry_after(), Some(Duration::from_millis(400)));
    /// ```
    #[must_use]
    pub fn with_retry_after(mut self, left: Duration) -> Self {
        self.retry_after = Some(left);
        self
    }

    /// Returns in how long the store is going to be tried again, where it knows: a call before then fails likewise.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Marks the call as one that has certainly not reached the server, so that a write is not in doubt. A connection that
    /// was lost in the middle of a call is no such error.
    ///
    /// ```
    /// use express_session_core::store::{Error, ErrorKind};
    ///
    /// let error = Error::new(ErrorKind::Unavailable, "no connection");
    /// assert!(!error.is_unsent());
    /// assert!(error.unsent().is_unsent());
    /// ```
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.is_unsent = true;
        self
    }

    /// Checks whether the call has certainly not reached the server.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    /// Returns the kind of the failure.
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
    fn revision_is_a_number_or_a_text_and_never_equal_to_the_other_kind() {
        let [number, text] = [Revision::new(1), Revision::by_text("1".into())];
        assert_eq!((number.number(), number.text()), (Some(1), None));
        assert_eq!((text.number(), text.text()), (None, Some("1")));
        assert_ne!(number, text);
        assert_ne!(text, Revision::by_text("2".into()));
        assert_eq!(text, Revision::by_text("1".into()));
    }

    #[test]
    fn revision_of_a_text_is_the_beginning_of_its_digest() {
        let digest = 0xe3b0_c442_98fc_1c14_9afb_f4c8_996f_b924;
        assert_eq!(Revision::of_text("").number(), Some(digest));
        assert_ne!(Revision::of_text("a"), Revision::of_text("b"));
    }

    #[test]
    fn touch_resets_the_expiry_of_a_record() {
        let touch = Touch::renewing(r#"{"cookie":{"originalMaxAge":5}}"#, NOW).unwrap();
        assert_eq!(touch.deadline, Some(Timestamp::from_millis(NOW.millis() + 5)));
        assert_eq!(
            &*touch.cookie,
            r#"{"originalMaxAge":5,"expires":"2023-11-14T22:13:20.128Z","httpOnly":true,"path":"/"}"#
        );
        assert_eq!(Touch::renewing("{}", NOW), None);
    }

    #[test]
    fn touch_renews_the_cookie_that_an_overlapping_request_has_changed() {
        let renewed = |cookie: &str| format!(r#"{{"a":1,"cookie":{cookie},"b":2}}"#);
        let touch = Touch::renewing(r#"{"cookie":{"originalMaxAge":5,"path":"/"}}"#, NOW).unwrap();
        let replacing = Touch { replaces_cookie: true, ..touch.clone() };
        let after = |millis| Some(Timestamp::from_millis(NOW.millis() + millis));
        let own = renewed(&touch.cookie);
        let longer = r#"{"originalMaxAge":9,"expires":"2023-11-14T22:13:20.132Z","httpOnly":true,"path":"/"}"#;
        for (name, stored, text, deadline) in [
            ("the same", r#"{"originalMaxAge":5,"path":"/"}"#, own.clone(), after(5)),
            (
                "touched before",
                r#"{"originalMaxAge":5,"expires":"2023-11-14T22:13:20.001Z"}"#,
                own.clone(),
                after(5),
            ),
            ("another max age", r#"{"originalMaxAge":9,"path":"/"}"#, renewed(longer), after(9)),
            (
                "no max age",
                r#"{"originalMaxAge":null}"#,
                renewed(r#"{"originalMaxAge":null}"#),
                after(5),
            ),
            ("no cookie", "5", own.clone(), after(5)),
        ] {
            let stored = renewed(stored);
            assert_eq!(touch.onto(&stored, NOW), (text.into(), deadline), "{name}");
            assert_eq!(replacing.onto(&stored, NOW), (own.as_str().into(), after(5)), "{name}");
        }
        let other = renewed(r#"{"originalMaxAge":5,"path":"/admin"}"#);
        let (text, deadline) = touch.onto(&other, NOW);
        assert!(
            text.contains(
                r#""expires":"2023-11-14T22:13:20.128Z","httpOnly":true,"path":"/admin""#
            )
        );
        assert_eq!(deadline, after(5));
        assert_eq!(touch.onto("no record", NOW), ("no record".into(), after(5)));
    }

    #[test]
    fn lifetime_is_the_max_age_or_the_stores_time() {
        let [age, ttl] = [60, 3600].map(Duration::from_secs);
        for (lifetime, with, without) in [
            (Lifetime::OfMaxAge, Some(age), None),
            (Lifetime::MaxAgeOr(ttl), Some(age), Some(ttl)),
            (Lifetime::Always(ttl), Some(ttl), Some(ttl)),
            (Lifetime::Unknown, None, None),
        ] {
            assert_eq!(
                (lifetime.of(Some(age)), lifetime.of(None)),
                (with, without),
                "{lifetime:?}"
            );
        }
    }

    #[test]
    fn nothing_of_a_visitor_prints() {
        let record = Record { text: "secret".into(), deadline: None };
        assert_eq!(
            format!("{record:?}"),
            "Record { text: redacted, 6 bytes, deadline: None }",
            "its length says enough"
        );
        let revision = Revision::by_text("secret".into());
        assert_eq!(format!("{revision:?}"), "Revision(redacted, 6 bytes)");
        assert_eq!(format!("{:?}", Revision::new(7)), "Revision(7)");
        let touch = Touch::new("secret", None);
        assert_eq!(format!("{touch:?}"), "Touch { deadline: None, .. }");
        assert_eq!(format!("{:?}", Cursor::new("secret")), "Cursor(redacted)");
        assert_eq!(Cursor::new("secret").as_str(), "secret");
        let token = LockToken::from_random([7; LockToken::BYTES]);
        assert_eq!(
            (format!("{token:?}").as_str(), token.as_bytes()),
            ("LockToken(redacted)", &[7; 16])
        );
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
