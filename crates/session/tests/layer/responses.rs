//! When a response leaves, and with what: it is saved first, and nothing is saved for a response that
//! never came to be.

use std::convert::Infallible;
use std::pin::pin;

use express_session::store::ErrorKind as Failure;
use express_session::{Error, ErrorKind, Session};
use express_session_testkit::Verb;
use http::header::{CONTENT_LENGTH, LOCATION, SET_COOKIE};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use crate::support::body::{self, empty};
use crate::support::delayed_store::DelayedStore;
use crate::support::*;

async fn count(session: Session) -> Result<String, Error> {
    session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).map(|n| n.to_string())
}

#[tokio::test]
async fn response_leaves_only_when_its_new_session_is_stored() {
    let world = World::new();
    let delayed_store = DelayedStore::before(Verb::Create, world.store.clone());
    let app = app(&world.layer().store(delayed_store.clone()), count);
    let mut response = pin!(app.oneshot(visit()));
    for _ in 0..3 {
        assert!(waits(response.as_mut()).await);
    }
    assert_eq!(world.calls(), "");
    delayed_store.open();
    let answer = read(response.await.unwrap()).await;
    assert_eq!(answer.body, "1");
    assert!(answer.cookie().is_some());
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn response_leaves_only_when_its_changed_session_is_stored() {
    let world = World::with(r#""n":1"#).await;
    let delayed_store = DelayedStore::after(Verb::Update, world.store.clone());
    let app = app(&world.layer().store(delayed_store.clone()), count);
    let mut response = pin!(app.oneshot(visit_as(BOB)));
    assert!(waits(response.as_mut()).await);
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    delayed_store.open();
    assert_eq!(read(response.await.unwrap()).await.body, "2");
}

#[tokio::test]
async fn redirect_leaves_only_when_its_session_is_stored() {
    // express-session #360: the browser follows before the login is there.
    let world = World::new();
    let delayed_store = DelayedStore::before(Verb::Create, world.store.clone());
    let app = app(&world.layer().store(delayed_store.clone()), async |session: Session| {
        session.insert("user", "bob")?;
        let mut redirect = text("Found. Redirecting to /home");
        *redirect.status_mut() = StatusCode::FOUND;
        redirect.headers_mut().insert(LOCATION, "/home".parse().unwrap());
        Ok::<_, Error>(redirect)
    });
    let mut response = pin!(app.oneshot(visit()));
    assert!(waits(response.as_mut()).await);
    delayed_store.open();
    let answer = read(response.await.unwrap()).await;
    assert_eq!(
        (answer.status, &answer.headers[LOCATION]),
        (StatusCode::FOUND, &"/home".parse().unwrap())
    );
    assert!(answer.cookie().is_some());
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn responses_without_a_body_are_saved_and_get_their_cookie() {
    for status in [200, 204, 205, 302, 304] {
        let world = World::new();
        let app = app(&world.layer(), move |session: Session| async move {
            session.insert("a", 1).map(|()| empty(status))
        });
        let response = app.oneshot(visit()).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert!(response.headers().contains_key(SET_COOKIE), "{status}");
        assert!(response.body().is_end_stream(), "{status}");
        assert_eq!(world.verbs(), [Verb::Create], "{status}");
    }
}

#[tokio::test]
async fn head_is_saved_and_gets_its_cookie() {
    let world = World::new();
    let app = app(&world.layer(), count);
    let head = Request::builder().method(Method::HEAD).uri("/").body(()).unwrap();
    let answer = send(&app, head).await;
    assert!(answer.cookie().is_some());
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn body_of_known_length_keeps_its_length() {
    let world = World::new();
    let app = app(&world.layer(), async |session: Session| {
        session.insert("a", 1)?;
        let mut response = text("hello");
        response.headers_mut().insert(CONTENT_LENGTH, 5.into());
        Ok::<_, Error>(response)
    });
    let response = app.oneshot(visit()).await.unwrap();
    assert_eq!(response.headers()[CONTENT_LENGTH], "5");
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert_eq!(read(response).await.body, "hello");
}

#[tokio::test]
async fn cookie_comes_behind_the_handlers_own() {
    let world = World::new();
    let app = app(&world.layer(), async |session: Session| {
        session.insert("a", 1)?;
        let mut response = text("ok");
        response.headers_mut().append(SET_COOKIE, "a=b".parse().unwrap());
        response.headers_mut().append(SET_COOKIE, "c=d; Path=/".parse().unwrap());
        Ok::<_, Error>(response)
    });
    let answer = send(&app, visit()).await;
    let ours = format!("connect.sid={}; Path=/; HttpOnly", signed(&drawn(1)));
    assert_eq!(answer.cookies(), ["a=b", "c=d; Path=/", &ours]);
}

#[tokio::test]
async fn no_header_is_added_but_the_cookie() {
    let world = World::with("").await;
    let answer = send(&app(&world.layer(), count), visit_as(BOB)).await;
    assert!(answer.headers.is_empty(), "{:?}", answer.headers);
}

#[tokio::test]
async fn failures_of_the_handlers_own_are_saved_too() {
    // peers.md, finding 3: elsewhere a 5xx drops what was changed.
    for status in [400, 404, 500, 503] {
        let world = World::new();
        let app = app(&world.layer(), move |session: Session| async move {
            session.insert("a", 1)?;
            let mut response = text("failed");
            *response.status_mut() = status.try_into().unwrap();
            Ok::<_, Error>(response)
        });
        let answer = send(&app, visit()).await;
        assert_eq!(answer.status.as_u16(), status);
        assert!(answer.cookie().is_some(), "{status}");
        assert_eq!(world.verbs(), [Verb::Create], "{status}");
    }
}

#[tokio::test]
async fn inner_service_that_fails_saves_nothing_and_its_error_is_passed_on() {
    #[derive(Debug, PartialEq)]
    struct Down;

    let world = World::with("").await;
    let inner = service_fn(async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions()).unwrap().load().await.unwrap();
        session.insert("a", 1).unwrap();
        Err::<Response<Body>, _>(Down)
    });
    let failed = world.layer().layer(inner).oneshot(visit_as(BOB)).await;
    assert_eq!(failed.unwrap_err(), Down);
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn handler_that_panics_saves_nothing_and_its_panic_is_passed_on() {
    let world = World::with(r#""a":1"#).await;
    let app = app(&world.layer(), async |session: Session| {
        session.insert("a", 2).unwrap();
        assert!(session.is_empty(), "a bug of the handler's");
    });
    let panic = tokio::spawn(app.oneshot(visit_as(BOB))).await.unwrap_err();
    let message = panic.into_panic().downcast::<&str>().unwrap();
    assert_eq!(*message, "a bug of the handler's");
    assert_eq!(world.calls(), "load(bob)");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn handler_that_panics_keeps_what_it_saved_explicitly() {
    let world = World::with("").await;
    let app = app(&world.layer(), async |session: Session| {
        session.insert("a", 1).unwrap();
        session.save().await.unwrap();
        session.insert("b", 2).unwrap();
        assert!(session.is_empty(), "a bug of the handler's");
    });
    assert!(tokio::spawn(app.oneshot(visit_as(BOB))).await.unwrap_err().is_panic());
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn dropped_request_saves_nothing_and_explicit_saves_stay() {
    let (world, talk) = World::visited("").await;
    talk.session.insert("a", 1).unwrap();
    drop(talk.abort());
    assert_eq!(world.calls(), "load(bob)");

    let talk = bob(&world.layer()).await;
    talk.session.insert("a", 1).unwrap();
    talk.session.save().await.unwrap();
    talk.session.insert("b", 2).unwrap();
    drop(talk.abort());
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn task_that_outlives_a_dropped_request_can_still_save() {
    let world = World::with("").await;
    let session = bob(&world.layer()).await.abort();
    session.insert("a", 1).unwrap();
    session.save().await.unwrap();
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn request_dropped_while_it_is_saved_leaves_the_store_with_all_or_nothing() {
    for (delayed_store, kept) in [
        (DelayedStore::before as fn(Verb, _) -> DelayedStore<_>, record(PLAIN, r#""n":1"#)),
        (DelayedStore::after, record(PLAIN, r#""n":2"#)),
    ] {
        let world = World::with(r#""n":1"#).await;
        let delayed_store = delayed_store(Verb::Update, world.store.clone());
        let app = app(&world.layer().store(delayed_store), count);
        {
            let mut response = pin!(app.oneshot(visit_as(BOB)));
            assert!(waits(response.as_mut()).await);
        }
        assert_eq!(world.kept(BOB).await, Some(kept));
    }
}

#[tokio::test]
async fn change_made_by_a_task_while_the_response_is_being_saved_is_not_lost() {
    let world = World::with("").await;
    let delayed_store = DelayedStore::before(Verb::Update, world.store.clone());
    let talk = Talk::begin(&world.layer().store(delayed_store.clone()), visit_as(BOB)).await;
    talk.session.insert("a", 1).unwrap();
    let (session, mut sent) = talk.hold(text("ok"));
    assert!(waits(sent.as_mut()).await);
    session.insert("b", 2).unwrap();
    delayed_store.open();
    let answer = read(sent.await).await;
    assert_eq!(answer.body, "ok");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""a":1,"b":2"#)));
}

#[tokio::test]
async fn handle_after_the_response_says_that_it_was_sent() {
    let (world, talk) = World::visited(r#""a":1"#).await;
    let (session, sent) = talk.hold(empty(204));
    read(sent.await).await;
    world.calls();
    let sent = |result: Result<(), Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResponseSent);
        assert!(error.to_string().contains("before the handler returns"), "{error}");
    };
    sent(session.insert("a", 2));
    sent(session.get::<u8>("a").map(drop));
    sent(session.remove("a").map(drop));
    sent(session.update("a", |_: Option<u8>| 1).map(drop));
    sent(session.clear());
    sent(session.unset());
    sent(session.cookie().set_max_age(None));
    sent(session.save().await);
    sent(session.reload().await);
    sent(session.regenerate().await);
    sent(session.touch().await);
    sent(session.destroy().await);
    assert_eq!(world.calls(), "");
    assert_eq!(session.id().as_str(), BOB);
}

#[tokio::test]
async fn failed_save_is_answered_instead_of_the_handlers_response() {
    let world = World::with("").await;
    let app = app(&world.layer(), async |session: Session| {
        session.insert("a", 1)?;
        let mut response = text("you are logged in");
        response.headers_mut().append(SET_COOKIE, "a=b".parse().unwrap());
        Ok::<_, Error>(response)
    });
    for (failure, status, retry) in [
        (Failure::Unavailable, 503, true),
        (Failure::TimedOut, 503, true),
        (Failure::Refused, 500, false),
        (Failure::Unsuitable, 500, false),
        (Failure::Other, 500, false),
    ] {
        world.store.fail_next(Verb::Update, failure);
        let answer = send(&app, visit_as(BOB)).await;
        assert_eq!(answer.status.as_u16(), status, "{failure:?}");
        assert_eq!(answer.cookies(), Vec::<&str>::new());
        assert!(!answer.body.contains("logged in") && answer.body.contains("session"));
        assert_eq!(answer.headers.contains_key("retry-after"), retry, "{failure:?}");
    }
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, "")));
}

#[tokio::test]
async fn failed_first_save_sends_no_cookie() {
    let world = World::new();
    world.store.fail_next(Verb::Create, Failure::Unavailable);
    let answer = send(&app(&world.layer(), count), visit()).await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn service_is_ready_when_the_inner_one_is_and_the_ready_one_is_called() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll};

    /// Must be polled ready before it is called, each clone by itself.
    #[derive(Default)]
    struct Strict {
        ready: bool,
        open: Arc<AtomicBool>,
    }

    impl Clone for Strict {
        fn clone(&self) -> Self {
            Self { ready: false, open: Arc::clone(&self.open) }
        }
    }

    impl tower::Service<Request<()>> for Strict {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.ready = self.open.load(Ordering::SeqCst);
            if self.ready { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            assert!(self.ready, "called without being ready");
            std::future::ready(Ok(text("ok")))
        }
    }

    for departures in [express_session::Departures::all(), express_session::Departures::none()] {
        let world = World::with("").await;
        let strict = Strict::default();
        let open = Arc::clone(&strict.open);
        let mut service = world.layer().departures(departures).layer(strict);
        assert!(waits(pin!(service.ready())).await);
        open.store(true, Ordering::SeqCst);
        let response = service.ready().await.unwrap().call(visit_as(BOB)).await.unwrap();
        assert_eq!(read(response).await.body, "ok");
    }
}

#[tokio::test]
async fn response_without_a_live_handle_is_the_handlers_own_body() {
    let world = World::with("").await;
    let response = app(&world.layer(), count).oneshot(visit_as(BOB)).await.unwrap();
    assert_eq!(format!("{:?}", response.body()), "SessionBody::Plain");
    let (_frames, streaming) = body::stream();
    let talk = bob(&world.layer()).await;
    let (_session, sent) = talk.hold(streaming);
    assert_eq!(format!("{:?}", sent.await.body()), "SessionBody::Guarded");
}
