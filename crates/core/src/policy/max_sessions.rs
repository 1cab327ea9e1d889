//! How many sessions a user may have, and which one ends for a new login.

use super::Policy;
use crate::Timestamp;

/// The number of sessions that a user may have. Default: any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxSessions {
    /// How many, at least one.
    pub count: usize,
    /// The outcome of a login beyond it.
    pub at_limit: AtLimit,
}

/// The outcome of the login of a user that has as many sessions as allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtLimit {
    /// The login is refused, and changes nothing. The default.
    #[default]
    Refuse,
    /// The sessions with the earliest last visits end, and their next request can say so.
    EndLeastRecentlyUsed,
}

/// The decision about a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is refused.
    Refuse,
    /// It may go on, once the sessions at these places have ended.
    Admit {
        /// The places in the list that was asked about.
        end: Vec<usize>,
    },
}

impl Policy {
    /// Decides about a login of a user with these sessions, given by their last visits: all live ones, without the session
    /// that logs in. A visit that is not known counts as the earliest; of two visits at one time, the first in the list.
    ///
    /// ```
    /// use express_session_core::policy::{Admission, AtLimit, MaxSessions};
    /// use express_session_core::{Policy, Timestamp};
    ///
    /// let at_limit = AtLimit::EndLeastRecentlyUsed;
    /// let policy = Policy { max_sessions: Some(MaxSessions { count: 2, at_limit }), ..Policy::default() };
    /// let [phone, laptop] = [2, 1].map(|seen| Some(Timestamp::from_millis(seen)));
    /// assert_eq!(policy.admit(&[phone]), Admission::Admit { end: vec![] });
    /// assert_eq!(policy.admit(&[phone, laptop]), Admission::Admit { end: vec![1] });
    /// ```
    #[must_use]
    pub fn admit(&self, visits: &[Option<Timestamp>]) -> Admission {
        let Some(MaxSessions { count, at_limit }) = self.max_sessions else {
            return Admission::Admit { end: Vec::new() };
        };
        // With the new one.
        let excess = (visits.len() + 1).saturating_sub(count);
        match at_limit {
            AtLimit::Refuse if excess > 0 => Admission::Refuse,
            AtLimit::Refuse | AtLimit::EndLeastRecentlyUsed => {
                let mut end: Vec<usize> = (0..visits.len()).collect();
                end.sort_by_key(|place| visits[*place]);
                end.truncate(excess);
                Admission::Admit { end }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_is_admitted_refused_or_ends_the_least_recently_used() {
        use AtLimit::{EndLeastRecentlyUsed as End, Refuse};
        let admit = |places: &[usize]| Admission::Admit { end: places.to_vec() };
        for (limit, visits, decision) in [
            (None, &[1, 2, 3][..], admit(&[])),
            (Some((1, Refuse)), &[], admit(&[])),
            (Some((1, Refuse)), &[1], Admission::Refuse),
            (Some((2, Refuse)), &[1], admit(&[])),
            (Some((2, Refuse)), &[1, 2], Admission::Refuse),
            (Some((2, Refuse)), &[1, 2, 3], Admission::Refuse),
            (Some((1, End)), &[], admit(&[])),
            (Some((1, End)), &[5], admit(&[0])),
            (Some((2, End)), &[5], admit(&[])),
            (Some((2, End)), &[5, 3], admit(&[1])),
            // The limit was lowered, or passport has logged users in beyond it.
            (Some((2, End)), &[5, 3, 4, 9], admit(&[1, 2, 0])),
            (Some((1, End)), &[5, 3], admit(&[1, 0])),
            (Some((2, End)), &[5, 5], admit(&[0])),
            // 0 stands for a visit that is not known.
            (Some((2, End)), &[5, 0, 3], admit(&[1, 2])),
        ] {
            let max_sessions = limit.map(|(count, at_limit)| MaxSessions { count, at_limit });
            let policy = Policy { max_sessions, ..Policy::default() };
            let visits: Vec<_> = visits
                .iter()
                .map(|seen| (*seen > 0).then(|| Timestamp::from_millis(*seen)))
                .collect();
            assert_eq!(policy.admit(&visits), decision, "{limit:?} {visits:?}");
        }
    }

    /// The sessions that stay and the new one are no more than allowed.
    #[test]
    fn admitted_login_never_exceeds_the_limit() {
        for count in 1..5 {
            for at_limit in [AtLimit::Refuse, AtLimit::EndLeastRecentlyUsed] {
                let max_sessions = Some(MaxSessions { count, at_limit });
                let policy = Policy { max_sessions, ..Policy::default() };
                for sessions in 0..8 {
                    let visits = vec![None; sessions];
                    if let Admission::Admit { end } = policy.admit(&visits) {
                        assert!(sessions - end.len() < count);
                    } else {
                        assert!(at_limit == AtLimit::Refuse && sessions >= count);
                    }
                }
            }
        }
    }
}
