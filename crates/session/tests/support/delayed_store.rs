//! A store between a test and the spy that keeps a call waiting, or loses its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use express_session::store::{
    Created, Error, ErrorKind, Fenced, Loaded, LockOutcome, LockToken, Record, Revision, Store,
    Touch, Touched, Updated,
};
use express_session::{SessionId, Timestamp};
use express_session_testkit::{Call, Verb};
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
        call: Call,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let verb = call.verb();
        self.meet(verb, Stage::Before).await?;
        self.meet(verb, Stage::Slow).await?;
        let done = answer.await;
        self.meet(verb, Stage::After).await?;
        self.meet(verb, Stage::Lost).await?;
        done
    }
}

express_session_testkit::__wrap_store! {
    (S: Store) DelayedStore<S>, |this| &this.store, [records expiry locks]
}
