//! Redis, for JavaScript.

use express_session::store::redis::RedisStore;
use napi_derive::napi;

use super::{NativeStore, failure, option};

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct RedisOptions {
    pub prefix: Option<String>,
    pub ttl: Option<f64>,
    #[napi(js_name = "disableTTL")]
    pub disable_ttl: Option<bool>,
    pub scan_count: Option<u32>,
    pub timeout: Option<f64>,
}

/// Makes the store, which connects with its first call.
#[napi(catch_unwind)]
pub fn redis_store(url: String, options: RedisOptions) -> napi::Result<NativeStore> {
    let store = RedisStore::new(&url).map_err(failure::of)?;
    let store = option::set(store, options.prefix, |store, value| store.prefix(value));
    let store = option::set(store, options.ttl, |store, value| store.ttl(option::time(value)));
    let store = option::set(store, options.disable_ttl, |store, value| store.disable_ttl(value));
    let store =
        option::set(store, options.scan_count, |store, value| store.scan_count(value as usize));
    let store =
        option::set(store, options.timeout, |store, value| store.timeout(option::time(value)));
    Ok(NativeStore::new(store))
}
