//! The MySQL store obeys the laws, and shares its table with express-mysql-session. The server is
//! MariaDB.
#![cfg(feature = "mysql")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod failures;
mod format;
mod laws;
mod locks;
mod options;
mod support;
