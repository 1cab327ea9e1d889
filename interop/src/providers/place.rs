//! The servers that stand for those of the providers, with their logins.

use std::any::Any;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use express_session::store::mysql::mysql_async::{Conn, Opts, prelude::Queryable as _};
use express_session::store::postgres::deadpool_postgres::tokio_postgres::{self, NoTls};
use express_session::store::redis::redis::{Client, TlsCertificates, cmd};
use express_session_testkit::servers;

use super::rows::{Ours, Row};

/// The servers of one family.
pub(super) struct Place {
    /// Host and port, where connections are encrypted and where they are not.
    encrypted: String,
    plain: String,
    /// Host and port of a server that demands no login.
    open: String,
    socket: String,
    /// The file of the authority that has signed the server's certificate.
    pub(super) authority: String,
    _running: Box<dyn Any>,
}

impl Place {
    /// Returns the URL of a row, at these servers.
    pub(super) fn url(&self, row: &Row) -> String {
        let host = match row.ours {
            Ours::Plain => &self.plain,
            Ours::Encrypted | Ours::Verified | Ours::Refused(_) => &self.encrypted,
        };
        let url = row.url.replace("HOST", host).replace("OPEN", &self.open);
        url.replace("SOCKET", &self.socket).replace("=CA", &format!("={}", self.authority))
    }
}

/// Starts a server that speaks both. It lets `encrypted` and `scram` in with TLS only.
pub(super) async fn postgres() -> Result<Option<Place>> {
    let Some(server) = servers::postgres_tls() else { return Ok(None) };
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
    let connection = tokio::spawn(connection);
    client
        .batch_execute(
            "CREATE ROLE encrypted LOGIN SUPERUSER; CREATE ROLE scram LOGIN SUPERUSER PASSWORD 'pw';
             CREATE TABLE session (sid varchar PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL)",
        )
        .await?;
    drop(client);
    connection.await??;
    let host = format!("127.0.0.1:{}", server.port());
    Ok(Some(Place {
        encrypted: host.clone(),
        plain: host.clone(),
        open: host,
        socket: String::new(),
        authority: text(&server.ca_path())?,
        _running: Box::new(server),
    }))
}

/// Starts a server that speaks both. It lets `encrypted` in with TLS only.
pub(super) async fn mysql() -> Result<Option<Place>> {
    let Some(server) = servers::mariadb_tls() else { return Ok(None) };
    let mut root = Conn::new(Opts::from_url(&server.url())?).await?;
    for (user, demands) in [("encrypted", "SSL"), ("plain", "NONE")] {
        let user = format!("{user}@'127.0.0.1'");
        root.query_drop(format!("CREATE USER {user} IDENTIFIED BY 'pw' REQUIRE {demands}")).await?;
        root.query_drop(format!("GRANT ALL ON test.* TO {user}")).await?;
    }
    root.disconnect().await?;
    let host = format!("127.0.0.1:{}", server.port());
    Ok(Some(Place {
        encrypted: host.clone(),
        plain: host.clone(),
        open: host,
        socket: text(&server.socket_path())?,
        authority: text(&server.ca_path())?,
        _running: Box::new(server),
    }))
}

/// Starts a server that speaks TLS, one that does not, and one without a password, which speaks no TLS either.
pub(super) async fn redis() -> Result<Option<Place>> {
    let (Some(encrypted), Some(plain), Some(open)) =
        (servers::redis_tls(), servers::redis_with_password("pw"), servers::redis())
    else {
        return Ok(None);
    };
    let root_cert = Some(fs::read(encrypted.ca_path())?);
    let certificates = TlsCertificates { client_tls: None, root_cert };
    let client = Client::build_with_tls(encrypted.url(), certificates)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    for login in ["SETUSER user on >pw ~* &* +@all", "SETUSER default resetpass >pw"] {
        let words: Vec<_> = login.split(' ').collect();
        cmd("ACL").arg(words).exec_async(&mut connection).await?;
    }
    Ok(Some(Place {
        encrypted: format!("127.0.0.1:{}", encrypted.port()),
        plain: format!("127.0.0.1:{}", plain.port()),
        open: format!("127.0.0.1:{}", open.port()),
        socket: String::new(),
        authority: text(&encrypted.ca_path())?,
        _running: Box::new([encrypted, plain, open]),
    }))
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("the path is not UTF-8")?.to_owned())
}
