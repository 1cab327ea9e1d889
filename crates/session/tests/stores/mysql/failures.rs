//! Calls while the server, or the way to it, fails.

use std::time::Duration;

use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::{Admin as _, Store as _, Updated};
use tokio::time::timeout;

use super::support::{Db, NOW, client, create, id, load, on_server, store, store_at, text};
use crate::sql::failures::{count_in, counted, through};

#[test]
fn abandoned_call_is_carried_out_before_the_next_and_costs_no_connection() {
    on_server(|server| async move {
        let (proxy, url) = through::<Db>(server);
        let (store, _) = store_at(&url).await;
        let store = store.connection_limit(1);
        let mut revision = create(&store, "a", &counted(0)).await;
        create(&store, "b", &counted(100)).await;
        // The statement is prepared by now.
        let updated = store.update(&id("a"), &counted(0), revision, NOW).await.unwrap();
        assert_eq!(updated, Updated::Done(revision));
        let connections = proxy.connections();
        for number in 1..20 {
            proxy.stall();
            let next = counted(number);
            let a = id("a");
            let call = store.update(&a, &next, revision, NOW);
            assert!(timeout(Duration::from_millis(20), call).await.is_err());
            proxy.resume();
            if number % 2 == 0 {
                assert_eq!(count_in(&text(&store, "b", NOW).await), 100);
            }
            let current = load(&store, "a", NOW).await.unwrap();
            assert_eq!(count_in(&current.record.text), number);
            revision = current.revision;
        }
        assert_eq!(proxy.connections(), connections);
    });
}

#[test]
fn deadlock_is_tried_again() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        let store = store.timeout(Duration::from_secs(60));
        // Two writers that go through the table from opposite ends, and the store in between.
        for name in ["a", "b"] {
            create(&store, name, &counted(0)).await;
        }
        let mut other = client(&server.url()).await;
        for round in 0..20 {
            let sql = format!("UPDATE {table} SET data = data WHERE session_id = ?");
            other.query_drop("BEGIN").await.unwrap();
            other.exec_drop(&sql, ("b",)).await.unwrap();
            let clearing = store.clone();
            let waiting = tokio::spawn(async move { clearing.clear().await });
            if round % 2 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // The store holds `a` and waits for `b`; one of the two is taken back.
            let _ = other.exec_drop(&sql, ("a",)).await;
            other.query_drop("COMMIT").await.unwrap();
            waiting.await.unwrap().unwrap();
            assert_eq!(store.count(NOW).await.unwrap(), 0);
            for name in ["a", "b"] {
                create(&store, name, &counted(0)).await;
            }
        }
    });
}
