//! The classic mistakes, explained once each through `tracing`.
//!
//! 1. A warning is one event, on the target `express_session`, at the level `WARN`.
//! 2. Each kind is logged once in the life of a layer, so that it never fills a log.
//! 3. It names the mistake, its effect, and the option to change. It names no secret, no id.

use std::sync::atomic::{AtomicU16, Ordering};

use express_session_core::Policy;
use express_session_core::cookie::Cookie;

/// The mistakes that are warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    WeakSecret,
    Resave,
    SaveUninitialized,
    MemoryStore,
    SameSiteNone,
    InsecureConnection,
    UnprintableCookie,
    LateSession,
    LargeCookie,
}

impl Warning {
    const fn message(self) -> &'static str {
        match self {
            Self::WeakSecret => {
                "the secret is empty, short or easy to guess: an attacker who guesses it can sign any session \
                 id. Use at least 32 random characters, from the environment and not from the source"
            }
            Self::Resave => {
                "resave is on, and the store can touch: every request rewrites the whole session, and \
                 overlapping requests have more to merge. Leave resave off unless the store has no touch"
            }
            Self::SaveUninitialized => {
                "save_uninitialized is on: every visitor gets a cookie and a stored session at the first \
                 request, crawlers included, also where the law asks for consent before a cookie is set"
            }
            Self::MemoryStore => {
                "the memory store is in use in a release build: its sessions end with this process and \
                 are not shared with another. Give the layer a store with .store(…)"
            }
            Self::SameSiteNone => {
                "the cookie is SameSite=None without Secure: browsers refuse it. Add .secure(true)"
            }
            Self::InsecureConnection => {
                "the session cookie was not sent: it is secure, and the request came over plain HTTP. \
                 Behind a proxy that speaks HTTPS set proxy to true; for plain HTTP in development set \
                 Cookie::secure to Secure::Auto; otherwise serve HTTPS"
            }
            Self::UnprintableCookie => {
                "the session cookie was not sent: one of its attributes cannot be written into a header"
            }
            Self::LateSession => {
                "a new session was changed after the headers had left: its cookie cannot be sent any \
                 more, so it was not stored. Change a new session before the handler returns"
            }
            Self::LargeCookie => {
                "the session cookie is longer than 4096 bytes: browsers drop it. Shorten the name, the \
                 ids of genid, the path or the domain"
            }
        }
    }
}

/// The warnings that have been logged.
#[derive(Debug, Default)]
pub(crate) struct Warnings(AtomicU16);

impl Warnings {
    /// Logs a warning once.
    pub(crate) fn warn_once(&self, warning: Warning) {
        let bit = 1 << warning as u16;
        if self.0.load(Ordering::Relaxed) & bit == 0
            && self.0.fetch_or(bit, Ordering::Relaxed) & bit == 0
        {
            tracing::warn!(target: "express_session", "{}", warning.message());
        }
    }
}

/// Returns the warnings that the options alone call for.
pub(crate) fn of_options(
    secrets: &[Vec<u8>],
    policy: &Policy,
    cookie: Option<&Cookie>,
    in_memory: bool,
    touches: bool,
) -> Vec<Warning> {
    [
        (secrets.iter().any(|secret| is_weak(secret)), Warning::WeakSecret),
        (policy.resave && touches, Warning::Resave),
        (policy.save_uninitialized, Warning::SaveUninitialized),
        (in_memory && !cfg!(debug_assertions), Warning::MemoryStore),
        (cookie.is_some_and(Cookie::is_same_site_none_without_secure), Warning::SameSiteNone),
    ]
    .into_iter()
    .filter_map(|(seen, warning)| seen.then_some(warning))
    .collect()
}

/// Checks whether a secret is short, or made of few different bytes.
///
/// Weak is below 16 bytes, or below 40 bits as estimated from how often each byte occurs. That is far
/// less than a good secret has, so that a random one is never taken for weak.
fn is_weak(secret: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    for byte in secret {
        counts[usize::from(*byte)] += 1;
    }
    let length = secret.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) * (length / f64::from(*count)).log2())
        .sum();
    secret.len() < 16 || bits < 40.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_secrets_are_the_short_and_the_monotonous() {
        for weak in [
            "",
            "secret",
            "keyboard cat",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababababababab",
        ] {
            assert!(is_weak(weak.as_bytes()), "{weak}");
        }
        for strong in
            ["c0rrect horse battery staple", "f81d4fae7dec11d0a76500a0c91e6bf6", "0123456789012345"]
        {
            assert!(!is_weak(strong.as_bytes()), "{strong}");
        }
    }

    #[test]
    fn good_options_have_no_diagnosis() {
        let secrets = [b"f81d4fae7dec11d0a76500a0c91e6bf6".to_vec()];
        let seen = of_options(&secrets, &Policy::default(), Some(&Cookie::new()), false, true);
        assert_eq!(seen, []);
    }

    #[test]
    fn each_mistake_has_its_diagnosis() {
        let cookie = Cookie::new().same_site(crate::SameSite::None);
        let policy = Policy { resave: true, save_uninitialized: true, ..Policy::default() };
        let seen = of_options(&[b"short".to_vec()], &policy, Some(&cookie), false, true);
        assert_eq!(
            seen,
            [
                Warning::WeakSecret,
                Warning::Resave,
                Warning::SaveUninitialized,
                Warning::SameSiteNone
            ]
        );
        let untouchable =
            of_options(&[], &Policy { resave: true, ..Policy::default() }, None, false, false);
        assert_eq!(untouchable, []);
    }
}
