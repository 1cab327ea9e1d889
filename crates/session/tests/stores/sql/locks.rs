//! Locks are rows of a table beside the sessions.

use std::time::Duration;

use express_session::store::{Admin as _, LockOutcome, LockToken, Store};

use super::{Database, NOW, after, id, load, on_server, store, until};

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

pub(crate) fn first_locks_of_many_processes_make_one_table<D: Database>() {
    on_server::<D, _>(|server| async move {
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
    });
}

pub(crate) fn locks_with_an_expired_lease_are_removed_with_the_sessions<D: Database>() {
    on_server::<D, _>(|server| async move {
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
        let age =
            format!("UPDATE {table}_lock SET until = {} WHERE {} = 'over'", D::LONG_AGO, D::ID);
        D::execute(&mut admin, &age).await;
        store.purge(10, NOW).await.unwrap();
        assert_eq!(names().await, ["held", "long"]);
        assert_eq!(lock(&store, "long", OTHER, HOUR).await, LockOutcome::Held);

        // And in the round that calls start by themselves.
        assert!(matches!(
            lock(&store, "over", ONE, Duration::ZERO).await,
            LockOutcome::Acquired(_)
        ));
        D::execute(&mut admin, &age).await;
        let store = D::cleanup_interval(store, Duration::from_secs(60));
        load(&store, "nobody", NOW).await;
        load(&store, "nobody", after(600_000)).await;
        until(|| async { names().await == ["held", "long"] }).await;
    });
}
