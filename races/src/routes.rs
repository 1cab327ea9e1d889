//! The application that every entrant serves, with any session library. `node/main.mjs` is the same on Node.
//!
//! | path | its handler |
//! |---|---|
//! | `/start` | makes a session with the member `base` |
//! | `/member/{key}` | loads, waits, sets a member |
//! | `/count` | loads, waits, adds one to `n` |
//! | `/lock` | loads, waits, and adds one to `n` by reading and setting it, under the session's lock |
//! | `/slow/{gate}/{key}` | loads, waits also for the gate, sets a member |
//! | `/logout`, `/regenerate` | ends the session; the new one has the member `fresh` |
//! | `/read/{keys}` | returns the members of these names, as JSON |
//! | `/gate/{gate}/arrived/{count}`, `/gate/{gate}/open` | waits for slow requests, lets them through |

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Map, Value};

use crate::gate::Gates;

/// The session operations of the handlers.
pub(crate) trait Handle: FromRequestParts<App> + Send + Sync + 'static {
    type Failure: IntoResponse + Send;

    /// Returns a member. The first of these calls loads the session, unless the extractor has.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<u64>, Self::Failure>> + Send;

    fn set(&self, key: &str, value: u64) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Loads the session, waits, and adds one to a member.
    fn add_one(
        &self,
        key: &str,
        wait: Duration,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Does the same by reading and setting it, under the session's lock.
    fn add_one_alone(
        &self,
        key: &str,
        wait: Duration,
    ) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    fn end(&self) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    fn regenerate(&self) -> impl Future<Output = Result<(), Self::Failure>> + Send;
}

/// The state of the handlers.
#[derive(Clone, Debug)]
pub(crate) struct App {
    gates: Gates,
    wait: Duration,
}

/// Returns the routes, without a session layer.
pub(crate) fn routes<S: Handle>(wait: Duration) -> Router {
    routes_through::<S>(Gates::default(), wait)
}

/// Returns the same, with these gates.
pub(crate) fn routes_through<S: Handle>(gates: Gates, wait: Duration) -> Router {
    Router::new()
        .route("/start", get(start::<S>))
        .route("/member/{key}", get(member::<S>))
        .route("/count", get(count::<S>))
        .route("/lock", get(lock::<S>))
        .route("/slow/{gate}/{key}", get(slow::<S>))
        .route("/logout", get(logout::<S>))
        .route("/regenerate", get(regenerate::<S>))
        .route("/read/{keys}", get(read::<S>))
        .route("/gate/{gate}/arrived/{count}", get(arrived))
        .route("/gate/{gate}/open", get(open))
        .with_state(App { gates, wait })
}

async fn start<S: Handle>(session: S) -> Result<(), S::Failure> {
    session.set("base", 1).await
}

async fn member<S: Handle>(
    State(app): State<App>,
    Path(key): Path<String>,
    session: S,
) -> Result<(), S::Failure> {
    session.get("base").await?;
    tokio::time::sleep(app.wait).await;
    session.set(&key, 1).await
}

async fn count<S: Handle>(State(app): State<App>, session: S) -> Result<(), S::Failure> {
    session.add_one("n", app.wait).await
}

async fn lock<S: Handle>(State(app): State<App>, session: S) -> Result<(), S::Failure> {
    session.add_one_alone("n", app.wait).await
}

async fn slow<S: Handle>(
    State(app): State<App>,
    Path((gate, key)): Path<(String, String)>,
    session: S,
) -> Result<(), S::Failure> {
    session.get("base").await?;
    app.gates.arrive(&gate);
    tokio::join!(tokio::time::sleep(app.wait), app.gates.opened(&gate));
    session.set(&key, 1).await
}

async fn logout<S: Handle>(session: S) -> Result<(), S::Failure> {
    session.end().await
}

async fn regenerate<S: Handle>(session: S) -> Result<(), S::Failure> {
    session.regenerate().await?;
    session.set("fresh", 1).await
}

async fn read<S: Handle>(Path(keys): Path<String>, session: S) -> Result<String, S::Failure> {
    let mut found = Map::new();
    for key in keys.split(',') {
        if let Some(value) = session.get(key).await? {
            found.insert(key.to_owned(), value.into());
        }
    }
    Ok(Value::Object(found).to_string())
}

async fn arrived(State(app): State<App>, Path((gate, count)): Path<(String, usize)>) {
    app.gates.arrived(&gate, count).await;
}

async fn open(State(app): State<App>, Path(gate): Path<String>) {
    app.gates.open(&gate);
}
