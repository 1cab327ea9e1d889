//! Connection strings as the providers of servers hand them out.
//!
//! Each is played with ours and with the npm client, on a real server on loopback that stands for the provider's: the
//! host and the login are replaced, and its certificate is by an authority of its own.

use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use express_session_testkit::child;
use tokio::process::Command;

use self::place::Place;
use self::rows::{Family, Npm, Ours, Row};
use crate::report::Report;

mod place;
mod rows;

/// Plays every row.
pub(crate) async fn play(report: &mut Report<impl io::Write>) -> Result<()> {
    play_family(&rows::POSTGRES, place::postgres().await?, report).await?;
    play_family(&rows::MYSQL, place::mysql().await?, report).await?;
    play_family(&rows::REDIS, place::redis().await?, report).await
}

async fn play_family(
    family: &Family,
    place: Option<Place>,
    report: &mut Report<impl io::Write>,
) -> Result<()> {
    let Some(place) = place else {
        return Ok(report.left_out("providers", family.name, "it is not installed")?);
    };
    report.store("providers", family.name, "with TLS")?;
    for row in family.rows {
        report.case(row.provider, &play_row(family, row, &place).await)?;
    }
    Ok(())
}

async fn play_row(family: &Family, row: &Row, place: &Place) -> Result<()> {
    ours(family, row, place).await.context("ours")?;
    npm(family, row, place).await.context(family.npm)
}

/// Connects as the row says. A URL that demands a trusted certificate has to fail without the authority. The server does
/// not let the login of an encrypted row in without TLS.
async fn ours(family: &Family, row: &Row, place: &Place) -> Result<()> {
    let url = place.url(row);
    match row.ours {
        Ours::Plain | Ours::Encrypted => connect(&url).await,
        Ours::Refused(advice) => refused(&url, advice).await,
        Ours::Verified => {
            let (without, with) = without_and_with(family.authority, &place.authority, &url);
            refused(&without, "not trusted").await?;
            connect(&with).await
        }
    }
}

/// Returns a URL without its authority, and with it.
fn without_and_with(parameter: &str, authority: &str, url: &str) -> (String, String) {
    let (server, query) = url.split_once('?').unwrap_or((url, ""));
    let value = format!("={authority}");
    let is_other = |pair: &&str| !pair.is_empty() && !pair.ends_with(&value);
    let mut pairs: Vec<_> = query.split('&').filter(is_other).collect();
    let without = format!("{server}?{}", pairs.join("&"));
    if url.contains(&value) {
        return (without, url.to_owned());
    }
    let named = format!("{parameter}{value}");
    pairs.push(&named);
    (without, format!("{server}?{}", pairs.join("&")))
}

async fn connect(url: &str) -> Result<()> {
    Ok(express_session::connect(url).await.map(drop)?)
}

async fn refused(url: &str, why: &str) -> Result<()> {
    let error = connect(url).await.err().ok_or_else(|| anyhow!("connects, but {why}"))?;
    let told = format!("{error:#}");
    ensure!(told.contains(why), "another error than {why}: {told}");
    Ok(())
}

/// Connects with the npm client, which trusts the authority only where ours has to.
async fn npm(family: &Family, row: &Row, place: &Place) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let mut node = Command::from(child::node(&folder, "`cargo xtask interop`")?);
    node.args(["providers.mjs", family.npm, &place.url(row)]);
    match row.ours {
        Ours::Verified => node.env("NODE_EXTRA_CA_CERTS", &place.authority),
        Ours::Plain | Ours::Encrypted | Ours::Refused(_) => node.env_remove("NODE_EXTRA_CA_CERTS"),
    };
    let output = node.output().await?;
    if row.npm == Npm::Fails {
        ensure!(!output.status.success(), "it connects, and the row says that it fails");
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        told.lines().find(|line| line.contains("rror")).unwrap_or_default()
    );
    let expected: &[u8] = if row.ours == Ours::Plain { b"plain" } else { b"encrypted" };
    ensure!(output.stdout == expected, "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
