//! Writes the `Set-Cookie` header, byte for byte like `cookie.serialize` 0.7.2 (items 34 and 35).
//!
//! 1. `name=value`, then `Domain`, `Path`, `Expires`, `HttpOnly`, `Secure`, `Partitioned`, `Priority`,
//!    `SameSite`, in this order, each only if it is set. `Max-Age` is never written.
//! 2. The value is encoded like `encodeURIComponent`.
//! 3. A value that would break out of its attribute (CVE-2024-47764) is refused.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::attribute::{InvalidAttribute, check_domain, check_path};
use super::field::Field;
use super::stored::StoredCookie;
use crate::Timestamp;
use crate::record::json;

/// Writes the `Set-Cookie` header for a value (not yet percent-encoded) and a session's cookie.
///
/// The name must have passed [`check_name`](super::check_name).
///
/// # Errors
///
/// [`InvalidAttribute`] if a stored record or a handler set an attribute to a value that a header cannot contain.
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

/// Writes the `Set-Cookie` header that expires a session's cookie in the browser: without a value, and with an expiry in
/// 1970. The other attributes stay the same, since a browser identifies a cookie by them.
///
/// # Errors
///
/// The errors of [`print()`].
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

/// Writes an attribute that is one of a few words, in any case.
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

/// Returns a value as JavaScript converts it to a string, or `None` if JavaScript treats it as false.
pub(super) fn attribute_text(field: &Field) -> Option<Cow<'_, str>> {
    field.is_truthy().then(|| match field {
        Field::Text(text) => Cow::Borrowed(&**text),
        Field::Bool(_) => Cow::Borrowed("true"),
        Field::Number(number) => {
            let mut text = String::new();
            json::push_number(*number, &mut text);
            Cow::Owned(text)
        }
        Field::Date(None) => Cow::Borrowed("Invalid Date"),
        Field::Date(Some(date)) => Cow::Owned(date.iso()),
        Field::Json(text) => Cow::Borrowed(&**text),
        Field::Undefined | Field::Null => Cow::Borrowed(""),
    })
}

/// The characters that `encodeURIComponent` encodes (ECMA-262 §19.2.6.4).
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
    fn value_that_would_break_out_of_its_attribute_is_refused() {
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
}
