//! tower-sessions and `axum_session`, each on the memory store that comes with it, with its defaults, except that the
//! cookie goes over plain HTTP.

use anyhow::Result;
use axum_session::{Key, SessionConfig, SessionLayer, SessionNullPool, SessionStore};
use bench_hot::{Handle, Site, Tower, Work, service};
use http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tower::Layer as _;
use tower_sessions::{MemoryStore, SessionManagerLayer};

/// tower-sessions, which signs its cookies if it has a key.
pub(super) fn tower_sessions(key: Option<Key>) -> Box<dyn Site> {
    let layer = SessionManagerLayer::new(MemoryStore::default()).with_secure(false);
    Box::new(move |does: Work| {
        let (layer, inner) = (layer.clone(), service::<TowerSession>(does));
        match &key {
            Some(key) => Tower::boxed(layer.with_signed(key.clone()).layer(inner)),
            None => Tower::boxed(layer.layer(inner)),
        }
    })
}

pub(super) fn axum_session(runtime: &Runtime) -> Result<Box<dyn Site>> {
    let config = SessionConfig::default().with_key(Key::generate()).with_secure(false);
    let store = runtime.block_on(SessionStore::<SessionNullPool>::new(None, config))?;
    let layer = SessionLayer::new(store);
    let runtime = runtime.handle().clone();
    Ok(Box::new(move |does: Work| {
        // The layer starts a task.
        let _entered = runtime.enter();
        Tower::boxed(layer.layer(service::<AxumSession>(does)))
    }))
}

struct TowerSession(tower_sessions::Session);

impl Handle for TowerSession {
    async fn find(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned().map(Self)
    }

    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        self.0.get(key).await.ok()?
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) -> bool {
        self.0.insert(key, value).await.is_ok()
    }
}

struct AxumSession(axum_session::Session<SessionNullPool>);

impl Handle for AxumSession {
    async fn find(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned().map(Self)
    }

    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        self.0.get(key)
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) -> bool {
        self.0.set(key, value);
        true
    }
}
