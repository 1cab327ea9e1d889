//! Two session layers in one application.

use std::convert::Infallible;

use express_session::store::ErrorKind as Failure;
use express_session::{Cookie, Departures, Error, ErrorKind, Session, SessionLayer};
use express_session_testkit::Verb;
use http::{Request, Response, StatusCode};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::body::stream;
use crate::support::*;

/// Counts in the sessions of both layers.
async fn count_in_both(request: Request<()>) -> Result<Response<Body>, Infallible> {
    Ok(count(request).await.reply())
}

async fn count(request: Request<()>) -> Result<String, Error> {
    let add = |n: Option<u32>| n.unwrap_or(0) + 1;
    let user = Session::named(request.extensions(), "user")?.load().await?;
    let admin = Session::named(request.extensions(), "admin")?.load().await?;
    Ok(format!("{} {}", user.update("n", add)?, admin.update("a", add)?))
}

async fn insert(request: Request<()>) -> Result<Response<Body>, Infallible> {
    let session = Session::from_extensions(request.extensions()).unwrap().load().await.unwrap();
    session.insert("a", 1).unwrap();
    Ok(text("ok"))
}

/// A layer for users around a layer for administrators, on one store.
fn both(world: &World) -> (SessionLayer, SessionLayer) {
    (world.layer().name("user"), world.layer().name("admin"))
}

fn visit_both(user: &str, admin: &str) -> Request<()> {
    visit_with(&format!("user={}; admin={}", signed(user), signed(admin)))
}

#[tokio::test]
async fn two_layers_have_two_sessions_on_one_store() {
    let world = World::new();
    let (user, admin) = both(&world);
    let app = user.layer(admin.layer(service_fn(count_in_both)));
    let answer = send(&app, visit()).await;
    assert_eq!(answer.body, "1 1");
    // The inner layer's cookie comes first.
    let (admins, users) = (drawn(2), drawn(1));
    assert_eq!(
        answer.cookies(),
        [
            format!("admin={}; Path=/; HttpOnly", signed(&admins)),
            format!("user={}; Path=/; HttpOnly", signed(&users)),
        ]
    );
    assert_eq!(world.verbs(), [Verb::Create, Verb::Create]);
    assert_eq!(world.kept(&users).await, Some(record(PLAIN, r#""n":1"#)));
    assert_eq!(world.kept(&admins).await, Some(record(PLAIN, r#""a":1"#)));

    let answer = send(&app, visit_both(&users, &admins)).await;
    assert_eq!((answer.body.as_str(), answer.cookie()), ("2 2", None));
    assert_eq!(world.verbs(), [Verb::Load, Verb::Load, Verb::Update, Verb::Update]);
}

#[tokio::test]
async fn each_layer_keeps_its_own_session_alive() {
    let world = World::new();
    world.keep("ann", &record(PLAIN, "")).await;
    world.keep("root", &record(PLAIN, "")).await;
    let (user, admin) = both(&world);
    let nothing = service_fn(async |_: Request<()>| Ok::<_, Infallible>(text("ok")));
    let app = user.layer(admin.layer(nothing));
    send(&app, visit_both("ann", "root")).await;
    assert_eq!(world.calls(), "load(root) load(ann)");
}

#[tokio::test]
async fn session_without_a_name_is_the_innermost() {
    let world = World::new();
    let (user, admin) = both(&world);
    let answer = send(&user.layer(admin.layer(service_fn(insert))), visit()).await;
    assert!(answer.cookie().unwrap().starts_with("admin="));
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn logout_of_one_leaves_the_other() {
    let world = World::new();
    world.keep("ann", &record(PLAIN, r#""n":1"#)).await;
    world.keep("root", &record(PLAIN, r#""a":1"#)).await;
    let (user, admin) = both(&world);
    let handler = service_fn(async |request: Request<()>| {
        let admin = Session::named(request.extensions(), "admin").unwrap().load().await.unwrap();
        admin.destroy().await.unwrap();
        Ok::<_, Infallible>(text("ok"))
    });
    let answer = send(&user.layer(admin.layer(handler)), visit_both("ann", "root")).await;
    assert!(answer.cookie().unwrap().starts_with("admin=;"));
    assert_eq!(world.calls(), "load(root) destroy(root) load(ann)");
    assert_eq!(world.kept("ann").await, Some(record(PLAIN, r#""n":1"#)));
}

#[tokio::test]
async fn layer_of_the_same_name_twice_is_one() {
    let world = World::new();
    let layer = world.layer();
    let answer = send(&layer.layer(layer.layer(service_fn(insert))), visit()).await;
    assert!(answer.cookie().is_some());
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn name_is_looked_for_through_every_layer() {
    let world = World::new();
    let handler = service_fn(async |request: Request<()>| {
        let named = |name| Session::named(request.extensions(), name).map_err(|error| error.kind());
        assert!(named("a").is_ok() && named("b").is_ok() && named("c").is_ok());
        assert_eq!(named("d").unwrap_err(), ErrorKind::MissingLayer);
        Ok::<_, Infallible>(text("ok"))
    });
    let layer = |name| world.layer().name(name);
    let app = layer("a").layer(layer("b").layer(layer("a").layer(layer("c").layer(handler))));
    assert_eq!(send(&app, visit()).await.status, StatusCode::OK);
    assert_eq!(world.calls(), "");
}

#[tokio::test]
async fn path_outside_of_one_layers_cookie_leaves_the_other() {
    let world = World::new();
    let inside = |request: Request<()>| async move {
        let kind = |name| {
            Session::named(request.extensions(), name).map(drop).map_err(|error| error.kind())
        };
        let innermost = Session::from_extensions(request.extensions()).is_ok();
        Ok::<_, Infallible>(text(format!("{:?} {:?} {innermost}", kind("user"), kind("admin"))))
    };
    let user = world.layer().name("user");
    let admin = world.layer().name("admin").cookie(Cookie::new().path("/admin"));
    let outer_user = user.layer(admin.layer(service_fn(inside)));
    let outer_admin = admin.layer(user.layer(service_fn(inside)));
    for path in ["/admin", "/"] {
        let expected =
            if path == "/" { "Ok(()) Err(OutsidePath) true" } else { "Ok(()) Ok(()) true" };
        assert_eq!(send(&outer_user, request(path, &[])).await.body, expected, "{path}");
        assert_eq!(send(&outer_admin, request(path, &[])).await.body, expected, "{path}");
    }
}

#[tokio::test]
async fn without_departure_7_the_second_layer_does_nothing() {
    let world = World::new();
    let departures = Departures::all().layers_by_name(false);
    let (user, admin) = both(&world);
    let inner = admin.departures(departures).layer(service_fn(insert));
    let app = user.departures(departures).layer(inner);
    let answer = send(&app, visit()).await;
    assert!(answer.cookie().unwrap().starts_with("user="));
    assert_eq!(world.verbs(), [Verb::Create]);
}

#[tokio::test]
async fn both_sessions_are_saved_at_the_end_of_one_body() {
    let world = World::new();
    world.keep("ann", &record(PLAIN, "")).await;
    world.keep("root", &record(PLAIN, "")).await;
    let (user, admin) = both(&world);
    let (hand, mut handed) = tokio::sync::mpsc::unbounded_channel();
    let handler = service_fn(move |request: Request<()>| {
        let hand = hand.clone();
        async move {
            let named = |name| Session::named(request.extensions(), name).unwrap();
            let (user, admin) = (named("user").load().await, named("admin").load().await);
            let (frames, response) = stream();
            hand.send((user.unwrap(), admin.unwrap(), frames)).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let app = user.layer(admin.layer(handler));
    let response = app.oneshot(visit_both("ann", "root")).await.unwrap();
    let (user, admin, frames) = handed.recv().await.unwrap();
    user.insert("n", 1).unwrap();
    admin.insert("a", 1).unwrap();
    frames.data("x");
    drop(frames);
    assert_eq!(read(response).await.body, "x");
    assert_eq!(world.kept("ann").await, Some(record(PLAIN, r#""n":1"#)));
    assert_eq!(world.kept("root").await, Some(record(PLAIN, r#""a":1"#)));
}

#[tokio::test]
async fn response_that_one_layer_could_not_save_has_no_cookie_of_the_other() {
    let world = World::new();
    let (user, admin) = both(&world);
    let app = user.layer(admin.layer(service_fn(count_in_both)));
    // The inner layer saves first, so that the second call is that of the outer layer.
    let mut calls = 0;
    world.store.fail(move |_| {
        calls += 1;
        (calls == 2).then(|| express_session::store::Error::new(Failure::Unavailable, "down"))
    });
    let answer = send(&app, visit()).await;
    assert_eq!((answer.status, answer.cookie()), (StatusCode::SERVICE_UNAVAILABLE, None));
}

#[tokio::test]
async fn layers_of_two_secrets_do_not_take_each_others_cookies() {
    let world = World::new();
    world.keep("root", &record(PLAIN, r#""a":1"#)).await;
    let admin = world.signing("another").name("admin");
    let handler = app(&admin, async |session: Session| session.len().to_string());
    let stolen = visit_with(&format!("admin={}", signed("root")));
    assert_eq!(send(&handler, stolen).await.body, "0");
    assert_eq!(world.calls(), "");
}
