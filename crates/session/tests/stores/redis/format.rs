//! The Redis store writes the records of connect-redis, and each option has the same effect.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use express_session::store::redis::RedisStore;
use express_session::store::{
    Admin as _, Created, ErrorKind, Lifetime, Record, Revision, Store as _, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};
use express_session_testkit::servers;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

const A: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2026-11-23T17:07:14.668Z","httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;
const B: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":{"name":"bob"},"views":3}"#;

/// A store with a prefix of its own, and a plain connection to look at what it writes.
struct Bench {
    store: RedisStore,
    prefix: String,
    plain: MultiplexedConnection,
}

impl Bench {
    /// `None` where the server is not installed.
    async fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let redis = servers::shared_redis()?;
        let prefix = format!("format-{}:", COUNT.fetch_add(1, Ordering::Relaxed));
        let store = RedisStore::connect(redis.url()).await.unwrap().prefix(prefix.as_str());
        let client = redis::Client::open(redis.url()).unwrap();
        let plain = client.get_multiplexed_async_connection().await.unwrap();
        Some(Self { store, prefix, plain })
    }

    fn with(self, options: impl FnOnce(RedisStore) -> RedisStore) -> Self {
        Self { store: options(self.store), ..self }
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    async fn text(&self, id: &str) -> Option<String> {
        self.plain.clone().get(self.key(id)).await.unwrap()
    }

    async fn ttl(&self, id: &str) -> i64 {
        self.plain.clone().ttl(self.key(id)).await.unwrap()
    }

    async fn set(&self, id: &str, text: impl redis::ToSingleRedisArg + Send + Sync) {
        self.plain.clone().set(self.key(id), text).await.unwrap()
    }

    async fn create(&self, id: &str, text: &str, deadline: Option<Timestamp>) -> Created {
        self.store.create(&sid(id), &record(text, deadline), now()).await.unwrap()
    }

    async fn touch(&self, id: &str, deadline: Option<Timestamp>) -> Touched {
        let touch = Touch { replaces_cookie: true, ..Touch::new(r#"{"path":"/new"}"#, deadline) };
        self.store.touch(&sid(id), &touch, now()).await.unwrap()
    }

    async fn revision(&self, id: &str) -> Revision {
        self.store.load(&sid(id), now()).await.unwrap().unwrap().revision
    }

    async fn update(&self, id: &str, text: &str, deadline: Option<Timestamp>) -> Updated {
        let expected = self.revision(id).await;
        self.store.update(&sid(id), &record(text, deadline), &expected, now()).await.unwrap()
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn later(seconds: u64) -> Option<Timestamp> {
    Some(now().saturating_add(Duration::from_secs(seconds)))
}

const PAST: Option<Timestamp> = Some(Timestamp::from_millis(1_700_000_000_000));

fn record(text: &str, deadline: Option<Timestamp>) -> Record {
    Record { text: text.into(), deadline }
}

fn sid(id: &str) -> SessionId {
    SessionId::new(id).unwrap()
}

macro_rules! bench {
    () => {
        match Bench::new().await {
            Some(bench) => bench,
            None => return,
        }
    };
}

#[tokio::test]
async fn key_value_and_time_are_those_of_connect_redis() {
    let bench = bench!();
    // The default prefix, as nothing else of this server uses it.
    let store = bench.store.clone().prefix("sess:");
    let (a, b) = ("A".repeat(32), "B".repeat(32));
    store.create(&sid(&a), &record(A, later(3600)), now()).await.unwrap();
    store.create(&sid(&b), &record(B, None), now()).await.unwrap();
    let bench = Bench { prefix: "sess:".to_owned(), store, ..bench };

    assert_eq!((bench.text(&a).await.as_deref(), bench.ttl(&a).await), (Some(A), 3600));
    assert_eq!((bench.text(&b).await.as_deref(), bench.ttl(&b).await), (Some(B), 86_400));
    assert_eq!(bench.touch(&a, later(7200)).await, Touched::Done);
    assert_eq!((bench.text(&a).await.as_deref(), bench.ttl(&a).await), (Some(A), 7200));
    let kind: String =
        redis::cmd("TYPE").arg(bench.key(&a)).query_async(&mut bench.plain.clone()).await.unwrap();
    assert_eq!(kind, "string");
    bench.store.clear().await.unwrap();
}

#[tokio::test]
async fn update_writes_the_time_too() {
    let bench = bench!();
    bench.create("a", A, later(3600)).await;
    assert!(matches!(bench.update("a", B, None).await, Updated::Done(_)));
    assert_eq!((bench.text("a").await.as_deref(), bench.ttl("a").await), (Some(B), 86_400));
    assert!(matches!(bench.update("a", A, later(60)).await, Updated::Done(_)));
    assert_eq!((bench.text("a").await.as_deref(), bench.ttl("a").await), (Some(A), 60));
}

#[tokio::test]
async fn deadline_is_what_the_server_keeps_and_not_what_the_text_says() {
    let bench = bench!();
    bench.create("a", A, later(3600)).await;
    bench.touch("a", later(60)).await;
    let loaded = bench.store.load(&sid("a"), now()).await.unwrap().unwrap();
    let left = loaded.record.deadline.unwrap().saturating_since(now());
    assert!(left > Duration::from_secs(55) && left <= Duration::from_secs(60), "{left:?}");

    // In a conflict too.
    let mine = record(B, None);
    let updated = bench.store.update(&sid("a"), &mine, &Revision::new(7), now()).await.unwrap();
    let Updated::Conflict(current) = updated else { panic!("{updated:?}") };
    assert_eq!(&*current.record.text, A);
    let left = current.record.deadline.unwrap().saturating_since(now());
    assert!(left > Duration::from_secs(55) && left <= Duration::from_secs(60), "{left:?}");
}

#[tokio::test]
async fn saving_an_expired_record_deletes_it() {
    let bench = bench!();
    assert!(matches!(bench.create("never", A, PAST).await, Created::Done(_)));
    assert_eq!(bench.text("never").await, None);

    bench.create("a", A, later(60)).await;
    assert_eq!(bench.create("a", B, PAST).await, Created::Taken);
    assert_eq!(bench.text("a").await.as_deref(), Some(A));
    assert!(matches!(bench.update("a", B, PAST).await, Updated::Done(_)));
    assert_eq!(bench.text("a").await, None);

    bench.create("b", A, later(60)).await;
    assert_eq!(bench.touch("b", PAST).await, Touched::Done);
    assert_eq!(bench.text("b").await, None);
    assert_eq!(bench.touch("b", later(60)).await, Touched::Gone);
}

#[tokio::test]
async fn numeric_ttl_is_for_records_without_an_expiry() {
    let bench = bench!().with(|store| store.ttl(Duration::from_millis(90_500)));
    bench.create("a", A, later(60)).await;
    bench.create("b", B, None).await;
    assert_eq!((bench.ttl("a").await, bench.ttl("b").await), (60, 91));
    bench.touch("a", None).await;
    assert_eq!(bench.ttl("a").await, 91);
}

#[tokio::test]
async fn function_decides_from_the_record_at_every_save_and_touch() {
    let bench = bench!().with(|store| {
        store.ttl_with(|record| {
            Duration::from_secs(match &*record.text {
                A => 100,
                B => 200,
                // The effect of a touch on both.
                text if text.contains(r#""cookie":{"path":"/new"}"#) => 300,
                _ => 0,
            })
        })
    });
    bench.create("a", A, later(60)).await;
    assert_eq!(bench.ttl("a").await, 100);
    bench.update("a", B, later(60)).await;
    assert_eq!(bench.ttl("a").await, 200);
    assert_eq!(bench.store.lifetime(), Lifetime::Unknown);
    assert_eq!(bench.touch("a", later(60)).await, Touched::Done);
    assert_eq!((bench.text("a").await.as_deref(), bench.ttl("a").await), (Some(B), 300));
    bench.update("a", "{}", later(60)).await;
    assert_eq!(bench.text("a").await, None);
    assert_eq!(bench.touch("a", later(60)).await, Touched::Gone);
}

#[tokio::test]
async fn without_ttl_records_stay_and_touches_do_nothing() {
    let bench = bench!().with(|store| store.disable_ttl(true));
    assert!(!bench.store.supports_touch());
    bench.create("a", A, later(60)).await;
    assert_eq!((bench.text("a").await.as_deref(), bench.ttl("a").await), (Some(A), -1));
    bench.update("a", B, later(60)).await;
    assert_eq!((bench.text("a").await.as_deref(), bench.ttl("a").await), (Some(B), -1));
    assert_eq!(bench.touch("a", later(60)).await, Touched::Done);
    assert_eq!(bench.touch("none", later(60)).await, Touched::Gone);
    assert_eq!(bench.ttl("a").await, -1);
    // Over is over, as in connect-redis.
    bench.update("a", A, PAST).await;
    assert_eq!(bench.text("a").await, None);
}

#[tokio::test]
async fn without_touch_the_time_runs_from_the_last_save() {
    let bench = bench!().with(|store| store.disable_touch(true));
    assert!(!bench.store.supports_touch());
    bench.create("a", A, later(60)).await;
    assert_eq!(bench.touch("a", later(3600)).await, Touched::Done);
    assert_eq!(bench.ttl("a").await, 60);
    bench.update("a", B, later(90)).await;
    assert_eq!(bench.ttl("a").await, 90);
}

#[tokio::test]
async fn empty_text_is_no_session_and_bytes_that_are_no_text_are_corrupt() {
    let bench = bench!();
    bench.set("empty", "").await;
    assert_eq!(bench.store.load(&sid("empty"), now()).await.unwrap(), None);
    let updated =
        bench.store.update(&sid("empty"), &record(A, None), &Revision::new(0), now()).await;
    assert_eq!(updated.unwrap(), Updated::Gone);

    bench.set("bytes", &b"{\"cookie\":{\"originalMaxAge\":1000},\"a\":\"\xff\"}"[..]).await;
    let error = bench.store.load(&sid("bytes"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let updated =
        bench.store.update(&sid("bytes"), &record(A, None), &Revision::new(0), now()).await;
    assert_eq!(updated.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn foreign_keys_are_left_alone() {
    let bench = bench!();
    bench.create("a", A, later(60)).await;
    let (key, beside) = (bench.key("of-the-application"), format!("x{}", bench.prefix));
    bench.plain.clone().sadd::<_, _, ()>(&key, "member").await.unwrap();
    bench.plain.clone().set::<_, _, ()>(&beside, "beside").await.unwrap();
    bench.set("bytes", &b"\xff"[..]).await;

    let error = bench.store.load(&sid("of-the-application"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let update = record(A, None);
    let id = sid("of-the-application");
    let error = bench.store.update(&id, &update, &Revision::new(0), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);

    let page = bench.store.list(None, 10, now()).await.unwrap();
    let ids: Vec<_> = page.sessions.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!((ids, page.next), (vec!["a"], None));
    bench.store.clear().await.unwrap();
    assert_eq!(bench.store.count(now()).await.unwrap(), 0);
    assert!(bench.plain.clone().exists::<_, bool>(&key).await.unwrap());
    assert!(bench.plain.clone().exists::<_, bool>(&beside).await.unwrap());
}

#[tokio::test]
async fn page_of_a_listing_can_be_asked_for_again() {
    let bench = bench!();
    for number in 0..10 {
        bench.create(&number.to_string(), A, later(60)).await;
    }
    let ids = |page: &express_session::store::Page| {
        page.sessions.iter().map(|(id, _)| id.as_str().to_owned()).collect::<BTreeSet<_>>()
    };
    let first = bench.store.list(None, 4, now()).await.unwrap();
    let second = bench.store.list(first.next.clone(), 4, now()).await.unwrap();
    let again = bench.store.list(first.next.clone(), 4, now()).await.unwrap();
    assert_eq!(ids(&second), ids(&again));
    let third = bench.store.list(second.next.clone(), 4, now()).await.unwrap();
    assert_eq!(third.next, None);
    let all = [ids(&first), ids(&second), ids(&third)];
    assert_eq!(all.iter().map(BTreeSet::len).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(all.iter().flatten().collect::<BTreeSet<_>>().len(), 10);

    // Another store, as in another process, goes on where this one was.
    let other = RedisStore::connect(servers::shared_redis().unwrap().url()).await.unwrap();
    let other = other.prefix(bench.prefix.as_str());
    let page = other.list(first.next.clone(), 4, now()).await.unwrap();
    assert_eq!(ids(&page), ids(&second));

    let cursor = express_session::store::Cursor::new("7");
    let error = other.list(Some(cursor), 4, now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
}
