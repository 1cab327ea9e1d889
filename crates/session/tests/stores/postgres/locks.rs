//! Locks are rows beside the sessions, and hold against others on the server's own terms.

use express_session::store::postgres::PostgresStore;
use express_session::store::{
    Admin as _, ErrorKind, Fenced, LockOutcome, Revision, Store as _, Updated,
};

use super::support::{Db, NOW, TEXT, after, create, fresh, id, load, record, shown, store};
use crate::sql::Database as _;
use crate::sql::locks::{HOUR, ONE, OTHER, lock, until_waiting, update};

const CHANGED: &str = r#"{"cookie":{},"n":2}"#;
const THEIRS: &str = r#"{"cookie":{},"n":7}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_under_a_lock_waits_for_other_writers_of_the_record() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    let mut other = Db::client(&server.url()).await;
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
        let waiting = tokio::spawn(async move { update(&ours, "a", CHANGED, revision).await });
        until_waiting::<Db>(server, &table, 1).await;
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
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_calls_about_locks_make_the_table_too() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
    assert_eq!(update(&store, "a", CHANGED, revision).await, Fenced::Lost);
    let (store, table) = super::support::store(server).await;
    store.unlock(&id("a"), ONE).await.unwrap();
    let sql = format!("SELECT relpersistence::text FROM pg_class WHERE relname = '{table}_lock'");
    let kind: String = Db::client(&server.url()).await.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(kind, "u", "it is not logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_for_a_role_without_the_right_to_create_the_table_shows_the_statement() {
    let Some(server) = Db::shared() else { return };
    let (store, table) = store(server).await;
    create(&store, "a", &record(TEXT, after(60_000))).await;
    let admin = Db::client(&server.url()).await;
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
    assert!(matches!(
        update(&theirs, "a", CHANGED, revision).await,
        Fenced::Held(Updated::Done(_))
    ));
    theirs.purge(10, NOW).await.unwrap();
    theirs.unlock(&id("a"), ONE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn id_that_the_table_cannot_keep_has_no_lock() {
    let Some(server) = Db::shared() else { return };
    let (store, _) = store(server).await;
    shown(store.lock(&id("a\0"), ONE, HOUR, NOW).await, ErrorKind::Unsuitable);
    assert_eq!(update(&store, "a\0", CHANGED, Revision::of_text(TEXT)).await, Fenced::Lost);
    store.unlock(&id("a\0"), ONE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_need_quotes_have_their_own_locks() {
    let Some(server) = Db::shared() else { return };
    let [one, other] = ["it's \"Session\"", "it's \"Session\" too"].map(|name| {
        let store = PostgresStore::new(&server.url()).unwrap().schema_name("public");
        store.table_name(fresh(name)).create_table_if_missing(true)
    });
    assert!(matches!(lock(&one, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
    assert!(matches!(lock(&other, "a", OTHER, HOUR).await, LockOutcome::Acquired(_)));
    assert_eq!(lock(&one, "a", OTHER, HOUR).await, LockOutcome::Held);
}
