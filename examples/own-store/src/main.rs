//! A store of one's own, and the laws that it is tested with.
//!
//! A store keeps a text under an id until a time, and knows nothing of sessions. This one keeps them in
//! a map; above each method stands what it would be in SQL, to be taken as one statement or one
//! transaction. What matters is what the laws are about:
//!
//! 1. [`Store::create`] never overwrites a live record: two visitors must not share a session.
//! 2. [`Store::update`] replaces the one writing that was loaded, and no other: no update is lost.
//! 3. Nothing but `create` makes a record: who has logged out stays logged out.
//! 4. What has expired is never returned.
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
    /// Counts all writings, so that an id which is used again does not get an old revision again.
    writings: u128,
}

impl Table {
    fn live(&mut self, id: &SessionId, now: Timestamp) -> Option<&mut Loaded> {
        self.rows.get_mut(id.as_str()).filter(|row| row.record.is_live(now))
    }

    fn write(&mut self, id: &SessionId, record: &Record) -> Revision {
        self.writings += 1;
        let revision = Revision::new(self.writings);
        let row = Loaded { record: record.clone(), revision };
        self.rows.insert(id.as_str().to_owned(), row);
        revision
    }
}

impl TableStore {
    fn table(&self) -> MutexGuard<'_, Table> {
        // No method panics while it has the table.
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

    /// `update session set …, revision = nextval('writings')
    ///  where id = $1 and revision = $expected and (deadline is null or deadline > $now)`,
    /// and a `select` of what is there instead where that updates no row
    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, StoreError> {
        let mut table = self.table();
        match table.live(id, now).cloned() {
            None => Ok(Updated::Gone),
            Some(row) if row.revision != expected => Ok(Updated::Conflict(row)),
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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(TableStore::default())).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use express_session_testkit::{Subject, Task, on_threads, store_laws};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    /// How the laws open the store.
    struct OnThreads;

    impl Subject for OnThreads {
        type Store = TableStore;

        async fn store(&self) -> TableStore {
            TableStore::default()
        }

        /// On threads: a store that never waits would take turns otherwise, and show no race.
        async fn parallel(&self, tasks: Vec<Task>) {
            on_threads(tasks).await;
        }
    }

    // One test for each law: `tests::laws::concurrent_updates_lose_nothing`, …
    store_laws!(OnThreads);

    #[tokio::test]
    async fn application_counts_with_it() {
        let app = app(TableStore::default());
        let request = Request::get("/").body(Body::empty()).unwrap();
        let first = app.clone().oneshot(request).await.unwrap();
        let cookie = first.headers()[header::SET_COOKIE].clone();

        let request = Request::get("/").header(header::COOKIE, cookie).body(Body::empty()).unwrap();
        let second = app.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(second.to_bytes(), "Number of views: 2");
    }
}
