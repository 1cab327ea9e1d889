//! Starts real servers on loopback for the tests of stores: Redis (also as a cluster, and under
//! sentinels), PostgreSQL, MariaDB and Memcached.
//!
//! ```no_run
//! use express_session_testkit::servers;
//!
//! # fn test() {
//! // `None` if Redis is missing, unless the environment demands it.
//! let Some(redis) = servers::redis() else { return };
//! println!("listens at {}", redis.url());
//! redis.kill();
//! // … what does the store make of it?
//! redis.restart();
//! # }
//! ```
//!
//! Every server here follows these rules:
//!
//! 1. It listens on 127.0.0.1 only, at a port that was free, and keeps its files in a folder of its
//!    own below the system's temporary one.
//! 2. It is given away when it answers its own protocol: nothing waits for a fixed time.
//! 3. It ends, and its folder is removed, when its value is dropped, when the test panics, and when the
//!    process ends in whatever way. So a server in a `static` (`shared_redis` and so on) is safe.
//! 4. It is started again at the same port and, but for Memcached, with the data it had.
//!
//! # Missing servers
//!
//! A program that is not installed makes the test say what it leaves out, and pass. Under
//! `EXPRESS_SESSION_REQUIRE_SERVERS=1`, which `cargo xtask test` sets, it makes the test fail: see
//! [`required`]. [`DEBIAN_PACKAGES`] lists what to install on Debian.
//!
//! # Panics
//!
//! All that start a server panic where it is installed and does not come up, with the end of its log.

mod launch;
mod mariadb;
mod memcached;
mod port;
mod postgres;
mod probe;
mod program;
mod redis;
mod supervisor;
mod user;

use std::sync::OnceLock;

pub use mariadb::{MariaDb, mariadb};
pub use memcached::{Memcached, memcached};
pub use postgres::{Postgres, postgres};
pub use redis::{
    Redis, RedisCluster, RedisSentinel, redis, redis_cluster, redis_sentinel, redis_tls,
    redis_with_password,
};

/// The Debian packages that have the programs: with all of them, nothing is left out.
///
/// ```
/// use express_session_testkit::servers::DEBIAN_PACKAGES;
///
/// assert!(DEBIAN_PACKAGES.contains(&"memcached"));
/// ```
pub const DEBIAN_PACKAGES: &[&str] =
    &["mariadb-server", "memcached", "openssl", "postgresql", "redis-server"];

/// Returns whether a missing server is a failure: whether `EXPRESS_SESSION_REQUIRE_SERVERS` is `1`.
#[must_use]
pub fn required() -> bool {
    std::env::var_os("EXPRESS_SESSION_REQUIRE_SERVERS").is_some_and(|value| value == "1")
}

/// Reports that a test leaves something out, and why.
///
/// For tests that need something else than the servers of this module: a Node package, say.
///
/// # Panics
///
/// Where everything is [`required`].
pub fn left_out(what: &str, why: &str) {
    assert!(!required(), "{what} is required, but {why}");
    eprintln!("left out: {what} ({why})");
}

/// Returns this process's Redis, started at the first call.
#[must_use]
pub fn shared_redis() -> Option<&'static Redis> {
    static SHARED: OnceLock<Option<Redis>> = OnceLock::new();
    SHARED.get_or_init(redis).as_ref()
}

/// Returns this process's Redis cluster, started at the first call.
#[must_use]
pub fn shared_redis_cluster() -> Option<&'static RedisCluster> {
    static SHARED: OnceLock<Option<RedisCluster>> = OnceLock::new();
    SHARED.get_or_init(redis_cluster).as_ref()
}

/// Returns this process's PostgreSQL, started at the first call.
#[must_use]
pub fn shared_postgres() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(postgres).as_ref()
}

/// Returns this process's MariaDB, started at the first call.
#[must_use]
pub fn shared_mariadb() -> Option<&'static MariaDb> {
    static SHARED: OnceLock<Option<MariaDb>> = OnceLock::new();
    SHARED.get_or_init(mariadb).as_ref()
}

/// Returns this process's Memcached, started at the first call.
#[must_use]
pub fn shared_memcached() -> Option<&'static Memcached> {
    static SHARED: OnceLock<Option<Memcached>> = OnceLock::new();
    SHARED.get_or_init(memcached).as_ref()
}
