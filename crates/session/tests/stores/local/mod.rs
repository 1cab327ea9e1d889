//! Shared parts of the tests of the stores on this machine's disk.

#[cfg(unix)]
pub(crate) mod processes;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use express_session::store::{
    Created, Error, Fenced, Loaded, LockOutcome, LockToken, Record, Revision, Store, Touch,
    Touched, Updated,
};
use express_session::{SessionId, Timestamp};
use express_session_testkit::{Call, Subject, Task, laws};

/// The time of the tests.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_449_702_645);

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not a name that the testkit gives to a server's folder.
        let name = format!("express-session-local-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns a path in the folder where nothing is yet.
    pub(crate) fn fresh(&self) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        self.0.join(format!("{}.sessions", COUNT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A disk of a megabyte, which goes with the test.
#[cfg(target_os = "linux")]
pub(crate) struct SmallDisk(Folder);

#[cfg(target_os = "linux")]
impl SmallDisk {
    /// Mounts one, or says why not: that takes a user who may.
    pub(crate) fn new() -> Option<Self> {
        let folder = Folder::new();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "express-session-test"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(_) | Err(_) => {
                use std::io::Write as _;
                let _ = writeln!(std::io::stderr(), "left out: a full disk (cannot mount one)");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, as a store's thread may still have a file open.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

pub(crate) fn later(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + seconds * 1000)
}

pub(crate) fn record(text: &str, deadline: impl Into<Option<Timestamp>>) -> Record {
    Record { text: text.into(), deadline: deadline.into() }
}

/// Two stores on one place, as two processes have them: the calls go to either in turn.
pub(crate) struct Pair<S>(S, S, AtomicU32);

impl<S> Pair<S> {
    pub(crate) fn new(one: S, other: S) -> Self {
        Self(one, other, AtomicU32::new(0))
    }

    fn next(&self) -> &S {
        let turn = self.2.fetch_add(1, Ordering::Relaxed);
        if turn.is_multiple_of(2) { &self.0 } else { &self.1 }
    }

    async fn around<T>(&self, _: Call, answer: impl Future<Output = T>) -> T {
        answer.await
    }
}

express_session_testkit::__wrap_store! { (S: Store) Pair<S>, |this| this.next(), [records expiry locks] }

/// Two stores on one place, which have nothing but its locks in common.
struct Both<S>(Folder, fn(PathBuf) -> S);

impl<S: Store> Subject for Both<S> {
    type Store = Pair<S>;

    async fn store(&self) -> Self::Store {
        let path = self.0.fresh();
        Pair::new((self.1)(path.clone()), (self.1)(path))
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        crate::spawned(tasks).await;
    }
}

pub(crate) async fn two_stores_on_one_place_lose_nothing<S: Store>(open: fn(PathBuf) -> S) {
    let both = Both(Folder::new(), open);
    laws::one_of_many_concurrent_creates_is_done(&both).await;
    laws::concurrent_updates_lose_nothing(&both).await;
    laws::logout_is_final_while_others_write(&both).await;
    laws::one_of_many_concurrent_locks_is_done(&both).await;
    laws::locked_update_is_one_step_with_its_lock(&both).await;
    laws::concurrent_critical_sections_lose_nothing(&both).await;
}
