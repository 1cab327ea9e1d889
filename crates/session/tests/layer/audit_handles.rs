//! Findings H2, M8, M9 and the low ones about handles: what overlapping requests must not lose, and what must not run
//! under the lock of a session's state.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use express_session::store::{self, ErrorKind as Failure, LockOutcome, LockToken, Store as _};
use express_session::{Departures, Error, ErrorKind, Session, SessionId, SessionLayer, Typed};
use express_session_testkit::Verb;
use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::task::JoinSet;

use crate::support::*;

const OVERLAPPING: usize = 50;

async fn bob(layer: &SessionLayer) -> Talk {
    Talk::begin(layer, visit_as(BOB)).await
}

/// Begins requests of [`BOB`]'s that all have loaded the same record, in two processes.
async fn overlapping(world: &World, count: usize) -> Vec<Talk> {
    let layers = [world.layer(), world.layer()];
    let mut talks = Vec::new();
    for number in 0..count {
        talks.push(bob(&layers[number % 2]).await);
    }
    talks
}

async fn end_all(talks: Vec<Talk>) {
    let ends: JoinSet<_> = talks.into_iter().map(Talk::end).collect();
    assert!(ends.join_all().await.iter().all(|answer| answer.status == StatusCode::OK));
}

async fn kept(world: &World) -> serde_json::Value {
    serde_json::from_str(&world.kept(BOB).await.unwrap()).unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Cart {
    items: Vec<usize>,
    left: i64,
    right: i64,
}

fn cart(session: &Session) -> Typed<Cart> {
    Typed::new(session.clone())
}

#[tokio::test(start_paused = true)]
async fn audit_h2_overlapping_updates_of_a_struct_lose_nothing() {
    let world = World::with(r#""items":[]"#).await;
    let talks = overlapping(&world, OVERLAPPING).await;
    for (number, talk) in talks.iter().enumerate() {
        cart(&talk.session).update(move |cart| cart.items.push(number)).unwrap();
    }
    end_all(talks).await;
    let items: BTreeSet<u64> =
        kept(&world).await["items"].as_array().unwrap().iter().filter_map(|n| n.as_u64()).collect();
    assert_eq!(items, (0..OVERLAPPING as u64).collect());
}

#[tokio::test]
async fn audit_h2_fields_that_depend_on_each_other_are_computed_together() {
    let world = World::with(r#""left":1,"right":0"#).await;
    let talk = bob(&world.layer()).await;
    let moved = cart(&talk.session)
        .update(|cart| {
            if cart.left > 0 {
                cart.left -= 1;
                cart.right += 1;
            }
        })
        .unwrap();
    assert_eq!((moved.left, moved.right), (0, 1));
    // Only one of the two fields is changed by the other request, or a field that the function only reads.
    for (theirs, left, right) in [(r#""left":1,"right":5"#, 0, 6), (r#""left":0,"right":0"#, 0, 0)]
    {
        world.keep(BOB, &record(PLAIN, theirs)).await;
        let talk = bob(&world.layer()).await;
        world.keep(BOB, &record(PLAIN, r#""left":1,"right":0"#)).await;
        talk.session.reload().await.unwrap();
        cart(&talk.session)
            .update(|cart| {
                if cart.left > 0 {
                    cart.left -= 1;
                    cart.right += 1;
                }
            })
            .unwrap();
        world.keep(BOB, &record(PLAIN, theirs)).await;
        talk.end().await;
        let kept = kept(&world).await;
        assert_eq!((kept["left"].as_i64(), kept["right"].as_i64()), (Some(left), Some(right)));
    }
    drop(talk);
}

#[tokio::test]
async fn audit_h2_changes_before_and_after_an_update_of_a_struct_keep_their_order() {
    // An update on top of what this request had overwritten overwrites too.
    for (begin, left) in [(None, 5 + 3), (Some(100), 100 + 3)] {
        let world = World::with(r#""left":0,"other":1"#).await;
        let talk = bob(&world.layer()).await;
        let session = &talk.session;
        if let Some(begin) = begin {
            session.insert("left", begin).unwrap();
        }
        session.update("left", |n: Option<i64>| n.unwrap_or(0) + 1).unwrap();
        cart(session).update(|cart| cart.left += 1).unwrap();
        session.update("left", |n: Option<i64>| n.unwrap_or(0) + 1).unwrap();
        session.insert("mine", true).unwrap();
        world.keep(BOB, &record(PLAIN, r#""left":5,"other":2"#)).await;
        talk.session.save().await.unwrap();
        let stored = kept(&world).await;
        assert_eq!(stored["left"].as_i64(), Some(left), "{stored}");
        assert_eq!((stored["other"].as_i64(), &stored["mine"]), (Some(2), &true.into()));
        // And again, on what has been rebased once.
        cart(&talk.session).update(|cart| cart.right += 1).unwrap();
        talk.session.update("right", |n: Option<i64>| n.unwrap_or(0) + 1).unwrap();
        world.keep(BOB, &record(PLAIN, r#""left":9,"right":10,"other":2"#)).await;
        talk.end().await;
        let stored = kept(&world).await;
        assert_eq!((stored["left"].as_i64(), stored["right"].as_i64()), (Some(9), Some(12)));
    }
}

#[tokio::test]
async fn audit_h2_member_overwritten_after_an_update_of_a_struct_stays() {
    let world = World::with(r#""left":0,"right":0"#).await;
    let talk = bob(&world.layer()).await;
    cart(&talk.session)
        .update(|cart| (cart.left, cart.right) = (cart.left + 1, cart.right + 1))
        .unwrap();
    talk.session.insert("right", 100).unwrap();
    world.keep(BOB, &record(PLAIN, r#""left":5,"right":5"#)).await;
    talk.end().await;
    let stored = kept(&world).await;
    assert_eq!((stored["left"].as_i64(), stored["right"].as_i64()), (Some(6), Some(100)));
}

#[derive(Default, Serialize, Deserialize)]
struct Open {
    views: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Closed {
    views: u32,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Grown {
    views: u32,
    // Added later, without a default of serde.
    theme: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Visitor {
    Known { user: String },
    Unknown { asked: u32 },
}

impl Default for Visitor {
    fn default() -> Self {
        Self::Unknown { asked: 0 }
    }
}

#[tokio::test]
async fn audit_h2_structs_of_every_shape_are_read_and_written() {
    let world = World::with(r#""views":1,"user":"bob""#).await;
    let talk = bob(&world.layer()).await;
    let session = &talk.session;

    let open = Typed::<Open>::new(session.clone());
    assert_eq!(open.read().unwrap().rest.keys().collect::<Vec<_>>(), ["user"]);
    open.update(|open| {
        open.views += 1;
        open.rest.remove("user");
        open.rest.insert("seen".to_owned(), 1.into());
    })
    .unwrap();
    assert_eq!(session.keys(), ["views", "seen"]);

    session.remove("seen").unwrap();
    let closed = Typed::<Closed>::new(session.clone());
    assert_eq!(closed.update(|closed| closed.views += 1).unwrap().views, 3);
    session.insert("stranger", 1).unwrap();
    assert_eq!(kind(closed.read()), ErrorKind::Deserialize);

    let grown = Typed::<Grown>::new(session.clone());
    assert_eq!(grown.read().unwrap(), Grown { views: 3, theme: String::new() });

    let visitor = Typed::<Visitor>::new(session.clone());
    session.insert("asked", 4).unwrap();
    visitor
        .update(|visitor| {
            if let Visitor::Unknown { asked: 4 } = visitor {
                *visitor = Visitor::Known { user: "eve".to_owned() };
            }
        })
        .unwrap();
    assert_eq!(
        session.keys(),
        ["views", "stranger", "user"],
        "the other variant's fields are gone"
    );
    talk.end().await;
}

/// A struct with two fields that were renamed.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Renamed {
    #[serde(alias = "user")]
    name: String,
    #[serde(alias = "count", alias = "n")]
    views: u32,
}

#[tokio::test]
async fn audit_h2_field_with_an_alias_is_written_under_its_new_name_alone() {
    for members in [
        r#""user":"bob","n":1,"theme":"dark""#,
        r#""theme":"dark","name":"bob","count":1"#,
        r#""user":"bob","theme":"dark","views":1"#,
    ] {
        let world = World::with(members).await;
        let talk = bob(&world.layer()).await;
        let renamed = Typed::<Renamed>::new(talk.session.clone());
        for views in 2..4 {
            renamed.update(|it| it.views += 1).unwrap();
            assert_eq!(renamed.read().unwrap(), Renamed { name: "bob".to_owned(), views });
        }
        renamed.write(&Renamed { name: "eve".to_owned(), views: 9 }).unwrap();
        let keys: BTreeSet<_> = talk.session.keys().into_iter().collect();
        assert_eq!(keys, ["name", "theme", "views"].map(str::to_owned).into(), "{members}");
        talk.end().await;
        let later = Typed::<Renamed>::new(bob(&world.layer()).await.session);
        assert_eq!(later.read().unwrap(), Renamed { name: "eve".to_owned(), views: 9 });
    }
    // A member that another type does not know stays.
    let world = World::with(r#""stranger":1"#).await;
    let talk = bob(&world.layer()).await;
    Typed::<Closed>::new(talk.session.clone()).write(&Closed { views: 1 }).unwrap();
    assert_eq!(talk.session.keys(), ["stranger", "views"]);
    talk.end().await;
}

#[tokio::test]
async fn audit_h2_error_names_the_field_and_no_data() {
    let world = World::with(r#""items":[1,"s3cret"],"left":1,"v1s1tor":1"#).await;
    let talk = bob(&world.layer()).await;
    let error = cart(&talk.session).read().unwrap_err();
    assert!(error.to_string().contains(r#""items""#), "{error}");
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    let error = Typed::<Closed>::new(talk.session.clone()).read().unwrap_err();
    assert!(!format!("{error:?} {error}").contains("v1s1tor"), "{error:?}");
    talk.end().await;
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn audit_h2_optional_struct_is_none_without_a_session() {
    use ::axum::{Router, body::Body, routing::get};
    use http::Request;
    use tower::ServiceExt as _;

    async fn page(cart: Option<Typed<Cart>>) -> String {
        cart.is_some().to_string()
    }
    let plain = Router::new().route("/", get(page));
    let layered = plain.clone().layer(World::new().layer());
    for (app, is_some) in [(plain, "false"), (layered, "true")] {
        let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(read(response).await.body, is_some);
    }
}

/// Runs these concurrently, and returns what they gave.
async fn together<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    talks: &[Talk],
    run: impl Fn(Session) -> F,
) -> Vec<T> {
    talks.iter().map(|talk| run(talk.session.clone())).collect::<JoinSet<_>>().join_all().await
}

#[tokio::test(start_paused = true)]
async fn audit_m8_one_of_overlapping_requests_takes_a_member() {
    for departures in [Departures::all(), Departures::none()] {
        let world = World::with(r#""token":"a7f3""#).await;
        let layers = [world.layer(), world.layer()].map(|layer| layer.departures(departures));
        let mut talks = Vec::new();
        for number in 0..OVERLAPPING {
            talks.push(bob(&layers[number % 2]).await);
        }
        let take = |session: Session| async move { session.take_once::<String>("token").await };
        let mut taken = together(&talks, take).await;
        // Clones of one handle as well.
        taken.extend(together(&talks, take).await);
        let taken: Vec<_> = taken.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(taken, ["a7f3"]);
        end_all(talks).await;
        assert_eq!(kept(&world).await["token"], serde_json::Value::Null);
    }
}

#[tokio::test(start_paused = true)]
async fn audit_m8_no_two_requests_get_the_same_number() {
    let world = World::with(r#""n":0"#).await;
    let talks = overlapping(&world, OVERLAPPING).await;
    let mut numbers = together(&talks, |session| async move {
        session.update_now("n", |n: Option<usize>| n.unwrap_or(0) + 1).await.unwrap()
    })
    .await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=OVERLAPPING).collect::<Vec<_>>());
    end_all(talks).await;
    assert_eq!(kept(&world).await["n"], OVERLAPPING);
}

/// Some of the same request, some of others, some that save at the end: by the same function, too.
#[tokio::test(start_paused = true)]
async fn audit_m8_numbers_are_final_among_other_updates() {
    fn next(n: Option<usize>) -> usize {
        n.unwrap_or(0) + 1
    }
    let world = World::with(r#""n":0"#).await;
    let talks = overlapping(&world, 20).await;
    let mut numbers = Vec::new();
    for talk in &talks {
        talk.session.update("n", next).unwrap();
    }
    let (saving, drawing) =
        (together(&talks, |session| async move { session.save().await }), async {
            let draw =
                |session: Session| async move { session.update_now("n", next).await.unwrap() };
            together(&talks, draw).await
        });
    let (saved, drawn) = tokio::join!(saving, drawing);
    assert!(saved.iter().all(Result::is_ok));
    numbers.extend(drawn);
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 20, "{numbers:?}");
    end_all(talks).await;
    assert_eq!(kept(&world).await["n"], 40);
}

#[tokio::test(start_paused = true)]
async fn audit_m8_struct_is_final_too() {
    let world = World::with("").await;
    let talks = overlapping(&world, 20).await;
    let mut seats = together(&talks, |session| async move {
        let cart = cart(&session);
        cart.update_now(|cart| cart.items.push(cart.items.len())).await.unwrap().items.len()
    })
    .await;
    seats.sort_unstable();
    assert_eq!(seats, (1..=20).collect::<Vec<_>>());
    end_all(talks).await;
}

#[tokio::test]
async fn audit_m8_member_that_was_taken_in_vain_is_taken() {
    let world = World::with(r#""token":"a7f3""#).await;
    let layer = world.layer();
    let talk = bob(&layer).await;
    world.store.fail_next(Verb::Update, Failure::Unavailable);
    let failed = talk.session.take_once::<String>("token").await;
    assert_eq!(kind(failed), ErrorKind::Store(Failure::Unavailable));
    talk.end().await;
    assert_eq!(bob(&layer).await.session.take_once::<String>("token").await.unwrap(), None);
    // One of the wrong type stays.
    let world = World::with(r#""token":7"#).await;
    let talk = bob(&world.layer()).await;
    assert_eq!(kind(talk.session.take_once::<String>("token").await), ErrorKind::Deserialize);
    assert_eq!(talk.session.take_once("token").await.unwrap(), Some(7));
    talk.end().await;
}

#[tokio::test]
async fn audit_m9_holder_of_the_past_has_a_lower_fencing_token() {
    let world = World::with("").await;
    let layer = world.layer();
    let (paused, next) = (bob(&layer).await, bob(&world.layer()).await);
    let first = paused.session.lock().await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    let second = next.session.lock().await.unwrap();
    assert!(second.fencing_token() > first.fencing_token());
    assert_eq!(first.remaining(), Duration::ZERO);
    second.unlock().await.unwrap();
    // No request has the lock now, and yet another had it in between.
    assert_eq!(kind(first.renew().await), ErrorKind::LockLost);
    let id = SessionId::new(BOB).unwrap();
    let other = LockToken::from_random([9; 16]);
    let free = world.store.lock(&id, other, Duration::from_secs(1), world.clock.now()).await;
    assert!(matches!(free.unwrap(), LockOutcome::Acquired(_)), "a lost lock is not kept");
    drop((paused.abort(), next.abort()));
}

#[tokio::test]
async fn audit_m9_rest_of_the_lease_is_shown() {
    let world = World::with("").await;
    let talk = bob(&world.layer().lock_lease(Duration::from_secs(30))).await;
    let held = talk.session.lock().await.unwrap();
    assert_eq!(held.remaining(), Duration::from_secs(30));
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(held.remaining(), Duration::from_secs(10));
    held.renew().await.unwrap();
    assert_eq!(held.remaining(), Duration::from_secs(30));
    held.unlock().await.unwrap();
    talk.end().await;
}

#[tokio::test(start_paused = true)]
async fn audit_m9_lease_is_renewed_while_work_goes_on() {
    let world = World::with("").await;
    let talk = bob(&world.layer().lock_lease(Duration::from_secs(30))).await;
    let held = talk.session.lock().await.unwrap();
    let clock = world.clock.clone();
    let slow = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            clock.advance(Duration::from_secs(5));
        }
        "done"
    };
    assert_eq!(held.renew_while(slow).await.unwrap(), "done");
    held.unlock().await.unwrap();

    // Where it is lost, the work ends.
    let held = talk.session.lock().await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    let id = SessionId::new(BOB).unwrap();
    let other = LockToken::from_random([9; 16]);
    world.store.lock(&id, other, Duration::from_secs(60), world.clock.now()).await.unwrap();
    let never = std::future::pending::<()>();
    assert_eq!(kind(held.renew_while(never).await), ErrorKind::LockLost);
    drop(talk.abort());
}

#[tokio::test(start_paused = true)]
async fn audit_m9_work_ends_with_the_lease_where_the_store_does_not_renew_it() {
    let world = World::with("").await;
    let talk = bob(&world.layer().lock_lease(Duration::from_secs(30))).await;
    let held = talk.session.lock().await.unwrap();
    world.store.fail(|call| {
        (call.verb() == Verb::Lock).then(|| store::Error::new(Failure::Unavailable, "out"))
    });
    let (clock, seconds) = (world.clock.clone(), AtomicUsize::new(0));
    let work = async {
        loop {
            tokio::time::sleep(Duration::from_secs(4)).await;
            clock.advance(Duration::from_secs(4));
            seconds.fetch_add(4, Ordering::SeqCst);
        }
    };
    let error = held.renew_while::<()>(work).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store(Failure::Unavailable));
    let seconds = seconds.into_inner();
    assert!((24..=32).contains(&seconds), "the lease was 30 s, and the work went on for {seconds}");
    drop(talk.abort());
}

#[tokio::test]
async fn audit_m9_lock_taken_twice_is_a_mistake_of_the_program() {
    let world = World::with("").await;
    let talk = bob(&world.layer()).await;
    let _held = talk.session.lock().await.unwrap();
    let error = talk.session.lock().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::LockedTwice, false));
    #[cfg(feature = "axum")]
    {
        let response = ::axum::response::IntoResponse::into_response(error);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    drop(talk.abort());
}

thread_local! {
    static CURRENT: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// Reads and changes the session of this thread, as code of the application may.
fn look() {
    CURRENT.with_borrow(|session| {
        if let Some(session) = session {
            let _ = session.keys();
            session.insert("seen", 1).unwrap();
        }
    });
}

#[derive(Default)]
struct Nosy;

impl Serialize for Nosy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        look();
        serializer.collect_map([("nosy", 1)])
    }
}

impl<'de> Deserialize<'de> for Nosy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        look();
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        look();
    }
}

/// A function with something that looks at the session when it is dropped.
fn nosy(nosy: Arc<Nosy>) -> impl Fn(Option<u8>) -> u8 + Send + Sync {
    move |n| {
        let _ = &nosy;
        n.unwrap_or(0).wrapping_add(1)
    }
}

/// A deadlock is a test that does not end.
#[tokio::test]
async fn audit_l3_no_code_of_the_application_runs_under_the_lock_of_the_state() {
    let world = World::with(r#""a":1,"b":1"#).await;
    let layer = world.layer();
    let talk = bob(&layer).await;
    let session = talk.session.clone();
    CURRENT.set(Some(session.clone()));
    session.get::<Nosy>("a").unwrap();
    session.insert("a", Nosy).unwrap();
    session.update("a", |_: Option<Nosy>| Nosy).unwrap();
    session.take::<Nosy>("a").unwrap();
    let typed = Typed::<Nosy>::new(session.clone());
    typed.read().unwrap();
    typed.write(&Nosy).unwrap();
    session.remove("seen").unwrap();
    typed.write(&Nosy).unwrap();
    session.insert("a", 1).unwrap();
    session.take_once::<Nosy>("a").await.unwrap();
    session.update_now("a", |_: Option<Nosy>| Nosy).await.unwrap();

    let hold = |key: &str| session.update(key, nosy(Arc::new(Nosy))).unwrap();
    hold("n");
    session.insert("n", 1).unwrap();
    hold("n");
    session.remove("n").unwrap();
    hold("n");
    session.clear().unwrap();
    hold("n");
    session.save().await.unwrap();
    hold("n");
    session.reload().await.unwrap();
    hold("n");
    session.regenerate().await.unwrap();
    hold("n");
    session.destroy().await.unwrap();
    CURRENT.set(None);
    drop(session);
    talk.end().await;
}

#[tokio::test]
async fn audit_l4_long_lived_handle_has_to_save() {
    let world = World::with("").await;
    let talk = bob(&world.layer()).await;
    let calls = Arc::new(AtomicUsize::new(0));
    for _ in 0..4096 {
        let calls = Arc::clone(&calls);
        let count = move |n: Option<u32>| {
            calls.fetch_add(1, Ordering::Relaxed);
            n.unwrap_or(0) + 1
        };
        talk.session.update("n", count).unwrap();
    }
    let one = 1;
    let more = |session: &Session| session.update("n", move |n: Option<u32>| n.unwrap_or(0) + one);
    assert_eq!(kind(more(&talk.session)), ErrorKind::TooManyUpdates);
    assert_eq!(kind(cart(&talk.session).update(|_| {})), ErrorKind::TooManyUpdates);
    talk.session.save().await.unwrap();
    assert_eq!(more(&talk.session).unwrap(), 4097);
    // A function that captures nothing may go on for ever.
    for _ in 0..10_000 {
        talk.session.update("pings", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
    }
    talk.end().await;
    assert_eq!(
        (&kept(&world).await["n"], &kept(&world).await["pings"]),
        (&4097.into(), &10_000.into())
    );
}
