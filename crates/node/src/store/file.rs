//! Files, for JavaScript.

use express_session::store::file::FileStore;
use napi_derive::napi;

use super::NativeStore;
use super::option::{interval, set_options, time};
use super::sealed::Sealing;

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
pub fn file_store(
    path: String,
    options: FileOptions,
    sealed: Option<Sealing>,
) -> napi::Result<NativeStore> {
    let store = set_options!(
        FileStore::new(path),
        options,
        ttl: time,
        file_extension,
        reap_interval: interval,
        fsync,
        mode,
        timeout: time,
    );
    NativeStore::new(store, sealed.as_ref())
}
