//! MySQL and MariaDB, for JavaScript.

use express_session::store::mysql::MySqlStore;
use napi_derive::napi;

use super::{NativeStore, failure, option};

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct MySqlOptions {
    pub table_name: Option<String>,
    pub column_names: Option<Vec<String>>,
    pub create_database_table: Option<bool>,
    pub expiration: Option<f64>,
    pub clear_expired: Option<bool>,
    pub check_expiration_interval: Option<f64>,
    pub connection_limit: Option<u32>,
    pub timeout: Option<f64>,
}

/// Makes the store, which connects with its first call.
#[napi(catch_unwind)]
pub fn mysql_store(url: String, options: MySqlOptions) -> napi::Result<NativeStore> {
    let store = MySqlStore::new(&url).map_err(failure::of)?;
    let store = option::set(store, options.table_name, |store, value| store.table_name(value));
    let store = match options.column_names.as_deref() {
        Some([id, expires, data]) => store.column_names(id, expires, data),
        _ => store,
    };
    let store = option::set(store, options.create_database_table, |store, value| {
        store.create_database_table(value)
    });
    let store = option::set(store, options.expiration, |store, value| {
        store.expiration(option::time(value))
    });
    let store =
        option::set(store, options.clear_expired, |store, value| store.clear_expired(value));
    let store = option::set(store, options.check_expiration_interval, |store, value| {
        store.check_expiration_interval(option::time(value))
    });
    let store = option::set(store, options.connection_limit, |store, value| {
        store.connection_limit(value as usize)
    });
    let store =
        option::set(store, options.timeout, |store, value| store.timeout(option::time(value)));
    Ok(NativeStore::new(store))
}
