//! The `cookie` member of a record: what express-session's `Cookie` object holds and does.
//!
//! Its fields are JavaScript values, because records are: a Node service may have stored `null`,
//! `false`, `true`, a number or a text in any of them, and what it stored comes back unchanged (items
//! 62, 64 and 67).

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a field is asked for one kind of value; all the others are alike in not being it"
)]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::options::{Cookie, Lifetime, Priority, SameSite, Secure};
use crate::Timestamp;
use crate::record::Corrupt;
use crate::record::json;

/// A JavaScript value, as far as a cookie's field can hold one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Field {
    /// Not there; not written.
    #[default]
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'static, str>),
    /// A `Date`, or `None` for an invalid one.
    Date(Option<Timestamp>),
    /// An object, an array, or a text that is no Unicode, as JSON.
    Json(Box<str>),
}

impl Field {
    fn parse(value: &str) -> Self {
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

    /// JavaScript's idea of true.
    pub(super) fn is_truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Date(_) | Self::Json(_) => true,
        }
    }

    fn is_nullish(&self) -> bool {
        matches!(self, Self::Undefined | Self::Null)
    }

    /// Adds `"name":value`, or nothing for what `JSON.stringify` leaves out.
    fn push_member(&self, name: &str, out: &mut String) {
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

    fn push(&self, out: &mut String) {
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

/// The texts nearly every cookie is made of need no copy.
fn known(text: &str) -> Option<&'static str> {
    const KNOWN: [&str; 8] = ["/", "lax", "strict", "none", "low", "medium", "high", ""];
    KNOWN.into_iter().find(|known| *known == text)
}

/// A session's own cookie: its attributes and its time, as stored in the record.
///
/// ```
/// use std::time::Duration;
/// use express_session_core::Timestamp;
/// use express_session_core::cookie::{Cookie, StoredCookie};
///
/// let now = Timestamp::from_millis(1_700_000_000_123);
/// let options = Cookie::new().max_age(Duration::from_secs(60));
/// let cookie = StoredCookie::new(&options, now, false, true);
/// assert_eq!(
///     cookie.text(),
///     r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:14:20.123Z","httpOnly":true,"path":"/"}"#,
/// );
/// assert_eq!(cookie.max_age(now), Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCookie {
    pub(super) original_max_age: Field,
    pub(super) expires: Field,
    /// The rest, which hardly ever changes: most cookies of a service share it.
    pub(super) settings: Arc<Settings>,
}

/// What a cookie is but for its time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) partitioned: Field,
    pub(super) priority: Field,
    pub(super) secure: Field,
    pub(super) http_only: Field,
    pub(super) domain: Field,
    pub(super) path: Field,
    pub(super) same_site: Field,
}

/// The settings that most cookies of a service have, and how they stand in a record: a cookie that has them is
/// read at a glance.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let cookie = StoredCookie::new(&Cookie::new(), now, false, true);
/// let usual = CookieTemplate::new(&cookie);
/// // `Document::parse_as` reads a record with it.
/// assert_eq!(usual.text(&cookie), cookie.text());
/// // Any other is written as well, and takes longer.
/// let other = StoredCookie::parse(r#"{"path":"/admin"}"#, now)?;
/// assert_eq!(usual.text(&other), other.text());
/// # Ok::<(), express_session_core::Corrupt>(())
/// ```
#[derive(Clone, Debug)]
pub struct CookieTemplate {
    settings: Arc<Settings>,
    /// What stands before and behind the expiry.
    front: Box<str>,
    back: Box<str>,
    /// The whole of a cookie that has no time.
    timeless: Box<str>,
}

impl CookieTemplate {
    /// Takes the settings of a cookie.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(0);
    /// let cookie = StoredCookie::new(&Cookie::new().path("/shop"), now, false, true);
    /// assert_eq!(CookieTemplate::new(&cookie).text(&cookie), cookie.text());
    /// ```
    #[must_use]
    pub fn new(cookie: &StoredCookie) -> Self {
        // Whatever is pushed comes behind something else.
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

    /// Reads the familiar cookie that a text begins with, and says where it ends.
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

    /// Reads the times of a familiar cookie that a text begins with.
    pub(crate) fn times<'a>(&self, text: &'a str) -> Option<Times<'a>> {
        if text.starts_with(&*self.timeless) {
            let end = self.timeless.len();
            let expires_at = end - self.back.len() - "null".len();
            return Some(Times { max_age: "null", expires: "null", expires_at, end });
        }
        let rest = text.strip_prefix(MAX_AGE)?;
        let (max_age, rest) = rest.split_at(rest.find(',')?);
        if max_age != "null" && !json::is_short_integer(max_age) {
            return None;
        }
        let rest = rest.strip_prefix(&*self.front)?;
        let expires_at = text.len() - rest.len();
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
        Some(Times { max_age, expires, expires_at, end: text.len() - rest.len() })
    }

    /// Makes the cookie of a new session: what [`StoredCookie::new`] makes of the options that the settings are
    /// from.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
    ///
    /// let options = Cookie::new().max_age(Duration::from_secs(60));
    /// let new = |now| StoredCookie::new(&options, now, false, true);
    /// let usual = CookieTemplate::new(&new(Timestamp::from_millis(0)));
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// assert_eq!(usual.cookie(&options, now), new(now));
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

    /// Says whether a cookie can be printed, if one with these settings can: whether it has them, and a time that is
    /// one.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(0);
    /// let cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// assert!(CookieTemplate::new(&cookie).is_printable(&cookie));
    /// ```
    #[must_use]
    pub fn is_printable(&self, cookie: &StoredCookie) -> bool {
        Arc::ptr_eq(&self.settings, &cookie.settings)
            && matches!(cookie.expires, Field::Null | Field::Date(Some(_)))
    }

    /// Does what [`StoredCookie::text`] does, and copies nothing where the cookie has no time.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(0);
    /// let cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// assert_eq!(CookieTemplate::new(&cookie).text(&cookie), cookie.text());
    /// ```
    #[must_use]
    pub fn text(&self, cookie: &StoredCookie) -> Cow<'_, str> {
        self.compose(cookie).unwrap_or_else(|| Cow::Owned(cookie.text()))
    }

    fn compose(&self, cookie: &StoredCookie) -> Option<Cow<'_, str>> {
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

/// How a cookie begins, and with it most records.
const MAX_AGE: &str = "{\"originalMaxAge\":";

/// The times of a cookie as they stand in its text, where the expiry stands, and where the cookie ends.
pub(crate) struct Times<'a> {
    pub(crate) max_age: &'a str,
    pub(crate) expires: &'a str,
    pub(crate) expires_at: usize,
    pub(crate) end: usize,
}

impl Settings {
    /// Writes what stands between the max age and the expiry.
    fn push_front(&self, out: &mut String) {
        self.partitioned.push_member("partitioned", out);
        self.priority.push_member("priority", out);
    }

    /// Writes what stands behind the expiry.
    fn push_back(&self, out: &mut String) {
        for (name, field) in [
            ("secure", &self.secure),
            ("httpOnly", &self.http_only),
            ("domain", &self.domain),
            ("path", &self.path),
            ("sameSite", &self.same_site),
        ] {
            field.push_member(name, out);
        }
    }
}

impl StoredCookie {
    /// Makes the cookie of a new session. `secure` says whether the connection is, for the settings that
    /// are `auto`; with `resolve` false these stay the text `auto`, as express-session leaves them
    /// when its cookie option is a function (item 24).
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, Secure, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let options = Cookie::new().secure(Secure::Auto);
    /// let cookie = StoredCookie::new(&options, now, true, true);
    /// assert!(cookie.secure());
    /// let unresolved = StoredCookie::new(&options, now, false, false);
    /// assert!(unresolved.text().contains(r#""secure":"auto""#));
    /// ```
    #[must_use]
    pub fn new(options: &Cookie, now: Timestamp, secure: bool, resolve: bool) -> Self {
        let text = |text: &Option<String>| match text {
            Some(text) => Field::Text(text.clone().into()),
            None => Field::Undefined,
        };
        let flag = |flag: Option<bool>| flag.map_or(Field::Undefined, Field::Bool);
        let settings = Settings {
            partitioned: flag(options.partitioned),
            priority: match options.priority {
                None => Field::Undefined,
                Some(priority) => Field::Text(priority_text(priority).into()),
            },
            secure: match options.secure {
                None => Field::Undefined,
                Some(Secure::Always) => Field::Bool(true),
                Some(Secure::Never) => Field::Bool(false),
                Some(Secure::Auto) if resolve => Field::Bool(secure),
                Some(Secure::Auto) => Field::Text("auto".into()),
            },
            http_only: Field::Bool(options.http_only.unwrap_or(true)),
            domain: text(&options.domain),
            path: options.path.as_ref().map_or(Field::Text("/".into()), |path| {
                Field::Text(known(path).map_or_else(|| path.clone().into(), Cow::Borrowed))
            }),
            same_site: match options.same_site {
                None => Field::Undefined,
                Some(SameSite::Auto) if !resolve => Field::Text("auto".into()),
                Some(SameSite::Auto) if secure => same_site_field(SameSite::None),
                Some(SameSite::Auto) => same_site_field(SameSite::Lax),
                Some(same_site) => same_site_field(same_site),
            },
        };
        let mut cookie = Self {
            original_max_age: Field::Null,
            expires: Field::Null,
            settings: Arc::new(settings),
        };
        cookie.start(options, now);
        cookie
    }

    fn start(&mut self, options: &Cookie, now: Timestamp) {
        match options.lifetime {
            None => {}
            Some(Lifetime::MaxAge(max_age)) => self.set_max_age(Some(max_age), now),
            Some(Lifetime::Expires(expires)) => self.set_expires(Some(expires), now),
        }
    }

    /// Reads the `cookie` member of a record, as express-session inflates it (item 67): defaults are
    /// filled in, unknown keys dropped, and `expires` becomes a date.
    ///
    /// # Errors
    ///
    /// [`Corrupt::NoCookie`] where the text is no object, [`Corrupt::BadCookie`] where
    /// `originalMaxAge` or `maxAge` is of a kind that express-session throws at.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{StoredCookie};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::parse(r#"{"path":"/admin"}"#, now)?;
    /// assert_eq!(cookie.path(), Some("/admin"));
    /// assert!(cookie.http_only());
    /// assert!(StoredCookie::parse("[]", now).is_err());
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, Corrupt> {
        let mut settings = Settings {
            http_only: Field::Bool(true),
            path: Field::Text("/".into()),
            ..Settings::default()
        };
        let mut cookie = Self {
            original_max_age: Field::Undefined,
            expires: Field::Null,
            settings: Arc::default(),
        };
        let mut expires = Field::Undefined;
        let mut max_age = Field::Undefined;
        json::members(text, |json::Member { key, value, .. }| {
            let field = Field::parse(&text[value]);
            match json::unquote(&text[key]).as_deref() {
                Some("originalMaxAge") => cookie.original_max_age = field,
                Some("partitioned") => settings.partitioned = field,
                Some("priority") => settings.priority = field,
                Some("expires") => {
                    expires = field.clone();
                    cookie.expires = field;
                }
                Some("maxAge") => {
                    cookie.set_expires_in(&field, now);
                    max_age = field;
                }
                Some("secure") => settings.secure = field,
                Some("httpOnly") => settings.http_only = field,
                Some("domain") => settings.domain = field,
                Some("path") => settings.path = field,
                Some("sameSite") => settings.same_site = field,
                _ => {}
            }
        })
        .map_err(|_| Corrupt::NoCookie)?;
        cookie.settings = Arc::new(settings);
        if let Field::Text(date) = expires {
            cookie.expires = Field::Date(Timestamp::parse(&date));
        }
        let is_usable = |field: &Field| matches!(field, Field::Number(_)) || !field.is_truthy();
        if !is_usable(&cookie.original_max_age) {
            return Err(Corrupt::BadCookie("originalMaxAge"));
        }
        if !is_usable(&max_age) {
            return Err(Corrupt::BadCookie("maxAge"));
        }
        Ok(cookie)
    }

    /// Writes the JSON that express-session stores: its order of keys, and only what is there (item 64).
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// assert_eq!(
    ///     cookie.text(),
    ///     r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#,
    /// );
    /// ```
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(128);
        out.push('{');
        self.original_max_age.push_member("originalMaxAge", &mut out);
        self.settings.push_front(&mut out);
        self.expires.push_member("expires", &mut out);
        self.settings.push_back(&mut out);
        out.push('}');
        out
    }

    /// Starts the session's time anew: `touch()`, which sets the max age to the original one (item 57).
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let later = now.saturating_add(Duration::from_secs(20));
    /// let options = Cookie::new().max_age(Duration::from_secs(60));
    /// let mut cookie = StoredCookie::new(&options, now, false, true);
    /// assert_eq!(cookie.max_age(later), Some(Duration::from_secs(40)));
    /// cookie.reset_expiry(later);
    /// assert_eq!(cookie.max_age(later), Some(Duration::from_secs(60)));
    /// ```
    pub fn reset_expiry(&mut self, now: Timestamp) {
        let original = self.original_max_age.clone();
        self.set_expires_in(&original, now);
        self.original_max_age = self.remaining(now);
    }

    /// Gives the point at which a store is to end the record, or `None` for the store's own default.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// assert_eq!(cookie.deadline(), None);
    /// cookie.set_expires(Some(now.into()), now);
    /// assert_eq!(cookie.deadline(), Some(now));
    /// ```
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.expires {
            Field::Date(date) => date,
            Field::Number(number) if self.expires.is_truthy() => Timestamp::from_number(number),
            _ => None,
        }
    }

    /// Says whether `expires` is other than `null`: what decides whether a modification is told to the
    /// browser (item 40). An invalid date and `false` are other than `null`.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// assert!(!cookie.has_expiry());
    /// cookie.set_expires(Some(now.into()), now);
    /// assert!(cookie.has_expiry());
    /// ```
    #[must_use]
    pub fn has_expiry(&self) -> bool {
        !self.expires.is_nullish()
    }

    /// Says whether two cookies differ in what a handler can change: the attributes and the original
    /// max age. Renewing alone makes no difference.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// let before = cookie.clone();
    /// cookie.reset_expiry(now);
    /// assert!(!cookie.is_changed_from(&before));
    /// cookie.set_secure(true);
    /// assert!(cookie.is_changed_from(&before));
    /// ```
    #[must_use]
    pub fn is_changed_from(&self, other: &Self) -> bool {
        let has_same_settings =
            Arc::ptr_eq(&self.settings, &other.settings) || self.settings == other.settings;
        !has_same_settings || self.original_max_age != other.original_max_age
    }

    /// Gives the time that is left, `cookie.maxAge`. `None`: until the browser closes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let options = Cookie::new().max_age(Duration::from_secs(60));
    /// let cookie = StoredCookie::new(&options, now, false, true);
    /// let later = now.saturating_add(Duration::from_secs(20));
    /// assert_eq!(cookie.max_age(later), Some(Duration::from_secs(40)));
    /// ```
    #[must_use]
    pub fn max_age(&self, now: Timestamp) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_since(now))
    }

    /// Gives the time the session lives from each touch on, `cookie.originalMaxAge`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let options = Cookie::new().max_age(Duration::from_secs(60));
    /// let cookie = StoredCookie::new(&options, now, false, true);
    /// assert_eq!(cookie.original_max_age(), Some(Duration::from_secs(60)));
    /// ```
    #[must_use]
    pub fn original_max_age(&self) -> Option<Duration> {
        match self.original_max_age {
            Field::Number(millis) if millis.is_finite() => {
                Some(Duration::from_millis(millis.max(0.0) as u64))
            }
            _ => None,
        }
    }

    /// Gives the end of the session, `cookie.expires`.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let options = Cookie::new().max_age(Duration::from_secs(60));
    /// let cookie = StoredCookie::new(&options, now, false, true);
    /// assert_eq!(cookie.expires(), Some(UNIX_EPOCH + Duration::from_secs(1_700_000_060)));
    /// ```
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.deadline().map(SystemTime::from)
    }

    /// Sets the time that is left, now and from each touch on. `None`: until the browser closes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// cookie.set_max_age(Some(Duration::from_secs(60)), now);
    /// assert_eq!(cookie.max_age(now), Some(Duration::from_secs(60)));
    /// cookie.set_max_age(None, now);
    /// assert!(!cookie.has_expiry());
    /// ```
    pub fn set_max_age(&mut self, max_age: Option<Duration>, now: Timestamp) {
        let max_age =
            max_age.map_or(Field::Null, |max_age| Field::Number(max_age.as_millis() as f64));
        self.set_expires_in(&max_age, now);
        self.original_max_age = self.remaining(now);
    }

    /// Sets the end of the session; each touch moves it by what is left now. `None`: until the browser closes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// let end = now.saturating_add(Duration::from_secs(60));
    /// cookie.set_expires(Some(end.into()), now);
    /// assert_eq!(cookie.original_max_age(), Some(Duration::from_secs(60)));
    /// ```
    pub fn set_expires(&mut self, expires: Option<SystemTime>, now: Timestamp) {
        self.expires = expires.map_or(Field::Null, |expires| Field::Date(Some(expires.into())));
        self.original_max_age = self.remaining(now);
    }

    /// Gives the path, where it is a text.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// assert_eq!(cookie.path(), Some("/"));
    /// ```
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        as_text(&self.settings.path)
    }

    /// Gives the domain, where it is a text.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new().domain("example.com"), now, false, true);
    /// assert_eq!(cookie.domain(), Some("example.com"));
    /// ```
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        as_text(&self.settings.domain)
    }

    /// Says whether scripts are kept from the cookie.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// assert!(cookie.http_only());
    /// ```
    #[must_use]
    pub fn http_only(&self) -> bool {
        self.settings.http_only.is_truthy()
    }

    /// Says whether the cookie is for HTTPS only.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new().secure(true), now, false, true);
    /// assert!(cookie.secure());
    /// ```
    #[must_use]
    pub fn secure(&self) -> bool {
        self.settings.secure.is_truthy()
    }

    /// Gives the `SameSite` attribute, where it is a known one.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, SameSite, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new().same_site(SameSite::Lax), now, false, true);
    /// assert_eq!(cookie.same_site(), Some(SameSite::Lax));
    /// ```
    #[must_use]
    pub fn same_site(&self) -> Option<SameSite> {
        match &self.settings.same_site {
            Field::Bool(strict) => Some(SameSite::from(*strict)),
            Field::Text(text) => {
                [SameSite::Lax, SameSite::Strict, SameSite::None, SameSite::Auto].into_iter().find(
                    |known| matches!(same_site_field(*known), Field::Text(name) if name.eq_ignore_ascii_case(text)),
                )
            }
            _ => None,
        }
    }

    /// Says whether the cookie is partitioned.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new().partitioned(true), now, false, true);
    /// assert!(cookie.partitioned());
    /// ```
    #[must_use]
    pub fn partitioned(&self) -> bool {
        self.settings.partitioned.is_truthy()
    }

    /// Gives the priority, where it is a known one.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, Priority, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new().priority(Priority::High), now, false, true);
    /// assert_eq!(cookie.priority(), Some(Priority::High));
    /// ```
    #[must_use]
    pub fn priority(&self) -> Option<Priority> {
        let text = as_text(&self.settings.priority)?;
        [Priority::Low, Priority::Medium, Priority::High]
            .into_iter()
            .find(|known| priority_text(*known).eq_ignore_ascii_case(text))
    }

    /// Sets the path. Check it with [`check_path`](super::check_path): an invalid one is not sent.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// cookie.set_path("/admin");
    /// assert_eq!(cookie.path(), Some("/admin"));
    /// ```
    pub fn set_path(&mut self, path: impl Into<String>) {
        self.settings_mut().path = Field::Text(path.into().into());
    }

    /// Sets or removes the domain. Check it with [`check_domain`](super::check_domain): an invalid one is not sent.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// cookie.set_domain(Some("example.com".to_owned()));
    /// assert_eq!(cookie.domain(), Some("example.com"));
    /// ```
    pub fn set_domain(&mut self, domain: Option<String>) {
        self.settings_mut().domain =
            domain.map_or(Field::Undefined, |domain| Field::Text(domain.into()));
    }

    /// Sets whether scripts are kept from the cookie.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// cookie.set_http_only(false);
    /// assert!(!cookie.http_only());
    /// ```
    pub fn set_http_only(&mut self, http_only: bool) {
        self.settings_mut().http_only = Field::Bool(http_only);
    }

    /// Sets whether the cookie is for HTTPS only.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// cookie.set_secure(true);
    /// assert!(cookie.secure());
    /// ```
    pub fn set_secure(&mut self, secure: bool) {
        self.settings_mut().secure = Field::Bool(secure);
    }

    /// Sets or removes the `SameSite` attribute.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, SameSite, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// cookie.set_same_site(Some(SameSite::Strict));
    /// assert_eq!(cookie.same_site(), Some(SameSite::Strict));
    /// ```
    pub fn set_same_site(&mut self, same_site: Option<SameSite>) {
        self.settings_mut().same_site = same_site.map_or(Field::Undefined, same_site_field);
    }

    /// Sets whether the cookie is partitioned.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// cookie.set_partitioned(true);
    /// assert!(cookie.partitioned());
    /// ```
    pub fn set_partitioned(&mut self, partitioned: bool) {
        self.settings_mut().partitioned = Field::Bool(partitioned);
    }

    /// Sets or removes the priority.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, Priority, StoredCookie};
    ///
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
    /// cookie.set_priority(Some(Priority::Low));
    /// assert_eq!(cookie.priority(), Some(Priority::Low));
    /// ```
    pub fn set_priority(&mut self, priority: Option<Priority>) {
        self.settings_mut().priority = priority
            .map_or(Field::Undefined, |priority| Field::Text(priority_text(priority).into()));
    }

    /// Does what the setter of `maxAge` does with a value, but for the original max age.
    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    fn set_expires_in(&mut self, max_age: &Field, now: Timestamp) {
        self.expires = match max_age {
            Field::Number(millis) => {
                Field::Date(Timestamp::from_number(now.millis() as f64 + millis))
            }
            other => other.clone(),
        };
    }

    /// Does what the getter of `maxAge` does: the time left, or the raw `expires` where that is no date.
    fn remaining(&self, now: Timestamp) -> Field {
        match &self.expires {
            Field::Date(date) => {
                Field::Number(date.map_or(f64::NAN, |date| (date.millis() - now.millis()) as f64))
            }
            other => other.clone(),
        }
    }
}

fn as_text(field: &Field) -> Option<&str> {
    match field {
        Field::Text(text) => Some(text),
        _ => None,
    }
}

fn priority_text(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Medium => "medium",
        Priority::High => "high",
    }
}

fn same_site_field(same_site: SameSite) -> Field {
    match same_site {
        SameSite::Auto => Field::Text("auto".into()),
        SameSite::Lax => Field::Text("lax".into()),
        SameSite::Strict => Field::Text("strict".into()),
        SameSite::None => Field::Text("none".into()),
        SameSite::On => Field::Bool(true),
        SameSite::Off => Field::Bool(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

    /// Texts around what is familiar, each of which is read as any other, and written as it was where it is.
    #[test]
    fn familiar_cookies_are_read_and_written_as_all_others() {
        let options = [
            Cookie::new(),
            Cookie::new().path("/a}b").domain("a.b").secure(true).partitioned(true),
            Cookie::new().priority(Priority::High).same_site(SameSite::Lax).http_only(false),
        ];
        let max_ages = [
            "null",
            "0",
            "1",
            "60000",
            "-5",
            "01",
            "1e3",
            "1.",
            "1.5",
            "999999999999999",
            "1234567890123456",
            "true",
            "\"5\"",
        ];
        let dates = [
            "null",
            "\"2023-11-14T22:13:50.123Z\"",
            "\"2023-11-14\"",
            "\"garbage\"",
            "\"\"",
            "\"a\\\"b\"",
            "\"+012023-11-14T22:13:50.123Z\"",
            "false",
            "5",
            "{}",
        ];
        for options in options {
            let cookie = StoredCookie::new(&options, NOW, false, true);
            let usual = CookieTemplate::new(&cookie);
            assert_eq!(usual.compose(&cookie).as_deref(), Some(&*cookie.text()));
            let text = cookie.text();
            assert_eq!(usual.match_prefix(&text), Some((cookie.clone(), text.len())));
            for (max_age, date) in max_ages.iter().flat_map(|age| dates.map(|date| (age, date))) {
                let text = cookie.text().replacen("null", max_age, 1);
                let (front, back) = text.split_at(text.find("\"expires\"").unwrap());
                let text = format!("{front}{}", back.replacen("null", date, 1));
                let around = [
                    format!("{text} "),
                    format!("{text}x"),
                    text.replace('}', ",\"maxAge\":7}"),
                    text[..text.len() - 1].to_owned(),
                    text,
                ];
                for text in around {
                    let read = match usual.match_prefix(&text) {
                        Some((cookie, end)) if end == text.len() => Ok(cookie),
                        _ => StoredCookie::parse(&text, NOW),
                    };
                    assert_eq!(read, StoredCookie::parse(&text, NOW), "{text}");
                    let Ok(cookie) = read else { continue };
                    assert_eq!(usual.text(&cookie), cookie.text(), "{text}");
                }
            }
        }
    }

    #[test]
    fn familiar_is_what_has_the_same_settings() {
        let cookie = StoredCookie::new(&Cookie::new(), NOW, false, true);
        let usual = CookieTemplate::new(&cookie);
        assert!(usual.is_printable(&cookie));
        let mut other = cookie;
        other.set_path("/other");
        assert_eq!((usual.compose(&other), usual.is_printable(&other)), (None, false));
        assert_eq!(usual.text(&other), other.text());
        let mut endless = usual.cookie(&Cookie::new(), NOW);
        endless.expires = Field::Date(None);
        assert!(!usual.is_printable(&endless));
        // Such a cookie is written without the member.
        let bare = StoredCookie::parse(r#"{"path":"/"}"#, NOW).unwrap();
        assert_eq!(CookieTemplate::new(&bare).compose(&bare), None);
        assert_eq!(CookieTemplate::new(&bare).text(&bare), bare.text());
    }

    /// Every pair of load-normalisation.txt: what is stored, what is loaded, what a touch makes of it.
    #[test]
    fn stored_cookies_are_inflated_as_on_node() {
        for (stored, loaded, touched) in [
            (
                r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:13:50.123Z","httpOnly":true,"path":"/"}"#,
                r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:13:50.123Z","httpOnly":true,"path":"/"}"#,
                r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:14:20.123Z","httpOnly":true,"path":"/"}"#,
            ),
            (
                r#"{"path":"/","httpOnly":true,"expires":null,"originalMaxAge":null}"#,
                r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#,
                r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#,
            ),
            (
                r#"{"originalMaxAge":null,"partitioned":null,"priority":null,"expires":null,"secure":null,"httpOnly":true,"domain":null,"path":"/","sameSite":null}"#,
                r#"{"originalMaxAge":null,"partitioned":null,"priority":null,"expires":null,"secure":null,"httpOnly":true,"domain":null,"path":"/","sameSite":null}"#,
                r#"{"originalMaxAge":null,"partitioned":null,"priority":null,"expires":null,"secure":null,"httpOnly":true,"domain":null,"path":"/","sameSite":null}"#,
            ),
            (
                r#"{"originalMaxAge":1,"expires":"garbage","foo":"bar"}"#,
                r#"{"originalMaxAge":1,"expires":null,"httpOnly":true,"path":"/"}"#,
                r#"{"originalMaxAge":1,"expires":"2023-11-14T22:13:20.124Z","httpOnly":true,"path":"/"}"#,
            ),
            (
                r#"{"expires":"2023-11-14T22:13:50.123Z"}"#,
                r#"{"expires":"2023-11-14T22:13:50.123Z","httpOnly":true,"path":"/"}"#,
                r#"{"httpOnly":true,"path":"/"}"#,
            ),
            (
                r#"{"originalMaxAge":60000,"expires":1700000030123}"#,
                r#"{"originalMaxAge":60000,"expires":1700000030123,"httpOnly":true,"path":"/"}"#,
                r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:14:20.123Z","httpOnly":true,"path":"/"}"#,
            ),
            (
                r#"{"originalMaxAge":60000,"maxAge":5,"expires":"2023-11-14T22:13:50.123Z"}"#,
                r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:13:50.123Z","httpOnly":true,"path":"/"}"#,
                r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:14:20.123Z","httpOnly":true,"path":"/"}"#,
            ),
            (
                r#"{"originalMaxAge":false,"expires":false,"sameSite":true,"path":["a", 1.0]}"#,
                r#"{"originalMaxAge":false,"expires":false,"httpOnly":true,"path":["a",1],"sameSite":true}"#,
                r#"{"originalMaxAge":false,"expires":false,"httpOnly":true,"path":["a",1],"sameSite":true}"#,
            ),
        ] {
            let mut cookie = StoredCookie::parse(stored, NOW).unwrap();
            assert_eq!(cookie.text(), loaded);
            cookie.reset_expiry(NOW);
            assert_eq!(cookie.text(), touched);
        }
    }

    #[test]
    fn cookie_that_express_session_throws_at_is_corrupt() {
        assert_eq!(
            StoredCookie::parse(r#"{"originalMaxAge":"60000"}"#, NOW),
            Err(Corrupt::BadCookie("originalMaxAge"))
        );
        for max_age in ["\"60000\"", "true", "{}"] {
            let stored = format!(r#"{{"maxAge":{max_age}}}"#);
            assert_eq!(StoredCookie::parse(&stored, NOW), Err(Corrupt::BadCookie("maxAge")));
        }
        assert!(StoredCookie::parse(r#"{"maxAge":false}"#, NOW).is_ok());
        for text in ["null", "5", "\"x\"", "[]"] {
            assert_eq!(StoredCookie::parse(text, NOW), Err(Corrupt::NoCookie), "{text}");
        }
    }

    #[test]
    fn max_age_and_original_max_age_go_together() {
        let mut cookie = StoredCookie::new(&Cookie::new(), NOW, false, true);
        assert_eq!((cookie.max_age(NOW), cookie.original_max_age()), (None, None));
        let minute = Duration::from_secs(60);
        cookie.set_max_age(Some(minute), NOW);
        let later = NOW.saturating_add(Duration::from_secs(20));
        assert_eq!(cookie.max_age(later), Some(Duration::from_secs(40)));
        assert_eq!(cookie.original_max_age(), Some(minute));
        cookie.set_expires(Some(later.into()), NOW);
        assert_eq!(cookie.original_max_age(), Some(Duration::from_secs(20)));
        cookie.set_max_age(None, NOW);
        assert!(!cookie.has_expiry());
    }

    #[test]
    fn renewing_is_no_change_and_setting_is() {
        let mut cookie =
            StoredCookie::new(&Cookie::new().max_age(Duration::from_secs(9)), NOW, false, true);
        let loaded = cookie.clone();
        cookie.reset_expiry(NOW.saturating_add(Duration::from_secs(5)));
        assert!(cookie != loaded && !cookie.is_changed_from(&loaded));
        cookie.set_same_site(Some(SameSite::Lax));
        assert!(cookie.is_changed_from(&loaded));
    }

    #[test]
    fn time_beyond_javascripts_dates_is_an_invalid_date() {
        let mut cookie = StoredCookie::new(&Cookie::new(), NOW, false, true);
        cookie.set_max_age(Some(Duration::MAX), NOW);
        assert!(cookie.text().starts_with(r#"{"originalMaxAge":null,"expires":null,"#));
        assert!(cookie.has_expiry());
        assert_eq!((cookie.max_age(NOW), cookie.original_max_age()), (None, None));
    }

    #[test]
    fn each_setter_sets_its_own_field() {
        let mut cookie = StoredCookie::parse("{}", NOW).unwrap();
        assert_eq!(
            (cookie.http_only(), cookie.secure(), cookie.partitioned()),
            (true, false, false)
        );
        cookie.set_path("/x");
        cookie.set_domain(Some("a.b".to_owned()));
        cookie.set_http_only(false);
        cookie.set_secure(true);
        cookie.set_same_site(Some(SameSite::None));
        cookie.set_partitioned(true);
        cookie.set_priority(Some(Priority::Medium));
        assert_eq!(
            cookie.text(),
            r#"{"partitioned":true,"priority":"medium","expires":null,"secure":true,"httpOnly":false,"domain":"a.b","path":"/x","sameSite":"none"}"#
        );
        assert_eq!(
            (cookie.http_only(), cookie.secure(), cookie.partitioned()),
            (false, true, true)
        );
        cookie.set_domain(None);
        cookie.set_same_site(None);
        cookie.set_priority(None);
        assert_eq!(
            cookie.text(),
            r#"{"partitioned":true,"expires":null,"secure":true,"httpOnly":false,"path":"/x"}"#
        );
    }

    #[test]
    fn new_cookie_is_what_the_settings_say() {
        let options = Cookie::new()
            .path("/x")
            .domain("a.b")
            .expires(SystemTime::from(NOW.saturating_add(Duration::from_millis(5))))
            .http_only(false)
            .secure(false)
            .same_site(false)
            .partitioned(false)
            .priority(Priority::High);
        assert_eq!(
            StoredCookie::new(&options, NOW, true, true).text(),
            r#"{"originalMaxAge":5,"partitioned":false,"priority":"high","expires":"2023-11-14T22:13:20.128Z","secure":false,"httpOnly":false,"domain":"a.b","path":"/x","sameSite":false}"#
        );
    }

    #[test]
    fn auto_is_decided_by_the_connection_where_it_may_be() {
        let auto = Cookie::new().secure(Secure::Auto).same_site(SameSite::Auto);
        for (secure, resolve, written) in [
            (true, true, r#""secure":true,"httpOnly":true,"path":"/","sameSite":"none"}"#),
            (false, true, r#""secure":false,"httpOnly":true,"path":"/","sameSite":"lax"}"#),
            (true, false, r#""secure":"auto","httpOnly":true,"path":"/","sameSite":"auto"}"#),
        ] {
            let text = StoredCookie::new(&auto, NOW, secure, resolve).text();
            assert!(text.ends_with(written), "{text}");
        }
    }

    #[test]
    fn every_field_is_read_and_written_in_the_order_of_node() {
        let text = r#"{"originalMaxAge":5,"partitioned":true,"priority":"low","expires":null,"secure":false,"httpOnly":false,"domain":"a.b","path":"/x","sameSite":"none"}"#;
        let cookie = StoredCookie::parse(text, NOW).unwrap();
        assert_eq!(cookie.text(), text);
        assert_eq!(cookie.original_max_age(), Some(Duration::from_millis(5)));
        assert_eq!(
            (cookie.partitioned(), cookie.secure(), cookie.http_only()),
            (true, false, false)
        );
        assert_eq!((cookie.domain(), cookie.path()), (Some("a.b"), Some("/x")));
        assert_eq!(cookie.priority(), Some(Priority::Low));
        assert_eq!(cookie.same_site(), Some(SameSite::None));
        assert_eq!((cookie.expires(), cookie.has_expiry()), (None, false));
    }

    #[test]
    fn stored_max_age_is_counted_from_the_loading() {
        let cookie = StoredCookie::parse(r#"{"maxAge":5}"#, NOW).unwrap();
        let deadline = Timestamp::from_millis(NOW.millis() + 5);
        assert_eq!(cookie.deadline(), Some(deadline));
        assert_eq!(cookie.expires(), Some(SystemTime::from(deadline)));
    }

    #[test]
    fn values_are_true_where_javascript_says_so() {
        for (value, is_truthy) in [
            ("null", false),
            ("false", false),
            ("0", false),
            ("-0", false),
            (r#""""#, false),
            ("true", true),
            ("1", true),
            ("-0.5", true),
            (r#""false""#, true),
            ("{}", true),
            ("[]", true),
        ] {
            assert_eq!(Field::parse(value).is_truthy(), is_truthy, "{value}");
        }
        assert!(!Field::Number(f64::NAN).is_truthy());
        assert!(!Field::Undefined.is_truthy());
        assert!(Field::Date(None).is_truthy());
    }

    #[test]
    fn record_ends_at_a_date_or_a_number_that_is_not_zero() {
        for (expires, deadline) in [
            (r#""2023-11-14T22:13:20.123Z""#, Some(NOW)),
            ("1700000000123", Some(NOW)),
            ("0", None),
            ("9e15", None),
            ("true", None),
            ("null", None),
            (r#""garbage""#, None),
        ] {
            let cookie = StoredCookie::parse(&format!(r#"{{"expires":{expires}}}"#), NOW).unwrap();
            assert_eq!(cookie.deadline(), deadline, "{expires}");
        }
    }

    #[test]
    fn same_site_is_a_known_word_or_a_truth_value() {
        for (stored, same_site) in [
            ("true", Some(SameSite::On)),
            ("false", Some(SameSite::Off)),
            (r#""LAX""#, Some(SameSite::Lax)),
            (r#""strict""#, Some(SameSite::Strict)),
            (r#""none""#, Some(SameSite::None)),
            (r#""auto""#, Some(SameSite::Auto)),
            (r#""other""#, None),
            ("null", None),
        ] {
            let text = format!(r#"{{"sameSite":{stored}}}"#);
            assert_eq!(StoredCookie::parse(&text, NOW).unwrap().same_site(), same_site, "{stored}");
        }
    }

    #[test]
    fn texts_that_nearly_every_cookie_is_made_of_need_no_copy() {
        for text in ["/", "lax", "high", ""] {
            let field = Field::parse(&format!("\"{text}\""));
            assert!(matches!(field, Field::Text(Cow::Borrowed(known)) if known == text), "{text}");
        }
        assert!(matches!(Field::parse("\"/admin\""), Field::Text(Cow::Owned(_))));
    }
}
