//! Shared parts of the tests of the Redis store.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use express_session::store::redis::RedisStore;
use express_session::store::{Created, LockToken, Record, Revision, Store as _};
use express_session_core::{SessionId, Timestamp};
use express_session_testkit::Proxy;
use express_session_testkit::servers::Redis;
use redis::aio::MultiplexedConnection;

pub(crate) const ONE: LockToken = LockToken::from_random([0xA1; 16]);
pub(crate) const OTHER: LockToken = LockToken::from_random([0xA2; 16]);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

pub(crate) fn record(text: impl Into<Arc<str>>) -> Record {
    Record { text: text.into(), deadline: Some(now().saturating_add(HOUR)) }
}

pub(crate) async fn create(store: &RedisStore, name: &str, text: &str) -> Revision {
    match store.create(&id(name), &record(text), now()).await.unwrap() {
        Created::Done(revision) => revision,
        Created::Taken => panic!("taken"),
    }
}

pub(crate) async fn plain(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// A proxy before a server, and the URL of the way through it.
pub(crate) fn proxied(server: &Redis) -> (Proxy, String) {
    let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
    let url = format!("redis://{}", proxy.address());
    (proxy, url)
}
