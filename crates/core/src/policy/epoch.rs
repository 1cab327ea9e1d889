//! The epochs of users: which sessions have ended by one, and how long a user's is kept.

use std::time::Duration;

use super::{EndedBy, Policy};
use crate::Timestamp;
use crate::metadata::Epoch;
use crate::store::Lifetime;

/// How long a user's epoch is kept at least: the longest time that browsers keep a cookie (RFC 6265bis §5.5). A login can have
/// longer limits than the policy, and a handler can set a longer max age.
const AT_LEAST: Duration = Duration::from_secs(400 * 86_400);

/// Beyond it, there is no difference from for ever.
const CENTURY: Duration = Duration::from_secs(36_525 * 86_400);

impl Policy {
    /// Decides whether a session has ended by the end of its user's sessions: its login has a lower epoch than the user. `user`
    /// is `None` where the epoch was not read.
    ///
    /// ```
    /// use express_session_core::metadata::Epoch;
    /// use express_session_core::policy::EndedBy;
    /// use express_session_core::{Policy, Timestamp};
    ///
    /// let policy = Policy { user_epoch: true, ..Policy::default() };
    /// let raised = Epoch::FIRST.next(Timestamp::from_millis(1_700_000_000_000));
    /// assert_eq!(policy.ended_by_epoch(Epoch::FIRST, Some(raised)), Some(EndedBy::Revoked));
    /// assert_eq!(policy.ended_by_epoch(raised, Some(raised)), None);
    /// ```
    #[must_use]
    pub fn ended_by_epoch(&self, login: Epoch, user: Option<Epoch>) -> Option<EndedBy> {
        let is_lower = self.user_epoch && user.is_some_and(|user| login < user);
        is_lower.then_some(EndedBy::Revoked)
    }

    /// Returns until when the record of a user's epoch is kept, `None` for ever: as long as a session can last without a visit,
    /// and 400 days at least. A session that it has ended, and that another program has stored again, would count once more if
    /// it outlived the epoch.
    ///
    /// `max_age` is that of the usual cookie.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::store::Lifetime;
    /// use express_session_core::{Policy, Timestamp};
    ///
    /// let day = Duration::from_secs(86_400);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let policy = Policy { user_epoch: true, ..Policy::default() };
    /// let end = policy.epoch_deadline(Some(day), Lifetime::OfMaxAge, now);
    /// assert_eq!(end, Some(now.saturating_add(400 * day)));
    /// let end = policy.epoch_deadline(Some(500 * day), Lifetime::OfMaxAge, now);
    /// assert_eq!(end, Some(now.saturating_add(500 * day)));
    /// ```
    #[must_use]
    pub fn epoch_deadline(
        &self,
        max_age: Option<Duration>,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let of_store = lifetime.of(max_age);
        if of_store == Some(Duration::MAX) {
            return None;
        }
        // A visit may be noted a tenth of the idle timeout late.
        let idle = self.limits.idle.map(|idle| idle.saturating_add(idle / 10));
        let longest = [max_age, of_store, idle, self.limits.absolute].into_iter().flatten().max();
        let longest = longest.unwrap_or_default().clamp(AT_LEAST, CENTURY);
        Some(now.saturating_add(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Limits;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn epoch(number: i64) -> Epoch {
        Epoch::new(number)
    }

    #[test]
    fn session_has_ended_if_its_epoch_is_below_its_users() {
        for (user_epoch, login, user, has_ended) in [
            (true, 0, None, false),
            (true, 0, Some(0), false),
            (true, 0, Some(7), true),
            (true, 6, Some(7), true),
            (true, 7, Some(7), false),
            // The user's own was lost, or the raise of the session came before that of the user.
            (true, 8, Some(7), false),
            (true, 8, Some(0), false),
            (false, 0, Some(7), false),
        ] {
            let policy = Policy { user_epoch, ..Policy::default() };
            let found = policy.ended_by_epoch(epoch(login), user.map(epoch));
            let row = (user_epoch, login, user);
            assert_eq!(found, has_ended.then_some(EndedBy::Revoked), "{row:?}");
        }
    }

    #[test]
    fn epoch_is_kept_as_long_as_a_session_can_last_without_a_visit() {
        use Lifetime::{Always, MaxAgeOr, OfMaxAge, Unknown};
        for (idle, absolute, max_age, lifetime, days) in [
            (None, None, None, OfMaxAge, Some(400)),
            (None, None, None, Unknown, Some(400)),
            (None, None, Some(1), OfMaxAge, Some(400)),
            (None, None, Some(500), OfMaxAge, Some(500)),
            (None, None, Some(500), Unknown, Some(500)),
            (None, None, None, MaxAgeOr(500 * DAY), Some(500)),
            (None, None, Some(450), MaxAgeOr(500 * DAY), Some(450)),
            (None, None, Some(1), Always(500 * DAY), Some(500)),
            (Some(500), None, None, OfMaxAge, Some(550)),
            (None, Some(500), None, OfMaxAge, Some(500)),
            (Some(1), Some(500), Some(600), OfMaxAge, Some(600)),
            (Some(100_000), None, None, OfMaxAge, Some(36_525)),
            // Such a store keeps a session without a max age for ever.
            (None, None, None, MaxAgeOr(Duration::MAX), None),
            (None, None, Some(1), MaxAgeOr(Duration::MAX), Some(400)),
            (None, None, Some(1), Always(Duration::MAX), None),
        ] {
            let days_of = |days: Option<u32>| days.map(|days| DAY * days);
            let limits = Limits { idle: days_of(idle), absolute: days_of(absolute) };
            let policy = Policy { limits, ..Policy::default() };
            let deadline = policy.epoch_deadline(days_of(max_age), lifetime, NOW);
            let expected = days_of(days).map(|time| NOW.saturating_add(time));
            assert_eq!(deadline, expected, "{idle:?} {absolute:?} {max_age:?} {lifetime:?}");
        }
    }
}
