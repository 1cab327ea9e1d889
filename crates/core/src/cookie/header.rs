//! Reads one cookie from the `Cookie` header, as `cookie.parse` 0.7.2 does (items 25 and 27).
//!
//! 1. The reader works on bytes and has no cookie jar: it decodes only pairs with the requested name.
//! 2. Pairs are split at `;`, and a pair at its first `=`. Text without `=` is skipped.
//! 3. Only spaces and tabs around a name and a value are trimmed, and a name is compared byte for byte. Trimming
//!    Unicode white space would let a foreign cookie pass as a `__Host-` cookie.
//! 4. One pair of double quotes around a value is removed. RFC 2109, `$Version` and quoted semicolons are not
//!    supported.
//! 5. A value with a `%` is percent-decoded as `decodeURIComponent` does. If that fails, the value is not decoded.
//! 6. Bytes beyond ASCII are the characters U+0080 to U+00FF, as Node reads headers.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

/// Returns the decoded value of every cookie of this name, in the order of the header.
///
/// express-session uses only the first. Several `Cookie` headers (HTTP/2) are read one after the other, as Node
/// joins them with `; `. This costs one pass over the headers; only encoded values are copied.
///
/// ```
/// use express_session_core::cookie;
///
/// let header = br#"a=1; sid=s%3Aabc; b="2"; sid=other"#;
/// let values: Vec<_> = cookie::values([&header[..]], "sid").collect();
/// assert_eq!(values, ["s:abc", "other"]);
/// ```
pub fn values<'h, H>(headers: H, name: &str) -> impl Iterator<Item = Cow<'h, str>>
where
    H: IntoIterator<Item = &'h [u8]>,
{
    raw_values(headers, name).map(decode)
}

/// Passes the decoded values of the cookies of this name to `take`, in the order of [`values`], until it accepts
/// one. Skips values of more than `longest` bytes without decoding them.
///
/// A value that is as short as a session's needs no heap allocation.
///
/// ```
/// use express_session_core::cookie;
///
/// let header = b"a=1; sid=other; sid=s%3Aabc";
/// let signed = |longest| {
///     let take = |value: &str| value.strip_prefix("s:").map(str::to_owned);
///     cookie::find([&header[..]], "sid", longest, take)
/// };
/// assert_eq!(signed(7).as_deref(), Some("abc"));
/// assert_eq!(signed(6), None);
/// ```
pub fn find<'h, H, T>(
    headers: H,
    name: &str,
    longest: usize,
    mut take: impl FnMut(&str) -> Option<T>,
) -> Option<T>
where
    H: IntoIterator<Item = &'h [u8]>,
{
    raw_values(headers, name).filter(|value| value.len() <= longest).find_map(|value| {
        let mut short = [0; SHORT];
        match decode_short(value, &mut short) {
            Some(value) => take(value),
            None => take(&decode(value)),
        }
    })
}

/// Values up to this length need no heap allocation: three times the length of a signed id.
const SHORT: usize = 240;

fn raw_values<'h, H>(headers: H, name: &str) -> impl Iterator<Item = &'h [u8]>
where
    H: IntoIterator<Item = &'h [u8]>,
{
    let pairs = headers.into_iter().flat_map(|header| Pairs { rest: Some(header) });
    pairs.filter_map(move |pair| value(pair, name))
}

/// Iterates over the pairs of a header.
struct Pairs<'h> {
    rest: Option<&'h [u8]>,
}

impl<'h> Iterator for Pairs<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let rest = self.rest?;
        let Some(end) = memchr(b';', rest) else { return self.rest.take() };
        self.rest = Some(&rest[end + 1..]);
        Some(&rest[..end])
    }
}

/// Returns the value of a pair with this name.
fn value<'h>(pair: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let pair = trim_start(pair);
    // Most pairs have another name and end here.
    if !pair.starts_with(name.as_bytes()) {
        return None;
    }
    let equals = memchr(b'=', pair)?;
    (trim(&pair[..equals]) == name.as_bytes()).then(|| unquote(trim(&pair[equals + 1..])))
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        // cookie.parse checks the first and the last character, which may be the same one.
        [b'"'] => &[],
        _ => value,
    }
}

fn decode(value: &[u8]) -> Cow<'_, str> {
    let text = match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => value.iter().map(|byte| char::from(*byte)).collect(),
    };
    match decode_percent(&text) {
        Some(decoded) => Cow::Owned(decoded),
        None => text,
    }
}

/// Decodes a short value that is ASCII before and after decoding. Returns `None` for any other value.
#[inline]
fn decode_short<'b>(value: &[u8], short: &'b mut [u8; SHORT]) -> Option<&'b str> {
    let (mut from, mut length) = (0, 0);
    let mut push = |bytes: &[u8]| {
        short.get_mut(length..length + bytes.len())?.copy_from_slice(bytes);
        length += bytes.len();
        Some(())
    };
    for at in memchr_iter(b'%', value) {
        push(value.get(from..at)?)?;
        let (byte, _) = unescape(&value[at..])?;
        push(&[byte])?;
        from = at + "%XX".len();
    }
    push(&value[from..])?;
    let decoded = &short[..length];
    if decoded.is_ascii() { std::str::from_utf8(decoded).ok() } else { None }
}

fn unescape(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, rest @ ..] = bytes else { return None };
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}

/// Decodes like `decodeURIComponent`. Returns `None` if there is nothing to decode or JavaScript throws.
fn decode_percent(text: &str) -> Option<String> {
    let mut next = memchr(b'%', text.as_bytes())?;
    let mut rest = text;
    let mut decoded = String::with_capacity(text.len());
    loop {
        decoded.push_str(&rest[..next]);
        rest = &rest[next..];
        let first = escape(rest)?;
        let length = match first {
            0..=0x7f => 1,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => return None,
        };
        if length == 1 {
            decoded.push(char::from(first));
        } else {
            let mut unit = [0; 4];
            for (place, byte) in unit[..length].iter_mut().enumerate() {
                *byte = escape(rest.get(place * 3..)?)?;
            }
            // Overlong forms, surrogates and values beyond U+10FFFF are not UTF-8.
            decoded.push_str(std::str::from_utf8(&unit[..length]).ok()?);
        }
        rest = &rest[length * 3..];
        match memchr(b'%', rest.as_bytes()) {
            Some(at) => next = at,
            None => break,
        }
    }
    decoded.push_str(rest);
    Some(decoded)
}

/// Reads the `%XX` at the start of a text.
fn escape(text: &str) -> Option<u8> {
    unescape(text.as_bytes()).map(|(byte, _)| byte)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the first value, and checks that `values` and `find` agree.
    fn first(header: &[u8]) -> Option<String> {
        let found = find([header], "sid", usize::MAX, |value| Some(value.to_owned()));
        assert_eq!(values([header], "sid").next().as_deref(), found.as_deref());
        found
    }

    #[test]
    fn header_is_read_as_the_npm_parser_reads_it() {
        // The right sides come from cookie 0.7.2 on Node 20: parse(left).sid
        for (header, value) in [
            (&b"sid=a"[..], Some("a")),
            (b"sid=a=b=c", Some("a=b=c")),
            (b" \t sid \t = \t a \t ; x", Some("a")),
            (b"sid=", Some("")),
            (b"sid= ", Some("")),
            (b"sid", None),
            (b"xsid=a; sidx=b", None),
            (b"foo; bar; sid=1", Some("1")),
            (b"foo;sid;sid=2", Some("2")),
            (b"sid=1; sid=2", Some("1")),
            (b"sid=; sid=2", Some("")),
            (b"sid=\"a b\"", Some("a b")),
            (b"sid=\"a", Some("\"a")),
            (b"sid=\"", Some("")),
            (b"sid=\"\"", Some("")),
            (b"sid=\"a;b\"", Some("\"a")),
            (b"sid=%41%C3%A9%F0%9F%98%80", Some("Aé😀")),
            (b"sid=%41%", Some("%41%")),
            (b"sid=%zz", Some("%zz")),
            (b"sid=%C3", Some("%C3")),
            (b"sid=%C0%AF", Some("%C0%AF")),
            (b"sid=%ED%A0%80", Some("%ED%A0%80")),
            (b"sid=\xe9", Some("\u{e9}")),
            (b"sid=\xc3\xa9%41", Some("\u{c3}\u{a9}A")),
            (b"sid=+", Some("+")),
            (b"SID=a", None),
            (b"\xe2\x80\x80sid=a", None),
            (b"\x0bsid=a", None),
            (b"", None),
            (b"=", None),
            (b";;=;sid=x;", Some("x")),
        ] {
            assert_eq!(first(header).as_deref(), value, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn escape_is_found_at_every_place() {
        for before in 0..SHORT + 20 {
            for behind in [0, 1, 7, 8, 30, SHORT] {
                let (before, behind) = ("d".repeat(before), "d".repeat(behind));
                let header = format!("sid={before}%3A{behind}");
                assert_eq!(first(header.as_bytes()), Some(format!("{before}:{behind}")));
            }
        }
    }

    #[test]
    fn several_headers_are_read_in_order() {
        let values: Vec<_> = values([&b"a=1"[..], b"sid=1; sid=2", b"sid=3"], "sid").collect();
        assert_eq!(values, ["1", "2", "3"]);
    }

    #[test]
    fn only_encoded_values_are_copied() {
        let is_copied =
            |header: &[u8]| matches!(values([header], "sid").next(), Some(Cow::Owned(_)));
        assert!(!is_copied(b"sid=\"s:abc\""));
        assert!(is_copied(b"sid=s%3Aabc"));
    }

    #[test]
    fn name_that_no_cookie_can_have_is_never_found() {
        // cookie 0.7.2 on Node 20: parse('a=b=c; sid =x; b=') has a, sid and b.
        for name in ["a=b", "sid ", " sid", "b=", ""] {
            let found = find([&b"a=b=c; sid =x; b="[..]], name, 9, |value| Some(value.to_owned()));
            assert_eq!(found, None, "{name:?}");
        }
    }

    #[test]
    fn utf8_is_read_byte_by_byte_as_node_reads_headers() {
        assert_eq!(first(b"sid=\xc3\xa9").as_deref(), Some("\u{c3}\u{a9}"));
    }

    proptest! {
        #[test]
        fn every_value_is_found_in_any_header(
            values in prop::collection::vec("([ -~]|%[0-9a-fA-F]{2}|%[c-f][0-9a-f]%[8-9a-c][0-9a-f]){0,80}", 0..4),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let pairs: Vec<_> = values.iter().map(|value| format!("sid={value};")).collect();
            let header = [pairs.concat().as_bytes(), &noise].concat();
            let mut found = Vec::new();
            let none: Option<()> = find([&header[..]], "sid", usize::MAX, |value| {
                found.push(value.to_owned());
                None
            });
            prop_assert_eq!(none, None);
            let expected: Vec<_> = super::values([&header[..]], "sid").collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn percent_encoded_text_comes_back(text in ".{0,20}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let header = format!("sid={encoded}");
            prop_assert_eq!(first(header.as_bytes()), Some(text));
        }
    }
}
