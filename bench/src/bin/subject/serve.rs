//! The view counter over HTTP.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use bench::{Held, Least};
use bench_hot::Handle as _;
use express_session::MemoryStore;
use express_session::store::redis::RedisStore;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tower_sessions_redis_store::RedisStore as TowersRedisStore;
use tower_sessions_redis_store::fred::interfaces::ClientLike as _;
use tower_sessions_redis_store::fred::prelude::{Config, Pool};

use crate::{Maker, view};

#[derive(clap::Args)]
pub(crate) struct Args {
    maker: Maker,
    /// Where the sessions are, if not in memory
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

/// As many as the store's own example has.
const CONNECTIONS: usize = 6;

/// Serves until the input ends, which it does with the process that started this one.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let application = application(args.maker, args.redis.as_deref()).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    let (mut input, mut nothing) = (tokio::io::stdin(), Vec::new());
    tokio::select! {
        served = axum::serve(listener, application) => Ok(served?),
        read = input.read_to_end(&mut nothing) => Ok(read.map(drop)?),
    }
}

async fn application(maker: Maker, redis: Option<&str>) -> Result<Router> {
    let ours = || Router::new().route("/", get(view::count));
    Ok(match (maker, redis) {
        (Maker::Bare, None) => {
            let views = Arc::new(AtomicU64::new(0));
            Router::new().route("/", get(async move || bare(&views)))
        }
        (Maker::Least, None) => Router::new().route("/", get(least)).layer(Least::new()?),
        (Maker::Ours, None) => ours().layer(view::layer().store(MemoryStore::new())),
        (Maker::Ours, Some(url)) => ours().layer(view::layer().store(RedisStore::new(url)?)),
        (Maker::TowerSessions, None) => {
            let store = tower_sessions::MemoryStore::default();
            let layer = tower_sessions::SessionManagerLayer::new(store).with_secure(false);
            Router::new().route("/", get(tower_sessions_app)).layer(layer)
        }
        (Maker::TowerSessions, Some(url)) => {
            let pool = Pool::new(Config::from_url(url)?, None, None, None, CONNECTIONS)?;
            pool.init().await.context("cannot connect to Redis")?;
            let store = TowersRedisStore::new(pool);
            let layer = tower_sessions_14::SessionManagerLayer::new(store).with_secure(false);
            Router::new().route("/", get(towers_14)).layer(layer)
        }
        (Maker::Bare | Maker::Least, Some(_)) => bail!("it keeps no sessions in Redis"),
    })
}

fn bare(views: &AtomicU64) -> Html<String> {
    view::answer(views.fetch_add(1, Ordering::Relaxed) + 1)
}

async fn least(request: Request) -> Result<Html<String>, StatusCode> {
    const KEY: &str = "views";
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    let held = Held::find(request.extensions()).await.ok_or(failed)?;
    let views = held.get::<u64>(KEY).await.unwrap_or(0) + 1;
    if held.insert(KEY, views).await { Ok(view::answer(views)) } else { Err(failed) }
}

macro_rules! tower_sessions_app {
    ($name:ident, $session:ty) => {
        async fn $name(session: $session) -> Result<Html<String>, StatusCode> {
            const KEY: &str = "views";
            let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
            let views = session.get::<u64>(KEY).await.map_err(failed)?.unwrap_or(0) + 1;
            session.insert(KEY, views).await.map_err(failed)?;
            Ok(view::answer(views))
        }
    };
}

tower_sessions_app!(tower_sessions_app, tower_sessions::Session);
tower_sessions_app!(towers_14, tower_sessions_14::Session);
