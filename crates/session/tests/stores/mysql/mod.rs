//! The MySQL store obeys the laws, and shares its table with express-mysql-session. The server is
//! MariaDB.

mod failures;
mod format;
mod locks;
mod options;
mod support;
#[cfg(feature = "tls")]
mod tls;

use crate::sql::sql_suite;

sql_suite!();
