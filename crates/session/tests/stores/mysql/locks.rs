//! Locks are rows beside the sessions, and hold against others on the server's own terms.

use std::time::Duration;

use express_session::store::mysql::MySqlStore;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::mysql::mysql_async::{Opts, OptsBuilder, Pool};
use express_session::store::{
    Admin as _, ErrorKind, Fenced, LockOutcome, Revision, Store as _, Updated,
};
use express_session_testkit::servers::MariaDb;

use super::support::{
    NOW, TEXT, after, client, create, id, load, on_server, record, shown, store, text,
};
use crate::sql::locks::{HOUR, ONE, OTHER, lock};

/// Texts that take the short and the long way.
fn changes() -> [String; 2] {
    [1, 20_000].map(|length| format!(r#"{{"cookie":{{}},"a":"{}"}}"#, "x".repeat(length)))
}

/// Each of some things with each of the texts.
fn each<T: Clone>(things: Vec<T>) -> Vec<(T, String)> {
    things.into_iter().flat_map(|thing| changes().map(|text| (thing.clone(), text))).collect()
}

async fn update(store: &MySqlStore, name: &str, text: &str, expected: Revision) -> Fenced {
    let record = record(text, after(60_000));
    store.update_locked(&id(name), &record, expected, ONE, NOW).await.unwrap()
}

/// Held by the one test that looks: what the server shows is old for as long as it is looked at more often
/// than each 0.1 s, by any client.
static WATCH: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits until so many statements about a table wait for another transaction's lock.
async fn until_waiting(server: &MariaDb, table: &str, count: u64) {
    let _alone = WATCH.lock().await;
    let mut watcher = client(&server.url()).await;
    let waits = format!(
        "SELECT COUNT(*) FROM information_schema.innodb_trx \
         WHERE trx_state = 'LOCK WAIT' AND trx_query REGEXP '{table}(_lock)?([^0-9_]|$)'"
    );
    let waiting = async {
        while watcher.query_first::<u64, _>(&waits).await.unwrap() != Some(count) {
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never came about");
}

#[test]
fn write_after_a_takeover_is_lost_although_it_began_before() {
    on_server(|server| async move {
        let mut other = client(&server.url()).await;
        for ((store, table), change) in each(stores(server).await) {
            for (sql, is_committed) in [
                ("UPDATE {table}_lock SET holder = 'theirs'", true),
                ("UPDATE {table}_lock SET holder = 'theirs'", false),
                ("UPDATE {table}_lock SET until = 1", true),
                ("DELETE FROM {table}_lock", true),
            ] {
                store.clear().await.unwrap();
                let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
                other.query_drop(format!("DROP TABLE IF EXISTS {table}_lock")).await.unwrap();
                assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
                other.query_drop("BEGIN").await.unwrap();
                other.query_drop(sql.replace("{table}", &table)).await.unwrap();
                let (ours, new) = (store.clone(), change.clone());
                let waiting = tokio::spawn(async move { update(&ours, "a", &new, revision).await });
                until_waiting(server, &table, 1).await;
                other.query_drop(if is_committed { "COMMIT" } else { "ROLLBACK" }).await.unwrap();
                let fenced = waiting.await.unwrap();
                if is_committed {
                    assert_eq!(fenced, Fenced::Lost, "{sql}");
                    assert_eq!(text(&store, "a", NOW).await, TEXT);
                } else {
                    assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "{fenced:?}");
                    assert_eq!(text(&store, "a", NOW).await, change);
                }
            }
        }
    });
}

/// The write is held up after it has looked at its lock, and before it is committed.
#[test]
fn takeover_waits_for_a_write_that_has_begun() {
    on_server(|server| async move {
        for ((store, table), change) in each(stores(server).await) {
            store.clear().await.unwrap();
            let mut admin = client(&server.url()).await;
            admin.query_drop(format!("DROP TABLE IF EXISTS {table}_lock")).await.unwrap();
            let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
            assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
            let (mut gate, mut taker) = (client(&server.url()).await, client(&server.url()).await);
            gate.query_drop("BEGIN").await.unwrap();
            gate.query_drop(format!("SELECT 1 FROM {table} FOR UPDATE")).await.unwrap();
            let (ours, new) = (store.clone(), change.clone());
            let writing = tokio::spawn(async move { update(&ours, "a", &new, revision).await });
            until_waiting(server, &table, 1).await;
            let takes = format!("UPDATE {table}_lock SET holder = 'theirs'");
            let taking = tokio::spawn(async move { taker.query_drop(takes).await.unwrap() });
            until_waiting(server, &table, 2).await;
            assert!(!taking.is_finished());
            gate.query_drop("ROLLBACK").await.unwrap();
            let fenced = writing.await.unwrap();
            assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "{fenced:?}");
            taking.await.unwrap();
            assert_eq!(text(&store, "a", NOW).await, change);
            let again = update(&store, "a", &change, Revision::of_text(&change)).await;
            assert_eq!(again, Fenced::Lost);
        }
    });
}

#[test]
fn record_of_any_length_is_written_under_a_lock_as_without_one() {
    on_server(|server| async move {
        for change in changes() {
            let (store, _) = store(server).await;
            let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
            assert_eq!(update(&store, "a", &change, revision).await, Fenced::Lost);
            for name in ["a", "none"] {
                assert!(matches!(lock(&store, name, ONE, HOUR).await, LockOutcome::Acquired(_)));
            }
            let none = update(&store, "none", &change, revision).await;
            assert_eq!(none, Fenced::Held(Updated::Gone));
            let done = update(&store, "a", &change, revision).await;
            assert_eq!(done, Fenced::Held(Updated::Done(Revision::of_text(&change))));
            let current = load(&store, "a", NOW).await.unwrap();
            let conflict = update(&store, "a", &change, revision).await;
            assert_eq!(conflict, Fenced::Held(Updated::Conflict(current)));
        }
    });
}

#[test]
fn error_for_a_user_without_the_right_to_create_the_table_shows_the_statement() {
    on_server(|server| async move {
        // In `test` everybody may do everything.
        client(&server.url()).await.query_drop("CREATE DATABASE locked").await.unwrap();
        let url = server.url().replace("/test", "/locked");
        create(&MySqlStore::new(&url).unwrap(), "a", &record(TEXT, after(60_000))).await;
        let mut admin = client(&url).await;
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
    });
}

#[test]
fn clock_of_locks_has_no_time_zone() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
        let mut admin = client(&server.url()).await;
        let until: u64 =
            admin.query_first(format!("SELECT until FROM {table}_lock")).await.unwrap().unwrap();
        let now: u64 = admin
            .query_first("SELECT CAST(UNIX_TIMESTAMP() * 1000 AS UNSIGNED)")
            .await
            .unwrap()
            .unwrap();
        assert!(until.abs_diff(now + 3_600_000) < 60_000, "{until} is not an hour after {now}");
        // One whose connections are elsewhere sees the same.
        let elsewhere = MySqlStore::with_pool(pool(&server.url(), "SET time_zone = '+11:00'"))
            .table_name(&table);
        assert_eq!(lock(&elsewhere, "a", OTHER, HOUR).await, LockOutcome::Held);
        assert!(matches!(lock(&elsewhere, "b", OTHER, HOUR).await, LockOutcome::Acquired(_)));
        assert_eq!(lock(&store, "b", ONE, HOUR).await, LockOutcome::Held);
        assert!(matches!(
            lock(&elsewhere, "c", OTHER, Duration::ZERO).await,
            LockOutcome::Acquired(_)
        ));
        assert!(matches!(lock(&store, "c", ONE, HOUR).await, LockOutcome::Acquired(_)));
    });
}

/// Connections that begin with a statement.
fn pool(url: &str, sql: &str) -> Pool {
    let opts = OptsBuilder::from_opts(Opts::from_url(url).unwrap());
    Pool::new(opts.init(vec![sql]))
}

/// A store for each isolation that reads what others have committed, with its table.
async fn stores(server: &MariaDb) -> Vec<(MySqlStore, String)> {
    let mut stores = Vec::new();
    for isolation in ["REPEATABLE READ", "READ COMMITTED"] {
        let (_, table) = store(server).await;
        let isolated = format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}");
        let store = MySqlStore::with_pool(pool(&server.url(), &isolated)).table_name(&table);
        stores.push((store.timeout(Duration::from_secs(60)), table));
    }
    stores
}

#[test]
fn id_that_the_table_cannot_keep_has_no_lock() {
    on_server(|server| async move {
        let (store, _) = store(server).await;
        for name in ["a ".to_owned(), "x".repeat(129)] {
            shown(store.lock(&id(&name), ONE, HOUR, NOW).await, ErrorKind::Unsuitable);
            assert_eq!(update(&store, &name, TEXT, Revision::of_text(TEXT)).await, Fenced::Lost);
            store.unlock(&id(&name), ONE).await.unwrap();
        }
    });
}
