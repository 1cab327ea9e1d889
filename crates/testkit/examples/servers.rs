//! Runs a program with real servers on loopback, whose addresses are in its environment.
//!
//! ```text
//! cargo run -p express-session-testkit --features servers --example servers -- npm test
//! ```
//!
//! `SESSION_TEST_REDIS`, `SESSION_TEST_POSTGRES`, `SESSION_TEST_MYSQL` and `SESSION_TEST_MEMCACHED` are URLs.
//! `SESSION_TEST_REDIS_TLS`, `SESSION_TEST_MYSQL_TLS` and `SESSION_TEST_POSTGRES_TLS` are servers with an authority of their own, whose file the
//! URL names. A server that is not installed has none, unless all are required. This program exits with the exit code of that
//! program, and stops the servers.

use std::io;
use std::process::{Command, ExitCode};

use express_session_testkit::servers;

fn main() -> io::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: servers PROGRAM [ARGUMENT]…");
        return Ok(ExitCode::from(2));
    };
    let urls = [
        ("SESSION_TEST_REDIS", servers::shared_redis().map(|server| server.url().to_owned())),
        ("SESSION_TEST_POSTGRES", servers::shared_postgres().map(|server| server.url())),
        ("SESSION_TEST_MYSQL", servers::shared_mariadb().map(|server| server.url())),
        ("SESSION_TEST_MEMCACHED", servers::shared_memcached().map(|server| server.url())),
    ];
    let (redis, mysql) = (servers::redis_tls(), servers::mariadb_tls());
    let postgres = servers::postgres_tls();
    let encrypted = [
        (
            "SESSION_TEST_REDIS_TLS",
            redis
                .as_ref()
                .map(|it| format!("{}?ssl_ca_certs={}", it.url(), it.ca_path().display())),
        ),
        (
            "SESSION_TEST_MYSQL_TLS",
            mysql.as_ref().map(|it| format!("{}?ssl-ca={}", it.url(), it.ca_path().display())),
        ),
        (
            "SESSION_TEST_POSTGRES_TLS",
            postgres
                .as_ref()
                .map(|it| format!("{}?sslrootcert={}", it.url(), it.ca_path().display())),
        ),
    ];
    let mut command = Command::new(program);
    command.args(arguments);
    let urls = urls.into_iter().chain(encrypted);
    command.envs(urls.filter_map(|(name, url)| Some((name, url?))));
    let status = command.status()?;
    // Ended by a signal, it has no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}
