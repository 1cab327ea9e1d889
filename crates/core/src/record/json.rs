//! JavaScript's reading and writing of JSON, on text and spans instead of a tree.
//!
//! serde_json reads single values (see [`crate::Document::get`]). This module adds what serde_json does not have: the
//! place of a member in the text, the order of keys in a JavaScript object, ECMAScript's format of numbers, and strings
//! with lone surrogates.

use std::borrow::Cow;
use std::ops::Range;

use serde::Serialize;

use super::order;

/// The place of the first byte that is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) at: usize,
}

/// A member of an object: the places of its key, including the quotes, and of its value.
pub(crate) struct Member {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
    /// Whether the key has escapes.
    pub(crate) is_escaped: bool,
}

/// Calls `member` for each member of the object that `text` is, in the order of the text.
///
/// Checks that the whole text is JSON, by the grammar of `JSON.parse` (ECMA-404). Returns the depth of its deepest value:
/// 0 for an object of scalars.
pub(crate) fn members(text: &str, member: impl FnMut(Member)) -> Result<usize, Malformed> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    scanner.eat(b'{')?;
    scanner.space();
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
        return scanner.end().map(|()| 0);
    }
    scanner.members(member)
}

/// Calls `member` like [`members`], but only for the members after a value that ends at `at`. The text before is
/// known to be valid.
pub(crate) fn members_behind(
    text: &str,
    at: usize,
    member: impl FnMut(Member),
) -> Result<usize, Malformed> {
    let mut scanner = Scanner { at, ..Scanner::new(text) };
    if scanner.comma_or(b'}')? { scanner.end().map(|()| 0) } else { scanner.members(member) }
}

/// Returns how deep the containers of a value are nested: 0 for a scalar. The text is known to be JSON.
pub(crate) fn depth(value: &str) -> usize {
    let mut scanner = Scanner::new(value);
    let _ = scanner.value();
    scanner.deepest
}

/// Checks that `text` is one JSON value.
pub(crate) fn check(text: &str) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    scanner.value()?;
    scanner.end()
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether the last string had escapes.
    is_escaped: bool,
    /// The depth of the deepest value so far.
    deepest: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, is_escaped: false, deepest: 0 }
    }

    /// Reads the members of an object that has at least one more, to the end of the text.
    #[inline]
    fn members(&mut self, mut member: impl FnMut(Member)) -> Result<usize, Malformed> {
        loop {
            self.space();
            let key = self.string()?;
            let is_escaped = self.is_escaped;
            self.colon()?;
            let value = self.value()?;
            member(Member { key, value, is_escaped });
            if self.comma_or(b'}')? {
                return self.end().map(|()| self.deepest);
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fail<T>(&self) -> Result<T, Malformed> {
        Err(Malformed { at: self.at })
    }

    #[inline]
    fn space(&mut self) {
        // Usually there is no space.
        if self.peek().is_some_and(|byte| byte > b' ') {
            return;
        }
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.fail()
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Malformed> {
        self.space();
        self.eat(b':')?;
        self.space();
        Ok(())
    }

    /// Reads on after a value. Returns `true` at the end of the container, and `false` if another value follows.
    #[inline]
    fn comma_or(&mut self, close: u8) -> Result<bool, Malformed> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => self.fail(),
        }
    }

    fn end(&mut self) -> Result<(), Malformed> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { self.fail() }
    }

    #[inline]
    fn value(&mut self) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        match self.peek() {
            Some(b'{' | b'[') => self.container()?,
            _ => self.scalar()?,
        }
        Ok(start..self.at)
    }

    #[inline]
    fn scalar(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.fail(),
        }
    }

    /// Skips an object or an array without recursion, so that nesting never overflows the stack.
    fn container(&mut self) -> Result<(), Malformed> {
        let mut open = Open::default();
        loop {
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                    } else {
                        open.push(true);
                        self.deepest = self.deepest.max(open.depth);
                        self.string()?;
                        self.colon()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    self.space();
                    if self.peek() == Some(b']') {
                        self.at += 1;
                    } else {
                        open.push(false);
                        self.deepest = self.deepest.max(open.depth);
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            loop {
                let Some(is_object) = open.last() else { return Ok(()) };
                if !self.comma_or(if is_object { b'}' } else { b']' })? {
                    if is_object {
                        self.string()?;
                        self.colon()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    #[inline]
    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        self.fail()
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let length = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += length;
        if length == 0 { self.fail() } else { Ok(()) }
    }

    #[inline]
    fn number(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) { self.fraction() } else { Ok(()) }
    }

    /// Skips the fraction and the exponent of a number.
    #[cold]
    fn fraction(&mut self) -> Result<(), Malformed> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn string(&mut self) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        self.eat(b'"')?;
        self.is_escaped = false;
        loop {
            self.at += plain(&self.bytes[self.at..]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.is_escaped = true;
                    self.escape()?;
                }
                Some(_) | None => return self.fail(),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
            }
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.fail();
                    }
                    self.at += 1;
                }
            }
            _ => return self.fail(),
        }
        Ok(())
    }
}

/// The open containers, each an object or an array. Up to 64 need no heap allocation.
#[derive(Default)]
struct Open {
    depth: usize,
    /// The innermost 64 at most, with the last in the lowest bit.
    innermost: u64,
    outer: Vec<u64>,
}

impl Open {
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.innermost);
        }
        self.innermost = self.innermost << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth -= 1;
        self.innermost >>= 1;
        if self.depth.is_multiple_of(64) {
            self.innermost = self.outer.pop().unwrap_or_default();
        }
    }

    fn last(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.innermost & 1 == 1)
    }
}

/// Counts the bytes before the first one that ends a string, escapes, or is invalid in a string.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Eight bytes at a time: the high bit of a byte is set if the byte is zero, or possibly if a lower byte is.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let special = zeros(word ^ (ONES * u64::from(b'"')))
            | zeros(word ^ (ONES * u64::from(b'\\')))
            | control;
        // Only the lowest set bit is reliable.
        if special != 0 {
            return at * 8 + (special.trailing_zeros() / 8) as usize;
        }
    }
    let done = words.len() * 8;
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let rest = bytes[done..].iter().position(is_special);
    rest.map_or(bytes.len(), |at| done + at)
}

/// Checks whether a text is the same between the quotes of a JSON string.
pub(crate) fn is_plain(text: &str) -> bool {
    plain(text.as_bytes()) == text.len()
}

/// Reads a JSON string, including its quotes. Returns `None` if it has a lone surrogate, which a Rust string cannot
/// hold.
pub(crate) fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

/// Writes a JSON string like `JSON.stringify`.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let (front, rest) = text.split_at(plain(text.as_bytes()));
    out.push_str(front);
    for character in rest.chars() {
        push_char(character, out);
    }
    out.push('"');
}

fn push_char(character: char, out: &mut String) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..='\u{1f}' => push_escape(character as u16, out),
        _ => out.push(character),
    }
}

fn push_escape(unit: u16, out: &mut String) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        out.push(char::from_digit(u32::from(unit >> shift & 0xf), 16).unwrap_or('0'));
    }
}

/// Writes a number like ECMAScript's `Number::toString`, and NaN and infinities as `null`.
pub(crate) fn push_number(number: f64, out: &mut String) {
    if number.is_finite() {
        out.push_str(ryu_js::Buffer::new().format_finite(number));
    } else {
        out.push_str("null");
    }
}

/// Checks whether a JSON value is an integer with only one notation: up to fifteen digits, which every number type of
/// JavaScript and Rust can hold.
pub(crate) fn is_short_integer(value: &str) -> bool {
    match value.as_bytes() {
        b"0" => true,
        [b'1'..=b'9', digits @ ..] => digits.len() < 15 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Returns the array index that a key is: "0" to "4294967294" without leading zeros (ECMA-262 §6.1.7, §10.1.11.1).
/// JavaScript puts these keys first, in numeric order. Returns `None` for any other key.
pub(crate) fn array_index(key: &str) -> Option<u32> {
    let canonical =
        key == "0" || key.bytes().next().is_some_and(|first| matches!(first, b'1'..=b'9'));
    // `parse` refuses other characters than digits, and numbers that are too large.
    if canonical { key.parse().ok().filter(|index| *index != u32::MAX) } else { None }
}

/// Applies `JSON.stringify(JSON.parse(text))` to a text that is known to be JSON.
///
/// Array indices come first, in numeric order. Of equal keys, the last value remains, at the place of the first.
/// Numbers and escapes are written like JavaScript writes them, and white space is removed.
pub(crate) fn normalise(text: &str) -> String {
    ordered(text.trim_matches([' ', '\t', '\n', '\r']), push_normal_scalar)
}

fn push_normal_scalar(value: &str, out: &mut String) {
    match value.as_bytes().first() {
        Some(b'"') => push_normal_string(value, out),
        Some(b'-' | b'0'..=b'9') => push_number(value.parse().unwrap_or(f64::NAN), out),
        _ => out.push_str(value),
    }
}

/// Normalises like [`normalise`], but keeps the digits of integers that JavaScript rounds (beyond 2^53), because Rust
/// distinguishes them.
pub(crate) fn normalise_exactly(text: &str) -> String {
    ordered(text.trim_matches([' ', '\t', '\n', '\r']), |value, out| {
        let is_integer = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        // The largest exact number with this many digits.
        if is_integer && value.trim_start_matches('-').len() > "999999999999999".len() {
            out.push_str(value);
        } else {
            push_normal_scalar(value, out);
        }
    })
}

/// Writes a value with its keys in JavaScript's order. `scalar` writes the values that are not containers.
///
/// Takes O(n log n) steps, and no recursion: neither many keys nor deep nesting costs more.
fn ordered(value: &str, scalar: fn(&str, &mut String)) -> String {
    let mut out = String::with_capacity(value.len());
    if !value.starts_with(['{', '[']) {
        scalar(value, &mut out);
    } else if let Ok((root, children)) = read(value) {
        write(value, root, &children, scalar, &mut out);
    }
    out
}

/// A value in a text.
#[derive(Clone, Copy)]
enum Node {
    /// Its place in the text.
    Scalar(usize, usize),
    /// The place of its children in the list of all.
    Container { is_object: bool, first: usize, end: usize },
}

/// A member or an element, whose key is empty.
struct Child<'a> {
    /// As [`normalise`] writes it, with its quotes.
    key: Cow<'a, str>,
    node: Node,
}

/// Reads a container. Returns it, and the children of all containers in it, each in JavaScript's order.
fn read(text: &str) -> Result<(Node, Vec<Child<'_>>), Malformed> {
    let mut scanner = Scanner::new(text);
    let (mut children, mut pending) = (Vec::new(), Vec::new());
    // The containers that are being read: their keys, and where their children begin among the pending ones.
    let mut open = Vec::new();
    let mut key = Cow::Borrowed("");
    loop {
        let mut node = match scanner.peek() {
            Some(byte @ (b'{' | b'[')) => {
                let is_object = byte == b'{';
                scanner.at += 1;
                scanner.space();
                if scanner.peek() == Some(if is_object { b'}' } else { b']' }) {
                    scanner.at += 1;
                    Node::Container { is_object, first: 0, end: 0 }
                } else {
                    open.push((is_object, pending.len(), std::mem::take(&mut key)));
                    if is_object {
                        key = normal_key(text, &mut scanner)?;
                    }
                    continue;
                }
            }
            _ => {
                let start = scanner.at;
                scanner.scalar()?;
                Node::Scalar(start, scanner.at)
            }
        };
        while let Some((is_object, start, outer)) = open.last_mut() {
            pending.push(Child { key: std::mem::take(&mut key), node });
            let (is_object, start) = (*is_object, *start);
            if !scanner.comma_or(if is_object { b'}' } else { b']' })? {
                if is_object {
                    key = normal_key(text, &mut scanner)?;
                }
                break;
            }
            key = std::mem::take(outer);
            open.pop();
            let first = children.len();
            if is_object {
                push_in_order(&mut pending, start, &mut children);
            } else {
                children.extend(pending.drain(start..));
            }
            node = Node::Container { is_object, first, end: children.len() };
        }
        if open.is_empty() {
            return Ok((node, children));
        }
    }
}

/// Reads a key and the colon after it.
fn normal_key<'a>(text: &'a str, scanner: &mut Scanner<'_>) -> Result<Cow<'a, str>, Malformed> {
    let quoted = &text[scanner.string()?];
    let is_escaped = scanner.is_escaped;
    scanner.colon()?;
    if !is_escaped {
        return Ok(Cow::Borrowed(quoted));
    }
    let mut normal = String::with_capacity(quoted.len());
    push_normal_string(quoted, &mut normal);
    Ok(Cow::Owned(normal))
}

/// Moves the members of an object from the pending children to the others.
fn push_in_order<'a>(pending: &mut Vec<Child<'a>>, start: usize, children: &mut Vec<Child<'a>>) {
    let members = &pending[start..];
    let key = |at: usize| {
        let key: &str = &members[at].key;
        &key[1..key.len() - 1]
    };
    let has_index = members.iter().any(|member| member.key.as_bytes()[1].is_ascii_digit());
    if !has_index && !order::has_repeats(members.len(), key) {
        return children.extend(pending.drain(start..));
    }
    let order = order::in_javascript_order(members.len(), key);
    for (place, value) in order {
        let node = pending[start + value].node;
        children.push(Child { key: std::mem::take(&mut pending[start + place].key), node });
    }
    pending.truncate(start);
}

fn write(
    text: &str,
    root: Node,
    children: &[Child<'_>],
    scalar: fn(&str, &mut String),
    out: &mut String,
) {
    let mut open = Vec::new();
    let mut node = root;
    loop {
        match node {
            Node::Scalar(start, end) => scalar(&text[start..end], out),
            Node::Container { is_object, first, end } => {
                out.push(if is_object { '{' } else { '[' });
                open.push((is_object, &children[first..end]));
            }
        }
        loop {
            let Some((is_object, rest)) = open.last_mut() else { return };
            if let Some((child, others)) = rest.split_first() {
                *rest = others;
                if !out.ends_with(['{', '[']) {
                    out.push(',');
                }
                if *is_object {
                    out.push_str(&child.key);
                    out.push(':');
                }
                node = child.node;
                break;
            }
            out.push(if *is_object { '}' } else { ']' });
            open.pop();
        }
    }
}

/// Writes a string with normalised escapes. Lone surrogates stay escaped, as `JSON.stringify` writes them (ECMA-262
/// §25.5.2.3).
pub(super) fn push_normal_string(quoted: &str, out: &mut String) {
    if !quoted.contains('\\') {
        return out.push_str(quoted);
    }
    let mut rest = &quoted[1..quoted.len() - 1];
    let mut high: Option<u16> = None;
    out.push('"');
    while let Some(at) = rest.find('\\') {
        if at > 0
            && let Some(unit) = high.take()
        {
            push_escape(unit, out);
        }
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes()[at + 1];
        let unit = match escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => u16::from_str_radix(&rest[at + 2..at + 6], 16).unwrap_or(0xfffd),
            other => u16::from(other),
        };
        rest = &rest[at + if escape == b'u' { 6 } else { 2 }..];
        push_unit(unit, &mut high, out);
    }
    if let Some(unit) = high.take() {
        push_escape(unit, out);
    }
    out.push_str(rest);
    out.push('"');
}

/// Appends one UTF-16 unit. The first half of a pair is held back until the second is known.
fn push_unit(unit: u16, high: &mut Option<u16>, out: &mut String) {
    if let Some(first) = high.take() {
        if let Some(Ok(character)) = char::decode_utf16([first, unit]).next() {
            return out.push(character);
        }
        push_escape(first, out);
    }
    match unit {
        0xd800..=0xdbff => *high = Some(unit),
        0xdc00..=0xdfff => push_escape(unit, out),
        _ => push_char(char::from_u32(u32::from(unit)).unwrap_or('\u{fffd}'), out),
    }
}

/// Serialises a value like `JSON.stringify`: with its numbers, escapes and order of keys.
///
/// Integers are printed with all digits, even if JavaScript cannot hold them (beyond 2^53).
pub(crate) fn stringify<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(32);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, JavaScript))?;
    let text = String::from_utf8(bytes).map_err(serde::ser::Error::custom)?;
    // A quote before a digit begins either a key that may be an index, or a string value.
    let may_have_index = text.starts_with(['{', '['])
        && text.as_bytes().windows(2).any(|pair| pair[0] == b'"' && pair[1].is_ascii_digit());
    // Scalars are correct already, and an integer beyond 2^53 keeps its digits.
    Ok(if may_have_index { ordered(&text, |scalar, out| out.push_str(scalar)) } else { text })
}

/// Prints numbers like JavaScript. The escapes of serde_json already match `JSON.stringify`.
struct JavaScript;

impl serde_json::ser::Formatter for JavaScript {
    fn write_f64<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        value: f64,
    ) -> std::io::Result<()> {
        writer.write_all(ryu_js::Buffer::new().format(value).as_bytes())
    }

    fn write_f32<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        value: f32,
    ) -> std::io::Result<()> {
        writer.write_all(ryu_js::Buffer::new().format(value).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn short_integers_have_one_form() {
        for one in ["0", "7", "10", "999999999999999"] {
            assert!(is_short_integer(one), "{one}");
        }
        for other in ["", "00", "07", "-1", "1.0", "1e3", "1000000000000000", "null"] {
            assert!(!is_short_integer(other), "{other}");
        }
    }

    #[test]
    fn strings_of_any_length_end_at_their_quote() {
        for special in ['"', '\\', '\u{1f}', '\0'] {
            for before in ["", "é", "\u{7f}", "\u{80}ÿ €", "!#[]~", "\u{10ffff}"] {
                for length in 0..40 {
                    let text = "x".repeat(length) + before;
                    let whole = format!("{text}{special}{text}\"");
                    assert_eq!(plain(whole.as_bytes()), text.len(), "{whole:?}");
                    assert_eq!(plain(text.as_bytes()), text.len(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn containers_are_closed_in_order_at_any_depth() {
        for depth in [1, 2, 63, 64, 65, 127, 128, 129, 1000] {
            for mixed in [0, 1, 2, 3, 5] {
                let is_object = |at: usize| mixed > 0 && at.is_multiple_of(mixed);
                let open: String =
                    (0..depth).map(|at| if is_object(at) { "{\"a\":" } else { "[" }).collect();
                let close: String =
                    (0..depth).rev().map(|at| if is_object(at) { '}' } else { ']' }).collect();
                assert_eq!(check(&format!("{open}1{close}")), Ok(()), "{depth} {mixed}");
                let wrong = close.replace(']', "\0").replace('}', "]").replace('\0', "}");
                assert!(check(&format!("{open}1{wrong}")).is_err(), "{depth} {mixed}");
                assert!(check(&format!("{open}1{}", &close[1..])).is_err(), "{depth} {mixed}");
                assert!(check(&format!("{open}1{close}]")).is_err(), "{depth} {mixed}");
            }
        }
    }

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_normalised_as_in_javascript() {
        // The right sides come from Node 20: JSON.stringify(JSON.parse(left)).
        for (text, normal) in [
            (r#" { "b" : 1.0 , "a" : [ ] } "#, r#"{"b":1,"a":[]}"#),
            (r#"{"b":1,"7":2,"10":3,"07":4,"a":5}"#, r#"{"7":2,"10":3,"b":1,"07":4,"a":5}"#),
            (r#"{"4294967295":1,"4294967294":2}"#, r#"{"4294967294":2,"4294967295":1}"#),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"[1e21,1E-7,-0,0.1,100,1e400,-1e400]"#, "[1e+21,1e-7,0,0.1,100,null,null]"),
            (r#"[12345678901234567890, 5e-324]"#, "[12345678901234567000,5e-324]"),
            (
                r#""\u00e9\/\u0001\b\f\n\r\t\"\\\u2028\u007f""#,
                "\"é/\\u0001\\b\\f\\n\\r\\t\\\"\\\\\u{2028}\u{7f}\"",
            ),
            (
                r#""\uD83D\ude00 \ud83d \ude00 \ud83dx\ud83d""#,
                r#""😀 \ud83d \ude00 \ud83dx\ud83d""#,
            ),
            (r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#),
            ("[[[]],{},null,true,false]", "[[[]],{},null,true,false]"),
        ] {
            assert_eq!(normalise(text), normal, "{text}");
        }
    }

    #[test]
    fn values_are_printed_as_in_javascript() {
        use std::collections::BTreeMap;
        assert_eq!(stringify(&1.0).unwrap(), "1");
        assert_eq!(stringify(&-0.0).unwrap(), "0");
        assert_eq!(stringify(&1e21).unwrap(), "1e+21");
        assert_eq!(stringify(&0.1_f32).unwrap(), "0.1");
        assert_eq!(stringify(&f64::NAN).unwrap(), "null");
        assert_eq!(stringify(&u64::MAX).unwrap(), "18446744073709551615");
        assert_eq!(stringify(&None::<u8>).unwrap(), "null");
        assert_eq!(stringify("é\u{1}\u{2028}/").unwrap(), "\"é\\u0001\u{2028}/\"");
        let map = BTreeMap::from([("10", 1.5), ("9", 2.0), ("a", f64::INFINITY)]);
        assert_eq!(stringify(&map).unwrap(), r#"{"9":2,"10":1.5,"a":null}"#);
        let unordered = BTreeMap::from([("!", true), ("9", true)]);
        assert_eq!(stringify(&unordered).unwrap(), r#"{"9":true,"!":true}"#);
        assert_eq!(stringify(&[("1", &map)]).unwrap(), r#"[["1",{"9":2,"10":1.5,"a":null}]]"#);
    }

    #[test]
    fn any_depth_is_read_without_recursion() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check(&nested(200_000)).is_ok());
        assert_eq!(normalise(&nested(200_000)), nested(200_000));
        let objects =
            format!("{}1{}", r#"{"b":0,"1":0,"a": "#.repeat(100_000), "}".repeat(100_000));
        let normal = format!("{}1{}", r#"{"1":0,"b":0,"a":"#.repeat(100_000), "}".repeat(100_000));
        assert_eq!(normalise(&objects), normal);
    }

    #[test]
    fn depth_counts_the_containers_around_the_innermost_value() {
        for (value, expected) in [
            ("1", 0),
            ("\"[[\"", 0),
            ("[]", 0),
            ("[1]", 1),
            ("{\"a\":[1,{\"b\":2}]}", 3),
            ("[[],[]]", 1),
        ] {
            assert_eq!(depth(value), expected, "{value}");
        }
        assert_eq!(members(r#"{"a":{"b":[1]},"c":[1]}"#, drop), Ok(2));
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[,1]",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "+1",
            "\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "tru",
            "nulll",
            "[1] 2",
            "{a:1}",
            "'a'",
            "NaN",
            "\u{feff}1",
            "[1}",
            "{\"a\":1]",
        ] {
            assert!(check(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn array_indices_are_the_canonical_ones() {
        for (key, index) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("4294967294", Some(4_294_967_294)),
            ("4294967295", None),
            ("42949672940", None),
            ("00", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("+1", None),
        ] {
            assert_eq!(array_index(key), index, "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn texts_are_accepted_exactly_if_serde_json_accepts_them(text in r#"[\[\]{}",:0-9eE.\\u+\-tfn a-f]{0,24}"#) {
            // serde_json refuses numbers beyond f64 and lone surrogates, which JavaScript reads.
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match check(&text) {
                Ok(()) => prop_assert!(theirs.is_ok() || text.contains('e') || text.contains('E') || text.contains("\\u")),
                Err(_) => prop_assert!(theirs.is_err()),
            }
        }

        #[test]
        fn normal_text_stays_as_it_is(value in value()) {
            let text = normalise(&value.to_string());
            prop_assert!(check(&text).is_ok());
            prop_assert_eq!(normalise(&text), text);
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<i32>().prop_map(Into::into),
            ".{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::vec(("[a-c0-9\\\\]{0,3}", inner), 0..5)
                    .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
            ]
        })
    }
}
