//! The store obeys every law of a store.

use std::time::Duration;

use express_session::store::postgres::PostgresStore;
use express_session::store::{
    Admin, Created, Cursor, Error, Loaded, Page, Record, Renewed, Revision, Store, Touch, Touched,
    Updated,
};
use express_session::{SessionId, Timestamp};
use express_session_testkit::{Subject, Task, admin_laws, servers, store_laws};

use crate::support::{fresh, run};

/// A table for each store, with a name that has to be quoted.
struct Tables;

impl Subject for Tables {
    type Store = Quoting;

    async fn store(&self) -> Quoting {
        let server = servers::shared_postgres().unwrap();
        let store = PostgresStore::new(&server.url())
            .unwrap()
            .table_name(fresh("the visitors' \"Session\""))
            .create_table_if_missing(true)
            .timeout(Duration::from_secs(60));
        Quoting(store)
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        for task in running {
            task.await.unwrap();
        }
    }
}

/// The store, where a text that is no JSON is kept as a JSON string: the column takes nothing else,
/// and the laws try it with all kinds of texts.
struct Quoting(PostgresStore);

fn quoted(record: &Record) -> Record {
    if serde_json::from_str::<serde::de::IgnoredAny>(&record.text).is_ok() {
        return record.clone();
    }
    let text = serde_json::to_string(&*record.text).unwrap();
    Record { text: text.into(), ..record.clone() }
}

fn plain(record: Record) -> Record {
    match serde_json::from_str::<String>(&record.text) {
        Ok(text) => Record { text: text.into(), ..record },
        Err(_) => record,
    }
}

fn plainly(loaded: Loaded) -> Loaded {
    Loaded { record: plain(loaded.record), ..loaded }
}

impl Store for Quoting {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        Ok(self.0.load(id, now).await?.map(plainly))
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.0.create(id, &quoted(record), now).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        match self.0.update(id, &quoted(record), expected, now).await? {
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

impl Admin for Quoting {
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

/// Leaves a law out where there is no server.
fn with_server(law: impl Future<Output = ()>) {
    if servers::shared_postgres().is_some() {
        run(law);
    }
}

store_laws!(Tables, block_on = with_server);
admin_laws!(Tables, block_on = with_server);
