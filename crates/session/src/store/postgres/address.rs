//! Reads the address of a server, and how to log in, from a URL and the environment of libpq.
//!
//! A parameter means what libpq and node-postgres mean by it. One that cannot be honoured is an error that names it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use express_session_core::store::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs,
};

use super::super::query::{self, Parameter, bad, decode};
use super::encryption::{Demand, Encryption};
use super::passfile;

/// The parameters of a URL that are not options of the store.
pub(in super::super) const PARAMETERS: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "connection_limit",
    "dbname",
    "encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "passfile",
    "password",
    "pgbouncer",
    "port",
    "requiressl",
    "schema",
    "ssl",
    "sslaccept",
    "sslcert",
    "sslcompression",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslsni",
    "statement_cache_size",
    "supa",
    "target_session_attrs",
    "tcp_user_timeout",
    "uselibpqcompat",
    "user",
    "workaround",
];

/// Parameters of other clients, and what to use instead.
const INSTEAD: &[(&[&str], &str)] = &[
    (
        &["pool_timeout", "query_timeout", "socket_timeout", "socketTimeout"],
        "use timeout, which is that of a call",
    ),
    (&["max", "pool", "pool_max_conns", "pool_size"], "use max_connections"),
    (&["currentSchema", "search_path"], "use schema_name, or options=-c search_path=..."),
    (
        &[
            "idle_in_transaction_session_timeout",
            "lock_timeout",
            "statement_timeout",
            "timezone",
            "TimeZone",
        ],
        "a setting of the server goes into options, as in options=-c statement_timeout=5s",
    ),
    (&["prepareThreshold", "prepared_statements"], "use prepare_statements"),
    (&["service", "servicefile"], "write the parameters of the service into the URL"),
    (
        &["sslidentity", "sslpassword"],
        "use sslcert and sslkey, PEM files, with a key that is not encrypted",
    ),
    (&["sslcrl", "sslcrldir"], "revoked certificates are not looked up"),
    (
        &["ssl_max_protocol_version", "ssl_min_protocol_version"],
        "both sides agree on TLS 1.2 or 1.3",
    ),
    (&["require_auth", "requirepeer"], "use channel_binding=require or sslmode=verify-full"),
    (
        &["replication", "scram_client_key", "scram_server_key", "sslcertmode"],
        "the store does not need it",
    ),
];

/// Returns what to use instead of another client's parameter.
pub(in super::super) fn instead_of(name: &str) -> Option<&'static str> {
    query::instead(INSTEAD, name)
}

/// libpq's environment, by the parameters that it stands for.
const ENVIRONMENT: [(&str, &str); 26] = [
    ("PGAPPNAME", "application_name"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGCLIENTENCODING", "client_encoding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGDATABASE", "dbname"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGLOADBALANCEHOSTS", "load_balance_hosts"),
    ("PGOPTIONS", "options"),
    ("PGPASSFILE", "passfile"),
    ("PGPASSWORD", "password"),
    ("PGPORT", "port"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIRESSL", "requiressl"),
    ("PGSERVICE", "service"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
    ("PGUSER", "user"),
];

/// The parameters that say whether to encrypt: the environment does not change what a URL says about it.
const ENCRYPTION: [&str; 10] = [
    "channel_binding",
    "requiressl",
    "ssl",
    "sslaccept",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "uselibpqcompat",
];

/// Looks a variable of the environment up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where to connect, and how.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) encryption: Encryption,
    pub(super) schema: Option<String>,
    pub(super) connections: Option<usize>,
    /// The URL says that statements cannot be prepared, in the way of Prisma or SQLAlchemy's asyncpg.
    pub(super) is_pooled: bool,
}

/// Reads a URL, or a string of keywords as libpq has it. No error shows it, since it may hold a password.
pub(super) fn parse(url: &str, environment: Environment<'_>) -> Result<Address, Error> {
    let mut settings =
        match ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme)) {
            Some(rest) => of_url(rest)?,
            None => of_keywords(url).ok_or_else(|| bad("the URL is no PostgreSQL URL"))?,
        };
    add_environment(&mut settings, environment);
    let mut address = Address {
        config: Config::new(),
        encryption: Encryption::of(&settings)?,
        schema: None,
        connections: None,
        is_pooled: false,
    };
    for (name, value) in &settings {
        address.set(&Parameter { name, value: value.clone() })?;
    }
    address.complete(&settings, environment)?;
    Ok(address)
}

/// Parameters by libpq's names.
pub(super) type Settings = BTreeMap<String, String>;

fn of_url(rest: &str) -> Result<Settings, Error> {
    let no_url = || bad("the URL is no PostgreSQL URL");
    let text = |part: &str| decode(part).ok_or_else(no_url);
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (server, database) = place.split_once('/').unwrap_or((place, ""));
    // A login of Azure has an @ in it.
    let (login, hosts) = server.rsplit_once('@').unwrap_or(("", server));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = host_and_port(host).ok_or_else(no_url)?;
        names.push(text(name)?);
        ports.push(text(port)?);
    }
    let mut settings = Settings::new();
    for (name, value) in [
        ("user", text(user)?),
        ("password", text(password)?),
        ("host", names.join(",")),
        ("port", ports.join(",")),
        ("dbname", text(database)?),
    ] {
        if !value.is_empty() && value.bytes().any(|byte| byte != b',') {
            settings.insert(name.to_owned(), value);
        }
    }
    for parameter in Parameter::all(parameters)? {
        if !PARAMETERS.contains(&parameter.name) {
            return Err(parameter.unknown(instead_of(parameter.name)));
        }
        settings.insert(libpqs(parameter.name).to_owned(), parameter.value);
    }
    Ok(settings)
}

fn host_and_port(host: &str) -> Option<(&str, &str)> {
    let Some(bracketed) = host.strip_prefix('[') else {
        return Some(host.split_once(':').unwrap_or((host, "")));
    };
    let (name, rest) = bracketed.split_once(']')?;
    if rest.is_empty() { Some((name, "")) } else { Some((name, rest.strip_prefix(':')?)) }
}

/// Reads `host=localhost password='it\'s'`.
fn of_keywords(text: &str) -> Option<Settings> {
    let mut settings = Settings::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim_end();
        if !PARAMETERS.contains(&name) {
            return None;
        }
        let behind = behind.trim_start();
        let (quote, behind) =
            behind.strip_prefix('\'').map_or((None, behind), |behind| (Some('\''), behind));
        let (mut value, mut characters) = (String::new(), behind.chars());
        let ended = loop {
            match characters.next() {
                Some('\\') => value.push(characters.next()?),
                Some(end) if quote == Some(end) || (quote.is_none() && end.is_whitespace()) => {
                    break true;
                }
                Some(character) => value.push(character),
                None => break quote.is_none(),
            }
        };
        if !ended {
            return None;
        }
        settings.insert(libpqs(name).to_owned(), value);
        rest = characters.as_str().trim_start();
    }
    Some(settings).filter(|settings| !settings.is_empty())
}

/// Returns libpq's name of a parameter.
fn libpqs(name: &str) -> &str {
    match name {
        "encoding" => "client_encoding",
        "keepalives_retries" => "keepalives_count",
        name => name,
    }
}

/// Fills in what the URL leaves out.
fn add_environment(settings: &mut Settings, environment: Environment<'_>) {
    let has_host = settings.contains_key("host") || settings.contains_key("hostaddr");
    let is_decided = ENCRYPTION.iter().any(|name| settings.contains_key(*name));
    for (variable, name) in ENVIRONMENT {
        let is_of_host = ["host", "hostaddr"].contains(&name);
        // Certificates say whom to trust, and the URL whether to ask.
        let is_of_mode =
            ENCRYPTION.contains(&name) && !["sslcert", "sslkey", "sslrootcert"].contains(&name);
        if (is_of_host && has_host) || (is_of_mode && is_decided) {
            continue;
        }
        if let Some(value) = environment(variable).filter(|value| !value.is_empty()) {
            settings.entry(name.to_owned()).or_insert(value);
        }
    }
}

impl Address {
    fn set(&mut self, parameter: &Parameter<'_>) -> Result<(), Error> {
        let config = &mut self.config;
        let value = parameter.value.as_str();
        match parameter.name {
            "user" => _ = config.user(value),
            "password" => _ = config.password(value),
            "dbname" => _ = config.dbname(value),
            "options" => _ = config.options(value),
            "application_name" | "fallback_application_name" => {
                if parameter.name == "application_name" || config.get_application_name().is_none() {
                    config.application_name(value);
                }
            }
            "host" => value.split(',').for_each(|host| _ = config.host(host)),
            "hostaddr" => {
                for address in value.split(',') {
                    let address: Result<IpAddr, _> = address.parse();
                    config.hostaddr(address.map_err(|_| parameter.unfit("an address of IP"))?);
                }
            }
            "port" => {
                for port in value.split(',') {
                    let port = if port.is_empty() { Ok(5432) } else { port.parse() };
                    config.port(port.map_err(|_| parameter.unfit("a port"))?);
                }
            }
            "connect_timeout" => {
                limit(config, parameter, Duration::from_secs, Config::connect_timeout)?
            }
            "tcp_user_timeout" => {
                limit(config, parameter, Duration::from_millis, Config::tcp_user_timeout)?
            }
            "keepalives" => _ = config.keepalives(flag(parameter)?),
            "keepalives_idle" => {
                limit(config, parameter, Duration::from_secs, Config::keepalives_idle)?
            }
            "keepalives_interval" => {
                limit(config, parameter, Duration::from_secs, Config::keepalives_interval)?
            }
            "keepalives_count" => {
                let count = value.parse().map_err(|_| parameter.unfit("a whole number"))?;
                config.keepalives_retries(count);
            }
            "target_session_attrs" => _ = config.target_session_attrs(attributes(parameter)?),
            "channel_binding" => {
                _ = config.channel_binding(match value {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return Err(parameter.unfit("disable, prefer or require")),
                })
            }
            "load_balance_hosts" => {
                _ = config.load_balance_hosts(match value {
                    "disable" => LoadBalanceHosts::Disable,
                    "random" => LoadBalanceHosts::Random,
                    _ => return Err(parameter.unfit("disable or random")),
                })
            }
            "sslnegotiation" => {
                _ = config.ssl_negotiation(match value {
                    "postgres" => SslNegotiation::Postgres,
                    "direct" => SslNegotiation::Direct,
                    _ => return Err(parameter.unfit("postgres or direct")),
                })
            }
            "client_encoding" => {
                let name = value.to_ascii_lowercase().replace('-', "");
                if !["auto", "utf8", "unicode"].contains(&name.as_str()) {
                    return Err(parameter.unfit("UTF8"));
                }
            }
            "gssencmode" => {
                if !["disable", "prefer"].contains(&value) {
                    return Err(parameter.unfit("disable or prefer: there is no GSSAPI here"));
                }
            }
            "schema" => self.schema = Some(value.to_owned()),
            "connection_limit" => {
                let limit = value.parse().map_err(|_| parameter.unfit("a whole number"))?;
                self.connections = Some(limit);
            }
            "pgbouncer" => self.is_pooled |= ["1", "true"].contains(&value),
            "statement_cache_size" => self.is_pooled |= value == "0",
            name if PARAMETERS.contains(&name) => {}
            name => return Err(parameter.unknown(instead_of(name))),
        }
        Ok(())
    }

    /// Replaces the certificates.
    #[cfg(feature = "tls")]
    pub(super) fn with_certificates(
        mut self,
        authority: Option<Vec<u8>>,
        identity: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, Error> {
        let encryption = &mut self.encryption;
        encryption.verify();
        if encryption.demand == Demand::Plain {
            return Err(bad("certificates need encryption, and the URL asks for none"));
        }
        encryption.authority = authority.or(encryption.authority.take());
        encryption.identity = identity.or(encryption.identity.take());
        self.config.ssl_mode(SslMode::Require);
        Ok(self)
    }

    /// Sets what follows from all parameters together.
    fn complete(&mut self, settings: &Settings, environment: Environment<'_>) -> Result<(), Error> {
        let config = &mut self.config;
        if config.get_hosts().is_empty() {
            // The name that the certificate is for.
            match settings.get("hostaddr") {
                Some(addresses) => addresses.split(',').for_each(|host| _ = config.host(host)),
                None => _ = config.host("localhost"),
            }
        }
        let hosts = settings.get("host").map_or("", String::as_str);
        if !hosts.is_empty() && hosts.split(',').all(|host| host.starts_with('/')) {
            // As with libpq, a socket of this machine is not encrypted.
            self.encryption.demand = Demand::Plain;
            config.ssl_negotiation(SslNegotiation::Postgres);
        }
        if hosts.contains(',') && !settings.contains_key("target_session_attrs") {
            // Of several servers, one takes the writes.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.ssl_mode(match self.encryption.demand {
            Demand::Plain => SslMode::Disable,
            Demand::Encrypted | Demand::Trusted | Demand::Identified => SslMode::Require,
        });
        if config.get_password().is_none()
            && let Some(password) = passfile::password(settings, environment)?
        {
            config.password(password);
        }
        Ok(())
    }
}

fn attributes(parameter: &Parameter<'_>) -> Result<TargetSessionAttrs, Error> {
    Ok(match parameter.value.as_str() {
        "any" => TargetSessionAttrs::Any,
        // A primary takes writes, unless a setting forbids them.
        "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
        "read-only" => TargetSessionAttrs::ReadOnly,
        _ => return Err(parameter.unfit("any, read-write, primary or read-only")),
    })
}

/// Sets a time. Zero and less are no limit, or the system's own.
fn limit(
    config: &mut Config,
    parameter: &Parameter<'_>,
    unit: fn(u64) -> Duration,
    set: fn(&mut Config, Duration) -> &mut Config,
) -> Result<(), Error> {
    let number: i64 = parameter.value.parse().map_err(|_| parameter.unfit("a whole number"))?;
    if let Some(number) = u64::try_from(number).ok().filter(|number| *number > 0) {
        set(config, unit(number));
    }
    Ok(())
}

fn flag(parameter: &Parameter<'_>) -> Result<bool, Error> {
    match parameter.value.as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(parameter.unfit("1 or 0")),
    }
}

#[cfg(test)]
mod tests;
