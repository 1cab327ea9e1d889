//! The `cookie` member of a record: express-session's `Cookie` object.
//!
//! Its fields are JavaScript values, because a Node service may have stored `null`, `false`, `true`, a number or a text in
//! any of them. Such a value is written back unchanged (items 62, 64 and 67).

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a method reads one kind of value from a field, and treats all other kinds alike"
)]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::field::{Field, known};
use super::options::{Cookie, Lifetime, Priority, SameSite, Secure};
use super::template::CookieTemplate;
use crate::Timestamp;
use crate::record::Corrupt;
use crate::record::json;

/// The cookie of a session: its attributes and its expiry, as stored in the record.
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
    /// The other fields, which most cookies of a service share.
    pub(super) settings: Arc<Settings>,
}

/// The fields of a cookie except its times.
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

impl Settings {
    /// Writes the fields between the max age and the expiry.
    pub(super) fn push_front(&self, out: &mut String) {
        self.partitioned.push_member("partitioned", out);
        self.priority.push_member("priority", out);
    }

    /// Writes the fields after the expiry.
    pub(super) fn push_back(&self, out: &mut String) {
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
    /// Creates the cookie of a new session.
    ///
    /// `secure` states whether the connection is secure, which decides the `auto` settings. If `resolve` is false, they stay
    /// the text `auto`, as in express-session when its cookie option is a function (item 24).
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

    pub(super) fn start(&mut self, options: &Cookie, now: Timestamp) {
        match options.lifetime {
            None => {}
            Some(Lifetime::MaxAge(max_age)) => self.set_max_age(Some(max_age), now),
            Some(Lifetime::Expires(expires)) => self.set_expires(Some(expires), now),
        }
    }

    /// Reads the `cookie` member of a record like express-session (item 67): missing fields get their defaults, unknown
    /// keys are dropped, and `expires` becomes a date.
    ///
    /// # Errors
    ///
    /// [`Corrupt::NoCookie`] if the text is not an object, [`Corrupt::BadCookie`] if express-session throws for the value
    /// of `originalMaxAge` or `maxAge`.
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

    /// Returns the JSON that express-session stores: in its order of keys, and without missing fields (item 64).
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

    /// Resets the expiry: express-session's `touch()`, which sets the max age to the original one (item 57).
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

    /// Leaves the cookie without an expiry, with the max age that it had.
    pub(crate) fn forget_expiry(&mut self) {
        self.expires = Field::Null;
    }

    /// Returns the time at which a store expires the record, or `None` for the store's own default.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.expires {
            Field::Date(date) => date,
            Field::Number(number) if self.expires.is_truthy() => Timestamp::from_number(number),
            _ => None,
        }
    }

    /// Returns the cookie with an expiry of at most `end`; `None` if it has no later one.
    pub(crate) fn limited(&self, end: Timestamp) -> Option<Self> {
        let is_later = self.deadline().is_some_and(|deadline| deadline > end);
        is_later.then(|| Self { expires: Field::Date(Some(end)), ..self.clone() })
    }

    /// Checks whether `expires` is not `null`, so that a modified session is sent to the browser (item 40). This includes an
    /// invalid date and `false`.
    #[must_use]
    pub fn has_expiry(&self) -> bool {
        !self.expires.is_nullish()
    }

    /// Checks whether two cookies differ in the attributes or in the original max age, which a handler can change. A reset
    /// of the expiry alone is not a difference.
    #[must_use]
    pub fn is_changed_from(&self, other: &Self) -> bool {
        let has_same_settings =
            Arc::ptr_eq(&self.settings, &other.settings) || self.settings == other.settings;
        !has_same_settings || self.original_max_age != other.original_max_age
    }

    /// Returns the remaining time, `cookie.maxAge`. `None` means until the browser closes.
    #[must_use]
    pub fn max_age(&self, now: Timestamp) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_since(now))
    }

    /// Returns the lifetime after each touch, `cookie.originalMaxAge`.
    #[must_use]
    pub fn original_max_age(&self) -> Option<Duration> {
        match self.original_max_age {
            Field::Number(millis) if millis.is_finite() => {
                Some(Duration::from_millis(millis.max(0.0) as u64))
            }
            _ => None,
        }
    }

    /// Returns the expiry, `cookie.expires`.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.deadline().map(SystemTime::from)
    }

    /// Sets the remaining time, which is also the lifetime after each touch. `None` means until the browser closes.
    pub fn set_max_age(&mut self, max_age: Option<Duration>, now: Timestamp) {
        let max_age =
            max_age.map_or(Field::Null, |max_age| Field::Number(max_age.as_millis() as f64));
        self.set_expires_in(&max_age, now);
        self.original_max_age = self.remaining(now);
    }

    /// Sets the expiry. The remaining time becomes the lifetime after each touch. `None` means until the browser closes.
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

    /// Returns the path if it is a text.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        as_text(&self.settings.path)
    }

    /// Returns the domain if it is a text.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        as_text(&self.settings.domain)
    }

    /// Checks whether the cookie is hidden from scripts.
    #[must_use]
    pub fn http_only(&self) -> bool {
        self.settings.http_only.is_truthy()
    }

    /// Checks whether the cookie is restricted to HTTPS.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.settings.secure.is_truthy()
    }

    /// Returns the `SameSite` attribute if its value is known.
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

    /// Checks whether the cookie is partitioned.
    #[must_use]
    pub fn partitioned(&self) -> bool {
        self.settings.partitioned.is_truthy()
    }

    /// Returns the priority if its value is known.
    #[must_use]
    pub fn priority(&self) -> Option<Priority> {
        let text = as_text(&self.settings.priority)?;
        [Priority::Low, Priority::Medium, Priority::High]
            .into_iter()
            .find(|known| priority_text(*known).eq_ignore_ascii_case(text))
    }

    /// Sets the path. Check it with [`check_path`](super::check_path), because an invalid path cannot be sent.
    pub fn set_path(&mut self, path: impl Into<String>) {
        self.settings_mut().path = Field::Text(path.into().into());
    }

    /// Sets or removes the domain. Check it with [`check_domain`](super::check_domain), because an invalid domain cannot be
    /// sent.
    pub fn set_domain(&mut self, domain: Option<String>) {
        self.settings_mut().domain =
            domain.map_or(Field::Undefined, |domain| Field::Text(domain.into()));
    }

    /// Sets whether the cookie is hidden from scripts.
    pub fn set_http_only(&mut self, http_only: bool) {
        self.settings_mut().http_only = Field::Bool(http_only);
    }

    /// Sets whether the cookie is restricted to HTTPS.
    pub fn set_secure(&mut self, secure: bool) {
        self.settings_mut().secure = Field::Bool(secure);
    }

    /// Sets or removes the `SameSite` attribute.
    pub fn set_same_site(&mut self, same_site: Option<SameSite>) {
        self.settings_mut().same_site = same_site.map_or(Field::Undefined, same_site_field);
    }

    /// Sets whether the cookie is partitioned.
    pub fn set_partitioned(&mut self, partitioned: bool) {
        self.settings_mut().partitioned = Field::Bool(partitioned);
    }

    /// Sets or removes the priority.
    pub fn set_priority(&mut self, priority: Option<Priority>) {
        self.settings_mut().priority = priority
            .map_or(Field::Undefined, |priority| Field::Text(priority_text(priority).into()));
    }

    /// Replaces the attributes by those of a template. The times stay, and so does `secure` if it is set: a session that
    /// began over HTTPS is not sent over plain HTTP.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let template = CookieTemplate::new(&StoredCookie::new(&Cookie::new(), now, false, true));
    /// let mut cookie = StoredCookie::parse(r#"{"httpOnly":false,"domain":"a.example"}"#, now)?;
    /// cookie.harden(&template);
    /// assert!(cookie.http_only() && cookie.domain().is_none());
    /// # Ok::<(), express_session_core::Corrupt>(())
    /// ```
    pub fn harden(&mut self, template: &CookieTemplate) {
        let keeps_secure = self.secure();
        self.settings = Arc::clone(&template.settings);
        if keeps_secure && !self.secure() {
            self.set_secure(true);
        }
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    /// Sets `expires` like the setter of `maxAge`, but not the original max age.
    fn set_expires_in(&mut self, max_age: &Field, now: Timestamp) {
        self.expires = match max_age {
            Field::Number(millis) => {
                Field::Date(Timestamp::from_number(now.millis() as f64 + millis))
            }
            other => other.clone(),
        };
    }

    /// Returns the value of the getter of `maxAge`: the remaining time, or the raw `expires` if it is not a date.
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
