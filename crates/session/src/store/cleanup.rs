//! The schedule for the removal of expired sessions.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use express_session_core::Timestamp;
use express_session_core::store::Admin;

use crate::runtime::console::print_unheard;

const NOT_REMOVED: &str = "expired sessions were not removed";

/// Counts intervals from the first call, and reports the end of each to one call.
pub(super) struct Schedule {
    every: Option<Duration>,
    is_randomized: bool,
    /// Milliseconds since 1970, or [`UNARMED`].
    next: AtomicI64,
}

/// No point in time that JavaScript knows.
const UNARMED: i64 = i64::MIN;

impl Schedule {
    pub(super) fn new(every: Option<Duration>, is_randomized: bool) -> Self {
        Self { every, is_randomized, next: AtomicI64::new(UNARMED) }
    }

    /// Returns whether this call has to start the removal.
    fn is_due(&self, now: Timestamp) -> bool {
        let Some(every) = self.every else { return false };
        let next = self.next.load(Ordering::Relaxed);
        // Further off than any delay, it was set by a clock that was ahead.
        let longest = if self.is_randomized { every.saturating_mul(2) } else { every };
        let is_to_come =
            now.millis() < next && u128::from(next.abs_diff(now.millis())) <= longest.as_millis();
        if next != UNARMED && is_to_come {
            return false;
        }
        let later = now.saturating_add(self.delay(every)).millis();
        let is_ours =
            self.next.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        is_ours && next != UNARMED
    }

    /// Starts a task that removes a store's expired sessions, if it is due.
    pub(super) fn purge_if_due(&self, store: &(impl Admin + Clone), now: Timestamp) {
        if !self.is_due(now) {
            return;
        }
        let store = store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.purge(usize::MAX, now).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(target: "express_session", error, "{NOT_REMOVED}");
                print_unheard(NOT_REMOVED, Some(error));
            }
        });
    }

    /// From a half to one and a half of the interval.
    fn delay(&self, every: Duration) -> Duration {
        if !self.is_randomized {
            return every;
        }
        // Without randomness it is the interval itself.
        let part = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
        Duration::try_from_secs_f64(every.as_secs_f64() * (0.5 + part)).unwrap_or(every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    #[test]
    fn it_is_due_once_for_each_interval_after_the_first_call() {
        let schedule = Schedule::new(Some(Duration::from_millis(100)), false);
        let due = [0, 99, 100, 101, 199, 200, 1000].map(|millis| schedule.is_due(at(millis)));
        assert_eq!(due, [false, false, true, false, false, true, true]);
    }

    #[test]
    fn audit_m1_it_goes_on_after_a_clock_that_was_wrong() {
        for is_randomized in [false, true] {
            for step in [25 * 60 * 60 * 1000, -25 * 60 * 60 * 1000] {
                let schedule = Schedule::new(Some(Duration::from_secs(60)), is_randomized);
                assert!(!schedule.is_due(at(0)));
                let _ = schedule.is_due(at(step));
                let rounds = (0..60).filter(|minute| schedule.is_due(at(minute * 60_000)));
                assert!(rounds.count() >= 30, "{step}");
            }
        }
    }

    #[test]
    fn without_an_interval_it_is_never_due() {
        let schedule = Schedule::new(None, true);
        assert!(!schedule.is_due(at(0)) && !schedule.is_due(Timestamp::MAX));
    }

    #[test]
    fn random_delays_are_a_half_to_one_and_a_half() {
        let schedule = Schedule::new(None, true);
        let delays: Vec<_> = (0..1000).map(|_| schedule.delay(Duration::from_secs(100))).collect();
        assert!(delays.iter().all(|delay| (50..=150).contains(&delay.as_secs())), "{delays:?}");
        assert!(delays.iter().any(|delay| delay.as_secs() < 60));
        assert!(delays.iter().any(|delay| delay.as_secs() > 140));
    }
}
