//! A JSON value that keeps what JavaScript makes visible: the order of members, and how numbers print.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that a handler stores in a session and reads from it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// A whole number, as Rust programs write most of theirs.
    Int(i64),
    /// Any other number, and also a whole one that a program keeps as a float.
    Float(f64),
    Text(String),
    List(Vec<Self>),
    /// An object, its members in the order they were written in
    Object(Vec<(String, Self)>),
}

impl Value {
    /// Prints as `JSON.stringify` does: integer-like members first, numbers as ECMAScript has them.
    ///
    /// The judge has a printer of its own, which does not share the library's bugs.
    pub fn js(&self) -> String {
        let mut out = String::new();
        self.push_js(&mut out);
        out
    }

    fn push_js(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Self::Int(int) => push_number(*int as f64, out),
            Self::Float(float) => push_number(*float, out),
            Self::Text(text) => push_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    item.push_js(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (key, value)) in in_js_order(members).into_iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { "," });
                    push_text(key, out);
                    out.push(':');
                    value.push_js(out);
                }
                out.push('}');
            }
        }
    }
}

/// Prints a list of strings as `JSON.stringify` does.
pub fn js_texts(texts: &[String]) -> String {
    Value::List(texts.iter().cloned().map(Value::Text).collect()).js()
}

fn in_js_order(members: &[(String, Value)]) -> Vec<&(String, Value)> {
    let mut ordered: Vec<_> = members.iter().collect();
    // The sort is stable: the other keys keep their order behind the indices.
    ordered.sort_by_key(|(key, _)| array_index(key).map_or((1, 0), |index| (0, index)));
    ordered
}

/// Reads an array index as ECMA-262 has it: canonical, and below 2³² − 1.
fn array_index(key: &str) -> Option<u32> {
    let index: u32 = key.parse().ok()?;
    (index != u32::MAX && index.to_string() == key).then_some(index)
}

fn push_number(number: f64, out: &mut String) {
    out.push_str(ryu_js::Buffer::new().format(number));
}

/// Escapes what JavaScript escapes, as serde_json does.
fn push_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Int(int) => serializer.serialize_i64(*int),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => {
                serializer.collect_map(members.iter().map(|(key, value)| (key, value)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Value, E> {
        Ok(Value::Int(int))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Value, E> {
        Ok(i64::try_from(int).map_or(Value::Float(int as f64), Value::Int))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Value, E> {
        Ok(Value::Float(float))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<(String, Value)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            // Of a repeated member, the last value counts and the first place, as in `JSON.parse`.
            match members.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                None => members.push((key, value)),
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_json_stringify_prints_them() {
        // Printed by Node 20: JSON.stringify(JSON.parse(text)).
        for (text, js) in [
            (r#"{"b":1,"10":2,"9":3,"007":4,"-1":5}"#, r#"{"9":3,"10":2,"b":1,"007":4,"-1":5}"#),
            (r#"{"4294967295":1,"4294967294":2}"#, r#"{"4294967294":2,"4294967295":1}"#),
            (r"[1.0,1e21,1e-7,-0.0,0.1,5e-324]", "[1,1e+21,1e-7,0,0.1,5e-324]"),
            ("[9007199254740991]", "[9007199254740991]"),
            ("\"\\u0001\\u2028\\b\\/\\u007f\u{1f600}\"", "\"\\u0001\u{2028}\\b/\u{7f}\u{1f600}\""),
        ] {
            assert_eq!(serde_json::from_str::<Value>(text).unwrap().js(), js);
        }
    }
}
