//! The checks that the warnings of JavaScript need: weak secrets, and cookies that browsers drop.

use express_session_core::cookie::check_browser_rules;
use express_session_core::signing::check_secret;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use super::signer;

/// Returns the reason why a secret is weak, which shows nothing of it, or `undefined` for a strong one.
#[napi(catch_unwind)]
#[must_use]
pub fn weakness_of(secret: Uint8Array) -> Option<String> {
    check_secret(&secret).err().map(|weak| weak.to_string())
}

/// A rule of browsers that a cookie breaks.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct BrokenRule {
    /// The attribute to change: `secure`, `httpOnly`, `path` or `domain`.
    pub attribute: String,
    /// The reaction of browsers to the cookie, and its reason.
    pub rule: String,
}

/// Returns the first rule of browsers that a cookie breaks, if there is one. A cookie that no header can carry breaks
/// none. The arguments are those of [`signer::print_cookie`].
#[allow(
    clippy::too_many_arguments,
    reason = "the attributes are passed as to the functions that print a cookie"
)]
#[napi(catch_unwind)]
#[must_use]
pub fn broken_rule(
    name: String,
    flags: u32,
    expires: Option<f64>,
    path: Option<String>,
    domain: Option<String>,
    priority: Option<String>,
    same_site: Option<String>,
) -> Option<BrokenRule> {
    let cookie =
        signer::attributes(&name, flags, expires, path, domain, priority, same_site).ok()?;
    let broken = check_browser_rules(&name, &cookie).err()?;
    let attribute = match broken.attribute() {
        "http_only" => "httpOnly",
        other => other,
    };
    Some(BrokenRule { attribute: attribute.to_owned(), rule: broken.value().to_owned() })
}
