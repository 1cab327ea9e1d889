//! Single steps of a request: what is loaded unasked, what is touched, and the life of a lock.

use super::*;
use crate::policy::LoadTime;
use crate::store::FencingToken;

/// A record that lives for ten minutes.
fn minutes() -> String {
    text(r#""views":1"#).replace(
        r#""originalMaxAge":null,"expires":null"#,
        r#""originalMaxAge":600000,"expires":"2023-11-14T22:23:20.000Z""#,
    )
}

#[test]
fn session_is_loaded_unasked_by_the_table() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for (is_loaded, is_left_alone, time, expected) in [
        (false, false, LoadTime::Early, true),
        (false, false, LoadTime::Late, true),
        (false, false, LoadTime::Asked, false),
        (false, true, LoadTime::Early, false),
        (false, true, LoadTime::Late, false),
        (true, false, LoadTime::Late, false),
    ] {
        let row = (is_loaded, is_left_alone, time);
        let mut state = SessionState::default();
        if is_loaded {
            state = session_of(&minutes(), &context);
        }
        if is_left_alone {
            state.leave_alone();
        }
        assert_eq!(state.loads_unasked(time), expected, "{row:?}");
    }
}

#[test]
fn session_that_is_left_alone_is_only_written_if_it_changes() {
    let policy = Policy { rolling: true, ..Policy::default() };
    let presented = id();
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    for (is_left_alone, changes, store, cookie) in [
        (false, false, StoreAction::Touch, CookieAction::Send),
        (true, false, StoreAction::Keep, CookieAction::Keep),
        (true, true, StoreAction::Write, CookieAction::Send),
    ] {
        let mut state = SessionState::default();
        if is_left_alone {
            state.leave_alone();
        }
        state.begin_loaded(&context, id(), &loaded(&minutes()), NOW).unwrap();
        if changes {
            increment(&mut state, "views");
        }
        let (plan, _) = state.plan(&context, NOW).unwrap();
        assert_eq!((plan.store, plan.cookie), (store, cookie), "{is_left_alone} {changes}");
    }
}

#[test]
fn session_that_could_not_be_loaded_is_loaded_when_it_is_asked_for_again() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let mut state = SessionState::default();
    assert!(state.plan(&context, NOW).is_none());
    state.load_failed();
    assert!(!state.is_unloaded() && state.readable().is_none());
    assert!(matches!(state.usable(), Err(Error::Ended)));
    let (plan, _) = state.plan(&context, NOW).unwrap();
    assert_eq!((plan.store, plan.cookie), (StoreAction::Keep, CookieAction::Keep));
    assert!(matches!(state.begin_load(Step::Load), Load::Fetch));
}

#[test]
fn touch_has_the_cookie_of_the_session_and_its_deadline() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    assert!(SessionState::default().touch_call(&context, NOW).is_none());
    let mut state = session_of(&minutes(), &context);
    let Some(TouchCall::Touch(touched, touch)) = state.touch_call(&context, NOW) else {
        panic!("the record has no member of the library")
    };
    let session = state.readable().unwrap();
    assert_eq!((&touched, &*touch.cookie), (&id(), &*session.cookie.text()));
    assert_eq!(touch.deadline, session.cookie.deadline());
    assert!(touch.deadline.is_some());
    assert!(!touch.replaces_cookie, "by departure 9");
    let express = express();
    let context = Context::new(&express, "sid");
    let Some(TouchCall::Touch(_, touch)) = state.touch_call(&context, NOW) else {
        panic!("the record has no member of the library")
    };
    assert!(touch.replaces_cookie, "as in express-session");
}

#[test]
fn touch_that_finds_no_record_ends_the_session_by_departure_16() {
    let (strict, lax) = (Policy::default(), express());
    for (policy, touched, is_over) in [
        (&strict, Touched::Gone, true),
        (&strict, Touched::Done, false),
        (&lax, Touched::Gone, false),
    ] {
        let context = Context::new(policy, "sid");
        let mut state = session_of(&minutes(), &context);
        state.touched(touched, policy);
        assert_eq!(state.is_ended_elsewhere(), is_over, "{touched:?}");
    }
}

#[test]
fn lock_is_granted_and_fences_writes_by_the_table() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let token = LockToken::from_random([3; 16]);
    let [mine, another] = [5, 6].map(FencingToken::new);
    let (first, later) = (NOW, Timestamp::from_millis(NOW.millis() + 1));
    let other = SessionId::from_random([9; 24]);
    for (stages, grants, is_ours, fence) in [
        (&[][..], &[][..], true, Fence::Open),
        (&[], &[mine], true, Fence::Locked(token)),
        (&[], &[mine, mine], true, Fence::Locked(token)),
        (&[], &[mine, another], false, Fence::Lost),
        (&[LockStage::Lost], &[mine], false, Fence::Lost),
    ] {
        let mut state = session_of(&minutes(), &context);
        assert!(!state.grant_lock(mine, first), "there is no lock");
        assert!(state.lock().is_none() && state.take_lock().is_none());
        assert!(state.request_lock(id(), token));
        stages.iter().for_each(|stage| state.set_lock_stage(*stage));
        let granted = grants.iter().map(|grant| state.grant_lock(*grant, later)).last();
        assert_eq!(granted.unwrap_or(true), is_ours, "{stages:?} {grants:?}");
        assert_eq!(state.fence(&id()), fence, "{stages:?} {grants:?}");
        assert_eq!(state.fence(&other), Fence::Open, "another id is not locked");
        let lock = state.lock().unwrap();
        assert_eq!((lock.fence, lock.token), (grants.last().copied(), token));
        assert_eq!(lock.until == later, !grants.is_empty());
        assert!(state.take_lock().is_some() && state.lock().is_none());
    }
}
