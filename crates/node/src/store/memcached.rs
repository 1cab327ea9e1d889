//! Memcached, for JavaScript.

use express_session::store::memcached::MemcachedStore;
use napi_derive::napi;

use super::{NativeStore, failure, option};

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct MemcachedOptions {
    pub prefix: Option<String>,
    pub ttl: Option<f64>,
    pub timeout: Option<f64>,
    pub max_connections: Option<u32>,
}

/// Makes the store, which connects with its first call.
#[napi(catch_unwind)]
pub fn memcached_store(url: String, options: MemcachedOptions) -> napi::Result<NativeStore> {
    let store = MemcachedStore::new(&url).map_err(failure::of)?;
    let store = option::set(store, options.prefix, |store, value| store.prefix(value));
    let store = option::set(store, options.ttl, |store, value| store.ttl(option::time(value)));
    let store =
        option::set(store, options.timeout, |store, value| store.timeout(option::time(value)));
    let store = option::set(store, options.max_connections, |store, value| {
        store.max_connections(value as usize)
    });
    Ok(NativeStore::new(store))
}
