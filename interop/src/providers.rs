//! Connection strings as the providers of servers hand them out.
//!
//! Each is played with ours and with the npm client, on a real server on loopback that stands for the provider's: the
//! host and the login are replaced, and its certificate is by an authority of its own.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use express_session::store::postgres::PostgresStore;
use express_session::store::postgres::deadpool_postgres::tokio_postgres::{NoTls, connect};
use express_session_testkit::{child, servers};
use tokio::process::Command;

use crate::report::Report;

/// A connection string, in which `HOST` stands for the server, and `CA` for the file of its authority.
struct Row {
    provider: &'static str,
    url: &'static str,
    /// Whether the connection is encrypted: with ours, and with the npm client, if that takes the URL.
    is_encrypted: bool,
    npm: Npm,
}

/// The npm client's reading of a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Npm {
    /// The same as ours.
    Alike,
    /// It needs an option beside the URL.
    Other,
}

const POSTGRES: &[Row] = &[
    row("Heroku", "postgres://encrypted:pw@HOST/postgres?sslmode=no-verify", true),
    row("Heroku, with ssl", "postgres://encrypted:pw@HOST/postgres?ssl=true", true),
    row(
        "Neon",
        "postgresql://scram:pw@HOST/postgres?sslmode=require&channel_binding=require",
        true,
    ),
    row(
        "Neon, options",
        "postgres://scram:pw@HOST/postgres?sslmode=require&options=-c%20geqo%3Doff",
        true,
    ),
    row("Supabase", "postgresql://postgres:pw@HOST/postgres", false),
    row(
        "Supabase, pooler",
        "postgres://encrypted:pw@HOST/postgres?pgbouncer=true&sslmode=require",
        true,
    ),
    row("RDS", "postgres://encrypted:pw@HOST/postgres?sslmode=verify-full&sslrootcert=CA", true),
    row("Azure", "postgres://encrypted:pw@HOST/postgres?sslmode=require", true),
    row("DigitalOcean", "postgresql://encrypted:pw@HOST/postgres?sslmode=require", true),
    row("Aiven", "postgres://scram:pw@HOST/postgres?sslmode=require", true),
    row("Cockroach", "postgresql://encrypted:pw@HOST/postgres?sslmode=verify-full", true),
    row("Fly", "postgres://postgres:pw@HOST/postgres?sslmode=disable", false),
    row("Prisma", "postgresql://postgres:pw@HOST/postgres?schema=public&connection_limit=5", false),
    row("libpq's default", "postgres://encrypted:pw@HOST/postgres?sslmode=prefer", true),
    Row {
        npm: Npm::Other,
        ..row("Prisma, with TLS", "postgres://encrypted:pw@HOST/postgres?sslaccept=strict", true)
    },
];

const fn row(provider: &'static str, url: &'static str, is_encrypted: bool) -> Row {
    Row { provider, url, is_encrypted, npm: Npm::Alike }
}

/// Plays every row.
pub(crate) async fn play(report: &mut Report<impl io::Write>) -> Result<()> {
    let Some(server) = servers::postgres_tls() else {
        return Ok(report.left_out("providers", "PostgreSQL", "it is not installed")?);
    };
    prepare(&server.url()).await?;
    report.store("providers", "PostgreSQL", "with TLS")?;
    let host = format!("127.0.0.1:{}", server.port());
    for row in POSTGRES {
        let place = Place { host: &host, authority: server.ca_path() };
        report.case(row.provider, &play_one(row, &place).await)?;
    }
    Ok(())
}

/// Creates the roles. The server lets `encrypted` and `scram` in with TLS only.
async fn prepare(url: &str) -> Result<()> {
    let (client, connection) = connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    client
        .batch_execute(
            "CREATE ROLE encrypted LOGIN SUPERUSER; CREATE ROLE scram LOGIN SUPERUSER PASSWORD 'pw'",
        )
        .await?;
    drop(client);
    Ok(connection.await??)
}

struct Place<'a> {
    host: &'a str,
    authority: PathBuf,
}

async fn play_one(row: &Row, place: &Place<'_>) -> Result<()> {
    let authority = place.authority.to_str().context("the path is not UTF-8")?;
    let url = row.url.replace("HOST", place.host).replace("CA", authority);
    ours(row, &url, authority).await.context("ours")?;
    if row.npm == Npm::Alike {
        npm("pg", row, &url, authority).await.context("npm")?;
    }
    Ok(())
}

/// Connects with the authority, and, if the URL demands a trusted certificate, fails without. The server does not let the
/// role of an encrypted row in without TLS.
async fn ours(row: &Row, url: &str, authority: &str) -> Result<()> {
    let named = format!("sslrootcert={authority}");
    let (without, with) = if url.contains(&named) {
        (url.replace(&format!("&{named}"), ""), url.to_owned())
    } else {
        let separator = if url.contains('?') { '&' } else { '?' };
        (url.to_owned(), format!("{url}{separator}{named}"))
    };
    if row.is_encrypted && !row.url.contains("no-verify") {
        ensure!(PostgresStore::connect(&without).await.is_err(), "any certificate will do");
    }
    let url = if row.is_encrypted { with } else { without };
    PostgresStore::connect(&url).await.map(drop).map_err(|error| anyhow!("{error:?}"))
}

async fn npm(client: &str, row: &Row, url: &str, authority: &str) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let mut node = Command::from(child::node(&folder, "`cargo xtask interop`")?);
    node.args(["providers.mjs", client, url]).env("NODE_EXTRA_CA_CERTS", authority);
    let output = node.output().await?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        told.lines().find(|line| line.contains("rror")).unwrap_or_default()
    );
    let expected: &[u8] = if row.is_encrypted { b"encrypted" } else { b"plain" };
    ensure!(output.stdout == expected, "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
