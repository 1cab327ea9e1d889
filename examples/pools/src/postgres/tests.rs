//! The store obeys the laws, over a pool and a real server.

use express_session_testkit::laws::wrong_clock_ends_no_record;
use express_session_testkit::{Subject, Task, servers, store_laws};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::*;
use crate::testing;

/// Each store has a schema of its own, since the table has one name.
struct Schemas;

impl Subject for Schemas {
    type Store = PgPoolStore;

    async fn store(&self) -> PgPoolStore {
        let schema = testing::name();
        let server: PgConnectOptions = servers::shared_postgres().unwrap().url().parse().unwrap();
        let server = server.options([("search_path", &schema)]);
        let pool = PgPoolOptions::new().max_connections(4).connect_with(server).await.unwrap();
        sqlx::raw_sql(&format!("CREATE SCHEMA {schema}; {TABLE}")).execute(&pool).await.unwrap();
        PgPoolStore(pool)
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        testing::parallel(tasks).await;
    }
}

fn with_server(law: impl Future<Output = ()>) {
    if servers::shared_postgres().is_some() {
        testing::on_runtime(law);
    }
}

store_laws!(Schemas, block_on = with_server);

#[test]
fn wrong_clock_ends_no_record_of_the_pool() {
    with_server(wrong_clock_ends_no_record(&Schemas));
}
