//! A pooler by transaction between the store and the server.

use std::sync::OnceLock;
use std::time::Duration;

use express_session::store::postgres::PostgresStore;
use express_session::store::{Store as _, Updated};
use express_session_testkit::servers::{PgBouncer, pgbouncer};
use express_session_testkit::{Clock, Subject, Task, admin_laws, lock_laws, store_laws};

use super::support::{Db, NOW, TEXT, create, fresh, id, load, record};
use crate::sql::Database as _;
use crate::{on_tokio, spawned};

pub(super) fn shared() -> Option<&'static PgBouncer> {
    static SHARED: OnceLock<Option<PgBouncer>> = OnceLock::new();
    SHARED.get_or_init(|| pgbouncer(Db::shared()?)).as_ref()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_through_a_pooler_fails() {
    let Some(pooler) = shared() else { return };
    // Two processes, which would give different statements the same name.
    let table = fresh("pooled");
    let open = async || {
        let store = PostgresStore::connect(&pooler.url()).await.unwrap();
        store.table_name(&table).create_table_if_missing(true)
    };
    let stores = [open().await, open().await];
    load(&stores[0], "none", NOW).await;
    let visitors = (0..200).map(|number| {
        let store = stores[number % 2].clone().max_connections(20).timeout(Duration::from_secs(60));
        tokio::spawn(async move {
            let name = format!("visitor-{number}");
            let revision = create(&store, &name, &record(TEXT, None)).await;
            let changed = record(r#"{"cookie":{},"n":1}"#, None);
            let updated = store.update(&id(&name), &changed, &revision, NOW).await.unwrap();
            assert!(matches!(updated, Updated::Done(_)));
            assert_eq!(load(&store, &name, NOW).await.unwrap().record.text, changed.text);
            store
                .touch(&id(&name), &crate::sql::touch(crate::sql::after(60_000)), NOW)
                .await
                .unwrap();
            store.destroy(&id(&name)).await.unwrap();
            assert_eq!(load(&store, &name, NOW).await, None);
        })
    });
    for visitor in visitors.collect::<Vec<_>>() {
        visitor.await.unwrap();
    }
}

struct Pooled(Clock);

impl Subject for Pooled {
    type Store = PostgresStore;

    async fn store(&self) -> PostgresStore {
        let url = shared().unwrap().url();
        Db::timeout(Db::open(&url, &fresh(Db::QUOTED)), Duration::from_secs(60))
    }

    fn clock(&self) -> Clock {
        self.0
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

fn with_pooler(law: impl Future<Output = ()>) {
    if shared().is_some() {
        on_tokio(law);
    }
}

store_laws!(Pooled(Clock::Argument), block_on = with_pooler);
admin_laws!(Pooled(Clock::Argument), block_on = with_pooler);

mod locks {
    use super::*;

    lock_laws!(Pooled(Clock::Server), block_on = with_pooler);
}
