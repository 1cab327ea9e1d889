use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Loaded, LockOutcome, LockToken, Page, Record,
    Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use crate::{Call, Verb};

/// A store that fails, delays, hangs, and loses answers after doing the work: a server behind a bad
/// network, by a schedule that a seed replays.
///
/// It is reliable until it is given [odds](Self::set_odds), a [fate](Self::next) for one call, or a
/// [function](Self::decide) that gives one to each. Clones share all of it. Listing, counting and
/// clearing are handed on as they are.
///
/// It brings no runtime: how to wait is an argument, `tokio::time::sleep` mostly. Under a paused clock
/// the same seed and the same calls give the same run.
///
/// ```
/// use express_session_core::SessionId;
/// use express_session_core::store::{ErrorKind, Store as _};
/// use express_session_testkit::{Fate, MapStore, Odds, Unreliable, Verb};
/// # use express_session_testkit::block_on;
///
/// # block_on(async {
/// let store = Unreliable::new(MapStore::default(), 7, |_| async {});
/// let id = SessionId::from_random([0; 24]);
/// assert!(store.destroy(&id).await.is_ok());
///
/// // Every third call or so fails, always the same ones.
/// store.set_odds(Odds { fail: 333, ..Odds::NONE });
/// let mut failed = 0;
/// for _ in 0..30 {
///     failed += u32::from(store.destroy(&id).await.is_err());
/// }
/// assert_eq!(failed, 11);
///
/// // The next one is done, and its answer is lost.
/// store.set_odds(Odds::NONE);
/// store.next(Verb::Destroy, Fate::Lose(ErrorKind::TimedOut));
/// assert!(store.destroy(&id).await.is_err());
/// assert!(store.destroy(&id).await.is_ok());
/// # });
/// ```
pub struct Unreliable<S> {
    shared: Arc<Shared<S>>,
}

/// The treatment of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The store answers.
    Pass,
    /// It reaches the store this much later.
    Delay(Duration),
    /// The store does it, and the answer takes this long.
    Linger(Duration),
    /// It fails, and never reaches the store.
    Fail(ErrorKind),
    /// The store does it, and the answer is lost: it fails.
    Lose(ErrorKind),
    /// It never reaches the store, and has no end.
    Hang,
    /// The store does it, and it has no end.
    Mute,
    /// It has no end, and reaches the store when this many more calls were made, whether or not
    /// the caller still waits: a packet that was delayed.
    Stray(u32),
}

impl Fate {
    /// Returns whether the store does what is asked, sooner or later.
    #[must_use]
    pub fn reaches_the_store(self) -> bool {
        match self {
            Self::Pass
            | Self::Delay(_)
            | Self::Linger(_)
            | Self::Lose(_)
            | Self::Mute
            | Self::Stray(_) => true,
            Self::Fail(_) | Self::Hang => false,
        }
    }

    /// Returns whether the caller gets the store's answer, late or not.
    #[must_use]
    pub fn is_answered(self) -> bool {
        match self {
            Self::Pass | Self::Delay(_) | Self::Linger(_) => true,
            Self::Fail(_) | Self::Lose(_) | Self::Hang | Self::Mute | Self::Stray(_) => false,
        }
    }
}

/// How many calls of a thousand have which [`Fate`]; the others pass.
///
/// ```
/// use std::time::Duration;
/// use express_session_testkit::{Fate, Odds};
///
/// let slow = Odds { delay: 1000, longest: Duration::from_millis(50), ..Odds::NONE };
/// for random in 0..100 {
///     assert!(matches!(slow.draw(random), Fate::Delay(time) if time.as_millis() <= 50));
/// }
/// assert_eq!(Odds::NONE.draw(0), Fate::Pass);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odds {
    /// [`Fate::Delay`].
    pub delay: u16,
    /// [`Fate::Linger`].
    pub linger: u16,
    /// [`Fate::Fail`], with [`ErrorKind::Unavailable`].
    pub fail: u16,
    /// [`Fate::Lose`], with [`ErrorKind::TimedOut`].
    pub lose: u16,
    /// [`Fate::Hang`].
    pub hang: u16,
    /// [`Fate::Mute`].
    pub mute: u16,
    /// [`Fate::Stray`], by up to 16 calls.
    pub stray: u16,
    /// How long a call is delayed at most, or its answer.
    pub longest: Duration,
}

impl Odds {
    /// Nothing ever happens.
    pub const NONE: Self = Self {
        delay: 0,
        linger: 0,
        fail: 0,
        lose: 0,
        hang: 0,
        mute: 0,
        stray: 0,
        longest: Duration::ZERO,
    };

    /// Makes a call's fate out of random bits.
    #[must_use]
    pub fn draw(&self, random: u64) -> Fate {
        let (lot, rest) = (random % 1000, random / 1000);
        let longest = u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX);
        let time = Duration::from_millis(rest % longest.saturating_add(1).max(1));
        let calls = u32::try_from(1 + rest % 16).unwrap_or(1);
        let mut passed = 0;
        for (odds, fate) in [
            (self.delay, Fate::Delay(time)),
            (self.linger, Fate::Linger(time)),
            (self.fail, Fate::Fail(ErrorKind::Unavailable)),
            (self.lose, Fate::Lose(ErrorKind::TimedOut)),
            (self.hang, Fate::Hang),
            (self.mute, Fate::Mute),
            (self.stray, Fate::Stray(calls)),
        ] {
            passed += u64::from(odds);
            if lot < passed {
                return fate;
            }
        }
        Fate::Pass
    }
}

type Unfinished = Pin<Box<dyn Future<Output = ()> + Send>>;
type Sleep = Box<dyn Fn(Duration) -> Unfinished + Send + Sync>;
type Decide = Box<dyn FnMut(&Call) -> Option<Fate> + Send>;

struct Shared<S> {
    store: Arc<S>,
    sleep: Sleep,
    state: Mutex<State>,
}

struct State {
    odds: Odds,
    /// The state of the generator (SplitMix64), which needs no more.
    random: u64,
    next: Vec<(Verb, Fate)>,
    decide: Option<Decide>,
    fates: Vec<(Verb, Fate)>,
    /// The calls on a long way round, and how many others they still let pass.
    astray: Vec<(u32, Unfinished)>,
}

impl<S: Store> Unreliable<S> {
    /// Puts a bad network in front of a store. `sleep` waits for the given time.
    #[must_use]
    pub fn new<F>(
        store: S,
        seed: u64,
        sleep: impl Fn(Duration) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let state = State {
            odds: Odds::NONE,
            random: seed,
            next: Vec::new(),
            decide: None,
            fates: Vec::new(),
            astray: Vec::new(),
        };
        let sleep: Sleep = Box::new(move |time| Box::pin(sleep(time)));
        Self {
            shared: Arc::new(Shared { store: Arc::new(store), sleep, state: Mutex::new(state) }),
        }
    }
}

impl<S> Unreliable<S> {
    /// Sets the odds of each fate for the following calls.
    pub fn set_odds(&self, odds: Odds) {
        self.state().odds = odds;
    }

    /// Decides about the next call to a method. Said twice, it is the next two. It goes before
    /// [`decide`](Self::decide) and the odds.
    pub fn next(&self, verb: Verb, fate: Fate) {
        self.state().next.push((verb, fate));
    }

    /// Asks a function before each call. Where it gives `None`, the odds decide. It replaces the
    /// function from before.
    ///
    /// ```
    /// # use express_session_core::{SessionId, store::{ErrorKind, Store as _}};
    /// # use express_session_testkit::{Fate, MapStore, Unreliable, block_on};
    /// # block_on(async {
    /// let store = Unreliable::new(MapStore::default(), 7, |_| async {});
    /// let [bob, eve] = [0, 1].map(|byte| SessionId::from_random([byte; 24]));
    /// let unlucky = eve.clone();
    /// store.decide(move |call| {
    ///     (call.id() == &unlucky).then_some(Fate::Fail(ErrorKind::Unavailable))
    /// });
    /// assert!(store.destroy(&bob).await.is_ok());
    /// assert!(store.destroy(&eve).await.is_err());
    /// # });
    /// ```
    pub fn decide(&self, decide: impl FnMut(&Call) -> Option<Fate> + Send + 'static) {
        self.state().decide = Some(Box::new(decide));
    }

    /// Returns what became of the calls so far, in order.
    #[must_use]
    pub fn fates(&self) -> Vec<(Verb, Fate)> {
        self.state().fates.clone()
    }

    /// Lets what is still on its way reach the store now.
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    /// # use express_session_core::{SessionId, Timestamp};
    /// # use express_session_core::store::{Error, Record, Store as _};
    /// # use express_session_testkit::{Fate, MapStore, Unreliable, Verb, block_on};
    ///
    /// # block_on(async {
    /// let store = Unreliable::new(MapStore::default(), 7, |_| async {});
    /// let id = SessionId::from_random([0; 24]);
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
    /// store.create(&id, &record, now).await?;
    ///
    /// store.next(Verb::Destroy, Fate::Stray(100));
    /// {
    ///     // The caller waits, and gives up.
    ///     let mut destroy = pin!(store.destroy(&id));
    ///     assert!(destroy.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    /// }
    /// assert!(store.inner().load(&id, now).await?.is_some());
    /// store.deliver().await;
    /// assert!(store.inner().load(&id, now).await?.is_none());
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn deliver(&self) {
        let all = std::mem::take(&mut self.state().astray);
        for (_, call) in all {
            call.await;
        }
    }

    /// Returns the store inside. Calls to it are reliable.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.shared.store
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A function that panicked is its test's own business; nothing is left half done.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, call: &Call) -> (Fate, Vec<Unfinished>) {
        let state = &mut *self.state();
        let verb = call.verb();
        let planned = state.next.iter().position(|(planned, _)| *planned == verb);
        let fate = match planned {
            Some(at) => state.next.remove(at).1,
            None => match state.decide.as_mut().and_then(|decide| decide(call)) {
                Some(fate) => fate,
                None => state.odds.draw(next_random(&mut state.random)),
            },
        };
        state.fates.push((verb, fate));
        let mut arriving = Vec::new();
        for (left, call) in std::mem::take(&mut state.astray) {
            match left.checked_sub(1) {
                None | Some(0) => arriving.push(call),
                Some(left) => state.astray.push((left, call)),
            }
        }
        (fate, arriving)
    }

    async fn around<T, F>(&self, call: Call, answer: F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (fate, arriving) = self.meet(&call);
        for call in arriving {
            call.await;
        }
        match fate {
            Fate::Pass => answer.await,
            Fate::Delay(time) => {
                (self.shared.sleep)(time).await;
                answer.await
            }
            Fate::Linger(time) => {
                let answer = answer.await;
                (self.shared.sleep)(time).await;
                answer
            }
            Fate::Fail(kind) => Err(Error::new(kind, "the network is down")),
            Fate::Lose(kind) => {
                let _ = answer.await;
                Err(Error::new(kind, "the answer was lost"))
            }
            Fate::Hang => std::future::pending().await,
            Fate::Mute => {
                let _ = answer.await;
                std::future::pending().await
            }
            Fate::Stray(calls) => {
                let call = Box::pin(async move { drop(answer.await) });
                self.state().astray.push((calls, call));
                std::future::pending().await
            }
        }
    }
}

/// SplitMix64: small, and good enough to throw dice.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut random = *state;
    random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    random ^ (random >> 31)
}

impl<S> Clone for Unreliable<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for Unreliable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Unreliable")
            .field("odds", &state.odds)
            .field("calls", &state.fates.len())
            .field("astray", &state.astray.len())
            .finish_non_exhaustive()
    }
}

__wrap_store! {
    (S: Store) Unreliable<S>, |this| Arc::clone(&this.shared.store), [records expiry locks]
}

__wrap_admin! { (S: Admin) Unreliable<S>, |this| this.shared.store }

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Waker};

    use crate::{MapStore, Subject, block_on};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// As long as nothing happens, what it is around keeps obeying the laws.
    struct Calm;

    impl Subject for Calm {
        type Store = Unreliable<MapStore>;

        async fn store(&self) -> Self::Store {
            Unreliable::new(MapStore::default(), 0, |_| async {})
        }
    }

    crate::store_laws!(Calm);
    crate::lock_laws!(Calm);
    crate::admin_laws!(Calm);

    fn id() -> SessionId {
        SessionId::from_random([0; 24])
    }

    async fn with_record() -> (Unreliable<MapStore>, Arc<AtomicU64>) {
        let slept = Arc::<AtomicU64>::default();
        let sleeping = Arc::clone(&slept);
        let store = Unreliable::new(MapStore::default(), 0, move |time| {
            sleeping.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
            async {}
        });
        let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
        store.inner().create(&id(), &record, NOW).await.unwrap();
        (store, slept)
    }

    #[test]
    fn fate_decides_what_is_done_and_what_is_answered() {
        let second = Duration::from_secs(1);
        for (fate, reaches, answers) in [
            (Fate::Pass, true, true),
            (Fate::Delay(second), true, true),
            (Fate::Linger(second), true, true),
            (Fate::Fail(ErrorKind::Refused), false, false),
            (Fate::Lose(ErrorKind::TimedOut), true, false),
            (Fate::Hang, false, false),
            (Fate::Mute, true, false),
            (Fate::Stray(2), true, false),
        ] {
            assert_eq!((fate.reaches_the_store(), fate.is_answered()), (reaches, answers));
            block_on(async {
                let (store, slept) = with_record().await;
                store.next(Verb::Destroy, fate);
                let answer = {
                    let id = id();
                    let mut call = pin!(store.destroy(&id));
                    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                };
                let is_answered = matches!(answer, std::task::Poll::Ready(Ok(())));
                assert_eq!(is_answered, answers, "{fate:?}");
                if let Fate::Fail(kind) | Fate::Lose(kind) = fate {
                    let std::task::Poll::Ready(Err(error)) = answer else { panic!("no error") };
                    assert_eq!(error.kind(), kind);
                }
                let is_slow = matches!(fate, Fate::Delay(_) | Fate::Linger(_));
                assert_eq!(slept.load(Ordering::SeqCst), u64::from(is_slow) * 1000, "{fate:?}");
                let is_done = async || store.inner().load(&id(), NOW).await.unwrap().is_none();
                if fate == Fate::Stray(2) {
                    assert!(!is_done().await);
                    store.load(&id(), NOW).await.unwrap();
                    assert!(!is_done().await);
                    assert_eq!(store.load(&id(), NOW).await.unwrap(), None);
                }
                assert_eq!(is_done().await, reaches, "{fate:?}");
                assert_eq!(store.fates()[0], (Verb::Destroy, fate));
            });
        }
    }

    #[test]
    fn same_seed_gives_the_same_fates() {
        let fates = |seed| {
            block_on(async {
                let store = Unreliable::new(MapStore::default(), seed, |_| async {});
                store.set_odds(Odds { fail: 300, lose: 300, ..Odds::NONE });
                for _ in 0..64 {
                    let _ = store.load(&id(), NOW).await;
                }
                store.fates()
            })
        };
        assert_eq!(fates(1), fates(1));
        assert_ne!(fates(1), fates(2));
    }

    #[test]
    fn odds_add_up() {
        let odds = Odds { delay: 1, linger: 2, fail: 3, lose: 4, hang: 5, mute: 6, ..Odds::NONE };
        let count = |wanted: fn(Fate) -> bool| {
            (0..1000).filter(|random| wanted(odds.draw(*random))).count()
        };
        assert_eq!(count(|fate| matches!(fate, Fate::Delay(_))), 1);
        assert_eq!(count(|fate| matches!(fate, Fate::Linger(_))), 2);
        assert_eq!(count(|fate| matches!(fate, Fate::Fail(_))), 3);
        assert_eq!(count(|fate| matches!(fate, Fate::Lose(_))), 4);
        assert_eq!(count(|fate| fate == Fate::Hang), 5);
        assert_eq!(count(|fate| fate == Fate::Mute), 6);
        assert_eq!(count(|fate| matches!(fate, Fate::Stray(_))), 0);
        assert_eq!(count(|fate| fate == Fate::Pass), 979);
    }
}
