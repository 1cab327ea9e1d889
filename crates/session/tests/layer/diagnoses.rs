//! The classic mistakes explain themselves, once each, and give nothing away.

use std::time::Duration;

use express_session::store::ErrorKind as Failure;
use express_session::{Cookie, Error, MemoryStore, SameSite, Session, SessionLayer};
use express_session_testkit::{Spy, Verb};
use tower::Layer as _;
use tracing::Level;

use crate::support::body::stream;
use crate::support::log::Log;
use crate::support::*;

/// A secret that is beyond reproach.
const STRONG: &str = "9cf0c1b2d7e84a5f6b3d2e1f0a9b8c7d";

/// A layer that nothing is to be said about.
fn good() -> SessionLayer {
    SessionLayer::new(STRONG).store(MemoryStore::new())
}

async fn login(session: Session) -> Result<(), Error> {
    session.insert("a", 1)
}

/// Makes a service of a layer twice, and gives the one warning that this was worth.
fn warning_of(layer: SessionLayer) -> String {
    let log = Log::start();
    let layer = layer.build().unwrap();
    let clone = layer.clone();
    let _ = (layer.layer(()), clone.layer(()));
    let warnings = log.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings.into_iter().next().unwrap()
}

/// Sends three requests, and gives the one warning that they were worth.
async fn warning_at(layer: SessionLayer, request: fn() -> http::Request<()>) -> String {
    let layer = layer.build().unwrap();
    let log = Log::start();
    let app = app(&layer, login);
    for _ in 0..3 {
        send(&app, request()).await;
    }
    let lines = log.lines();
    assert!(lines.iter().all(|line| line.level == Level::WARN && line.target == "express_session"));
    let warnings = log.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings.into_iter().next().unwrap()
}

fn says(warning: &str, words: &[&str]) {
    for word in words {
        assert!(warning.contains(word), "{word}: {warning}");
    }
}

#[tokio::test]
async fn good_options_and_good_requests_say_nothing() {
    let log = Log::start();
    let app = app(&good(), login);
    let pair = send(&app, visit()).await.pair().to_owned();
    send(&app, visit_with(&pair)).await;
    send(&app, visit_with("connect.sid=s%3Aforged.x")).await;
    assert_eq!(log.text(), "");
}

#[test]
fn weak_secret_logs_a_warning() {
    for secret in ["", "secret", SECRET, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let layer = SessionLayer::new(secret).store(MemoryStore::new());
        let warning = warning_of(layer);
        says(&warning, &["secret", "32 random characters"]);
        assert!(secret.len() < 10 || !warning.contains(secret), "{warning}");
    }
    says(&warning_of(SessionLayer::new([STRONG, "old"]).store(MemoryStore::new())), &["secret"]);
}

#[test]
fn resave_logs_a_warning_if_the_store_can_touch() {
    says(&warning_of(good().resave(true)), &["resave", "touch"]);
    let log = Log::start();
    let _ = good().store(Spy::without_touch(MemoryStore::new())).resave(true).build().unwrap();
    assert_eq!(log.text(), "");
}

#[test]
fn save_uninitialized_logs_a_warning() {
    says(&warning_of(good().save_uninitialized(true)), &["save_uninitialized", "consent"]);
}

#[test]
fn memory_store_logs_a_warning_in_release_builds() {
    let log = Log::start();
    let _ = SessionLayer::new(STRONG).build().unwrap();
    let warnings = log.warnings();
    if cfg!(debug_assertions) {
        assert_eq!(warnings, Vec::<String>::new());
    } else {
        says(&warnings[0], &["memory store", ".store("]);
    }
}

#[tokio::test]
async fn secure_cookie_over_plain_http_logs_one_warning() {
    let layer = good().cookie(Cookie::new().secure(true));
    let warning = warning_at(layer, visit).await;
    says(&warning, &["not sent", "plain HTTP", "proxy", "Auto", "HTTPS"]);
}

#[tokio::test]
async fn each_layer_tells_once() {
    let log = Log::start();
    for _ in 0..2 {
        let layer = good().cookie(Cookie::new().secure(true));
        let app = app(&layer, login);
        send(&app, visit()).await;
        send(&app, visit()).await;
    }
    assert_eq!(log.warnings().len(), 2);
}

#[tokio::test]
async fn cookie_that_cannot_be_written_logs_a_warning() {
    let layer = good().cookie_with(|_| Cookie::new().domain("a b"));
    says(&warning_at(layer, visit).await, &["not sent", "attributes"]);
}

#[tokio::test]
async fn cookie_over_4096_bytes_logs_a_warning() {
    let layer = good().genid(|_| "x".repeat(4096));
    let layer = layer.store(Spy::new(MemoryStore::new()));
    let log = Log::start();
    let app = app(&layer, async |session: Session| {
        session.insert("a", 1)?;
        session.cookie().set_max_age(Duration::from_secs(60))
    });
    let answer = send(&app, visit()).await;
    // Once more from the same browser: the warning is logged once.
    send(&app, visit_with(answer.pair())).await;
    let warnings = log.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    says(&warnings[0], &["4096", "genid"]);
}

#[tokio::test]
async fn cookie_of_4096_bytes_is_fine() {
    let around = "connect.sid=s%3A.".len() + "; Path=/; HttpOnly".len();
    let log = Log::start();
    for (id, told) in [(3000, 0), (4096, 1)] {
        let layer = good().genid(move |_| "x".repeat(id - around));
        send(&app(&layer, login), visit()).await;
        assert_eq!(log.warnings().len(), told, "{id}");
    }
}

#[tokio::test]
async fn new_session_made_too_late_logs_a_warning() {
    let layer = good().build().unwrap();
    let log = Log::start();
    for _ in 0..2 {
        let talk = Talk::begin(&layer, visit()).await;
        talk.session.insert("a", 1).unwrap();
        let (frames, response) = stream();
        let (session, sent) = talk.hold(response);
        let response = sent.await;
        session.regenerate().await.unwrap();
        drop(frames);
        read(response).await;
    }
    let warnings = log.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    says(&warnings[0], &["after the headers had left", "not stored", "before the handler returns"]);
}

#[tokio::test]
async fn failure_is_logged_as_an_error_once_in_ten_seconds_with_the_number_of_the_others() {
    let world = World::with("").await;
    let app = app(&world.layer(), login);
    let log = Log::start();
    for seconds in [0, 0, 9, 1] {
        world.clock.advance(Duration::from_secs(seconds));
        world.store.fail_next(Verb::Update, Failure::Refused);
        send(&app, visit_as(BOB)).await;
    }
    let mut lines = log.lines();
    lines.retain(|line| line.level == Level::ERROR);
    assert_eq!(lines.len(), 2);
    says(&lines[1].text, &["left_out=2"]);
    says(&lines[0].text, &["the session store refused"]);
}

#[tokio::test]
async fn session_that_ended_meanwhile_is_no_warning() {
    let world = World::with("").await;
    let layer = world.layer().build().unwrap();
    let slow = bob(&layer).await;
    let logout = bob(&layer).await;
    logout.destroy().await;
    let log = Log::start();
    slow.session.insert("a", 1).unwrap();
    slow.end().await;
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].level, Level::INFO);
    says(&lines[0].text, &["ended while this request was being handled"]);
}

#[tokio::test]
async fn no_log_line_contains_an_id_a_secret_or_data() {
    let (secret, card) = ("a secret of secrets", "4711-card");
    let world = World::with(&format!(r#""card":"{card}","n":"{card}""#)).await;
    let log = Log::start();
    let layer = world
        .signing(secret)
        .resave(true)
        .save_uninitialized(true)
        .cookie(Cookie::new().secure(true).same_site(SameSite::None));
    let cookie = format!("connect.sid={}", signed_with(BOB, secret));
    let mut shown = format!("{layer:?} {:?}", layer.layer(()));

    // Every failure there is, as an application would log it.
    let talk = Talk::begin(&layer, visit_with(&cookie)).await;
    let session = &talk.session;
    let mut errors = vec![
        session.get::<u8>("card").unwrap_err(),
        session.get::<Vec<u8>>("card").unwrap_err(),
        session.take::<std::net::IpAddr>("card").unwrap_err(),
        session.update("n", |n: Option<u8>| n.unwrap_or(0)).unwrap_err(),
        session.insert("id", card).unwrap_err(),
        session.insert("a", std::collections::BTreeMap::from([(vec![card], 1)])).unwrap_err(),
        session.cookie().set_path("\n").unwrap_err(),
        express_session::Typed::<Card>::new(session.clone()).read().map(drop).unwrap_err(),
    ];
    for verb in [Verb::Update, Verb::Destroy, Verb::Load] {
        world.store.fail_next(verb, Failure::Unavailable);
    }
    session.insert("b", 1).unwrap();
    errors.push(session.save().await.unwrap_err());
    errors.push(session.reload().await.unwrap_err());
    errors.push(session.regenerate().await.unwrap_err());
    shown += &format!("{session:?} {:?}", world.store);
    world.store.fail_next(Verb::Update, Failure::TimedOut);
    talk.end().await;
    for corrupt in [card.to_owned(), format!(r#"{{"card":"{card}"}}"#)] {
        world.keep(BOB, &corrupt).await;
        send(&app(&layer, login), visit_with(&cookie)).await;
    }
    for error in &errors {
        let mut cause = Some(error as &dyn std::error::Error);
        while let Some(error) = cause {
            shown += &format!("{error} {error:?}\n");
            cause = error.source();
        }
    }
    #[cfg(feature = "axum")]
    for error in errors {
        let _ = axum::response::IntoResponse::into_response(error);
    }
    shown += &log.text();
    for hidden in [secret, card, BOB, &signed_with(BOB, secret)[..50]] {
        assert!(!shown.contains(hidden), "{hidden} in {shown}");
    }
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Card {
    card: u8,
}
