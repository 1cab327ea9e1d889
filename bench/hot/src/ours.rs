//! Our layer, as a user sets it up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use express_session::store::Store;
use express_session::{Cookie, MemoryStore, Session, SessionLayer};
use http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::Layer as _;

use crate::{Driver, Handle, Site, Tower, Work, service};

/// The layer with its defaults, except that the cookie goes over plain HTTP.
#[derive(Debug)]
pub struct Ours {
    layer: SessionLayer,
}

impl Ours {
    /// Uses a memory store of its own.
    pub fn new() -> Result<Self> {
        Self::on(MemoryStore::new())
    }

    /// Uses a memory store of its own, with the same ids and times in every run: the length of a cookie depends on its
    /// id, and values that are cached for a second serve more requests or fewer.
    pub fn repeatable() -> Result<Self> {
        let drawn = AtomicU64::new(1);
        let random = move |bytes: &mut [u8]| {
            for eight in bytes.chunks_mut(8) {
                // Splitmix: a counter, with its bits mixed.
                let mut word =
                    drawn.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                eight.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..eight.len()]);
            }
        };
        // Each call advances the clock by 50 microseconds, from 2023: a clock that is ahead of the machine's costs
        // the memory store a look at the real one.
        let asked = AtomicU64::new(34_000_000_000_000);
        let clock =
            move || UNIX_EPOCH + Duration::from_micros(50 * asked.fetch_add(1, Ordering::Relaxed));
        let Self { layer } = Self::new()?;
        Ok(Self { layer: layer.random(random).clock(clock).build()? })
    }

    pub fn on(store: impl Store) -> Result<Self> {
        let layer = SessionLayer::new("keyboard cat").cookie(Cookie::new().secure(false));
        Ok(Self { layer: layer.store(store).build()? })
    }
}

impl Site for Ours {
    fn driver(&self, does: Work) -> Box<dyn Driver> {
        Tower::boxed(self.layer.layer(service::<Session>(does)))
    }
}

impl Handle for Session {
    async fn find(extensions: &Extensions) -> Option<Self> {
        Self::from_extensions(extensions).ok()?.load().await.ok()
    }

    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        Self::get(self, key).ok()?
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) -> bool {
        Self::insert(self, key, value).is_ok()
    }
}
