//! JSON as JavaScript reads it, parsed by serde_json into a tree, to compare with the engine's spans of text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_bytes::ByteBuf;
use serde_json::value::RawValue;

/// The depth at which values are no longer compared, because this reader is recursive.
const MAX_DEPTH: usize = 100;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Js {
    /// A finite number, or NaN or an infinity.
    Null,
    Bool(bool),
    Number(f64),
    /// The digits of an integer that a JavaScript number cannot hold.
    Big(String),
    /// UTF-8, with three bytes for each lone surrogate.
    Text(Vec<u8>),
    List(Vec<Self>),
    Object(Vec<(Vec<u8>, Self)>),
}

/// Which integers are distinct.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Integers {
    /// Integers that are different numbers in JavaScript.
    AsNumbers,
    /// All integers, because a Rust service may store 64 bits.
    Exact,
}

impl Js {
    /// Reads a JSON value. Returns `None` for any other text, and for a very deep value.
    pub(crate) fn read(text: &str, integers: Integers) -> Option<Self> {
        Self::of(serde_json::from_str(text).ok()?, integers, 0)
    }

    fn of(raw: &RawValue, integers: Integers, depth: usize) -> Option<Self> {
        let text = raw.get();
        if depth > MAX_DEPTH {
            return None;
        }
        let inner = |raw| Self::of(raw, integers, depth + 1);
        Some(match text.as_bytes().first()? {
            b'n' => Self::Null,
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            b'"' => Self::Text(serde_json::from_str::<ByteBuf>(text).ok()?.into_vec()),
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                Self::List(items.into_iter().map(inner).collect::<Option<_>>()?)
            }
            b'{' => {
                let members = in_order(members(text)?);
                let members = members.into_iter().map(|(key, raw)| Some((key, inner(raw)?)));
                Self::Object(members.collect::<Option<_>>()?)
            }
            _ => Self::number(text, integers),
        })
    }

    fn number(text: &str, integers: Integers) -> Self {
        const SAFE: f64 = 9_007_199_254_740_992.0;
        let number: f64 = text.parse().unwrap_or(f64::NAN);
        if !number.is_finite() {
            return Self::Null;
        }
        if integers == Integers::Exact && (SAFE..1e21).contains(&number.abs()) {
            let is_integer = !text.contains(['.', 'e', 'E']);
            return Self::Big(if is_integer { text.to_owned() } else { digits(number) });
        }
        // JSON.stringify(-0) is 0.
        Self::Number(if number == 0.0 { 0.0 } else { number })
    }
}

/// Writes a large number like JavaScript: its significant digits, and zeros.
fn digits(number: f64) -> String {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let digits = mantissa.replace('.', "");
    let length = exponent.parse::<usize>().expect("it is large") + 1;
    let sign = usize::from(number < 0.0);
    format!("{digits:0<width$}", width = length + sign)
}

/// Returns the members of an object in the order of the text.
pub(crate) fn members(text: &str) -> Option<Vec<(Vec<u8>, &RawValue)>> {
    // Keys are read as bytes, in which serde_json does not check for control characters.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    serde_json::from_str::<Members<'_>>(text).ok().map(|members| members.0)
}

/// Sorts members into the order of a JavaScript object: array indices first. Equal keys become one member, at the place
/// of the first and with the value of the last.
pub(crate) fn in_order<T>(members: Vec<(Vec<u8>, T)>) -> Vec<(Vec<u8>, T)> {
    let mut object: Vec<(Vec<u8>, T)> = Vec::new();
    for (key, value) in members {
        match object.iter_mut().find(|(known, _)| *known == key) {
            Some(member) => member.1 = value,
            None => object.push((key, value)),
        }
    }
    object.sort_by_key(|(key, _)| index(key).map_or((true, 0), |index| (false, index)));
    object
}

/// Returns the number of an array index.
pub(crate) fn index(key: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(key).ok()?;
    let index: u32 = text.parse().ok().filter(|index| *index < u32::MAX)?;
    (index.to_string() == text).then_some(index)
}

struct Members<'a>(Vec<(Vec<u8>, &'a RawValue)>);

impl<'a> Deserialize<'a> for Members<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'a> Visitor<'a> for All {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                // A key may contain lone surrogates.
                while let Some((key, value)) = map.next_entry::<ByteBuf, &RawValue>()? {
                    members.push((key.into_vec(), value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(All)
    }
}
