//! How often requests that only read reset the expiry of a record.

use std::time::Duration;

use crate::Timestamp;

/// How much of a session's time passes before a request that only reads resets the expiry of its record again. A request
/// that writes resets it always.
///
/// A visitor who stays away for less than the session's time minus this one never loses the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TouchAfter {
    /// A hundredth of the session's time, and at most a minute. The default.
    #[default]
    Hundredth,
    /// This time, and at most half of the session's. With zero every request resets the expiry.
    Time(Duration),
}

impl From<Duration> for TouchAfter {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

impl TouchAfter {
    /// Returns the time for a session that lives for `lifetime` after each reset.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::policy::TouchAfter;
    ///
    /// let [minute, hour, day] = [60, 3600, 86_400].map(Duration::from_secs);
    /// assert_eq!(TouchAfter::Hundredth.of(hour), Duration::from_secs(36));
    /// assert_eq!(TouchAfter::Hundredth.of(day), minute);
    /// assert_eq!(TouchAfter::Time(day).of(hour), hour / 2);
    /// ```
    #[must_use]
    pub fn of(self, lifetime: Duration) -> Duration {
        match self {
            Self::Hundredth => (lifetime / 100).min(MINUTE),
            Self::Time(time) => time.min(lifetime / 2),
        }
    }

    /// Returns when this time will have passed since the last reset, or `None` if it has.
    pub(super) fn next(
        self,
        lifetime: Option<Duration>,
        deadline: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let lifetime = lifetime?;
        let after = millis(self.of(lifetime));
        if after == 0 {
            return None;
        }
        let Some(deadline) = deadline else {
            return (lifetime == Duration::MAX).then_some(Timestamp::MAX);
        };
        let next = i128::from(deadline.millis()) - millis(lifetime) + after;
        waits_until(next, after, now)
            .then(|| Timestamp::from_millis(i64::try_from(next).unwrap_or(i64::MAX)))
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// The time by which stores round a deadline.
pub(crate) const ROUNDING: Duration = Duration::from_secs(1);

/// Checks whether requests that only read leave a record as it is until `next`, a time `after` the last reset.
///
/// Not if that is much further away than the next reset can be: then the deadline belongs to another lifetime, or the clock
/// that wrote it was ahead. All times are milliseconds.
pub(super) fn waits_until(next: i128, after: i128, now: Timestamp) -> bool {
    let wait = next - i128::from(now.millis());
    wait > 0 && wait < 2 * after + millis(ROUNDING)
}

pub(super) fn millis(duration: Duration) -> i128 {
    i128::try_from(duration.as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// Returns whether a session of an hour, with this many milliseconds passed, counts as touched.
    fn is_recent(after: TouchAfter, passed: i64) -> bool {
        let hour = Duration::from_secs(3600);
        let deadline = Timestamp::from_millis(NOW.millis() + 3_600_000 - passed);
        let next = after.next(Some(hour), Some(deadline), NOW);
        let wait = i64::try_from(millis(after.of(hour))).unwrap() - passed;
        assert!(next.is_none_or(|next| next.millis() - NOW.millis() == wait), "{next:?}");
        next.is_some()
    }

    #[test]
    fn record_is_touched_again_when_the_time_has_passed_and_not_before() {
        let minute = TouchAfter::Time(MINUTE);
        for (after, passed, expected) in [
            (TouchAfter::Hundredth, 0, true),
            (TouchAfter::Hundredth, 35_999, true),
            (TouchAfter::Hundredth, 36_000, false),
            (minute, 59_999, true),
            (minute, 60_000, false),
            // At most half of the session's time, so that no visitor loses the session between two visits.
            (TouchAfter::Time(Duration::MAX), 1_799_999, true),
            (TouchAfter::Time(Duration::MAX), 1_800_000, false),
            (TouchAfter::Time(Duration::ZERO), 0, false),
            (TouchAfter::Time(Duration::ZERO), -1, false),
        ] {
            assert_eq!(is_recent(after, passed), expected, "{after:?} {passed}");
        }
    }

    #[test]
    fn deadline_of_another_lifetime_is_corrected() {
        // Redis and PostgreSQL round up to a second, and the clock of the process that wrote may be ahead.
        assert!(is_recent(TouchAfter::Hundredth, -36_999));
        assert!(!is_recent(TouchAfter::Hundredth, -37_000));
    }

    #[test]
    fn lifetime_that_is_unknown_or_endless_is_no_reason_to_wait_or_to_touch() {
        let next = |lifetime, deadline| TouchAfter::Hundredth.next(lifetime, deadline, NOW);
        assert_eq!(next(None, None), None);
        assert_eq!(next(None, Some(NOW)), None);
        assert_eq!(next(Some(Duration::MAX), None), Some(Timestamp::MAX));
        assert_eq!(next(Some(MINUTE), None), None);
        assert_eq!(next(Some(Duration::ZERO), Some(NOW)), None);
        assert_eq!(next(Some(Duration::MAX), Some(NOW)), None);
    }
}
