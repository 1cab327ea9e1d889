//! The parameters of a URL, and errors that name them.

use express_session_core::store::{Error, ErrorKind};

/// Decodes percent-encoding; `None` if the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Splits a query into names and values, which are still encoded.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Returns whether a name may be shown: one that cannot be an option's may be a secret in the wrong place.
pub(super) fn is_name(name: &str, value: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-';
    !value.is_empty() && name.len() <= 40 && name.bytes().all(is_letter)
}

/// A parameter of a URL.
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) value: String,
}

impl<'a> Parameter<'a> {
    /// Reads the parameters of a query.
    pub(super) fn all(query: &'a str) -> Result<Vec<Self>, Error> {
        let parameters = pairs(query).map(|(name, value)| match decode(value) {
            Some(value) => Ok(Self { name, value }),
            None => Err(bad("a parameter of the URL is not UTF-8 where it has a %")),
        });
        parameters.collect()
    }

    /// Makes an error without the value, which may be a secret. The store knows the name.
    pub(super) fn unfit(&self, expected: &str) -> Error {
        bad(format!("the parameter {} of the URL is not {expected}", self.name))
    }

    /// Makes the error of a parameter that the store does not have, with what to do instead, if that is known.
    pub(super) fn unknown(&self, instead: Option<&str>) -> Error {
        if let Some(instead) = instead {
            return bad(format!("the store has no parameter {}: {instead}", self.name));
        }
        if is_name(self.name, &self.value) {
            return bad(format!("the store has no parameter {}", self.name));
        }
        bad("the URL has a parameter that the store does not know")
    }

    /// Reads the file that the parameter names. Certificates ask for encryption: without the feature an error says that
    /// it is missing, and no file is read.
    pub(super) fn file(&self) -> Result<Vec<u8>, Error> {
        if cfg!(not(feature = "tls")) {
            return Ok(Vec::new());
        }
        let read = std::fs::read(&self.value);
        read.map_err(|error| self.unfit("a file that can be read").with_source(error))
    }
}

/// Finds the advice for a name in a table of names and what to do instead.
pub(super) fn instead(table: &[(&[&str], &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(names, _)| names.contains(&name)).map(|(_, instead)| *instead)
}

/// Makes an error about a URL, which it does not show.
pub(super) fn bad(message: impl Into<std::sync::Arc<str>>) -> Error {
    Error::new(ErrorKind::Other, message)
}

/// Returns whether a PEM has a section of this kind; `RSA PRIVATE KEY` is one of `PRIVATE KEY`.
#[cfg(feature = "tls")]
pub(super) fn holds(pem: &[u8], kind: &str) -> bool {
    String::from_utf8_lossy(pem).lines().any(|line| {
        line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----"))
    })
}
