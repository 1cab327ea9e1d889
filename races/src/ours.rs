//! The application with our sessions.

use std::time::Duration;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use express_session::store::{self, Store};
use express_session::{AtLimit, Error, ErrorKind, Session, SessionLayer};

use crate::SECRET;
use crate::gate::Gates;
use crate::routes::{Handle, routes, routes_through};

/// Returns the application; again below [`LIFE`] with renewal and with a limit of a user's sessions, and below [`EPOCH`] with an
/// epoch for each user:
///
/// | path | its handler |
/// |---|---|
/// | `/epoch/login/{user}` | logs a user in, and sets the member `base` |
/// | `/epoch/slow-login/{gate}/{user}` | does the same, and waits before the session is stored |
/// | `/epoch/end-others` | ends the user's other sessions |
/// | `/life/renew/{key}` | loads, waits, gives the session another id, sets a member |
/// | `/life/login/{user}` | logs a user in, and sets the member `base` |
/// | `/life/end-others` | ends the user's other sessions |
/// | `/life/sessions` | returns how many sessions the user has |
pub(crate) fn application(store: impl Store + Clone, wait: Duration) -> Router {
    let layer = SessionLayer::new(SECRET).store(store.clone());
    let with_epochs = SessionLayer::new(SECRET).store(store.clone()).user_epoch(true);
    let gates = Gates::default();
    let epoch = routes_through::<Session>(gates.clone(), wait)
        .route("/login/{user}", get(log_in))
        .route("/slow-login/{gate}/{user}", get(log_in_slowly))
        .route("/end-others", get(end_others))
        .layer(Extension(Wait(wait)))
        .layer(Extension(gates))
        .layer(with_epochs);
    let with_life = SessionLayer::new(SECRET)
        .store(store)
        .renewal_grace(GRACE)
        .max_sessions(MAX_SESSIONS, AtLimit::EndLeastRecentlyUsed);
    let life = routes::<Session>(wait)
        .route("/renew/{key}", get(renew))
        .route("/login/{user}", get(log_in))
        .route("/end-others", get(end_others))
        .route("/sessions", get(count_sessions))
        .layer(Extension(Wait(wait)))
        .layer(with_life);
    routes::<Session>(wait).layer(layer).nest(LIFE, life).nest(EPOCH, epoch)
}

/// The root of the paths whose sessions have a life.
pub(crate) const LIFE: &str = "/life";

/// The root of the paths whose users have epochs.
pub(crate) const EPOCH: &str = "/epoch";

/// How many sessions a user may have.
pub(crate) const MAX_SESSIONS: usize = 3;

/// Longer than any round.
const GRACE: Duration = Duration::from_secs(300);

#[derive(Clone, Copy)]
struct Wait(Duration);

async fn renew(
    Extension(Wait(wait)): Extension<Wait>,
    Path(key): Path<String>,
    session: Session,
) -> Result<(), Error> {
    session.get::<u64>("base")?;
    tokio::time::sleep(wait).await;
    session.renew_id().await?;
    session.insert(&key, 1)
}

async fn log_in(Path(user): Path<String>, session: Session) -> Result<(), Error> {
    session.login(user).await?;
    session.insert("base", 1)
}

async fn log_in_slowly(
    Extension(Wait(wait)): Extension<Wait>,
    Extension(gates): Extension<Gates>,
    Path((gate, user)): Path<(String, String)>,
    session: Session,
) -> Result<(), Error> {
    session.login(user).await?;
    session.insert("base", 1)?;
    gates.arrive(&gate);
    tokio::join!(tokio::time::sleep(wait), gates.opened(&gate));
    Ok(())
}

async fn end_others(session: Session) -> Result<(), Error> {
    session.end_other_sessions().await.map(drop)
}

async fn count_sessions(session: Session) -> Result<String, Error> {
    Ok(session.user_sessions().await?.len().to_string())
}

impl Handle for Session {
    type Failure = Response;

    async fn get(&self, key: &str) -> Result<Option<u64>, Response> {
        Self::get(self, key).map_err(failure)
    }

    async fn set(&self, key: &str, value: u64) -> Result<(), Response> {
        self.insert(key, value).map_err(failure)
    }

    async fn add_one(&self, key: &str, wait: Duration) -> Result<(), Response> {
        tokio::time::sleep(wait).await;
        self.update(key, |n: Option<u64>| n.unwrap_or(0) + 1).map_err(failure)?;
        Ok(())
    }

    async fn add_one_alone(&self, key: &str, wait: Duration) -> Result<(), Response> {
        tokio::time::sleep(wait).await;
        let lock = self.lock().await.map_err(failure)?;
        let before = Handle::get(self, key).await?.unwrap_or(0);
        self.set(key, before + 1).await?;
        lock.unlock().await.map_err(failure)
    }

    async fn end(&self) -> Result<(), Response> {
        self.destroy().await.map_err(failure)
    }

    async fn regenerate(&self) -> Result<(), Response> {
        Self::regenerate(self).await.map_err(failure)
    }
}

fn failure(error: Error) -> Response {
    if error.kind() == ErrorKind::Store(store::ErrorKind::Unsupported) {
        return StatusCode::NOT_IMPLEMENTED.into_response();
    }
    error.into_response()
}
