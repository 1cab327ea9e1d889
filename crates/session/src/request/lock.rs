//! The lock of a session: one request at a time, of all that ask for it.
//!
//! Requests of one process queue up for it, and only the first of them asks the store; those of other
//! processes are waited for by asking again. Whoever has the lock writes through
//! [`update_locked`](express_session_core::store::Store::update_locked), which refuses a holder whose
//! lease has run out.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use express_session_core::SessionId;
use express_session_core::store::{LockOutcome, LockToken, Store as _};
use tokio::runtime::Handle;

use super::{Known, Phase, Shared};
use crate::error::{Error, ErrorKind};
use crate::runtime::completion::carry;
use crate::runtime::keyed::KeyedGuard;
use crate::runtime::timeout::{pause, within};

/// The longest pause before the store is asked for the second time for a lock that somebody else has, and
/// before any further time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// A lock that this request has, or is asking for.
pub(super) struct Held {
    id: SessionId,
    holder: LockToken,
    stage: Stage,
    /// `None` where another request of this process has kept its turn for longer than its lease.
    _turn: Option<KeyedGuard<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The store is being asked for it: nothing is written under it yet.
    Asked,
    Held,
    /// Its lease has run out.
    Lost,
}

impl Shared {
    /// Waits for the session's lock, and then has the session as it is now, with what this request has
    /// changed put on top.
    pub(crate) async fn lock(self: &Arc<Self>) -> Result<(), Error> {
        let id = {
            let mut state = self.state();
            let id = state.kept()?.id.clone();
            if state.lock.is_some() {
                return Err(Error::new(ErrorKind::Locked));
            }
            id
        };
        let claim = match within(self.config.lock_wait, self.acquire(&id)).await {
            Some(claim) => claim?,
            None => return Err(Error::new(ErrorKind::Locked)),
        };
        self.refresh(&id).await?;
        claim.done();
        Ok(())
    }

    async fn acquire(&self, id: &SessionId) -> Result<Claim<'_>, Error> {
        let lease = self.config.lock_lease;
        let turn = within(lease, self.config.lockers.turn(id)).await;
        let mut bytes = [0; LockToken::BYTES];
        self.config.sources.random.fill(&mut bytes);
        let holder = LockToken::from_random(bytes);
        let held = Held { id: id.clone(), holder, stage: Stage::Asked, _turn: turn };
        // Before the store is asked: it may have done so when this request is dropped.
        let claim = self.claim(held)?;
        let store = &self.config.store;
        let mut longest = SHORTEST_PAUSE;
        while self.ask(store.lock(id, holder, lease, self.now())).await? == LockOutcome::Held {
            if !pause(self.random_part_of(longest)).await {
                return Err(Error::new(ErrorKind::Locked));
            }
            longest = LONGEST_PAUSE.min(longest * 2);
        }
        self.set_stage(Stage::Held);
        Ok(claim)
    }

    fn claim(&self, held: Held) -> Result<Claim<'_>, Error> {
        let mut state = self.state();
        if state.lock.is_some() {
            return Err(Error::new(ErrorKind::Locked));
        }
        state.lock = Some(Box::new(held));
        Ok(Claim { shared: self, is_done: false })
    }

    /// Has the session as it is in the store now.
    async fn refresh(self: &Arc<Self>, id: &SessionId) -> Result<(), Error> {
        let _step = self.begin_step().await;
        let known = self.state().kept()?.known;
        let Known::At(revision) = known else { return Ok(()) };
        let now = self.now();
        match self.ask(self.config.store.load(id, now)).await? {
            Some(current) if current.revision == revision => Ok(()),
            Some(current) => self.follow(&current, now),
            None => self.meet_nothing(),
        }
    }

    /// Gives the holder to write as: `None` where this request has no lock on this id.
    pub(super) fn holder_of(&self, id: &SessionId) -> Result<Option<LockToken>, Error> {
        let state = self.state();
        let Some(held) = state.lock.as_ref().filter(|held| held.id == *id) else {
            return Ok(None);
        };
        match held.stage {
            Stage::Asked => Ok(None),
            Stage::Held => Ok(Some(held.holder)),
            Stage::Lost => Err(Error::new(ErrorKind::LockLost)),
        }
    }

    /// Notes that the lease has run out: nothing more is written under it.
    pub(super) fn lose_lock(&self) -> Error {
        self.set_stage(Stage::Lost);
        Error::new(ErrorKind::LockLost)
    }

    fn set_stage(&self, stage: Stage) {
        self.state().lock.iter_mut().for_each(|held| held.stage = stage);
    }

    /// Starts the lease anew.
    pub(crate) async fn renew_lock(&self) -> Result<(), Error> {
        let held = match &self.state().lock {
            Some(held) if held.stage == Stage::Held => Some((held.id.clone(), held.holder)),
            Some(_) | None => None,
        };
        let Some((id, holder)) = held else { return Err(Error::new(ErrorKind::LockLost)) };
        let lease = self.config.lock_lease;
        match self.ask(self.config.store.lock(&id, holder, lease, self.now())).await? {
            LockOutcome::Acquired => Ok(()),
            LockOutcome::Held => Err(self.lose_lock()),
        }
    }

    /// Saves what was changed, and gives the lock back.
    pub(crate) async fn unlock(self: &Arc<Self>) -> Result<(), Error> {
        let step = self.begin_step().await;
        carry(async move { step.unlock_in_step().await }).await
    }

    async fn unlock_in_step(&self) -> Result<(), Error> {
        let is_changed = {
            let state = self.state();
            state.phase == Phase::Live && state.live.as_ref().is_some_and(|live| live.is_unsaved())
        };
        if is_changed {
            self.ask(self.write(self.now())).await?;
        }
        let Some(held) = self.state().lock.take() else { return Ok(()) };
        if held.stage == Stage::Lost {
            return Err(Error::new(ErrorKind::LockLost));
        }
        self.ask(self.config.store.unlock(&held.id, held.holder)).await
    }

    /// Gives the lock back at the end of the request, if there is one. A failure costs the next holder
    /// the rest of the lease, and nobody else anything.
    pub(crate) async fn release_lock(&self) {
        let held = self.state().lock.take();
        if let Some(held) = held
            && let Err(error) = self.ask(self.config.store.unlock(&held.id, held.holder)).await
        {
            tracing::warn!(
                target: "express_session",
                error = &error as &dyn std::error::Error,
                "a session's lock could not be given back: it ends with its lease",
            );
        }
    }

    /// Gives the lock back without waiting for it, where there is a runtime to do so.
    fn abandon(&self, held: Held) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (store, limit) = (self.config.store.clone(), self.config.store_timeout);
        runtime.spawn(async move {
            // The one that waits next finds out, and nobody is left to be told.
            let _ = within(limit, store.unlock(&held.id, held.holder)).await;
        });
    }
}

/// A request that was dropped, or whose handler panicked, keeps nobody waiting.
impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = state.lock.take() {
            self.abandon(*held);
        }
    }
}

/// A lock that is being asked for: whoever stops asking does not keep it.
struct Claim<'a> {
    shared: &'a Shared,
    is_done: bool,
}

impl Claim<'_> {
    fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let held = self.shared.state().lock.take();
            held.into_iter().for_each(|held| self.shared.abandon(*held));
        }
    }
}
