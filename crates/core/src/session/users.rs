//! The sessions of one user: which of them are live, which is the caller's own, how one is ended, and which ones make room
//! for a login.
//!
//! The record alone says whose session it is. A session is ended by a compare-and-swap that leaves a mark in place of its
//! data: a write under way conflicts with it, and writes nothing more. Without metadata the record is destroyed.

use std::collections::HashSet;
use std::time::Duration;

use super::forward::Follow;
use super::save::ATTEMPTS;
use super::state::Context;
use super::{Answer, Error, Result, StoreCall};
use crate::metadata::{Epoch, Mark, UserQuery};
use crate::policy::Admission;
use crate::store::{self, Loaded, Record, Revision, Updated};
use crate::{Metadata, Policy, SessionId, Timestamp};

/// One of a user's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: SessionId,
    /// The library's own notes, if its record has them.
    pub metadata: Option<Metadata>,
    /// Its last visit, as far as it is known.
    pub last_visit: Option<Timestamp>,
}

/// The pages of a store's answer to [`Store::sessions_of`](crate::store::Store::sessions_of), as a list of live sessions.
///
/// ```
/// use express_session_core::session::{Context, Listing};
/// use express_session_core::store::Record;
/// use express_session_core::{Policy, SessionId, Timestamp};
///
/// let policy = Policy { metadata: true, ..Policy::default() };
/// let context = Context::new(&policy, "connect.sid");
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let page = [("phone", 7), ("laptop", 8)].map(|(id, seen)| {
///     let text = format!(r#"{{"cookie":{{}},"__sessionMetadata":{{"created":1,"seen":{seen}}}}}"#);
///     (SessionId::new(id).unwrap(), Record { text: text.into(), deadline: None })
/// });
/// let mut listing = Listing::default();
/// listing.add(&context, page, now);
/// let ids = listing.finish().into_iter().map(|listed| listed.id.as_str().to_owned());
/// assert_eq!(ids.collect::<Vec<_>>(), ["laptop", "phone"]);
/// ```
#[derive(Debug, Default)]
pub struct Listing {
    sessions: Vec<Listed>,
    known: HashSet<SessionId>,
}

impl Listing {
    /// Adds the sessions of a page that a request would get, each of them once.
    pub fn add(
        &mut self,
        context: &Context<'_>,
        page: impl IntoIterator<Item = (SessionId, Record)>,
        now: Timestamp,
    ) {
        for (id, record) in page {
            if !is_live(context, &record, now) || !self.known.insert(id.clone()) {
                continue;
            }
            let (metadata, last_visit) = context.summary(&record, now);
            self.sessions.push(Listed { id, metadata, last_visit });
        }
    }

    /// Returns the sessions, the one with the latest visit first.
    #[must_use]
    pub fn finish(mut self) -> Vec<Listed> {
        self.sessions.sort_by_key(|session| std::cmp::Reverse(session.last_visit));
        self.sessions
    }
}

/// Checks whether a request would get the session of a record.
fn is_live(context: &Context<'_>, record: &Record, now: Timestamp) -> bool {
    let loaded = Loaded { record: record.clone(), revision: Revision::new(0) };
    context.has_ended(&loaded, now).is_none()
}

/// The session that asks, under its id or one that it has got meanwhile by a renewal.
///
/// ```
/// use express_session_core::session::{Listed, OwnSession};
/// use express_session_core::{Metadata, SessionId};
///
/// let notes = |text| Metadata::parse(text).unwrap();
/// let own = OwnSession {
///     id: SessionId::new("old"),
///     metadata: Some(notes(r#"{"created":1,"seen":1}"#)),
/// };
/// let renewed = Listed {
///     id: SessionId::new("new").unwrap(),
///     metadata: Some(notes(r#"{"created":1,"seen":2,"renewed":2}"#)),
///     last_visit: None,
/// };
/// assert!(own.is(&renewed));
/// assert!(!OwnSession::default().is(&renewed));
/// ```
#[derive(Clone, Debug, Default)]
pub struct OwnSession {
    /// Its id, if there is such a session.
    pub id: Option<SessionId>,
    /// Its notes.
    pub metadata: Option<Metadata>,
}

impl OwnSession {
    /// Checks whether a listed session is this one.
    #[must_use]
    pub fn is(&self, listed: &Listed) -> bool {
        let is_continued = || {
            let both = listed.metadata.as_ref().zip(self.metadata.as_ref());
            both.is_some_and(|(listed, own)| listed.continues(own))
        };
        self.id.as_ref() == Some(&listed.id) || is_continued()
    }

    /// Returns its epoch among the sessions of its user, with its id: for [`RaiseMachine`](super::RaiseMachine). Notes about
    /// another user's login say nothing.
    #[must_use]
    pub fn epoch(&self, users: &UserQuery) -> Option<(SessionId, Epoch)> {
        let is_theirs = |metadata: &&Metadata| {
            let login = metadata.authentication();
            login.is_none_or(|login| Some(&login.user) == users.user())
        };
        let metadata = self.metadata.as_ref().filter(is_theirs);
        Some((self.id.clone()?, metadata.map_or(Epoch::FIRST, Metadata::epoch)))
    }
}

impl Policy {
    /// Decides about the login of a user that has these sessions: the ones that end for it, or `None` where it is refused.
    /// The session that logs in does not count.
    #[must_use]
    pub fn admit_login(&self, sessions: Vec<Listed>, own: &OwnSession) -> Option<Vec<SessionId>> {
        let others: Vec<_> = sessions.into_iter().filter(|listed| !own.is(listed)).collect();
        let visits: Vec<_> = others.iter().map(|listed| listed.last_visit).collect();
        match self.admit(&visits) {
            Admission::Refuse => None,
            Admission::Admit { end } => {
                Some(end.into_iter().map(|place| others[place].id.clone()).collect())
            }
        }
    }

    /// Returns how often a user's sessions are listed at most, to end them: as long as the list before had one to end. A
    /// listing that is not one moment of the store misses a session whose id is renewed meanwhile.
    ///
    /// ```
    /// use express_session_core::Policy;
    ///
    /// assert_eq!(Policy::default().most_listings(), 1);
    /// ```
    #[must_use]
    pub fn most_listings(&self) -> u32 {
        if self.renewal().is_some() { ATTEMPTS } else { 1 }
    }
}

/// Checks that a lock whose lease ends at `until` is still held. More than the lease is a clock that was set back.
///
/// ```
/// use std::time::Duration;
/// use express_session_core::session::is_lease_held;
/// use express_session_core::Timestamp;
///
/// let [now, until] = [1000, 2000].map(Timestamp::from_millis);
/// assert!(is_lease_held(until, Duration::from_secs(1), now));
/// assert!(!is_lease_held(until, Duration::from_secs(1), until));
/// assert!(!is_lease_held(until, Duration::from_millis(999), now));
/// ```
#[must_use]
pub fn is_lease_held(until: Timestamp, lease: Duration, now: Timestamp) -> bool {
    let left = until.saturating_since(now);
    !left.is_zero() && left <= lease
}

/// The end of one session of a user by another session, or by an administrator.
///
/// ```text
/// Start ──▶ Loading ──▶ Marking ──▶ done
///              ▲  ▲        │  │
///  it forwards └──┴────────┘  └──▶ Destroying ──▶ done
/// ```
///
/// ```
/// use express_session_core::metadata::{Mark, MemberName, UserQuery};
/// use express_session_core::record::Json;
/// use express_session_core::session::{Answer, Context, Revocation, RevokeMachine};
/// use express_session_core::{Policy, SessionId, Timestamp};
///
/// let policy = Policy { metadata: true, ..Policy::default() };
/// let context = Context::new(&policy, "connect.sid");
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let bob = UserQuery::new(Json::of("bob")?, MemberName::DEFAULT);
///
/// let mut end = RevokeMachine::new(bob, SessionId::from_random([7; 24]), Mark::Revoked, now);
/// let call = end.start();
/// # drop(call);
/// // It is gone.
/// let next = end.resume(&context, Answer::Loaded(Ok(None)))?;
/// assert!(matches!(next, Revocation::Done(false)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RevokeMachine {
    users: UserQuery,
    id: SessionId,
    mark: Mark,
    now: Timestamp,
    attempts: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Loading,
    Marking,
    Destroying,
}

/// The next task of the driver of a [`RevokeMachine`].
#[derive(Debug)]
pub enum Revocation {
    /// A call of the store.
    Call(StoreCall),
    /// Nothing: whether the session has ended by this. Otherwise it is gone, or another user's by now.
    Done(bool),
}

impl RevokeMachine {
    /// Ends the session of this id, if it is one of the user's.
    #[must_use]
    pub fn new(users: UserQuery, id: SessionId, mark: Mark, now: Timestamp) -> Self {
        Self { users, id, mark, now, attempts: 0, stage: Stage::Loading }
    }

    /// Begins.
    #[must_use]
    pub fn start(&mut self) -> StoreCall {
        self.stage = Stage::Loading;
        StoreCall::Load { id: self.id.clone() }
    }

    /// Goes on with the store's answer.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] where the store failed; [`Error::OutOfOrder`].
    pub fn resume(&mut self, context: &Context<'_>, answer: Answer) -> Result<Revocation> {
        use store::ErrorKind::{Corrupt, Unsuitable};
        match (self.stage, answer) {
            (Stage::Loading, Answer::Loaded(Ok(Some(current)))) => {
                Ok(self.found(context, &current))
            }
            // The write of another request came first: the mark goes on top of it.
            (Stage::Marking, Answer::Updated(Ok(Updated::Conflict(theirs)))) => {
                Ok(self.found(context, &theirs))
            }
            (Stage::Loading, Answer::Loaded(Ok(None)))
            | (Stage::Marking, Answer::Updated(Ok(Updated::Gone))) => Ok(Revocation::Done(false)),
            (Stage::Marking, Answer::Updated(Ok(Updated::Done(_)))) => Ok(Revocation::Done(true)),
            // Nothing of it can be kept.
            (Stage::Loading, Answer::Loaded(Err(error))) if error.kind() == Corrupt => {
                Ok(self.destroy())
            }
            // The store cannot keep a mark.
            (Stage::Marking, Answer::Updated(Err(error)))
                if matches!(error.kind(), Corrupt | Unsuitable) =>
            {
                Ok(self.destroy())
            }
            (Stage::Destroying, Answer::Destroyed(Ok(()))) => Ok(Revocation::Done(true)),
            (Stage::Loading, Answer::Loaded(Err(error)))
            | (Stage::Marking, Answer::Updated(Err(error)))
            | (Stage::Destroying, Answer::Destroyed(Err(error))) => Err(Error::Store(error)),
            _ => Err(Error::OutOfOrder),
        }
    }

    fn found(&mut self, context: &Context<'_>, current: &Loaded) -> Revocation {
        self.attempts += 1;
        // No write of another request outlasts that.
        if self.attempts > ATTEMPTS {
            return self.destroy();
        }
        // Its id was renewed since it was listed: the session ends under the new one.
        if let Some(follow) = Follow::of(context, current, self.now) {
            let Some(to) = follow.target() else { return Revocation::Done(false) };
            self.id = to.clone();
            return Revocation::Call(self.start());
        }
        if !self.users.matches(&current.record.text) || !is_live(context, &current.record, self.now)
        {
            return Revocation::Done(false);
        }
        let Some(record) = context.ended_record(&current.record, self.mark, self.now) else {
            return self.destroy();
        };
        self.stage = Stage::Marking;
        let (id, expected) = (self.id.clone(), current.revision.clone());
        Revocation::Call(StoreCall::Update { id, record, expected })
    }

    fn destroy(&mut self) -> Revocation {
        self.stage = Stage::Destroying;
        Revocation::Call(StoreCall::Destroy { id: self.id.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MemberName;
    use crate::policy::{AtLimit, MaxSessions, Renewal};
    use crate::record::Json;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn policy() -> Policy {
        Policy { metadata: true, renewal: Some(Renewal::default()), ..Policy::default() }
    }

    fn id(name: &str) -> SessionId {
        SessionId::new(name).unwrap()
    }

    fn machine() -> RevokeMachine {
        let bob = UserQuery::new(Json::of("bob").unwrap(), MemberName::DEFAULT);
        RevokeMachine::new(bob, id("one"), Mark::Revoked, NOW)
    }

    fn loaded(notes: &str) -> Loaded {
        let text = format!(
            r#"{{"cookie":{{"path":"/"}},"n":1,"__sessionMetadata":{{"created":1,"seen":1{notes}}}}}"#
        );
        Loaded { record: Record { text: text.into(), deadline: None }, revision: Revision::new(7) }
    }

    const BOB: &str = r#","authenticated":1,"user":"bob""#;

    fn failed(kind: store::ErrorKind) -> store::Error {
        store::Error::new(kind, "on purpose")
    }

    /// Begins, answers the load, and returns what comes next.
    fn after_load(found: Option<Loaded>) -> (RevokeMachine, Revocation) {
        let (policy, mut machine) = (policy(), machine());
        assert!(matches!(machine.start(), StoreCall::Load { id } if id.as_str() == "one"));
        let context = Context::new(&policy, "connect.sid");
        let next = machine.resume(&context, Answer::Loaded(Ok(found))).unwrap();
        (machine, next)
    }

    #[test]
    fn session_of_the_user_is_marked_and_any_other_is_left() {
        let (mut machine, next) = after_load(Some(loaded(BOB)));
        let Revocation::Call(StoreCall::Update { record, expected, .. }) = next else {
            panic!("{next:?}")
        };
        assert!(record.text.contains(r#""ended":"revoked""#) && !record.text.contains("bob"));
        assert_eq!(expected, Revision::new(7));
        let policy = policy();
        let context = Context::new(&policy, "connect.sid");
        let done = Answer::Updated(Ok(Updated::Done(Revision::new(8))));
        assert!(matches!(machine.resume(&context, done), Ok(Revocation::Done(true))));
        let eve = r#","authenticated":1,"user":"eve""#;
        let ended = r#","authenticated":1,"user":"bob","ended":"limit""#;
        for found in [None, Some(loaded(eve)), Some(loaded("")), Some(loaded(ended))] {
            assert!(matches!(after_load(found).1, Revocation::Done(false)));
        }
    }

    #[test]
    fn write_that_came_first_is_marked_and_one_that_ended_it_is_left() {
        let policy = policy();
        let context = Context::new(&policy, "connect.sid");
        for (answer, is_marked) in [
            (Updated::Conflict(loaded(BOB)), Some(true)),
            (Updated::Conflict(loaded("")), None),
            (Updated::Gone, None),
        ] {
            let (mut machine, _) = after_load(Some(loaded(BOB)));
            let next = machine.resume(&context, Answer::Updated(Ok(answer))).unwrap();
            match is_marked {
                Some(_) => assert!(matches!(next, Revocation::Call(StoreCall::Update { .. }))),
                None => assert!(matches!(next, Revocation::Done(false))),
            }
        }
    }

    #[test]
    fn session_ends_under_the_id_that_it_has_got_meanwhile() {
        let until = NOW.millis() + 1;
        let to = |target: &str, until| {
            after_load(Some(loaded(&format!(r#","movedTo":{target},"movedUntil":{until}"#)))).1
        };
        let next = to("\"two\"", until);
        assert!(
            matches!(&next, Revocation::Call(StoreCall::Load { id }) if id.as_str() == "two"),
            "{next:?}"
        );
        assert!(matches!(to("\"two\"", NOW.millis()), Revocation::Done(false)));
        assert!(matches!(to("null", until), Revocation::Done(false)));
    }

    #[test]
    fn record_that_cannot_be_marked_is_destroyed_and_an_outage_is_an_error() {
        use store::ErrorKind::{Corrupt, Unavailable, Unsuitable};
        let policy = policy();
        let context = Context::new(&policy, "connect.sid");
        let is_destroy = |next: &Revocation| matches!(next, Revocation::Call(StoreCall::Destroy { id }) if id.as_str() == "one");
        let mut first = machine();
        let _ = first.start();
        let next = first.resume(&context, Answer::Loaded(Err(failed(Corrupt)))).unwrap();
        assert!(is_destroy(&next));
        let done = first.resume(&context, Answer::Destroyed(Ok(())));
        assert!(matches!(done, Ok(Revocation::Done(true))));
        for kind in [Corrupt, Unsuitable] {
            let (mut machine, _) = after_load(Some(loaded(BOB)));
            let next = machine.resume(&context, Answer::Updated(Err(failed(kind)))).unwrap();
            assert!(is_destroy(&next));
        }
        let (mut machine, _) = after_load(Some(loaded(BOB)));
        let error = machine.resume(&context, Answer::Updated(Err(failed(Unavailable))));
        assert!(matches!(error, Err(Error::Store(_))));
        // Without metadata there is no mark.
        let plain = Policy::default();
        let mut machine = self::machine();
        let _ = machine.start();
        let found = Answer::Loaded(Ok(Some(loaded(BOB))));
        assert!(is_destroy(&machine.resume(&Context::new(&plain, "sid"), found).unwrap()));
    }

    #[test]
    fn record_that_is_written_all_the_time_is_destroyed_in_the_end() {
        let policy = policy();
        let context = Context::new(&policy, "connect.sid");
        let (mut machine, mut next) = after_load(Some(loaded(BOB)));
        let mut attempts = 0;
        while matches!(next, Revocation::Call(StoreCall::Update { .. })) {
            let theirs = Answer::Updated(Ok(Updated::Conflict(loaded(BOB))));
            next = machine.resume(&context, theirs).unwrap();
            attempts += 1;
        }
        assert_eq!(attempts, ATTEMPTS);
        assert!(matches!(next, Revocation::Call(StoreCall::Destroy { .. })));
    }

    #[test]
    fn answer_to_another_question_is_refused() {
        let (policy, mut machine) = (policy(), machine());
        let _ = machine.start();
        let answer = Answer::Destroyed(Ok(()));
        let context = Context::new(&policy, "connect.sid");
        assert!(matches!(machine.resume(&context, answer), Err(Error::OutOfOrder)));
    }

    #[test]
    fn list_has_the_live_sessions_once_and_the_latest_visit_first() {
        let policy = policy();
        let context = Context::new(&policy, "connect.sid");
        let seen = |seen| loaded(&format!(r#","seen":{seen}{BOB}"#)).record;
        let mut listing = Listing::default();
        listing.add(&context, [(id("a"), seen(5)), (id("b"), seen(9))], NOW);
        let ended = loaded(&format!(r#"{BOB},"ended":"revoked""#)).record;
        listing.add(&context, [(id("a"), seen(5)), (id("c"), ended), (id("d"), seen(7))], NOW);
        let ids: Vec<_> = listing.finish().into_iter().map(|listed| listed.id).collect();
        assert_eq!(ids, ["b", "d", "a"].map(id));
    }

    #[test]
    fn session_that_logs_in_does_not_count() {
        let listed = |name| Listed { id: id(name), metadata: None, last_visit: Some(NOW) };
        let sessions = || vec![listed("a"), listed("b")];
        let own = |name| OwnSession { id: Some(id(name)), metadata: None };
        for (count, at_limit, own, expected) in [
            (2, AtLimit::Refuse, own("c"), None),
            (2, AtLimit::Refuse, own("a"), Some(vec![])),
            (3, AtLimit::Refuse, own("c"), Some(vec![])),
            (2, AtLimit::EndLeastRecentlyUsed, own("c"), Some(vec![id("a")])),
            (1, AtLimit::EndLeastRecentlyUsed, own("a"), Some(vec![id("b")])),
        ] {
            let max_sessions = Some(MaxSessions { count, at_limit });
            let policy = Policy { max_sessions, ..policy() };
            assert_eq!(policy.admit_login(sessions(), &own), expected, "{count} {own:?}");
        }
    }

    #[test]
    fn lists_are_repeated_where_ids_are_renewed() {
        assert_eq!(policy().most_listings(), ATTEMPTS);
        assert_eq!(Policy { renewal: None, ..policy() }.most_listings(), 1);
    }

    #[test]
    fn lock_is_held_until_its_lease_ends_and_not_by_a_clock_that_was_set_back() {
        let (lease, until) = (Duration::from_secs(1), 1000);
        for (now, is_held) in [(-1, false), (0, true), (999, true), (1000, false), (2000, false)] {
            let [until, now] = [until, now].map(Timestamp::from_millis);
            assert_eq!(is_lease_held(until, lease, now), is_held, "{now:?}");
        }
    }

    #[test]
    fn own_session_has_an_epoch_among_those_of_its_user_alone() {
        let of = |user: &str| UserQuery::new(Json::of(user).unwrap(), MemberName::DEFAULT);
        let own = |notes: &str, name: Option<&str>| OwnSession {
            id: name.map(id),
            metadata: crate::metadata::member::read(
                &loaded(notes).record.text,
                MemberName::DEFAULT.as_str(),
            ),
        };
        let bobs = r#","authenticated":1,"user":"bob","epoch":5"#;
        for (own, expected) in [
            (own(bobs, Some("one")), Some(5)),
            (own(r#","authenticated":1,"user":"eve","epoch":5"#, Some("one")), Some(0)),
            // Passport has logged the user in.
            (own("", Some("one")), Some(0)),
            (OwnSession { id: Some(id("one")), metadata: None }, Some(0)),
            (own(bobs, None), None),
        ] {
            let epoch = own.epoch(&of("bob"));
            let found = epoch.as_ref().map(|(id, epoch)| (id.as_str(), epoch.number()));
            assert_eq!(found, expected.map(|epoch| ("one", epoch)), "{own:?}");
        }
    }

    #[test]
    fn end_fails_where_the_store_cannot_say_whether_there_is_a_session() {
        let policy = policy();
        let context = Context::new(&policy, "connect.sid");
        let mut first = machine();
        let _ = first.start();
        let unavailable = Answer::Loaded(Err(failed(store::ErrorKind::Unavailable)));
        assert!(matches!(first.resume(&context, unavailable), Err(Error::Store(_))));
    }
}
