//! The content of a session's file: the record, with the time of its last access as an added member.

use std::sync::Arc;

use express_session_core::record::{Document, without_expiry};
use express_session_core::store::Revision;
use express_session_core::{Corrupt, Timestamp};
use serde::Deserialize;

/// The member that session-file-store adds, as JSON.
const LAST_ACCESS: &str = "\"__lastAccess\"";

/// A record as its file has it, without the member that is the store's own.
pub(super) struct Content {
    pub(super) text: Arc<str>,
    /// `None` where the file has no time of a last access: to session-file-store such a session
    /// never ends.
    pub(super) deadline: Option<Timestamp>,
}

impl Content {
    /// Reads a file. `ttl`, in milliseconds, is for a session without a max age.
    pub(super) fn read(file: &str, ttl: i64) -> Result<Self, Corrupt> {
        let (document, last_access) = parse(file)?;
        let last_access = last_access.and_then(|number| number.parse::<f64>().ok());
        let deadline = last_access.map(|last_access| {
            let max_age = max_age(document.cookie_text(), ttl);
            // As in JavaScript, where both are numbers; past an i64 it saturates.
            Timestamp::from_millis((last_access + max_age).floor() as i64)
        });
        Ok(Self { text: Arc::clone(document.base_text()), deadline })
    }

    /// Makes the file of a record that is to end at `deadline`, or else after the time that its cookie,
    /// or the store, gives it.
    ///
    /// A file has no other deadline than the time of the last access and the cookie's max age. For a
    /// session that has just been touched, this is the present, as session-file-store writes it.
    pub(super) fn write(
        text: &str,
        deadline: Option<Timestamp>,
        ttl: i64,
        now: Timestamp,
    ) -> Result<String, Corrupt> {
        let (document, _) = parse(text)?;
        let last_access = deadline.map_or(now.millis(), |deadline| {
            let max_age = max_age(document.cookie_text(), ttl).floor() as i64;
            deadline.millis().saturating_sub(max_age)
        });
        let text = document.base_text();
        // An object ends with its bracket; after that there is nothing but space.
        let end = text.rfind('}').unwrap_or(text.len());
        Ok(format!("{},{LAST_ACCESS}:{last_access}{}", &text[..end], &text[end..]))
    }

    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.deadline.is_none_or(|deadline| deadline > now)
    }

    /// Returns the revision: a digest of the text without the time that a touch moves.
    pub(super) fn revision(&self) -> Revision {
        revision(&self.text)
    }
}

pub(super) fn revision(text: &str) -> Revision {
    let (text, _) = split(text);
    Revision::of_text(&without_expiry(&text).unwrap_or(text))
}

/// Returns the TTL of a session after each access, in milliseconds, as JavaScript's
/// `cookie.originalMaxAge || ttl`.
fn max_age(cookie: &str, ttl: i64) -> f64 {
    #[derive(Deserialize)]
    struct Cookie {
        #[serde(rename = "originalMaxAge")]
        original_max_age: Option<f64>,
    }
    let cookie = serde_json::from_str::<Cookie>(cookie);
    let max_age = cookie.ok().and_then(|cookie| cookie.original_max_age);
    max_age.filter(|max_age| *max_age != 0.0).unwrap_or(ttl as f64)
}

/// Takes a text apart into the record and the time of the last access.
fn parse(text: &str) -> Result<(Document, Option<&str>), Corrupt> {
    let (record, last_access) = split(text);
    if record != text {
        // The removed part must be JSON too, and so must the whole.
        Document::parse(text)?;
    }
    Ok((Document::parse(record)?, last_access))
}

/// Takes the time of the last access out of a text, and leaves every other byte as it is.
fn split(text: &str) -> (String, Option<&str>) {
    if !text.contains(LAST_ACCESS) {
        return (text.to_owned(), None);
    }
    let mut last_access = None;
    let mut kept = Vec::new();
    let marks = marks(text);
    for pair in marks.windows(2) {
        let member = &text[pair[0] + 1..pair[1]];
        let value = member.trim_start().strip_prefix(LAST_ACCESS).map(str::trim_start);
        match value.and_then(|rest| rest.strip_prefix(':')) {
            // Of two, JavaScript takes the last.
            Some(value) => last_access = Some(value.trim()),
            None => kept.push(member),
        }
    }
    let (Some(first), Some(last)) = (marks.first(), marks.last()) else {
        return (text.to_owned(), None);
    };
    let kept = kept.join(",");
    ([&text[..=*first], kept.as_str(), &text[*last..]].concat(), last_access)
}

/// Returns the positions of the brackets and commas around the members of an object.
///
/// They mean nothing in a text that is not JSON; the caller checks that afterwards.
fn marks(text: &str) -> Vec<usize> {
    let mut marks = Vec::new();
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                if depth == 0 {
                    marks.push(at);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    marks.push(at);
                }
            }
            b',' if depth == 1 => marks.push(at),
            _ => {}
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOW: Timestamp = Timestamp::from_millis(1_795_449_702_645);

    fn write(text: &str, deadline: Option<i64>) -> String {
        let deadline = deadline.map(Timestamp::from_millis);
        Content::write(text, deadline, HOUR, NOW).unwrap()
    }

    fn read(file: &str) -> (String, Option<i64>) {
        let content = Content::read(file, HOUR).unwrap();
        (String::from(&*content.text), content.deadline.map(Timestamp::millis))
    }

    #[test]
    fn session_that_was_just_touched_is_written_as_session_file_store_does() {
        let text = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2026-11-23T17:01:42.645Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;
        let expires = Timestamp::parse("2026-11-23T17:01:42.645Z").unwrap();
        let file = write(text, Some(expires.millis()));
        let expected = format!(r#"{},"__lastAccess":1795449702645}}"#, &text[..text.len() - 1]);
        assert_eq!(file, expected);
        assert_eq!(read(&file), (text.to_owned(), Some(expires.millis())));
    }

    #[test]
    fn session_without_a_max_age_ends_after_the_ttl() {
        let file = write(r#"{"cookie":{"originalMaxAge":null}}"#, None);
        assert!(file.ends_with(r#","__lastAccess":1795449702645}"#));
        assert_eq!(read(&file).1, Some(1_795_449_702_645 + HOUR));
    }

    #[test]
    fn any_deadline_comes_back_for_any_cookie() {
        for cookie in [
            "{}",
            r#"{"originalMaxAge":60000}"#,
            r#"{"originalMaxAge":60000.7}"#,
            r#"{"originalMaxAge":-5}"#,
            r#"{"originalMaxAge":0}"#,
            r#"{"originalMaxAge":"60000"}"#,
            r#"{"originalMaxAge":1,"originalMaxAge":2}"#,
        ] {
            let text = format!(r#"{{"cookie":{cookie}}}"#);
            for deadline in [0, 1_795_449_702_645, -1, 8_640_000_000_000_000] {
                assert_eq!(read(&write(&text, Some(deadline))), (text.clone(), Some(deadline)));
            }
        }
    }

    #[test]
    fn time_of_the_last_access_is_found_wherever_node_put_it() {
        // A handler that adds a member after the session was loaded.
        let file = r#"{"cookie":{},"a":1,"__lastAccess":1000,"b":"\"__lastAccess\":1"}"#;
        let without = r#"{"cookie":{},"a":1,"b":"\"__lastAccess\":1"}"#;
        assert_eq!(read(file), (without.to_owned(), Some(1000 + HOUR)));
        let first = r#"{ "__lastAccess" : 1000 , "cookie":{"__lastAccess":2}}"#;
        let without = r#"{ "cookie":{"__lastAccess":2}}"#;
        assert_eq!(read(first), (without.to_owned(), Some(1000 + HOUR)));
        assert_eq!(
            write(file, Some(HOUR + 5)),
            format!("{},\"__lastAccess\":5}}", r#"{"cookie":{},"a":1,"b":"\"__lastAccess\":1""#)
        );
    }

    #[test]
    fn file_without_a_time_never_ends() {
        assert_eq!(read(r#"{"cookie":{}}"#), (r#"{"cookie":{}}"#.to_owned(), None));
        assert_eq!(read(r#"{"cookie":{},"__lastAccess":"soon"}"#).1, None);
    }

    #[test]
    fn file_whose_time_is_no_json_is_refused() {
        for file in [
            r#"{"cookie":{},"__lastAccess":nan}"#,
            r#"{"cookie":{},"__lastAccess":1 2}"#,
            r#"{"cookie":{},"__lastAccess":}"#,
            r#"{"cookie":{}}"__lastAccess":1}"#,
        ] {
            assert!(Content::read(file, HOUR).is_err(), "{file}");
            assert!(Content::write(file, None, HOUR, NOW).is_err(), "{file}");
        }
    }

    #[test]
    fn revision_is_that_of_all_but_the_expiry() {
        let one = revision(r#"{"cookie":{"originalMaxAge":60000,"path":"/"},"a":1}"#);
        for same in [
            r#"{"cookie":{"originalMaxAge":60000,"path":"/"},"a":1,"__lastAccess":5}"#,
            r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-11-23T17:01:42.645Z","path":"/"},"a":1}"#,
        ] {
            assert_eq!(revision(same), one, "{same}");
        }
        for other in [
            r#"{"cookie":{"originalMaxAge":60000,"path":"/"},"a":2}"#,
            r#"{"cookie":{"originalMaxAge":90000,"path":"/"},"a":1}"#,
            r#"{"cookie":{"originalMaxAge":60000,"path":"/admin"},"a":1}"#,
        ] {
            assert_ne!(revision(other), one, "{other}");
        }
    }

    #[test]
    fn text_that_is_not_a_session_is_refused() {
        for text in ["", " ", "5", "not a session at all", "[]", "{}", r#"{"cookie":{},"a":"#] {
            assert!(Content::write(text, None, HOUR, NOW).is_err(), "{text}");
            assert!(Content::read(text, HOUR).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn record_comes_back_byte_for_byte(
            space in "[ \n\t]{0,3}",
            members in prop::collection::vec(("[a-z_\\\\\"{},:é]{0,8}", "[ -~é]{0,12}"), 0..4),
            deadline in prop::option::of(0..2_000_000_000_000_i64),
        ) {
            let mut text = format!("{space}{{{space}\"cookie\"{space}:{{}}{space}");
            for (key, value) in members {
                let json = |text: &str| serde_json::to_string(text).unwrap();
                text += &format!(",{space}{}:{space}{{\"x\":[{}, 1]}}", json(&key), json(&value));
            }
            text += &format!("}}{space}");
            let file = Content::write(&text, deadline.map(Timestamp::from_millis), HOUR, NOW).unwrap();
            let content = Content::read(&file, HOUR).unwrap();
            prop_assert_eq!(&*content.text, &text);
            let expected = deadline.unwrap_or(NOW.millis() + HOUR);
            prop_assert_eq!(content.deadline.map(Timestamp::millis), Some(expected));
        }

        #[test]
        fn nothing_panics_on_garbage(text in "[{}\\[\\],:\"\\\\ _a-z0-9é]{0,40}") {
            let _ = Content::read(&format!("{text}\"__lastAccess\":{text}"), HOUR);
            let _ = Content::write(&format!("{{{text},\"__lastAccess\"{text}}}"), None, HOUR, NOW);
        }
    }
}
