//! Finding M3: a server that accepts connections and is silent. How often the stores connect, that calls fail fast, and
//! that they are served again.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use express_session::store::{AnyStore, Error, ErrorKind, Store};
use express_session::{SessionId, Timestamp};
use express_session_testkit::Proxy;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::on_tokio;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// The store's timeout. Connecting to Redis has one of its own, of a second.
const TIMEOUT: Duration = Duration::from_secs(2);
const CALLS: usize = 200;
/// A call that takes so long hangs, also on a machine that is busy.
const STUCK: Duration = Duration::from_secs(60);

/// A server that accepts and says nothing.
struct Silent {
    port: u16,
    started: Instant,
    accepted: Arc<Mutex<Vec<TcpStream>>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::<Mutex<Vec<_>>>::default();
        let accepting = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.lock().unwrap().push(client);
            }
        });
        Self { port, started: Instant::now(), accepted }
    }

    fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Asserts that it has been tried, and three times a second at most. A busy machine may bring attempts together,
    /// which each began in time: what counts is the whole time.
    fn assert_rate(&self) {
        let (count, took) = (self.count(), self.started.elapsed());
        assert_ne!(count, 0, "nothing has connected");
        assert!(
            count as f64 <= 3.0 * (took.as_secs_f64() + 1.0),
            "{count} connections in {took:?}"
        );
    }
}

async fn load(store: &impl Store) -> Result<(), Error> {
    let id = SessionId::new("session").unwrap();
    timeout(STUCK, store.load(&id, NOW)).await.expect("a call has no end").map(drop)
}

/// Makes many concurrent calls, which all fail because of an outage.
async fn fail(store: &AnyStore, calls: usize) -> Vec<Error> {
    let mut running = JoinSet::new();
    for _ in 0..calls {
        let store = store.clone();
        running.spawn(async move { load(&store).await.unwrap_err() });
    }
    let errors = running.join_all().await;
    for error in &errors {
        let is_outage = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut);
        assert!(is_outage, "{error:?}");
    }
    errors
}

/// Puts a store before a server that has never answered.
fn never_answered(open: impl FnOnce(u16) -> AnyStore) {
    on_tokio(async {
        let silent = Silent::start();
        let store = open(silent.port);
        fail(&store, CALLS).await;
        // One call has connected, and the others have its failure.
        silent.assert_rate();

        let end = Instant::now() + Duration::from_secs(3);
        let mut refused = 0;
        while Instant::now() < end {
            for error in fail(&store, 20).await {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                assert!(error.retry_after().is_some(), "{error:?}");
                assert!(error.is_unsent(), "{error:?}");
                refused += 1;
            }
            sleep(Duration::from_millis(20)).await;
        }
        eprintln!("{refused} calls refused, {} connections", silent.count());
        silent.assert_rate();
        // The probes go on, and none of the calls has waited for one to time out.
        assert!(silent.count() >= 4 && refused >= 200, "{} {refused}", silent.count());
    });
}

/// The time after which the layer gives a call up that no handler has asked for.
const EARLY: Duration = Duration::from_millis(100);

/// Makes calls one after the other whose callers all leave early, until one is refused.
async fn until_refused(store: &AnyStore) {
    let refused = async {
        let mut calls = JoinSet::new();
        loop {
            let caller = store.clone();
            calls.spawn(async move { timeout(EARLY, load(&caller)).await });
            sleep(Duration::from_millis(10)).await;
            while let Some(call) = calls.try_join_next() {
                if let Ok(Err(error)) = call.unwrap()
                    && error.retry_after().is_some()
                {
                    return;
                }
            }
        }
    };
    timeout(STUCK, refused).await.expect("the circuit does not open");
}

/// Puts a store before a server that has never answered, and whose callers do not wait for that.
fn callers_leave(open: impl FnOnce(u16) -> AnyStore) {
    on_tokio(async {
        let silent = Silent::start();
        let store = open(silent.port);
        until_refused(&store).await;
        for _ in 0..50 {
            let _left = timeout(EARLY, fail(&store, 5)).await;
            sleep(Duration::from_millis(20)).await;
        }
        silent.assert_rate();
    });
}

/// Makes calls until one fails, and then for three seconds more. Returns how many of these reached the server.
async fn reached(call: impl AsyncFn() -> Result<(), Error>) -> usize {
    let first = async { while call().await.is_ok() {} };
    timeout(STUCK, first).await.expect("no call fails");
    let end = Instant::now() + Duration::from_secs(3);
    let mut reached = 0;
    while Instant::now() < end {
        reached += usize::from(call().await.unwrap_err().retry_after().is_none());
        sleep(Duration::from_millis(5)).await;
    }
    reached
}

/// Takes a store through an outage of a server that it is connected to, which ends for new connections only.
async fn falls_silent(store: &AnyStore, proxy: &Proxy) {
    timeout(STUCK, async { while load(store).await.is_err() {} }).await.unwrap();
    proxy.stall();
    until_refused(store).await;
    fail(store, CALLS).await;
    let (before, begun) = (proxy.connections(), Instant::now());
    for _ in 0..20 {
        fail(store, 10).await;
        sleep(Duration::from_millis(50)).await;
    }
    let (probes, took) = (proxy.connections() - before, begun.elapsed());
    assert!(probes as f64 <= 3.0 * (took.as_secs_f64() + 1.0), "{probes} connections in {took:?}");

    proxy.stall_open();
    let back = Instant::now();
    timeout(STUCK, async {
        while load(store).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    eprintln!("{probes} connections in {took:?}; served again after {:?}", back.elapsed());
    let mut served = JoinSet::new();
    for _ in 0..CALLS {
        let store = store.clone();
        served.spawn(async move { load(&store).await });
    }
    assert!(served.join_all().await.iter().all(Result::is_ok));
}

#[cfg(feature = "redis")]
mod redis {
    use express_session::store::redis::RedisStore;

    use super::*;

    fn store(url: &str) -> AnyStore {
        AnyStore::new(RedisStore::new(url).unwrap().timeout(TIMEOUT))
    }

    #[test]
    fn audit_m3_silent_redis_is_tried_three_times_a_second_at_most() {
        never_answered(|port| store(&format!("redis://127.0.0.1:{port}")));
    }

    #[test]
    fn audit_m3_silent_sentinel_is_tried_three_times_a_second_at_most() {
        never_answered(|port| store(&format!("redis+sentinel://127.0.0.1:{port}/mymaster")));
    }

    #[test]
    fn audit_m3_silent_cluster_is_tried_three_times_a_second_at_most() {
        never_answered(|port| store(&format!("redis+cluster://127.0.0.1:{port}")));
    }

    #[test]
    fn audit_m3_callers_that_leave_early_connect_no_more_often_to_redis() {
        callers_leave(|port| store(&format!("redis://127.0.0.1:{port}")));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn audit_m3_callers_that_leave_early_connect_no_more_often_to_redis_with_tls() {
        callers_leave(|port| store(&format!("rediss://127.0.0.1:{port}")));
    }

    #[test]
    fn audit_m3_callers_that_leave_early_connect_no_more_often_to_sentinels() {
        callers_leave(|port| store(&format!("redis+sentinel://127.0.0.1:{port}/mymaster")));
    }

    #[test]
    fn audit_m3_callers_that_leave_early_connect_no_more_often_to_a_cluster() {
        callers_leave(|port| store(&format!("redis+cluster://127.0.0.1:{port}")));
    }

    /// The server answers every read, and so every probe.
    #[test]
    fn audit_m3_redis_that_answers_probes_and_no_writes_is_asked_by_one_call_at_a_time() {
        let Some(server) = express_session_testkit::servers::redis() else { return };
        on_tokio(async {
            let url = format!("redis://127.0.0.1:{}", server.port());
            let store = RedisStore::new(&url).unwrap().timeout(Duration::from_millis(300));
            let id = SessionId::new("session").unwrap();
            let destroy = async || timeout(STUCK, store.destroy(&id)).await.unwrap();
            destroy().await.unwrap();
            let client = express_session::store::redis::redis::Client::open(url).unwrap();
            let mut other = client.get_multiplexed_async_connection().await.unwrap();
            let mut client = express_session::store::redis::redis::cmd("CLIENT");
            let pause = client.arg("PAUSE").arg(60_000).arg("WRITE");
            pause.exec_async(&mut other).await.unwrap();
            // One call after the first probe, and one after each further probe.
            let reached = reached(&destroy).await;
            assert!((1..=8).contains(&reached), "{reached} calls reached the server");
            let mut client = express_session::store::redis::redis::cmd("CLIENT");
            client.arg("UNPAUSE").exec_async(&mut other).await.unwrap();
            timeout(STUCK, async { while destroy().await.is_err() {} }).await.unwrap();
            destroy().await.unwrap();
        });
    }

    #[test]
    fn audit_m3_redis_that_falls_silent_is_served_again_soon_after_its_return() {
        let Some(server) = express_session_testkit::servers::redis() else { return };
        on_tokio(async {
            let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
            falls_silent(&store(&format!("redis://{}", proxy.address())), &proxy).await;
        });
    }

    #[test]
    fn audit_m3_calls_that_wait_are_bounded() {
        on_tokio(async {
            let silent = Silent::start();
            let url = format!("redis://127.0.0.1:{}", silent.port);
            let store = RedisStore::new(&url).unwrap().timeout(TIMEOUT).max_waiting(3);
            let errors = fail(&AnyStore::new(store), 10).await;
            let refused: Vec<_> =
                errors.iter().filter(|error| error.to_string().contains("max_waiting")).collect();
            assert_eq!(refused.len(), 7, "{errors:?}");
            assert!(refused.iter().all(|error| error.kind() == ErrorKind::Unavailable));
            assert!(refused.iter().all(|error| error.is_unsent()));
        });
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use express_session::store::postgres::PostgresStore;

    use super::*;

    fn store(address: &str) -> PostgresStore {
        let url = format!("postgres://postgres@{address}/postgres");
        PostgresStore::new(&url).unwrap().create_table_if_missing(true).timeout(TIMEOUT)
    }

    #[test]
    fn audit_m3_silent_postgres_is_tried_three_times_a_second_at_most() {
        never_answered(|port| AnyStore::new(store(&format!("127.0.0.1:{port}"))));
    }

    #[test]
    fn audit_m3_callers_that_leave_early_connect_no_more_often_to_postgres() {
        callers_leave(|port| AnyStore::new(store(&format!("127.0.0.1:{port}"))));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn audit_m3_callers_that_leave_early_connect_no_more_often_to_postgres_with_tls() {
        callers_leave(|port| {
            let url = format!("postgres://u@127.0.0.1:{port}/db?sslmode=no-verify");
            AnyStore::new(PostgresStore::new(&url).unwrap().timeout(TIMEOUT))
        });
    }

    /// As during a migration. The server answers whatever does not concern the table.
    #[test]
    fn audit_m3_postgres_whose_table_is_locked_is_asked_by_no_further_call() {
        let Some(server) = express_session_testkit::servers::postgres() else { return };
        on_tokio(async {
            let store = store(&format!("127.0.0.1:{}", server.port())).table_name("migrated");
            let store = store.timeout(Duration::from_millis(500));
            load(&store).await.unwrap();
            let (other, connection) =
                tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let lock = "BEGIN; LOCK TABLE migrated IN ACCESS EXCLUSIVE MODE";
            other.batch_execute(lock).await.unwrap();
            assert_eq!(reached(async || load(&store).await).await, 0);
            other.batch_execute("ROLLBACK").await.unwrap();
            timeout(STUCK, async { while load(&store).await.is_err() {} }).await.unwrap();
        });
    }

    #[test]
    fn audit_m3_postgres_that_falls_silent_is_served_again_soon_after_its_return() {
        let Some(server) = express_session_testkit::servers::postgres() else { return };
        on_tokio(async {
            let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
            falls_silent(&AnyStore::new(store(&proxy.address())), &proxy).await;
        });
    }

    /// A layer gives a call up after its own timeout, which may be shorter than the store's.
    #[test]
    fn audit_m3_call_that_its_caller_gave_up_tells_the_others_that_the_server_is_silent() {
        on_tokio(async {
            let silent = Silent::start();
            let store = store(&format!("127.0.0.1:{}", silent.port)).timeout(STUCK);
            let given_up = timeout(Duration::from_millis(600), load(&store)).await;
            assert!(given_up.is_err());
            for error in fail(&AnyStore::new(store), CALLS).await {
                assert!(error.retry_after().is_some(), "{error:?}");
            }
            assert!(silent.count() <= 3, "{} connections", silent.count());
        });
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use express_session::store::mysql::MySqlStore;

    use super::*;

    fn store(url: &str) -> AnyStore {
        AnyStore::new(MySqlStore::new(url).unwrap().timeout(TIMEOUT))
    }

    #[test]
    fn audit_m3_silent_mysql_is_tried_three_times_a_second_at_most() {
        never_answered(|port| store(&format!("mysql://root@127.0.0.1:{port}/shop")));
    }

    #[test]
    fn audit_m3_callers_that_leave_early_connect_no_more_often_to_mysql() {
        callers_leave(|port| store(&format!("mysql://root@127.0.0.1:{port}/shop")));
    }

    #[test]
    fn audit_m3_mysql_whose_table_is_locked_is_asked_by_no_further_call() {
        use mysql_async::prelude::Queryable as _;

        let Some(server) = express_session_testkit::servers::mariadb() else { return };
        on_tokio(async {
            let store = MySqlStore::new(&server.url()).unwrap().table_name("migrated");
            let store = store.timeout(Duration::from_millis(500));
            load(&store).await.unwrap();
            let mut other = mysql_async::Conn::from_url(server.url()).await.unwrap();
            other.query_drop("LOCK TABLES migrated WRITE").await.unwrap();
            assert_eq!(reached(async || load(&store).await).await, 0);
            other.query_drop("UNLOCK TABLES").await.unwrap();
            timeout(STUCK, async { while load(&store).await.is_err() {} }).await.unwrap();
        });
    }

    #[test]
    fn audit_m3_mysql_that_falls_silent_is_served_again_soon_after_its_return() {
        let Some(server) = express_session_testkit::servers::mariadb() else { return };
        on_tokio(async {
            let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
            let port = (server.port().to_string(), proxy.port().to_string());
            falls_silent(&store(&server.url().replace(&port.0, &port.1)), &proxy).await;
        });
    }
}

#[cfg(feature = "memcached")]
mod memcached {
    use express_session::store::Admin as _;
    use express_session::store::memcached::MemcachedStore;

    use super::*;

    fn store(address: &str) -> AnyStore {
        let url = format!("memcached://{address}");
        AnyStore::new(MemcachedStore::new(&url).unwrap().timeout(TIMEOUT))
    }

    #[test]
    fn audit_m3_silent_memcached_is_tried_three_times_a_second_at_most() {
        never_answered(|port| store(&format!("127.0.0.1:{port}")));
    }

    #[test]
    fn audit_m3_callers_that_leave_early_connect_no_more_often_to_memcached() {
        callers_leave(|port| store(&format!("127.0.0.1:{port}")));
    }

    /// A listing begins with a connection, which may be an old one.
    #[test]
    fn audit_m3_listing_that_takes_an_idle_connection_is_no_answer_of_memcached() {
        let Some(server) = express_session_testkit::servers::memcached() else { return };
        on_tokio(async {
            let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
            let url = format!("memcached://{}", proxy.address());
            let store = MemcachedStore::new(&url).unwrap().timeout(TIMEOUT);
            // Two connections.
            let (one, two) = tokio::join!(load(&store), load(&store));
            one.and(two).unwrap();
            proxy.stall();
            let load = tokio::spawn({
                let store = store.clone();
                async move { load(&store).await.unwrap_err() }
            });
            tokio::task::yield_now().await;
            sleep(EARLY).await;
            let _listing = timeout(EARLY, store.count(NOW)).await;
            load.await.unwrap();
            let next = fail(&AnyStore::new(store), 1).await;
            assert!(next[0].retry_after().is_some(), "{next:?}");
        });
    }

    #[test]
    fn audit_m3_memcached_that_falls_silent_is_served_again_soon_after_its_return() {
        let Some(server) = express_session_testkit::servers::memcached() else { return };
        on_tokio(async {
            let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
            falls_silent(&store(&proxy.address()), &proxy).await;
        });
    }
}
