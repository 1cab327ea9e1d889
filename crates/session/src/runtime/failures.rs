//! The log of failures, limited by rate: an outage is a line in ten seconds, not a line for each request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use express_session_core::Timestamp;
use tracing::Level;

use super::console::print_unheard;
use crate::error::{Error, ErrorKind};

/// The time from one line of a kind to the next.
const INTERVAL: Duration = Duration::from_secs(10);

/// The failures that have been logged, by message and kind.
#[derive(Default)]
pub(crate) struct Failures(Mutex<HashMap<(&'static str, ErrorKind), Repeated>>);

/// A line of the log that is left out while the last one is recent.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    logged: Option<Timestamp>,
    left_out: u64,
}

impl Repeated {
    /// Returns the number of lines left out since the last one, if there is to be a line now.
    pub(crate) fn note(&mut self, interval: Duration, now: Timestamp) -> Option<u64> {
        // A clock that was set back must not silence it.
        let since = self.logged.map(|logged| now.millis().abs_diff(logged.millis()));
        if since.is_some_and(|since| u128::from(since) < interval.as_millis()) {
            self.left_out += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

thread_local! {
    /// Those of handlers, which may have no layer: a line for each thread.
    pub(crate) static OF_HANDLERS: Failures = Failures::default();
}

impl Failures {
    /// Logs the first failure of a kind, and after each interval the next one, with the number of those in between.
    pub(crate) fn log(&self, level: Level, what: &'static str, error: &Error, now: Timestamp) {
        let Some(left_out) = self.note(what, error.kind(), now) else { return };
        let error = error as &dyn std::error::Error;
        match level {
            Level::ERROR => {
                tracing::error!(target: "express_session", error, left_out, "{what}");
                print_unheard(what, Some(error));
            }
            Level::WARN => {
                tracing::warn!(target: "express_session", error, left_out, "{what}");
                print_unheard(what, Some(error));
            }
            _ => tracing::info!(target: "express_session", left_out, "{what}"),
        }
    }

    fn note(&self, what: &'static str, kind: ErrorKind, now: Timestamp) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((what, kind)).or_default().note(INTERVAL, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_m3_thousand_failures_are_one_line_and_a_count() {
        let failures = Failures::default();
        let at = |millis: i64| Timestamp::from_millis(1_700_000_000_000 + millis);
        let lines: Vec<_> =
            (0..1000).filter_map(|time| failures.note("a", ErrorKind::Ended, at(time))).collect();
        assert_eq!(lines, [0]);
        // Another kind and another message have their own.
        assert_eq!(failures.note("a", ErrorKind::Locked, at(999)), Some(0));
        assert_eq!(failures.note("b", ErrorKind::Ended, at(999)), Some(0));
        assert_eq!(failures.note("a", ErrorKind::Ended, at(9_999)), None);
        assert_eq!(failures.note("a", ErrorKind::Ended, at(10_000)), Some(1000));
        assert_eq!(failures.note("a", ErrorKind::Ended, at(-3_600_000)), Some(0));
    }
}
