//! A store between a test and the spy that keeps a call waiting, or loses its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use express_session::store::{
    Created, Error, ErrorKind, Fenced, Loaded, LoadedAndTouched, LockOutcome, LockToken, Record,
    Revision, Store, Touch, Touched, Updated,
};
use express_session::{SessionId, Timestamp};
use express_session_testkit::Verb;
use tokio::sync::Semaphore;

/// Where a call of one kind gets stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before it reaches the store.
    Before,
    /// Before it reaches the store, for a millisecond.
    Slow,
    /// When the store has done it.
    After,
    /// Nowhere, but its answer is lost: a time-out, once, after the store has done it.
    Lost,
}

/// A store with a delayed_store. Clones have the same.
#[derive(Clone)]
pub(crate) struct DelayedStore<S> {
    store: S,
    verb: Verb,
    stage: Stage,
    open: Arc<Semaphore>,
    lost: Arc<AtomicBool>,
}

impl<S: Store> DelayedStore<S> {
    /// Holds every call of this kind, until it is opened.
    pub(crate) fn before(verb: Verb, store: S) -> Self {
        Self::new(verb, Stage::Before, store)
    }

    /// Holds every call of this kind for a millisecond.
    pub(crate) fn slow(verb: Verb, store: S) -> Self {
        Self::new(verb, Stage::Slow, store)
    }

    /// Holds the answer of every call of this kind, until it is opened.
    pub(crate) fn after(verb: Verb, store: S) -> Self {
        Self::new(verb, Stage::After, store)
    }

    /// Loses the first answer to a call of this kind.
    pub(crate) fn lost(verb: Verb, store: S) -> Self {
        Self::new(verb, Stage::Lost, store)
    }

    fn new(verb: Verb, stage: Stage, store: S) -> Self {
        Self { store, verb, stage, open: Arc::new(Semaphore::new(0)), lost: Arc::default() }
    }

    /// Lets all calls through from now on.
    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }

    async fn meet(&self, verb: Verb, stage: Stage) -> Result<(), Error> {
        if verb != self.verb || stage != self.stage {
            return Ok(());
        }
        if stage == Stage::Lost {
            let lost = self.lost.swap(true, Ordering::SeqCst);
            let error = Error::new(ErrorKind::TimedOut, "a test lost this answer");
            return if lost { Ok(()) } else { Err(error) };
        }
        if stage == Stage::Slow {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            drop(self.open.acquire().await);
        }
        Ok(())
    }

    async fn around<T>(
        &self,
        verb: Verb,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.meet(verb, Stage::Before).await?;
        self.meet(verb, Stage::Slow).await?;
        let done = call.await;
        self.meet(verb, Stage::After).await?;
        self.meet(verb, Stage::Lost).await?;
        done
    }
}

impl<S: Store> Store for DelayedStore<S> {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        self.around(Verb::Load, self.store.load(id, now)).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.around(Verb::Create, self.store.create(id, record, now)).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        self.around(Verb::Update, self.store.update(id, record, expected, now)).await
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        self.around(Verb::Touch, self.store.touch(id, touch, now)).await
    }

    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        self.around(Verb::LoadAndTouch, self.store.load_and_touch(id, now)).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.around(Verb::Destroy, self.store.destroy(id)).await
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        self.around(Verb::Lock, self.store.lock(id, holder, lease, now)).await
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let call = self.store.update_locked(id, record, expected, holder, now);
        self.around(Verb::UpdateLocked, call).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        self.around(Verb::Unlock, self.store.unlock(id, holder)).await
    }

    fn supports_touch(&self) -> bool {
        self.store.supports_touch()
    }
}
