//! The `Cookie` header.

use std::borrow::Cow;

use express_session_core::cookie;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::node::Question;

/// Reads one or two headers, separated by a line break.
pub fn run(data: &[u8]) {
    let headers: Vec<&[u8]> = data.splitn(2, |byte| *byte == b'\n').collect();
    for name in names(data).into_iter().chain(["sid"]) {
        let found = values(&headers, name);
        assert_eq!(found, expected(&headers, name), "the decoded cookies of this name");
        let one_by_one: Vec<_> =
            headers.iter().flat_map(|header| values(&[header], name)).collect();
        assert_eq!(found, one_by_one, "headers are independent");
        let joined = headers.join(&b"; "[..]);
        assert_eq!(found, values(&[&joined], name), "Node joins them like this");
    }
}

/// Asks npm's cookie to parse the header.
pub fn question(data: &[u8]) -> Option<Question> {
    let mut ours = Map::new();
    for name in names(data) {
        // On Node this name sets the prototype of the result.
        if name != "__proto__" {
            ours.insert(name.to_owned(), values(&[data], name).first()?.clone().into());
        }
    }
    let header: String = data.iter().map(|byte| char::from(*byte)).collect();
    Some(Question {
        ask: json!({ "target": "cookie_header", "header": header }),
        ours: Value::Object(ours),
    })
}

fn values(headers: &[&[u8]], name: &str) -> Vec<String> {
    let values = cookie::values(headers.iter().copied(), name).map(Cow::into_owned).collect();
    let mut found = Vec::new();
    let _: Option<()> = cookie::find(headers.iter().copied(), name, usize::MAX, |value| {
        found.push(value.to_owned());
        None
    });
    assert_eq!(found, values, "one after the other");
    values
}

/// The names in the headers that Rust and Node see as the same text.
fn names(data: &[u8]) -> Vec<&str> {
    pairs(data)
        .filter_map(|(name, _)| std::str::from_utf8(name).ok())
        .filter(|name| name.is_ascii())
        .collect()
}

fn pairs(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|byte| *byte == b';').filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some((stripped(&pair[..equals]), stripped(&pair[equals + 1..])))
    })
}

fn stripped(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().take_while(|byte| is_blank(byte)).count();
    let rest = &bytes[start..];
    &rest[..rest.len() - rest.iter().rev().take_while(|byte| is_blank(byte)).count()]
}

fn expected(headers: &[&[u8]], name: &str) -> Vec<String> {
    let all = headers.iter().flat_map(|header| pairs(header));
    all.filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| decoded(value)).collect()
}

fn decoded(value: &[u8]) -> String {
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    let inner = match text.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest)) {
        Some(inner) if text.ends_with('"') => inner,
        _ => &text,
    };
    let digits =
        |part: &str| part.len() >= 2 && part.bytes().take(2).all(|it| it.is_ascii_hexdigit());
    // For an invalid escape, the crate keeps the text and decodeURIComponent throws.
    let is_escaped = inner.split('%').skip(1).all(digits);
    let decoded = percent_decode_str(inner).decode_utf8().ok().filter(|_| is_escaped);
    decoded.map_or_else(|| inner.to_owned(), Cow::into_owned)
}
