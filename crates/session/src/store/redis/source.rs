//! Makes connections to a server, to the master that sentinels name, or to a cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::cluster::ClusterClient;
use ::redis::io::tcp::TcpSettings;
use ::redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ProtocolVersion, PushInfo,
    PushKind, RedisResult, TlsMode,
};

#[cfg(feature = "tls")]
use express_session_core::store::{Error, ErrorKind};

#[cfg(feature = "tls")]
use super::super::query::holds;
use super::address::Address;
use super::connection::Connection;

/// Where new connections come from.
pub(super) enum Source {
    /// From the application, which looks after it.
    Given(Connection),
    Server(Box<Client>),
    Sentinel {
        sentinels: Box<Sentinels>,
        protocol: ProtocolVersion,
    },
    Cluster {
        client: Box<ClusterClient>,
        /// One of its nodes, for how to log in to any other.
        node: Box<Client>,
    },
}

/// Sentinels, of which several attempts to connect can ask at the same time.
pub(super) struct Sentinels {
    client: Box<dyn Fn() -> RedisResult<SentinelClient> + Send + Sync>,
    /// The one that was used last. It keeps its connections to the sentinels.
    idle: Mutex<Option<SentinelClient>>,
}

/// Certificates instead of those that every client trusts, as PEM.
#[derive(Clone, Default)]
pub(super) struct Trust {
    #[cfg(feature = "tls")]
    pub(super) authority: Option<Vec<u8>>,
    #[cfg(feature = "tls")]
    pub(super) certificate: Option<Vec<u8>>,
    #[cfg(feature = "tls")]
    pub(super) key: Option<Vec<u8>>,
    /// Whether a certificate may be for another host.
    #[cfg(feature = "tls")]
    pub(super) accepts_other_names: bool,
}

/// The most that connecting to one server may take, handshakes and login included; the driver's own
/// default.
const CONNECTING: Duration = Duration::from_secs(1);
/// After so long without a sign of the other side, a connection is given up.
const SILENCE: Duration = Duration::from_secs(5);

impl Source {
    pub(super) fn new(address: Address, trust: &Trust) -> RedisResult<Self> {
        #[cfg(feature = "tls")]
        choose_cryptography();
        Ok(match address {
            Address::Server(info) => Self::Server(Box::new(trust.client(info)?)),
            Address::Sentinel { sentinels, master, server } => {
                let protocol = server.redis_settings().protocol();
                let trust = trust.clone();
                let client = move || trust.sentinel(&sentinels, &master, &server);
                Self::Sentinel { sentinels: Box::new(Sentinels::new(client)?), protocol }
            }
            Address::Cluster(nodes) => {
                let Some(first) = nodes.first().cloned() else {
                    return Err((::redis::ErrorKind::InvalidClientConfig, "no node").into());
                };
                Self::Cluster {
                    client: Box::new(trust.cluster(nodes)?),
                    node: Box::new(trust.client(first)?),
                }
            }
        })
    }

    pub(super) fn is_cluster(&self) -> bool {
        match self {
            Self::Given(connection) => connection.is_cluster(),
            Self::Server(_) | Self::Sentinel { .. } => false,
            Self::Cluster { .. } => true,
        }
    }

    /// Returns whether each connection is new, and its own.
    pub(super) fn makes_connections(&self) -> bool {
        matches!(self, Self::Server(_) | Self::Sentinel { .. })
    }

    /// Connects. `is_lost` becomes true when the driver sees the connection end, also while nothing is
    /// asked.
    pub(super) async fn connect(&self, is_lost: &Arc<AtomicBool>) -> RedisResult<Connection> {
        Ok(match self {
            Self::Given(connection) => connection.clone(),
            Self::Server(client) => connect(client, is_lost).await?.into(),
            Self::Sentinel { sentinels, protocol } => {
                sentinels.connect(&config(*protocol, is_lost)).await?.into()
            }
            Self::Cluster { client, .. } => client.get_async_connection().await?.into(),
        })
    }

    /// Makes a client of one node of the cluster, if it is known how to log in there.
    pub(super) fn node(&self, host: String, port: u16) -> Option<RedisResult<Client>> {
        let node = match self {
            Self::Cluster { node, .. } => node.get_connection_info(),
            Self::Given(_) | Self::Server(_) | Self::Sentinel { .. } => return None,
        };
        let address = if let ConnectionAddr::TcpTls { insecure, tls_params, .. } = node.addr() {
            let (insecure, tls_params) = (*insecure, tls_params.clone());
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        Some(Client::open(node.clone().set_addr(address)))
    }
}

impl Sentinels {
    fn new(
        client: impl Fn() -> RedisResult<SentinelClient> + Send + Sync + 'static,
    ) -> RedisResult<Self> {
        let idle = Mutex::new(Some(client()?));
        Ok(Self { client: Box::new(client), idle })
    }

    async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut client = idle.map_or_else(&self.client, Ok)?;
        let connection = client.get_async_connection_with_config(config).await?;
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
        Ok(connection)
    }
}

/// Makes one connection.
pub(super) async fn connect(
    client: &Client,
    is_lost: &Arc<AtomicBool>,
) -> RedisResult<MultiplexedConnection> {
    let config = config(client.get_connection_info().redis_settings().protocol(), is_lost);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn config(protocol: ProtocolVersion, is_lost: &Arc<AtomicBool>) -> AsyncConnectionConfig {
    // How long an answer is waited for is the caller's affair.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECTING))
        .set_response_timeout(None);
    if !protocol.supports_resp3() {
        return config;
    }
    let is_lost = Arc::clone(is_lost);
    config.set_push_sender(move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            is_lost.store(true, Ordering::Relaxed);
        }
        Ok::<(), ::redis::aio::SendError>(())
    })
}

#[cfg(feature = "tls")]
impl Trust {
    /// Adds the certificates that the application has given, in place of those of the URL.
    pub(super) fn give(&mut self, given: ::redis::TlsCertificates) {
        self.authority = given.root_cert.or_else(|| self.authority.take());
        if let Some(client) = given.client_tls {
            (self.certificate, self.key) = (Some(client.client_cert), Some(client.client_key));
        }
    }

    /// Checks what the driver would pass over: certificates without encryption, or a file without a certificate.
    pub(super) fn check(&self, address: &Address) -> Result<(), Error> {
        let is_plain = match address {
            Address::Server(info) | Address::Sentinel { server: info, .. } => !is_encrypted(info),
            Address::Cluster(nodes) => !nodes.iter().all(is_encrypted),
        };
        let has_any = self.authority.is_some() || self.certificate.is_some() || self.key.is_some();
        let is_sentinel = matches!(address, Address::Sentinel { .. });
        let fault = match self {
            _ if is_plain && has_any => "certificates need a URL that begins with rediss://",
            _ if is_sentinel && self.accepts_other_names => {
                "ssl_check_hostname=false is not for sentinels: use ssl_cert_reqs=none"
            }
            Self { authority: Some(pem), .. } if !holds(pem, "CERTIFICATE") => {
                "the authority, ssl_ca_certs or ca, is no certificate in PEM"
            }
            Self { certificate: Some(_), key: None, .. }
            | Self { certificate: None, key: Some(_), .. } => {
                "a client certificate, ssl_certfile or cert, and its key, ssl_keyfile or key, need each other"
            }
            Self { certificate: Some(pem), .. } if !holds(pem, "CERTIFICATE") => {
                "the client certificate, ssl_certfile or cert, is no certificate in PEM"
            }
            Self { key: Some(pem), .. } if !holds(pem, "PRIVATE KEY") => {
                "the key of the client certificate, ssl_keyfile or key, is no private key in PEM"
            }
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Other, fault))
    }

    /// Returns whether certificates are verified, and no parameter says by which authority.
    pub(super) fn trusts_public_authorities(&self, address: &Address) -> bool {
        let info = match address {
            Address::Server(info) | Address::Sentinel { server: info, .. } => Some(info),
            Address::Cluster(nodes) => nodes.first(),
        };
        let address = info.map(ConnectionInfo::addr);
        let is_verified = matches!(address, Some(ConnectionAddr::TcpTls { insecure: false, .. }));
        is_verified && self.authority.is_none()
    }

    fn certificates(&self) -> Option<::redis::TlsCertificates> {
        let client_tls = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(::redis::ClientTlsConfig {
                client_cert: certificate.clone(),
                client_key: key.clone(),
            }),
            _ => None,
        };
        let root_cert = self.authority.clone();
        (client_tls.is_some() || root_cert.is_some())
            .then_some(::redis::TlsCertificates { client_tls, root_cert })
    }
}

#[cfg(feature = "tls")]
fn is_encrypted(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

impl Trust {
    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        let info = info.set_tcp_settings(tcp());
        #[cfg(feature = "tls")]
        {
            let client = match self.certificates() {
                Some(certificates) => Client::build_with_tls(info, certificates)?,
                None => Client::open(info)?,
            };
            if !self.accepts_other_names {
                return Ok(client);
            }
            let info = client.get_connection_info().clone();
            let mut address = info.addr().clone();
            address.set_danger_accept_invalid_hostnames(true);
            Client::open(info.set_addr(address))
        }
        #[cfg(not(feature = "tls"))]
        Client::open(info)
    }

    fn sentinel(
        &self,
        sentinels: &[ConnectionInfo],
        master: &str,
        server: &ConnectionInfo,
    ) -> RedisResult<SentinelClient> {
        let addresses = sentinels.iter().map(|info| info.addr().clone());
        let settings = server.redis_settings();
        let mut builder =
            SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
                .set_client_to_sentinel_tcp_settings(tcp())
                .set_client_to_redis_tcp_settings(tcp())
                .set_client_to_redis_db(settings.db())
                .set_client_to_redis_protocol(settings.protocol());
        if let ConnectionAddr::TcpTls { insecure, .. } = server.addr() {
            let mode = if *insecure { TlsMode::Insecure } else { TlsMode::Secure };
            builder = builder.set_client_to_redis_tls_mode(mode);
        }
        if let Some(name) = settings.username() {
            builder = builder.set_client_to_redis_username(name);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        // They have the same login, which stands in the URL once.
        let login = sentinels.first().map(ConnectionInfo::redis_settings);
        if let Some(name) = login.and_then(|login| login.username()) {
            builder = builder.set_client_to_sentinel_username(name);
        }
        if let Some(password) = login.and_then(|login| login.password()) {
            builder = builder.set_client_to_sentinel_password(password);
        }
        #[cfg(feature = "tls")]
        if let Some(certificates) = self.certificates() {
            builder = builder
                .set_client_to_sentinel_certificates(certificates.clone())
                .set_client_to_redis_certificates(certificates);
        }
        builder.build()
    }

    fn cluster(&self, nodes: Vec<ConnectionInfo>) -> RedisResult<ClusterClient> {
        let builder = ClusterClient::builder(nodes)
            // The driver repeats nothing: it does not know which calls may be made twice.
            .retries(0)
            .connection_timeout(CONNECTING)
            // The driver asks for the slots by itself, and lets all calls wait for the answer.
            .response_timeout(SILENCE)
            .overall_response_timeout(None)
            .tcp_settings(tcp());
        #[cfg(feature = "tls")]
        let builder = match self.certificates() {
            Some(certificates) => builder.certs(certificates),
            None => builder,
        }
        .danger_accept_invalid_hostnames(self.accepts_other_names);
        builder.build()
    }
}

/// Takes a cryptography where the application has chosen none, without which TLS panics.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Where another was faster, it is that one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn tcp() -> TcpSettings {
    // A command is one write, and must not wait for the acknowledgement of the one before.
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let settings = settings.set_user_timeout(SILENCE);
    settings
}
