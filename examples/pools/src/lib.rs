//! Stores over the connection pools that an application has already, each tested with the laws of the testkit.
//!
//! - [`mysql`]: a `MySqlPool` of sqlx.
//! - [`redis`]: a pool of deadpool-redis.
//!
//! An application without a pool takes the stores of `express-session`, which share their records with the npm stores.

pub mod mysql;
pub mod redis;

#[cfg(test)]
mod tests;
