//! Reads the address of a server, of sentinels or of a cluster from a URL.

use ::redis::{ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisError};
use express_session_core::store::{Error, ErrorKind};

use super::error::{self, Stage};

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

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let Some((scheme, kind)) = scheme.split_once('+').filter(|(_, kind)| *kind != "unix")
        else {
            return Ok(Self::Server(info(url, protocol(url))?));
        };
        let parts = Parts::of(rest)?;
        match kind {
            "cluster" => {
                parts.expect_parameters(&["protocol"])?;
                let path = parts.path;
                let nodes = parts.hosts(SERVER_PORT).map(|host| {
                    info(&format!("{scheme}://{}{host}/{path}", parts.login), parts.protocol())
                });
                Ok(Self::Cluster(nodes.collect::<Result<_, _>>()?))
            }
            "sentinel" => {
                let known = ["db", "protocol", "sentinel_username", "sentinel_password"];
                parts.expect_parameters(&known)?;
                if parts.path.is_empty() {
                    return Err(bad("it lacks the name of the master, as in …/mymaster"));
                }
                let login = match parts.parameter("sentinel_password") {
                    Some(password) => {
                        let name = parts.parameter("sentinel_username").unwrap_or_default();
                        format!("{name}:{password}@")
                    }
                    None => String::new(),
                };
                let sentinels = parts
                    .hosts(SENTINEL_PORT)
                    .map(|host| info(&format!("{scheme}://{login}{host}"), ProtocolVersion::RESP2));
                let db = parts.parameter("db").unwrap_or("0");
                // The sentinels name the master; this is its login.
                let server = format!("{scheme}://{}localhost/{db}", parts.login);
                Ok(Self::Sentinel {
                    sentinels: sentinels.collect::<Result<_, _>>()?,
                    master: parts.path.to_owned(),
                    server: info(&server, parts.protocol())?,
                })
            }
            _ => Err(bad(
                "its scheme is not one of redis, redis+sentinel, redis+cluster, redis+unix",
            )),
        }
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

/// A URL with many hosts, behind its scheme.
struct Parts<'a> {
    /// `user:password@`, or nothing.
    login: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, Error> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let at = rest.rfind('@').map_or(0, |at| at + 1);
        let (login, rest) = rest.split_at(at);
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        if hosts.is_empty() {
            return Err(bad("it has no host"));
        }
        Ok(Self { login, hosts, path: path.trim_end_matches('/'), query })
    }

    /// Returns each host with its port.
    fn hosts(&self, port: u16) -> impl Iterator<Item = String> {
        self.hosts.split(',').map(move |host| {
            let behind = host.rsplit(']').next().unwrap_or(host);
            if behind.contains(':') { host.to_owned() } else { format!("{host}:{port}") }
        })
    }

    fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn expect_parameters(&self, known: &[&str]) -> Result<(), Error> {
        // The parameter itself may be a part of a password.
        let is_known = self.parameters().all(|(key, _)| known.contains(&key));
        if is_known { Ok(()) } else { Err(bad("it has a parameter that is not known")) }
    }

    fn protocol(&self) -> ProtocolVersion {
        protocol(&format!("?{}", self.query))
    }
}

/// Returns the protocol: RESP3, in which the driver reports a lost connection immediately, unless the URL asks
/// for RESP2, which proxies may need.
fn protocol(url: &str) -> ProtocolVersion {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let is_older = query.split('&').any(|pair| matches!(pair, "protocol=2" | "protocol=resp2"));
    if is_older { ProtocolVersion::RESP2 } else { ProtocolVersion::RESP3 }
}

fn info(url: &str, protocol: ProtocolVersion) -> Result<ConnectionInfo, Error> {
    let usable = |error: RedisError| error::of(error, Stage::Connecting);
    let info = url.into_connection_info().map_err(usable)?;
    let settings = info.redis_settings().clone().set_protocol(protocol);
    Ok(info.set_redis_settings(settings))
}

/// The URL itself is not told: it may hold a password.
fn bad(why: &str) -> Error {
    Error::new(ErrorKind::Other, format!("the URL is not that of a Redis: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Address::parse(url).unwrap().shown()
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
        let Address::Sentinel { sentinels, master, server } = Address::parse(url).unwrap() else {
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

    #[test]
    fn newer_protocol_is_spoken_unless_the_url_asks_for_the_older() {
        assert_eq!(protocol("redis://a"), ProtocolVersion::RESP3);
        assert_eq!(protocol("redis://a?protocol=3"), ProtocolVersion::RESP3);
        assert_eq!(protocol("redis://a/0?x=1&protocol=2#insecure"), ProtocolVersion::RESP2);
        assert_eq!(protocol("redis://a?protocol=resp2"), ProtocolVersion::RESP2);
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
        ] {
            let error = Address::parse(url).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Other, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}: {error:?}");
        }
    }
}
