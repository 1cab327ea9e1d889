//! Calls while the server, or the way to it, fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use express_session::store::{
    Admin as _, Created, ErrorKind, Record, Revision, Store as _, Touched, Updated,
};
use express_session_testkit::Proxy;
use tokio::time::{Instant, timeout};

use super::{
    Database, NOW, TEXT, after, create, id, load, record, shown, store, store_at, text, touch,
    until,
};

pub(crate) const SHORT: Duration = Duration::from_millis(300);
/// The time that a busy machine may take on top of a timeout.
const GRACE: Duration = Duration::from_secs(20);

pub(crate) fn counted(number: u64) -> Record {
    record(&format!(r#"{{"cookie":{{}},"n":{number}}}"#), after(3_600_000))
}

pub(crate) fn count_in(text: &str) -> u64 {
    text.split_once(r#""n":"#).unwrap().1.trim_end_matches('}').parse().unwrap()
}

pub(crate) fn through<D: Database>(server: &D::Server) -> (Proxy, String) {
    let port = D::port(server);
    let proxy = Proxy::start(&format!("127.0.0.1:{port}"));
    let url = D::url(server).replace(&port.to_string(), &proxy.port().to_string());
    (proxy, url)
}

pub(crate) async fn server_that_cannot_be_reached_is_unavailable_in_time<D: Database>() {
    let nothing = D::open(&D::url_at("127.0.0.1:1"), "sessions");
    shown(nothing.load(&id("a"), NOW).await, ErrorKind::Unavailable);
    // A server that accepts connections, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = D::url_at(&silent.local_addr().unwrap().to_string());
    let store = D::timeout(D::open(&url, "sessions"), SHORT);
    let begun = Instant::now();
    shown(store.load(&id("a"), NOW).await, ErrorKind::Unavailable);
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT + GRACE);
}

pub(crate) async fn answer_that_never_comes_is_timed_out_and_not_taken_for_another<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (proxy, url) = through::<D>(server);
    let (store, _) = store_at::<D>(&url).await;
    let store = D::connections(store, 1);
    create(&store, "a", &counted(1)).await;
    create(&store, "b", &counted(2)).await;
    load(&store, "a", NOW).await.unwrap();

    proxy.stall();
    let hurried = D::timeout(store.clone(), SHORT);
    let begun = Instant::now();
    shown(hurried.load(&id("a"), NOW).await, ErrorKind::TimedOut);
    assert!(begun.elapsed() < SHORT + GRACE);
    proxy.resume();
    until(|| async { store.load(&id("b"), NOW).await.is_ok() }).await;
    assert_eq!(count_in(&text(&store, "b", NOW).await), 2);

    // All connections are in use, which is not a fault of the server.
    proxy.stall();
    let (slow, asked) = (store.clone(), proxy.round_trips());
    let waiting = tokio::spawn(async move { load(&slow, "a", NOW).await });
    until(|| async { proxy.round_trips() > asked }).await;
    until(|| async { hurried.load(&id("b"), NOW).await.is_err() }).await;
    shown(hurried.load(&id("b"), NOW).await, ErrorKind::Unavailable);
    proxy.resume();
    assert_eq!(count_in(&waiting.await.unwrap().unwrap().record.text), 1);
}

pub(crate) async fn answer_that_breaks_off_is_unavailable_and_leaves_all_or_nothing<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (proxy, url) = through::<D>(server);
    let (store, _) = store_at::<D>(&url).await;
    let store = D::connections(store, 1);
    let mut revision = create(&store, "a", &counted(0)).await;
    for bytes in 0..80 {
        let before = load(&store, "a", NOW).await.unwrap();
        assert_eq!(before.revision, revision);
        let next = counted(count_in(&before.record.text) + 1);
        proxy.cut_after(bytes);
        match store.update(&id("a"), &next, &revision, NOW).await {
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
}

pub(crate) async fn killed_server_is_used_again_when_it_is_back_and_nothing_is_lost<D: Database>() {
    let Some(server) = D::own() else { return };
    let (store, _) = store::<D>(&server).await;
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
                match store.update(&id("a"), &next, &current.revision, NOW).await {
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
        tokio::task::block_in_place(|| D::kill(&server));
        // Parts of it may live on for a moment.
        until(|| async {
            let failed = store.load(&id("a"), NOW).await.err();
            failed.is_some_and(|error| error.kind() == ErrorKind::Unavailable)
        })
        .await;
        tokio::task::block_in_place(|| D::restart(&server));
        let back = Instant::now();
        until(|| async { store.load(&id("a"), NOW).await.is_ok() }).await;
        // A second, and what a busy machine adds.
        assert!(back.elapsed() < GRACE, "{:?}", back.elapsed());
    }
    is_over.store(true, Ordering::Relaxed);
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    let count = count_in(&text(&store, "a", NOW).await);
    let most = done + unknown.load(Ordering::Relaxed);
    assert!((done..=most).contains(&count), "{done} <= {count} <= {most}");
}

pub(crate) async fn every_verb_is_one_round_trip_and_a_refused_update_two<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (proxy, url) = through::<D>(server);
    let (store, _) = store_at::<D>(&url).await;
    let store = D::connections(store, 1);
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
        store.update(&id("a"), &counted(1), &revision, NOW).await.unwrap();
        counts.push(trips());
        store.count(NOW).await.unwrap();
        counts.push(trips());
        store.list(None, 10, NOW).await.unwrap();
        counts.push(trips());
        let conflict = store.update(&id("a"), &counted(2), &revision, NOW).await.unwrap();
        assert!(matches!(conflict, Updated::Conflict(_)));
        counts.push(trips());
        let gone = store.update(&id("b"), &counted(2), &revision, NOW).await.unwrap();
        assert_eq!(gone, Updated::Gone);
        counts.push(trips());
        store.destroy(&id("a")).await.unwrap();
        counts.push(trips());
    }
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 2, 2, 1]);
}

pub(crate) async fn lock_of_another_is_waited_for_in_time_only<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (store, table) = store::<D>(server).await;
    let hurried = D::timeout(store.clone(), SHORT);
    let revision = create(&store, "a", &counted(1)).await;
    let mut other = D::client(&D::url(server)).await;
    D::execute(&mut other, "BEGIN").await;
    D::execute(&mut other, &format!("SELECT 1 FROM {table} FOR UPDATE")).await;
    shown(hurried.update(&id("a"), &counted(2), &revision, NOW).await, ErrorKind::TimedOut);
    // Readers do not wait, except for the circuit breaker's probe.
    until(|| async { store.load(&id("a"), NOW).await.is_ok() }).await;
    assert_eq!(count_in(&text(&store, "a", NOW).await), 1);
    D::execute(&mut other, "ROLLBACK").await;
    let touched = store.touch(&id("a"), &touch(after(5000)), NOW).await.unwrap();
    assert_eq!(touched, Touched::Done);
}

pub(crate) async fn abandoned_call_is_carried_out_before_the_next_of_its_session<D: Database>() {
    let Some(server) = D::shared() else { return };
    let (proxy, url) = through::<D>(server);
    let (store, _) = store_at::<D>(&url).await;
    let store = D::connections(store, D::CONNECTIONS);
    let mut revision = create(&store, "a", &counted(0)).await;
    create(&store, "b", &counted(100)).await;
    // The statement is prepared by now.
    let updated = store.update(&id("a"), &counted(0), &revision, NOW).await.unwrap();
    assert_eq!(updated, Updated::Done(revision.clone()));
    let connections = proxy.connections();
    for number in 1..20 {
        proxy.stall();
        let (a, next) = (id("a"), counted(number));
        let call = store.update(&a, &next, &revision, NOW);
        assert!(timeout(Duration::from_millis(20), call).await.is_err());
        proxy.resume();
        if number % 2 == 0 {
            assert_eq!(count_in(&text(&store, "b", NOW).await), 100);
        }
        let current = load(&store, "a", NOW).await.unwrap();
        assert_eq!(count_in(&current.record.text), number);
        revision = current.revision;
    }
    if D::CONNECTIONS == 1 {
        assert_eq!(proxy.connections(), connections);
    }
}
