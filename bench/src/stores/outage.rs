//! An outage: a server that accepts connections and never answers. The time that visitors wait for their 503, and how
//! often the store connects.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use express_session::MemoryStore;
use express_session::store::AnyStore;
use express_session::store::memcached::MemcachedStore;
use express_session::store::mysql::MySqlStore;
use express_session::store::postgres::PostgresStore;
use express_session::store::redis::RedisStore;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::{machine, view_counter};

/// The layer's timeout.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

/// The number of visitors that load at the same time.
pub(super) const VISITORS: usize = 200;

/// The stores with a server of their own.
pub(super) const STORES: [&str; 4] = ["redis", "postgres", "mysql", "memcached"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store
    store: String,
}

/// The slowest answers, in milliseconds, and the most connections in any second.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Outage {
    pub(super) first: f64,
    pub(super) later: f64,
    pub(super) connections: usize,
}

impl Args {
    pub(crate) async fn run(&self) -> Result<Outage> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let accepted = Arc::<Mutex<Vec<(Instant, TcpStream)>>>::default();
        let silent = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let at = machine::instant();
                silent.lock().unwrap_or_else(|it| it.into_inner()).push((at, client));
            }
        });
        let store = match self.store.as_str() {
            "redis" => AnyStore::new(RedisStore::new(&format!("redis://{address}"))?),
            "postgres" => {
                AnyStore::new(PostgresStore::new(&format!("postgres://web@{address}/shop"))?)
            }
            "mysql" => AnyStore::new(MySqlStore::new(&format!("mysql://web@{address}/shop"))?),
            "memcached" => AnyStore::new(MemcachedStore::new(&format!("memcached://{address}"))?),
            other => bail!("no store is called {other}"),
        };
        let cookie = cookie().await?;
        let site = site(store);
        let first = slowest(&site, &cookie).await?;
        let mut later = Duration::ZERO;
        let end = machine::instant() + TIMEOUT;
        while machine::instant() < end {
            later = later.max(slowest(&site, &cookie).await?);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let times = accepted.lock().unwrap_or_else(|it| it.into_inner());
        let times: Vec<Instant> = times.iter().map(|(at, _)| *at).collect();
        let [first, later] = [first, later].map(|time| time.as_secs_f64() * 1e3);
        Ok(Outage { first, later, connections: most_in_a_second(&times) })
    }
}

fn site(store: AnyStore) -> Router {
    let layer = view_counter::layer().store(store).store_timeout(TIMEOUT);
    Router::new().route("/", get(view_counter::count)).layer(layer)
}

/// Returns a cookie with a valid signature, so that its request asks the store.
async fn cookie() -> Result<String> {
    let site = site(AnyStore::new(MemoryStore::new()));
    let response = site.oneshot(Request::new(Body::empty())).await?;
    let cookie = response.headers().get(header::SET_COOKIE).context("no cookie was set")?;
    Ok(cookie.to_str()?.split(';').next().unwrap_or_default().to_owned())
}

/// Lets all visitors load at the same time, and returns the time of the last answer.
async fn slowest(site: &Router, cookie: &str) -> Result<Duration> {
    let begin = machine::instant();
    let mut visits = JoinSet::new();
    for _ in 0..VISITORS {
        let request = Request::get("/").header(header::COOKIE, cookie).body(Body::empty())?;
        visits.spawn(site.clone().oneshot(request));
    }
    for response in visits.join_all().await {
        let status = response?.status();
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "an outage is answered {status}");
    }
    Ok(begin.elapsed())
}

fn most_in_a_second(times: &[Instant]) -> usize {
    let within = |from: &Instant| {
        let second = *from..*from + Duration::from_secs(1);
        times.iter().filter(|at| second.contains(*at)).count()
    };
    times.iter().map(within).max().unwrap_or(0)
}
