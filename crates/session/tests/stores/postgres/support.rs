//! PostgreSQL in the suite of the SQL stores.

use std::time::Duration;

use express_session::store::postgres::PostgresStore;
use express_session::store::postgres::deadpool_postgres::tokio_postgres::{Client, NoTls, connect};
use express_session_testkit::servers::{self, Postgres};

use crate::sql::{self, Database};

pub(crate) use crate::sql::{
    NOW, TEXT, after, create, fresh, id, load, record, shown, text, touch, until,
};

pub(crate) struct Db;

impl Database for Db {
    type Server = Postgres;
    type Store = PostgresStore;
    type Client = Client;

    const ID: &'static str = "sid";
    const QUOTED: &'static str = "the visitors' \"Session\"";
    const LONG_AGO: &'static str = "clock_timestamp() - interval '2 days'";

    fn shared() -> Option<&'static Postgres> {
        servers::shared_postgres()
    }

    fn own() -> Option<Postgres> {
        servers::postgres()
    }

    fn url(server: &Self::Server) -> String {
        server.url()
    }

    fn url_at(address: &str) -> String {
        format!("postgres://postgres@{address}/postgres")
    }

    fn port(server: &Self::Server) -> u16 {
        server.port()
    }

    fn kill(server: &Self::Server) {
        server.kill();
    }

    fn restart(server: &Self::Server) {
        server.restart();
    }

    fn open(url: &str, table: &str) -> Self::Store {
        PostgresStore::new(url).unwrap().table_name(table).create_table_if_missing(true)
    }

    fn connections(store: Self::Store, limit: usize) -> Self::Store {
        store.max_connections(limit)
    }

    fn timeout(store: Self::Store, timeout: Duration) -> Self::Store {
        store.timeout(timeout)
    }

    fn ttl(store: Self::Store, ttl: Duration) -> Self::Store {
        store.ttl(ttl)
    }

    fn disable_touch(store: Self::Store) -> Self::Store {
        store.disable_touch(true)
    }

    fn cleanup_interval(store: Self::Store, interval: Duration) -> Self::Store {
        store.prune_session_interval(interval)
    }

    async fn client(url: &str) -> Client {
        let (client, connection) = connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    async fn execute(client: &mut Client, sql: &str) {
        client.batch_execute(sql).await.unwrap();
    }

    async fn texts(client: &mut Client, sql: &str) -> Vec<String> {
        let rows = client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

pub(crate) fn on_server<F: Future<Output = ()>>(test: impl FnOnce(&'static Postgres) -> F) {
    sql::on_server::<Db, F>(test);
}

pub(crate) async fn store(server: &Postgres) -> (PostgresStore, String) {
    sql::store::<Db>(server).await
}

pub(crate) async fn store_at(url: &str) -> (PostgresStore, String) {
    sql::store_at::<Db>(url).await
}

pub(crate) async fn client(url: &str) -> <Db as Database>::Client {
    Db::client(url).await
}

pub(crate) fn on_own_server<F: Future<Output = ()>>(test: impl FnOnce(Postgres) -> F) {
    sql::on_own_server::<Db, F>(test);
}
