//! `axum_session`, on its map of sessions in memory.

use anyhow::Result;
use axum_session::{Key, Session, SessionConfig, SessionLayer, SessionNullPool, SessionStore};
use bench_hot::{Driver, Handle, Site, Tower, Work, service};
use http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle as RuntimeHandle, Runtime};
use tower::Layer as _;

/// The layer with its defaults and a key.
pub(super) struct AxumSession {
    layer: SessionLayer<SessionNullPool>,
    /// The layer starts a task.
    runtime: RuntimeHandle,
}

impl AxumSession {
    pub(super) fn signed(runtime: &Runtime) -> Result<Self> {
        let config = SessionConfig::default().with_key(Key::generate()).with_secure(false);
        let store = runtime.block_on(SessionStore::new(None, config))?;
        Ok(Self { layer: SessionLayer::new(store), runtime: runtime.handle().clone() })
    }
}

impl Site for AxumSession {
    fn driver(&self, does: Work) -> Box<dyn Driver> {
        let _entered = self.runtime.enter();
        Box::new(Tower(self.layer.layer(service::<Theirs>(does))))
    }
}

struct Theirs(Session<SessionNullPool>);

impl Handle for Theirs {
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
