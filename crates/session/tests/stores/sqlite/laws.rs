//! The SQLite store obeys every law of a store, in the table of each npm store.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::local::{Folder, two_stores_on_one_place_lose_nothing};
use crate::{on_tokio, spawned};
use express_session::SessionId;
use express_session::store::sqlite::{Dialect, SqliteStore};
use express_session_testkit::{
    Subject, Task, admin_laws, admin_model_laws, clock_laws, lock_laws, order_laws, store_laws,
};

/// Puts bytes into the column of the text, as text.
fn plant(path: &Path, end: &str, id: &SessionId, garbage: &[u8]) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let value: &dyn rusqlite::ToSql =
        if end == "expire" { &"2999-01-01T00:00:00.000Z" } else { &32_472_144_000_000.0 };
    let sql = format!("INSERT INTO sessions (sid, sess, {end}) VALUES (?1, CAST(?2 AS TEXT), ?3)");
    connection.execute(&sql, rusqlite::params![id.as_str(), garbage, value]).unwrap();
}

/// A file with the table of one dialect for each store.
struct Table {
    folder: Folder,
    dialect: Dialect,
    options: fn(SqliteStore) -> SqliteStore,
    last: Mutex<PathBuf>,
}

fn table(dialect: Dialect, options: fn(SqliteStore) -> SqliteStore) -> Table {
    Table { folder: Folder::new(), dialect, options, last: PathBuf::new().into() }
}

impl Subject for Table {
    type Store = SqliteStore;

    async fn store(&self) -> SqliteStore {
        let path = self.folder.fresh();
        *self.last.lock().unwrap() = path.clone();
        let store = (self.options)(SqliteStore::new(path).dialect(self.dialect));
        assert_eq!(store.open().await.unwrap(), self.dialect);
        store
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }

    async fn plant(&self, _: &SqliteStore, id: &SessionId, garbage: &[u8]) -> bool {
        let end = match self.dialect {
            Dialect::ConnectSqlite3 => "expired",
            Dialect::BetterSqlite3SessionStore => "expire",
            // Its column takes the number for a day.
            Dialect::ConnectSessionKnex | _ => return false,
        };
        plant(&self.last.lock().unwrap(), end, id, garbage);
        true
    }
}

macro_rules! laws {
    ($module:ident, $subject:expr $(, $model:ident)?) => {
        mod $module {
            use super::*;

            store_laws!($subject, block_on = on_tokio);
            lock_laws!($subject, block_on = on_tokio);
            admin_laws!($subject, block_on = on_tokio);
            $( $model!($subject, block_on = on_tokio); )?
            clock_laws!($subject, block_on = on_tokio);
            order_laws!($subject, block_on = on_tokio);
        }
    };
}

laws!(connect_sqlite3, table(Dialect::ConnectSqlite3, |store| store), admin_model_laws);
laws!(
    better_sqlite3_session_store,
    table(Dialect::BetterSqlite3SessionStore, |store| store),
    admin_model_laws
);
laws!(connect_session_knex, table(Dialect::ConnectSessionKnex, |store| store), admin_model_laws);

// Other ways through the threads and SQLite's locks.
laws!(without_a_log, table(Dialect::ConnectSqlite3, |store| store.concurrent_db(false)));
laws!(with_one_thread, table(Dialect::ConnectSqlite3, |store| store.readers(0)));
laws!(
    cleaning_all_the_time,
    table(Dialect::ConnectSessionKnex, |store| store.cleanup_interval(Duration::ZERO))
);
laws!(
    with_other_names,
    table(Dialect::ConnectSessionKnex, |store| store.table("a \"b\"").sid_field_name("the id"))
);

// Lists by an index.
laws!(with_an_index, table(Dialect::ConnectSqlite3, |store| store.user_index(true)));
laws!(
    with_an_index_of_better_sqlite3,
    table(Dialect::BetterSqlite3SessionStore, |store| store.user_index(true))
);
laws!(
    with_an_index_and_other_names,
    table(Dialect::ConnectSessionKnex, |store| {
        store.table("a \"b\"").sid_field_name("the id").user_index(true)
    })
);

struct Memory;

impl Subject for Memory {
    type Store = SqliteStore;

    async fn store(&self) -> SqliteStore {
        SqliteStore::new(":memory:")
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

laws!(in_memory, Memory);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_file_lose_nothing_of_each_other() {
    two_stores_on_one_place_lose_nothing(SqliteStore::new).await;
}
