//! The store obeys the laws, over a pool and a real server.

use std::sync::atomic::{AtomicU32, Ordering};

use express_session_testkit::laws::wrong_clock_ends_no_record;
use express_session_testkit::{Subject, Task, servers, store_laws};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::*;

/// Each store has a schema of its own, since the table has one name.
struct Schemas;

impl Subject for Schemas {
    type Store = PgPoolStore;

    async fn store(&self) -> PgPoolStore {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let schema = format!("law_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let server: PgConnectOptions = servers::shared_postgres().unwrap().url().parse().unwrap();
        let server = server.options([("search_path", &schema)]);
        let pool = PgPoolOptions::new().max_connections(4).connect_with(server).await.unwrap();
        sqlx::raw_sql(&format!("CREATE SCHEMA {schema}; {TABLE}")).execute(&pool).await.unwrap();
        PgPoolStore(pool)
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        for task in tasks.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
}

/// Runs a law on a runtime of its own: a pool does not outlive its runtime.
fn with_server(law: impl Future<Output = ()>) {
    if servers::shared_postgres().is_some() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(law);
    }
}

store_laws!(Schemas, block_on = with_server);

#[test]
fn wrong_clock_ends_no_record_of_the_pool() {
    with_server(wrong_clock_ends_no_record(&Schemas));
}
