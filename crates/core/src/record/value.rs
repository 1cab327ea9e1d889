//! A serialised value of a session.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::json;

/// A value as JSON text, in the notation of `JSON.stringify`.
///
/// ```
/// use express_session_core::record::Json;
///
/// let json = Json::of("secret")?;
/// assert_eq!(json.as_str(), r#""secret""#);
/// assert_eq!(format!("{json:?}"), "Json(redacted)");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// Serialises a value.
    ///
    /// # Errors
    ///
    /// serde_json's error if the value cannot be JSON: a map with keys that are not strings, for example.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        json::stringify(value).map(Self)
    }

    /// Takes a text in the notation of `JSON.stringify`; `None` for one that is no JSON.
    ///
    /// ```
    /// use express_session_core::record::Json;
    ///
    /// assert_eq!(Json::parse(r#"{"id":7}"#).unwrap().as_str(), r#"{"id":7}"#);
    /// assert_eq!(Json::parse("{"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        json::check(text).ok()?;
        Some(Self::from_text(text))
    }

    /// Takes a text that is JSON.
    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the members of an object, or `None` for any other value.
    #[must_use]
    pub fn members(&self) -> Option<Vec<(String, Self)>> {
        let mut members = Vec::new();
        json::members(&self.0, |json::Member { key, value, .. }| {
            // serde only serialises Unicode text.
            let key = json::unquote(&self.0[key]).map(Cow::into_owned).unwrap_or_default();
            members.push((key, Self(self.0[value].to_owned())));
        })
        .ok()?;
        Some(members)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Json(redacted)")
    }
}
