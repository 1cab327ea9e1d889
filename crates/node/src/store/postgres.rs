//! PostgreSQL, for JavaScript.

use express_session::store::postgres::PostgresStore;
use napi_derive::napi;

use super::{NativeStore, failure, option};

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct PostgresOptions {
    pub table_name: Option<String>,
    pub schema_name: Option<String>,
    pub create_table_if_missing: Option<bool>,
    pub ttl: Option<f64>,
    pub prune_session_interval: Option<f64>,
    pub prune_session_randomized_interval: Option<bool>,
    pub timeout: Option<f64>,
    pub max_connections: Option<u32>,
}

/// Makes the store, which connects with its first call.
#[napi(catch_unwind)]
pub fn postgres_store(url: String, options: PostgresOptions) -> napi::Result<NativeStore> {
    let store = PostgresStore::new(&url).map_err(failure::of)?;
    let store = option::set(store, options.table_name, |store, value| store.table_name(value));
    let store = option::set(store, options.schema_name, |store, value| store.schema_name(value));
    let store = option::set(store, options.create_table_if_missing, |store, value| {
        store.create_table_if_missing(value)
    });
    let store = option::set(store, options.ttl, |store, value| store.ttl(option::time(value)));
    let store = option::set(store, options.prune_session_interval, |store, value| {
        store.prune_session_interval(option::interval(value))
    });
    let store = option::set(store, options.prune_session_randomized_interval, |store, value| {
        store.prune_session_randomized_interval(value)
    });
    let store =
        option::set(store, options.timeout, |store, value| store.timeout(option::time(value)));
    let store = option::set(store, options.max_connections, |store, value| {
        store.max_connections(value as usize)
    });
    Ok(NativeStore::new(store))
}
