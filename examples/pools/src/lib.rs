//! Stores over the connection pools that an application has already, each tested with the laws of the testkit.
//!
//! - [`postgres`]: a `PgPool` of sqlx.
//!
//! An application without a pool takes the stores of `express-session`, which share their records with the npm stores.

pub mod postgres;
