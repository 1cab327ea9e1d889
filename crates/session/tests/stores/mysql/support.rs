//! MariaDB in the suite of the SQL stores.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use express_session::store::mysql::MySqlStore;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::mysql::mysql_async::{Conn, Opts, OptsBuilder, Pool};
use express_session_testkit::servers::{self, MariaDb};

use crate::sql::{self, Database, database_parts};

pub(crate) use crate::sql::{
    NOW, TEXT, after, create, fresh, id, load, record, shown, text, touch,
};

pub(crate) struct Db;

impl Database for Db {
    database_parts!(MariaDb, MySqlStore);

    type Client = Conn;

    const ID: &'static str = "session_id";
    const QUOTED: &'static str = "the visitors` \"Sessions\"";
    const CONNECTIONS: usize = 1;
    const PAST: &'static str = "1";
    const LET_GO: &'static str = "ROLLBACK";

    const LONG_AGO: &'static str = "1";

    fn shared() -> Option<&'static MariaDb> {
        servers::shared_mariadb()
    }

    fn own() -> Option<MariaDb> {
        // One after the other: while it is installed, a MariaDB has tables in the system's temporary
        // folder, which another that starts removes.
        static STARTING: Mutex<()> = Mutex::new(());
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        servers::shared_mariadb().and_then(|_| servers::mariadb())
    }

    fn url_at(address: &str) -> String {
        format!("mysql://root@{address}/test")
    }

    fn open(url: &str, table: &str) -> Self::Store {
        MySqlStore::new(url).unwrap().table_name(table)
    }

    fn connections(store: Self::Store, limit: usize) -> Self::Store {
        store.connection_limit(limit)
    }

    fn ttl(store: Self::Store, ttl: Duration) -> Self::Store {
        store.expiration(ttl)
    }

    fn cleanup_interval(store: Self::Store, interval: Option<Duration>) -> Self::Store {
        match interval {
            Some(interval) => store.check_expiration_interval(interval),
            None => store.clear_expired(false),
        }
    }

    fn fill(table: &str) -> String {
        format!("INSERT INTO {table} SELECT CONCAT('old-', seq), 0, '{{}}' FROM seq_1_to_2500")
    }

    fn hold_up(table: &str) -> [String; 2] {
        ["BEGIN".to_owned(), format!("SELECT 1 FROM {table} FOR UPDATE")]
    }

    fn waiting(table: &str) -> String {
        format!(
            "information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' \
             AND trx_query REGEXP '{table}(_lock)?([^0-9_]|$)'"
        )
    }

    async fn isolated(server: &'static MariaDb) -> Vec<(MySqlStore, String)> {
        let mut stores = Vec::new();
        for isolation in ["REPEATABLE READ", "READ COMMITTED"] {
            let (_, table) = store(server).await;
            let isolated = format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}");
            let store = MySqlStore::with_pool(pool(&server.url(), &isolated)).table_name(&table);
            stores.push((store.timeout(Duration::from_secs(60)), table));
        }
        stores
    }

    async fn client(url: &str) -> Conn {
        Conn::new(Opts::from_url(url).unwrap()).await.unwrap()
    }

    async fn execute(client: &mut Conn, sql: &str) {
        client.query_drop(sql).await.unwrap();
    }

    async fn texts(client: &mut Conn, sql: &str) -> Vec<String> {
        client.query(sql).await.unwrap()
    }
}

/// Connections that begin with a statement.
pub(crate) fn pool(url: &str, sql: &str) -> Pool {
    let opts = OptsBuilder::from_opts(Opts::from_url(url).unwrap());
    Pool::new(opts.init(vec![sql]))
}

pub(crate) async fn store(server: &MariaDb) -> (MySqlStore, String) {
    sql::store::<Db>(server).await
}
