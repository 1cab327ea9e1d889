//! The application with tower-sessions, in two versions: the newest, with its memory store, and the newest version
//! that has a published store for Redis.

use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::StatusCode;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::interfaces::ClientLike as _;
use tower_sessions_redis_store::fred::prelude::{Config, Pool};

use crate::routes::{Handle, routes};

/// The number that our stores have.
const CONNECTIONS: usize = 10;

/// Returns the application on its memory store.
pub(crate) fn in_memory(wait: Duration) -> Router {
    let layer = tower_sessions::SessionManagerLayer::new(tower_sessions::MemoryStore::default());
    routes::<tower_sessions::Session>(wait).layer(layer)
}

/// Returns the application on a Redis server.
pub(crate) async fn on_redis(url: &str, wait: Duration) -> Result<Router> {
    let pool = Pool::new(Config::from_url(url)?, None, None, None, CONNECTIONS)?;
    pool.init().await.context("cannot connect to Redis")?;
    let layer = tower_sessions_14::SessionManagerLayer::new(RedisStore::new(pool));
    Ok(routes::<tower_sessions_14::Session>(wait).layer(layer))
}

macro_rules! handle {
    ($session:ty) => {
        impl Handle for $session {
            type Failure = StatusCode;

            async fn get(&self, key: &str) -> Result<Option<u64>, StatusCode> {
                Self::get(self, key).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
            }

            async fn set(&self, key: &str, value: u64) -> Result<(), StatusCode> {
                self.insert(key, value).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
            }

            async fn add_one(&self, key: &str, wait: Duration) -> Result<(), StatusCode> {
                let before = Handle::get(self, key).await?.unwrap_or(0);
                tokio::time::sleep(wait).await;
                self.set(key, before + 1).await
            }

            /// It has no lock.
            async fn add_one_alone(&self, _: &str, _: Duration) -> Result<(), StatusCode> {
                Err(StatusCode::NOT_IMPLEMENTED)
            }

            async fn end(&self) -> Result<(), StatusCode> {
                self.flush().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
            }

            async fn regenerate(&self) -> Result<(), StatusCode> {
                self.cycle_id().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    };
}

handle!(tower_sessions::Session);
handle!(tower_sessions_14::Session);
