//! The epoch of a user, and that of a login.

use std::fmt;

use super::member;
use super::{MemberName, Metadata};
use crate::Timestamp;
use crate::record::{Json, json};

/// How often the sessions of a user have ended together, as a number that only rises: a session with a lower one than its
/// user has ended.
///
/// ```
/// use express_session_core::Timestamp;
/// use express_session_core::metadata::Epoch;
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let second = Epoch::FIRST.next(now);
/// assert_eq!(second.number(), 1_700_000_000_000);
/// // Also by a clock that stands still, or is behind.
/// assert!(second.next(now) > second);
/// assert!(second.next(Timestamp::from_millis(1)) > second);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(i64);

impl Epoch {
    /// The one before any end: that of every session, and of every user, for which no other one is noted.
    pub const FIRST: Self = Self(0);

    /// Returns a higher one: the time in milliseconds, or the next number if that is not higher.
    ///
    /// The time keeps the numbers rising where the one before is not known any more.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self(now.millis().max(self.0.saturating_add(1)))
    }

    /// Returns the epoch of a number. One that is none counts as the first, with which a session ends rather than goes on.
    ///
    /// ```
    /// use express_session_core::metadata::Epoch;
    ///
    /// assert_eq!(Epoch::new(7).number(), 7);
    /// assert_eq!(Epoch::new(-7), Epoch::FIRST);
    /// ```
    #[must_use]
    pub const fn new(number: i64) -> Self {
        if number < 0 || number > Self::MAX { Self::FIRST } else { Self(number) }
    }

    /// Returns the number, which JavaScript can read.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Reads a number.
    pub(super) fn parse(value: &str) -> Self {
        value.parse().map_or(Self::FIRST, Self::new)
    }

    /// Reads the epoch of a user from the record under [`UserQuery::epoch_id`](super::UserQuery::epoch_id).
    pub(crate) fn of_user(text: &str, member: &MemberName) -> Self {
        member::read(text, member.as_str()).map_or(Self::FIRST, |metadata| metadata.epoch())
    }

    /// The largest integer that JavaScript reads exactly.
    const MAX: i64 = 9_007_199_254_740_991;
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads whose session a record is, and the epoch of the login. `None` for a record without a user.
pub(crate) fn of_session(text: &str, member: &MemberName) -> Option<(Json, Epoch)> {
    let metadata = member::read(text, member.as_str());
    let mut passport = None;
    json::members(text, |json::Member { key, value, .. }| {
        if &text[key] == "\"passport\"" {
            passport = Some(&text[value]);
        }
    })
    .ok()?;
    let found = super::user_of(metadata.as_ref(), passport)?;
    Some((found.user, found.epoch))
}

/// Returns the member of the record of a user's epoch. It says that it is no session, and names no user: no request goes on
/// with it, and no list of a user's sessions has it.
pub(crate) fn member_of_user(epoch: Epoch, now: Timestamp) -> Metadata {
    Metadata { epoch, ..Metadata::ending(now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_700_000_000_000;

    #[test]
    fn next_epoch_is_always_higher_and_never_beyond_what_javascript_reads() {
        for (epoch, now, next) in
            [(0, T, T), (0, 0, 1), (0, -5, 1), (T, T, T + 1), (T + 9, T, T + 10), (T - 1, T, T)]
        {
            assert_eq!(Epoch(epoch).next(Timestamp::from_millis(now)), Epoch(next));
        }
        assert!(Epoch::FIRST.next(Timestamp::MAX).number() < Epoch::MAX);
    }

    #[test]
    fn number_that_is_no_epoch_counts_as_the_first() {
        for (text, epoch) in [
            ("0", 0),
            ("7", 7),
            ("9007199254740991", Epoch::MAX),
            ("9007199254740992", 0),
            ("-1", 0),
            ("1.5", 0),
            ("1e3", 0),
            ("\"7\"", 0),
            ("null", 0),
            ("{}", 0),
        ] {
            assert_eq!(Epoch::parse(text), Epoch(epoch), "{text}");
        }
    }

    /// The epoch belongs to the login. Passport copies the notes of one session to the next (`keepSessionInfo`), and they
    /// may be about another user.
    #[test]
    fn epoch_of_a_session_is_that_of_its_own_users_login() {
        let login = r#""authenticated":1,"user":"bob","epoch":7"#;
        for (notes, passport, expected) in [
            ("", None, None),
            (r#""epoch":7"#, None, None),
            (login, None, Some(("\"bob\"", 7))),
            (r#""authenticated":1,"user":"bob""#, None, Some(("\"bob\"", 0))),
            ("", Some(r#"{"user":"bob"}"#), Some(("\"bob\"", 0))),
            (login, Some(r#"{"user":"bob"}"#), Some(("\"bob\"", 7))),
            (login, Some(r#"{"user":"eve"}"#), Some(("\"eve\"", 0))),
            (login, Some("{}"), None),
            // The end of the others has noted it in a session of passport.
            (r#""epoch":7"#, Some(r#"{"user":"bob"}"#), Some(("\"bob\"", 7))),
        ] {
            let comma = if notes.is_empty() { "" } else { "," };
            let passport = passport.map(|passport| format!(r#","passport":{passport}"#));
            let text = format!(
                r#"{{"cookie":{{}}{},"__sessionMetadata":{{"created":1,"seen":1{comma}{notes}}}}}"#,
                passport.clone().unwrap_or_default()
            );
            let found = of_session(&text, &MemberName::DEFAULT);
            let found = found.as_ref().map(|(user, epoch)| (user.as_str(), epoch.number()));
            assert_eq!(found, expected, "{notes} {passport:?}");
        }
        // A record without metadata, and a text that is no record.
        let (user, epoch) =
            of_session(r#"{"cookie":{},"passport":{"user":"bob"}}"#, &MemberName::DEFAULT).unwrap();
        assert_eq!((user.as_str(), epoch), ("\"bob\"", Epoch::FIRST));
        assert!(of_session("{", &MemberName::DEFAULT).is_none());
    }

    #[test]
    fn record_of_the_epoch_is_read_as_it_was_written_and_is_no_session() {
        let metadata = member_of_user(Epoch(7), Timestamp::from_millis(T));
        let text = member::append(r#"{"cookie":{}}"#, MemberName::DEFAULT.as_str(), &metadata);
        assert_eq!(Epoch::of_user(&text, &MemberName::DEFAULT), Epoch(7));
        assert!(metadata.has_moved() && metadata.authentication().is_none());
        assert!(of_session(&text, &MemberName::DEFAULT).is_none());
        for nothing in ["", "{}", r#"{"cookie":{}}"#, "null"] {
            assert_eq!(Epoch::of_user(nothing, &MemberName::DEFAULT), Epoch::FIRST);
        }
    }
}
