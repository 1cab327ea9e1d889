//! Sessions in an SQLite file, in the table of connect-sqlite3, better-sqlite3-session-store or
//! connect-session-knex: what one of them saved on Node is read here, and the other way round.
//!
//! 1. The table says which store it belongs to ([`Dialect`]). A new one is connect-sqlite3's, unless
//!    [`dialect`](SqliteStore::dialect) says otherwise.
//! 2. The record is the session's JSON as it was given, byte for byte. Its end is the column's, in the
//!    npm store's own form; a touch moves that alone.
//! 3. An update compares and writes in one transaction. What Node writes counts: the revision is a
//!    digest of the text, as Node keeps no counter.
//! 4. [Locks](Store::lock) are rows of a table beside it, `sessions_locks`, which the first lock makes and
//!    no npm store looks at. The transaction that writes is the one that checks them.
//! 5. SQLite runs on threads of the store's own, never on the runtime's. See [`SqliteStore`] for the
//!    cost.
//!
//! | | connect-sqlite3 | better-sqlite3-session-store | connect-session-knex |
//! |---|---|---|---|
//! | end of a session without an expiry | a day after its last save | a day after its last save or touch | a day after its last save |
//! | removes what has expired | every 24 h | every 15 min | every minute |
//! | precision of the end | milliseconds | seconds, rounded down | milliseconds |
//!
//! At the very millisecond of its end a session is gone here; connect-sqlite3 gives it for that
//! millisecond, and connect-session-knex for the rest of that second.
//!
//! Several processes may use one file, on one machine. Network file systems lock badly: do not put
//! the file on one. And do not remove or replace it while a process has it open: that process goes on
//! with the one that is gone.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Loaded, LoadedAndTouched, LockOutcome,
    LockToken, Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use self::database::{Database, Stored};
pub use self::dialect::Dialect;
use self::worker::{Answer, Task, Workers};

mod database;
mod dialect;
mod worker;

/// Keeps sessions in an SQLite database, on Node's side that of connect-sqlite3,
/// better-sqlite3-session-store or connect-session-knex.
///
/// The file is opened by the first call, or by [`open`](Self::open), and again after a failure.
/// Clones share the database and its threads; these end with the last clone.
///
/// # Cost
///
/// A call goes to a thread and back, and takes some ten microseconds more than SQLite itself. Calls
/// that write and come at once share a commit, so that it is the number of commits that counts and not
/// that of sessions. Three threads, of which each has a connection: one writes, two read.
///
/// Taking a [lock](Store::lock) and giving it back is a write each, as a save is. Locks that were not given
/// back go with the expired sessions, once their lease is over. The table is named as the sessions' own,
/// with `_locks` after it.
///
/// # Failures
///
/// | kind | when |
/// |---|---|
/// | `Unavailable` | the file cannot be opened, read or written, or another program holds it for longer than the [`busy_timeout`](Self::busy_timeout): nothing was done |
/// | `TimedOut` | no answer within the [`timeout`](Self::timeout) |
/// | `Refused` | the disk is full, the file is read-only, or broken, or the table is no session store's |
/// | `Corrupt` | the row of the session holds no text |
/// | `Unsuitable` | the record is larger than SQLite takes (1 GB), or a column of type `json` would make a number of it |
///
/// ```
/// use std::time::Duration;
/// use express_session::store::sqlite::SqliteStore;
/// use express_session::store::{Created, Record, Store as _};
/// # use express_session_core::{SessionId, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("sqlite-store-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("sessions.db");
/// let store = SqliteStore::new(&path);
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let later = now.saturating_add(Duration::from_secs(60));
///
/// let id = SessionId::from_random([7; 24]);
/// let record = Record { text: r#"{"cookie":{},"views":1}"#.into(), deadline: Some(later) };
/// assert!(matches!(store.create(&id, &record, now).await?, Created::Done(_)));
/// assert_eq!(store.load(&id, now).await?.map(|loaded| loaded.record), Some(record));
/// assert_eq!(store.load(&id, later).await?, None);
/// # drop(store);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    options: Arc<Options>,
    workers: Workers,
}

#[derive(Clone, Debug)]
struct Options {
    path: PathBuf,
    dialect: Option<Dialect>,
    table: String,
    sid_field_name: String,
    create_table: bool,
    create_dir_if_not_exists: bool,
    ttl: Duration,
    cleanup_interval: Cleanup,
    concurrent_db: bool,
    synchronous: Synchronous,
    busy_timeout: Duration,
    timeout: Duration,
    readers: usize,
}

#[derive(Clone, Copy, Debug)]
enum Cleanup {
    OfTheDialect,
    Every(Duration),
    Never,
}

/// How much a power cut may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Synchronous {
    /// The saves of the last moments, and never a part of one: the write-ahead log is brought to the
    /// disk now and then, not with every commit. The end of the process, by `kill -9` too, takes nothing.
    Normal,
    /// Nothing that was answered. A commit waits for the disk: some milliseconds, where
    /// [`Normal`](Self::Normal) takes a fraction of one.
    Full,
}

impl SqliteStore {
    /// Keeps sessions in this file, which is made if there is none. `:memory:` keeps them in memory.
    ///
    /// connect-sqlite3's own default is a file `sessions` in the working folder, and
    /// connect-session-knex's `connect-session-knex.sqlite`. A new file can be read and written by its
    /// owner only; so can the two beside it, `-wal` and `-shm`, which belong to it while it is open.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with(Options {
            path: path.into(),
            dialect: None,
            table: "sessions".to_owned(),
            sid_field_name: "sid".to_owned(),
            create_table: true,
            create_dir_if_not_exists: false,
            ttl: DAY,
            cleanup_interval: Cleanup::OfTheDialect,
            concurrent_db: true,
            synchronous: Synchronous::Normal,
            busy_timeout: FIVE_SECONDS,
            timeout: FIVE_SECONDS,
            readers: 2,
        })
    }

    /// Says whose table it is. The default: whose the table that is there is, and connect-sqlite3's
    /// where there is none.
    ///
    /// Where there is a table of another kind, every call fails, as
    /// [`Refused`](ErrorKind::Refused).
    ///
    /// Like the other options it gives a new store with threads of its own, so it must be set before
    /// the store is used.
    #[must_use]
    pub fn dialect(self, dialect: Dialect) -> Self {
        self.set(|options| options.dialect = Some(dialect))
    }

    /// Names the table: `table` of connect-sqlite3, `tableName` of connect-session-knex. The default is
    /// `sessions`, the only name that better-sqlite3-session-store knows.
    #[must_use]
    pub fn table(self, table: impl Into<String>) -> Self {
        self.set(|options| options.table = table.into())
    }

    /// Names the column of the id, as connect-session-knex's `sidFieldName` does. The default is `sid`.
    #[must_use]
    pub fn sid_field_name(self, name: impl Into<String>) -> Self {
        self.set(|options| options.sid_field_name = name.into())
    }

    /// Says whether to make the table where there is none, as connect-session-knex's `createTable`. The
    /// default is true. With false, a missing table fails every call, as
    /// [`Refused`](ErrorKind::Refused), and a missing table of locks every [`lock`](Store::lock).
    #[must_use]
    pub fn create_table(self, create: bool) -> Self {
        self.set(|options| options.create_table = create)
    }

    /// Says whether to make the file's folder where there is none, as connect-sqlite3's
    /// `createDirIfNotExists`. The default is false: a path with a slip in it is an error, and no new and
    /// empty database.
    #[must_use]
    pub fn create_dir_if_not_exists(self, create: bool) -> Self {
        self.set(|options| options.create_dir_if_not_exists = create)
    }

    /// Says how long a session lives that has no expiry of its own, as those of a browser-session
    /// cookie. The default is a day, which in the npm stores is fixed.
    ///
    /// The time begins anew with each save. Whether a touch begins it anew too is the dialect's: in
    /// better-sqlite3-session-store's it does. In the others, a visitor who only reads is logged out a
    /// day after the last save; give such sessions a max age if that is too soon.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.set(|options| options.ttl = ttl)
    }

    /// Says how often to remove what has expired: connect-session-knex's `cleanupInterval`,
    /// better-sqlite3-session-store's `expired.intervalMs`. The default is the npm store's own: 24 hours
    /// for connect-sqlite3, 15 minutes for better-sqlite3-session-store, a minute for
    /// connect-session-knex. `None` never removes any; then call [`purge`](Admin::purge).
    ///
    /// It is done when the store is used: after the first call, and after a call that comes an interval
    /// later by its own `now`, on the thread that writes, 500 ids at a time with the calls going first. An
    /// expired session is never returned, however long it stays in the table.
    #[must_use]
    pub fn cleanup_interval(self, interval: impl Into<Option<Duration>>) -> Self {
        let interval = interval.into().map_or(Cleanup::Never, Cleanup::Every);
        self.set(|options| options.cleanup_interval = interval)
    }

    /// Says whether to turn the write-ahead log on, as connect-sqlite3's `concurrentDb`. The default is
    /// true, unlike there: readers and the writer do not wait for each other, and a commit is many times
    /// faster.
    ///
    /// The file remembers it, and the npm stores use it as it is. `false` leaves the file as it is, for
    /// a file system without shared memory. Where the log cannot be turned on, the store works without.
    #[must_use]
    pub fn concurrent_db(self, concurrent: bool) -> Self {
        self.set(|options| options.concurrent_db = concurrent)
    }

    /// Says how much a power cut may take. The default is [`Synchronous::Normal`]: the saves of the last
    /// moments. Without a write-ahead log it is always [`Synchronous::Full`].
    #[must_use]
    pub fn synchronous(self, synchronous: Synchronous) -> Self {
        self.set(|options| options.synchronous = synchronous)
    }

    /// Says how long to wait while another program writes to the file. The default is 5 s.
    ///
    /// Meanwhile the other calls that write wait too. Longer than the [`timeout`](Self::timeout) makes no
    /// sense: nobody waits for the result any more.
    #[must_use]
    pub fn busy_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.busy_timeout = timeout)
    }

    /// Says how long a call may take, the wait for its turn included. The default is 5 s.
    ///
    /// After it, a call fails as [`TimedOut`](ErrorKind::TimedOut). If it has begun it is still
    /// carried out.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.timeout = timeout)
    }

    /// Says how many threads read, each with a connection. The default is 2.
    ///
    /// They only load: what a request that reads and renews its session does is done by the thread that
    /// writes. With 0, as for `:memory:`, that does everything.
    #[must_use]
    pub fn readers(self, readers: usize) -> Self {
        self.set(|options| options.readers = readers)
    }

    /// Opens the file now, makes the table if need be, and says whose it is: for a service that would
    /// rather not start than fail its first visitor.
    ///
    /// # Errors
    ///
    /// As any call's: see [`SqliteStore`].
    ///
    /// ```
    /// use express_session::store::sqlite::{Dialect, SqliteStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), express_session::store::Error> {
    /// assert_eq!(SqliteStore::new(":memory:").open().await?, Dialect::ConnectSqlite3);
    /// assert!(SqliteStore::new("/no/such/folder/sessions.db").open().await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(&self) -> Result<Dialect, Error> {
        self.shared.workers.call(Task::Write, None, |database| Ok(Ok(database.dialect()))).await
    }

    fn with(options: Options) -> Self {
        let options = Arc::new(options);
        let workers = Workers::new(Arc::clone(&options));
        Self { shared: Arc::new(Shared { options, workers }) }
    }

    fn set(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::clone(&self.shared.options);
        change(&mut options);
        Self::with(options)
    }

    fn deadline(&self, deadline: Option<Timestamp>, now: Timestamp) -> Timestamp {
        deadline.unwrap_or_else(|| now.saturating_add(self.shared.options.ttl))
    }
}

impl Options {
    fn is_in_memory(&self) -> bool {
        self.path.as_os_str() == ":memory:"
    }

    fn cleanup_interval(&self, dialect: Dialect) -> Option<Duration> {
        match self.cleanup_interval {
            Cleanup::OfTheDialect => Some(dialect.cleanup_interval()),
            Cleanup::Every(interval) => Some(interval),
            Cleanup::Never => None,
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.shared.options).finish()
    }
}

impl Store for SqliteStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let id = id.clone();
        let work = move |database: &Database| {
            let stored = database.find(&id)?;
            Ok(live(stored, database.dialect(), now).map(loaded).transpose())
        };
        self.shared.workers.call(Task::Read, Some(now), work).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let (id, text) = (id.clone(), Arc::clone(&record.text));
        let deadline = self.deadline(record.deadline, now);
        let work = move |database: &Database| {
            if database.dialect().spoils(&text) {
                return Ok(Err(spoilt()));
            }
            let stored = database.find(&id)?;
            let is_there = stored.is_some();
            if live(stored, database.dialect(), now).is_some() {
                return Ok(Ok(Created::Taken));
            }
            if is_there {
                database.replace(&id, &text, deadline)?;
            } else {
                database.insert(&id, &text, deadline)?;
            }
            Ok(Ok(Created::Done(Revision::of_text(&text))))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let (id, text) = (id.clone(), Arc::clone(&record.text));
        let deadline = self.deadline(record.deadline, now);
        let work = move |database: &Database| update(database, &id, &text, deadline, expected, now);
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    /// Moves the deadline and leaves the text alone. In the tables of connect-sqlite3 and
    /// connect-session-knex, a session without an expiry of its own keeps the deadline of its last save.
    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let (id, wanted) = (id.clone(), touch.deadline);
        let deadline = self.deadline(wanted, now);
        let work = move |database: &Database| {
            if live(database.find(&id)?, database.dialect(), now).is_none() {
                return Ok(Ok(Touched::Gone));
            }
            if wanted.is_some() || database.dialect().touches_browser_sessions() {
                database.touch(&id, deadline)?;
            }
            Ok(Ok(Touched::Done))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        let (id, ttl) = (id.clone(), self.shared.options.ttl);
        let work = move |database: &Database| {
            let stored = database.find(&id)?;
            let mut loaded = match live(stored, database.dialect(), now).map(loaded) {
                None => return Ok(Ok(None)),
                Some(Err(error)) => return Ok(Err(error)),
                Some(Ok(loaded)) => loaded,
            };
            let end = Touch::renewing(&loaded.record.text, now).and_then(|touch| {
                let touches_all = database.dialect().touches_browser_sessions();
                touch.deadline.or_else(|| touches_all.then(|| now.saturating_add(ttl)))
            });
            if let Some(deadline) = end {
                loaded.record.deadline = Some(database.touch(&id, deadline)?);
            }
            let is_touched = end.is_some();
            Ok(Ok(Some(LoadedAndTouched { loaded, is_touched })))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let id = id.clone();
        let work = move |database: &Database| Ok(Ok(database.destroy(&id)?));
        self.shared.workers.call(Task::Write, None, work).await
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let (id, until) = (id.clone(), now.saturating_add(lease));
        let work = move |database: &Database| {
            let is_done = database.lock(&id, holder, until, now)?;
            Ok(Ok(if is_done { LockOutcome::Acquired } else { LockOutcome::Held }))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let (id, text) = (id.clone(), Arc::clone(&record.text));
        let deadline = self.deadline(record.deadline, now);
        let work = move |database: &Database| {
            if !database.is_held(&id, holder, now)? {
                return Ok(Ok(Fenced::Lost));
            }
            Ok(update(database, &id, &text, deadline, expected, now)?.map(Fenced::Held))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let id = id.clone();
        let work = move |database: &Database| Ok(Ok(database.unlock(&id, holder)?));
        self.shared.workers.call(Task::Write, None, work).await
    }
}

impl Admin for SqliteStore {
    /// Goes by the ids in their order. Records that hold no text are left out.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        // A page of none would never come to an end.
        let limit = limit.max(1);
        let after = after.as_ref().map_or("", Cursor::as_str).to_owned();
        let work = move |database: &Database| {
            let rows = database.list(&after, limit, now)?;
            let is_full = rows.len() == limit;
            let mut sessions = Vec::with_capacity(rows.len());
            let mut last = None;
            for (id, Stored { text, deadline }) in rows {
                let Some(id) = String::from_utf8(id).ok().and_then(SessionId::new) else {
                    let message = "the table has an id that is no text";
                    return Ok(Err(Error::new(ErrorKind::Corrupt, message)));
                };
                last = Some(id.clone());
                if let Some(text) = text {
                    sessions.push((id, Record { text, deadline }));
                }
            }
            let next = last.filter(|_| is_full).map(|id| Cursor::new(id.as_str()));
            Ok(Ok(Page { sessions, next }))
        };
        self.shared.workers.call(Task::Read, Some(now), work).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        let work = move |database: &Database| Ok(Ok(database.count(now)?));
        self.shared.workers.call(Task::Read, Some(now), work).await
    }

    async fn clear(&self) -> Result<(), Error> {
        let work = |database: &Database| Ok(Ok(database.clear()?));
        self.shared.workers.call(Task::Write, None, work).await
    }

    /// Removes what the npm store would remove: better-sqlite3-session-store and connect-session-knex
    /// leave a session that ended within this second for the next.
    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        let mut purged = 0;
        while purged < limit {
            let some = PURGE_STEP.min(limit - purged);
            let work = move |database: &Database| {
                // These are no records, and do not count.
                database.clean_locks(now)?;
                Ok(Ok(database.purge(some, now)?))
            };
            let gone = self.shared.workers.call(Task::Write, None, work).await?;
            purged += gone;
            if gone < some {
                break;
            }
        }
        Ok(purged as u64)
    }
}

/// Compares and writes, within the transaction that the call has.
fn update(
    database: &Database,
    id: &SessionId,
    text: &Arc<str>,
    deadline: Timestamp,
    expected: Revision,
    now: Timestamp,
) -> database::Result<Answer<Updated>> {
    if database.dialect().spoils(text) {
        return Ok(Err(spoilt()));
    }
    let stored = database.find(id)?;
    let current = match live(stored, database.dialect(), now).map(loaded) {
        None => return Ok(Ok(Updated::Gone)),
        Some(Err(error)) => return Ok(Err(error)),
        Some(Ok(current)) => current,
    };
    if current.revision != expected {
        return Ok(Ok(Updated::Conflict(current)));
    }
    database.replace(id, text, deadline)?;
    Ok(Ok(Updated::Done(Revision::of_text(text))))
}

/// Gives what is there, if it still counts.
fn live(stored: Option<Stored>, dialect: Dialect, now: Timestamp) -> Option<Stored> {
    stored.filter(|stored| stored.deadline.is_some_and(|deadline| dialect.is_live(deadline, now)))
}

fn loaded(Stored { text, deadline }: Stored) -> Answer<Loaded> {
    let text = text
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the column of the session holds no text"))?;
    let revision = Revision::of_text(&text);
    Ok(Loaded { record: Record { text, deadline }, revision })
}

fn spoilt() -> Error {
    let message = "a column of type json would make a number of the record";
    Error::new(ErrorKind::Unsuitable, message)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const FIVE_SECONDS: Duration = Duration::from_secs(5);
/// How many records a purge removes before it lets others write.
const PURGE_STEP: usize = 500;
