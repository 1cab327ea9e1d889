//! SQLite, for JavaScript.

use express_session::store::sqlite::{Dialect, SqliteStore, Synchronous};
use napi_derive::napi;

use super::NativeStore;
use super::option::{count, interval, set_options, time};
use super::sealed::Sealing;

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct SqliteOptions {
    pub dialect: Option<String>,
    pub table: Option<String>,
    pub sid_field_name: Option<String>,
    pub create_table: Option<bool>,
    pub user_index: Option<bool>,
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
pub fn sqlite_store(
    path: String,
    options: SqliteOptions,
    sealed: Option<Sealing>,
) -> napi::Result<NativeStore> {
    let store = set_options!(
        SqliteStore::new(path),
        options,
        dialect: dialect,
        table,
        sid_field_name,
        create_table,
        user_index,
        create_dir_if_not_exists,
        ttl: time,
        cleanup_interval: interval,
        concurrent_db,
        synchronous: synchronous,
        busy_timeout: time,
        timeout: time,
        readers: count,
    );
    NativeStore::new(store, sealed.as_ref())
}

/// Takes an npm store's name; JavaScript lets no other through.
fn dialect(name: String) -> Dialect {
    match &*name {
        "better-sqlite3-session-store" => Dialect::BetterSqlite3SessionStore,
        "connect-session-knex" => Dialect::ConnectSessionKnex,
        _ => Dialect::ConnectSqlite3,
    }
}

fn synchronous(name: String) -> Synchronous {
    if name == "full" { Synchronous::Full } else { Synchronous::Normal }
}
