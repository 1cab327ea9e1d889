//! Writes the `Set-Cookie` header, byte for byte as `cookie.serialize` 0.7.2 does (items 34 and 35).
//!
//! 1. `name=value`, then `Domain`, `Path`, `Expires`, `HttpOnly`, `Secure`, `Partitioned`, `Priority`,
//!    `SameSite`, in this order, each only where it is set. `Max-Age` is never written.
//! 2. The value is encoded as `encodeURIComponent` does.
//! 3. What would break out of its attribute (CVE-2024-47764) is refused.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::stored::{Field, StoredCookie};
use crate::Timestamp;
use crate::record::json;

/// An attribute that cannot be written into a `Set-Cookie` header.
///
/// ```
/// use express_session_core::cookie::check_domain;
///
/// let refused = check_domain("a.com; Path=/x").unwrap_err();
/// assert_eq!(refused.to_string(), r#"invalid cookie domain "a.com; Path=/x""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAttribute {
    attribute: &'static str,
    value: String,
}

impl InvalidAttribute {
    pub(super) fn new(attribute: &'static str, value: impl Into<String>) -> Self {
        Self { attribute, value: value.into() }
    }

    /// Names the attribute, in the words of the options: `domain`, `path`, `max_age`, …
    ///
    /// ```
    /// use express_session_core::cookie::check_domain;
    ///
    /// let refused = check_domain("a..com").unwrap_err();
    /// assert_eq!(refused.attribute(), "domain");
    /// ```
    #[must_use]
    pub fn attribute(&self) -> &'static str {
        self.attribute
    }

    /// Shows the value that was refused.
    ///
    /// ```
    /// use express_session_core::cookie::check_domain;
    ///
    /// let refused = check_domain("a..com").unwrap_err();
    /// assert_eq!(refused.value(), "a..com");
    /// ```
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for InvalidAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid cookie {} {:?}", self.attribute, self.value)
    }
}

impl std::error::Error for InvalidAttribute {}

/// Writes the `Set-Cookie` header for a value (not yet percent-encoded) and a session's cookie.
///
/// The name must have passed [`check_name`].
///
/// # Errors
///
/// [`InvalidAttribute`] for an attribute that a stored record or a handler set to something that no
/// header can carry.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::cookie::{Cookie, SameSite, StoredCookie, print};
///
/// let options = Cookie::new().same_site(SameSite::Lax).secure(true);
/// let cookie = StoredCookie::new(&options, Timestamp::from_millis(0), true, true);
/// let header = print("connect.sid", "s:id.signature", &cookie)?;
/// assert_eq!(header, "connect.sid=s%3Aid.signature; Path=/; HttpOnly; Secure; SameSite=Lax");
/// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
/// ```
pub fn print(name: &str, value: &str, cookie: &StoredCookie) -> Result<String, InvalidAttribute> {
    let mut out = String::with_capacity(name.len() + value.len() + 128);
    out.push_str(name);
    out.push('=');
    out.extend(utf8_percent_encode(value, &COMPONENT));
    push_attributes(cookie, &cookie.expires, &mut out)?;
    Ok(out)
}

/// Writes the `Set-Cookie` header that makes a browser forget a session's cookie: no value, and an
/// end in 1970. The other attributes are those it was set with, since a browser tells cookies apart by them.
///
/// # Errors
///
/// As [`print()`].
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::cookie::{Cookie, StoredCookie, print_expired};
///
/// let cookie = StoredCookie::new(&Cookie::new(), Timestamp::from_millis(0), false, true);
/// let header = print_expired("sid", &cookie)?;
/// assert_eq!(header, "sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly");
/// # Ok::<(), express_session_core::cookie::InvalidAttribute>(())
/// ```
pub fn print_expired(name: &str, cookie: &StoredCookie) -> Result<String, InvalidAttribute> {
    let mut out = String::with_capacity(name.len() + 128);
    out.push_str(name);
    out.push('=');
    push_attributes(cookie, &Field::Date(Some(Timestamp::from_millis(0))), &mut out)?;
    Ok(out)
}

/// Checks a cookie's name: a token of RFC 9110 §5.6.2.
///
/// # Errors
///
/// [`InvalidAttribute`] where it is none.
///
/// ```
/// use express_session_core::cookie::check_name;
///
/// assert!(check_name("__Host-sid").is_ok());
/// assert!(check_name("my session").is_err());
/// ```
pub fn check_name(name: &str) -> Result<(), InvalidAttribute> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_token) {
        return Ok(());
    }
    Err(InvalidAttribute::new("name", name))
}

/// Checks a cookie's domain: labels of letters, digits and inner hyphens, with a dot in front or not.
///
/// # Errors
///
/// [`InvalidAttribute`] where it is none.
///
/// ```
/// use express_session_core::cookie::check_domain;
///
/// assert!(check_domain(".example.com").is_ok());
/// assert!(check_domain("example.com:3000").is_err());
/// ```
pub fn check_domain(domain: &str) -> Result<(), InvalidAttribute> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.strip_prefix('.').unwrap_or(domain).split('.').all(is_label) {
        return Ok(());
    }
    Err(InvalidAttribute::new("domain", domain))
}

/// Checks a cookie's path: printable ASCII without a semicolon and a `<`, as `cookie` 0.7.2 has it.
///
/// # Errors
///
/// [`InvalidAttribute`] where it is none.
///
/// ```
/// use express_session_core::cookie::check_path;
///
/// assert!(check_path("/admin").is_ok());
/// assert!(check_path("/; Domain=evil.example").is_err());
/// ```
pub fn check_path(path: &str) -> Result<(), InvalidAttribute> {
    if path.bytes().all(|byte| matches!(byte, 0x20..=0x3a | 0x3d..=0x7e)) {
        return Ok(());
    }
    Err(InvalidAttribute::new("path", path))
}

fn push_attributes(
    cookie: &StoredCookie,
    expires: &Field,
    out: &mut String,
) -> Result<(), InvalidAttribute> {
    if let Some(domain) = attribute_text(&cookie.settings.domain) {
        check_domain(&domain)?;
        out.push_str("; Domain=");
        out.push_str(&domain);
    }
    if let Some(path) = attribute_text(&cookie.settings.path) {
        check_path(&path)?;
        out.push_str("; Path=");
        out.push_str(&path);
    }
    if expires.is_truthy() {
        let Field::Date(Some(date)) = expires else { return Err(invalid("expires", expires)) };
        out.push_str("; Expires=");
        date.push_http_date(out);
    }
    for (name, field) in [
        ("; HttpOnly", &cookie.settings.http_only),
        ("; Secure", &cookie.settings.secure),
        ("; Partitioned", &cookie.settings.partitioned),
    ] {
        if field.is_truthy() {
            out.push_str(name);
        }
    }
    push_word(
        "priority",
        "; Priority=",
        &cookie.settings.priority,
        &["Low", "Medium", "High"],
        out,
    )?;
    if cookie.settings.same_site == Field::Bool(true) {
        out.push_str("; SameSite=Strict");
        return Ok(());
    }
    push_word(
        "same_site",
        "; SameSite=",
        &cookie.settings.same_site,
        &["Lax", "Strict", "None"],
        out,
    )
}

/// Writes an attribute that is one of a few words, whatever its case.
fn push_word(
    attribute: &'static str,
    prefix: &str,
    field: &Field,
    words: &[&str],
    out: &mut String,
) -> Result<(), InvalidAttribute> {
    if !field.is_truthy() {
        return Ok(());
    }
    let Field::Text(text) = field else { return Err(invalid(attribute, field)) };
    let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(text)) else {
        return Err(invalid(attribute, field));
    };
    out.push_str(prefix);
    out.push_str(word);
    Ok(())
}

fn invalid(attribute: &'static str, field: &Field) -> InvalidAttribute {
    InvalidAttribute::new(attribute, attribute_text(field).unwrap_or_default())
}

/// Gives what JavaScript makes of a value in a text, or `None` for what it takes for false.
fn attribute_text(field: &Field) -> Option<String> {
    field.is_truthy().then(|| match field {
        Field::Text(text) => text.clone().into_owned(),
        Field::Bool(_) => "true".to_owned(),
        Field::Number(number) => {
            let mut text = String::new();
            json::push_number(*number, &mut text);
            text
        }
        Field::Date(date) => date.map_or_else(|| "Invalid Date".to_owned(), Timestamp::iso),
        Field::Json(text) => text.clone().into_string(),
        Field::Undefined | Field::Null => String::new(),
    })
}

/// What `encodeURIComponent` encodes (ECMA-262 §19.2.6.4).
const COMPONENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cookie::{Cookie, Priority, SameSite};

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

    fn header(stored: &str) -> Result<String, InvalidAttribute> {
        print("n", "v", &StoredCookie::parse(stored, NOW).unwrap())
    }

    #[test]
    fn every_attribute_has_its_place() {
        let options = Cookie::new()
            .domain("example.com")
            .max_age(Duration::from_secs(60))
            .secure(true)
            .partitioned(true)
            .priority(Priority::High)
            .same_site(SameSite::Lax);
        let cookie = StoredCookie::new(&options, NOW, true, true);
        assert_eq!(
            print("connect.sid", "s:a b/é+'()", &cookie).unwrap(),
            "connect.sid=s%3Aa%20b%2F%C3%A9%2B'(); Domain=example.com; Path=/; \
             Expires=Tue, 14 Nov 2023 22:14:20 GMT; HttpOnly; Secure; Partitioned; Priority=High; \
             SameSite=Lax"
        );
        assert_eq!(
            print_expired("connect.sid", &cookie).unwrap(),
            "connect.sid=; Domain=example.com; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; \
             HttpOnly; Secure; Partitioned; Priority=High; SameSite=Lax"
        );
    }

    #[test]
    fn stored_values_are_written_as_javascript_writes_them() {
        for (stored, written) in [
            (r"{}", "n=v; Path=/; HttpOnly"),
            (r#"{"httpOnly":false,"path":null,"secure":0,"sameSite":false,"priority":""}"#, "n=v"),
            (
                r#"{"sameSite":true,"priority":"HIGH"}"#,
                "n=v; Path=/; HttpOnly; Priority=High; SameSite=Strict",
            ),
            (
                r#"{"sameSite":"NONE","secure":"auto"}"#,
                "n=v; Path=/; HttpOnly; Secure; SameSite=None",
            ),
            (r#"{"domain":5,"path":true}"#, "n=v; Domain=5; Path=true; HttpOnly"),
            (r#"{"domain":".a-b.example"}"#, "n=v; Domain=.a-b.example; Path=/; HttpOnly"),
        ] {
            assert_eq!(header(stored).as_deref(), Ok(written), "{stored}");
        }
    }

    #[test]
    fn what_would_break_out_of_its_attribute_is_refused() {
        for (stored, attribute) in [
            (r#"{"path":"/; Secure"}"#, "path"),
            (r#"{"path":"/\n"}"#, "path"),
            (r#"{"path":"/é"}"#, "path"),
            (r#"{"domain":"a.com; Path=/x"}"#, "domain"),
            (r#"{"domain":"a..com"}"#, "domain"),
            (r#"{"domain":"-a.com"}"#, "domain"),
            (r#"{"domain":"."}"#, "domain"),
            (r#"{"domain":{}}"#, "domain"),
            (r#"{"expires":1700000030123}"#, "expires"),
            (r#"{"expires":"garbage"}"#, "expires"),
            (r#"{"priority":"bogus"}"#, "priority"),
            (r#"{"priority":true}"#, "priority"),
            (r#"{"sameSite":"auto"}"#, "same_site"),
            (r#"{"sameSite":1}"#, "same_site"),
        ] {
            assert_eq!(header(stored).unwrap_err().attribute(), attribute, "{stored}");
        }
    }

    #[test]
    fn name_is_a_token() {
        assert!(check_name("__Host-connect.sid").is_ok());
        for name in ["", "a b", "a;b", "a=b", "é", "a\n", "(a)"] {
            let refused = check_name(name).unwrap_err();
            assert_eq!((refused.attribute(), refused.value()), ("name", name));
            assert_eq!(refused.to_string(), format!("invalid cookie name {name:?}"));
        }
    }

    #[test]
    fn domain_is_labels_of_letters_digits_and_inner_hyphens() {
        let longest = "a".repeat(63);
        for domain in ["example.com", ".example.com", "a-b.c", "1.2", "localhost", &longest] {
            assert_eq!(check_domain(domain), Ok(()), "{domain}");
        }
        let too_long = "a".repeat(64);
        for domain in
            ["", ".", "a.", "..a", "-a.com", "a-.com", "a_b.com", "a b", "é.com", &too_long]
        {
            assert!(check_domain(domain).is_err(), "{domain}");
        }
    }

    #[test]
    fn path_is_printable_ascii_without_semicolon_and_less_than() {
        assert_eq!(check_path("/ !:=>?~"), Ok(()));
        for path in ["/;", "/<", "/\u{1f}", "/\u{7f}", "/é"] {
            assert_eq!(check_path(path).unwrap_err().attribute(), "path", "{path:?}");
        }
    }
}
