//! Requests, and the futures of a handle, that are dropped at random await points.
//!
//! Many visitors send requests at the same time, one by one and concurrently. Most are dropped after a
//! random number of polls or wakes, while they load, save or send a body. The invariants that must
//! hold all the while:
//!
//! 1. No visitor is given what another has stored.
//! 2. A record is one that some request wrote, whole: members that were written together are together.
//! 3. A count that was acknowledged, by `save` or a response, is in the session for as long as that
//!    lives; and there are never more than were made.
//! 4. A session whose end was acknowledged is never seen again, and no other is lost.
//! 5. In the end every visitor is served, over as few connections as ever.
//!
//! `EXPRESS_SESSION_CANCELLATIONS=1000000` makes so many drops, in each test that is run. The draws
//! depend on a seed; how the requests overlap does not.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::support::body::Broken;
use crate::support::{Body, SECRET, raw, text};
use bytes::Bytes;
use express_session::store::{Admin, Store};
use express_session::{
    Error, ErrorKind, MemoryStore, Session, SessionBody, SessionLayer, Timestamp,
};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tower::util::BoxCloneSyncService;
use tower::{Service as _, ServiceExt as _};

const VISITORS: u64 = 96;
/// The number of concurrent requests.
const TASKS: u64 = 24;
/// Long enough for a machine that has other things to do: what takes longer is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// When to drop a future.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// After it was polled so often.
    Polls(u32),
    /// When it was woken so often, before it is polled for that.
    Wakes(u32),
    /// When others have been polled so often meanwhile.
    Turns(u32),
    Never,
}

/// Polls a future to its end, or drops it.
async fn until<F: Future>(limit: Limit, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut count = 0;
    std::future::poll_fn(|context| {
        if let Limit::Wakes(most) = limit
            && count == most
        {
            return Poll::Ready(None);
        }
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        count += 1;
        match limit {
            Limit::Polls(most) if count >= most => return Poll::Ready(None),
            Limit::Turns(most) if count >= most => return Poll::Ready(None),
            Limit::Turns(_) => context.waker().wake_by_ref(),
            Limit::Polls(_) | Limit::Wakes(_) | Limit::Never => {}
        }
        Poll::Pending
    })
    .await
}

/// SplitMix64: enough to draw from.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn limit(&mut self) -> Limit {
        let small = |draws: &mut Self| 1 + draws.below(4) as u32 + draws.below(4) as u32;
        match self.below(10) {
            0..4 => Limit::Polls(small(self)),
            4..7 => Limit::Wakes(small(self)),
            7..9 => Limit::Turns(1 + self.below(60) as u32),
            _ => Limit::Never,
        }
    }

    fn script(&mut self) -> Vec<(Op, Limit)> {
        let count = 1 + self.below(4);
        (0..count)
            .map(|_| {
                let op = match self.below(16) {
                    0..4 => Op::Write,
                    4..8 => Op::Count,
                    8..10 => Op::Save,
                    10 => Op::Reload,
                    11 => Op::Touch,
                    12..14 => Op::Pause,
                    14 => Op::Regenerate,
                    _ => Op::Destroy,
                };
                let limit = if self.below(3) == 0 { self.limit() } else { Limit::Never };
                (op, limit)
            })
            .collect()
    }
}

/// A handler's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// Members that belong together.
    Write,
    /// One more.
    Count,
    Save,
    Reload,
    Touch,
    Pause,
    Regenerate,
    Destroy,
}

/// The knowledge about a session. Its handler numbers it, independently of its id.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// How many counts were acknowledged, and how many were seen.
    acknowledged: u64,
    seen: u64,
    /// How many were made, acknowledged or not.
    made: u64,
    is_stored: bool,
    /// Its end was begun, and acknowledged.
    is_ending: bool,
    is_ended: bool,
}

struct Visitor {
    number: u64,
    /// Whether its requests come one after the other.
    is_alone: bool,
    turn: tokio::sync::Mutex<()>,
    /// The cookie, and the session that it is for.
    jar: Mutex<Option<(String, u64)>>,
    sessions: Mutex<HashMap<u64, Known>>,
}

impl Visitor {
    fn sessions(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.sessions.lock().unwrap()
    }

    fn note<T>(&self, session: u64, note: impl FnOnce(&mut Known) -> T) -> T {
        note(self.sessions().entry(session).or_default())
    }
}

/// One request, and what its handler did.
#[derive(Clone)]
struct Visit(Arc<VisitState>);

struct VisitState {
    visitor: Arc<Visitor>,
    world: Arc<World>,
    script: Vec<(Op, Limit)>,
    streams: bool,
    /// The session of the cookie, and what was known of it before.
    presented: Option<(u64, Known)>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    /// The session that the handle has.
    session: Option<u64>,
    /// How many counts wait for an acknowledgement.
    pending: u64,
    is_over: bool,
}

/// The common parts of all requests.
struct World {
    numbers: AtomicU64,
    drops: AtomicU64,
    /// An operation of a session is done before the next one begins, even if it was dropped: nothing goes on
    /// by itself.
    settles: bool,
}

impl World {
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Visit {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.progress.lock().unwrap()
    }

    fn note<T>(&self, note: impl FnOnce(&mut Known) -> T) -> T {
        let session = self.progress().session.unwrap();
        self.0.visitor.note(session, note)
    }

    async fn handle(self, request: Request<()>) -> Response<Body> {
        let unloaded = Session::from_extensions(request.extensions()).unwrap();
        drop(request);
        let session = unloaded.load().await.unwrap();
        self.look(&session);
        for (op, limit) in self.0.script.clone() {
            if self.progress().is_over {
                break;
            }
            self.perform(&session, op, limit).await;
        }
        let mut response = if self.0.streams { self.stream(session) } else { text("whole") };
        let headers = response.headers_mut();
        headers.insert("visitor", self.0.visitor.number.into());
        response
    }

    /// Compares what was loaded with what is known.
    fn look(&self, session: &Session) {
        let VisitState { visitor, world, presented, .. } = &*self.0;
        let Some(number) = session.get::<u64>("session").unwrap() else {
            if let Some((presented, before)) = presented {
                let is_ending = visitor.note(*presented, |known| known.is_ending);
                assert!(is_ending, "session {presented} is lost: {before:?}");
            }
            self.begin(session);
            return;
        };
        let (presented, before) = presented.expect("a session without a cookie");
        assert_eq!(number, presented, "the session of another cookie");
        assert!(!before.is_ended, "session {number} is back");
        let found = Whole::of(|key| session.get(key).unwrap(), |key| session.get(key).unwrap());
        assert_eq!(found.visitor, visitor.number, "the session of another visitor");
        let least = before.acknowledged.max(before.seen);
        visitor.note(number, |known| {
            let count = found.count;
            assert!((least..=known.made).contains(&count), "{least} <= {count}: {known:?}");
            known.seen = known.seen.max(count);
            if visitor.is_alone && world.settles {
                // Nothing else is under way.
                known.made = count;
                known.acknowledged = count;
            }
        });
        self.progress().session = Some(number);
    }

    /// Makes a session of one that has nothing in it.
    fn begin(&self, session: &Session) {
        let number = self.0.world.number();
        *self.progress() = Progress { session: Some(number), pending: 0, is_over: false };
        self.note(|known| *known = Known::default());
        session.insert("session", number).unwrap();
        session.insert("visitor", self.0.visitor.number).unwrap();
        session.insert("count", 0).unwrap();
        self.write(session).unwrap();
    }

    fn write(&self, session: &Session) -> Result<(), Error> {
        let number = self.0.world.number();
        session.insert("left", number)?;
        session.insert("middle", padding(number))?;
        session.insert("right", number)
    }

    fn count(&self, session: &Session) -> Result<(), Error> {
        self.note(|known| known.made += 1);
        self.progress().pending += 1;
        session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1)?;
        Ok(())
    }

    /// Notes that the store has all that was done.
    fn acknowledge(&self) {
        let pending = std::mem::take(&mut self.progress().pending);
        self.note(|known| {
            known.acknowledged += pending;
            known.is_stored = true;
        });
    }

    async fn perform(&self, session: &Session, op: Op, limit: Limit) {
        let done = match op {
            Op::Write => Some(self.write(session)),
            Op::Count => Some(self.count(session)),
            Op::Pause => until(limit, tokio::task::yield_now()).await.map(Ok),
            Op::Save => until(limit, session.save()).await,
            Op::Reload => until(limit, session.reload()).await,
            Op::Touch => until(limit, session.touch()).await,
            Op::Regenerate => {
                self.note(|known| known.is_ending = true);
                until(limit, session.regenerate()).await
            }
            Op::Destroy => {
                self.note(|known| known.is_ending = true);
                until(limit, session.destroy()).await
            }
        };
        match (op, done) {
            (_, None) => _ = self.0.world.drops.fetch_add(1, Ordering::Relaxed),
            (Op::Save, Some(Ok(()))) => self.acknowledge(),
            (Op::Reload, Some(Ok(()))) => {}
            (Op::Regenerate, Some(Ok(()))) => {
                self.note(|known| known.is_ended = true);
                self.begin(session);
            }
            (Op::Destroy, Some(Ok(()))) => {
                self.note(|known| known.is_ended = true);
                self.progress().is_over = true;
            }
            (_, Some(Ok(()))) => {}
            (_, Some(Err(error))) => self.fail(op, &error),
        }
        if op == Op::Reload {
            // It drops unsaved changes, or may.
            self.progress().pending = 0;
        }
        if op == Op::Destroy {
            self.progress().is_over = true;
        }
    }

    /// Another request may have ended the session; nothing else may go wrong.
    fn fail(&self, op: Op, error: &Error) {
        let known = self.note(|known| *known);
        let is_over = error.kind() == ErrorKind::Ended;
        let is_unsaved = op == Op::Reload && error.kind() == ErrorKind::NotFound;
        let is_ended =
            (is_over && known.is_ending) || (is_unsaved && (known.is_ending || !known.is_stored));
        assert!(is_ended, "{op:?}: {error:?}: {known:?}");
        self.progress().is_over |= is_over;
    }

    /// A body that changes the session while it is sent.
    fn stream(&self, session: Session) -> Response<Body> {
        let body = Slow { visit: self.clone(), session: Some(session), left: 4 };
        Response::new(body.boxed_unsync())
    }

    /// Takes what the client gets.
    fn answer(&self, headers: &HeaderMap) {
        let VisitState { visitor, .. } = &*self.0;
        assert_eq!(*headers.get("visitor").unwrap(), visitor.number.to_string());
        let Some(session) = self.progress().session else { return };
        self.acknowledge();
        let Some(cookie) = headers.get(SET_COOKIE) else { return };
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let is_persisted = !pair.ends_with('=');
        *visitor.jar.lock().unwrap() = is_persisted.then(|| (pair.to_owned(), session));
    }
}

/// Yields data, changes the session in between, and once lets others go first.
struct Slow {
    visit: Visit,
    session: Option<Session>,
    left: u32,
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let left = self.left;
        self.left = left.saturating_sub(1);
        match left {
            0 => Poll::Ready(None),
            1 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            2 => {
                let is_over = self.visit.progress().is_over;
                if let Some(session) = self.session.take_if(|_| !is_over) {
                    let changed = self.visit.count(&session);
                    let changed = changed.and_then(|()| self.visit.write(&session));
                    if let Err(error) = changed {
                        self.visit.fail(Op::Write, &error);
                    }
                }
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more")))))
            }
            _ => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"begin"))))),
        }
    }
}

/// Text that no other write has, of any length up to some kilobytes.
fn padding(number: u64) -> String {
    let repeats = [1, 3, 40, 700];
    format!("{number},").repeat(repeats[(number % 4) as usize])
}

/// The content of a record.
struct Whole {
    session: u64,
    visitor: u64,
    count: u64,
}

impl Whole {
    /// Reads a record, and fails where its parts are not of one write.
    fn of(number: impl Fn(&str) -> Option<u64>, text: impl Fn(&str) -> Option<String>) -> Self {
        let number = |key| number(key).unwrap_or_else(|| panic!("no {key}"));
        let (left, right) = (number("left"), number("right"));
        assert_eq!(left, right, "two writes in one record");
        assert_eq!(text("middle"), Some(padding(left)), "two writes in one record");
        Self { session: number("session"), visitor: number("visitor"), count: number("count") }
    }
}

type App = BoxCloneSyncService<Request<()>, Response<SessionBody<Body>>, Infallible>;

struct Harness<S> {
    store: S,
    app: App,
    world: Arc<World>,
    visitors: Vec<Arc<Visitor>>,
}

impl<S: Store + Admin + Clone> Harness<S> {
    fn new(store: S, settles: bool) -> Arc<Self> {
        let layer = SessionLayer::new(SECRET).store(store.clone()).store_timeout(STUCK);
        let app = raw(&layer, |request: Request<()>| {
            let visit = request.extensions().get::<Visit>().unwrap().clone();
            visit.handle(request)
        });
        let visitor = |number| {
            Arc::new(Visitor {
                number,
                is_alone: number % 2 == 0,
                turn: tokio::sync::Mutex::default(),
                jar: Mutex::default(),
                sessions: Mutex::default(),
            })
        };
        let world = World { numbers: AtomicU64::new(0), drops: AtomicU64::new(0), settles };
        Arc::new(Self {
            store,
            app: BoxCloneSyncService::new(app),
            world: Arc::new(world),
            visitors: (0..VISITORS).map(visitor).collect(),
        })
    }

    /// Lets requests come from many tasks, until so many have been dropped.
    async fn run(self: &Arc<Self>, drops: u64) {
        let task = |seed| {
            let harness = Arc::clone(self);
            tokio::spawn(async move {
                let mut draws = Draws(seed);
                while harness.world.drops.load(Ordering::Relaxed) < drops {
                    harness.step(&mut draws).await;
                }
            })
        };
        let tasks: Vec<_> = (0..TASKS).map(task).collect();
        for task in tasks {
            task.await.unwrap();
        }
        self.settle().await;
    }

    async fn step(&self, draws: &mut Draws) {
        let visitor = &self.visitors[draws.below(VISITORS) as usize];
        let (script, streams, limit) = (draws.script(), draws.below(4) == 0, draws.limit());
        if !visitor.is_alone {
            return self.visit(visitor, script, streams, limit).await;
        }
        match visitor.turn.try_lock() {
            Ok(_turn) => self.visit(visitor, script, streams, limit).await,
            Err(_) => tokio::task::yield_now().await,
        }
    }

    async fn visit(
        &self,
        visitor: &Arc<Visitor>,
        script: Vec<(Op, Limit)>,
        streams: bool,
        limit: Limit,
    ) {
        let jar = visitor.jar.lock().unwrap().clone();
        let presented =
            jar.as_ref().map(|(_, session)| (*session, visitor.note(*session, |known| *known)));
        let visit = Visit(Arc::new(VisitState {
            visitor: Arc::clone(visitor),
            world: Arc::clone(&self.world),
            script,
            streams,
            presented,
            progress: Mutex::default(),
        }));
        let mut request = Request::new(());
        if let Some((cookie, _)) = jar {
            request.headers_mut().insert(COOKIE, cookie.parse().unwrap());
        }
        request.extensions_mut().insert(visit.clone());
        let mut app = self.app.clone();
        let exchange = async {
            let response = app.ready().await.unwrap().call(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            assert_eq!(head.status, 200, "{body:?}");
            head.headers
        };
        let exchange = timeout(STUCK, until(limit, exchange)).await;
        match exchange.unwrap_or_else(|_| panic!("visitor {} is stuck", visitor.number)) {
            Some(headers) => visit.answer(&headers),
            None => _ = self.world.drops.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Serves every visitor once more, and looks at every record.
    async fn settle(&self) {
        for visitor in &self.visitors {
            self.visit(visitor, vec![(Op::Count, Limit::Never)], false, Limit::Never).await;
            let jar = visitor.jar.lock().unwrap().clone();
            assert!(jar.is_some_and(|(_, session)| visitor.note(session, |known| known.is_stored)));
        }
        let now = Timestamp::from_millis(0);
        let mut after = None;
        loop {
            let page = self.store.list(after, 1000, now).await.unwrap();
            for (_, record) in page.sessions {
                let record: serde_json::Value = serde_json::from_str(&record.text).unwrap();
                assert!(record["cookie"].is_object());
                let whole = Whole::of(
                    |key| record[key].as_u64(),
                    |key| record[key].as_str().map(str::to_owned),
                );
                let visitor = &self.visitors[whole.visitor as usize];
                visitor.note(whole.session, |known| {
                    assert!(!known.is_ended, "session {} is back", whole.session);
                    assert!(whole.count <= known.made, "{} of {known:?}", whole.count);
                });
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
}

/// Returns how many requests and futures are to be dropped.
fn drops(unless_told: u64) -> u64 {
    match std::env::var("EXPRESS_SESSION_CANCELLATIONS") {
        Ok(number) => number.parse().expect("EXPRESS_SESSION_CANCELLATIONS is a number"),
        Err(_) => unless_told,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_store_survives_drops_at_any_await_point() {
    Harness::new(MemoryStore::new(), true).run(drops(500)).await;
}

#[cfg(feature = "redis")]
mod redis {
    use express_session::store::redis::RedisStore;
    use express_session_testkit::servers::{self, Redis};

    use super::*;

    async fn store(server: &Redis) -> RedisStore {
        RedisStore::connect(server.url()).await.unwrap().timeout(STUCK)
    }

    /// Returns how many connections the server has, and has had, apart from this one.
    async fn connections(server: &Redis) -> (usize, u64) {
        let client = ::redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let clients: String =
            ::redis::cmd("CLIENT").arg("LIST").query_async(&mut connection).await.unwrap();
        let stats: String =
            ::redis::cmd("INFO").arg("stats").query_async(&mut connection).await.unwrap();
        let received =
            stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        (clients.lines().count() - 1, received.unwrap().trim().parse::<u64>().unwrap())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis_survives_drops_at_any_await_point() {
        let Some(server) = servers::redis() else { return };
        survives_drops(&server).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn valkey_survives_drops_at_any_await_point() {
        let Some(server) = servers::valkey() else { return };
        survives_drops(&server).await;
    }

    async fn survives_drops(server: &Redis) {
        let store = store(server).await;
        let (_, before) = connections(server).await;
        Harness::new(store.clone(), false).run(drops(8_000)).await;
        // A call that is dropped costs no connection: there is the one it began with.
        assert_eq!(connections(server).await, (1, before + 1));
        drop(store);
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use express_session::store::postgres::PostgresStore;
    use express_session::store::postgres::deadpool_postgres::tokio_postgres::{NoTls, connect};
    use express_session_testkit::servers;

    use super::*;

    /// So few that one which is stuck is missed.
    const CONNECTIONS: usize = 3;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres_survives_drops_at_any_await_point() {
        let Some(server) = servers::shared_postgres() else { return };
        let store = PostgresStore::new(&server.url()).unwrap();
        let store = store.create_table_if_missing(true).max_connections(CONNECTIONS);
        let store = store.timeout(STUCK);
        Harness::new(store.clone(), false).run(drops(5_000)).await;

        let (client, connection) = connect(&server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let others = "SELECT count(*) FILTER (WHERE state <> 'idle'), count(*) \
            FROM pg_stat_activity \
            WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let row = client.query_one(others, &[]).await.unwrap();
        let (busy, all): (i64, i64) = (row.get(0), row.get(1));
        assert!(busy == 0 && all <= CONNECTIONS as i64, "{busy} busy of {all}");
        drop(store);
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use express_session::store::mysql::MySqlStore;
    use express_session_testkit::servers;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn mysql_survives_drops_at_any_await_point() {
        let Some(server) = servers::shared_mariadb() else { return };
        let store = MySqlStore::new(&server.url()).unwrap().connection_limit(3);
        Harness::new(store.timeout(STUCK), false).run(drops(1_000)).await;
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_survives_drops_at_any_await_point() {
    use express_session::store::sqlite::SqliteStore;

    let folder = crate::local::Folder::new();
    let store = SqliteStore::new(folder.fresh()).timeout(STUCK);
    Harness::new(store, false).run(drops(2_500)).await;
}

#[cfg(feature = "file")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_store_survives_drops_at_any_await_point() {
    use express_session::store::file::FileStore;

    let folder = crate::local::Folder::new();
    let store = FileStore::new(folder.fresh()).fsync(false).timeout(STUCK);
    Harness::new(store, false).run(drops(1_000)).await;
}
