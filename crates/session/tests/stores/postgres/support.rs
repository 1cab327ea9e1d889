//! PostgreSQL in the suite of the SQL stores.

use std::time::Duration;

use express_session::store::postgres::PostgresStore;
use express_session::store::postgres::deadpool_postgres::tokio_postgres::{Client, NoTls, connect};
use express_session_testkit::servers::{self, Postgres};

use crate::sql::{self, Database, database_parts};

pub(crate) use crate::sql::{
    NOW, TEXT, after, create, fresh, id, load, record, shown, text, until,
};

pub(crate) struct Db;

impl Database for Db {
    database_parts!(Postgres, PostgresStore);

    type Client = Client;

    const ID: &'static str = "sid";
    const QUOTED: &'static str = "the visitors' \"Session\"";
    // On a second one, a call could overtake another.
    const CONNECTIONS: usize = 2;
    const PAST: &'static str = "clock_timestamp()";
    const LET_GO: &'static str = "SELECT pg_advisory_unlock(77)";

    const LONG_AGO: &'static str = "clock_timestamp() - interval '2 days'";

    fn shared() -> Option<&'static Postgres> {
        servers::shared_postgres()
    }

    fn own() -> Option<Postgres> {
        servers::postgres()
    }

    fn url_at(address: &str) -> String {
        format!("postgres://postgres@{address}/postgres")
    }

    fn open(url: &str, table: &str) -> Self::Store {
        PostgresStore::new(url).unwrap().table_name(table).create_table_if_missing(true)
    }

    fn connections(store: Self::Store, limit: usize) -> Self::Store {
        store.max_connections(limit)
    }

    fn ttl(store: Self::Store, ttl: Duration) -> Self::Store {
        store.ttl(ttl)
    }

    fn cleanup_interval(store: Self::Store, interval: Option<Duration>) -> Self::Store {
        store.prune_session_interval(interval).prune_session_randomized_interval(false)
    }

    fn fill(table: &str) -> String {
        format!(
            "INSERT INTO {table} SELECT 'old-' || g, '{{}}', to_timestamp(0) \
             FROM generate_series(1, 2500) g"
        )
    }

    fn hold_up(table: &str) -> [String; 2] {
        let trigger = format!(
            "CREATE FUNCTION hold_{table}() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NEW; END'; \
             CREATE TRIGGER hold BEFORE UPDATE ON {table} \
             FOR EACH ROW EXECUTE FUNCTION hold_{table}()"
        );
        [trigger, "SELECT pg_advisory_lock(77)".to_owned()]
    }

    fn waiting(table: &str) -> String {
        format!(
            "pg_stat_activity WHERE wait_event_type = 'Lock' \
             AND query ~ '{table}(_lock)?\\M' AND query NOT LIKE '%pg_stat_activity%'"
        )
    }

    async fn isolated(server: &'static Postgres) -> Vec<(PostgresStore, String)> {
        vec![store(server).await]
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

pub(crate) async fn store(server: &Postgres) -> (PostgresStore, String) {
    sql::store::<Db>(server).await
}

pub(crate) async fn store_at(url: &str) -> (PostgresStore, String) {
    sql::store_at::<Db>(url).await
}
