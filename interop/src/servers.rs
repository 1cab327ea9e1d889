//! The servers, started when the first row needs them.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use express_session_testkit::servers;
use serde_json::{Value, json};

/// What a store keeps its records in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Redis,
    RedisCluster,
    RedisSentinel,
    Postgres,
    MariaDb,
    Memcached,
    /// None: files.
    Folder,
}

impl Server {
    /// Where the records of one row may go; `None` where the server is not installed.
    pub(crate) fn place(self, number: usize, folder: &Folder) -> Result<Option<Value>> {
        let place = match self {
            Self::Redis => servers::shared_redis().map(|server| json!({ "url": server.url() })),
            Self::RedisCluster => servers::shared_redis_cluster()
                .map(|server| json!({ "url": server.urls().join(",") })),
            Self::RedisSentinel => {
                static SHARED: OnceLock<Option<servers::RedisSentinel>> = OnceLock::new();
                SHARED.get_or_init(servers::redis_sentinel).as_ref().map(|server| {
                    json!({ "url": server.sentinel_urls().join(","), "name": server.master_name() })
                })
            }
            Self::Postgres => {
                servers::shared_postgres().map(|server| json!({ "url": server.url() }))
            }
            Self::MariaDb => servers::shared_mariadb().map(|server| json!({ "url": server.url() })),
            Self::Memcached => {
                servers::shared_memcached().map(|server| json!({ "url": server.url() }))
            }
            Self::Folder => Some(json!({ "folder": folder.of(number)? })),
        };
        Ok(place.map(|mut place| {
            place["place"] = number.into();
            place
        }))
    }
}

/// A folder for files, removed at the end.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("interop-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("no folder {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn of(&self, number: usize) -> Result<PathBuf> {
        let folder = self.0.join(number.to_string());
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system empties its temporary folder some day.
        let _ = fs::remove_dir_all(&self.0);
    }
}
