//! The `cookie` option: the settings of the cookie of a new session.

use std::time::{Duration, SystemTime};

use super::attribute::{InvalidAttribute, check_domain, check_path};
use super::browser::check_browser_rules;
use super::stored::StoredCookie;
use crate::Timestamp;

/// The settings of the session cookie: express-session's `cookie` option.
///
/// They apply to new sessions. A stored session keeps the attributes that it was stored with, even if the settings have
/// changed since (item 38).
///
/// | setting | default | express-session |
/// |---|---|---|
/// | [`path`](Self::path) | `/` | `cookie.path` |
/// | [`domain`](Self::domain) | none: the host of the response, without its subdomains | `cookie.domain` |
/// | [`max_age`](Self::max_age) | none: until the browser closes | `cookie.maxAge` |
/// | [`expires`](Self::expires) | none | `cookie.expires` |
/// | [`http_only`](Self::http_only) | `true` | `cookie.httpOnly` |
/// | [`secure`](Self::secure) | none: also sent over plain HTTP | `cookie.secure` |
/// | [`same_site`](Self::same_site) | none: the browser's default, mostly `Lax` | `cookie.sameSite` |
/// | [`partitioned`](Self::partitioned) | none | `cookie.partitioned` |
/// | [`priority`](Self::priority) | none | `cookie.priority` |
///
/// ```
/// use std::time::Duration;
/// use express_session_core::cookie::{Cookie, SameSite, Secure};
///
/// let cookie = Cookie::new()
///     .max_age(Duration::from_secs(3600))
///     .secure(Secure::Auto)
///     .same_site(SameSite::Lax);
/// assert!(cookie.validate().is_ok());
/// assert!(Cookie::new().domain("no spaces").validate().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the settings do nothing until they are given to a layer"]
pub struct Cookie {
    pub(super) path: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) lifetime: Option<Lifetime>,
    pub(super) http_only: Option<bool>,
    pub(super) secure: Option<Secure>,
    pub(super) same_site: Option<SameSite>,
    pub(super) partitioned: Option<bool>,
    pub(super) priority: Option<Priority>,
}

/// The lifetime of the cookie of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// A duration after the last touch: express-session's `maxAge`.
    MaxAge(Duration),
    /// A point in time: express-session's `expires`.
    Expires(SystemTime),
}

/// Whether the cookie is restricted to HTTPS: `true`, `false`, or depending on the connection.
///
/// ```
/// use express_session_core::cookie::{Cookie, Secure};
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cookie/example.rs")); } use on::header;
///
/// let auto = Cookie::new().secure(Secure::Auto);
/// let (over_http, over_https) = (header(auto.clone(), false)?, header(auto, true)?);
/// assert_eq!(over_http, "sid=x; Path=/; HttpOnly");
/// assert_eq!(over_https, "sid=x; Path=/; HttpOnly; Secure");
/// assert_eq!(Secure::from(true), Secure::Always);
/// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// `Secure` if the session was created over HTTPS, and not if over plain HTTP.
    Auto,
    /// HTTPS only. Over plain HTTP the cookie is not sent.
    Always,
    /// Plain HTTP as well.
    Never,
}

impl From<bool> for Secure {
    fn from(secure: bool) -> Self {
        if secure { Self::Always } else { Self::Never }
    }
}

/// Which requests from other sites carry the cookie (RFC 6265bis §5.6.7).
///
/// ```
/// use express_session_core::cookie::{Cookie, SameSite};
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cookie/example.rs")); } use on::header;
///
/// let lax = header(Cookie::new().same_site(SameSite::Lax), true)?;
/// assert_eq!(lax, "sid=x; Path=/; HttpOnly; SameSite=Lax");
/// for strict in [Cookie::new().same_site(SameSite::Strict), Cookie::new().same_site(true)] {
///     assert_eq!(header(strict, true)?, "sid=x; Path=/; HttpOnly; SameSite=Strict");
/// }
/// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// `None` over HTTPS and `Lax` over plain HTTP, decided when the session is created.
    Auto,
    /// Top-level navigation only.
    Lax,
    /// No requests from other sites.
    Strict,
    /// All requests. Browsers accept it only together with `Secure`.
    None,
    /// `Strict`, stored as `true`: express-session's `sameSite: true`.
    On,
    /// No attribute, stored as `false`: express-session's `sameSite: false`.
    Off,
}

impl From<bool> for SameSite {
    fn from(strict: bool) -> Self {
        if strict { Self::On } else { Self::Off }
    }
}

/// The order in which a browser evicts cookies if it runs out of space. Chromium only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Evicted first.
    Low,
    /// The browser's default.
    Medium,
    /// Evicted last.
    High,
}

impl Cookie {
    /// Creates the default settings: path `/`, `HttpOnly`, until the browser closes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the path of the requests that send the cookie and have a session. Default `/`.
    ///
    /// A request outside the path has no session (item 19).
    ///
    /// ```
    /// use express_session_core::cookie::Cookie;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cookie/example.rs")); } use on::header;
    ///
    /// let cookie = Cookie::new().path("/admin");
    /// assert_eq!(header(cookie, false)?, "sid=x; Path=/admin; HttpOnly");
    /// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
    /// ```
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets the domain that receives the cookie, including its subdomains. Default: only the host of the response.
    ///
    /// ```
    /// use express_session_core::cookie::Cookie;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cookie/example.rs")); } use on::header;
    ///
    /// let cookie = Cookie::new().domain("example.com");
    /// assert_eq!(header(cookie, false)?, "sid=x; Domain=example.com; Path=/; HttpOnly");
    /// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
    /// ```
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets the session's lifetime after the last request, to the millisecond. Default: until the browser closes, and
    /// the store's `ttl` in the store.
    ///
    /// Visits reset the expiry in the store. The browser receives the new expiry if the session was modified,
    /// or always with `rolling`. If both `max_age` and [`expires`](Self::expires) are set, the last call counts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let options = Cookie::new().max_age(Duration::from_secs(60));
    /// let cookie = StoredCookie::new(&options, now, false, true);
    /// assert_eq!(cookie.deadline(), Some(now.saturating_add(Duration::from_secs(60))));
    /// ```
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.lifetime = Some(Lifetime::MaxAge(max_age));
        self
    }

    /// Sets the time at which a new session expires. Later requests reset the expiry to the time that was left when the
    /// session was created, as in express-session; most applications need [`max_age`](Self::max_age) instead.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use express_session_core::Timestamp;
    /// use express_session_core::cookie::{Cookie, StoredCookie};
    ///
    /// let end = UNIX_EPOCH + Duration::from_secs(1_700_000_060);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let cookie = StoredCookie::new(&Cookie::new().expires(end), now, false, true);
    /// assert_eq!(cookie.expires(), Some(end));
    /// assert_eq!(cookie.original_max_age(), Some(Duration::from_secs(60)));
    /// ```
    pub fn expires(mut self, expires: SystemTime) -> Self {
        self.lifetime = Some(Lifetime::Expires(expires));
        self
    }

    /// Sets whether the cookie is hidden from scripts. Default `true`, which is right for almost every application.
    ///
    /// ```
    /// use express_session_core::cookie::Cookie;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cookie/example.rs")); } use on::header;
    ///
    /// let cookie = Cookie::new().http_only(false);
    /// assert_eq!(header(cookie, false)?, "sid=x; Path=/");
    /// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
    /// ```
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = Some(http_only);
        self
    }

    /// Sets whether the cookie is restricted to HTTPS. Default: not set. Use `true` in production, or [`Secure::Auto`]
    /// if the same build also serves plain HTTP.
    ///
    /// A `Secure` cookie is not sent over plain HTTP. Behind a proxy that terminates HTTPS, set the layer's `proxy`
    /// option so that it recognises the connection as secure.
    pub fn secure(mut self, secure: impl Into<Secure>) -> Self {
        self.secure = Some(secure.into());
        self
    }

    /// Sets which requests from other sites carry the cookie. Default: not set, which means the browser's default.
    pub fn same_site(mut self, same_site: impl Into<SameSite>) -> Self {
        self.same_site = Some(same_site.into());
        self
    }

    /// Sets whether an embedded site has a separate cookie for each embedding site (CHIPS). Default: not set.
    ///
    /// ```
    /// use express_session_core::cookie::Cookie;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cookie/example.rs")); } use on::header;
    ///
    /// let cookie = Cookie::new().secure(true).partitioned(true);
    /// assert_eq!(header(cookie, true)?, "sid=x; Path=/; HttpOnly; Secure; Partitioned");
    /// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
    /// ```
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = Some(partitioned);
        self
    }

    /// Sets the priority of the cookie in Chromium. Default: not set.
    ///
    /// ```
    /// use express_session_core::cookie::{Cookie, Priority};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cookie/example.rs")); } use on::header;
    ///
    /// let cookie = Cookie::new().priority(Priority::Low);
    /// assert_eq!(header(cookie, false)?, "sid=x; Path=/; HttpOnly; Priority=Low");
    /// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
    /// ```
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Returns the path that decides which requests have a session.
    #[must_use]
    pub fn session_path(&self) -> &str {
        self.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/")
    }

    /// Checks that browsers accept the cookie of a session that begins over HTTPS: the rules of
    /// [`check_browser_rules`](super::check_browser_rules). `Secure::Auto` and `SameSite::Auto` count as they are
    /// resolved there.
    ///
    /// # Errors
    ///
    /// [`InvalidAttribute`] names the first setting to change, and the rule.
    ///
    /// ```
    /// use express_session_core::cookie::{Cookie, SameSite};
    ///
    /// let cookie = Cookie::new().same_site(SameSite::None);
    /// assert_eq!(cookie.check_browser_rules("sid").unwrap_err().attribute(), "secure");
    /// assert!(cookie.secure(true).check_browser_rules("sid").is_ok());
    /// ```
    pub fn check_browser_rules(&self, name: &str) -> Result<(), InvalidAttribute> {
        let cookie = StoredCookie::new(self, Timestamp::from_millis(0), true, true);
        check_browser_rules(name, &cookie)
    }

    /// Checks that every setting can be written into a cookie.
    ///
    /// # Errors
    ///
    /// [`InvalidAttribute`] names the first setting that cannot be written, and its value.
    pub fn validate(&self) -> Result<(), InvalidAttribute> {
        if let Some(path) = &self.path {
            check_path(path)?;
        }
        if let Some(domain) = self.domain.as_deref().filter(|domain| !domain.is_empty()) {
            check_domain(domain)?;
        }
        match self.lifetime {
            Some(Lifetime::MaxAge(max_age)) if max_age > Self::LONGEST => {
                Err(InvalidAttribute::new("max_age", format!("{} s", max_age.as_secs())))
            }
            Some(Lifetime::Expires(expires)) if Timestamp::from(expires) == Timestamp::MAX => {
                Err(InvalidAttribute::new("expires", Timestamp::MAX.to_string()))
            }
            None | Some(Lifetime::MaxAge(_) | Lifetime::Expires(_)) => Ok(()),
        }
    }

    /// Half the range of JavaScript's dates, so that the sum with any time is a valid date.
    const LONGEST: Duration = Duration::from_secs(4_320_000_000_000);
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn session_path_is_the_root_unless_another_is_set() {
        assert_eq!(Cookie::new().session_path(), "/");
        assert_eq!(Cookie::new().path("").session_path(), "/");
        assert_eq!(Cookie::new().path("/admin").session_path(), "/admin");
    }

    #[test]
    fn audit_m6_auto_counts_as_it_is_resolved_over_https() {
        for (same_site, secure, is_accepted) in [
            (Some(SameSite::None), None, false),
            (Some(SameSite::None), Some(Secure::Never), false),
            (Some(SameSite::None), Some(Secure::Always), true),
            (Some(SameSite::None), Some(Secure::Auto), true),
            (Some(SameSite::Lax), None, true),
            // `None` over HTTPS, and not Secure there.
            (Some(SameSite::Auto), Some(Secure::Never), false),
            (Some(SameSite::Auto), None, false),
            (Some(SameSite::Auto), Some(Secure::Auto), true),
            (None, None, true),
        ] {
            let cookie = Cookie { same_site, secure, ..Cookie::new() };
            assert_eq!(cookie.check_browser_rules("sid").is_ok(), is_accepted, "{cookie:?}");
        }
        for (secure, is_accepted) in [(Secure::Auto, true), (Secure::Never, false)] {
            let cookie = Cookie::new().secure(secure);
            assert_eq!(cookie.check_browser_rules("__Host-sid").is_ok(), is_accepted);
        }
    }

    #[test]
    fn settings_that_cannot_be_written_are_refused_with_their_name() {
        let second = Duration::from_secs(1);
        let days = |days: u64| UNIX_EPOCH + Duration::from_secs(days * 86_400);
        for (cookie, refused) in [
            (Cookie::new(), None),
            (Cookie::new().path("/;"), Some("path")),
            (Cookie::new().domain("a b"), Some("domain")),
            // An empty domain sets none, as `domain: ''` on Node.
            (Cookie::new().domain(""), None),
            (Cookie::new().max_age(Duration::ZERO), None),
            (Cookie::new().max_age(Cookie::LONGEST), None),
            (Cookie::new().max_age(Cookie::LONGEST + second), Some("max_age")),
            (Cookie::new().expires(UNIX_EPOCH), None),
            (Cookie::new().expires(days(99_999_999)), None),
            (Cookie::new().expires(days(100_000_001)), Some("expires")),
        ] {
            let result = cookie.validate();
            assert_eq!(
                result.err().as_ref().map(InvalidAttribute::attribute),
                refused,
                "{cookie:?}"
            );
        }
    }
}
