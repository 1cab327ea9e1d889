//! A server from its first start to its end.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::port;
use super::probe::{self, Attempt};
use super::supervisor::{Supervisor, has_ended};

/// How to run a server at some port, with its files in some folder.
pub(super) struct Launch {
    pub(super) command: Vec<OsString>,
    /// The signal on which it ends immediately, and ends what it started.
    pub(super) stop: &'static str,
    pub(super) ready: Ready,
}

/// Asks whether the server with this process number answers. Not some server: another test's may have
/// taken the port just before.
pub(super) type Ready = Box<dyn Fn(u32) -> Result<(), String> + Send + Sync>;

/// A server that runs, or was killed and can be started again.
pub(super) struct Server {
    supervisor: Mutex<Supervisor>,
    ready: Ready,
    port: u16,
    folder: PathBuf,
}

/// How often a start is tried: at another port where it was taken meanwhile, or at the same where
/// children of a killed server are still about.
const STARTS: u32 = 20;

impl Server {
    /// Starts the program that `launch` returns for a folder and a port, and waits until it answers.
    pub(super) fn start(
        launch: impl Fn(&Path, u16) -> Result<Launch, String>,
    ) -> Result<Self, String> {
        let mut why = String::new();
        for _ in 0..STARTS {
            let port = port::free()?;
            let folder = folder().map_err(|error| format!("no temporary folder: {error}"))?;
            let server = launch(&folder, port).and_then(|launch| {
                let supervisor = Supervisor::new(&folder, launch.stop, &launch.command)?;
                let supervisor = Mutex::new(supervisor);
                Ok(Self { supervisor, ready: launch.ready, port, folder: folder.clone() })
            });
            let server = match server {
                Ok(server) => server,
                Err(error) => {
                    // The system empties its temporary folder some day.
                    let _ = fs::remove_dir_all(&folder);
                    return Err(error);
                }
            };
            match server.once() {
                Ok(()) => return Ok(server),
                Err(error) => why = error,
            }
            if !server.has_ended() {
                break;
            }
        }
        Err(why)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn process(&self) -> Option<u32> {
        self.supervisor().server()
    }

    pub(super) fn kill(&self) {
        let result = self.supervisor().kill();
        result.unwrap_or_else(|error| panic!("the server cannot be killed: {error}"));
    }

    pub(super) fn restart(&self) {
        let mut why = String::new();
        for _ in 0..STARTS {
            self.kill();
            match self.once() {
                Ok(()) => return,
                Err(error) => why = error,
            }
        }
        panic!("the server does not start again: {why}");
    }

    fn once(&self) -> Result<(), String> {
        let server = self.supervisor().start()?;
        probe::until(|| match (self.ready)(server) {
            Ok(()) => Attempt::Done(()),
            Err(_) if has_ended(server) => Attempt::Never("it ended".to_owned()),
            Err(reason) => Attempt::Again(reason),
        })
        .map_err(|error| format!("{error}\nits log ends with:\n{}", self.supervisor().log()))
    }

    fn has_ended(&self) -> bool {
        self.process().is_none_or(has_ended)
    }

    fn supervisor(&self) -> MutexGuard<'_, Supervisor> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Turns what could not be started into the failure of the test.
pub(super) fn demand<T>(what: &str, result: Result<T, String>) -> T {
    result.unwrap_or_else(|error| panic!("{what} does not start: {error}"))
}

/// A new folder that only its owner may enter.
fn folder() -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("express-session-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        match DirBuilder::new().mode(0o700).create(&folder) {
            // Left by a process of the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|()| folder),
        }
    }
}
