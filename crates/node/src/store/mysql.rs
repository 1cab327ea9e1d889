//! MySQL and MariaDB, for JavaScript.

use express_session::store::mysql::MySqlStore;
use napi_derive::napi;

use super::option::{count, set_options, time};
use super::sealed::Sealing;
use super::{NativeStore, failure};

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
    pub max_waiting: Option<u32>,
    /// The authorities that Node trusts, as PEM, where a certificate is verified and the URL names no authority.
    pub node_authorities: Option<String>,
}

/// Makes the store, which connects with its first call.
#[napi(catch_unwind)]
pub fn mysql_store(
    url: String,
    options: MySqlOptions,
    sealed: Option<Sealing>,
) -> napi::Result<NativeStore> {
    let trusts_node = MySqlStore::trusts_public_authorities(&url).map_err(failure::of)?;
    let store = match options.node_authorities.filter(|_| trusts_node) {
        Some(authority) => MySqlStore::new_with_tls(&url, Some(authority.into_bytes()), None),
        None => MySqlStore::new(&url),
    };
    let store = set_options!(
        store.map_err(failure::of)?,
        options,
        table_name,
        create_database_table,
        expiration: time,
        clear_expired,
        check_expiration_interval: time,
        connection_limit: count,
        timeout: time,
        max_waiting: count,
    );
    let store = match options.column_names.as_deref() {
        Some([id, expires, data]) => store.column_names(id, expires, data),
        _ => store,
    };
    NativeStore::new(store, sealed.as_ref())
}
