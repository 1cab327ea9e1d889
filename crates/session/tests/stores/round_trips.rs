//! The tables of round trips in the chapter about stores are what is counted: on the wire where there is a
//! server, and as calls of the store where there is none.

use std::convert::Infallible;
use std::time::Duration;

use express_session::store::{AnyStore, Store};
use express_session::{Cookie, Error, MemoryStore, Session, SessionLayer};
use express_session_testkit::Spy;
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, Response};
use tower::{Layer as _, ServiceExt as _, service_fn};

const CHAPTER: &str = include_str!("../../src/docs/stores.md");

/// A handler's use of the session.
#[derive(Clone, Copy)]
enum Handler {
    Reads,
    Changes,
    DoesNotAsk,
    /// Changes it, while another request of the same visitor, by another way to the store, does too.
    Collides,
}

/// The number of round trips in each column of the table, from the left.
type Trips = [u64; 5];

/// A store as one process has it, and another process with the same sessions.
struct Bench<'a> {
    ours: AnyStore,
    other: AnyStore,
    count: &'a dyn Fn() -> u64,
}

impl Bench<'_> {
    /// Counts what each kind of request takes, when everything has been done once: scripts and statements
    /// are known to the server then.
    async fn trips(&self, cookie: Cookie) -> Trips {
        let ours =
            SessionLayer::new("keyboard cat").store(self.ours.clone()).cookie(cookie.clone());
        let other = SessionLayer::new("keyboard cat").store(self.other.clone()).cookie(cookie);
        let mut trips = [0; 5];
        for _ in 0..2 {
            let mut last = (self.count)();
            let mut sid = None;
            for (trips, handler) in trips.iter_mut().zip([
                Handler::Changes,
                Handler::Reads,
                Handler::Changes,
                Handler::DoesNotAsk,
                Handler::Collides,
            ]) {
                let set = visit(&ours, &other, sid.as_deref(), handler).await;
                sid = sid.or(set);
                let now = (self.count)();
                *trips = now - std::mem::replace(&mut last, now);
            }
        }
        trips
    }
}

/// Makes one request, and gives the cookie that it is answered with.
async fn visit(
    ours: &SessionLayer,
    other: &SessionLayer,
    sid: Option<&str>,
    handler: Handler,
) -> Option<String> {
    let service = ours.layer(service_fn(|request: Request<()>| async move {
        handle(request, other, handler).await.unwrap();
        Ok::<_, Infallible>(Response::new(String::new()))
    }));
    let mut request = Request::new(());
    if let Some(sid) = sid {
        request.headers_mut().insert(COOKIE, sid.parse().unwrap());
    }
    let response = service.oneshot(request).await.unwrap();
    assert!(response.status().is_success());
    let set = response.headers().get(SET_COOKIE)?.to_str().unwrap();
    set.split(';').next().map(str::to_owned)
}

async fn handle(request: Request<()>, other: &SessionLayer, handler: Handler) -> Result<(), Error> {
    let session = || async { Session::from_extensions(request.extensions())?.load().await };
    match handler {
        Handler::DoesNotAsk => {}
        Handler::Reads => drop(session().await?.get::<u64>("views")?),
        Handler::Changes => count(&session().await?)?,
        Handler::Collides => {
            let session = session().await?;
            count(&session)?;
            let sid = request.headers()[COOKIE].to_str().unwrap();
            Box::pin(visit(other, other, Some(sid), Handler::Changes)).await;
        }
    }
    Ok(())
}

fn count(session: &Session) -> Result<(), Error> {
    session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1).map(drop)
}

fn hour() -> Cookie {
    Cookie::new().max_age(Duration::from_secs(3600))
}

/// Returns the rows of a section's table: what stands in the first column without its backticks, and the
/// numbers.
fn rows<const COLUMNS: usize>(section: &str) -> Vec<(String, [u64; COLUMNS])> {
    let (_, section) = CHAPTER.split_once(&format!("\n# {section}\n")).unwrap();
    let section = section.split("\n# ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|'));
    lines
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let store = cells.next()?.replace('`', "");
            let numbers = cells.take(COLUMNS).map(|cell| cell.parse().ok());
            let numbers: Option<Vec<_>> = numbers.collect();
            Some((store, numbers?.try_into().ok()?))
        })
        .collect()
}

fn documented(store: &str) -> Trips {
    let row = rows("Round trips").into_iter().find(|(name, _)| name == store);
    row.unwrap_or_else(|| panic!("the table has no row for {store}")).1
}

#[test]
fn every_store_has_its_row() {
    for store in ["memory", "redis", "postgres", "mysql", "sqlite", "file", "memcached"] {
        documented(store);
    }
    assert_eq!(rows::<5>("Round trips").len(), 11, "each is counted below");
    assert_eq!(rows::<3>("Locks").len(), 3, "each is counted below");
}

#[tokio::test]
async fn memory() {
    let store = MemoryStore::new();
    assert_eq!(calls(store.clone(), hour()).await, documented("memory"));
    assert_eq!(calls(store, Cookie::new()).await, documented("memory"));
}

/// Counts the calls of a store that is reached without a wire.
async fn calls<S: Store + Clone>(store: S, cookie: Cookie) -> Trips {
    let spy = Spy::new(store.clone());
    let count = || spy.verbs().len() as u64;
    let bench =
        Bench { ours: AnyStore::new(spy.clone()), other: AnyStore::new(store), count: &count };
    bench.trips(cookie).await
}

#[cfg(any(feature = "sqlite", feature = "file"))]
mod embedded {
    use super::*;
    use crate::local::Folder;

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn sqlite() {
        use express_session::store::sqlite::{Dialect, SqliteStore};

        let folder = Folder::new();
        let store = SqliteStore::new(folder.path().join("sessions.db"));
        assert_eq!(calls(store.clone(), hour()).await, documented("sqlite"));
        let by_browser = documented("sqlite, cookie without max_age");
        assert_eq!(calls(store, Cookie::new()).await, by_browser);
        let knex = SqliteStore::new(":memory:").dialect(Dialect::ConnectSessionKnex);
        assert_eq!(calls(knex, Cookie::new()).await, by_browser);
        let better = SqliteStore::new(":memory:").dialect(Dialect::BetterSqlite3SessionStore);
        assert_eq!(calls(better, Cookie::new()).await, documented("sqlite"));
    }

    #[cfg(feature = "file")]
    #[tokio::test]
    async fn file() {
        use express_session::store::file::FileStore;

        let folder = Folder::new();
        let store = FileStore::new(folder.path());
        assert_eq!(calls(store.clone(), hour()).await, documented("file"));
        assert_eq!(calls(store, Cookie::new()).await, documented("file"));
    }
}

#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "memcached"))]
mod servers {
    use express_session_testkit::{Proxy, servers};

    use super::*;

    fn through(port: u16) -> Proxy {
        Proxy::start(&format!("127.0.0.1:{port}"))
    }

    /// Counts with both kinds of cookie; a store that makes a difference has no row.
    async fn trips<S: Store + Clone>(proxy: &Proxy, ours: S, other: S) -> Trips {
        let count = || proxy.round_trips();
        let bench = Bench { ours: AnyStore::new(ours), other: AnyStore::new(other), count: &count };
        let trips = bench.trips(hour()).await;
        assert_eq!(bench.trips(Cookie::new()).await, trips, "with and without a max age");
        trips
    }

    /// Counts what `lock`, `update_locked` and `unlock` take, once the server knows them, and compares
    /// with the table.
    #[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
    async fn assert_locks(proxy: &Proxy, store: &impl Store, name: &str) {
        use express_session::store::{Created, Fenced, LockOutcome, LockToken, Record, Updated};
        use express_session::{SessionId, Timestamp};

        let now = Timestamp::from_millis(1_700_000_000_000);
        let deadline = Some(now.saturating_add(Duration::from_secs(3600)));
        let record = |text: &str| Record { text: text.into(), deadline };
        let (holder, lease) = (LockToken::from_random([1; 16]), Duration::from_secs(60));
        let id = SessionId::new("locked").unwrap();
        let mut trips = [0; 3];
        for _ in 0..2 {
            let created = store.create(&id, &record("{}"), now).await.unwrap();
            let Created::Done(revision) = created else { panic!("taken") };
            let mut last = proxy.round_trips();
            let mut count = || {
                let now = proxy.round_trips();
                now - std::mem::replace(&mut last, now)
            };
            assert!(matches!(
                store.lock(&id, holder, lease, now).await.unwrap(),
                LockOutcome::Acquired(_)
            ));
            trips[0] = count();
            let fenced = store.update_locked(&id, &record("[]"), &revision, holder, now).await;
            assert!(matches!(fenced.unwrap(), Fenced::Held(Updated::Done(_))));
            trips[1] = count();
            store.unlock(&id, holder).await.unwrap();
            trips[2] = count();
            store.destroy(&id).await.unwrap();
        }
        let row = rows("Locks").into_iter().find(|(store, _)| store == name);
        assert_eq!(trips, row.unwrap().1);
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn valkey() {
        use express_session::store::redis::RedisStore;

        let Some(server) = servers::shared_valkey() else { return };
        let proxy = through(server.port());
        let ours = RedisStore::new(&format!("redis://{}", proxy.address())).unwrap();
        let other = RedisStore::new(server.url()).unwrap();
        assert_eq!(trips(&proxy, ours, other).await, documented("redis with IFEQ"));
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn redis() {
        use express_session::store::redis::RedisStore;

        let Some(server) = servers::shared_redis() else { return };
        let proxy = through(server.port());
        let ours = RedisStore::new(&format!("redis://{}", proxy.address())).unwrap();
        let ours = ours.prefix("table of trips:");
        let other = RedisStore::new(server.url()).unwrap().prefix("table of trips:");
        assert_eq!(trips(&proxy, ours.clone(), other.clone()).await, documented("redis"));
        assert_locks(&proxy, &ours, "redis").await;
        let [ours, other] =
            [ours, other].map(|store| store.ttl_with(|_| Duration::from_secs(3600)));
        assert_eq!(trips(&proxy, ours, other).await, documented("redis with ttl_with"));
    }

    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn postgres() {
        use express_session::store::postgres::PostgresStore;

        let Some(server) = servers::shared_postgres() else { return };
        let proxy = through(server.port());
        let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
        let [ours, other] = [url, server.url()].map(|url| {
            let store = PostgresStore::new(&url).unwrap().table_name("trips");
            store.create_table_if_missing(true).max_connections(1)
        });
        assert_eq!(trips(&proxy, ours.clone(), other).await, documented("postgres"));
        assert_locks(&proxy, &ours, "postgres").await;
    }

    #[cfg(feature = "mysql")]
    #[tokio::test]
    async fn mysql() {
        use express_session::store::mysql::MySqlStore;

        let Some(server) = servers::shared_mariadb() else { return };
        let proxy = through(server.port());
        let url = server.url().replace(&server.port().to_string(), &proxy.port().to_string());
        let [ours, other] = [url, server.url()]
            .map(|url| MySqlStore::new(&url).unwrap().table_name("trips").connection_limit(1));
        assert_eq!(trips(&proxy, ours.clone(), other).await, documented("mysql"));
        assert_locks(&proxy, &ours, "mysql").await;
    }

    #[cfg(feature = "memcached")]
    #[tokio::test]
    async fn memcached() {
        use express_session::store::memcached::MemcachedStore;

        let Some(server) = servers::shared_memcached() else { return };
        let proxy = through(server.port());
        let [ours, other] = [format!("memcached://{}", proxy.address()), server.url()]
            .map(|url| MemcachedStore::new(&url).unwrap().prefix("trips:").max_connections(1));
        assert_eq!(trips(&proxy, ours.clone(), other.clone()).await, documented("memcached"));
        let [ours, other] = [ours, other].map(|store| store.ttl(Duration::from_secs(3600)));
        assert_eq!(trips(&proxy, ours, other).await, documented("memcached with ttl"));
    }
}
