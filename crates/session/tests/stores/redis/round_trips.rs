//! Each verb of the Redis store is one round trip, counted on the wire.

use std::time::Duration;

use express_session::store::redis::RedisStore;
use express_session::store::{
    Admin as _, Created, Error, Fenced, LockOutcome, Record, Store as _, Touch, Updated,
};
use express_session_core::Timestamp;
use express_session_testkit::{Proxy, servers};

use super::support::{HOUR, ONE, id, plain, proxied};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn record(text: &str) -> Record {
    let deadline = Some(NOW.saturating_add(Duration::from_secs(60)));
    Record { text: text.into(), deadline }
}

fn touch() -> Touch {
    Touch::new("{}", record("").deadline)
}

/// Returns how many round trips a call makes.
async fn trips<T>(proxy: &Proxy, call: impl Future<Output = Result<T, Error>>) -> (T, u64) {
    let before = proxy.round_trips();
    let result = call.await.unwrap();
    (result, proxy.round_trips() - before)
}

#[tokio::test]
async fn every_verb_is_one_round_trip() {
    let Some(redis) = servers::shared_redis() else { return };
    let (proxy, url) = proxied(redis);
    let store = RedisStore::connect(&url).await.unwrap().prefix("trips:");
    let (a, none) = (id("a"), id("none"));
    // The server learns the scripts.
    store
        .update(&none, &record("1"), &express_session::store::Revision::new(0), NOW)
        .await
        .unwrap();

    let (created, count) = trips(&proxy, store.create(&a, &record("{}"), NOW)).await;
    let Created::Done(revision) = created else { panic!("taken") };
    assert_eq!(count, 1, "create");
    assert_eq!(trips(&proxy, store.create(&a, &record("{}"), NOW)).await, (Created::Taken, 1));
    assert_eq!(trips(&proxy, store.load(&a, NOW)).await.1, 1, "load");
    assert_eq!(trips(&proxy, store.load(&none, NOW)).await, (None, 1));
    let updated = trips(&proxy, store.update(&a, &record("1"), &revision, NOW)).await;
    assert!(matches!(updated, (Updated::Done(_), 1)), "{updated:?}");
    let conflict = trips(&proxy, store.update(&a, &record("2"), &revision, NOW)).await;
    assert!(matches!(conflict, (Updated::Conflict(_), 1)), "{conflict:?}");
    let gone = trips(&proxy, store.update(&none, &record("2"), &revision, NOW)).await;
    assert_eq!(gone, (Updated::Gone, 1));
    assert_eq!(trips(&proxy, store.touch(&a, &touch(), NOW)).await.1, 1, "touch");
    // The server learns these scripts too.
    store.lock(&none, ONE, HOUR, NOW).await.unwrap();
    store.unlock(&none, ONE).await.unwrap();
    let lock = store.lock(&a, ONE, HOUR, NOW);
    assert!(matches!(trips(&proxy, lock).await, (LockOutcome::Acquired(_), 1)));
    let next = record("2");
    let lost = store.update_locked(&none, &next, &revision, ONE, NOW);
    assert_eq!(trips(&proxy, lost).await, (Fenced::Lost, 1));
    let conflict = store.update_locked(&a, &next, &revision, ONE, NOW);
    let conflict = trips(&proxy, conflict).await;
    assert!(matches!(conflict, (Fenced::Held(Updated::Conflict(_)), 1)), "{conflict:?}");
    assert_eq!(trips(&proxy, store.unlock(&a, ONE)).await.1, 1, "unlock");
    assert_eq!(trips(&proxy, store.destroy(&a)).await.1, 1, "destroy");
    assert_eq!(trips(&proxy, store.purge(10, NOW)).await, (0, 0));

    let store = store.ttl_with(|_| Duration::from_secs(60));
    store.create(&a, &record("{}"), NOW).await.unwrap();
    assert_eq!(trips(&proxy, store.touch(&a, &touch(), NOW)).await.1, 2, "touch by function");
    store.destroy(&a).await.unwrap();
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn script_is_sent_again_to_a_server_that_lost_it() {
    // One of its own, as the others' scripts would be lost too.
    let Some(redis) = servers::redis() else { return };
    let (proxy, url) = proxied(&redis);
    let store = RedisStore::connect(&url).await.unwrap();
    let mut plain = plain(redis.url()).await;
    let a = id("a");
    for _ in 0..2 {
        assert_eq!(trips(&proxy, store.unlock(&a, ONE)).await.1, 2, "not known yet");
        assert_eq!(trips(&proxy, store.unlock(&a, ONE)).await.1, 1, "known");
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut plain).await.unwrap();
    }
}

#[tokio::test]
async fn listing_takes_two_round_trips_for_each_step() {
    let Some(redis) = servers::redis() else { return };
    let (proxy, url) = proxied(&redis);
    let store = RedisStore::connect(&url).await.unwrap().scan_count(1000);
    for number in 0..100 {
        store.create(&id(&number.to_string()), &record("{}"), NOW).await.unwrap();
    }
    let (page, count) = trips(&proxy, store.list(None, 1000, NOW)).await;
    assert_eq!((page.sessions.len(), count), (100, 2));
    assert_eq!(trips(&proxy, store.count(NOW)).await, (100, 1));
    assert_eq!(trips(&proxy, store.clear()).await.1, 2);
    assert_eq!(trips(&proxy, store.count(NOW)).await.0, 0);
}
