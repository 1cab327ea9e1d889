//! Records that cannot be read: the outcome of the visit, and of the record, under each setting of `unreadable_record`.

use axum::Router;
use axum::routing::{get, post};
use express_session::{Error, LazySession, RecordLimits, Session, SessionLayer, UnreadableRecord};
use express_session_testkit::Verb;
use http::StatusCode;
use tower::ServiceExt as _;

use crate::support::*;

/// Cut off, of another application, with a broken cookie, and larger than the layer below allows.
const RECORDS: [&str; 8] = [
    "",
    "null",
    "[]",
    r#"{"a":1}"#,
    r#"{"cookie":5}"#,
    r#"{"cookie":{"originalMaxAge":"60000"}}"#,
    r#"{"cookie":{},"a""#,
    r#"{"cookie":{"httpOnly":true,"path":"/"},"a":1,"b":2,"c":3,"d":4}"#,
];

fn layer(world: &World, unreadable: UnreadableRecord) -> SessionLayer {
    world.layer().unreadable_record(unreadable).record_limits(RecordLimits::default().members(3))
}

fn app(layer: SessionLayer) -> Router {
    async fn page(session: Session) -> Result<String, Error> {
        session.insert("n", 1)?;
        Ok(session.len().to_string())
    }
    async fn optional(session: Option<Session>) -> String {
        session.map_or("none".to_owned(), |session| session.len().to_string())
    }
    async fn logout(session: LazySession) -> Result<&'static str, Error> {
        session.destroy().await?;
        Ok("bye")
    }
    Router::new()
        .route("/page", get(page))
        .route("/optional", get(optional))
        .route("/logout", post(logout))
        .route("/other", get(|| async { "other" }))
        .layer(layer)
}

async fn visit_page(app: &Router, method: &str, path: &str) -> Answer {
    let mut request = request(path, &[("cookie", &sid(BOB))]);
    *request.method_mut() = method.parse().unwrap();
    let request = request.map(|()| axum::body::Body::empty());
    read(app.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn page_fails_and_changes_nothing_by_default() {
    for text in RECORDS {
        let world = World::holding(text).await;
        let answer = visit_page(&app(layer(&world, UnreadableRecord::Fail)), "GET", "/page").await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{text}");
        assert_eq!((answer.cookie(), world.kept(BOB).await.as_deref()), (None, Some(text)));
        assert_eq!(world.verbs(), [Verb::Load]);
    }
}

#[tokio::test]
async fn visitor_gets_a_new_session_and_the_record_stays_under_the_old_id() {
    for text in RECORDS {
        let world = World::holding(text).await;
        let app = app(layer(&world, UnreadableRecord::StartNew));
        let answer = visit_page(&app, "GET", "/page").await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "1"), "{text}");
        assert_eq!(answer.pair(), sid(&drawn(1)));
        assert_eq!(world.verbs(), [Verb::Load, Verb::Create]);
        assert_eq!(world.kept(BOB).await.as_deref(), Some(text));
        assert_eq!(world.kept(&drawn(1)).await, Some(record(PLAIN, r#""n":1"#)));
    }
}

#[tokio::test]
async fn record_is_destroyed_before_the_visitor_gets_a_new_session() {
    for text in RECORDS {
        let world = World::holding(text).await;
        let app = app(layer(&world, UnreadableRecord::Destroy));
        let answer = visit_page(&app, "GET", "/page").await;
        assert_eq!((answer.status, answer.pair()), (StatusCode::OK, sid(&drawn(1)).as_str()));
        assert_eq!(world.verbs(), [Verb::Load, Verb::Destroy, Verb::Create]);
        assert_eq!(world.kept(BOB).await, None, "{text}");
    }
}

#[tokio::test]
async fn record_that_cannot_be_destroyed_fails_the_page() {
    let world = World::holding("{").await;
    world.store.fail_next(Verb::Destroy, express_session::store::ErrorKind::Unavailable);
    let answer = visit_page(&app(layer(&world, UnreadableRecord::Destroy)), "GET", "/page").await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert_eq!(world.kept(BOB).await.as_deref(), Some("{"));
}

#[tokio::test]
async fn optional_session_and_logout_work_under_every_setting() {
    for unreadable in
        [UnreadableRecord::Fail, UnreadableRecord::StartNew, UnreadableRecord::Destroy]
    {
        for text in RECORDS {
            let world = World::holding(text).await;
            let app = app(layer(&world, unreadable));
            let answer = visit_page(&app, "GET", "/optional").await;
            let body = if unreadable == UnreadableRecord::Fail { "none" } else { "0" };
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, body), "{text}");
            assert_eq!(answer.cookie(), None);

            world.verbs();
            let answer = visit_page(&app, "POST", "/logout").await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "bye"), "{text}");
            assert_eq!(
                answer.cookie(),
                Some("connect.sid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly")
            );
            assert_eq!(world.verbs(), [Verb::Destroy]);
            assert_eq!(world.kept(BOB).await, None);
        }
    }
}

#[tokio::test]
async fn page_that_does_not_use_the_session_changes_nothing() {
    for unreadable in [UnreadableRecord::StartNew, UnreadableRecord::Destroy] {
        let world = World::holding("{").await;
        let answer = visit_page(&app(layer(&world, unreadable)), "GET", "/other").await;
        assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
        assert_eq!(world.kept(BOB).await.as_deref(), Some("{"));
    }
}

#[tokio::test]
async fn logout_without_loading_ends_a_session_that_can_be_read_too() {
    let world = World::with(r#""n":1"#).await;
    let answer = visit_page(&app(world.layer()), "POST", "/logout").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.cookie().unwrap().starts_with("connect.sid=; "), "{:?}", answer.cookie());
    assert_eq!((world.verbs(), world.kept(BOB).await), (vec![Verb::Destroy], None));

    // Without a cookie there is nothing to end, and a store that fails is an error.
    let answer = send_without_cookie(&app(world.layer())).await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::OK, None));
    assert_eq!(world.verbs(), []);
    world.store.fail_next(Verb::Destroy, express_session::store::ErrorKind::Unavailable);
    let answer = visit_page(&app(world.layer()), "POST", "/logout").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

async fn send_without_cookie(app: &Router) -> Answer {
    let mut request = request("/logout", &[]);
    *request.method_mut() = http::Method::POST;
    read(app.clone().oneshot(request.map(|()| axum::body::Body::empty())).await.unwrap()).await
}
