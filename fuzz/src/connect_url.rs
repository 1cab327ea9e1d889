//! A store's URL.

use std::error::Error;

/// What stands where a password may. No message has it by chance.
const SECRET: &str = "hunter2";
/// How much of it a message must not have.
const PART: &str = "hunter";

/// Reads a text as a URL, in which `*` is a secret.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // It may stand in the name of an option, which a message tells. A fuzzer learns such words.
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
        // Drivers may write what they read in lower case, or the part up to where they stopped.
        assert!(!shown.to_lowercase().contains(PART), "{shown} of {url}");
    }
    assert!(shown.len() < 1000 + 4 * url.len());
}

/// What a message may name: the scheme, and the options.
fn names(url: &str) -> impl Iterator<Item = &str> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    // The `?` of a password is not where the options begin.
    let query = if query.contains('@') { "" } else { query };
    let options = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    [scheme].into_iter().chain(options)
}
