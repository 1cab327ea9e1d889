//! Reads the address of a server, of sentinels or of a cluster from a URL.

use ::redis::{ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisError};
use express_session_core::store::{Error, ErrorKind};

use super::super::query::{self, Parameter};
use super::error::{self, Stage};
use super::source::Trust;

/// Where sessions are, and how to log in there.
pub(super) enum Address {
    Server(ConnectionInfo),
    /// The servers that know who the master of this name is; the first server's login is that of
    /// all masters.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        server: ConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
}

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The parameters of a URL that are not options of the store.
pub(in super::super) const PARAMETERS: &[&str] = &[
    "allowUsernameInURI",
    "db",
    "family",
    "pass",
    "protocol",
    "sentinel_password",
    "sentinel_username",
    "ssl_ca_certs",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "user",
];

/// Options of other clients, and what to use instead.
const INSTEAD: &[(&[&str], &str)] = &[
    (
        &[
            "commandTimeout",
            "command_timeout",
            "connectTimeout",
            "connect_timeout",
            "dial_timeout",
            "read_timeout",
            "socketTimeout",
            "socket_connect_timeout",
            "socket_timeout",
            "write_timeout",
        ],
        "use timeout, which is that of a call",
    ),
    (&["keyPrefix", "key_prefix"], "use prefix"),
    (&["ssl", "tls", "useSSL", "useTls"], "use a URL that begins with rediss://"),
    (
        &["insecure", "rejectUnauthorized", "skip_verify", "tls_insecure"],
        "use ssl_cert_reqs=none, which accepts any certificate",
    ),
    (&["ca", "cacert", "sslrootcert", "tls_ca"], "use ssl_ca_certs, the name of a PEM file"),
    (&["cert", "sslcert", "tls_cert"], "use ssl_certfile, the name of a PEM file"),
    (&["key", "sslkey", "tls_key"], "use ssl_keyfile, the name of a PEM file"),
    (
        &["servername", "tls_server_name"],
        "the name of the certificate has to be the host of the URL",
    ),
    (&["username"], "the user stands before the host, as in redis://user:password@host"),
    (&["password", "auth"], "the password stands before the host, as in redis://:password@host"),
    (&["database"], "use db"),
    (&["scaleReads", "readFrom", "read_from_replicas"], "the store reads from masters only"),
    (
        &[
            "autoResubscribe",
            "clientName",
            "client_name",
            "connectionName",
            "decode_responses",
            "enableAutoPipelining",
            "enableOfflineQueue",
            "enableReadyCheck",
            "health_check_interval",
            "keepAlive",
            "lazyConnect",
            "maxRetriesPerRequest",
            "max_connections",
            "noDelay",
            "pool_size",
            "retry_on_timeout",
        ],
        "leave it out, the store has one connection, which it replaces when it is lost",
    ),
];

/// Returns what to use instead of another client's option.
pub(in super::super) fn instead_of(name: &str) -> Option<&'static str> {
    query::instead(INSTEAD, name)
}

impl Address {
    /// Reads a URL, and the certificates that it names.
    pub(super) fn parse(url: &str) -> Result<(Self, Trust), Error> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad(NO_SCHEME))?;
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let (is_encrypted, kind) = match (scheme, kind) {
            ("unix", "") => (false, "unix"),
            ("redis" | "valkey", "tls" | "ssl") => (true, ""),
            ("redis" | "valkey", kind) => (false, kind),
            ("rediss" | "valkeys", kind) => (true, kind),
            ("redis-cluster" | "redis-sentinel" | "rediss-cluster" | "rediss-sentinel", _) => {
                return Err(bad("write redis+cluster:// or redis+sentinel://, with TLS rediss+…"));
            }
            _ => return Err(bad(SCHEMES)),
        };
        let parts = Parts::of(rest)?;
        let settings = Settings::read(&parts, is_encrypted)?;
        let address = match kind {
            "" => Self::Server(settings.server(&parts.one_host()?, &parts)?),
            "unix" => Self::Server(settings.socket(&parts)?),
            "cluster" => {
                if settings.db.is_some_and(|db| db != 0) || !parts.path.trim_matches('0').is_empty()
                {
                    return Err(bad("a cluster has the database 0 alone"));
                }
                let nodes = parts.hosts(SERVER_PORT).map(|host| settings.server(&host, &parts));
                Self::Cluster(nodes.collect::<Result<_, _>>()?)
            }
            "sentinel" => settings.sentinels(&parts)?,
            _ => return Err(bad(SCHEMES)),
        };
        Ok((address, settings.trust))
    }

    /// Returns the hosts and ports, without the login.
    pub(super) fn shown(&self) -> String {
        let list = |infos: &[ConnectionInfo]| {
            infos.iter().map(|info| info.addr().to_string()).collect::<Vec<_>>().join(",")
        };
        match self {
            Self::Server(info) => info.addr().to_string(),
            Self::Sentinel { sentinels, master, .. } => {
                format!("{master} of the sentinels {}", list(sentinels))
            }
            Self::Cluster(nodes) => format!("the cluster of {}", list(nodes)),
        }
    }
}

/// Azure shows a list of options, which is that of a client for .NET.
const NO_SCHEME: &str =
    "it has no scheme: write host:6380,password=…,ssl=True as rediss://:…@host:6380";

const SCHEMES: &str = "its scheme is not one of redis, redis+sentinel, redis+cluster, redis+unix, and \
                       rediss with TLS";

/// The parameters of a URL, read.
struct Settings {
    is_encrypted: bool,
    /// `#insecure` stands for any certificate in the driver's URLs.
    fragment: &'static str,
    protocol: ProtocolVersion,
    db: Option<i64>,
    user: Option<String>,
    pass: Option<String>,
    sentinel_login: String,
    trust: Trust,
}

impl Settings {
    fn read(parts: &Parts<'_>, is_encrypted: bool) -> Result<Self, Error> {
        let mut settings = Self {
            is_encrypted,
            fragment: if parts.is_insecure { INSECURE } else { "" },
            protocol: ProtocolVersion::RESP3,
            db: None,
            user: None,
            pass: None,
            sentinel_login: parts.sentinel_login(),
            trust: Trust::default(),
        };
        let mut encryption = parts.is_insecure.then_some("#insecure");
        for parameter in Parameter::all(parts.query)? {
            if parameter.name.starts_with("ssl_") {
                encryption =
                    PARAMETERS.iter().find(|name| **name == parameter.name).copied().or(encryption);
            }
            settings.set(parameter)?;
        }
        match encryption.filter(|_| !is_encrypted) {
            Some(name) => Err(bad(&format!("{name} needs a URL that begins with rediss://"))),
            None => Ok(settings),
        }
    }

    fn set(&mut self, parameter: Parameter<'_>) -> Result<(), Error> {
        let value = parameter.value.as_str();
        match parameter.name {
            "protocol" => {
                // In RESP3 the driver reports a lost connection immediately; proxies may need RESP2.
                self.protocol = match value {
                    "2" | "resp2" => ProtocolVersion::RESP2,
                    "3" | "resp3" => ProtocolVersion::RESP3,
                    _ => return Err(parameter.unfit("2 or 3")),
                }
            }
            "db" => {
                let db = value.parse().ok().filter(|db| *db >= 0);
                self.db = Some(db.ok_or_else(|| parameter.unfit("the number of a database"))?);
            }
            "user" => self.user = Some(parameter.value),
            "pass" => self.pass = Some(parameter.value),
            // They are read with the URL. The driver tries every address of a host.
            "sentinel_username" | "sentinel_password" | "allowUsernameInURI" => {}
            "family" if matches!(value, "0" | "4" | "6") => {}
            "family" => return Err(parameter.unfit("0, 4 or 6")),
            "ssl_cert_reqs" => match value.trim_start_matches("CERT_") {
                "none" | "NONE" => self.fragment = INSECURE,
                "required" | "REQUIRED" => {}
                _ => return Err(parameter.unfit("required or none")),
            },
            #[cfg(feature = "tls")]
            "ssl_check_hostname" => match value {
                "true" | "True" => {}
                "false" | "False" => self.trust.accepts_other_names = true,
                _ => return Err(parameter.unfit("true or false")),
            },
            #[cfg(feature = "tls")]
            "ssl_ca_certs" => self.trust.authority = Some(parameter.file()?),
            #[cfg(feature = "tls")]
            "ssl_certfile" => self.trust.certificate = Some(parameter.file()?),
            #[cfg(feature = "tls")]
            "ssl_keyfile" => self.trust.key = Some(parameter.file()?),
            #[cfg(not(feature = "tls"))]
            "ssl_check_hostname" | "ssl_ca_certs" | "ssl_certfile" | "ssl_keyfile" => {}
            name => return Err(parameter.unknown(instead_of(name))),
        }
        Ok(())
    }

    fn scheme(&self) -> &'static str {
        if self.is_encrypted { "rediss" } else { "redis" }
    }

    /// Reads one server. Its database is that of the path or of the parameter.
    fn server(&self, host: &str, parts: &Parts<'_>) -> Result<ConnectionInfo, Error> {
        let Parts { login, path, .. } = parts;
        let info = self.info(&format!("{}://{login}{host}/{path}", self.scheme()))?;
        let db = info.redis_settings().db();
        if path.is_empty() || self.db == Some(db) {
            return Ok(self.with_db(info));
        }
        match self.db {
            Some(_) => Err(bad("the parameter db is not the database of the path")),
            None => Ok(info),
        }
    }

    fn socket(&self, parts: &Parts<'_>) -> Result<ConnectionInfo, Error> {
        if self.is_encrypted {
            return Err(bad("a socket of this machine has no TLS: use redis+unix://"));
        }
        let path = format!("/{}", parts.path);
        let mut info = self.info(&format!("redis+unix://{path}"))?;
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(pass) = &self.pass {
            settings = settings.set_password(pass);
        }
        info = info.set_redis_settings(settings);
        Ok(self.with_db(info))
    }

    fn sentinels(&self, parts: &Parts<'_>) -> Result<Address, Error> {
        if parts.path.is_empty() {
            return Err(bad("it lacks the name of the master, as in …/mymaster"));
        }
        let older = |info: ConnectionInfo| {
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
            info.set_redis_settings(settings)
        };
        let (scheme, login) = (self.scheme(), &self.sentinel_login);
        let sentinels = parts
            .hosts(SENTINEL_PORT)
            .map(|host| self.info(&format!("{scheme}://{login}{host}/")).map(older));
        // The sentinels name the master; this is its login.
        let server = self.info(&format!("{scheme}://{}localhost/", parts.login))?;
        Ok(Address::Sentinel {
            sentinels: sentinels.collect::<Result<_, _>>()?,
            master: parts.path.to_owned(),
            server: self.with_db(server),
        })
    }

    fn with_db(&self, info: ConnectionInfo) -> ConnectionInfo {
        let Some(db) = self.db else { return info };
        let settings = info.redis_settings().clone().set_db(db);
        info.set_redis_settings(settings)
    }

    fn info(&self, url: &str) -> Result<ConnectionInfo, Error> {
        let usable = |error: RedisError| error::of(error, Stage::Connecting);
        let info = format!("{url}{}", self.fragment).into_connection_info().map_err(usable)?;
        let settings = info.redis_settings().clone().set_protocol(self.protocol);
        Ok(info.set_redis_settings(settings))
    }
}

const INSECURE: &str = "#insecure";

/// The parts of a URL behind its scheme.
struct Parts<'a> {
    /// `user:password@`, or nothing.
    login: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
    is_insecure: bool,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, Error> {
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        if !["", "insecure"].contains(&fragment) {
            return Err(bad("behind # it has something else than insecure"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let at = rest.rfind('@').map_or(0, |at| at + 1);
        let (login, rest) = rest.split_at(at);
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_insecure = !fragment.is_empty();
        Ok(Self { login, hosts, path: path.trim_end_matches('/'), query, is_insecure })
    }

    /// Returns each host with its port.
    fn hosts(&self, port: u16) -> impl Iterator<Item = String> {
        self.hosts.split(',').map(move |host| {
            let behind = host.rsplit(']').next().unwrap_or(host);
            if behind.contains(':') { host.to_owned() } else { format!("{host}:{port}") }
        })
    }

    fn one_host(&self) -> Result<String, Error> {
        if self.hosts.is_empty() {
            return Err(bad("it has no host"));
        }
        self.hosts(SERVER_PORT).next().filter(|_| !self.hosts.contains(',')).ok_or_else(|| {
            bad("it has several hosts, which is for redis+cluster:// and redis+sentinel://")
        })
    }

    /// Returns the login of the sentinels as the driver's URLs have it, still encoded.
    fn sentinel_login(&self) -> String {
        let value = |name| query::pairs(self.query).find(|(key, _)| *key == name).map(|(_, it)| it);
        let name = value("sentinel_username").unwrap_or_default();
        match value("sentinel_password") {
            Some(password) => format!("{name}:{password}@"),
            None => String::new(),
        }
    }
}

/// The URL itself is not told: it may hold a password.
fn bad(why: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the URL is not that of a Redis: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Address::parse(url).unwrap().0.shown()
    }

    #[test]
    fn every_kind_of_address_is_read() {
        assert_eq!(shown("redis://127.0.0.1"), "127.0.0.1:6379");
        assert_eq!(shown("redis://user:pw@example.com:1/2"), "example.com:1");
        assert_eq!(shown("redis+unix:///run/redis.sock?db=1"), "/run/redis.sock");
        assert_eq!(shown("unix:///run/redis.sock"), "/run/redis.sock");
        assert_eq!(
            shown("redis+cluster://user:p%40w@a:1,b,[::1],[::1]:2/"),
            "the cluster of a:1,b:6379,::1:6379,::1:2"
        );
        assert_eq!(
            shown("redis+sentinel://a,b:1/mymaster?db=3"),
            "mymaster of the sentinels a:26379,b:1"
        );
    }

    #[test]
    fn sentinels_and_the_master_have_logins_of_their_own() {
        let url = "redis+sentinel://u:p%2Fw@a/m?db=3&sentinel_username=s&sentinel_password=q";
        let Address::Sentinel { sentinels, master, server } = Address::parse(url).unwrap().0 else {
            panic!("no sentinel")
        };
        assert_eq!(master, "m");
        let login = |info: &ConnectionInfo| {
            let redis = info.redis_settings();
            let text = |text: Option<&str>| text.map(str::to_owned);
            (text(redis.username()), text(redis.password()), redis.db())
        };
        assert_eq!(login(&server), (Some("u".into()), Some("p/w".into()), 3));
        assert_eq!(login(&sentinels[0]), (Some("s".into()), Some("q".into()), 0));
    }

    fn server(url: &str) -> ConnectionInfo {
        match Address::parse(url).unwrap().0 {
            Address::Server(info) => info,
            Address::Sentinel { .. } | Address::Cluster(_) => panic!("{url}"),
        }
    }

    #[test]
    fn newer_protocol_is_spoken_unless_the_url_asks_for_the_older() {
        let protocol = |url| server(url).redis_settings().protocol();
        assert_eq!(protocol("redis://a"), ProtocolVersion::RESP3);
        assert_eq!(protocol("redis://a?protocol=3"), ProtocolVersion::RESP3);
        assert_eq!(protocol("redis://a/0?db=0&protocol=2"), ProtocolVersion::RESP2);
        assert_eq!(protocol("redis://a?protocol=resp2"), ProtocolVersion::RESP2);
    }

    #[test]
    fn database_stands_in_the_path_or_in_the_parameter() {
        let db = |url| server(url).redis_settings().db();
        assert_eq!(db("redis://a/2"), 2);
        assert_eq!(db("redis://a?db=3"), 3);
        assert_eq!(db("redis://a/3?db=3&family=6&allowUsernameInURI=true"), 3);
        assert_eq!(db("redis+unix:///run/redis.sock?db=4&user=u&pass=p%40"), 4);
        assert!(Address::parse("redis://a/2?db=3").is_err());
    }

    #[cfg(feature = "tls")]
    #[test]
    fn scheme_that_asks_for_encryption_gets_it() {
        use ::redis::ConnectionAddr::TcpTls;
        for (url, expected) in [
            ("rediss://:pw@a:1", false),
            ("valkeys://default:pw@a:1", false),
            ("redis+tls://a", false),
            ("redis+ssl://a", false),
            ("rediss://a?ssl_cert_reqs=required", false),
            ("rediss://a?ssl_cert_reqs=none", true),
            ("rediss://a?ssl_cert_reqs=CERT_NONE", true),
            ("rediss://a#insecure", true),
        ] {
            let info = server(url);
            let TcpTls { insecure, .. } = info.addr() else { panic!("{url} is plain") };
            assert_eq!(*insecure, expected, "{url}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn public_authorities_are_trusted_where_a_certificate_is_verified_and_none_is_named() {
        for (url, expected) in [
            ("redis://a", false),
            ("redis+unix:///run/redis.sock", false),
            ("rediss://a", true),
            ("valkeys://a?ssl_check_hostname=false", true),
            ("redis+tls://a?ssl_ca_certs=/dev/null", false),
            ("rediss://a?ssl_cert_reqs=none", false),
            ("rediss+cluster://a,b", true),
            ("rediss+sentinel://a,b/m#insecure", false),
        ] {
            let (address, trust) = Address::parse(url).unwrap();
            assert_eq!(trust.trusts_public_authorities(&address), expected, "{url}");
        }
    }

    #[test]
    fn error_names_the_parameter_and_what_to_use_instead() {
        for (url, expected) in [
            ("redis://a?keyPrefix=x", "no parameter keyPrefix: use prefix"),
            ("redis://a?connectTimeout=1", "no parameter connectTimeout: use timeout"),
            ("redis://a?tls=true", "no parameter tls: use a URL that begins with rediss://"),
            ("rediss://a?skip_verify=1", "no parameter skip_verify: use ssl_cert_reqs=none"),
            ("redis://a?something=1", "no parameter something"),
            ("redis://a?family=5", "family of the URL is not 0, 4 or 6"),
            ("redis://a?db=x", "db of the URL is not"),
            (
                "redis://a?ssl_cert_reqs=none",
                "ssl_cert_reqs needs a URL that begins with rediss://",
            ),
            ("redis://a?ssl_ca_certs=/dev/null", "ssl_ca_certs needs"),
            ("redis://a#insecure", "#insecure needs"),
            ("rediss+unix:///run/redis.sock", "use redis+unix://"),
            ("redis-cluster://a", "write redis+cluster://"),
            ("a:6380,password=b,ssl=True", "as rediss://:…@host:6380"),
            ("redis://a,b", "several hosts"),
            ("redis+cluster://a/2", "a cluster has the database 0"),
        ] {
            let error = Address::parse(url).err().unwrap().to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn malformed_address_is_refused_without_showing_the_password() {
        for url in [
            "",
            "127.0.0.1",
            "http://hunter2@a",
            "redis+magic://:hunter2@a",
            "redis+cluster://:hunter2@",
            "redis+sentinel://:hunter2@a",
            "redis+sentinel://:hunter2@a/m?timeout=1",
            "redis+cluster://:hunter2@a/x",
            "redis://:hunter2@a:b",
            "redis://a?hunter2=1",
            "redis://a?db=hunter2",
            "redis://:a?hunter2@b",
            "rediss://:a#hunter2@b",
        ] {
            let error = Address::parse(url).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Other, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}: {error:?}");
        }
    }
}
