//! Files, for JavaScript.

use express_session::store::file::FileStore;
use napi_derive::napi;

use super::{NativeStore, option};

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct FileOptions {
    pub ttl: Option<f64>,
    pub file_extension: Option<String>,
    pub reap_interval: Option<f64>,
    pub fsync: Option<bool>,
    pub mode: Option<u32>,
    pub timeout: Option<f64>,
}

/// Makes the store, which makes the folder with its first call.
#[napi(catch_unwind)]
pub fn file_store(path: String, options: FileOptions) -> napi::Result<NativeStore> {
    let store = FileStore::new(path);
    let store = option::set(store, options.ttl, |store, value| store.ttl(option::time(value)));
    let store =
        option::set(store, options.file_extension, |store, value| store.file_extension(value));
    let store = option::set(store, options.reap_interval, |store, value| {
        store.reap_interval(option::interval(value))
    });
    let store = option::set(store, options.fsync, |store, value| store.fsync(value));
    let store = option::set(store, options.mode, |store, value| store.mode(value));
    let store =
        option::set(store, options.timeout, |store, value| store.timeout(option::time(value)));
    Ok(NativeStore::new(store))
}
