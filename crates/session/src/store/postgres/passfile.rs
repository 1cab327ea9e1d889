//! Reads libpq's file of passwords.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use express_session_core::store::{Error, ErrorKind};

use super::address::{Environment, Settings};

/// Finds the password of a server in the file that `passfile` names, or in `.pgpass` of the home folder.
pub(super) fn password(
    settings: &Settings,
    environment: Environment<'_>,
) -> Result<Option<String>, Error> {
    let named = settings.get("passfile").map(PathBuf::from);
    let usual = || environment("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
    let Some(path) = named.clone().or_else(usual) else { return Ok(None) };
    match read(&path) {
        Ok(Some(text)) => Ok(find(&text, settings)),
        Ok(None) => {
            tracing::warn!(
                target: "express_session",
                file = %path.display(),
                "the file of passwords is ignored: it has group or world access, and should have u=rw (0600) or less"
            );
            Ok(None)
        }
        // As with libpq, no user needs to have one.
        Err(_) if named.is_none() => Ok(None),
        Err(error) => {
            let message = "the parameter passfile is not a file that can be read";
            Err(Error::new(ErrorKind::Other, message).with_source(error))
        }
    }
}

/// Reads the file, or returns `None` if other users have access to it.
fn read(path: &Path) -> io::Result<Option<String>> {
    let file = File::open(path)?;
    if is_shared(&file.metadata()?) {
        return Ok(None);
    }
    io::read_to_string(file).map(Some)
}

/// Returns whether the group or all users have access, which makes libpq ignore the file.
#[cfg(unix)]
fn is_shared(file: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.permissions().mode() & 0o077 != 0
}

/// libpq does not check it on other systems.
#[cfg(not(unix))]
fn is_shared(_: &Metadata) -> bool {
    false
}

/// Returns the password of the first line that is for this server.
fn find(text: &str, settings: &Settings) -> Option<String> {
    let setting = |name: &str| settings.get(name).map(String::as_str);
    let user = setting("user").unwrap_or_default();
    let wanted = [
        setting("host").filter(|host| !host.starts_with('/')).unwrap_or("localhost"),
        setting("port").unwrap_or("5432"),
        setting("dbname").unwrap_or(user),
        user,
    ];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let is_it = fields.len() == 5
            && wanted.iter().zip(&fields).all(|(wanted, field)| field == "*" || field == wanted);
        is_it.then(|| fields.into_iter().next_back()).flatten()
    })
}

/// Splits a line at its colons, but for those after a backslash.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (character, fields.last_mut()) {
            (':', _) => fields.push(String::new()),
            ('\\', Some(field)) => field.extend(characters.next()),
            (other, Some(field)) => field.push(other),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use express_session_testkit::TemporaryFolder;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// fe-connect.c, `passwordFromFile`.
    #[cfg(unix)]
    #[test]
    fn file_with_group_or_world_access_is_ignored() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = TemporaryFolder::new("passfile-modes").unwrap();
        let path = folder.path().join("passwords");
        std::fs::write(&path, "*:*:*:*:secret\n").unwrap();
        let named = settings(&[("user", "web"), ("passfile", path.to_str().unwrap())]);
        for (mode, expected) in [
            (0o600, Some("secret")),
            (0o400, Some("secret")),
            (0o700, Some("secret")),
            (0o640, None),
            (0o620, None),
            (0o610, None),
            (0o604, None),
            (0o602, None),
            (0o601, None),
            (0o644, None),
        ] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = password(&named, &|_| None).unwrap();
            assert_eq!(found.as_deref(), expected, "{mode:o}");
        }
        let home = |name: &str| (name == "HOME").then(|| folder.path().display().to_string());
        let usual = folder.path().join(".pgpass");
        std::fs::rename(&path, &usual).unwrap();
        assert_eq!(password(&settings(&[]), &home).unwrap(), None, "0644");
        std::fs::set_permissions(&usual, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(password(&settings(&[]), &home).unwrap().as_deref(), Some("secret"));
    }

    #[test]
    fn first_line_for_the_server_has_the_password() {
        let text = "# none\nother:*:*:*:a\ndb:5432:shop:web:with\\:colon\\\\\n*:*:*:*:last\n";
        let shop = settings(&[("host", "db"), ("user", "web"), ("dbname", "shop")]);
        assert_eq!(find(text, &shop).as_deref(), Some("with:colon\\"));
        assert_eq!(find(text, &settings(&[("user", "web")])).as_deref(), Some("last"));
        assert_eq!(find("other:*:*:*:a", &shop), None);
    }
}
