//! The text of a stored record.

use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
use express_session_core::record::with_cookie;
use express_session_core::store::Touch;
use express_session_core::{Corrupt, Document};
use serde_json::json;

use crate::NOW;
use crate::javascript::{self, Integers, Js, in_order};
use crate::node::Question;

/// The names that express-session reserves.
pub(crate) const RESERVED: [&str; 21] = [
    "cookie",
    "req",
    "id",
    "touch",
    "resetMaxAge",
    "save",
    "reload",
    "destroy",
    "regenerate",
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];

/// Reads a text as a record, and compares every member.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check(text);
}

pub(crate) fn check(text: &str) {
    let members = javascript::members(text);
    template(text);
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(corrupt) => {
            let has_cookie = members.as_ref().map(|members| cookie(members).is_some());
            match corrupt {
                Corrupt::NotJson(at) => assert!(has_cookie.is_none() && at <= text.len()),
                other => assert_eq!((other, has_cookie), (Corrupt::NoCookie, Some(false))),
            }
            assert!(Document::parse_normalised(text).is_err());
            assert!(with_cookie(text, "{}").is_none() && Touch::renewing(text, NOW).is_none());
            return;
        }
    };
    let members = members.expect("serde_json reads it too");
    let cookie = cookie(&members).expect("the document has a cookie");
    assert_eq!(document.cookie_text(), cookie);
    untouched(text, &document);
    let data: Vec<_> = in_order(members).into_iter().filter(|(key, _)| key != b"cookie").collect();
    assert_eq!(document.len(), data.len(), "equal keys become one member");
    let unicode = data.iter().filter_map(|(key, raw)| Some((str::from_utf8(key).ok()?, raw.get())));
    let unicode: Vec<_> = unicode.collect();
    let found: Vec<_> = document.keys().collect();
    assert_eq!(found, unicode.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    for (key, raw) in unicode {
        assert_eq!(document.get_raw(key), Some(raw));
        // A number is read exactly.
        if let Ok(Some(number)) = document.get::<f64>(key) {
            assert_eq!(raw.parse(), Ok(number), "{raw}");
        }
    }
    normalised(text, &document);
    time(text);
}

/// Checks that unchanged members are written as they were.
fn untouched(text: &str, document: &Document) {
    assert_eq!(&*document.to_json(document.cookie_text()), text);
    let other = document.to_json(r#"{"new":0}"#);
    assert_eq!(with_cookie(text, r#"{"new":0}"#).as_deref(), Some(&*other));
    let other = Document::parse(other).expect("a record with another cookie is one");
    assert_eq!(other.cookie_text(), r#"{"new":0}"#);
    assert_eq!(&*other.to_json(document.cookie_text()), text);
    assert!(!document.is_changed() && document.same_members(&other));
}

/// Checks that the normalised text is equal to JavaScript.
fn normalised(text: &str, document: &Document) {
    let normal = Document::parse_normalised(text).expect("the text was read already");
    let again = normal.to_json(normal.cookie_text());
    let stable = Document::parse_normalised(&again).expect("what is written is read");
    assert!(!stable.is_changed(), "a normalised record is stable");
    assert_eq!(stable.base_text(), &again);
    let reserved = |key: &[u8]| RESERVED[1..].iter().any(|name| name.as_bytes() == key);
    let Some(Js::Object(mut expected)) = Js::read(text, Integers::AsNumbers) else { return };
    expected.retain(|(key, _)| !reserved(key));
    assert_eq!(Js::read(&again, Integers::AsNumbers), Some(Js::Object(expected)));
    let kept = document.keys().filter(|key| !reserved(key.as_bytes()));
    assert!(kept.eq(normal.keys()));
}

/// Checks that reading with a template equals reading without.
fn template(text: &str) {
    let read = |text: &str| {
        let document = Document::parse(text)?;
        let cookie = StoredCookie::parse(document.cookie_text(), NOW)?;
        Ok::<_, Corrupt>((document, cookie))
    };
    let plain = StoredCookie::new(&Cookie::new(), NOW, false, true);
    let own = read(text).map(|(_, cookie)| cookie);
    for cookie in [Some(plain), own.ok()].into_iter().flatten() {
        let found = Document::parse_as(text, &CookieTemplate::new(&cookie), NOW);
        match (found, read(text)) {
            (Ok((document, cookie)), Ok((expected, its_cookie))) => {
                assert_eq!((cookie, document.cookie_text()), (its_cookie, expected.cookie_text()));
                assert!(document.same_members(&expected));
                assert_eq!(document.to_json("{}"), expected.to_json("{}"));
            }
            (found, expected) => assert_eq!(found.err(), expected.err()),
        }
    }
}

/// Checks the text after a touch, and that a second touch changes nothing.
fn time(text: &str) {
    let Some(touch) = Touch::renewing(text, NOW) else { return };
    let new = with_cookie(text, &touch.cookie).expect("it has a cookie");
    assert_eq!(Touch::renewing(&new, NOW), Some(touch));
    let (before, after) = (Document::parse(text), Document::parse(&*new));
    assert!(before.is_ok_and(|before| after.is_ok_and(|after| before.same_members(&after))));
}

fn cookie<'a>(members: &[(Vec<u8>, &'a serde_json::value::RawValue)]) -> Option<&'a str> {
    members.iter().rfind(|(key, _)| key == b"cookie").map(|(_, value)| value.get())
}

/// Asks for `JSON.stringify(JSON.parse(text))`, without the reserved names.
pub fn question(data: &[u8]) -> Option<Question> {
    let text = std::str::from_utf8(data).ok()?;
    // The engine copies deeper values unchanged; Node's stack is limited.
    if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > 400 {
        return None;
    }
    let normal = Document::parse_normalised(text).ok();
    Some(Question {
        ask: json!({ "target": "record_text", "text": text, "reserved": RESERVED[1..] }),
        ours: normal.map(|normal| normal.to_json(normal.cookie_text()).to_string()).into(),
    })
}
