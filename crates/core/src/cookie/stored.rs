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
use std::time::{Duration, SystemTime};

use super::options::{Cookie, Lifetime, Priority, SameSite, Secure};
use crate::document::Corrupt;
use crate::{Timestamp, json};

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
    pub(super) partitioned: Field,
    pub(super) priority: Field,
    pub(super) expires: Field,
    pub(super) secure: Field,
    pub(super) http_only: Field,
    pub(super) domain: Field,
    pub(super) path: Field,
    pub(super) same_site: Field,
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
        let mut cookie = Self {
            original_max_age: Field::Null,
            partitioned: flag(options.partitioned),
            priority: match options.priority {
                None => Field::Undefined,
                Some(priority) => Field::Text(priority_text(priority).into()),
            },
            expires: Field::Null,
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
        match options.lifetime {
            None => {}
            Some(Lifetime::MaxAge(max_age)) => cookie.set_max_age(Some(max_age), now),
            Some(Lifetime::Expires(expires)) => cookie.set_expires(Some(expires), now),
        }
        cookie
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
        let mut cookie = Self {
            original_max_age: Field::Undefined,
            partitioned: Field::Undefined,
            priority: Field::Undefined,
            expires: Field::Null,
            secure: Field::Undefined,
            http_only: Field::Bool(true),
            domain: Field::Undefined,
            path: Field::Text("/".into()),
            same_site: Field::Undefined,
        };
        let mut expires = Field::Undefined;
        let mut max_age = Field::Undefined;
        json::members(text, |(key, value)| {
            let field = Field::parse(&text[value]);
            match json::unquote(&text[key]).as_deref() {
                Some("originalMaxAge") => cookie.original_max_age = field,
                Some("partitioned") => cookie.partitioned = field,
                Some("priority") => cookie.priority = field,
                Some("expires") => {
                    expires = field.clone();
                    cookie.expires = field;
                }
                Some("maxAge") => {
                    cookie.set_expires_in(&field, now);
                    max_age = field;
                }
                Some("secure") => cookie.secure = field,
                Some("httpOnly") => cookie.http_only = field,
                Some("domain") => cookie.domain = field,
                Some("path") => cookie.path = field,
                Some("sameSite") => cookie.same_site = field,
                _ => {}
            }
        })
        .map_err(|_| Corrupt::NoCookie)?;
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
        for (name, field) in [
            ("originalMaxAge", &self.original_max_age),
            ("partitioned", &self.partitioned),
            ("priority", &self.priority),
            ("expires", &self.expires),
            ("secure", &self.secure),
            ("httpOnly", &self.http_only),
            ("domain", &self.domain),
            ("path", &self.path),
            ("sameSite", &self.same_site),
        ] {
            field.push_member(name, &mut out);
        }
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
    /// cookie.renew(later);
    /// assert_eq!(cookie.max_age(later), Some(Duration::from_secs(60)));
    /// ```
    pub fn renew(&mut self, now: Timestamp) {
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
    /// cookie.renew(now);
    /// assert!(!cookie.is_changed_from(&before));
    /// cookie.set_secure(true);
    /// assert!(cookie.is_changed_from(&before));
    /// ```
    #[must_use]
    pub fn is_changed_from(&self, other: &Self) -> bool {
        let settings = |cookie: &Self| Self { expires: Field::Null, ..cookie.clone() };
        settings(self) != settings(other)
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
        as_text(&self.path)
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
        as_text(&self.domain)
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
        self.http_only.is_truthy()
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
        self.secure.is_truthy()
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
        match &self.same_site {
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
        self.partitioned.is_truthy()
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
        let text = as_text(&self.priority)?;
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
        self.path = Field::Text(path.into().into());
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
        self.domain = domain.map_or(Field::Undefined, |domain| Field::Text(domain.into()));
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
        self.http_only = Field::Bool(http_only);
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
        self.secure = Field::Bool(secure);
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
        self.same_site = same_site.map_or(Field::Undefined, same_site_field);
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
        self.partitioned = Field::Bool(partitioned);
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
        self.priority = priority
            .map_or(Field::Undefined, |priority| Field::Text(priority_text(priority).into()));
    }

    /// Does what the setter of `maxAge` does with a value, but for the original max age.
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
            cookie.renew(NOW);
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
        cookie.renew(NOW.saturating_add(Duration::from_secs(5)));
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
