//! The Memcached store obeys every law of a store, and shares its records with npm's
//! connect-memcached.

use std::error::Error as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::{on_tokio, spawned};
use express_session::store::memcached::MemcachedStore;
use express_session::store::{
    Admin as _, Created, Error, ErrorKind, Loaded, LockToken, Record, Revision, Store, Touch,
    Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};
use express_session_testkit::servers::{self, Memcached};
use express_session_testkit::{
    Clock, Proxy, Subject, Task, admin_laws, admin_model_laws, clock_laws, order_laws, store_laws,
};
use tokio::time::timeout;

struct Shared;

impl Subject for Shared {
    type Store = MemcachedStore;

    async fn store(&self) -> MemcachedStore {
        store(servers::shared_memcached().unwrap())
    }

    fn clock(&self) -> Clock {
        Clock::Server
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        spawned(tasks).await;
    }

    async fn plant(&self, store: &MemcachedStore, id: &SessionId, garbage: &[u8]) -> bool {
        let key = format!("{}{}", prefix_of(store), id.as_str());
        let mut node = Node::connect(servers::shared_memcached().unwrap());
        node.set(&key, 0, 3600, garbage);
        true
    }
}

store_laws!(Shared, block_on = on_a_runtime);
admin_laws!(Shared, block_on = on_a_runtime);
admin_model_laws!(Shared, block_on = on_a_runtime);
clock_laws!(Shared, block_on = on_a_runtime);
order_laws!(Shared, block_on = on_a_runtime);

fn on_a_runtime(law: impl Future<Output = ()>) {
    if servers::shared_memcached().is_some() {
        on_tokio(law);
    }
}

/// A store with a prefix of its own.
fn store(server: &Memcached) -> MemcachedStore {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    MemcachedStore::new(&server.url()).unwrap().prefix(format!("test-{number}:"))
}

fn prefix_of(store: &MemcachedStore) -> String {
    let shown = format!("{store:?}");
    shown.split("prefix: \"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// A client that speaks as Node's does.
struct Node(BufReader<TcpStream>);

impl Node {
    fn connect(server: &Memcached) -> Self {
        Self(BufReader::new(TcpStream::connect(server.address()).unwrap()))
    }

    fn set(&mut self, key: &str, flags: u32, seconds: i64, value: &[u8]) {
        let head = format!("set {key} {flags} {seconds} {}\r\n", value.len());
        let command = [head.as_bytes(), value, b"\r\n"].concat();
        self.0.get_mut().write_all(&command).unwrap();
        assert_eq!(self.line(), "STORED");
    }

    /// Returns flags and value.
    fn get(&mut self, key: &str) -> Option<(u32, String)> {
        write!(self.0.get_mut(), "get {key}\r\n").unwrap();
        let line = self.line();
        if line == "END" {
            return None;
        }
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words[..2], ["VALUE", key]);
        let mut value = vec![0; words[3].parse().unwrap()];
        self.0.read_exact(&mut value).unwrap();
        assert_eq!([self.line(), self.line()], ["", "END"]);
        Some((words[2].parse().unwrap(), String::from_utf8(value).unwrap()))
    }

    /// Returns how many seconds are left of an item, -1 if it never ends, or nothing if it has.
    fn left(&mut self, key: &str) -> Option<i64> {
        write!(self.0.get_mut(), "mg {key} t\r\n").unwrap();
        let line = self.line();
        (line != "EN").then(|| line.strip_prefix("HD t").unwrap().parse().unwrap())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

fn record(text: &str, deadline: impl Into<Option<Timestamp>>) -> Record {
    Record { text: text.into(), deadline: deadline.into() }
}

#[expect(clippy::disallowed_methods, reason = "the server has a clock of its own")]
fn now() -> Timestamp {
    SystemTime::now().into()
}

fn later(seconds: u64) -> Timestamp {
    now().saturating_add(Duration::from_secs(seconds))
}

async fn created(store: &MemcachedStore, id: &SessionId, record: &Record) -> Revision {
    match store.create(id, record, now()).await.unwrap() {
        Created::Done(revision) => revision,
        Created::Taken => panic!("an unused id was taken"),
    }
}

/// As npm wrote it, from the reference's records.
const NODES: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2026-11-23T17:07:15.469Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;

#[tokio::test]
async fn locks_are_not_supported_and_nothing_is_written_under_one() {
    let Some(server) = servers::shared_memcached() else { return };
    let (store, id) = (store(server), id("a"));
    let revision = created(&store, &id, &record(NODES, later(60))).await;
    let (holder, lease) = (LockToken::from_random([1; 16]), Duration::from_secs(60));
    let errors = [
        store.lock(&id, holder, lease, now()).await.map(drop),
        store.update_locked(&id, &record("{}", None), &revision, holder, now()).await.map(drop),
        store.unlock(&id, holder).await,
    ];
    for error in errors.map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    }
    let current = store.load(&id, now()).await.unwrap().unwrap();
    assert_eq!((&*current.record.text, current.revision), (NODES, revision));
}

#[tokio::test]
async fn a_record_of_node_is_read_and_ours_is_of_the_same_form() {
    let Some(server) = servers::shared_memcached() else { return };
    let (store, mut node) = (store(server), Node::connect(server));
    let key = format!("{}{}", prefix_of(&store), "A".repeat(32));
    let id = id(&"A".repeat(32));
    assert_eq!(NODES.len(), 133);
    node.set(&key, 2, 3600, NODES.as_bytes());

    let Loaded { record: read, revision } = store.load(&id, now()).await.unwrap().unwrap();
    assert_eq!(&*read.text, NODES);
    let left = read.deadline.unwrap().millis() - now().millis();
    assert!((3_590_000..=3_600_000).contains(&left), "{left}");

    let ours = NODES.replace("\"views\":3", "\"views\":4");
    let updated = store.update(&id, &record(&ours, later(60)), &revision, now()).await.unwrap();
    assert!(matches!(updated, Updated::Done(_)), "{updated:?}");
    assert_eq!(node.get(&key), Some((2, ours)));
    assert!((55..=60).contains(&node.left(&key).unwrap()));
}

#[tokio::test]
async fn meanwhile_a_write_of_node_is_a_conflict() {
    let Some(server) = servers::shared_memcached() else { return };
    let (store, mut node) = (store(server), Node::connect(server));
    let (id, key) = (id("a"), format!("{}a", prefix_of(&store)));
    let revision = created(&store, &id, &record(NODES, later(60))).await;
    // Even where it writes what was there: its touch does.
    node.set(&key, 2, 3600, NODES.as_bytes());
    let updated = store.update(&id, &record("{}", later(60)), &revision, now()).await.unwrap();
    let Updated::Conflict(current) = updated else { panic!("{updated:?}") };
    assert_eq!(&*current.record.text, NODES);
    let updated =
        store.update(&id, &record("{}", later(60)), &current.revision, now()).await.unwrap();
    assert!(matches!(updated, Updated::Done(_)), "{updated:?}");
}

#[tokio::test]
async fn records_live_as_long_as_those_of_npm_and_its_traps_are_closed() {
    let Some(server) = servers::shared_memcached() else { return };
    let (store, mut node) = (store(server), Node::connect(server));
    let hour = store.clone().ttl(Duration::from_secs(3600));
    let unset = store.clone().ttl(Duration::ZERO);
    let prefix = prefix_of(&store);
    let day = 86_400;
    // A second may pass, and the server's clock beats once in a second: it may be behind a point in
    // time by as much.
    let cases = [
        ("none", &store, None, day - 2..=day),
        ("minute", &store, Some(60_999), 58..=60),
        ("month", &store, Some(2_592_000_000), 30 * day - 2..=30 * day),
        ("more", &store, Some(2_592_001_000), 30 * day - 1..=30 * day + 3),
        ("year", &store, Some(365 * 86_400_000), 365 * day - 2..=365 * day + 2),
        ("ttl", &hour, Some(60_000), 3598..=3600),
        ("ttl, none", &hour, None, 3598..=3600),
        ("no ttl", &unset, Some(60_000), 58..=60),
    ];
    for (name, store, max_age, expected) in cases {
        let id = id(&name.replace(", ", "-").replace(' ', "-"));
        let deadline = max_age.map(|millis| now().saturating_add(Duration::from_millis(millis)));
        created(store, &id, &record("{}", deadline)).await;
        let left = node.left(&format!("{prefix}{}", id.as_str())).unwrap();
        assert!(expected.contains(&left), "{name}: {left}");
    }
    let moment = now().saturating_add(Duration::from_millis(300));
    created(&store, &id("moment"), &record("{}", moment)).await;
    let left = node.left(&format!("{prefix}moment"));
    assert!(left.is_none_or(|left| (0..=1).contains(&left)), "a moment is not forever: {left:?}");
    created(&store, &id("past"), &record("{}", now())).await;
    assert_eq!(node.get(&format!("{prefix}past")), None);
    // Further than the server can count.
    created(&store, &id("age"), &record("{}", Timestamp::MAX)).await;
    assert!(node.left(&format!("{prefix}age")).unwrap() > 365 * day);
}

#[tokio::test]
async fn a_touch_moves_the_expiry_and_nothing_else() {
    let Some(server) = servers::shared_memcached() else { return };
    let (store, mut node) = (store(server), Node::connect(server));
    let (id, key) = (id("a"), format!("{}a", prefix_of(&store)));
    let revision = created(&store, &id, &record(NODES, later(60))).await;
    for (deadline, expected) in [(Some(later(3600)), 3590..=3600), (None, 86_390..=86_400)] {
        let touch = Touch::new("{}", deadline);
        assert_eq!(store.touch(&id, &touch, now()).await.unwrap(), Touched::Done);
        assert!(expected.contains(&node.left(&key).unwrap()));
        assert_eq!(node.get(&key), Some((2, NODES.to_owned())));
    }
    assert_eq!(store.load(&id, now()).await.unwrap().unwrap().revision, revision);
}

#[tokio::test]
async fn ids_that_are_no_keys_have_no_sessions() {
    let Some(server) = servers::shared_memcached() else { return };
    let store = store(server);
    let room = 250 - prefix_of(&store).len();
    for text in ["a b", "a\r\nflush_all", "\0", "\u{7f}", &"x".repeat(room + 1)] {
        let id = id(text);
        let error = store.create(&id, &record("{}", None), now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsuitable);
        assert!(error.to_string().contains("250 bytes"), "{error}");
        assert_eq!(store.load(&id, now()).await.unwrap(), None);
        let touch = Touch::new("{}", None);
        assert_eq!(store.touch(&id, &touch, now()).await.unwrap(), Touched::Gone);
        let updated =
            store.update(&id, &record("{}", None), &Revision::new(1), now()).await.unwrap();
        assert_eq!(updated, Updated::Gone);
        store.destroy(&id).await.unwrap();
    }
    let id = id(&"x".repeat(room));
    created(&store, &id, &record("{}", None)).await;
    assert!(store.load(&id, now()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_record_too_large_for_the_server_is_refused_and_the_old_one_stays() {
    let Some(server) = servers::shared_memcached() else { return };
    let store = store(server);
    let id = id("a");
    let large = |size: usize| record(&"x".repeat(size), later(60));
    let revision = created(&store, &id, &large((1 << 20) - 200)).await;
    for size in [(1 << 20) - 100, 1 << 20, 3 << 20] {
        let error = store.update(&id, &large(size), &revision, now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsuitable, "{error}");
    }
    let loaded = store.load(&id, now()).await.unwrap().unwrap();
    assert_eq!(loaded.record.text.len(), (1 << 20) - 200);
    assert_eq!(loaded.revision, revision);
}

#[tokio::test]
async fn sessions_are_served_again_when_the_server_is_back() {
    let Some(server) = servers::memcached() else { return };
    let store = MemcachedStore::connect(&server.url()).await.unwrap();
    created(&store, &id("a"), &record("{}", None)).await;
    server.kill();
    let error = store.load(&id("a"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.source().is_some());
    server.restart();
    assert_eq!(store.load(&id("a"), now()).await.unwrap(), None, "it came back empty");
    created(&store, &id("a"), &record("{}", None)).await;
}

#[tokio::test]
async fn connections_that_broke_while_idle_are_replaced() {
    let Some(server) = servers::memcached() else { return };
    let store = MemcachedStore::new(&server.url()).unwrap();
    for _ in 0..3 {
        let (one, other) = (id("a"), id("b"));
        let (one, other) = tokio::join!(store.load(&one, now()), store.load(&other, now()));
        assert_eq!((one.unwrap(), other.unwrap()), (None, None));
        server.kill();
        server.restart();
    }
}

#[tokio::test]
async fn listings_wait_for_each_other() {
    let Some(server) = servers::memcached() else { return };
    let store = MemcachedStore::new(&server.url()).unwrap();
    let mut node = Node::connect(&server);
    for number in 0..10_000 {
        node.set(&format!("{number}"), 2, 3600, b"{}");
    }
    let counts: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.count(now()).await.unwrap() })
        })
        .collect();
    for count in counts {
        assert_eq!(count.await.unwrap(), 10_000);
    }
}

#[tokio::test]
async fn no_more_connections_are_made_than_allowed() {
    let Some(server) = servers::memcached() else { return };
    let store = MemcachedStore::new(&server.url()).unwrap().max_connections(3);
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                created(&store, &id(&format!("{number}")), &record("{}", None)).await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut node = Node::connect(&server);
    node.0.get_mut().write_all(b"stats\r\n").unwrap();
    let mut made = None;
    loop {
        let line = node.line();
        if let Some(count) = line.strip_prefix("STAT total_connections ") {
            made = Some(count.parse::<u32>().unwrap());
        }
        if line == "END" {
            break;
        }
    }
    // Ours, those of the harness's probe and this one; the server counts its listener too.
    assert!(made.unwrap() <= 3 + 4, "{made:?}");
}

/// A server that gives these answers, each to one request, and hangs up; or hangs, if the last is
/// empty.
fn hostile(answers: &'static [&'static [u8]]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("memcached://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            for answer in answers {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                if line.starts_with("ms ") {
                    stream.read_line(&mut line).unwrap();
                }
                stream.get_mut().write_all(answer).unwrap();
            }
            if answers.last().is_some_and(|last| last.is_empty()) {
                thread::park();
            }
        }
    });
    url
}

#[tokio::test]
async fn each_verb_is_one_round_trip_and_a_conflict_is_two() {
    const SETTINGS: &[u8] = b"END\r\n";
    const ITEM: &[u8] = b"VA 2 c7 t60\r\n{}\r\n";
    // A client that sends more requests than there are answers loses its connection.
    let store = |answers| MemcachedStore::new(&hostile(answers)).unwrap();
    let (id, record, now) = (id("a"), record("{}", None), now());
    let touch = Touch::new("{}", None);
    let (first, second) = (Revision::new(6), Revision::new(7));

    let loaded = store(&[SETTINGS, ITEM]).load(&id, now).await.unwrap().unwrap();
    assert_eq!(loaded.revision, second);
    let created = store(&[SETTINGS, b"HD c7\r\n"]).create(&id, &record, now).await.unwrap();
    assert_eq!(created, Created::Done(second.clone()));
    let taken = store(&[SETTINGS, b"NS c0\r\n"]).create(&id, &record, now).await.unwrap();
    assert_eq!(taken, Created::Taken);
    let updated = store(&[SETTINGS, b"HD c7\r\n"]).update(&id, &record, &first, now).await.unwrap();
    assert_eq!(updated, Updated::Done(second));
    let gone = store(&[SETTINGS, b"NF c0\r\n"]).update(&id, &record, &first, now).await.unwrap();
    assert_eq!(gone, Updated::Gone);
    let touched = store(&[SETTINGS, b"HD\r\n"]).touch(&id, &touch, now).await.unwrap();
    assert_eq!(touched, Touched::Done);
    store(&[SETTINGS, b"NF\r\n"]).destroy(&id).await.unwrap();

    let conflict = store(&[SETTINGS, b"EX c0\r\n", ITEM]);
    let conflict = conflict.update(&id, &record, &first, now).await.unwrap();
    assert_eq!(conflict, Updated::Conflict(loaded));
    let ended = store(&[SETTINGS, b"EX c0\r\n", b"EN\r\n"]);
    assert_eq!(ended.update(&id, &record, &first, now).await.unwrap(), Updated::Gone);
}

#[tokio::test]
async fn answers_of_something_else_are_errors_and_end_the_connection() {
    const NOTHING: &[u8] = b"END\r\n";
    for (answers, kind) in [
        (&[NOTHING, b"VA 99999999999 c1 t1\r\n"][..], ErrorKind::Other),
        (&[NOTHING, b"VA 2 c1 t1\r\n{}}}}\r\n"], ErrorKind::Other),
        (&[NOTHING, b"VA 9 c1 t1\r\n{}\r\n"], ErrorKind::Unavailable),
        (&[NOTHING, b"HD c1\r\n"], ErrorKind::Other),
        (&[NOTHING, b"ERROR\r\n"], ErrorKind::Refused),
        (&[NOTHING, b"SERVER_ERROR out of memory\r\n"], ErrorKind::Refused),
        (&[b"ERROR Too many open connections\r\n"], ErrorKind::Unavailable),
        (&[b"CLIENT_ERROR unauthenticated\r\n"], ErrorKind::Refused),
        (&[b"STAT cas_enabled no\r\nEND\r\n"], ErrorKind::Refused),
        (&[b"HTTP/1.1 400 Bad Request\r\n\r\n"], ErrorKind::Other),
        (&[b"-ERR unknown command\r\n"], ErrorKind::Other),
    ] {
        let store = MemcachedStore::new(&hostile(answers)).unwrap();
        let result = store.load(&id("secret"), now()).await;
        let error: Error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{answers:?}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let wait = Duration::from_millis(50);
    let silent = MemcachedStore::new(&hostile(&[b"END\r\n", b""])).unwrap().timeout(wait);
    let error = silent.load(&id("a"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");

    // It accepts, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("memcached://{}", listener.local_addr().unwrap());
    let deaf = MemcachedStore::new(&url).unwrap().timeout(wait);
    let error = deaf.load(&id("a"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn abandoned_call_is_carried_out_before_the_next_of_its_session() {
    let Some(server) = servers::shared_memcached() else { return };
    let proxy = Proxy::start(&server.address());
    let direct = store(server);
    let url = format!("memcached://{}", proxy.address());
    let store = MemcachedStore::new(&url).unwrap().prefix(prefix_of(&direct)).max_connections(2);
    created(&store, &id("b"), &record("{}", None)).await;
    let connections = proxy.connections();
    for number in 0..10 {
        let (one, other, first) = (id("a"), id("b"), record("1", None));
        let revision = created(&store, &one, &first).await;
        proxy.stall();
        let second = record("2", None);
        let call = store.update(&one, &second, &revision, now());
        assert!(timeout(Duration::from_millis(20), call).await.is_err());
        proxy.resume();
        if number % 2 == 0 {
            assert!(store.load(&other, now()).await.unwrap().is_some());
        }
        let current = store.load(&one, now()).await.unwrap().unwrap();
        assert_eq!(current.record.text, second.text);

        proxy.stall();
        assert!(timeout(Duration::from_millis(20), store.destroy(&one)).await.is_err());
        proxy.resume();
    }
    assert!(proxy.connections() <= connections + 1, "{}", proxy.connections());
}

#[tokio::test]
async fn answer_to_a_dropped_call_reaches_no_other_call() {
    let Some(server) = servers::shared_memcached() else { return };
    let store = Arc::new(store(server).max_connections(1));
    created(&store, &id("a"), &record("{\"a\":1}", None)).await;
    created(&store, &id("b"), &record("{\"b\":1}", None)).await;
    let dropped = id("a");
    for polls in 1..20 {
        {
            let mut call = Box::pin(store.load(&dropped, now()));
            let mut left = polls;
            std::future::poll_fn(|context| {
                left -= 1;
                let is_done = call.as_mut().poll(context).is_ready() || left == 0;
                if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        }
        let loaded = store.load(&id("b"), now()).await.unwrap().unwrap();
        assert_eq!(&*loaded.record.text, "{\"b\":1}");
    }
}

#[tokio::test]
async fn a_listing_shows_records_of_node_and_passes_over_what_is_no_session() {
    let Some(server) = servers::shared_memcached() else { return };
    let (store, mut node) = (store(server), Node::connect(server));
    let prefix = prefix_of(&store);
    node.set(&format!("{prefix}node"), 2, 0, NODES.as_bytes());
    node.set(&format!("{prefix}garbage"), 0, 0, b"\xff\xfe");
    node.set(&format!("{prefix}\u{1}"), 2, 0, b"{}");
    created(&store, &id("会话"), &record("{}", later(60))).await;
    let page = store.list(None, 10, now()).await.unwrap();
    let ids: Vec<_> = page.sessions.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["node", "会话"]);
    assert_eq!(page.sessions[0].1, record(NODES, None));
    assert!(page.next.is_none());
}
