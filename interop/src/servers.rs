//! The servers, started when the first row needs them.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::Result;
use express_session_testkit::servers;
use serde_json::{Value, json};

/// The server that keeps the records of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Redis,
    RedisCluster,
    Valkey,
    RedisSentinel,
    Postgres,
    MariaDb,
    Memcached,
    /// No server: files.
    Folder,
}

impl Server {
    /// Returns a place for the records of one row, or `None` if the server is not installed.
    pub(crate) fn place(self, number: usize, folder: &Path) -> Result<Option<Value>> {
        let place = match self {
            Self::Redis => servers::shared_redis().map(|server| json!({ "url": server.url() })),
            Self::Valkey => servers::shared_valkey().map(|server| json!({ "url": server.url() })),
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
            Self::Folder => {
                let folder = folder.join(number.to_string());
                fs::create_dir_all(&folder)?;
                Some(json!({ "folder": folder }))
            }
        };
        Ok(place.map(|mut place| {
            place["place"] = number.into();
            place
        }))
    }
}
