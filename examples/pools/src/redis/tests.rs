//! The store obeys the laws, over a pool and a real server.

use std::time::Duration;

use deadpool_redis::redis::AsyncConnectionConfig;
use deadpool_redis::{Manager, Runtime};
use express_session_testkit::laws::wrong_clock_ends_no_record;
use express_session_testkit::{Clock, Subject, Task, servers, store_laws};

use super::*;
use crate::testing;

/// Each store has a prefix of its own.
struct Prefixes;

impl Subject for Prefixes {
    type Store = RedisPoolStore;

    async fn store(&self) -> RedisPoolStore {
        let url = servers::shared_redis().unwrap().url();
        // By default the driver waits for half a second, which a busy machine may take.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(10)))
            .set_response_timeout(Some(Duration::from_secs(10)));
        let pool = Pool::builder(Manager::new_with_config(url, config).unwrap()).max_size(4);
        let pool = pool.runtime(Runtime::Tokio1).build().unwrap();
        RedisPoolStore { pool, prefix: testing::name() }
    }

    fn clock(&self) -> Clock {
        Clock::Server
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        testing::parallel(tasks).await;
    }

    async fn plant(&self, store: &RedisPoolStore, id: &SessionId, garbage: &[u8]) -> bool {
        let mut connection = store.connection().await.unwrap();
        let mut set = redis::cmd("SET");
        set.arg(store.key(id)).arg(garbage).exec_async(&mut connection).await.unwrap();
        true
    }
}

fn with_server(law: impl Future<Output = ()>) {
    if servers::shared_redis().is_some() {
        testing::on_runtime(law);
    }
}

store_laws!(Prefixes, block_on = with_server);

#[test]
fn wrong_clock_ends_no_record_of_the_pool() {
    with_server(wrong_clock_ends_no_record(&Prefixes));
}
