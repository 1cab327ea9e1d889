//! The `cookie` member of a record.

use std::time::Duration;

use express_session_core::Timestamp;
use express_session_core::cookie::{StoredCookie, print, print_expired};
use serde_json::json;

use crate::NOW;
use crate::javascript;
use crate::node::Question;
use crate::set_cookie::check_header;

/// Reads a text as a cookie, writes it, and touches it.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(cookie) = StoredCookie::parse(text, NOW) else { return };
    let members = javascript::members(text).expect("serde_json reads it too");
    let written = cookie.text();
    let again = StoredCookie::parse(&written, NOW).expect("what is written is read");
    // With a stored `maxAge`, which express-session never writes, `expires` may be a text until it is read again.
    if members.iter().all(|(key, _)| key != b"maxAge") {
        assert_eq!(again.text(), written, "reading changes nothing");
        assert_eq!(again.deadline(), cookie.deadline());
    }
    let left = cookie.max_age(NOW);
    assert_eq!(left.is_some(), cookie.deadline().is_some());
    assert_eq!(cookie.expires(), cookie.deadline().map(Into::into));
    // NaN and infinities are written as null.
    let is_finite =
        |raw: &str| raw.parse().is_ok_and(f64::is_finite) || raw.parse::<f64>().is_err();
    if members.iter().all(|(_, raw)| is_finite(raw.get())) {
        attributes(&cookie, &again);
    }

    let mut touched = cookie.clone();
    touched.reset_expiry(NOW);
    let once = touched.clone();
    touched.reset_expiry(NOW);
    assert_eq!(touched.text(), once.text(), "an immediate second touch changes nothing");
    let later = Timestamp::from_millis(NOW.millis() + 20_000);
    touched.reset_expiry(later);
    if let (Some(first), Some(second)) = (once.deadline(), touched.deadline()) {
        assert_eq!(second.saturating_since(first), Duration::from_secs(20));
    }
    for cookie in [&cookie, &once, &touched] {
        for header in [print("sid", "s:a;b", cookie), print_expired("sid", cookie)] {
            header.iter().for_each(|header| check_header(header));
        }
    }
}

fn attributes(one: &StoredCookie, other: &StoredCookie) {
    assert_eq!(one.path(), other.path());
    assert_eq!(one.domain(), other.domain());
    assert_eq!(one.http_only(), other.http_only());
    assert_eq!(one.secure(), other.secure());
    assert_eq!(one.same_site(), other.same_site());
    assert_eq!(one.partitioned(), other.partitioned());
    assert_eq!(one.priority(), other.priority());
}

/// Asks for express-session's `Store.createSession`, which inflates the cookie, and `session.touch`, which resets its
/// expiry.
pub fn question(data: &[u8]) -> Option<Question> {
    let text = std::str::from_utf8(data).ok()?;
    let ours = StoredCookie::parse(text, NOW).ok().map(|cookie| {
        let mut touched = cookie.clone();
        touched.reset_expiry(NOW);
        [cookie.text(), touched.text()]
    });
    // The answer distinguishes cookies for which express-session throws from those that it loads. Only Node reads some
    // forms of a date (DEPARTURES.md).
    Some(Question {
        ask: json!({ "target": "stored_cookie", "text": text, "now": NOW.millis() }),
        ours: json!(ours),
    })
}
