//! A store's URL.

use std::error::Error;

/// The secret at the place of a password. No message contains it by chance.
const SECRET: &str = "hunter2";
/// The length of a part of it that no message may contain.
const PART: &str = "hunter";

/// Reads a text as a URL, with the secret in place of `*`.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The secret may be in the name of an option, which a message may contain. A fuzzer learns such words.
    if text.to_lowercase().contains(PART) {
        return;
    }
    let url = text.replace('*', SECRET);
    let Err(error) = express_session::fuzzing::read_url(&url) else { return };
    let mut shown = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        shown += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    if !names(&url).any(|name| name.contains(SECRET)) {
        // A driver's message may contain the text in lower case, or its beginning.
        assert!(!shown.to_lowercase().contains(PART), "{shown} of {url}");
    }
    assert!(shown.len() < 1000 + 4 * url.len());
}

/// The parts that a message may contain: the scheme, and the names of options.
fn names(url: &str) -> impl Iterator<Item = &str> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    // A `?` in a password does not begin the options.
    let query = if query.contains('@') { "" } else { query };
    let options = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    [scheme].into_iter().chain(options)
}
