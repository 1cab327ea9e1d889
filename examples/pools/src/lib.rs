//! Stores over the connection pools that an application has already, each tested with the laws of the testkit.
//!
//! - [`postgres`]: a `PgPool` of sqlx, with the records of connect-pg-simple.
//! - [`mysql`]: a `MySqlPool` of sqlx, with the records of express-mysql-session.
//! - [`redis`]: a `Pool` of deadpool-redis, with the records of connect-redis.
//!
//! An application without a pool takes the stores of `express-session`, which also have locks, listings and cleanup.

mod error;
pub mod mysql;
pub mod postgres;
pub mod redis;

#[cfg(test)]
mod testing;
