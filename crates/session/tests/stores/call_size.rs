//! The size of a store call while it waits. The layer boxes each, and beyond a kilobyte the usual allocators
//! take their slow way: with four, a request to Redis cost a tenth more.

use express_session::store::{Record, Revision, Store, Touch};
use express_session::{SessionId, Timestamp};

const KILOBYTE: usize = 1024;

fn assert_small(store: &impl Store) {
    let (id, now) = (SessionId::new("id").unwrap(), Timestamp::from_millis(0));
    let record = Record { text: "{}".into(), deadline: None };
    let touch = Touch::new("{}", None);
    for (call, size) in [
        ("load", size_of_val(&store.load(&id, now))),
        ("create", size_of_val(&store.create(&id, &record, now))),
        ("update", size_of_val(&store.update(&id, &record, &Revision::new(1), now))),
        ("touch", size_of_val(&store.touch(&id, &touch, now))),
        ("destroy", size_of_val(&store.destroy(&id))),
    ] {
        assert!(size <= KILOBYTE, "{call}: {size} bytes");
    }
}

#[test]
fn call_of_every_store_is_small() {
    use express_session::store;

    assert_small(&express_session::MemoryStore::new());
    #[cfg(feature = "redis")]
    assert_small(&store::redis::RedisStore::new("redis://127.0.0.1").unwrap());
    #[cfg(feature = "postgres")]
    assert_small(&store::postgres::PostgresStore::new("postgres://127.0.0.1").unwrap());
    #[cfg(feature = "mysql")]
    assert_small(&store::mysql::MySqlStore::new("mysql://127.0.0.1/app").unwrap());
    #[cfg(feature = "memcached")]
    assert_small(&store::memcached::MemcachedStore::new("memcached://127.0.0.1").unwrap());
}
