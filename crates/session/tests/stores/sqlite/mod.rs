//! The SQLite store on a disk.

mod format;
mod laws;
#[cfg(unix)]
mod processes;
mod user_index;
