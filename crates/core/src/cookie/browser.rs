//! The rules by which browsers drop a cookie, or one of its attributes, in silence.
//!
//! 1. A name with the prefix `__Secure-` needs `Secure` (RFC 6265bis §4.1.3.1).
//! 2. `__Host-` also needs `Path=/`, and no `Domain` (§4.1.3.2).
//! 3. `__Http-` needs `Secure` and `HttpOnly`; `__Host-Http-` needs all of these (§4.1.3.3, §4.1.3.4).
//! 4. A prefix counts in any case: `__host-` is `__Host-` (§5.7).
//! 5. `SameSite=None` needs `Secure` (§5.7), and so does `Partitioned` (CHIPS).
//! 6. A path that does not begin with `/` is ignored (§5.6.4), and so is any attribute of more than 1024 bytes (§5.6).

use super::attribute::InvalidAttribute;
use super::field::Field;
use super::set_cookie::attribute_text;
use super::stored::StoredCookie;

/// Checks that browsers accept a cookie of this name as it will be printed.
///
/// # Errors
///
/// [`InvalidAttribute`] names the first setting to change: `secure`, `http_only`, `path` or `domain`. Its value is the
/// rule that the cookie breaks.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::cookie::{Cookie, StoredCookie, check_browser_rules};
///
/// let check = |name, options: Cookie| {
///     let cookie = StoredCookie::new(&options, Timestamp::from_millis(0), true, true);
///     check_browser_rules(name, &cookie)
/// };
/// assert!(check("__Host-sid", Cookie::new().secure(true)).is_ok());
/// let dropped = check("__Host-sid", Cookie::new().secure(true).domain("example.com"));
/// assert_eq!(dropped.unwrap_err().attribute(), "domain");
/// ```
pub fn check_browser_rules(name: &str, cookie: &StoredCookie) -> Result<(), InvalidAttribute> {
    let settings = &cookie.settings;
    let refuse = |attribute, rule: &str| Err(InvalidAttribute::new(attribute, rule));
    let prefix = Prefix::of(name);
    let path = attribute_text(&settings.path);
    let domain = attribute_text(&settings.domain);
    if !settings.secure.is_truthy() {
        if let Some(prefix) = prefix {
            return refuse("secure", prefix.needs_secure());
        }
        if matches!(&settings.same_site, Field::Text(text) if text.eq_ignore_ascii_case("none")) {
            return refuse("secure", "browsers drop a SameSite=None cookie that is not Secure");
        }
        if settings.partitioned.is_truthy() {
            return refuse("secure", "browsers drop a Partitioned cookie that is not Secure");
        }
    }
    if prefix.is_some_and(Prefix::is_http) && !settings.http_only.is_truthy() {
        return refuse("http_only", "browsers drop a __Http- cookie that is not HttpOnly");
    }
    if prefix.is_some_and(Prefix::is_host) {
        if domain.is_some() {
            return refuse("domain", "browsers drop a __Host- cookie that has a Domain");
        }
        if path.as_deref() != Some("/") {
            return refuse("path", "browsers drop a __Host- cookie with another Path than /");
        }
    }
    for (attribute, text) in [("path", &path), ("domain", &domain)] {
        if text.as_ref().is_some_and(|text| text.len() > LONGEST_ATTRIBUTE) {
            return refuse(attribute, "browsers ignore an attribute of more than 1024 bytes");
        }
    }
    if path.is_some_and(|path| !path.starts_with('/')) {
        return refuse("path", "browsers ignore a Path that does not begin with /");
    }
    Ok(())
}

const LONGEST_ATTRIBUTE: usize = 1024;

/// The prefixes of names that browsers give a meaning.
#[derive(Clone, Copy)]
enum Prefix {
    Secure,
    Http,
    Host,
    HostHttp,
}

impl Prefix {
    fn of(name: &str) -> Option<Self> {
        // `__Host-` is a prefix of `__Host-Http-`.
        [
            ("__Host-Http-", Self::HostHttp),
            ("__Host-", Self::Host),
            ("__Http-", Self::Http),
            ("__Secure-", Self::Secure),
        ]
        .into_iter()
        .find(|(text, _)| {
            name.get(..text.len()).is_some_and(|front| front.eq_ignore_ascii_case(text))
        })
        .map(|(_, prefix)| prefix)
    }

    fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::HostHttp)
    }

    fn is_host(self) -> bool {
        matches!(self, Self::Host | Self::HostHttp)
    }

    fn needs_secure(self) -> &'static str {
        match self {
            Self::Secure => "browsers drop a __Secure- cookie that is not Secure",
            Self::Http => "browsers drop a __Http- cookie that is not Secure",
            Self::Host => "browsers drop a __Host- cookie that is not Secure",
            Self::HostHttp => "browsers drop a __Host-Http- cookie that is not Secure",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn refused(name: &str, stored: &str) -> Option<&'static str> {
        let cookie = StoredCookie::parse(stored, Timestamp::from_millis(0)).unwrap();
        check_browser_rules(name, &cookie).err().map(|refused| refused.attribute())
    }

    #[test]
    fn audit_m6_every_rule_of_browsers_names_the_setting_to_change() {
        let long = format!(r#"{{"path":"/{}"}}"#, "a".repeat(1024));
        for (name, stored, attribute) in [
            ("sid", "{}", None),
            ("sid", r#"{"path":"/a","domain":"a.example","httpOnly":false}"#, None),
            ("sid", r#"{"path":null}"#, None),
            ("__Secure-sid", "{}", Some("secure")),
            ("__Secure-sid", r#"{"secure":false}"#, Some("secure")),
            ("__Secure-sid", r#"{"secure":true,"path":"/a","domain":"a.example"}"#, None),
            ("__Host-sid", "{}", Some("secure")),
            ("__Host-sid", r#"{"secure":true}"#, None),
            ("__Host-sid", r#"{"secure":true,"domain":""}"#, None),
            ("__Host-sid", r#"{"secure":true,"domain":"a.example"}"#, Some("domain")),
            ("__Host-sid", r#"{"secure":true,"path":"/a"}"#, Some("path")),
            // Without the attribute, the path is that of the request.
            ("__Host-sid", r#"{"secure":true,"path":null}"#, Some("path")),
            ("__Host-sid", r#"{"secure":true,"path":""}"#, Some("path")),
            ("__Host-sid", r#"{"secure":true,"httpOnly":false}"#, None),
            ("__Http-sid", r#"{"httpOnly":true}"#, Some("secure")),
            ("__Http-sid", r#"{"secure":true,"httpOnly":false}"#, Some("http_only")),
            ("__Http-sid", r#"{"secure":true,"path":"/a"}"#, None),
            ("__Host-Http-sid", r#"{"secure":true,"httpOnly":false}"#, Some("http_only")),
            ("__Host-Http-sid", r#"{"secure":true,"path":"/a"}"#, Some("path")),
            ("__hOST-sid", r#"{"secure":true,"path":"/a"}"#, Some("path")),
            ("__SECURE-sid", "{}", Some("secure")),
            ("__host-http-sid", r#"{"secure":true,"httpOnly":0}"#, Some("http_only")),
            ("__Host", "{}", None),
            ("_Host-sid", "{}", None),
            ("sid__Host-", "{}", None),
            ("sid", r#"{"sameSite":"none"}"#, Some("secure")),
            ("sid", r#"{"sameSite":"NONE","secure":0}"#, Some("secure")),
            ("sid", r#"{"sameSite":"none","secure":true}"#, None),
            ("sid", r#"{"sameSite":false}"#, None),
            ("sid", r#"{"partitioned":true}"#, Some("secure")),
            ("sid", r#"{"partitioned":true,"secure":true}"#, None),
            ("sid", r#"{"path":"admin"}"#, Some("path")),
            ("sid", &long, Some("path")),
        ] {
            assert_eq!(refused(name, stored), attribute, "{name} {stored}");
        }
    }
}
