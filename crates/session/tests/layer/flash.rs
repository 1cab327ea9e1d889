//! Flash messages, in the format of connect-flash, and requests that overlap.

use express_session::store::{self, ErrorKind as Failure};
use express_session::{Error, ErrorKind, Flash, Outage, RecordLimits, Session};
use express_session_testkit::Verb;
use http::StatusCode;
use serde_json::json;

use crate::support::*;

fn push(session: &Session, kind: &str, message: &str) {
    session.flash().push(kind, message).unwrap();
}

async fn take(session: &Session, kind: &str) -> Vec<String> {
    session.flash().take(kind).await.unwrap()
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

fn flash(json: &str) -> String {
    record(PLAIN, &format!(r#""flash":{json}"#))
}

#[tokio::test]
async fn messages_are_stored_as_connect_flash_stores_them() {
    let (world, talk) = World::visited("").await;
    push(&talk.session, "info", "email sent");
    push(&talk.session, "error", "é \"quoted\" </script>");
    push(&talk.session, "info", "email re-sent");
    talk.session.flash().push("info", json!({ "text": "structured" })).unwrap();
    world.calls();
    talk.end().await;
    let stored = r#"{"info":["email sent","email re-sent",{"text":"structured"}],"error":["é \"quoted\" </script>"]}"#;
    assert_eq!(world.calls(), format!("update(bob, {})", flash(stored)));
}

#[tokio::test]
async fn taken_messages_are_removed_before_they_are_returned_and_leave_the_rest() {
    let (world, talk) = World::visited(r#""flash":{"info":["a","b"],"error":["c"]}"#).await;
    world.calls();
    assert_eq!(take(&talk.session, "info").await, ["a", "b"]);
    assert_eq!(world.calls(), format!("update(bob, {})", flash(r#"{"error":["c"]}"#)));
    assert_eq!(take(&talk.session, "info").await, [""; 0]);
    assert_eq!(take(&talk.session, "error").await, ["c"]);
    assert_eq!(world.calls(), format!("update(bob, {})", flash("{}")));
    talk.end().await;
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn all_messages_are_taken_in_the_order_of_the_record() {
    let members = r#""flash":{"warning":["a"],"none":[],"info":["b","c"],"null":null}"#;
    let (world, talk) = World::visited(members).await;
    let all = talk.session.flash().take_all::<String>().await.unwrap();
    let list = |kind: &str, list: &[&str]| {
        (kind.to_owned(), list.iter().map(|&text| text.to_owned()).collect())
    };
    assert_eq!(all, [list("warning", &["a"]), list("info", &["b", "c"])]);
    assert_eq!(world.kept(BOB).await, Some(flash("{}")));
    assert!(talk.session.flash().take_all::<String>().await.unwrap().is_empty());
}

#[tokio::test]
async fn reading_and_taking_without_messages_writes_nothing() {
    async fn read(flash: Flash) {
        assert!(flash.peek::<String>("info").unwrap().is_empty());
        assert!(flash.take::<String>("info").await.unwrap().is_empty());
        assert!(flash.take_all::<String>().await.unwrap().is_empty());
        flash.keep().unwrap();
    }
    let (world, talk) = World::first_visit().await;
    read(talk.session.flash()).await;
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.calls(), "");
    for empty in ["null", "{}", r#"{"info":[]}"#, r#"{"info":null}"#, r#"{"info":[],"error":[]}"#] {
        let (world, talk) = World::visited(&format!(r#""flash":{empty}"#)).await;
        world.calls();
        read(talk.session.flash()).await;
        talk.end().await;
        assert_eq!(world.calls(), "", "{empty}");
    }
}

#[tokio::test]
async fn message_of_a_new_visitor_makes_a_session() {
    let (world, talk) = World::first_visit().await;
    push(&talk.session, "info", "a");
    let answer = talk.end().await;
    let talk = Talk::begin(&world.layer(), visit_with(answer.pair())).await;
    assert_eq!(take(&talk.session, "info").await, ["a"]);
}

#[tokio::test]
async fn peeked_messages_stay() {
    let (world, talk) = World::visited(r#""flash":{"info":["a"]}"#).await;
    world.calls();
    assert_eq!(talk.session.flash().peek::<String>("info").unwrap(), ["a"]);
    assert_eq!(talk.session.flash().peek::<String>("error").unwrap(), [""; 0]);
    talk.end().await;
    assert_eq!(world.calls(), "");
}

// Overlapping requests.

#[tokio::test]
async fn requests_that_push_concurrently_both_keep_their_messages() {
    for before in ["", r#""flash":{}"#, r#""flash":{"info":["old"]}"#, r#""flash":null"#] {
        let (world, one, two) = World::visited_twice(before).await;
        push(&one.session, "info", "one");
        push(&two.session, "info", "two");
        push(&two.session, "error", "two");
        one.end().await;
        two.end().await;
        let old = if before.contains("old") { r#""old","# } else { "" };
        let stored = format!(r#"{{"info":[{old}"one","two"],"error":["two"]}}"#);
        assert_eq!(world.kept(BOB).await, Some(flash(&stored)), "{before}");
    }
}

#[tokio::test]
async fn each_message_is_shown_to_one_of_two_requests_that_take_concurrently() {
    let (world, one, two) = World::visited_twice(r#""flash":{"info":["a"]}"#).await;
    assert_eq!(one.session.flash().peek::<String>("info").unwrap(), ["a"]);
    assert_eq!(two.session.flash().peek::<String>("info").unwrap(), ["a"]);
    let taken = tokio::join!(take(&one.session, "info"), take(&two.session, "info"));
    assert_eq!([taken.0, taken.1].concat(), ["a"]);
    one.end().await;
    two.end().await;
    assert_eq!(world.kept(BOB).await, Some(flash("{}")));
}

#[tokio::test]
async fn message_of_a_concurrent_request_survives_a_take_and_brings_none_back() {
    let (world, one, two) = World::visited_twice(r#""flash":{"info":["old"]}"#).await;
    push(&two.session, "info", "new");
    assert_eq!(take(&one.session, "info").await, ["old"]);
    two.end().await;
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"info":["new"]}"#)));
    one.end().await;
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"info":["new"]}"#)));
}

#[tokio::test]
async fn take_returns_what_a_concurrent_request_has_added_meanwhile() {
    let (world, one, two) = World::visited_twice(r#""flash":{"info":["old"]}"#).await;
    push(&two.session, "info", "new");
    two.end().await;
    assert_eq!(take(&one.session, "info").await, ["old", "new"]);
    assert_eq!(world.kept(BOB).await, Some(flash("{}")));
}

#[tokio::test]
async fn member_that_a_concurrent_request_has_removed_stays_removed() {
    let (world, one, two) = World::visited_twice(r#""flash":{"info":["old"]}"#).await;
    two.session.remove("flash").unwrap();
    two.end().await;
    assert_eq!(take(&one.session, "info").await, [""; 0]);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, "")));
}

#[tokio::test]
async fn clones_of_a_handle_take_each_message_once() {
    let (_, talk) = World::visited(r#""flash":{"info":["a"]}"#).await;
    let clone = talk.session.clone();
    let taken = tokio::join!(take(&talk.session, "info"), take(&clone, "info"));
    assert_eq!([taken.0, taken.1].concat(), ["a"]);
}

// Keeping.

#[tokio::test]
async fn kept_messages_are_there_for_the_next_page_before_later_ones() {
    let members = r#""flash":{"info":["a","b"],"error":["c"],"other":"as it is"}"#;
    let (world, talk) = World::visited(members).await;
    assert_eq!(take(&talk.session, "info").await, ["a", "b"]);
    push(&talk.session, "info", "late");
    assert_eq!(take(&talk.session, "error").await, ["c"]);
    // Another handle of the same request.
    talk.session.clone().flash().keep().unwrap();
    // They are put back once.
    talk.session.flash().keep().unwrap();
    talk.end().await;
    let stored = r#"{"info":["a","b","late"],"error":["c"],"other":"as it is"}"#;
    assert_eq!(world.kept(BOB).await, Some(flash(stored)));
}

#[tokio::test]
async fn messages_of_one_type_that_were_taken_twice_are_kept_in_their_order() {
    let (world, talk) = World::visited(r#""flash":{"info":["a"]}"#).await;
    take(&talk.session, "info").await;
    push(&talk.session, "info", "b");
    take(&talk.session, "info").await;
    talk.session.flash().keep().unwrap();
    talk.end().await;
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"info":["a","b"]}"#)));
}

#[tokio::test]
async fn kept_messages_follow_the_visitor_into_a_regenerated_session() {
    let (world, talk) = World::visited(r#""flash":{"info":["a"]}"#).await;
    let session = talk.session.clone();
    take(&session, "info").await;
    session.regenerate().await.unwrap();
    session.flash().keep().unwrap();
    drop(session);
    let answer = talk.end().await;
    let talk = Talk::begin(&world.layer(), visit_with(answer.pair())).await;
    assert_eq!(take(&talk.session, "info").await, ["a"]);
}

#[tokio::test]
async fn messages_that_could_not_be_kept_can_be_kept_later() {
    let (world, talk) = World::visited(r#""flash":{"info":["a"]}"#).await;
    take(&talk.session, "info").await;
    talk.session.insert("flash", 5).unwrap();
    assert_eq!(kind(talk.session.flash().keep()), ErrorKind::Deserialize);
    talk.session.remove("flash").unwrap();
    talk.session.flash().keep().unwrap();
    talk.end().await;
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"info":["a"]}"#)));
}

#[tokio::test]
async fn kept_message_and_the_one_of_a_concurrent_request_are_both_stored() {
    let (world, one, two) = World::visited_twice(r#""flash":{"info":["a"]}"#).await;
    take(&one.session, "info").await;
    one.session.flash().keep().unwrap();
    push(&two.session, "info", "b");
    two.end().await;
    one.end().await;
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"info":["a","b"]}"#)));
}

/// A socket takes messages as long as it is open.
#[tokio::test]
async fn handle_that_takes_for_long_forgets_what_it_took_first() {
    let (_, talk) = World::visited("").await;
    for number in 0..5000 {
        talk.session.flash().push("info", number).unwrap();
        assert_eq!(talk.session.flash().take::<u32>("info").await.unwrap(), [number]);
    }
    talk.session.flash().keep().unwrap();
    let kept = talk.session.flash().peek::<u32>("info").unwrap();
    assert_eq!((kept.len(), kept.last()), (4097, Some(&4999)));
}

// Other shapes.

#[tokio::test]
async fn member_of_another_shape_is_an_error_that_names_it_and_stays() {
    for shape in [
        "5",
        "true",
        r#""secret""#,
        "[]",
        r#"["secret"]"#,
        r#"{"info":"secret"}"#,
        r#"{"info":{}}"#,
    ] {
        let (world, talk) = World::visited(&format!(r#""flash":{shape}"#)).await;
        let flash_of = talk.session.flash();
        world.calls();
        let pushed = flash_of.push("info", "new").unwrap_err();
        assert_eq!(pushed.kind(), ErrorKind::Deserialize, "{shape}");
        assert!(pushed.to_string().contains(r#""flash""#), "{pushed}");
        assert!(!format!("{pushed:?}").contains("secret"), "{pushed:?}");
        assert_eq!(kind(flash_of.peek::<String>("info")), ErrorKind::Deserialize, "{shape}");
        assert_eq!(kind(flash_of.take::<String>("info").await), ErrorKind::Deserialize, "{shape}");
        assert_eq!(kind(flash_of.take_all::<String>().await), ErrorKind::Deserialize, "{shape}");
        drop(flash_of);
        talk.end().await;
        assert_eq!(world.calls(), "", "{shape}");
        assert_eq!(world.kept(BOB).await, Some(flash(shape)));
    }
}

#[tokio::test]
async fn shape_that_a_concurrent_request_has_changed_is_an_error_and_stays() {
    let (world, one, two) = World::visited_twice(r#""flash":{"info":["a"]}"#).await;
    two.session.insert("flash", "new shape").unwrap();
    two.end().await;
    assert_eq!(kind(one.session.flash().take::<String>("info").await), ErrorKind::Deserialize);
    assert_eq!(one.end().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(world.kept(BOB).await, Some(flash(r#""new shape""#)));
}

#[tokio::test]
async fn message_that_is_not_of_the_type_asked_for_stays_with_the_others() {
    let (world, talk) = World::visited(r#""flash":{"info":[1,"secret",2]}"#).await;
    let refused = talk.session.flash().take::<u32>("info").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Deserialize);
    assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused:?}");
    assert_eq!(kind(talk.session.flash().peek::<u32>("info")), ErrorKind::Deserialize);
    talk.end().await;
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"info":[1,"secret",2]}"#)));
}

#[tokio::test]
async fn messages_that_no_request_changes_stay_as_they_are_written() {
    let odd = r#""odd":["\ud800",1e400,12345678901234567890123,{"b":1,"a":{"2":0,"1":0}}]"#;
    let (world, talk) = World::visited(&format!(r#""flash":{{{odd},"text":"no list"}}"#)).await;
    push(&talk.session, "info", "a");
    talk.session.flash().push("odd", "b").unwrap();
    talk.end().await;
    let odd = odd.replace(']', r#","b"]"#);
    let stored = format!(r#"{{{odd},"text":"no list","info":["a"]}}"#);
    let kept = world.kept(BOB).await.unwrap();
    // As an Express application would write it: integer-like keys are in order there.
    assert_eq!(kept.replace(r#"{"1":0,"2":0}"#, r#"{"2":0,"1":0}"#), flash(&stored));
}

#[tokio::test]
async fn type_can_have_any_name() {
    let names = ["", "é 日本", "__proto__", "toString", "10", "cookie", "a\"b\\\u{0}"];
    let (world, talk) = World::visited("").await;
    for name in names {
        push(&talk.session, name, name);
    }
    talk.end().await;
    let talk = bob(&world.layer()).await;
    for name in names {
        assert_eq!(take(&talk.session, name).await, [name]);
    }
    assert_eq!(world.kept(BOB).await, Some(flash("{}")));
}

#[tokio::test]
async fn record_with_two_lists_of_one_type_loses_no_message() {
    let (world, talk) = World::visited(r#""flash":{"info":["a"],"x":[1],"info":["b"]}"#).await;
    push(&talk.session, "info", "c");
    assert_eq!(talk.session.flash().peek::<String>("info").unwrap(), ["a", "b", "c"]);
    assert_eq!(take(&talk.session, "info").await, ["a", "b", "c"]);
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"x":[1]}"#)));
}

// Failures.

#[tokio::test]
async fn ended_session_takes_no_message() {
    let (_, talk) = World::visited(r#""flash":{"info":["a"]}"#).await;
    let session = talk.session.clone();
    take(&session, "info").await;
    session.destroy().await.unwrap();
    assert_eq!(kind(session.flash().push("info", "b")), ErrorKind::Ended);
    assert_eq!(kind(session.flash().peek::<String>("info")), ErrorKind::Ended);
    assert_eq!(kind(session.flash().take::<String>("info").await), ErrorKind::Ended);
    assert_eq!(kind(session.flash().keep()), ErrorKind::Ended);
}

#[tokio::test]
async fn take_that_the_store_refuses_is_an_error_and_loses_no_message() {
    let (world, talk) = World::visited(r#""flash":{"info":["a"]}"#).await;
    world.store.fail_next(Verb::Update, Failure::Refused);
    let refused = kind(talk.session.flash().take::<String>("info").await);
    assert_eq!(refused, ErrorKind::Store(Failure::Refused));
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"info":["a"]}"#)));
}

#[tokio::test]
async fn request_without_a_store_has_its_own_messages() {
    let world = World::new();
    let layer = world.layer().outage(Outage::Continue);
    world.store.fail(|_| Some(store::Error::new(Failure::Unavailable, "down")));
    let talk = bob(&layer).await;
    assert_eq!(take(&talk.session, "info").await, [""; 0]);
    push(&talk.session, "info", "a");
    assert_eq!(take(&talk.session, "info").await, ["a"]);
    talk.session.flash().keep().unwrap();
    assert_eq!(take(&talk.session, "info").await, ["a"]);
    assert_eq!(talk.end().await.status, StatusCode::OK);
}

#[tokio::test]
async fn messages_count_towards_the_limits_of_the_record() {
    let (world, _) = World::visited(r#""flash":{"info":["a"]}"#).await;
    let talk = bob(&world.layer().record_limits(RecordLimits::default())).await;
    push(&talk.session, "info", &"x".repeat(5 << 20));
    assert_eq!(talk.end().await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(world.kept(BOB).await, Some(flash(r#"{"info":["a"]}"#)));
}

#[test]
fn handle_prints_no_message() {
    express_session_testkit::block_on(async {
        let (_, talk) = World::visited(r#""flash":{"info":["a secret"]}"#).await;
        assert_eq!(format!("{:?}", talk.session.flash()), "Flash");
    });
}
