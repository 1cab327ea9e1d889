//! Redis, for JavaScript.

use express_session::store::redis::RedisStore;
use express_session::store::redis::redis::{ClientTlsConfig, TlsCertificates};
use napi_derive::napi;

use super::option::{count, set_options, time};
use super::sealed::Sealing;
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
    pub user_index: Option<bool>,
    pub scan_count: Option<u32>,
    pub timeout: Option<f64>,
    pub max_waiting: Option<u32>,
    /// Certificates as PEM: of the authorities that are trusted, and of the client.
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
    /// The authorities that Node trusts, as PEM, where a certificate is verified and neither `ca` nor the URL names an
    /// authority.
    pub node_authorities: Option<String>,
}

/// Makes the store, which connects with its first call.
#[napi(catch_unwind)]
pub fn redis_store(
    url: String,
    options: RedisOptions,
    sealed: Option<Sealing>,
) -> napi::Result<NativeStore> {
    let client_tls = options.cert.zip(options.key).map(|(cert, key)| ClientTlsConfig {
        client_cert: cert.into_bytes(),
        client_key: key.into_bytes(),
    });
    let trusts_node = RedisStore::trusts_public_authorities(&url).map_err(failure::of)?;
    let authority = options.ca.or(options.node_authorities.filter(|_| trusts_node));
    let root_cert = authority.map(String::into_bytes);
    let store = if client_tls.is_some() || root_cert.is_some() {
        RedisStore::new_with_tls(&url, TlsCertificates { client_tls, root_cert })
    } else {
        RedisStore::new(&url)
    };
    let store = set_options!(
        store.map_err(failure::of)?,
        options,
        prefix,
        ttl: time,
        disable_ttl,
        user_index,
        scan_count: count,
        timeout: time,
        max_waiting: count,
    );
    NativeStore::new(store, sealed.as_ref())
}
