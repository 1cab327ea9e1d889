//! The renewal of a session's id: when it is due, and how long the old id still leads to the session.

use std::time::Duration;

use super::{Policy, SaveTime};
use crate::{Metadata, Timestamp};

/// How ids are renewed. It needs [metadata](Policy::metadata).
///
/// ```
/// use std::time::Duration;
/// use express_session_core::policy::Renewal;
///
/// let renewal = Renewal::default();
/// assert_eq!((renewal.after, renewal.grace), (None, Duration::from_secs(30)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The age of an id at which a request renews it by itself; `None` if only handlers do.
    pub after: Option<Duration>,
    /// How long the old id leads to the session afterwards.
    pub grace: Duration,
}

impl Renewal {
    /// The grace period by default.
    pub const GRACE: Duration = Duration::from_secs(30);
}

impl Default for Renewal {
    fn default() -> Self {
        Self { after: None, grace: Self::GRACE }
    }
}

impl Policy {
    /// Returns how ids are renewed, if they are.
    #[must_use]
    #[inline]
    pub fn renewal(&self) -> Option<Renewal> {
        self.renewal.filter(|_| self.keeps_metadata())
    }

    /// Checks whether a request renews the session's id by itself. Without metadata, the age of the id is not known. A
    /// layer that saves after the response (departure 15) cannot send the new id.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::policy::Renewal;
    /// use express_session_core::{Metadata, Policy, Timestamp};
    ///
    /// let quarter = Duration::from_secs(900);
    /// let renewal = Some(Renewal { after: Some(quarter), ..Renewal::default() });
    /// let policy = Policy { metadata: true, renewal, ..Policy::default() };
    /// let began = Timestamp::from_millis(1_700_000_000_000);
    /// let metadata = Metadata::new(began);
    /// assert!(!policy.is_renewal_due(Some(&metadata), began));
    /// assert!(policy.is_renewal_due(Some(&metadata), began.saturating_add(quarter)));
    /// ```
    #[must_use]
    pub fn is_renewal_due(&self, metadata: Option<&Metadata>, now: Timestamp) -> bool {
        let after = self.renewal().and_then(|renewal| renewal.after);
        let due = after.zip(metadata).map(|(after, metadata)| {
            // An id of the future was renewed by a clock that was ahead.
            metadata.has_id_since().saturating_add(after)
        });
        due.is_some_and(|due| due <= now) && self.when_to_save() == SaveTime::Early
    }
}

impl Policy {
    /// Checks whether a record that is gone may have been renewed, and not ended: a request that knows it since so long
    /// ago would not find the record that forwards any more. The other half of the grace period is for the store's answer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session_core::policy::Renewal;
    /// use express_session_core::{Policy, Timestamp};
    ///
    /// let policy = Policy { metadata: true, renewal: Some(Renewal::default()), ..Policy::default() };
    /// let known = Timestamp::from_millis(1_700_000_000_000);
    /// let after = |seconds| known.saturating_add(Duration::from_secs(seconds));
    /// assert!(!policy.may_have_moved(known, after(14)));
    /// assert!(policy.may_have_moved(known, after(15)));
    /// assert!(!Policy::default().may_have_moved(known, after(15)));
    /// ```
    #[must_use]
    pub fn may_have_moved(&self, known: Timestamp, now: Timestamp) -> bool {
        self.renewal().is_some_and(|renewal| known.saturating_add(renewal.grace / 2) <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Departures;

    const BEGAN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(BEGAN.millis() + seconds * 1000)
    }

    fn policy(after: Option<u64>) -> Policy {
        let after = after.map(Duration::from_secs);
        let renewal = Some(Renewal { after, ..Renewal::default() });
        Policy { metadata: true, renewal, ..Policy::default() }
    }

    #[test]
    fn renewal_is_due_as_the_table_says() {
        let (off, without) = (
            Policy { renewal: None, ..policy(Some(900)) },
            Policy { metadata: false, ..policy(Some(900)) },
        );
        let departures = Departures::all().save_before_response(false);
        let late = Policy { departures, ..policy(Some(900)) };
        for (policy, renewed, now, is_due) in [
            (policy(Some(900)), None, 899, false),
            (policy(Some(900)), None, 900, true),
            (policy(Some(900)), None, 9000, true),
            (policy(Some(900)), Some(900), 1799, false),
            (policy(Some(900)), Some(900), 1800, true),
            // A clock that was ahead has renewed it, or this one is behind.
            (policy(Some(900)), Some(5000), 1800, false),
            (policy(Some(900)), None, -5000, false),
            (policy(None), None, 9000, false),
            (policy(Some(u64::MAX)), None, 9000, false),
            (off, None, 9000, false),
            (without, None, 9000, false),
            (late, None, 9000, false),
        ] {
            let mut metadata = Metadata::new(BEGAN);
            if let Some(renewed) = renewed {
                metadata.renew(at(renewed));
            }
            let row = (policy.renewal, renewed, now);
            assert_eq!(policy.is_renewal_due(Some(&metadata), at(now)), is_due, "{row:?}");
            assert!(!policy.is_renewal_due(None, at(now)), "{row:?}");
        }
    }

    #[test]
    fn renewal_prolongs_no_absolute_timeout() {
        let limits = crate::policy::Limits { idle: None, absolute: Some(Duration::from_secs(60)) };
        let policy = Policy { limits, ..policy(Some(1)) };
        let mut metadata = Metadata::new(BEGAN);
        let end = policy.end(Some(&metadata), None);
        metadata.renew(at(59));
        assert_eq!(policy.end(Some(&metadata), None), end);
    }
}
