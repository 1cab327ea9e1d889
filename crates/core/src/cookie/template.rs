//! The cookie that most sessions of a layer share, read and written without parsing.

use std::borrow::Cow;
use std::sync::Arc;

use super::field::Field;
use super::options::Cookie;
use super::stored::{Settings, StoredCookie};
use crate::Timestamp;
use crate::record::json;

/// The settings that most cookies of a service share, and their JSON. A cookie that matches is read and written without
/// parsing and serialising its settings.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let cookie = StoredCookie::new(&Cookie::new(), now, false, true);
/// let template = CookieTemplate::new(&cookie);
/// assert_eq!(template.text(&cookie), cookie.text());
/// // Any other cookie is written as well, but more slowly.
/// let other = StoredCookie::parse(r#"{"path":"/admin"}"#, now)?;
/// assert_eq!(template.text(&other), other.text());
/// # Ok::<(), express_session_core::Corrupt>(())
/// ```
#[derive(Clone, Debug)]
pub struct CookieTemplate {
    pub(super) settings: Arc<Settings>,
    /// The JSON before and after the expiry.
    front: Box<str>,
    back: Box<str>,
    /// The complete JSON of a cookie without an expiry.
    timeless: Box<str>,
}

impl CookieTemplate {
    /// Creates a template from the settings of a cookie.
    #[must_use]
    pub fn new(cookie: &StoredCookie) -> Self {
        // The members follow other text, so that each begins with a comma.
        let mut front = String::from("__");
        cookie.settings.push_front(&mut front);
        front.push_str(",\"expires\":");
        let mut back = String::from("__");
        cookie.settings.push_back(&mut back);
        back.push('}');
        let (front, back) = (&front[2..], &back[2..]);
        Self {
            settings: Arc::clone(&cookie.settings),
            front: front.into(),
            back: back.into(),
            timeless: [MAX_AGE, "null", front, "null", back].concat().into(),
        }
    }

    /// Reads the cookie at the start of a text if it matches. Returns the cookie and its length.
    pub(crate) fn match_prefix(&self, text: &str) -> Option<(StoredCookie, usize)> {
        let Times { max_age, expires, end, .. } = self.times(text)?;
        let original_max_age = match max_age {
            "null" => Field::Null,
            number => Field::Number(number.parse().ok()?),
        };
        let expires = match expires.strip_prefix('"').and_then(|date| date.strip_suffix('"')) {
            None => Field::Null,
            Some(date) => Field::Date(Timestamp::parse(date)),
        };
        let settings = Arc::clone(&self.settings);
        Some((StoredCookie { original_max_age, expires, settings }, end))
    }

    /// Finds the times of the cookie at the start of a text if it matches.
    pub(crate) fn times<'a>(&self, text: &'a str) -> Option<Times<'a>> {
        if text.starts_with(&*self.timeless) {
            let end = self.timeless.len();
            return Some(Times { max_age: "null", expires: "null", end });
        }
        let rest = text.strip_prefix(MAX_AGE)?;
        let (max_age, rest) = rest.split_at(rest.find(',')?);
        if max_age != "null" && !json::is_short_integer(max_age) {
            return None;
        }
        let rest = rest.strip_prefix(&*self.front)?;
        let length = match rest.strip_prefix('"') {
            None => rest.starts_with("null").then_some("null".len())?,
            Some(date) => {
                let is_special = |byte: u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
                let end = date.bytes().position(is_special)?;
                date[end..].starts_with('"').then_some(end + 2)?
            }
        };
        let (expires, rest) = rest.split_at(length);
        let rest = rest.strip_prefix(&*self.back)?;
        Some(Times { max_age, expires, end: text.len() - rest.len() })
    }

    /// Creates the cookie of a new session, like [`StoredCookie::new`] with the options that the template was created
    /// from.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
    ///
    /// let options = Cookie::new().max_age(Duration::from_secs(60));
    /// let new = |now| StoredCookie::new(&options, now, false, true);
    /// let template = CookieTemplate::new(&new(Timestamp::from_millis(0)));
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// assert_eq!(template.cookie(&options, now), new(now));
    /// ```
    #[must_use]
    pub fn cookie(&self, options: &Cookie, now: Timestamp) -> StoredCookie {
        let mut cookie = StoredCookie {
            original_max_age: Field::Null,
            expires: Field::Null,
            settings: Arc::clone(&self.settings),
        };
        cookie.start(options, now);
        cookie
    }

    /// Checks whether a cookie has the template's settings and a valid expiry. It can be printed then if the template's
    /// cookie can.
    #[must_use]
    pub fn is_printable(&self, cookie: &StoredCookie) -> bool {
        Arc::ptr_eq(&self.settings, &cookie.settings)
            && matches!(cookie.expires, Field::Null | Field::Date(Some(_)))
    }

    /// Returns the JSON like [`StoredCookie::text`], without a copy if the cookie has no expiry.
    #[must_use]
    pub fn text(&self, cookie: &StoredCookie) -> Cow<'_, str> {
        self.compose(cookie).unwrap_or_else(|| Cow::Owned(cookie.text()))
    }

    pub(super) fn compose(&self, cookie: &StoredCookie) -> Option<Cow<'_, str>> {
        if !Arc::ptr_eq(&self.settings, &cookie.settings) {
            return None;
        }
        match (&cookie.original_max_age, &cookie.expires) {
            (Field::Undefined, _) | (_, Field::Undefined) => return None,
            (Field::Null, Field::Null) => return Some(Cow::Borrowed(&self.timeless)),
            _ => {}
        }
        let mut out = String::with_capacity(128);
        out.push_str(MAX_AGE);
        cookie.original_max_age.push(&mut out);
        out.push_str(&self.front);
        cookie.expires.push(&mut out);
        out.push_str(&self.back);
        Some(Cow::Owned(out))
    }
}

/// The start of almost every cookie.
const MAX_AGE: &str = "{\"originalMaxAge\":";

/// The times of a cookie in its text, and the end of the cookie.
pub(crate) struct Times<'a> {
    pub(crate) max_age: &'a str,
    pub(crate) expires: &'a str,
    pub(crate) end: usize,
}
