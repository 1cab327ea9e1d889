//! Presets: functions that set options of a layer. Each option can be set again afterwards.
//!
//! | option | [`owasp`] | [`nist_aal2`] | [`SessionLayer::hardened`] |
//! |---|---|---|---|
//! | [`name`](SessionLayer::name) | `__Host-sid` | `__Host-sid` | `__Host-sid` |
//! | [`cookie`](SessionLayer::cookie) | `Secure`, `HttpOnly`, `SameSite=Lax`, `Path=/` | the same | the same |
//! | [`idle_timeout`](SessionLayer::idle_timeout) | 30 min | 1 h | 30 min |
//! | [`absolute_timeout`](SessionLayer::absolute_timeout) | 12 h | 24 h | 12 h |
//! | [`renew_after`](SessionLayer::renew_after) | – | – | 15 min |
//! | [`refuse_weak_secrets`](SessionLayer::refuse_weak_secrets) | on | on | on |
//! | [`cache_headers`](SessionLayer::cache_headers) | [`NoStore`](CacheHeaders::NoStore) | the same | the same |
//! | [`clear_site_data`](SessionLayer::clear_site_data) | on | on | on |
//! | [`ambiguous_cookie`](SessionLayer::ambiguous_cookie) | – | – | [`Refuse`](AmbiguousCookie::Refuse) |
//! | [`late_write`](SessionLayer::late_write) | – | – | [`Refuse`](LateWrite::Refuse) |
//! | [`harden_stored_cookies`](SessionLayer::harden_stored_cookies) | – | – | on |
//! | [`key_per_name`](SessionLayer::key_per_name) | – | – | on |
//!
//! The times of `owasp` are those of the Session Management Cheat Sheet for low-risk applications (15 to 30 minutes idle), and
//! those of `nist_aal2` of SP 800-63B-4 §2.2.3. A dash leaves the option as it is. [`SessionLayer::report`] shows what a layer
//! meets.

use std::time::Duration;

use express_session_core::cookie::{Cookie, SameSite};
use express_session_core::{AmbiguousCookie, CacheHeaders, LateWrite};

use super::SessionLayer;
use super::config::Secret;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Sets what OWASP's Session Management Cheat Sheet and ASVS 5.0 ask of a layer, on records and cookies that Express
/// reads with the same options.
///
/// ```
/// use express_session::{SessionLayer, preset};
///
/// // 32 random bytes, from the environment:
/// # let secret: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(167) ^ 91).collect();
/// let layer = preset::owasp(SessionLayer::new(secret)).name("__Host-shop");
/// # assert!(layer.build().is_ok());
/// ```
pub fn owasp(layer: SessionLayer) -> SessionLayer {
    strict(layer).idle_timeout(30 * MINUTE).absolute_timeout(12 * HOUR)
}

/// Sets what NIST SP 800-63B-4 asks of a session at authentication assurance level 2: an overall timeout of 24 hours and an
/// inactivity timeout of an hour (§2.2.3), and the cookie of §5.1.1.
///
/// ```
/// use express_session::{SessionLayer, preset};
///
/// // 32 random bytes, from the environment:
/// # let secret: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(167) ^ 91).collect();
/// let layer = preset::nist_aal2(SessionLayer::new(secret));
/// # assert!(layer.build().is_ok());
/// ```
pub fn nist_aal2(layer: SessionLayer) -> SessionLayer {
    strict(layer).idle_timeout(HOUR).absolute_timeout(24 * HOUR)
}

/// Sets the options that both ask for.
fn strict(layer: SessionLayer) -> SessionLayer {
    layer
        .name("__Host-sid")
        .cookie(Cookie::new().secure(true).same_site(SameSite::Lax))
        .refuse_weak_secrets(true)
        .cache_headers(CacheHeaders::NoStore)
        .clear_site_data(true)
}

impl SessionLayer {
    /// Starts from a secret and the options that an audit asks for, in place of express-session's defaults: the table of
    /// [`preset`](crate::preset), and [`report`](Self::report) prints what they meet.
    ///
    /// Each option can be set again. The layer has to be behind HTTPS: the cookie is `Secure`. A weak secret is an error when the
    /// layer is built. The rest is up to the application: [`login`](crate::Session::login) at the
    /// login, [`require_fresh`](crate::Session::require_fresh) before what is sensitive, and a check of
    /// [cross-site requests](crate::guide::recipes#forms-that-other-sites-cannot-send). Records at rest are encrypted by a
    /// [`SealedStore`](crate::guide::stores::sealed).
    ///
    /// **Beside Express** on the same store, set `.key_per_name(false)`, or give Express the key that
    /// [`key_per_name`](Self::key_per_name) derives. The records are those of express-session, with one more member.
    /// [`bind_records`](Self::bind_records) is left out: with it, sessions that began in Express would not be used.
    ///
    /// Costs what the options cost. No request makes more calls of the store but a renewal of the id and a logout.
    ///
    /// ```
    /// use express_session::{MemoryStore, SessionLayer};
    ///
    /// // 32 random bytes, from the environment:
    /// # let secret: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(167) ^ 91).collect();
    /// let layer = SessionLayer::hardened(secret).store(MemoryStore::new());
    /// # assert!(layer.build().is_ok());
    /// let error = SessionLayer::hardened("keyboard cat").build().unwrap_err();
    /// assert!(error.to_string().starts_with("session option secret is invalid"));
    /// ```
    pub fn hardened(secret: impl Into<Secret>) -> Self {
        owasp(Self::new(secret))
            .renew_after(15 * MINUTE)
            .ambiguous_cookie(AmbiguousCookie::Refuse)
            .late_write(LateWrite::Refuse)
            .harden_stored_cookies(true)
            .key_per_name(true)
    }
}
