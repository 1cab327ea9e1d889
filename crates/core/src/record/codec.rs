//! Reads and replaces the cookie in the text of a record.

use std::ops::Range;

use super::document::{COOKIE, FRONT};
use super::edited::is_key;
use super::json;
use crate::Timestamp;
use crate::cookie::{CookieTemplate, StoredCookie};

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

/// Resets the expiry of a record, as [`Touch::renewing`](crate::store::Touch::renewing) describes.
///
/// Returns the text with its new cookie, or `None` if the text is unchanged, and the new deadline. Returns `None` for both
/// if the text is not a record.
///
/// Stores use this to implement [`Store::load_and_touch`](crate::store::Store::load_and_touch) if they update the cookie
/// in the text.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::record::with_expiry_reset;
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let text = r#"{"cookie":{"originalMaxAge":60000,"expires":"2023-11-14T22:13:00.000Z"},"a":1}"#;
/// let (text, deadline) = with_expiry_reset(text, now).ok_or("no record")?;
/// assert_eq!(deadline, Some(Timestamp::from_millis(1_700_000_060_000)));
/// assert!(text.is_some_and(|text| text.contains("2023-11-14T22:14:20.000Z")));
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn with_expiry_reset(
    text: &str,
    now: Timestamp,
) -> Option<(Option<String>, Option<Timestamp>)> {
    with_expiry_reset_as(text, &mut None, now)
}

/// Resets the expiry like [`with_expiry_reset`], but faster if the record begins with a cookie that matches the template.
///
/// The text after a matching cookie is not checked: it is assumed to be a record. A cookie that does not match becomes the
/// new template.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::record::{with_expiry_reset, with_expiry_reset_as};
///
/// let text = r#"{"cookie":{"originalMaxAge":60000,"expires":"2023-11-14T22:13:00.000Z"},"a":1}"#;
/// let mut template = None;
/// for now in [1, 2].map(Timestamp::from_millis) {
///     assert_eq!(with_expiry_reset_as(text, &mut template, now), with_expiry_reset(text, now));
/// }
/// ```
#[must_use]
pub fn with_expiry_reset_as(
    text: &str,
    template: &mut Option<CookieTemplate>,
    now: Timestamp,
) -> Option<(Option<String>, Option<Timestamp>)> {
    if let Some(done) = template.as_ref().and_then(|template| with_new_expiry(text, template, now))
    {
        return Some(done);
    }
    let span = cookie_span(text)?;
    let stored = &text[span.clone()];
    let mut cookie = StoredCookie::parse(stored, now).ok()?;
    *template = Some(CookieTemplate::new(&cookie));
    cookie.reset_expiry(now);
    let json = cookie.text();
    let same = json == stored;
    Some(((!same).then(|| splice(text, span, &json)), cookie.deadline()))
}

/// Resets the expiry of a record that begins with a matching cookie, if the cookie has no expiry, or a max age and a date
/// as JavaScript writes it.
fn with_new_expiry(
    text: &str,
    template: &CookieTemplate,
    now: Timestamp,
) -> Option<(Option<String>, Option<Timestamp>)> {
    /// The length of a quoted date up to the year 9999, and the first millisecond after that year.
    const DATE: usize = r#""2023-11-14T22:13:20.000Z""#.len();
    const YEAR_10000: i64 = 253_402_300_800_000;
    let cookie = text.strip_prefix(FRONT)?;
    let times = template.times(cookie)?;
    if !cookie[times.end..].starts_with([',', '}']) {
        return None;
    }
    if (times.max_age, times.expires) == ("null", "null") {
        return Some((None, None));
    }
    let deadline = now.millis().checked_add(times.max_age.parse().ok()?)?;
    if times.expires.len() != DATE || !(0..YEAR_10000).contains(&deadline) {
        return None;
    }
    let deadline = Timestamp::from_millis(deadline);
    let mut date = String::with_capacity(DATE);
    deadline.push_iso(&mut date);
    if date == times.expires[1..DATE - 1] {
        return Some((None, Some(deadline)));
    }
    let at = FRONT.len() + times.expires_at + 1;
    Some((Some([&text[..at], &date, &text[at + date.len()..]].concat()), Some(deadline)))
}

/// Returns the JSON of a record's `cookie`.
pub(crate) fn cookie_of(text: &str) -> Option<&str> {
    cookie_span(text).map(|span| &text[span])
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
