//! Several processes on one folder lose no update of each other, and one that is killed while it saves
//! leaves every session whole, and loses none that was saved.

use crate::local::processes::process_tests;
use express_session::store::file::FileStore;

process_tests!(FileStore::new, |place| FileStore::new(place).fsync(false));
