//! The operations of a handle that call the store: save, reload, regenerate, destroy, touch.

use std::pin::pin;
use std::sync::Arc;

use express_session_core::session::{
    self, Answer, DestroyMachine, Ending, Next, SaveMachine, SessionState, TouchCall,
};
use express_session_core::store::{Revision, Store as _};
use express_session_core::{Policy, SessionId, Timestamp, decide};

use super::{Error, ErrorKind, RequestSession};
use crate::runtime::completion::run_to_completion;
use crate::runtime::timeout::within;

impl RequestSession {
    /// Saves explicitly.
    pub(crate) async fn save(self: &Arc<Self>) -> Result<(), Error> {
        let operation = self.lock_operation().await;
        self.state().session.writable()?;
        run_to_completion(&self.config.tasks, async move {
            let now = operation.now();
            operation.call_store(pin!(operation.drive(SaveMachine::new(now), now, true))).await
        })
        .await
    }

    /// Changes the session, and saves it: when it returns, the functions of `change` were last applied to what is stored.
    /// No other save of the request comes between.
    pub(crate) async fn change_finally<T>(
        self: &Arc<Self>,
        change: impl FnOnce() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        // One after the other they have fewer conflicts. Without the turn where others wait too long for the store.
        let _turn = match self.id() {
            Some(id) => within(self.config.store_timeout, self.config.finalisers.turn(&id)).await,
            None => None,
        };
        let operation = self.lock_operation().await;
        operation.state().session.writable()?;
        let Some(changed) = change()? else { return Ok(None) };
        run_to_completion(&self.config.tasks, async move {
            let (now, policy) = (operation.now(), operation.config.policy.of_final_writes());
            let save = operation.drive_with(SaveMachine::alone(now), now, true, &policy);
            operation.call_store(pin!(save)).await
        })
        .await?;
        Ok(Some(changed))
    }

    /// Loads the record again, and drops what was changed since.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), Error> {
        let _operation = self.lock_operation().await;
        let (id, is_ours) = self.state().session.begin_reload(&self.config.policy)?;
        let now = self.now();
        let found = self.load_following(id, now).await?;
        let found = match found.filter(|_| is_ours) {
            Some((id, loaded)) => self.settled(id, loaded, now).await?,
            None => None,
        };
        let Some((id, loaded, epoch)) = found else {
            return Err(Error::new(ErrorKind::NotFound));
        };
        if let Some(ended) = self.context().in_epoch(epoch).has_ended(&loaded, now) {
            let end = DestroyMachine::of_ended(ended, id, loaded.revision, now);
            self.call_store(pin!(self.drive_end(end, now))).await?;
            return Err(Error::new(ErrorKind::NotFound));
        }
        let state = &mut self.state().session;
        state.finish_reload(&self.context(), &loaded, now)?;
        state.take_renewed_id(&id);
        Ok(())
    }

    /// Renews the id of the session, and stores it under that with all that was changed.
    pub(crate) async fn renew_id(self: &Arc<Self>) -> Result<(), Error> {
        let operation = self.lock_operation().await;
        if self.config.policy.renewal().is_none() {
            return Err(Error::new(ErrorKind::NoRenewal));
        }
        let (now, id) = (self.now(), self.generate(self.now())?.0);
        let is_stored = {
            let mut state = self.state();
            if state.session.lock().is_some() {
                return Err(Error::new(ErrorKind::LockedTwice));
            }
            state.session.begin_renewal(&self.context(), &id)?
        };
        if !is_stored {
            return Ok(());
        }
        run_to_completion(&self.config.tasks, async move {
            let policy = operation.config.policy.of_own_writes();
            let save = operation.drive_with(SaveMachine::renewing(now, id), now, true, &policy);
            operation.call_store(pin!(save)).await
        })
        .await
    }

    /// Renews the id at the end of a response, one request of this process after the other.
    pub(super) async fn renew(&self, now: Timestamp) -> Result<(), Error> {
        let _turn = match self.id() {
            Some(id) => Some(self.config.renewers.turn(&id).await),
            None => None,
        };
        let id = self.generate(now)?.0;
        let is_unsaved = self.state().session.is_unsaved();
        let save = SaveMachine::renewing(now, id).or_under_the_same_id();
        match self.drive(save, now, true).await {
            // As with a touch: the session was ended meanwhile, and no cookie is sent.
            Err(error) if !is_unsaved && error.kind() == ErrorKind::Ended => Ok(()),
            done => done,
        }
    }

    /// Checks whether this request may renew the session's id by itself: no other request of this process renews it, or has
    /// or wants its lock.
    pub(super) fn may_renew(&self, session: &SessionState) -> bool {
        let config = &self.config;
        config.policy.renewal.is_some()
            && session.id().is_some_and(|id| !config.renewers.has(id) && !config.lockers.has(id))
    }

    /// Ends the session of an id, also where another request renews it meanwhile. `known` is the revision of its record, and
    /// when it was found.
    pub(super) async fn end_record(
        &self,
        id: SessionId,
        known: Option<(Revision, Timestamp)>,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.config.policy.renewal().is_none() {
            return Ok(self.config.store.destroy(&id).await?);
        }
        // A box: with renewals alone.
        Box::pin(self.drive_end(DestroyMachine::new(id, known, now), now)).await
    }

    /// Ends a session as the machine says.
    pub(super) async fn drive_end(
        &self,
        mut end: DestroyMachine,
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut call = Some(end.start(&self.context()));
        while let Some(due) = call {
            let answer = due.make(&self.config.store, now).await;
            call = end.resume(&self.context(), answer)?;
        }
        Ok(())
    }

    pub(super) fn known(&self) -> Option<(Revision, Timestamp)> {
        self.state().session.known()
    }

    /// Destroys the record and begins a new session under a new id, which keeps these members.
    pub(crate) async fn regenerate(self: &Arc<Self>, keep: &[String]) -> Result<(), Error> {
        self.regenerate_with(keep, SessionState::begin_regenerate, |_, _| Ok(())).await
    }

    /// Does the same where the headers have not left. `login` notes the user.
    pub(crate) async fn regenerate_for(
        self: &Arc<Self>,
        keep: &[String],
        login: impl FnOnce(&mut SessionState, Timestamp) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.regenerate_with(keep, SessionState::begin_login, login).await
    }

    async fn regenerate_with(
        self: &Arc<Self>,
        keep: &[String],
        begin: fn(&mut SessionState, &Policy) -> Result<Ending, session::Error>,
        login: impl FnOnce(&mut SessionState, Timestamp) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut operation = self.lock_operation().await;
        let policy = &self.config.policy;
        let ending = begin(&mut self.state().session, policy)?;
        let now = self.now();
        let (new_id, cookie) = self.generate(now)?;
        let mut failed = None;
        if let Ending::Destroy(id) = ending {
            // Where this future is dropped, the handle keeps its session: the handler does not expect another one.
            let destroyed;
            (operation, destroyed) = run_to_completion(&self.config.tasks, async move {
                let end = operation.end_record(id, operation.known(), now);
                let destroyed = operation.call_store(pin!(end)).await;
                (operation, destroyed)
            })
            .await;
            if let Err(error) = destroyed {
                let failure = policy.on_failure(decide::Step::Destroy, error.fault());
                if failure == decide::OnFailure::Report {
                    return Err(error);
                }
                failed = Some(error);
            }
        }
        {
            let state = &mut self.state().session;
            state.finish_regenerate_keeping(new_id, cookie, keep)?;
            login(state, now)?;
        }
        drop(operation);
        failed.map_or(Ok(()), Err)
    }

    /// Destroys the record without loading it; the session is over.
    pub(crate) async fn destroy_unread(self: &Arc<Self>) -> Result<(), Error> {
        if self.begin_unread().await? { self.destroy().await } else { Ok(()) }
    }

    /// Destroys the record; the session is over.
    pub(crate) async fn destroy(self: &Arc<Self>) -> Result<(), Error> {
        let operation = self.lock_operation().await;
        run_to_completion(&self.config.tasks, async move {
            let ending = operation.state().session.begin_destroy(&operation.config.policy)?;
            if let Ending::Destroy(id) = ending {
                let end = operation.end_record(id, operation.known(), operation.now());
                operation.call_store(pin!(end)).await?;
                operation.state().session.destroyed();
            }
            Ok(())
        })
        .await
    }

    /// Starts the session's time again; while a response is being sent, the store is called immediately.
    pub(crate) async fn touch(self: &Arc<Self>) -> Result<(), Error> {
        let _operation = self.lock_operation().await;
        let now = self.now();
        let calls_store = self.state().session.touch(&self.context(), now)?;
        if calls_store {
            self.touch_record(decide::Step::Write, now).await?;
        }
        if self.state().session.is_ended_elsewhere() {
            return Err(Error::new(ErrorKind::Ended));
        }
        Ok(())
    }

    /// Moves the record's deadline, at the end of a response or because the handler wants it written.
    pub(super) async fn touch_record(
        &self,
        step: decide::Step,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.note_visit(step, step.touch_attempts(), now).await.map(drop)
    }

    /// Does the same with so many attempts. Returns `false` where other requests wrote the record before each of them.
    pub(super) async fn note_visit(
        &self,
        step: decide::Step,
        attempts: u32,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut call = self.state().session.touch_call(&self.context(), now);
        let store = &self.config.store;
        for _ in 0..attempts {
            match call {
                None => return Ok(true),
                Some(TouchCall::Touch(id, touch)) => {
                    let call = store.touch(&id, &touch, now);
                    let touched = self.call_store_for(step, pin!(call)).await?;
                    self.state().session.touched(touched, &self.config.policy);
                    return Ok(true);
                }
                Some(TouchCall::Update(id, record, expected)) => {
                    // A box: with the metadata alone, and seldom then.
                    let update = Box::pin(store.update(&id, &record, &expected, now));
                    let updated = self.call_store_for(step, pin!(update)).await?;
                    let mut state = self.state();
                    call = state.session.visited(&self.context(), &expected, updated, now);
                }
                // At the end of a response there is no second attempt, and the renewal was a visit.
                Some(TouchCall::Follow(follow)) => {
                    // A box: ids are seldom renewed.
                    if !Box::pin(self.adopt(step, follow, now)).await? {
                        return Ok(true);
                    }
                    call = self.state().session.touch_call(&self.context(), now);
                }
            }
        }
        Ok(call.is_none())
    }

    /// Drives a save to its end. Without `may_wait`, the future stops before the first step that waits for another
    /// request, with nothing of that step begun: its caller drops it there, and saves again.
    pub(super) async fn drive(
        &self,
        save: SaveMachine,
        now: Timestamp,
        may_wait: bool,
    ) -> Result<(), Error> {
        self.drive_with(save, now, may_wait, &self.config.policy).await
    }

    pub(super) async fn drive_with(
        &self,
        mut save: SaveMachine,
        now: Timestamp,
        may_wait: bool,
        policy: &Policy,
    ) -> Result<(), Error> {
        let context = self.context_with(policy);
        let is_contended = self.is_contended();
        let mut next = save.start(&mut self.state().session, &context, is_contended)?;
        loop {
            let answer = match next {
                Next::Done => return Ok(()),
                Next::Call(call) => call.make(&self.config.store, now).await,
                // Without a lock: it calls the application's own functions.
                Next::Rebase(rebase) => Answer::Rebased(Box::new(rebase.run()?)),
                Next::BackOff(_) | Next::JoinBatch if !may_wait => std::future::pending().await,
                // Calls the application's own function.
                Next::NewId => Answer::NewId(self.generate(now)?.0),
                Next::BackOff(attempts) => {
                    self.back_off(attempts).await;
                    Answer::BackedOff { is_contended: self.is_contended() }
                }
                // Boxed: requests of one process seldom meet.
                Next::JoinBatch => Answer::Batched(Box::pin(self.write_in_batch(now)).await?),
            };
            if save.is_ended_by(&answer) {
                return Ok(());
            }
            next = save.resume(&mut self.state().session, &context, answer)?;
        }
    }

    /// Checks whether other requests of this process write the session now.
    fn is_contended(&self) -> bool {
        let writers = &self.config.writers;
        !writers.is_empty() && self.id().is_some_and(|id| writers.has(&id))
    }

    /// Destroys the record of the session, or of the presented id where there is none.
    pub(super) async fn destroy_record(&self) -> Result<(), Error> {
        let id: Option<SessionId> = self.id().or_else(|| self.presented.clone());
        match id {
            Some(id) => {
                let end = self.end_record(id, self.known(), self.now());
                self.call_store(pin!(end)).await
            }
            None => Ok(()),
        }
    }

    /// Saves what a body changed while it was sent, and gives the lock back. The response has left: a failure can only be
    /// logged.
    pub(crate) async fn commit_late(self: &Arc<Self>) {
        let operation = self.lock_operation().await;
        run_to_completion(&self.config.tasks, async move {
            let now = operation.now();
            let planned = operation.plan(&mut operation.state().session, now, false);
            if let Some(planned) = planned
                && let Err(error) = operation.carry_out(&planned, false, true).await
            {
                operation.log_failure(&error);
            }
            operation.release_lock().await;
        })
        .await;
    }
}
