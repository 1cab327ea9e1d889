//! PostgreSQL, for JavaScript.

use express_session::store::postgres::PostgresStore;
use napi_derive::napi;

use super::option::{count, interval, set_options, time};
use super::sealed::Sealing;
use super::{NativeStore, failure};

/// The options of the store. Times are in milliseconds.
#[napi(object)]
#[derive(Debug)]
#[allow(missing_docs, reason = "as the options of the store, in lib/stores.d.ts")]
pub struct PostgresOptions {
    pub table_name: Option<String>,
    pub schema_name: Option<String>,
    pub create_table_if_missing: Option<bool>,
    pub user_index: Option<bool>,
    pub ttl: Option<f64>,
    pub prune_session_interval: Option<f64>,
    pub prune_session_randomized_interval: Option<bool>,
    pub timeout: Option<f64>,
    pub max_waiting: Option<u32>,
    pub max_connections: Option<u32>,
    pub prepare_statements: Option<bool>,
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
pub fn postgres_store(
    url: String,
    options: PostgresOptions,
    sealed: Option<Sealing>,
) -> napi::Result<NativeStore> {
    let trusts_node = PostgresStore::trusts_public_authorities(&url).map_err(failure::of)?;
    let authority = options.ca.or(options.node_authorities.filter(|_| trusts_node));
    let authority = authority.map(String::into_bytes);
    let identity = options.cert.zip(options.key);
    let identity = identity.map(|(certificate, key)| (certificate.into_bytes(), key.into_bytes()));
    let store = if authority.is_some() || identity.is_some() {
        PostgresStore::new_with_tls(&url, authority, identity)
    } else {
        PostgresStore::new(&url)
    };
    let store = set_options!(
        store.map_err(failure::of)?,
        options,
        table_name,
        schema_name,
        create_table_if_missing,
        user_index,
        ttl: time,
        prune_session_interval: interval,
        prune_session_randomized_interval,
        timeout: time,
        max_waiting: count,
        max_connections: count,
        prepare_statements,
    );
    NativeStore::new(store, sealed.as_ref())
}
