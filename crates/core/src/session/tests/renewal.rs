//! The renewal of the id, in every interleaving with other requests of the same session.

use std::collections::BTreeMap;

use super::*;
use crate::Metadata;
use crate::policy::Renewal;
use crate::store::Error as StoreError;

const GRACE: Duration = Duration::from_secs(30);

fn renewing() -> Policy {
    let renewal = Some(Renewal { after: Some(Duration::from_secs(900)), grace: GRACE });
    Policy { metadata: true, renewal, ..Policy::default() }
}

fn named(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn old() -> SessionId {
    id()
}

fn after(seconds: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(seconds))
}

/// A store whose revisions are counted for each record, so that records of two ids may have the same one.
#[derive(Clone, Default)]
struct Records(BTreeMap<String, (String, u128)>);

impl Records {
    fn with(text: &str) -> Self {
        Self(BTreeMap::from([(old().as_str().to_owned(), (text.to_owned(), 1))]))
    }

    fn load(&self, id: &SessionId) -> Option<Loaded> {
        let (text, revision) = self.0.get(id.as_str())?;
        let record = Record { text: text.as_str().into(), deadline: None };
        Some(Loaded { record, revision: Revision::new(*revision) })
    }

    fn apply(&mut self, call: &StoreCall) -> Answer {
        match call {
            StoreCall::Load { id } => Answer::Loaded(Ok(self.load(id))),
            StoreCall::Create { id, record } => Answer::Created(Ok(match self.load(id) {
                Some(_) => Created::Taken,
                None => {
                    self.0.insert(id.as_str().to_owned(), (record.text.to_string(), 1));
                    Created::Done(Revision::new(1))
                }
            })),
            StoreCall::Update { id, record, expected } => {
                Answer::Updated(Ok(self.update(id, record, expected)))
            }
            StoreCall::UpdateLocked { id, record, expected, .. } => {
                Answer::Fenced(Ok(Fenced::Held(self.update(id, record, expected))))
            }
            StoreCall::Destroy { id } => {
                self.0.remove(id.as_str());
                Answer::Destroyed(Ok(()))
            }
            StoreCall::Time => Answer::Time(Ok(NOW)),
        }
    }

    fn update(&mut self, id: &SessionId, record: &Record, expected: &Revision) -> Updated {
        match self.load(id) {
            None => Updated::Gone,
            Some(current) if current.revision != *expected => Updated::Conflict(current),
            Some(current) => {
                let next = current.revision.number().unwrap() + 1;
                self.0.insert(id.as_str().to_owned(), (record.text.to_string(), next));
                Updated::Done(Revision::new(next))
            }
        }
    }

    /// Returns the id and the text of the session that an id leads to.
    fn reach(&self, context: &Context<'_>, id: &SessionId) -> Option<(SessionId, String)> {
        let loaded = self.load(id)?;
        let Some(mut follow) = Follow::of(context, &loaded, NOW) else {
            return Some((id.clone(), loaded.record.text.to_string()));
        };
        loop {
            let found = self.load(follow.target()?);
            match follow.arrive(context, found, NOW)? {
                Arrival::Session(id, loaded) => return Some((id, loaded.record.text.to_string())),
                Arrival::Further(further) => follow = further,
            }
        }
    }

    /// Returns the ids of the records that are sessions.
    fn sessions(&self, context: &Context<'_>) -> Vec<String> {
        let is_session =
            |id: &&String| Follow::of(context, &self.load(&named(id)).unwrap(), NOW).is_none();
        self.0.keys().filter(is_session).cloned().collect()
    }
}

fn views(text: &str) -> i64 {
    Document::parse(text).unwrap().get("views").unwrap().unwrap_or(0)
}

/// The work of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    /// Counts, and renews the id.
    Renews,
    /// Renews the id, and changes nothing.
    OnlyRenews,
    /// Counts.
    Counts,
    /// Ends the session that it has loaded.
    Ends,
    /// Ends the session without loading it.
    EndsUnread,
}

/// A request under way, which has loaded the session under its old id.
struct Request {
    task: Task,
    state: SessionState,
    machine: Machine,
    due: Option<StoreCall>,
    outcome: Option<Result<()>>,
}

enum Machine {
    Save(SaveMachine),
    End(DestroyMachine),
}

impl Request {
    fn begin(task: Task, new: SessionId, text: &str, context: &Context<'_>) -> Self {
        let mut state = SessionState::default();
        let records = Records::with(text);
        state.begin_loaded(context, old(), &records.load(&old()).unwrap(), NOW).unwrap();
        if matches!(task, Task::Renews | Task::Counts) {
            increment(&mut state, "views");
        }
        let machine = match task {
            Task::Renews | Task::OnlyRenews => Machine::Save(SaveMachine::renewing(NOW, new)),
            Task::Counts => Machine::Save(SaveMachine::alone(NOW)),
            Task::Ends => {
                Machine::End(DestroyMachine::new(old(), Some((Revision::new(1), NOW)), NOW))
            }
            Task::EndsUnread => Machine::End(DestroyMachine::new(old(), None, NOW)),
        };
        let mut request = Self { task, state, machine, due: None, outcome: None };
        let next = match &mut request.machine {
            Machine::Save(save) => save.start(&mut request.state, context, false),
            Machine::End(end) => Ok(Next::Call(end.start(context))),
        };
        request.go_on(context, next);
        request
    }

    fn go_on(&mut self, context: &Context<'_>, mut next: Result<Next>) {
        loop {
            let answer = match next {
                Ok(Next::Call(call)) => {
                    self.due = Some(call);
                    return;
                }
                Ok(Next::Done) => {
                    self.outcome = Some(Ok(()));
                    return;
                }
                Ok(Next::Rebase(rebase)) => Answer::Rebased(Box::new(rebase.run().unwrap())),
                Ok(Next::BackOff(_)) => Answer::BackedOff { is_contended: false },
                Ok(Next::JoinBatch | Next::NewId) => panic!("these saves write alone"),
                Err(error) => {
                    self.outcome = Some(Err(error));
                    return;
                }
            };
            next = self.resume(context, answer);
        }
    }

    fn resume(&mut self, context: &Context<'_>, answer: Answer) -> Result<Next> {
        match &mut self.machine {
            Machine::Save(save) => save.resume(&mut self.state, context, answer),
            Machine::End(end) => {
                end.resume(context, answer).map(|call| call.map_or(Next::Done, Next::Call))
            }
        }
    }

    fn step(&mut self, context: &Context<'_>, records: &mut Records) {
        let call = self.due.take().unwrap();
        let answer = records.apply(&call);
        let next = self.resume(context, answer);
        self.go_on(context, next);
    }
}

/// Plays requests that overlap. `choose` says which of those under way makes its next call.
fn play(tasks: &[Task], mut choose: impl FnMut(usize) -> usize) {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let text = text(&format!(r#""views":10,{}"#, member()));
    let mut records = Records::with(&text);
    let mut requests: Vec<_> = tasks
        .iter()
        .enumerate()
        .map(|(nth, task)| Request::begin(*task, named(&format!("new{nth}")), &text, &context))
        .collect();
    loop {
        let mut active: Vec<_> =
            requests.iter_mut().filter(|request| request.outcome.is_none()).collect();
        if active.is_empty() {
            break;
        }
        let chosen = choose(active.len());
        active[chosen].step(&context, &mut records);
    }
    check(tasks, &requests, &records, &context);
}

fn check(tasks: &[Task], requests: &[Request], records: &Records, context: &Context<'_>) {
    let has_ended =
        requests.iter().any(|request| matches!(request.task, Task::Ends | Task::EndsUnread));
    let mut counted = 0;
    for request in requests {
        match &request.outcome {
            Some(Ok(())) => {
                counted += i64::from(matches!(request.task, Task::Renews | Task::Counts));
            }
            // It was logged out.
            Some(Err(Error::Ended)) if has_ended => {}
            outcome => panic!("{tasks:?}: {outcome:?}"),
        }
    }
    let sessions = records.sessions(context);
    if has_ended {
        assert!(sessions.is_empty(), "a session was ended and is there: {tasks:?}");
        assert_eq!(records.reach(context, &old()), None);
        return;
    }
    // One session, to which the old id leads, with all that was acknowledged, once.
    assert_eq!(sessions.len(), 1, "{tasks:?}");
    let (id, text) = records.reach(context, &old()).unwrap();
    assert_eq!(id.as_str(), sessions[0]);
    assert_eq!(views(&text), 10 + counted, "{tasks:?}: {text}");
    let renews = tasks.iter().any(|task| matches!(task, Task::Renews | Task::OnlyRenews));
    assert_eq!(id != old(), renews, "{tasks:?}");
    for request in requests {
        let is_new = matches!(request.task, Task::Renews | Task::OnlyRenews);
        assert!(!is_new || request.state.id() == Some(&id), "a request has another id: {tasks:?}");
    }
}

fn member() -> String {
    format!(r#""__sessionMetadata":{}"#, Metadata::new(NOW).text())
}

/// Every order of the calls: the last choice that has another one left is changed, until none has.
fn in_every_order(tasks: &[Task]) -> u32 {
    let (mut script, mut played) = (Vec::<(usize, usize)>::new(), 0);
    loop {
        let mut at = 0;
        play(tasks, |options| {
            if at == script.len() {
                script.push((0, options));
            }
            at += 1;
            script[at - 1].0
        });
        played += 1;
        while script.last().is_some_and(|(chosen, options)| chosen + 1 == *options) {
            script.pop();
        }
        match script.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return played,
        }
    }
}

const TASKS: [Task; 5] =
    [Task::Renews, Task::OnlyRenews, Task::Counts, Task::Ends, Task::EndsUnread];

#[test]
fn two_requests_end_with_one_session_in_every_order_of_their_calls() {
    for one in TASKS {
        for two in TASKS {
            let played = in_every_order(&[one, two]);
            assert!(played >= 2, "{one:?} {two:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn requests_that_overlap_end_with_one_session(
        tasks in prop::collection::vec(prop::sample::select(&TASKS[..]), 2..6),
        order in prop::collection::vec(0..60_usize, 80),
    ) {
        let mut order = order.into_iter().cycle();
        play(&tasks, |options| order.next().unwrap_or(0) % options);
    }
}

/// The outcome of a call that fails: whether it was applied, and whether the store says for certain that it was not.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    Applied,
    NotApplied,
    Refused,
}

fn failed(call: &StoreCall, failure: Failure) -> Answer {
    let error = match failure {
        Failure::Applied | Failure::NotApplied => in_doubt(),
        Failure::Refused => StoreError::new(store::ErrorKind::Refused, "refused"),
    };
    match call {
        StoreCall::Load { .. } => Answer::Loaded(Err(error)),
        StoreCall::Create { .. } => Answer::Created(Err(error)),
        StoreCall::Update { .. } => Answer::Updated(Err(error)),
        StoreCall::UpdateLocked { .. } => Answer::Fenced(Err(error)),
        StoreCall::Destroy { .. } => Answer::Destroyed(Err(error)),
        StoreCall::Time => Answer::Time(Err(error)),
    }
}

#[test]
fn renewal_over_a_store_that_fails_loses_and_doubles_nothing_and_leaves_one_way_to_the_session() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let text = text(&format!(r#""views":10,{}"#, member()));
    for failing in 0..4 {
        for failure in [Failure::Applied, Failure::NotApplied, Failure::Refused] {
            // Whether another request counts before the call that fails.
            for is_overtaken in [false, true] {
                let row = (failing, failure, is_overtaken);
                let mut records = Records::with(&text);
                let mut request = Request::begin(Task::Renews, named("new"), &text, &context);
                let mut others = 0;
                for nth in 0.. {
                    if is_overtaken && nth == failing {
                        others += count_under(&mut records, &context);
                    }
                    let Some(call) = request.due.take() else { break };
                    let answer = if nth == failing {
                        if failure == Failure::Applied {
                            records.apply(&call);
                        }
                        failed(&call, failure)
                    } else {
                        records.apply(&call)
                    };
                    let next = request.resume(&context, answer);
                    request.go_on(&context, next);
                }
                let mut is_saved = matches!(request.outcome, Some(Ok(())));
                // The handler tries again, and so does the end of the request.
                for _ in 0..2 {
                    if !is_saved {
                        is_saved = save_alone(&mut request.state, &mut records, &context).is_ok();
                    }
                }
                let (id, found) = records.reach(&context, &old()).unwrap();
                let own = views(&found) - 10 - others;
                assert!(own == 0 || own == 1, "{row:?}: {found}");
                assert!(own == 1 || !is_saved, "an acknowledged update is lost: {row:?}: {found}");
                if is_saved {
                    assert_eq!(request.state.id(), Some(&id), "{row:?}");
                }
            }
        }
    }
}

/// Another request counts, under the id that it finds.
fn count_under(records: &mut Records, context: &Context<'_>) -> i64 {
    let (id, _) = records.reach(context, &old()).unwrap();
    let mut state = SessionState::default();
    state.begin_loaded(context, id.clone(), &records.load(&id).unwrap(), NOW).unwrap();
    increment(&mut state, "views");
    save_alone(&mut state, records, context).unwrap();
    1
}

fn save_alone(
    state: &mut SessionState,
    records: &mut Records,
    context: &Context<'_>,
) -> Result<()> {
    let mut save = SaveMachine::alone(NOW);
    let mut next = save.start(state, context, false)?;
    loop {
        let answer = match next {
            Next::Done => return Ok(()),
            Next::Call(call) => records.apply(&call),
            Next::Rebase(rebase) => Answer::Rebased(Box::new(rebase.run()?)),
            Next::BackOff(_) => Answer::BackedOff { is_contended: false },
            Next::JoinBatch | Next::NewId => panic!("it writes alone"),
        };
        next = save.resume(state, context, answer)?;
    }
}

/// Renews the id of a session with this text, and returns the store.
fn renewed(text: &str, context: &Context<'_>, now: Timestamp) -> (Records, SessionState) {
    let mut records = Records::with(text);
    let mut state = SessionState::default();
    state.begin_loaded(context, old(), &records.load(&old()).unwrap(), now).unwrap();
    let mut save = SaveMachine::renewing(now, named("new"));
    let mut next = save.start(&mut state, context, false).unwrap();
    while let Next::Call(call) = next {
        next = save.resume(&mut state, context, records.apply(&call)).unwrap();
    }
    assert!(matches!(next, Next::Done));
    (records, state)
}

#[test]
fn record_under_the_old_id_has_no_data_no_login_and_a_deadline() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let mut metadata = Metadata::new(NOW);
    metadata.authenticate(crate::metadata::Authentication {
        at: NOW,
        user: crate::record::Json::of("bob").unwrap(),
        idle: None,
        absolute: None,
        level: None,
    });
    let text = text(&format!(r#""views":10,"__sessionMetadata":{}"#, metadata.text()));
    let mut state = session_of(&text, &context);
    let mut save = SaveMachine::renewing(after(60), named("new"));
    let Next::Call(StoreCall::Create { id: new, record }) =
        save.start(&mut state, &context, false).unwrap()
    else {
        panic!("the session is stored under the new id first")
    };
    assert_eq!(new, named("new"));
    let member = metadata_in(&record.text);
    assert_eq!((member.created(), member.renewed()), (NOW, Some(after(60))));
    assert!(member.authentication().is_some() && record.text.contains(r#""views":10"#));
    let created = Answer::Created(Ok(Created::Done(Revision::new(1))));
    let Next::Call(StoreCall::Update { id: from, record, .. }) =
        save.resume(&mut state, &context, created).unwrap()
    else {
        panic!("the old record is replaced then")
    };
    assert_eq!(from, old());
    assert_eq!(record.deadline, Some(after(90)));
    let [created, seen, until] = [NOW, after(60), after(90)].map(Timestamp::millis);
    let expected = format!(
        r#"{{"cookie":{PLAIN},"__sessionMetadata":{{"created":{created},"seen":{seen},"movedTo":"new","movedUntil":{until}}}}}"#
    );
    assert_eq!(&*record.text, expected);
    let done = Answer::Updated(Ok(Updated::Done(Revision::new(2))));
    assert!(matches!(save.resume(&mut state, &context, done), Ok(Next::Done)));
    assert_eq!(state.id(), Some(&named("new")));
    assert_eq!(state.readable().unwrap().metadata(), Some(&member));
}

/// Another session of the user, or an administrator, ends the session between two calls of its renewal.
#[test]
fn session_that_is_ended_while_its_id_is_renewed_is_over_and_leaves_no_other_record() {
    use crate::metadata::Mark;

    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let text = text(&format!(r#""views":10,{}"#, member()));
    // After its second call the session has its new id, and is ended there.
    for (marked_before, is_renewed) in [(0, false), (1, false), (2, true)] {
        let mut records = Records::with(&text);
        let mut state = SessionState::default();
        state.begin_loaded(&context, old(), &records.load(&old()).unwrap(), NOW).unwrap();
        increment(&mut state, "views");
        let mut save = SaveMachine::renewing(NOW, named("new"));
        let mut next = save.start(&mut state, &context, false);
        let mut calls = 0;
        let ended = loop {
            if calls == marked_before {
                // As a listing finds it: under the id that is live.
                let (id, found) = records.reach(&context, &old()).unwrap();
                let stored = Record { text: found.as_str().into(), deadline: None };
                let mark = context.ended_record(&stored, Mark::Revoked, NOW).unwrap();
                let revision = records.load(&id).unwrap().revision;
                assert!(matches!(records.update(&id, &mark, &revision), Updated::Done(_)));
            }
            calls += 1;
            match next {
                Ok(Next::Call(call)) => {
                    let answer = records.apply(&call);
                    next = save.resume(&mut state, &context, answer);
                }
                Ok(Next::Rebase(rebase)) => {
                    let rebased = Answer::Rebased(Box::new(rebase.run().unwrap()));
                    next = save.resume(&mut state, &context, rebased);
                }
                Ok(Next::Done) => break false,
                Err(Error::Ended) => break true,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(ended, !is_renewed, "{marked_before}");
        assert_eq!(state.is_ended_elsewhere(), ended);
        let (id, found) = records.reach(&context, &old()).unwrap();
        assert_eq!(metadata_in(&found).ended(), Some(Mark::Revoked), "{marked_before}");
        let expected = if is_renewed { named("new") } else { old() };
        assert_eq!(id, expected);
        assert_eq!(records.sessions(&context), [expected.as_str()]);
    }
}

#[test]
fn old_id_leads_to_the_session_within_the_grace_period_and_nowhere_after_it() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let (records, _) = renewed(&text(&member()), &context, NOW);
    let forward = records.load(&old()).unwrap();
    for (seconds, is_there) in [(0, true), (29, true), (30, false), (3600, false)] {
        let mut state = SessionState::default();
        let begun = state.begin_loaded(&context, old(), &forward, after(seconds)).unwrap();
        let Begun::Moved(follow) = begun else { panic!("{begun:?}") };
        assert_eq!(follow.target(), is_there.then(|| named("new")).as_ref(), "{seconds}");
        assert!(state.is_unloaded());
        // Neither the end of a request that does not ask, nor a limit, looks at it.
        assert_eq!(context.unread(&forward, after(seconds)), Unread::Keep);
        assert_eq!(context.has_ended(&forward, after(seconds)), None);
    }
    // Where the new session is gone, there is none.
    let follow = Follow::of(&context, &forward, NOW).unwrap();
    assert_eq!(follow.arrive(&context, None, NOW), None);
}

#[test]
fn forwards_are_followed_one_after_the_other_and_not_for_ever() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let forward = |to: &str| {
        let metadata = Metadata::new(NOW).forwarding(named(to), after(30));
        loaded(&text(&format!(r#""__sessionMetadata":{}"#, metadata.text())))
    };
    let mut follow = Follow::of(&context, &forward("a"), NOW).unwrap();
    let mut moves = 0;
    while let Some(Arrival::Further(further)) = follow.arrive(&context, Some(forward("a")), NOW) {
        follow = further;
        moves += 1;
    }
    assert_eq!(moves, 16);
    let follow = Follow::of(&context, &forward("a"), NOW).unwrap();
    let session = loaded(&text(&member()));
    let arrived = follow.arrive(&context, Some(session.clone()), NOW);
    assert_eq!(arrived, Some(Arrival::Session(named("a"), session)));
}

#[test]
fn record_is_one_of_many_members_where_the_policy_keeps_no_metadata() {
    let policy = renewing();
    let (records, _) = renewed(&text(&member()), &Context::new(&policy, "sid"), NOW);
    let forward = records.load(&old()).unwrap();
    let plain = Policy::default();
    let context = Context::new(&plain, "sid");
    assert_eq!(Follow::of(&context, &forward, NOW), None);
    let mut state = SessionState::default();
    assert_eq!(state.begin_loaded(&context, old(), &forward, NOW).unwrap(), Begun::Live);
}

#[test]
fn end_of_a_session_is_one_call_unless_ids_are_renewed() {
    let plain = Policy { metadata: true, ..Policy::default() };
    let off = Policy { metadata: false, ..renewing() };
    for policy in [plain, off] {
        let context = Context::new(&policy, "sid");
        for known in [None, Some((Revision::new(1), NOW))] {
            let mut end = DestroyMachine::new(old(), known.clone(), NOW);
            assert!(matches!(end.start(&context), StoreCall::Destroy { .. }));
            assert!(end.resume(&context, Answer::Destroyed(Ok(()))).unwrap().is_none());
        }
    }
}

#[test]
fn end_under_the_old_id_destroys_the_session_and_every_record_that_forwards_to_it() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    for known in [None, Some((Revision::new(1), NOW))] {
        let (mut records, _) = renewed(&text(&member()), &context, NOW);
        let mut end = DestroyMachine::new(old(), known.clone(), NOW);
        let mut call = Some(end.start(&context));
        while let Some(due) = call {
            call = end.resume(&context, records.apply(&due)).unwrap();
        }
        assert!(records.0.is_empty());
    }
}

#[test]
fn record_that_is_being_ended_leads_nowhere() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let mut records = Records::with(&text(&member()));
    let mut end = DestroyMachine::new(old(), Some((Revision::new(1), NOW)), NOW);
    let call = end.start(&context);
    records.apply(&call);
    let marked = records.load(&old()).unwrap();
    assert_eq!(Follow::of(&context, &marked, NOW).unwrap().target(), None);
    // And a request under way finds its session ended.
    let mut state = session_of(&text(&member()), &context);
    increment(&mut state, "views");
    let saved = save_alone(&mut state, &mut records, &context);
    assert!(matches!(saved, Err(Error::Ended)), "{saved:?}");
    assert!(state.is_ended_elsewhere());
}

#[test]
fn end_that_fails_says_so_and_one_that_is_resumed_with_another_answer_too() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let end = || DestroyMachine::new(old(), Some((Revision::new(1), NOW)), NOW);
    let mut failing = end();
    let _ = failing.start(&context);
    let answer = failing.resume(&context, Answer::Updated(Err(in_doubt())));
    assert!(matches!(answer, Err(Error::Store(_))));
    let mut other = end();
    let _ = other.start(&context);
    let answer = other.resume(&context, Answer::Destroyed(Ok(())));
    assert!(matches!(answer, Err(Error::OutOfOrder)));
    // Requests that are faster at every attempt.
    let (mut overtaken, theirs) = (end(), loaded(&text(&member())));
    let _ = overtaken.start(&context);
    let mut attempts = 0;
    while overtaken.resume(&context, Answer::Updated(Ok(Updated::Conflict(theirs.clone())))).is_ok()
    {
        attempts += 1;
    }
    assert_eq!(attempts, ATTEMPTS);
}

#[test]
fn request_longer_than_half_the_grace_period_drops_nothing_where_its_record_is_gone() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    for (seconds, is_certain) in [(0, true), (14, true), (15, false), (9999, false)] {
        let mut state = session_of(&text(&member()), &context);
        increment(&mut state, "views");
        let mut save = SaveMachine::new(after(seconds));
        save.start(&mut state, &context, false).unwrap();
        let gone = || Answer::Updated(Ok(Updated::Gone));
        let saved = save.resume(&mut state, &context, gone());
        let is_ended = matches!(saved, Err(Error::Ended));
        assert!(is_ended || matches!(saved, Err(Error::Conflict)), "{seconds}: {saved:?}");
        assert_eq!((is_ended, state.is_ended_elsewhere()), (is_certain, is_certain), "{seconds}");

        let known = Some((Revision::new(1), NOW));
        let mut end = DestroyMachine::new(old(), known, after(seconds));
        let _ = end.start(&context);
        let ended = end.resume(&context, gone());
        assert_eq!(ended.is_ok(), is_certain, "{seconds}: {ended:?}");

        // A request that has found the record in between knows more.
        let mut state = session_of(&text(&member()), &context);
        state.found(&old(), after(seconds));
        state.found(&named("another"), after(99_999));
        let missing = state.handle_missing_record(&policy, after(seconds + 14));
        assert!(matches!(missing, Err(Error::Ended)), "{seconds}: {missing:?}");
    }
}

#[test]
fn record_whose_grace_period_is_over_is_no_logout() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let (records, _) = renewed(&text(&member()), &context, NOW);
    let theirs = || Answer::Updated(Ok(Updated::Conflict(records.load(&old()).unwrap())));
    // A store that keeps it for longer: a request under way neither drops what it has changed, nor seems to log out.
    let mut state = session_of(&text(&member()), &context);
    increment(&mut state, "views");
    let mut save = SaveMachine::new(after(30));
    save.start(&mut state, &context, false).unwrap();
    let saved = save.resume(&mut state, &context, theirs());
    assert!(matches!(saved, Err(Error::Conflict)), "{saved:?}");
    assert!(!state.is_ended_elsewhere());
    let mut end = DestroyMachine::new(old(), Some((Revision::new(1), NOW)), after(30));
    let _ = end.start(&context);
    let ended = end.resume(&context, theirs());
    assert!(matches!(ended, Err(Error::Conflict)), "{ended:?}");
    // A request that comes with the old cookie has no session to end.
    let mut end = DestroyMachine::new(old(), None, after(30));
    let _ = end.start(&context);
    let found = Answer::Loaded(Ok(records.load(&old())));
    let ended = end.resume(&context, found);
    assert!(matches!(ended, Ok(Some(StoreCall::Destroy { id })) if id == old()));
}

#[test]
fn lock_of_the_old_id_is_lost_when_another_request_renews_it() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    for stage in [LockStage::Requested, LockStage::Held] {
        let text = text(&format!(r#""views":10,{}"#, member()));
        let (mut records, _) = renewed(&text, &context, NOW);
        let mut state = SessionState::default();
        let loaded = Records::with(&text).load(&old()).unwrap();
        state.begin_loaded(&context, old(), &loaded, NOW).unwrap();
        increment(&mut state, "views");
        assert!(state.request_lock(old(), LockToken::from_random([3; 16])));
        state.set_lock_stage(stage);
        for _ in 0..2 {
            let saved = save_alone(&mut state, &mut records, &context);
            assert!(matches!(saved, Err(Error::LockLost)), "{stage:?} {saved:?}");
        }
        assert_eq!(views(&records.reach(&context, &old()).unwrap().1), 10);
        // Without the lock, the request goes on.
        assert!(state.take_lock().is_some());
        save_alone(&mut state, &mut records, &context).unwrap();
        assert_eq!(views(&records.reach(&context, &old()).unwrap().1), 11);
    }
}

#[test]
fn touch_of_the_old_record_moves_no_deadline_and_follows() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let (records, _) = renewed(&text(&member()), &context, NOW);
    let mut state = session_of(&text(&member()), &context);
    let (expected, forward) = (Revision::new(1), records.load(&old()).unwrap());
    let call = state.visited(&context, &expected, Updated::Conflict(forward.clone()), after(60));
    assert!(matches!(&call, Some(TouchCall::Follow(follow)) if follow.is_outlived()));
    assert!(!state.is_ended_elsewhere());
    let mut state = session_of(&text(&member()), &context);
    let call = state.visited(&context, &expected, Updated::Conflict(forward), after(6));
    assert!(matches!(&call, Some(TouchCall::Follow(follow)) if follow.target().is_some()));
    assert!(!state.is_ended_elsewhere());
}

#[test]
fn batch_sends_its_requests_to_the_new_id() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let (records, _) = renewed(&text(&member()), &context, NOW);
    let mut state = session_of(&text(&member()), &context);
    increment(&mut state, "views");
    let mut batch = WriteBatch::default();
    let begun = state.begin_batch_entry(&context, &batch, NOW).unwrap();
    let BatchBegin::Draft(draft) = begun else { panic!("{begun:?}") };
    let entry = draft.add_to(&mut batch, &context).unwrap();
    state.note_batch_entry(&entry);
    let flush = batch.begin_flush().unwrap();
    let forward = records.load(&old()).unwrap();
    let outcome = batch.end_flush(flush, Ok(Updated::Conflict(forward.clone())));
    assert!(matches!(outcome, BatchOutcome::Overtaken { is_certain: true, .. }));
    // A request that comes later to the same batch finds the record that forwards, and is not put on top of it.
    let mut later = session_of(&text(&member()), &context);
    increment(&mut later, "views");
    let begun = later.begin_batch_entry(&context, &batch, NOW).unwrap();
    assert!(matches!(begun, BatchBegin::Moved(_)), "{begun:?}");
    assert!(matches!(Resolution::of(&mut later, &context, &forward, NOW), Err(Error::Conflict)));
    // A save goes on from there.
    let mut save = SaveMachine::new(NOW);
    let joins = save.start(&mut later, &context, true).unwrap();
    assert!(matches!(joins, Next::JoinBatch));
    let BatchBegin::Moved(follow) = begun else { panic!() };
    let next = save.resume(&mut later, &context, Answer::Batched(BatchEnd::Moved(follow)));
    assert!(matches!(next, Ok(Next::Call(StoreCall::Load { id })) if id == named("new")));
}

#[test]
fn renewal_whose_id_is_taken_or_whose_record_is_removed_changes_nothing() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&member()), &context);
    let mut save = SaveMachine::renewing(NOW, named("new"));
    save.start(&mut state, &context, false).unwrap();
    let taken = save.resume(&mut state, &context, Answer::Created(Ok(Created::Taken)));
    assert!(matches!(taken, Err(Error::IdTaken)), "{taken:?}");
    assert_eq!(state.id(), Some(&old()));

    let mut save = SaveMachine::renewing(NOW, named("new"));
    save.start(&mut state, &context, false).unwrap();
    let created = Answer::Created(Ok(Created::Done(Revision::new(1))));
    save.resume(&mut state, &context, created).unwrap();
    let theirs = Answer::Updated(Ok(Updated::Conflict(loaded(&text(&member())))));
    let Next::Rebase(rebase) = save.resume(&mut state, &context, theirs).unwrap() else {
        panic!("the changes of the other request are taken")
    };
    let rebased = Answer::Rebased(Box::new(rebase.run().unwrap()));
    let next = save.resume(&mut state, &context, rebased).unwrap();
    assert!(matches!(next, Next::BackOff(0)), "{next:?}");
    let backed_off = Answer::BackedOff { is_contended: true };
    let next = save.resume(&mut state, &context, backed_off).unwrap();
    assert!(matches!(next, Next::Call(StoreCall::Update { id, .. }) if id == named("new")));
    let gone = save.resume(&mut state, &context, Answer::Updated(Ok(Updated::Gone)));
    assert!(matches!(gone, Err(Error::Conflict)), "{gone:?}");
    assert_eq!(state.id(), Some(&old()));
}

#[test]
fn id_that_is_too_long_for_a_forward_is_refused() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&member()), &context);
    let long = || SaveMachine::renewing(NOW, named(&"x".repeat(5000)));
    let next = long().start(&mut state, &context, false);
    assert!(matches!(next, Err(Error::Conflict)), "{next:?}");
    // Where the renewal is optional, what was changed is saved all the same.
    let next = long().or_under_the_same_id().start(&mut state, &context, false);
    assert!(matches!(next, Ok(Next::Done)), "{next:?}");
    increment(&mut state, "views");
    let next = long().or_under_the_same_id().start(&mut state, &context, false);
    assert!(matches!(next, Ok(Next::Call(StoreCall::Update { id, .. })) if id == old()));
}

#[test]
fn optional_renewal_whose_id_is_taken_is_a_save() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    for is_changed in [false, true] {
        let mut state = session_of(&text(&member()), &context);
        if is_changed {
            increment(&mut state, "views");
        }
        let mut save = SaveMachine::renewing(NOW, named("new")).or_under_the_same_id();
        save.start(&mut state, &context, false).unwrap();
        let next = save.resume(&mut state, &context, Answer::Created(Ok(Created::Taken))).unwrap();
        if is_changed {
            assert!(matches!(next, Next::Call(StoreCall::Update { id, .. }) if id == old()));
        } else {
            assert!(matches!(next, Next::Done), "{next:?}");
        }
    }
}

#[test]
fn session_without_a_record_only_takes_the_id() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let mut state = SessionState::default();
    state.begin_new(old(), cookie());
    assert!(!state.begin_renewal(&context, &named("new")).unwrap());
    assert_eq!(state.id(), Some(&named("new")));
    let mut state = session_of(&text(&member()), &context);
    assert!(state.begin_renewal(&context, &named("new")).unwrap());
    assert_eq!(state.id(), Some(&old()));
    state.headers_left(&context, true);
    let late = state.begin_renewal(&context, &named("new"));
    assert!(matches!(late, Err(Error::CookieNotSent)), "{late:?}");
}

/// The facts at the end of a request that has loaded a session, whose id it was given by the cookie.
fn plan_of(
    policy: &Policy,
    presented: &SessionId,
    prepare: impl FnOnce(&mut SessionState, &mut Context<'_>),
    now: Timestamp,
) -> (StoreAction, CookieAction) {
    let mut context = Context { presented: Some(presented), ..Context::new(policy, "sid") };
    let mut state = session_of(&text(&member()), &context);
    prepare(&mut state, &mut context);
    let (plan, _) = state.plan(&context, now).unwrap();
    (plan.store, plan.cookie)
}

#[test]
fn response_renews_the_id_when_it_is_due_and_the_cookie_can_be_sent() {
    let (policy, later) = (renewing(), after(900));
    let renews = (StoreAction::Renew, CookieAction::Send);
    let nothing = |_: &mut SessionState, _: &mut Context<'_>| {};
    assert_eq!(plan_of(&policy, &old(), nothing, later), renews);
    assert_eq!(plan_of(&policy, &old(), |state, _| increment(state, "views"), later), renews);
    let touches = (StoreAction::Touch, CookieAction::Keep);
    type Prepare = fn(&mut SessionState, &mut Context<'_>);
    let not_due: [(&str, Prepare); 4] = [
        ("another request renews it", |_, context| context.may_renew = false),
        ("it is locked", |state, _| {
            assert!(state.request_lock(old(), LockToken::from_random([3; 16])));
        }),
        ("the headers have left", |state, context| state.headers_left(context, false)),
        ("the cookie is for HTTPS", |state, _| {
            state.change(|session| session.cookie.set_secure(true)).unwrap();
        }),
    ];
    for (why, prepare) in not_due {
        let (store, cookie) = plan_of(&policy, &old(), prepare, later);
        assert_ne!((store, cookie), renews, "{why}");
        assert_ne!(cookie, CookieAction::Send, "{why}");
    }
    assert_eq!(plan_of(&policy, &old(), nothing, after(899)), touches);
    let left = |state: &mut SessionState, _: &mut Context<'_>| state.leave_alone();
    assert_eq!(plan_of(&policy, &old(), left, later), (StoreAction::Keep, CookieAction::Keep));
    let off = Policy { renewal: None, ..policy };
    assert_eq!(plan_of(&off, &old(), nothing, later), touches);
}

#[test]
fn visitor_with_the_old_cookie_gets_the_new_one_unless_the_session_is_left_alone() {
    let (policy, earlier) = (renewing(), named("earlier"));
    let nothing = |_: &mut SessionState, _: &mut Context<'_>| {};
    let (_, cookie) = plan_of(&policy, &earlier, nothing, NOW);
    assert_eq!(cookie, CookieAction::Send);
    let left = |state: &mut SessionState, _: &mut Context<'_>| state.leave_alone();
    let (_, cookie) = plan_of(&policy, &earlier, left, NOW);
    assert_eq!(cookie, CookieAction::Keep);
}

#[test]
fn session_that_takes_its_renewed_id_is_not_changed_by_that() {
    let policy = renewing();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&member()), &context);
    for id in [old(), named("new")] {
        state.take_renewed_id(&id);
        let session = state.session.as_ref().unwrap();
        assert_eq!((&session.id, &session.baseline.id), (&id, &id));
        assert!(!session.has_changed_data(&policy));
    }
    // One that the handler has given another id keeps the first one to compare with.
    let mut state = session_of(&text(&member()), &context);
    state.session.as_mut().unwrap().id = named("own");
    state.take_renewed_id(&named("new"));
    assert_eq!(state.session.as_ref().unwrap().baseline.id, old());
}

#[test]
fn end_shows_no_id_in_a_log() {
    let end = DestroyMachine::new(named("a-secret-id"), None, NOW);
    assert_eq!(format!("{end:?}"), "DestroyMachine { attempts: 0, .. }");
}

#[test]
fn audit_m1_session_that_a_limit_has_ended_is_destroyed_when_the_stores_clock_says_so_too() {
    use crate::policy::{Ended, EndedBy};
    let plain = Policy { metadata: true, ..Policy::default() };
    for policy in [plain, renewing()] {
        let context = Context::new(&policy, "sid");
        let end = |at: Option<Timestamp>| {
            let ended = Ended { by: EndedBy::Idle, at };
            DestroyMachine::of_ended(ended, old(), Revision::new(1), after(9999))
        };
        for (at, store, is_over) in
            [(60, 58, false), (60, 59, true), (60, 60, true), (60, 99, true)]
        {
            let mut end = end(Some(after(at)));
            assert!(matches!(end.start(&context), StoreCall::Time));
            let next = end.resume(&context, Answer::Time(Ok(after(store)))).unwrap();
            let is_ended =
                matches!(next, Some(StoreCall::Destroy { .. } | StoreCall::Update { .. }));
            assert_eq!((is_ended, next.is_none()), (is_over, !is_over), "{at} {store}");
        }
        // Its clock cannot be asked: nothing is destroyed.
        let mut unknown = end(Some(after(60)));
        let _ = unknown.start(&context);
        assert!(matches!(
            unknown.resume(&context, Answer::Time(Err(in_doubt()))),
            Err(Error::Store(_))
        ));
        assert!(matches!(
            unknown.resume(&context, Answer::Destroyed(Ok(()))),
            Err(Error::OutOfOrder)
        ));
        // No clock has a part in the end by another session.
        let ended = end(None).start(&context);
        assert!(matches!(ended, StoreCall::Destroy { .. } | StoreCall::Update { .. }));
    }
}
