//! The index of the users: what lists rely on, and the end of sessions does not.

use std::time::Duration;

use express_session::SessionLayer;
use express_session::store::redis::{RedisStore, redis};
use express_session::store::{Admin as _, Created, Store as _, Touch, Updated};
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::record::Json;
use express_session_testkit::servers::{self, Redis};
use redis::aio::MultiplexedConnection;

use super::support::{HOUR, create, id, now, plain, record};
use crate::support::{SECRET, Talk, visit};

fn server() -> Option<&'static Redis> {
    servers::shared_redis()
}

/// A store with an index, and a connection beside it.
async fn opened(prefix: &str) -> Option<(RedisStore, MultiplexedConnection)> {
    let store = RedisStore::connect(server()?.url()).await.unwrap();
    Some((store.prefix(prefix).user_index(true), plain(server()?.url()).await))
}

fn of(user: &str) -> String {
    format!(r#"{{"cookie":{{"path":"/"}},"passport":{{"user":"{user}"}}}}"#)
}

fn query(user: &str) -> UserQuery {
    UserQuery::new(Json::of(user).unwrap(), MemberName::DEFAULT)
}

/// Returns the ids that a list of the user's sessions has.
async fn listed(store: &RedisStore, users: &UserQuery) -> Vec<String> {
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let page = store.sessions_of(users, after, 10, now()).await.unwrap();
        ids.extend(page.sessions.iter().map(|(id, _)| id.as_str().to_owned()));
        after = page.next;
        if after.is_none() {
            ids.sort();
            return ids;
        }
    }
}

/// The key of the user's set, which is the only one beside the records.
async fn sets(connection: &mut MultiplexedConnection, prefix: &str) -> Vec<String> {
    let mut keys = redis::cmd("KEYS");
    keys.arg(format!("user:{prefix}*")).query_async(connection).await.unwrap()
}

async fn set_raw(connection: &mut MultiplexedConnection, key: &str, text: &str) {
    let mut set = redis::cmd("SET");
    set.arg(key).arg(text).arg("EX").arg(3600).exec_async(connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_index_hides_no_session_from_the_end_of_sessions() {
    let Some((store, mut connection)) = opened("lost:").await else { return };
    let layer = SessionLayer::new(SECRET).metadata(true).store(store.clone());
    for round in 0..2 {
        let talk = Talk::begin(&layer, visit()).await;
        talk.session.login("bob").await.unwrap();
        talk.end().await;
        assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 1, "{round}: after a login");
        let keys = sets(&mut connection, "lost:").await;
        assert_eq!(keys.len(), 1, "{keys:?}");
        redis::cmd("DEL").arg(keys).exec_async(&mut connection).await.unwrap();
        assert_eq!(layer.sessions_of("bob").await.unwrap().len(), 0, "a list reads the index");
        assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 1, "{round}");
        assert_eq!(layer.end_sessions_of("bob").await.unwrap(), 0, "{round}");
    }
    store.clear().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entry_without_a_session_of_the_user_is_not_listed_and_goes() {
    let Some((store, mut connection)) = opened("stale:").await else { return };
    create(&store, "bobs", &of("bob")).await;
    create(&store, "other", &of("eve")).await;
    let users = query("bob");
    let key = format!("user:stale:{}", users.lock_id().as_str());
    for (name, score) in [("other", 1), ("gone", 1), ("comes", 9_000_000_000_i64)] {
        let mut add = redis::cmd("ZADD");
        add.arg(&key).arg(score).arg(name).exec_async(&mut connection).await.unwrap();
    }
    assert_eq!(listed(&store, &users).await, ["bobs"]);
    let mut range = redis::cmd("ZRANGE");
    range.arg(&key).arg(0).arg(-1);
    let mut left: Vec<String> = range.query_async(&mut connection).await.unwrap();
    left.sort();
    // The record of the last one may be on its way.
    assert_eq!(left, ["bobs", "comes"]);
    set_raw(&mut connection, "stale:comes", &of("bob")).await;
    assert_eq!(listed(&store, &users).await, ["bobs", "comes"]);
    let score: f64 =
        redis::cmd("ZSCORE").arg(&key).arg("comes").query_async(&mut connection).await.unwrap();
    assert!(score < 8_000_000_000.0, "it has another minute: {score}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_that_node_writes_is_ended_and_is_listed_once_this_side_has_written() {
    let Some((store, mut connection)) = opened("node:").await else { return };
    set_raw(&mut connection, "node:begun", &of("bob")).await;
    create(&store, "changed", &of("bob")).await;
    set_raw(&mut connection, "node:changed", &of("eve")).await;
    let [bob, eve] = ["bob", "eve"].map(query);
    assert_eq!(listed(&store, &bob).await, [""; 0]);
    assert_eq!(listed(&store, &bob.clone().complete()).await, ["begun"]);
    assert_eq!(listed(&store, &eve.clone().complete()).await, ["changed"]);

    let touch = Touch::new(r#"{"path":"/"}"#, Some(now().saturating_add(HOUR)));
    store.touch(&id("begun"), &touch, now()).await.unwrap();
    assert_eq!(listed(&store, &bob).await, ["begun"]);
    let loaded = store.load(&id("changed"), now()).await.unwrap().unwrap();
    let updated = store.update(&id("changed"), &loaded.record, &loaded.revision, now()).await;
    assert!(matches!(updated.unwrap(), Updated::Done(_)));
    assert_eq!(listed(&store, &eve).await, ["changed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn set_of_a_user_expires_after_the_last_deadline() {
    let Some((store, mut connection)) = opened("expiry:").await else { return };
    let key = format!("user:expiry:{}", query("bob").lock_id().as_str());
    let day = 86_400;
    for (name, seconds, at_least) in [("a", 60, 60), ("b", 7200, 7200), ("c", 60, 7200)] {
        let mut record = record(of("bob"));
        record.deadline = Some(now().saturating_add(Duration::from_secs(seconds)));
        let created = store.create(&id(name), &record, now()).await.unwrap();
        assert!(matches!(created, Created::Done(_)));
        let left: i64 = redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!((at_least + day - 5..=at_least + day + 1).contains(&left), "{name}: {left}");
    }
    let store = store.disable_ttl(true);
    create(&store, "d", &of("bob")).await;
    let left: i64 = redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
    assert_eq!(left, -1, "a session without an end is in it");
    store.clear().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn index_is_neither_a_session_nor_kept_for_records_without_a_user() {
    let Some((store, mut connection)) = opened("none:").await else { return };
    create(&store, "a", r#"{"cookie":{"path":"/"},"n":1}"#).await;
    assert_eq!(sets(&mut connection, "none:").await, [""; 0]);
    create(&store, "b", &of("bob")).await;
    assert_eq!(sets(&mut connection, "none:").await.len(), 1);
    assert_eq!(store.count(now()).await.unwrap(), 2);
    // Without the option nothing is indexed, and lists find everything.
    let plain = store.clone().user_index(false);
    create(&plain, "c", &of("eve")).await;
    assert_eq!(sets(&mut connection, "none:").await.len(), 1);
    assert_eq!(listed(&plain, &query("eve")).await, ["c"]);
    // The metadata of another member are not indexed: a list reads every record.
    let other = UserQuery::new(Json::of("eve").unwrap(), MemberName::new("__other").unwrap());
    assert_eq!(listed(&store, &other).await, ["c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_index_is_listed_in_pages() {
    let Some((store, _)) = opened("pages:").await else { return };
    let names: Vec<_> = (0..25).map(|number| format!("s{number:02}")).collect();
    for name in &names {
        create(&store, name, &of("bob")).await;
    }
    assert_eq!(listed(&store, &query("bob")).await, names);
}
