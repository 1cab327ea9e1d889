//! MariaDB in the suite of the SQL stores.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use express_session::store::mysql::MySqlStore;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::mysql::mysql_async::{Conn, Opts};
use express_session_testkit::servers::{self, MariaDb};

use crate::sql::{self, Database};

pub(crate) use crate::sql::{
    NOW, TEXT, after, create, fresh, id, load, record, shown, text, touch, until,
};

pub(crate) struct Db;

impl Database for Db {
    type Server = MariaDb;
    type Store = MySqlStore;
    type Client = Conn;

    const ID: &'static str = "session_id";
    const QUOTED: &'static str = "the visitors` \"Sessions\"";
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

    fn url(server: &Self::Server) -> String {
        server.url()
    }

    fn url_at(address: &str) -> String {
        format!("mysql://root@{address}/test")
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
        MySqlStore::new(url).unwrap().table_name(table)
    }

    fn connections(store: Self::Store, limit: usize) -> Self::Store {
        store.connection_limit(limit)
    }

    fn timeout(store: Self::Store, timeout: Duration) -> Self::Store {
        store.timeout(timeout)
    }

    fn ttl(store: Self::Store, ttl: Duration) -> Self::Store {
        store.expiration(ttl)
    }

    fn disable_touch(store: Self::Store) -> Self::Store {
        store.disable_touch(true)
    }

    fn cleanup_interval(store: Self::Store, interval: Duration) -> Self::Store {
        store.check_expiration_interval(interval)
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

pub(crate) fn on_server<F: Future<Output = ()>>(test: impl FnOnce(&'static MariaDb) -> F) {
    sql::on_server::<Db, F>(test);
}

pub(crate) async fn store(server: &MariaDb) -> (MySqlStore, String) {
    sql::store::<Db>(server).await
}

pub(crate) async fn store_at(url: &str) -> (MySqlStore, String) {
    sql::store_at::<Db>(url).await
}

pub(crate) async fn client(url: &str) -> <Db as Database>::Client {
    Db::client(url).await
}

pub(crate) fn on_own_server<F: Future<Output = ()>>(test: impl FnOnce(MariaDb) -> F) {
    sql::on_own_server::<Db, F>(test);
}
