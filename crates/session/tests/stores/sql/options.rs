//! The options that both stores have.

use std::time::Duration;

use express_session::store::{LoadedAndTouched, Store as _, Touched};

use super::{Database, NOW, TEXT, after, create, fresh, id, load, on_server, record, store, touch};

pub(crate) fn concurrent_first_calls_that_create_the_table_all_succeed<D: Database>() {
    on_server::<D, _>(|server| async move {
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
    });
}

pub(crate) fn disabled_touch_moves_nothing<D: Database>() {
    on_server::<D, _>(|server| async move {
        let (store, _) = store::<D>(server).await;
        let store = D::disable_touch(store);
        assert!(!store.supports_touch());
        create(&store, "a", &record(TEXT, after(5000))).await;
        let loaded = load(&store, "a", NOW).await.unwrap();
        let touched = store.touch(&id("a"), &touch(after(60_000)), NOW).await.unwrap();
        assert_eq!(touched, Touched::Done);
        let renewed = store.load_and_touch(&id("a"), NOW).await.unwrap();
        assert_eq!(renewed, Some(LoadedAndTouched { loaded: loaded.clone(), is_touched: false }));
        assert_eq!(load(&store, "a", NOW).await, Some(loaded));
        let none = store.touch(&id("b"), &touch(after(60_000)), NOW).await.unwrap();
        assert_eq!(none, Touched::Gone);
    });
}

pub(crate) fn ttl_is_for_sessions_without_an_expiry_of_their_own<D: Database>() {
    on_server::<D, _>(|server| async move {
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
    });
}
