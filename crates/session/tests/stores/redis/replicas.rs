//! Changes that count once a replica has them, with a replica whose way to the master can be blocked.

use std::time::{Duration, Instant};

use express_session::store::redis::RedisStore;
use express_session::store::{
    Created, Error, ErrorKind, Fenced, LockOutcome, Revision, Store as _, Updated,
};
use express_session_testkit::Proxy;
use express_session_testkit::servers::{self, Redis};
use redis::aio::MultiplexedConnection;

use super::support::{HOUR, ONE, create, id, now, plain, proxied, record};

/// How long a replica is waited for that does not come.
const SHORT: Duration = Duration::from_millis(100);
/// How long one is waited for that does come, on a busy machine.
const LONG: Duration = Duration::from_secs(20);

/// A master with one replica.
struct Group {
    master: Redis,
    replica: MultiplexedConnection,
    _replica: Redis,
    /// Between the two.
    way: Proxy,
}

impl Group {
    async fn start() -> Option<Self> {
        let (master, server) = (servers::redis()?, servers::redis()?);
        let way = Proxy::start(&format!("127.0.0.1:{}", master.port()));
        let mut replica = plain(server.url()).await;
        let mut follow = redis::cmd("REPLICAOF");
        follow.arg("127.0.0.1").arg(way.port()).exec_async(&mut replica).await.unwrap();
        let group = Self { master, replica, _replica: server, way };
        let mut master = plain(group.master.url()).await;
        let begin = Instant::now();
        // It takes part as soon as it acknowledges a write.
        loop {
            redis::cmd("SET").arg("begin").arg(1).exec_async(&mut master).await.unwrap();
            let mut wait = redis::cmd("WAIT");
            let count: usize = wait.arg(1).arg(100).query_async(&mut master).await.unwrap();
            if count == 1 {
                return Some(group);
            }
            assert!(begin.elapsed() < LONG, "the replica does not follow");
        }
    }

    async fn store(&self, timeout: Duration) -> RedisStore {
        let store = RedisStore::connect(self.master.url()).await.unwrap();
        store.wait_for_replicas(1, timeout).timeout(2 * LONG)
    }

    /// The replica's record, at this moment.
    async fn replicated(&self, key: &str) -> Option<String> {
        redis::cmd("GET").arg(key).query_async(&mut self.replica.clone()).await.unwrap()
    }
}

fn is_too_few<T: std::fmt::Debug>(result: Result<T, Error>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
}

#[tokio::test]
async fn change_that_is_done_is_on_the_replica() {
    let Some(group) = Group::start().await else { return };
    let store = group.store(LONG).await;
    for number in 0..50 {
        let name = format!("a{number}");
        let key = format!("sess:{name}");
        let revision = create(&store, &name, "1").await;
        assert_eq!(group.replicated(&key).await.as_deref(), Some("1"));
        let updated = store.update(&id(&name), &record("2"), &revision, now()).await.unwrap();
        let Updated::Done(revision) = updated else { panic!("{updated:?}") };
        assert_eq!(group.replicated(&key).await.as_deref(), Some("2"));
        assert!(matches!(
            store.lock(&id(&name), ONE, HOUR, now()).await.unwrap(),
            LockOutcome::Acquired(_)
        ));
        let fenced = store.update_locked(&id(&name), &record("3"), &revision, ONE, now()).await;
        assert!(matches!(fenced.unwrap(), Fenced::Held(Updated::Done(_))));
        assert_eq!(group.replicated(&key).await.as_deref(), Some("3"));
        store.destroy(&id(&name)).await.unwrap();
        assert_eq!(group.replicated(&key).await, None);
    }
}

#[tokio::test]
async fn change_that_no_replica_has_in_time_is_timed_out_and_on_the_master() {
    let Some(group) = Group::start().await else { return };
    let (store, patient) = (group.store(SHORT).await, group.store(LONG).await);
    let revision = create(&patient, "a", "1").await;
    create(&patient, "b", "1").await;
    assert!(matches!(
        store.lock(&id("b"), ONE, HOUR, now()).await.unwrap(),
        LockOutcome::Acquired(_)
    ));
    group.way.stall();
    is_too_few(store.create(&id("c"), &record("1"), now()).await);
    is_too_few(store.update(&id("a"), &record("2"), &revision, now()).await);
    is_too_few(store.update_locked(&id("b"), &record("2"), &revision, ONE, now()).await);
    // A call that changed nothing needs no replica.
    let taken = store.create(&id("a"), &record("3"), now()).await.unwrap();
    assert_eq!(taken, Created::Taken);
    let conflict = store.update(&id("a"), &record("3"), &revision, now()).await.unwrap();
    assert!(matches!(conflict, Updated::Conflict(current) if &*current.record.text == "2"));
    let gone = store.update(&id("none"), &record("3"), &revision, now()).await.unwrap();
    assert_eq!(gone, Updated::Gone);
    let lost = store.update_locked(&id("a"), &record("3"), &revision, ONE, now()).await.unwrap();
    assert_eq!(lost, Fenced::Lost);
    for (name, text) in [("a", "2"), ("b", "2"), ("c", "1")] {
        let loaded = store.load(&id(name), now()).await.unwrap().unwrap();
        assert_eq!(&*loaded.record.text, text, "{name}");
    }
    is_too_few(store.destroy(&id("a")).await);
    assert_eq!(store.load(&id("a"), now()).await.unwrap(), None);
    assert_eq!(group.replicated("sess:a").await.as_deref(), Some("1"));

    group.way.resume();
    // A caller that asks again once it is back succeeds.
    patient.destroy(&id("a")).await.unwrap();
    assert_eq!(group.replicated("sess:a").await, None);
}

#[tokio::test]
async fn nothing_waits_but_changes() {
    let Some(group) = Group::start().await else { return };
    let (proxy, url) = proxied(&group.master);
    let store = RedisStore::connect(&url).await.unwrap();
    let store = store.wait_for_replicas(1, LONG).timeout(2 * LONG);
    create(&store, "a", "1").await;
    assert_eq!(proxy.connections(), 2);
    group.way.stall();
    let writer = store.clone();
    let waiting = tokio::spawn(async move { create(&writer, "b", "1").await });
    // It is on the master, and still waits.
    let begin = Instant::now();
    while store.load(&id("b"), now()).await.unwrap().is_none() {
        assert!(begin.elapsed() < LONG / 2);
    }
    assert!(matches!(
        store.lock(&id("a"), ONE, HOUR, now()).await.unwrap(),
        LockOutcome::Acquired(_)
    ));
    assert!(store.load(&id("a"), now()).await.unwrap().is_some());
    assert!(!waiting.is_finished());
    group.way.resume();
    waiting.await.unwrap();
    assert_eq!(group.replicated("sess:b").await.as_deref(), Some("1"));
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn waiting_makes_no_round_trip_more() {
    let Some(group) = Group::start().await else { return };
    let (proxy, url) = proxied(&group.master);
    let store = RedisStore::connect(&url).await.unwrap();
    let store = store.wait_for_replicas(1, LONG).timeout(2 * LONG);
    // The server is asked for its commands, on the connection that waits too, and learns the script.
    for _ in 0..2 {
        store.update(&id("none"), &record("1"), &Revision::new(0), now()).await.unwrap();
    }
    let before = proxy.round_trips();
    let revision = create(&store, "a", "1").await;
    store.update(&id("a"), &record("2"), &revision, now()).await.unwrap();
    store.destroy(&id("a")).await.unwrap();
    assert_eq!(proxy.round_trips() - before, 3);
}

#[tokio::test]
async fn no_replicas_are_none_to_wait_for() {
    let Some(server) = servers::shared_redis() else { return };
    let store = RedisStore::connect(server.url()).await.unwrap().prefix("unreplicated:");
    create(&store.clone().wait_for_replicas(1, SHORT).wait_for_replicas(0, SHORT), "a", "1").await;
    // The server has none.
    is_too_few(store.wait_for_replicas(1, SHORT).create(&id("b"), &record("1"), now()).await);
}
