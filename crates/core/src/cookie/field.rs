//! The JavaScript values in the fields of a stored cookie.

use std::borrow::Cow;

use crate::Timestamp;
use crate::record::json;

/// A JavaScript value in a field of a cookie.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Field {
    /// The field is missing, and is not written.
    #[default]
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'static, str>),
    /// A `Date`, with `None` for an invalid one.
    Date(Option<Timestamp>),
    /// An object, an array, or a text with a lone surrogate, as JSON.
    Json(Box<str>),
}

impl Field {
    pub(super) fn parse(value: &str) -> Self {
        match value.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'-' | b'0'..=b'9') => Self::Number(value.parse().unwrap_or(f64::NAN)),
            Some(b'"') => json::unquote(value).map_or_else(
                || Self::Json(json::normalise(value).into()),
                |text| {
                    Self::Text(known(&text).map_or_else(|| text.into_owned().into(), Cow::Borrowed))
                },
            ),
            _ => Self::Json(json::normalise(value).into()),
        }
    }

    /// Checks whether JavaScript treats the value as true.
    pub(super) fn is_truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Date(_) | Self::Json(_) => true,
        }
    }

    pub(super) fn is_nullish(&self) -> bool {
        matches!(self, Self::Undefined | Self::Null)
    }

    /// Appends `"name":value`, or nothing for a value that `JSON.stringify` omits.
    pub(super) fn push_member(&self, name: &str, out: &mut String) {
        if *self == Self::Undefined {
            return;
        }
        if out.len() > 1 {
            out.push(',');
        }
        out.push('"');
        out.push_str(name);
        out.push_str("\":");
        self.push(out);
    }

    pub(super) fn push(&self, out: &mut String) {
        match self {
            Self::Undefined | Self::Null | Self::Date(None) => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => json::push_number(*number, out),
            Self::Text(text) => json::quote(text, out),
            Self::Date(Some(date)) => {
                out.push('"');
                date.push_iso(out);
                out.push('"');
            }
            Self::Json(text) => out.push_str(text),
        }
    }
}

/// Returns the static copy of a text that almost every cookie contains.
pub(super) fn known(text: &str) -> Option<&'static str> {
    const KNOWN: [&str; 8] = ["/", "lax", "strict", "none", "low", "medium", "high", ""];
    KNOWN.into_iter().find(|known| *known == text)
}
