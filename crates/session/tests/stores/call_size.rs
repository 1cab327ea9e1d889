//! The size of a store call while it waits. The layer boxes each, and beyond a kilobyte the usual allocators
//! take their slow way: with four, a request to Redis cost a tenth more.

use express_session::store::{Record, Revision, Store, Touch};
use express_session::{SessionId, Timestamp};

const KILOBYTE: usize = 1024;

fn assert_small(store: &impl Store) {
    let (id, now) = (SessionId::new("id").unwrap(), Timestamp::from_millis(0));
    let record = Record { text: "{}".into(), deadline: None };
    let touch = Touch { cookie: "{}".into(), deadline: None };
    for (call, size) in [
        ("load", size_of_val(&store.load(&id, now))),
        ("load_and_touch", size_of_val(&store.load_and_touch(&id, now))),
        ("create", size_of_val(&store.create(&id, &record, now))),
        ("update", size_of_val(&store.update(&id, &record, Revision::new(1), now))),
        ("touch", size_of_val(&store.touch(&id, &touch, now))),
        ("destroy", size_of_val(&store.destroy(&id))),
    ] {
        assert!(size <= KILOBYTE, "{call}: {size} bytes");
    }
}

#[test]
fn call_of_the_memory_store_is_small() {
    assert_small(&express_session::MemoryStore::new());
}

#[cfg(feature = "redis")]
#[test]
fn call_of_the_redis_store_is_small() {
    use express_session::store::redis::RedisStore;
    assert_small(&RedisStore::new("redis://127.0.0.1").unwrap());
}

#[cfg(feature = "postgres")]
#[test]
fn call_of_the_postgres_store_is_small() {
    use express_session::store::postgres::PostgresStore;
    assert_small(&PostgresStore::new("postgres://127.0.0.1").unwrap());
}

#[cfg(feature = "mysql")]
#[test]
fn call_of_the_mysql_store_is_small() {
    use express_session::store::mysql::MySqlStore;
    assert_small(&MySqlStore::new("mysql://127.0.0.1/app").unwrap());
}

#[cfg(feature = "memcached")]
#[test]
fn call_of_the_memcached_store_is_small() {
    use express_session::store::memcached::MemcachedStore;
    assert_small(&MemcachedStore::new("memcached://127.0.0.1").unwrap());
}
