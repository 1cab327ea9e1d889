//! The folder of the session files: names, locks, and files that are replaced as a whole.
//!
//! Everything here blocks.
//!
//! 1. A name is an id and the extension. An id that could lead out of the folder, or is not a valid name, is
//!    refused.
//! 2. A writer holds the lock of the id: a file in `.lock`, one of [`LOCKS`], locked for all processes.
//! 3. A file is written in `.lock` and then renamed, so that a reader sees the old one or the new one. The
//!    next holder of the lock overwrites a file that a killed process left there.

use std::fs::{self, File, ReadDir};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};
use express_session_core::{Corrupt, SessionId, Timestamp};

use super::Options;
use super::content::Content;

/// How many locks the ids share.
pub(super) const LOCKS: usize = 64;
/// The longest name on nearly every file system, in bytes.
const LONGEST_NAME: usize = 255;
/// The folder of the locks. No session file begins with a dot.
const LOCK_FOLDER: &str = ".lock";

/// The file of a session.
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Which lock is the id's.
    pub(super) lock: usize,
}

/// A lock of this process against all others, until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    number: usize,
}

impl Lock {
    /// Which of the [`LOCKS`] it is.
    pub(super) fn number(&self) -> usize {
        self.number
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
            let path = self.path.join(format!("{id}{}", self.file_extension));
            // The same in every process of every build: FNV-1a.
            let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            return Ok(Place { path, lock: (hash >> 32) as usize % LOCKS });
        };
        Err(Error::new(ErrorKind::Unsuitable, message))
    }

    /// Returns the id of the file with this name.
    pub(super) fn id_of(&self, name: &str) -> Option<SessionId> {
        let id = SessionId::new(name.strip_suffix(self.file_extension.as_str())?)?;
        self.place(&id).is_ok().then_some(id)
    }

    /// Makes the folder, if it is not there.
    pub(super) fn make_folder(&self) -> Result<(), Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.path).and_then(|()| builder.create(self.locks())).map_err(failed)
    }

    /// Where the locks lie: among the sessions, or beside their folder where session-file-store, told of no
    /// extension, takes every name for a session, and clears it.
    pub(super) fn locks(&self) -> PathBuf {
        if self.file_extension.is_empty() {
            let mut beside = self.path.clone().into_os_string();
            beside.push(LOCK_FOLDER);
            return beside.into();
        }
        self.path.join(LOCK_FOLDER)
    }

    /// Waits for a lock, for as long as a call may take.
    pub(super) fn lock(&self, number: usize) -> Result<Lock, Error> {
        let path = self.locks().join(format!("{number:02}"));
        let file = match open_lock(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder()?;
                open_lock(&path)
            }
            opened => opened,
        };
        let file = file.map_err(failed)?;
        let (mut waited, mut pause) = (Duration::ZERO, Duration::from_micros(100));
        loop {
            // By its path: `File` has a method of that name since Rust 1.89.
            match fs4::FileExt::try_lock(&file) {
                Ok(()) => return Ok(Lock { file, number }),
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
    pub(super) fn read(&self, path: &Path, now: Timestamp) -> Result<Option<Content>, Error> {
        let content = self.read_any(path)?;
        Ok(content.filter(|content| content.deadline.is_none_or(|deadline| deadline > now)))
    }

    fn read_any(&self, path: &Path) -> Result<Option<Content>, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "the session's file is no UTF-8"))?;
        let content = Content::read(&text, self.ttl_millis()).map_err(|corrupt| {
            Error::new(ErrorKind::Corrupt, "the session's file is no session").with_source(corrupt)
        })?;
        Ok(Some(content))
    }

    /// Puts a record in the place of whatever is there, as one step.
    pub(super) fn replace(
        &self,
        lock: &Lock,
        path: &Path,
        text: &str,
        deadline: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let file = Content::write(text, deadline, self.ttl_millis(), now).map_err(unsuitable)?;
        self.put(lock, path, &file, self.fsync)
    }

    /// Puts a file in the place of whatever is there, as one step.
    pub(super) fn put(
        &self,
        lock: &Lock,
        path: &Path,
        file: &str,
        fsync: bool,
    ) -> Result<(), Error> {
        let new = self.locks().join(format!("{:02}.new", lock.number));
        let done = self.write(&new, file, path, fsync).and_then(|()| fs::rename(&new, path));
        if done.is_err() {
            // It may be half of it that filled the disk.
            let _ = fs::remove_file(&new);
        }
        done.map_err(failed)
    }

    fn write(&self, new: &Path, text: &str, old: &Path, fsync: bool) -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(new)?;
        keep_ownership(&file, old, self.mode)?;
        file.write_all(text.as_bytes())?;
        if fsync {
            file.sync_all()?;
        }
        Ok(())
    }

    pub(super) fn remove(&self, _lock: &Lock, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes a session's file if its time has passed, and says whether it had.
    pub(super) fn remove_expired(&self, id: &SessionId, now: Timestamp) -> Result<bool, Error> {
        let place = self.place(id)?;
        let has_expired = || -> Result<bool, Error> {
            let content = self.read_any(&place.path)?;
            Ok(content.is_some_and(|content| content.deadline.is_some_and(|end| end <= now)))
        };
        if !has_expired()? {
            return Ok(false);
        }
        // It may have been touched in the meantime.
        let lock = self.lock(place.lock)?;
        if !has_expired()? {
            return Ok(false);
        }
        self.remove(&lock, &place.path)?;
        Ok(true)
    }

    /// Goes through the folder.
    pub(super) fn sessions(&self) -> Result<Sessions, Error> {
        match fs::read_dir(&self.path) {
            Ok(entries) => Ok(Sessions(Some(entries))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Sessions(None)),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The ids that there are files of, in no order.
pub(super) struct Sessions(Option<ReadDir>);

impl Sessions {
    pub(super) fn next(&mut self, options: &Options) -> Result<Option<SessionId>, Error> {
        for entry in self.0.iter_mut().flatten() {
            let entry = entry.map_err(failed)?;
            let id = entry.file_name().to_str().and_then(|name| options.id_of(name));
            if id.is_some() {
                return Ok(id);
            }
        }
        Ok(None)
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Sets the owner and the mode of a file to those of the file that it replaces, or the mode to that of new files.
#[cfg(unix)]
fn keep_ownership(file: &File, old: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt as _, fchown};
    let old = fs::metadata(old).ok();
    let mode = old.as_ref().map_or(mode, MetadataExt::mode) & 0o777;
    let own = file.metadata()?;
    if let Some(old) = old.filter(|old| (old.uid(), old.gid()) != (own.uid(), own.gid())) {
        // Only root may change the owner. For other users the failure does not matter.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    if own.mode() & 0o777 == mode {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn keep_ownership(_file: &File, _old: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
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
