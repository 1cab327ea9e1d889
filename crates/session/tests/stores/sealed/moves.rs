//! Records move to their current name while other calls run: no update, no touch, no session and no logout is lost.
//!
//! Each call of the store inside is one step. A scheduler lets the tasks of a test make their steps in an order that a
//! seed decides, and drops a task where the test asks for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Waker};

use express_session::store::sealed::SealedStore;
use express_session::store::{
    Admin, Created, Cursor, Error, Fenced, Loaded, LockOutcome, LockToken, Page, Record, Revision,
    Store, Touch, Touched, Updated,
};
use express_session::{SessionId, Timestamp};
use express_session_testkit::{__wrap_admin, __wrap_store, Call, MapStore, block_on};
use tokio::task::yield_now;

use super::{NOW, after, count_in, counted, create, everything, id, keys, name};

/// A store whose every call waits for its turn.
#[derive(Clone)]
struct Stepped(MapStore);

impl Stepped {
    async fn around<T>(
        &self,
        _: Call,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        yield_now().await;
        answer.await
    }
}

__wrap_store! { () Stepped, |this| &this.0, [records locks expiry] }
__wrap_admin! { () Stepped, |this| this.0 }

type Step = Pin<Box<dyn Future<Output = ()>>>;

/// Random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Runs tasks step by step. The first one is dropped after `steps` of its own, if so many are given.
fn play(mut tasks: Vec<Option<Step>>, seed: u64, mut steps: Option<usize>) {
    let mut random = Random(seed);
    for _ in 0..100_000 {
        let waiting: Vec<usize> = (0..tasks.len()).filter(|at| tasks[*at].is_some()).collect();
        if waiting.is_empty() {
            return;
        }
        // Often the same one again, so that a task is also overtaken by many steps of another.
        let at = waiting[random.below(waiting.len())];
        for _ in 0..=random.below(4) {
            if at == 0 {
                match &mut steps {
                    Some(0) => tasks[0] = None,
                    Some(left) => *left -= 1,
                    None => {}
                }
            }
            let Some(task) = &mut tasks[at] else { break };
            if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                tasks[at] = None;
            }
        }
    }
    panic!("the tasks do not end");
}

/// A session at an older place, and stores that know both places.
struct Scene {
    map: MapStore,
    id: SessionId,
    store: SealedStore<Stepped>,
}

const SEEDS: u64 = 250;

impl Scene {
    /// Plays a test with each origin of the record and many orders.
    fn each(test: impl Fn(&Self, u64)) {
        for is_plain in [false, true] {
            for seed in 0..SEEDS {
                let map = MapStore::default();
                let id = id("visitor");
                block_on(async {
                    if is_plain {
                        create(&map, &id, &counted(0)).await;
                    } else {
                        create(&SealedStore::new(map.clone(), keys(&[2])), &id, &counted(0)).await;
                    }
                });
                let store =
                    SealedStore::new(Stepped(map.clone()), keys(&[1, 2])).accept_plain(true);
                test(&Self { map, id, store }, seed);
            }
        }
    }

    fn upgrade(&self) -> Option<Step> {
        let store = self.store.clone();
        Some(Box::pin(async move {
            store.upgrade(None, 100, NOW).await.unwrap();
        }))
    }

    /// Counts one up, as a request does.
    fn update(&self) -> Option<Step> {
        let (store, id) = (self.store.clone(), self.id.clone());
        Some(Box::pin(async move {
            let mut loaded = store.load(&id, NOW).await.unwrap().expect("the session is lost");
            loop {
                let record = counted(count_in(&loaded) + 1);
                match store.update(&id, &record, &loaded.revision, NOW).await.unwrap() {
                    Updated::Done(_) => break,
                    Updated::Conflict(newer) => loaded = newer,
                    Updated::Gone => panic!("the session is gone"),
                }
            }
        }))
    }

    fn touch(&self, seconds: i64) -> Option<Step> {
        let (store, id) = (self.store.clone(), self.id.clone());
        Some(Box::pin(async move {
            store.load(&id, NOW).await.unwrap().expect("the session is lost");
            let touch = Touch::new("{}", after(seconds));
            assert_eq!(store.touch(&id, &touch, NOW).await.unwrap(), Touched::Done);
        }))
    }

    /// Loads again and again. Once the flag is set before a load, the session has to be gone, and never before.
    fn watch(&self, is_destroyed: &Arc<AtomicBool>) -> Option<Step> {
        let (store, id, is_destroyed) =
            (self.store.clone(), self.id.clone(), Arc::clone(is_destroyed));
        Some(Box::pin(async move {
            let mut was_gone = false;
            for _ in 0..8 {
                let has_to_be_gone = is_destroyed.load(Ordering::SeqCst) || was_gone;
                let loaded = store.load(&id, NOW).await.unwrap();
                assert!(!has_to_be_gone || loaded.is_none(), "a destroyed session was loaded");
                was_gone = loaded.is_none();
            }
        }))
    }

    /// Returns the session as a store with the newest key alone has it, after the upgrade.
    fn upgraded(&self) -> Option<Loaded> {
        block_on(async {
            let both = SealedStore::new(self.map.clone(), keys(&[1, 2])).accept_plain(true);
            both.upgrade(None, 100, NOW).await.unwrap();
            let rest = everything(&self.map).await;
            let store = SealedStore::new(self.map.clone(), keys(&[1]));
            let loaded = store.load(&self.id, NOW).await.unwrap();
            let sessions = everything(&store).await.len();
            assert_eq!(sessions, usize::from(loaded.is_some()), "listed");
            let current = name(&keys(&[1]), &self.id);
            assert!(rest.iter().all(|(name, _)| *name == current), "an older record is left");
            loaded
        })
    }
}

#[test]
fn no_update_is_lost_while_two_processes_upgrade() {
    Scene::each(|scene, seed| {
        let tasks =
            [scene.upgrade(), scene.update(), scene.update(), scene.upgrade(), scene.update()];
        play(tasks.into(), seed, None);
        assert_eq!(count_in(&scene.upgraded().unwrap()), 3, "seed {seed}");
    });
}

#[test]
fn no_update_is_lost_when_an_upgrade_is_dropped_at_any_step() {
    Scene::each(|scene, seed| {
        let tasks = [scene.upgrade(), scene.update(), scene.update(), scene.touch(7200)];
        play(tasks.into(), seed, Some(seed as usize % 14));
        play(vec![None, scene.update(), scene.touch(7200)], seed, None);
        assert_eq!(count_in(&scene.upgraded().unwrap()), 3, "seed {seed}");
    });
}

#[test]
fn no_touch_is_lost_while_a_record_moves() {
    Scene::each(|scene, seed| {
        let tasks = [scene.upgrade(), scene.touch(7200), scene.upgrade()];
        play(tasks.into(), seed, None);
        assert_eq!(scene.upgraded().unwrap().record.deadline, after(7200), "seed {seed}");
    });
}

#[test]
fn no_touch_is_lost_when_an_upgrade_is_dropped_at_any_step() {
    Scene::each(|scene, seed| {
        let tasks = [scene.upgrade(), scene.touch(7200), scene.upgrade()];
        play(tasks.into(), seed, Some(seed as usize % 14));
        assert_eq!(scene.upgraded().unwrap().record.deadline, after(7200), "seed {seed}");
    });
}

#[test]
fn session_is_found_by_each_load_while_it_moves() {
    Scene::each(|scene, seed| {
        let store = scene.store.clone();
        let id = scene.id.clone();
        let loads: Step = Box::pin(async move {
            for _ in 0..8 {
                assert!(store.load(&id, NOW).await.unwrap().is_some(), "the session is lost");
            }
        });
        play(vec![scene.upgrade(), Some(loads), scene.upgrade()], seed, None);
        let loaded = scene.upgraded().unwrap();
        assert_eq!((count_in(&loaded), loaded.record.deadline), (0, after(3600)), "seed {seed}");
    });
}

#[test]
fn logout_during_a_move_is_final() {
    Scene::each(|scene, seed| {
        let is_destroyed = Arc::new(AtomicBool::new(false));
        let (store, id, flag) = (scene.store.clone(), scene.id.clone(), Arc::clone(&is_destroyed));
        let logout: Step = Box::pin(async move {
            store.destroy(&id).await.unwrap();
            flag.store(true, Ordering::SeqCst);
        });
        let (store, id) = (scene.store.clone(), scene.id.clone());
        let writer: Step = Box::pin(async move {
            while let Some(loaded) = store.load(&id, NOW).await.unwrap() {
                store.update(&id, &counted(1), &loaded.revision, NOW).await.unwrap();
                let touch = Touch::new("{}", after(7200));
                store.touch(&id, &touch, NOW).await.unwrap();
            }
        });
        let tasks = vec![
            scene.upgrade(),
            Some(logout),
            Some(writer),
            scene.watch(&is_destroyed),
            scene.upgrade(),
        ];
        // Half of the upgrades are dropped somewhere.
        play(tasks, seed, (seed % 2 == 0).then_some(seed as usize / 2 % 14));
        assert!(scene.upgraded().is_none(), "seed {seed}");
    });
}

#[test]
fn holder_of_a_lock_writes_while_its_record_moves() {
    Scene::each(|scene, seed| {
        let critical = |number: u8| -> Option<Step> {
            let (store, id) = (scene.store.clone(), scene.id.clone());
            let holder = LockToken::from_random([number; 16]);
            let lease = std::time::Duration::from_secs(60);
            Some(Box::pin(async move {
                while store.lock(&id, holder, lease, NOW).await.unwrap() == LockOutcome::Held {
                    yield_now().await;
                }
                let mut loaded = store.load(&id, NOW).await.unwrap().expect("the session is lost");
                loop {
                    let record = counted(count_in(&loaded) + 1);
                    let revision = loaded.revision;
                    match store.update_locked(&id, &record, &revision, holder, NOW).await.unwrap() {
                        Fenced::Held(Updated::Done(_)) => break,
                        // The record moved: the others wait for the lock.
                        Fenced::Held(Updated::Conflict(newer)) => loaded = newer,
                        other @ (Fenced::Held(_) | Fenced::Lost) => panic!("{other:?}"),
                    }
                }
                store.unlock(&id, holder).await.unwrap();
            }))
        };
        play(vec![scene.upgrade(), critical(1), critical(2), critical(3)], seed, None);
        assert_eq!(count_in(&scene.upgraded().unwrap()), 3, "seed {seed}");
    });
}

#[test]
fn processes_without_the_newest_key_share_locks_and_records() {
    Scene::each(|scene, seed| {
        // They have the same keys, the newest one last.
        let older = SealedStore::new(Stepped(scene.map.clone()), keys(&[2, 1])).accept_plain(true);
        let inside = Arc::new(AtomicU32::new(0));
        let critical = |store: SealedStore<Stepped>, number: u8| -> Option<Step> {
            let (id, inside) = (scene.id.clone(), Arc::clone(&inside));
            let holder = LockToken::from_random([number; 16]);
            let lease = std::time::Duration::from_secs(60);
            Some(Box::pin(async move {
                let mut tries = 0;
                while store.lock(&id, holder, lease, NOW).await.unwrap() == LockOutcome::Held {
                    tries += 1;
                    for _ in 0..tries * usize::from(number) {
                        yield_now().await;
                    }
                }
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two hold the lock");
                let loaded = store.load(&id, NOW).await.unwrap().expect("the session is lost");
                let record = counted(count_in(&loaded) + 1);
                let updated =
                    store.update_locked(&id, &record, &loaded.revision, holder, NOW).await.unwrap();
                assert!(matches!(updated, Fenced::Held(Updated::Done(_))), "{updated:?}");
                inside.fetch_sub(1, Ordering::SeqCst);
                store.unlock(&id, holder).await.unwrap();
            }))
        };
        let tasks = [(scene.store.clone(), 1), (older, 2), (scene.store.clone(), 3)];
        play(
            tasks.into_iter().map(|(store, number)| critical(store, number)).collect(),
            seed,
            None,
        );
        assert_eq!(count_in(&scene.upgraded().unwrap()), 3, "seed {seed}");
    });
}

#[test]
fn id_of_a_moving_session_is_taken() {
    Scene::each(|scene, seed| {
        let (store, id) = (scene.store.clone(), scene.id.clone());
        let creates: Step = Box::pin(async move {
            for _ in 0..4 {
                assert_eq!(store.create(&id, &counted(9), NOW).await.unwrap(), Created::Taken);
            }
        });
        play(vec![scene.upgrade(), Some(creates)], seed, None);
        assert_eq!(count_in(&scene.upgraded().unwrap()), 0, "seed {seed}");
    });
}

#[test]
fn id_of_a_session_that_ended_during_its_move_can_be_used_again() {
    Scene::each(|scene, seed| {
        let (store, id) = (scene.store.clone(), scene.id.clone());
        let logout: Step = Box::pin(async move { store.destroy(&id).await.unwrap() });
        play(vec![scene.upgrade(), Some(logout)], seed, Some(seed as usize % 14));
        let (store, id) = (scene.store.clone(), scene.id.clone());
        let again: Step = Box::pin(async move {
            create(&store, &id, &counted(5)).await;
        });
        play(vec![None, Some(again)], seed, None);
        assert_eq!(count_in(&scene.upgraded().unwrap()), 5, "seed {seed}");
    });
}
