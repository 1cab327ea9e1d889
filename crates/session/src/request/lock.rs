//! The lock of a session: one request at a time, of all that ask for it.
//!
//! Requests of one process queue up for it, and only the first of them asks the store; requests of other processes are
//! waited for by polling. The holder writes through
//! [`update_locked`](express_session_core::store::Store::update_locked), which refuses a token whose lease has run out.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use express_session_core::session::{
    Follow, LockStage, Resolution, SaveMachine, SessionLockState, StoreView,
};
use express_session_core::store::{FencingToken, LockOutcome, LockToken, Store as _};
use express_session_core::{SessionId, Timestamp, decide};
use tokio::runtime::Handle;
use tracing::Level;

use super::{Error, ErrorKind, RequestSession};
use crate::runtime::completion::run_to_completion;
use crate::runtime::keyed::KeyedGuard;
use crate::runtime::timeout::{pause, within};

/// The longest pause before the store is asked a second time for a lock that another request holds, and before any
/// further time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// How often a lock is taken again, because the id was renewed while it was waited for.
const MAX_MOVES: u32 = 4;

const KEPT: &str = "a session's lock could not be given back: it ends with its lease";

impl RequestSession {
    /// Waits for the session's lock, and then has the session as it is now, with what this request has changed on top.
    pub(crate) async fn lock(self: &Arc<Self>) -> Result<FencingToken, Error> {
        // More than once only if another request has renewed the id meanwhile: the lock is of an id.
        for _ in 0..MAX_MOVES {
            let id = {
                let mut state = self.state();
                let id = state.session.writable()?.id().clone();
                if state.session.lock().is_some() {
                    return Err(Error::new(ErrorKind::LockedTwice));
                }
                id
            };
            let (claim, fence) = match within(self.config.lock_wait, self.acquire(&id)).await {
                Some(acquired) => acquired?,
                None => return Err(Error::new(ErrorKind::Locked)),
            };
            self.refresh(&id).await?;
            if self.id().as_ref() == Some(&id) {
                claim.keep();
                return Ok(fence);
            }
        }
        Err(Error::new(ErrorKind::Locked))
    }

    async fn acquire(&self, id: &SessionId) -> Result<(Claim<'_>, FencingToken), Error> {
        // Without the turn where another request of this process has kept it for longer than a lease.
        let turn = within(self.config.lock_lease, self.config.lockers.turn(id)).await;
        let token = self.draw_lock_token();
        // Before the store is asked: it may have given the lock when this future is dropped.
        let claim = self.claim(id, token, turn)?;
        let (fence, until) = self.poll_lock(id, token).await?;
        self.state().session.grant_lock(fence, until);
        Ok((claim, fence))
    }

    pub(super) fn draw_lock_token(&self) -> LockToken {
        let mut bytes = [0; LockToken::BYTES];
        self.config.sources.random.fill(&mut bytes);
        LockToken::from_random(bytes)
    }

    /// Asks the store for a lock until it is free. Returns its fencing token, and the end of its lease.
    pub(super) async fn poll_lock(
        &self,
        id: &SessionId,
        token: LockToken,
    ) -> Result<(FencingToken, Timestamp), Error> {
        let (store, lease) = (&self.config.store, self.config.lock_lease);
        let mut longest = SHORTEST_PAUSE;
        loop {
            let now = self.now();
            match self.call_store(pin!(store.lock(id, token, lease, now))).await? {
                LockOutcome::Acquired(fence) => return Ok((fence, now.saturating_add(lease))),
                LockOutcome::Held if pause(self.jitter(longest)).await => {
                    longest = LONGEST_PAUSE.min(longest * 2);
                }
                LockOutcome::Held => return Err(Error::new(ErrorKind::Locked)),
            }
        }
    }

    fn claim(
        &self,
        id: &SessionId,
        token: LockToken,
        turn: Option<KeyedGuard<()>>,
    ) -> Result<Claim<'_>, Error> {
        let mut state = self.state();
        if !state.session.request_lock(id.clone(), token) {
            return Err(Error::new(ErrorKind::LockedTwice));
        }
        state.lock_turn = turn;
        Ok(Claim { session: self, is_kept: false })
    }

    /// Rebases the session onto the record that the store has now.
    async fn refresh(self: &Arc<Self>, id: &SessionId) -> Result<(), Error> {
        let _operation = self.lock_operation().await;
        let view = {
            let mut state = self.state();
            state.session.writable()?;
            state.session.view()
        };
        let Some(StoreView::At(revision)) = view else { return Ok(()) };
        let now = self.now();
        match self.call_store(pin!(self.config.store.load(id, now))).await? {
            Some(current) if current.revision == revision => Ok(()),
            Some(current) => {
                let context = self.context();
                if let Some(follow) = Follow::of(&context, &current, now) {
                    // A box: ids are seldom renewed.
                    let is_there = Box::pin(self.adopt(decide::Step::Load, follow, now)).await?;
                    return if is_there { Ok(()) } else { Err(Error::new(ErrorKind::Ended)) };
                }
                let resolution =
                    Resolution::of(&mut self.state().session, &context, &current, now)?;
                self.resolve(&resolution)
            }
            None => Ok(self.state().session.handle_missing_record(&self.config.policy, now)?),
        }
    }

    /// Notes that the lease has run out: nothing more is written under it.
    fn lose_lock(&self) -> Error {
        self.state().session.set_lock_stage(LockStage::Lost);
        Error::new(ErrorKind::LockLost)
    }

    /// Starts the lease again.
    pub(crate) async fn renew_lock(&self) -> Result<(), Error> {
        let held = match self.state().session.lock() {
            Some(lock) if lock.stage == LockStage::Held => Some((lock.id.clone(), lock.token)),
            Some(_) | None => None,
        };
        let Some((id, token)) = held else { return Err(Error::new(ErrorKind::LockLost)) };
        let (lease, now) = (self.config.lock_lease, self.now());
        match self.call_store(pin!(self.config.store.lock(&id, token, lease, now))).await? {
            LockOutcome::Acquired(fence) => {
                if self.state().session.grant_lock(fence, now.saturating_add(lease)) {
                    return Ok(());
                }
                // The lease had ended, and has begun again: no other request is to wait for it.
                self.call_store(pin!(self.config.store.unlock(&id, token))).await?;
                Err(Error::new(ErrorKind::LockLost))
            }
            LockOutcome::Held => Err(self.lose_lock()),
        }
    }

    /// Renews the lease while `work` goes on, a third of it after each renewal. Where the lock is lost, or the lease ends
    /// because the store fails, `work` is dropped.
    pub(crate) async fn keep_lock<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        let mut failed = None;
        loop {
            // A store that fails may answer again before the lease is over, and after that the work does not go on.
            let left = self.lock_remaining();
            if left.is_zero() {
                return Err(failed.unwrap_or_else(|| self.lose_lock()));
            }
            if let Some(done) = within(left.min(self.config.lock_lease / 3), work.as_mut()).await {
                return Ok(done);
            }
            failed = match self.renew_lock().await {
                Ok(()) => None,
                Err(error) if is_lost(&error) => return Err(error),
                Err(error) => Some(error),
            };
        }
    }

    /// Returns the rest of the lease by the layer's clock: nothing where it is over or lost.
    pub(crate) fn lock_remaining(&self) -> Duration {
        let now = self.now();
        let state = self.state();
        let held = state.session.lock().filter(|lock| lock.stage == LockStage::Held);
        let left = held.map_or(Duration::ZERO, |lock| lock.until.saturating_since(now));
        // More than the lease is a clock that was set back.
        left.min(self.config.lock_lease)
    }

    /// Saves what was changed, and gives the lock back.
    pub(crate) async fn unlock(self: &Arc<Self>) -> Result<(), Error> {
        let operation = self.lock_operation().await;
        run_to_completion(&self.config.tasks, async move {
            let is_unsaved = operation.state().session.is_unsaved();
            if is_unsaved {
                let (now, policy) = (operation.now(), operation.config.policy.of_own_writes());
                let save = operation.drive_with(SaveMachine::new(now), now, true, &policy);
                operation.call_store(pin!(save)).await?;
            }
            let Some((lock, _turn)) = operation.take_lock() else { return Ok(()) };
            if lock.stage == LockStage::Lost {
                return Err(Error::new(ErrorKind::LockLost));
            }
            operation.call_store(pin!(operation.config.store.unlock(&lock.id, lock.token))).await
        })
        .await
    }

    fn take_lock(&self) -> Option<(Box<SessionLockState>, Option<KeyedGuard<()>>)> {
        let mut state = self.state();
        let turn = state.lock_turn.take();
        state.session.take_lock().map(|lock| (lock, turn))
    }

    /// Releases the lock at the end of the request, if there is one. A failure costs the next holder the rest of the
    /// lease.
    pub(crate) async fn release_lock(&self) {
        if let Some((lock, _turn)) = self.take_lock()
            && let Err(error) = self
                .call_store_for(
                    decide::Step::Touch,
                    pin!(self.config.store.unlock(&lock.id, lock.token)),
                )
                .await
        {
            self.log(Level::WARN, KEPT, &error);
        }
    }

    /// Releases the lock without waiting for it, where there is a runtime to do so.
    fn abandon(&self, lock: Box<SessionLockState>, turn: Option<KeyedGuard<()>>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (store, limit) = (self.config.store.clone(), self.config.store_timeout);
        let running = self.config.tasks.begin();
        runtime.spawn(async move {
            // The next request that asks finds out about a failure.
            let _ = within(limit, store.unlock(&lock.id, lock.token)).await;
            drop((turn, running));
        });
    }
}

fn is_lost(error: &Error) -> bool {
    error.kind() == ErrorKind::LockLost
}

/// A request that was dropped, or whose handler panicked, keeps no other request waiting.
impl Drop for RequestSession {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = state.session.take_lock() {
            let turn = state.lock_turn.take();
            self.abandon(lock, turn);
        }
    }
}

/// A lock that is being asked for: where the request stops asking, it is given back.
struct Claim<'a> {
    session: &'a RequestSession,
    is_kept: bool,
}

impl Claim<'_> {
    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.is_kept
            && let Some((lock, turn)) = self.session.take_lock()
        {
            self.session.abandon(lock, turn);
        }
    }
}
