//! The facts at the end of a response, one by one.

use super::*;
use crate::decide::{CookieMatch, Plan};

const LATER: Timestamp = Timestamp::from_millis(1_700_000_060_000);

/// A record that began at [`NOW`] and lives for ten minutes.
fn minutes() -> String {
    text(r#""views":1"#).replace(
        r#""originalMaxAge":null,"expires":null"#,
        r#""originalMaxAge":600000,"expires":"2023-11-14T22:23:20.000Z""#,
    )
}

fn deadline(state: &SessionState) -> Option<Timestamp> {
    state.session.as_ref().unwrap().cookie.deadline()
}

#[test]
fn only_a_complete_response_resets_the_expiry_before_the_plan_and_once() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for (body, is_reset) in [(BodyKind::Complete, true), (BodyKind::Streaming, false)] {
        let mut state = session_of(&minutes(), &context);
        let before = deadline(&state);
        state.begin_end(body, LATER);
        let after = deadline(&state);
        assert_eq!(after != before, is_reset, "{body:?}");
        state.begin_end(body, Timestamp::from_millis(LATER.millis() + 1));
        assert_eq!(deadline(&state), after, "{body:?}");
    }
}

#[test]
fn write_after_a_touch_of_the_same_response_resets_the_expiry_again() {
    let (ours, express) = (Policy::default(), express());
    let [touch, write] = [StoreAction::Touch, StoreAction::Write]
        .map(|store| Plan { store, cookie: CookieAction::Keep });
    let end = Timestamp::from_millis(LATER.millis() + 1_200_000);
    for (policy, expected) in [(&ours, end), (&express, LATER)] {
        let context = Context::new(policy, "sid");
        let mut state = session_of(&minutes(), &context);
        for (plan, now) in [(touch, LATER), (write, end)] {
            let planned = state.begin_plan(plan, policy, now, true);
            if plan.store == StoreAction::Write {
                SaveMachine::new(now).start(&mut state, &context, false).unwrap();
            }
            state.finish_plan(&planned);
        }
        let later = expected.saturating_add(Duration::from_secs(600));
        assert_eq!(deadline(&state), Some(later));
    }
}

#[test]
fn unchanged_record_is_touched_where_that_is_of_use() {
    let policy = Policy::default();
    let presented = id();
    // A hundredth of ten minutes is six seconds, which count at the end of a request of two seconds.
    let end = Timestamp::from_millis(NOW.millis() + 2_000);
    for (supports_touch, passed, store) in [
        (true, 6_000, StoreAction::Touch),
        (true, 5_999, StoreAction::Keep),
        (false, 6_000, StoreAction::Keep),
        (false, 5_999, StoreAction::Keep),
    ] {
        let context =
            Context { presented: Some(&presented), supports_touch, ..Context::new(&policy, "sid") };
        let mut state = SessionState::default();
        let mut found = loaded(&minutes());
        found.record.deadline = Some(Timestamp::from_millis(end.millis() + 600_000 - passed));
        state.begin_loaded(&context, id(), &found, NOW).unwrap();
        let (plan, _) = state.plan(&context, end).unwrap();
        assert_eq!(plan.store, store, "{supports_touch} {passed}");
        // A change of the cookie needs the touch all the same, if the store can.
        let express = express();
        let context = Context { policy: &express, ..context };
        state.change(|session| session.cookie.set_path("/shop")).unwrap();
        let (plan, _) = state.plan(&context, end).unwrap();
        let store = if supports_touch { StoreAction::Touch } else { StoreAction::Keep };
        assert_eq!(plan.store, store, "{supports_touch} {passed}, another path");
    }
}

#[test]
fn cookie_that_has_left_is_that_of_one_id() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    for (with_cookie, regenerates, cookie, withheld) in [
        (true, false, CookieAction::Keep, None),
        (true, true, CookieAction::Withhold, Some(Withheld::Late)),
        (false, false, CookieAction::Withhold, Some(Withheld::Late)),
    ] {
        let mut state = SessionState::default();
        state.begin_new(id(), super::cookie());
        increment(&mut state, "views");
        state.headers_left(&context, with_cookie);
        if regenerates {
            let other = SessionId::from_random([8; 24]);
            state.finish_regenerate(other, super::cookie()).unwrap();
        }
        let (plan, found) = state.plan(&context, NOW).unwrap();
        assert_eq!((plan.cookie, found), (cookie, withheld), "{with_cookie} {regenerates}");
    }
}

#[test]
fn cookie_that_cannot_be_printed_resets_the_expiry_where_it_was_to_be_sent() {
    let policy = Policy::default();
    let presented = id();
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    for (domain, destroys, was_reset, is_reset) in [
        ("not a domain\n", false, false, true),
        ("not a domain\n", false, true, false),
        ("not a domain\n", true, false, false),
        ("example.com", false, false, false),
    ] {
        let row = (domain, destroys, was_reset);
        let mut state = session_of(&minutes(), &context);
        state.change(|session| session.cookie.set_domain(Some(domain.to_owned()))).unwrap();
        increment(&mut state, "views");
        if destroys {
            state.begin_destroy(&policy).unwrap();
        }
        if was_reset {
            state.begin_end(BodyKind::Complete, NOW);
        }
        let before = deadline(&state);
        let (plan, withheld) = state.plan(&context, LATER).unwrap();
        assert_eq!(deadline(&state) != before, is_reset, "{row:?}");
        let is_printable = domain == "example.com";
        assert_eq!(plan.cookie == CookieAction::Send, is_printable, "{row:?}");
        let expected = (!is_printable && !destroys).then_some(Withheld::Unprintable);
        assert_eq!(withheld, expected, "{row:?}");
    }
}

#[test]
fn touch_resets_the_expiry_each_time_where_a_save_does_and_once_in_express_session() {
    let (ours, express) = (Policy::default(), express());
    let touch = Plan { store: StoreAction::Touch, cookie: CookieAction::Keep };
    let end = LATER.saturating_add(Duration::from_secs(60));
    for (policy, last) in [(&ours, end), (&express, LATER)] {
        let context = Context::new(policy, "sid");
        let mut state = session_of(&minutes(), &context);
        for now in [LATER, end] {
            let planned = state.begin_plan(touch, policy, now, true);
            state.finish_plan(&planned);
        }
        assert_eq!(deadline(&state), Some(last.saturating_add(Duration::from_secs(600))));
    }
}

#[test]
fn failed_renewal_is_a_failed_write_only_if_there_is_something_to_write() {
    let policy = Policy::default();
    let context = Context::new(&policy, "sid");
    let renew = Plan { store: StoreAction::Renew, cookie: CookieAction::Send };
    let mut state = session_of(&text(r#""views":1"#), &context);
    assert_eq!(state.failed_step(renew), Step::Touch);
    increment(&mut state, "views");
    assert_eq!(state.failed_step(renew), Step::Write);
    assert_eq!(SessionState::default().failed_step(renew), Step::Touch);
}

#[test]
fn new_session_beside_a_presented_id_is_another_one_and_a_loaded_one_was_renewed() {
    let policy = Policy::default();
    let presented = SessionId::new("presented").unwrap();
    let context = Context { presented: Some(&presented), ..Context::new(&policy, "sid") };
    let id_of = |state: &SessionState| state.facts(&context, NOW).unwrap().id;
    let mut new = SessionState::default();
    new.begin_new(id(), cookie());
    assert_eq!(id_of(&new), CookieMatch::Other);
    let mut renewed = session_of(&text(r#""views":1"#), &context);
    assert_eq!(id_of(&renewed), CookieMatch::Renewed);
    renewed.leave_alone();
    assert_eq!(id_of(&renewed), CookieMatch::Presented);
}
