//! Reads and replaces the cookie in the text of a record.

use std::ops::Range;
use std::time::Duration;

use super::document::COOKIE;
use super::edited::is_key;
use super::{Corrupt, json};
use crate::Timestamp;
use crate::cookie::StoredCookie;

/// Replaces the JSON of a record's `cookie`, and keeps every other byte. Returns `None` if the text is not a record.
///
/// Stores use this if their `touch` updates the cookie in the text, as express-session's `MemoryStore` does (item 69).
/// It costs one pass over the text, and one copy.
///
/// ```
/// use express_session_core::record::with_cookie;
///
/// let text = with_cookie(r#"{"a":1,"cookie":{}}"#, r#"{"path":"/"}"#);
/// assert_eq!(text.as_deref(), Some(r#"{"a":1,"cookie":{"path":"/"}}"#));
/// ```
#[must_use]
pub fn with_cookie(text: &str, cookie: &str) -> Option<String> {
    Some(splice(text, cookie_span(text)?, cookie))
}

/// Returns a record's text without its cookie's expiry, which each touch moves: two texts differ in it if the members,
/// the attributes or the max age do. `None` if the text is not a session record.
///
/// ```
/// use express_session_core::record::without_expiry;
///
/// let loaded = r#"{"cookie":{"originalMaxAge":5,"expires":"2026-11-23T17:01:42.645Z"},"a":1}"#;
/// let touched = r#"{"cookie":{"originalMaxAge":5,"expires":"2026-11-23T17:09:01.002Z"},"a":1}"#;
/// assert!(without_expiry(loaded).is_some());
/// assert_eq!(without_expiry(loaded), without_expiry(touched));
/// ```
#[must_use]
pub fn without_expiry(text: &str) -> Option<String> {
    let span = cookie_span(text)?;
    let mut cookie = StoredCookie::parse(&text[span.clone()], Timestamp::from_millis(0)).ok()?;
    cookie.forget_expiry();
    Some(splice(text, span, &cookie.text()))
}

/// Returns the JSON of a record's `cookie`.
pub(crate) fn cookie_of(text: &str) -> Option<&str> {
    cookie_span(text).map(|span| &text[span])
}

/// Returns the `originalMaxAge` of a record's cookie, if it has one. A text that begins like a record is taken for one.
pub(crate) fn max_age_of(text: &str, now: Timestamp) -> Result<Option<Duration>, Corrupt> {
    // `JSON.stringify` puts it here, unless a member's name is a number.
    if let Some(rest) = text.strip_prefix(r#"{"cookie":{"originalMaxAge":"#) {
        let max_age = rest.find([',', '}']).map_or("", |end| &rest[..end]);
        match max_age.parse() {
            _ if max_age == "null" => return Ok(None),
            Ok(millis) => return Ok(Some(Duration::from_millis(millis))),
            Err(_) => {}
        }
    }
    let cookie = cookie_of(text).ok_or(Corrupt::NoCookie)?;
    Ok(StoredCookie::parse(cookie, now)?.original_max_age())
}

fn cookie_span(text: &str) -> Option<Range<usize>> {
    let mut span = None;
    json::members(text, |json::Member { key, value, .. }| {
        if is_key(&text[key], COOKIE) {
            span = Some(value);
        }
    })
    .ok()?;
    span
}

pub(super) fn splice(text: &str, span: Range<usize>, cookie: &str) -> String {
    [&text[..span.start], cookie, &text[span.end..]].concat()
}
