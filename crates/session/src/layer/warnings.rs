//! The classic mistakes, explained once each through `tracing`.
//!
//! 1. A warning is one event, on the target `express_session`, at the level `WARN`.
//! 2. Each kind is logged once in the life of a layer, and a sign of an attack once a minute, so that it never fills a
//!    log.
//! 3. Where the program has no subscriber, a debug build prints it to standard error.
//! 4. It names the mistake, its effect, and the option to change. It names no secret, no id.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use express_session_core::signing::check_secret;
use express_session_core::{Policy, Timestamp};

use crate::runtime::console::print_unheard;
use crate::runtime::failures::Repeated;

/// The mistakes that are warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    WeakSecret,
    Resave,
    SaveUninitialized,
    MemoryStore,
    DroppedCookie,
    AmbiguousCookie,
    InsecureConnection,
    UnprintableCookie,
    LateSession,
    LargeCookie,
}

impl Warning {
    const fn message(self) -> &'static str {
        match self {
            Self::WeakSecret => {
                "the secret is short, published or easy to guess: an attacker who guesses it can sign any session \
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
            Self::DroppedCookie => {
                "browsers drop the session cookie: __Host-, __Secure-, __Http-, SameSite=None and Partitioned \
                 need secure(true), __Host- also path / and no domain, __Http- also http_only. The layer does \
                 not send such a cookie unless departure 21 (browser_rules) is off"
            }
            Self::AmbiguousCookie => {
                "a request had two validly signed session cookies that name different sessions: a subdomain or \
                 another page may have planted one. The first counts; refuse both with ambiguous_cookie, and keep \
                 others from planting with a name that begins with __Host-"
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
pub(crate) struct Warnings {
    once: AtomicU16,
    rare: Mutex<Repeated>,
}

/// The shortest time between two rare warnings.
const RARELY: Duration = Duration::from_secs(60);

impl Warnings {
    /// Logs a warning once.
    pub(crate) fn warn_once(&self, warning: Warning) {
        let bit = 1 << warning as u16;
        if self.once.load(Ordering::Relaxed) & bit == 0
            && self.once.fetch_or(bit, Ordering::Relaxed) & bit == 0
        {
            tracing::warn!(target: "express_session", "{}", warning.message());
            print_unheard(warning.message(), None);
        }
    }

    /// Logs a warning that may mean an attack: once a minute at most, with the number of those left out since.
    pub(crate) fn warn_rarely(&self, warning: Warning, now: Timestamp) {
        let mut rare = self.rare.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = rare.note(RARELY, now) else { return };
        // The application's own subscriber may take it.
        drop(rare);
        tracing::warn!(target: "express_session", left_out, "{}", warning.message());
        print_unheard(warning.message(), None);
    }
}

/// Returns the warnings that the options alone call for.
pub(crate) fn of_options(
    secrets: &[Vec<u8>],
    policy: &Policy,
    is_dropped: bool,
    in_memory: bool,
    touches: bool,
) -> Vec<Warning> {
    [
        (secrets.iter().any(|secret| check_secret(secret).is_err()), Warning::WeakSecret),
        (policy.resave && touches, Warning::Resave),
        (policy.save_uninitialized, Warning::SaveUninitialized),
        (in_memory && !cfg!(debug_assertions), Warning::MemoryStore),
        (is_dropped, Warning::DroppedCookie),
    ]
    .into_iter()
    .filter_map(|(seen, warning)| seen.then_some(warning))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_options_have_no_diagnosis() {
        let secrets = [b"9cf0c1b2d7e84a5f6b3d2e1f0a9b8c7d".to_vec()];
        let seen = of_options(&secrets, &Policy::default(), false, false, true);
        assert_eq!(seen, []);
    }

    #[test]
    fn each_mistake_has_its_diagnosis() {
        let policy = Policy { resave: true, save_uninitialized: true, ..Policy::default() };
        let seen = of_options(&[b"short".to_vec()], &policy, true, false, true);
        assert_eq!(
            seen,
            [
                Warning::WeakSecret,
                Warning::Resave,
                Warning::SaveUninitialized,
                Warning::DroppedCookie
            ]
        );
        let untouchable =
            of_options(&[], &Policy { resave: true, ..Policy::default() }, false, false, false);
        assert_eq!(untouchable, []);
    }
}
