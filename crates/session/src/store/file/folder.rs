//! The folder of the session files: names, locks, and files that are replaced as a whole.
//!
//! Everything here blocks.
//!
//! 1. A name is an id and the extension. An id that could lead out of the folder, or is not a valid name, is
//!    refused.
//! 2. A writer holds the lock of the id: a file in `.lock`, one of [`LOCKS`], locked for all processes.
//! 3. A file is written in `.lock` and then renamed, so that a reader sees the old one or the new one. The
//!    next holder of the lock removes a file that a killed process left there.
//! 4. Every name is looked up in a folder that is held open and was [judged](super::directory).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};
use express_session_core::{Corrupt, SessionId, Timestamp};

use super::super::steady::Times;
use super::Options;
use super::content::Content;
use super::directory::{Directory, Distrust, Names, Role, time_by};

/// How many locks the ids share.
pub(super) const LOCKS: usize = 64;
/// The longest name on nearly every file system, in bytes.
const LONGEST_NAME: usize = 255;
/// The folder of the locks. No session file begins with a dot.
const LOCK_FOLDER: &str = ".lock";

/// The file of a session.
pub(super) struct Place {
    pub(super) name: String,
    /// Which lock is the id's.
    pub(super) lock: usize,
}

/// A lock of this process against all others, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    number: usize,
    /// The folder of the sessions.
    pub(super) sessions: Directory,
    /// The folder of the locks.
    pub(super) locks: Directory,
}

impl Lock {
    /// Which of the [`LOCKS`] it is.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Returns the time by which a record must have ended to be removed or replaced.
    pub(super) fn ended(&self, now: Timestamp) -> Result<Timestamp, Error> {
        Ok(self.times(now)?.ended())
    }

    /// Returns the call's time, this process's, and the file system's.
    pub(super) fn times(&self, now: Timestamp) -> Result<Times, Error> {
        let time = time_by(&self.file).map_err(failed)?;
        Ok(Times::of(now).beside(Timestamp::from_millis(time)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file does it as well.
        let _ = fs4::FileExt::unlock(&self.file);
    }
}

impl Options {
    /// Returns the file of a session, if its id is a plain name.
    pub(super) fn place(&self, id: &SessionId) -> Result<Place, Error> {
        let id = id.as_str();
        let message = if id.starts_with('.') {
            "an id that begins with a dot is no name of a file"
        } else if id.contains(['/', '\\', '\0']) {
            "an id with a slash or a NUL is no name of a file"
        } else if cfg!(windows) && is_special_on_windows(id) {
            "the id is no name of a file on Windows"
        } else if id.len() + self.file_extension.len() > LONGEST_NAME {
            "the id is too long for the name of a file"
        } else {
            let name = format!("{id}{}", self.file_extension);
            // The same in every process of every build: FNV-1a.
            let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            return Ok(Place { name, lock: (hash >> 32) as usize % LOCKS });
        };
        Err(Error::new(ErrorKind::Unsuitable, message))
    }

    /// Returns the id of the file with this name.
    pub(super) fn id_of(&self, name: &str) -> Option<SessionId> {
        let id = SessionId::new(name.strip_suffix(self.file_extension.as_str())?)?;
        self.place(&id).is_ok().then_some(id)
    }

    /// Opens the folder of the sessions; `None` where there is none.
    pub(super) fn folder(&self) -> Result<Option<Directory>, Error> {
        match Directory::open(&self.path, self.is_shared()) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Opens the folders of the sessions and of the locks, and makes what is missing.
    ///
    /// The locks lie among the sessions, or beside their folder where session-file-store, told of no extension,
    /// takes every name for a session, and clears it.
    pub(super) fn make_folders(&self) -> Result<(Directory, Directory), Error> {
        let make = |path: &PathBuf| -> io::Result<Directory> {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(path)?;
            let folder = Directory::open(path, self.is_shared())?;
            folder.share_itself()?;
            Ok(folder)
        };
        let folder = match self.folder()? {
            Some(folder) => folder,
            None => make(&self.path).map_err(failed)?,
        };
        let locks = if self.file_extension.is_empty() {
            let mut beside = self.path.clone().into_os_string();
            beside.push(LOCK_FOLDER);
            make(&beside.into())
        } else {
            folder.open_or_make(LOCK_FOLDER)
        };
        Ok((folder, locks.map_err(failed)?))
    }

    /// Returns whether the group may write: then its other users are trusted.
    fn is_shared(&self) -> bool {
        self.mode & 0o020 != 0
    }

    /// Waits for a lock, for as long as a call may take.
    pub(super) fn lock(&self, number: usize) -> Result<Lock, Error> {
        let (sessions, locks) = self.make_folders()?;
        let file = locks.open_lock(&format!("{number:02}")).map_err(failed)?;
        let (mut waited, mut pause) = (Duration::ZERO, Duration::from_micros(100));
        loop {
            // By its path: `File` has a method of that name since Rust 1.89.
            match fs4::FileExt::try_lock(&file) {
                Ok(()) => return Ok(Lock { file, number, sessions, locks }),
                Err(fs4::TryLockError::Error(error)) => return Err(failed(error)),
                Err(fs4::TryLockError::WouldBlock) if waited < self.timeout => {}
                Err(fs4::TryLockError::WouldBlock) => {
                    let message = "another process holds the lock of the session's file";
                    return Err(Error::new(ErrorKind::TimedOut, message));
                }
            }
            // Waiting in the kernel could not be ended.
            thread::sleep(pause);
            waited += pause;
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    /// Reads a session's file; `None` where there is none, or its time has passed.
    pub(super) fn read(
        &self,
        folder: &Directory,
        place: &Place,
        now: Timestamp,
    ) -> Result<Option<Content>, Error> {
        Ok(self.read_any(folder, place)?.filter(|content| content.is_live(now)))
    }

    pub(super) fn read_any(
        &self,
        folder: &Directory,
        place: &Place,
    ) -> Result<Option<Content>, Error> {
        let bytes = match folder.read(&place.name, Role::Session) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(match Distrust::of(&error) {
                    Some(reason) => Error::new(ErrorKind::Corrupt, reason).with_source(error),
                    None => failed(error),
                });
            }
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "the session's file is no UTF-8"))?;
        let content = Content::read(&text, self.ttl_millis()).map_err(|corrupt| {
            Error::new(ErrorKind::Corrupt, "the session's file is no session").with_source(corrupt)
        })?;
        Ok(Some(content))
    }

    /// Puts a record in the place of the file that ends at `old`, or of none, as one step.
    pub(super) fn replace(
        &self,
        lock: &Lock,
        place: &Place,
        (text, deadline): (&str, Option<Timestamp>),
        old: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let ttl = self.ttl_millis();
        let write = |deadline| Content::write(text, deadline, ttl, now).map_err(unsuitable);
        let mut file = write(deadline)?;
        let new = match deadline {
            Some(_) => deadline,
            None => Content::read(&file, ttl).map_err(unsuitable)?.deadline,
        };
        if let Some(new) = new {
            let end = lock.times(now)?.end(old, new);
            if end != new {
                file = write(Some(end))?;
            }
        }
        self.put(lock, &lock.sessions, &place.name, &file, self.fsync)
    }

    /// Puts a file in the place of whatever is there, as one step.
    pub(super) fn put(
        &self,
        lock: &Lock,
        folder: &Directory,
        name: &str,
        text: &str,
        fsync: bool,
    ) -> Result<(), Error> {
        let new = format!("{:02}.new", lock.number);
        let write = || {
            let mut file = lock.locks.make_new(&new)?;
            folder.keep_ownership(&file, name, self.mode)?;
            file.write_all(text.as_bytes())?;
            if fsync {
                file.sync_all()?;
            }
            lock.locks.rename(&new, (folder, name))
        };
        let done = write();
        if done.is_err() {
            // It may be half of it that filled the disk.
            let _ = lock.locks.remove(&new);
        }
        done.map_err(failed)
    }

    /// Removes a session's file if its time has passed, and says whether it had.
    pub(super) fn remove_expired(
        &self,
        folder: &Directory,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let place = self.place(id)?;
        let has_ended = |folder: &Directory, by| -> Result<bool, Error> {
            Ok(self.read_any(folder, &place)?.is_some_and(|content| !content.is_live(by)))
        };
        if !has_ended(folder, Times::of(now).ended())? {
            return Ok(false);
        }
        // It may have been touched in the meantime.
        let lock = self.lock(place.lock)?;
        if !has_ended(&lock.sessions, lock.ended(now)?)? {
            return Ok(false);
        }
        lock.sessions.remove(&place.name).map_err(failed)?;
        Ok(true)
    }

    /// Goes through the folder.
    pub(super) fn sessions(&self) -> Result<Sessions, Error> {
        let folder = self.folder()?.map(|folder| folder.names().map(|names| (folder, names)));
        Ok(Sessions(folder.transpose().map_err(failed)?))
    }
}

/// The ids that there are files of, in no order.
pub(super) struct Sessions(Option<(Directory, Names)>);

impl Sessions {
    /// Returns the next id, and the folder.
    pub(super) fn next(
        &mut self,
        options: &Options,
    ) -> Result<Option<(SessionId, &Directory)>, Error> {
        let Some((folder, names)) = &mut self.0 else { return Ok(None) };
        for name in names {
            let name = name.map_err(failed)?;
            if let Some(id) = name.and_then(|name| options.id_of(&name)) {
                return Ok(Some((id, folder)));
            }
        }
        Ok(None)
    }
}

/// Returns whether Windows gives a name a special meaning, or drops a part of it.
fn is_special_on_windows(id: &str) -> bool {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "COM", "LPT"];
    let stem = id.split('.').next().unwrap_or(id).trim_end().to_ascii_uppercase();
    id.contains(['<', '>', ':', '"', '|', '?', '*'])
        || id.chars().any(char::is_control)
        || DEVICES
            .iter()
            .any(|device| stem.strip_prefix(device).is_some_and(|rest| rest.chars().count() <= 1))
}

/// Makes the error for a record that session-file-store could not read.
pub(super) fn unsuitable(corrupt: Corrupt) -> Error {
    let message = "session-file-store keeps nothing but JSON objects with a cookie";
    Error::new(ErrorKind::Unsuitable, message).with_source(corrupt)
}

/// Maps an error of the system.
pub(super) fn failed(error: io::Error) -> Error {
    if let Some(reason) = Distrust::of(&error) {
        return Error::new(ErrorKind::Refused, reason).with_source(error);
    }
    let found = KINDS.iter().find(|(kinds, ..)| kinds.contains(&error.kind()));
    let unknown = (ErrorKind::Unavailable, "the folder of the sessions cannot be used");
    let (kind, message) = found.map_or(unknown, |(_, kind, message)| (*kind, *message));
    Error::new(kind, message).with_source(error)
}

/// The meaning of the system's errors to a caller, except for missing files.
const KINDS: [(&[io::ErrorKind], ErrorKind, &str); 3] = [
    (
        &[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded],
        ErrorKind::Refused,
        "the disk is full",
    ),
    (
        &[io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem],
        ErrorKind::Refused,
        "the folder may not be written to, or the file not be read",
    ),
    (&[io::ErrorKind::InvalidFilename], ErrorKind::Unsuitable, "the id is no name of a file here"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_takes_for_something_else_are_known() {
        for id in ["CON", "con", "nul.txt", "COM1", "LPT9.x", "a:b", "a?", "a\n", "PRN "] {
            assert!(is_special_on_windows(id), "{id:?}");
        }
        for id in ["GVnCWKzBQjJUJfPQGKNq-8rZ2vzVZ3xM", "CONTACT", "a.con", "a b"] {
            assert!(!is_special_on_windows(id), "{id:?}");
        }
    }
}
