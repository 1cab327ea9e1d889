//! The library's own member, and the limits of a session's life, in each step of a request.

use super::*;
use crate::metadata::{Authentication, Epoch, Mark, Metadata};
use crate::policy::{Ended, EndedBy, Limits};
use crate::record::{Json, RecordLimits};

const HOUR: u64 = 3600;
const LATER: Timestamp = Timestamp::from_millis(NOW.millis() + 60_000);

fn after(seconds: u64) -> Timestamp {
    NOW.saturating_add(Duration::from_secs(seconds))
}

fn noting() -> Policy {
    Policy { metadata: true, ..Policy::default() }
}

fn limited(idle: Option<u64>, absolute: Option<u64>) -> Policy {
    let [idle, absolute] = [idle, absolute].map(|limit| limit.map(Duration::from_secs));
    Policy { limits: Limits { idle, absolute }, ..Policy::default() }
}

/// The member of a session that began at [`NOW`], and was seen last so many seconds later.
fn member(seen: u64) -> String {
    let mut metadata = Metadata::new(NOW);
    metadata.see(after(seen));
    format!(r#""__sessionMetadata":{}"#, metadata.text())
}

/// A record with a cookie of this many seconds, at [`NOW`].
fn record_of(max_age: Option<u64>, members: &str) -> String {
    let mut cookie = cookie();
    cookie.set_max_age(max_age.map(Duration::from_secs), NOW);
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"cookie":{}{comma}{members}}}"#, cookie.text())
}

fn with_deadline(text: &str, deadline: Option<Timestamp>) -> Loaded {
    let mut loaded = loaded(text);
    loaded.record.deadline = deadline;
    loaded
}

/// Saves, and returns the record that is written.
fn written(state: &mut SessionState, context: &Context<'_>, now: Timestamp) -> Record {
    let next = SaveMachine::new(now).start(state, context, false).unwrap();
    let Next::Call(StoreCall::Create { record, .. } | StoreCall::Update { record, .. }) = next
    else {
        panic!("{next:?}")
    };
    record
}

fn metadata_of(state: &SessionState) -> Metadata {
    state.readable().unwrap().metadata().unwrap().clone()
}

#[test]
fn member_is_written_last_and_is_no_part_of_the_document() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    assert_eq!(state.readable().unwrap().metadata(), None);
    insert(&mut state, "views", 2);
    let record = written(&mut state, &context, NOW);
    assert_eq!(&*record.text, text(&format!(r#""views":2,{}"#, member(0))));
    assert_eq!(record.deadline, None);

    // From any place of the text, and with all other bytes as they are.
    let moved = text(&format!(r#"{},"views":2.0"#, member(0)));
    let mut state = session_of(&moved, &context);
    let document = &state.readable().unwrap().document;
    assert_eq!(document.keys().collect::<Vec<_>>(), ["views"]);
    insert(&mut state, "other", 1);
    let record = written(&mut state, &context, LATER);
    assert_eq!(&*record.text, text(&format!(r#""views":2.0,"other":1,{}"#, member(60))));
}

#[test]
fn record_is_as_ever_without_the_option_and_the_member_is_one_of_the_members() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&member(0)), &context);
    let session = state.readable().unwrap();
    assert_eq!((session.document.len(), session.metadata()), (1, None));
    insert(&mut state, "views", 2);
    let record = written(&mut state, &context, LATER);
    assert_eq!(&*record.text, text(&format!(r#"{},"views":2"#, member(0))));
    assert!(matches!(state.touch_call(&context, LATER), Some(TouchCall::Touch(..))));
}

#[test]
fn member_of_another_shape_counts_as_absent_and_is_replaced() {
    let policy = limited(Some(HOUR), Some(HOUR));
    let context = Context::new(&policy, "sid");
    for foreign in ["1", "null", "{}", "[[]]", r#"{"created":0,"seen":"x"}"#, r#""x""#] {
        let mut state = session_of(&text(&format!(r#""__sessionMetadata":{foreign}"#)), &context);
        let session = state.readable().unwrap();
        assert_eq!((session.document.len(), session.metadata()), (0, None), "{foreign}");
        let record = written(&mut state, &context, NOW);
        assert_eq!(&*record.text, text(&member(0)), "{foreign}");
    }
}

#[test]
fn deadline_is_the_earliest_of_the_cookies_and_the_limits() {
    for (idle, absolute, max_age, lifetime, deadline) in [
        (None, None, None, Lifetime::OfMaxAge, None),
        (None, None, Some(100), Lifetime::OfMaxAge, Some(160)),
        (Some(1000), None, Some(100), Lifetime::OfMaxAge, Some(160)),
        // A hundredth is added to the idle timeout, since visits are noted that seldom.
        (Some(1000), None, Some(9000), Lifetime::OfMaxAge, Some(1070)),
        (Some(1000), None, None, Lifetime::OfMaxAge, Some(1070)),
        (Some(1000), Some(900), Some(9000), Lifetime::OfMaxAge, Some(900)),
        (None, Some(900), Some(9000), Lifetime::OfMaxAge, Some(900)),
        (None, Some(900), Some(100), Lifetime::OfMaxAge, Some(160)),
        (None, Some(900), None, Lifetime::OfMaxAge, Some(900)),
        // A store's own TTL counts as before, unless an idle timeout takes its place.
        (None, Some(900), None, Lifetime::MaxAgeOr(Duration::from_secs(300)), Some(360)),
        (None, Some(900), None, Lifetime::MaxAgeOr(Duration::MAX), Some(900)),
        (Some(1000), None, None, Lifetime::MaxAgeOr(Duration::from_secs(300)), Some(1070)),
    ] {
        let row = (idle, absolute, max_age, lifetime);
        let policy = Policy { metadata: true, ..limited(idle, absolute) };
        let context = Context { lifetime, ..Context::new(&policy, "sid") };
        let mut state = session_of(&record_of(max_age, &member(0)), &context);
        // The member says that the session began at `NOW`.
        let record = written(&mut state, &context, LATER);
        assert_eq!(record.deadline, deadline.map(after), "{row:?}");
        // A touch gives the same deadline.
        let mut state = session_of(&record_of(max_age, &member(0)), &context);
        state.touch(&context, LATER).unwrap();
        let Some(TouchCall::Update(_, touched, _)) = state.touch_call(&context, LATER) else {
            panic!("a touch notes the visit")
        };
        assert_eq!(touched, record, "{row:?}");
    }
}

#[test]
fn session_whose_limit_has_passed_is_not_opened() {
    use EndedBy::{Absolute, Idle};
    let (day, lifetime) = (24 * HOUR, Lifetime::OfMaxAge);
    let touched = |seconds: u64| Some(after(seconds + day));
    for (idle, absolute, seen, deadline, now, ended) in [
        (None, None, Some(0), touched(0), 9999, None),
        (Some(1000), None, Some(0), touched(0), 1009, None),
        (Some(1000), None, Some(0), touched(0), 1010, Some(Idle)),
        (Some(1000), None, Some(50), touched(0), 1059, None),
        // Node has moved the deadline 500 s after the beginning.
        (Some(1000), None, Some(0), touched(500), 1509, None),
        (Some(1000), None, Some(0), touched(500), 1510, Some(Idle)),
        // Node has begun the session, and only the deadline shows its visits.
        (Some(1000), None, None, touched(500), 1509, None),
        (Some(1000), None, None, touched(500), 1510, Some(Idle)),
        (Some(1000), None, None, None, 999_999, None),
        // A deadline of another lifetime shows nothing.
        (Some(1000), None, Some(0), touched(day), 1010, Some(Idle)),
        (None, Some(900), Some(800), touched(800), 899, None),
        (None, Some(900), Some(800), touched(800), 900, Some(Absolute)),
        (None, Some(900), None, touched(800), 9999, None),
        (Some(100), Some(900), Some(0), touched(0), 900, Some(Idle)),
        (Some(890), Some(900), Some(800), touched(890), 900, Some(Absolute)),
    ] {
        let row = (idle, absolute, seen, deadline, now);
        let policy = limited(idle, absolute);
        let policy = Policy { metadata: true, ..policy };
        let context = Context { lifetime, ..Context::new(&policy, "sid") };
        let text = record_of(Some(day), &seen.map(member).unwrap_or_default());
        let found = with_deadline(&text, deadline);
        let mut state = SessionState::default();
        let opened = state.begin_loaded(&context, id(), &found, after(now)).unwrap();
        assert_eq!(matches!(opened, Begun::Ended(_)), ended.is_some(), "{row:?}");
        assert_eq!(state.ended_by(), ended, "{row:?}");
        assert_eq!(state.readable().is_none(), ended.is_some(), "{row:?}");
        let by = |ended: Option<Ended>| ended.map(|ended| ended.by);
        assert_eq!(by(context.has_ended(&found, after(now))), ended, "{row:?}");
        let preview = context.preview(&found, after(now));
        assert_eq!(by(preview.ended), ended, "{row:?}");
        assert_eq!(*preview.text, record_of(Some(day), ""), "{row:?}");
        let seen = seen.map(after);
        assert_eq!(preview.metadata.as_ref().map(Metadata::seen), seen, "{row:?}");
        if ended.is_some() {
            assert_eq!(context.unread(&found, after(now)), Unread::Open, "{row:?}");
        }
    }
}

#[test]
fn audit_m1_end_by_a_clock_that_is_ahead_says_when_it_is_one_for_the_store() {
    use EndedBy::{Absolute, Idle};
    for (idle, absolute, by, end) in
        [(Some(1000), None, Idle, 1010), (None, Some(1000), Absolute, 1000)]
    {
        let policy = Policy { metadata: true, ..limited(idle, absolute) };
        let context = Context::new(&policy, "sid");
        let found = with_deadline(&record_of(None, &member(0)), None);
        let mut state = SessionState::default();
        let begun = state.begin_loaded(&context, id(), &found, after(365 * 24 * HOUR)).unwrap();
        assert_eq!(begun, Begun::Ended(Ended { by, at: Some(after(end)) }));
        // On other machines it goes on.
        let mut state = SessionState::default();
        let begun = state.begin_loaded(&context, id(), &found, after(1)).unwrap();
        assert_eq!(begun, Begun::Live);
    }
}

#[test]
fn record_that_no_handler_asks_for_is_opened_when_a_visit_is_to_be_noted() {
    let (idle, absolute) = (limited(Some(1000), None), limited(None, Some(1000)));
    let day = 24 * HOUR;
    for (policy, seen, now, unread) in [
        (idle, Some(0), 0, Unread::Keep),
        (idle, Some(0), 9, Unread::Keep),
        (idle, Some(0), 10, Unread::Open),
        (idle, Some(50), 59, Unread::Keep),
        (idle, Some(50), 60, Unread::Open),
        // The limits of a session without the member begin as soon as it passes.
        (idle, None, 0, Unread::Open),
        (absolute, None, 0, Unread::Open),
        // Without limits, the deadline shows when the expiry was reset.
        (noting(), None, 59, Unread::Keep),
        (noting(), None, 60, Unread::Open),
        (noting(), Some(0), 59, Unread::Keep),
        (noting(), Some(0), 60, Unread::Open),
    ] {
        for supports_touch in [true, false] {
            let context = Context { supports_touch, ..Context::new(&policy, "sid") };
            let text = record_of(Some(day), &seen.map(member).unwrap_or_default());
            let found = with_deadline(&text, Some(after(day)));
            assert_eq!(context.unread(&found, after(now)), unread, "{seen:?} {now}");
            let next = context.preview(&found, after(now)).next_reset;
            let is_kept = next.is_some_and(|next| after(now) < next);
            assert_eq!(is_kept, unread == Unread::Keep, "{seen:?} {now}");
            // The end of the request decides the same.
            let presented = id();
            let context = Context { presented: Some(&presented), ..context };
            let mut state = SessionState::default();
            state.begin_loaded(&context, id(), &found, after(now)).unwrap();
            let (plan, _) = state.plan(&context, after(now)).unwrap();
            let is_touched = plan.store == StoreAction::Touch;
            assert_eq!(is_touched, unread == Unread::Open, "{seen:?} {now}");
        }
    }
}

#[test]
fn preview_of_a_record_that_cannot_be_read_is_its_text() {
    let policy = limited(Some(1), Some(1));
    for text in ["", "{", "[]", r#"{"views":1}"#] {
        let preview = Context::new(&policy, "sid").preview(&loaded(text), after(9999));
        assert_eq!((&*preview.text, preview.ended, preview.next_reset), (text, None, None));
    }
}

#[test]
fn preview_without_the_option_is_the_whole_record_and_shows_nothing_of_it_in_a_log() {
    let policy = Policy::default();
    let text = record_of(None, &member(0));
    let preview = Context::new(&policy, "sid").preview(&loaded(&text), after(0));
    assert_eq!((&*preview.text, &preview.metadata), (&*text, &None));
    assert!(!format!("{preview:?}").contains("cookie"));
}

#[test]
fn touch_writes_the_visit_and_none_of_the_changes() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    insert(&mut state, "views", 2);
    let Some(TouchCall::Update(touched, record, revision)) = state.touch_call(&context, LATER)
    else {
        panic!("a touch notes the visit")
    };
    let mut metadata = Metadata::new(LATER);
    metadata.see(LATER);
    let expected = text(&format!(r#""views":1,"__sessionMetadata":{}"#, metadata.text()));
    assert_eq!((touched, &*record.text), (id(), &*expected));
    assert_eq!(revision, Revision::of_text(&text(r#""views":1"#)));
}

#[test]
fn next_write_follows_the_outcome_of_a_touch() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let (stored, now) = (text(r#""views":1"#), Revision::of_text(&text(r#""views":1"#)));
    let theirs = || loaded(&text(r#""views":5"#));
    let done = || Updated::Done(Revision::new(9));
    for (expected, outcome, view, is_repeated) in [
        (now.clone(), done(), Some(Revision::new(9)), false),
        // The touch of another request's record.
        (Revision::new(8), done(), Some(now.clone()), false),
        (now.clone(), Updated::Conflict(theirs()), Some(now.clone()), true),
        (now, Updated::Gone, None, false),
    ] {
        let mut state = session_of(&stored, &context);
        let next = state.visited(&context, &expected, outcome.clone(), LATER);
        assert_eq!(next.is_some(), is_repeated, "{outcome:?}");
        assert_eq!(state.is_ended_elsewhere(), view.is_none(), "{outcome:?}");
        if let Some(revision) = view {
            assert_eq!(state.view(), Some(StoreView::At(revision)), "{outcome:?}");
        }
    }
}

#[test]
fn visit_is_noted_in_the_record_of_a_request_that_was_faster() {
    let policy = limited(Some(HOUR), Some(2 * HOUR));
    let context = Context::new(&policy, "sid");
    let theirs = loaded(&record_of(Some(HOUR), &format!(r#""views":5,{}"#, member(30))));
    for (now, is_live) in [(after(60), true), (after(2 * HOUR), false)] {
        let mut state =
            session_of(&record_of(Some(HOUR), &format!(r#""views":1,{}"#, member(0))), &context);
        insert(&mut state, "views", 2);
        let conflict = Updated::Conflict(theirs.clone());
        let call = state.visited(&context, &Revision::new(1), conflict, now);
        assert_eq!((call.is_some(), state.is_ended_elsewhere()), (is_live, !is_live));
        let Some(TouchCall::Update(_, record, expected)) = call else { continue };
        assert_eq!(expected, theirs.revision);
        let mut cookie = cookie();
        cookie.set_max_age(Some(Duration::from_secs(HOUR)), now);
        let members = format!(r#""views":5,{}"#, member(60));
        assert_eq!(&*record.text, format!(r#"{{"cookie":{},{members}}}"#, cookie.text()));
        assert_eq!(value(&state, "views"), Some(2));
    }
}

#[test]
fn touch_after_the_absolute_timeout_writes_nothing() {
    let policy = limited(None, Some(HOUR));
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&member(0)), &context);
    assert!(state.touch_call(&context, after(HOUR - 1)).is_some());
    assert_eq!(state.touch_call(&context, after(HOUR)), None);
    assert!(state.is_ended_elsewhere());
}

/// A record that is longer than the limits cannot be loaded.
#[test]
fn visit_is_not_noted_where_the_member_would_exceed_the_limits() {
    let stored = text(r#""views":1"#);
    let noted = text(&format!(r#""views":1,{}"#, member(60))).len();
    for (bytes, supports_touch, is_noted) in
        [(noted, true, true), (noted - 1, true, false), (noted - 1, false, false)]
    {
        let record_limits = RecordLimits::default().bytes(bytes);
        let policy = Policy { record_limits, ..noting() };
        let context = Context { supports_touch, ..Context::new(&policy, "sid") };
        let mut state = session_of(&stored, &context);
        let call = state.touch_call(&context, LATER);
        let found = call.map(|call| matches!(call, TouchCall::Update(..)));
        assert_eq!(found, (is_noted || supports_touch).then_some(is_noted), "{bytes}");
    }
}

/// Bob's login at [`NOW`], in a session that was seen 10 s later.
fn logged_in() -> Metadata {
    let mut metadata = Metadata::new(NOW);
    metadata.see(after(10));
    let user = Json::of("bob").unwrap();
    metadata.authenticate(Authentication {
        at: NOW,
        user,
        idle: None,
        absolute: None,
        level: None,
    });
    metadata
}

#[test]
fn overlapping_requests_merge_the_member() {
    let merging = noting();
    let overwriting = Policy { departures: Departures::all().merge_changes(false), ..noting() };
    let own = logged_in();
    let mut theirs = logged_in();
    theirs.see(after(90));
    let record = |views: i64, metadata: &Metadata| {
        text(&format!(r#""views":{views},"__sessionMetadata":{}"#, metadata.text()))
    };
    for policy in [merging, overwriting] {
        let context = Context::new(&policy, "sid");
        let mut state = session_of(&record(1, &own), &context);
        insert(&mut state, "other", 1);
        resolve(&mut state, &context, &record(5, &theirs)).unwrap();
        // The clock of this process is behind.
        let record = written(&mut state, &context, LATER);
        assert!(record.text.ends_with(&format!(r#","__sessionMetadata":{}}}"#, theirs.text())));
        assert_eq!(metadata_of(&state), theirs);
    }
}

#[test]
fn session_that_two_requests_found_without_the_member_began_with_the_earlier_one() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(r#""views":1"#), &context);
    insert(&mut state, "other", 1);
    let mut save = SaveMachine::new(LATER);
    save.start(&mut state, &context, false).unwrap();
    let theirs = loaded(&text(&format!(r#""views":2,{}"#, member(7))));
    let conflict = Answer::Updated(Ok(Updated::Conflict(theirs)));
    let next = save.resume(&mut state, &context, conflict).unwrap();
    let Next::Rebase(rebase) = next else { panic!("a conflict is merged") };
    let rebased = Answer::Rebased(Box::new(rebase.run().unwrap()));
    save.resume(&mut state, &context, rebased).unwrap();
    let mut expected = Metadata::new(NOW);
    expected.see(LATER);
    assert_eq!(metadata_of(&state), expected);
}

#[test]
fn batch_writes_the_member_of_all_its_requests() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let stored = text(&format!(r#""views":1,{}"#, member(0)));
    let mut batch = WriteBatch::default();
    let mut states = [(), ()].map(|()| session_of(&stored, &context));
    let mut entries = Vec::new();
    for (state, seconds) in states.iter_mut().zip([30, 20]) {
        increment(state, "views");
        let next = SaveMachine::new(after(seconds)).start(state, &context, true).unwrap();
        assert!(matches!(next, Next::JoinBatch));
        let draft = draft_of(state.begin_batch_entry(&context, &batch, after(seconds)).unwrap());
        let entry = draft.add_to(&mut batch, &context).unwrap();
        state.note_batch_entry(&entry);
        entries.push(entry);
    }
    let flush = batch.begin_flush().unwrap();
    assert_eq!(&*flush.record.text, text(&format!(r#""views":3,{}"#, member(30))));
    let outcome = batch.end_flush(flush, Ok(Updated::Done(Revision::new(2))));
    let BatchOutcome::Stored(stored) = outcome else { panic!("it was stored") };
    for (state, entry) in states.iter_mut().zip(&entries) {
        let resolution = Resolution::of_batch(&context, entry, &stored).unwrap();
        while let Some(rebase) = resolution.begin(state) {
            if resolution.finish(state, rebase.run().unwrap()) {
                break;
            }
        }
        assert_eq!(value(state, "views"), Some(3));
        assert_eq!(state.readable().unwrap().document.len(), 1);
        assert_eq!(metadata_of(state).seen(), after(30));
    }
}

#[test]
fn write_in_doubt_is_found_again_with_its_member() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&format!(r#""views":1,{}"#, member(0))), &context);
    insert(&mut state, "views", 2);
    let mut save = SaveMachine::new(LATER);
    let next = save.start(&mut state, &context, false).unwrap();
    let Next::Call(StoreCall::Update { record, .. }) = next else { panic!("an update") };
    save.resume(&mut state, &context, Answer::Updated(Err(in_doubt()))).unwrap_err();
    // The store had applied it.
    resolve(&mut state, &context, &record.text).unwrap();
    assert!(!state.is_unsaved());
    assert_eq!(state.readable().unwrap().document.len(), 1);
}

#[test]
fn request_that_outlives_the_absolute_timeout_writes_nothing() {
    let policy = limited(None, Some(100));
    let context = Context::new(&policy, "sid");
    for (now, is_written) in [(99, true), (100, false)] {
        let mut state = session_of(&text(&member(0)), &context);
        insert(&mut state, "views", 1);
        let next = SaveMachine::new(after(now)).start(&mut state, &context, false);
        assert_eq!(next.is_ok(), is_written, "{now}");
        assert_eq!(state.is_ended_elsewhere(), !is_written, "{now}");
    }
    // A request within an idle timeout is a visit, however long it takes.
    let policy = limited(Some(100), None);
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&member(0)), &context);
    assert_eq!(written(&mut state, &context, after(500)).deadline, Some(after(601)));
}

#[test]
fn write_outside_of_a_visit_moves_no_idle_timeout() {
    let policy = limited(Some(1000), None);
    let context = Context::new(&policy, "sid");
    for (is_left_alone, seen, deadline) in [(true, 0, 1010), (false, 60, 1070)] {
        let mut state = session_of(&text(&member(0)), &context);
        if is_left_alone {
            state.leave_alone();
        }
        insert(&mut state, "paid", 1);
        let record = written(&mut state, &context, LATER);
        assert_eq!(&*record.text, text(&format!(r#""paid":1,{}"#, member(seen))));
        assert_eq!(record.deadline, Some(after(deadline)));
    }
}

#[test]
fn new_session_begins_with_its_first_write() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let mut state = SessionState::default();
    state.begin_new(id(), cookie());
    assert_eq!(state.readable().unwrap().metadata(), None);
    let record = written(&mut state, &context, LATER);
    let expected = format!(r#""__sessionMetadata":{}"#, Metadata::new(LATER).text());
    assert_eq!(&*record.text, text(&expected));
}

#[test]
fn session_whose_first_write_was_not_answered_begins_with_the_next_one() {
    let policy = limited(None, Some(2));
    let context = Context::new(&policy, "sid");
    for logs_in in [false, true] {
        let mut state = SessionState::default();
        state.begin_new(id(), cookie());
        if logs_in {
            let user = Json::of("bob").unwrap();
            let login = Authentication { at: NOW, user, idle: None, absolute: None, level: None };
            state.log_in(login, Epoch::FIRST, NOW).unwrap();
        }
        insert(&mut state, "views", 1);
        let mut save = SaveMachine::new(NOW);
        save.start(&mut state, &context, false).unwrap();
        save.resume(&mut state, &context, Answer::Created(Err(in_doubt()))).unwrap_err();
        // The store took longer than the session may live.
        let mut save = SaveMachine::new(after(5));
        let next = save.start(&mut state, &context, false).unwrap();
        assert!(matches!(next, Next::NewId));
        let new = Answer::NewId(SessionId::from_random([8; 24]));
        let next = save.resume(&mut state, &context, new).unwrap();
        let Next::Call(StoreCall::Create { record, .. }) = next else { panic!("{next:?}") };
        assert_eq!(record.deadline, Some(after(7)));
        let metadata = metadata_of(&state);
        assert_eq!((metadata.created(), metadata.seen()), (after(5), after(5)));
        assert_eq!(metadata.authenticated(), logs_in.then_some(NOW));
    }
}

#[test]
fn regenerate_keeps_the_named_members_byte_for_byte() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let stored = text(&format!(r#""a":1.0,"b":"\u00e9","c":[ 1 ],{}"#, member(0)));
    let mut state = session_of(&stored, &context);
    let keep = ["c", "none", "a", "cookie"].map(str::to_owned);
    let new = SessionId::from_random([8; 24]);
    state.finish_regenerate_keeping(new.clone(), cookie(), &keep).unwrap();
    assert_eq!(state.id(), Some(&new));
    let session = state.readable().unwrap();
    assert_eq!(session.document.keys().collect::<Vec<_>>(), ["c", "a"]);
    assert_eq!(session.metadata(), None);
    let record = written(&mut state, &context, LATER);
    let member = format!(r#""__sessionMetadata":{}"#, Metadata::new(LATER).text());
    assert_eq!(&*record.text, text(&format!(r#""c":[ 1 ],"a":1.0,{member}"#)));
}

#[test]
fn login_begins_the_limits_again() {
    let policy = limited(None, Some(100));
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&member(0)), &context);
    state.finish_regenerate(SessionId::from_random([8; 24]), cookie()).unwrap();
    let user = Json::of("bob").unwrap();
    let login = Authentication { at: after(90), user, idle: None, absolute: None, level: None };
    state.log_in(login.clone(), Epoch::FIRST, after(90)).unwrap();
    assert_eq!(metadata_of(&state).authentication(), Some(&login));
    // They count from the first write.
    assert_eq!(written(&mut state, &context, after(99)).deadline, Some(after(199)));
}

#[test]
fn cookie_for_the_browser_ends_with_the_absolute_timeout_and_not_with_the_idle_one() {
    for (idle, absolute, max_age, expires) in [
        (None, None, Some(1000), None),
        (Some(10), None, Some(1000), None),
        (None, Some(100), Some(1000), Some(100)),
        (None, Some(100), Some(50), None),
        // Until the browser closes.
        (None, Some(100), None, None),
    ] {
        let policy = Policy { metadata: true, ..limited(idle, absolute) };
        let context = Context::new(&policy, "sid");
        let state = session_of(&record_of(max_age, &member(0)), &context);
        let limited = state.readable().unwrap().limited_cookie(&policy);
        let found = limited.and_then(|cookie| cookie.deadline());
        assert_eq!(found, expires.map(after), "{idle:?} {absolute:?} {max_age:?}");
    }
}

#[test]
fn reload_takes_the_member_of_the_record() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&member(0)), &context);
    state.finish_reload(&context, &loaded(&text(&member(30))), NOW).unwrap();
    assert_eq!(metadata_of(&state).seen(), after(30));
    assert_eq!(state.readable().unwrap().document.len(), 0);
}

// The mark.

/// The record of a session that another one has ended.
fn marked(mark: Mark) -> Loaded {
    let policy = noting();
    let stored = loaded(&text(&format!(r#""views":1,{}"#, member(0))));
    let record = Context::new(&policy, "sid").ended_record(&stored.record, mark, NOW).unwrap();
    loaded(&record.text)
}

#[test]
fn marked_session_is_not_opened_and_says_why() {
    let (noting, plain) = (noting(), Policy::default());
    let context = Context::new(&noting, "sid");
    for (mark, by) in [(Mark::Revoked, EndedBy::Revoked), (Mark::Limit, EndedBy::Limit)] {
        let marked = marked(mark);
        let mut state = SessionState::default();
        let begun = state.begin_loaded(&context, id(), &marked, NOW).unwrap();
        let ended = Ended { by, at: None };
        assert_eq!(begun, Begun::Ended(ended));
        assert_eq!((state.ended_by(), state.readable().is_some()), (Some(by), false));
        assert_eq!(context.has_ended(&marked, NOW), Some(ended));
        assert_eq!(context.unread(&marked, NOW), Unread::Open);
        // Without metadata, the mark is a member like any other.
        let context = Context::new(&plain, "sid");
        assert_eq!(context.has_ended(&marked, NOW), None);
        assert_eq!(context.ended_record(&marked.record, mark, NOW), None);
    }
}

#[test]
fn mark_has_nothing_of_the_user_and_lasts_as_long_as_the_session() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let own = r#""__sessionMetadata":{"created":5,"seen":6,"authenticated":7,"user":"bob"}"#;
    let record = with_deadline(&text(&format!(r#""a":1,{own},"b":2"#)), Some(LATER)).record;
    let ended = context.ended_record(&record, Mark::Limit, NOW).unwrap();
    let mark = r#""__sessionMetadata":{"created":5,"seen":6,"ended":"limit"}"#;
    assert_eq!((&*ended.text, ended.deadline), (&*text(mark), Some(LATER)));
    let endless = Record { deadline: None, ..record };
    let ended = context.ended_record(&endless, Mark::Limit, NOW).unwrap();
    assert_eq!(ended.deadline, Some(after(24 * HOUR)));
    let none = Record { text: "none".into(), deadline: None };
    assert_eq!(context.ended_record(&none, Mark::Limit, NOW), None);
}

/// Not even the policy of express-session writes on top of it.
#[test]
fn write_that_meets_a_mark_is_over() {
    for policy in [noting(), Policy { metadata: true, ..express() }] {
        let context = Context::new(&policy, "sid");
        let stored = text(&format!(r#""views":1,{}"#, member(0)));
        for is_in_doubt in [false, true] {
            let mut state = session_of(&stored, &context);
            insert(&mut state, "views", 2);
            let mut save = SaveMachine::new(LATER);
            save.start(&mut state, &context, false).unwrap();
            if is_in_doubt {
                save.resume(&mut state, &context, Answer::Updated(Err(in_doubt()))).unwrap_err();
                save = SaveMachine::new(LATER);
                save.start(&mut state, &context, false).unwrap();
            }
            let conflict = Answer::Updated(Ok(Updated::Conflict(marked(Mark::Revoked))));
            let refused = save.resume(&mut state, &context, conflict).unwrap_err();
            assert!(matches!(refused, Error::Ended), "{refused:?}");
            assert!(state.is_ended_elsewhere());
        }
    }
}

#[test]
fn create_that_finds_a_mark_is_over() {
    for policy in [noting(), Policy { metadata: true, ..express() }] {
        let context = Context::new(&policy, "sid");
        let mut state = SessionState::default();
        state.begin_new(id(), cookie());
        insert(&mut state, "views", 1);
        state.headers_left(&context, true);
        let mut save = SaveMachine::new(NOW);
        save.start(&mut state, &context, false).unwrap();
        save.resume(&mut state, &context, Answer::Created(Err(in_doubt()))).unwrap_err();
        let mut save = SaveMachine::new(NOW);
        let mut next = save.start(&mut state, &context, false).unwrap();
        if matches!(next, Next::Call(StoreCall::Create { .. })) {
            next = save.resume(&mut state, &context, Answer::Created(Ok(Created::Taken))).unwrap();
        }
        assert!(matches!(next, Next::Call(StoreCall::Load { .. })), "{next:?}");
        let found = Answer::Loaded(Ok(Some(marked(Mark::Revoked))));
        let refused = save.resume(&mut state, &context, found).unwrap_err();
        assert!(matches!(refused, Error::Ended), "{refused:?}");
        assert!(state.is_ended_elsewhere());
    }
}

#[test]
fn visit_that_meets_a_mark_is_not_noted() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let mut state = session_of(&text(&format!(r#""views":1,{}"#, member(0))), &context);
    let conflict = Updated::Conflict(marked(Mark::Revoked));
    assert_eq!(state.visited(&context, &Revision::new(1), conflict, LATER), None);
    assert!(state.is_ended_elsewhere());
}

#[test]
fn batch_that_meets_a_mark_is_over() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let stored = text(&format!(r#""views":1,{}"#, member(0)));
    let mut batch = WriteBatch::default();
    let [mut one, mut other] = [(), ()].map(|()| session_of(&stored, &context));
    increment(&mut one, "views");
    let BatchBegin::Draft(draft) = one.begin_batch_entry(&context, &batch, NOW).unwrap() else {
        panic!("no draft")
    };
    draft.add_to(&mut batch, &context).unwrap();
    let flush = batch.begin_flush().unwrap();
    let outcome = batch.end_flush(flush, Ok(Updated::Conflict(marked(Mark::Limit))));
    let BatchOutcome::Overtaken { theirs, .. } = outcome else { panic!("{outcome:?}") };
    let refused = Resolution::of(&mut one, &context, &theirs, NOW).unwrap_err();
    assert!(matches!(refused, Error::Ended));
    // The next entry of the batch would be put on top of what the batch has met.
    increment(&mut other, "views");
    let entry = other.begin_batch_entry(&context, &batch, NOW);
    assert!(matches!(entry, Err(Error::Ended)), "no entry");
    assert!(one.is_ended_elsewhere() && other.is_ended_elsewhere());
}

#[test]
fn summary_has_the_last_visit_of_either_side() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let own = record_of(Some(HOUR), &member(30));
    let foreign = record_of(Some(HOUR), r#""passport":{"user":1}"#);
    for (text, deadline, seen) in [
        (&own, None, Some(30)),
        (&own, Some(HOUR + 20), Some(30)),
        (&own, Some(HOUR + 40), Some(40)),
        (&foreign, Some(HOUR + 40), Some(40)),
        (&foreign, None, None),
    ] {
        let record = with_deadline(text, deadline.map(after)).record;
        let (metadata, found) = context.summary(&record, after(60));
        assert_eq!(found, seen.map(after), "{deadline:?}");
        assert_eq!(metadata.is_some(), *text == own);
    }
}

#[test]
fn session_that_is_stored_keeps_its_beginning_with_any_outcome_of_its_writes() {
    let policy = noting();
    let context = Context::new(&policy, "sid");
    let mut state = SessionState::default();
    state.begin_new(id(), cookie());
    insert(&mut state, "views", 1);
    let mut save = SaveMachine::new(NOW);
    save.start(&mut state, &context, false).unwrap();
    let stored = Created::Done(Revision::new(2));
    save.resume(&mut state, &context, Answer::Created(Ok(stored))).unwrap();
    insert(&mut state, "views", 2);
    let record = written(&mut state, &context, LATER);
    assert_eq!(metadata_in(&record.text).created(), NOW);

    // A loaded one whose last write was not answered.
    let mut state = session_of(&text(&format!(r#""views":1,{}"#, member(0))), &context);
    insert(&mut state, "views", 2);
    let mut save = SaveMachine::new(NOW);
    save.start(&mut state, &context, false).unwrap();
    save.resume(&mut state, &context, Answer::Updated(Err(in_doubt()))).unwrap_err();
    insert(&mut state, "views", 3);
    let session = state.session.as_mut().unwrap();
    session.note_visit(&context, true, LATER);
    assert_eq!(session.metadata().unwrap().created(), NOW);
}

#[test]
fn revision_of_the_record_is_known_with_the_latest_time_at_which_it_was_found() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let found = loaded(&text(r#""views":1"#));
    let mut state = SessionState::default();
    assert_eq!(state.known(), None);
    state.begin_loaded(&context, id(), &found, NOW).unwrap();
    let known = |state: &SessionState| state.known().unwrap();
    assert_eq!(known(&state), (found.revision.clone(), NOW));
    state.found(&SessionId::new("another").unwrap(), after(60));
    assert_eq!(known(&state).1, NOW);
    state.found(&id(), after(60));
    assert_eq!(known(&state).1, after(60));
    state.found(&id(), after(30));
    assert_eq!(known(&state).1, after(60));

    // A conflict shows the record of another request.
    let theirs = loaded(&text(r#""views":1,"other":2"#));
    let resolution = Resolution::of(&mut state, &context, &theirs, after(90)).unwrap();
    let rebased = resolution.begin(&mut state).unwrap().run().unwrap();
    assert!(resolution.finish(&mut state, rebased));
    assert_eq!(known(&state), (theirs.revision, after(90)));

    let mut new = SessionState::default();
    new.begin_new(id(), cookie());
    assert_eq!(new.known(), None);
}

#[test]
fn preview_shows_in_a_log_why_a_session_has_ended_and_nothing_of_its_data() {
    let policy = limited(Some(1), None);
    let text = text(&format!(r#""secret":"hunter2",{}"#, member(0)));
    let preview = Context::new(&policy, "sid").preview(&loaded(&text), after(9999));
    let shown = format!("{preview:?}");
    assert!(shown.contains("Idle") && !shown.contains("hunter2"), "{shown}");
}
