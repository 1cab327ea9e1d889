//! Sessions that change while the body of their response is being sent.

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use express_session::store::ErrorKind as Failure;
use express_session::{Departures, Error, ErrorKind, Session, SessionBody, SessionLayer};
use express_session_testkit::Verb;
use http::header::CONTENT_LENGTH;
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::body::{Broken, Frames, next, next_data, sized, stream};
use crate::support::delayed_store::DelayedStore;
use crate::support::log::Log;
use crate::support::*;

/// A request of [`BOB`]'s whose body is being sent, and whose handle is held.
struct Streaming {
    session: Session,
    frames: Frames,
    response: Response<SessionBody<Body>>,
}

async fn streaming(layer: &SessionLayer, response: (Frames, Response<Body>)) -> Streaming {
    begun(bob(layer).await, response).await
}

async fn begun(talk: Talk, (frames, response): (Frames, Response<Body>)) -> Streaming {
    let (session, sent) = talk.hold(response);
    Streaming { session, frames, response: sent.await }
}

/// Begins to send a body, and loads the session only then.
async fn loaded_late(layer: &SessionLayer, request: http::Request<()>) -> Streaming {
    let (hand, mut handed) = tokio::sync::mpsc::unbounded_channel();
    let app = raw(layer, move |request| {
        let unloaded = Session::from_extensions(request.extensions()).unwrap();
        let (frames, response) = stream();
        hand.send((unloaded, frames)).unwrap();
        async move { response }
    });
    let mut service = app.clone();
    let response = tower::Service::call(&mut service, request).await.unwrap();
    let (unloaded, frames) = handed.recv().await.unwrap();
    let session = unloaded.load().await.unwrap();
    Streaming { session, frames, response }
}

#[tokio::test]
async fn session_changed_while_a_body_is_sent_is_saved_when_it_ends() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    let mut body = response.into_body();
    world.calls();
    frames.data("one");
    assert_eq!(next_data(&mut body).await, "one");
    session.insert("n", 2).unwrap();
    frames.data("two");
    assert_eq!(next_data(&mut body).await, "two");
    assert!(next(&mut body).await.is_pending());
    assert_eq!(world.calls(), "");
    drop(frames);
    assert!(matches!(next(&mut body).await, Poll::Ready(None)));
    assert_eq!(world.calls(), format!("update(bob, {})", record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn end_of_a_body_waits_until_the_session_is_saved() {
    let world = World::with("").await;
    let (layer, delayed_store) = world.delayed(DelayedStore::before, Verb::Update);
    let Streaming { session, frames, response } = streaming(&layer, stream()).await;
    let mut body = response.into_body();
    session.insert("a", 1).unwrap();
    frames.data("x");
    drop(frames);
    assert_eq!(next_data(&mut body).await, "x");
    for _ in 0..3 {
        assert!(next(&mut body).await.is_pending());
        assert!(!body.is_end_stream());
    }
    delayed_store.open();
    assert!(matches!(next(&mut body).await, Poll::Ready(None)));
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn body_that_ended_is_not_asked_again() {
    let world = World::with("").await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    frames.data("x");
    drop(frames);
    // The body of these tests panics when it is polled after its end, as `StreamBody` may.
    assert_eq!(read(response).await.body, "x");
    drop(session);
}

#[tokio::test]
async fn last_frame_of_a_known_length_is_held_back_until_the_session_is_saved() {
    let world = World::with("").await;
    let (layer, delayed_store) = world.delayed(DelayedStore::before, Verb::Update);
    let Streaming { session, frames, response } = streaming(&layer, sized(10)).await;
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(10));
    frames.data("hello");
    assert_eq!(next_data(&mut body).await, "hello");
    assert_eq!(body.size_hint().exact(), Some(5));
    session.insert("a", 1).unwrap();
    frames.data("world");
    assert!(next(&mut body).await.is_pending());
    // The frame that is held back is still to come.
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    delayed_store.open();
    assert_eq!(next_data(&mut body).await, "world");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
    assert_eq!(body.size_hint().exact(), Some(0));
    assert_eq!(session.insert("b", 1).unwrap_err().kind(), ErrorKind::ResponseSent);
}

#[tokio::test]
async fn length_of_the_header_counts_where_the_body_knows_none() {
    let world = World::with("").await;
    let (frames, mut response) = stream();
    response.headers_mut().insert(CONTENT_LENGTH, 10.into());
    let (layer, delayed_store) = world.delayed(DelayedStore::before, Verb::Update);
    let Streaming { session, frames, response } = streaming(&layer, (frames, response)).await;
    assert_eq!(response.headers()[CONTENT_LENGTH], "10");
    let mut body = response.into_body();
    frames.data("hello");
    assert_eq!(next_data(&mut body).await, "hello");
    session.insert("a", 1).unwrap();
    frames.data("world");
    assert!(next(&mut body).await.is_pending());
    delayed_store.open();
    assert_eq!(next_data(&mut body).await, "world");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn body_of_one_frame_is_held_back_whole() {
    let world = World::with("").await;
    let delayed_store = DelayedStore::before(Verb::Update, world.store.clone());
    let talk = Talk::begin(&world.layer().store(delayed_store.clone()), visit_as(BOB)).await;
    let (session, sent) = talk.hold(text("hello"));
    let mut body = sent.await.into_body();
    session.insert("a", 1).unwrap();
    assert!(next(&mut body).await.is_pending());
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    delayed_store.open();
    assert_eq!(next_data(&mut body).await, "hello");
    assert!(body.is_end_stream());
    assert!(matches!(next(&mut body).await, Poll::Ready(None)));
}

#[tokio::test]
async fn body_that_gives_less_than_it_said_is_saved_at_its_end() {
    let world = World::with("").await;
    let Streaming { session, frames, response } = streaming(&world.layer(), sized(10)).await;
    let mut body = response.into_body();
    session.insert("a", 1).unwrap();
    frames.data("hello");
    assert_eq!(next_data(&mut body).await, "hello");
    drop(frames);
    assert!(matches!(next(&mut body).await, Poll::Ready(None)));
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn trailers_come_behind_the_last_byte() {
    let world = World::with("").await;
    for (frames, response) in [stream(), sized(1)] {
        let talk = bob(&world.layer()).await;
        let Streaming { session, frames, response } = begun(talk, (frames, response)).await;
        session.insert("a", 1).unwrap();
        frames.data("x");
        frames.trailers("checksum", "1");
        drop(frames);
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["checksum"], "1");
        assert_eq!(body.to_bytes(), "x");
    }
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn body_that_is_dropped_midway_saves_nothing_more() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    let mut body = response.into_body();
    frames.data("x");
    assert_eq!(next_data(&mut body).await, "x");
    session.insert("n", 2).unwrap();
    session.save().await.unwrap();
    session.insert("n", 3).unwrap();
    drop(body);
    assert_eq!(session.insert("n", 4).unwrap_err().kind(), ErrorKind::ResponseSent);
    drop(session);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn body_that_breaks_off_saves_nothing_more() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    let mut body = response.into_body();
    session.insert("n", 2).unwrap();
    frames.data("x");
    frames.break_off();
    assert_eq!(next_data(&mut body).await, "x");
    assert!(matches!(next(&mut body).await, Poll::Ready(Some(Err(Broken)))));
    drop(frames);
    drop(body);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":1"#)));
}

#[tokio::test]
async fn session_unchanged_while_it_is_sent_is_not_saved_again() {
    let (world, talk) = World::visited(r#""n":1"#).await;
    talk.session.insert("n", 2).unwrap();
    let Streaming { session, frames, response } = begun(talk, stream()).await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    frames.data("x");
    drop(frames);
    assert_eq!(read(response).await.body, "x");
    assert_eq!(world.calls(), "");
    assert_eq!(session.insert("a", 1).unwrap_err().kind(), ErrorKind::ResponseSent);
}

#[tokio::test]
async fn change_before_and_change_while_it_is_sent_are_two_saves() {
    let (world, talk) = World::first_visit().await;
    talk.session.insert("a", 1).unwrap();
    let Streaming { session, frames, response } = begun(talk, stream()).await;
    assert!(response.headers().contains_key("set-cookie"));
    session.insert("b", 2).unwrap();
    drop(frames);
    read(response).await;
    assert_eq!(world.verbs(), [Verb::Create, Verb::Update]);
    assert_eq!(world.kept(&drawn(1)).await, Some(record(PLAIN, r#""a":1,"b":2"#)));
}

#[tokio::test]
async fn change_that_is_changed_back_while_it_is_sent_is_no_change() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    session.insert("n", 2).unwrap();
    session.insert("n", 1).unwrap();
    drop(frames);
    read(response).await;
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn explicit_save_while_it_is_sent_is_enough() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    session.insert("n", 2).unwrap();
    session.save().await.unwrap();
    drop(frames);
    read(response).await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn new_session_that_is_changed_first_while_it_is_sent_says_that_it_is_not_persisted() {
    let (world, talk) = World::first_visit().await;
    let Streaming { session, frames, response } = begun(talk, stream()).await;
    assert!(!session.is_persisted());
    assert_eq!(session.get::<u8>("a").unwrap(), None);
    let typed = express_session::Typed::<BTreeMap<String, u8>>::new(session.clone());
    for refused in [
        session.insert("a", 1),
        session.update("a", |_: Option<u8>| 1).map(drop),
        session.update_now("a", |_: Option<u8>| 1).await.map(drop),
        typed.update(|members| members.extend([("a".to_owned(), 1)])).map(drop),
        session.save().await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CookieNotSent);
        assert!(error.to_string().contains("before the response begins"), "{error}");
    }
    drop(frames);
    assert_eq!(read(response).await.cookie(), None);
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn session_that_is_first_loaded_while_it_is_sent_is_refused_alike() {
    let world = World::new();
    let Streaming { session, frames, response } = loaded_late(&world.layer(), visit()).await;
    assert_eq!(session.insert("n", 1).unwrap_err().kind(), ErrorKind::CookieNotSent);
    drop(frames);
    read(response).await;
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn without_departure_10_it_is_changed_and_saved_as_in_express_session() {
    let world = World::new();
    let layer = world.layer().departures(Departures::all().skip_unreachable_sessions(false));
    let talk = Talk::begin(&layer, visit()).await;
    let Streaming { session, frames, response } = begun(talk, stream()).await;
    session.insert("a", 1).unwrap();
    drop(frames);
    assert_eq!(read(response).await.cookie(), None);
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn stored_session_that_is_changed_while_it_is_sent_is_no_reason_for_a_warning() {
    let world = World::holding(&record(MINUTE, "")).await;
    let layer = world.minute();
    let log = Log::start();
    let talk = bob(&layer).await;
    log.warnings();
    let Streaming { session, frames, response } = begun(talk, stream()).await;
    session.insert("a", 1).unwrap();
    drop(frames);
    read(response).await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    assert_eq!(log.warnings(), Vec::<String>::new());
}

#[tokio::test]
async fn session_can_be_loaded_while_its_body_is_sent() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = loaded_late(&world.layer(), visit_as(BOB)).await;
    session.insert("n", 2).unwrap();
    drop(frames);
    read(response).await;
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn logout_while_it_is_sent_ends_the_record() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    session.insert("n", 2).unwrap();
    session.destroy().await.unwrap();
    drop(frames);
    read(response).await;
    assert_eq!(world.calls(), "load(bob) destroy(bob)");
}

#[tokio::test]
async fn logout_elsewhere_while_it_is_sent_is_final() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    let logout = bob(&world.layer()).await;
    logout.destroy().await;
    session.insert("n", 2).unwrap();
    drop(frames);
    assert_eq!(read(response).await.status, StatusCode::OK);
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn regenerating_while_it_is_sent_leaves_no_unreachable_record() {
    let (world, talk) = World::first_visit().await;
    talk.session.insert("a", 1).unwrap();
    let Streaming { session, frames, response } = begun(talk, stream()).await;
    session.regenerate().await.unwrap();
    assert_eq!(session.insert("b", 1).unwrap_err().kind(), ErrorKind::CookieNotSent);
    drop(frames);
    read(response).await;
    assert_eq!(world.verbs(), [Verb::Create, Verb::Destroy]);
}

#[tokio::test]
async fn touch_while_it_is_sent_reaches_the_store_immediately() {
    let world = World::holding(&record(MINUTE, "")).await;
    let Streaming { session, frames, response } = streaming(&world.minute(), stream()).await;
    world.calls();
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(50));
        session.touch().await.unwrap();
        assert_eq!(world.verbs(), [Verb::Touch]);
    }
    drop(frames);
    read(response).await;
    assert_eq!(world.calls(), "");
    assert!(world.kept(BOB).await.is_some());
}

#[tokio::test]
async fn late_write_begins_the_sessions_time_again() {
    let world = World::holding(&record(MINUTE, "")).await;
    let layer = world.minute();
    world.clock.advance(Duration::from_secs(10));
    let Streaming { session, frames, response } = streaming(&layer, stream()).await;
    // Meanwhile another page of the visitor keeps the session alive.
    let page = app(&layer, async |session: Session| Ok::<_, Error>(session.keys().join(" ")));
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(50));
        assert_eq!(send(&page, visit_as(BOB)).await.status, StatusCode::OK);
    }
    session.insert("a", 1).unwrap();
    drop((session, frames));
    read(response).await;
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(world.kept(BOB).await.map(|text| text.contains(r#""a":1"#)), Some(true));
}

#[tokio::test]
async fn counters_of_overlapping_streams_lose_nothing() {
    let world = World::with(r#""n":0"#).await;
    let layer = world.layer();
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(streaming(&layer, stream()).await);
    }
    for Streaming { session, .. } in &streams {
        session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).unwrap();
    }
    for Streaming { session, frames, response } in streams {
        drop((session, frames));
        read(response).await;
    }
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":5"#)));
}

#[tokio::test]
async fn late_save_that_fails_ends_the_body_and_is_logged() {
    let world = World::with("").await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    session.insert("a", 1).unwrap();
    world.store.fail_next(Verb::Update, Failure::Unavailable);
    let log = Log::start();
    frames.data("x");
    drop(frames);
    assert_eq!(read(response).await.body, "x");
    assert_eq!(log.lines().len(), 1);
    assert_eq!(log.lines()[0].level, tracing::Level::ERROR);
}

#[tokio::test]
async fn without_departure_15_the_session_is_saved_at_the_end_of_the_body() {
    let departures = Departures::all().save_before_response(false);
    let world = World::new();
    let delayed_store = DelayedStore::before(Verb::Create, world.store.clone());
    let layer = world.layer().departures(departures).store(delayed_store.clone());
    let talk = Talk::begin(&layer, visit()).await;
    talk.session.insert("a", 1).unwrap();
    let (session, sent) = talk.hold(text("hello"));
    drop(session);
    // The headers are there first.
    let response = sent.await;
    assert!(response.headers().contains_key("set-cookie"));
    assert_eq!(world.calls(), "");
    let mut read = pin!(read(response));
    assert!(waits(read.as_mut()).await);
    delayed_store.open();
    assert_eq!(read.await.body, "hello");
    assert_eq!(world.verbs(), [Verb::Create]);
}

// On real connections.

/// Serves an application of axum's on loopback, and asks it: returns the session of its handler, and the body
/// that it sends.
#[cfg(feature = "axum")]
async fn served(layer: SessionLayer, length: Option<u64>) -> (TcpStream, Session, Frames) {
    let (hand, mut handed) = tokio::sync::mpsc::unbounded_channel();
    let handler = async move |session: Session| {
        let (frames, mut response) = stream();
        response.headers_mut().extend(length.map(|length| (CONTENT_LENGTH, length.into())));
        hand.send((session, frames)).unwrap();
        response.map(axum::body::Body::new)
    };
    let app = axum::Router::new().route("/", axum::routing::get(handler)).layer(layer);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut connection = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    ask(&mut connection, BOB).await;
    let (session, frames) = handed.recv().await.unwrap();
    (connection, session, frames)
}

/// Serves an application of hyper's, without axum, on loopback.
async fn serve_plainly<S>(app: S) -> TcpStream
where
    S: tower::Service<
            http::Request<hyper::body::Incoming>,
            Response = Response<SessionBody<Body>>,
            Error = std::convert::Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(app);
        hyper::server::conn::http1::Builder::new()
            .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
            .await
    });
    TcpStream::connect(address).await.unwrap()
}

async fn ask(connection: &mut TcpStream, id: &str) {
    let request = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncookie: connect.sid={}\r\n\r\n",
        signed(id)
    );
    connection.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until this has come.
async fn read_until(connection: &mut TcpStream, wanted: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let mut bytes = [0; 1024];
        let length = connection.read(&mut bytes).await.unwrap();
        assert!(length > 0, "the connection ended: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&bytes[..length]);
    }
    String::from_utf8(seen).unwrap()
}

async fn read_rest(connection: &mut TcpStream) -> String {
    let mut rest = String::new();
    connection.read_to_string(&mut rest).await.unwrap();
    rest
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn events_are_sent_over_axum_and_what_changes_meanwhile_is_saved_at_the_end() {
    let world = World::with(r#""n":1"#).await;
    let (mut connection, session, frames) = served(world.layer(), None).await;
    frames.data("data: one\n\n");
    let head = read_until(&mut connection, "data: one\n\n").await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    session.insert("n", 2).unwrap();
    frames.data("data: two\n\n");
    read_until(&mut connection, "data: two\n\n").await;
    assert_eq!(world.verbs(), [Verb::Load]);
    drop(frames);
    assert!(read_rest(&mut connection).await.ends_with("0\r\n\r\n"));
    assert_eq!(world.calls(), format!("update(bob, {})", record(PLAIN, r#""n":2"#)));
    assert_eq!(session.insert("n", 3).unwrap_err().kind(), ErrorKind::ResponseSent);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn body_of_known_length_over_axum_is_there_to_the_last_byte_only_when_it_is_saved() {
    let world = World::with("").await;
    let (layer, delayed_store) = world.delayed(DelayedStore::before, Verb::Update);
    let (mut connection, session, frames) = served(layer, Some(10)).await;
    frames.data("hello");
    let head = read_until(&mut connection, "hello").await;
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    session.insert("a", 1).unwrap();
    frames.data("world");
    // The body never ends by itself: all that was announced is enough.
    let reader = tokio::spawn(async move { read_rest(&mut connection).await });
    delayed_store.open();
    assert_eq!(reader.await.unwrap(), "world");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
    drop(frames);
}

#[tokio::test]
async fn streams_work_over_hyper_without_axum() {
    let world = World::with(r#""n":1"#).await;
    let (hand, mut handed) = tokio::sync::mpsc::unbounded_channel();
    let inner = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let hand = hand.clone();
        let unloaded = Session::from_extensions(request.extensions());
        async move {
            let session = unloaded.unwrap().load().await.unwrap();
            let (frames, response) = stream();
            hand.send((session, frames)).unwrap();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut connection = serve_plainly(tower::Layer::layer(&world.layer(), inner)).await;
    ask(&mut connection, BOB).await;
    let (session, frames) = handed.recv().await.unwrap();
    frames.data("one");
    read_until(&mut connection, "one").await;
    session.insert("n", 2).unwrap();
    drop(frames);
    assert!(read_rest(&mut connection).await.ends_with("0\r\n\r\n"));
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn change_that_is_saved_explicitly_and_reverted_in_a_stream_is_reverted_in_the_store() {
    let world = World::with(r#""n":1"#).await;
    let Streaming { session, frames, response } = streaming(&world.layer(), stream()).await;
    session.insert("a", 1).unwrap();
    session.save().await.unwrap();
    session.remove("a").unwrap();
    drop(frames);
    read(response).await;
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":1"#)));
}
