//! The options that both stores have.

use std::time::Duration;

use express_session::store::{Admin as _, Store as _, Touched};

use super::{Database, NOW, TEXT, after, create, fresh, id, load, record, store, touch, until};

pub(crate) async fn concurrent_first_calls_that_create_the_table_all_succeed<D: Database>() {
    let Some(server) = D::shared() else { return };
    for _ in 0..5 {
        let name = fresh("contested");
        let task = |number| {
            let store = D::open(&D::url(server), &name);
            let id = id(&format!("id-{number}"));
            tokio::spawn(async move { store.create(&id, &record(TEXT, None), NOW).await })
        };
        let tasks: Vec<_> = (0..8).map(task).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
}

pub(crate) async fn disabled_touch_moves_nothing<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (store, _) = store::<D>(server).await;
    let store = D::disable_touch(store);
    assert!(!store.supports_touch());
    create(&store, "a", &record(TEXT, after(5000))).await;
    let loaded = load(&store, "a", NOW).await.unwrap();
    let touched = store.touch(&id("a"), &touch(after(60_000)), NOW).await.unwrap();
    assert_eq!(touched, Touched::Done);
    assert_eq!(load(&store, "a", NOW).await, Some(loaded));
    let none = store.touch(&id("b"), &touch(after(60_000)), NOW).await.unwrap();
    assert_eq!(none, Touched::Gone);
}

pub(crate) async fn ttl_is_for_sessions_without_an_expiry_of_their_own<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (store, _) = store::<D>(server).await;
    create(&store, "day", &record(TEXT, None)).await;
    let day = load(&store, "day", NOW).await.unwrap();
    assert_eq!(day.record.deadline, Some(after(86_400_000)));

    let store = D::ttl(store, Duration::from_millis(1500));
    create(&store, "short", &record(TEXT, None)).await;
    let short = load(&store, "short", NOW).await.unwrap();
    assert_eq!(short.record.deadline, Some(after(2000)));
    create(&store, "own", &record(TEXT, after(60_000))).await;
    let own = load(&store, "own", NOW).await.unwrap();
    assert_eq!(own.record.deadline, Some(after(60_000)));
    store.touch(&id("own"), &touch(None), after(1)).await.unwrap();
    let touched = load(&store, "own", NOW).await.unwrap();
    assert_eq!(touched.record.deadline, Some(after(2000)));
}

pub(crate) async fn touch_leaves_the_text_alone<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (store, _) = store::<D>(server).await;
    create(&store, "a", &record(TEXT, after(1000))).await;
    // Twice the same: the row is found, and not changed.
    for _ in 0..2 {
        let touched = store.touch(&id("a"), &touch(after(5000)), NOW).await.unwrap();
        assert_eq!(touched, Touched::Done);
    }
    let loaded = load(&store, "a", NOW).await.unwrap();
    assert_eq!(loaded.record, record(TEXT, after(5000)));
}

pub(crate) async fn expired_sessions_are_removed_after_each_interval_by_the_next_call<
    D: Database,
>() {
    let Some(server) = D::shared() else { return };
    let (opened, table) = store::<D>(server).await;
    let client = tokio::sync::Mutex::new(D::client(&D::url(server)).await);
    let sql = format!("SELECT CONCAT(COUNT(*)) FROM {table}");
    let count = async || D::texts(&mut *client.lock().await, &sql).await.remove(0);
    // More than one step of the removal.
    D::execute(&mut *client.lock().await, &D::fill(&table)).await;

    let store = D::cleanup_interval(opened.clone(), Some(Duration::from_secs(60)));
    create(&store, "live", &record(TEXT, after(120_000))).await;
    load(&store, "live", after(59_999)).await.unwrap();
    assert_eq!(count().await, "2501");
    load(&store, "live", after(60_000)).await.unwrap();
    until(async || count().await == "1").await;

    D::execute(&mut *client.lock().await, &D::fill(&table)).await;
    let never = D::cleanup_interval(opened, None);
    load(&never, "live", NOW).await;
    load(&never, "live", after(100_000_000)).await;
    assert_eq!(never.count(NOW).await.unwrap(), 1);
    assert_eq!(count().await, "2501");
    assert_eq!(never.purge(10, NOW).await.unwrap(), 10);
    assert_eq!(never.purge(usize::MAX, NOW).await.unwrap(), 2490);
    never.clear().await.unwrap();
    assert_eq!(count().await, "0");
}
