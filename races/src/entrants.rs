//! Who takes part, and how each is made ready.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use clap::ValueEnum;
use express_session::store::AnyStore;
use express_session_testkit::servers;
use serde_json::json;
use tokio::process::Command;

use crate::cluster::Cluster;
use crate::site::Site;
use crate::{SECRET, ours, tower_sessions_app};

/// Whose sessions they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Maker {
    Ours,
    ExpressSession,
    TowerSessions,
}

/// Where they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    Memory,
    Redis,
    Postgres,
    Mysql,
    Sqlite,
    File,
    Memcached,
}

/// One of those that take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entrant {
    pub(crate) maker: Maker,
    pub(crate) place: Place,
}

/// Every entrant, in the order they are played.
pub(crate) const ALL: &[Entrant] = &[
    Entrant { maker: Maker::Ours, place: Place::Memory },
    Entrant { maker: Maker::Ours, place: Place::Redis },
    Entrant { maker: Maker::Ours, place: Place::Postgres },
    Entrant { maker: Maker::Ours, place: Place::Mysql },
    Entrant { maker: Maker::Ours, place: Place::Sqlite },
    Entrant { maker: Maker::Ours, place: Place::File },
    Entrant { maker: Maker::Ours, place: Place::Memcached },
    Entrant { maker: Maker::ExpressSession, place: Place::Memory },
    Entrant { maker: Maker::ExpressSession, place: Place::Redis },
    Entrant { maker: Maker::ExpressSession, place: Place::Postgres },
    Entrant { maker: Maker::TowerSessions, place: Place::Memory },
    Entrant { maker: Maker::TowerSessions, place: Place::Redis },
];

impl Entrant {
    /// What it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match (self.maker, self.place) {
            (Maker::Ours, _) => "ours",
            (Maker::ExpressSession, _) => "express-session",
            (Maker::TowerSessions, Place::Redis) => "tower-sessions 0.14",
            (Maker::TowerSessions, _) => "tower-sessions 0.15",
        }
    }

    /// Makes it ready at the URL of its place, in as many processes.
    pub(crate) async fn cluster(
        self,
        url: &str,
        processes: usize,
        wait: Duration,
    ) -> Result<Cluster> {
        let store = match self.maker {
            Maker::Ours => Some(self.place.open(url).await?),
            Maker::ExpressSession | Maker::TowerSessions => None,
        };
        let mut sites = Vec::new();
        match self.maker {
            Maker::ExpressSession => {
                for _ in 0..processes {
                    sites.push(self.place.node(url, wait).await?);
                }
            }
            Maker::Ours | Maker::TowerSessions if processes > 1 => {
                for _ in 0..processes {
                    sites.push(self.worker(url).await?);
                }
            }
            Maker::Ours | Maker::TowerSessions => {
                let application = match &store {
                    Some(store) => ours::application(store.clone(), wait),
                    None => self.application(url, wait).await?,
                };
                sites.push(Site::Here(application));
            }
        }
        let node = match (self.maker, self.place) {
            (Maker::Ours, Place::Redis | Place::Postgres) => {
                Some(self.place.node(url, wait).await?)
            }
            _ => None,
        };
        Ok(Cluster { sites, store, node })
    }

    /// The application that a worker serves.
    pub(crate) async fn application(self, url: &str, wait: Duration) -> Result<Router> {
        match (self.maker, self.place) {
            (Maker::Ours, _) => Ok(ours::application(self.place.open(url).await?, wait)),
            (Maker::TowerSessions, Place::Memory) => Ok(tower_sessions_app::in_memory(wait)),
            (Maker::TowerSessions, Place::Redis) => tower_sessions_app::on_redis(url, wait).await,
            (Maker::TowerSessions | Maker::ExpressSession, _) => {
                bail!("{} has no such store here", self.name())
            }
        }
    }

    /// This program once more, as a worker.
    async fn worker(self, url: &str) -> Result<Site> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", &word(&self.maker), &word(&self.place), url]);
        let (site, _) = Site::start(&mut command).await.context("a worker does not start")?;
        Ok(site)
    }
}

/// A value as the command line has it.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Place {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Sqlite => "sqlite",
            Self::File => "file",
            Self::Memcached => "memcached",
        }
    }

    /// Its URL, the server being started for it; `None` where that is not installed.
    pub(crate) fn url(self, folder: &Path) -> Option<String> {
        match self {
            Self::Memory => Some("memory://".to_owned()),
            Self::Redis => servers::shared_redis().map(|server| server.url().to_owned()),
            Self::Postgres => servers::shared_postgres().map(servers::Postgres::url),
            Self::Mysql => servers::shared_mariadb().map(servers::MariaDb::url),
            Self::Sqlite => Some(format!("sqlite://{}/sessions.db", folder.display())),
            Self::File => Some(format!("file://{}/sessions", folder.display())),
            Self::Memcached => servers::shared_memcached().map(servers::Memcached::url),
        }
    }

    /// Our store for it.
    async fn open(self, url: &str) -> Result<AnyStore> {
        let options = if self == Self::Postgres { "?create_table_if_missing=true" } else { "" };
        Ok(express_session::connect(&format!("{url}{options}")).await?)
    }

    /// Whether several processes can share it.
    pub(crate) fn is_shared(self) -> bool {
        match self {
            Self::Memory => false,
            Self::Redis
            | Self::Postgres
            | Self::Mysql
            | Self::Sqlite
            | Self::File
            | Self::Memcached => true,
        }
    }

    /// An Express application with the npm store for it.
    async fn node(self, url: &str, wait: Duration) -> Result<Site> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        if !folder.join("node_modules").exists() {
            bail!("the npm packages are not installed: run `cargo xtask races`");
        }
        let options = json!({
            "store": self.name(), "url": url, "secret": SECRET, "wait": wait.as_millis(),
        });
        let mut command = Command::new("node");
        command.arg("main.mjs").arg(options.to_string()).current_dir(folder);
        command.env("NO_DEPRECATION", "express-session").env("NODE_ENV", "production");
        let (site, _) = Site::start(&mut command).await.context("node does not start")?;
        Ok(site)
    }
}
