//! The store obeys every law of a store.

use std::time::Duration;

use express_session::store::postgres::PostgresStore;
use express_session_testkit::{Clock, Subject, Task, admin_laws, lock_laws, servers, store_laws};

use super::support::fresh;
use crate::{on_tokio, spawned};

/// A table for each store, with a name that has to be quoted.
struct Tables;

impl Subject for Tables {
    type Store = PostgresStore;

    async fn store(&self) -> PostgresStore {
        let server = servers::shared_postgres().unwrap();
        PostgresStore::new(&server.url())
            .unwrap()
            .table_name(fresh("the visitors' \"Session\""))
            .create_table_if_missing(true)
            .timeout(Duration::from_secs(60))
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

/// The same, at the real time: leases run by the server's clock.
struct Leased;

impl Subject for Leased {
    type Store = PostgresStore;

    async fn store(&self) -> PostgresStore {
        Tables.store().await
    }

    fn clock(&self) -> Clock {
        Clock::Server
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        Tables.parallel(tasks).await;
    }
}

/// Leaves a law out where there is no server.
fn with_server(law: impl Future<Output = ()>) {
    if servers::shared_postgres().is_some() {
        on_tokio(law);
    }
}

store_laws!(Tables, block_on = with_server);
lock_laws!(Leased, block_on = with_server);
admin_laws!(Tables, block_on = with_server);
