//! The file store obeys every law of a store, and does what the plain model does.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::local::{Folder, two_stores_on_one_place_lose_nothing};
use crate::{on_tokio, spawned};
use express_session::SessionId;
use express_session::store::file::FileStore;
use express_session_testkit::{
    Subject, Task, admin_laws, admin_model_laws, clock_laws, lock_laws, order_laws, store_laws,
};

/// A folder for each store.
struct Folders {
    all: Folder,
    last: Mutex<PathBuf>,
    fsync: bool,
}

fn folders(fsync: bool) -> Folders {
    Folders { all: Folder::new(), last: PathBuf::new().into(), fsync }
}

impl Subject for Folders {
    type Store = FileStore;

    async fn store(&self) -> FileStore {
        let path = self.all.fresh();
        *self.last.lock().unwrap() = path.clone();
        FileStore::new(path).fsync(self.fsync)
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }

    async fn plant(&self, _: &FileStore, id: &SessionId, garbage: &[u8]) -> bool {
        let folder = self.last.lock().unwrap().clone();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.json", id.as_str())), garbage).unwrap();
        true
    }
}

store_laws!(folders(true), block_on = on_tokio);
lock_laws!(folders(true), block_on = on_tokio);
// Ten thousand sessions are many to wait for the disk with.
admin_laws!(folders(false), block_on = on_tokio);
admin_model_laws!(folders(false), block_on = on_tokio);
clock_laws!(folders(false), block_on = on_tokio);
order_laws!(folders(false), block_on = on_tokio);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_folder_lose_nothing_of_each_other() {
    two_stores_on_one_place_lose_nothing(|place| FileStore::new(place).fsync(false)).await;
}
