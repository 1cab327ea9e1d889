//! Many concurrent requests while a server is silent, gone, and back: how often they connect, and that all
//! are served again.
//!
//! How single calls end, and that nothing is lost meanwhile, is in the tests of each store.

use std::time::Duration;

use express_session::store::{Error, ErrorKind, Store};
use express_session::{SessionId, Timestamp};
use express_session_testkit::Proxy;
use tokio::time::timeout;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// The number of concurrent requests.
const CALLS: u64 = 64;
/// How many connections a store may have that keeps several.
const CONNECTIONS: u64 = 4;
/// How long a call may take that is not answered, and one that is, on a machine that is busy.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);
/// A call that takes so long hangs.
const STUCK: Duration = Duration::from_secs(60);

/// A server with a proxy before it.
struct Site<'s> {
    proxy: Proxy,
    /// Ends the server, and starts it again.
    kill: &'s dyn Fn(),
    restart: &'s dyn Fn(),
}

fn proxy(port: u16) -> Proxy {
    Proxy::start(&format!("127.0.0.1:{port}"))
}

/// Makes many concurrent calls, and returns their outcomes.
async fn ask<S: Store + Clone>(store: &S) -> Vec<Result<(), ErrorKind>> {
    let call = |number: u64| {
        let store = store.clone();
        tokio::spawn(async move {
            let id = SessionId::new(format!("session-{number}")).unwrap();
            store.load(&id, NOW).await.map(drop).map_err(|error: Error| error.kind())
        })
    };
    let calls: Vec<_> = (0..CALLS).map(call).collect();
    let mut results = Vec::new();
    for call in calls {
        results.push(timeout(STUCK, call).await.expect("a call has no end").unwrap());
    }
    results
}

/// Makes many concurrent calls that fail.
async fn fail<S: Store + Clone>(store: &S) {
    for result in ask(store).await {
        let kind = result.unwrap_err();
        assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::TimedOut), "{kind:?}");
    }
}

/// Waits until a call is served, makes many that are, and says how many were not before.
async fn recover<S: Store + Clone>(store: &S) -> u64 {
    let id = SessionId::new("session").unwrap();
    let mut failed = 0;
    let served = async {
        while store.load(&id, NOW).await.is_err() {
            failed += 1;
        }
    };
    timeout(STUCK, served).await.expect("it does not come back");
    assert_eq!(ask(store).await, [Ok(()); CALLS as usize]);
    failed
}

/// Takes a store with so many connections, whose calls have a timeout, through two outages.
///
/// The proxy may count a connection some time after it was made, but before one that is made later has
/// an answer: what an outage has cost is known when it is over.
async fn suffer<S: Store + Clone>(within: impl Fn(Duration) -> S, most: u64, site: Site<'_>) {
    let Site { proxy, kill, restart } = site;
    let (store, hurried) = (within(LONG), within(SHORT));
    let mut seen = 0;
    let mut count = || {
        let all = proxy.connections();
        all - std::mem::replace(&mut seen, all)
    };
    let failed = recover(&store).await;
    let first = count();
    assert!(failed == 0 && first <= most, "{first} connections, {failed} failures");

    proxy.stall();
    fail(&hurried).await;
    fail(&hurried).await;
    proxy.resume();
    let failed = recover(&store).await;
    let silent = count();
    // No call has connected twice.
    assert!(silent <= 2 * CALLS + most + failed, "{silent} connections, {failed} failures");

    tokio::task::block_in_place(kill);
    fail(&hurried).await;
    fail(&hurried).await;
    tokio::task::block_in_place(restart);
    let failed = recover(&store).await;
    let gone = count();
    assert!(gone <= 2 * CALLS + most + failed, "{gone} connections, {failed} failures");

    // It is as if nothing had been.
    let failed = recover(&store).await;
    let after = count();
    assert!(failed == 0 && after <= most, "{after} connections, {failed} failures");
    eprintln!(
        "connections: {first} at first; for {} calls {silent} to a silent server, and {gone} to one \
         that is gone; {after} afterwards",
        2 * CALLS,
    );
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_is_out_meets_no_herd() {
    use express_session::store::redis::RedisStore;

    let Some(server) = express_session_testkit::servers::redis() else { return };
    let proxy = proxy(server.port());
    let store = RedisStore::new(&format!("redis://{}", proxy.address())).unwrap();
    let site = Site { proxy, kill: &|| server.kill(), restart: &|| server.restart() };
    suffer(|timeout| store.clone().timeout(timeout), 1, site).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_is_out_meets_no_herd() {
    use express_session::store::postgres::PostgresStore;

    let Some(server) = express_session_testkit::servers::postgres() else { return };
    let proxy = proxy(server.port());
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let store = PostgresStore::new(&url).unwrap().create_table_if_missing(true);
    let store = store.max_connections(CONNECTIONS as usize);
    let site = Site { proxy, kill: &|| server.kill(), restart: &|| server.restart() };
    suffer(|timeout| store.clone().timeout(timeout), CONNECTIONS, site).await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_that_is_out_meets_no_herd() {
    use express_session::store::mysql::MySqlStore;

    let Some(server) = express_session_testkit::servers::mariadb() else { return };
    let proxy = proxy(server.port());
    let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
    let store = MySqlStore::new(&url).unwrap();
    let store = store.connection_limit(CONNECTIONS as usize);
    let site = Site { proxy, kill: &|| server.kill(), restart: &|| server.restart() };
    suffer(|timeout| store.clone().timeout(timeout), CONNECTIONS, site).await;
}

#[cfg(feature = "memcached")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memcached_that_is_out_meets_no_herd() {
    use express_session::store::memcached::MemcachedStore;

    let Some(server) = express_session_testkit::servers::memcached() else { return };
    let proxy = proxy(server.port());
    let store = MemcachedStore::new(&format!("memcached://{}", proxy.address())).unwrap();
    let store = store.max_connections(CONNECTIONS as usize);
    let site = Site { proxy, kill: &|| server.kill(), restart: &|| server.restart() };
    suffer(|timeout| store.clone().timeout(timeout), CONNECTIONS, site).await;
}
