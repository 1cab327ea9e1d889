//! A serialised value of a session.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::json;

/// A value in JSON, written as `JSON.stringify` would write it.
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
    /// serde_json's, where the value is no JSON: a map whose keys are no texts, say.
    ///
    /// ```
    /// use express_session_core::record::Json;
    ///
    /// assert_eq!(Json::of(&[1.0, 1e21])?.as_str(), "[1,1e+21]");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        json::stringify(value).map(Self)
    }

    /// Gives the text.
    ///
    /// ```
    /// use express_session_core::record::Json;
    ///
    /// assert_eq!(Json::of(&Some(1.0))?.as_str(), "1");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes an object apart, or gives `None` for what is none.
    ///
    /// ```
    /// use express_session_core::record::Json;
    ///
    /// let pair = Json::of(&std::collections::BTreeMap::from([("a", 1), ("b", 2)]))?;
    /// let members = pair.members().ok_or("no object")?;
    /// assert_eq!(members[1].0, "b");
    /// assert_eq!(members[1].1.as_str(), "2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn members(&self) -> Option<Vec<(String, Self)>> {
        let mut members = Vec::new();
        json::members(&self.0, |json::Member { key, value, .. }| {
            // What serde serialises is Unicode text.
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
