//! Request coalescing in front of Redis obeys the laws of a store.
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use express_session::SessionId;
use express_session::store::redis::RedisStore;
use express_session::store::{Coalesced, ErrorKind, Store as _};
use express_session_testkit::{Clock, Proxy, Subject, Task, servers, store_laws};

use crate::support::{BOB, NOW, poll_once, waits};
use crate::{on_tokio, spawned};

struct OnRedis;

impl Subject for OnRedis {
    type Store = Coalesced<RedisStore>;

    async fn store(&self) -> Self::Store {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("coalesced-{}:", COUNT.fetch_add(1, Ordering::Relaxed));
        let url = servers::shared_redis().unwrap().url();
        Coalesced::new(RedisStore::connect(url).await.unwrap().prefix(prefix))
    }

    fn clock(&self) -> Clock {
        Clock::Server
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }
}

store_laws!(
    OnRedis,
    block_on = |law| if servers::shared_redis().is_some() {
        on_tokio(law)
    }
);

#[test]
fn answer_that_never_comes_is_waited_for_once_by_those_who_share() {
    let Some(server) = servers::shared_redis() else { return };
    on_tokio(async {
        let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
        let timeout = Duration::from_millis(200);
        let store = RedisStore::connect(&format!("redis://{}", proxy.address())).await.unwrap();
        let store = Coalesced::new(store.prefix("unanswered:").timeout(timeout));
        proxy.stall();
        let id = SessionId::new(BOB).unwrap();
        let mut first = Box::pin(store.load(&id, NOW));
        assert!(waits(first.as_mut()).await);
        let mut behind = Box::pin(store.load(&id, NOW));
        assert!(waits(behind.as_mut()).await);
        assert_eq!(first.await.unwrap_err().kind(), ErrorKind::TimedOut);
        // At the same moment, and not a deadline later.
        let Poll::Ready(shared) = poll_once(behind.as_mut()).await else {
            panic!("it waits for an answer of its own")
        };
        assert_eq!(shared.unwrap_err().kind(), ErrorKind::TimedOut);
        proxy.resume();
        assert_eq!(store.load(&id, NOW).await.unwrap(), None);
    });
}
