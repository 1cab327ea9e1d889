//! Parallel loads of one session share a call, and nobody gets what is older than what it knows of.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::support::delayed_store::DelayedStore;
use crate::support::{
    BOB, MINUTE, NOW, PLAIN, SECRET, World, app, poll_once, record, send, visit_as, waits,
};
use express_session::store::{
    Coalesced, Created, Error, ErrorKind, Loaded, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session::{MemoryStore, SessionId, SessionLayer, Timestamp};
use express_session_testkit::{
    Spy, Subject, Task, Verb, admin_laws, block_on, join_all, on_threads, store_laws,
};
use proptest::prelude::*;
use tokio::sync::Semaphore;

fn bob() -> SessionId {
    SessionId::new(BOB).unwrap()
}

fn stored(text: String) -> Record {
    Record { text: text.into(), deadline: None }
}

fn after(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() + millis)
}

/// A store that has Bob's session, and its spy.
async fn spied(text: String) -> Spy<MemoryStore> {
    let store = Spy::new(MemoryStore::new());
    store.inner().create(&bob(), &stored(text), NOW).await.unwrap();
    store
}

/// Bob's session with loads that wait until the delayed_store is opened.
async fn held(text: String) -> (Spy<MemoryStore>, DelayedStore<Spy<MemoryStore>>) {
    let spy = spied(text).await;
    let delayed_store = DelayedStore::before(Verb::Load, spy.clone());
    (spy, delayed_store)
}

struct Memory;

impl Subject for Memory {
    type Store = Coalesced<MemoryStore>;

    async fn store(&self) -> Self::Store {
        Coalesced::new(MemoryStore::new())
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        on_threads(tasks).await;
    }
}

store_laws!(Memory);
admin_laws!(Memory);

#[test]
fn fifty_concurrent_requests_call_the_store_twice() {
    block_on(async {
        let spy = spied(record(PLAIN, r#""views":1"#)).await;
        let delayed_store = DelayedStore::before(Verb::LoadAndTouch, spy.clone());
        let clock = World::new().clock;
        let layer = SessionLayer::new(SECRET)
            .store(Coalesced::new(delayed_store.clone()))
            .clock(move || clock.system_time());
        let app =
            app(&layer, async |session| session.get::<u32>("views").unwrap().unwrap().to_string());
        let mut requests: Vec<_> = (0..50).map(|_| Box::pin(send(&app, visit_as(BOB)))).collect();
        for request in &mut requests {
            assert!(waits(request.as_mut()).await);
        }
        delayed_store.open();
        for request in requests {
            assert_eq!(request.await.body, "1");
        }
        assert_eq!(spy.verbs(), [Verb::LoadAndTouch; 2]);
    });
}

#[test]
fn load_that_had_begun_before_a_write_is_not_shared_after_it() {
    block_on(async {
        let spy = spied(record(PLAIN, r#""n":1"#)).await;
        // It has read, and its answer is on the way.
        let delayed_store = DelayedStore::after(Verb::Load, spy.clone());
        let store = Coalesced::new(delayed_store.clone());
        let (id, text) = (bob(), record(PLAIN, r#""n":2"#));
        let mut early = Box::pin(store.load(&id, NOW));
        assert!(waits(early.as_mut()).await);
        let before = spy.inner().load(&id, NOW).await.unwrap().unwrap();
        let written = store.update(&id, &stored(text.clone()), before.revision, NOW).await.unwrap();
        assert!(matches!(written, Updated::Done(_)));
        let mut late = Box::pin(store.load(&id, NOW));
        assert!(waits(late.as_mut()).await);
        delayed_store.open();
        assert_eq!(*late.await.unwrap().unwrap().record.text, *text);
        assert_eq!(early.await.unwrap().unwrap(), before);
    });
}

#[test]
fn caller_that_goes_away_takes_nothing_with_it() {
    block_on(async {
        let (spy, delayed_store) = held(record(PLAIN, "")).await;
        let store = Coalesced::new(delayed_store.clone());
        let id = bob();
        let mut loads: Vec<_> = (0..6).map(|_| Box::pin(store.load(&id, NOW))).collect();
        for load in &mut loads {
            assert!(waits(load.as_mut()).await);
        }
        // The one that asked, and the first of those behind.
        loads.drain(..2);
        delayed_store.open();
        for load in loads {
            assert!(load.await.unwrap().is_some());
        }
        assert!(spy.verbs().len() <= 2, "{:?}", spy.verbs());
    });
}

#[test]
fn load_without_a_waiting_caller_is_not_made() {
    block_on(async {
        let (spy, delayed_store) = held(record(PLAIN, "")).await;
        let store = Coalesced::new(delayed_store.clone());
        let id = bob();
        let mut first = Box::pin(store.load(&id, NOW));
        let mut behind = Box::pin(store.load(&id, NOW));
        assert!(waits(first.as_mut()).await && waits(behind.as_mut()).await);
        drop(behind);
        delayed_store.open();
        assert!(first.await.unwrap().is_some());
        assert_eq!(spy.verbs(), [Verb::Load]);
    });
}

#[test]
fn caller_that_is_not_polled_delays_no_other_caller() {
    block_on(async {
        let (_, delayed_store) = held(record(PLAIN, "")).await;
        let store = Coalesced::new(delayed_store.clone());
        let id = bob();
        let mut idle = Box::pin(store.load(&id, NOW));
        let mut busy = Box::pin(store.load(&id, NOW));
        assert!(waits(idle.as_mut()).await && waits(busy.as_mut()).await);
        delayed_store.open();
        let Poll::Ready(loaded) = poll_once(busy.as_mut()).await else {
            panic!("it waits for one that is not polled")
        };
        assert!(loaded.unwrap().is_some());
        assert!(idle.await.unwrap().is_some());
    });
}

#[test]
fn sessions_do_not_wait_for_each_other() {
    block_on(async {
        let (spy, delayed_store) = held(record(PLAIN, "")).await;
        let store = Coalesced::new(delayed_store);
        let ids: Vec<_> = (0..50).map(|n| SessionId::from_random([n; 24])).collect();
        let mut loads: Vec<_> = ids.iter().map(|id| Box::pin(store.load(id, NOW))).collect();
        for load in &mut loads {
            assert!(waits(load.as_mut()).await);
        }
        drop(loads);
        // None has reached the spy, and each its delayed_store: they were all under way at once.
        assert!(spy.verbs().is_empty());
        let mut again: Vec<_> = ids.iter().map(|id| Box::pin(store.load(id, NOW))).collect();
        for load in &mut again {
            assert!(waits(load.as_mut()).await);
        }
    });
}

/// What three callers get whose first load fails in this way: one that asked, and two behind.
async fn failing(kind: ErrorKind) -> (Vec<Result<bool, ErrorKind>>, usize) {
    let (spy, delayed_store) = held(record(PLAIN, "")).await;
    let store = Coalesced::new(delayed_store.clone());
    let id = bob();
    let mut loads: Vec<_> = (0..3).map(|_| Box::pin(store.load(&id, NOW))).collect();
    for load in &mut loads {
        assert!(waits(load.as_mut()).await);
    }
    spy.fail_next(Verb::Load, kind);
    delayed_store.open();
    let mut results = Vec::new();
    for load in loads {
        results.push(load.await.map(|loaded| loaded.is_some()).map_err(|error| error.kind()));
    }
    (results, spy.verbs().len())
}

#[test]
fn outage_is_shared_and_costs_one_call() {
    for kind in [ErrorKind::Unavailable, ErrorKind::TimedOut] {
        assert_eq!(block_on(failing(kind)), (vec![Err(kind); 3], 1));
    }
}

#[test]
fn other_failures_are_their_own_callers_only() {
    for kind in [ErrorKind::Corrupt, ErrorKind::Refused, ErrorKind::Other] {
        assert_eq!(block_on(failing(kind)), (vec![Err(kind), Ok(true), Ok(true)], 2));
    }
}

#[test]
fn shared_failure_says_the_same_to_all() {
    block_on(async {
        let spy = spied(record(PLAIN, "")).await;
        let driver = || std::io::Error::other("the driver's own");
        spy.fail(move |_| Some(Error::new(ErrorKind::TimedOut, "too slow").with_source(driver())));
        let delayed_store = DelayedStore::before(Verb::Load, spy);
        let store = Coalesced::new(delayed_store.clone());
        let id = bob();
        let (mut one, mut other) = (Box::pin(store.load(&id, NOW)), Box::pin(store.load(&id, NOW)));
        assert!(waits(one.as_mut()).await && waits(other.as_mut()).await);
        delayed_store.open();
        for error in [one.await.unwrap_err(), other.await.unwrap_err()] {
            assert_eq!(error.to_string(), "the session store timed out: too slow");
            let source = std::error::Error::source(&error).unwrap();
            assert_eq!(source.to_string(), "the driver's own");
        }
    });
}

#[test]
fn shared_call_gets_the_latest_time() {
    block_on(async {
        let spy = Spy::new(MemoryStore::new());
        let deadline = Some(after(1000));
        let minute = Record { text: record(MINUTE, "").into(), deadline };
        spy.inner().create(&bob(), &minute, NOW).await.unwrap();
        let delayed_store = DelayedStore::before(Verb::LoadAndTouch, spy.clone());
        let store = Coalesced::new(delayed_store.clone());
        let id = bob();
        let times = [NOW, after(500), after(900), after(700)];
        let mut renewals: Vec<_> =
            times.iter().map(|now| Box::pin(store.load_and_touch(&id, *now))).collect();
        for renewal in &mut renewals {
            assert!(waits(renewal.as_mut()).await);
        }
        delayed_store.open();
        for renewal in renewals {
            assert!(renewal.await.unwrap().unwrap().is_touched);
        }
        let loaded = spy.inner().load(&id, after(1000)).await.unwrap().unwrap();
        assert_eq!(loaded.record.deadline, Some(after(900 + 60_000)));
    });
}

#[test]
fn record_that_has_expired_for_one_caller_is_given_to_none_that_shares() {
    block_on(async {
        let spy = Spy::new(MemoryStore::new());
        let record = Record { text: record(MINUTE, "").into(), deadline: Some(after(1000)) };
        spy.inner().create(&bob(), &record, NOW).await.unwrap();
        let delayed_store = DelayedStore::before(Verb::Load, spy);
        let store = Coalesced::new(delayed_store.clone());
        let id = bob();
        let times = [NOW, after(999), after(1000)];
        let mut loads: Vec<_> = times.iter().map(|now| Box::pin(store.load(&id, *now))).collect();
        for load in &mut loads {
            assert!(waits(load.as_mut()).await);
        }
        delayed_store.open();
        let mut found = Vec::new();
        for load in loads {
            found.push(load.await.unwrap().is_some());
        }
        assert_eq!(found, [true, false, false]);
    });
}

#[test]
fn what_writes_passes_on_as_it_comes() {
    block_on(async {
        let spy = Spy::new(MemoryStore::new());
        let store = Coalesced::new(spy.clone());
        let (id, text) = (bob(), stored(record(PLAIN, "")));
        let Created::Done(revision) = store.create(&id, &text, NOW).await.unwrap() else {
            panic!("taken")
        };
        store.update(&id, &text, revision, NOW).await.unwrap();
        let touch = Touch { cookie: PLAIN.into(), deadline: None };
        assert_eq!(store.touch(&id, &touch, NOW).await.unwrap(), Touched::Done);
        store.clone().destroy(&id).await.unwrap();
        assert_eq!(spy.verbs(), [Verb::Create, Verb::Update, Verb::Touch, Verb::Destroy]);
        assert!(!Coalesced::new(Spy::without_touch(MemoryStore::new())).supports_touch());
    });
}

/// A store with one record, whose loads wait twice: before they read, and before they answer.
#[derive(Default)]
struct Slow {
    number: AtomicU64,
    is_asked: AtomicBool,
    fails: AtomicBool,
    /// Lets one load one step on.
    steps: Steps,
}

struct Steps(Semaphore);

impl Default for Steps {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

#[derive(Clone, Default)]
struct Slowly(Arc<Slow>);

/// A load is under way for as long as this is there.
struct UnderWay<'a>(&'a AtomicBool);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Store for Slowly {
    async fn load(&self, _: &SessionId, _: Timestamp) -> Result<Option<Loaded>, Error> {
        assert!(!self.0.is_asked.swap(true, Ordering::SeqCst), "two loads are under way");
        let _under_way = UnderWay(&self.0.is_asked);
        self.0.steps.0.acquire().await.unwrap().forget();
        let revision = Revision::new(self.0.number.load(Ordering::SeqCst).into());
        self.0.steps.0.acquire().await.unwrap().forget();
        if self.0.fails.swap(false, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::TimedOut, "no answer"));
        }
        Ok(Some(Loaded { record: stored(record(PLAIN, "")), revision }))
    }

    async fn create(&self, _: &SessionId, _: &Record, _: Timestamp) -> Result<Created, Error> {
        Ok(Created::Taken)
    }

    async fn update(
        &self,
        _: &SessionId,
        _: &Record,
        _: Revision,
        _: Timestamp,
    ) -> Result<Updated, Error> {
        let number = self.0.number.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Updated::Done(Revision::new(number.into())))
    }

    async fn touch(&self, _: &SessionId, _: &Touch, _: Timestamp) -> Result<Touched, Error> {
        Ok(Touched::Done)
    }

    async fn destroy(&self, _: &SessionId) -> Result<(), Error> {
        Ok(())
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Event {
    Arrive,
    /// One that waits is polled, whether it was woken or not.
    Poll(usize),
    /// One that waits goes away.
    Leave(usize),
    Write,
    Step,
    Fail,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Arrive),
        3 => (0..8_usize).prop_map(Event::Poll),
        2 => (0..8_usize).prop_map(Event::Leave),
        2 => Just(Event::Write),
        4 => Just(Event::Step),
        1 => Just(Event::Fail),
    ]
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Load = Pin<Box<dyn Future<Output = Result<Option<Loaded>, Error>>>>;

/// A caller that waits.
struct Caller {
    load: Load,
    /// What had been written when it came.
    floor: u64,
    is_woken: Arc<Flag>,
}

struct Model {
    store: Coalesced<Slowly>,
    slow: Arc<Slow>,
    callers: BTreeMap<usize, Caller>,
    arrived: usize,
}

impl Model {
    fn new() -> Self {
        let slowly = Slowly::default();
        let slow = Arc::clone(&slowly.0);
        Self { store: Coalesced::new(slowly), slow, callers: BTreeMap::new(), arrived: 0 }
    }

    fn nth(&self, nth: usize) -> Option<usize> {
        self.callers.keys().nth(nth % self.callers.len().max(1)).copied()
    }

    fn poll(&mut self, number: usize) {
        let caller = self.callers.get_mut(&number).unwrap();
        caller.is_woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&caller.is_woken));
        let Poll::Ready(loaded) = caller.load.as_mut().poll(&mut Context::from_waker(&waker))
        else {
            return;
        };
        let floor = u128::from(caller.floor);
        self.callers.remove(&number);
        match loaded {
            Ok(loaded) => {
                let seen = loaded.unwrap().revision.get();
                let written = u128::from(self.slow.number.load(Ordering::SeqCst));
                assert!((floor..=written).contains(&seen), "{floor} <= {seen} <= {written}");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => {
                let store = self.store.clone();
                let load: Load = Box::pin(async move { store.load(&bob(), NOW).await });
                let floor = self.slow.number.load(Ordering::SeqCst);
                self.arrived += 1;
                self.callers.insert(self.arrived, Caller { load, floor, is_woken: Arc::default() });
                self.poll(self.arrived);
            }
            Event::Poll(nth) => {
                if let Some(number) = self.nth(nth) {
                    self.poll(number);
                }
            }
            Event::Leave(nth) => {
                if let Some(number) = self.nth(nth) {
                    self.callers.remove(&number);
                }
            }
            Event::Write => {
                let text = stored(record(PLAIN, ""));
                let written = block_on(self.store.update(&bob(), &text, Revision::new(0), NOW));
                assert!(matches!(written, Ok(Updated::Done(_))));
            }
            Event::Step => self.slow.steps.0.add_permits(1),
            Event::Fail => self.slow.fails.store(true, Ordering::SeqCst),
        }
    }

    /// Polls those that were woken only, until nobody waits any more.
    fn finish(&mut self) {
        self.slow.steps.0.add_permits(1000);
        while !self.callers.is_empty() {
            let is_woken = |(number, caller): (&usize, &Caller)| {
                caller.is_woken.0.load(Ordering::SeqCst).then_some(*number)
            };
            let woken = self.callers.iter().find_map(is_woken);
            self.poll(woken.expect("those that wait are never woken"));
        }
        assert!(!self.slow.is_asked.load(Ordering::SeqCst));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn callers_come_and_go_and_each_gets_what_is_new_enough(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut model = Model::new();
        for event in events {
            model.happen(event);
        }
        model.finish();
    }
}

#[test]
fn loads_on_many_threads_see_what_was_written_before_them() {
    let store = Coalesced::new(MemoryStore::new());
    let text = |number: usize| stored(record(PLAIN, &format!(r#""n":{number}"#)));
    let number = |loaded: &Loaded| -> usize {
        let text = loaded.record.text.split_once(r#""n":"#).unwrap().1;
        text.trim_end_matches('}').parse().unwrap()
    };
    block_on(async {
        store.create(&bob(), &text(0), NOW).await.unwrap();
        let task = |_| -> Task {
            let store = store.clone();
            Box::pin(async move {
                let mut least = 0;
                for _ in 0..500 {
                    let current = store.load(&bob(), NOW).await.unwrap().unwrap();
                    assert!(number(&current) >= least);
                    least = number(&current);
                    let next = text(least + 1);
                    let updated = store.update(&bob(), &next, current.revision, NOW).await;
                    least += usize::from(matches!(updated.unwrap(), Updated::Done(_)));
                }
            })
        };
        on_threads((0..8).map(task).collect()).await;
        let last = number(&store.load(&bob(), NOW).await.unwrap().unwrap());
        assert!((500..=4000).contains(&last), "{last}");
        join_all(vec![task(0)]).await;
    });
}
