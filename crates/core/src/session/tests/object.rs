//! The session as an object of another language.

use std::sync::Arc;

use super::*;
use crate::session::{ChangedMember, Recompute, SessionObject};

const LOADED: &str = r#""cart":["a"],"user":7,"views":1"#;

/// A session and its object, both of [`LOADED`].
fn both(context: &Context<'_>) -> (SessionState, SessionObject) {
    let text = text(LOADED);
    (session_of(&text, context), SessionObject::new(&text).unwrap())
}

fn members(state: &SessionState) -> String {
    let json = state.readable().unwrap().document.to_json("{}");
    let members = json.strip_prefix(r#"{"cookie":{}"#).and_then(|json| json.strip_suffix('}'));
    members.unwrap().trim_start_matches(',').to_owned()
}

fn plus(amount: i64) -> Recompute {
    Arc::new(move |value| Ok(Some((value.map_or(Ok(0), str::parse::<i64>)? + amount).to_string())))
}

#[test]
fn difference_from_the_text_before_is_the_requests_change() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    for (object, expected) in [
        (LOADED, LOADED),
        (r#""cart":["a"],"user":7,"views":2"#, r#""cart":["a"],"user":7,"views":2"#),
        (r#""user":7,"views":1"#, r#""user":7,"views":1"#),
        (
            r#""cart":["a","b"],"user":7,"views":1,"new":null"#,
            r#""cart":["a","b"],"user":7,"views":1,"new":null"#,
        ),
        (r#""views":1"#, r#""views":1"#),
    ] {
        let (mut state, mut shown) = both(&context);
        let now = text(object);
        shown.take_changes(&mut state, &now, NOW).unwrap();
        assert_eq!(members(&state), expected);
        // The same text again is no change: what others write meanwhile stays.
        shown.take_changes(&mut state, &now, NOW).unwrap();
        assert_eq!(members(&state), expected);
    }
}

#[test]
fn object_of_a_session_shows_its_members() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, _) = both(&context);
    let mut object = SessionObject::of(&state).unwrap();
    assert_eq!(object.catch_up(&state), []);
    object.take_changes(&mut state, &text(r#""cart":["a"],"views":2"#), NOW).unwrap();
    assert_eq!(members(&state), r#""cart":["a"],"views":2"#);
    assert!(SessionObject::of(&SessionState::default()).is_none());
}

#[test]
fn members_that_the_request_has_not_changed_are_kept_from_others() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, mut object) = both(&context);
    object.take_changes(&mut state, &text(r#""cart":["a"],"user":7,"views":2"#), NOW).unwrap();
    resolve(&mut state, &context, &text(r#""cart":["a","b"],"views":1,"theirs":true"#)).unwrap();
    assert_eq!(members(&state), r#""cart":["a","b"],"views":2,"theirs":true"#);

    let member = |key: &str, shown: Option<&str>, value: Option<&str>| ChangedMember {
        key: key.into(),
        shown: shown.map(Into::into),
        value: value.map(Into::into),
    };
    assert_eq!(
        object.catch_up(&state),
        [
            member("user", Some("7"), None),
            member("cart", Some(r#"["a"]"#), Some(r#"["a","b"]"#)),
            member("theirs", None, Some("true")),
        ]
    );
    assert_eq!(object.catch_up(&state), []);

    // The object shows them now: to be without one is a change.
    object.take_changes(&mut state, &text(r#""cart":["a","b"],"views":2"#), NOW).unwrap();
    assert_eq!(members(&state), r#""cart":["a","b"],"views":2"#);
}

#[test]
fn object_that_has_not_caught_up_undoes_nothing() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, mut object) = both(&context);
    resolve(&mut state, &context, &text(r#""user":7,"views":5,"theirs":true"#)).unwrap();
    object.take_changes(&mut state, &text(LOADED), NOW).unwrap();
    assert_eq!(members(&state), r#""user":7,"views":5,"theirs":true"#);
}

#[test]
fn update_is_applied_again_to_what_another_request_has_stored() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, mut object) = both(&context);
    object.update(&mut state, "views", Some("1"), Some("11"), plus(10)).unwrap();
    // The whole object comes with the save. It repeats what the update has done.
    object.take_changes(&mut state, &text(r#""cart":["a"],"user":7,"views":11"#), NOW).unwrap();
    resolve(&mut state, &context, &text(r#""cart":["a"],"user":7,"views":5"#)).unwrap();
    assert_eq!(members(&state), r#""cart":["a"],"user":7,"views":15"#);
    assert_eq!(object.catch_up(&state)[0].value.as_deref(), Some("15"));
}

#[test]
fn update_during_a_save_that_met_another_request_is_of_what_that_has_stored() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, mut object) = both(&context);
    object.update(&mut state, "views", Some("1"), Some("2"), plus(1)).unwrap();
    resolve(&mut state, &context, &text(r#""cart":["a"],"user":7,"views":11"#)).unwrap();
    // The object still shows its own value.
    let early = object.update(&mut state, "views", Some("2"), Some("3"), plus(1));
    assert!(matches!(early, Err(Error::Conflict)), "{early:?}");
    assert_eq!(members(&state), r#""cart":["a"],"user":7,"views":12"#);

    assert_eq!(object.catch_up(&state)[0].value.as_deref(), Some("12"));
    object.update(&mut state, "views", Some("12"), Some("13"), plus(1)).unwrap();
    resolve(&mut state, &context, &text(r#""cart":["a"],"user":7,"views":20"#)).unwrap();
    assert_eq!(members(&state), r#""cart":["a"],"user":7,"views":22"#);
}

#[test]
fn update_of_a_member_that_was_set_directly_overwrites() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, mut object) = both(&context);
    object.update(&mut state, "views", Some("100"), Some("101"), plus(1)).unwrap();
    resolve(&mut state, &context, &text(r#""cart":["a"],"user":7,"views":5"#)).unwrap();
    assert_eq!(members(&state), r#""cart":["a"],"user":7,"views":101"#);

    // And one that is set directly afterwards is not updated any more.
    let (mut state, mut object) = both(&context);
    object.update(&mut state, "views", Some("1"), Some("2"), plus(1)).unwrap();
    object.take_changes(&mut state, &text(r#""cart":["a"],"user":7,"views":3"#), NOW).unwrap();
    resolve(&mut state, &context, &text(r#""cart":["a"],"user":7,"views":5"#)).unwrap();
    assert_eq!(members(&state), r#""cart":["a"],"user":7,"views":3"#);
}

#[test]
fn update_that_fails_or_makes_no_json_is_an_error_and_changes_nothing() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    for recompute in [
        Arc::new(|_: Option<&str>| Err("refused".into())) as Recompute,
        Arc::new(|_: Option<&str>| Ok(Some("{".to_owned()))),
    ] {
        let (mut state, mut object) = both(&context);
        object.update(&mut state, "views", Some("1"), Some("2"), recompute).unwrap();
        let failed = resolve(&mut state, &context, &text(r#""views":5"#)).unwrap_err();
        assert!(matches!(failed, Error::Update(_)), "{failed:?}");
        assert_eq!(members(&state), r#""cart":["a"],"user":7,"views":2"#);
    }
}

#[test]
fn update_can_remove_a_member_and_make_a_new_one() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, mut object) = both(&context);
    object.update(&mut state, "cart", Some(r#"["a"]"#), None, Arc::new(|_| Ok(None))).unwrap();
    object.update(&mut state, "new", None, Some("1"), plus(1)).unwrap();
    assert_eq!(members(&state), r#""user":7,"views":1,"new":1"#);
    resolve(&mut state, &context, &text(r#""cart":["a","b"],"new":4"#)).unwrap();
    assert_eq!(members(&state), r#""new":5"#);
}

#[test]
fn object_of_a_session_that_is_over_changes_nothing() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, mut object) = both(&context);
    state.begin_destroy(&policy).unwrap();
    let changed = text(r#""views":2"#);
    assert!(matches!(object.take_changes(&mut state, &changed, NOW), Err(Error::Ended)));
    let updated = object.update(&mut state, "views", Some("1"), Some("2"), plus(1));
    assert!(matches!(updated, Err(Error::Ended)));
    assert_eq!(object.catch_up(&state), []);
}

#[test]
fn objects_cookie_is_the_sessions() {
    let policy = Policy::default();
    let context = Context::new(&policy, "connect.sid");
    let (mut state, mut object) = both(&context);
    let changed = text(LOADED).replace(r#""path":"/""#, r#""path":"/shop""#);
    object.take_changes(&mut state, &changed, NOW).unwrap();
    assert_eq!(state.readable().unwrap().cookie.path(), Some("/shop"));
}
