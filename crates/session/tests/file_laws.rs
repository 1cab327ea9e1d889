//! The file store obeys every law of a store.
#![cfg(feature = "file")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod local;

use std::path::PathBuf;
use std::sync::Mutex;

use express_session::store::file::FileStore;
use express_session::store::{
    Admin, Created, Cursor, Error, Loaded, Page, Record, Renewed, Revision, Store, Touch, Touched,
    Updated,
};
use express_session::{SessionId, Timestamp};
use express_session_core::Document;
use express_session_testkit::{Subject, Task, admin_laws, store_laws};
use local::{Folder, Pair, on_tokio, spawned};

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
    type Store = Wrapping;

    async fn store(&self) -> Wrapping {
        let path = self.all.fresh();
        *self.last.lock().unwrap() = path.clone();
        Wrapping(FileStore::new(path).fsync(self.fsync))
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }

    async fn plant(&self, _: &Wrapping, id: &SessionId, garbage: &[u8]) -> bool {
        let folder = self.last.lock().unwrap().clone();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.json", id.as_str())), garbage).unwrap();
        true
    }
}

/// The store, where a text that is no session is kept within one: session-file-store knows nothing
/// else, and the laws try it with all kinds of texts.
struct Wrapping(FileStore);

const BEFORE: &str = r#"{"cookie":{},"wrapped":"#;

fn wrapped(record: &Record) -> Record {
    if Document::parse(&*record.text).is_ok() {
        return record.clone();
    }
    let text = format!("{BEFORE}{}}}", serde_json::to_string(&*record.text).unwrap());
    Record { text: text.into(), ..record.clone() }
}

fn plain(record: Record) -> Record {
    let inner = record.text.strip_prefix(BEFORE).and_then(|rest| rest.strip_suffix('}'));
    match inner.map(serde_json::from_str::<String>) {
        Some(text) => Record { text: text.unwrap().into(), ..record },
        None => record,
    }
}

fn plainly(loaded: Loaded) -> Loaded {
    Loaded { record: plain(loaded.record), ..loaded }
}

impl Store for Wrapping {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        Ok(self.0.load(id, now).await?.map(plainly))
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.0.create(id, &wrapped(record), now).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        match self.0.update(id, &wrapped(record), expected, now).await? {
            Updated::Conflict(current) => Ok(Updated::Conflict(plainly(current))),
            other @ (Updated::Done(_) | Updated::Gone) => Ok(other),
        }
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        self.0.touch(id, touch, now).await
    }

    async fn renew(&self, id: &SessionId, now: Timestamp) -> Result<Option<Renewed>, Error> {
        let renewed = self.0.renew(id, now).await?;
        Ok(renewed.map(|renewed| Renewed { loaded: plainly(renewed.loaded), ..renewed }))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.0.destroy(id).await
    }
}

impl Admin for Wrapping {
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let Page { sessions, next } = self.0.list(after, limit, now).await?;
        let sessions = sessions.into_iter().map(|(id, record)| (id, plain(record))).collect();
        Ok(Page { sessions, next })
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        self.0.count(now).await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.0.clear().await
    }

    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        self.0.purge(limit, now).await
    }
}

store_laws!(folders(true), block_on = on_tokio);
// Ten thousand sessions are many to wait for the disk with.
admin_laws!(folders(false), block_on = on_tokio);

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
        laws::one_of_many_creates_at_once_is_done(&both).await;
        laws::updates_at_once_lose_nothing(&both).await;
        laws::logout_is_final_while_others_write(&both).await;
    });
}
