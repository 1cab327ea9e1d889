//! Whether a request came over HTTPS (item 45).
//!
//! 1. A [`SecureConnection`] among the request's extensions, or the application's own function says so: yes,
//!    regardless of the rest.
//! 2. `proxy(false)`: no, then.
//! 3. `proxy(None)`, the default: the URI's scheme, where the framework or HTTP/2 gives one.
//! 4. `proxy(true)`: the first item of `X-Forwarded-Proto`, else (departure 5) the `proto` of the first
//!    element of `Forwarded` (RFC 7239 §4).

use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;

use crate::middleware::quoted::separates;
use crate::middleware::request_view::RequestView;

/// Marks a request as received over TLS. Insert it where TLS is terminated in this process.
///
/// ```
/// use express_session::{Cookie, SecureConnection, SessionLayer};
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(SecureConnection);
///
/// let layer = SessionLayer::new("keyboard cat").cookie(Cookie::new().secure(true));
/// # let set_cookie = on::Browser::new(layer).send(request, on::change);
/// // This request may be answered with a `Secure` cookie.
/// assert!(set_cookie.is_some());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SecureConnection;

/// Checks whether the first proxy spoke HTTPS with the browser.
pub(crate) fn is_forwarded_https(headers: &HeaderMap, read_forwarded: bool) -> bool {
    if let Some(protocols) = headers.get("x-forwarded-proto") {
        // Node joins several headers with a comma, so the first header has the first item.
        let first = protocols.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default();
        return first.trim_ascii().eq_ignore_ascii_case(b"https");
    }
    read_forwarded
        && headers
            .get("forwarded")
            .is_some_and(|elements| first_element(elements.as_bytes()).any(is_https_proto))
}

/// Returns the pairs of the first element of a `Forwarded` header. A quoted value may hold separators.
fn first_element(elements: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_comma, mut is_semicolon) = (separates(','), separates(';'));
    let end = elements.iter().position(|byte| is_comma(char::from(*byte)));
    elements[..end.unwrap_or(elements.len())].split(move |byte| is_semicolon(char::from(*byte)))
}

/// Checks whether a pair of a `Forwarded` element is `proto=https`, quoted or not.
fn is_https_proto(pair: &[u8]) -> bool {
    let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { return false };
    let (name, value) = (&pair[..equals], pair[equals + 1..].trim_ascii());
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    };
    name.trim_ascii().eq_ignore_ascii_case(b"proto") && value.eq_ignore_ascii_case(b"https")
}

/// A function of the application that knows of TLS.
pub(crate) type SecureWhen = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

/// The settings by which a layer decides whether a request is secure.
#[derive(Clone, Default)]
pub(crate) struct Connection {
    pub(crate) proxy: Option<bool>,
    pub(crate) secure_when: Option<SecureWhen>,
}

impl Connection {
    pub(crate) fn is_secure(&self, request: &RequestView<'_>, read_forwarded: bool) -> bool {
        let marked = request.extensions.get::<SecureConnection>().is_some()
            || self
                .secure_when
                .as_ref()
                .zip(request.parts)
                .is_some_and(|(secure, parts)| secure(parts));
        marked
            || match self.proxy {
                Some(false) => false,
                None => request.uri.scheme() == Some(&http::uri::Scheme::HTTPS),
                Some(true) => is_forwarded_https(request.headers, read_forwarded),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn is_secure(proxy: Option<bool>, request: &Parts) -> bool {
        Connection { proxy, secure_when: None }.is_secure(&request.into(), true)
    }

    #[test]
    fn proxy_header_counts_only_under_proxy() {
        let request = parts("/", &[("x-forwarded-proto", "https")]);
        assert!(is_secure(Some(true), &request));
        assert!(!is_secure(None, &request));
        assert!(!is_secure(Some(false), &request));
    }

    #[test]
    fn first_protocol_counts() {
        for (protocols, secure) in [
            ("https", true),
            ("HTTPS , http", true),
            (" https", true),
            ("http,https", false),
            ("https2", false),
            ("", false),
            (",https", false),
        ] {
            let request = parts("/", &[("x-forwarded-proto", protocols)]);
            assert_eq!(is_secure(Some(true), &request), secure, "{protocols:?}");
        }
    }

    #[test]
    fn forwarded_is_read_where_there_is_no_x_forwarded_proto() {
        for (forwarded, secure) in [
            ("proto=https", true),
            ("for=192.0.2.60;proto=https;by=203.0.113.43", true),
            ("for=\"[::1]\"; Proto=\"HTTPS\"", true),
            ("proto=http, proto=https", false),
            ("for=https", false),
            ("host=\"proto=https\"", false),
            ("for=\"a;proto=https\"", false),
            ("for=\"a,b\\\";\";proto=https", true),
            ("", false),
        ] {
            let request = parts("/", &[("forwarded", forwarded)]);
            assert_eq!(is_secure(Some(true), &request), secure, "{forwarded:?}");
            assert!(!is_forwarded_https(&request.headers, false));
        }
        let both = parts("/", &[("x-forwarded-proto", "http"), ("forwarded", "proto=https")]);
        assert!(!is_secure(Some(true), &both));
    }

    /// A pair is found before what follows is read, and nothing is kept of it.
    #[test]
    fn audit_l7_many_separators_are_read_one_by_one() {
        let many = [";".repeat(50_000), "proto=https".to_owned(), ",".repeat(50_000)].concat();
        let mut pairs = first_element(many.as_bytes());
        // A list would know its length.
        assert!(size_of_val(&pairs) <= 64 && pairs.size_hint().0 <= 1);
        assert_eq!(pairs.by_ref().take(50_000).filter(|pair| !pair.is_empty()).count(), 0);
        assert_eq!(pairs.next(), Some(&b"proto=https"[..]));
        assert_eq!(pairs.next(), None);
    }

    #[test]
    fn scheme_counts_unless_proxy_is_false() {
        let request = parts("https://example.com/", &[]);
        assert!(is_secure(None, &request));
        assert!(!is_secure(Some(false), &request));
        assert!(!is_secure(Some(true), &request));
        assert!(!is_secure(None, &parts("http://example.com/", &[])));
    }

    #[test]
    fn marker_and_function_count_always() {
        let mut request = parts("/", &[]);
        let own = Connection { proxy: Some(false), secure_when: Some(Arc::new(|_| true)) };
        assert!(own.is_secure(&(&request).into(), true));
        request.extensions.insert(SecureConnection);
        for proxy in [None, Some(false), Some(true)] {
            assert!(is_secure(proxy, &request));
        }
    }
}
