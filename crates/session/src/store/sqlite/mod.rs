//! Stores sessions in an SQLite file, in the table of npm's connect-sqlite3, better-sqlite3-session-store or
//! connect-session-knex, which can read and write the same sessions.
//!
//! 1. The columns of the table tell its [`Dialect`]. A new table is connect-sqlite3's by
//!    [default](SqliteStore::dialect).
//! 2. The record is the session's JSON, byte for byte. The deadline is a column in the npm store's own form,
//!    and a touch changes only that.
//! 3. An update is a compare-and-swap in one transaction. The revision is a digest of the text, so that a
//!    write by Node is a conflict too.
//! 4. [Locks](Store::lock) are rows of a second table, `sessions_locks`, which the first lock creates and no
//!    npm store reads. The transaction that writes checks them.
//! 5. SQLite runs on the store's own threads, never on the runtime's. See [`SqliteStore`] for the cost.
//!
//! | | connect-sqlite3 | better-sqlite3-session-store | connect-session-knex |
//! |---|---|---|---|
//! | end of a session without an expiry | a day after its last save | a day after its last save or touch | a day after its last save |
//! | removes what has expired | every 24 h | every 15 min | every minute |
//! | precision of the end | milliseconds | seconds, rounded down | milliseconds |
//!
//! A session has expired at the millisecond of its deadline; connect-sqlite3 returns it for that
//! millisecond, and connect-session-knex for the rest of that second.
//!
//! Several processes of one machine may use one file. Do not put it on a network file system, whose locks are
//! unreliable. Do not remove or replace it while a process has it open, since that process would continue
//! with the removed file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Lifetime, Loaded, LockOutcome, LockToken,
    Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use self::database::{Database, Stored};
pub use self::dialect::Dialect;
use self::worker::{Answer, Task, Workers};
use super::steady::Times;

mod database;
mod dialect;
#[cfg(unix)]
mod trust;
mod worker;

/// Keeps sessions in the SQLite table of an npm store.
///
/// The first call opens the file, or [`open`](Self::open) does, and the next call after a failure opens it
/// again. Clones share the database and its threads, which end with the last clone.
///
/// # Cost
///
/// A call takes some ten microseconds more than SQLite itself, to a thread and back. Concurrent writes share
/// a commit. Of three threads, each with a connection, one writes and two read.
///
/// Taking a [lock](Store::lock) and releasing it is a write each. Locks that were not released are removed
/// with the expired sessions, after their lease. Their table has the sessions' name and the suffix `_locks`.
///
/// # Failures
///
/// | kind | when |
/// |---|---|
/// | `Unavailable` | the file cannot be opened, read or written, or another program holds it for longer than the [`busy_timeout`](Self::busy_timeout), or the disk has finished nothing for the [`timeout`](Self::timeout), or 4,096 calls wait; nothing was done |
/// | `TimedOut` | no answer within the [`timeout`](Self::timeout) |
/// | `Refused` | the disk is full, the file is read-only or broken, or the table is not a session store's |
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
    user_index: bool,
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

/// The loss that a power cut may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Synchronous {
    /// Loses the last saves, and never a part of one, since SQLite does not write the log to the disk with
    /// every commit. The end of the process, even by `kill -9`, loses nothing.
    Normal,
    /// Loses no save that was answered. A commit waits some milliseconds for the disk;
    /// [`Normal`](Self::Normal) takes a fraction of one.
    Full,
}

impl SqliteStore {
    /// Makes a store for this file, which is created if it is missing. `:memory:` keeps sessions in memory.
    ///
    /// connect-sqlite3's default is the file `sessions` in the working folder, connect-session-knex's
    /// `connect-session-knex.sqlite`. Only its owner can read and write a new file, and the two beside it,
    /// `-wal` and `-shm`, which belong to it while it is open.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with(Options {
            path: path.into(),
            dialect: None,
            table: "sessions".to_owned(),
            sid_field_name: "sid".to_owned(),
            create_table: true,
            user_index: false,
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

    /// Sets the npm store whose table it is. The default is that of the existing table, or connect-sqlite3.
    ///
    /// If the table is of another kind, every call is [`Refused`](ErrorKind::Refused). Like the other options,
    /// it returns a new store with its own threads, so set it before the store is used.
    #[must_use]
    pub fn dialect(self, dialect: Dialect) -> Self {
        self.set(|options| options.dialect = Some(dialect))
    }

    /// Sets the name of the table: `table` of connect-sqlite3, `tableName` of connect-session-knex. The default
    /// is `sessions`, the only name in better-sqlite3-session-store.
    #[must_use]
    pub fn table(self, table: impl Into<String>) -> Self {
        self.set(|options| options.table = table.into())
    }

    /// Sets the name of the id's column, as connect-session-knex's `sidFieldName`. The default is `sid`.
    #[must_use]
    pub fn sid_field_name(self, name: impl Into<String>) -> Self {
        self.set(|options| options.sid_field_name = name.into())
    }

    /// Sets whether to create a missing table, as connect-session-knex's `createTable`. The default is true.
    /// With false, every call is [`Refused`](ErrorKind::Refused) if the table is missing, and every
    /// [`lock`](Store::lock) if that of locks is.
    #[must_use]
    pub fn create_table(self, create: bool) -> Self {
        self.set(|options| options.create_table = create)
    }

    /// Sets whether the table has an index of the users, which a list of a user's sessions then searches. The default is
    /// false: SQLite searches the text of every record. The end of a user's sessions does so in any case.
    ///
    /// The first call creates a missing index; for a million records it takes seconds, in which no program can write. SQLite
    /// maintains it with every write, Node's too; the file then needs SQLite 3.9 or later, with its functions for JSON, in
    /// every program that writes to it. It is for the metadata member `__sessionMetadata`; the layer's
    /// [`metadata_member`](crate::SessionLayer::metadata_member) of another name does not use it.
    #[must_use]
    pub fn user_index(self, index: bool) -> Self {
        self.set(|options| options.user_index = index)
    }

    /// Sets whether to create a missing folder, as connect-sqlite3's `createDirIfNotExists`. The default is
    /// false: a mistyped path is an error, not a new and empty database.
    #[must_use]
    pub fn create_dir_if_not_exists(self, create: bool) -> Self {
        self.set(|options| options.create_dir_if_not_exists = create)
    }

    /// Sets the TTL of sessions without `max_age`. The default is a day, as always in the npm stores.
    ///
    /// Each save resets the expiry. A touch resets it only in the dialect of better-sqlite3-session-store. In
    /// the others, a session that only reads expires a day after its last save; set `max_age` if that is too
    /// soon.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.set(|options| options.ttl = ttl)
    }

    /// Sets the interval at which expired sessions are removed: connect-session-knex's `cleanupInterval`,
    /// better-sqlite3-session-store's `expired.intervalMs`. The default is the npm store's own, see the
    /// [table](self). `None` never removes any; then call [`purge`](Admin::purge).
    ///
    /// The first call, and a call whose `now` is an interval later, start the removal on the thread that
    /// writes, 500 ids at a time after the waiting calls. Expired sessions are never returned, removed or not.
    #[must_use]
    pub fn cleanup_interval(self, interval: impl Into<Option<Duration>>) -> Self {
        let interval = interval.into().map_or(Cleanup::Never, Cleanup::Every);
        self.set(|options| options.cleanup_interval = interval)
    }

    /// Sets whether to turn on the write-ahead log, as connect-sqlite3's `concurrentDb`. The default, unlike
    /// there, is true: readers and the writer do not wait for each other, and a commit is many times faster.
    ///
    /// The setting stays in the file, also for the npm stores. `false` does not change the file, for a file
    /// system without shared memory. If the log cannot be turned on, the store works without it.
    #[must_use]
    pub fn concurrent_db(self, concurrent: bool) -> Self {
        self.set(|options| options.concurrent_db = concurrent)
    }

    /// Sets the loss that a power cut may cause. The default is [`Synchronous::Normal`], the last saves.
    /// Without a write-ahead log it is always [`Synchronous::Full`].
    #[must_use]
    pub fn synchronous(self, synchronous: Synchronous) -> Self {
        self.set(|options| options.synchronous = synchronous)
    }

    /// Sets how long to wait while another program writes to the file. The default is 5 s.
    ///
    /// Other writes wait too meanwhile. More than the [`timeout`](Self::timeout) has no use, since the caller no
    /// longer waits.
    #[must_use]
    pub fn busy_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.busy_timeout = timeout)
    }

    /// Sets the timeout of a call, including the wait for its turn. The default is 5 s.
    ///
    /// A call that takes longer is [`TimedOut`](ErrorKind::TimedOut). If it has begun, it still runs to
    /// completion.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.timeout = timeout)
    }

    /// Sets the number of threads that read, each with a connection, at most 1,024. The default is 2.
    ///
    /// They only load; loading and touching in one step is a write. With 0, as for `:memory:`, the thread that
    /// writes does everything.
    #[must_use]
    pub fn readers(self, readers: usize) -> Self {
        self.set(|options| options.readers = readers.min(MOST_READERS))
    }

    /// Opens the file, creates a missing table, and returns its dialect, so that a failure shows when the
    /// application starts.
    ///
    /// # Errors
    ///
    /// See [`SqliteStore`].
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
            let (stored, times) = (database.find(&id)?, Times::of(now));
            let is_there = stored.is_some();
            if live(stored, database.dialect(), times.ended()).is_some() {
                return Ok(Ok(Created::Taken));
            }
            let deadline = times.end(None, deadline);
            if is_there {
                database.replace(&id, &text, deadline)?;
            } else {
                database.insert(&id, &text, deadline)?;
            }
            Ok(Ok(Created::Done(Revision::by_text(Arc::clone(&text)))))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let (id, text, expected) = (id.clone(), Arc::clone(&record.text), expected.clone());
        let deadline = self.deadline(record.deadline, now);
        let work =
            move |database: &Database| update(database, &id, &text, deadline, &expected, now);
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    /// Moves the deadline and does not change the text. In the tables of connect-sqlite3 and
    /// connect-session-knex, a session without `max_age` keeps the deadline of its last save: a touch reads then, and
    /// waits for no writer.
    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        if touch.deadline.is_none() {
            let id = id.clone();
            let look = move |database: &Database| {
                let is_live = live(database.find(&id)?, database.dialect(), now).is_some();
                Ok(Ok((is_live, database.dialect().touches_browser_sessions())))
            };
            match self.shared.workers.call(Task::Read, Some(now), look).await? {
                (false, _) => return Ok(Touched::Gone),
                (true, false) => return Ok(Touched::Done),
                (true, true) => {}
            }
        }
        let (id, deadline) = (id.clone(), self.deadline(touch.deadline, now));
        let work = move |database: &Database| {
            let Some(stored) = live(database.find(&id)?, database.dialect(), now) else {
                return Ok(Ok(Touched::Gone));
            };
            database.touch(&id, Times::of(now).end(stored.deadline, deadline))?;
            Ok(Ok(Touched::Done))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    /// The process's own clock, which a step of the machine's does not move.
    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        Ok(Times::of(now).ended())
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::MaxAgeOr(self.shared.options.ttl)
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
        let id = id.clone();
        let work = move |database: &Database| {
            // By both clocks, so that one that is ahead neither takes a lock nor keeps one for long.
            let times = Times::of(now);
            let fence = database.lock(&id, holder, times.lease(lease), times.ended())?;
            Ok(Ok(fence.map_or(LockOutcome::Held, LockOutcome::Acquired)))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let (id, text, expected) = (id.clone(), Arc::clone(&record.text), expected.clone());
        let deadline = self.deadline(record.deadline, now);
        let work = move |database: &Database| {
            if !database.is_held(&id, holder, Times::of(now).ended())? {
                return Ok(Ok(Fenced::Lost));
            }
            Ok(update(database, &id, &text, deadline, &expected, now)?.map(Fenced::Held))
        };
        self.shared.workers.call(Task::Write, Some(now), work).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let id = id.clone();
        let work = move |database: &Database| Ok(Ok(database.unlock(&id, holder)?));
        self.shared.workers.call(Task::Write, None, work).await
    }

    /// The database looks for the user's text in all records, or for a list in those that the
    /// [index](SqliteStore::user_index) has, and the store reads those that have it.
    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        // Of a member that is there twice, the index has the first, and the record means the last. No npm store writes such
        // a record, and still the end of a user's sessions does not rely on it.
        let by_index = self.shared.options.user_index
            && !users.is_complete()
            && users.indexed(&MemberName::DEFAULT).is_some();
        let mut page = self.page(users.text(), by_index, after, limit, now).await?;
        page.sessions.retain(|(_, record)| users.matches(&record.text));
        Ok(page)
    }
}

impl SqliteStore {
    /// Returns a page of the records that contain a text.
    async fn page(
        &self,
        text: &str,
        by_index: bool,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        // A limit of 0 would loop forever.
        let (limit, text) = (limit.max(1), text.to_owned());
        let after = after.as_ref().map_or("", Cursor::as_str).to_owned();
        let work = move |database: &Database| {
            let rows = database.list(&text, by_index, &after, limit, now)?;
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
}

impl Admin for SqliteStore {
    /// Lists the sessions in the order of their ids, without records that are not text.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        self.page("", false, after, limit, now).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        let work = move |database: &Database| Ok(Ok(database.count(now)?));
        self.shared.workers.call(Task::Read, Some(now), work).await
    }

    async fn clear(&self) -> Result<(), Error> {
        let work = |database: &Database| Ok(Ok(database.clear()?));
        self.shared.workers.call(Task::Write, None, work).await
    }

    /// Removes the sessions that the npm store would remove: better-sqlite3-session-store and
    /// connect-session-knex keep a session that ended within this second until the next. A session that has
    /// ended by `now` but not by the process's monotonic clock stays.
    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        let mut purged = 0;
        while purged < limit {
            let some = PURGE_STEP.min(limit - purged);
            let work = move |database: &Database| {
                let ended = Times::of(now).ended();
                // Locks are not counted.
                database.clean_locks(ended)?;
                Ok(Ok(database.purge(some, ended)?))
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

/// Compares and writes, within the call's transaction.
fn update(
    database: &Database,
    id: &SessionId,
    text: &Arc<str>,
    deadline: Timestamp,
    expected: &Revision,
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
    if current.revision != *expected {
        return Ok(Ok(Updated::Conflict(current)));
    }
    let deadline = Times::of(now).end(current.record.deadline, deadline);
    database.replace(id, text, deadline)?;
    Ok(Ok(Updated::Done(Revision::by_text(Arc::clone(text)))))
}

/// Returns the record if it has not expired.
fn live(stored: Option<Stored>, dialect: Dialect, now: Timestamp) -> Option<Stored> {
    stored.filter(|stored| stored.deadline.is_some_and(|deadline| dialect.is_live(deadline, now)))
}

fn loaded(Stored { text, deadline }: Stored) -> Answer<Loaded> {
    let text = text
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "the column of the session holds no text"))?;
    let revision = Revision::by_text(Arc::clone(&text));
    Ok(Loaded { record: Record { text, deadline }, revision })
}

fn spoilt() -> Error {
    let message = "a column of type json would make a number of the record";
    Error::new(ErrorKind::Unsuitable, message)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const FIVE_SECONDS: Duration = Duration::from_secs(5);
/// How many records a purge removes before other calls can write.
const PURGE_STEP: usize = 500;
/// Each is a thread.
const MOST_READERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_set_and_shown() {
        let store = SqliteStore::new("sessions.db")
            .dialect(Dialect::BetterSqlite3SessionStore)
            .table("visitors")
            .sid_field_name("session_id")
            .create_table(false)
            .user_index(true)
            .create_dir_if_not_exists(true)
            .ttl(Duration::from_secs(1800))
            .cleanup_interval(Duration::from_secs(3600))
            .concurrent_db(false)
            .synchronous(Synchronous::Full)
            .busy_timeout(Duration::from_secs(1))
            .timeout(Duration::from_secs(2))
            .readers(0);
        assert_eq!(
            format!("{store:?}"),
            r#"SqliteStore(Options { path: "sessions.db", dialect: Some(BetterSqlite3SessionStore), "#
                .to_owned()
                + r#"table: "visitors", sid_field_name: "session_id", create_table: false, user_index: true, "#
                + "create_dir_if_not_exists: true, ttl: 1800s, cleanup_interval: Every(3600s), "
                + "concurrent_db: false, synchronous: Full, busy_timeout: 1s, timeout: 2s, readers: 0 })",
        );
        assert!(format!("{:?}", store.cleanup_interval(None)).contains("cleanup_interval: Never"));
    }

    #[test]
    fn readers_beyond_the_limit_of_threads_are_not_started() {
        let store = SqliteStore::new("sessions.db").readers(usize::MAX);
        assert!(format!("{store:?}").contains("readers: 1024"));
    }
}
