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

/// A server that accepts and says nothing. Remembers when.
struct Silent {
    port: u16,
    accepted: Arc<Mutex<Vec<(Instant, TcpStream)>>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::<Mutex<Vec<_>>>::default();
        let accepting = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.lock().unwrap().push((Instant::now(), client));
            }
        });
        Self { port, accepted }
    }

    fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Returns the most connections in any second, less what a busy machine may move one by.
    fn most_in_a_second(&self) -> usize {
        let all = self.accepted.lock().unwrap();
        let within = |from: Instant| {
            let second = from..from + Duration::from_millis(900);
            all.iter().filter(|(at, _)| second.contains(at)).count()
        };
        all.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
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
        // One call has connected, and the others have its failure; the first probe may have begun.
        let connected = silent.count();
        assert!((1..=2).contains(&connected), "{connected} connections");

        let end = Instant::now() + Duration::from_secs(3);
        let mut refused = 0;
        while Instant::now() < end {
            for error in fail(&store, 20).await {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                assert!(error.retry_after().is_some(), "{error:?}");
                refused += 1;
            }
            sleep(Duration::from_millis(20)).await;
        }
        let most = silent.most_in_a_second();
        eprintln!("{refused} calls refused, {} connections, {most} in a second", silent.count());
        assert!(most <= 3, "{most} connections in a second");
        // The probes go on, and none of the calls has waited for one to time out.
        assert!(silent.count() >= 4 && refused >= 200, "{} {refused}", silent.count());
    });
}

/// Takes a store through an outage of a server that it is connected to, which ends for new connections only.
async fn falls_silent(store: &AnyStore, proxy: &Proxy) {
    timeout(STUCK, async { while load(store).await.is_err() {} }).await.unwrap();
    proxy.stall();
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
    // A second, and what a busy machine adds.
    assert!(back.elapsed() < 3 * Duration::from_secs(1), "{:?}", back.elapsed());
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
    fn audit_m3_memcached_that_falls_silent_is_served_again_soon_after_its_return() {
        let Some(server) = express_session_testkit::servers::memcached() else { return };
        on_tokio(async {
            let proxy = Proxy::start(&format!("127.0.0.1:{}", server.port()));
            falls_silent(&store(&proxy.address()), &proxy).await;
        });
    }
}
