//! Where sessions are kept between requests: the port that every store implements, and the stores
//! that come with this crate.
//!
//! | store | where records live | for |
//! |---|---|---|
//! | [`memory::MemoryStore`] | this process | one process, tests, development |
//! | `redis::RedisStore` | Redis or Valkey | any number of machines; shared with connect-redis |
//! | `postgres::PostgresStore` | a table of PostgreSQL | any number of machines; shared with connect-pg-simple |
//! | `mysql::MySqlStore` | a table of MySQL or MariaDB | any number of machines; shared with express-mysql-session |
//! | `sqlite::SqliteStore` | an SQLite file | one machine; shared with three npm stores |
//! | `file::FileStore` | a folder | development, one machine; shared with session-file-store |
//! | `memcached::MemcachedStore` | memcached, a cache | any number of machines; shared with connect-memcached |
//!
//! `sealed::SealedStore`, of the feature `sealed`, encrypts the records of any of them.
//!
//! All but the first are features of this crate, of their module's name. [`connect`] opens the one that a
//! URL names; the guide's chapter about stores says which to take.
//!
//! A store of your own implements [`Store`]; `express-session-testkit` has the laws to test it with. [`BreakerStore`] puts
//! the circuit breaker of the stores on the network around it.

mod any;
mod bound;
#[cfg_attr(
    not(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "memcached")),
    allow(dead_code, reason = "a store of the application connects by itself")
)]
mod breaker;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
mod certificates;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod cleanup;
mod connect;
#[cfg(feature = "file")]
pub mod file;
/// For attempts to connect, and for the calls of stores that take a connection for each.
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql", feature = "memcached")),
    allow(
        dead_code,
        reason = "the calls of Redis share one connection: none waits for another to end"
    )
)]
mod finish;
#[cfg(any(feature = "file", feature = "sqlite"))]
mod local;
#[cfg(feature = "memcached")]
pub mod memcached;
pub mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(all(unix, any(feature = "file", feature = "sqlite")))]
mod owners;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg_attr(
    not(any(all(feature = "redis", feature = "tls"), feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "the stores without certificates have fewer parameters")
)]
mod query;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sealed")]
pub mod sealed;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod steady;

pub use any::AnyStore;
pub(crate) use bound::BoundStore;
pub use breaker::BreakerStore;
#[cfg(fuzzing)]
pub(crate) use connect::prepare;
pub use connect::{ConnectError, ConnectErrorKind, connect};
pub use express_session_core::store::*;
