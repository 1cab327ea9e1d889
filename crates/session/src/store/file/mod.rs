//! Stores each session in a file, in the format of npm's session-file-store, which can read and write the same
//! folder.
//!
//! 1. The file of a session is its id with `.json`. It holds the JSON with an added last member,
//!    `__lastAccess`, which this store removes from the record; on Node it is a member of the session.
//! 2. A session expires when its cookie's `originalMaxAge`, or else the [`ttl`](FileStore::ttl), has passed
//!    since its last access. A touch writes the cookie and the time of the access into the file.
//! 3. A file is replaced as a whole, so that neither a reader nor a crash finds half a record.
//! 4. An update is a compare-and-swap under a lock that all processes with this store respect. A write by Node
//!    is a conflict, since the revision is a digest of the data. Node takes no locks: if it writes between the
//!    comparison and the renaming, its save is lost.
//! 5. [Locks](Store::lock) hold for all processes of this machine. They are files of the folder `.lock`, which
//!    session-file-store does not read.
//! 6. No id leads out of the folder. An id that is not a plain file name has no session, and creating one is
//!    [`ErrorKind::Unsuitable`]. session-file-store uses it as a path.
//! 7. A file that holds no session is [`ErrorKind::Corrupt`], and stays. session-file-store deletes it.
//! 8. On Unix no link is followed, and a folder or file that another user made is refused; the guide's page has the
//!    table.
//! 9. A file is removed only if it has ended by the call's time, this process's monotonic clock and the clock of the
//!    file system.
//!
//! session-file-store's `secret` is not supported: an encrypted file is corrupt. There are no retries: a missing
//! file is a missing session.
//!
//! On a file system that ignores case, as on Windows and macOS, two ids that differ only in case are one
//! session. Random ids do not collide so.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Lifetime, Loaded, LockOutcome, LockToken,
    Page, Record, Revision, Store, Touch, Touched, Updated, scan,
};
use express_session_core::{SessionId, Timestamp};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;

use self::content::{Content, revision};
use self::folder::{LOCKS, Lock, Place, Sessions};
use super::local::DiskCalls;
use super::steady::Times;

mod content;
mod directory;
mod folder;
mod leases;

/// Keeps sessions in files, as session-file-store does.
///
/// It is meant for development and services of few visitors: every request reads a file, and most write one.
/// SQLite is faster and needs no more. The first save creates the folder. Clones share it.
///
/// # Cost
///
/// The runtime's threads for blocking work read and write files, at most 32 at a time. A load reads one file. A
/// save or a touch writes one, and waits for the disk unless [`fsync`](Self::fsync) is off. Counting and
/// purging read every file of the folder, and each page of a listing reads all names.
///
/// Taking a [lock](Store::lock) and releasing it writes a file each, without waiting for the disk. Locks that
/// were not released are removed with the expired sessions, after their lease.
///
/// # Failures
///
/// | kind | when |
/// |---|---|
/// | `Unavailable` | the folder cannot be read or written, the disk has finished nothing for the [`timeout`](Self::timeout), or 4,096 calls wait |
/// | `TimedOut` | no answer within the [`timeout`](Self::timeout): a slow disk, or a process that holds a lock |
/// | `Refused` | the disk is full, the permissions do not allow it, or others could have made the folder or a lock |
/// | `Corrupt` | the file holds no session, is a link or no regular file, or is another user's |
/// | `Unsuitable` | the id is not a file name, or the record is not a JSON object with a cookie |
///
/// ```
/// use std::time::Duration;
/// use express_session::store::file::FileStore;
/// use express_session::store::{Created, Record, Store as _};
/// # use express_session_core::{SessionId, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("file-store-{}", std::process::id()));
/// let store = FileStore::new(&folder);
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let later = now.saturating_add(Duration::from_secs(60));
///
/// let id = SessionId::from_random([7; 24]);
/// let text = r#"{"cookie":{"originalMaxAge":60000},"views":1}"#;
/// let record = Record { text: text.into(), deadline: Some(later) };
/// assert!(matches!(store.create(&id, &record, now).await?, Created::Done(_)));
/// assert_eq!(store.load(&id, now).await?.map(|loaded| loaded.record), Some(record));
/// assert_eq!(
///     std::fs::read_to_string(folder.join("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH.json"))?,
///     r#"{"cookie":{"originalMaxAge":60000},"views":1,"__lastAccess":1700000000000}"#,
/// );
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileStore {
    shared: Arc<Shared>,
}

struct Shared {
    options: Arc<Options>,
    /// Queues the calls of this process for each lock of the folder.
    locks: Box<[Arc<Mutex<()>>]>,
    slots: Arc<Semaphore>,
    calls: DiskCalls,
    /// The time of the last removal of expired files, by the calls' `now`.
    reaped: AtomicI64,
}

#[derive(Clone, Debug)]
struct Options {
    path: PathBuf,
    ttl: Duration,
    file_extension: String,
    reap_interval: Option<Duration>,
    fsync: bool,
    mode: u32,
    timeout: Duration,
}

impl FileStore {
    /// Makes a store for this folder, session-file-store's `path`, there `./sessions` by default.
    ///
    /// Only its owner can enter a folder that the store creates. To share it with another user, create it
    /// beforehand, and see [`mode`](Self::mode).
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with(Options {
            path: path.into(),
            ttl: HOUR,
            file_extension: ".json".to_owned(),
            reap_interval: Some(HOUR),
            fsync: true,
            mode: 0o600,
            timeout: Duration::from_secs(5),
        })
    }

    /// Sets the TTL after each access of sessions without `max_age`. The default is an hour.
    ///
    /// It must be the same on Node, as it is not in the file. Like the other options, it returns a new store,
    /// so set it before the store is used.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.set(|options| options.ttl = ttl)
    }

    /// Sets the extension of the files. The default is `.json`.
    ///
    /// The store ignores other files. With an empty extension, every file of the folder whose name does not
    /// begin with a dot counts as a session.
    #[must_use]
    pub fn file_extension(self, extension: impl Into<String>) -> Self {
        self.set(|options| options.file_extension = extension.into())
    }

    /// Sets the interval at which expired sessions are removed. The default is an hour. `None`, which is -1 in
    /// session-file-store, never removes any; then call [`purge`](Admin::purge).
    ///
    /// A call whose `now` is an interval after the first call or the last removal starts a task that reads
    /// every file of the folder, 64 at a time. The task ends with the store.
    #[must_use]
    pub fn reap_interval(self, interval: impl Into<Option<Duration>>) -> Self {
        self.set(|options| options.reap_interval = interval.into())
    }

    /// Sets whether a save waits until the disk has it. The default is true, as in session-file-store.
    ///
    /// With false, a save takes a fraction of a millisecond instead of some milliseconds, but a power cut may
    /// leave an empty, [corrupt](ErrorKind::Corrupt) file. The end of the process loses nothing either way.
    #[must_use]
    pub fn fsync(self, fsync: bool) -> Self {
        self.set(|options| options.fsync = fsync)
    }

    /// Sets the mode of new files, as in `chmod`. The default is `0o600`: only the owner can read and write
    /// them. In session-file-store every user can read them, subject to the umask.
    ///
    /// For an Express application of another user in the same group, use `0o660`. A mode that lets the group write
    /// also makes the store accept folders and files of other users, if their group is one of this process's, and give the
    /// folders and locks that it makes to the group. A file that is replaced keeps its mode and, if this process may set it,
    /// its owner. On Windows this does nothing.
    #[must_use]
    pub fn mode(self, mode: u32) -> Self {
        self.set(|options| options.mode = mode)
    }

    /// Sets the timeout of a call, including the wait for its turn. The default is 5 s.
    ///
    /// A call that takes longer is [`TimedOut`](ErrorKind::TimedOut). If it has begun, it still runs to
    /// completion.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.timeout = timeout)
    }

    /// Creates the folder and checks that it can be used, so that a failure shows when the application starts.
    ///
    /// It logs a warning if other users of the machine may enter the folder.
    ///
    /// # Errors
    ///
    /// See [`FileStore`].
    ///
    /// ```
    /// use express_session::store::file::FileStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), express_session::store::Error> {
    /// # let folder = std::env::temp_dir().join(format!("file-store-open-{}", std::process::id()));
    /// FileStore::new(&folder).open().await?;
    /// assert!(folder.is_dir());
    /// # let _ = std::fs::remove_dir_all(&folder);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(&self) -> Result<(), Error> {
        let work = |options: &Options| {
            let lock = options.lock(0)?;
            if lock.sessions.is_open_to_others() {
                tracing::warn!(
                    target: "express_session",
                    "other users of this machine may open the folder of the sessions",
                );
            }
            Ok(())
        };
        self.blocking(work).await
    }

    fn with(options: Options) -> Self {
        let shared = Shared {
            options: Arc::new(options),
            locks: (0..LOCKS).map(|_| Arc::new(Mutex::new(()))).collect(),
            slots: Arc::new(Semaphore::new(SLOTS)),
            calls: DiskCalls::new(SLOTS),
            reaped: AtomicI64::new(NEVER),
        };
        Self { shared: Arc::new(shared) }
    }

    fn set(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::clone(&self.shared.options);
        change(&mut options);
        Self::with(options)
    }

    /// Returns the file of a session, or `None` for an id that cannot have one.
    fn place(&self, id: &SessionId) -> Option<Place> {
        self.shared.options.place(id).ok()
    }

    /// Does some work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Options) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _waiting = self.shared.calls.enter(self.shared.options.timeout)?;
        within(self.shared.options.timeout, self.shared.run(work)).await
    }

    /// Does some work with the file of a session, under its lock.
    async fn locked<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce(&Options, &Place, &Lock) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _waiting = self.shared.calls.enter(self.shared.options.timeout)?;
        let turn = Arc::clone(&self.shared.locks[place.lock]).lock_owned();
        within(self.shared.options.timeout, async {
            // The thread keeps the turn until the work is done, even if this future is dropped.
            let turn = turn.await;
            let work = move |options: &Options| {
                let _turn = turn;
                let lock = options.lock(place.lock)?;
                work(options, &place, &lock)
            };
            self.shared.run(work).await
        })
        .await
    }

    /// Starts the removal of expired sessions, if it is due.
    fn reap_if_due(&self, now: Timestamp) {
        let Some(interval) = self.shared.options.reap_interval else { return };
        let last = self.shared.reaped.load(Ordering::Relaxed);
        // A clock that was set back delays the next removal by an interval at most.
        let is_due = last != NEVER && interval.as_millis() <= last.abs_diff(now.millis()).into();
        if last != NEVER && !is_due {
            return;
        }
        let swap = self.shared.reaped.compare_exchange(
            last,
            now.millis(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if is_due && swap.is_ok() {
            tokio::spawn(reap(Arc::downgrade(&self.shared), now));
        }
    }
}

/// Removes the files of expired sessions, some at a time, until the store is dropped.
async fn reap(shared: Weak<Shared>, now: Timestamp) {
    let mut sessions = None;
    loop {
        let Some(shared) = shared.upgrade() else { return };
        let step = purge_step(sessions, usize::MAX, now);
        match shared.run(step).await {
            Ok((next @ Some(_), _)) => sessions = next,
            Ok((None, _)) => return,
            Err(error) => {
                tracing::warn!(
                    target: "express_session",
                    error = &error as &dyn std::error::Error,
                    "expired sessions could not be removed; the next round tries again",
                );
                return;
            }
        }
    }
}

/// Checks some of the remaining files, removes up to `limit` that have expired, and returns the rest with the
/// number removed. After the last file it removes the locks whose lease has ended.
fn purge_step(
    sessions: Option<Sessions>,
    limit: usize,
    now: Timestamp,
) -> impl FnOnce(&Options) -> Result<(Option<Sessions>, usize), Error> {
    move |options| {
        let mut sessions = sessions.map_or_else(|| options.sessions(), Ok)?;
        let mut removed = 0;
        for _ in 0..STEP {
            if removed == limit {
                break;
            }
            let Some((id, folder)) = sessions.next(options)? else {
                // Locks are not counted.
                options.drop_leases(now)?;
                return Ok((None, removed));
            };
            match options.remove_expired(folder, &id, now) {
                Ok(is_removed) => removed += usize::from(is_removed),
                // It stays for an operator to examine.
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        Ok((Some(sessions), removed))
    }
}

impl Shared {
    /// Does some work on a thread that may block, once it is its turn.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Options) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ended = || Error::new(ErrorKind::Unavailable, "the runtime is being shut down");
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| ended())?;
        let (options, under_way) = (Arc::clone(&self.options), self.calls.begin());
        let done = spawn_blocking(move || {
            let _held = (slot, under_way);
            work(&options)
        });
        done.await.map_err(|error| ended().with_source(error))?
    }
}

async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::TimedOut, "the file system did not answer within the timeout"))
    })
}

impl Options {
    fn ttl_millis(&self) -> i64 {
        i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStore").field(&self.shared.options).finish()
    }
}

impl Store for FileStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let Some(place) = self.place(id) else { return Ok(None) };
        self.reap_if_due(now);
        let read = move |options: &Options| {
            let Some(folder) = options.folder()? else { return Ok(None) };
            Ok(options.read(&folder, &place, now)?.map(loaded))
        };
        self.blocking(read).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let place = self.shared.options.place(id)?;
        self.reap_if_due(now);
        let Record { text, deadline } = record.clone();
        self.locked(place, move |options, place, lock| {
            if let Some(content) = options.read_any(&lock.sessions, place)?
                && content.is_live(lock.ended(now)?)
            {
                return Ok(Created::Taken);
            }
            options.replace(lock, place, (&text, deadline), None, now)?;
            Ok(Created::Done(revision(&text)))
        })
        .await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let Some(place) = self.place(id) else { return Ok(Updated::Gone) };
        self.reap_if_due(now);
        let (record, expected) = (record.clone(), expected.clone());
        self.locked(place, move |options, place, lock| {
            update(options, place, lock, &record, &expected, now)
        })
        .await
    }

    /// Puts the cookie and the time of the access into the file, as session-file-store does.
    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let Some(place) = self.place(id) else { return Ok(Touched::Gone) };
        self.reap_if_due(now);
        let touch = touch.clone();
        self.locked(place, move |options, place, lock| {
            let Some(content) = options.read(&lock.sessions, place, now)? else {
                return Ok(Touched::Gone);
            };
            let (text, deadline) = touch.onto(&content.text, now);
            options.replace(lock, place, (&text, deadline), content.deadline, now)?;
            Ok(Touched::Done)
        })
        .await
    }

    /// The process's own clock, which a step of the machine's does not move.
    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        Ok(Times::of(now).ended())
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::MaxAgeOr(self.shared.options.ttl)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let Some(place) = self.place(id) else { return Ok(()) };
        self.locked(place, |_, place, lock| {
            lock.sessions.remove(&place.name).map_err(folder::failed)
        })
        .await
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let place = self.shared.options.place(id)?;
        self.reap_if_due(now);
        let id = id.clone();
        let take = move |options: &Options, _: &Place, lock: &Lock| {
            options.take(lock, &id, holder, lease, now)
        };
        self.locked(place, take).await
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let Some(place) = self.place(id) else { return Ok(Fenced::Lost) };
        self.reap_if_due(now);
        let (id, record, expected) = (id.clone(), record.clone(), expected.clone());
        self.locked(place, move |options, place, lock| {
            if !options.is_held(lock, &id, holder, now)? {
                return Ok(Fenced::Lost);
            }
            update(options, place, lock, &record, &expected, now).map(Fenced::Held)
        })
        .await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let Some(place) = self.place(id) else { return Ok(()) };
        let id = id.clone();
        self.locked(place, move |options, _, lock| options.give_back(lock, &id, holder)).await
    }

    /// Reads every file, as [`Admin::list`] does.
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

impl Admin for FileStore {
    /// Lists the sessions in the order of their ids, without files that hold no session.
    ///
    /// Each page reads all names of the folder, and the files of one page. On a file system that moves a
    /// replaced file within its folder, a session that is saved while the names are read may be missing.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        // A limit of 0 would loop forever.
        let limit = limit.max(1);
        let ids = self.blocking(move |options| first_ids(options, after.as_ref(), limit)).await?;
        let is_full = ids.len() == limit;
        let next = ids.last().filter(|_| is_full).map(|id| Cursor::new(id.as_str()));
        let mut sessions = Vec::new();
        for some in ids.chunks(STEP) {
            let some = some.to_vec();
            let read = move |options: &Options| {
                let mut read = Vec::with_capacity(some.len());
                let Some(folder) = options.folder()? else { return Ok(read) };
                for id in some {
                    let place = options.place(&id)?;
                    if let Some(content) = live(options.read(&folder, &place, now))? {
                        read.push((id, loaded(content).record));
                    }
                }
                Ok(read)
            };
            sessions.extend(self.blocking(read).await?);
        }
        Ok(Page { sessions, next })
    }

    /// Reads every file of the folder. Those that hold no session do not count.
    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        let (mut sessions, mut count) = (None, 0);
        loop {
            let step = move |options: &Options| {
                let mut sessions: Sessions = sessions.map_or_else(|| options.sessions(), Ok)?;
                let mut count = 0;
                for _ in 0..STEP {
                    let Some((id, folder)) = sessions.next(options)? else {
                        return Ok((None, count));
                    };
                    let place = options.place(&id)?;
                    count += u64::from(live(options.read(folder, &place, now))?.is_some());
                }
                Ok((Some(sessions), count))
            };
            let (next, some) = self.blocking(step).await?;
            count += some;
            if next.is_none() {
                return Ok(count);
            }
            sessions = next;
        }
    }

    /// Removes every file with the store's extension, and no other. Where one cannot be removed, the others are, and the
    /// error is that of the first.
    async fn clear(&self) -> Result<(), Error> {
        let (mut sessions, mut failed) = (None, None);
        loop {
            let step = move |options: &Options| {
                let mut sessions: Sessions = sessions.map_or_else(|| options.sessions(), Ok)?;
                let mut failed = None;
                for _ in 0..STEP {
                    let Some((id, _)) = sessions.next(options)? else { return Ok((None, failed)) };
                    let place = options.place(&id)?;
                    let lock = options.lock(place.lock)?;
                    let removed = lock.sessions.remove(&place.name).map_err(folder::failed);
                    failed = failed.or(removed.err());
                }
                Ok((Some(sessions), failed))
            };
            let (next, error) = self.blocking(step).await?;
            (sessions, failed) = (next, failed.or(error));
            if sessions.is_none() {
                return failed.map_or(Ok(()), Err);
            }
        }
    }

    /// Reads every file of the folder, or as many as it takes to find so many that have expired.
    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        let (mut sessions, mut purged) = (None, 0);
        while purged < limit {
            let (next, some) = self.blocking(purge_step(sessions, limit - purged, now)).await?;
            purged += some;
            if next.is_none() {
                break;
            }
            sessions = next;
        }
        Ok(purged as u64)
    }
}

/// Returns the first ids after a cursor, in their order.
fn first_ids(
    options: &Options,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<SessionId>, Error> {
    let after = after.map_or("", Cursor::as_str);
    let mut sessions = options.sessions()?;
    // A set, as a file system may show a file twice that is replaced meanwhile.
    let mut first: BTreeSet<String> = BTreeSet::new();
    while let Some((id, _)) = sessions.next(options)? {
        let id = id.as_str();
        if id <= after || (first.len() == limit && first.last().is_some_and(|last| id > &**last)) {
            continue;
        }
        first.insert(id.to_owned());
        if first.len() > limit {
            first.pop_last();
        }
    }
    Ok(first.into_iter().filter_map(SessionId::new).collect())
}

/// Compares and writes, under the lock of the file.
fn update(
    options: &Options,
    place: &Place,
    lock: &Lock,
    record: &Record,
    expected: &Revision,
    now: Timestamp,
) -> Result<Updated, Error> {
    let Some(current) = options.read(&lock.sessions, place, now)?.map(loaded) else {
        return Ok(Updated::Gone);
    };
    if current.revision != *expected {
        return Ok(Updated::Conflict(current));
    }
    let old = current.record.deadline;
    options.replace(lock, place, (&record.text, record.deadline), old, now)?;
    Ok(Updated::Done(revision(&record.text)))
}

/// Treats a file that holds no session as missing.
fn live(read: Result<Option<Content>, Error>) -> Result<Option<Content>, Error> {
    match read {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        read => read,
    }
}

fn loaded(content: Content) -> Loaded {
    let revision = content.revision();
    let Content { text, deadline } = content;
    Loaded { record: Record { text, deadline }, revision }
}

const HOUR: Duration = Duration::from_secs(60 * 60);
/// How many files are read or written at a time.
const SLOTS: usize = 32;
/// How many files a walk through the folder reads before other calls get their turn.
const STEP: usize = 64;
/// No time of JavaScript's.
const NEVER: i64 = i64::MIN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_set_and_shown() {
        let store = FileStore::new("./sessions")
            .ttl(Duration::from_secs(1800))
            .file_extension(".session")
            .reap_interval(None)
            .fsync(false)
            .mode(0o660)
            .timeout(Duration::from_secs(1));
        assert_eq!(
            format!("{store:?}"),
            r#"FileStore(Options { path: "./sessions", ttl: 1800s, file_extension: ".session", "#
                .to_owned()
                + "reap_interval: None, fsync: false, mode: 432, timeout: 1s })",
        );
    }

    #[tokio::test(start_paused = true)]
    async fn calls_fail_immediately_while_every_thread_hangs() {
        let folder = std::env::temp_dir().join("file-store-of-no-test");
        let store = FileStore::new(folder).timeout(Duration::from_secs(5));
        let calls = store.shared.calls.clone();
        let id = SessionId::from_random([7; 24]);
        let now = Timestamp::from_millis(0);
        let mut hanging: Vec<_> = (1..SLOTS).map(|_| calls.begin()).collect();
        // The work of a call counts as the last one.
        let is_last = move |_: &Options| Ok(calls.enter(Duration::ZERO).is_err());
        assert!(store.blocking(is_last).await.unwrap());
        hanging.push(store.shared.calls.begin());
        tokio::time::advance(Duration::from_secs(5)).await;
        let touch = Touch::new("{}", None);
        for error in [
            store.load(&id, now).await.unwrap_err(),
            store.touch(&id, &touch, now).await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.is_unsent()), (ErrorKind::Unavailable, true));
        }
        hanging.pop();
        assert!(store.load(&id, now).await.unwrap().is_none());
    }
}
