//! The Redis store with servers that are killed, silent, full, read-only or forbidden, and of
//! connections that break at any byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use express_session::store::redis::RedisStore;
use express_session::store::{
    Error, ErrorKind, Fenced, Loaded, LockOutcome, Revision, Store as _, Touch, Touched, Updated,
};
use express_session_testkit::servers::{self, Redis};
use redis::aio::MultiplexedConnection;

use super::support::{HOUR, ONE, create, id, now, plain, proxied, record};

/// Less than the store's own timeout, and enough for a busy machine.
const SOON: Duration = Duration::from_secs(4);

async fn text(store: &RedisStore, name: &str) -> Option<String> {
    let loaded = store.load(&id(name), now()).await.unwrap();
    loaded.map(|loaded| String::from(&*loaded.record.text))
}

async fn order(connection: &mut MultiplexedConnection, words: &str) {
    let mut command = redis::Cmd::new();
    for word in words.split(' ') {
        command.arg(word);
    }
    command.exec_async(connection).await.unwrap();
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Runs a probe until it gives something, for at most so long.
async fn within<T>(limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(begin.elapsed() < limit, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the store has noticed that its server answers.
async fn served(store: &RedisStore) {
    let probe = async || store.ping().await.ok();
    within(Duration::from_secs(20), probe).await;
}

/// Counts some sessions up from many concurrent tasks, and how often that surely and perhaps happened.
struct Traffic {
    store: RedisStore,
    is_over: AtomicBool,
    done: AtomicU32,
    unknown: AtomicU32,
}

const SESSIONS: u32 = 8;

fn counted(number: u32, count: u32) -> String {
    format!(r#"{{"cookie":{{}},"number":{number},"n":{count}}}"#)
}

fn count_in(loaded: &Loaded, number: u32) -> u32 {
    let prefix = format!(r#"{{"cookie":{{}},"number":{number},"n":"#);
    let count = loaded.record.text.strip_prefix(&prefix).expect("the answer to another question");
    count.trim_end_matches('}').parse().unwrap()
}

impl Traffic {
    async fn start(store: &RedisStore) -> (Arc<Self>, Vec<tokio::task::JoinHandle<()>>) {
        for number in 0..SESSIONS {
            create(store, &format!("session-{number}"), &counted(number, 0)).await;
        }
        let traffic = Arc::new(Self {
            store: store.clone(),
            is_over: AtomicBool::new(false),
            done: AtomicU32::new(0),
            unknown: AtomicU32::new(0),
        });
        let run = |number| {
            let traffic = Arc::clone(&traffic);
            tokio::spawn(async move { traffic.run(number).await })
        };
        let tasks = (0..2 * SESSIONS).map(|task| run(task % SESSIONS)).collect();
        (traffic, tasks)
    }

    async fn run(&self, number: u32) {
        let id = id(&format!("session-{number}"));
        while !self.is_over.load(Ordering::SeqCst) {
            let loaded = match self.store.load(&id, now()).await {
                Ok(loaded) => loaded.expect("a session is lost"),
                Err(error) => {
                    outage(&error);
                    continue;
                }
            };
            let next = record(counted(number, count_in(&loaded, number) + 1));
            match self.store.update(&id, &next, &loaded.revision, now()).await {
                Ok(Updated::Done(_)) => _ = self.done.fetch_add(1, Ordering::SeqCst),
                Ok(Updated::Conflict(current)) => _ = count_in(&current, number),
                Ok(Updated::Gone) => panic!("a session is lost"),
                Err(error) => {
                    outage(&error);
                    self.unknown.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    /// Waits until so many more updates are done.
    async fn flows(&self, more: u32) {
        let until = self.done.load(Ordering::SeqCst) + more;
        within(Duration::from_secs(20), async || {
            (self.done.load(Ordering::SeqCst) >= until).then_some(())
        })
        .await;
    }

    /// Ends it, and gives the sum of the counts, how many updates were done, and how many perhaps.
    async fn end(&self, tasks: Vec<tokio::task::JoinHandle<()>>) -> (u32, u32, u32) {
        self.is_over.store(true, Ordering::SeqCst);
        for task in tasks {
            task.await.unwrap();
        }
        let mut sum = 0;
        for number in 0..SESSIONS {
            let id = id(&format!("session-{number}"));
            sum += count_in(&self.store.load(&id, now()).await.unwrap().unwrap(), number);
        }
        (sum, self.done.load(Ordering::SeqCst), self.unknown.load(Ordering::SeqCst))
    }
}

/// An outage is reported as one.
fn outage(error: &Error) {
    let kinds = [ErrorKind::Unavailable, ErrorKind::TimedOut];
    assert!(kinds.contains(&error.kind()), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_is_killed_and_comes_back_costs_no_update_and_doubles_none() {
    let Some(server) = servers::redis() else { return };
    let store = RedisStore::connect(server.url()).await.unwrap();
    let (traffic, tasks) = Traffic::start(&store).await;
    for _ in 0..3 {
        traffic.flows(200).await;
        server.kill();
        let begin = Instant::now();
        let error = store.load(&id("session-0"), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        server.restart();
        served(&store).await;
    }
    traffic.flows(200).await;
    let (sum, done, unknown) = traffic.end(tasks).await;
    assert!(done <= sum && sum <= done + unknown, "{done} <= {sum} <= {done} + {unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn restart_while_nothing_is_asked_goes_unnoticed() {
    let Some(server) = servers::redis() else { return };
    let store = RedisStore::connect(server.url()).await.unwrap();
    let revision = create(&store, "a", "1").await;
    server.restart();
    // Not even an update, which is never made again.
    let updated = store.update(&id("a"), &record("2"), &revision, now()).await.unwrap();
    assert!(matches!(updated, Updated::Done(_)));
    server.restart();
    assert_eq!(text(&store, "a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn application_that_starts_before_its_server_waits_for_nothing() {
    let Some(server) = servers::redis() else { return };
    server.kill();
    assert_eq!(kind(RedisStore::connect(server.url()).await), ErrorKind::Unavailable);
    let store = RedisStore::new(server.url()).unwrap();
    assert_eq!(kind(store.ping().await), ErrorKind::Unavailable);
    server.restart();
    served(&store).await;
}

#[tokio::test]
async fn connection_can_break_at_any_byte_of_an_answer() {
    for server in [servers::shared_redis(), servers::shared_valkey()].into_iter().flatten() {
        break_connections_to(server).await;
    }
}

async fn break_connections_to(server: &Redis) {
    let (proxy, url) = proxied(server);
    let store = RedisStore::connect(&url).await.unwrap().prefix("break:");
    create(&store, "a", r#"{"cookie":{},"n":0}"#).await;
    create(&store, "b", "another").await;
    let mut count = 0;
    for bytes in 0..40 {
        // A load is made again. It has 20 bytes of text, and some around.
        proxy.cut_after(bytes);
        let loaded = store.load(&id("a"), now()).await.unwrap().unwrap();
        let expected = format!(r#"{{"cookie":{{}},"n":{count}}}"#);
        assert_eq!(*loaded.record.text, *expected, "cut after {bytes}");

        // An update is not: it happened or it did not, at most once. On a new connection the server is asked before
        // which commands it has, and learns the script.
        proxy.cut_after(usize::MAX);
        store.update(&id("none"), &record("1"), &loaded.revision, now()).await.unwrap();
        proxy.cut_after(bytes % 4);
        let next = record(format!(r#"{{"cookie":{{}},"n":{}}}"#, count + 1));
        match store.update(&id("a"), &next, &loaded.revision, now()).await {
            Ok(Updated::Done(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
        }
        proxy.cut_after(usize::MAX);
        let after = text(&store, "a").await;
        if after.as_deref() == Some(&*next.text) {
            count += 1;
        } else {
            assert_eq!(after, Some(expected));
        }
        assert_eq!(text(&store, "b").await.as_deref(), Some("another"));
    }
    // The server had the update in each case, though the answer was lost.
    assert_eq!(count, 40);
}

#[tokio::test]
async fn create_with_a_lost_answer_is_not_sent_again() {
    let Some(server) = servers::shared_redis() else { return };
    let (proxy, url) = proxied(server);
    let store = RedisStore::connect(&url).await.unwrap().prefix("lost:");
    proxy.cut_after(0);
    let created = store.create(&id("a"), &record("1"), now()).await;
    assert_eq!(kind(created), ErrorKind::Unavailable);
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn connection_without_answers_is_given_up() {
    let Some(server) = servers::shared_redis() else { return };
    let (proxy, url) = proxied(server);
    let timeout = Duration::from_millis(200);
    for protocol in [2, 3] {
        let store = RedisStore::connect(&format!("{url}?protocol={protocol}")).await.unwrap();
        let store = store.prefix("silent:").timeout(timeout);
        create(&store, &format!("a{protocol}"), "1").await;
        proxy.stall_open();
        let begin = Instant::now();
        let error = store.load(&id("a"), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        // Further calls have another connection.
        served(&store).await;
        assert_eq!(text(&store, &format!("a{protocol}")).await.as_deref(), Some("1"));
        proxy.resume();
    }
    // Where that is not answered either, there is none.
    let store = RedisStore::connect(&url).await.unwrap().prefix("silent:").timeout(timeout);
    proxy.stall();
    assert_eq!(kind(store.load(&id("a3"), now()).await), ErrorKind::TimedOut);
    let begin = Instant::now();
    assert_eq!(kind(store.load(&id("a3"), now()).await), ErrorKind::Unavailable);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    proxy.resume();
    served(&store).await;
    assert_eq!(text(&store, "a3").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn abandoned_calls_leave_the_answers_of_others_where_they_belong() {
    let Some(server) = servers::shared_redis() else { return };
    let (proxy, url) = proxied(server);
    let store = RedisStore::connect(&url).await.unwrap().prefix("abandoned:");
    for number in 0..20 {
        create(&store, &number.to_string(), &format!("text-{number}")).await;
    }
    proxy.stall();
    let mut waiting = Vec::new();
    for number in 0..20 {
        let store = store.clone();
        waiting.push(tokio::spawn(async move {
            let touch = Touch::new("{}", None);
            let loaded = store.load(&id(&number.to_string()), now()).await;
            (number, loaded, store.touch(&id("none"), &touch, now()).await)
        }));
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let (abandoned, kept): (Vec<_>, Vec<_>) =
        waiting.into_iter().enumerate().partition(|(number, _)| number % 3 == 0);
    for (_, task) in abandoned {
        task.abort();
    }
    proxy.resume();
    for (_, task) in kept {
        let (number, loaded, touched) = task.await.unwrap();
        assert_eq!(*loaded.unwrap().unwrap().record.text, *format!("text-{number}"));
        assert_eq!(touched.unwrap(), Touched::Gone);
    }
    for number in 0..20 {
        assert_eq!(text(&store, &number.to_string()).await, Some(format!("text-{number}")));
    }
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn wrong_login_is_refused_and_stays_secret() {
    let Some(server) = servers::redis_with_password("hunter2") else { return };
    RedisStore::connect(server.url()).await.unwrap().ping().await.unwrap();
    let address = format!("127.0.0.1:{}", server.port());
    for protocol in [2, 3] {
        for login in ["", ":wrong-password@", "nobody:wrong-password@"] {
            let url = format!("redis://{login}{address}?protocol={protocol}");
            let error = RedisStore::connect(&url).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{url}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("wrong-password"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn login_without_the_right_is_refused() {
    let Some(server) = servers::redis() else { return };
    order(&mut plain(server.url()).await, "ACL SETUSER reader on >pw ~other:* +@all").await;
    let url = format!("redis://reader:pw@127.0.0.1:{}", server.port());
    let store = RedisStore::connect(&url).await.unwrap();
    let refused = [
        kind(store.load(&id("a"), now()).await),
        kind(store.create(&id("a"), &record("1"), now()).await),
        kind(store.update(&id("a"), &record("1"), &Revision::new(0), now()).await),
        kind(store.destroy(&id("a")).await),
    ];
    assert_eq!(refused, [ErrorKind::Refused; 4]);
    let store = store.prefix("other:");
    create(&store, "a", "1").await;
    // A lock is no key that begins with the prefix.
    assert_eq!(kind(store.lock(&id("a"), ONE, HOUR, now()).await), ErrorKind::Refused);
    order(&mut plain(server.url()).await, "ACL SETUSER reader ~lock:*").await;
    assert!(matches!(
        store.lock(&id("a"), ONE, HOUR, now()).await.unwrap(),
        LockOutcome::Acquired(_)
    ));
}

#[tokio::test]
async fn holder_of_a_lock_that_was_lost_with_its_server_cannot_write() {
    let Some(server) = servers::redis() else { return };
    let store = RedisStore::connect(server.url()).await.unwrap();
    let revision = create(&store, "a", "1").await;
    assert!(matches!(
        store.lock(&id("a"), ONE, HOUR, now()).await.unwrap(),
        LockOutcome::Acquired(_)
    ));
    // As after a failover to a replica that had the record, and not yet the lock.
    order(&mut plain(server.url()).await, "DEL lock:{sess:a}").await;
    let fenced = store.update_locked(&id("a"), &record("2"), &revision, ONE, now()).await;
    assert_eq!(fenced.unwrap(), Fenced::Lost);
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn full_server_refuses_what_is_new_and_gives_what_it_has() {
    let Some(server) = servers::redis() else { return };
    let store = RedisStore::connect(server.url()).await.unwrap();
    let revision = create(&store, "a", "1").await;
    order(&mut plain(server.url()).await, "CONFIG SET maxmemory 1").await;
    assert_eq!(kind(store.create(&id("b"), &record("1"), now()).await), ErrorKind::Refused);
    let update = store.update(&id("a"), &record("2"), &revision, now()).await;
    assert_eq!(kind(update), ErrorKind::Refused);
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
    store.destroy(&id("a")).await.unwrap();
}

#[tokio::test]
async fn server_that_became_a_replica_is_unavailable_until_it_is_the_master_again() {
    let Some(server) = servers::redis() else { return };
    let store = RedisStore::connect(server.url()).await.unwrap();
    let revision = create(&store, "a", "1").await;
    let mut plain = plain(server.url()).await;
    order(&mut plain, "REPLICAOF 127.0.0.1 1").await;
    assert_eq!(kind(store.create(&id("b"), &record("1"), now()).await), ErrorKind::Unavailable);
    let update = store.update(&id("a"), &record("2"), &revision, now()).await;
    assert_eq!(kind(update), ErrorKind::Unavailable);
    order(&mut plain, "REPLICAOF NO ONE").await;
    let update = store.update(&id("a"), &record("2"), &revision, now()).await;
    assert!(matches!(update, Ok(Updated::Done(_))));
}

#[tokio::test]
async fn server_without_a_free_connection_is_unavailable_until_it_has_one() {
    let Some(server) = servers::redis() else { return };
    let mut plain = plain(server.url()).await;
    order(&mut plain, "CONFIG SET maxclients 1").await;
    for url in [server.url().to_owned(), format!("{}?protocol=2", server.url())] {
        let store = RedisStore::new(&url).unwrap();
        let error = store.load(&id("a"), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        order(&mut plain, "CONFIG SET maxclients 100").await;
        assert_eq!(store.load(&id("a"), now()).await.unwrap(), None);
        drop(store);
        order(&mut plain, "CONFIG SET maxclients 1").await;
    }
}

#[tokio::test]
async fn node_of_a_cluster_names_the_address_that_is_needed() {
    let Some(cluster) = servers::shared_redis_cluster() else { return };
    let store = RedisStore::new(&cluster.urls()[0]).unwrap();
    let mut refused = None;
    for number in 0..20 {
        refused = store.load(&id(&number.to_string()), now()).await.err().or(refused);
    }
    let refused = refused.unwrap();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.to_string().contains("redis+cluster://"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_takes_over_for_a_master_that_the_sentinels_give_up() {
    let Some(group) = servers::redis_sentinel() else { return };
    let urls = group.sentinel_urls();
    let hosts: Vec<_> = urls.iter().filter_map(|url| url.strip_prefix("redis://")).collect();
    let url = format!("redis+sentinel://{}/{}", hosts.join(","), group.master_name());
    let store = RedisStore::connect(&url).await.unwrap();
    let (traffic, tasks) = Traffic::start(&store).await;
    traffic.flows(200).await;
    let before = group.master_port();
    group.kill_master();
    traffic.flows(200).await;
    assert_ne!(group.master_port(), before);
    let (sum, done, unknown) = traffic.end(tasks).await;
    // Writes that the old master had not replicated are lost; nothing is doubled.
    assert!(sum <= done + unknown, "{sum} <= {done} + {unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_takes_over_for_a_master_of_a_cluster() {
    let Some(cluster) = servers::redis_cluster() else { return };
    let urls = cluster.urls();
    let hosts: Vec<_> = urls.iter().filter_map(|url| url.strip_prefix("redis://")).collect();
    let url = format!("redis+cluster://{}", hosts.join(","));
    let store = RedisStore::connect(&url).await.unwrap();
    let (traffic, tasks) = Traffic::start(&store).await;
    traffic.flows(200).await;
    for part in 0..2 {
        cluster.kill_master(part);
        // Every session, in whatever part, is served again.
        for number in 0..SESSIONS {
            let id = id(&format!("session-{number}"));
            within(Duration::from_secs(20), async || store.load(&id, now()).await.ok()).await;
        }
        traffic.flows(200).await;
        cluster.restart();
    }
    let (sum, done, unknown) = traffic.end(tasks).await;
    assert!(sum <= done + unknown, "{sum} <= {done} + {unknown}");
}

#[tokio::test]
async fn slot_that_is_moving_is_served_by_both_masters() {
    let Some(cluster) = servers::redis_cluster() else { return };
    let urls = cluster.urls();
    let url = format!("redis+cluster://{}", urls[0].strip_prefix("redis://").unwrap());
    let store = RedisStore::connect(&url).await.unwrap();
    let key = "sess:{moving}a";
    let slot: u16 = {
        let mut plain = plain(&urls[0]).await;
        redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query_async(&mut plain).await.unwrap()
    };
    let revision = create(&store, "{moving}stays", "1").await;
    let from = usize::from(slot / 5461);
    let to = (from + 1) % 3;
    let (mut old, mut new) = (plain(&urls[from]).await, plain(&urls[to]).await);
    let name = |connection: &MultiplexedConnection| {
        let mut connection = connection.clone();
        async move {
            let mut name = redis::cmd("CLUSTER");
            name.arg("MYID").query_async::<String>(&mut connection).await.unwrap()
        }
    };
    let (old_name, new_name) = (name(&old).await, name(&new).await);
    order(&mut new, &format!("CLUSTER SETSLOT {slot} IMPORTING {old_name}")).await;
    order(&mut old, &format!("CLUSTER SETSLOT {slot} MIGRATING {new_name}")).await;

    // Keys that have not moved are at the old node; others are asked for at the new one.
    let updated = store.update(&id("{moving}stays"), &record("2"), &revision, now()).await;
    assert!(matches!(updated, Ok(Updated::Done(_))), "{updated:?}");
    let revision = create(&store, "{moving}a", "1").await;
    assert_eq!(text(&store, "{moving}a").await.as_deref(), Some("1"));
    let updated = store.update(&id("{moving}a"), &record("2"), &revision, now()).await;
    assert!(matches!(updated, Ok(Updated::Done(_))), "{updated:?}");
    let there: usize =
        redis::cmd("CLUSTER").arg("COUNTKEYSINSLOT").arg(slot).query_async(&mut new).await.unwrap();
    assert_eq!(there, 1);

    // Once all keys have moved, the new node is asked first.
    order(&mut old, "DEL sess:{moving}stays").await;
    for connection in [&mut new, &mut old] {
        order(connection, &format!("CLUSTER SETSLOT {slot} NODE {new_name}")).await;
    }
    assert_eq!(text(&store, "{moving}a").await.as_deref(), Some("2"));
    store.destroy(&id("{moving}a")).await.unwrap();
    assert_eq!(text(&store, "{moving}a").await, None);
}
