//! The epochs of users, with the calls of a store that they take.
//!
//! 1. Each session of a user notes the epoch of its login. A record of its own, under [`UserQuery::epoch_id`], has the user's
//!    present one.
//! 2. The end of all sessions of a user raises that first, and then looks for the sessions. A login that has read the epoch
//!    before is ended by it, whenever its session is stored, and so is a session that another program stores again.
//! 3. The session that is to go on gets the new epoch before the user does ([`Raising::Keep`]). So a request that reads the
//!    user's new epoch, and then loads that session, finds the new one there too.
//! 4. A record that was loaded before the user's epoch may be older than it. If its epoch is lower, the record is loaded once
//!    more ([`EpochMachine`]), and decides.

use std::time::Duration;

use super::forward::Follow;
use super::save::ATTEMPTS;
use super::state::{Context, SessionState, StoreView};
use super::{Answer, Error, Result, StoreCall};
use crate::cookie::{Cookie, StoredCookie};
use crate::metadata::{Epoch, UserQuery, epoch, member};
use crate::store::{self, Created, Loaded, Record, Revision, Updated};
use crate::{Metadata, SessionId, Timestamp};

impl Context<'_> {
    /// Returns the same context, of a request that has read the epoch of its session's user.
    ///
    /// ```
    /// use express_session_core::metadata::Epoch;
    /// use express_session_core::policy::EndedBy;
    /// use express_session_core::session::Context;
    /// use express_session_core::store::{Loaded, Record, Revision};
    /// use express_session_core::{Policy, Timestamp};
    ///
    /// let text = r#"{"cookie":{},"passport":{"user":"bob"}}"#;
    /// let record = Record { text: text.into(), deadline: None };
    /// let loaded = Loaded { record, revision: Revision::new(1) };
    ///
    /// let policy = Policy { user_epoch: true, ..Policy::default() };
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let context = Context::new(&policy, "connect.sid");
    /// assert_eq!(context.has_ended(&loaded, now), None);
    /// let raised = context.in_epoch(Some(Epoch::FIRST.next(now)));
    /// assert_eq!(raised.has_ended(&loaded, now).map(|ended| ended.by), Some(EndedBy::Revoked));
    /// ```
    #[must_use]
    pub fn in_epoch(self, user_epoch: Option<Epoch>) -> Self {
        Self { user_epoch, ..self }
    }

    /// Returns the epoch of a user, from what the store has under [`UserQuery::epoch_id`].
    ///
    /// A record that cannot be read counts as none. It was bound by a secret that was dropped since, and no cookie that this
    /// secret has signed is accepted any more.
    ///
    /// # Errors
    ///
    /// Those of the store, but [`ErrorKind::Corrupt`](store::ErrorKind::Corrupt).
    pub fn epoch_of_user(
        &self,
        found: Result<Option<Loaded>, store::Error>,
    ) -> Result<Epoch, store::Error> {
        Ok(self.epoch_of(readable(found)?.as_ref()))
    }

    fn epoch_of(&self, found: Option<&Loaded>) -> Epoch {
        found.map_or(Epoch::FIRST, |found| Epoch::of_user(&found.record.text, self.member))
    }

    /// Returns the user of a session's record, and the epoch of the login, if the policy has epochs.
    pub(super) fn user_of_session(&self, text: &str) -> Option<(UserQuery, Epoch)> {
        if !self.policy.user_epoch {
            return None;
        }
        let (user, epoch) = epoch::of_session(text, self.member)?;
        Some((UserQuery::new(user, self.member.clone()), epoch))
    }

    /// Returns the record of a user's epoch. Its cookie has the times of the deadline, for stores that read them there.
    fn epoch_record(&self, epoch: Epoch, max_age: Option<Duration>, now: Timestamp) -> Record {
        let deadline = self.policy.epoch_deadline(max_age, self.lifetime, now);
        let time = deadline.map(|deadline| deadline.saturating_since(now));
        let mut cookie = StoredCookie::new(&Cookie::new(), now, false, true);
        cookie.set_max_age(time, now);
        let text = ["{\"cookie\":", &cookie.text(), "}"].concat();
        let metadata = epoch::member_of_user(epoch, now);
        Record { text: member::append(&text, self.member.as_str(), &metadata), deadline }
    }
}

/// The reading of the epoch that decides about a session that was loaded.
///
/// ```text
///            ┌─ of another user ─┐
///            ▼                   │
/// Start ──▶ Reading ──▶ Loading the session again ──▶ done
///              │  its epoch is lower ▲  │ renewed
///              └──▶ done             └──┘
/// ```
///
/// ```
/// use express_session_core::metadata::Epoch;
/// use express_session_core::session::{Answer, Context, EpochMachine, EpochStep};
/// use express_session_core::store::{Loaded, Record, Revision};
/// use express_session_core::{Policy, SessionId, Timestamp};
///
/// let text = r#"{"cookie":{},"passport":{"user":"bob"}}"#;
/// let record = Record { text: text.into(), deadline: None };
/// let loaded = Loaded { record, revision: Revision::new(1) };
///
/// let policy = Policy { user_epoch: true, ..Policy::default() };
/// let context = Context::new(&policy, "connect.sid");
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let id = SessionId::from_random([7; 24]);
/// let mut check = EpochMachine::of(&context, &id, &loaded, now).unwrap();
/// let call = check.start();
/// # drop(call);
/// // The user's sessions have never ended.
/// let step = check.resume(&context, Answer::Loaded(Ok(None)))?;
/// let EpochStep::Done(settled) = step else { panic!("{step:?}") };
/// assert_eq!((settled.loaded, settled.epoch), (Some(loaded), Epoch::FIRST));
/// # Ok::<(), express_session_core::session::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochMachine {
    id: SessionId,
    loaded: Loaded,
    users: UserQuery,
    login: Epoch,
    /// The user's, once it is known.
    epoch: Option<Epoch>,
    now: Timestamp,
    attempts: u32,
}

/// The next task of the driver of an [`EpochMachine`].
#[derive(Debug)]
pub enum EpochStep {
    /// A call of the store.
    Call(StoreCall),
    /// Nothing: the session and the epoch are these.
    Done(Settled),
}

/// A session with the epoch of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The session's id, which another request may have renewed.
    pub id: SessionId,
    /// Its record, `None` where it has gone meanwhile.
    pub loaded: Option<Loaded>,
    /// The present epoch of its user: for [`Context::in_epoch`].
    pub epoch: Epoch,
}

impl EpochMachine {
    /// Asks for the epoch of the user of a session. `None` where the policy has no epochs, and for a session without a user.
    #[must_use]
    pub fn of(
        context: &Context<'_>,
        id: &SessionId,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Option<Self> {
        let (users, login) = context.user_of_session(&loaded.record.text)?;
        let (id, loaded) = (id.clone(), loaded.clone());
        Some(Self { id, loaded, users, login, epoch: None, now, attempts: 0 })
    }

    /// Begins.
    #[must_use]
    pub fn start(&self) -> StoreCall {
        StoreCall::Load { id: self.users.epoch_id() }
    }

    /// Goes on with the store's answer.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] where the store failed: the request fails as if the session had not been loaded. [`Error::Conflict`]
    /// where the session got another user, or another id, at every attempt; [`Error::OutOfOrder`].
    pub fn resume(&mut self, context: &Context<'_>, answer: Answer) -> Result<EpochStep> {
        let Answer::Loaded(found) = answer else { return Err(Error::OutOfOrder) };
        let Some(epoch) = self.epoch else {
            let epoch = context.epoch_of_user(found)?;
            if context.policy.ended_by_epoch(self.login, Some(epoch)).is_none() {
                return Ok(self.done(true, epoch));
            }
            self.epoch = Some(epoch);
            return self.load();
        };
        let Some(loaded) = found? else { return Ok(self.done(false, epoch)) };
        if let Some(follow) = Follow::of(context, &loaded, self.now) {
            let Some(to) = follow.target() else { return Ok(self.done(false, epoch)) };
            self.id = to.clone();
            return self.load();
        }
        self.loaded = loaded;
        match context.user_of_session(&self.loaded.record.text) {
            // Passport has logged another user in, under the same id.
            Some((users, login)) if users != self.users => {
                (self.users, self.login, self.epoch) = (users, login, None);
                self.count()?;
                Ok(EpochStep::Call(self.start()))
            }
            _ => Ok(self.done(true, epoch)),
        }
    }

    fn load(&mut self) -> Result<EpochStep> {
        self.count()?;
        Ok(EpochStep::Call(StoreCall::Load { id: self.id.clone() }))
    }

    fn count(&mut self) -> Result<()> {
        self.attempts += 1;
        if self.attempts > ATTEMPTS { Err(Error::Conflict) } else { Ok(()) }
    }

    fn done(&self, is_there: bool, epoch: Epoch) -> EpochStep {
        let loaded = is_there.then(|| self.loaded.clone());
        EpochStep::Done(Settled { id: self.id.clone(), loaded, epoch })
    }
}

/// The rise of a user's epoch, with which all of the user's sessions end, but for one if it is to go on.
///
/// ```text
/// Start ──▶ Loading ──────────────▶ Writing ──▶ done
///            ▲  │                   ▲   │
///            │  └─▶ Keep, or load   │   │ another one came first
///            │      the own session ┘   │
///            └──────────────────────────┘
/// ```
///
/// A record that is there and cannot be read, such as one that is bound by a secret which was dropped, is removed before the
/// new one is written.
///
/// ```
/// use express_session_core::metadata::{MemberName, UserQuery};
/// use express_session_core::record::Json;
/// use express_session_core::session::{Answer, Context, RaiseMachine, Raising, StoreCall};
/// use express_session_core::store::{Created, Revision};
/// use express_session_core::{Policy, Timestamp};
///
/// let policy = Policy { user_epoch: true, ..Policy::default() };
/// let context = Context::new(&policy, "connect.sid");
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let bob = UserQuery::new(Json::of("bob")?, MemberName::DEFAULT);
///
/// let mut raise = RaiseMachine::new(bob.clone(), None, None, now);
/// let call = raise.start();
/// # drop(call);
/// let next = raise.resume(&context, Answer::Loaded(Ok(None)))?;
/// let Raising::Call(StoreCall::Create { id, record }) = next else { panic!("{next:?}") };
/// assert_eq!(id, bob.epoch_id());
/// assert!(record.text.contains(r#""epoch":1700000000000"#));
/// let created = Answer::Created(Ok(Created::Done(Revision::new(1))));
/// assert!(matches!(raise.resume(&context, created)?, Raising::Done(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RaiseMachine {
    users: UserQuery,
    own: Option<(SessionId, Epoch)>,
    max_age: Option<Duration>,
    now: Timestamp,
    /// The user's epoch, and the revision of its record.
    current: (Epoch, Option<Revision>),
    /// Whether the store may have a record that it does not show, because it cannot be read.
    is_hidden: bool,
    attempts: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Loading,
    /// The own session, whose epoch is lower as far as the request knows.
    LoadingOwn,
    Keeping(Epoch),
    /// A record that cannot be read is in the way.
    Removing(Epoch),
    Writing(Epoch),
}

/// The next task of the driver of a [`RaiseMachine`].
#[derive(Debug)]
pub enum Raising {
    /// A call of the store.
    Call(StoreCall),
    /// The session that goes on gets this epoch, by [`SessionState::raise_epoch`], and is stored. Then
    /// [`RaiseMachine::kept`] goes on.
    Keep(Epoch),
    /// Nothing: the user has this epoch.
    Done(Epoch),
}

impl RaiseMachine {
    /// Raises the epoch of a user. `own` is the session that goes on, with its epoch; `max_age` is that of the usual cookie.
    #[must_use]
    pub fn new(
        users: UserQuery,
        own: Option<(SessionId, Epoch)>,
        max_age: Option<Duration>,
        now: Timestamp,
    ) -> Self {
        let current = (Epoch::FIRST, None);
        let (is_hidden, attempts, stage) = (false, 0, Stage::Loading);
        Self { users, own, max_age, now, current, is_hidden, attempts, stage }
    }

    /// Begins.
    #[must_use]
    pub fn start(&mut self) -> StoreCall {
        self.stage = Stage::Loading;
        StoreCall::Load { id: self.users.epoch_id() }
    }

    /// Goes on with the store's answer.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] where the store failed; [`Error::Ended`] where the own session has ended with the user's others;
    /// [`Error::Conflict`] where other requests were faster at every attempt; [`Error::OutOfOrder`].
    pub fn resume(&mut self, context: &Context<'_>, answer: Answer) -> Result<Raising> {
        match (self.stage, answer) {
            (Stage::Loading, Answer::Loaded(found)) => {
                self.is_hidden |= is_unreadable(&found);
                self.found(context, readable(found)?)
            }
            (Stage::LoadingOwn, Answer::Loaded(found)) => {
                let loaded = found?.ok_or(Error::Ended)?;
                self.found_own(context, &loaded)
            }
            (Stage::Removing(epoch), Answer::Destroyed(done)) => {
                done?;
                self.is_hidden = false;
                Ok(Raising::Call(self.write(context, epoch)))
            }
            (Stage::Writing(epoch), Answer::Created(created)) => match created? {
                Created::Done(_) => Ok(Raising::Done(epoch)),
                Created::Taken => {
                    self.is_hidden = true;
                    self.again()
                }
            },
            (Stage::Writing(epoch), Answer::Updated(updated)) => match updated? {
                Updated::Done(_) => Ok(Raising::Done(epoch)),
                Updated::Conflict(theirs) => {
                    self.count()?;
                    self.found(context, Some(theirs))
                }
                Updated::Gone => self.again(),
            },
            _ => Err(Error::OutOfOrder),
        }
    }

    /// Goes on after the session that goes on has the epoch.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfOrder`].
    pub fn kept(&mut self, context: &Context<'_>) -> Result<StoreCall> {
        let Stage::Keeping(epoch) = self.stage else { return Err(Error::OutOfOrder) };
        if let Some((_, own)) = &mut self.own {
            *own = epoch;
        }
        Ok(self.write(context, epoch))
    }

    fn found(&mut self, context: &Context<'_>, found: Option<Loaded>) -> Result<Raising> {
        let current = context.epoch_of(found.as_ref());
        self.is_hidden &= found.is_none();
        self.current = (current, found.map(|found| found.revision));
        match &self.own {
            None => {
                let epoch = current.next(self.now);
                Ok(Raising::Call(self.write(context, epoch)))
            }
            Some((id, own)) if *own < current => {
                self.stage = Stage::LoadingOwn;
                Ok(Raising::Call(StoreCall::Load { id: id.clone() }))
            }
            Some((_, own)) => {
                let epoch = current.max(*own).next(self.now);
                self.stage = Stage::Keeping(epoch);
                Ok(Raising::Keep(epoch))
            }
        }
    }

    /// Another request of the own session may have raised both epochs. Otherwise the session has ended, and must not go on
    /// with a new epoch.
    fn found_own(&mut self, context: &Context<'_>, loaded: &Loaded) -> Result<Raising> {
        self.count()?;
        if let Some(follow) = Follow::of(context, loaded, self.now) {
            let id = follow.target().ok_or(Error::Ended)?.clone();
            self.own = Some((id.clone(), Epoch::FIRST));
            return Ok(Raising::Call(StoreCall::Load { id }));
        }
        let (current, _) = self.current;
        let login = context.user_of_session(&loaded.record.text);
        let login = login.filter(|(users, _)| users.user() == self.users.user());
        let (_, own) = login.filter(|(_, own)| *own >= current).ok_or(Error::Ended)?;
        let epoch = own.next(self.now);
        self.stage = Stage::Keeping(epoch);
        Ok(Raising::Keep(epoch))
    }

    fn write(&mut self, context: &Context<'_>, epoch: Epoch) -> StoreCall {
        let id = self.users.epoch_id();
        if self.is_hidden {
            self.stage = Stage::Removing(epoch);
            return StoreCall::Destroy { id };
        }
        self.stage = Stage::Writing(epoch);
        let record = context.epoch_record(epoch, self.max_age, self.now);
        match self.current.1.take() {
            Some(expected) => StoreCall::Update { id, record, expected },
            None => StoreCall::Create { id, record },
        }
    }

    fn again(&mut self) -> Result<Raising> {
        self.count()?;
        Ok(Raising::Call(self.start()))
    }

    fn count(&mut self) -> Result<()> {
        self.attempts += 1;
        if self.attempts > ATTEMPTS { Err(Error::Conflict) } else { Ok(()) }
    }
}

/// Takes a record that cannot be read for none.
fn readable(found: Result<Option<Loaded>, store::Error>) -> Result<Option<Loaded>, store::Error> {
    if is_unreadable(&found) { Ok(None) } else { found }
}

fn is_unreadable(found: &Result<Option<Loaded>, store::Error>) -> bool {
    found.as_ref().is_err_and(|error| error.kind() == store::ErrorKind::Corrupt)
}

impl SessionState {
    /// Notes the present epoch of the session's user. Returns whether the store has a record of the session, which needs the
    /// epoch now: [`touch_call`](Self::touch_call) writes it. Otherwise the save of the session does.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn raise_epoch(&mut self, users: &UserQuery, epoch: Epoch, now: Timestamp) -> Result<bool> {
        let session = self.usable()?;
        let metadata = session.metadata.get_or_insert_with(|| Box::new(Metadata::new(now)));
        if let Some(user) = users.user() {
            metadata.raise_epoch(user, epoch);
        }
        Ok(matches!(session.view, StoreView::At(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;
    use crate::cookie::{Cookie, StoredCookie};
    use crate::metadata::MemberName;
    use crate::policy::{Ended, EndedBy, Renewal};
    use crate::record::Json;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn policy() -> Policy {
        Policy { user_epoch: true, renewal: Some(Renewal::default()), ..Policy::default() }
    }

    fn id(name: &str) -> SessionId {
        SessionId::new(name).unwrap()
    }

    fn bob() -> UserQuery {
        UserQuery::new(Json::of("bob").unwrap(), MemberName::DEFAULT)
    }

    fn epoch(number: i64) -> Epoch {
        Epoch::new(number)
    }

    fn loaded(notes: &str) -> Loaded {
        let text =
            format!(r#"{{"cookie":{{}},"__sessionMetadata":{{"created":1,"seen":1{notes}}}}}"#);
        Loaded { record: Record { text: text.into(), deadline: None }, revision: Revision::new(7) }
    }

    fn session_of(user: &str, epoch: i64) -> Loaded {
        loaded(&format!(r#","authenticated":1,"user":"{user}","epoch":{epoch}"#))
    }

    fn record_of(epoch: i64) -> Loaded {
        loaded(&format!(r#","epoch":{epoch},"movedTo":null,"movedUntil":1"#))
    }

    fn answer(found: Option<Loaded>) -> Answer {
        Answer::Loaded(Ok(found))
    }

    fn failed() -> store::Error {
        store::Error::new(store::ErrorKind::Unavailable, "on purpose")
    }

    /// Plays a check, whose session has the epoch 5, and returns the calls and the outcome.
    fn check(answers: impl IntoIterator<Item = Option<Loaded>>) -> (Vec<String>, Result<Settled>) {
        let policy = policy();
        let context = Context::new(&policy, "sid");
        let mut check = EpochMachine::of(&context, &id("one"), &session_of("bob", 5), NOW).unwrap();
        let (mut call, mut calls) = (check.start(), Vec::new());
        for found in answers {
            let StoreCall::Load { id } = call else { panic!("{call:?}") };
            let eve = UserQuery::new(Json::of("eve").unwrap(), MemberName::DEFAULT);
            calls.push(match id.as_str() {
                text if text == bob().epoch_id().as_str() => "bob".to_owned(),
                text if text == eve.epoch_id().as_str() => "eve".to_owned(),
                text => text.to_owned(),
            });
            call = match check.resume(&context, answer(found)) {
                Ok(EpochStep::Call(due)) => due,
                Ok(EpochStep::Done(settled)) => return (calls, Ok(settled)),
                Err(error) => return (calls, Err(error)),
            };
        }
        panic!("another call: {calls:?}")
    }

    #[test]
    fn session_with_a_lower_epoch_is_loaded_again_and_that_decides() {
        let own = session_of("bob", 5);
        let forward = loaded(&format!(r#","movedTo":"two","movedUntil":{}"#, NOW.millis() + 1));
        let gone = loaded(r#","movedTo":null,"movedUntil":1"#);
        for (answers, calls, outcome) in [
            (vec![None], vec!["bob"], ("one", Some(own.clone()), 0)),
            (vec![Some(record_of(4))], vec!["bob"], ("one", Some(own.clone()), 4)),
            (vec![Some(record_of(5))], vec!["bob"], ("one", Some(own.clone()), 5)),
            (
                vec![Some(record_of(6)), Some(own.clone())],
                vec!["bob", "one"],
                ("one", Some(own), 6),
            ),
            // The request that has raised the user's epoch has given it to this session before.
            (
                vec![Some(record_of(6)), Some(session_of("bob", 6))],
                vec!["bob", "one"],
                ("one", Some(session_of("bob", 6)), 6),
            ),
            (vec![Some(record_of(6)), None], vec!["bob", "one"], ("one", None, 6)),
            // Passport has logged the user out, or another one in.
            (
                vec![Some(record_of(6)), Some(loaded(""))],
                vec!["bob", "one"],
                ("one", Some(loaded("")), 6),
            ),
            (
                vec![Some(record_of(6)), Some(session_of("eve", 1)), None],
                vec!["bob", "one", "eve"],
                ("one", Some(session_of("eve", 1)), 0),
            ),
            (
                vec![Some(record_of(6)), Some(forward), Some(session_of("bob", 6))],
                vec!["bob", "one", "two"],
                ("two", Some(session_of("bob", 6)), 6),
            ),
            (vec![Some(record_of(6)), Some(gone)], vec!["bob", "one"], ("one", None, 6)),
        ] {
            let (made, done) = check(answers);
            let Settled { id, loaded, epoch } = done.unwrap();
            assert_eq!(made, calls);
            assert_eq!((id.as_str(), loaded, epoch.number()), outcome, "{made:?}");
        }
    }

    #[test]
    fn check_ends_although_the_user_changes_all_the_time_and_an_outage_is_an_error() {
        let answers = (0..=ATTEMPTS).flat_map(|turn| {
            let user = if turn % 2 == 0 { "eve" } else { "bob" };
            [Some(record_of(6)), Some(session_of(user, 5))]
        });
        let (calls, outcome) = check(answers);
        assert!(matches!(outcome, Err(Error::Conflict)));
        assert_eq!(calls.len(), ATTEMPTS as usize + 1);
        let policy = policy();
        let context = Context::new(&policy, "sid");
        let mut check = EpochMachine::of(&context, &id("one"), &session_of("bob", 5), NOW).unwrap();
        let outage = check.resume(&context, Answer::Loaded(Err(failed())));
        assert!(matches!(outage, Err(Error::Store(_))));
        let other = check.resume(&context, Answer::Destroyed(Ok(())));
        assert!(matches!(other, Err(Error::OutOfOrder)));
    }

    #[test]
    fn only_a_session_of_a_user_is_checked_and_only_where_the_policy_has_epochs() {
        let has_check = |policy: &Policy, loaded: &Loaded| {
            EpochMachine::of(&Context::new(policy, "sid"), &id("one"), loaded, NOW).is_some()
        };
        assert!(has_check(&policy(), &session_of("bob", 5)));
        assert!(!has_check(&policy(), &loaded("")));
        let without = Policy { user_epoch: false, metadata: true, ..policy() };
        assert!(!has_check(&without, &session_of("bob", 5)));
    }

    #[test]
    fn session_of_a_user_begins_once_its_epoch_was_read() {
        use crate::session::Begun;
        let policy = policy();
        let context = Context::new(&policy, "sid");
        let found = session_of("bob", 5);
        let begin = |user_epoch: Option<i64>| {
            let mut state = SessionState::default();
            let context = context.in_epoch(user_epoch.map(epoch));
            let begun = state.begin_loaded(&context, id("one"), &found, NOW).unwrap();
            (begun, state.ended_by())
        };
        assert!(matches!(begin(None), (Begun::OfUser(_), None)));
        assert_eq!(begin(Some(5)), (Begun::Live, None));
        let ended = Ended { by: EndedBy::Revoked, at: None };
        assert_eq!(begin(Some(6)), (Begun::Ended(ended), Some(ended.by)));
        let preview = context.in_epoch(Some(epoch(6))).preview(&found, NOW);
        assert_eq!(preview.ended, Some(ended));
        // A mark decides alone.
        let mut state = SessionState::default();
        let marked = loaded(r#","ended":"limit""#);
        let begun = state.begin_loaded(&context, id("one"), &marked, NOW).unwrap();
        assert_eq!(begun, Begun::Ended(Ended { by: EndedBy::Limit, at: None }));
    }

    #[test]
    fn stored_session_is_written_for_its_new_epoch_and_a_new_one_waits_for_its_save() {
        let policy = policy();
        let context = Context::new(&policy, "sid").in_epoch(Some(epoch(5)));
        let mut stored = SessionState::default();
        stored.begin_loaded(&context, id("one"), &session_of("bob", 5), NOW).unwrap();
        let cookie = StoredCookie::new(&Cookie::new(), NOW, false, true);
        let mut new = SessionState::default();
        new.begin_new(id("two"), cookie);
        for (mut state, is_stored) in [(stored, true), (new, false)] {
            assert_eq!(state.raise_epoch(&bob(), epoch(9), NOW).unwrap(), is_stored);
            let metadata = state.usable().unwrap().metadata.as_ref().unwrap();
            assert!(metadata.text().contains(r#""epoch":9"#), "{is_stored}");
        }
    }

    fn raise(own: Option<i64>) -> RaiseMachine {
        let own = own.map(|own| (id("own"), epoch(own)));
        let mut raise = RaiseMachine::new(bob(), own, None, Timestamp::from_millis(9));
        assert!(matches!(raise.start(), StoreCall::Load { id } if id == bob().epoch_id()));
        raise
    }

    /// Returns the write of an epoch, and the revision that it replaces.
    fn write(call: StoreCall) -> (i64, Option<Revision>) {
        let (id, record, expected) = match call {
            StoreCall::Create { id, record } => (id, record, None),
            StoreCall::Update { id, record, expected } => (id, record, Some(expected)),
            StoreCall::Load { .. }
            | StoreCall::UpdateLocked { .. }
            | StoreCall::Destroy { .. }
            | StoreCall::Time => panic!("no write of an epoch"),
        };
        assert_eq!(id, bob().epoch_id());
        (Epoch::of_user(&record.text, &MemberName::DEFAULT).number(), expected)
    }

    #[test]
    fn epoch_rises_above_the_users_and_the_own_sessions() {
        let policy = policy();
        let context = Context::new(&policy, "sid");
        for (found, own, keeps, raised) in [
            (None, None, None, 9),
            (Some(5), None, None, 9),
            (Some(9), None, None, 10),
            (Some(20), None, None, 21),
            (None, Some(0), Some(9), 9),
            (Some(5), Some(5), Some(9), 9),
            // One whose raise has stopped half-way.
            (Some(5), Some(20), Some(21), 21),
        ] {
            let mut raise = raise(own);
            let next = raise.resume(&context, answer(found.map(record_of))).unwrap();
            let call = match (next, keeps) {
                (Raising::Call(call), None) => call,
                (Raising::Keep(epoch), Some(keeps)) => {
                    assert_eq!(epoch.number(), keeps);
                    raise.kept(&context).unwrap()
                }
                other => panic!("{other:?}"),
            };
            let revision = found.map(|_| Revision::new(7));
            assert_eq!(write(call), (raised, revision), "{found:?} {own:?}");
            let done = match found {
                None => Answer::Created(Ok(Created::Done(Revision::new(8)))),
                Some(_) => Answer::Updated(Ok(Updated::Done(Revision::new(8)))),
            };
            let done = raise.resume(&context, done).unwrap();
            assert!(matches!(done, Raising::Done(epoch) if epoch.number() == raised));
        }
    }

    #[test]
    fn own_session_with_a_lower_epoch_goes_on_only_if_another_of_its_requests_has_raised_both() {
        let policy = policy();
        let context = Context::new(&policy, "sid");
        let forward = loaded(r#","movedTo":"two","movedUntil":99"#);
        for (found, keeps) in [
            (vec![Some(session_of("bob", 6))], Some(9)),
            (vec![Some(session_of("bob", 20))], Some(21)),
            (vec![Some(forward.clone()), Some(session_of("bob", 6))], Some(9)),
            (vec![Some(session_of("bob", 5))], None),
            (vec![Some(session_of("eve", 20))], None),
            (vec![Some(loaded(""))], None),
            (vec![Some(loaded(r#","ended":"revoked""#))], None),
            (vec![Some(forward), None], None),
            (vec![None], None),
        ] {
            let mut raise = raise(Some(5));
            let mut next = raise.resume(&context, answer(Some(record_of(6))));
            for found in found.clone() {
                assert!(matches!(next, Ok(Raising::Call(StoreCall::Load { .. }))), "{next:?}");
                next = raise.resume(&context, answer(found));
            }
            match keeps {
                Some(keeps) => {
                    assert!(matches!(next, Ok(Raising::Keep(epoch)) if epoch.number() == keeps));
                }
                None => assert!(matches!(next, Err(Error::Ended)), "{found:?}"),
            }
        }
    }

    #[test]
    fn record_that_cannot_be_read_counts_as_none_and_is_replaced() {
        let policy = policy();
        let context = Context::new(&policy, "sid");
        let corrupt =
            || Answer::Loaded(Err(store::Error::new(store::ErrorKind::Corrupt, "on purpose")));
        let mut check = EpochMachine::of(&context, &id("one"), &session_of("bob", 5), NOW).unwrap();
        let done = check.resume(&context, corrupt()).unwrap();
        assert!(matches!(done, EpochStep::Done(settled) if settled.epoch == Epoch::FIRST));
        // One of the session itself is an error.
        let mut check = EpochMachine::of(&context, &id("one"), &session_of("bob", 5), NOW).unwrap();
        assert!(matches!(
            check.resume(&context, answer(Some(record_of(6)))),
            Ok(EpochStep::Call(_))
        ));
        assert!(matches!(check.resume(&context, corrupt()), Err(Error::Store(_))));

        // A store may also hide it, and says only that the id is taken.
        for is_told in [true, false] {
            let mut raise = raise(None);
            let mut next = raise.resume(&context, if is_told { corrupt() } else { answer(None) });
            if !is_told {
                assert!(matches!(next, Ok(Raising::Call(StoreCall::Create { .. }))));
                let _ = raise.resume(&context, Answer::Created(Ok(Created::Taken))).unwrap();
                next = raise.resume(&context, answer(None));
            }
            let Ok(Raising::Call(StoreCall::Destroy { id })) = next else { panic!("{next:?}") };
            assert_eq!(id, bob().epoch_id());
            let next = raise.resume(&context, Answer::Destroyed(Ok(()))).unwrap();
            let Raising::Call(call) = next else { panic!("{next:?}") };
            assert_eq!(write(call), (9, None));
        }
        // One that another request has written meanwhile is not removed.
        let mut raise = raise(None);
        let _ = raise.resume(&context, answer(None)).unwrap();
        let _ = raise.resume(&context, Answer::Created(Ok(Created::Taken))).unwrap();
        let next = raise.resume(&context, answer(Some(record_of(9)))).unwrap();
        let Raising::Call(call) = next else { panic!("{next:?}") };
        assert_eq!(write(call), (10, Some(Revision::new(7))));
    }

    #[test]
    fn raise_goes_on_top_of_one_that_came_first() {
        let policy = policy();
        let context = Context::new(&policy, "sid");
        let mut raise = raise(Some(0));
        assert!(matches!(raise.resume(&context, answer(None)), Ok(Raising::Keep(_))));
        let _ = raise.kept(&context).unwrap();
        let next = raise.resume(&context, Answer::Created(Ok(Created::Taken))).unwrap();
        assert!(matches!(next, Raising::Call(StoreCall::Load { .. })));
        // The one that came first has the same number, by the same clock.
        let next = raise.resume(&context, answer(Some(record_of(9)))).unwrap();
        assert!(matches!(next, Raising::Keep(epoch) if epoch.number() == 10), "{next:?}");
        let _ = raise.kept(&context).unwrap();
        let conflict = Answer::Updated(Ok(Updated::Conflict(record_of(10))));
        let next = raise.resume(&context, conflict).unwrap();
        assert!(matches!(next, Raising::Keep(epoch) if epoch.number() == 11));
        let _ = raise.kept(&context).unwrap();
        let next = raise.resume(&context, Answer::Updated(Ok(Updated::Gone))).unwrap();
        assert!(matches!(next, Raising::Call(StoreCall::Load { .. })));
        // The next one is above that of the own session, which has ended with the others.
        let next = raise.resume(&context, answer(Some(record_of(12)))).unwrap();
        assert!(matches!(next, Raising::Call(StoreCall::Load { id }) if id.as_str() == "own"));
    }

    #[test]
    fn raise_ends_although_others_are_always_faster_and_an_outage_is_an_error() {
        let policy = policy();
        let context = Context::new(&policy, "sid");
        let mut first = raise(None);
        let mut next = first.resume(&context, answer(Some(record_of(1))));
        let mut attempts = 0;
        while let Ok(Raising::Call(StoreCall::Update { .. })) = next {
            attempts += 1;
            let theirs = Answer::Updated(Ok(Updated::Conflict(record_of(1))));
            next = first.resume(&context, theirs);
        }
        assert!(matches!(next, Err(Error::Conflict)), "{next:?}");
        assert_eq!(attempts, ATTEMPTS + 1);
        let mut second = raise(None);
        let outage = second.resume(&context, Answer::Loaded(Err(failed())));
        assert!(matches!(outage, Err(Error::Store(_))));
        let other = second.resume(&context, Answer::Destroyed(Ok(())));
        assert!(matches!(other, Err(Error::OutOfOrder)));
        assert!(matches!(second.kept(&context), Err(Error::OutOfOrder)));
    }

    /// A retry of the raise, and of the load, follows no chain for ever.
    #[test]
    fn own_session_whose_id_is_renewed_all_the_time_ends_the_raise() {
        let policy = policy();
        let context = Context::new(&policy, "sid");
        let mut raise = raise(Some(5));
        let mut next = raise.resume(&context, answer(Some(record_of(6))));
        let mut loads = 0;
        while let Ok(Raising::Call(StoreCall::Load { .. })) = next {
            loads += 1;
            let forward = loaded(r#","movedTo":"own","movedUntil":99"#);
            next = raise.resume(&context, answer(Some(forward)));
        }
        assert!(matches!(next, Err(Error::Conflict)));
        assert_eq!(loads, ATTEMPTS + 1);
    }
}
