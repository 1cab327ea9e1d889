//! Finding M3 at the layer: what an outage writes into the log and into `Retry-After`.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use express_session::store::{Error as StoreError, ErrorKind as Failure};
use express_session::{Error, Session};
use http::Request;
use http::header::RETRY_AFTER;
use tower::ServiceExt as _;
use tracing::Level;

use crate::support::log::Log;
use crate::support::{BOB, World, signed};

fn to(path: &str) -> Request<Body> {
    let cookie = format!("connect.sid={}", signed(BOB));
    Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn audit_m3_thousand_failures_are_a_few_lines_and_retry_after_spreads_the_visitors() {
    let world = World::with("").await;
    world.store.fail(|_| Some(StoreError::new(Failure::Unavailable, "a test")));
    let app: Router = Router::new()
        .route("/asked", get(async |_: Session| "asked"))
        .route("/ignored", get(async || "ignored"))
        .layer(world.layer());
    let log = Log::start();
    let mut seconds = BTreeSet::new();
    for _ in 0..1000 {
        let answer = app.clone().oneshot(to("/asked")).await.unwrap();
        assert_eq!(answer.status().as_u16(), 503);
        seconds.insert(answer.headers()[RETRY_AFTER].to_str().unwrap().to_owned());
        assert_eq!(app.clone().oneshot(to("/ignored")).await.unwrap().status().as_u16(), 200);
    }
    let errors = log.lines().into_iter().filter(|line| line.level == Level::ERROR).count();
    assert!((1..=2).contains(&errors), "{errors} lines");
    assert_eq!(seconds, ["1", "2", "3"].map(str::to_owned).into());
}

#[test]
fn audit_m3_error_says_in_how_long_a_retry_may_help() {
    let unavailable = StoreError::new(Failure::Unavailable, "a test");
    let second = Some(Duration::from_secs(1));
    assert_eq!(Error::from(unavailable.clone()).retry_after(), second);
    let later = Duration::from_millis(420);
    assert_eq!(Error::from(unavailable.with_retry_after(later)).retry_after(), Some(later));
    assert_eq!(Error::from(StoreError::new(Failure::Refused, "a test")).retry_after(), None);
}
