mod cluster;
mod node;
mod resp;
mod sentinel;
pub(super) mod tls;

use super::launch::{Server, demand};
use super::program;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use cluster::{RedisCluster, redis_cluster, valkey_cluster};
pub use sentinel::{RedisSentinel, redis_sentinel};

/// One Redis.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    url: String,
}

/// Starts a Redis. Its data survives [`kill`](Redis::kill).
#[must_use]
pub fn redis() -> Option<Redis> {
    start("Redis", "redis-server")
}

/// Starts a Valkey, which has commands that Redis 7 lacks, such as `SET … IFEQ`. Its data survives
/// [`kill`](Redis::kill).
#[must_use]
pub fn valkey() -> Option<Redis> {
    start("Valkey", "valkey-server")
}

fn start(name: &str, program: &str) -> Option<Redis> {
    let [program] = program::find_all(name, [program])?;
    let server = Server::start(|folder, port| Ok(node::launch(&program, folder, port, None, &[])));
    let server = demand(name, server);
    Some(Redis { url: format!("redis://127.0.0.1:{}", server.port()), server })
}

/// Starts a Redis that demands a password, which must be fit for a URL as it is.
#[must_use]
pub fn redis_with_password(password: &str) -> Option<Redis> {
    let [program] = program::find_all("Redis with a password", ["redis-server"])?;
    let server =
        Server::start(|folder, port| Ok(node::launch(&program, folder, port, Some(password), &[])));
    let server = demand("Redis with a password", server);
    Some(Redis { url: format!("redis://:{password}@127.0.0.1:{}", server.port()), server })
}

/// Starts a Redis with TLS, whose certificate for `127.0.0.1` and `localhost` is signed by the
/// authority at [`ca_path`](Redis::ca_path).
#[must_use]
pub fn redis_tls() -> Option<Redis> {
    let [program, openssl] = program::find_all("Redis with TLS", ["redis-server", "openssl"])?;
    let server = Server::start(|folder, port| {
        tls::certify(&openssl, folder)?;
        // The probe speaks no TLS: there is a second port for it.
        let probe = super::port::free()?;
        let mut settings = words(&format!("--tls-port {port} --tls-auth-clients no"));
        for (option, file) in
            [("ca-cert", tls::AUTHORITY), ("cert", tls::CERTIFICATE), ("key", tls::KEY)]
        {
            settings.extend([format!("--tls-{option}-file").into(), folder.join(file).into()]);
        }
        Ok(node::launch(&program, folder, probe, None, &settings))
    });
    let server = demand("Redis with TLS", server);
    Some(Redis { url: format!("rediss://127.0.0.1:{}", server.port()), server })
}

impl Redis {
    /// Returns its address as `redis://127.0.0.1:PORT`, with the password if it demands one, and as
    /// `rediss://…` if it speaks TLS.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the file with the certificate of the authority that a client is to trust. There is one
    /// only with TLS.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.server.folder().join(tls::AUTHORITY)
    }

    /// Returns the files with a certificate of that authority and its key, for the server and for clients.
    #[must_use]
    pub fn certificate_paths(&self) -> [PathBuf; 2] {
        [tls::CERTIFICATE, tls::KEY].map(|file| self.server.folder().join(file))
    }
}

process_of!(Redis, server, "Starts it again at the same port with its data.");

/// A node for a group of servers: the groups speak to each other without passwords.
fn start_node(program: &Path, settings: &str) -> Result<Server, String> {
    Server::start(|folder, port| Ok(node::launch(program, folder, port, None, &words(settings))))
}

fn words(text: &str) -> Vec<OsString> {
    text.split(' ').map(OsString::from).collect()
}
