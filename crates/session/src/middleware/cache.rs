//! Keeps a response that sets the session's cookie out of shared caches.
//!
//! A `Set-Cookie` header alone does not (RFC 9111 §7.3): a cache that stores the response hands the visitor's id to the
//! next visitor.
//!
//! 1. `Cache-Control` gets `private` or `no-store`. A stricter directive of the application stays, and so does any other.
//! 2. `public` and `s-maxage`, which permit shared caches to store it, are removed, and `must-understand`, which makes
//!    caches ignore `no-store` (§5.2.2.3).
//! 3. Headers for some caches only, which these read in place of `Cache-Control` (RFC 9213, `CDN-Cache-Control` and the
//!    like; `Surrogate-Control`), become `no-store` where the application has set them.

use express_session_core::CacheHeaders;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::quoted::separates;

pub(super) fn keep_out_of_shared_caches(headers: &mut HeaderMap, cache: CacheHeaders) {
    let (needed, stricter) = match cache {
        CacheHeaders::Private => ("private", "no-store"),
        CacheHeaders::NoStore => ("no-store", "no-store"),
    };
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(needed));
    } else {
        let lines: Vec<&str> = headers
            .get_all(CACHE_CONTROL)
            .iter()
            // Bytes beyond ASCII are no directive.
            .filter_map(|line| line.to_str().ok())
            .collect();
        let lines = lines.join(",");
        let mut kept: Vec<&str> =
            directives(&lines).filter(|directive| !permits(directive)).collect();
        let has = |name: &str| kept.iter().any(|directive| directive.eq_ignore_ascii_case(name));
        if !has(needed) && !has(stricter) {
            kept.push(needed);
        }
        // The parts of a header's value are one too.
        let value = HeaderValue::from_str(&kept.join(", "));
        headers.insert(CACHE_CONTROL, value.unwrap_or(HeaderValue::from_static("no-store")));
    }
    let is_targeted = |name: &&HeaderName| {
        name.as_str().ends_with("cdn-cache-control") || *name == "surrogate-control"
    };
    let targeted: Vec<_> = headers.keys().filter(is_targeted).cloned().collect();
    for name in targeted {
        headers.insert(name, HeaderValue::from_static("no-store"));
    }
}

/// Splits at commas outside of quoted strings.
fn directives(lines: &str) -> impl Iterator<Item = &str> {
    lines.split(separates(',')).map(str::trim).filter(|directive| !directive.is_empty())
}

/// Checks whether a directive lets shared caches store a response, in spite of `private` or `no-store`.
fn permits(directive: &&str) -> bool {
    let name = directive.split('=').next().unwrap_or_default().trim_end();
    ["public", "s-maxage", "must-understand"].iter().any(|other| name.eq_ignore_ascii_case(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restricted(lines: &[&'static str], cache: CacheHeaders) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
        }
        keep_out_of_shared_caches(&mut headers, cache);
        let lines = headers.get_all(CACHE_CONTROL).iter();
        lines.map(|line| line.to_str().unwrap()).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn audit_m7_the_directive_is_added_and_stricter_ones_stay() {
        for (lines, private, no_store) in [
            (&[][..], "private", "no-store"),
            (&["no-store"], "no-store", "no-store"),
            (&["No-Store, max-age=0"], "No-Store, max-age=0", "No-Store, max-age=0"),
            (&["private"], "private", "private, no-store"),
            (&["PRIVATE, max-age=60"], "PRIVATE, max-age=60", "PRIVATE, max-age=60, no-store"),
            (&["max-age=60"], "max-age=60, private", "max-age=60, no-store"),
            (
                &["no-cache", "must-revalidate"],
                "no-cache, must-revalidate, private",
                "no-cache, must-revalidate, no-store",
            ),
            (
                &["public, max-age=31536000, immutable"],
                "max-age=31536000, immutable, private",
                "max-age=31536000, immutable, no-store",
            ),
            (&["Public", "S-MaxAge = 60"], "private", "no-store"),
            // Only a part of the response is private.
            (
                &["private=\"x, public\", no-cache=\"set-cookie\""],
                "private=\"x, public\", no-cache=\"set-cookie\", private",
                "private=\"x, public\", no-cache=\"set-cookie\", no-store",
            ),
            (
                &["a=\"\\\", public\", public"],
                "a=\"\\\", public\", private",
                "a=\"\\\", public\", no-store",
            ),
            // A cache that knows the status ignores `no-store` (RFC 9111 §5.2.2.3).
            (&["must-understand, no-store"], "no-store", "no-store"),
            (&["", ", ,"], "private", "no-store"),
            (&["x=\"public"], "x=\"public, private", "x=\"public, no-store"),
        ] {
            assert_eq!(restricted(lines, CacheHeaders::Private), private, "{lines:?}");
            assert_eq!(restricted(lines, CacheHeaders::NoStore), no_store, "{lines:?}");
        }
    }

    #[test]
    fn audit_m7_headers_for_some_caches_permit_nothing_either() {
        let mut headers = HeaderMap::new();
        for name in ["cdn-cache-control", "cloudflare-cdn-cache-control", "surrogate-control", "x"]
        {
            headers.append(name, HeaderValue::from_static("max-age=600"));
        }
        keep_out_of_shared_caches(&mut headers, CacheHeaders::Private);
        for (name, value) in &headers {
            let expected = match name.as_str() {
                "cache-control" => "private",
                "x" => "max-age=600",
                _ => "no-store",
            };
            assert_eq!(value, expected, "{name}");
        }
    }
}
