//! Calls while the server, or the way to it, fails.

use std::time::Duration;

use express_session::store::mysql::MySqlStore;
use express_session::store::mysql::mysql_async::Conn;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::{Admin as _, ErrorKind, Store as _};

use super::support::{Db, NOW, create, id, load, shown, store};
use crate::sql::failures::counted;
use crate::sql::{Database as _, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlock_is_tried_again() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let store = store.timeout(Duration::from_secs(60));
    // Two writers that go through the table from opposite ends, and the store in between.
    for name in ["a", "b"] {
        create(&store, name, &counted(0)).await;
    }
    let mut other = Db::client(&server.url()).await;
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_a_server_that_was_demoted_leave_the_pool() {
    let Some(server) = Db::own() else { return };
    let mut root = Db::client(&server.url()).await;
    for sql in [
        "CREATE DATABASE guarded",
        // Root may write to a server that is read-only.
        "CREATE USER visitor@'127.0.0.1'",
        "GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON guarded.* TO visitor@'127.0.0.1'",
    ] {
        root.query_drop(sql).await.unwrap();
    }
    let url = server.url().replace("//root@", "//visitor@").replace("/test", "/guarded");
    let store = MySqlStore::new(&url).unwrap().connection_limit(3);
    create(&store, "a", &counted(0)).await;
    // Three idle connections.
    let calls = (0..3).map(|_| {
        tokio::spawn({
            let store = store.clone();
            async move { load(&store, "a", NOW).await }
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(call.await.unwrap().is_some());
    }
    let connections = async |root: &mut Conn| {
        let sql = "SELECT id FROM information_schema.processlist WHERE user = 'visitor'";
        root.query::<u64, _>(sql).await.unwrap()
    };
    let before = connections(&mut root).await;
    root.query_drop("SET GLOBAL read_only = 1").await.unwrap();
    let refused = store.create(&id("b"), &counted(0), NOW).await;
    let told = shown(refused, ErrorKind::Unavailable);
    assert!(told.contains("1290"), "{told}");
    // Reads go on, where the address leads now.
    assert!(load(&store, "a", NOW).await.is_some());
    until(|| {
        let (url, before) = (server.url(), before.clone());
        async move {
            let now = connections(&mut Db::client(&url).await).await;
            !now.iter().any(|id| before.contains(id))
        }
    })
    .await;
    root.query_drop("SET GLOBAL read_only = 0").await.unwrap();
    create(&store, "b", &counted(0)).await;
}
