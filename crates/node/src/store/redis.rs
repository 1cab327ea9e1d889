//! Redis, for JavaScript.

use express_session::store::redis::RedisStore;
use napi_derive::napi;

use super::option::{count, set_options, time};
use super::{NativeStore, failure};

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
    Ok(NativeStore::new(set_options!(
        RedisStore::new(&url).map_err(failure::of)?,
        options,
        prefix,
        ttl: time,
        disable_ttl,
        scan_count: count,
        timeout: time,
    )))
}
