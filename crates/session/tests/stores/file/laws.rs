//! The file store obeys every law of a store.

use std::path::PathBuf;
use std::sync::Mutex;

use crate::local::{Folder, Pair};
use crate::{on_tokio, spawned};
use express_session::SessionId;
use express_session::store::file::FileStore;
use express_session_testkit::{Subject, Task, admin_laws, clock_laws, lock_laws, store_laws};

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
clock_laws!(folders(false), block_on = on_tokio);

/// Two stores on one folder, which have nothing but the locks of the files in common.
struct Both(Folder);

impl Subject for Both {
    type Store = Pair<FileStore>;

    async fn store(&self) -> Self::Store {
        let path = self.0.fresh();
        let open = || FileStore::new(&path).fsync(false);
        Pair::new(open(), open())
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

#[test]
fn two_stores_on_one_folder_lose_nothing_of_each_other() {
    use express_session_testkit::laws;
    on_tokio(async {
        let both = Both(Folder::new());
        laws::one_of_many_concurrent_creates_is_done(&both).await;
        laws::concurrent_updates_lose_nothing(&both).await;
        laws::logout_is_final_while_others_write(&both).await;
        laws::one_of_many_concurrent_locks_is_done(&both).await;
        laws::locked_update_is_one_step_with_its_lock(&both).await;
        laws::concurrent_critical_sections_lose_nothing(&both).await;
    });
}
