//! tower-sessions, on the memory store that comes with it.

use bench_hot::{Driver, Handle, Site, Tower, Work, service};
use http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::Layer as _;
use tower_sessions::cookie::Key;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

/// The layer with its defaults, except that the cookie goes over plain HTTP.
#[derive(Debug)]
pub(super) struct TowerSessions {
    store: MemoryStore,
    key: Option<Key>,
}

impl TowerSessions {
    pub(super) fn signed() -> Self {
        Self { store: MemoryStore::default(), key: Some(Key::generate()) }
    }

    pub(super) fn plain() -> Self {
        Self { store: MemoryStore::default(), key: None }
    }
}

impl Site for TowerSessions {
    fn driver(&self, does: Work) -> Box<dyn Driver> {
        let layer = SessionManagerLayer::new(self.store.clone()).with_secure(false);
        let inner = service::<Theirs>(does);
        match &self.key {
            Some(key) => Box::new(Tower(layer.with_signed(key.clone()).layer(inner))),
            None => Box::new(Tower(layer.layer(inner))),
        }
    }
}

/// The session of a request.
struct Theirs(Session);

impl Handle for Theirs {
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
