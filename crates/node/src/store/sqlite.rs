//! SQLite, for JavaScript.

use express_session::store::sqlite::{Dialect, SqliteStore, Synchronous};
use napi_derive::napi;

use super::{NativeStore, option};

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct SqliteOptions {
    pub dialect: Option<String>,
    pub table: Option<String>,
    pub sid_field_name: Option<String>,
    pub create_table: Option<bool>,
    pub create_dir_if_not_exists: Option<bool>,
    pub ttl: Option<f64>,
    pub cleanup_interval: Option<f64>,
    pub concurrent_db: Option<bool>,
    pub synchronous: Option<String>,
    pub busy_timeout: Option<f64>,
    pub timeout: Option<f64>,
    pub readers: Option<u32>,
}

/// Makes the store, which opens the file with its first call.
#[napi(catch_unwind)]
pub fn sqlite_store(path: String, options: SqliteOptions) -> napi::Result<NativeStore> {
    let store = SqliteStore::new(path);
    let store = option::set(store, options.dialect, |store, value| store.dialect(dialect(&value)));
    let store = option::set(store, options.table, |store, value| store.table(value));
    let store =
        option::set(store, options.sid_field_name, |store, value| store.sid_field_name(value));
    let store = option::set(store, options.create_table, |store, value| store.create_table(value));
    let store = option::set(store, options.create_dir_if_not_exists, |store, value| {
        store.create_dir_if_not_exists(value)
    });
    let store = option::set(store, options.ttl, |store, value| store.ttl(option::time(value)));
    let store = option::set(store, options.cleanup_interval, |store, value| {
        store.cleanup_interval(option::interval(value))
    });
    let store =
        option::set(store, options.concurrent_db, |store, value| store.concurrent_db(value));
    let store = option::set(store, options.synchronous, |store, value| {
        store.synchronous(synchronous(&value))
    });
    let store = option::set(store, options.busy_timeout, |store, value| {
        store.busy_timeout(option::time(value))
    });
    let store =
        option::set(store, options.timeout, |store, value| store.timeout(option::time(value)));
    let store = option::set(store, options.readers, |store, value| store.readers(value as usize));
    Ok(NativeStore::new(store))
}

/// Takes an npm store's name; JavaScript lets no other through.
fn dialect(name: &str) -> Dialect {
    match name {
        "better-sqlite3-session-store" => Dialect::BetterSqlite3SessionStore,
        "connect-session-knex" => Dialect::ConnectSessionKnex,
        _ => Dialect::ConnectSqlite3,
    }
}

fn synchronous(name: &str) -> Synchronous {
    if name == "full" { Synchronous::Full } else { Synchronous::Normal }
}
