//! The MySQL store obeys the laws, and shares its table with express-mysql-session. The server is
//! MariaDB.

mod failures;
mod format;
mod laws;
mod locks;
mod options;
mod support;
