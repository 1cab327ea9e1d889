//! A store that is out: what a visitor is answered, what is asked of the store, and how long it takes, in
//! every case.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use express_session::store::{ErrorKind as Failure, Store as _};
use express_session::{
    Departures, Error, MemoryStore, Outage, Session, SessionId, SessionLayer, Unset,
};
use express_session_testkit::{Fate, Spy, Unreliable, Verb};
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::support::{BOB, PLAIN, World, record, sid};

/// How long the layers of these tests wait for their store.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long they wait for what no handler has asked for.
const UNASKED: Duration = Duration::from_millis(250);

/// The layer's answer in a handler's place.
const UNAVAILABLE: &str = "The session is unavailable. Please try again.\n";

type Network = Unreliable<Spy<MemoryStore>>;

/// A response with headers and a body that must not be seen when something else is answered.
fn handled(text: &str) -> Response {
    ([("x-handler", "yes"), ("set-cookie", "handler=yes")], text.to_owned()).into_response()
}

fn app(layer: SessionLayer) -> Router {
    Router::new()
        .route(
            "/",
            get(async |session: Session| handled(&format!("kept: {}", session.is_persisted()))),
        )
        .route(
            "/optional",
            get(async |session: Option<Session>| handled(&format!("some: {}", session.is_some()))),
        )
        .route("/ignore", get(async || handled("ignored")))
        .route(
            "/change",
            get(async |session: Session| {
                session.insert("a", 1)?;
                Ok::<_, Error>(handled("changed"))
            }),
        )
        .route(
            "/save",
            get(async |session: Session| {
                session.insert("a", 1)?;
                session.save().await?;
                Ok::<_, Error>(handled("saved"))
            }),
        )
        .route(
            "/logout",
            get(async |session: Session| {
                session.destroy().await?;
                Ok::<_, Error>(handled("logged out"))
            }),
        )
        .route(
            "/unset",
            get(async |session: Session| {
                session.unset()?;
                Ok::<_, Error>(handled("unset"))
            }),
        )
        .route(
            "/login",
            get(async |session: Session| {
                session.regenerate().await?;
                session.insert("user", "bob")?;
                Ok::<_, Error>(handled("logged in"))
            }),
        )
        .layer(layer)
}

fn network(world: &World) -> Network {
    Unreliable::new(world.store.clone(), 0, tokio::time::sleep)
}

fn layer(world: &World, network: &Network, outage: Outage) -> SessionLayer {
    world.layer().store(network.clone()).store_timeout(TIMEOUT).outage(outage).unset(Unset::Destroy)
}

/// The outcome of one request.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    body: String,
    /// The session's cookie: `sent`, `expired` or nothing.
    cookie: &'static str,
    calls: String,
    took: Duration,
}

async fn visit(layer: SessionLayer, network: &Network, path: &str, id: Option<&str>) -> Seen {
    let mut request = Request::get(path);
    if let Some(id) = id {
        request = request.header("cookie", sid(id));
    }
    let before = network.fates().len();
    let begun = Instant::now();
    let response = app(layer).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let took = begun.elapsed();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let cookies: Vec<_> =
        head.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
    let session = cookies.iter().find(|line| line.starts_with("connect.sid="));
    let cookie = match session {
        None => "",
        Some(line) if line.starts_with("connect.sid=;") => "expired",
        Some(_) => "sent",
    };
    let is_handlers = head.headers.contains_key("x-handler");
    assert_eq!(is_handlers, cookies.contains(&"handler=yes"), "{path}");
    // All of what the handler answered, or nothing.
    assert_eq!(is_handlers, head.status.is_success(), "{path}: {} {cookies:?}", head.status);
    let is_unavailable = head.status == StatusCode::SERVICE_UNAVAILABLE;
    let retry = head.headers.get(RETRY_AFTER).map(|seconds| seconds.to_str().unwrap());
    let is_soon = retry.is_some_and(|seconds| ["1", "2", "3"].contains(&seconds));
    assert_eq!((retry.is_some(), is_soon), (is_unavailable, is_unavailable), "{path}");
    let calls: Vec<_> =
        network.fates()[before..].iter().map(|(verb, _)| format!("{verb:?}")).collect();
    Seen { status: head.status.as_u16(), body, cookie, calls: calls.join(" "), took }
}

/// One case: what is visited, the call that fails or hangs, and what comes of it: the status, the body,
/// the session's cookie and the calls.
type Row = (&'static str, Verb, u16, &'static str, &'static str, &'static str);

/// The default: a request that fails says so, unless the visitor loses nothing.
const FAIL: &[Row] = &[
    ("/", Verb::Load, 503, UNAVAILABLE, "", "Load"),
    ("/optional", Verb::Load, 503, UNAVAILABLE, "", "Load"),
    ("/ignore", Verb::Load, 200, "ignored", "", "Load"),
    ("/change", Verb::Load, 503, UNAVAILABLE, "", "Load"),
    ("/change", Verb::Update, 503, UNAVAILABLE, "", "Load Update"),
    ("/save", Verb::Update, 503, UNAVAILABLE, "", "Load Update Update"),
    ("/logout", Verb::Load, 503, UNAVAILABLE, "", "Load"),
    ("/logout", Verb::Destroy, 503, UNAVAILABLE, "", "Load Destroy Destroy"),
    ("/unset", Verb::Destroy, 503, UNAVAILABLE, "", "Load Destroy"),
    ("/login", Verb::Destroy, 503, UNAVAILABLE, "", "Load Destroy"),
    ("/login", Verb::Create, 503, UNAVAILABLE, "", "Load Destroy Create"),
];

/// Going on without a session: but a logout that failed is reported.
const CONTINUE: &[Row] = &[
    ("/", Verb::Load, 200, "kept: false", "", "Load"),
    ("/optional", Verb::Load, 200, "some: false", "", "Load"),
    ("/ignore", Verb::Load, 200, "ignored", "", "Load"),
    ("/change", Verb::Load, 200, "changed", "", "Load"),
    ("/change", Verb::Update, 200, "changed", "", "Load Update"),
    ("/save", Verb::Load, 503, UNAVAILABLE, "", "Load"),
    ("/save", Verb::Update, 503, UNAVAILABLE, "", "Load Update Update"),
    ("/logout", Verb::Destroy, 503, UNAVAILABLE, "", "Load Destroy Destroy"),
    ("/unset", Verb::Destroy, 503, UNAVAILABLE, "", "Load Destroy"),
    ("/login", Verb::Destroy, 503, UNAVAILABLE, "", "Load Destroy"),
    ("/login", Verb::Create, 200, "logged in", "", "Load Destroy Create"),
];

async fn compare(outage: Outage, rows: &[Row]) {
    let mut wrong = Vec::new();
    for fate in [Fate::Fail(Failure::Unavailable), Fate::Lose(Failure::TimedOut), Fate::Hang] {
        for (path, failing, status, body, cookie, calls) in rows {
            let world = World::with(r#""n":1"#).await;
            let network = network(&world);
            let failing = *failing;
            network.decide(move |call| (call.verb() == failing).then_some(fate));
            let seen = visit(layer(&world, &network, outage), &network, path, Some(BOB)).await;
            let limit = if *path == "/ignore" { UNASKED } else { TIMEOUT };
            let waited = if fate == Fate::Hang { limit } else { Duration::ZERO };
            let is_in_time = seen.took >= waited && seen.took <= waited.mul_f64(1.1);
            let is_as_said = (seen.status, &*seen.body, seen.cookie, &*seen.calls)
                == (*status, *body, *cookie, *calls);
            if !is_in_time || !is_as_said {
                wrong.push(format!("{path}, {failing:?}: {fate:?}\n  {seen:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{outage:?}:\n{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn request_fails_immediately_or_at_the_deadline_and_nothing_of_the_handler_leaks() {
    compare(Outage::Fail, FAIL).await;
}

#[tokio::test(start_paused = true)]
async fn request_goes_on_without_a_session_and_no_logout_seems_done() {
    compare(Outage::Continue, CONTINUE).await;
}

#[tokio::test(start_paused = true)]
async fn touch_that_fails_or_hangs_is_hidden() {
    for outage in [Outage::Fail, Outage::Continue] {
        for fate in [Fate::Fail(Failure::Unavailable), Fate::Hang] {
            let world = World::with(r#""n":1"#).await;
            let network = network(&world);
            network.next(Verb::Touch, fate);
            let layer = layer(&world, &network, outage)
                .departures(Departures::all().throttled_touch(false));
            let seen = visit(layer, &network, "/", Some(BOB)).await;
            let took = if fate == Fate::Hang { UNASKED } else { Duration::ZERO };
            let expected = Seen {
                status: 200,
                body: "kept: true".to_owned(),
                cookie: "",
                calls: "Load Touch".to_owned(),
                took,
            };
            assert_eq!(seen, expected, "{outage:?} {fate:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn new_session_that_cannot_be_stored_has_no_cookie() {
    for (outage, status, body) in
        [(Outage::Fail, 503, UNAVAILABLE), (Outage::Continue, 200, "changed")]
    {
        for fate in [Fate::Fail(Failure::Unavailable), Fate::Hang, Fate::Mute] {
            let world = World::new();
            let network = network(&world);
            network.next(Verb::Create, fate);
            let seen = visit(layer(&world, &network, outage), &network, "/change", None).await;
            let took = if fate.reaches_the_store() || fate == Fate::Hang {
                TIMEOUT
            } else {
                Duration::ZERO
            };
            let (body, calls) = (body.to_owned(), "Create".to_owned());
            let expected = Seen { status, body, cookie: "", calls, took };
            assert_eq!(seen, expected, "{outage:?} {fate:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn store_that_is_back_serves_the_next_request_with_the_session_it_had() {
    for outage in [Outage::Fail, Outage::Continue] {
        for fate in [Fate::Fail(Failure::Unavailable), Fate::Hang] {
            let world = World::with(r#""n":1"#).await;
            let network = network(&world);
            let layer = layer(&world, &network, outage);
            network.decide(move |_| Some(fate));
            // Changes from here on are not kept.
            for path in ["/", "/change", "/save", "/logout", "/unset", "/login"] {
                visit(layer.clone(), &network, path, Some(BOB)).await;
            }
            network.decide(|_| None);
            let seen = visit(layer.clone(), &network, "/", Some(BOB)).await;
            assert_eq!((seen.status, &*seen.body, seen.took), (200, "kept: true", Duration::ZERO));
            assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":1"#)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_requests_of_a_store_that_hangs_ask_once_each_and_wait_no_longer_than_one() {
    let world = World::with(r#""n":1"#).await;
    let network = network(&world);
    network.decide(|_| Some(Fate::Hang));
    let layer = layer(&world, &network, Outage::Fail);
    let begun = Instant::now();
    let mut visits = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (layer, network) = (layer.clone(), network.clone());
        visits.spawn(async move { visit(layer, &network, "/change", Some(BOB)).await.status });
    }
    assert_eq!(visits.join_all().await, [503; 50]);
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(network.fates().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn writers_behind_one_that_hangs_wait_no_longer_than_the_deadline() {
    let world = World::with(r#""n":1"#).await;
    let network = network(&world);
    let layer = layer(&world, &network, Outage::Fail);
    network.decide(|call| (call.verb() == Verb::Update).then_some(Fate::Hang));
    let begun = Instant::now();
    let mut visits = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (layer, network) = (layer.clone(), network.clone());
        visits.spawn(async move {
            let seen = visit(layer, &network, "/change", Some(BOB)).await;
            (seen.status, seen.took <= TIMEOUT.mul_f64(1.1))
        });
    }
    assert_eq!(visits.join_all().await, [(503, true); 20]);
    assert!(begun.elapsed() <= TIMEOUT.mul_f64(1.1));
    let id = SessionId::new(BOB).unwrap();
    let kept = network.inner().load(&id, world.clock.now()).await.unwrap().unwrap();
    assert_eq!(&*kept.record.text, record(PLAIN, r#""n":1"#));
}
