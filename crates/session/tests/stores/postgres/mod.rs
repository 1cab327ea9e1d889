//! The PostgreSQL store obeys the laws, and shares its table with connect-pg-simple.

mod failures;
mod format;
mod locks;
mod options;
mod pooler;
mod prepared;
pub(crate) mod support;
#[cfg(feature = "tls")]
mod tls;
mod user_index;

use crate::sql::sql_suite;

sql_suite!();
