//! The SQLite store writes what the npm stores write, and takes what they have written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::local::{Folder, NOW, id, later, record};
use express_session::store::sqlite::{Dialect, SqliteStore, Synchronous};
use express_session::store::{
    Admin, Created, ErrorKind, Fenced, Loaded, LockOutcome, LockToken, Record, Revision, Store,
    Touch, Touched, Updated,
};
use express_session::{SessionId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

const ALL: [Dialect; 3] =
    [Dialect::ConnectSqlite3, Dialect::BetterSqlite3SessionStore, Dialect::ConnectSessionKnex];

/// The session of the recorded examples, with a max age and without.
const A: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2026-11-23T17:08:15.973Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;
const B: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;

fn a() -> SessionId {
    id(&"A".repeat(32))
}

fn b() -> SessionId {
    id(&"B".repeat(32))
}

/// The expiry of the recorded session, an hour after it was saved.
fn end_of_a() -> Timestamp {
    Timestamp::parse("2026-11-23T17:08:15.973Z").unwrap()
}

fn saved() -> Timestamp {
    Timestamp::from_millis(end_of_a().millis() - 3_600_000)
}

fn end_column(dialect: Dialect) -> &'static str {
    if dialect == Dialect::BetterSqlite3SessionStore { "expire" } else { "expired" }
}

/// Makes the table of a dialect with the statement of the npm store.
fn make_table(path: &Path, dialect: Dialect) {
    Connection::open(path).unwrap().execute_batch(made_by_node(dialect)).unwrap();
}

/// A file for each dialect with the table of the npm store.
fn tables() -> impl Iterator<Item = (Dialect, PathBuf, Folder)> {
    ALL.into_iter().map(|dialect| {
        let folder = Folder::new();
        let path = folder.fresh();
        make_table(&path, dialect);
        (dialect, path, folder)
    })
}

/// Replaces the row of the session, as connect-sqlite3 does.
fn replace(path: &Path, end: f64, text: &Value) {
    let sql = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)";
    Connection::open(path).unwrap().execute(sql, params![a().as_str(), end, text]).unwrap();
}

/// Whether the dialect has numbers for times.
fn is_number(dialect: Dialect) -> bool {
    dialect == Dialect::ConnectSqlite3
}

/// A store with these options on a file of its own.
fn opened(options: fn(SqliteStore) -> SqliteStore) -> (SqliteStore, PathBuf, Folder) {
    let folder = Folder::new();
    let path = folder.fresh();
    (options(SqliteStore::new(&path)), path, folder)
}

/// Puts a row into the table of a dialect, as the npm store does.
fn insert(path: &Path, dialect: Dialect, end: &Value, text: &str) {
    let sql = format!("INSERT INTO sessions (sid, sess, {}) VALUES (?, ?, ?)", end_column(dialect));
    let connection = Connection::open(path).unwrap();
    connection.execute(&sql, params![a().as_str(), text, end]).unwrap();
}

/// The statement that each npm store sent to SQLite, as SQLite remembers it.
fn made_by_node(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::ConnectSqlite3 => "CREATE TABLE sessions (sid PRIMARY KEY, expired, sess)",
        Dialect::BetterSqlite3SessionStore => {
            "CREATE TABLE sessions ( sid TEXT NOT NULL PRIMARY KEY, sess JSON NOT NULL, expire TEXT NOT NULL )"
        }
        Dialect::ConnectSessionKnex | _ => {
            "CREATE TABLE `sessions` (`sid` varchar(255), `sess` json not null, `expired` datetime not null, primary key (`sid`));\
             CREATE INDEX `sessions_expired_index` on `sessions` (`expired`)"
        }
    }
}

/// Returns the end and the text of a row, each as its column has it.
fn row(path: &Path, dialect: Dialect, id: &SessionId) -> (Value, Value) {
    let sql = format!("SELECT {}, sess FROM sessions WHERE sid = ?1", end_column(dialect));
    Connection::open(path)
        .unwrap()
        .query_row(&sql, [id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

async fn create(store: &SqliteStore, id: &SessionId, record: &Record, now: Timestamp) {
    assert!(matches!(store.create(id, record, now).await.unwrap(), Created::Done(_)));
}

async fn load(store: &SqliteStore, id: &SessionId, now: Timestamp) -> Option<Loaded> {
    store.load(id, now).await.unwrap()
}

async fn refusal(store: &SqliteStore) -> ErrorKind {
    store.load(&a(), NOW).await.unwrap_err().kind()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_that_is_made_is_the_npm_stores() {
    // SQLite keeps the statement as it was sent; quotes and spaces make no difference.
    let plain = |sql: &str| sql.replace(['"', '`', ' '], "").to_lowercase();
    let folder = Folder::new();
    for dialect in ALL {
        let path = folder.fresh();
        assert_eq!(SqliteStore::new(&path).dialect(dialect).open().await.unwrap(), dialect);
        let connection = Connection::open(&path).unwrap();
        let mut schema = connection
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type DESC")
            .unwrap();
        let schema = schema.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let schema: Vec<_> = schema.map(|sql| plain(&sql.unwrap())).collect();
        assert_eq!(schema.join(";"), plain(made_by_node(dialect)), "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_decides_the_dialect() {
    for (dialect, path, _folder) in tables() {
        assert_eq!(SqliteStore::new(&path).open().await.unwrap(), dialect);
        for wanted in ALL {
            let opened = SqliteStore::new(&path).dialect(wanted).open().await;
            match opened {
                Ok(opened) => assert_eq!((opened, wanted), (dialect, dialect)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Refused);
                    assert_ne!(wanted, dialect);
                }
            }
        }
    }
    let new = SqliteStore::new(Folder::new().fresh()).open().await.unwrap();
    assert_eq!(new, Dialect::ConnectSqlite3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_those_of_the_npm_stores() {
    for (dialect, path, _folder) in tables() {
        let store = SqliteStore::new(&path);
        create(&store, &a(), &record(A, end_of_a()), saved()).await;
        create(&store, &b(), &record(B, None), saved()).await;
        let (end, day_later) = if is_number(dialect) {
            let end = end_of_a().millis() as f64;
            (Value::Real(end), Value::Real(end - 3_600_000.0 + 86_400_000.0))
        } else {
            (text("2026-11-23T17:08:15.973Z"), text("2026-11-24T16:08:15.973Z"))
        };
        assert_eq!(row(&path, dialect, &a()), (end, text(A)), "{dialect:?}");
        assert_eq!(row(&path, dialect, &b()), (day_later, text(B)), "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_the_npm_stores_are_read() {
    for (dialect, path, _folder) in tables() {
        let (number, date) = (Value::Real(1_795_453_695_973.0), text("2026-11-23T17:08:15.973Z"));
        insert(&path, dialect, if is_number(dialect) { &number } else { &date }, A);
        let store = SqliteStore::new(&path);
        let loaded = load(&store, &a(), saved()).await.unwrap();
        assert_eq!(loaded.record, record(A, end_of_a()), "{dialect:?}");
        let page = store.list(None, 10, saved()).await.unwrap();
        assert_eq!(page.sessions, [(a(), record(A, end_of_a()))]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meanwhile_a_write_of_node_is_a_conflict() {
    let (store, path, _folder) = opened(|store| store);
    create(&store, &a(), &record(A, end_of_a()), saved()).await;
    let loaded = load(&store, &a(), saved()).await.unwrap();
    replace(&path, 1_795_453_695_973.0, &text(B));
    let update = store.update(&a(), &record(A, end_of_a()), &loaded.revision, saved()).await;
    let Updated::Conflict(current) = update.unwrap() else { panic!("Node's save is lost") };
    assert_eq!(&*current.record.text, B);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn touch_moves_the_end_and_nothing_else() {
    for (dialect, path, _folder) in tables() {
        let store = SqliteStore::new(&path);
        create(&store, &a(), &record(A, end_of_a()), saved()).await;
        let touch = Touch::new("{}", Some(later(7200)));
        assert_eq!(store.touch(&a(), &touch, saved()).await.unwrap(), Touched::Done);
        let loaded = load(&store, &a(), saved()).await.unwrap();
        assert_eq!(loaded.record, record(A, later(7200)), "{dialect:?}");
        assert_eq!(row(&path, dialect, &a()).1, text(A));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn touch_without_an_expiry_is_as_in_the_npm_store() {
    for (dialect, path, _folder) in tables() {
        let store = SqliteStore::new(&path).ttl(Duration::from_secs(60));
        create(&store, &b(), &record(B, None), NOW).await;
        let touch = Touch::new("{}", None);
        assert_eq!(store.touch(&b(), &touch, later(10)).await.unwrap(), Touched::Done);
        let is_moved = dialect == Dialect::BetterSqlite3SessionStore;
        let end = |is_moved, by: i64| if is_moved { later(60 + by) } else { later(60) };
        let loaded = load(&store, &b(), NOW).await.unwrap();
        assert_eq!(loaded.record.deadline, Some(end(is_moved, 10)), "{dialect:?}");
        assert_eq!(store.touch(&b(), &touch, later(200)).await.unwrap(), Touched::Gone);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_ends_when_it_does_in_the_npm_store() {
    let at = |millis: i64| Timestamp::from_millis(1_700_000_000_000 + millis);
    for (dialect, path, _folder) in tables() {
        let store = SqliteStore::new(&path).cleanup_interval(None);
        create(&store, &a(), &record(A, at(5500)), at(0)).await;
        let last = if dialect == Dialect::BetterSqlite3SessionStore { 4999 } else { 5499 };
        assert!(load(&store, &a(), at(last)).await.is_some(), "{dialect:?}");
        assert_eq!(store.count(at(last)).await.unwrap(), 1);
        assert!(load(&store, &a(), at(last + 1)).await.is_none(), "{dialect:?}");
        assert_eq!(store.count(at(last + 1)).await.unwrap(), 0);
        // Where Node still gives it, or may, for the rest of the second, it is not removed yet.
        let whole = if dialect == Dialect::ConnectSqlite3 { 5501 } else { 6000 };
        assert_eq!(store.purge(10, at(whole - 1)).await.unwrap(), 0, "{dialect:?}");
        assert_eq!(store.purge(10, at(whole)).await.unwrap(), 1, "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_that_is_none_is_no_session_and_no_error() {
    for (dialect, path, _folder) in tables() {
        let none = if is_number(dialect) { Value::Null } else { text("soon") };
        insert(&path, dialect, &none, A);
        let store = SqliteStore::new(&path);
        assert_eq!(load(&store, &a(), NOW).await, None, "{dialect:?}");
        assert_eq!(store.count(NOW).await.unwrap(), 0);
        create(&store, &a(), &record(A, later(60)), NOW).await;
        assert!(load(&store, &a(), NOW).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_deadline_is_kept_as_far_as_the_column_can() {
    for (dialect, path, _folder) in tables() {
        let store = SqliteStore::new(&path);
        create(&store, &a(), &record(A, Timestamp::MAX), NOW).await;
        let end = load(&store, &a(), NOW).await.unwrap().record.deadline.unwrap();
        let last = Timestamp::parse("9999-12-31T23:59:59.999Z").unwrap();
        assert_eq!(end, if is_number(dialect) { Timestamp::MAX } else { last }, "{dialect:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_a_json_column_would_change_is_refused() {
    for (dialect, path, _folder) in tables() {
        let store = SqliteStore::new(&path);
        for number in ["1", " -1.0 ", "1e3", "+.5"] {
            let created = store.create(&a(), &record(number, None), NOW).await;
            if dialect == Dialect::ConnectSqlite3 {
                assert_eq!(&*load(&store, &a(), NOW).await.unwrap().record.text, number);
                store.destroy(&a()).await.unwrap();
            } else {
                assert_eq!(created.unwrap_err().kind(), ErrorKind::Unsuitable);
                assert_eq!(load(&store, &a(), NOW).await, None);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_without_a_text_is_corrupt_and_stays() {
    let (store, path, _folder) = opened(|store| store);
    create(&store, &b(), &record(B, None), NOW).await;
    for planted in [Value::Null, Value::Integer(5), Value::Blob(A.as_bytes().to_vec())] {
        replace(&path, 1e13, &planted);
        assert_eq!(refusal(&store).await, ErrorKind::Corrupt);
        let error = store.load(&a(), NOW).await.unwrap_err();
        assert!(!format!("{error:?}").contains("AAA"));
        assert_eq!(store.create(&a(), &record(A, None), NOW).await.unwrap(), Created::Taken);
        let listed = store.list(None, 10, NOW).await.unwrap().sessions;
        assert_eq!(listed.len(), 1, "the others are listed");
        assert_eq!(row(&path, Dialect::ConnectSqlite3, &a()).1, planted);
    }
    store.destroy(&a()).await.unwrap();
    assert_eq!(load(&store, &a(), NOW).await, None);
}

fn rows(path: &Path) -> i64 {
    rows_of(path, "sessions")
}

fn rows_of(path: &Path, table: &str) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

const HOLDER: LockToken = LockToken::from_random([1; LockToken::BYTES]);
const LEASE: Duration = Duration::from_secs(30);

async fn acquire(store: &SqliteStore, id: &SessionId, lease: Duration) {
    assert!(matches!(store.lock(id, HOLDER, lease, NOW).await.unwrap(), LockOutcome::Acquired(_)));
}

fn has_locks(path: &Path) -> bool {
    let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'sessions_locks'";
    Connection::open(path).unwrap().prepare(sql).unwrap().exists([]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_are_rows_of_another_table_which_the_first_lock_makes() {
    for (_, path, _folder) in tables() {
        let store = SqliteStore::new(&path);
        create(&store, &a(), &record(A, later(60)), NOW).await;
        store.unlock(&a(), HOLDER).await.unwrap();
        let seen = Revision::of_text(A);
        let fenced = store.update_locked(&a(), &record(B, None), &seen, HOLDER, NOW).await;
        assert_eq!(fenced.unwrap(), Fenced::Lost);
        assert!(!has_locks(&path), "created without a lock");

        for id in [a(), b()] {
            acquire(&store, &id, LEASE).await;
        }
        assert_eq!((rows(&path), rows_of(&path, "sessions_locks")), (1, 2));
        store.clear().await.unwrap();
        assert_eq!((rows(&path), rows_of(&path, "sessions_locks")), (0, 2));
        store.unlock(&a(), HOLDER).await.unwrap();
        assert_eq!(rows_of(&path, "sessions_locks"), 2, "it keeps its fencing token");

        // Another process may remove it. The next lock makes it again.
        let other = Connection::open(&path).unwrap();
        other.execute_batch("DROP TABLE sessions_locks").unwrap();
        store.unlock(&b(), HOLDER).await.unwrap();
        acquire(&store, &a(), LEASE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_is_refused_where_no_table_may_be_made() {
    let folder = Folder::new();
    let path = folder.fresh();
    make_table(&path, Dialect::ConnectSqlite3);
    let store = SqliteStore::new(&path).create_table(false);
    create(&store, &a(), &record(A, later(60)), NOW).await;
    let refused = store.lock(&a(), HOLDER, LEASE, NOW).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(!has_locks(&path));

    SqliteStore::new(&path).lock(&b(), HOLDER, LEASE, NOW).await.unwrap();
    acquire(&store, &a(), LEASE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_that_are_over_are_removed_with_the_expired_sessions_or_by_a_purge() {
    let (store, path, _folder) = opened(|store| store.cleanup_interval(None));
    let hold = async |from: usize, lease: u64| {
        for number in from..from + 600 {
            let id = id(&format!("session-{number}"));
            let lease = Duration::from_secs(lease);
            acquire(&store, &id, lease).await;
        }
    };
    hold(0, 30).await;
    hold(600, 100_000).await;
    assert_eq!(store.purge(1, later(29)).await.unwrap(), 0);
    assert_eq!(rows_of(&path, "sessions_locks"), 1200);
    // As many as a purge removes in one step, a day after their lease.
    assert_eq!(store.purge(1, later(86_400 + 29)).await.unwrap(), 0);
    assert_eq!(rows_of(&path, "sessions_locks"), 1200);
    assert_eq!(store.purge(1, later(86_400 + 30)).await.unwrap(), 0);
    assert_eq!(rows_of(&path, "sessions_locks"), 700);

    hold(0, 30).await;
    let cleaning = SqliteStore::new(&path).cleanup_interval(Duration::from_secs(3600));
    write(&cleaning, later(86_400 + 30)).await;
    wait_until(|| rows_of(&path, "sessions_locks") == 600);
}

/// Makes a call for the thread that writes, which removes what has expired; a call that only reads goes to others.
async fn write(store: &SqliteStore, now: Timestamp) {
    let touch = Touch::new("{}", Some(now));
    assert_eq!(store.touch(&id("none"), &touch, now).await.unwrap(), Touched::Gone);
}

/// Waits until the store's own thread has come to an end with something.
fn wait_until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_sessions_are_removed_with_the_first_call_and_after_each_interval() {
    for (_, path, _folder) in tables() {
        let hour = 3600;
        let interval = Duration::from_secs(3600);
        {
            let store = SqliteStore::new(&path).cleanup_interval(None);
            for number in 0..1200 {
                let id = id(&format!("session-{number}"));
                create(&store, &id, &record(A, later(number % 2 * 100_000)), later(-10)).await;
            }
        }
        let store = SqliteStore::new(&path).cleanup_interval(interval);
        write(&store, later(10)).await;
        wait_until(|| rows(&path) == 600);

        create(&store, &a(), &record(A, later(20)), later(10)).await;
        write(&store, later(10 + hour - 1)).await;
        write(&store, later(10 + hour - 1)).await;
        assert_eq!(rows(&path), 601, "not yet");
        write(&store, later(10 + hour)).await;
        wait_until(|| rows(&path) == 600);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_removed_where_that_is_off() {
    let (store, path, _folder) = opened(|store| store.cleanup_interval(None));
    create(&store, &a(), &record(A, later(1)), NOW).await;
    for seconds in [10, 100_000, 10_000_000] {
        write(&store, later(seconds)).await;
    }
    assert_eq!(rows(&path), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_distinct_kinds() {
    let folder = Folder::new();
    let nowhere = folder.path().join("no/such/folder/sessions.db");
    assert_eq!(refusal(&SqliteStore::new(&nowhere)).await, ErrorKind::Unavailable);
    let made = SqliteStore::new(&nowhere).create_dir_if_not_exists(true);
    assert_eq!(load(&made, &a(), NOW).await, None);
    assert_eq!(refusal(&SqliteStore::new(folder.path())).await, ErrorKind::Unavailable);

    let path = folder.fresh();
    std::fs::write(&path, "no database at all, however long it may be".repeat(100)).unwrap();
    assert_eq!(refusal(&SqliteStore::new(&path)).await, ErrorKind::Refused);

    let path = folder.fresh();
    assert_eq!(refusal(&SqliteStore::new(&path).create_table(false)).await, ErrorKind::Refused);
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE sessions (id, data)").unwrap();
    assert_eq!(refusal(&SqliteStore::new(&path)).await, ErrorKind::Refused);
    assert_eq!(load(&SqliteStore::new(&path).table("others"), &a(), NOW).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_serves_again_once_the_cause_is_gone() {
    let folder = Folder::new();
    let path = folder.path().join("later/sessions.db");
    let store = SqliteStore::new(&path).cleanup_interval(None);
    assert_eq!(refusal(&store).await, ErrorKind::Unavailable);
    std::fs::create_dir(folder.path().join("later")).unwrap();
    create(&store, &a(), &record(A, None), NOW).await;

    Connection::open(&path).unwrap().execute_batch("DROP TABLE sessions").unwrap();
    let lost = store.create(&a(), &record(A, None), NOW).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Refused);
    create(&store, &a(), &record(A, None), NOW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_database_is_waited_for_and_then_unavailable() {
    let (store, path, _folder) = opened(|store| store.busy_timeout(Duration::from_millis(20)));
    create(&store, &a(), &record(A, None), NOW).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.create(&b(), &record(B, None), NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(std::error::Error::source(&error).is_some());
    assert!(load(&store, &a(), NOW).await.is_some(), "who reads does not wait");
    // The default dialect has no touch of a session without a max age.
    let touch = |deadline| Touch::new("{}", deadline);
    assert_eq!(store.touch(&a(), &touch(None), NOW).await.unwrap(), Touched::Done);
    assert_eq!(store.touch(&b(), &touch(None), NOW).await.unwrap(), Touched::Gone);
    let error = store.touch(&a(), &touch(Some(Timestamp::MAX)), NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    let a_minute = Duration::from_secs(60);
    let hasty = SqliteStore::new(&path).timeout(Duration::from_millis(20)).busy_timeout(a_minute);
    let error = hasty.create(&b(), &record(B, None), NOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // The thread that writes has finished nothing for the timeout: no further write waits. A read goes to its thread, which
    // a busy machine may not run in time.
    let error = hasty.create(&b(), &record(B, None), NOW).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unsent()), (ErrorKind::Unavailable, true));
    let read = hasty.load(&a(), NOW).await;
    assert!(read.err().is_none_or(|error| !error.is_unsent()));
    other.execute_batch("COMMIT").unwrap();
    while let Err(error) = hasty.create(&b(), &record(B, None), NOW).await {
        assert_ne!(error.kind(), ErrorKind::Refused);
        tokio::task::yield_now().await;
    }
    create(&store, &id("C"), &record(B, None), NOW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_calls_wait_together_for_a_held_database() {
    let (store, path, _folder) = opened(|store| store.busy_timeout(Duration::from_millis(300)));
    store.open().await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // One after the other, these would take longer than the timeout of 5 s.
    let calls = (0..50).map(|number| {
        let store = store.clone();
        let call =
            async move { store.create(&id(&format!("s-{number}")), &record(A, None), NOW).await };
        tokio::spawn(call)
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_and_files_go_with_the_store() {
    let folder = Folder::new();
    // Every thread has a connection by then, and all are closed together.
    for _ in 0..20 {
        let path = folder.fresh();
        let store = SqliteStore::new(&path).readers(4);
        create(&store, &a(), &record(A, None), NOW).await;
        let loads = (0..64).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { load(&store, &a(), NOW).await })
        });
        for load in loads.collect::<Vec<_>>() {
            load.await.unwrap();
        }
        let mut log = path.into_os_string();
        log.push("-wal");
        let log = PathBuf::from(log);
        assert!(log.exists());
        drop(store);
        // SQLite removes it with the last connection.
        wait_until(|| !log.exists());
    }
}

/// Concurrent calls share a transaction; one that fails must not take the others along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_fails_does_not_spoil_those_beside_it() {
    let (store, path, _folder) = opened(|store| store);
    store.open().await.unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER picky BEFORE INSERT ON sessions WHEN NEW.sid LIKE 'bad%' \
             BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
        )
        .unwrap();
    let calls = (0..200).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let kind = if number % 10 == 0 { "bad" } else { "good" };
            let id = id(&format!("{kind}-{number}"));
            let created = store.create(&id, &record(A, None), NOW).await;
            assert_eq!(created.is_ok(), number % 10 != 0, "{number}: {created:?}");
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(store.count(NOW).await.unwrap(), 180);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durability_is_as_the_options_say() {
    let folder = Folder::new();
    let mode = |path: &Path| -> String {
        let connection = Connection::open(path).unwrap();
        connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap()
    };
    let (log, none) = (folder.fresh(), folder.fresh());
    SqliteStore::new(&log).synchronous(Synchronous::Full).open().await.unwrap();
    assert_eq!(mode(&log), "wal");
    SqliteStore::new(&none).concurrent_db(false).open().await.unwrap();
    assert_eq!(mode(&none), "delete");
    SqliteStore::new(&log).concurrent_db(false).open().await.unwrap();
    assert_eq!(mode(&log), "wal", "what Node has turned on stays on");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (store, path, _folder) = opened(|store| store);
    create(&store, &a(), &record(A, None), NOW).await;
    let log = path.with_file_name(format!("{}-wal", path.file_name().unwrap().display()));
    for file in [&path, &log] {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_is_refused_and_every_session_stays_as_it_was() {
    for has_log in [true, false] {
        let Some(disk) = crate::local::SmallDisk::new() else { return };
        let store = SqliteStore::new(disk.path().join("sessions.db")).concurrent_db(has_log);
        let text = |number: usize| {
            format!(r#"{{"cookie":{{}},"n":{number},"fill":"{}"}}"#, "x".repeat(50_000))
        };
        create(&store, &a(), &record(A, later(60)), NOW).await;
        let mut saved = 0;
        let error = loop {
            let big = record(&text(saved), later(60));
            match store.create(&id(&format!("s-{saved}")), &big, NOW).await {
                Ok(created) => assert!(matches!(created, Created::Done(_))),
                Err(error) => break error,
            }
            saved += 1;
        };
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
        assert!(saved > 2);
        assert_eq!(load(&store, &a(), NOW).await.unwrap().record, record(A, later(60)));
        for number in 0..saved {
            let loaded = load(&store, &id(&format!("s-{number}")), NOW).await.unwrap();
            assert_eq!(*loaded.record.text, text(number));
        }
    }
}
