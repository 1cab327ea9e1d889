//! Reads the address of a server, and how to encrypt, from a URL.
//!
//! Clients of MySQL have many names for the same parameters. Those of the hosts' connection strings are read here.

use express_session_core::store::Error;
use mysql_async::{Opts, OptsBuilder};

use super::super::query::{self, Parameter, bad};
use super::encryption::Encryption;

/// The parameters of a URL that are not options of the store.
pub(in super::super) const PARAMETERS: &[&str] = &[
    "allowPublicKeyRetrieval",
    "autoReconnect",
    "bigNumberStrings",
    "built_in_roots",
    "characterEncoding",
    "charset",
    "client_found_rows",
    "collation",
    "compression",
    "dateStrings",
    "decimalNumbers",
    "enable_cleartext_plugin",
    "loc",
    "max_allowed_packet",
    "parseTime",
    "prefer_socket",
    "reconnect",
    "requireSSL",
    "require_ssl",
    "secure_auth",
    "serverTimezone",
    "socket",
    "socketPath",
    "ssl",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "sslMode",
    "ssl_ca",
    "ssl_cert",
    "ssl_key",
    "ssl_mode",
    "ssl_verify_cert",
    "ssl_verify_identity",
    "sslaccept",
    "sslca",
    "sslmode",
    "stmt_cache_size",
    "supportBigNumbers",
    "tcp_keepalive",
    "tcp_nodelay",
    "time_zone",
    "timezone",
    "tls",
    "unix_socket",
    "useSSL",
    "useUnicode",
    "verifyServerCertificate",
    "verify_ca",
    "verify_identity",
    "wait_timeout",
];

/// Options of other clients, and what to use instead.
const INSTEAD: &[(&[&str], &str)] = &[
    (
        &[
            "acquireTimeout",
            "connectTimeout",
            "connect_timeout",
            "pool_timeout",
            "readTimeout",
            "read_timeout",
            "socketTimeout",
            "socket_timeout",
            "writeTimeout",
            "write_timeout",
        ],
        "use timeout, which is that of a call",
    ),
    (&["connectionLimit", "max_connections", "pool_max", "pool_size"], "use connection_limit"),
    (&["queueLimit"], "use max_waiting"),
    (&["enableKeepAlive", "keepAliveInitialDelay"], "use tcp_keepalive, in milliseconds"),
    (&["compress"], "use compression"),
    (
        &["sslcert", "sslidentity", "sslpassword", "sslrootcert", "trustCertificateKeyStoreUrl"],
        "use ssl-ca, ssl-cert and ssl-key, the names of PEM files",
    ),
    (&["flags", "multipleStatements", "sessionVariables"], "the store sets what it needs"),
    (&["host", "port", "user", "password", "database", "db"], "it stands before the ?"),
];

/// The driver's own parameters, which it reads itself.
const DRIVERS: &[&str] = &[
    "client_found_rows",
    "compression",
    "enable_cleartext_plugin",
    "max_allowed_packet",
    "prefer_socket",
    "secure_auth",
    "stmt_cache_size",
    "tcp_keepalive",
    "tcp_nodelay",
    "wait_timeout",
];

/// Returns what to use instead of another client's option.
pub(in super::super) fn instead_of(name: &str) -> Option<&'static str> {
    query::instead(INSTEAD, name)
}

/// Reads a URL. No error shows it, since it may hold a password.
pub(super) fn parse(url: &str) -> Result<(Opts, Encryption), Error> {
    let rest =
        ["mysql://", "mariadb://", "mysql2://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let rest = rest.ok_or_else(|| bad("the URL is no MySQL URL"))?;
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let mut encryption = Encryption::default();
    let (mut drivers, mut socket) = (String::new(), None);
    for parameter in Parameter::all(parameters)? {
        let value = parameter.value.as_str();
        match parameter.name {
            name if DRIVERS.contains(&name) => {
                // Their values are numbers and flags, which have no special characters.
                let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric());
                is_plain.then_some(()).ok_or_else(|| parameter.unfit("a number or a flag"))?;
                drivers += &format!("&{name}={value}");
            }
            "socket" | "socketPath" | "unix_socket" => socket = Some(parameter.value),
            "charset" | "characterEncoding" | "collation" => check_charset(&parameter)?,
            // They are about values that the store does not have, or that the driver does anyway.
            "allowPublicKeyRetrieval"
            | "autoReconnect"
            | "bigNumberStrings"
            | "dateStrings"
            | "decimalNumbers"
            | "loc"
            | "parseTime"
            | "reconnect"
            | "serverTimezone"
            | "supportBigNumbers"
            | "time_zone"
            | "timezone"
            | "useUnicode" => {}
            _ => encryption.set(&parameter)?,
        }
    }
    let opts = Opts::from_url(&format!("mysql://{place}?{}", drivers.trim_start_matches('&')));
    let opts =
        opts.map_err(|_| bad("the URL is no MySQL URL, or a parameter has a wrong value"))?;
    let opts = match socket {
        Some(socket) => OptsBuilder::from_opts(opts).socket(Some(socket)).into(),
        None => opts,
    };
    Ok((opts, encryption))
}

/// The driver's connections speak UTF-8 of up to four bytes.
fn check_charset(parameter: &Parameter<'_>) -> Result<(), Error> {
    let value = parameter.value.to_ascii_lowercase();
    let is_utf8 = value.starts_with("utf8mb4") || value == "utf8" || value == "utf-8";
    if is_utf8 { Ok(()) } else { Err(parameter.unfit("utf8mb4")) }
}
