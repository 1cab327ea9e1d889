//! Checks the name and the attributes of a cookie.

use std::fmt;

/// Checks a cookie's name: a token of RFC 9110 §5.6.2.
///
/// # Errors
///
/// [`InvalidAttribute`] if it is not valid.
pub fn check_name(name: &str) -> Result<(), InvalidAttribute> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_token) {
        return Ok(());
    }
    Err(InvalidAttribute::new("name", name))
}

/// Checks a cookie's domain: labels of letters, digits and inner hyphens, optionally with a leading dot.
///
/// # Errors
///
/// [`InvalidAttribute`] if it is not valid.
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

/// Checks a cookie's path: printable ASCII without `;` and `<`, like `cookie` 0.7.2.
///
/// # Errors
///
/// [`InvalidAttribute`] if it is not valid.
pub fn check_path(path: &str) -> Result<(), InvalidAttribute> {
    if path.bytes().all(|byte| matches!(byte, 0x20..=0x3a | 0x3d..=0x7e)) {
        return Ok(());
    }
    Err(InvalidAttribute::new("path", path))
}

/// An attribute that cannot be written into a `Set-Cookie` header.
///
/// ```
/// use express_session_core::cookie::check_domain;
///
/// let refused = check_domain("a.com; Path=/x").unwrap_err();
/// assert_eq!((refused.attribute(), refused.value()), ("domain", "a.com; Path=/x"));
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

    /// Returns the name of the attribute as an option: `domain`, `path`, `max_age`, …
    #[must_use]
    pub fn attribute(&self) -> &'static str {
        self.attribute
    }

    /// Returns the value that was refused.
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

#[cfg(test)]
mod tests {
    use super::*;

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
            ["", ".", "a.", "..a", "-a.com", "a-.com", "a_b.com", "a b", "a:1", "é.com", &too_long]
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
