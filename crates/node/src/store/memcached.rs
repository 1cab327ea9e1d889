//! Memcached, for JavaScript.

use express_session::store::memcached::MemcachedStore;
use napi_derive::napi;

use super::option::{count, set_options, time};
use super::sealed::Sealing;
use super::{NativeStore, failure};

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct MemcachedOptions {
    pub prefix: Option<String>,
    pub ttl: Option<f64>,
    pub timeout: Option<f64>,
    pub max_waiting: Option<u32>,
    pub max_connections: Option<u32>,
}

/// Makes the store, which connects with its first call.
#[napi(catch_unwind)]
pub fn memcached_store(
    url: String,
    options: MemcachedOptions,
    sealed: Option<Sealing>,
) -> napi::Result<NativeStore> {
    let store = set_options!(
        MemcachedStore::new(&url).map_err(failure::of)?,
        options,
        prefix,
        ttl: time,
        timeout: time,
        max_waiting: count,
        max_connections: count,
    );
    NativeStore::new(store, sealed.as_ref())
}
