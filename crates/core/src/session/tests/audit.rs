//! The findings H3, M5 and M10 of the audit.

use super::*;
use crate::Corrupt;
use crate::record::{LimitExceeded, RecordLimits};

fn unanswered(call: &StoreCall) -> Answer {
    match call {
        StoreCall::Create { .. } => Answer::Created(Err(in_doubt())),
        StoreCall::Load { .. } => Answer::Loaded(Err(in_doubt())),
        StoreCall::Update { .. } => Answer::Updated(Err(in_doubt())),
        StoreCall::UpdateLocked { .. } => Answer::Fenced(Err(in_doubt())),
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

/// The id under which the next save creates the session.
fn created_id(state: &mut SessionState, context: &Context<'_>) -> SessionId {
    let mut save = SaveMachine::new(NOW);
    let mut next = save.start(state, context, false).unwrap();
    if matches!(next, Next::NewId) {
        let drawn = Answer::NewId(SessionId::from_random([9; 24]));
        next = save.resume(state, context, drawn).unwrap();
    }
    let Next::Call(StoreCall::Create { id, .. }) = next else { panic!("{next:?}") };
    id
}

#[test]
fn audit_m5_create_in_doubt_is_repeated_under_a_new_id_by_the_table() {
    let strict = Policy::default();
    let early = Departures::all().save_before_response(false);
    let revives = Departures::all().destroy_is_final(false);
    let with = |departures| Policy { departures, ..strict };
    let own = id();
    for (policy, presented, sent, is_new) in [
        (strict, None, None, true),
        (strict, Some(&SessionId::from_random([1; 24])), None, true),
        // Its cookie has left, or the browser had it before.
        (strict, Some(&own), None, false),
        (strict, None, Some(true), false),
        (strict, None, Some(false), true),
        (with(early), None, None, false),
        (with(revives), None, None, false),
        (express(), None, None, false),
    ] {
        let context = Context { presented, ..Context::new(&policy, "sid") };
        let mut state = new_session();
        save_in_doubt(&mut state, &context);
        if let Some(with_cookie) = sent {
            state.headers_left(&context, with_cookie);
        }
        let created = created_id(&mut state, &context);
        assert_eq!(created != own, is_new, "{presented:?} {sent:?}");
        assert_eq!(state.id(), Some(&created), "the cookie is of the id that is created");
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
        let mut state = new_session();
        let StoreCall::Create { record, .. } = save_in_doubt(&mut state, &context) else {
            panic!("a create")
        };
        insert(&mut state, "later", 1);
        let mut save = SaveMachine::new(NOW);
        save.start(&mut state, &context, false).unwrap();
        let next = save.resume(&mut state, &context, Answer::Created(Ok(Created::Taken))).unwrap();
        assert!(matches!(next, Next::Call(StoreCall::Load { .. })));
        let there = if others { text(r#""views":7"#) } else { record.text.to_string() };
        let next = save.resume(&mut state, &context, Answer::Loaded(Ok(Some(loaded(&there)))));
        match next {
            Ok(Next::Call(StoreCall::Update { .. })) => assert!(is_own),
            Err(Error::Conflict) => assert!(!is_own),
            other => panic!("{other:?}"),
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
            let draft = state.begin_batch_entry(&context, &batch, NOW).unwrap().unwrap();
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
    let draft = other.begin_batch_entry(&context, &batch, NOW).unwrap().unwrap();
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
            let found = LoadedAndTouched {
                loaded: loaded(&text(r#""a":[[1]],"b":"it is long enough""#)),
                is_touched: false,
            };
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
        let draft = state.begin_batch_entry(&context, &batch, NOW).unwrap().unwrap();
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
