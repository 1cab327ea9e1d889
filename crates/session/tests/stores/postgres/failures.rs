//! Calls while the server, or the way to it, fails.

use std::time::Duration;

use express_session::store::postgres::PostgresStore;
use express_session::store::{Admin as _, Created, ErrorKind, Store as _, Updated};
use tokio::time::timeout;

use super::support::{Db, NOW, create, fresh, id, load, shown, store, store_at, text, until};
use crate::sql::Database as _;
use crate::sql::failures::{SHORT, count_in, counted, through};
use crate::sql::locks::until_waiting;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_that_waited_for_another_writer_returns_the_record_of_that_writer() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let mut other = Db::client(&server.url()).await;
    for (sql, is_committed) in [
        (format!(r#"UPDATE {table} SET sess = '{{"cookie":{{}},"n":7}}'"#), true),
        (format!(r#"UPDATE {table} SET sess = '{{"cookie":{{}},"n":7}}'"#), false),
        (format!("UPDATE {table} SET expire = '2999-01-01'"), true),
        (format!("UPDATE {table} SET expire = '1999-01-01'"), true),
        (format!("DELETE FROM {table}"), true),
    ] {
        store.clear().await.unwrap();
        let revision = create(&store, "a", &counted(1)).await;
        let writing = other.transaction().await.unwrap();
        writing.execute(&sql, &[]).await.unwrap();
        let ours = store.clone();
        let waiting =
            tokio::spawn(async move { ours.update(&id("a"), &counted(2), &revision, NOW).await });
        until_waiting::<Db>(server, &table, 1).await;
        if is_committed {
            writing.commit().await.unwrap();
        } else {
            writing.rollback().await.unwrap();
        }
        let updated = waiting.await.unwrap().unwrap();
        let is_theirs = is_committed && sql.contains("SET sess");
        if is_theirs {
            let current = load(&store, "a", NOW).await.unwrap();
            assert_eq!(count_in(&current.record.text), 7);
            assert_eq!(updated, Updated::Conflict(current), "{sql}");
        } else if sql.contains("1999") || sql.contains("DELETE") {
            assert_eq!(updated, Updated::Gone, "{sql}");
        } else {
            assert!(matches!(updated, Updated::Done(_)), "{sql}: {updated:?}");
            assert_eq!(count_in(&text(&store, "a", NOW).await), 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_that_the_table_prevents_is_a_conflict_with_the_same_record() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let revision = create(&store, "a", &counted(1)).await;
    let prevented = format!(
        "CREATE FUNCTION prevent_{table}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
         CREATE TRIGGER prevent BEFORE UPDATE ON {table} \
         FOR EACH ROW EXECUTE FUNCTION prevent_{table}()"
    );
    Db::client(&server.url()).await.batch_execute(&prevented).await.unwrap();
    let updated = store.update(&id("a"), &counted(2), &revision, NOW).await.unwrap();
    assert_eq!(updated, Updated::Conflict(load(&store, "a", NOW).await.unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_under_any_isolation() {
    let Some(server) = Db::shared() else { return };
    for isolation in ["repeatable read", "serializable"] {
        let options = isolation.replace(' ', "%5C%20");
        let url =
            format!("{}?options=-c%20default_transaction_isolation%3D{options}", server.url());
        let (store, _) = store_at(&url).await;
        let store = store.timeout(Duration::from_secs(60));
        create(&store, "a", &counted(0)).await;
        let task = |_| tokio::spawn(count_up(store.clone()));
        let tasks: Vec<_> = (0..16).map(task).collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(count_in(&text(&store, "a", NOW).await), 16, "{isolation}");
    }
}

async fn count_up(store: PostgresStore) {
    let mut current = load(&store, "a", NOW).await.unwrap();
    loop {
        let next = counted(count_in(&current.record.text) + 1);
        match store.update(&id("a"), &next, &current.revision, NOW).await.unwrap() {
            Updated::Done(_) => return,
            Updated::Conflict(newer) => current = newer,
            Updated::Gone => panic!("gone"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_says_no_is_refused() {
    let Some(server) = Db::shared() else { return };
    let (_, table) = store(server).await;
    let owner = Db::client(&server.url()).await;
    owner.batch_execute("CREATE ROLE visitor LOGIN").await.unwrap();
    let url = server.url().replace("//postgres@", "//visitor@");
    let denied = PostgresStore::new(&url).unwrap().table_name(&table);
    let told = shown(denied.load(&id("secret"), NOW).await, ErrorKind::Refused);
    assert!(told.contains("42501") && !told.contains("secret"), "{told}");
    let no_such = server.url().replace("//postgres@", "//nobody:hunter2@");
    let no_such = PostgresStore::new(&no_such).unwrap();
    let told = shown(no_such.load(&id("secret"), NOW).await, ErrorKind::Refused);
    assert!(told.contains("28000") && !told.contains("hunter2"), "{told}");
    let no_base = server.url().replace("/postgres", "/nothing");
    let no_base = no_base.replace("//nothing@", "//postgres@");
    let told = shown(PostgresStore::new(&no_base).unwrap().count(NOW).await, ErrorKind::Refused);
    assert!(told.contains("3D000"), "{told}");
    let reading = format!("{}?options=-c%20default_transaction_read_only%3Don", server.url());
    let reading = PostgresStore::new(&reading).unwrap().table_name(&table);
    assert_eq!(load(&reading, "a", NOW).await, None);
    shown(reading.create(&id("a"), &counted(0), NOW).await, ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abandoned_call_costs_no_connection_unless_it_is_never_answered() {
    let Some(server) = Db::shared() else { return };
    let (proxy, url) = through::<Db>(server);
    let (store, _) = store_at(&url).await;
    let store = store.max_connections(1);
    create(&store, "a", &counted(1)).await;
    create(&store, "b", &counted(2)).await;
    load(&store, "a", NOW).await.unwrap();
    let connections = proxy.connections();
    for _ in 0..10 {
        proxy.stall();
        let abandoned = timeout(Duration::from_millis(20), store.load(&id("a"), NOW)).await;
        assert!(abandoned.is_err());
        proxy.resume();
        until(|| async { store.load(&id("b"), NOW).await.is_ok() }).await;
        assert_eq!(count_in(&text(&store, "b", NOW).await), 2);
    }
    assert_eq!(proxy.connections(), connections);

    proxy.stall();
    let hurried = store.clone().timeout(SHORT);
    let abandoned = timeout(Duration::from_millis(20), hurried.load(&id("a"), NOW)).await;
    assert!(abandoned.is_err());
    // The connection is given up, and the place taken by a new one.
    until(|| async {
        let _ = hurried.load(&id("a"), NOW).await;
        proxy.connections() > connections
    })
    .await;
    proxy.resume();
    // The circuit breaker may be open, until a probe finds the server.
    until(|| async { store.load(&id("b"), NOW).await.is_ok() }).await;
    assert_eq!(count_in(&text(&store, "b", NOW).await), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_takes_no_writes_is_unavailable_and_its_connections_leave_the_pool() {
    let Some(server) = Db::own() else { return };
    let (store, _) = store(&server).await;
    let revision = create(&store, "a", &counted(1)).await;
    let owner = Db::client(&server.url()).await;
    let set = async |read_only: &str| {
        let setting = format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}");
        owner.batch_execute("SET default_transaction_read_only = off").await.unwrap();
        owner.batch_execute(&setting).await.unwrap();
        owner.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    };
    set("on").await;
    let update = async || store.update(&id("a"), &counted(2), &revision, NOW).await;
    until(|| async { update().await.is_err() }).await;
    let told = shown(update().await, ErrorKind::Unavailable);
    assert!(told.contains("25006"), "{told}");
    set("off").await;
    // The server has read its settings at some time; no connection keeps the old ones.
    until(|| async { store.destroy(&id("b")).await.is_ok() }).await;
    assert!(matches!(store.create(&id("b"), &counted(1), NOW).await.unwrap(), Created::Done(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_names_a_column_that_is_missing_or_of_another_type() {
    const ID: &str = "a-long-session-id";
    let Some(server) = Db::shared() else { return };
    let owner = Db::client(&server.url()).await;
    for (columns, kind, expected) in [
        (
            "sid varchar(8) PRIMARY KEY, sess json, expire timestamp(6)",
            ErrorKind::Unsuitable,
            "the column sid has the type character varying(8)",
        ),
        (
            "sid uuid PRIMARY KEY, sess json, expire timestamp(6)",
            ErrorKind::Unsuitable,
            "the column sid has the type uuid",
        ),
        (
            "sid varchar PRIMARY KEY, sess json, expire bigint",
            ErrorKind::Refused,
            "the column expire has the type bigint",
        ),
        (
            "sid varchar PRIMARY KEY, session json, expire timestamp(6)",
            ErrorKind::Refused,
            "it has no column sess",
        ),
    ] {
        let table = fresh("columns");
        owner.batch_execute(&format!("CREATE TABLE {table} ({columns})")).await.unwrap();
        let store = PostgresStore::new(&server.url()).unwrap().table_name(&table);
        let told = shown(store.create(&id(ID), &counted(1), NOW).await, kind);
        assert!(told.contains(expected) && !told.contains(ID), "{columns}: {told}");
    }
}
