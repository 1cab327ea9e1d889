//! The entrants, and how each is started.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use clap::ValueEnum;
use express_session::store::AnyStore;
use express_session_testkit::{child, servers};
use serde_json::json;

use crate::cluster::Cluster;
use crate::site::Site;
use crate::{SECRET, ours, tower_sessions_app};

/// The library of the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Maker {
    Ours,
    /// The npm package, with its native stores and `integrity`.
    Npm,
    /// As many processes of the npm package as of ours, on the same records.
    Mixed,
    ExpressSession,
    TowerSessions,
}

/// The store that keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    Memory,
    Redis,
    RedisCluster,
    /// A server with `SET … IFEQ`.
    Valkey,
    Postgres,
    Mysql,
    Sqlite,
    File,
    Memcached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entrant {
    pub(crate) maker: Maker,
    pub(crate) place: Place,
}

/// Every entrant, in the order they are played; those with Node only if asked for.
pub(crate) const ALL: &[Entrant] = &[
    Entrant { maker: Maker::Ours, place: Place::Memory },
    Entrant { maker: Maker::Ours, place: Place::Redis },
    Entrant { maker: Maker::Ours, place: Place::RedisCluster },
    Entrant { maker: Maker::Ours, place: Place::Valkey },
    Entrant { maker: Maker::Ours, place: Place::Postgres },
    Entrant { maker: Maker::Ours, place: Place::Mysql },
    Entrant { maker: Maker::Ours, place: Place::Sqlite },
    Entrant { maker: Maker::Ours, place: Place::File },
    Entrant { maker: Maker::Ours, place: Place::Memcached },
    Entrant { maker: Maker::Npm, place: Place::Memory },
    Entrant { maker: Maker::Npm, place: Place::Redis },
    Entrant { maker: Maker::Npm, place: Place::RedisCluster },
    Entrant { maker: Maker::Npm, place: Place::Valkey },
    Entrant { maker: Maker::Npm, place: Place::Postgres },
    Entrant { maker: Maker::Npm, place: Place::Mysql },
    Entrant { maker: Maker::Npm, place: Place::Sqlite },
    Entrant { maker: Maker::Npm, place: Place::File },
    Entrant { maker: Maker::Npm, place: Place::Memcached },
    Entrant { maker: Maker::Mixed, place: Place::Redis },
    Entrant { maker: Maker::Mixed, place: Place::RedisCluster },
    Entrant { maker: Maker::Mixed, place: Place::Valkey },
    Entrant { maker: Maker::Mixed, place: Place::Postgres },
    Entrant { maker: Maker::Mixed, place: Place::Mysql },
    Entrant { maker: Maker::Mixed, place: Place::Sqlite },
    Entrant { maker: Maker::Mixed, place: Place::File },
    Entrant { maker: Maker::Mixed, place: Place::Memcached },
    Entrant { maker: Maker::ExpressSession, place: Place::Memory },
    Entrant { maker: Maker::ExpressSession, place: Place::Redis },
    Entrant { maker: Maker::ExpressSession, place: Place::Postgres },
    Entrant { maker: Maker::TowerSessions, place: Place::Memory },
    Entrant { maker: Maker::TowerSessions, place: Place::Redis },
];

impl Entrant {
    /// Checks whether it has processes of Node.
    pub(crate) fn is_on_node(self) -> bool {
        matches!(self.maker, Maker::Npm | Maker::Mixed | Maker::ExpressSession)
    }

    /// Checks whether it needs the npm package to be built.
    pub(crate) fn needs_npm_package(self) -> bool {
        matches!(self.maker, Maker::Npm | Maker::Mixed)
    }

    /// Checks whether its losses are ours.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self.maker, Maker::Ours | Maker::Npm | Maker::Mixed)
    }

    /// Returns its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match (self.maker, self.place) {
            (Maker::Ours, _) => "ours",
            (Maker::Npm, _) => "ours on Node",
            (Maker::Mixed, _) => "ours, Rust and Node",
            (Maker::ExpressSession, _) => "express-session",
            (Maker::TowerSessions, Place::Redis) => "tower-sessions 0.14",
            (Maker::TowerSessions, _) => "tower-sessions 0.15",
        }
    }

    /// Starts it with the store at this URL, in so many processes.
    pub(crate) async fn cluster(
        self,
        url: &str,
        processes: usize,
        wait: Duration,
    ) -> Result<Cluster> {
        let store = match self.maker {
            Maker::Ours | Maker::Npm | Maker::Mixed => Some(self.place.open(url).await?),
            Maker::ExpressSession | Maker::TowerSessions => None,
        };
        let many = 0..processes;
        let node = |is_ours| self.place.node(url, wait, is_ours);
        let sites = match (self.maker, &store) {
            (Maker::ExpressSession, _) => many.map(|_| node(false)).collect::<Result<_>>()?,
            (Maker::Npm, _) => many.map(|_| node(true)).collect::<Result<_>>()?,
            (Maker::Mixed, _) => {
                many.flat_map(|_| [node(true), self.worker(url)]).collect::<Result<_>>()?
            }
            _ if processes > 1 => many.map(|_| self.worker(url)).collect::<Result<_>>()?,
            (_, Some(store)) => vec![Site::Here(ours::application(store.clone(), wait))],
            (_, None) => vec![Site::Here(self.application(url, wait).await?)],
        };
        let node = match (self.maker, self.place) {
            (Maker::Ours, Place::Redis | Place::Postgres) => Some(node(false)?),
            _ => None,
        };
        let has_life = self.maker == Maker::Ours;
        Ok(Cluster { sites, store, node, has_life, ..Cluster::default() })
    }

    /// Returns the application that a worker serves.
    pub(crate) async fn application(self, url: &str, wait: Duration) -> Result<Router> {
        match (self.maker, self.place) {
            (Maker::Ours | Maker::Mixed, _) => {
                Ok(ours::application(self.place.open(url).await?, wait))
            }
            (Maker::TowerSessions, Place::Memory) => Ok(tower_sessions_app::in_memory(wait)),
            (Maker::TowerSessions, Place::Redis) => tower_sessions_app::on_redis(url, wait).await,
            (Maker::TowerSessions | Maker::ExpressSession | Maker::Npm, _) => {
                bail!("{} has no such store here", self.name())
            }
        }
    }

    /// Starts this program again, as a worker.
    fn worker(self, url: &str) -> Result<Site> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", &word(&self.maker), &word(&self.place), url]);
        Site::start(&mut command).context("a worker does not start")
    }
}

/// Returns the name of a value, as on the command line.
pub(crate) fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Place {
    pub(crate) fn name(self) -> String {
        word(&self)
    }

    /// Starts its server and returns its URL, or `None` if the server is not installed.
    pub(crate) fn url(self, folder: &Path) -> Option<String> {
        match self {
            Self::Memory => Some("memory://".to_owned()),
            Self::Redis => servers::shared_redis().map(|server| server.url().to_owned()),
            Self::Valkey => servers::shared_valkey().map(|server| server.url().to_owned()),
            // The client learns of the other nodes from this one.
            Self::RedisCluster => servers::shared_redis_cluster()
                .map(|cluster| cluster.urls()[0].replace("redis://", "redis+cluster://")),
            Self::Postgres => servers::shared_postgres().map(servers::Postgres::url),
            Self::Mysql => servers::shared_mariadb().map(servers::MariaDb::url),
            Self::Sqlite => Some(format!("sqlite://{}/sessions.db", folder.display())),
            Self::File => Some(format!("file://{}/sessions", folder.display())),
            Self::Memcached => servers::shared_memcached().map(servers::Memcached::url),
        }
    }

    async fn open(self, url: &str) -> Result<AnyStore> {
        let options = if self == Self::Postgres { "?create_table_if_missing=true" } else { "" };
        Ok(express_session::connect(&format!("{url}{options}")).await?)
    }

    /// Checks whether several processes can share it.
    pub(crate) fn is_shared(self) -> bool {
        self != Self::Memory
    }

    /// Starts an Express application, with the npm store or ours.
    fn node(self, url: &str, wait: Duration, is_ours: bool) -> Result<Site> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        let options = json!({
            "store": self.name(), "url": url, "secret": SECRET, "wait": wait.as_millis(), "isOurs": is_ours,
        });
        let mut command = child::node(&folder, "`cargo xtask races`")?;
        Site::start(command.arg("main.mjs").arg(options.to_string())).context("node does not start")
    }
}
