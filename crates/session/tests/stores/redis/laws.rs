//! The Redis store obeys every law of a store: at one server, over TLS, with sentinels, at a cluster,
//! over connections of the application's, waiting for replicas, and with the options that change what is
//! sent.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::{on_tokio, spawned};
use express_session::store::redis::{RedisStore, redis};
use express_session_core::SessionId;
use express_session_testkit::servers::{self, Redis, RedisSentinel};
use express_session_testkit::{
    Clock, Subject, Task, admin_laws, admin_model_laws, clock_laws, laws, lock_laws, order_laws,
    store_laws,
};
use redis::aio::ConnectionLike;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;

use super::support::plain;

/// Where the sessions are, and how to get there. Each law connects again, in a runtime of its own.
trait Way {
    async fn open(&self) -> RedisStore;

    /// Returns a connection beside the store.
    async fn beside(&self) -> impl ConnectionLike;
}

macro_rules! way {
    ($way:ident: open $open:block beside $beside:block) => {
        struct $way;

        impl Way for $way {
            async fn open(&self) -> RedisStore {
                $open
            }

            async fn beside(&self) -> impl ConnectionLike {
                $beside
            }
        }
    };
}

struct Under<W> {
    way: W,
    /// That of the store that was opened last.
    prefix: Mutex<String>,
}

impl<W> Under<W> {
    fn new(way: W) -> Self {
        Self { way, prefix: Mutex::default() }
    }
}

impl<W: Way> Subject for Under<W> {
    type Store = RedisStore;

    async fn store(&self) -> RedisStore {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // With what is special in patterns: `[a]` must not be taken for `a`.
        let prefix = format!("laws-{}[a]*:", COUNT.fetch_add(1, Ordering::Relaxed));
        self.prefix.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&prefix);
        self.way.open().await.prefix(prefix)
    }

    fn clock(&self) -> Clock {
        Clock::Server
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }

    async fn plant(&self, _store: &RedisStore, id: &SessionId, garbage: &[u8]) -> bool {
        let key = format!("{}{}", self.prefix.lock().unwrap(), id.as_str());
        let mut connection = self.way.beside().await;
        let mut set = redis::cmd("SET");
        set.arg(key).arg(garbage).exec_async(&mut connection).await.unwrap();
        true
    }
}

/// Makes a module with a test of each law, which passes untried where the server is not installed.
macro_rules! laws {
    ($module:ident, $way:ident at $server:expr $(, $model:ident)?) => {
        mod $module {
            use super::*;

            fn on_tokio(law: impl Future<Output = ()>) {
                if $server.is_some() {
                    crate::on_tokio(law);
                }
            }

            store_laws!(Under::new($way), block_on = on_tokio);
            lock_laws!(Under::new($way), block_on = on_tokio);
            admin_laws!(Under::new($way), block_on = on_tokio);
            order_laws!(Under::new($way), block_on = on_tokio);
            $( $model!(Under::new($way), block_on = on_tokio); )?
        }
    };
}

/// Makes a test of the laws for what differs from another only in how the bytes get there.
macro_rules! essential {
    ($test:ident, $way:ident at $server:expr) => {
        #[test]
        fn $test() {
            if $server.is_some() {
                on_tokio(essential_laws(Under::new($way)));
            }
        }
    };
}

fn alone() -> String {
    database_of(servers::shared_redis().unwrap())
}

/// Returns a database of a shared server that few laws have: a listing reads all keys of one. A law runs in a thread.
fn database_of(server: &Redis) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static NUMBER: u32 = 1 + COUNT.fetch_add(1, Ordering::Relaxed) % 15;
    }
    format!("{}/{}", server.url(), NUMBER.with(|number| *number))
}

way! { Alone:
    open { RedisStore::connect(&alone()).await.unwrap() }
    beside { plain(&alone()).await }
}

/// The same for the laws about wrong clocks: a function for the TTL has a clock of its own.
macro_rules! clocks {
    ($module:ident, $way:ident at $server:expr) => {
        mod $module {
            use super::*;

            clock_laws!(
                Under::new($way),
                block_on = |law| if $server.is_some() {
                    on_tokio(law)
                }
            );
        }
    };
}

laws!(at_one_server, Alone at servers::shared_redis(), admin_model_laws);
clocks!(wrong_clocks_at_one_server, Alone at servers::shared_redis());

// In the older protocol, with a function for the time to live.
way! { Older:
    open {
        let store = RedisStore::connect(&format!("{}?protocol=2", alone())).await.unwrap();
        store.scan_count(7).ttl_with(|record| {
            let now = std::time::SystemTime::now();
            let deadline = record.deadline.map(std::time::SystemTime::from);
            deadline.map_or(Duration::from_secs(3600), |deadline| {
                deadline.duration_since(now).unwrap_or_default()
            })
        })
    }
    beside { plain(&alone()).await }
}

laws!(with_a_function_for_the_ttl, Older at servers::shared_redis());

// At a server that compares texts itself.
way! { Comparing:
    open { RedisStore::connect(&database_of(servers::shared_valkey().unwrap())).await.unwrap() }
    beside { plain(&database_of(servers::shared_valkey().unwrap())).await }
}

laws!(at_valkey, Comparing at servers::shared_valkey(), admin_model_laws);
clocks!(wrong_clocks_at_valkey, Comparing at servers::shared_valkey());

way! { ComparingCluster:
    open { RedisStore::connect(&format!("redis+cluster://{}", hosts(&valkeys()[2..4]))).await.unwrap() }
    beside { ClusterClient::new(valkeys()).unwrap().get_async_connection().await.unwrap() }
}

fn valkeys() -> Vec<String> {
    servers::shared_valkey_cluster().unwrap().urls()
}

laws!(at_a_cluster_of_valkey, ComparingCluster at servers::shared_valkey_cluster());

// With an index of the users.
way! { Indexed:
    open { Alone.open().await.user_index(true) }
    beside { Alone.beside().await }
}

laws!(with_an_index, Indexed at servers::shared_redis());

way! { IndexedCluster:
    open { Clustered.open().await.user_index(true) }
    beside { Clustered.beside().await }
}

laws!(with_an_index_at_a_cluster, IndexedCluster at servers::shared_redis_cluster());

// Over a connection of the application's.
way! { Managed:
    open {
        let client = redis::Client::open(alone()).unwrap();
        RedisStore::with_connection(client.get_connection_manager().await.unwrap())
    }
    beside { plain(&alone()).await }
}

essential! { application_can_share_its_connection, Managed at servers::shared_redis() }

way! { Clustered:
    open { RedisStore::connect(&cluster_url()).await.unwrap() }
    beside { cluster().await }
}

laws!(at_a_cluster, Clustered at servers::shared_redis_cluster());
clocks!(wrong_clocks_at_a_cluster, Clustered at servers::shared_redis_cluster());

// Over an application's connection to a cluster.
way! { GivenCluster:
    open { RedisStore::with_connection(cluster().await) }
    beside { cluster().await }
}

essential! {
    application_can_share_its_connection_to_a_cluster,
    GivenCluster at servers::shared_redis_cluster()
}

static SENTINEL: LazyLock<Option<RedisSentinel>> = LazyLock::new(servers::redis_sentinel);

way! { Watched:
    open {
        let sentinel = SENTINEL.as_ref().unwrap();
        let hosts = hosts(&sentinel.sentinel_urls());
        let url = format!("redis+sentinel://{hosts}/{}?db=3", sentinel.master_name());
        RedisStore::connect(&url).await.unwrap()
    }
    beside {
        let port = SENTINEL.as_ref().unwrap().master_port().unwrap();
        plain(&format!("redis://127.0.0.1:{port}/3")).await
    }
}

laws!(with_sentinels, Watched at SENTINEL.as_ref());

// With each change on the replica too before it counts.
way! { Replicated:
    open { Watched.open().await.wait_for_replicas(1, Duration::from_secs(4)) }
    beside { Watched.beside().await }
}

essential! { changes_can_wait_for_the_replica_of_a_master, Replicated at SENTINEL }

way! { ReplicatedCluster:
    open { Clustered.open().await.wait_for_replicas(1, Duration::from_secs(4)) }
    beside { Clustered.beside().await }
}

essential! {
    changes_can_wait_for_the_replicas_of_a_cluster,
    ReplicatedCluster at servers::shared_redis_cluster()
}

#[cfg(feature = "tls")]
mod tls {
    use super::*;

    static TLS: LazyLock<Option<Redis>> = LazyLock::new(servers::redis_tls);

    struct Encrypted;

    fn certificates() -> redis::TlsCertificates {
        let authority = std::fs::read(TLS.as_ref().unwrap().ca_path()).unwrap();
        redis::TlsCertificates { client_tls: None, root_cert: Some(authority) }
    }

    impl Way for Encrypted {
        async fn open(&self) -> RedisStore {
            let url = TLS.as_ref().unwrap().url();
            let store = RedisStore::new_with_tls(url, certificates()).unwrap();
            store.ping().await.unwrap();
            store
        }

        async fn beside(&self) -> impl ConnectionLike {
            let url = TLS.as_ref().unwrap().url();
            let client = redis::Client::build_with_tls(url, certificates()).unwrap();
            client.get_multiplexed_async_connection().await.unwrap()
        }
    }

    essential! { server_with_a_trusted_certificate_is_used, Encrypted at TLS }
}

async fn essential_laws(subject: impl Subject<Store = RedisStore>) {
    laws::megabyte_is_loaded_as_it_was_saved_or_refused(&subject).await;
    laws::create_refuses_an_id_that_is_in_use(&subject).await;
    laws::concurrent_updates_lose_nothing(&subject).await;
    laws::destroyed_record_stays_gone(&subject).await;
    laws::abandoned_call_happened_or_did_not(&subject).await;
    laws::corrupt_record_is_an_error_and_stays(&subject).await;
    laws::locked_update_writes_as_an_update_does(&subject).await;
    laws::concurrent_critical_sections_lose_nothing(&subject).await;
    laws::clear_removes_everything_and_nothing_of_another_store(&subject).await;
}

async fn cluster() -> ClusterConnection {
    let urls = servers::shared_redis_cluster().unwrap().urls();
    ClusterClient::new(urls).unwrap().get_async_connection().await.unwrap()
}

/// Names some of the nodes, as one does.
fn cluster_url() -> String {
    let urls = servers::shared_redis_cluster().unwrap().urls();
    format!("redis+cluster://{}", hosts(&urls[2..4]))
}

fn hosts(urls: &[String]) -> String {
    let hosts: Vec<_> = urls.iter().filter_map(|url| url.strip_prefix("redis://")).collect();
    hosts.join(",")
}
