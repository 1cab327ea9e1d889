//! Locks are rows beside the sessions, and hold against others on the server's own terms.

use std::time::Duration;

use express_session::store::mysql::MySqlStore;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::{
    Admin as _, ErrorKind, Fenced, LockOutcome, Revision, Store as _, Updated,
};

use super::support::{Db, NOW, TEXT, after, create, id, load, pool, record, shown, store};
use crate::sql::Database as _;
use crate::sql::locks::{HOUR, ONE, OTHER, changes, lock, update};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_of_any_length_is_written_under_a_lock_as_without_one() {
    let Some(server) = Db::shared() else { return };
    for change in changes() {
        let (store, _) = store(server).await;
        let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
        assert_eq!(update(&store, "a", &change, revision.clone()).await, Fenced::Lost);
        for name in ["a", "none"] {
            assert!(matches!(lock(&store, name, ONE, HOUR).await, LockOutcome::Acquired(_)));
        }
        let none = update(&store, "none", &change, revision.clone()).await;
        assert_eq!(none, Fenced::Held(Updated::Gone));
        let done = update(&store, "a", &change, revision.clone()).await;
        assert_eq!(done, Fenced::Held(Updated::Done(Revision::of_text(&change))));
        let current = load(&store, "a", NOW).await.unwrap();
        let conflict = update(&store, "a", &change, revision).await;
        assert_eq!(conflict, Fenced::Held(Updated::Conflict(current)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_for_a_user_without_the_right_to_create_the_table_shows_the_statement() {
    let Some(server) = Db::shared() else { return };
    // In `test` everybody may do everything.
    Db::client(&server.url()).await.query_drop("CREATE DATABASE locked").await.unwrap();
    let url = server.url().replace("/test", "/locked");
    create(&MySqlStore::new(&url).unwrap(), "a", &record(TEXT, after(60_000))).await;
    let mut admin = Db::client(&url).await;
    let rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON locked.sessions";
    admin.query_drop("CREATE USER locker@'127.0.0.1'").await.unwrap();
    admin.query_drop(format!("{rights} TO locker@'127.0.0.1'")).await.unwrap();
    let theirs = MySqlStore::new(&url.replace("//root@", "//locker@")).unwrap();
    assert!(load(&theirs, "a", NOW).await.is_some());
    let shown = shown(theirs.lock(&id("a"), ONE, HOUR, NOW).await, ErrorKind::Refused);
    let (_, statement) = shown.split_once("may not make: ").unwrap();
    let (statement, _) = statement.split_once(" Error").unwrap();
    assert!(statement.starts_with("CREATE TABLE"), "{statement}");
    assert_eq!(theirs.purge(10, NOW).await.unwrap(), 0);
    // An administrator who runs it, and grants it to the user, gets locks.
    admin.query_drop(statement).await.unwrap();
    admin.query_drop(format!("{rights}_lock TO locker@'127.0.0.1'")).await.unwrap();
    assert!(matches!(lock(&theirs, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
    let change = &changes()[0];
    let fenced = update(&theirs, "a", change, Revision::of_text(TEXT)).await;
    assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "{fenced:?}");
    theirs.purge(10, NOW).await.unwrap();
    theirs.unlock(&id("a"), ONE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_of_locks_has_no_time_zone() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
    let mut admin = Db::client(&server.url()).await;
    let until: u64 =
        admin.query_first(format!("SELECT until FROM {table}_lock")).await.unwrap().unwrap();
    let now: u64 = admin
        .query_first("SELECT CAST(UNIX_TIMESTAMP() * 1000 AS UNSIGNED)")
        .await
        .unwrap()
        .unwrap();
    assert!(until.abs_diff(now + 3_600_000) < 60_000, "{until} is not an hour after {now}");
    // One whose connections are elsewhere sees the same.
    let elsewhere =
        MySqlStore::with_pool(pool(&server.url(), "SET time_zone = '+11:00'")).table_name(&table);
    assert_eq!(lock(&elsewhere, "a", OTHER, HOUR).await, LockOutcome::Held);
    assert!(matches!(lock(&elsewhere, "b", OTHER, HOUR).await, LockOutcome::Acquired(_)));
    assert_eq!(lock(&store, "b", ONE, HOUR).await, LockOutcome::Held);
    assert!(matches!(lock(&elsewhere, "c", OTHER, Duration::ZERO).await, LockOutcome::Acquired(_)));
    assert!(matches!(lock(&store, "c", ONE, HOUR).await, LockOutcome::Acquired(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_that_the_table_cannot_keep_has_no_lock() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    for name in ["a ".to_owned(), "x".repeat(129)] {
        shown(store.lock(&id(&name), ONE, HOUR, NOW).await, ErrorKind::Unsuitable);
        assert_eq!(update(&store, &name, TEXT, Revision::of_text(TEXT)).await, Fenced::Lost);
        store.unlock(&id(&name), ONE).await.unwrap();
    }
}
