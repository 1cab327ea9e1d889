//! The view counter on tower-sessions 0.14 with a store that the version after does not have yet, each as its
//! documentation has it.
//!
//! `bench-tower-sessions-14 STORE URL` prints its port of loopback, and ends with its standard input.

use std::env;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tower_sessions::{Session, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::interfaces::ClientLike as _;
use tower_sessions_redis_store::fred::prelude::{Config, Pool};
use tower_sessions_sqlx_store::sqlx::mysql::MySqlPoolOptions;
use tower_sessions_sqlx_store::sqlx::postgres::PgPoolOptions;
use tower_sessions_sqlx_store::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use tower_sessions_sqlx_store::{MySqlStore, PostgresStore, SqliteStore};

/// The number of the example in the documentation of the store for Redis.
const REDIS_CONNECTIONS: usize = 6;
/// Those of our stores in the bench.
const SQL_CONNECTIONS: u32 = 16;
const KEY: &str = "views";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let (store, url) = arguments.next().zip(arguments.next()).context("STORE URL")?;
    let application = application(&store, &url).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    let (mut input, mut nothing) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        served = axum::serve(listener, application) => Ok(served?),
        read = input.read_to_end(&mut nothing) => Ok(read.map(drop)?),
    }
}

async fn application(store: &str, url: &str) -> Result<Router> {
    Ok(match store {
        "redis" | "valkey" => {
            let pool = Pool::new(Config::from_url(url)?, None, None, None, REDIS_CONNECTIONS)?;
            pool.init().await.context("cannot connect to Redis")?;
            router(RedisStore::new(pool))
        }
        "postgres" => {
            let pool = PgPoolOptions::new().max_connections(SQL_CONNECTIONS).connect(url).await?;
            let store = PostgresStore::new(pool);
            store.migrate().await?;
            router(store)
        }
        "mysql" => {
            let pool =
                MySqlPoolOptions::new().max_connections(SQL_CONNECTIONS).connect(url).await?;
            let store = MySqlStore::new(pool);
            store.migrate().await?;
            router(store)
        }
        "sqlite" => {
            // The settings that our store has by default: with those of SQLite, each commit waits for the disk.
            let options = url.parse::<SqliteConnectOptions>()?.create_if_missing(true);
            let options = options.journal_mode(SqliteJournalMode::Wal);
            let options = options.synchronous(SqliteSynchronous::Normal);
            let pool = SqlitePoolOptions::new().max_connections(SQL_CONNECTIONS);
            let store = SqliteStore::new(pool.connect_with(options).await?);
            store.migrate().await?;
            router(store)
        }
        _ => bail!("no store is called {store}"),
    })
}

fn router(store: impl SessionStore + Clone) -> Router {
    let layer = SessionManagerLayer::new(store).with_secure(false);
    Router::new().route("/", get(count)).route("/read", get(read)).layer(layer)
}

async fn count(session: Session) -> Result<Html<String>, StatusCode> {
    let views = views(&session).await? + 1;
    session.insert(KEY, views).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(answer(views))
}

async fn read(session: Session) -> Result<Html<String>, StatusCode> {
    views(&session).await.map(answer)
}

async fn views(session: &Session) -> Result<u64, StatusCode> {
    let views = session.get(KEY).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(views.unwrap_or(0))
}

fn answer(views: u64) -> Html<String> {
    Html(format!("<p>Number of views: {views}</p>"))
}
