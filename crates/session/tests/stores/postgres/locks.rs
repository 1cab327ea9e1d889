//! Locks are rows beside the sessions, and hold against others on the server's own terms.

use express_session::store::postgres::PostgresStore;
use express_session::store::{
    Admin as _, ErrorKind, Fenced, LockOutcome, Revision, Store as _, Updated,
};
use express_session_testkit::servers::Postgres;

use super::support::{
    NOW, TEXT, after, client, create, fresh, id, load, on_server, record, shown, store, text, until,
};
use crate::sql::locks::{HOUR, ONE, OTHER, lock};

const CHANGED: &str = r#"{"cookie":{},"n":2}"#;
const THEIRS: &str = r#"{"cookie":{},"n":7}"#;

async fn update(store: &PostgresStore, name: &str, expected: Revision) -> Fenced {
    let record = record(CHANGED, after(60_000));
    store.update_locked(&id(name), &record, expected, ONE, NOW).await.unwrap()
}

/// Waits until so many statements about a table wait for another transaction's lock.
async fn until_waiting(server: &Postgres, table: &str, count: i64) {
    let watcher = client(&server.url()).await;
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
         AND query ~ '{table}(_lock)?\\M' AND query NOT LIKE '%pg_stat_activity%'"
    );
    until(|| async { watcher.query_one(&waits, &[]).await.unwrap().get::<_, i64>(0) == count })
        .await;
}

#[test]
fn write_after_a_takeover_is_lost_although_it_began_before() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        let mut other = client(&server.url()).await;
        for (sql, is_committed) in [
            ("UPDATE {table}_lock SET holder = '\\xA2'", true),
            ("UPDATE {table}_lock SET holder = '\\xA2'", false),
            ("UPDATE {table}_lock SET until = clock_timestamp()", true),
            ("DELETE FROM {table}_lock", true),
        ] {
            store.clear().await.unwrap();
            let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
            other.execute(&format!("DROP TABLE IF EXISTS {table}_lock"), &[]).await.unwrap();
            assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
            let taking = other.transaction().await.unwrap();
            taking.execute(&sql.replace("{table}", &table), &[]).await.unwrap();
            let ours = store.clone();
            let waiting = tokio::spawn(async move { update(&ours, "a", revision).await });
            until_waiting(server, &table, 1).await;
            if is_committed {
                taking.commit().await.unwrap();
                assert_eq!(waiting.await.unwrap(), Fenced::Lost, "{sql}");
                assert_eq!(text(&store, "a", NOW).await, TEXT);
            } else {
                taking.rollback().await.unwrap();
                assert!(matches!(waiting.await.unwrap(), Fenced::Held(Updated::Done(_))));
                assert_eq!(text(&store, "a", NOW).await, CHANGED);
            }
        }
    });
}

/// The write is held up after it has looked at its lock, and before it is committed.
#[test]
fn takeover_waits_for_a_write_that_has_begun() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
        assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
        let (gate, taker) = (client(&server.url()).await, client(&server.url()).await);
        let held_up = format!(
            "CREATE FUNCTION hold_{table}() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NEW; END'; \
             CREATE TRIGGER hold BEFORE UPDATE ON {table} \
             FOR EACH ROW EXECUTE FUNCTION hold_{table}(); \
             SELECT pg_advisory_lock(77)"
        );
        gate.batch_execute(&held_up).await.unwrap();
        let ours = store.clone();
        let writing = tokio::spawn(async move { update(&ours, "a", revision).await });
        until_waiting(server, &table, 1).await;
        let takes = format!("UPDATE {table}_lock SET holder = '\\xA2'");
        let taking = tokio::spawn(async move { taker.execute(&takes, &[]).await.unwrap() });
        until_waiting(server, &table, 2).await;
        assert!(!taking.is_finished());
        gate.batch_execute("SELECT pg_advisory_unlock(77)").await.unwrap();
        assert!(matches!(writing.await.unwrap(), Fenced::Held(Updated::Done(_))));
        assert_eq!(taking.await.unwrap(), 1);
        assert_eq!(text(&store, "a", NOW).await, CHANGED);
        assert_eq!(update(&store, "a", Revision::of_text(CHANGED)).await, Fenced::Lost);
    });
}

#[test]
fn write_under_a_lock_waits_for_other_writers_of_the_record() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        let mut other = client(&server.url()).await;
        for (sql, expected) in [
            (format!("UPDATE {table} SET sess = '{THEIRS}'"), "conflict"),
            (format!("UPDATE {table} SET expire = '2999-01-01'"), "done"),
            (format!("DELETE FROM {table}"), "gone"),
        ] {
            store.clear().await.unwrap();
            let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
            assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
            let writing = other.transaction().await.unwrap();
            writing.execute(&sql, &[]).await.unwrap();
            let ours = store.clone();
            let waiting = tokio::spawn(async move { update(&ours, "a", revision).await });
            until_waiting(server, &table, 1).await;
            writing.commit().await.unwrap();
            let outcome = match waiting.await.unwrap() {
                Fenced::Held(Updated::Done(_)) => "done",
                Fenced::Held(Updated::Conflict(current)) => {
                    assert_eq!(&*current.record.text, THEIRS);
                    "conflict"
                }
                Fenced::Held(Updated::Gone) => "gone",
                Fenced::Lost => "lost",
            };
            assert_eq!(outcome, expected, "{sql}");
        }
    });
}

#[test]
fn other_calls_about_locks_make_the_table_too() {
    on_server(|server| async move {
        let (store, _) = store(server).await;
        let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
        assert_eq!(update(&store, "a", revision).await, Fenced::Lost);
        let (store, table) = super::support::store(server).await;
        store.unlock(&id("a"), ONE).await.unwrap();
        let sql =
            format!("SELECT relpersistence::text FROM pg_class WHERE relname = '{table}_lock'");
        let kind: String = client(&server.url()).await.query_one(&sql, &[]).await.unwrap().get(0);
        assert_eq!(kind, "u", "it is not logged");
    });
}

#[test]
fn error_for_a_role_without_the_right_to_create_the_table_shows_the_statement() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        create(&store, "a", &record(TEXT, after(60_000))).await;
        let admin = client(&server.url()).await;
        let role = fresh("web");
        let grants = format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}"
        );
        admin.batch_execute(&grants).await.unwrap();
        let url = server.url().replace("postgres@", &format!("{role}@"));
        let theirs = PostgresStore::new(&url).unwrap().table_name(&table);
        assert!(load(&theirs, "a", NOW).await.is_some());
        let locked = theirs.lock(&id("a"), ONE, HOUR, NOW).await;
        let shown = shown(locked, ErrorKind::Refused);
        let (_, statement) = shown.split_once("may not make: ").unwrap();
        let (statement, _) = statement.split_once(" Error").unwrap();
        assert!(statement.starts_with("CREATE UNLOGGED TABLE"), "{statement}");
        // An administrator who runs it, and grants it to the role, gets locks.
        admin.batch_execute(statement).await.unwrap();
        let grants = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {table}_lock TO {role}");
        admin.batch_execute(&grants).await.unwrap();
        assert!(matches!(lock(&theirs, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
        let revision = Revision::of_text(TEXT);
        assert!(matches!(update(&theirs, "a", revision).await, Fenced::Held(Updated::Done(_))));
        theirs.purge(10, NOW).await.unwrap();
        theirs.unlock(&id("a"), ONE).await.unwrap();
    });
}

#[test]
fn id_that_the_table_cannot_keep_has_no_lock() {
    on_server(|server| async move {
        let (store, _) = store(server).await;
        shown(store.lock(&id("a\0"), ONE, HOUR, NOW).await, ErrorKind::Unsuitable);
        assert_eq!(update(&store, "a\0", Revision::of_text(TEXT)).await, Fenced::Lost);
        store.unlock(&id("a\0"), ONE).await.unwrap();
    });
}

#[test]
fn tables_that_need_quotes_have_their_own_locks() {
    on_server(|server| async move {
        let [one, other] = ["it's \"Session\"", "it's \"Session\" too"].map(|name| {
            let store = PostgresStore::new(&server.url()).unwrap().schema_name("public");
            store.table_name(fresh(name)).create_table_if_missing(true)
        });
        assert!(matches!(lock(&one, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
        assert!(matches!(lock(&other, "a", OTHER, HOUR).await, LockOutcome::Acquired(_)));
        assert_eq!(lock(&one, "a", OTHER, HOUR).await, LockOutcome::Held);
    });
}
