//! Locks are rows of a table beside the sessions.

use std::time::Duration;

use express_session::store::{
    Admin as _, Fenced, LockOutcome, LockToken, Revision, Store, Updated,
};

use super::{Database, NOW, TEXT, after, create, id, load, record, store, text, until};

pub(crate) const ONE: LockToken = LockToken::from_random([0xA1; 16]);
pub(crate) const OTHER: LockToken = LockToken::from_random([0xA2; 16]);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) async fn lock(
    store: &impl Store,
    name: &str,
    holder: LockToken,
    lease: Duration,
) -> LockOutcome {
    store.lock(&id(name), holder, lease, NOW).await.unwrap()
}

pub(crate) async fn update(
    store: &impl Store,
    name: &str,
    text: &str,
    expected: Revision,
) -> Fenced {
    let record = record(text, after(60_000));
    store.update_locked(&id(name), &record, &expected, ONE, NOW).await.unwrap()
}

/// Texts that take the short and the long way.
pub(crate) fn changes() -> [String; 2] {
    [1, 20_000].map(|length| format!(r#"{{"cookie":{{}},"a":"{}"}}"#, "x".repeat(length)))
}

/// Waits until so many statements about a table wait for another transaction's lock.
pub(crate) async fn until_waiting<D: Database>(server: &D::Server, table: &str, count: u64) {
    /// Held by the one test that looks: what MariaDB shows is old for as long as any client looks at it
    /// more often than each 0.1 s.
    static WATCH: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _alone = WATCH.lock().await;
    let mut watcher = D::client(&D::url(server)).await;
    let sql = format!("SELECT CONCAT(COUNT(*)) FROM {}", D::waiting(table));
    let waiting = async {
        while D::texts(&mut watcher, &sql).await != [count.to_string()] {
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never came about");
}

pub(crate) async fn first_locks_of_many_processes_make_one_table<D: Database>() {
    let Some(server) = D::shared() else { return };
    for _ in 0..5 {
        let (store, table) = store::<D>(server).await;
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let store = D::open(&D::url(server), &table);
                let name = format!("id-{number}");
                tokio::spawn(async move { lock(&store, &name, ONE, HOUR).await })
            })
            .collect();
        for task in tasks {
            assert!(matches!(task.await.unwrap(), LockOutcome::Acquired(_)));
        }
        assert_eq!(lock(&store, "id-7", OTHER, HOUR).await, LockOutcome::Held);
    }
}

pub(crate) async fn locks_with_an_expired_lease_are_removed_with_the_sessions<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (store, table) = store::<D>(server).await;
    let names = || async {
        let sql = format!("SELECT {0} FROM {table}_lock ORDER BY {0}", D::ID);
        D::texts(&mut D::client(&D::url(server)).await, &sql).await
    };
    // Without a table there is nothing to remove, and none is made.
    assert_eq!(store.purge(10, NOW).await.unwrap(), 0);
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_name = ";
    let mut admin = D::client(&D::url(server)).await;
    assert!(D::texts(&mut admin, &format!("{tables}'{table}_lock'")).await.is_empty());

    for (name, lease) in [("over", Duration::ZERO), ("held", HOUR), ("long", Duration::MAX)] {
        assert!(matches!(lock(&store, name, ONE, lease).await, LockOutcome::Acquired(_)));
    }
    assert_eq!(store.purge(10, NOW).await.unwrap(), 0, "a lock is no session");
    assert_eq!(names().await, ["held", "long", "over"], "it keeps its fencing token for a day");
    let age = format!("UPDATE {table}_lock SET until = {} WHERE {} = 'over'", D::LONG_AGO, D::ID);
    D::execute(&mut admin, &age).await;
    store.purge(10, NOW).await.unwrap();
    assert_eq!(names().await, ["held", "long"]);
    assert_eq!(lock(&store, "long", OTHER, HOUR).await, LockOutcome::Held);

    // And in the round that calls start by themselves.
    assert!(matches!(lock(&store, "over", ONE, Duration::ZERO).await, LockOutcome::Acquired(_)));
    D::execute(&mut admin, &age).await;
    let store = D::cleanup_interval(store, Some(Duration::from_secs(60)));
    load(&store, "nobody", NOW).await;
    load(&store, "nobody", after(600_000)).await;
    until(|| async { names().await == ["held", "long"] }).await;
}

pub(crate) async fn write_after_a_takeover_is_lost_although_it_began_before<D: Database>() {
    let Some(server) = D::shared() else { return };
    let mut other = D::client(&D::url(server)).await;
    for change in changes() {
        for (store, table) in D::isolated(server).await {
            for (sql, is_committed) in [
                (format!("UPDATE {table}_lock SET holder = 'theirs'"), true),
                (format!("UPDATE {table}_lock SET holder = 'theirs'"), false),
                (format!("UPDATE {table}_lock SET until = {}", D::PAST), true),
                (format!("DELETE FROM {table}_lock"), true),
            ] {
                store.clear().await.unwrap();
                let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
                D::execute(&mut other, &format!("DROP TABLE IF EXISTS {table}_lock")).await;
                assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
                D::execute(&mut other, "BEGIN").await;
                D::execute(&mut other, &sql).await;
                let (ours, new) = (store.clone(), change.clone());
                let waiting = tokio::spawn(async move { update(&ours, "a", &new, revision).await });
                until_waiting::<D>(server, &table, 1).await;
                D::execute(&mut other, if is_committed { "COMMIT" } else { "ROLLBACK" }).await;
                let fenced = waiting.await.unwrap();
                let kept = text(&store, "a", NOW).await;
                if is_committed {
                    assert_eq!((fenced, &*kept), (Fenced::Lost, TEXT), "{sql}");
                } else {
                    assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "{fenced:?}");
                    assert_eq!(kept, change);
                }
            }
        }
    }
}

/// The write is held up after it has looked at its lock, and before it is committed.
pub(crate) async fn takeover_waits_for_a_write_that_has_begun<D: Database>() {
    let Some(server) = D::shared() else { return };
    for change in changes() {
        for (store, table) in D::isolated(server).await {
            let revision = create(&store, "a", &record(TEXT, after(60_000))).await;
            assert!(matches!(lock(&store, "a", ONE, HOUR).await, LockOutcome::Acquired(_)));
            let url = D::url(server);
            let (mut gate, mut taker) = (D::client(&url).await, D::client(&url).await);
            for sql in D::hold_up(&table) {
                D::execute(&mut gate, &sql).await;
            }
            let (ours, new) = (store.clone(), change.clone());
            let writing = tokio::spawn(async move { update(&ours, "a", &new, revision).await });
            until_waiting::<D>(server, &table, 1).await;
            let takes = format!("UPDATE {table}_lock SET holder = 'theirs'");
            let taking = tokio::spawn(async move { D::execute(&mut taker, &takes).await });
            until_waiting::<D>(server, &table, 2).await;
            assert!(!taking.is_finished());
            D::execute(&mut gate, D::LET_GO).await;
            let fenced = writing.await.unwrap();
            assert!(matches!(fenced, Fenced::Held(Updated::Done(_))), "{fenced:?}");
            taking.await.unwrap();
            assert_eq!(text(&store, "a", NOW).await, change);
            let again = update(&store, "a", &change, Revision::of_text(&change)).await;
            assert_eq!(again, Fenced::Lost);
        }
    }
}
