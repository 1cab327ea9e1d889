//! The findings H3, L4, M5 and M10 of the audit.

use super::*;
use crate::Corrupt;
use crate::record::{LimitExceeded, RecordLimits};

fn unanswered(call: &StoreCall) -> Answer {
    match call {
        StoreCall::Create { .. } => Answer::Created(Err(in_doubt())),
        StoreCall::Load { .. } => Answer::Loaded(Err(in_doubt())),
        StoreCall::Update { .. } => Answer::Updated(Err(in_doubt())),
        StoreCall::UpdateLocked { .. } => Answer::Fenced(Err(in_doubt())),
        StoreCall::Destroy { .. } => Answer::Destroyed(Err(in_doubt())),
        StoreCall::Time => Answer::Time(Err(in_doubt())),
    }
}

/// Begins a save, whose call is never answered.
fn save_in_doubt(state: &mut SessionState, context: &Context<'_>) -> StoreCall {
    let mut save = SaveMachine::new(NOW);
    let Next::Call(call) = save.start(state, context, false).unwrap() else { panic!("a call") };
    save.resume(state, context, unanswered(&call)).unwrap_err();
    call
}

fn new_session() -> SessionState {
    let mut state = SessionState::default();
    state.begin_new(id(), cookie());
    increment(&mut state, "views");
    state
}

/// The id under which the next save creates the session; `None` where it creates none.
fn created(state: &mut SessionState, context: &Context<'_>) -> Option<SessionId> {
    let mut save = SaveMachine::new(NOW);
    let mut next = save.start(state, context, false).unwrap();
    if matches!(next, Next::NewId) {
        let drawn = Answer::NewId(SessionId::from_random([9; 24]));
        next = save.resume(state, context, drawn).unwrap();
    }
    if let Next::Call(StoreCall::Create { id, .. }) = next {
        return Some(id);
    }
    assert!(matches!(next, Next::Call(StoreCall::Load { .. })), "{next:?}");
    let refused = save.resume(state, context, Answer::Loaded(Ok(None))).unwrap_err();
    assert!(matches!(refused, Error::Conflict));
    None
}

fn created_id(state: &mut SessionState, context: &Context<'_>) -> SessionId {
    created(state, context).unwrap()
}

#[test]
fn audit_m5_create_in_doubt_is_repeated_under_a_new_id_by_the_table() {
    let strict = Policy::default();
    let early = Departures::all().save_before_response(false);
    let revives = Departures::all().destroy_is_final(false);
    let with = |departures| Policy { departures, ..strict };
    let own = id();
    type Leave = fn(&mut SessionState, &Context<'_>);
    let stays: Leave = |_, _| {};
    let with_cookie: Leave = |state, context| state.headers_left(context, true);
    let without: Leave = |state, context| state.headers_left(context, false);
    let detached: Leave = |state, context| state.detach(context);
    let [new, same] = [Some(true), Some(false)];
    for (name, policy, presented, leave, is_new) in [
        ("first visit", strict, None, stays, new),
        ("another cookie", strict, Some(&SessionId::from_random([1; 24])), stays, new),
        ("no cookie sent", strict, None, without, new),
        // A browser has it: nothing is created again.
        ("known before", strict, Some(&own), stays, None),
        ("cookie sent", strict, None, with_cookie, None),
        ("upgraded", strict, None, detached, None),
        // As in express-session.
        ("15 off", with(early), None, stays, same),
        ("15 off, sent", with(early), None, with_cookie, same),
        ("16 off", with(revives), None, stays, same),
        ("express-session", express(), None, stays, same),
    ] {
        let context = Context { presented, ..Context::new(&policy, "sid") };
        let mut state = new_session();
        save_in_doubt(&mut state, &context);
        leave(&mut state, &context);
        let created = created(&mut state, &context);
        assert_eq!(created.as_ref().map(|created| *created != own), is_new, "{name}");
        let id = created.as_ref().unwrap_or(&own);
        assert_eq!(state.id(), Some(id), "{name}: the cookie is of the id that is created");
    }
}

/// The application's own generator may give one id again.
#[test]
fn audit_m5_new_id_is_another_one() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = new_session();
    save_in_doubt(&mut state, &context);
    let mut save = SaveMachine::new(NOW);
    assert!(matches!(save.start(&mut state, &context, false), Ok(Next::NewId)));
    let error = save.resume(&mut state, &context, Answer::NewId(id())).unwrap_err();
    assert!(matches!(error, Error::Conflict));
}

/// The record of an id that has left is taken where it is there, and is this request's own without a doubt.
#[test]
fn audit_m5_record_of_an_id_that_has_left_is_found_and_not_created() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for (name, change, is_own) in
        [("set", Change::Insert(1), true), ("update", Change::Increment, false)]
    {
        let mut state = SessionState::default();
        state.begin_new(id(), cookie());
        apply(&mut state, change);
        let StoreCall::Create { record, .. } = save_in_doubt(&mut state, &context) else {
            panic!("a create")
        };
        state.headers_left(&context, true);
        insert(&mut state, "later", 1);
        let mut world = World::new(Some(record.text.to_string()), Vec::new());
        let saved = world.save(SaveMachine::alone(NOW), &mut state, &context);
        assert_eq!(saved.is_ok(), is_own, "{name}: {saved:?}");
        assert_eq!(world.record.unwrap().contains("later"), is_own, "{name}");
    }
}

#[test]
fn audit_m5_every_create_has_an_id_of_its_own() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for save in [SaveMachine::new, SaveMachine::last] {
        let (mut state, mut ids) = (new_session(), Vec::new());
        for attempt in 0..5 {
            let mut save: SaveMachine = save(NOW);
            let mut next = save.start(&mut state, &context, false).unwrap();
            if matches!(next, Next::NewId) {
                let drawn = Answer::NewId(SessionId::from_random([20 + attempt; 24]));
                next = save.resume(&mut state, &context, drawn).unwrap();
            }
            let Next::Call(StoreCall::Create { id, .. }) = next else { panic!("{next:?}") };
            assert!(!ids.contains(&id), "attempt {attempt}");
            ids.push(id);
            // Odd attempts are dropped before an answer.
            if attempt % 2 == 0 {
                save.resume(&mut state, &context, Answer::Created(Err(in_doubt()))).unwrap_err();
            }
        }
    }
}

#[test]
fn audit_m5_regenerated_session_with_a_new_id_is_still_a_regenerated_one() {
    let policy = Policy::default();
    let context = Context { presented: Some(&id()), ..Context::new(&policy, "sid") };
    let mut state = session_of(&text(r#""views":1"#), &context);
    let regenerated = SessionId::from_random([2; 24]);
    state.finish_regenerate(regenerated.clone(), cookie()).unwrap();
    increment(&mut state, "views");
    save_in_doubt(&mut state, &context);
    assert_ne!(created_id(&mut state, &context), regenerated);
    let session = state.readable().unwrap();
    assert_eq!(session.origin(), crate::decide::Origin::Regenerated);
    // A new one stays new.
    let context = Context::new(&policy, "sid");
    let mut state = new_session();
    save_in_doubt(&mut state, &context);
    created_id(&mut state, &context);
    assert_eq!(state.readable().unwrap().origin(), crate::decide::Origin::New);
}

#[test]
fn audit_m5_create_that_was_refused_leaves_no_doubt() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = new_session();
    let mut save = SaveMachine::new(NOW);
    save.start(&mut state, &context, false).unwrap();
    let refused = store::Error::new(store::ErrorKind::Refused, "no");
    save.resume(&mut state, &context, Answer::Created(Err(refused))).unwrap_err();
    assert_eq!(state.view(), Some(StoreView::Absent));
    assert_eq!(created_id(&mut state, &context), id());
}

#[test]
fn audit_m5_record_of_an_id_that_has_left_is_not_overwritten_after_another_request_wrote() {
    let departures = Departures::all().save_before_response(false);
    let policy = Policy { departures, ..Policy::default() };
    let context = Context::new(&policy, "sid");
    for (others, is_own) in [(false, true), (true, false)] {
        let mut state = SessionState::default();
        state.begin_new(id(), cookie());
        insert(&mut state, "views", 1);
        let StoreCall::Create { record, .. } = save_in_doubt(&mut state, &context) else {
            panic!("a create")
        };
        insert(&mut state, "later", 1);
        let mut save = SaveMachine::alone(NOW);
        save.start(&mut state, &context, false).unwrap();
        let next = save.resume(&mut state, &context, Answer::Created(Ok(Created::Taken))).unwrap();
        assert!(matches!(next, Next::Call(StoreCall::Load { .. })));
        let there = if others { text(r#""views":7"#) } else { record.text.to_string() };
        let next = save.resume(&mut state, &context, Answer::Loaded(Ok(Some(loaded(&there)))));
        match next {
            Ok(Next::Rebase(_)) => assert!(is_own),
            Err(Error::Conflict) => assert!(!is_own),
            other => panic!("{other:?}"),
        }
    }
}

/// M10: a create in doubt whose id is kept, and another request that counts and so writes the texts of this one.
#[test]
fn audit_m10_counts_are_kept_where_another_request_writes_an_equal_text() {
    let strict = Policy::default();
    let with = |departures| Policy { departures, ..strict };
    // The last one is Node's, whose cookie may have left before the first save.
    for (name, policy, has_left) in [
        ("15 off", with(Departures::all().save_before_response(false)), false),
        ("16 off", with(Departures::all().destroy_is_final(false)), false),
        ("sent", strict, true),
    ] {
        let context = Context::new(&policy, "sid");
        // After the last save, nothing looks at the state.
        for (save, is_last) in [
            (SaveMachine::new as fn(_) -> _, false),
            (SaveMachine::last, true),
            (SaveMachine::alone, false),
        ] {
            every_pair(&fates_with(&[Other::Nothing, Other::Counts]), |fates| {
                let what = (name, fates.clone());
                let mut world = World::new(None, fates);
                let mut state = SessionState::default();
                state.begin_new(id(), cookie());
                if has_left {
                    state.headers_left(&context, true);
                }
                // The handler goes on after a failure.
                let mut acknowledged = 0;
                for attempt in 1..=3 {
                    increment(&mut state, "views");
                    if world.save(save(NOW), &mut state, &context).is_ok() {
                        acknowledged = attempt;
                        if is_last {
                            break;
                        }
                    }
                }
                let Some(record) = &world.record else {
                    assert_eq!(acknowledged + world.counts, 0, "{what:?}");
                    return;
                };
                let views: i64 = Document::parse(&**record).unwrap().get("views").unwrap().unwrap();
                let kept = acknowledged + world.counts..=3 + world.counts;
                assert!(kept.contains(&views), "{views} of {kept:?}: {what:?}");
            });
        }
    }
}

/// L4: an outage in which the store refuses without a call leaves nothing in doubt.
#[test]
fn audit_l4_write_that_was_not_sent_is_not_in_doubt() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let unavailable = || store::Error::new(store::ErrorKind::Unavailable, "no connection");
    for save in [SaveMachine::new as fn(_) -> _, SaveMachine::last] {
        for (error, is_in_doubt) in [(unavailable(), true), (unavailable().unsent(), false)] {
            let mut state = session_of(&text(r#""views":1"#), &context);
            for _ in 0..3 {
                increment(&mut state, "views");
                let mut save: SaveMachine = save(NOW);
                save.start(&mut state, &context, false).unwrap();
                let failed = Answer::Updated(Err(error.clone()));
                save.resume(&mut state, &context, failed).unwrap_err();
            }
            let log = &state.session.as_ref().unwrap().log;
            assert_eq!(log.has_writes_in_doubt(), is_in_doubt, "{error:?}");

            let mut state = new_session();
            let mut save: SaveMachine = save(NOW);
            save.start(&mut state, &context, false).unwrap();
            save.resume(&mut state, &context, Answer::Created(Err(error))).unwrap_err();
            let view = if is_in_doubt { StoreView::InDoubt } else { StoreView::Absent };
            assert_eq!(state.view(), Some(view));
        }
    }
}

#[test]
fn audit_m10_equal_text_is_ones_own_only_without_updates() {
    use Change::{Increment, Insert, Remove};
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for (changes, is_own) in [
        (&[Insert(2)][..], true),
        (&[Remove], true),
        (&[Increment], false),
        (&[Increment, Increment], false),
        // An update of an overwritten value is as good as the value.
        (&[Insert(2), Increment], true),
        (&[Increment, Insert(2)], true),
    ] {
        let mut state = session_of(&text(r#""views":1"#), &context);
        changes.iter().for_each(|change| apply(&mut state, *change));
        let StoreCall::Update { record, .. } = save_in_doubt(&mut state, &context) else {
            panic!("an update")
        };
        let outcome = resolve(&mut state, &context, &record.text);
        assert_eq!(outcome.is_ok(), is_own, "{changes:?}");
        assert!(is_own || matches!(outcome, Err(Error::Conflict)), "{changes:?}");
        assert_eq!(state.is_unsaved(), !is_own, "{changes:?}");
    }
}

#[test]
fn audit_m10_update_in_doubt_counts_as_long_as_its_outcome_is_unknown() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    // The update is in both writes; the second one also sets a member.
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    save_in_doubt(&mut state, &context);
    insert(&mut state, "other", 1);
    let StoreCall::Update { record, .. } = save_in_doubt(&mut state, &context) else {
        panic!("an update")
    };
    assert!(matches!(resolve(&mut state, &context, &record.text), Err(Error::Conflict)));
    // After an update is known to be stored, only what came later is in doubt.
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    save_while(&mut state, &context, &[]);
    insert(&mut state, "other", 1);
    let StoreCall::Update { record, .. } = save_in_doubt(&mut state, &context) else {
        panic!("an update")
    };
    resolve(&mut state, &context, &record.text).unwrap();
    assert!(!state.is_unsaved());
}

#[test]
fn audit_m10_equal_text_of_a_batch_is_decided_by_each_entry() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let first = text(r#""views":0"#);
    let mut batch = WriteBatch::default();
    let mut states: Vec<_> = [Change::Increment, Change::Insert(1)]
        .into_iter()
        .map(|change| {
            let mut state = session_of(&first, &context);
            apply(&mut state, change);
            let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
            let entry = draft.add_to(&mut batch, &context).unwrap();
            state.note_batch_entry(&entry);
            state
        })
        .collect();
    // The request that began to write is dropped, and another process stores the same text.
    drop(batch.begin_flush().unwrap());
    let flush = batch.begin_flush().unwrap();
    let theirs = flush.record.text.to_string();
    let outcome = batch.end_flush(flush, Ok(Updated::Conflict(loaded(&theirs))));
    assert!(matches!(outcome, BatchOutcome::Overtaken { is_certain: false, .. }), "{outcome:?}");
    assert!(matches!(resolve(&mut states[0], &context, &theirs), Err(Error::Conflict)));
    resolve(&mut states[1], &context, &theirs).unwrap();
    assert!(!states[1].is_unsaved());
}

/// A circuit that opened meanwhile refuses the second attempt unsent, which says nothing about the first.
#[test]
fn batch_that_is_written_again_and_refused_unsent_may_have_been_applied() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for (is_again, is_certain) in [(false, true), (true, false)] {
        let mut state = session_of(&text(r#""views":0"#), &context);
        increment(&mut state, "views");
        let mut batch = WriteBatch::default();
        let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
        let entry = draft.add_to(&mut batch, &context).unwrap();
        state.note_batch_entry(&entry);
        if is_again {
            drop(batch.begin_flush().unwrap());
        }
        let flush = batch.begin_flush().unwrap();
        let unsent = store::Error::new(store::ErrorKind::Unavailable, "the circuit is open");
        let stored = flush.record.text.to_string();
        let outcome = batch.end_flush(flush, Err(unsent.unsent()));
        let BatchOutcome::Failed { error, is_certain: found } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(Error::from(error).is_definite());
        assert_eq!(found, is_certain);
        // The update is not applied once more to what the first attempt may have stored.
        if !found {
            assert!(matches!(resolve(&mut state, &context, &stored), Err(Error::Conflict)));
        }
    }
}

#[test]
fn audit_m10_request_with_a_write_in_doubt_is_not_put_onto_the_batch_of_others() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    increment(&mut state, "views");
    save_in_doubt(&mut state, &context);
    // It writes alone, although others of its process write now.
    let next = SaveMachine::new(NOW).start(&mut state, &context, true).unwrap();
    assert!(matches!(next, Next::Call(StoreCall::Update { .. })), "{next:?}");
    // The record of the others may contain its update.
    let mut batch = WriteBatch::default();
    let mut other = session_of(&text(r#""views":2"#), &context);
    increment(&mut other, "views");
    let draft = draft_of(other.begin_batch_entry(&context, &batch, NOW).unwrap());
    draft.add_to(&mut batch, &context).unwrap();
    let error = state.begin_batch_entry(&context, &batch, NOW).unwrap_err();
    assert!(matches!(error, Error::Conflict), "{error:?}");
}

#[test]
fn audit_h3_session_beyond_a_limit_is_not_written_and_not_lost() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let limits = RecordLimits::default().members(3).bytes(300).depth(4);
    let policy = Policy { record_limits: limits, ..Policy::default() };
    let context = Context::new(&policy, "sid");
    let long = format!("{:?}", "a".repeat(300));
    for (key, value, limit) in [
        ("c", "1", None),
        ("c", &*deep(4), None),
        ("c", &*deep(5), Some(LimitExceeded::Depth)),
        ("c", &*long, Some(LimitExceeded::Bytes)),
        ("d", "1", Some(LimitExceeded::Members)),
    ] {
        for save in [SaveMachine::new, SaveMachine::last] {
            let mut state = session_of(&text(r#""a":1,"b":1"#), &context);
            let raw: serde_json::Value = serde_json::from_str(value).unwrap();
            let set = |state: &mut SessionState, key: &str| {
                state.change(|session| session.document.insert(key, &raw).unwrap()).unwrap();
            };
            set(&mut state, key);
            if key == "d" {
                set(&mut state, "c");
            }
            let started = save(NOW).start(&mut state, &context, false);
            match (limit, started) {
                (None, Ok(Next::Call(StoreCall::Update { .. }))) => {}
                (Some(limit), Err(Error::Limit(found))) => assert_eq!(found, limit),
                (_, other) => panic!("{value}: {other:?}"),
            }
            if limit.is_some() {
                assert!(state.is_unsaved() && state.readable().unwrap().document.contains(key));
                // Without the member that is too much, the rest is saved.
                state.change(|session| session.document.remove(key)).unwrap();
                insert(&mut state, "b", 2);
                let mut world = World::new(Some(text(r#""a":1,"b":1"#)), Vec::new());
                world.save(save(NOW), &mut state, &context).unwrap();
                assert!(world.record.unwrap().contains(r#""b":2"#));
            }
        }
    }
}

#[test]
fn audit_h3_stored_record_beyond_a_limit_is_not_used() {
    for (limits, limit) in [
        (RecordLimits::default().members(1), LimitExceeded::Members),
        (RecordLimits::default().bytes(100), LimitExceeded::Bytes),
        (RecordLimits::default().depth(1), LimitExceeded::Depth),
    ] {
        for departures in [Departures::all(), Departures::none()] {
            let policy = Policy { record_limits: limits, departures, ..Policy::default() };
            let context = Context::new(&policy, "sid");
            let found = loaded(&text(r#""a":[[1]],"b":"it is long enough""#));
            let mut state = SessionState::default();
            let error = state.begin_loaded(&context, id(), &found, NOW).unwrap_err();
            assert!(
                matches!(error, Error::Corrupt(Corrupt::Limit(found)) if found == limit),
                "{error:?}"
            );
        }
    }
}

#[test]
fn audit_h3_entry_beyond_a_limit_leaves_the_batch_as_it_was() {
    let policy = Policy { record_limits: RecordLimits::default().members(2), ..Policy::default() };
    let context = Context::new(&policy, "sid");
    let first = text(r#""views":0"#);
    let mut batch = WriteBatch::default();
    // Each fits for itself, and both do not.
    for (key, fits) in [("a", true), ("b", false), ("a", true)] {
        let mut state = session_of(&first, &context);
        insert(&mut state, key, 1);
        let draft = draft_of(state.begin_batch_entry(&context, &batch, NOW).unwrap());
        match draft.add_to(&mut batch, &context) {
            Ok(entry) => assert!(fits && batch.has(&entry)),
            Err(error) => assert!(!fits && matches!(error, Error::Limit(LimitExceeded::Members))),
        }
    }
    let flush = batch.begin_flush().unwrap();
    assert_eq!(&*flush.record.text, text(r#""views":0,"a":1"#));
}

#[test]
fn audit_h3_many_updates_of_many_members_are_rebased_in_their_order() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    for key in ["z", "views", "a", "z"] {
        increment(&mut state, key);
    }
    resolve(&mut state, &context, &text(r#""views":5,"other":1"#)).unwrap();
    let document = &state.readable().unwrap().document;
    assert_eq!(document.keys().collect::<Vec<_>>(), ["views", "other", "z", "a"]);
    assert_eq!((value(&state, "views"), value(&state, "z")), (Some(6), Some(2)));
    // Where the other request has them too, they are applied again.
    resolve(&mut state, &context, &text(r#""views":5,"a":7,"z":7"#)).unwrap();
    assert_eq!((value(&state, "a"), value(&state, "z")), (Some(8), Some(9)));
}
