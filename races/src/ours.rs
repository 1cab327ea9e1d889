//! The application with our sessions.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use express_session::store::{self, Store};
use express_session::{Error, ErrorKind, Session, SessionLayer};

use crate::SECRET;
use crate::routes::{Handle, routes};

pub(crate) fn application(store: impl Store, wait: Duration) -> Router {
    routes::<Session>(wait).layer(SessionLayer::new(SECRET).store(store))
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
