//! Several processes on one SQLite file lose no update of each other, and one that is killed while it saves
//! leaves every session whole, and loses none that was saved.

use crate::local::processes::process_tests;
use express_session::store::sqlite::SqliteStore;

process_tests!(SqliteStore::new, SqliteStore::new);

mod without_a_log {
    use super::*;

    fn open(place: std::path::PathBuf) -> SqliteStore {
        SqliteStore::new(place).concurrent_db(false)
    }

    process_tests!(killed open, open);
}
