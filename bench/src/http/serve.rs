//! The servers of the view counter that are written in Rust.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{Route, get};
use bench_hot::Handle as _;
use express_session::MemoryStore;
use express_session::store::redis::RedisStore;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tower::layer::layer_fn;
use tower_sessions_redis_store::RedisStore as TowerSessionsRedisStore;
use tower_sessions_redis_store::fred::interfaces::ClientLike as _;
use tower_sessions_redis_store::fred::prelude::{Config, Pool};

use crate::minimal_layer::{MinimalLayer, MinimalSession};
use crate::view_counter;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    library: String,
    /// Where the sessions are: `none`, `memory` or `redis`
    store: String,
    /// The URL of Redis
    redis: String,
}

/// The number of the example in that store's documentation.
const CONNECTIONS: usize = 6;

impl Args {
    /// Serves until the input ends, which it does with the process that started this one.
    pub(crate) async fn run(&self) -> Result<()> {
        let application = application(&self.library, &self.store, &self.redis).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
        let (mut input, mut nothing) = (tokio::io::stdin(), Vec::new());
        tokio::select! {
            served = axum::serve(listener, application) => Ok(served?),
            read = input.read_to_end(&mut nothing) => Ok(read.map(drop)?),
        }
    }
}

async fn application(library: &str, store: &str, redis: &str) -> Result<Router> {
    let ours = || Router::new().route("/", get(view_counter::count));
    Ok(match (library, store) {
        ("axum", "none") => {
            let views = Arc::new(AtomicU64::new(0));
            Router::new().route(
                "/",
                get(async move || view_counter::answer(views.fetch_add(1, Ordering::Relaxed) + 1)),
            )
        }
        ("minimal-layer", "memory") => {
            let layer = MinimalLayer::new()?;
            let layer = layer_fn(move |inner: Route| layer.around(inner));
            Router::new().route("/", get(minimal)).layer(layer)
        }
        ("ours", "memory") => ours().layer(view_counter::layer().store(MemoryStore::new())),
        ("ours", "redis") => ours().layer(view_counter::layer().store(RedisStore::new(redis)?)),
        ("tower-sessions", "memory") => {
            let store = tower_sessions::MemoryStore::default();
            let layer = tower_sessions::SessionManagerLayer::new(store).with_secure(false);
            Router::new().route("/", get(tower_sessions_app)).layer(layer)
        }
        ("tower-sessions", "redis") => {
            let pool = Pool::new(Config::from_url(redis)?, None, None, None, CONNECTIONS)?;
            pool.init().await.context("cannot connect to Redis")?;
            let store = TowerSessionsRedisStore::new(pool);
            let layer = tower_sessions_14::SessionManagerLayer::new(store).with_secure(false);
            Router::new().route("/", get(tower_sessions_14_app)).layer(layer)
        }
        _ => bail!("no server has {library} with sessions in {store}"),
    })
}

async fn minimal(request: Request) -> Result<Html<String>, StatusCode> {
    const KEY: &str = "views";
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    let session = MinimalSession::find(request.extensions()).await.ok_or(failed)?;
    let views = session.get::<u64>(KEY).await.unwrap_or(0) + 1;
    if session.insert(KEY, views).await { Ok(view_counter::answer(views)) } else { Err(failed) }
}

macro_rules! tower_sessions_app {
    ($name:ident, $session:ty) => {
        async fn $name(session: $session) -> Result<Html<String>, StatusCode> {
            const KEY: &str = "views";
            let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
            let views = session.get::<u64>(KEY).await.map_err(failed)?.unwrap_or(0) + 1;
            session.insert(KEY, views).await.map_err(failed)?;
            Ok(view_counter::answer(views))
        }
    };
}

tower_sessions_app!(tower_sessions_app, tower_sessions::Session);
tower_sessions_app!(tower_sessions_14_app, tower_sessions_14::Session);
