//! Under axum: extractors, nested routers, and errors as responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body as AxumBody;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Router, response::Html};
use express_session::store::ErrorKind as Failure;
use express_session::{Cookie, Error, ErrorKind, Flash, LazySession, Session, Typed};
use express_session_testkit::Verb;
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

use crate::support::log::Log;
use crate::support::*;

async fn ask(app: &Router, request: http::Request<()>) -> Answer {
    let request = request.map(|()| AxumBody::empty());
    read(app.clone().oneshot(request).await.unwrap()).await
}

fn to(path: &str) -> http::Request<()> {
    request(path, &[("cookie", &sid(BOB))])
}

async fn count(session: Session) -> Result<Html<String>, Error> {
    let n = session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?;
    Ok(Html(n.to_string()))
}

#[tokio::test]
async fn handler_takes_the_session_as_an_argument() {
    let world = World::new();
    let app = Router::new().route("/", get(count)).layer(world.layer());
    let answer = ask(&app, visit()).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "1"));
    let answer = ask(&app, visit_with(answer.pair())).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("2", None));
    assert_eq!(world.verbs(), [Verb::Create, Verb::Load, Verb::Update]);
}

#[tokio::test]
async fn head_of_a_get_route_is_saved_and_gets_the_cookie() {
    let world = World::new();
    let app = Router::new().route("/", get(count)).layer(world.layer());
    let mut head = visit();
    *head.method_mut() = Method::HEAD;
    let answer = ask(&app, head).await;
    assert_eq!((answer.body.as_str(), answer.cookie().is_some()), ("", true));
    assert_eq!(world.verbs(), [Verb::Create]);
}

// Routers.

#[tokio::test]
async fn nested_router_with_a_layer_of_its_own_goes_by_the_original_path() {
    let world = World::with(r#""n":1"#).await;
    let layer = world.layer().cookie(Cookie::new().path("/admin"));
    let inner = Router::new().route("/users", get(count)).layer(layer);
    let app = Router::new().nest("/admin", inner.clone()).nest("/other", inner);
    assert_eq!(ask(&app, to("/admin/users")).await.body, "2");
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    let answer = ask(&app, to("/other/users")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn routers_nested_twice_go_by_the_original_path() {
    let world = World::with(r#""n":1"#).await;
    let layer = world.layer().cookie(Cookie::new().path("/a/b"));
    let inner = Router::new().route("/c", get(count)).layer(layer);
    let app = Router::new().nest("/a", Router::new().nest("/b", inner));
    assert_eq!(ask(&app, to("/a/b/c?x=1")).await.body, "2");
}

#[tokio::test]
async fn layer_around_a_router_covers_what_is_nested_in_it() {
    let world = World::with(r#""n":1"#).await;
    let inner = Router::new().route("/users", get(count));
    let layer = world.layer().cookie(Cookie::new().path("/admin"));
    let app = Router::new().nest("/admin", inner).route("/", get(count)).layer(layer);
    assert_eq!(ask(&app, to("/admin/users")).await.body, "2");
    let outside = ask(&app, to("/")).await;
    assert_eq!(outside.status, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn fallback_and_merged_routes_have_the_session_too() {
    let world = World::with(r#""n":1"#).await;
    let other = Router::new().route("/other", post(count));
    let app = Router::new().fallback(count).merge(other).layer(world.layer());
    assert_eq!(ask(&app, to("/nowhere")).await.body, "2");
    let mut posted = to("/other");
    *posted.method_mut() = Method::POST;
    assert_eq!(ask(&app, posted).await.body, "3");
}

#[tokio::test]
async fn missing_layer_says_so_to_the_developer_and_not_to_the_visitor() {
    let log = Log::start();
    let app = Router::new().route("/", get(count));
    let answer = ask(&app, visit()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.body.contains("layer"), "{}", answer.body);
    assert!(log.text().contains("no session layer in front of this handler"), "{}", log.text());
    assert!(log.text().contains(".layer(…)"), "{}", log.text());
}

#[tokio::test]
async fn session_that_has_ended_is_a_conflict_and_no_failure() {
    async fn after_logout(session: Session) -> Result<(), Error> {
        session.destroy().await?;
        session.insert("n", 1)
    }
    let world = World::with(r#""n":1"#).await;
    let log = Log::start();
    let app = Router::new().route("/", get(after_logout)).layer(world.layer());
    let answer = ask(&app, to("/")).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::CONFLICT, "The session has ended.\n"));
    assert!(!log.text().contains("a handler failed"), "{}", log.text());
}

#[tokio::test]
async fn routes_added_after_the_layer_have_none() {
    let world = World::with(r#""n":1"#).await;
    let log = Log::start();
    let app =
        Router::new().route("/before", get(count)).layer(world.layer()).route("/after", get(count));
    assert_eq!(ask(&app, to("/before")).await.body, "2");
    let answer = ask(&app, to("/after")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(log.text().contains("after the routes it is for"), "{}", log.text());
}

// Extractors.

#[tokio::test]
async fn session_extracted_several_times_is_loaded_once() {
    async fn thrice(
        one: Session,
        two: Session,
        three: Option<Session>,
        four: Typed<Cart>,
        five: LazySession,
    ) -> Result<String, Error> {
        one.insert("n", 5)?;
        two.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?;
        four.update(|cart| cart.items.push("pear".to_owned()))?;
        let three = three.map(|three| three.get::<u32>("n")).transpose()?.flatten();
        Ok(format!("{three:?} {}", five.load().await?.len()))
    }

    let world = World::with(r#""n":1"#).await;
    let app = Router::new().route("/", get(thrice)).layer(world.layer());
    assert_eq!(ask(&app, to("/")).await.body, "Some(6) 2");
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
}

#[tokio::test]
async fn middleware_and_handler_share_the_session() {
    async fn visits(session: Session, request: Request, next: Next) -> Response {
        session.insert("seen", true).unwrap();
        let mut response = next.run(request).await;
        session.insert("done", true).unwrap();
        response.headers_mut().append(SET_COOKIE, "a=b".parse().unwrap());
        response
    }

    let world = World::with(r#""n":1"#).await;
    let app = Router::new()
        .route("/", get(count))
        .layer(middleware::from_fn(visits))
        .layer(world.layer());
    let answer = ask(&app, to("/")).await;
    assert_eq!((answer.body.as_str(), answer.cookies()), ("2", vec!["a=b"]));
    assert_eq!(world.verbs(), [Verb::Load, Verb::Update]);
    let kept = record(PLAIN, r#""n":2,"seen":true,"done":true"#);
    assert_eq!(world.kept(BOB).await, Some(kept));
}

#[tokio::test]
async fn optional_session_is_for_handlers_that_work_without_one() {
    async fn maybe(session: Option<Session>) -> String {
        session.map_or_else(|| "none".to_owned(), |session| session.len().to_string())
    }

    let world = World::with(r#""n":1"#).await;
    let bare = Router::new().route("/", get(maybe));
    assert_eq!(ask(&bare, to("/")).await.body, "none");
    let app = bare.clone().layer(world.layer());
    assert_eq!(ask(&app, to("/")).await.body, "1");
    assert_eq!(ask(&app, visit()).await.body, "0");
    let outside = bare.layer(world.layer().cookie(Cookie::new().path("/admin")));
    assert_eq!(ask(&outside, to("/")).await.body, "none");

    world.store.fail_next(Verb::Load, Failure::Unavailable);
    let answer = ask(&app, to("/")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn unloaded_session_is_loaded_when_the_handler_decides_so() {
    let world = World::with(r#""n":1"#).await;
    let wanted = Arc::new(AtomicBool::new(false));
    let want = Arc::clone(&wanted);
    let handler = async move |unloaded: LazySession| {
        if !want.load(Ordering::SeqCst) {
            return Ok("not wanted".to_owned());
        }
        unloaded.load().await.map(|session| session.len().to_string())
    };
    let app = Router::new().route("/", get(handler)).layer(world.layer());
    assert_eq!(ask(&app, visit()).await.body, "not wanted");
    assert_eq!(world.calls(), "");
    wanted.store(true, Ordering::SeqCst);
    assert_eq!(ask(&app, to("/")).await.body, "1");
    assert_eq!(world.calls(), "load(bob)");
}

#[tokio::test]
async fn optional_unloaded_session_never_fails() {
    async fn maybe(unloaded: Option<LazySession>) -> &'static str {
        if unloaded.is_some() { "some" } else { "none" }
    }

    let app = Router::new().route("/", get(maybe));
    assert_eq!(ask(&app, visit()).await.body, "none");
    let world = World::new();
    assert_eq!(ask(&app.layer(world.layer()), visit()).await.body, "some");
    assert_eq!(world.calls(), "");
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Cart {
    items: Vec<String>,
}

#[tokio::test]
async fn typed_session_is_an_argument_too() {
    async fn add(cart: Typed<Cart>) -> Result<String, Error> {
        let cart = cart.update(|cart| cart.items.push("pear".to_owned()))?;
        Ok(cart.items.len().to_string())
    }

    let world = World::with(r#""user":1"#).await;
    let app = Router::new().route("/", get(add)).layer(world.layer());
    assert_eq!(ask(&app, to("/")).await.body, "1");
    assert_eq!(ask(&app, to("/")).await.body, "2");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""user":1,"items":["pear","pear"]"#)));
    let bare = Router::new().route("/", get(add));
    assert_eq!(ask(&bare, to("/")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

// Errors.

#[tokio::test]
async fn errors_are_responses_that_say_whether_trying_again_may_help() {
    let world = World::with(r#""n":1"#).await;
    let app = Router::new().route("/", get(count)).layer(world.layer());
    for (failure, status, retry) in [
        (Failure::Unavailable, 503, true),
        (Failure::TimedOut, 503, true),
        (Failure::Corrupt, 500, false),
        (Failure::Refused, 500, false),
        (Failure::Unsuitable, 500, false),
        (Failure::Other, 500, false),
    ] {
        world.store.fail_next(Verb::Load, failure);
        let answer = ask(&app, to("/")).await;
        assert_eq!(answer.status.as_u16(), status, "{failure:?}");
        assert_eq!(answer.headers.contains_key(RETRY_AFTER), retry, "{failure:?}");
        assert!(!answer.body.contains(BOB) && !answer.body.contains("test made"));
        // A failed load is no reason to write, and none to send a cookie.
        assert_eq!((answer.cookie(), world.verbs()), (None, vec![Verb::Load]));
    }
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":1"#)));
}

#[tokio::test]
async fn response_in_place_of_one_that_could_not_be_saved_has_nothing_of_the_handlers() {
    async fn login(session: Session) -> Result<Response, Error> {
        session.insert("user", "bob")?;
        let headers = [(SET_COOKIE, "token=secret"), (http::header::LOCATION, "/home")];
        Ok((StatusCode::SEE_OTHER, headers, "welcome bob").into_response())
    }

    let world = World::new();
    let app = Router::new().route("/", get(login)).layer(world.layer());
    world.store.fail_next(Verb::Create, Failure::Unavailable);
    let answer = ask(&app, visit()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(["1", "2", "3"].contains(&answer.headers[RETRY_AFTER].to_str().unwrap()));
    assert!(!answer.headers.contains_key(SET_COOKIE) && !answer.headers.contains_key("location"));
    assert!(!answer.body.contains("bob"), "{}", answer.body);
}

#[tokio::test]
async fn error_of_a_handler_keeps_what_was_changed_before_it() {
    async fn handler(session: Session) -> Result<(), Error> {
        session.insert("a", 1)?;
        session.get::<u8>("text").map(drop)
    }

    let world = World::with(r#""text":"x""#).await;
    let app = Router::new().route("/", get(handler)).layer(world.layer());
    assert_eq!(ask(&app, to("/")).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""text":"x","a":1"#)));
}

#[tokio::test]
async fn corrupt_record_is_an_error_and_stays_where_it_is() {
    for corrupt in ["", "null", "[]", r#"{"a":1}"#, r#"{"cookie":5}"#, r#"{"cookie":{},"a""#] {
        let world = World::holding(corrupt).await;
        let app = Router::new().route("/", get(count)).layer(world.layer());
        let answer = ask(&app, to("/")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{corrupt}");
        assert_eq!(answer.cookie(), None);
        assert_eq!(world.kept(BOB).await.as_deref(), Some(corrupt));
    }
}

#[tokio::test]
async fn plain_extensions_give_the_same_errors() {
    let error = Session::from_extensions(&http::Extensions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingLayer);
    let error = Session::named(&http::Extensions::new(), "connect.sid").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingLayer);
}

// The error response.

#[tokio::test]
async fn error_response_is_the_applications_own_and_carries_the_error() {
    /// The application's page.
    fn sorry(error: &Error, request: &http::request::Parts) -> http::Response<String> {
        let page = format!("sorry: {} {:?}", request.uri.path(), error.kind());
        http::Response::builder().status(StatusCode::IM_A_TEAPOT).body(page).unwrap()
    }
    let kind = ErrorKind::Store(Failure::Unavailable);
    // A handler whose session cannot be loaded returns the error itself; a save that fails replaces its response.
    for failing in [Verb::Load, Verb::Update] {
        for is_custom in [true, false] {
            let world = World::with(r#""n":1"#).await;
            let layer = world.layer();
            let layer = if is_custom { layer.error_response(sorry) } else { layer };
            let app = Router::new().route("/count", get(count)).layer(layer);
            world.store.fail_next(failing, Failure::Unavailable);
            let request = to("/count").map(|()| AxumBody::empty());
            let response = app.clone().oneshot(request).await.unwrap();
            let error = response.extensions().get::<Arc<Error>>().unwrap();
            assert_eq!(error.kind(), kind, "{failing:?}");
            let answer = read(response).await;
            let expected = if is_custom {
                (StatusCode::IM_A_TEAPOT, format!("sorry: /count {kind:?}"))
            } else {
                let page = "The session is unavailable. Please try again.\n".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, page)
            };
            assert_eq!((answer.status, answer.body), expected, "{failing:?}");
            assert_eq!(answer.headers.contains_key(RETRY_AFTER), !is_custom, "{failing:?}");
            // A request that succeeds is not affected.
            let answer = ask(&app, to("/count")).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "2"), "{failing:?}");
        }
    }
}

// Flash messages and CSRF tokens.

#[tokio::test]
async fn flash_messages_of_one_handler_are_taken_by_the_next() {
    async fn save(flash: Flash) -> Result<(), Error> {
        flash.push("info", "Saved.")
    }
    async fn show(flash: Flash) -> Result<String, Error> {
        Ok(flash.take::<String>("info").await?.join(" "))
    }
    let world = World::with("").await;
    let app = Router::new().route("/", post(save).get(show)).layer(world.layer());
    let mut form = to("/");
    *form.method_mut() = Method::POST;
    ask(&app, form).await;
    assert_eq!(ask(&app, to("/")).await.body, "Saved.");
    assert_eq!(ask(&app, to("/")).await.body, "");
}

#[cfg(feature = "csrf")]
#[tokio::test]
async fn request_without_a_valid_token_gets_a_403_and_changes_nothing() {
    use express_session::Csrf;
    use http::HeaderMap;

    async fn form(csrf: Csrf) -> Result<String, Error> {
        csrf.token().await
    }
    async fn pay(csrf: Csrf, headers: HeaderMap, session: Session) -> Result<(), Error> {
        csrf.verify(Csrf::in_headers(&headers))?;
        session.insert("paid", true)
    }
    let world = World::with("").await;
    let log = Log::start();
    let paying = |token: &str| {
        let mut request = request("/", &[("cookie", &sid(BOB)), ("x-csrf-token", token)]);
        *request.method_mut() = Method::POST;
        request
    };
    let routes = || Router::new().route("/", post(pay).get(form));
    let app = routes().layer(world.layer());
    let token = ask(&app, to("/")).await.body;
    world.calls();

    let forged = paying("forged").map(|()| AxumBody::empty());
    let response = app.clone().oneshot(forged).await.unwrap();
    let error = response.extensions().get::<Arc<Error>>().map(|error| error.kind());
    assert_eq!(error, Some(ErrorKind::InvalidCsrfToken));
    let answer = read(response).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.body, "The form is not valid any more. Please load the page again.\n");
    assert_eq!(world.verbs(), [Verb::Load]);
    assert!(!log.text().contains("failed"), "{}", log.text());

    let own = |_: &Error, _: &http::request::Parts| {
        let mut response = http::Response::new(bytes::Bytes::from("own"));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    };
    let custom = routes().layer(world.layer().error_response(own));
    assert_eq!(ask(&custom, paying("forged")).await.body, "own");

    assert_eq!(ask(&app, paying(&token)).await.status, StatusCode::OK);
    assert!(world.kept(BOB).await.unwrap().contains(r#""paid":true"#));
}
