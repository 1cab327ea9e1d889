//! The check that no pooler is in between.
//!
//! A pooler by transaction, such as PgBouncer, gives the next statement to another connection of its own, which does not
//! know the name of a prepared statement, or knows it for another process's. The server knows the address at which its
//! client reached it. If that is an address of the configuration, the client is this process; if a pooler, a proxy or a
//! network with translated addresses is in between, it is theirs to the server. A Unix socket has no address, and counts
//! as indirect.

use std::net::IpAddr;

use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config};

/// Asks the server for its address, and compares it with those of the configuration.
pub(super) async fn is_direct(client: &Client, config: &Config) -> bool {
    match server_of(client).await {
        Some(server) => leads_to(config, server).await,
        None => false,
    }
}

/// Returns the address at which the server was reached. An error of the query is no reason not to use the connection.
async fn server_of(client: &Client) -> Option<(IpAddr, u16)> {
    let sql = "SELECT host(inet_server_addr()), inet_server_port()";
    let rows = client.query_typed(sql, &[]).await.ok()?;
    let row = rows.first()?;
    let address: Option<&str> = row.try_get(0).ok()?;
    let port: Option<i32> = row.try_get(1).ok()?;
    Some((address?.parse().ok()?, port?.try_into().ok()?))
}

async fn leads_to(config: &Config, (server, server_port): (IpAddr, u16)) -> bool {
    let ports = config.get_ports();
    for (index, host) in config.get_hosts().iter().enumerate() {
        // As the driver has it: one port is that of every host.
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        if port != server_port {
            continue;
        }
        let found = match (config.get_hostaddrs().get(index), host) {
            (Some(address), _) => *address == server,
            (None, Host::Tcp(name)) => match tokio::net::lookup_host((name.as_str(), port)).await {
                Ok(mut addresses) => addresses.any(|address| address.ip() == server),
                Err(_) => false,
            },
            #[cfg(unix)]
            (None, Host::Unix(_)) => false,
        };
        if found {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn server_is_at_an_address_of_the_configuration() {
        let local: IpAddr = [127, 0, 0, 1].into();
        for (config, port, expected) in [
            ("host=127.0.0.1", 5432, true),
            ("host=127.0.0.1", 5433, false),
            ("host=127.0.0.1 port=5433", 5433, true),
            ("host=127.0.0.2", 5432, false),
            ("host=localhost", 5432, true),
            ("host=db.invalid", 5432, false),
            ("host=db.invalid hostaddr=127.0.0.1", 5432, true),
            ("host=127.0.0.1 hostaddr=127.0.0.2", 5432, false),
            ("host=127.0.0.2,127.0.0.1 port=1,2", 2, true),
            ("host=127.0.0.2,127.0.0.1 port=1,2", 1, false),
            ("host=127.0.0.2,127.0.0.1 port=7", 7, true),
            ("host=/run/postgresql", 5432, false),
        ] {
            let parsed = config.parse().unwrap();
            assert_eq!(leads_to(&parsed, (local, port)).await, expected, "{config} {port}");
        }
    }
}
