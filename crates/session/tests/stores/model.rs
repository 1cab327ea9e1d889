//! Every store does what the plain model does, for random operations, sequential and concurrent.

#[allow(unused_imports, reason = "the memory store needs neither")]
use crate::{on_tokio, spawned};
use express_session_testkit::{Subject, Task, admin_model_laws};

/// Runs a test where its server is there.
#[cfg(any(feature = "memcached", feature = "mysql", feature = "postgres", feature = "redis"))]
fn with<S>(server: Option<&S>, test: impl Future<Output = ()>) {
    if server.is_some() {
        on_tokio(test);
    }
}

/// A number that no other store of this process was named with.
#[cfg(any(feature = "memcached", feature = "mysql", feature = "postgres", feature = "redis"))]
fn number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

mod memory {
    use express_session::MemoryStore;
    use express_session_testkit::on_threads;

    use super::*;

    struct Memory(fn(MemoryStore) -> MemoryStore);

    impl Subject for Memory {
        type Store = MemoryStore;

        async fn store(&self) -> MemoryStore {
            (self.0)(MemoryStore::new())
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            on_threads(tasks).await;
        }
    }

    admin_model_laws!(Memory(|store| store));

    mod with_caps_that_nothing_reaches {
        use super::*;

        admin_model_laws!(Memory(|store| store.max_sessions(10_000).max_bytes(256 << 20)));
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use express_session::store::sqlite::{Dialect, SqliteStore};

    use super::*;
    use crate::local::Folder;

    struct Table(Folder, Dialect);

    impl Subject for Table {
        type Store = SqliteStore;

        async fn store(&self) -> SqliteStore {
            SqliteStore::new(self.0.fresh()).dialect(self.1)
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            spawned(tasks).await;
        }
    }

    mod connect_sqlite3 {
        use super::*;

        admin_model_laws!(Table(Folder::new(), Dialect::ConnectSqlite3), block_on = on_tokio);
    }

    mod better_sqlite3_session_store {
        use super::*;

        admin_model_laws!(
            Table(Folder::new(), Dialect::BetterSqlite3SessionStore),
            block_on = on_tokio
        );
    }

    mod connect_session_knex {
        use super::*;

        admin_model_laws!(Table(Folder::new(), Dialect::ConnectSessionKnex), block_on = on_tokio);
    }
}

#[cfg(feature = "file")]
mod file {
    use express_session::store::file::FileStore;

    use super::*;
    use crate::local::Folder;

    struct Folders(Folder);

    impl Subject for Folders {
        type Store = FileStore;

        async fn store(&self) -> FileStore {
            // The disk is not waited for: nothing here is about a crash.
            FileStore::new(self.0.fresh()).fsync(false)
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            spawned(tasks).await;
        }
    }

    admin_model_laws!(Folders(Folder::new()), block_on = on_tokio);
}

#[cfg(feature = "redis")]
mod redis {
    use express_session::store::redis::RedisStore;
    use express_session_testkit::{Clock, servers};

    use super::*;

    struct Prefixes;

    impl Subject for Prefixes {
        type Store = RedisStore;

        async fn store(&self) -> RedisStore {
            let server = servers::shared_redis().unwrap();
            let store = RedisStore::connect(server.url()).await.unwrap();
            store.prefix(format!("model-{}[a]*:", number()))
        }

        fn clock(&self) -> Clock {
            Clock::Server
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            spawned(tasks).await;
        }
    }

    admin_model_laws!(Prefixes, block_on = |test| with(servers::shared_redis(), test));
}

#[cfg(feature = "memcached")]
mod memcached {
    use express_session::store::memcached::MemcachedStore;
    use express_session_testkit::{Clock, servers};

    use super::*;

    struct Prefixes;

    impl Subject for Prefixes {
        type Store = MemcachedStore;

        async fn store(&self) -> MemcachedStore {
            let server = servers::shared_memcached().unwrap();
            MemcachedStore::new(&server.url()).unwrap().prefix(format!("model-{}:", number()))
        }

        fn clock(&self) -> Clock {
            Clock::Server
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            spawned(tasks).await;
        }
    }

    admin_model_laws!(Prefixes, block_on = |test| with(servers::shared_memcached(), test));
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::time::Duration;

    use express_session::store::postgres::PostgresStore;
    use express_session_testkit::servers;

    use super::*;

    struct Tables;

    impl Subject for Tables {
        type Store = PostgresStore;

        async fn store(&self) -> PostgresStore {
            let server = servers::shared_postgres().unwrap();
            PostgresStore::new(&server.url())
                .unwrap()
                .table_name(format!("model \"{}\"", number()))
                .create_table_if_missing(true)
                .timeout(Duration::from_secs(60))
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            spawned(tasks).await;
        }
    }

    admin_model_laws!(Tables, block_on = |test| with(servers::shared_postgres(), test));
}

#[cfg(feature = "mysql")]
mod mysql {
    use std::time::Duration;

    use express_session::store::mysql::MySqlStore;
    use express_session_testkit::servers;

    use super::*;

    struct Tables;

    impl Subject for Tables {
        type Store = MySqlStore;

        async fn store(&self) -> MySqlStore {
            let server = servers::shared_mariadb().unwrap();
            MySqlStore::new(&server.url())
                .unwrap()
                .table_name(format!("model` {}", number()))
                .timeout(Duration::from_secs(60))
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            spawned(tasks).await;
        }
    }

    admin_model_laws!(Tables, block_on = |test| with(servers::shared_mariadb(), test));
}
