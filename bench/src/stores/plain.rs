//! A write without a condition, by the driver of our store: the lower bound of a save.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use anyhow::{Context as _, Result, bail, ensure};
use deadpool_postgres::{Manager, Pool as PostgresPool};
use express_session::Timestamp;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Opts, OptsBuilder, Pool as MySqlPool, PoolConstraints, PoolOpts};
use redis::aio::MultiplexedConnection;
use rusqlite::{Connection, params};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_postgres::NoTls;

/// A connection that writes. Clones share it.
#[derive(Clone)]
pub(crate) enum Plain {
    Memory(Arc<Mutex<HashMap<String, Arc<str>>>>),
    Redis(MultiplexedConnection),
    Postgres(PostgresPool),
    MySql(MySqlPool),
    Sqlite(Arc<Mutex<Connection>>),
    /// A folder.
    File(PathBuf),
    Memcached(Arc<[tokio::sync::Mutex<BufStream<TcpStream>>]>),
}

/// The number that our stores have.
const CONNECTIONS: usize = 10;

impl Plain {
    /// Creates a table or a folder of its own, beside that of the store at the same URL.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        // The options behind it are for our store.
        let url = url.split('?').next().unwrap_or(url);
        let (scheme, rest) = url.split_once("://").context("no URL")?;
        Ok(match scheme {
            "memory" => Self::Memory(Arc::default()),
            "redis" => {
                let client = redis::Client::open(url)?;
                Self::Redis(client.get_multiplexed_async_connection().await?)
            }
            "postgres" => Self::Postgres(postgres(url).await?),
            "mysql" => Self::MySql(mysql(url).await?),
            "sqlite" => Self::Sqlite(Arc::new(Mutex::new(sqlite(rest)?))),
            "file" => {
                let folder = Path::new(rest).with_extension("plain");
                fs::create_dir_all(&folder)?;
                Self::File(folder)
            }
            "memcached" => {
                let mut connections = Vec::new();
                for _ in 0..CONNECTIONS {
                    let stream = TcpStream::connect(rest).await?;
                    stream.set_nodelay(true)?;
                    connections.push(tokio::sync::Mutex::new(BufStream::new(stream)));
                }
                Self::Memcached(connections.into())
            }
            _ => bail!("no store has the scheme {scheme}"),
        })
    }

    pub(crate) async fn write(
        &self,
        caller: usize,
        id: &str,
        text: String,
        end: Timestamp,
    ) -> Result<()> {
        let seconds = end.millis() / 1000;
        match self {
            Self::Memory(map) => {
                let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
                match map.get_mut(id) {
                    Some(held) => *held = text.into(),
                    None => drop(map.insert(id.to_owned(), text.into())),
                }
            }
            Self::Redis(connection) => {
                let mut set = redis::cmd("SET");
                set.arg(format!("plain:{id}")).arg(text).arg("EX").arg(3600);
                set.query_async::<()>(&mut connection.clone()).await?;
            }
            Self::Postgres(pool) => {
                let connection = pool.get().await?;
                let statement = connection.prepare_cached(POSTGRES_WRITE).await?;
                connection.execute(&statement, &[&id, &text, &(seconds as f64)]).await?;
            }
            Self::MySql(pool) => {
                let mut connection = pool.get_conn().await?;
                connection.exec_drop(MYSQL_WRITE, (id, seconds, text)).await?;
            }
            Self::Sqlite(connection) => {
                let (connection, id) = (Arc::clone(connection), id.to_owned());
                spawn_blocking(move || {
                    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut statement = connection.prepare_cached(SQLITE_WRITE)?;
                    statement.execute(params![id, end.millis(), text])
                })
                .await??;
            }
            Self::File(folder) => {
                let (folder, id) = (folder.clone(), id.to_owned());
                spawn_blocking(move || replace(&folder, &id, &text)).await??;
            }
            Self::Memcached(connections) => {
                let mut stream = connections[caller % connections.len()].lock().await;
                let line = format!("set plain:{id} 0 3600 {}\r\n{text}\r\n", text.len());
                stream.write_all(line.as_bytes()).await?;
                stream.flush().await?;
                let mut answer = String::new();
                stream.read_line(&mut answer).await?;
                ensure!(answer == "STORED\r\n", "Memcached did not store: {answer}");
            }
        }
        Ok(())
    }
}

/// The statement of connect-pg-simple.
const POSTGRES_WRITE: &str = "INSERT INTO plain (sid, sess, expire) \
    VALUES ($1, $2::text::json, to_timestamp($3)) \
    ON CONFLICT (sid) DO UPDATE SET sess = EXCLUDED.sess, expire = EXCLUDED.expire";
/// The statement of express-mysql-session.
const MYSQL_WRITE: &str = "INSERT INTO plain (session_id, expires, data) VALUES (?, ?, ?) \
    ON DUPLICATE KEY UPDATE expires = VALUES(expires), data = VALUES(data)";
/// The statement of connect-sqlite3.
const SQLITE_WRITE: &str = "INSERT OR REPLACE INTO plain (sid, expired, sess) VALUES (?1, ?2, ?3)";

async fn postgres(url: &str) -> Result<PostgresPool> {
    let manager = Manager::new(url.parse()?, NoTls);
    let pool = PostgresPool::builder(manager).max_size(CONNECTIONS).build()?;
    let table = "CREATE TABLE IF NOT EXISTS plain (sid varchar COLLATE \"default\" PRIMARY KEY, \
                 sess json NOT NULL, expire timestamp(6) NOT NULL); \
                 CREATE INDEX IF NOT EXISTS plain_expire ON plain (expire)";
    pool.get().await?.batch_execute(table).await?;
    Ok(pool)
}

async fn mysql(url: &str) -> Result<MySqlPool> {
    let constraints = PoolConstraints::new(CONNECTIONS, CONNECTIONS).unwrap_or_default();
    let options = OptsBuilder::from_opts(Opts::from_url(url)?)
        .pool_opts(PoolOpts::default().with_constraints(constraints));
    let pool = MySqlPool::new(options);
    let table = "CREATE TABLE IF NOT EXISTS plain (\
                 session_id varchar(128) COLLATE utf8mb4_bin NOT NULL, \
                 expires int(11) unsigned NOT NULL, data mediumtext COLLATE utf8mb4_bin, \
                 PRIMARY KEY (session_id)) ENGINE=InnoDB";
    pool.get_conn().await?.query_drop(table).await?;
    Ok(pool)
}

fn sqlite(path: &str) -> Result<Connection> {
    let connection = Connection::open(Path::new(path).with_extension("plain.db"))?;
    connection.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute("CREATE TABLE IF NOT EXISTS plain (sid PRIMARY KEY, expired, sess)", [])?;
    Ok(connection)
}

/// Writes a new file, flushes it to the disk and renames it, so that no reader gets half a file.
fn replace(folder: &Path, id: &str, text: &str) -> io::Result<()> {
    let new = folder.join(format!("{id}.new"));
    let mut file = fs::File::create(&new)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, folder.join(id))
}
