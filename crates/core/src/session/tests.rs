mod audit;
mod facts;
mod metadata;
mod object;
mod renewal;
mod request;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cookie::{Cookie, CookieTemplate, StoredCookie};
use crate::decide::{CookieAction, Step, StoreAction};
use crate::store::{
    self, Created, Fenced, Lifetime, Loaded, LockToken, Record, Revision, Touch, Touched, Updated,
};
use crate::{Departures, Document, Policy, SessionId, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const PLAIN: &str = r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;

fn id() -> SessionId {
    SessionId::from_random([7; 24])
}

fn cookie() -> StoredCookie {
    StoredCookie::new(&Cookie::new(), NOW, false, true)
}

fn text(members: &str) -> String {
    format!(r#"{{"cookie":{PLAIN},{members}}}"#)
}

fn loaded(text: &str) -> Loaded {
    let record = Record { text: text.into(), deadline: None };
    Loaded { revision: Revision::of_text(text), record }
}

/// The library's own member of a record.
fn metadata_in(text: &str) -> crate::Metadata {
    crate::metadata::member::read(text, crate::metadata::MEMBER).unwrap()
}

fn express() -> Policy {
    Policy { departures: Departures::none(), ..Policy::default() }
}

/// A session that was loaded from this text.
fn session_of(text: &str, context: &Context<'_>) -> SessionState {
    let mut state = SessionState::default();
    assert!(matches!(state.begin_load(Step::Load), Load::Fetch));
    state.begin_loaded(context, id(), &loaded(text), NOW).unwrap();
    state
}

fn add(document: &mut Document, key: &str, amount: i64) {
    let value = document.get::<i64>(key).unwrap().unwrap_or(0) + amount;
    document.insert(key, &value).unwrap();
}

/// `session.update(key, |value| value + 1)`.
fn increment(state: &mut SessionState, key: &str) {
    let reapply: Reapply = Arc::new(|document, key| {
        add(document, key, 1);
        Ok(())
    });
    let before = state.readable().unwrap().document.get_raw(key).map(str::to_owned);
    let set = |document: &mut Document| {
        add(document, key, 1);
        Ok::<_, Error>(())
    };
    assert!(state.update(key, before.as_deref(), set, &reapply, None).unwrap());
}

fn insert(state: &mut SessionState, key: &str, value: i64) {
    state
        .change(|session| {
            session.document.insert(key, &value).unwrap();
            session.overwrite(key);
        })
        .unwrap();
}

fn remove(state: &mut SessionState, key: &str) {
    state
        .change(|session| {
            session.document.remove(key);
            session.overwrite(key);
        })
        .unwrap();
}

fn value(state: &SessionState, key: &str) -> Option<i64> {
    state.readable().unwrap().document.get(key).unwrap()
}

/// Goes on from `theirs`.
fn resolve(state: &mut SessionState, context: &Context<'_>, theirs: &str) -> Result<()> {
    let resolution = Resolution::of(state, context, &loaded(theirs), NOW)?;
    while let Some(rebase) = resolution.begin(state) {
        if resolution.finish(state, rebase.run()?) {
            break;
        }
    }
    Ok(())
}

/// Returns the draft of an entry, of a session that is there.
fn draft_of(begun: BatchBegin) -> Box<BatchDraft> {
    match begun {
        BatchBegin::Draft(draft) => draft,
        BatchBegin::Moved(_) | BatchBegin::Gone => panic!("{begun:?}"),
    }
}

fn in_doubt() -> store::Error {
    store::Error::new(store::ErrorKind::TimedOut, "no answer")
}

/// One change of a handler.
#[derive(Clone, Copy, Debug)]
enum Change {
    Increment,
    Insert(i64),
    Remove,
}

fn apply(state: &mut SessionState, change: Change) {
    match change {
        Change::Increment => increment(state, "views"),
        Change::Insert(value) => insert(state, "views", value),
        Change::Remove => remove(state, "views"),
    }
}

#[test]
fn changes_of_one_member_are_put_onto_another_requests_value_by_the_table() {
    use Change::{Increment, Insert, Remove};
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    // The member was 3 when both requests loaded it; the other request stored 5.
    for (changes, merged) in [
        (&[][..], Some(5)),
        (&[Increment], Some(6)),
        (&[Increment, Increment], Some(7)),
        (&[Insert(9)], Some(9)),
        (&[Insert(9), Increment], Some(10)),
        (&[Increment, Insert(9)], Some(9)),
        (&[Increment, Insert(9), Increment, Increment], Some(11)),
        (&[Remove], None),
        (&[Remove, Increment], Some(1)),
        (&[Increment, Remove], None),
        (&[Insert(3)], Some(5)),
    ] {
        let mut state = session_of(&text(r#""views":3"#), &context);
        changes.iter().for_each(|change| apply(&mut state, *change));
        resolve(&mut state, &context, &text(r#""views":5"#)).unwrap();
        assert_eq!(value(&state, "views"), merged, "{changes:?}");
        // A member that only this request changed is kept from it, with every kind of change.
        let mut state = session_of(&text(r#""views":3"#), &context);
        changes.iter().for_each(|change| apply(&mut state, *change));
        let mine = value(&state, "views");
        resolve(&mut state, &context, &text(r#""views":3,"other":2"#)).unwrap();
        assert_eq!(
            (value(&state, "views"), value(&state, "other")),
            (mine, Some(2)),
            "{changes:?}"
        );
    }
}

#[test]
fn change_while_a_rebase_runs_is_not_lost() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    let resolution =
        Resolution::of(&mut state, &context, &loaded(&text(r#""views":5"#)), NOW).unwrap();
    let early = resolution.begin(&mut state).unwrap().run().unwrap();
    increment(&mut state, "views");
    assert!(!resolution.finish(&mut state, early), "a clone of the handle has changed it");
    let late = resolution.begin(&mut state).unwrap().run().unwrap();
    assert!(resolution.finish(&mut state, late));
    assert_eq!(value(&state, "views"), Some(7));
}

#[test]
fn update_that_fails_on_the_stored_value_is_an_error_and_changes_nothing() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    let refuses: Reapply = Arc::new(|_, _| Err("not a number".into()));
    let set = |document: &mut Document| document.insert("views", &2).map_err(|_| Error::Ended);
    assert!(state.update("views", Some("1"), set, &refuses, None).unwrap());
    let error = resolve(&mut state, &context, &text(r#""views":"five""#)).unwrap_err();
    assert!(matches!(error, Error::Update(_)), "{error:?}");
    assert_eq!(value(&state, "views"), Some(2));
}

#[test]
fn update_of_all_members_is_refused_where_they_have_changed_and_applied_again_otherwise() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    let before = state.readable().unwrap().document.clone();
    let reapply: Reapply = Arc::new(|document, _| {
        add(document, "views", 1);
        Ok(())
    });
    let set = |document: &mut Document| {
        add(document, "views", 1);
        Ok::<_, Error>(())
    };
    for is_current in [true, false] {
        assert_eq!(state.update_all(&before, set, &reapply).unwrap(), is_current);
        assert_eq!(value(&state, "views"), Some(2));
    }
    resolve(&mut state, &context, &text(r#""views":5"#)).unwrap();
    assert_eq!(value(&state, "views"), Some(6));
}

#[test]
fn functions_that_are_of_no_use_any_more_are_handed_to_the_caller_once() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    assert!(state.take_discarded().is_none());
    insert(&mut state, "views", 9);
    assert!(state.take_discarded().is_some());
    assert!(state.take_discarded().is_none());
}

#[test]
fn update_of_a_value_that_has_changed_meanwhile_is_refused() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    let reapply: Reapply = Arc::new(|_, _| Ok(()));
    let set = |_: &mut Document| Ok::<_, Error>(());
    for (before, is_current) in [(Some("1"), true), (Some("2"), false), (None, false)] {
        assert_eq!(state.update("views", before, set, &reapply, None).unwrap(), is_current);
    }
}

/// The fate of a call of the store.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// The action of another request before the store sees the call.
    before: Other,
    is_applied: bool,
    is_answered: bool,
    /// The action of another request before the answer.
    after: Other,
}

/// An action of another request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Other {
    Nothing,
    /// It adds 100 to `views`, and 1 to a member of its own.
    Writes,
    /// It adds 1 to `views`, as this request does.
    Counts,
    /// It ends the session.
    Ends,
}

/// A store with one record.
struct World {
    record: Option<String>,
    /// The id of the record that was created last, and the number of ids that were drawn.
    created: Option<SessionId>,
    drawn: u8,
    fates: std::vec::IntoIter<Fate>,
    /// How often another request wrote to the record that is there.
    others: i64,
    /// How often another request counted.
    counts: i64,
    was_ended: bool,
}

impl World {
    fn new(record: Option<String>, fates: Vec<Fate>) -> Self {
        let fates = fates.into_iter();
        Self { record, created: None, drawn: 0, fates, others: 0, counts: 0, was_ended: false }
    }

    fn other(&mut self, other: Other) {
        match (other, &self.record) {
            (Other::Writes, Some(text)) => {
                let mut document = Document::parse(&**text).unwrap();
                add(&mut document, "views", 100);
                add(&mut document, "other", 1);
                self.record = Some(document.to_json(PLAIN).to_string());
                self.others += 1;
            }
            (Other::Counts, Some(text)) => {
                let mut document = Document::parse(&**text).unwrap();
                add(&mut document, "views", 1);
                self.record = Some(document.to_json(PLAIN).to_string());
                self.counts += 1;
            }
            (Other::Ends, Some(_)) => {
                self.record = None;
                self.was_ended = true;
            }
            _ => {}
        }
    }

    fn current(&self) -> Option<Loaded> {
        self.record.as_deref().map(loaded)
    }

    fn apply(&mut self, call: &StoreCall) -> Answer {
        match call {
            StoreCall::Load { .. } => Answer::Loaded(Ok(self.current())),
            StoreCall::Create { id, record } => Answer::Created(Ok(match self.record {
                Some(_) if self.created.as_ref() == Some(id) => Created::Taken,
                // A record under an earlier id is out of reach.
                Some(_) | None => {
                    self.created = Some(id.clone());
                    self.record = Some(record.text.to_string());
                    Created::Done(Revision::of_text(&record.text))
                }
            })),
            StoreCall::Update { record, expected, .. } => {
                Answer::Updated(Ok(self.update(record, expected)))
            }
            StoreCall::UpdateLocked { record, expected, .. } => {
                Answer::Fenced(Ok(Fenced::Held(self.update(record, expected))))
            }
            StoreCall::Destroy { .. } => {
                self.record = None;
                Answer::Destroyed(Ok(()))
            }
            StoreCall::Time => Answer::Time(Ok(NOW)),
        }
    }

    fn update(&mut self, record: &Record, expected: &Revision) -> Updated {
        match self.current() {
            None => Updated::Gone,
            Some(current) if current.revision != expected.clone() => Updated::Conflict(current),
            Some(_) => {
                self.record = Some(record.text.to_string());
                Updated::Done(Revision::of_text(&record.text))
            }
        }
    }

    fn call(&mut self, call: &StoreCall) -> Answer {
        let clean = Fate {
            before: Other::Nothing,
            is_applied: true,
            is_answered: true,
            after: Other::Nothing,
        };
        let fate = self.fates.next().unwrap_or(clean);
        self.other(fate.before);
        let answer = fate.is_applied.then(|| self.apply(call));
        self.other(fate.after);
        let failed = if fate.is_applied || !fate.is_answered {
            in_doubt()
        } else {
            store::Error::new(store::ErrorKind::Refused, "not applied")
        };
        match (answer.filter(|_| fate.is_answered), call) {
            (Some(answer), _) => answer,
            (None, StoreCall::Load { .. }) => Answer::Loaded(Err(failed)),
            (None, StoreCall::Create { .. }) => Answer::Created(Err(failed)),
            (None, StoreCall::Update { .. }) => Answer::Updated(Err(failed)),
            (None, StoreCall::UpdateLocked { .. }) => Answer::Fenced(Err(failed)),
            (None, StoreCall::Destroy { .. }) => Answer::Destroyed(Err(failed)),
            (None, StoreCall::Time) => Answer::Time(Err(failed)),
        }
    }

    /// Drives a save to its end, as a driver does.
    fn save(
        &mut self,
        mut save: SaveMachine,
        state: &mut SessionState,
        context: &Context<'_>,
    ) -> Result<()> {
        let mut next = save.start(state, context, false)?;
        loop {
            let answer = match next {
                Next::Done => return Ok(()),
                Next::Call(call) => self.call(&call),
                Next::Rebase(rebase) => Answer::Rebased(Box::new(rebase.run()?)),
                Next::BackOff(_) => Answer::BackedOff { is_contended: false },
                Next::JoinBatch => Answer::Batched(self.batch(state, context)?),
                Next::NewId => self.draw(),
            };
            if save.is_ended_by(&answer) {
                return Ok(());
            }
            next = save.resume(state, context, answer)?;
        }
    }

    fn draw(&mut self) -> Answer {
        self.drawn += 1;
        Answer::NewId(SessionId::from_random([100 + self.drawn; 24]))
    }

    /// Writes a batch that no other request joins, as a driver does.
    fn batch(&mut self, state: &mut SessionState, context: &Context<'_>) -> Result<BatchEnd> {
        let mut batch = WriteBatch::default();
        loop {
            let begun = state.begin_batch_entry(context, &batch, NOW)?;
            let BatchBegin::Draft(draft) = begun else { return Err(Error::Ended) };
            let entry = draft.add_to(&mut batch, context)?;
            state.note_batch_entry(&entry);
            let flush = batch.begin_flush().unwrap();
            let (record, expected) = (flush.record.clone(), flush.expected.clone());
            let answer = self.call(&StoreCall::Update { id: id(), record, expected });
            let Answer::Updated(answer) = answer else { panic!("an update is answered") };
            match batch.end_flush(flush, answer) {
                BatchOutcome::Stored(stored) => {
                    let resolution = Resolution::of_batch(context, &entry, &stored)?;
                    while let Some(rebase) = resolution.begin(state) {
                        if resolution.finish(state, rebase.run()?) {
                            break;
                        }
                    }
                    return Ok(BatchEnd::Saved);
                }
                BatchOutcome::Overtaken { theirs, is_certain } => {
                    if is_certain {
                        state.revoke_batch_entry(&entry);
                    }
                    let theirs = theirs.record.text;
                    resolve(state, context, &theirs)?;
                }
                BatchOutcome::RecordGone => {
                    state.handle_missing_record(context.policy, NOW)?;
                    return Ok(BatchEnd::Gone);
                }
                BatchOutcome::Failed { error, is_certain } => {
                    let error = Error::from(error);
                    if is_certain && error.is_definite() {
                        state.revoke_batch_entry(&entry);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Checks the record against what was acknowledged: `saved` says whether a save of this request succeeded.
    fn check(&self, first: i64, saved: bool, what: &impl Debug) {
        let Some(record) = &self.record else {
            assert!(self.was_ended || !saved, "an acknowledged record is lost: {what:?}");
            return;
        };
        let document = Document::parse(&**record).unwrap();
        let views: i64 = document.get("views").unwrap().unwrap_or(0);
        let own = views - first - 100 * self.others;
        assert_eq!(document.get("other").unwrap().unwrap_or(0), self.others, "{what:?}: {record}");
        assert!(own == 0 || own == 1, "an update is applied once at most: {what:?}: {record}");
        assert!(own == 1 || !saved, "an acknowledged update is lost: {what:?}: {record}");
        let mine: Option<i64> = document.get("mine").unwrap();
        assert_eq!(mine.is_some(), own == 1, "a save is applied as a whole: {what:?}: {record}");
    }
}

fn fates_with(others: &[Other]) -> Vec<Fate> {
    let mut fates = Vec::new();
    for &before in others {
        for (is_applied, is_answered) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            for &after in others {
                fates.push(Fate { before, is_applied, is_answered, after });
            }
        }
    }
    fates
}

/// Every interleaving of two calls, and what follows them without a fault: a call that is applied or not, answered or
/// not, with another request that writes or ends the session before or after it. The handler tries again twice.
fn every_interleaving(play: impl FnMut(Vec<Fate>)) {
    every_pair(&fates_with(&[Other::Nothing, Other::Writes, Other::Ends]), play);
}

fn every_pair(fates: &[Fate], mut play: impl FnMut(Vec<Fate>)) {
    for one in fates {
        for two in fates {
            play(vec![*one, *two]);
        }
    }
}

fn save_until_it_succeeds(
    world: &mut World,
    state: &mut SessionState,
    context: &Context<'_>,
    save: fn(Timestamp) -> SaveMachine,
) -> bool {
    (0..3).any(|_| world.save(save(NOW), state, context).is_ok())
}

#[test]
fn save_loses_and_doubles_nothing_with_any_outcome_of_its_calls() {
    let policy = Policy::default();
    let context = Context { presented: Some(&id()), ..Context::new(&policy, "sid") };
    for token in [None, Some(LockToken::from_random([3; 16]))] {
        for save in [SaveMachine::new, SaveMachine::last] {
            every_interleaving(|fates| {
                let what = (token.is_some(), fates.clone());
                let stored = text(r#""views":1"#);
                let mut world = World::new(Some(stored.clone()), fates);
                let mut state = session_of(&stored, &context);
                if let Some(token) = token {
                    assert!(state.request_lock(id(), token));
                    state.set_lock_stage(LockStage::Held);
                }
                increment(&mut state, "views");
                insert(&mut state, "mine", 1);
                let saved = save_until_it_succeeds(&mut world, &mut state, &context, save);
                world.check(1, saved, &what);
                assert!(!world.was_ended || world.record.is_none(), "resurrected: {what:?}");
            });
        }
    }
}

#[test]
fn new_session_is_stored_once_with_any_outcome_of_its_calls() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for save in [SaveMachine::new, SaveMachine::last] {
        every_interleaving(|fates| {
            let what = fates.clone();
            let mut world = World::new(None, fates);
            let mut state = SessionState::default();
            state.begin_new(id(), cookie());
            increment(&mut state, "views");
            insert(&mut state, "mine", 1);
            let saved = save_until_it_succeeds(&mut world, &mut state, &context, save);
            let Some(record) = &world.record else {
                assert!(world.was_ended || !saved, "{what:?}");
                return;
            };
            let document = Document::parse(&**record).unwrap();
            assert!(document.contains("mine") || !saved, "{what:?}: {record}");
            let views: i64 = document.get("views").unwrap().unwrap();
            assert!(views % 100 == 1, "counted once: {what:?}: {record}");
        });
    }
}

#[test]
fn after_a_save_the_session_has_what_the_store_has() {
    let policy = Policy::default();
    let context = Context { presented: Some(&id()), ..Context::new(&policy, "sid") };
    every_interleaving(|mut fates| {
        let what = fates.clone();
        // The session cannot know of events after the last answer.
        fates.iter_mut().for_each(|fate| fate.after = Other::Nothing);
        let stored = text(r#""views":1"#);
        let mut world = World::new(Some(stored.clone()), fates);
        let mut state = session_of(&stored, &context);
        increment(&mut state, "views");
        insert(&mut state, "mine", 1);
        if save_until_it_succeeds(&mut world, &mut state, &context, SaveMachine::new) {
            let record = Document::parse(&**world.record.as_ref().unwrap()).unwrap();
            assert!(state.readable().unwrap().document.same_members(&record), "{what:?}");
            assert!(!state.is_unsaved(), "{what:?}");
            let saved = world.record.clone();
            // Another save of the same session writes the same.
            increment(&mut state, "more");
            world.fates = Vec::new().into_iter();
            world.save(SaveMachine::new(NOW), &mut state, &context).unwrap();
            assert_ne!(world.record, saved, "{what:?}");
            world.check(1, false, &what);
        }
    });
}

#[test]
fn as_in_express_session_the_last_writer_overwrites_and_brings_a_session_back() {
    let policy = express();
    let context = Context { presented: Some(&id()), ..Context::new(&policy, "sid") };
    for other in [Other::Writes, Other::Ends] {
        let fate =
            Fate { before: other, is_applied: true, is_answered: true, after: Other::Nothing };
        let stored = text(r#""views":1"#);
        let mut world = World::new(Some(stored.clone()), vec![fate]);
        let mut state = session_of(&stored, &context);
        increment(&mut state, "views");
        world.save(SaveMachine::new(NOW), &mut state, &context).unwrap();
        assert_eq!(world.record, Some(text(r#""views":2"#)), "{other:?}");
    }
}

#[test]
fn outcome_of_each_answer_is_that_of_the_table() {
    /// The name of the next step.
    fn named(next: Result<Next>) -> &'static str {
        match next {
            Ok(Next::Call(StoreCall::Create { .. })) => "create",
            Ok(Next::Call(StoreCall::Load { .. })) => "load",
            Ok(Next::Call(StoreCall::Update { .. })) => "update",
            Ok(Next::Call(StoreCall::UpdateLocked { .. })) => "update locked",
            Ok(Next::Call(StoreCall::Destroy { .. })) => "destroy",
            Ok(Next::Call(StoreCall::Time)) => "time",
            Ok(Next::Rebase(_)) => "rebase",
            Ok(Next::BackOff(_)) => "back off",
            Ok(Next::JoinBatch) => "join",
            Ok(Next::NewId) => "new id",
            Ok(Next::Done) => "done",
            Err(Error::Ended) => "ended",
            Err(Error::IdTaken) => "id taken",
            Err(Error::LockLost) => "lock lost",
            Err(Error::Conflict) => "conflict",
            Err(Error::Store(_)) => "failed",
            Err(error) => panic!("{error}"),
        }
    }
    let done = || Revision::of_text("stored");
    let theirs = || loaded(&text(r#""views":5"#));
    let updated = |answer| Answer::Updated(Ok(answer));
    let strict = Policy::default();
    let lax = express();
    for (policy, is_new, lock, first, answer, next) in [
        (&strict, true, None, "create", Answer::Created(Ok(Created::Done(done()))), "done"),
        (&strict, true, None, "create", Answer::Created(Ok(Created::Taken)), "id taken"),
        (&strict, true, None, "create", Answer::Created(Err(in_doubt())), "failed"),
        (&lax, true, None, "create", Answer::Created(Ok(Created::Taken)), "load"),
        (&strict, false, None, "update", updated(Updated::Done(done())), "done"),
        (&strict, false, None, "update", updated(Updated::Gone), "ended"),
        (&strict, false, None, "update", updated(Updated::Conflict(theirs())), "rebase"),
        (&strict, false, None, "update", Answer::Updated(Err(in_doubt())), "failed"),
        (&lax, false, None, "update", updated(Updated::Gone), "create"),
        (&lax, false, None, "update", updated(Updated::Conflict(theirs())), "back off"),
        (
            &strict,
            false,
            Some(LockStage::Held),
            "update locked",
            Answer::Fenced(Ok(Fenced::Lost)),
            "lock lost",
        ),
        (
            &strict,
            false,
            Some(LockStage::Held),
            "update locked",
            Answer::Fenced(Ok(Fenced::Held(Updated::Conflict(theirs())))),
            "rebase",
        ),
        (
            &strict,
            false,
            Some(LockStage::Requested),
            "update",
            updated(Updated::Done(done())),
            "done",
        ),
    ] {
        let context = Context::new(policy, "sid");
        let mut state = if is_new {
            let mut state = SessionState::default();
            state.begin_new(id(), cookie());
            state
        } else {
            session_of(&text(r#""views":1"#), &context)
        };
        increment(&mut state, "views");
        if let Some(stage) = lock {
            assert!(state.request_lock(id(), LockToken::from_random([3; 16])));
            state.set_lock_stage(stage);
        }
        let row = format!("{first}, {answer:?}");
        let mut save = SaveMachine::new(NOW);
        assert_eq!(named(save.start(&mut state, &context, false)), first, "{row}");
        assert_eq!(named(save.resume(&mut state, &context, answer)), next, "{row}");
    }

    // A request under a lock that is lost makes no call at all.
    let context = Context::new(&strict, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    assert!(state.request_lock(id(), LockToken::from_random([3; 16])));
    state.set_lock_stage(LockStage::Lost);
    assert_eq!(named(SaveMachine::new(NOW).start(&mut state, &context, false)), "lock lost");
}

#[test]
fn contended_save_joins_a_batch_where_it_may_merge_and_is_under_no_lock() {
    let strict = Policy::default();
    let lax = express();
    for (policy, is_contended, lock, joins) in [
        (&strict, true, None, true),
        (&strict, false, None, false),
        (&lax, true, None, false),
        (&strict, true, Some(LockStage::Held), false),
        (&strict, true, Some(LockStage::Requested), true),
    ] {
        let context = Context::new(policy, "sid");
        let mut state = session_of(&text(r#""views":1"#), &context);
        if let Some(stage) = lock {
            assert!(state.request_lock(id(), LockToken::from_random([3; 16])));
            assert!(
                !state.request_lock(id(), LockToken::from_random([4; 16])),
                "one lock a request"
            );
            state.set_lock_stage(stage);
        }
        let next = SaveMachine::new(NOW).start(&mut state, &context, is_contended).unwrap();
        assert_eq!(matches!(next, Next::JoinBatch), joins, "{is_contended} {lock:?}");
    }
    // One that is to write alone never joins.
    let context = Context::new(&strict, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    let next = SaveMachine::alone(NOW).start(&mut state, &context, true).unwrap();
    assert!(matches!(next, Next::Call(StoreCall::Update { .. })), "{next:?}");
    // A session that is not stored yet has no other writers.
    let mut state = SessionState::default();
    state.begin_new(id(), cookie());
    let next = SaveMachine::new(NOW).start(&mut state, &context, true).unwrap();
    assert!(matches!(next, Next::Call(StoreCall::Create { .. })));
}

#[test]
fn save_gives_up_after_as_many_attempts_as_it_says() {
    let policy = express();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    let mut save = SaveMachine::new(NOW);
    let mut next = save.start(&mut state, &context, false);
    let mut calls = 0;
    let error = loop {
        let answer = match next {
            Ok(Next::Call(_)) => {
                calls += 1;
                let theirs = loaded(&text(&format!(r#""views":{calls}0"#)));
                Answer::Updated(Ok(Updated::Conflict(theirs)))
            }
            Ok(Next::BackOff(attempts)) => {
                assert_eq!(attempts + 1, calls);
                Answer::BackedOff { is_contended: false }
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        };
        next = save.resume(&mut state, &context, answer);
    };
    assert!(matches!(error, Error::Conflict));
    assert_eq!(calls, ATTEMPTS);
}

#[test]
fn save_that_is_resumed_with_another_answer_says_so_and_can_go_on() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    let mut save = SaveMachine::new(NOW);
    let _update = save.start(&mut state, &context, false).unwrap();
    let wrong = Answer::BackedOff { is_contended: false };
    let error = save.resume(&mut state, &context, wrong).unwrap_err();
    assert!(matches!(error, Error::OutOfOrder));
    let right = Answer::Updated(Ok(Updated::Done(Revision::of_text("stored"))));
    assert!(matches!(save.resume(&mut state, &context, right), Ok(Next::Done)));
}

#[test]
fn write_in_doubt_is_recognised_by_its_text_and_otherwise_a_conflict() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let doubtful = || {
        let mut state = session_of(&text(r#""views":1"#), &context);
        insert(&mut state, "views", 2);
        let mut save = SaveMachine::new(NOW);
        save.start(&mut state, &context, false).unwrap();
        let unanswered = Answer::Updated(Err(in_doubt()));
        save.resume(&mut state, &context, unanswered).unwrap_err();
        state
    };
    let mut state = doubtful();
    resolve(&mut state, &context, &text(r#""views":2"#)).unwrap();
    assert!(!state.is_unsaved(), "the store has it");
    let mut state = doubtful();
    let error = resolve(&mut state, &context, &text(r#""views":3"#)).unwrap_err();
    assert!(matches!(error, Error::Conflict));
    // A refusal leaves no doubt.
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    let mut save = SaveMachine::new(NOW);
    save.start(&mut state, &context, false).unwrap();
    let refused = store::Error::new(store::ErrorKind::Refused, "too large");
    save.resume(&mut state, &context, Answer::Updated(Err(refused))).unwrap_err();
    resolve(&mut state, &context, &text(r#""views":3"#)).unwrap();
    assert_eq!(value(&state, "views"), Some(4));
    // A write that changes no member is the same whether it is applied or not.
    let mut state = session_of(&text(r#""views":1"#), &context);
    let mut save = SaveMachine::new(NOW);
    save.start(&mut state, &context, false).unwrap();
    save.resume(&mut state, &context, Answer::Updated(Err(in_doubt()))).unwrap_err();
    resolve(&mut state, &context, &text(r#""views":3"#)).unwrap();
    assert_eq!(value(&state, "views"), Some(3));
}

/// Several requests of one process write one session.
#[derive(Clone, Copy, Debug)]
enum BatchStep {
    /// The request of this number increments the counter, and adds that to the batch.
    Add(usize),
    /// The batch is written: applied or not, answered or not.
    Flush { is_applied: bool, is_answered: bool },
    /// The request that wrote is dropped: the next one writes the same text again.
    Abandon { is_applied: bool },
    /// Another process writes.
    Other,
}

fn batch_step() -> impl Strategy<Value = BatchStep> {
    prop_oneof![
        4 => (0..3_usize).prop_map(BatchStep::Add),
        3 => (any::<bool>(), any::<bool>()).prop_map(|(is_applied, is_answered)| {
            BatchStep::Flush { is_applied, is_answered }
        }),
        1 => any::<bool>().prop_map(|is_applied| BatchStep::Abandon { is_applied }),
        1 => Just(BatchStep::Other),
    ]
}

/// A request, and its entry that waits for an outcome.
type Writer = (SessionState, Option<BatchEntry>, i64);

fn settle(
    writer: &mut Writer,
    context: &Context<'_>,
    outcome: &BatchOutcome,
    acknowledged: &mut i64,
) {
    let (state, entry, pending) = writer;
    let Some(entry) = entry.take() else { return };
    match outcome {
        BatchOutcome::Stored(stored) => {
            let resolution = Resolution::of_batch(context, &entry, stored).unwrap();
            if let Some(rebase) = resolution.begin(state) {
                assert!(resolution.finish(state, rebase.run().unwrap()));
            }
            *acknowledged += std::mem::take(pending);
        }
        BatchOutcome::Overtaken { theirs, is_certain } => {
            if *is_certain {
                state.revoke_batch_entry(&entry);
            }
            if resolve(state, context, &theirs.record.text).is_err() {
                // The request gets a conflict, since its update is in doubt, and loads again.
                *writer = (session_of(&theirs.record.text, context), None, 0);
            }
        }
        BatchOutcome::RecordGone => panic!("nothing ends the session"),
        // The request fails, and loads again.
        BatchOutcome::Failed { .. } => *pending = -1,
    }
}

proptest! {
    #[test]
    fn batch_applies_each_acknowledged_update_once(
        steps in prop::collection::vec(batch_step(), 1..24)
    ) {
        let policy = Policy::default();
        let context = Context::new(&policy, "sid");
        let first = text(r#""views":0"#);
        let mut world = World::new(Some(first.clone()), Vec::new());
        let mut writers: Vec<Writer> =
            (0..3).map(|_| (session_of(&first, &context), None, 0)).collect();
        let mut batch = WriteBatch::default();
        let (mut acknowledged, mut attempted) = (0, 0);
        let last = BatchStep::Flush { is_applied: true, is_answered: true };
        for step in steps.into_iter().chain([last]) {
            // A request never adds to a write that was begun: it is ended first.
            if batch.is_begun() && !matches!(step, BatchStep::Flush { .. } | BatchStep::Other) {
                continue;
            }
            match step {
                BatchStep::Other => world.other(Other::Writes),
                BatchStep::Add(number) => {
                    let (state, entry, pending) = &mut writers[number];
                    if entry.is_some() {
                        continue;
                    }
                    increment(state, "views");
                    *pending += 1;
                    attempted += 1;
                    let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
                    let added = draft.add_to(&mut batch, &context).unwrap();
                    prop_assert!(batch.has(&added));
                    state.note_batch_entry(&added);
                    *entry = Some(added);
                }
                BatchStep::Abandon { is_applied } => {
                    if let Some(flush) = batch.begin_flush()
                        && is_applied
                    {
                        world.update(&flush.record, &flush.expected);
                    }
                }
                BatchStep::Flush { is_applied, is_answered } => {
                    let Some(flush) = batch.begin_flush() else { continue };
                    let answer = is_applied.then(|| world.update(&flush.record, &flush.expected));
                    let answer = answer.filter(|_| is_answered).ok_or_else(in_doubt);
                    let outcome = batch.end_flush(flush, answer);
                    for writer in &mut writers {
                        settle(writer, &context, &outcome, &mut acknowledged);
                        if writer.2 < 0 {
                            *writer = (session_of(world.record.as_ref().unwrap(), &context), None, 0);
                        }
                    }
                }
            }
        }
        let record = Document::parse(&**world.record.as_ref().unwrap()).unwrap();
        let own = record.get::<i64>("views").unwrap().unwrap() - 100 * world.others;
        prop_assert_eq!(record.get::<i64>("other").unwrap().unwrap_or(0), world.others);
        prop_assert!(own >= acknowledged, "{} acknowledged, {} stored", acknowledged, own);
        prop_assert!(own <= attempted, "{} attempted, {} stored", attempted, own);
    }
}

#[test]
fn entry_that_is_written_alone_leaves_the_batch_of_the_others_as_it_was() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let first = text(r#""views":0"#);
    let mut batch = WriteBatch::default();
    let add = |batch: &mut WriteBatch| {
        let mut state = session_of(&first, &context);
        increment(&mut state, "views");
        let draft = draft_of(state.begin_batch_entry(&context, batch, NOW).unwrap());
        draft.add_to(batch, &context).unwrap()
    };
    let others = add(&mut batch);
    let aside = batch.set_aside();
    assert!(!batch.has_write());
    let alone = add(&mut batch);
    assert!(batch.has(&alone) && !batch.has(&others));
    let flush = batch.begin_flush().unwrap();
    let refused = store::Error::new(store::ErrorKind::Refused, "too large");
    assert!(matches!(batch.end_flush(flush, Err(refused)), BatchOutcome::Failed { .. }));
    assert!(!batch.has_write());
    batch.put_back(aside);
    assert!(batch.has(&others) && !batch.has(&alone) && !batch.is_begun());
}

#[test]
fn batch_counts_how_often_in_a_row_another_process_was_faster() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let first = text(r#""views":0"#);
    let mut batch = WriteBatch::default();
    let theirs = || Ok(Updated::Conflict(loaded(&text(r#""views":9"#))));
    let refused = || Err(store::Error::new(store::ErrorKind::Refused, "too large"));
    let stored = || Ok(Updated::Done(Revision::of_text("stored")));
    for (answer, overtaken) in [
        (theirs(), 1),
        (refused(), 1),
        (theirs(), 2),
        (stored(), 0),
        (theirs(), 1),
        (Ok(Updated::Gone), 0),
    ] {
        let mut state = session_of(&first, &context);
        increment(&mut state, "views");
        let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
        draft.add_to(&mut batch, &context).unwrap();
        let flush = batch.begin_flush().unwrap();
        batch.end_flush(flush, answer);
        assert_eq!(batch.overtaken(), overtaken);
    }
}

/// An action of a handler, and the plan at the end of the response.
#[test]
fn plan_follows_from_what_the_handler_did() {
    type Handler = fn(&mut SessionState, &Policy);
    let policy = Policy::default();
    let rows: [(&str, Handler, StoreAction, CookieAction); 8] = [
        ("reads", |_, _| {}, StoreAction::Keep, CookieAction::Keep),
        ("changes", |state, _| increment(state, "views"), StoreAction::Write, CookieAction::Keep),
        (
            "changes and changes back",
            |state, _| {
                insert(state, "views", 2);
                insert(state, "views", 1);
            },
            StoreAction::Keep,
            CookieAction::Keep,
        ),
        (
            "destroys",
            |state, policy| {
                assert!(matches!(state.begin_destroy(policy), Ok(Ending::Destroy(_))));
                state.destroyed();
            },
            StoreAction::Keep,
            CookieAction::Expire,
        ),
        (
            "destroys, and the store fails",
            |state, policy| drop(state.begin_destroy(policy).unwrap()),
            StoreAction::Destroy,
            CookieAction::Expire,
        ),
        (
            "regenerates",
            |state, policy| {
                assert!(matches!(state.begin_regenerate(policy), Ok(Ending::Destroy(_))));
                state.finish_regenerate(SessionId::from_random([8; 24]), cookie()).unwrap();
            },
            StoreAction::Write,
            CookieAction::Send,
        ),
        ("unsets", |state, _| state.unset().unwrap(), StoreAction::Keep, CookieAction::Keep),
        (
            "sends the headers, and changes then",
            |state, policy| {
                state.headers_left(&Context::new(policy, "sid"), false);
                increment(state, "views");
            },
            StoreAction::Write,
            CookieAction::Keep,
        ),
    ];
    let presented = id();
    let lifetime = Lifetime::MaxAgeOr(Duration::MAX);
    let context = Context { presented: Some(&presented), lifetime, ..Context::new(&policy, "sid") };
    for (name, handle, store, cookie) in rows {
        let mut state = session_of(&text(r#""views":1"#), &context);
        handle(&mut state, &policy);
        state.begin_end(BodyKind::Complete, NOW);
        let (plan, withheld) = state.plan(&context, NOW).unwrap();
        assert_eq!((plan.store, plan.cookie, withheld), (store, cookie, None), "{name}");
    }
}

#[test]
fn cookie_that_cannot_be_sent_is_withheld_with_its_reason() {
    let policy = Policy::default();
    for (name, attribute, is_late, expected) in [
        ("sid", "secure", false, Some(Withheld::Insecure)),
        ("sid", "domain", false, Some(Withheld::Unprintable)),
        ("__Secure-sid", "none", false, Some(Withheld::Dropped)),
        ("sid", "none", true, Some(Withheld::Late)),
        ("sid", "none", false, None),
    ] {
        let context = Context::new(&policy, name);
        let mut state = SessionState::default();
        let mut cookie = cookie();
        match attribute {
            "secure" => cookie.set_secure(true),
            "domain" => cookie.set_domain(Some("not a domain\n".to_owned())),
            _ => {}
        }
        state.begin_new(id(), cookie);
        increment(&mut state, "views");
        if is_late {
            state.headers_left(&context, false);
        }
        let (plan, withheld) = state.plan(&context, NOW).unwrap();
        assert_eq!(withheld, expected, "{name} {attribute}");
        let is_stored = plan.store == StoreAction::Write;
        assert_eq!(is_stored, expected.is_none(), "a session without a cookie is not stored");
    }
}

#[test]
fn committed_session_is_left_alone_until_it_changes_again() {
    let policy = Policy::default();
    let presented = id();
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    let mut state = session_of(&text(r#""views":1"#), &context);
    let mut world = World::new(Some(text(r#""views":1"#)), Vec::new());
    for views in 2..5 {
        increment(&mut state, "views");
        let (plan, _) = state.plan(&context, NOW).unwrap();
        assert_eq!(plan.store, StoreAction::Write);
        let end = state.begin_plan(plan, &policy, NOW, true);
        world.save(SaveMachine::new(NOW), &mut state, &context).unwrap();
        state.finish_plan(&end);
        let (plan, _) = state.plan(&context, NOW).unwrap();
        assert_eq!((plan.store, plan.cookie), (StoreAction::Keep, CookieAction::Keep), "{views}");
        state.headers_left(&context, false);
    }
}

#[test]
fn new_session_is_changed_only_while_a_cookie_of_it_can_still_be_found() {
    let (policy, express) = (Policy::default(), express());
    let id = id();
    let other = SessionId::from_random([8; 24]);
    type Leave = fn(&mut SessionState, &Context<'_>);
    let without: Leave = |state, context| state.headers_left(context, false);
    let with: Leave = |state, context| state.headers_left(context, true);
    let upgrade: Leave = |state, context| state.detach(context);
    for (policy, presented, leave, is_refused) in [
        (&policy, None, without, true),
        (&policy, None, upgrade, true),
        (&policy, None, with, false),
        (&policy, Some(&other), without, true),
        // The function that makes ids gave the one that the browser has.
        (&policy, Some(&id), without, false),
        (&express, None, without, false),
    ] {
        let context = Context { presented, ..Context::new(policy, "sid") };
        let mut state = SessionState::default();
        state.begin_new(id.clone(), cookie());
        assert!(state.change(|_| ()).is_ok() && state.is_persisted());
        leave(&mut state, &context);
        let refused = |result: Result<(), Error>| matches!(result, Err(Error::CookieNotSent));
        assert_eq!(refused(state.change(|_| ())), is_refused);
        assert_eq!(refused(state.writable().map(drop)), is_refused);
        assert_eq!(state.is_persisted(), !is_refused);
        // Another id could not be sent, whatever id the browser has.
        let is_express = std::ptr::eq(policy, &express);
        assert_eq!(refused(state.begin_login(policy).map(drop)), !is_express);
        assert!(state.begin_regenerate(policy).is_ok());
        assert!(state.usable().is_ok() && state.readable().is_some());
    }
}

#[test]
fn handle_says_why_there_is_no_session() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let stored = text(r#""views":1"#);
    type Prepare = fn(&mut SessionState);
    let rows: [(&str, Prepare, &str, bool); 7] = [
        ("live", |_| {}, "ok", true),
        ("unset", |state| state.unset().unwrap(), "ended", false),
        (
            "destroyed",
            |state| drop(state.begin_destroy(&Policy::default()).unwrap()),
            "ended",
            false,
        ),
        (
            "gone",
            |state| drop(state.handle_missing_record(&Policy::default(), NOW).unwrap_err()),
            "ended",
            false,
        ),
        ("sent", SessionState::close, "sent", true),
        (
            "upgraded",
            |state| {
                state.detach(&Context::new(&Policy::default(), "sid"));
                state.close();
            },
            "ok",
            true,
        ),
        ("degraded", SessionState::degrade, "ok", true),
    ];
    for (name, prepare, expected, is_readable) in rows {
        let mut state = session_of(&stored, &context);
        prepare(&mut state);
        let usable = match state.usable() {
            Ok(_) => "ok",
            Err(Error::Ended) => "ended",
            Err(Error::ResponseSent) => "sent",
            Err(error) => panic!("{error}"),
        };
        assert_eq!(usable, expected, "{name}");
        assert_eq!(state.readable().is_some(), is_readable, "{name}");
        let is_degraded = name == "degraded";
        assert_eq!(matches!(state.writable(), Err(Error::Degraded)), is_degraded, "{name}");
        assert_eq!(state.is_degraded(), is_degraded, "{name}");
        assert_eq!(state.is_ended_elsewhere(), name == "gone");
    }
}

#[test]
fn session_of_an_unavailable_store_has_the_presented_id_and_ends_its_record() {
    let policy = Policy::default();
    let presented = SessionId::from_random([9; 24]);
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    let mut state = SessionState::default();
    state.begin_degraded(&context, id(), cookie());
    assert_eq!(state.id(), Some(&presented));
    assert!(!state.is_persisted() && !state.is_unloaded());
    assert!(state.plan(&context, NOW).is_none(), "nothing is kept of it");
    let ending = state.begin_destroy(&policy).unwrap();
    assert!(matches!(ending, Ending::Destroy(id) if id == presented));
}

/// A record that ends in so many milliseconds.
fn left(max_age: Option<u64>, left: i64) -> Loaded {
    let max_age = max_age.map_or("null".to_owned(), |max_age| max_age.to_string());
    let mut found = loaded(&format!(r#"{{"cookie":{{"originalMaxAge":{max_age}}},"views":1}}"#));
    found.record.deadline = Some(Timestamp::from_millis(NOW.millis() + left));
    found
}

#[test]
fn record_that_needs_nothing_but_its_expiry_is_kept_unread_until_a_stream_asks() {
    let day = Duration::from_secs(86_400);
    let [policy, rolling, resave] = [(false, false), (true, false), (false, true)]
        .map(|(rolling, resave)| Policy { rolling, resave, ..Policy::default() });
    let context =
        |policy| Context { lifetime: Lifetime::MaxAgeOr(day), ..Context::new(policy, "sid") };
    let untouchable = Context { supports_touch: false, ..context(&policy) };
    let express = Policy { departures: Departures::none().verbatim(true), ..policy };
    let normalising = Policy { departures: Departures::all().verbatim(false), ..policy };
    let (unasked, asked) = (Step::LoadUnasked, Step::Load);
    let touch = |found: &Loaded, replaces_cookie| {
        Unread::Touch(Touch {
            replaces_cookie,
            ..Touch::renewing(&found.record.text, NOW).unwrap()
        })
    };
    let hour = 3_600_000;
    for (name, context, step, found, expected) in [
        ("recent", context(&policy), unasked, left(Some(hour), 3_564_001), Unread::Keep),
        (
            "recent, by the store's time",
            context(&policy),
            unasked,
            left(None, 86_340_001),
            Unread::Keep,
        ),
        ("asked for", context(&policy), asked, left(Some(hour), 3_600_000), Unread::Open),
        ("with a cookie", context(&rolling), unasked, left(Some(hour), 3_600_000), Unread::Open),
        ("saved by every request", context(&resave), unasked, left(Some(hour), 1), Unread::Open),
        ("by a store that cannot", untouchable, unasked, left(Some(hour), 1), Unread::Keep),
        ("normalised when read", context(&normalising), unasked, left(Some(hour), 1), Unread::Open),
        ("no record", context(&policy), unasked, loaded("{}"), Unread::Open),
    ] {
        keep_unread(name, &context, step, found, &expected);
    }
    for (name, context, found) in [
        ("due", context(&policy), left(Some(hour), 3_564_000)),
        ("due, by the store's time", context(&policy), left(None, 86_340_000)),
        ("of unknown time", Context::new(&policy, "sid"), left(None, 86_400_000)),
        ("of express-session, but for the text", context(&express), left(Some(hour), 3_600_000)),
    ] {
        let expected = touch(&found, !context.policy.saves_cookie_changes());
        keep_unread(name, &context, unasked, found, &expected);
    }
}

fn keep_unread(name: &str, context: &Context<'_>, step: Step, found: Loaded, expected: &Unread) {
    let mut state = SessionState::default();
    assert!(matches!(state.begin_load(step), Load::Fetch), "{name}");
    assert_eq!(state.is_requested(), step == Step::Load, "{name}");
    let mut record = Some(found);
    assert_eq!(state.keep_unread(context, step, &mut record, NOW), *expected, "{name}");
    let is_kept = *expected != Unread::Open;
    assert_eq!(record.is_none(), is_kept, "{name}");
    assert!(state.is_unloaded(), "{name}");
    assert_eq!(matches!(state.begin_load(Step::Load), Load::Open(_)), is_kept, "{name}");
}

#[test]
fn unread_record_that_a_touch_finds_gone_is_loaded_again() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for (touched, is_kept) in [(Touched::Done, true), (Touched::Gone, false)] {
        let mut state = SessionState::default();
        state.begin_load(Step::LoadUnasked);
        let mut found = Some(left(Some(3_600_000), 1));
        let unread = state.keep_unread(&context, Step::LoadUnasked, &mut found, NOW);
        assert!(matches!(unread, Unread::Touch(_)));
        state.touched_unread(touched);
        assert_eq!(matches!(state.begin_load(Step::Load), Load::Open(_)), is_kept, "{touched:?}");
    }
}

#[test]
fn explicit_touch_is_never_left_out() {
    let (policy, presented) = (Policy::default(), id());
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    for (touches, store) in [(false, StoreAction::Keep), (true, StoreAction::Touch)] {
        let mut state = SessionState::default();
        let found = left(Some(3_600_000), 3_600_000);
        state.begin_loaded(&context, id(), &found, NOW).unwrap();
        if touches {
            assert!(!state.touch(&context, NOW).unwrap(), "the response's own touch is to come");
        }
        assert_eq!(state.plan(&context, NOW).unwrap().0.store, store);
    }
}

#[test]
fn touch_calls_the_store_only_while_a_response_is_sent() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let untouchable = Context { supports_touch: false, ..context };
    for (context, is_sending, is_stored, calls) in [
        (&context, false, true, false),
        (&context, true, true, true),
        (&context, true, false, false),
        (&untouchable, true, true, false),
    ] {
        let mut state = session_of(&text(r#""views":1"#), context);
        if !is_stored {
            state.finish_regenerate(SessionId::from_random([8; 24]), cookie()).unwrap();
        }
        if is_sending {
            state.headers_left(context, true);
        }
        assert_eq!(state.touch(context, NOW).unwrap(), calls);
    }
}

#[test]
fn reload_drops_changes_and_refuses_the_record_of_another_visitor() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    assert_eq!(state.begin_reload(&policy).unwrap(), (id(), true));
    state.finish_reload(&context, &loaded(&text(r#""views":7"#)), NOW).unwrap();
    assert_eq!(value(&state, "views"), Some(7));
    // A dropped change is not applied again to the record of another request.
    resolve(&mut state, &context, &text(r#""views":20"#)).unwrap();
    assert_eq!(value(&state, "views"), Some(20));

    let mut fresh = SessionState::default();
    fresh.begin_new(id(), cookie());
    assert_eq!(fresh.begin_reload(&policy).unwrap(), (id(), false));
    assert_eq!(fresh.begin_reload(&express()).unwrap(), (id(), true));
}

#[test]
fn cookie_is_taken_from_the_store_unless_the_request_has_changed_it() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let theirs = text(r#""views":5"#).replace(r#""path":"/""#, r#""path":"/theirs""#);
    for (is_changed, path) in [(false, "/theirs"), (true, "/mine")] {
        let mut state = session_of(&text(r#""views":1"#), &context);
        if is_changed {
            state.change(|session| session.cookie.set_path("/mine")).unwrap();
        }
        resolve(&mut state, &context, &theirs).unwrap();
        assert_eq!(state.readable().unwrap().cookie.path(), Some(path));
    }
}

/// Begins a save, lets `meanwhile` change the session while the store is busy, and ends the save.
fn save_while(state: &mut SessionState, context: &Context<'_>, meanwhile: &[Change]) {
    let mut save = SaveMachine::new(NOW);
    let mut next = save.start(state, context, false).unwrap();
    meanwhile.iter().for_each(|change| apply(state, *change));
    while !matches!(next, Next::Done) {
        let answer = match next {
            Next::Call(StoreCall::Update { record, .. }) => {
                Answer::Updated(Ok(Updated::Done(Revision::of_text(&record.text))))
            }
            Next::Rebase(rebase) => Answer::Rebased(Box::new(rebase.run().unwrap())),
            other @ (Next::Call(_)
            | Next::BackOff(_)
            | Next::JoinBatch
            | Next::NewId
            | Next::Done) => panic!("{other:?}"),
        };
        next = save.resume(state, context, answer).unwrap();
    }
}

#[test]
fn changes_around_a_save_are_put_onto_another_requests_value_by_the_table() {
    use Change::{Increment, Insert};
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    // Before the save, while the store is busy, after it; the value of the session, and on top of 50.
    for (before, meanwhile, after, value_now, merged) in [
        (&[Increment][..], &[][..], &[][..], 4, 50),
        (&[Increment], &[Increment], &[], 5, 51),
        (&[Increment], &[], &[Increment], 5, 51),
        (&[Increment], &[Increment], &[Increment], 6, 52),
        (&[Insert(9)], &[Increment], &[], 10, 51),
        (&[Insert(9), Increment], &[Increment], &[], 11, 51),
        (&[Increment], &[Insert(9), Increment], &[], 10, 10),
        (&[Increment], &[Insert(9)], &[Increment], 10, 10),
        (&[Insert(9)], &[], &[Increment], 10, 51),
        (&[Insert(9)], &[], &[], 9, 50),
    ] {
        let row = (before, meanwhile, after);
        let mut state = session_of(&text(r#""views":3"#), &context);
        before.iter().for_each(|change| apply(&mut state, *change));
        save_while(&mut state, &context, meanwhile);
        after.iter().for_each(|change| apply(&mut state, *change));
        assert_eq!(value(&state, "views"), Some(value_now), "{row:?}");
        assert_eq!(state.is_unsaved(), !(meanwhile.is_empty() && after.is_empty()), "{row:?}");
        resolve(&mut state, &context, &text(r#""views":50"#)).unwrap();
        assert_eq!(value(&state, "views"), Some(merged), "{row:?}");
    }
}

#[test]
fn reload_while_a_rebase_runs_wins() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    let theirs = loaded(&text(r#""views":5"#));
    let resolution = Resolution::of(&mut state, &context, &theirs, NOW).unwrap();
    let rebased = resolution.begin(&mut state).unwrap().run().unwrap();
    state.finish_reload(&context, &loaded(&text(r#""views":7"#)), NOW).unwrap();
    assert!(!resolution.finish(&mut state, rebased));
    assert_eq!(value(&state, "views"), Some(7));
    // A session without a change can be reloaded too.
    let mut unchanged = session_of(&text(r#""views":1"#), &context);
    unchanged.finish_reload(&context, &loaded(&text(r#""views":7"#)), NOW).unwrap();
    assert_eq!(value(&unchanged, "views"), Some(7));
}

#[test]
fn entry_goes_onto_the_batch_or_onto_the_latest_record() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let first = text(r#""views":0"#);
    let mut batch = WriteBatch::default();
    let add_entry = |batch: &mut WriteBatch, text: &str| {
        let mut state = session_of(text, &context);
        increment(&mut state, "views");
        let draft = draft_of(state.begin_batch_entry(&context, batch, NOW).unwrap());
        draft.add_to(batch, &context).unwrap();
    };
    let stored = |views: i64| text(&format!(r#""views":{views}"#));
    // Nothing is known: the entry goes onto the record that its request knows.
    add_entry(&mut batch, &first);
    assert!(batch.has_write() && !batch.is_begun());
    // A second entry goes on top of the first one.
    add_entry(&mut batch, &first);
    let flush = batch.begin_flush().unwrap();
    assert!(batch.is_begun());
    assert_eq!(&*flush.record.text, stored(2));
    assert_eq!(flush.expected, Revision::of_text(&first));
    batch.end_flush(flush, Ok(Updated::Done(Revision::of_text(&stored(2)))));
    assert!(!batch.has_write() && !batch.is_begun() && batch.begin_flush().is_none());
    // A request that knows an older record goes onto the latest, and one that knows the latest too.
    for (known, views) in [(first, 3), (stored(3), 4)] {
        add_entry(&mut batch, &known);
        let flush = batch.begin_flush().unwrap();
        assert_eq!(&*flush.record.text, stored(views));
        assert_eq!(flush.expected, Revision::of_text(&stored(views - 1)));
        let revision = Revision::of_text(&stored(views));
        batch.end_flush(flush, Ok(Updated::Done(revision)));
    }
}

#[test]
fn batch_that_another_request_had_begun_is_in_doubt() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let first = text(r#""views":0"#);
    for (was_begun, is_own, expected) in [
        (false, true, "certain"),
        (false, false, "certain"),
        (true, true, "uncertain"),
        (true, false, "uncertain"),
    ] {
        let mut batch = WriteBatch::default();
        let mut state = session_of(&first, &context);
        increment(&mut state, "views");
        let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
        let entry = draft.add_to(&mut batch, &context).unwrap();
        state.note_batch_entry(&entry);
        if was_begun {
            // The request that began to write is dropped.
            drop(batch.begin_flush().unwrap());
        }
        let flush = batch.begin_flush().unwrap();
        let theirs = if is_own { flush.record.text.to_string() } else { text(r#""views":9"#) };
        let outcome = batch.end_flush(flush, Ok(Updated::Conflict(loaded(&theirs))));
        let named = match &outcome {
            BatchOutcome::Stored(_) => "stored",
            BatchOutcome::Overtaken { is_certain: true, .. } => "certain",
            BatchOutcome::Overtaken { is_certain: false, .. } => "uncertain",
            BatchOutcome::RecordGone | BatchOutcome::Failed { .. } => panic!("{outcome:?}"),
        };
        assert_eq!(named, expected, "{was_begun} {is_own}");
        // A write that is certainly not applied leaves no doubt behind.
        let resolved = |state: &mut SessionState| resolve(state, &context, &text(r#""views":9"#));
        assert!(matches!(resolved(&mut state), Err(Error::Conflict)));
        state.revoke_batch_entry(&entry);
        resolved(&mut state).unwrap();
        assert_eq!(value(&state, "views"), Some(10));
    }
}

#[test]
fn entry_has_the_cookie_of_the_batch_unless_its_request_has_changed_it() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let first = text(r#""views":0"#);
    for (is_changed, path) in [(false, "/first"), (true, "/second")] {
        let mut batch = WriteBatch::default();
        for (change, path) in [(true, "/first"), (is_changed, "/second")] {
            let mut state = session_of(&first, &context);
            increment(&mut state, "views");
            if change {
                state.change(|session| session.cookie.set_path(path)).unwrap();
            }
            let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
            draft.add_to(&mut batch, &context).unwrap();
        }
        let written = batch.begin_flush().unwrap().record.text;
        assert!(written.contains(&format!(r#""path":"{path}""#)), "{written}");
    }
}

#[test]
fn plan_resets_the_expiry_and_is_committed_by_the_table() {
    const LATER: Timestamp = Timestamp::from_millis(1_700_000_060_000);
    let policy = Policy::default();
    let presented = id();
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    let minute = text(r#""views":1"#).replace(
        r#""originalMaxAge":null,"expires":null"#,
        r#""originalMaxAge":60000,"expires":"2023-11-14T22:14:20.000Z""#,
    );
    for (store, cookie, is_reset, is_printed) in [
        (StoreAction::Keep, CookieAction::Keep, false, false),
        (StoreAction::Keep, CookieAction::Withhold, false, false),
        (StoreAction::Keep, CookieAction::Send, true, true),
        (StoreAction::Destroy, CookieAction::Expire, false, true),
        (StoreAction::Touch, CookieAction::Keep, true, false),
        (StoreAction::Write, CookieAction::Keep, true, false),
        (StoreAction::Write, CookieAction::Send, true, true),
    ] {
        let plan = crate::decide::Plan { store, cookie };
        for is_observed in [true, false] {
            let row = format!("{plan:?} {is_observed}");
            let mut state = session_of(&minute, &context);
            increment(&mut state, "views");
            let before = state.readable().unwrap().cookie.deadline();
            let end = state.begin_plan(plan, &policy, LATER, is_observed);
            let after = state.readable().unwrap().cookie.deadline();
            assert_eq!(before != after, is_reset, "{row}");
            assert_eq!(state.cookie_to_print(plan, LATER).is_some(), is_printed, "{row}");
            // Of a write, only its save knows what the store has.
            state.finish_plan(&end);
            let is_noted = is_observed && store != StoreAction::Write;
            let again = state.plan(&context, LATER).unwrap().0;
            let is_left_alone =
                again.store == StoreAction::Keep && again.cookie == CookieAction::Keep;
            assert_eq!(is_left_alone, is_noted, "{row}: {again:?}");
        }
        let mut degraded = session_of(&minute, &context);
        degraded.degrade();
        assert!(degraded.cookie_to_print(plan, LATER).is_none());
    }
}

#[test]
fn failure_is_that_of_the_step_that_the_plan_takes() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for (store, is_requested, step) in [
        (StoreAction::Keep, true, Step::Touch),
        (StoreAction::Touch, true, Step::Touch),
        (StoreAction::Write, true, Step::Write),
        (StoreAction::Write, false, Step::WriteUnasked),
        (StoreAction::Destroy, true, Step::Destroy),
    ] {
        let mut state = SessionState::default();
        state.begin_load(if is_requested { Step::Load } else { Step::LoadUnasked });
        let found = loaded(&text(r#""views":1"#));
        state.begin_loaded(&context, id(), &found, NOW).unwrap();
        let plan = crate::decide::Plan { store, cookie: CookieAction::Keep };
        assert_eq!(state.failed_step(plan), step);
    }
}

#[test]
fn late_session_that_is_stored_all_the_same_needs_no_warning() {
    let policy = Policy { save_uninitialized: true, ..express() };
    let context = Context::new(&policy, "sid");
    let mut state = SessionState::default();
    state.begin_new(id(), cookie());
    state.headers_left(&context, false);
    increment(&mut state, "views");
    let (plan, withheld) = state.plan(&context, NOW).unwrap();
    assert_eq!((plan.store, plan.cookie), (StoreAction::Write, CookieAction::Withhold));
    assert_eq!(withheld, None);
}

#[test]
fn last_save_that_is_applied_notes_nothing() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let done = || Answer::Created(Ok(Created::Done(Revision::of_text("stored"))));
    let taken = Answer::Created(Ok(Created::Taken));
    for (save, is_last) in [(SaveMachine::new as fn(_) -> _, false), (SaveMachine::last, true)] {
        let mut save: SaveMachine = save(NOW);
        let mut state = SessionState::default();
        state.begin_new(id(), cookie());
        increment(&mut state, "views");
        save.start(&mut state, &context, false).unwrap();
        assert_eq!(save.is_ended_by(&done()), is_last);
        assert!(!save.is_ended_by(&taken));
        assert!(matches!(save.resume(&mut state, &context, done()), Ok(Next::Done)));
        assert_eq!(state.view() == Some(StoreView::InDoubt), is_last);
        assert_eq!(state.is_unsaved(), is_last);
    }
}

#[test]
fn save_without_an_answer_is_in_doubt_and_one_that_is_refused_is_not() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let refused = || store::Error::new(store::ErrorKind::Refused, "too large");
    for save in [SaveMachine::new as fn(_) -> _, SaveMachine::last] {
        for is_new in [true, false] {
            for (error, is_in_doubt) in [(in_doubt(), true), (refused(), false)] {
                let mut save: SaveMachine = save(NOW);
                let mut state = SessionState::default();
                if is_new {
                    state.begin_new(id(), cookie());
                } else {
                    state = session_of(&text(r#""views":1"#), &context);
                }
                insert(&mut state, "views", 2);
                save.start(&mut state, &context, false).unwrap();
                let answer =
                    if is_new { Answer::Created(Err(error)) } else { Answer::Updated(Err(error)) };
                save.resume(&mut state, &context, answer).unwrap_err();
                let log = &state.session.as_ref().unwrap().log;
                assert_eq!(log.has_writes_in_doubt(), is_in_doubt, "{is_new} {is_in_doubt}");
            }
        }
    }
}

#[test]
fn id_in_use_is_overwritten_as_in_express_session() {
    let policy = express();
    let context = Context::new(&policy, "sid");
    let mut state = SessionState::default();
    state.begin_new(id(), cookie());
    let mut save = SaveMachine::new(NOW);
    save.start(&mut state, &context, false).unwrap();
    let next = save.resume(&mut state, &context, Answer::Created(Ok(Created::Taken))).unwrap();
    assert!(matches!(next, Next::Call(StoreCall::Load { .. })));
    let theirs = loaded(&text(r#""views":5"#));
    let revision = theirs.revision.clone();
    let next = save.resume(&mut state, &context, Answer::Loaded(Ok(Some(theirs)))).unwrap();
    let Next::Call(StoreCall::Update { expected, .. }) = next else { panic!("{next:?}") };
    assert_eq!(expected, revision);
}

#[test]
fn reserved_members_of_a_record_are_kept_by_departure_8_alone() {
    let record = text(r#""save":1,"views":1"#);
    let template = CookieTemplate::new(&cookie());
    for (policy, is_kept) in [(Policy::default(), true), (express(), false)] {
        for template in [None, Some(&template)] {
            let context = Context { template, ..Context::new(&policy, "sid") };
            let state = session_of(&record, &context);
            assert_eq!(state.readable().unwrap().document.contains("save"), is_kept);
        }
    }
}

#[test]
fn data_has_changed_since_the_request_began_by_the_table() {
    type Handler = fn(&mut SessionState, &Context<'_>);
    fn reload(state: &mut SessionState, context: &Context<'_>, views: i64) {
        let stored = text(&format!(r#""views":{views}"#));
        state.finish_reload(context, &loaded(&stored), NOW).unwrap();
    }
    let (merging, express) = (Policy::default(), express());
    // The members were loaded as 1. Where changes are merged, those since the last reload count as well.
    let rows: [(Handler, bool, bool); 8] = [
        (|_, _| {}, false, false),
        (|state, _| insert(state, "views", 2), true, true),
        (|state, context| reload(state, context, 1), false, false),
        (|state, context| reload(state, context, 2), true, true),
        (
            |state, context| {
                reload(state, context, 2);
                insert(state, "views", 1);
            },
            true,
            false,
        ),
        (
            |state, context| {
                insert(state, "views", 2);
                save_while(state, context, &[]);
            },
            true,
            true,
        ),
        // A member that the request has saved and changes back is stale, which is another fact.
        (
            |state, context| {
                insert(state, "views", 2);
                save_while(state, context, &[]);
                insert(state, "views", 1);
            },
            false,
            false,
        ),
        // Another request has stored 3 since.
        (
            |state, context| {
                insert(state, "views", 2);
                save_while(state, context, &[]);
                reload(state, context, 3);
                insert(state, "views", 1);
            },
            true,
            false,
        ),
    ];
    for (row, (handle, merged, overwritten)) in rows.into_iter().enumerate() {
        for (policy, expected) in [(&merging, merged), (&express, overwritten)] {
            let context = Context::new(policy, "sid");
            let mut state = session_of(&text(r#""views":1"#), &context);
            handle(&mut state, &context);
            let has_changed = state.readable().unwrap().has_changed_data(policy);
            assert_eq!(has_changed, expected, "row {row}, {policy:?}");
        }
    }
    // A new session has no record that another request could have stored.
    let context = Context::new(&merging, "sid");
    let mut state = SessionState::default();
    state.begin_new(id(), cookie());
    insert(&mut state, "views", 1);
    World::new(None, Vec::new()).save(SaveMachine::new(NOW), &mut state, &context).unwrap();
    remove(&mut state, "views");
    assert!(!state.readable().unwrap().has_changed_data(&merging));
}

#[test]
fn value_that_another_request_has_replaced_is_saved_again() {
    let policy = Policy::default();
    let presented = id();
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    let mut state = session_of(&text(r#""views":1"#), &context);
    insert(&mut state, "views", 2);
    save_while(&mut state, &context, &[]);
    for (theirs, store) in [(2, StoreAction::Keep), (5, StoreAction::Write)] {
        let stored = text(&format!(r#""views":{theirs}"#));
        state.finish_reload(&context, &loaded(&stored), NOW).unwrap();
        insert(&mut state, "views", 2);
        assert_eq!(state.plan(&context, NOW).unwrap().0.store, store, "reloaded as {theirs}");
    }
}

#[test]
fn failed_save_counts_as_saved_in_express_session_alone() {
    use crate::decide::Saved;
    for (policy, saved) in [(Policy::default(), Saved::Never), (express(), Saved::Current)] {
        let context = Context::new(&policy, "sid");
        for error in [in_doubt(), store::Error::new(store::ErrorKind::Refused, "too large")] {
            let mut state = session_of(&text(r#""views":1"#), &context);
            insert(&mut state, "views", 2);
            let mut save = SaveMachine::new(NOW);
            save.start(&mut state, &context, false).unwrap();
            save.resume(&mut state, &context, Answer::Updated(Err(error))).unwrap_err();
            assert_eq!(state.readable().unwrap().saved(), saved, "{policy:?}");
        }
    }
}

#[test]
fn committed_session_is_not_committed_while_a_later_write_is_in_doubt() {
    use crate::decide::Saved;
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    insert(&mut state, "views", 2);
    save_while(&mut state, &context, &[]);
    let plan = state.plan(&context, NOW).unwrap().0;
    let end = state.begin_plan(plan, &policy, NOW, true);
    state.finish_plan(&end);
    assert_eq!(state.readable().unwrap().saved(), Saved::Committed);
    insert(&mut state, "views", 3);
    SaveMachine::new(NOW).start(&mut state, &context, false).unwrap();
    // The store may have 3 by now.
    insert(&mut state, "views", 2);
    assert_eq!(state.readable().unwrap().saved(), Saved::Current);
}

#[test]
fn cookie_that_was_saved_explicitly_is_not_saved_again() {
    let policy = Policy::default();
    let presented = id();
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    let stored = text(r#""views":1"#);
    let mut world = World::new(Some(stored.clone()), Vec::new());
    let mut state = session_of(&stored, &context);
    state.change(|session| session.cookie.set_path("/one")).unwrap();
    assert_eq!(state.plan(&context, NOW).unwrap().0.store, StoreAction::Write);
    world.save(SaveMachine::new(NOW), &mut state, &context).unwrap();
    assert_eq!(state.plan(&context, NOW).unwrap().0.store, StoreAction::Keep);
    state.change(|session| session.cookie.set_path("/two")).unwrap();
    assert_eq!(state.plan(&context, NOW).unwrap().0.store, StoreAction::Write);
}

#[test]
fn errors_say_what_happened_and_keep_their_cause() {
    use std::error::Error as _;
    let corrupt = Document::parse("[]").unwrap_err();
    for (error, text, has_source) in [
        (Error::Ended, "the session is over", false),
        (Error::Conflict, "other requests changed the session at every attempt to save it", false),
        (Error::LockLost, "the lease of the session's lock has run out", false),
        (Error::Store(in_doubt()), "the session store failed", true),
        (Error::Corrupt(corrupt), "the stored session is no record", true),
        (Error::Update("no".into()), "an update failed on the stored value", true),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.source().is_some(), has_source, "{text}");
    }
}

#[test]
fn nothing_of_a_session_prints_its_data() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":"hush""#), &context);
    insert(&mut state, "mine", 1);
    let resolution =
        Resolution::of(&mut state, &context, &loaded(&text(r#""views":"hush2""#)), NOW).unwrap();
    let rebase = resolution.begin(&mut state).unwrap();
    let mut batch = WriteBatch::default();
    let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
    let drafted = format!("{draft:?}");
    let entry = draft.add_to(&mut batch, &context).unwrap();
    let save = SaveMachine::new(NOW);
    for (printed, begins) in [
        (format!("{state:?}"), "SessionState"),
        (format!("{:?}", state.readable().unwrap()), "LoadedSession"),
        (format!("{:?}", Snapshot::of(state.readable().unwrap())), "Snapshot"),
        (format!("{resolution:?}"), "Resolution(Theirs)"),
        (format!("{rebase:?}"), "Rebase"),
        (format!("{:?}", rebase.run().unwrap()), "Rebased"),
        (drafted, "BatchDraft"),
        (format!("{entry:?}"), "BatchEntry"),
        (format!("{save:?}"), "SaveMachine"),
    ] {
        assert!(printed.starts_with(begins), "{printed}");
        assert!(!printed.contains("hush"), "{printed}");
    }
}

/// A record under the id of a create without an answer is overwritten if it is this request's own, or if the policy does not merge.
#[test]
fn record_that_a_create_in_doubt_finds_is_overwritten_by_the_table() {
    // The id is kept, since the cookie may have left.
    let departures = Departures::all().save_before_response(false);
    let merging = Policy { departures, ..Policy::default() };
    let overwriting = Policy { departures: departures.merge_changes(false), ..Policy::default() };
    let (own, later, other) = (text(r#""a":1"#), text(r#""a":2"#), text(r#""a":9"#));
    for (policy, found, is_overwritten) in [
        (&merging, &own, true),
        (&merging, &later, true),
        (&merging, &other, false),
        (&overwriting, &other, true),
    ] {
        let context = Context::new(policy, "connect.sid");
        let mut state = SessionState::default();
        state.begin_new(id(), cookie());
        insert(&mut state, "a", 1);
        let mut save = SaveMachine::alone(NOW);
        let next = save.start(&mut state, &context, false).unwrap();
        assert!(matches!(next, Next::Call(StoreCall::Create { .. })));
        let lost = save.resume(&mut state, &context, Answer::Created(Err(in_doubt()))).unwrap_err();
        assert!(matches!(lost, Error::Store(_)));

        insert(&mut state, "a", 2);
        let mut save = SaveMachine::alone(NOW);
        save.start(&mut state, &context, false).unwrap();
        let taken = Answer::Created(Ok(Created::Taken));
        let next = save.resume(&mut state, &context, taken).unwrap();
        assert!(matches!(next, Next::Call(StoreCall::Load { .. })));
        let mut next = save.resume(&mut state, &context, Answer::Loaded(Ok(Some(loaded(found)))));
        loop {
            let answer = match next {
                Ok(Next::Rebase(rebase)) => Answer::Rebased(Box::new(rebase.run().unwrap())),
                Ok(Next::BackOff(_)) => Answer::BackedOff { is_contended: false },
                _ => break,
            };
            next = save.resume(&mut state, &context, answer);
        }
        match next {
            Ok(Next::Call(StoreCall::Update { .. })) => assert!(is_overwritten, "{found}"),
            Err(Error::Conflict) => assert!(!is_overwritten, "{found}"),
            other => panic!("{found}: {other:?}"),
        }
    }
}

/// A request joins a batch and loses it: the batch goes with the last request of the queue.
#[test]
fn entry_of_a_batch_that_is_gone_is_in_doubt_only_if_its_write_had_begun() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    for begins in [false, true] {
        let mut state = session_of(&text(r#""a":1"#), &context);
        insert(&mut state, "a", 2);
        let mut batch = WriteBatch::default();
        let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
        let entry = draft.add_to(&mut batch, &context).unwrap();
        state.note_batch_entry(&entry);
        if begins {
            batch.begin_flush().unwrap();
        }
        drop(batch);
        state.drop_batch_entry(&entry);
        let is_in_doubt = state.session.as_ref().unwrap().log.has_writes_in_doubt();
        assert_eq!(is_in_doubt, begins);
    }
}
