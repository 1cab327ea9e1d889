//! Concurrent calls in every order, or in very many, under a scheduler that knows each step at which another
//! thread may continue: for `cargo xtask test --only interleavings`, with `--cfg shuttle`.
//!
//! A failing test prints the order; `shuttle::replay` runs it again.

use std::sync::atomic::{AtomicUsize, Ordering};

use express_session_testkit::{Subject, Task, block_on, model};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_060_000);
const MINUTE: Duration = Duration::from_secs(60);

/// Tries every order of a small test.
fn in_every_order(test: impl Fn() + Send + Sync + 'static) {
    run(DfsScheduler::new(None, false), test);
}

/// Tries orders by chance: any, and those that let one thread go on for as long as possible and change only a
/// few times, which finds what needs one long delay.
fn in_many_orders(orders: usize, test: impl Fn() + Send + Sync + 'static) {
    let orders = orders * times();
    let test = Arc::new(test);
    let same = Arc::clone(&test);
    run(RandomScheduler::new_from_seed(1, orders), move || same());
    run(PctScheduler::new_from_seed(1, 3, orders), move || test());
}

/// How many times more orders to try than in every run.
fn times() -> usize {
    let times = std::env::var("EXPRESS_SESSION_INTERLEAVINGS");
    times.map_or(1, |times| times.parse().expect("a number of times"))
}

fn run(scheduler: impl Scheduler + 'static, test: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    Runner::new(scheduler, config).run(test);
}

/// Runs pieces of work concurrently.
fn concurrently(work: impl IntoIterator<Item = Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = work.into_iter().map(thread::spawn).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn work(work: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
    Box::new(work)
}

/// A store of one part, so that every call meets every other.
fn one_part() -> MemoryStore {
    MemoryStore::new().max_sessions(1000)
}

fn id(number: usize) -> SessionId {
    SessionId::new(format!("id-{number}")).unwrap()
}

fn counted(count: usize) -> Record {
    let text = format!(r#"{{"cookie":{{"originalMaxAge":60000}},"n":{count}}}"#);
    Record { text: text.into(), deadline: Some(NOW.saturating_add(MINUTE)) }
}

fn count_in(record: &Record) -> usize {
    let number = record.text.rsplit_once(":").unwrap().1;
    number.trim_end_matches('}').parse().unwrap()
}

fn load(store: &MemoryStore, id: &SessionId, now: Timestamp) -> Option<Loaded> {
    block_on(store.load(id, now)).unwrap()
}

fn create(store: &MemoryStore, id: &SessionId, record: &Record) -> Created {
    block_on(store.create(id, record, NOW)).unwrap()
}

fn update(store: &MemoryStore, id: &SessionId, record: &Record, expected: Revision) -> Updated {
    block_on(store.update(id, record, &expected, NOW)).unwrap()
}

fn touch(store: &MemoryStore, id: &SessionId, after: Duration) -> Touched {
    let deadline = Some(NOW.saturating_add(after));
    let touch = Touch::new(r#"{"path":"/a/longer/one"}"#, deadline);
    block_on(store.touch(id, &touch, NOW)).unwrap()
}

/// Checks that the tables, rings and sums of every part agree. Returns the bytes of all.
fn bytes(store: &MemoryStore) -> usize {
    store.shared.parts.iter().map(|part| part.lock().shard.checked_bytes()).sum()
}

struct Shuttled;

impl Subject for Shuttled {
    type Store = MemoryStore;

    async fn store(&self) -> MemoryStore {
        one_part()
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        let threads: Vec<_> =
            tasks.into_iter().map(|task| thread::spawn(|| block_on(task))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn random_histories_are_linearizable() {
    for number in 0..100 {
        in_many_orders(20, move || {
            block_on(model::one_history_is_linearizable(&Shuttled, number));
        });
    }
}

#[test]
fn counters_lose_nothing() {
    let count_up = |store: &MemoryStore| {
        let mut current = load(store, &id(0), NOW).unwrap();
        loop {
            let next = counted(count_in(&current.record) + 1);
            match update(store, &id(0), &next, current.revision) {
                Updated::Done(_) => break,
                Updated::Conflict(newer) => current = newer,
                Updated::Gone => panic!("the counter is gone"),
            }
        }
    };
    let race = move |counters: usize| {
        move || {
            let store = one_part();
            create(&store, &id(0), &counted(0));
            let counter = |_| {
                let store = store.clone();
                thread::spawn(move || count_up(&store))
            };
            let counters: Vec<_> = (0..counters).map(counter).collect();
            let expected = counters.len();
            for counter in counters {
                counter.join().unwrap();
            }
            let loaded = load(&store, &id(0), NOW).unwrap();
            assert_eq!(count_in(&loaded.record), expected);
        }
    };
    in_every_order(race(2));
    in_many_orders(300, race(8));
}

#[test]
fn one_of_many_creates_is_done() {
    let race = |creators: usize| {
        move || {
            let store = one_part();
            // An expired one is in the way first.
            create(&store, &id(0), &Record { deadline: Some(NOW), ..counted(9) });
            let winners = Arc::new(AtomicUsize::new(0));
            let creator = |number| {
                let (store, winners) = (store.clone(), Arc::clone(&winners));
                work(move || {
                    if let Created::Done(revision) = create(&store, &id(0), &counted(number)) {
                        winners.fetch_add(1, Ordering::Relaxed);
                        let loaded = load(&store, &id(0), NOW).unwrap();
                        assert_eq!((loaded.record, loaded.revision), (counted(number), revision));
                    }
                })
            };
            concurrently((0..creators).map(creator));
            assert_eq!(winners.load(Ordering::Relaxed), 1);
        }
    };
    in_every_order(race(2));
    in_many_orders(300, race(5));
}

#[test]
fn nothing_is_returned_after_a_logout() {
    let race = |writes: bool, touches: bool| {
        move || {
            let store = one_part();
            let Created::Done(revision) = create(&store, &id(0), &counted(0)) else { return };
            let [writer, toucher, destroyer] = [0, 1, 2].map(|_| store.clone());
            let mut all = vec![work(move || {
                block_on(destroyer.destroy(&id(0))).unwrap();
                assert_eq!(load(&destroyer, &id(0), NOW), None);
            })];
            if writes {
                all.push(work(move || {
                    let _ = update(&writer, &id(0), &counted(1), revision);
                    let _ = touch(&writer, &id(0), MINUTE);
                }));
            }
            if touches {
                all.push(work(move || {
                    let _ = touch(&toucher, &id(0), MINUTE);
                    let loaded = load(&toucher, &id(0), NOW);
                    assert!(loaded.is_none_or(|loaded| count_in(&loaded.record) < 2));
                }));
            }
            concurrently(all);
            assert_eq!(load(&store, &id(0), NOW), None);
            assert_eq!(touch(&store, &id(0), MINUTE), Touched::Gone);
            assert_eq!(bytes(&store), 0);
        }
    };
    in_every_order(race(true, false));
    in_every_order(race(false, true));
    in_many_orders(500, race(true, true));
}

#[test]
fn bytes_are_counted_to_the_last_one() {
    in_many_orders(1000, || {
        // Room for two or three: each writing evicts something.
        let store = MemoryStore::new().max_bytes(500);
        let later = NOW.saturating_add(10 * MINUTE);
        concurrently([0, 1, 2, 3].map(|thread| {
            let store = store.clone();
            work(move || {
                let (own, shared) = (id(thread), id(thread % 2));
                create(&store, &shared, &counted(thread));
                create(&store, &own, &Record { deadline: Some(NOW), ..counted(0) });
                if let Some(loaded) = load(&store, &shared, NOW) {
                    let longer = counted(10_usize.pow(1 + thread as u32));
                    let _ = update(&store, &shared, &longer, loaded.revision);
                }
                match thread {
                    0 => {
                        let _ = touch(&store, &shared, 20 * MINUTE);
                        let _ = load(&store, &shared, NOW);
                    }
                    1 => {
                        let _ = block_on(store.purge(10, later)).unwrap();
                    }
                    2 => block_on(store.clear()).unwrap(),
                    _ => block_on(store.destroy(&shared)).unwrap(),
                }
                create(&store, &own, &counted(7));
            })
        }));
        assert!(bytes(&store) <= 500);
        for number in 0..4 {
            block_on(store.destroy(&id(number))).unwrap();
        }
        assert_eq!(bytes(&store), 0);
    });
}

/// Two parts that visit each other while they are used.
#[test]
fn parts_that_clean_each_other_never_block() {
    in_many_orders(300, || {
        let store = MemoryStore::new().max_sessions(2 * PART_SESSIONS);
        assert_eq!(store.shared.parts.len(), 2);
        let later = NOW.saturating_add(10 * MINUTE);
        for number in 0..20 {
            create(&store, &id(number), &counted(number));
        }
        let removed = Arc::new(AtomicUsize::new(0));
        concurrently([0, 1, 2].map(|thread| {
            let (store, removed) = (store.clone(), Arc::clone(&removed));
            work(move || {
                for number in 0..10 {
                    let expired = id((thread * 7 + number) % 20);
                    assert_eq!(load(&store, &expired, later), None);
                }
                let purged = block_on(store.purge(3, later)).unwrap();
                assert!(purged <= 3);
                removed.fetch_add(purged as usize, Ordering::Relaxed);
            })
        }));
        assert!(removed.load(Ordering::Relaxed) <= 20);
        assert_eq!(block_on(store.count(later)).unwrap(), 0);
        block_on(store.purge(20, later)).unwrap();
        assert_eq!(bytes(&store), 0);
    });
}

#[test]
fn listing_gives_what_stays_exactly_once() {
    in_many_orders(500, || {
        let store = one_part();
        for number in 0..3 {
            create(&store, &id(number), &counted(number));
        }
        let [lister, passer, writer] = [0, 1, 2].map(|_| store.clone());
        concurrently([
            work(move || {
                let (mut listed, mut after) = (Vec::new(), None);
                loop {
                    let page = block_on(lister.list(after, 1, NOW)).unwrap();
                    listed.extend(page.sessions.into_iter().map(|(id, _)| id));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                for number in 0..3 {
                    let times = listed.iter().filter(|listed| **listed == id(number)).count();
                    assert_eq!(times, 1, "how often id-{number} is listed");
                }
            }),
            work(move || {
                for number in 3..6 {
                    create(&passer, &id(number), &counted(number));
                    if number > 3 {
                        block_on(passer.destroy(&id(number - 1))).unwrap();
                    }
                }
            }),
            work(move || {
                for number in 0..2 {
                    let loaded = load(&writer, &id(number), NOW).unwrap();
                    let updated = update(&writer, &id(number), &counted(99), loaded.revision);
                    assert!(matches!(updated, Updated::Done(_)), "no other thread writes it");
                }
            }),
        ]);
    });
}

#[test]
fn lock_is_held_by_one_and_lost_with_its_lease() {
    in_many_orders(2000, || {
        let store = one_part();
        create(&store, &id(0), &counted(0));
        let later = NOW.saturating_add(MINUTE / 2);
        let inside = Arc::new(AtomicUsize::new(0));
        // The last begins when the lease of the others is over.
        concurrently([(1, NOW), (2, NOW), (3, later)].map(|(byte, now)| {
            let (store, inside) = (store.clone(), Arc::clone(&inside));
            work(move || {
                let holder = LockToken::from_random([byte; LockToken::BYTES]);
                let locked = block_on(store.lock(&id(0), holder, MINUTE / 2, now)).unwrap();
                if locked == LockOutcome::Held {
                    assert_ne!(byte, 3, "each lease but its own is over");
                    return;
                }
                let loaded = load(&store, &id(0), now).unwrap();
                let next = counted(count_in(&loaded.record) + 1);
                let (revision, id) = (loaded.revision, id(0));
                let fenced = store.update_locked(&id, &next, &revision, holder, now);
                if let Fenced::Held(updated) = block_on(fenced).unwrap() {
                    assert!(matches!(updated, Updated::Done(_)), "another wrote under the lock");
                    inside.fetch_add(1, Ordering::Relaxed);
                }
                let fenced = store.update_locked(&id, &next, &revision, holder, later);
                let fenced = block_on(fenced).unwrap();
                assert!(byte == 3 || fenced == Fenced::Lost, "the lease is over");
                block_on(store.unlock(&id, holder)).unwrap();
            })
        }));
        let loaded = load(&store, &id(0), NOW).unwrap();
        assert_eq!(count_in(&loaded.record), inside.load(Ordering::Relaxed));
    });
}
