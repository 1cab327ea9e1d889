//! The stores obey the laws, each over a pool and a real server.

use std::sync::atomic::{AtomicU32, Ordering};

use deadpool_redis::{Config, Runtime};
use express_session_testkit::{Clock, Subject, Task, servers, store_laws};
use sqlx::Executor as _;
use sqlx::mysql::MySqlPool;

use crate::mysql::{SqlxStore, TABLE};
use crate::redis::DeadpoolStore;

static COUNT: AtomicU32 = AtomicU32::new(0);

fn number() -> u32 {
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Runs a law on a runtime of its own: a pool does not outlive its runtime.
fn on_tokio<T>(law: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(law)
}

async fn spawned(tasks: Vec<Task>) {
    for task in tasks.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

struct Sqlx;

impl Subject for Sqlx {
    type Store = SqlxStore;

    /// Each store has a database of its own, since the table has one name.
    async fn store(&self) -> SqlxStore {
        let url = servers::shared_mariadb().unwrap().url();
        let name = format!("pools_{}", number());
        let root = MySqlPool::connect(&url).await.unwrap();
        root.execute(&*format!("CREATE DATABASE {name}")).await.unwrap();
        let pool = MySqlPool::connect(&url.replace("/test", &format!("/{name}"))).await.unwrap();
        pool.execute(TABLE).await.unwrap();
        SqlxStore(pool)
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

struct Deadpool;

impl Subject for Deadpool {
    type Store = DeadpoolStore;

    async fn store(&self) -> DeadpoolStore {
        let config = Config::from_url(servers::shared_redis().unwrap().url());
        let pool = config.create_pool(Some(Runtime::Tokio1)).unwrap();
        DeadpoolStore { pool, prefix: format!("pools-{}:", number()) }
    }

    fn clock(&self) -> Clock {
        Clock::Server
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

mod over_sqlx {
    use super::*;

    fn on_tokio(law: impl Future<Output = ()>) {
        if servers::shared_mariadb().is_some() {
            super::on_tokio(law);
        }
    }

    store_laws!(Sqlx, block_on = on_tokio);
}

mod over_deadpool {
    use super::*;

    fn on_tokio(law: impl Future<Output = ()>) {
        if servers::shared_redis().is_some() {
            super::on_tokio(law);
        }
    }

    store_laws!(Deadpool, block_on = on_tokio);
}
