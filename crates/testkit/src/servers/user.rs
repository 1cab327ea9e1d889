//! The user that a server runs as, which must not be root for some.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

/// Returns what to put before a command line, so that it runs without root's rights where the caller has
/// them; the folder is given to that user.
pub(super) fn without_root(folder: &Path, names: &[&str]) -> Result<Vec<OsString>, String> {
    let Some((user, group)) = owner(folder, names)? else { return Ok(Vec::new()) };
    let told = |error| format!("{}: {error}", folder.display());
    chown(folder, Some(user), Some(group)).map_err(told)?;
    // It becomes the program: the process keeps its number.
    let words = [
        "setpriv".to_owned(),
        format!("--reuid={user}"),
        format!("--regid={group}"),
        "--clear-groups".to_owned(),
    ];
    Ok(words.map(OsString::from).into())
}

/// Returns the numbers of the user and the group that a server runs as, unless it runs as its caller.
pub(super) fn owner(folder: &Path, names: &[&str]) -> Result<Option<(u32, u32)>, String> {
    let told = |error| format!("{}: {error}", folder.display());
    // The folder was made by this process, so its owner is who this process runs as.
    if fs::metadata(folder).map_err(told)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let found = names.iter().find_map(|name| ids(&users, name));
    let missing = || format!("none of the users {names:?} exists, and root may not run it");
    found.map(Some).ok_or_else(missing)
}

/// The numbers of a user and its group.
fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nmysqlx:x:5:6::/:\nmysql:x:102:105:a b:/:/bin/false\n";
        assert_eq!(ids(users, "mysql"), Some((102, 105)));
        assert_eq!(ids(users, "postgres"), None);
    }
}
