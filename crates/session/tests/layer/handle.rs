//! The session in a handler: every method, every kind of error, and what happens when
//! two requests of one visitor overlap.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use express_session::store::{self, ErrorKind as Failure};
use express_session::{
    Cookie, Departures, Error, ErrorKind, Priority, SameSite, Session, Timestamp, Unset,
};
use express_session_testkit::Verb;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::support::delayed_store::DelayedStore;
use crate::support::*;

#[tokio::test]
async fn methods_that_save_begin_the_sessions_time_again() {
    for method in ["update_now", "take_once", "flash", "unlock", "save"] {
        let world = World::new();
        // As after touches in most stores, which leave the text: its expiry has passed, and the deadline has not.
        world.clock.advance(Duration::from_secs(100));
        world.keep(BOB, &record(MINUTE, r#""n":1,"flash":{"info":["saved"]}"#)).await;
        let app = app(&world.minute(), move |session: Session| async move {
            match method {
                "update_now" => drop(session.update_now("n", |_: Option<u32>| 2).await?),
                "take_once" => drop(session.take_once::<u32>("n").await?),
                "flash" => drop(session.flash().take::<String>("info").await?),
                "unlock" => {
                    let lock = session.lock().await?;
                    session.insert("n", 2)?;
                    lock.unlock().await?;
                }
                _ => {
                    session.insert("n", 2)?;
                    session.save().await?;
                }
            }
            Ok::<_, Error>(String::new())
        });
        assert_eq!(send(&app, visit_as(BOB)).await.status, StatusCode::OK, "{method}");
        world.clock.advance(Duration::from_secs(59));
        assert!(world.kept(BOB).await.is_some(), "{method}");
    }
}

#[tokio::test]
async fn write_after_an_early_save_begins_the_sessions_time_again() {
    let world = World::holding(&record(MINUTE, "")).await;
    let clock = world.clock.clone();
    let app = app(&world.minute(), move |session: Session| {
        let clock = clock.clone();
        async move {
            session.insert("step", 1)?;
            session.save().await?;
            clock.advance(Duration::from_secs(50));
            session.insert("step", 2)?;
            Ok::<_, Error>(String::new())
        }
    });
    send(&app, visit_as(BOB)).await;
    world.clock.advance(Duration::from_secs(59));
    assert!(world.kept(BOB).await.unwrap().contains(r#""step":2"#));
}

fn increment(session: &Session) {
    session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
}

fn push(session: &Session, item: &'static str) {
    let add = move |items: Option<Vec<String>>| {
        let mut items = items.unwrap_or_default();
        items.push(item.to_owned());
        items
    };
    session.update("items", add).unwrap();
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

// Reading and writing.

#[tokio::test]
async fn null_is_no_value_where_the_type_has_none() {
    let (_, talk) = World::visited(r#""cart":null,"n":null,"name":null"#).await;
    let session = &talk.session;
    assert_eq!(session.get::<Vec<u8>>("cart").unwrap(), None);
    assert_eq!(session.get::<Option<u8>>("cart").unwrap(), Some(None));
    assert_eq!(session.get::<serde_json::Value>("cart").unwrap(), Some(serde_json::Value::Null));
    assert!(session.contains("cart"));
    assert_eq!(session.update("n", |n: Option<u8>| n.unwrap_or(6) + 1).unwrap(), 7);
    assert_eq!(session.take::<String>("name").unwrap(), None);
    assert!(!session.contains("name"));

    // A handler keeps a member over `regenerate` so.
    session.insert("kept", None::<u32>).unwrap();
    assert_eq!(session.get::<u32>("kept").unwrap(), None);
    assert_eq!(session.take_once::<u32>("kept").await.unwrap(), None);
    // As JSON.stringify writes them.
    session.insert("ratio", f64::NAN).unwrap();
    session.insert("limit", f64::INFINITY).unwrap();
    assert_eq!(session.get::<f64>("ratio").unwrap(), None);
    assert_eq!(session.get::<f64>("limit").unwrap(), None);
}

#[tokio::test]
async fn field_that_is_null_and_takes_none_is_as_in_the_default() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Shop {
        cart: Vec<u8>,
        coupon: Option<String>,
        views: u32,
    }
    impl Default for Shop {
        fn default() -> Self {
            Self { cart: vec![1], coupon: Some("new".to_owned()), views: 5 }
        }
    }
    let (_, talk) = World::visited(r#""cart":null,"coupon":null"#).await;
    let shop = express_session::Typed::<Shop>::new(talk.session.clone());
    assert_eq!(shop.read().unwrap(), Shop { cart: vec![1], coupon: None, views: 5 });
    shop.update(|shop| shop.cart.push(2)).unwrap();
    assert_eq!(talk.session.get::<Vec<u8>>("cart").unwrap(), Some(vec![1, 2]));
}

#[tokio::test]
async fn members_are_read_and_written_in_memory() {
    let (world, talk) = World::visited(r#""a":1,"7":[true,null],"s":"é""#).await;
    let session = &talk.session;
    world.calls();
    assert_eq!(session.id().as_str(), BOB);
    assert_eq!(session.keys(), ["7", "a", "s"]);
    assert_eq!((session.len(), session.is_empty()), (3, false));
    assert_eq!(session.get::<Vec<Option<bool>>>("7").unwrap(), Some(vec![Some(true), None]));
    assert_eq!(session.get::<String>("s").unwrap(), Some("é".to_owned()));
    assert_eq!(session.get::<u8>("none").unwrap(), None);
    assert!(session.contains("a") && !session.contains("cookie"));

    session.insert("b", [1.5, 1e21]).unwrap();
    session.insert("a", "text").unwrap();
    assert!(session.remove("s").unwrap());
    assert!(!session.remove("s").unwrap());
    assert_eq!(session.take::<Vec<Option<bool>>>("7").unwrap().map(|taken| taken.len()), Some(2));
    assert_eq!(session.take::<u8>("7").unwrap(), None);
    assert_eq!(session.update("c", |c: Option<u8>| c.map_or(1, |c| c + 1)).unwrap(), 1);
    assert_eq!(session.update("c", |c: Option<u8>| c.map_or(1, |c| c + 1)).unwrap(), 2);
    assert_eq!(session.keys(), ["a", "b", "c"]);
    assert_eq!(world.calls(), "");

    talk.end().await;
    let members = r#""a":"text","b":[1.5,1e+21],"c":2"#;
    assert_eq!(world.calls(), format!("update(bob, {})", record(PLAIN, members)));
}

#[tokio::test]
async fn clear_leaves_session_and_id() {
    let (world, talk) = World::visited(r#""a":1,"b":2"#).await;
    talk.session.clear().unwrap();
    assert!(talk.session.is_empty());
    assert_eq!(talk.session.id().as_str(), BOB);
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, "")));
}

#[tokio::test]
async fn clones_are_one_session() {
    let (_, talk) = World::visited("").await;
    let clone = talk.session.clone();
    clone.insert("a", 1).unwrap();
    assert_eq!(talk.session.get::<u8>("a").unwrap(), Some(1));
}

#[tokio::test]
async fn new_session_keeps_its_id_from_the_start() {
    let (_, talk) = World::first_visit().await;
    assert_eq!(talk.session.id().as_str(), drawn(1));
    assert_eq!(talk.session.id(), talk.session.id());
    talk.session.insert("a", 1).unwrap();
    assert_eq!(talk.end().await.pair(), sid(&drawn(1)));
}

#[tokio::test]
async fn value_that_is_no_json_is_refused_and_changes_nothing() {
    let (_, talk) = World::visited(r#""a":1"#).await;
    let no_json = BTreeMap::from([(vec![1, 2], 3)]);
    let error = talk.session.insert("a", &no_json).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Serialize);
    assert!(error.to_string().contains("\"a\""), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(talk.session.get::<u8>("a").unwrap(), Some(1));
}

#[tokio::test]
async fn member_of_another_type_is_an_error_and_stays() {
    let (world, talk) = World::visited(r#""a":"text""#).await;
    let session = &talk.session;
    let error = session.get::<u8>("a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deserialize);
    assert!(error.to_string().contains("\"a\""), "{error}");
    // The expected type, and not the value.
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "expected u8 at line 1 column 6");
    assert_eq!(kind(session.take::<u8>("a")), ErrorKind::Deserialize);
    assert_eq!(kind(session.update("a", |a: Option<u8>| a.unwrap_or(0))), ErrorKind::Deserialize);
    assert_eq!(session.get::<String>("a").unwrap().as_deref(), Some("text"));
    talk.end().await;
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn reserved_names_are_refused_for_writing() {
    let (world, talk) = World::visited("").await;
    for name in ["cookie", "id", "req", "save", "touch", "reload", "toString", "__proto__"] {
        let error = talk.session.insert(name, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReservedName);
        assert!(error.to_string().contains(name), "{error}");
        let error = talk.session.update(name, |_: Option<u8>| 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReservedName);
    }
    assert!(talk.session.is_empty());
    talk.end().await;
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn function_of_update_may_look_at_the_session() {
    let (_, talk) = World::visited(r#""price":3,"n":2"#).await;
    let session = talk.session.clone();
    let total = move |_: Option<u32>| {
        session.get::<u32>("price").unwrap().unwrap() * session.get::<u32>("n").unwrap().unwrap()
    };
    assert_eq!(talk.session.update("total", total).unwrap(), 6);
}

#[tokio::test]
async fn function_of_update_that_panics_leaves_the_session_as_it_was() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    let session = talk.session.clone();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = session.update("a", |_: Option<u8>| -> u8 { panic!("in the handler's function") });
    }));
    assert!(panicked.is_err());
    assert_eq!(session.get::<u8>("a").unwrap(), Some(1));
    session.insert("a", 2).unwrap();
    drop(session);
    talk.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":2"#)));
}

// The cookie.

#[tokio::test]
async fn cookie_is_read_and_written() {
    let world = World::holding(&record(MINUTE, r#""a":1"#)).await;
    world.clock.advance(Duration::from_secs(10));
    let layer = world.minute().departures(Departures::all().browser_rules(false));
    let talk = bob(&layer).await;
    let cookie = talk.session.cookie();
    assert_eq!(cookie.original_max_age(), Some(Duration::from_secs(60)));
    assert_eq!(cookie.max_age(), Some(Duration::from_secs(50)));
    assert_eq!(cookie.expires().map(Timestamp::from), Some(at(60)));
    assert_eq!(cookie.path().as_deref(), Some("/"));
    assert_eq!((cookie.domain(), cookie.same_site(), cookie.priority()), (None, None, None));
    assert!(cookie.http_only() && !cookie.secure() && !cookie.partitioned());

    cookie.set_path("/app").unwrap();
    cookie.set_domain("example.com").unwrap();
    cookie.set_http_only(false).unwrap();
    cookie.set_same_site(SameSite::Strict).unwrap();
    cookie.set_partitioned(true).unwrap();
    cookie.set_priority(Priority::Low).unwrap();
    cookie.set_max_age(Duration::from_secs(5)).unwrap();
    assert_eq!(cookie.path().as_deref(), Some("/app"));
    assert_eq!(cookie.domain().as_deref(), Some("example.com"));
    assert_eq!(cookie.same_site(), Some(SameSite::Strict));
    assert_eq!(cookie.priority(), Some(Priority::Low));
    assert!(!cookie.http_only() && cookie.partitioned());
    assert_eq!(cookie.max_age(), Some(Duration::from_secs(5)));
    let answer = talk.end().await;
    assert_eq!(
        answer.cookie().unwrap().split_once("; ").unwrap().1,
        "Domain=example.com; Path=/app; Expires=Tue, 14 Nov 2023 22:13:35 GMT; Partitioned; \
         Priority=Low; SameSite=Strict"
    );
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + seconds * 1000)
}

#[tokio::test]
async fn expires_is_set_and_moves_with_each_request() {
    let (world, talk) = World::visited("").await;
    talk.session.cookie().set_expires(std::time::SystemTime::from(at(30))).unwrap();
    talk.end().await;
    world.clock.advance(Duration::from_secs(20));
    let talk = bob(&world.layer()).await;
    assert_eq!(talk.session.cookie().expires().map(Timestamp::from), Some(at(30)));
    talk.end().await;
    world.clock.advance(Duration::from_secs(29));
    assert!(world.kept(BOB).await.is_some());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn time_of_a_session_can_be_taken_away_again() {
    let world = World::holding(&record(MINUTE, "")).await;
    let talk = bob(&world.layer()).await;
    talk.session.cookie().set_max_age(None).unwrap();
    let answer = talk.end().await;
    assert!(answer.cookie().unwrap().ends_with("; Path=/; HttpOnly"));
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, "")));
}

#[tokio::test]
async fn attributes_that_no_header_can_carry_are_refused() {
    let (world, talk) = World::visited("").await;
    let cookie = talk.session.cookie();
    assert_eq!(kind(cookie.set_path("/; Secure")), ErrorKind::InvalidCookie);
    assert_eq!(kind(cookie.set_domain("a b")), ErrorKind::InvalidCookie);
    assert_eq!(kind(cookie.set_same_site(SameSite::Auto)), ErrorKind::InvalidCookie);
    talk.end().await;
    assert_eq!(world.calls(), "load(bob)");
}

// Explicit saves.

#[tokio::test]
async fn save_is_the_only_call_if_it_was_all_there_was() {
    let world = World::holding(&record(MINUTE, "")).await;
    let talk = bob(&world.minute()).await;
    world.calls();
    world.clock.advance(Duration::from_secs(10));
    talk.session.insert("a", 1).unwrap();
    talk.session.save().await.unwrap();
    let later = MINUTE.replace("22:14:20", "22:14:30");
    assert_eq!(world.calls(), format!("update(bob, {})", record(&later, r#""a":1"#)));
    let answer = talk.end().await;
    assert!(answer.cookie().unwrap().contains("Expires=Tue, 14 Nov 2023 22:14:30 GMT"));
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn change_after_a_save_is_saved_at_the_end() {
    let (world, talk) = World::visited("").await;
    talk.session.insert("a", 1).unwrap();
    talk.session.save().await.unwrap();
    talk.session.insert("b", 2).unwrap();
    talk.end().await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update, Verb::Update]);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1,"b":2"#)));
}

#[tokio::test]
async fn save_and_change_back_is_saved_back() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    talk.session.insert("a", 2).unwrap();
    talk.session.save().await.unwrap();
    talk.session.insert("a", 1).unwrap();
    talk.end().await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update, Verb::Update]);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn new_session_saved_explicitly_gets_its_cookie() {
    let (world, talk) = World::first_visit().await;
    talk.session.save().await.unwrap();
    assert_eq!(world.calls(), format!("create({}, {})", drawn(1), record(PLAIN, "")));
    assert_eq!(talk.end().await.pair(), sid(&drawn(1)));
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn second_save_writes_again() {
    let (world, talk) = World::first_visit().await;
    for n in 1..=3 {
        talk.session.insert("n", n).unwrap();
        talk.session.save().await.unwrap();
    }
    talk.end().await;
    assert_eq!(world.verbs(), [Verb::Create, Verb::Update, Verb::Update]);
}

#[tokio::test]
async fn failed_save_is_reported_and_tried_again_at_the_end() {
    let (world, talk) = World::visited("").await;
    talk.session.insert("a", 1).unwrap();
    world.store.fail_next(Verb::Update, Failure::Unavailable);
    let error = talk.session.save().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store(Failure::Unavailable));
    assert!(error.is_temporary());
    assert_eq!(talk.end().await.status, StatusCode::OK);
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update, Verb::Update]);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn failed_first_save_is_tried_again_at_the_end_and_gets_its_cookie() {
    let (world, talk) = World::first_visit().await;
    talk.session.insert("a", 1).unwrap();
    world.store.fail_next(Verb::Create, Failure::TimedOut);
    assert_eq!(kind(talk.session.save().await), ErrorKind::Store(Failure::TimedOut));
    assert_eq!(talk.end().await.pair(), sid(&drawn(2)));
    assert_eq!(world.verbs(), [Verb::Create, Verb::Create]);
    assert_eq!(world.kept(&drawn(2)).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn first_save_with_a_lost_answer_is_made_again_under_another_id() {
    let world = World::new();
    let layer = world.layer().store(DelayedStore::lost(Verb::Create, world.store.clone()));
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.insert("a", 1).unwrap();
    assert_eq!(kind(talk.session.save().await), ErrorKind::Store(Failure::TimedOut));
    talk.session.insert("b", 2).unwrap();
    assert_eq!(talk.end().await.pair(), sid(&drawn(2)));
    assert_eq!(world.verbs(), [Verb::Create, Verb::Create]);
    assert_eq!(world.kept(&drawn(2)).await, Some(record(PLAIN, r#""a":1,"b":2"#)));
}

#[tokio::test]
async fn update_with_an_answer_lost_after_the_write_is_counted_once_and_not_acknowledged() {
    let world = World::with(r#""n":1"#).await;
    let layer = world.layer().store(DelayedStore::lost(Verb::Update, world.store.clone()));
    let talk = bob(&layer).await;
    increment(&talk.session);
    assert_eq!(kind(talk.session.save().await), ErrorKind::Store(Failure::TimedOut));
    assert_eq!(talk.end().await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn save_dropped_midway_is_taken_up_at_the_end() {
    for verb in [Verb::Update, Verb::Create] {
        for (stage, reached) in
            [(DelayedStore::before as Delay, false), (DelayedStore::after, true)]
        {
            let is_new = verb == Verb::Create;
            let world = if is_new { World::new() } else { World::with(r#""n":1"#).await };
            let (layer, delayed_store) = world.delayed(stage, verb);
            let request = if is_new { visit() } else { visit_as(BOB) };
            let talk = Talk::begin(&layer, request).await;
            increment(&talk.session);
            {
                let mut save = pin!(talk.session.save());
                assert!(waits(save.as_mut()).await);
            }
            delayed_store.open();
            let answer = talk.end().await;
            assert_eq!(answer.status, StatusCode::OK);
            let (id, n) = if is_new { (drawn(1), 1) } else { (BOB.to_owned(), 2) };
            assert!(!is_new || answer.pair() == sid(&id));
            let kept = record(PLAIN, &format!(r#""n":{n}"#));
            assert_eq!(world.kept(&id).await, Some(kept), "{verb:?} {reached}");
        }
    }
}

#[tokio::test]
async fn clones_that_save_concurrently_lose_nothing() {
    let world = World::with("").await;
    let (layer, delayed_store) = world.delayed(DelayedStore::before, Verb::Update);
    let talk = bob(&layer).await;
    let (one, two) = (talk.session.clone(), talk.session.clone());
    let first = async {
        one.insert("a", 1).unwrap();
        one.save().await.unwrap();
    };
    let second = async {
        two.insert("b", 2).unwrap();
        two.save().await.unwrap();
    };
    let open = async { delayed_store.open() };
    tokio::join!(first, second, open);
    drop((one, two));
    talk.end().await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update, Verb::Update]);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1,"b":2"#)));
}

#[tokio::test]
async fn change_made_while_a_save_is_under_way_is_kept() {
    type Change = fn(&Session);
    let insert: Change = |session| session.insert("a", 2).unwrap();
    let rows: [(Change, Change, &[&str], &str); 4] = [
        (insert, |session| session.insert("b", 3).unwrap(), &["a", "b"], r#""a":2,"b":3"#),
        // A change that is taken back meanwhile stays taken back.
        (insert, |session| session.insert("a", 1).unwrap(), &["a"], r#""a":1"#),
        (
            |session| session.insert("b", 2).unwrap(),
            |session| assert!(session.remove("b").unwrap()),
            &["a"],
            r#""a":1"#,
        ),
        (
            |session| assert!(session.remove("a").unwrap()),
            |session| session.insert("a", 1).unwrap(),
            &["a"],
            r#""a":1"#,
        ),
    ];
    for (before, meanwhile, keys, members) in rows {
        let world = World::with(r#""a":1"#).await;
        let (layer, delayed_store) = world.delayed(DelayedStore::before, Verb::Update);
        let talk = bob(&layer).await;
        before(&talk.session);
        {
            let mut save = pin!(talk.session.save());
            assert!(waits(save.as_mut()).await);
            meanwhile(&talk.session);
            delayed_store.open();
            save.await.unwrap();
        }
        assert_eq!(talk.session.keys(), keys);
        talk.end().await;
        assert_eq!(world.kept(BOB).await, Some(record(PLAIN, members)));
    }
}

// Reloading.

#[tokio::test]
async fn reload_drops_what_was_changed() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    talk.session.insert("a", 2).unwrap();
    talk.session.insert("b", 2).unwrap();
    talk.session.reload().await.unwrap();
    assert_eq!(talk.session.keys(), ["a"]);
    assert_eq!(talk.session.get::<u8>("a").unwrap(), Some(1));
    talk.end().await;
    assert_eq!(world.calls(), "load(bob) load(bob)");
}

#[tokio::test]
async fn reload_sees_what_another_request_has_saved() {
    let (world, one, two) = World::visited_twice(r#""a":1"#).await;
    two.session.insert("b", 2).unwrap();
    two.end().await;
    assert!(!one.session.contains("b"));
    one.session.reload().await.unwrap();
    assert_eq!(one.session.get::<u8>("b").unwrap(), Some(2));
    one.session.insert("c", 3).unwrap();
    one.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1,"b":2,"c":3"#)));
}

/// express-session still compares with what it loaded first, and leaves what the other request has stored.
#[tokio::test]
async fn change_back_to_what_was_there_before_a_reload_is_saved() {
    for (departures, expected) in
        [(Departures::all(), r#""a":1"#), (Departures::none(), r#""a":1,"b":2"#)]
    {
        let world = World::with(r#""a":1"#).await;
        let layer = world.layer().departures(departures);
        let one = bob(&layer).await;
        world.keep(BOB, &record(PLAIN, r#""a":1,"b":2"#)).await;
        one.session.reload().await.unwrap();
        one.session.remove("b").unwrap();
        one.end().await;
        assert_eq!(world.kept(BOB).await, Some(record(PLAIN, expected)));
    }
}

#[tokio::test]
async fn reload_of_what_was_never_stored_or_is_gone_leaves_the_session_alone() {
    let world = World::with(r#""a":1"#).await;
    let new = Talk::begin(&world.layer(), visit()).await;
    new.session.insert("a", 1).unwrap();
    assert_eq!(kind(new.session.reload().await), ErrorKind::NotFound);
    assert_eq!(new.session.get::<u8>("a").unwrap(), Some(1));
    assert!(new.end().await.cookie().is_some());

    let slow = bob(&world.layer()).await;
    let logout = bob(&world.layer()).await;
    logout.destroy().await;
    let error = slow.session.reload().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::NotFound, "failed to load session")
    );
    assert_eq!(slow.session.get::<u8>("a").unwrap(), Some(1));
}

#[tokio::test]
async fn reload_that_fails_leaves_the_session_alone() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    talk.session.insert("a", 2).unwrap();
    world.store.fail_next(Verb::Load, Failure::TimedOut);
    assert_eq!(kind(talk.session.reload().await), ErrorKind::Store(Failure::TimedOut));
    assert_eq!(talk.session.get::<u8>("a").unwrap(), Some(2));
    talk.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":2"#)));
}

// Regenerating.

#[tokio::test]
async fn regenerate_goes_on_empty_under_a_new_id() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    talk.session.regenerate().await.unwrap();
    assert_eq!(talk.session.id().as_str(), drawn(1));
    assert!(talk.session.is_empty());
    talk.session.insert("user", "bob").unwrap();
    let answer = talk.end().await;
    assert_eq!(answer.pair(), sid(&drawn(1)));
    assert_eq!(
        world.calls(),
        format!(
            "load(bob) destroy(bob) create({}, {})",
            drawn(1),
            record(PLAIN, r#""user":"bob""#)
        )
    );
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn regenerated_session_is_stored_even_if_nothing_is_put_into_it() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    talk.session.regenerate().await.unwrap();
    assert!(talk.end().await.cookie().is_some());
    assert_eq!(
        world.calls(),
        format!("load(bob) destroy(bob) create({}, {})", drawn(1), record(PLAIN, ""))
    );
}

#[tokio::test]
async fn regenerate_and_save_writes_once() {
    let (world, talk) = World::visited("").await;
    talk.session.regenerate().await.unwrap();
    talk.session.insert("user", 1).unwrap();
    talk.session.save().await.unwrap();
    assert!(talk.end().await.cookie().is_some());
    assert_eq!(world.verbs(), [Verb::Load, Verb::Destroy, Verb::Create]);
}

#[tokio::test]
async fn regenerating_what_was_never_stored_destroys_nothing() {
    let (world, talk) = World::first_visit().await;
    talk.session.insert("a", 1).unwrap();
    talk.session.regenerate().await.unwrap();
    talk.session.regenerate().await.unwrap();
    let answer = talk.end().await;
    assert_eq!(answer.pair(), sid(&drawn(3)));
    assert_eq!(world.calls(), format!("create({}, {})", drawn(3), record(PLAIN, "")));
}

#[tokio::test]
async fn regenerate_takes_the_layers_cookie_again() {
    let world = World::new();
    let stored = r#"{"originalMaxAge":5000,"expires":"2023-11-14T22:13:25.123Z","httpOnly":true,"path":"/","sameSite":"strict"}"#;
    world.keep(BOB, &record(stored, "")).await;
    let talk = bob(&world.minute()).await;
    talk.session.regenerate().await.unwrap();
    assert_eq!(talk.session.cookie().original_max_age(), Some(Duration::from_secs(60)));
    assert_eq!(talk.session.cookie().same_site(), None);
    talk.end().await;
    assert_eq!(world.kept(&drawn(1)).await, Some(record(MINUTE, "")));
}

#[tokio::test]
async fn regenerate_that_fails_keeps_the_old_session() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    world.store.fail_next(Verb::Destroy, Failure::Unavailable);
    let error = talk.session.regenerate().await;
    assert_eq!(kind(error), ErrorKind::Store(Failure::Unavailable));
    assert_eq!(talk.session.id().as_str(), BOB);
    assert_eq!(talk.session.get::<u8>("a").unwrap(), Some(1));
    talk.session.insert("a", 2).unwrap();
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":2"#)));
}

#[tokio::test]
async fn changes_before_a_regenerate_do_not_reach_the_new_session() {
    let (world, talk) = World::visited(r#""n":1"#).await;
    increment(&talk.session);
    talk.session.regenerate().await.unwrap();
    increment(&talk.session);
    assert_eq!(talk.session.get::<u32>("n").unwrap(), Some(1));
    talk.end().await;
    assert_eq!(world.kept(&drawn(1)).await, Some(record(PLAIN, r#""n":1"#)));
}

#[tokio::test]
async fn slow_request_writes_nothing_once_another_has_regenerated() {
    let (world, slow, login) = World::visited_twice(r#""a":1"#).await;
    login.session.regenerate().await.unwrap();
    login.end().await;
    world.calls();
    slow.session.insert("a", 2).unwrap();
    let answer = slow.end().await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
    assert_eq!(world.verbs(), [Verb::Update]);
    assert_eq!(world.kept(BOB).await, None);
    assert_eq!(world.kept(&drawn(1)).await, Some(record(PLAIN, "")));
}

// Ending.

#[tokio::test]
async fn destroy_ends_record_cookie_and_handle() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    let session = &talk.session;
    session.destroy().await.unwrap();
    assert_eq!(session.id().as_str(), BOB);
    assert_eq!(kind(session.get::<u8>("a")), ErrorKind::Ended);
    ended(session).await;
    let answer = talk.end().await;
    assert_eq!(
        answer.cookie(),
        Some("connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly")
    );
    assert_eq!(world.calls(), "load(bob) destroy(bob)");
}

/// Checks that every method says that the session is over.
async fn ended(session: &Session) {
    assert_eq!(kind(session.insert("a", 1)), ErrorKind::Ended);
    assert_eq!(kind(session.remove("a")), ErrorKind::Ended);
    assert_eq!(kind(session.take::<u8>("a")), ErrorKind::Ended);
    assert_eq!(kind(session.update("a", |_: Option<u8>| 1)), ErrorKind::Ended);
    assert_eq!(kind(session.clear()), ErrorKind::Ended);
    assert_eq!(kind(session.unset()), ErrorKind::Ended);
    assert_eq!(kind(session.cookie().set_max_age(None)), ErrorKind::Ended);
    assert_eq!(kind(session.cookie().set_secure(true)), ErrorKind::Ended);
    assert_eq!(kind(session.save().await), ErrorKind::Ended);
    assert_eq!(kind(session.reload().await), ErrorKind::Ended);
    assert_eq!(kind(session.regenerate().await), ErrorKind::Ended);
    assert_eq!(kind(session.touch().await), ErrorKind::Ended);
    assert_eq!(kind(session.destroy().await), ErrorKind::Ended);
    assert!(session.is_empty() && session.keys().is_empty() && !session.contains("a"));
    assert_eq!((session.cookie().path(), session.cookie().max_age()), (None, None));
}

#[tokio::test]
async fn unset_ends_the_handle_and_the_changes() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    talk.session.insert("a", 2).unwrap();
    talk.session.unset().unwrap();
    ended(&talk.session).await;
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.calls(), "load(bob)");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn destroying_what_was_never_stored_makes_no_call() {
    let (world, talk) = World::first_visit().await;
    talk.session.insert("a", 1).unwrap();
    talk.session.destroy().await.unwrap();
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn destroy_with_unset_destroy_destroys_once() {
    let world = World::with("").await;
    let talk = bob(&world.layer().unset(Unset::Destroy)).await;
    talk.session.destroy().await.unwrap();
    talk.end().await;
    assert_eq!(world.calls(), "load(bob) destroy(bob)");
}

#[tokio::test]
async fn destroy_that_failed_is_over_all_the_same_and_tried_again_at_the_end() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    world.store.fail_next(Verb::Destroy, Failure::Unavailable);
    let error = talk.session.destroy().await;
    assert_eq!(kind(error), ErrorKind::Store(Failure::Unavailable));
    assert_eq!(kind(talk.session.insert("a", 1)), ErrorKind::Ended);
    let answer = talk.end().await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.cookie().unwrap().starts_with("connect.sid=;"));
    assert_eq!(world.calls(), "load(bob) destroy(bob) destroy(bob)");
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn destroy_that_fails_twice_replaces_the_response() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    world.store.fail_next(Verb::Destroy, Failure::Unavailable);
    world.store.fail_next(Verb::Destroy, Failure::Unavailable);
    assert!(talk.session.destroy().await.is_err());
    let answer = talk.end().await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::SERVICE_UNAVAILABLE, None));
}

#[tokio::test]
async fn logout_during_a_slow_request_is_final() {
    let (world, slow, logout) = World::visited_twice(r#""a":1"#).await;
    logout.destroy().await;
    world.calls();

    slow.session.insert("a", 2).unwrap();
    assert_eq!(kind(slow.session.save().await), ErrorKind::Ended);
    assert_eq!(kind(slow.session.get::<u8>("a")), ErrorKind::Ended);
    assert_eq!(world.verbs(), [Verb::Update]);
    let answer = slow.end().await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
    assert_eq!(world.calls(), "");
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn logout_is_final_for_a_rolling_slow_request_that_only_reads() {
    let world = World::holding(&record(MINUTE, "")).await;
    let departures = Departures::all().throttled_touch(false);
    let slow = bob(&world.minute().rolling(true).departures(departures)).await;
    let logout = bob(&world.layer()).await;
    logout.destroy().await;
    world.calls();
    let answer = slow.end().await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
    assert_eq!(world.verbs(), [Verb::Touch]);
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn concurrent_logouts_both_succeed() {
    let (world, one, two) = World::visited_twice("").await;
    one.session.destroy().await.unwrap();
    two.session.destroy().await.unwrap();
    assert_eq!(one.end().await.status, StatusCode::OK);
    assert_eq!(two.end().await.status, StatusCode::OK);
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn session_that_expires_during_a_slow_request_is_not_written_back() {
    let world = World::holding(&record(MINUTE, "")).await;
    let slow = bob(&world.minute()).await;
    world.clock.advance(Duration::from_secs(61));
    slow.session.insert("a", 1).unwrap();
    assert_eq!(kind(slow.session.save().await), ErrorKind::Ended);
    assert_eq!(slow.end().await.cookie(), None);
    assert_eq!(world.kept(BOB).await, None);
}

// Touching.

#[tokio::test]
async fn touch_in_a_handler_costs_no_call_of_its_own() {
    let world = World::holding(&record(MINUTE, "")).await;
    let talk = bob(&world.minute()).await;
    talk.session.touch().await.unwrap();
    talk.session.touch().await.unwrap();
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Load, Verb::Touch], "it is the response's own");
}

#[tokio::test]
async fn touch_late_in_a_slow_request_reaches_the_store() {
    let world = World::holding(&record(MINUTE, "")).await;
    let talk = bob(&world.minute()).await;
    world.clock.advance(Duration::from_secs(50));
    talk.session.touch().await.unwrap();
    talk.end().await;
    world.clock.advance(Duration::from_secs(50));
    assert!(world.kept(BOB).await.is_some());
}

#[tokio::test]
async fn touch_does_not_store_a_new_session() {
    let (world, talk) = World::first_visit().await;
    talk.session.touch().await.unwrap();
    assert_eq!(talk.end().await.cookie(), None);
    assert_eq!(world.calls(), "");
}

// Two concurrent requests of one visitor.

#[tokio::test]
async fn counters_of_overlapping_requests_lose_nothing() {
    let world = World::with(r#""n":0"#).await;
    let layer = world.layer();
    let mut talks = Vec::new();
    for _ in 0..20 {
        let talk = bob(&layer).await;
        increment(&talk.session);
        talks.push(talk);
    }
    for talk in talks {
        assert_eq!(talk.end().await.status, StatusCode::OK);
    }
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":20"#)));
    let updates = world.verbs().iter().filter(|verb| **verb == Verb::Update).count();
    assert_eq!(updates, 20 + 19);
}

#[tokio::test]
async fn overlapping_requests_are_merged() {
    type Change = fn(&Session);
    let minute = |session: &Session| session.cookie().set_max_age(Duration::from_secs(60)).unwrap();
    let members = |members: &str| record(PLAIN, members);
    let rows: [(&str, &str, Change, Change, String); 9] = [
        (
            "of the same member the later save stays",
            r#""a":1"#,
            |first| first.insert("a", 3).unwrap(),
            |later| later.insert("a", 2).unwrap(),
            members(r#""a":2"#),
        ),
        (
            "a list loses nothing",
            "",
            |first| push(first, "apple"),
            |later| ["pear", "plum"].into_iter().for_each(|item| push(later, item)),
            members(r#""items":["apple","pear","plum"]"#),
        ),
        (
            "clear removes what was there, and not what another request adds",
            r#""a":1,"b":1"#,
            |first| first.insert("c", 1).unwrap(),
            |later| later.clear().unwrap(),
            members(r#""c":1"#),
        ),
        (
            "update on top of an insert is an insert",
            r#""n":1"#,
            |first| first.insert("n", 100).unwrap(),
            |later| later.insert("n", 5).map(|()| increment(later)).unwrap(),
            members(r#""n":6"#),
        ),
        (
            "update on top of a removal starts from nothing",
            r#""n":7"#,
            |first| first.insert("n", 100).unwrap(),
            |later| later.take::<u32>("n").map(|_| increment(later)).unwrap(),
            members(r#""n":1"#),
        ),
        (
            "insert on top of an update is an insert",
            r#""n":1"#,
            increment,
            |later| {
                increment(later);
                later.insert("n", 50).unwrap();
            },
            members(r#""n":50"#),
        ),
        (
            "update that changed nothing is made again all the same",
            r#""most":7"#,
            |first| first.insert("most", 3).unwrap(),
            |later| {
                later.update("most", |most: Option<u32>| most.unwrap_or(0).max(5)).unwrap();
                later.insert("a", 1).unwrap();
            },
            members(r#""most":5,"a":1"#),
        ),
        (
            "cookie that another request changed is kept",
            "",
            minute,
            |later| later.insert("a", 1).unwrap(),
            record(MINUTE, r#""a":1"#),
        ),
        (
            "cookie goes with what another request saved",
            "",
            |first| first.insert("a", 1).unwrap(),
            minute,
            record(MINUTE, r#""a":1"#),
        ),
    ];
    for (rule, members, first, later, kept) in rows {
        let (world, one, two) = World::visited_twice(members).await;
        first(&one.session);
        later(&two.session);
        one.end().await;
        two.end().await;
        assert_eq!(world.kept(BOB).await, Some(kept), "{rule}");
    }
}

#[tokio::test]
async fn update_shows_the_merged_value_after_a_save() {
    let (world, one, two) = World::visited_twice(r#""n":1"#).await;
    increment(&one.session);
    one.end().await;
    increment(&two.session);
    assert_eq!(two.session.get::<u32>("n").unwrap(), Some(2));
    two.session.save().await.unwrap();
    assert_eq!(two.session.get::<u32>("n").unwrap(), Some(3));
    increment(&two.session);
    two.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":4"#)));
}

#[tokio::test]
async fn different_members_of_overlapping_requests_are_both_kept() {
    let (world, one, two) = World::visited_twice(r#""a":1,"b":1,"c":1"#).await;
    one.session.insert("a", 2).unwrap();
    one.session.remove("c").unwrap();
    two.session.insert("b", 2).unwrap();
    two.session.insert("d", 2).unwrap();
    one.end().await;
    two.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":2,"b":2,"d":2"#)));
    assert_eq!(world.verbs(), [Verb::Load, Verb::Load, Verb::Update, Verb::Update, Verb::Update]);
}

#[tokio::test]
async fn update_on_top_of_a_saved_insert_is_made_again() {
    let world = World::with("").await;
    let one = bob(&world.layer()).await;
    one.session.insert("n", 5).unwrap();
    one.session.save().await.unwrap();
    let two = bob(&world.layer()).await;
    increment(&two.session);
    two.end().await;
    increment(&one.session);
    one.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":7"#)));
}

#[tokio::test]
async fn update_made_while_a_save_is_under_way_is_made_again_too() {
    let world = World::with(r#""n":1"#).await;
    let delayed_store = DelayedStore::before(Verb::Update, world.store.clone());
    let one = bob(&world.layer().store(delayed_store.clone())).await;
    one.session.update("x", |_: Option<u32>| 1).unwrap();
    increment(&one.session);
    {
        let mut save = pin!(one.session.save());
        assert!(waits(save.as_mut()).await);
        // Takes the first of the two updates back, and adds another.
        one.session.insert("x", 2).unwrap();
        increment(&one.session);
        delayed_store.open();
        save.await.unwrap();
    }
    let two = bob(&world.layer()).await;
    increment(&two.session);
    two.end().await;
    one.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":4,"x":2"#)));
}

#[tokio::test]
async fn update_that_does_not_fit_what_is_stored_now_is_an_error_and_overwrites_nothing() {
    let (world, one, two) = World::visited_twice(r#""n":1"#).await;
    increment(&one.session);
    two.session.insert("n", "text").unwrap();
    two.session.insert("b", 2).unwrap();
    two.end().await;
    let theirs = record(PLAIN, r#""n":"text","b":2"#);
    assert_eq!(kind(one.session.save().await), ErrorKind::Deserialize);
    assert_eq!(world.kept(BOB).await.as_deref(), Some(&*theirs));
    let answer = one.end().await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(world.kept(BOB).await, Some(theirs));
}

#[tokio::test]
async fn without_departure_19_the_last_whole_record_stays() {
    let world = World::with(r#""a":1"#).await;
    let layer = world.layer().departures(Departures::all().merge_changes(false));
    let (one, two) = (bob(&layer).await, bob(&layer).await);
    one.session.insert("a", 2).unwrap();
    two.session.insert("b", 2).unwrap();
    one.end().await;
    two.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1,"b":2"#)));
}

#[tokio::test]
async fn without_departure_16_a_slow_request_undoes_a_logout() {
    let world = World::with(r#""a":1"#).await;
    let layer = world.layer().departures(Departures::all().destroy_is_final(false));
    let (slow, logout) = (bob(&layer).await, bob(&layer).await);
    logout.destroy().await;
    slow.session.insert("a", 2).unwrap();
    slow.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":2"#)));
}

#[tokio::test]
async fn constantly_changed_session_ends_in_a_reported_conflict() {
    let (world, talk) = World::visited(r#""n":0"#).await;
    increment(&talk.session);
    // Whenever it is tried, another request was faster.
    let store = world.store.inner().clone();
    world.store.fail(move |call| {
        let express_session_testkit::Call::Update { id, .. } = call else { return None };
        express_session_testkit::block_on(async {
            use store::Store as _;
            let loaded = store.load(id, NOW).await.unwrap().unwrap();
            store.update(id, &loaded.record, &loaded.revision, NOW).await.unwrap();
        });
        None
    });
    let error = talk.session.save().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.is_temporary());
    world.store.fail(|_| None);
    talk.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":1"#)));
}

// Ids.

#[tokio::test]
async fn new_session_never_overwrites_the_record_of_an_id_in_use() {
    let world = World::with(r#""a":1"#).await;
    let layer = world.layer().genid(|_| BOB.to_owned());
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.insert("b", 2).unwrap();
    assert_eq!(kind(talk.session.save().await), ErrorKind::IdTaken);
    let answer = talk.end().await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::INTERNAL_SERVER_ERROR, None));
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn without_departure_17_a_new_session_overwrites_it() {
    let world = World::with(r#""a":1"#).await;
    let layer = world.layer().genid(|_| BOB.to_owned());
    let departures = Departures::all().unique_ids(false).merge_changes(false);
    let talk = Talk::begin(&layer.departures(departures), visit()).await;
    talk.session.insert("b", 2).unwrap();
    assert_eq!(talk.end().await.pair(), sid(BOB));
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""b":2"#)));
}

#[tokio::test]
async fn empty_id_of_genid_is_an_error() {
    let world = World::new();
    let layer = world.layer().genid(|_| String::new());
    let answer = send(&app(&layer, async |_| ()), visit()).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("EmptyId", None));
    assert_eq!(world.calls(), "");
}

// The typed form.

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Cart {
    items: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<String>,
}

#[tokio::test]
async fn typed_session_reads_and_writes_its_fields_and_no_others() {
    let (world, talk) = World::visited(r#""user":"bob","items":["pear"],"coupon":"X""#).await;
    let cart = express_session::Typed::<Cart>::new(talk.session.clone());
    assert_eq!(cart.read().unwrap().coupon.as_deref(), Some("X"));
    let now = cart
        .update(|cart| {
            cart.items.push("plum".to_owned());
            cart.coupon = None;
        })
        .unwrap();
    assert_eq!(now, Cart { items: vec!["pear".into(), "plum".into()], coupon: None });
    assert_eq!(cart.session().keys(), ["user", "items"]);
    drop(cart);
    talk.end().await;
    assert_eq!(
        world.kept(BOB).await,
        Some(record(PLAIN, r#""user":"bob","items":["pear","plum"]"#))
    );
}

#[tokio::test]
async fn typed_session_that_writes_what_is_there_changes_nothing() {
    let (world, talk) = World::visited(r#""items":["pear"],"x":1.0"#).await;
    let cart = express_session::Typed::<Cart>::new(talk.session.clone());
    let same = cart.read().unwrap();
    cart.write(&same).unwrap();
    drop(cart);
    talk.end().await;
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn typed_session_of_a_first_visit_is_the_default() {
    let (world, talk) = World::first_visit().await;
    let cart = express_session::Typed::<Cart>::new(talk.session.clone());
    assert_eq!(cart.read().unwrap(), Cart::default());
    drop(cart);
    talk.end().await;
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn typed_session_that_does_not_fit_is_an_error() {
    let (_, talk) = World::visited(r#""items":5"#).await;
    let cart = express_session::Typed::<Cart>::new(talk.session.clone());
    assert_eq!(kind(cart.read()), ErrorKind::Deserialize);
    assert_eq!(kind(cart.update(|_| ())), ErrorKind::Deserialize);

    #[derive(Default, Serialize, Deserialize)]
    struct Reserved {
        a: u8,
        id: u8,
    }
    talk.session.clear().unwrap();
    let reserved = express_session::Typed::<Reserved>::new(talk.session.clone());
    let error = reserved.write(&Reserved { a: 1, id: 1 }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedName);
    assert!(talk.session.is_empty());

    let number = express_session::Typed::<u8>::new(talk.session.clone());
    assert_eq!(kind(number.write(&5)), ErrorKind::Serialize);
    talk.session.destroy().await.unwrap();
    assert_eq!(kind(cart.read()), ErrorKind::Ended);
    assert_eq!(kind(cart.write(&Cart::default())), ErrorKind::Ended);
}

#[tokio::test]
async fn typed_sessions_of_overlapping_requests_keep_both_fields() {
    let (world, one, two) = World::visited_twice(r#""items":[],"coupon":"X""#).await;
    let first = express_session::Typed::<Cart>::new(one.session.clone());
    first.update(|cart| cart.items.push("pear".to_owned())).unwrap();
    let second = express_session::Typed::<Cart>::new(two.session.clone());
    second.update(|cart| cart.coupon = Some("Y".to_owned())).unwrap();
    drop((first, second));
    one.end().await;
    two.end().await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""items":["pear"],"coupon":"Y""#)));
}

#[tokio::test]
async fn debug_output_of_the_handles_shows_nothing() {
    let world = World::with(r#""card":"4711""#).await;
    let layer = world.layer().cookie(Cookie::new());
    let talk = bob(&layer).await;
    let typed = express_session::Typed::<Cart>::new(talk.session.clone());
    let shown = format!("{:?} {:?} {:?}", talk.session, talk.session.cookie(), typed);
    assert!(!shown.contains("4711") && !shown.contains(BOB), "{shown}");
}

#[tokio::test]
async fn update_with_a_lost_answer_is_not_repeated_on_top_of_another_write() {
    let world = World::with("").await;
    let delayed_store = DelayedStore::lost(Verb::Update, world.store.clone());
    let layer = world.layer().store(delayed_store);
    let talk = bob(&layer).await;
    talk.session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
    talk.session.save().await.unwrap_err();
    // It was written all the same, and another request has written since.
    let other = bob(&layer).await;
    other.session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
    assert_eq!(other.end().await.status, 200);
    assert_eq!(talk.end().await.status, 503);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}
