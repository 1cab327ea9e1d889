//! What becomes of calls when the server, or the way to it, fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use express_session::store::postgres::PostgresStore;
use express_session::store::{
    Admin as _, Created, ErrorKind, Record, Revision, Store as _, Touched, Updated,
};
use express_session_testkit::Proxy;
use express_session_testkit::servers::Postgres;
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

fn through(server: &Postgres) -> (Proxy, String) {
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    (proxy, url)
}

#[test]
fn every_verb_is_one_round_trip() {
    on_server(|server| async move {
        let (proxy, url) = through(server);
        let (store, _) = store_at(&url).await;
        let store = store.max_connections(1);
        let text = record(TEXT, after(60_000));
        // The first of each prepares its statement.
        for _ in 0..2 {
            let mut last = proxy.round_trips();
            let mut trips = || {
                let now = proxy.round_trips();
                now - std::mem::replace(&mut last, now)
            };
            let mut counts = Vec::new();
            let revision = create(&store, "a", &text).await;
            counts.push(trips());
            assert_eq!(store.create(&id("a"), &text, NOW).await.unwrap(), Created::Taken);
            counts.push(trips());
            load(&store, "a", NOW).await.unwrap();
            counts.push(trips());
            store.load_and_touch(&id("a"), NOW).await.unwrap().unwrap();
            counts.push(trips());
            store.touch(&id("a"), &touch(after(60_000)), NOW).await.unwrap();
            counts.push(trips());
            store.update(&id("a"), &counted(1), revision, NOW).await.unwrap();
            counts.push(trips());
            let conflict = store.update(&id("a"), &counted(2), revision, NOW).await.unwrap();
            assert!(matches!(conflict, Updated::Conflict(_)));
            counts.push(trips());
            let gone = store.update(&id("b"), &counted(2), revision, NOW).await.unwrap();
            assert_eq!(gone, Updated::Gone);
            counts.push(trips());
            store.count(NOW).await.unwrap();
            counts.push(trips());
            store.list(None, 10, NOW).await.unwrap();
            counts.push(trips());
            store.destroy(&id("a")).await.unwrap();
            counts.push(trips());
            if counts.iter().all(|count| *count == 1) {
                return;
            }
        }
        panic!("more than one");
    });
}

#[test]
fn who_waits_for_another_writer_is_told_what_that_one_wrote() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        let mut other = client(&server.url()).await;
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
                tokio::spawn(
                    async move { ours.update(&id("a"), &counted(2), revision, NOW).await },
                );
            let watcher = client(&server.url()).await;
            let waits = format!(
                "SELECT count(*) FROM pg_stat_activity \
                 WHERE wait_event_type = 'Lock' AND query LIKE '%{table}\"%'"
            );
            until(|| async { watcher.query_one(&waits, &[]).await.unwrap().get::<_, i64>(0) == 1 })
                .await;
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
    });
}

#[test]
fn nothing_is_lost_under_any_isolation() {
    on_server(|server| async move {
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
    });
}

async fn count_up(store: PostgresStore) {
    let mut current = load(&store, "a", NOW).await.unwrap();
    loop {
        let next = counted(count_in(&current.record.text) + 1);
        match store.update(&id("a"), &next, current.revision, NOW).await.unwrap() {
            Updated::Done(_) => return,
            Updated::Conflict(newer) => current = newer,
            Updated::Gone => panic!("gone"),
        }
    }
}

#[test]
fn server_that_says_no_is_refused() {
    on_server(|server| async move {
        let (_, table) = store(server).await;
        let owner = client(&server.url()).await;
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
        let told =
            shown(PostgresStore::new(&no_base).unwrap().count(NOW).await, ErrorKind::Refused);
        assert!(told.contains("3D000"), "{told}");
        let reading = format!("{}?options=-c%20default_transaction_read_only%3Don", server.url());
        let reading = PostgresStore::new(&reading).unwrap().table_name(&table);
        assert_eq!(load(&reading, "a", NOW).await, None);
        shown(reading.create(&id("a"), &counted(0), NOW).await, ErrorKind::Refused);
    });
}

#[test]
fn server_that_cannot_be_reached_is_unavailable_in_time() {
    on_tokio(async {
        let nobody = PostgresStore::new("postgres://postgres@127.0.0.1:1/postgres").unwrap();
        shown(nobody.load(&id("a"), NOW).await, ErrorKind::Unavailable);
        // It takes connections, and never says a word.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://postgres@{}/postgres", silent.local_addr().unwrap());
        let store = PostgresStore::new(&url).unwrap().timeout(SHORT);
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
        let store = store.max_connections(1);
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
fn abandoned_call_costs_no_connection_unless_it_is_never_answered() {
    on_server(|server| async move {
        let (proxy, url) = through(server);
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
        assert_eq!(count_in(&text(&store, "b", NOW).await), 2);
    });
}

#[test]
fn abandoned_call_is_carried_out_before_the_next_of_its_session() {
    on_server(|server| async move {
        let (proxy, url) = through(server);
        let (store, _) = store_at(&url).await;
        // A second one, on which a call could overtake another.
        let store = store.max_connections(2);
        let mut revision = create(&store, "a", &counted(0)).await;
        create(&store, "b", &counted(100)).await;
        // The statement is prepared by now.
        let updated = store.update(&id("a"), &counted(0), revision, NOW).await.unwrap();
        assert_eq!(updated, Updated::Done(revision));
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
    });
}

#[test]
fn answer_that_breaks_off_is_unavailable_and_leaves_all_or_nothing() {
    on_server(|server| async move {
        let (proxy, url) = through(server);
        let (store, _) = store_at(&url).await;
        let store = store.max_connections(1);
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
fn lock_of_another_is_waited_for_in_time_only() {
    on_server(|server| async move {
        let (store, table) = store(server).await;
        let hurried = store.clone().timeout(SHORT);
        let revision = create(&store, "a", &counted(1)).await;
        let mut other = client(&server.url()).await;
        let writing = other.transaction().await.unwrap();
        writing.execute(&format!("SELECT 1 FROM {table} FOR UPDATE"), &[]).await.unwrap();
        shown(hurried.update(&id("a"), &counted(2), revision, NOW).await, ErrorKind::TimedOut);
        // Readers do not wait.
        assert_eq!(count_in(&text(&store, "a", NOW).await), 1);
        writing.rollback().await.unwrap();
        let touched = store.touch(&id("a"), &touch(after(5000)), NOW).await.unwrap();
        assert_eq!(touched, Touched::Done);
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
