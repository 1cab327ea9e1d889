//! What becomes of calls when the server, or the way to it, fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use express_session::store::mysql::MySqlStore;
use express_session::store::mysql::mysql_async::prelude::Queryable as _;
use express_session::store::{
    Admin as _, Created, ErrorKind, Record, Revision, Store as _, Touched, Updated,
};
use express_session_testkit::Proxy;
use express_session_testkit::servers::MariaDb;
use tokio::time::{Instant, timeout};

use super::support::{
    NOW, TEXT, after, client, create, id, load, on_own_server, on_server, record, shown, store,
    store_at, text, touch, until,
};
use crate::on_tokio;

const SHORT: Duration = Duration::from_millis(300);
/// What a busy machine may take on top of a timeout.
const GRACE: Duration = Duration::from_secs(4);

fn counted(number: u64) -> Record {
    record(&format!(r#"{{"cookie":{{}},"n":{number}}}"#), after(3_600_000))
}

fn count_in(text: &str) -> u64 {
    text.split_once(r#""n":"#).unwrap().1.trim_end_matches('}').parse().unwrap()
}

fn through(server: &MariaDb) -> (Proxy, String) {
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    (proxy, url)
}

#[test]
fn server_that_cannot_be_reached_is_unavailable_in_time() {
    on_tokio(async {
        let nobody = MySqlStore::new("mysql://root@127.0.0.1:1/test").unwrap();
        shown(nobody.load(&id("a"), NOW).await, ErrorKind::Unavailable);
        // It takes connections, and never says a word.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mysql://root@{}/test", silent.local_addr().unwrap());
        let store = MySqlStore::new(&url).unwrap().timeout(SHORT);
        let begun = Instant::now();
        shown(store.load(&id("a"), NOW).await, ErrorKind::Unavailable);
        assert!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT + GRACE);
    });
}

#[test]
fn answer_that_never_comes_is_timed_out_and_not_taken_for_another() {
    on_server(|server| async move {
        let (proxy, url) = through(server);
        let (store, _) = store_at(&url).await;
        let store = store.connection_limit(1);
        create(&store, "a", &counted(1)).await;
        create(&store, "b", &counted(2)).await;
        load(&store, "a", NOW).await.unwrap();

        proxy.stall();
        let hurried = store.clone().timeout(SHORT);
        let begun = Instant::now();
        shown(hurried.load(&id("a"), NOW).await, ErrorKind::TimedOut);
        assert!(begun.elapsed() < SHORT + GRACE);
        proxy.resume();
        assert_eq!(count_in(&text(&store, "b", NOW).await), 2);

        // All connections are in use: nobody can say that the server is at fault.
        proxy.stall();
        let slow = store.clone();
        let waiting = tokio::spawn(async move { load(&slow, "a", NOW).await });
        tokio::task::yield_now().await;
        until(|| async { hurried.load(&id("b"), NOW).await.is_err() }).await;
        shown(hurried.load(&id("b"), NOW).await, ErrorKind::Unavailable);
        proxy.resume();
        assert_eq!(count_in(&waiting.await.unwrap().unwrap().record.text), 1);
    });
}

#[test]
fn answer_that_breaks_off_is_unavailable_and_leaves_all_or_nothing() {
    on_server(|server| async move {
        let (proxy, url) = through(server);
        let (store, _) = store_at(&url).await;
        let store = store.connection_limit(1);
        let mut revision = create(&store, "a", &counted(0)).await;
        for bytes in 0..80 {
            let before = load(&store, "a", NOW).await.unwrap();
            assert_eq!(before.revision, revision);
            let next = counted(count_in(&before.record.text) + 1);
            proxy.cut_after(bytes);
            match store.update(&id("a"), &next, revision, NOW).await {
                Ok(updated) => {
                    assert_eq!(updated, Updated::Done(Revision::of_text(&next.text)));
                    proxy.cut();
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
            }
            let after = match store.load(&id("a"), NOW).await {
                // The driver has not seen yet that the connection is gone.
                Err(_) => load(&store, "a", NOW).await.unwrap(),
                Ok(after) => after.unwrap(),
            };
            assert!(after == before || after.record.text == next.text, "{after:?}");
            revision = after.revision;
        }
    });
}

#[test]
fn killed_server_is_used_again_when_it_is_back_and_nothing_is_lost() {
    on_own_server(|server| async move {
        let (store, _) = store(&server).await;
        create(&store, "a", &counted(0)).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let unknown = Arc::new(AtomicU64::new(0));
        let task = |_| {
            let (store, is_over) = (store.clone(), Arc::clone(&is_over));
            let unknown = Arc::clone(&unknown);
            tokio::spawn(async move {
                let mut done = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let Ok(Some(current)) = store.load(&id("a"), NOW).await else {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        continue;
                    };
                    let next = counted(count_in(&current.record.text) + 1);
                    match store.update(&id("a"), &next, current.revision, NOW).await {
                        Ok(Updated::Done(_)) => done += 1,
                        Ok(Updated::Conflict(_)) => {}
                        Ok(Updated::Gone) => panic!("gone"),
                        Err(error) => {
                            let kind = error.kind();
                            assert_eq!(kind, ErrorKind::Unavailable, "{error:?}");
                            unknown.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                done
            })
        };
        let tasks: Vec<_> = (0..8).map(task).collect();
        for _ in 0..3 {
            let before = count_in(&text(&store, "a", NOW).await);
            until(|| async { count_in(&text(&store, "a", NOW).await) > before + 20 }).await;
            tokio::task::block_in_place(|| server.kill());
            // Parts of it may live on for a moment.
            until(|| async {
                let failed = store.load(&id("a"), NOW).await.err();
                failed.is_some_and(|error| error.kind() == ErrorKind::Unavailable)
            })
            .await;
            tokio::task::block_in_place(|| server.restart());
            let back = Instant::now();
            until(|| async { store.load(&id("a"), NOW).await.is_ok() }).await;
            // A second, and another for a busy machine.
            assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        let mut done = 0;
        for task in tasks {
            done += task.await.unwrap();
        }
        let count = count_in(&text(&store, "a", NOW).await);
        let most = done + unknown.load(Ordering::Relaxed);
        assert!((done..=most).contains(&count), "{done} <= {count} <= {most}");
    });
}

#[test]
fn every_verb_is_one_round_trip() {
    on_server(|server| async move {
        let (proxy, url) = through(server);
        let (store, _) = store_at(&url).await;
        let store = store.connection_limit(1);
        let text = record(TEXT, after(60_000));
        let mut counts = Vec::new();
        // The first of each prepares its statement.
        for _ in 0..2 {
            let mut last = proxy.round_trips();
            let mut trips = || {
                let now = proxy.round_trips();
                now - std::mem::replace(&mut last, now)
            };
            counts.clear();
            let revision = create(&store, "a", &text).await;
            counts.push(trips());
            assert_eq!(store.create(&id("a"), &text, NOW).await.unwrap(), Created::Taken);
            counts.push(trips());
            load(&store, "a", NOW).await.unwrap();
            counts.push(trips());
            store.touch(&id("a"), &touch(after(60_000)), NOW).await.unwrap();
            counts.push(trips());
            let renewed = store.load_and_touch(&id("a"), NOW).await.unwrap().unwrap();
            assert!(renewed.is_touched);
            counts.push(trips());
            store.update(&id("a"), &counted(1), revision, NOW).await.unwrap();
            counts.push(trips());
            store.count(NOW).await.unwrap();
            counts.push(trips());
            store.list(None, 10, NOW).await.unwrap();
            counts.push(trips());
            let conflict = store.update(&id("a"), &counted(2), revision, NOW).await.unwrap();
            assert!(matches!(conflict, Updated::Conflict(_)));
            counts.push(trips());
            let gone = store.update(&id("b"), &counted(2), revision, NOW).await.unwrap();
            assert_eq!(gone, Updated::Gone);
            counts.push(trips());
            store.destroy(&id("a")).await.unwrap();
            counts.push(trips());
        }
        assert_eq!(counts, [1; 11]);
    });
}

#[test]
fn abandoned_call_is_carried_out_before_the_next_and_costs_no_connection() {
    on_server(|server| async move {
        let (proxy, url) = through(server);
        let (store, _) = store_at(&url).await;
        let store = store.connection_limit(1);
        let mut revision = create(&store, "a", &counted(0)).await;
        create(&store, "b", &counted(100)).await;
        // The statement is prepared by now.
        let updated = store.update(&id("a"), &counted(0), revision, NOW).await.unwrap();
        assert_eq!(updated, Updated::Done(revision));
        let connections = proxy.connections();
        for number in 1..20 {
            proxy.stall();
            let next = counted(number);
            let a = id("a");
            let call = store.update(&a, &next, revision, NOW);
            assert!(timeout(Duration::from_millis(20), call).await.is_err());
            proxy.resume();
            if number % 2 == 0 {
                assert_eq!(count_in(&text(&store, "b", NOW).await), 100);
            }
            let current = load(&store, "a", NOW).await.unwrap();
            assert_eq!(count_in(&current.record.text), number);
            revision = current.revision;
        }
        assert_eq!(proxy.connections(), connections);
    });
}

#[test]
fn lock_of_another_is_waited_for_in_time_only() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        let hurried = store.clone().timeout(SHORT);
        let revision = create(&store, "a", &counted(1)).await;
        let mut other = client(&server.url()).await;
        other.query_drop("BEGIN").await.unwrap();
        other.query_drop(format!("SELECT 1 FROM {table} FOR UPDATE")).await.unwrap();
        shown(hurried.update(&id("a"), &counted(2), revision, NOW).await, ErrorKind::TimedOut);
        // Readers do not wait.
        assert_eq!(count_in(&text(&store, "a", NOW).await), 1);
        other.query_drop("ROLLBACK").await.unwrap();
        let touched = store.touch(&id("a"), &touch(after(5000)), NOW).await.unwrap();
        assert_eq!(touched, Touched::Done);
    });
}

#[test]
fn deadlock_is_tried_again() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        let store = store.timeout(Duration::from_secs(60));
        // Two writers that go through the table from opposite ends, and the store in between.
        for name in ["a", "b"] {
            create(&store, name, &counted(0)).await;
        }
        let mut other = client(&server.url()).await;
        for round in 0..20 {
            let sql = format!("UPDATE {table} SET data = data WHERE session_id = ?");
            other.query_drop("BEGIN").await.unwrap();
            other.exec_drop(&sql, ("b",)).await.unwrap();
            let clearing = store.clone();
            let waiting = tokio::spawn(async move { clearing.clear().await });
            if round % 2 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // The store holds `a` and waits for `b`; one of the two is taken back.
            let _ = other.exec_drop(&sql, ("a",)).await;
            other.query_drop("COMMIT").await.unwrap();
            waiting.await.unwrap().unwrap();
            assert_eq!(store.count(NOW).await.unwrap(), 0);
            for name in ["a", "b"] {
                create(&store, name, &counted(0)).await;
            }
        }
    });
}
