//! The servers, which run on the other core, and the file of SQLite, that keep the sessions of a subject.

use std::any::Any;
use std::path::Path;

use anyhow::{Context as _, Result};
use express_session_testkit::servers::{self, Redis};

use super::load::Subject;
use crate::process::{self, Core};

/// A place where sessions are kept.
pub(super) struct Data {
    pub(super) url: String,
    /// The first process of a server.
    pub(super) process: Option<u32>,
    /// Ends when it is dropped.
    _server: Box<dyn Any>,
}

type Start = fn(&Path) -> Result<Data>;

/// All of them, each with the stores that keep sessions there, as the programs call them. The path is that of a
/// temporary folder.
const ALL: [(&[&str], Start); 5] = [
    (&["redis", "connect-redis", "native RedisStore"], redis),
    (&["valkey"], valkey),
    (&["postgres", "native PostgresStore", "connect-pg-simple"], postgres),
    (&["mysql"], mysql),
    (&["sqlite"], sqlite),
];

/// Those that have been started, by their stores.
pub(super) struct Started(Vec<(&'static [&'static str], Data)>);

impl Started {
    /// Starts those that the subjects need.
    pub(super) fn for_subjects(subjects: &[Subject], folder: &Path) -> Result<Self> {
        let mut started = Vec::new();
        for (stores, start) in ALL {
            if !subjects.iter().any(|subject| stores.contains(&subject.store)) {
                continue;
            }
            let data = start(folder).with_context(|| format!("cannot start {}", stores[0]))?;
            if let Some(process) = data.process {
                // A process that it starts for a connection runs where it does.
                for process in process::family(process)? {
                    Core::Other.take(process)?;
                }
            }
            started.push((stores, data));
        }
        Ok(Self(started))
    }

    /// Returns what this store's sessions are in; `None` if they are in the memory of the subject, or nowhere.
    pub(super) fn of(&self, store: &str) -> Option<&Data> {
        let (_, data) = self.0.iter().find(|(stores, _)| stores.contains(&store))?;
        Some(data)
    }
}

impl Data {
    fn server<S: Any>(server: S, url: String, process: Option<u32>) -> Result<Self> {
        let process = Some(process.context("the server has ended")?);
        Ok(Self { url, process, _server: Box::new(server) })
    }
}

fn redis(_: &Path) -> Result<Data> {
    redis_like(servers::redis().context("Redis is not installed")?)
}

fn valkey(_: &Path) -> Result<Data> {
    redis_like(servers::valkey().context("Valkey is not installed")?)
}

fn redis_like(server: Redis) -> Result<Data> {
    let (url, process) = (server.url().to_owned(), server.process());
    Data::server(server, url, process)
}

fn postgres(_: &Path) -> Result<Data> {
    let postgres = servers::postgres().context("PostgreSQL is not installed")?;
    let (url, process) = (postgres.url(), postgres.process());
    Data::server(postgres, url, process)
}

fn mysql(_: &Path) -> Result<Data> {
    let mariadb = servers::mariadb().context("MariaDB is not installed")?;
    let (url, process) = (mariadb.url(), mariadb.process());
    Data::server(mariadb, url, process)
}

/// Names a file for all: the tables have different names, and the subjects take turns.
fn sqlite(folder: &Path) -> Result<Data> {
    let url = format!("sqlite://{}", folder.join("sessions.db").display());
    Ok(Data { url, process: None, _server: Box::new(()) })
}
