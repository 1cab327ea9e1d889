//! A session's file.

use express_session_core::{Document, Timestamp};

use crate::NOW;
use crate::javascript::{self, in_order};

/// The module's source, which is included so that its items can stay private in its crate.
#[path = "../../crates/session/src/store/file/content.rs"]
#[allow(dead_code, missing_docs, reason = "what the store itself asks is left out")]
mod content;

use content::Content;

const TTL: i64 = 3_600_000;
const LAST_ACCESS: &[u8] = b"__lastAccess";

/// Reads a text as a file of session-file-store, and writes it as our record. The last eight bytes may be a deadline.
pub fn run(data: &[u8]) {
    let (text, deadline) = match data.split_last_chunk() {
        Some((text, number)) if text.last() == Some(&b'\n') => {
            (text, Some(Timestamp::from_millis(i64::from_le_bytes(*number))))
        }
        _ => (data, None),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    foreign(text);
    ours(text, deadline);
}

/// Checks that a file is read like JSON, except for the time of the last access.
fn foreign(file: &str) {
    let is_session = Document::parse(file).is_ok();
    let content = Content::read(file, TTL);
    assert_eq!(content.is_ok(), is_session, "JavaScript reads a session");
    let Ok(content) = content else { return };
    // A key with escapes is not recognised, because session-file-store never writes one.
    if file.contains('\\') {
        return;
    }
    let members = |text| javascript::members(text).expect("the document was read");
    let all = members(file);
    let without = all.iter().filter(|(key, _)| key != LAST_ACCESS);
    let found = members(&content.text);
    assert!(
        without
            .map(|(key, raw)| (key, raw.get()))
            .eq(found.iter().map(|(key, raw)| (key, raw.get()))),
        "all but the one member is kept"
    );
    let last = in_order(all).into_iter().find(|(key, _)| key == LAST_ACCESS);
    let number = last.and_then(|(_, raw)| raw.get().parse::<f64>().ok());
    assert_eq!(content.deadline.is_some(), number.is_some());
    let _ = content.revision();
}

/// Checks that a record is read back byte for byte, with its deadline.
fn ours(text: &str, deadline: Option<Timestamp>) {
    let Ok(file) = Content::write(text, deadline, TTL, NOW) else {
        return assert!(Document::parse(text).is_err());
    };
    let content = Content::read(&file, TTL).expect("what is written is read");
    let members = javascript::members(text).expect("the document was read");
    if members.iter().all(|(key, _)| key != LAST_ACCESS) {
        assert_eq!(&*content.text, text);
    }
    let again = Content::write(&content.text, deadline, TTL, NOW).ok();
    assert_eq!(again.as_ref(), Some(&file));
    // A JavaScript number holds the deadline exactly, unless the cookie's max age is unreasonably large, or has fractions
    // of a millisecond that a very late deadline cannot hold.
    let max_age = max_age(&members);
    let is_near = deadline.is_none_or(|deadline| deadline.millis().abs() < 1 << 50);
    if max_age.abs() < 1e15 && (is_near || max_age.fract() == 0.0) {
        let expected = deadline.unwrap_or_else(|| {
            Timestamp::from_millis((NOW.millis() as f64 + max_age).floor() as i64)
        });
        assert_eq!(content.deadline, Some(expected));
    }
}

/// Returns JavaScript's `cookie.originalMaxAge || ttl` if it is a number.
fn max_age(members: &[(Vec<u8>, &serde_json::value::RawValue)]) -> f64 {
    let cookie = members.iter().rfind(|(key, _)| key == b"cookie").map(|(_, raw)| raw.get());
    let fields = cookie.and_then(javascript::members).unwrap_or_default();
    let field = fields.iter().rfind(|(key, _)| key == b"originalMaxAge").map(|(_, raw)| raw.get());
    let number = field.and_then(|raw| raw.parse::<f64>().ok());
    number.filter(|number| *number != 0.0).unwrap_or(TTL as f64)
}
