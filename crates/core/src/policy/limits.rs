//! How long a session may live: since its last visit, and in all.
//!
//! | question | answer |
//! |---|---|
//! | when does a session end? | [`Policy::end`]: the earlier one of the idle and the absolute timeout |
//! | has it ended, by this machine's clock, and by the store's? | [`Policy::ended`], [`Ended::is_so_by`] |
//! | when is the next visit noted? | [`Policy::next_visit`] |
//!
//! A visit is noted only when `touch_after` has passed since the last one, which counts as idle time: a session lives for the
//! idle timeout and this time on top, so that no visitor loses it early.

use std::time::Duration;

use super::touch_after::{ROUNDING, millis, waits_until};
use super::{ClientNotes, Policy};
use crate::metadata::Mark;
use crate::{Metadata, Timestamp};

/// The limits of a session's life. Default: none, so that only the cookie's time and the store's count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The longest time between two visits.
    pub idle: Option<Duration>,
    /// The longest time from the beginning of a session, or its login, to its end.
    pub absolute: Option<Duration>,
}

/// The reason why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// The time since the last visit.
    Idle,
    /// The time since the session began, or since its login.
    Absolute,
    /// The user has ended it from another session, or an administrator has.
    Revoked,
    /// The user has logged in elsewhere, and may not have [more sessions](super::MaxSessions).
    Limit,
}

impl From<Mark> for EndedBy {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::Revoked => Self::Revoked,
            Mark::Limit => Self::Limit,
        }
    }
}

/// The end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// From this time on there is no session.
    pub at: Timestamp,
    /// The limit that is reached then.
    pub by: EndedBy,
}

/// The end of a session, as a request finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The reason.
    pub by: EndedBy,
    /// When the limit was reached; `None` where no clock has a part, since another session has ended this one.
    pub at: Option<Timestamp>,
}

impl Ended {
    /// Checks whether the session has ended by the store's clock too, to the second. Only then its record may be destroyed:
    /// the clock of this machine may be ahead, and for all others the session goes on.
    ///
    /// ```
    /// use express_session_core::Timestamp;
    /// use express_session_core::policy::{Ended, EndedBy};
    ///
    /// let [noon, later] = [0, 3_600_000].map(Timestamp::from_millis);
    /// let ended = Ended { by: EndedBy::Idle, at: Some(later) };
    /// assert!(ended.is_so_by(later));
    /// assert!(!ended.is_so_by(noon));
    /// assert!(Ended { by: EndedBy::Revoked, at: None }.is_so_by(noon));
    /// ```
    #[must_use]
    pub fn is_so_by(&self, store: Timestamp) -> bool {
        self.at.is_none_or(|at| at <= store.saturating_add(ROUNDING))
    }
}

impl Policy {
    /// Checks whether each record has the library's own member.
    #[must_use]
    #[inline]
    pub fn keeps_metadata(&self) -> bool {
        self.metadata
            || self.limits.idle.is_some()
            || self.limits.absolute.is_some()
            || self.max_sessions.is_some()
            || self.user_epoch
            || self.client != ClientNotes::default()
    }

    /// Returns the limits of a session: those of its login, or else the policy's.
    #[must_use]
    pub fn limits_of(&self, metadata: Option<&Metadata>) -> Limits {
        let login = metadata.and_then(Metadata::authentication);
        Limits {
            idle: login.and_then(|login| login.idle).or(self.limits.idle),
            absolute: login.and_then(|login| login.absolute).or(self.limits.absolute),
        }
    }

    /// Returns when a session ends, if any limit says so. `noticed` is the last visit as far as the store's deadline shows
    /// it: Node moves only that.
    ///
    /// A clock that is behind ends no session early, since all times come from the record. Without metadata there is no
    /// absolute timeout: it begins when the library first writes the record.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::policy::{End, EndedBy, Limits};
    /// use express_session_core::{Metadata, Policy, Timestamp};
    ///
    /// let [minute, hour] = [60, 3600].map(Duration::from_secs);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let limits = Limits { idle: Some(50 * minute), absolute: Some(hour) };
    /// let policy = Policy { limits, ..Policy::default() };
    ///
    /// let mut metadata = Metadata::new(now);
    /// // A hundredth of the idle timeout may have passed before the last visit was noted.
    /// let idle = now.saturating_add(50 * minute + minute / 2);
    /// assert_eq!(policy.end(Some(&metadata), None), Some(End { at: idle, by: EndedBy::Idle }));
    /// metadata.see(now.saturating_add(30 * minute));
    /// let absolute = now.saturating_add(hour);
    /// assert_eq!(policy.end(Some(&metadata), None), Some(End { at: absolute, by: EndedBy::Absolute }));
    /// ```
    #[must_use]
    pub fn end(&self, metadata: Option<&Metadata>, noticed: Option<Timestamp>) -> Option<End> {
        let limits = self.limits_of(metadata);
        let absolute = limits.absolute.zip(metadata).map(|(absolute, metadata)| End {
            at: metadata.created().saturating_add(absolute),
            by: EndedBy::Absolute,
        });
        let seen = metadata.map(Metadata::seen).max(noticed);
        let idle = limits.idle.zip(seen).map(|(idle, seen)| End {
            at: seen.saturating_add(idle.saturating_add(self.visit_interval(idle, Some(idle)))),
            by: EndedBy::Idle,
        });
        match (absolute, idle) {
            (Some(absolute), Some(idle)) if idle.at < absolute.at => Some(idle),
            (absolute, idle) => absolute.or(idle),
        }
    }

    /// Returns the [end](Self::end) of a session if it has passed.
    #[must_use]
    pub fn ended(
        &self,
        metadata: Option<&Metadata>,
        noticed: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Ended> {
        let End { at, by } = self.end(metadata, noticed).filter(|end| end.at <= now)?;
        Some(Ended { by, at: Some(at) })
    }

    /// Checks whether the absolute timeout of a session has passed, so that a request under way writes nothing more. The
    /// idle timeout does not end it: the request is a visit.
    #[must_use]
    pub fn has_outlived(&self, metadata: Option<&Metadata>, now: Timestamp) -> bool {
        let absolute = self.limits_of(metadata).absolute.zip(metadata);
        absolute
            .is_some_and(|(absolute, metadata)| metadata.created().saturating_add(absolute) <= now)
    }

    /// Returns until when a visit that only reads is not noted, because the last one was noted recently; `None` if it is
    /// noted now. `lifetime` is how long the store keeps the record after each write, `None` if that is not known.
    ///
    /// A visit in the future was noted by a clock that was ahead. Beyond the interval between two visits, the next one is
    /// noted: otherwise nothing would reset the record's expiry until then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::policy::Limits;
    /// use express_session_core::{Metadata, Policy, Timestamp};
    ///
    /// let [hour, day] = [3600, 86_400].map(Duration::from_secs);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let limits = Limits { idle: Some(hour), absolute: None };
    /// let policy = Policy { limits, ..Policy::default() };
    /// let next = Some(now.saturating_add(hour / 100));
    /// assert_eq!(policy.next_visit(&Metadata::new(now), Some(day), now), next);
    /// assert_eq!(policy.next_visit(&Metadata::new(now), Some(day), next.unwrap()), None);
    /// ```
    #[must_use]
    pub fn next_visit(
        &self,
        metadata: &Metadata,
        lifetime: Option<Duration>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let interval = self.visit_interval(lifetime?, self.limits_of(Some(metadata)).idle);
        let next = metadata.seen().saturating_add(interval);
        let is_recent = waits_until(next.millis().into(), millis(interval), now);
        (!interval.is_zero() && is_recent).then_some(next)
    }

    /// Returns how much time passes between two visits that are noted: `touch_after`, and at most a tenth of the idle
    /// timeout.
    fn visit_interval(&self, lifetime: Duration, idle: Option<Duration>) -> Duration {
        if !self.throttles_touch() {
            return Duration::ZERO;
        }
        let after = self.touch_after.of(idle.map_or(lifetime, |idle| idle.min(lifetime)));
        idle.map_or(after, |idle| after.min(idle / 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Authentication;
    use crate::policy::{AtLimit, ClientDetail, MaxSessions};
    use crate::record::Json;
    use crate::{Departures, TouchAfter};

    const T: i64 = 1_700_000_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(T + seconds * 1000)
    }

    fn limits(idle: Option<u64>, absolute: Option<u64>) -> Limits {
        Limits { idle: idle.map(Duration::from_secs), absolute: absolute.map(Duration::from_secs) }
    }

    fn policy(idle: Option<u64>, absolute: Option<u64>) -> Policy {
        Policy { limits: limits(idle, absolute), ..Policy::default() }
    }

    fn metadata(created: i64, seen: i64) -> Metadata {
        let mut metadata = Metadata::new(at(created));
        metadata.see(at(seen));
        metadata
    }

    #[test]
    fn session_ends_at_the_earlier_limit() {
        use EndedBy::{Absolute, Idle};
        let known = Some((0, 1000));
        for (idle, absolute, times, noticed, end) in [
            (None, None, known, Some(2000), None),
            (None, None, None, None, None),
            // A hundredth of the idle timeout is added.
            (Some(100), None, known, None, Some((1101, Idle))),
            (Some(100), None, known, Some(999), Some((1101, Idle))),
            (Some(100), None, known, Some(1050), Some((1151, Idle))),
            (Some(100), None, None, Some(1050), Some((1151, Idle))),
            (Some(100), None, None, None, None),
            (None, Some(1500), known, Some(9000), Some((1500, Absolute))),
            (None, Some(1500), None, Some(9000), None),
            (Some(100), Some(1500), known, None, Some((1101, Idle))),
            (Some(600), Some(1500), known, None, Some((1500, Absolute))),
            (Some(100), Some(1101), known, None, Some((1101, Absolute))),
            (Some(100), Some(1500), None, Some(1), Some((102, Idle))),
        ] {
            let row = (idle, absolute, times, noticed);
            let metadata = times.map(|(created, seen)| metadata(created, seen));
            let found = policy(idle, absolute).end(metadata.as_ref(), noticed.map(at));
            assert_eq!(found, end.map(|(end, by)| End { at: at(end), by }), "{row:?}");
        }
    }

    #[test]
    fn limit_has_passed_when_both_clocks_say_so() {
        let (policy, metadata) = (policy(None, Some(1000)), metadata(0, 0));
        for (now, store, is_over, is_so) in [
            (999, 99_999, false, false),
            (1000, 1000, true, true),
            // Two clocks that are as good as one.
            (1000, 999, true, true),
            (1000, 998, true, false),
            (99_999, 500, true, false),
            (99_999, 1000, true, true),
        ] {
            let ended = policy.ended(Some(&metadata), None, at(now));
            assert_eq!(ended.is_some(), is_over, "{now}");
            let is_so_by_store = ended.is_some_and(|ended| ended.is_so_by(at(store)));
            assert_eq!(is_so_by_store, is_so, "{now} {store}");
        }
    }

    #[test]
    fn limits_of_a_login_replace_those_of_the_policy_each_for_itself() {
        for (own, expected) in [
            (limits(None, None), limits(Some(1), Some(2))),
            (limits(Some(3), None), limits(Some(3), Some(2))),
            (limits(None, Some(4)), limits(Some(1), Some(4))),
            (limits(Some(3), Some(4)), limits(Some(3), Some(4))),
        ] {
            let mut metadata = metadata(0, 0);
            let (idle, absolute) = (own.idle, own.absolute);
            metadata.authenticate(Authentication {
                at: at(0),
                user: Json::of("bob").unwrap(),
                idle,
                absolute,
                level: None,
            });
            assert_eq!(policy(Some(1), Some(2)).limits_of(Some(&metadata)), expected);
        }
        assert_eq!(policy(Some(1), Some(2)).limits_of(None), limits(Some(1), Some(2)));
    }

    /// A visitor whose last visit was not noted, since `touch_after` had not passed, has the whole idle timeout from it.
    #[test]
    fn time_in_which_no_visit_is_noted_is_added_to_the_idle_timeout() {
        let day = Some(Duration::from_secs(86_400));
        let express = Departures::all().throttled_touch(false);
        for (touch_after, departures, interval) in [
            (TouchAfter::Hundredth, Departures::all(), 10),
            (TouchAfter::Time(Duration::from_secs(7)), Departures::all(), 7),
            // At most a tenth of the idle timeout.
            (TouchAfter::Time(Duration::from_secs(400)), Departures::all(), 100),
            (TouchAfter::Time(Duration::ZERO), Departures::all(), 0),
            (TouchAfter::Hundredth, express, 0),
        ] {
            let policy = Policy { touch_after, departures, ..policy(Some(1000), None) };
            let metadata = metadata(0, 0);
            let is_noted = |now| policy.next_visit(&metadata, day, now).is_none();
            let last = at(interval - 1);
            assert_eq!(is_noted(last), interval == 0, "{touch_after:?}");
            assert!(is_noted(at(interval)), "{touch_after:?}");
            let end = policy.end(Some(&metadata), None).map(|end| end.at);
            assert_eq!(end, Some(at(1000 + interval)), "{touch_after:?}");
            assert!(end >= Some(last.saturating_add(Duration::from_secs(1000))));
        }
    }

    #[test]
    fn visits_are_noted_by_the_shorter_one_of_lifetime_and_idle_timeout() {
        let policy = |idle| policy(idle, None);
        for (idle, lifetime, next) in [
            (None, Some(1000), Some(10)),
            (None, Some(86_400), Some(60)),
            (None, None, None),
            (Some(500), Some(1000), Some(5)),
            (Some(500), Some(100), Some(1)),
            (Some(500), None, None),
        ] {
            let lifetime = lifetime.map(Duration::from_secs);
            let found = policy(idle).next_visit(&metadata(0, 0), lifetime, at(0));
            assert_eq!(found, next.map(at), "{idle:?} {lifetime:?}");
        }
        let endless = policy(None).next_visit(&metadata(0, 0), Some(Duration::MAX), at(0));
        assert_eq!(endless, Some(at(60)));
    }

    #[test]
    fn clock_that_is_behind_ends_no_session_and_resets_its_expiry() {
        let policy = policy(Some(1000), Some(2000));
        let metadata = metadata(0, 500);
        let behind = at(-86_400);
        let lifetime = Some(Duration::from_secs(1000));
        for (now, next) in [(490, Some(510)), (489, None), (-86_400, None)] {
            assert_eq!(policy.next_visit(&metadata, lifetime, at(now)), next.map(at), "{now}");
        }
        assert!(policy.end(Some(&metadata), None).is_some_and(|end| end.at > behind));
        // The visit by that clock neither moves the end forward nor back.
        let mut visited = metadata.clone();
        visited.see(behind);
        assert_eq!(policy.end(Some(&visited), None), policy.end(Some(&metadata), None));
    }

    #[test]
    fn limit_turns_the_member_on() {
        assert!(!Policy::default().keeps_metadata());
        assert!(policy(Some(1), None).keeps_metadata());
        assert!(policy(None, Some(1)).keeps_metadata());
        assert!(Policy { metadata: true, ..Policy::default() }.keeps_metadata());
        let max_sessions = Some(MaxSessions { count: 1, at_limit: AtLimit::Refuse });
        assert!(Policy { max_sessions, ..Policy::default() }.keeps_metadata());
        assert!(Policy { user_epoch: true, ..Policy::default() }.keeps_metadata());
        let short = Some(ClientDetail::Shortened);
        for client in [
            ClientNotes { address: short, user_agent: None },
            ClientNotes { address: None, user_agent: short },
        ] {
            assert!(Policy { client, ..Policy::default() }.keeps_metadata());
        }
    }

    #[test]
    fn limits_of_any_length_are_no_overflow() {
        let policy = policy(Some(u64::MAX), Some(u64::MAX));
        let end = policy.end(Some(&metadata(0, 0)), Some(Timestamp::MAX));
        assert_eq!(end.map(|end| end.at), Some(Timestamp::MAX));
        assert!(policy.next_visit(&metadata(0, 0), Some(Duration::MAX), at(0)).is_some());
    }
}
