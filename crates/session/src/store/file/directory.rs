//! A folder that is held open, and the trust in it and its files.
//!
//! Names are looked up in the open folder, so that a folder that is replaced between a check and a use does not
//! matter, and no link is followed. A file is judged after it was opened:
//!
//! | what | refused | only warned about, by [`open`](super::FileStore::open) |
//! |---|---|---|
//! | the folder | of another user than this one and root; open for every user or another group to write to, without the sticky bit | readable by others, as session-file-store makes it |
//! | a link to the folder | made by another user | |
//! | a file | a link; a second name (hard link); no regular file; of another user than this one, root and the folder's; open for every user to write to | |
//!
//! With a [`mode`](super::FileStore::mode) that lets the group write, a folder and files of other users of this
//! process's groups are trusted too, and what this process makes is the group's of the folder: also the locks, without which
//! the others could not use the sessions. Root's locks are in any case, where the group may write to the folder.

use std::fmt;
use std::io;

#[cfg(unix)]
pub(super) use self::handles::{Directory, Names, time_by};
#[cfg(not(unix))]
pub(super) use self::paths::{Directory, Names, time_by};

/// The reason why a file or folder is not used.
#[derive(Debug)]
pub(super) struct Distrust(pub(super) &'static str);

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Distrust {}

impl Distrust {
    /// Returns the reason, if it is the cause of an error.
    pub(super) fn of(error: &io::Error) -> Option<&'static str> {
        error.get_ref()?.downcast_ref().map(|Self(reason)| *reason)
    }
}

/// The role of a file, which an error names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Session,
    Lock,
}

#[cfg(unix)]
mod handles {
    use std::fs::File;
    use std::io::{self, Read as _};
    use std::path::Path;

    use rustix::fd::{AsFd, OwnedFd};
    use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
    use rustix::io::Errno;
    use rustix::{fs, process};

    use super::{Distrust, Role};
    use crate::store::owners::{is_in, is_own};

    /// An open folder that is trusted.
    #[derive(Debug)]
    pub(in crate::store::file) struct Directory {
        handle: OwnedFd,
        owner: u32,
        group: u32,
        mode: u32,
        is_shared: bool,
    }

    impl Directory {
        /// Opens a folder. With `is_shared`, other users of this process's groups are trusted.
        pub(in crate::store::file) fn open(path: &Path, is_shared: bool) -> io::Result<Self> {
            // Without a slash at the end, behind which a link would be followed.
            let path = path.components().as_path();
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let handle = match fs::open(path, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
                Err(Errno::LOOP | Errno::MLINK | Errno::NOTDIR) => {
                    let link = fs::lstat(path)?;
                    if is(&link, FileType::Symlink) && !is_own(link.st_uid) {
                        return Err(distrust("the folder of the sessions is another user's link"));
                    }
                    fs::open(path, FOLDER, Mode::empty())?
                }
                handle => handle?,
            };
            Self::judged(handle, is_shared)
        }

        /// Opens a folder in this one, and makes it if it is missing.
        pub(in crate::store::file) fn open_or_make(&self, name: &str) -> io::Result<Self> {
            match fs::mkdirat(&self.handle, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = FOLDER | OFlags::NOFOLLOW;
            match fs::openat(&self.handle, name, flags, Mode::empty()) {
                Err(Errno::LOOP | Errno::MLINK | Errno::NOTDIR) => {
                    Err(distrust("the folder of the locks is a link, or no folder"))
                }
                handle => {
                    let folder = Self::judged(handle?, self.is_shared)?;
                    // Root trusts another group's folder under the sticky bit alone.
                    let sticky = if self.is_shared { Mode::empty() } else { Mode::SVTX };
                    self.share(&folder.handle, Mode::RWXU | Mode::RWXG | sticky)?;
                    // Its group may be another one now.
                    Ok(Self { group: self.group, ..folder })
                }
            }
        }

        /// Opens a new folder to its group, if the group shares it.
        pub(in crate::store::file) fn share_itself(&self) -> io::Result<()> {
            self.share(&self.handle, Mode::RWXU | Mode::RWXG)
        }

        /// Opens a file or folder of this process to the group that shares the folder, if one does: root's to each group that
        /// may write to the folder, since a command that root runs once must not keep the service from its locks.
        fn share(&self, made: &impl AsFd, mode: Mode) -> io::Result<()> {
            let stat = fs::fstat(made)?;
            let is_made_by_root = stat.st_uid == 0 && self.mode & 0o020 != 0;
            let is_shared = self.is_shared || is_made_by_root;
            if !is_shared || stat.st_uid != process::geteuid().as_raw() {
                return Ok(());
            }
            if stat.st_gid != self.group {
                // A user that is not in the group may not: the owner of the folder has to decide.
                let _ = std::os::unix::fs::fchown(made, None, Some(self.group));
            }
            if !Mode::from_raw_mode(stat.st_mode).contains(mode) {
                // Creating it with the mode would be subject to the umask.
                fs::fchmod(made, mode)?;
            }
            Ok(())
        }

        fn judged(handle: OwnedFd, is_shared: bool) -> io::Result<Self> {
            let stat = fs::fstat(&handle)?;
            let (owner, group, mode) = (stat.st_uid, stat.st_gid, bits(&stat));
            let is_trusted = is_own(owner) || (is_shared && is_in(group));
            if !is_trusted {
                return Err(distrust("the folder of the sessions is another user's"));
            }
            // Under the sticky bit others can add files, but neither replace nor remove any.
            let is_sticky = mode & 0o1000 != 0;
            if mode & 0o002 != 0 && !is_sticky {
                return Err(distrust("every user may write to the folder of the sessions"));
            }
            let is_known = group == process::getegid().as_raw() || (is_shared && is_in(group));
            if mode & 0o020 != 0 && !is_sticky && !is_known {
                return Err(distrust("another group may write to the folder of the sessions"));
            }
            Ok(Self { handle, owner, group, mode, is_shared })
        }

        /// Returns whether users other than the owner can list the folder or open its files.
        pub(in crate::store::file) fn is_open_to_others(&self) -> bool {
            self.mode & 0o007 != 0
        }

        /// Reads a file.
        pub(in crate::store::file) fn read(&self, name: &str, role: Role) -> io::Result<Vec<u8>> {
            let mut file = self.opened(name, OFlags::RDONLY, role)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        }

        /// Opens the file of a lock, and makes it if it is missing.
        pub(in crate::store::file) fn open_lock(&self, name: &str) -> io::Result<File> {
            let file = self.opened(name, OFlags::RDWR | OFlags::CREATE, Role::Lock)?;
            self.share(&file, Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP)?;
            Ok(file)
        }

        fn opened(&self, name: &str, flags: OFlags, role: Role) -> io::Result<File> {
            // A FIFO would otherwise wait for its other end.
            let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
            let mode = Mode::RUSR | Mode::WUSR;
            let file = match fs::openat(&self.handle, name, flags | OFlags::CLOEXEC, mode) {
                Err(Errno::LOOP | Errno::MLINK) => return Err(Fault::Link.of(role)),
                Err(Errno::NXIO) => return Err(Fault::Irregular.of(role)),
                // This process may read and write its own files: it cannot judge another user's.
                Err(Errno::ACCESS | Errno::PERM) if matches!(role, Role::Session) => {
                    return Err(Fault::OtherUser.of(role));
                }
                file => file?,
            };
            match self.distrusts(&fs::fstat(&file)?) {
                Some(fault) => Err(fault.of(role)),
                None => Ok(file.into()),
            }
        }

        fn distrusts(&self, file: &Stat) -> Option<Fault> {
            let (mode, group) = (bits(file), file.st_gid);
            let is_owner_known = is_own(file.st_uid) || file.st_uid == self.owner;
            let is_shared = self.is_shared && is_in(group);
            if !is(file, FileType::RegularFile) {
                Some(Fault::Irregular)
            } else if file.st_nlink > 1 {
                Some(Fault::SecondName)
            } else if !is_owner_known && !is_shared {
                Some(Fault::OtherUser)
            } else if mode & 0o002 != 0 {
                Some(Fault::Writable)
            } else {
                None
            }
        }

        /// Makes a file that was not there. One that a killed process left is removed first.
        pub(in crate::store::file) fn make_new(&self, name: &str) -> io::Result<File> {
            self.remove(name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let mode = Mode::RUSR | Mode::WUSR;
            let file = fs::openat(&self.handle, name, flags | OFlags::CLOEXEC, mode)?;
            self.share(&file, mode)?;
            Ok(file.into())
        }

        /// Sets the owner and mode of a new file to those of the file that it is to replace, or the mode.
        pub(in crate::store::file) fn keep_ownership(
            &self,
            new: &File,
            old: &str,
            mode: u32,
        ) -> io::Result<()> {
            let old = fs::statat(&self.handle, old, AtFlags::SYMLINK_NOFOLLOW).ok();
            let old = old.filter(|old| self.distrusts(old).is_none());
            let mode = old.as_ref().map_or(mode, bits) & 0o777;
            let own = fs::fstat(new)?;
            if let Some(old) =
                old.filter(|old| (old.st_uid, old.st_gid) != (own.st_uid, own.st_gid))
            {
                // Only root may change the owner. For other users the failure does not matter.
                let _ = std::os::unix::fs::fchown(new, Some(old.st_uid), Some(old.st_gid));
            }
            if bits(&own) & 0o777 == mode {
                return Ok(());
            }
            Ok(fs::fchmod(new, Mode::from_raw_mode(mode as _))?)
        }

        /// Moves a file into another folder, in the place of whatever is there.
        pub(in crate::store::file) fn rename(
            &self,
            from: &str,
            to: (&Self, &str),
        ) -> io::Result<()> {
            Ok(fs::renameat(&self.handle, from, &to.0.handle, to.1)?)
        }

        /// Removes a file, if there is one.
        pub(in crate::store::file) fn remove(&self, name: &str) -> io::Result<()> {
            match fs::unlinkat(&self.handle, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }

        pub(in crate::store::file) fn has(&self, name: &str) -> io::Result<bool> {
            match fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(true),
                Err(Errno::NOENT) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }

        /// Returns the names in the folder, in no order.
        pub(in crate::store::file) fn names(&self) -> io::Result<Names> {
            Ok(Names(Dir::read_from(&self.handle)?))
        }
    }

    /// The names in a folder.
    pub(in crate::store::file) struct Names(Dir);

    impl Iterator for Names {
        type Item = io::Result<Option<String>>;

        fn next(&mut self) -> Option<Self::Item> {
            let entry = self.0.next()?;
            // A name that is no text is no session's.
            Some(
                entry
                    .map_err(io::Error::from)
                    .map(|entry| entry.file_name().to_str().ok().map(String::from)),
            )
        }
    }

    /// Returns the time by the file system's clock, which is the server's on a network, in milliseconds.
    pub(in crate::store::file) fn time_by(file: &impl AsFd) -> io::Result<i64> {
        let now = Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW };
        fs::futimens(file, &Timestamps { last_access: now, last_modification: now })?;
        let stat = fs::fstat(file)?;
        Ok((stat.st_mtime as i64).saturating_mul(1000) + stat.st_mtime_nsec as i64 / 1_000_000)
    }

    const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    /// Why a file is not used.
    #[derive(Clone, Copy)]
    enum Fault {
        Link,
        Irregular,
        SecondName,
        OtherUser,
        Writable,
    }

    impl Fault {
        fn of(self, role: Role) -> io::Error {
            distrust(match (role, self) {
                (Role::Session, Self::Link) => "the session's file is a link",
                (Role::Session, Self::Irregular) => "the session's file is no regular file",
                (Role::Session, Self::SecondName) => "the session's file has a second name",
                (Role::Session, Self::OtherUser) => "the session's file is another user's",
                (Role::Session, Self::Writable) => "every user may write to the session's file",
                (Role::Lock, Self::Link) => "a lock's file is a link",
                (Role::Lock, Self::Irregular) => "a lock's file is no regular file",
                (Role::Lock, Self::SecondName) => "a lock's file has a second name",
                (Role::Lock, Self::OtherUser) => "a lock's file is another user's",
                (Role::Lock, Self::Writable) => "every user may write to a lock's file",
            })
        }
    }

    fn distrust(reason: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, Distrust(reason))
    }

    #[allow(clippy::useless_conversion, reason = "it is smaller on macOS")]
    fn bits(stat: &Stat) -> u32 {
        u32::from(stat.st_mode)
    }

    fn is(stat: &Stat, kind: FileType) -> bool {
        FileType::from_raw_mode(stat.st_mode) == kind
    }
}

/// Without handles and owners: the access rights of the folder are the operator's affair.
#[cfg(not(unix))]
mod paths {
    use std::fs::{self, File, ReadDir};
    use std::io;
    use std::path::{Path, PathBuf};

    use super::Role;

    #[derive(Debug)]
    pub(in crate::store::file) struct Directory(PathBuf);

    impl Directory {
        pub(in crate::store::file) fn open(path: &Path, _is_shared: bool) -> io::Result<Self> {
            fs::read_dir(path).map(|_| Self(path.to_owned()))
        }

        pub(in crate::store::file) fn open_or_make(&self, name: &str) -> io::Result<Self> {
            let path = self.0.join(name);
            fs::create_dir_all(&path).map(|()| Self(path))
        }

        pub(in crate::store::file) fn share_itself(&self) -> io::Result<()> {
            Ok(())
        }

        pub(in crate::store::file) fn is_open_to_others(&self) -> bool {
            false
        }

        pub(in crate::store::file) fn read(&self, name: &str, _: Role) -> io::Result<Vec<u8>> {
            fs::read(self.0.join(name))
        }

        pub(in crate::store::file) fn open_lock(&self, name: &str) -> io::Result<File> {
            File::options().write(true).create(true).truncate(false).open(self.0.join(name))
        }

        pub(in crate::store::file) fn make_new(&self, name: &str) -> io::Result<File> {
            self.remove(name)?;
            File::create_new(self.0.join(name))
        }

        pub(in crate::store::file) fn keep_ownership(
            &self,
            _new: &File,
            _old: &str,
            _mode: u32,
        ) -> io::Result<()> {
            Ok(())
        }

        pub(in crate::store::file) fn rename(
            &self,
            from: &str,
            to: (&Self, &str),
        ) -> io::Result<()> {
            fs::rename(self.0.join(from), to.0.0.join(to.1))
        }

        pub(in crate::store::file) fn remove(&self, name: &str) -> io::Result<()> {
            match fs::remove_file(self.0.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        }

        pub(in crate::store::file) fn has(&self, name: &str) -> io::Result<bool> {
            self.0.join(name).try_exists()
        }

        pub(in crate::store::file) fn names(&self) -> io::Result<Names> {
            fs::read_dir(&self.0).map(Names)
        }
    }

    pub(in crate::store::file) struct Names(ReadDir);

    impl Iterator for Names {
        type Item = io::Result<Option<String>>;

        fn next(&mut self) -> Option<Self::Item> {
            let entry = self.0.next()?;
            Some(entry.map(|entry| entry.file_name().to_str().map(String::from)))
        }
    }

    pub(in crate::store::file) fn time_by(_: &File) -> io::Result<i64> {
        Ok(i64::MAX)
    }
}
