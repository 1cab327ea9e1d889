//! [`BreakerStore`] around a store of the application: it obeys the laws of the store inside, and bounds what an outage
//! costs (finding M3).

use std::time::Duration;

use express_session::MemoryStore;
use express_session::store::{BreakerStore, Error, ErrorKind, Store as _};
use express_session::{SessionId, Timestamp};
use express_session_testkit::{
    Fate, Spy, Subject, Task, Unreliable, Verb, admin_laws, admin_model_laws, clock_laws,
    lock_laws, on_threads, order_laws, store_laws,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TIMEOUT: Duration = Duration::from_secs(2);

struct Guarded;

impl Subject for Guarded {
    type Store = BreakerStore<MemoryStore>;

    async fn store(&self) -> BreakerStore<MemoryStore> {
        BreakerStore::new(MemoryStore::new())
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        on_threads(tasks).await;
    }
}

store_laws!(Guarded);
lock_laws!(Guarded);
admin_laws!(Guarded);
admin_model_laws!(Guarded);
clock_laws!(Guarded);
order_laws!(Guarded);

type Inside = Unreliable<MemoryStore>;

fn unreliable() -> (BreakerStore<Inside>, Inside) {
    let inside = Unreliable::new(MemoryStore::new(), 0, sleep);
    (BreakerStore::new(inside.clone()).timeout(TIMEOUT), inside)
}

async fn load(store: &BreakerStore<Inside>) -> Result<(), Error> {
    store.load(&SessionId::new("session").unwrap(), NOW).await.map(drop)
}

/// Makes concurrent calls.
async fn loads(store: &BreakerStore<Inside>, calls: usize) -> Vec<Result<(), Error>> {
    let mut running = JoinSet::new();
    for _ in 0..calls {
        let store = store.clone();
        running.spawn(async move { load(&store).await });
    }
    running.join_all().await
}

fn kinds(done: &[Result<(), Error>]) -> Vec<Option<ErrorKind>> {
    let mut kinds: Vec<_> = done.iter().map(|done| done.as_ref().err().map(Error::kind)).collect();
    kinds.dedup();
    kinds
}

#[tokio::test(start_paused = true)]
async fn audit_m3_own_store_that_hangs_is_asked_three_times_a_second_and_serves_again() {
    let (store, inside) = unreliable();
    inside.decide(|_| Some(Fate::Hang));
    let begun = Instant::now();
    assert_eq!(kinds(&loads(&store, 200).await), [Some(ErrorKind::TimedOut)]);
    assert_eq!(begun.elapsed(), TIMEOUT);

    let asked = inside.fates().len();
    let outage = Instant::now();
    while outage.elapsed() < Duration::from_secs(20) {
        let begun = Instant::now();
        for refused in loads(&store, 20).await {
            let error = refused.unwrap_err();
            assert!(error.is_unsent() && error.retry_after().is_some(), "{error:?}");
        }
        assert!(begun.elapsed() <= Duration::from_millis(50), "{:?}", begun.elapsed());
        advance(Duration::from_millis(100)).await;
    }
    let probes = inside.fates().len() - asked;
    assert!((20..=60).contains(&probes), "{probes}");

    inside.decide(|_| None);
    let back = Instant::now();
    while load(&store).await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(1), "it is not served again");
        advance(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn audit_m3_own_store_that_cannot_be_reached_is_not_asked_by_every_call() {
    for kind in [ErrorKind::Unavailable, ErrorKind::TimedOut] {
        let (store, inside) = unreliable();
        inside.decide(move |_| Some(Fate::Fail(kind)));
        assert_eq!(kinds(&[load(&store).await]), [Some(kind)]);
        for _ in 0..100 {
            assert!(load(&store).await.unwrap_err().is_unsent());
        }
        assert!(inside.fates().len() <= 3, "{}", inside.fates().len());
    }
}

#[tokio::test(start_paused = true)]
async fn errors_that_are_answers_and_one_call_that_fails_among_others_open_nothing() {
    let (store, inside) = unreliable();
    for kind in [ErrorKind::Refused, ErrorKind::Corrupt, ErrorKind::Other, ErrorKind::Unsupported] {
        inside.next(Verb::Load, Fate::Fail(kind));
        assert_eq!(kinds(&[load(&store).await]), [Some(kind)]);
        assert!(load(&store).await.is_ok(), "{kind:?}");
    }
    // One write waits for a lock in the database, and the reads are answered.
    inside.next(Verb::Destroy, Fate::Hang);
    let id = SessionId::new("session").unwrap();
    let reads = async {
        for _ in 0..10 {
            sleep(TIMEOUT / 5).await;
            load(&store).await.unwrap();
        }
    };
    let (hung, ()) = tokio::join!(store.destroy(&id), reads);
    assert_eq!(hung.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(load(&store).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn call_beyond_max_waiting_fails_immediately_and_never_reaches_the_store() {
    let (store, inside) = unreliable();
    let store = store.max_waiting(5);
    inside.decide(|_| Some(Fate::Delay(Duration::from_millis(100))));
    let mut done = loads(&store, 8).await;
    let refused: Vec<_> = done.extract_if(.., |done| done.is_err()).collect();
    assert_eq!((done.len(), refused.len(), inside.fates().len()), (5, 3, 5));
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_unsent() && error.to_string().contains("max_waiting"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_leave_before_the_timeout_count_together() {
    let (store, inside) = unreliable();
    inside.decide(|_| Some(Fate::Hang));
    let early = Duration::from_millis(250);
    let mut left = 0;
    while tokio::time::timeout(early, load(&store)).await.is_err() {
        left += 1;
        assert!(left < 10, "the circuit does not open");
    }
}

#[test]
fn store_without_touch_stays_one() {
    assert!(BreakerStore::new(Spy::new(MemoryStore::new())).supports_touch());
    assert!(!BreakerStore::new(Spy::without_touch(MemoryStore::new())).supports_touch());
}
