//! Calls while the server, or the way to it, fails.

use std::time::Duration;

use express_session::store::Admin as _;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;

use super::support::{Db, NOW, create, store};
use crate::sql::Database as _;
use crate::sql::failures::counted;

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
