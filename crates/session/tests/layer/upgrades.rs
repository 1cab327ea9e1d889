//! Connections that become something else: the session is saved before, and its handle lives on.

use std::time::Duration;

use express_session::{Session, SessionLayer};
use express_session_testkit::Verb;
use http::header::{CONNECTION, UPGRADE};
use http::{Method, Request, Response, StatusCode};

use crate::support::body::empty;
use crate::support::delayed_store::DelayedStore;
use crate::support::*;

fn switching() -> Response<Body> {
    let mut response = empty(101);
    response.headers_mut().insert(UPGRADE, "echo".parse().unwrap());
    response.headers_mut().insert(CONNECTION, "upgrade".parse().unwrap());
    response
}

#[tokio::test]
async fn upgrade_is_saved_before_it_leaves() {
    let world = World::new();
    let delayed_store = DelayedStore::before(Verb::Create, world.store.clone());
    let talk = Talk::begin(&world.layer().store(delayed_store.clone()), visit()).await;
    talk.session.insert("a", 1).unwrap();
    let (_session, mut sent) = talk.hold(switching());
    assert!(waits(sent.as_mut()).await);
    delayed_store.open();
    let response = sent.await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert!(response.headers().contains_key("set-cookie"));
    assert_eq!(world.verbs(), [Verb::Create]);
}

async fn upgraded(layer: &SessionLayer, request: Request<()>, response: Response<Body>) -> Session {
    let (session, sent) = Talk::begin(layer, request).await.hold(response);
    read(sent.await).await;
    session
}

#[tokio::test]
async fn handle_saves_explicitly_after_an_upgrade_and_never_by_itself() {
    let world = World::with(r#""n":1"#).await;
    let session = upgraded(&world.layer(), visit_as(BOB), switching()).await;
    world.calls();
    session.insert("n", 2).unwrap();
    assert_eq!(session.get::<u8>("n").unwrap(), Some(2));
    session.save().await.unwrap();
    assert_eq!(world.calls(), format!("update(bob, {})", record(PLAIN, r#""n":2"#)));
    session.insert("n", 3).unwrap();
    drop(session);
    assert_eq!(world.calls(), "");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}

#[tokio::test]
async fn upgraded_connection_keeps_its_session_alive_by_touching() {
    let world = World::holding(&record(MINUTE, "")).await;
    let session = upgraded(&world.minute(), visit_as(BOB), switching()).await;
    world.calls();
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(50));
        session.touch().await.unwrap();
        assert_eq!(world.verbs(), [Verb::Touch]);
    }
    assert!(world.kept(BOB).await.is_some());
}

#[tokio::test]
async fn upgraded_connection_sees_the_logout() {
    let world = World::with("").await;
    let session = upgraded(&world.layer(), visit_as(BOB), switching()).await;
    let logout = bob(&world.layer()).await;
    logout.destroy().await;
    let error = session.touch().await.unwrap_err();
    assert_eq!(error.kind(), express_session::ErrorKind::Ended);
    assert_eq!(world.kept(BOB).await, None);
}

#[tokio::test]
async fn connect_is_an_upgrade_without_status_101() {
    // RFC 9110 §9.3.6, and RFC 8441 for WebSockets over HTTP/2.
    let world = World::with(r#""n":1"#).await;
    let mut request = visit_as(BOB);
    *request.method_mut() = Method::CONNECT;
    let session = upgraded(&world.layer(), request, empty(200)).await;
    session.insert("n", 2).unwrap();
    session.save().await.unwrap();
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn connection_is_upgraded_over_axum_and_its_task_saves() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    let world = World::with(r#""n":1"#).await;
    let handler = async |session: Session, request: axum::extract::Request| {
        session.insert("n", 2).unwrap();
        let upgrade = hyper::upgrade::on(request);
        tokio::spawn(async move {
            let mut stream = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            session.insert("n", byte[0]).unwrap();
            session.save().await.unwrap();
            stream.write_all(b"saved").await.unwrap();
            stream.shutdown().await.unwrap();
        });
        switching().map(axum::body::Body::new)
    };
    let app = axum::Router::new().route("/", axum::routing::get(handler)).layer(world.layer());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut connection = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let request = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\
         cookie: connect.sid={}\r\n\r\n",
        signed(BOB)
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":2"#)));

    connection.write_all(&[7]).await.unwrap();
    let mut rest = String::new();
    connection.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "saved");
    assert_eq!(world.kept(BOB).await, Some(record(PLAIN, r#""n":7"#)));
}
