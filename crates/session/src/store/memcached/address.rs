//! Reads where the server is, and the store's options, from a URL.

use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};

/// A parsed URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) prefix: Option<String>,
    pub(super) ttl: Option<Duration>,
}

const PORT: u16 = 11211;

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let rest = url.strip_prefix("memcached://").ok_or_else(|| bad("it has another scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(bad("there is no login to a Memcached"));
        }
        if authority.contains(',') {
            return Err(bad("it has several hosts, where one server keeps all sessions"));
        }
        if authority.contains('/') {
            return Err(bad("it has a path; a prefix is given as ?prefix="));
        }
        let (host, port) = host_and_port(authority)?;
        let mut address = Self { host: host.into(), port, prefix: None, ttl: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "prefix" => address.prefix = Some(decoded(value)?),
                "ttl" => {
                    let seconds = value.parse().map_err(|_| bad("its ttl is no number"))?;
                    address.ttl = Some(Duration::from_secs(seconds));
                }
                _ => return Err(bad("it has a parameter that is not known")),
            }
        }
        Ok(address)
    }
}

fn host_and_port(authority: &str) -> Result<(&str, u16), Error> {
    let (host, port) = match authority.strip_prefix('[') {
        // An IPv6 address, whose colons are its own.
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| bad("a ] is missing"))?;
            (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    if host.is_empty() {
        return Err(bad("it has no host"));
    }
    match port {
        Some("") => Ok((host, PORT)),
        Some(port) => Ok((host, port.parse().map_err(|_| bad("its port is no number"))?)),
        None => Err(bad("its port is no number")),
    }
}

fn decoded(quoted: &str) -> Result<String, Error> {
    let wrong = || bad("a % in it is not followed by two digits of UTF-8");
    let mut parts = quoted.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(wrong)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Makes an error that does not show the URL, since one for another server may hold a password.
fn bad(why: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the URL is not that of a Memcached: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> (String, u16, Option<String>, Option<u64>) {
        let address = Address::parse(url).unwrap();
        let ttl = address.ttl.map(|ttl| ttl.as_secs());
        (address.host.into(), address.port, address.prefix, ttl)
    }

    #[test]
    fn host_port_and_options_are_read() {
        assert_eq!(read("memcached://localhost"), ("localhost".into(), 11211, None, None));
        assert_eq!(read("memcached://10.0.0.1:1/"), ("10.0.0.1".into(), 1, None, None));
        assert_eq!(read("memcached://[::1]"), ("::1".into(), 11211, None, None));
        assert_eq!(
            read("memcached://[::1]:2?prefix=sess:%C3%A9%3f&ttl=60"),
            ("::1".into(), 2, Some("sess:é?".into()), Some(60))
        );
        assert_eq!(read("memcached://a?prefix=").2, Some(String::new()));
    }

    #[test]
    fn error_names_the_fault_and_does_not_show_the_url() {
        for (url, why) in [
            ("redis://pw", "another scheme"),
            ("memcached://", "no host"),
            ("memcached://:11211", "no host"),
            ("memcached://user:pw@a", "no login"),
            ("memcached://a,pw", "several hosts"),
            ("memcached://a/pw", "a path"),
            ("memcached://a:pw", "port"),
            ("memcached://a:65536", "port"),
            ("memcached://[::1", "]"),
            ("memcached://[::1]pw", "port"),
            ("memcached://a?ttl=pw", "ttl"),
            ("memcached://a?prefix=%pw", "%"),
            ("memcached://a?prefix=%ff", "%"),
            ("memcached://a?tls=pw", "not known"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other);
            assert!(error.to_string().contains(why), "{url}: {error}");
            assert!(!error.to_string().contains("pw"), "{url}: {error}");
        }
    }
}
