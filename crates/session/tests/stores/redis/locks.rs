//! Where the Redis store keeps its locks: beside the sessions, and in their slots of a cluster.

use std::time::Duration;

use express_session::store::redis::RedisStore;
use express_session::store::{Admin as _, ErrorKind, Fenced, LockOutcome, Store as _, Updated};
use express_session_testkit::servers;

use super::support::{HOUR, ONE, OTHER, create, id, now, plain, record};

#[tokio::test]
async fn lock_is_no_session_with_any_prefix() {
    let Some(server) = servers::redis() else { return };
    let mut plain = plain(server.url()).await;
    // With none, and with what locks begin with, every key of the server is looked at.
    for prefix in ["sess:", "", "lock:", "l"] {
        let store = RedisStore::connect(server.url()).await.unwrap().prefix(prefix);
        assert!(matches!(
            store.lock(&id("a"), ONE, HOUR, now()).await.unwrap(),
            LockOutcome::Acquired(_)
        ));
        assert_eq!(store.count(now()).await.unwrap(), 0, "{prefix:?}");
        assert_eq!(store.list(None, 10, now()).await.unwrap().sessions, [], "{prefix:?}");
        store.clear().await.unwrap();
        assert_eq!(store.lock(&id("a"), OTHER, HOUR, now()).await.unwrap(), LockOutcome::Held);

        let mut left = redis::cmd("PTTL");
        left.arg(format!("lock:{{{prefix}a}}"));
        let left: u64 = left.query_async(&mut plain).await.unwrap();
        assert!((1..=3_600_000).contains(&left), "the server ends it: {left}");
        redis::cmd("FLUSHALL").exec_async(&mut plain).await.unwrap();
    }
}

#[tokio::test]
async fn lease_may_be_nothing_or_beyond_all_time() {
    let Some(server) = servers::shared_redis() else { return };
    let store = RedisStore::connect(server.url()).await.unwrap().prefix("leases:");
    let (a, b) = (id("a"), id("b"));
    assert!(matches!(
        store.lock(&a, ONE, Duration::ZERO, now()).await.unwrap(),
        LockOutcome::Acquired(_)
    ));
    assert!(matches!(
        store.lock(&a, OTHER, Duration::MAX, now()).await.unwrap(),
        LockOutcome::Acquired(_)
    ));
    assert_eq!(store.lock(&a, ONE, HOUR, now()).await.unwrap(), LockOutcome::Held);
    assert!(matches!(
        store.lock(&b, ONE, Duration::MAX, now()).await.unwrap(),
        LockOutcome::Acquired(_)
    ));
    assert!(matches!(
        store.lock(&b, ONE, Duration::ZERO, now()).await.unwrap(),
        LockOutcome::Acquired(_)
    ));
    assert!(matches!(store.lock(&b, OTHER, HOUR, now()).await.unwrap(), LockOutcome::Acquired(_)));
}

#[tokio::test]
async fn lock_is_where_its_record_is_in_a_cluster() {
    let Some(cluster) = servers::shared_redis_cluster() else { return };
    let urls = cluster.urls();
    let url = format!("redis+cluster://{}", urls[0].strip_prefix("redis://").unwrap());
    for prefix in ["locks:", "{locks}:", "locks{"] {
        let store = RedisStore::connect(&url).await.unwrap().prefix(prefix);
        // In all parts of the cluster.
        for number in 0..20 {
            let id = id(&format!("{number}"));
            let revision = create(&store, id.as_str(), "1").await;
            assert!(matches!(
                store.lock(&id, ONE, HOUR, now()).await.unwrap(),
                LockOutcome::Acquired(_)
            ));
            let fenced = store.update_locked(&id, &record("2"), &revision, ONE, now()).await;
            assert!(matches!(fenced.unwrap(), Fenced::Held(Updated::Done(_))), "{prefix}{number}");
            let fenced = store.update_locked(&id, &record("2"), &revision, OTHER, now()).await;
            assert_eq!(fenced.unwrap(), Fenced::Lost);
            store.unlock(&id, ONE).await.unwrap();
            assert!(matches!(
                store.lock(&id, OTHER, HOUR, now()).await.unwrap(),
                LockOutcome::Acquired(_)
            ));
        }
    }
}

#[tokio::test]
async fn key_that_cannot_have_a_lock_in_a_cluster_is_an_error_that_says_so() {
    let Some(cluster) = servers::shared_redis_cluster() else { return };
    let urls = cluster.urls();
    let url = format!("redis+cluster://{}", urls[0].strip_prefix("redis://").unwrap());
    let store = RedisStore::connect(&url).await.unwrap().prefix("locks:");
    let id = id("a}b");
    let revision = create(&store, id.as_str(), "1").await;
    let errors = [
        store.lock(&id, ONE, HOUR, now()).await.map(drop),
        store.update_locked(&id, &record("2"), &revision, ONE, now()).await.map(drop),
        store.unlock(&id, ONE).await,
    ];
    for error in errors.map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Unsuitable, "{error:?}");
        assert!(error.to_string().contains("cluster"), "{error}");
        assert!(!error.to_string().contains("a}b"), "{error}");
    }
    // One server has a place for it.
    let Some(server) = servers::shared_redis() else { return };
    let store = RedisStore::connect(server.url()).await.unwrap().prefix("locks:");
    assert!(matches!(store.lock(&id, ONE, HOUR, now()).await.unwrap(), LockOutcome::Acquired(_)));
}
