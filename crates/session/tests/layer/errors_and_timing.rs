//! The cases of the vectors in errors-and-timing.txt that mean something outside of Node, each with
//! the departures off, as there, and on.
//!
//! `set` of express-session is `create` here for a record that is not there, and `update` for one
//! that is; `get` is `load`.

use express_session::store::ErrorKind as Failure;
use express_session::{Cookie, Departures, Error, MemoryStore, Session, SessionLayer, Unset};
use express_session_testkit::{Spy, Verb};
use http::header::SET_COOKIE;
use http::{Method, Request, StatusCode};

use crate::support::body::empty;
use crate::support::delayed_store::DelayedStore;
use crate::support::*;

/// A layer as express-session 1.19.0 is.
fn node(world: &World) -> SessionLayer {
    world.layer().departures(Departures::none())
}

fn ours(world: &World) -> SessionLayer {
    world.layer()
}

/// The two, in this order.
const BOTH: [fn(&World) -> SessionLayer; 2] = [node, ours];

/// The outcome of one request.
async fn outcome<H, F>(
    world: &World,
    layer: &SessionLayer,
    request: Request<()>,
    handler: H,
) -> Seen
where
    H: Fn(Session) -> F + Clone + Send + 'static,
    F: Future<Output: Reply> + Send + 'static,
{
    let answer = send(&app(layer, handler), request).await;
    let cookie = answer.cookie().map(|line| line.split(';').next().unwrap().to_owned());
    Seen { calls: world.calls(), cookie, status: answer.status.as_u16(), body: answer.body }
}

struct Seen {
    calls: String,
    cookie: Option<String>,
    status: u16,
    body: String,
}

fn pair(id: &str) -> Option<String> {
    Some(sid(id))
}

const FORGOTTEN: &str = "connect.sid=";

#[tokio::test]
async fn regenerate_then_save_sets_twice_on_node_and_once_here() {
    let (new, text) = (drawn(1), record(PLAIN, r#""user":1"#));
    for (layer, calls) in BOTH.into_iter().zip([
        format!("load(bob) destroy(bob) create({new}, {text}) update({new}, {text})"),
        format!("load(bob) destroy(bob) create({new}, {text})"),
    ]) {
        let world = World::with("").await;
        let seen = outcome(&world, &layer(&world), visit_as(BOB), async |session: Session| {
            session.regenerate().await?;
            session.insert("user", 1)?;
            session.save().await
        })
        .await;
        assert_eq!((seen.calls, seen.cookie), (calls, pair(&new)));
    }
}

#[tokio::test]
async fn new_session_saved_explicitly_is_set_once_and_gets_its_cookie() {
    let (new, text) = (drawn(1), record(PLAIN, r#""user":1"#));
    for layer in BOTH {
        for save_uninitialized in [false, true] {
            let world = World::new();
            let layer = layer(&world).save_uninitialized(save_uninitialized);
            let seen = outcome(&world, &layer, visit(), async |session: Session| {
                session.insert("user", 1)?;
                session.save().await
            })
            .await;
            assert_eq!(seen.calls, format!("create({new}, {text})"));
            assert_eq!(seen.cookie, pair(&new));
        }
    }
}

#[tokio::test]
async fn new_session_regenerated_untouched_is_stored_under_the_second_id() {
    let text = record(PLAIN, "");
    for (layer, calls) in BOTH.into_iter().zip([
        format!("destroy({}) create({}, {text})", drawn(1), drawn(2)),
        format!("create({}, {text})", drawn(2)),
    ]) {
        let world = World::new();
        let seen = outcome(&world, &layer(&world), visit(), async |session: Session| {
            session.regenerate().await
        })
        .await;
        assert_eq!((seen.calls, seen.cookie), (calls, pair(&drawn(2))));
    }
}

#[tokio::test]
async fn reload_that_finds_another_record_counts_as_modified() {
    for (layer, read) in BOTH.into_iter().zip(["load", "load"]) {
        let world = World::with(r#""a":1"#).await;
        let other = world.clone();
        let seen = outcome(&world, &layer(&world), visit_as(BOB), move |session: Session| {
            let world = other.clone();
            async move {
                world.keep(BOB, &record(PLAIN, r#""a":5"#)).await;
                session.reload().await?;
                Ok::<_, Error>(format!("a={}", session.get::<u8>("a")?.unwrap()))
            }
        })
        .await;
        assert_eq!(seen.body, "a=5");
        let text = record(PLAIN, r#""a":5"#);
        assert_eq!(seen.calls, format!("{read}(bob) load(bob) update(bob, {text})"));
        assert_eq!(seen.cookie, None);
    }
}

#[tokio::test]
async fn session_unset_with_unset_destroy_is_destroyed() {
    for (layer, calls, cookie) in [
        (BOTH[0], "load(bob) destroy(bob)", None),
        (BOTH[1], "load(bob) destroy(bob)", Some(FORGOTTEN.to_owned())),
    ] {
        let world = World::with("").await;
        let layer = layer(&world).unset(Unset::Destroy);
        let seen =
            outcome(&world, &layer, visit_as(BOB), async |session: Session| session.unset()).await;
        assert_eq!((seen.calls.as_str(), seen.cookie), (calls, cookie));
    }
}

#[tokio::test]
async fn failed_get_writes_nothing_and_sends_no_cookie() {
    // On Node the handler is never called; here it gets the error if it asks.
    for (layer, verb, status, body) in [
        (BOTH[0], Verb::Load, 500, "The session failed.\n"),
        (BOTH[1], Verb::Load, 418, "Store(Other)"),
    ] {
        let world = World::with(r#""a":1"#).await;
        world.store.fail_next(verb, Failure::Other);
        let seen = outcome(&world, &layer(&world), visit_as(BOB), async |_| ()).await;
        assert_eq!((seen.status, seen.body.as_str(), seen.cookie), (status, body, None));
        assert!(!seen.calls.contains(' '), "{}", seen.calls);
        assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
    }
}

#[tokio::test]
async fn failed_get_with_unset_destroy_destroys_on_node_and_never_here() {
    // Item 23: a transient failure destroys the session there, and never here.
    for (layer, verb, calls, kept) in [
        (BOTH[0], Verb::Load, "load(bob) destroy(bob)", None),
        (BOTH[1], Verb::Load, "load(bob)", Some(record(PLAIN, ""))),
    ] {
        let world = World::with("").await;
        world.store.fail_next(verb, Failure::Other);
        let layer = layer(&world).unset(Unset::Destroy);
        let seen = outcome(&world, &layer, visit_as(BOB), async |_| ()).await;
        assert_eq!(seen.calls, calls);
        assert_eq!(world.kept(BOB).await, kept);
    }
}

#[tokio::test]
async fn failed_set_is_hidden_on_node_and_reported_here() {
    for (layer, status) in BOTH.into_iter().zip([200, 500]) {
        let world = World::with(r#""a":1"#).await;
        world.store.fail_next(Verb::Update, Failure::Other);
        let seen = outcome(&world, &layer(&world), visit_as(BOB), async |session: Session| {
            session.insert("a", 2)
        })
        .await;
        assert_eq!((seen.status, seen.cookie), (status, None));
        let text = record(PLAIN, r#""a":2"#);
        assert!(seen.calls.ends_with(&format!("update(bob, {text})")), "{}", seen.calls);
        assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
    }
}

#[tokio::test]
async fn failed_set_of_a_new_session_sends_its_cookie_on_node_and_none_here() {
    // The headers, and the cookie in them, have left on Node when the store fails.
    for (layer, status, cookie) in [(BOTH[0], 200, pair(&drawn(1))), (BOTH[1], 500, None)] {
        for body in [|| text("body"), || empty(200)] {
            let world = World::new();
            world.store.fail_next(Verb::Create, Failure::Other);
            let seen =
                outcome(&world, &layer(&world), visit(), move |session: Session| async move {
                    session.insert("a", 2).map(|()| body())
                })
                .await;
            assert_eq!((seen.status, &seen.cookie), (status, &cookie));
            assert_eq!(world.kept(&drawn(1)).await, None);
        }
    }
}

#[tokio::test]
async fn failed_touch_is_hidden() {
    // Nothing of the visitor's is lost: the response leaves, with departures or without.
    for departures in [Departures::none(), Departures::all().throttled_touch(false)] {
        let world = World::with(r#""a":1"#).await;
        world.store.fail_next(Verb::Touch, Failure::Other);
        let layer = world.layer().departures(departures);
        let seen = outcome(&world, &layer, visit_as(BOB), async |_| ()).await;
        assert_eq!((seen.status, seen.body.as_str(), seen.cookie), (200, "ok", None));
        let read = "load";
        assert_eq!(seen.calls, format!("{read}(bob) touch(bob, {PLAIN})"));
    }
}

#[tokio::test]
async fn failed_destroy_after_unset_is_hidden_on_node_and_reported_here() {
    for (layer, status) in BOTH.into_iter().zip([200, 500]) {
        let world = World::with("").await;
        world.store.fail_next(Verb::Destroy, Failure::Other);
        let layer = layer(&world).unset(Unset::Destroy);
        let seen =
            outcome(&world, &layer, visit_as(BOB), async |session: Session| session.unset()).await;
        assert_eq!((seen.status, seen.cookie), (status, None));
        assert!(seen.calls.ends_with("destroy(bob)"), "{}", seen.calls);
    }
}

#[tokio::test]
async fn failed_regenerate_starts_a_new_session_on_node_and_keeps_the_session_here() {
    let regenerate = async |session: Session| {
        let failed = session.regenerate().await.unwrap_err();
        format!("{:?} {}", failed.kind(), session.id().as_str())
    };
    let world = World::with(r#""a":1"#).await;
    world.store.fail_next(Verb::Destroy, Failure::Other);
    let seen = outcome(&world, &node(&world), visit_as(BOB), regenerate).await;
    let (new, text) = (drawn(1), record(PLAIN, ""));
    assert_eq!(seen.body, format!("Store(Other) {new}"));
    assert_eq!(seen.calls, format!("load(bob) destroy(bob) create({new}, {text})"));
    assert_eq!((seen.status, seen.cookie), (200, pair(&new)));

    // Here the old session is kept.
    let world = World::with(r#""a":1"#).await;
    world.store.fail_next(Verb::Destroy, Failure::Other);
    let seen = outcome(&world, &ours(&world), visit_as(BOB), regenerate).await;
    assert_eq!(seen.body, format!("Store(Other) {BOB}"));
    assert_eq!(seen.calls, "load(bob) destroy(bob)");
    assert_eq!((seen.status, seen.cookie), (200, None));
}

#[tokio::test]
async fn failed_destroy_ends_the_session_and_is_tried_again_only_here() {
    let destroy = async |session: Session| {
        let failed = session.destroy().await.unwrap_err();
        format!("{:?} {:?}", failed.kind(), session.get::<u8>("a").map_err(|error| error.kind()))
    };
    for (layer, calls, cookie) in [
        (BOTH[0], "load(bob) destroy(bob)", None),
        (BOTH[1], "load(bob) destroy(bob) destroy(bob)", Some(FORGOTTEN.to_owned())),
    ] {
        let world = World::with(r#""a":1"#).await;
        world.store.fail_next(Verb::Destroy, Failure::Other);
        let seen = outcome(&world, &layer(&world), visit_as(BOB), destroy).await;
        assert_eq!((seen.status, seen.body.as_str()), (200, "Store(Other) Err(Ended)"));
        assert_eq!((seen.calls.as_str(), seen.cookie), (calls, cookie));
    }
}

#[tokio::test]
async fn failed_save_counts_as_saved_on_node_and_is_tried_again_here() {
    let save = async |session: Session| {
        session.insert("a", 7).unwrap();
        format!("{:?}", session.save().await.unwrap_err().kind())
    };
    let text = record(PLAIN, r#""a":7"#);
    for (layer, calls, kept) in [
        (
            BOTH[0],
            // A failed save counts as saved there (item 50).
            format!("load(bob) update(bob, {text}) touch(bob, {PLAIN})"),
            record(PLAIN, ""),
        ),
        (BOTH[1], format!("load(bob) update(bob, {text}) update(bob, {text})"), text.clone()),
    ] {
        let world = World::with("").await;
        world.store.fail_next(Verb::Update, Failure::Other);
        let seen = outcome(&world, &layer(&world), visit_as(BOB), save).await;
        assert_eq!((seen.status, seen.body.as_str()), (200, "Store(Other)"));
        assert_eq!(seen.calls, calls);
        assert_eq!(world.kept(BOB).await, Some(kept));
    }
}

/// Returns the part of a response that is there while the store is busy: nothing, its head, or all but its end.
async fn while_storing(layer: fn(&World) -> SessionLayer, body: Response) -> &'static str {
    let world = World::with("").await;
    let delayed_store = DelayedStore::before(Verb::Update, world.store.clone());
    let talk = Talk::begin(&layer(&world).store(delayed_store.clone()), visit_as(BOB)).await;
    talk.session.insert("a", 2).unwrap();
    let (session, mut sent) = talk.hold(body);
    drop(session);
    let seen = match poll_once(sent.as_mut()).await {
        std::task::Poll::Pending => "nothing",
        std::task::Poll::Ready(response) => {
            let mut body = response.into_body();
            let ended = !body::next(&mut body).await.is_pending();
            delayed_store.open();
            if ended { "all" } else { "the head" }
        }
    };
    delayed_store.open();
    seen
}

type Response = http::Response<Body>;

#[tokio::test]
async fn head_leaves_before_the_set_on_node_and_nothing_does_here() {
    assert_eq!(while_storing(node, text("hello")).await, "the head");
    assert_eq!(while_storing(node, empty(302)).await, "nothing");
    assert_eq!(while_storing(ours, text("hello")).await, "nothing");
    assert_eq!(while_storing(ours, empty(302)).await, "nothing");
}

#[tokio::test]
async fn secure_cookie_over_http_leaves_an_orphan_on_node_and_none_here() {
    let secure =
        r#"{"originalMaxAge":null,"expires":null,"secure":true,"httpOnly":true,"path":"/"}"#;
    let stored = format!("create({}, {})", drawn(1), record(secure, r#""a":1"#));
    for (layer, calls) in BOTH.into_iter().zip([stored, String::new()]) {
        let world = World::new();
        let layer = layer(&world).cookie(Cookie::new().secure(true));
        let seen =
            outcome(&world, &layer, visit(), async |session: Session| session.insert("a", 1)).await;
        assert_eq!((seen.calls, seen.cookie, seen.status), (calls, None, 200));
    }
}

#[tokio::test]
async fn cookie_that_cannot_be_written_is_not_sent() {
    // As `priority: 'bogus'` on Node, which has no meaning here.
    for (layer, verbs) in BOTH.into_iter().zip([vec![Verb::Create], vec![]]) {
        let world = World::new();
        let layer = layer(&world).cookie_with(|_| Cookie::new().domain("a b"));
        let answer =
            send(&app(&layer, async |session: Session| session.insert("a", 1)), visit()).await;
        assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
        assert_eq!(world.verbs(), verbs);
    }
}

#[tokio::test]
async fn session_modified_and_reverted_is_only_touched() {
    for (layer, calls) in
        BOTH.into_iter().zip([format!("load(bob) touch(bob, {PLAIN})"), "load(bob)".to_owned()])
    {
        let world = World::with(r#""a":1"#).await;
        let seen = outcome(&world, &layer(&world), visit_as(BOB), async |session: Session| {
            session.insert("a", 2)?;
            session.insert("a", 1)
        })
        .await;
        assert_eq!((seen.calls, seen.cookie), (calls, None));
    }
}

#[tokio::test]
async fn id_without_a_record_is_looked_up_and_nothing_more() {
    for (layer, calls) in BOTH.into_iter().zip(["load(bob)", "load(bob)"]) {
        let world = World::new();
        let seen = outcome(&world, &layer(&world), visit_as(BOB), async |_| ()).await;
        assert_eq!((seen.calls.as_str(), seen.cookie), (calls, None));
    }
}

#[tokio::test]
async fn change_of_key_order_counts_as_modified() {
    for (layer, read) in BOTH.into_iter().zip(["load", "load"]) {
        let world = World::with(r#""a":1,"z":1"#).await;
        let seen = outcome(&world, &layer(&world), visit_as(BOB), async |session: Session| {
            session.remove("a")?;
            session.insert("a", 1)
        })
        .await;
        let text = record(PLAIN, r#""z":1,"a":1"#);
        assert_eq!(seen.calls, format!("{read}(bob) update(bob, {text})"));
    }
}

#[tokio::test]
async fn empty_secret_in_a_list_signs() {
    // `secret: ['']` is accepted.
    for layer in [SessionLayer::new([""]), SessionLayer::new([""]).departures(Departures::none())] {
        let layer = layer.genid(|_| BOB.to_owned());
        let answer =
            send(&app(&layer, async |session: Session| session.insert("a", 1)), visit()).await;
        assert_eq!(answer.pair(), format!("connect.sid={}", signed_with(BOB, "")));
    }
}

#[tokio::test]
async fn options_asterisk_has_no_session() {
    for layer in BOTH {
        let world = World::new();
        let mut options = request("*", &[]);
        *options.method_mut() = Method::OPTIONS;
        let layer = layer(&world).save_uninitialized(true);
        let answer = send(&raw(&layer, async |_| ()), options).await;
        assert_eq!((answer.body.as_str(), answer.cookie()), ("ok", None));
        assert_eq!(world.calls(), "");
    }
}

#[tokio::test]
async fn absolute_form_is_matched_by_its_path() {
    for layer in BOTH {
        let world = World::new();
        let layer = layer(&world).save_uninitialized(true).cookie(Cookie::new().path("/foo"));
        let answer = send(&raw(&layer, async |_| ()), request("http://h/foo", &[])).await;
        assert!(answer.cookie().unwrap().ends_with("; Path=/foo; HttpOnly"));
    }
}

#[tokio::test]
async fn earlier_set_cookie_is_kept_first() {
    for layer in BOTH {
        let world = World::new();
        let app = raw(&layer(&world).save_uninitialized(true), async |_| {
            let mut response = text("x");
            response.headers_mut().insert(SET_COOKIE, "a=b".parse().unwrap());
            response
        });
        let answer = send(&app, visit()).await;
        assert_eq!(answer.cookies().len(), 2);
        assert_eq!(answer.cookies()[0], "a=b");
        assert!(answer.cookies()[1].starts_with("connect.sid="));
    }
}

#[tokio::test]
async fn forwarded_list_that_begins_with_http_is_not_secure() {
    for (layer, verbs) in BOTH.into_iter().zip([vec![Verb::Create], vec![]]) {
        let world = World::new();
        let layer =
            layer(&world).proxy(true).save_uninitialized(true).cookie(Cookie::new().secure(true));
        let request = request("/", &[("x-forwarded-proto", "http,https")]);
        assert_eq!(send(&raw(&layer, async |_| ()), request).await.cookie(), None);
        assert_eq!(world.verbs(), verbs);
    }
}

#[tokio::test]
async fn rolling_sends_the_cookie_and_touches() {
    for (departures, verbs) in
        [(Departures::none(), vec![Verb::Load, Verb::Touch]), (Departures::all(), vec![Verb::Load])]
    {
        let world = World::holding(&record(MINUTE, r#""a":1"#)).await;
        let layer = world.minute().rolling(true).departures(departures);
        let answer = send(&raw(&layer, async |_| ()), visit_as(BOB)).await;
        assert!(answer.cookie().unwrap().contains("Expires=Tue, 14 Nov 2023 22:14:20 GMT"));
        assert_eq!(world.verbs(), verbs);
    }
}

#[tokio::test]
async fn store_without_touch_is_only_read() {
    for (layer, calls) in BOTH.into_iter().zip(["load(bob)", "load(bob)"]) {
        let world = World::over(Spy::without_touch(MemoryStore::new()));
        world.keep(BOB, &record(PLAIN, "")).await;
        let answer = send(&raw(&layer(&world), async |_| ()), visit_as(BOB)).await;
        assert_eq!(answer.cookie(), None);
        assert_eq!(world.calls(), calls);
    }
}

#[tokio::test]
async fn touch_of_a_new_session_stores_nothing() {
    for layer in BOTH {
        let world = World::new();
        let seen = outcome(&world, &layer(&world), visit(), async |session: Session| {
            session.touch().await
        })
        .await;
        assert_eq!((seen.calls.as_str(), seen.cookie), ("", None));
    }
}
