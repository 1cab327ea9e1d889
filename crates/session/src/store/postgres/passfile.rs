//! Reads libpq's file of passwords.

use std::path::PathBuf;

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
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(find(&text, settings)),
        // As with libpq, no user needs to have one.
        Err(_) if named.is_none() => Ok(None),
        Err(error) => {
            let message = "the parameter passfile is not a file that can be read";
            Err(Error::new(ErrorKind::Other, message).with_source(error))
        }
    }
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
    use super::*;

    #[test]
    fn first_line_for_the_server_has_the_password() {
        let text = "# none\nother:*:*:*:a\ndb:5432:shop:web:with\\:colon\\\\\n*:*:*:*:last\n";
        let settings = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let shop = settings(&[("host", "db"), ("user", "web"), ("dbname", "shop")]);
        assert_eq!(find(text, &shop).as_deref(), Some("with:colon\\"));
        assert_eq!(find(text, &settings(&[("user", "web")])).as_deref(), Some("last"));
        assert_eq!(find("other:*:*:*:a", &shop), None);
    }
}
