//! The trust in the file of a database, in those beside it, and in the links that lead there.
//!
//! Users who may write to a folder could replace the files in it, and are trusted. Only where every user may, in a folder
//! such as `/tmp`, the files have to be those of this process's user, of root or of the folder's owner.
//!
//! | what | refused |
//! |---|---|
//! | the folder of the file, or of a link to it | another user's, unless a group of this process may write to it; open for every user to write to, without the sticky bit |
//! | a link to the file | in a folder where every user may write: made by another user |
//! | the file, its `-wal`, `-shm` and `-journal` | open for every user to write to; no regular file; in a folder where every user may write: another user's |
//!
//! Names are looked up again after the check. Where every user may write to the folder, another user can still put a
//! `-wal` or `-journal` there between the check and the opening, if there is none.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::owners::{is_in, is_own};
use super::database::{Failure, Result};

/// The links that are followed, as by Linux.
const LINKS: usize = 40;

/// Returns the file that a path leads to, whether or not it is there. No part of that is a link.
pub(super) fn resolved(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let name = path.file_name().ok_or(Failure::Refused("the path has no name of a file"))?;
        // Where it is missing, SQLite says so.
        let Ok(folder) = folder_of(&path).canonicalize() else { return Ok(path) };
        let at = folder.join(name);
        let Some(target) = fs::read_link(&at).ok() else { return Ok(at) };
        let trust = Trust::of(&folder)?;
        if fs::symlink_metadata(&at).is_ok_and(|link| !trust.is_trusted(&link)) {
            return Err(Failure::Refused("the database's file is another user's link"));
        }
        path = folder.join(target);
    }
    Err(Failure::Refused("the database's file is a link to itself"))
}

/// Refuses a file that users could have made whom the folder's owner does not trust.
pub(super) fn judge(path: &Path) -> Result<()> {
    let trust = Trust::of(folder_of(path))?;
    trust.judge(path)?;
    for end in ["-wal", "-shm", "-journal"] {
        let mut beside = OsString::from(path);
        beside.push(end);
        trust.judge(Path::new(&beside))?;
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The users who are trusted with the files of a folder.
enum Trust {
    Everybody,
    /// This process's user, root and the owner of the folder.
    Owners {
        of_folder: u32,
    },
}

impl Trust {
    fn of(folder: &Path) -> Result<Self> {
        // Where it is missing, SQLite says so.
        let Ok(folder) = fs::metadata(folder) else { return Ok(Self::Everybody) };
        let is_shared = folder.mode() & 0o020 != 0 && is_in(folder.gid());
        if !is_own(folder.uid()) && !is_shared {
            return Err(Failure::Refused("the database's folder is another user's"));
        }
        match folder.mode() & 0o1002 {
            0o0002 => Err(Failure::Refused("every user may write to the database's folder")),
            0o1002 => Ok(Self::Owners { of_folder: folder.uid() }),
            _ => Ok(Self::Everybody),
        }
    }

    fn is_trusted(&self, file: &Metadata) -> bool {
        match self {
            Self::Everybody => true,
            Self::Owners { of_folder } => is_own(file.uid()) || file.uid() == *of_folder,
        }
    }

    fn judge(&self, path: &Path) -> Result<()> {
        // Where it is missing, or a folder, SQLite says so.
        let Ok(file) = fs::symlink_metadata(path) else { return Ok(()) };
        if file.is_dir() {
            return Ok(());
        }
        Err(Failure::Refused(if !file.is_file() {
            "a file of the database is a link, or no regular file"
        } else if !self.is_trusted(&file) {
            "a file of the database is another user's"
        } else if file.mode() & 0o002 != 0 {
            "every user may write to a file of the database"
        } else {
            return Ok(());
        }))
    }
}
