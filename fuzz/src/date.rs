//! A point in time in a stored cookie.

use express_session_core::Timestamp;
use serde_json::json;

use crate::node::Question;

/// Reads the text as a date, and the first eight bytes as milliseconds.
pub fn run(data: &[u8]) {
    if let Some(at) = std::str::from_utf8(data).ok().and_then(Timestamp::parse) {
        both_forms(at);
    }
    if let Some(at) = millis(data) {
        both_forms(at);
    }
}

fn both_forms(at: Timestamp) {
    assert!((Timestamp::MIN..=Timestamp::MAX).contains(&at));
    assert_eq!(Timestamp::parse(&at.iso()), Some(at));
    let http = at.http_date();
    // `Date` reads years of two digits as other years.
    if let Some(read) = Timestamp::parse(&http).filter(|_| (1970..=9999).contains(&year(&http))) {
        assert_eq!(read.millis(), at.millis().div_euclid(1000) * 1000);
    }
    assert_eq!(Timestamp::parse(&http).is_some(), (0..=9999).contains(&year(&http)));
}

fn year(http: &str) -> i32 {
    http.split(' ').nth(3).and_then(|year| year.parse().ok()).expect("a date has a year")
}

fn millis(data: &[u8]) -> Option<Timestamp> {
    let (number, _) = data.split_first_chunk()?;
    Some(Timestamp::from_millis(i64::from_le_bytes(*number)))
}

/// Asks for `new Date(text)`, `toISOString` and `toUTCString`.
pub fn question(data: &[u8]) -> Option<Question> {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let read = Timestamp::parse(text);
    let written = millis(data).unwrap_or(Timestamp::MAX);
    Some(Question {
        ask: json!({ "target": "date", "text": read.map(|_| text), "millis": written.millis() }),
        ours: json!({
            "millis": read.map(Timestamp::millis),
            "iso": written.iso(),
            "utc": written.http_date(),
        }),
    })
}
