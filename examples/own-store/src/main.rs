//! A custom store, tested with the laws of the testkit.
//!
//! A store keeps a text under an id until a deadline. This one keeps them in a map; the comment above each method is
//! the SQL for it, as one statement or one transaction. The laws check four rules:
//!
//! 1. [`Store::create`] never overwrites a live record, so that two visitors never share a session.
//! 2. [`Store::update`] is a compare-and-swap: it replaces only the revision that was loaded, so that no update is lost.
//! 3. Only `create` makes a record, so that a logout is final.
//! 4. An expired record is never returned.
//!
//! `cargo run -p own-store`, then `http://localhost:3000`. `cargo test -p own-store` runs the laws.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::routing::get;
use axum::{Router, serve};
use express_session::store::{
    Created, Error as StoreError, Loaded, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session::{Error, Session, SessionId, SessionLayer, Timestamp};

/// `create table session (id text primary key, text text, deadline bigint, revision bigint)`
#[derive(Clone, Default)]
struct TableStore(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    rows: HashMap<String, Loaded>,
    /// Counts all writes, so that a reused id never gets an old revision.
    writes: u128,
}

impl Table {
    fn live(&mut self, id: &SessionId, now: Timestamp) -> Option<&mut Loaded> {
        self.rows.get_mut(id.as_str()).filter(|row| row.record.is_live(now))
    }

    fn write(&mut self, id: &SessionId, record: &Record) -> Revision {
        self.writes += 1;
        let revision = Revision::new(self.writes);
        let row = Loaded { record: record.clone(), revision: revision.clone() };
        self.rows.insert(id.as_str().to_owned(), row);
        revision
    }
}

impl TableStore {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No method panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for TableStore {
    /// `select text, deadline, revision from session
    ///  where id = $1 and (deadline is null or deadline > $now)`
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, StoreError> {
        Ok(self.table().live(id, now).cloned())
    }

    /// `insert into session … on conflict (id) do update … where session.deadline <= $now`
    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, StoreError> {
        let mut table = self.table();
        if table.live(id, now).is_some() {
            return Ok(Created::Taken);
        }
        Ok(Created::Done(table.write(id, record)))
    }

    /// `update session set …, revision = nextval('writes')
    ///  where id = $1 and revision = $expected and (deadline is null or deadline > $now)`,
    /// and a `select` of the stored row if that updates none
    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, StoreError> {
        let mut table = self.table();
        match table.live(id, now).cloned() {
            None => Ok(Updated::Gone),
            Some(row) if row.revision != *expected => Ok(Updated::Conflict(row)),
            Some(_) => Ok(Updated::Done(table.write(id, record))),
        }
    }

    /// `update session set deadline = $2 where id = $1 and (deadline is null or deadline > $now)`
    async fn touch(
        &self,
        id: &SessionId,
        touch: &Touch,
        now: Timestamp,
    ) -> Result<Touched, StoreError> {
        match self.table().live(id, now) {
            None => Ok(Touched::Gone),
            Some(row) => {
                row.record.deadline = touch.deadline;
                Ok(Touched::Done)
            }
        }
    }

    /// `delete from session where id = $1`
    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.table().rows.remove(id.as_str());
        Ok(())
    }
}

fn app(store: TableStore) -> Router {
    let sessions = SessionLayer::new("keyboard cat").store(store);
    Router::new().route("/", get(views)).layer(sessions)
}

async fn views(session: Session) -> Result<String, Error> {
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(format!("Number of views: {views}"))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(TableStore::default())).await
}

#[cfg(test)]
mod tests {
    use express_session_testkit::{Browser, Subject, Task, on_threads, store_laws};

    use super::*;

    /// Opens the store for the laws.
    struct OnThreads;

    impl Subject for OnThreads {
        type Store = TableStore;

        async fn store(&self) -> TableStore {
            TableStore::default()
        }

        /// Runs on threads: the tasks of a store that never waits would otherwise run one after the other.
        async fn parallel(&self, tasks: Vec<Task>) {
            on_threads(tasks).await;
        }
    }

    // One test for each law: `tests::laws::concurrent_updates_lose_nothing`, …
    store_laws!(OnThreads);

    #[tokio::test]
    async fn application_counts_views_in_this_store() {
        let mut browser = Browser::new(app(TableStore::default()));
        assert_eq!(browser.get("/").await.text, "Number of views: 1");
        assert_eq!(browser.get("/").await.text, "Number of views: 2");
    }
}
