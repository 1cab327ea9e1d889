//! The save as a machine that says which store call comes next.
//!
//! A save is optimistic concurrency: a first record is created, every other write is a compare-and-swap on the revision
//! that the request knows. Where another request has written meanwhile, the machine puts the changes onto what is
//! there now and tries again.

use crate::policy::{OnConflict, OnMismatch};
use std::fmt;
use std::sync::Arc;

use super::change_log::{PendingWrite, Rebase, Rebased};
use super::forward::{Arrival, Follow};
use super::state::{Context, Fence, LoadedSession, Parsed, SessionState, Snapshot, StoreView};
use super::{BatchEntry, Error, Result};
use crate::cookie::StoredCookie;
use crate::store::{self, Created, Fenced, Loaded, LockToken, Record, Revision, Store, Updated};
use crate::{Document, Metadata, SessionId, Timestamp};

/// How often a save is tried while other requests keep writing the same session.
pub const ATTEMPTS: u32 = 64;

/// A call of the store.
#[derive(Debug)]
pub enum StoreCall {
    /// [`Store::create`](store::Store::create).
    Create {
        /// The new session's id.
        id: SessionId,
        /// Its record.
        record: Record,
    },
    /// [`Store::load`](store::Store::load).
    Load {
        /// The session's id.
        id: SessionId,
    },
    /// [`Store::update`](store::Store::update).
    Update {
        /// The session's id.
        id: SessionId,
        /// The new record.
        record: Record,
        /// The revision that it replaces.
        expected: Revision,
    },
    /// [`Store::update_locked`](store::Store::update_locked).
    UpdateLocked {
        /// The session's id.
        id: SessionId,
        /// The new record.
        record: Record,
        /// The revision that it replaces.
        expected: Revision,
        /// The lock under which it is written.
        token: LockToken,
    },
    /// [`Store::destroy`](store::Store::destroy).
    Destroy {
        /// The session's id.
        id: SessionId,
    },
    /// [`Store::time`](store::Store::time).
    Time,
}

impl StoreCall {
    /// Makes the call.
    #[inline]
    pub async fn make<S: Store>(self, store: &S, now: Timestamp) -> Answer {
        match self {
            Self::Create { id, record } => Answer::Created(store.create(&id, &record, now).await),
            Self::Load { id } => Answer::Loaded(store.load(&id, now).await),
            Self::Update { id, record, expected } => {
                Answer::Updated(store.update(&id, &record, &expected, now).await)
            }
            Self::UpdateLocked { id, record, expected, token } => {
                Answer::Fenced(store.update_locked(&id, &record, &expected, token, now).await)
            }
            Self::Destroy { id } => Answer::Destroyed(store.destroy(&id).await),
            Self::Time => Answer::Time(store.time(now).await),
        }
    }
}

/// The next task of a driver.
#[derive(Debug)]
pub enum Next {
    /// Call the store.
    Call(StoreCall),
    /// Run this, without a lock on the state.
    Rebase(Box<Rebase>),
    /// Wait a little after so many attempts, so that the writers of other processes do not meet again.
    BackOff(u32),
    /// Write together with the other requests of this process.
    JoinBatch,
    /// Draw a new id: the record under the id that the session has may appear at any time.
    NewId,
    /// Nothing: the session is saved.
    Done,
}

/// The answer of a driver.
#[derive(Debug)]
pub enum Answer {
    /// The answer to [`StoreCall::Create`].
    Created(Result<Created, store::Error>),
    /// The answer to [`StoreCall::Load`].
    Loaded(Result<Option<Loaded>, store::Error>),
    /// The answer to [`StoreCall::Update`].
    Updated(Result<Updated, store::Error>),
    /// The answer to [`StoreCall::UpdateLocked`].
    Fenced(Result<Fenced, store::Error>),
    /// The answer to [`StoreCall::Destroy`].
    Destroyed(Result<(), store::Error>),
    /// The answer to [`StoreCall::Time`].
    Time(Result<Timestamp, store::Error>),
    /// The outcome of [`Next::Rebase`].
    Rebased(Box<Rebased>),
    /// The end of [`Next::BackOff`]: whether other requests of this process write the session now.
    BackedOff {
        /// Whether they do.
        is_contended: bool,
    },
    /// The end of [`Next::JoinBatch`].
    Batched(BatchEnd),
    /// The outcome of [`Next::NewId`].
    NewId(SessionId),
}

/// How a write together with other requests has ended.
#[derive(Debug)]
pub enum BatchEnd {
    /// The session is saved.
    Saved,
    /// It is not: its record is gone, and may be created again.
    Gone,
    /// It is not: another request has renewed its id.
    Moved(Follow),
}

/// The save of one session.
///
/// ```text
/// Start ──▶ Creating ──▶ Finding ──▶ Updating ──▶ Resolving ──▶ Done
///   │                                   ▲             │
///   └───────────────────────────────────┴── BackOff ◀─┴──▶ JoinBatch
/// ```
///
/// A save that renews the id ([`SaveMachine::renewing`]) stores the session under the new id first (`Moving`), and then
/// replaces the old record by one that forwards to it (`Forwarding`). As long as that compare-and-swap is not done, the
/// record under the new id is a spare to which no id leads. If another request has written meanwhile, the spare is written
/// again; if another one was faster to renew, the spare is destroyed (`Discarding`), and the save goes on under the other's
/// id (`Following`), as every save does that finds a record that forwards.
///
/// A create of unknown outcome is followed by one under a new id ([`Next::NewId`]). Where the id has left, nothing is
/// created again: the record is `Finding`, or the save fails.
pub struct SaveMachine {
    now: Timestamp,
    attempts: u32,
    is_observed: bool,
    /// Whether it may join the writes of other requests.
    joins: bool,
    renewal: Option<Box<Renewal>>,
    stage: Stage,
}

/// The renewal of the id.
struct Renewal {
    id: SessionId,
    /// The revision of the record under it, to which nothing leads yet.
    spare: Option<Revision>,
    is_optional: bool,
}

enum Stage {
    Start,
    Creating {
        write: Write,
        was_absent: bool,
    },
    /// The record is loaded under whose id a create has failed: it is overwritten by this write, or else compared with
    /// the writes in doubt.
    Finding {
        overwriting: Option<Write>,
    },
    Updating {
        write: Write,
    },
    /// The session goes on from what the store has. If the write was not stored, it is tried again.
    Resolving {
        resolution: Box<Resolution>,
        is_saved: bool,
    },
    Waiting,
    Joining,
    Renaming,
    /// The session is written under its new id.
    Moving {
        write: Write,
        expected: Revision,
        metadata: Box<Metadata>,
    },
    /// The old record is replaced by one that forwards to it.
    Forwarding {
        write: Write,
        spare: Revision,
        metadata: Box<Metadata>,
    },
    /// The record under the new id is destroyed, since it is of no use any more.
    Discarding {
        then: Then,
    },
    /// The record is loaded to which the session's own forwards. If the write need not be made again, that is all.
    Following {
        follow: Follow,
        is_saved: bool,
    },
}

/// The step after a spare record was destroyed.
enum Then {
    Follow(Follow),
    End,
}

/// One attempt.
struct Write {
    record: Record,
    /// The document that is loaded when the record is stored, and the write in doubt. `None` as long as nothing can look at it.
    noted: Option<Box<(Document, Arc<PendingWrite>)>>,
}

impl SaveMachine {
    /// Returns a save at this time, whose outcome other handles of the session may look at.
    #[must_use]
    #[inline]
    pub fn new(now: Timestamp) -> Self {
        let (joins, renewal) = (true, None);
        Self { now, attempts: 0, is_observed: true, joins, renewal, stage: Stage::Start }
    }

    /// Returns a save at this time that also renews the session's id, if it has a record.
    #[must_use]
    pub fn renewing(now: Timestamp, id: SessionId) -> Self {
        let renewal = Some(Box::new(Renewal { id, spare: None, is_optional: false }));
        Self { joins: false, renewal, ..Self::new(now) }
    }

    /// Makes the renewal optional: where the new id cannot be used, the session is saved under the one that it has.
    #[must_use]
    pub fn or_under_the_same_id(mut self) -> Self {
        self.renewal.iter_mut().for_each(|renewal| renewal.is_optional = true);
        self
    }

    /// Returns the last save of a session at this time: no handle is left that could look at the state. Where the first
    /// attempt succeeds, nothing is noted of it.
    #[must_use]
    #[inline]
    pub fn last(now: Timestamp) -> Self {
        Self { is_observed: false, ..Self::new(now) }
    }

    /// Returns a save at this time that writes alone: when it is done, each function was last applied to what is stored.
    /// In a batch it is also applied to what another request does not store in the end.
    #[must_use]
    pub fn alone(now: Timestamp) -> Self {
        Self { joins: false, ..Self::new(now) }
    }

    /// Begins. `is_contended` says whether other requests of this process write the session now.
    ///
    /// Every write starts the session's time again if the policy says so (departure 12): the expiry in the text that was
    /// loaded may be older than the store's deadline, and a stream may last longer than the session.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] where there is no session; [`Error::LockLost`]; [`Error::Limit`], with nothing changed.
    #[inline]
    pub fn start(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        is_contended: bool,
    ) -> Result<Next> {
        let Some(session) = &mut state.session else { return Err(Error::Ended) };
        if context.policy.save_resets_expiry() {
            session.reset_expiry(self.now);
        }
        if context.policy.keeps_metadata() {
            state.begin_write_with_metadata(context, self.now)?;
        }
        let Some(session) = &mut state.session else { return Err(Error::Ended) };
        let (id, view) = (session.id.clone(), session.view.clone());
        if let (Some(_), StoreView::At(expected)) = (&self.renewal, &view) {
            return self.begin_renewal(state, context, expected.clone());
        }
        if is_contended && matches!(view, StoreView::At(_)) && self.can_join(state, context, &id)? {
            self.stage = Stage::Joining;
            return Ok(Next::JoinBatch);
        }
        if state.needs_new_id(context) {
            self.stage = Stage::Renaming;
            return Ok(Next::NewId);
        }
        if state.must_not_create(context) {
            self.stage = Stage::Finding { overwriting: None };
            return Ok(Next::Call(StoreCall::Load { id }));
        }
        let Some(session) = &mut state.session else { return Err(Error::Ended) };
        let limits = &context.policy.record_limits;
        let write = if self.is_observed {
            let metadata = session.metadata();
            let (saved, record) = context.as_saved(&session.document, &session.cookie, metadata);
            limits.check(&session.document, record.text.len())?;
            session.begin_write(context.policy);
            let pending = session.pending_write(record.clone());
            Write { record, noted: Some(Box::new((saved, pending))) }
        } else {
            let record = context.record(&session.document, &session.cookie, session.metadata());
            limits.check(&session.document, record.text.len())?;
            Write { record, noted: None }
        };
        match view {
            StoreView::At(expected) => self.update(state, write, id, expected),
            StoreView::Absent | StoreView::InDoubt => {
                session.view = StoreView::InDoubt;
                begin(state, &write);
                let record = write.record.clone();
                self.stage = Stage::Creating { write, was_absent: view == StoreView::Absent };
                Ok(Next::Call(StoreCall::Create { id, record }))
            }
        }
    }

    /// Checks whether this answer ends the save with nothing to note: the last save of a session was applied. A driver
    /// can stop there instead of resuming.
    #[inline]
    #[must_use]
    pub fn is_ended_by(&self, answer: &Answer) -> bool {
        !self.is_observed
            && matches!(
                answer,
                Answer::Created(Ok(Created::Done(_))) | Answer::Updated(Ok(Updated::Done(_)))
            )
    }

    /// Goes on with what the driver has done.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] where the store failed; [`Error::Ended`] where the record is gone, [`Error::IdTaken`],
    /// [`Error::Conflict`], [`Error::LockLost`], [`Error::Corrupt`].
    #[inline]
    pub fn resume(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        answer: Answer,
    ) -> Result<Next> {
        match (std::mem::replace(&mut self.stage, Stage::Start), answer) {
            (Stage::Creating { write, was_absent }, Answer::Created(answer)) => {
                let was_noted = write.noted.is_some();
                let write =
                    self.note(state, context, write, !matches!(answer, Ok(Created::Done(_))));
                if !was_noted {
                    begin(state, &write);
                }
                match answer.map_err(Error::Store) {
                    Ok(Created::Done(revision)) => self.stored(state, context, write, revision),
                    Ok(Created::Taken) => self.taken(state, context, write, was_absent),
                    Err(error) => {
                        if error.is_definite() {
                            revoke(state, &write);
                            state.session.iter_mut().filter(|_| was_absent).for_each(|session| {
                                session.view = StoreView::Absent;
                            });
                        }
                        Err(error)
                    }
                }
            }
            (Stage::Finding { overwriting }, Answer::Loaded(found)) => {
                self.found(state, context, overwriting, found?)
            }
            (Stage::Renaming, Answer::NewId(id)) => {
                let Some(session) = &mut state.session else { return Err(Error::Ended) };
                // A generator of the application may have given the same id again.
                if session.id == id {
                    return Err(Error::Conflict);
                }
                session.take_id(id);
                self.start(state, context, false)
            }
            (Stage::Updating { write }, Answer::Updated(answer)) => {
                self.updated(state, context, write, answer.map_err(Error::Store))
            }
            (Stage::Updating { write }, Answer::Fenced(answer)) => {
                let answer = fenced(state, answer);
                self.updated(state, context, write, answer)
            }
            (Stage::Resolving { resolution, is_saved }, Answer::Rebased(rebased)) => {
                if resolution.finish(state, *rebased) {
                    self.resolved(state, context, is_saved)
                } else {
                    self.resolve(state, context, resolution, is_saved)
                }
            }
            (Stage::Waiting, Answer::BackedOff { is_contended }) => {
                self.start(state, context, is_contended)
            }
            (Stage::Joining, Answer::Batched(end)) => match end {
                BatchEnd::Saved => Ok(Next::Done),
                BatchEnd::Gone => self.retry(state, context),
                BatchEnd::Moved(follow) => self.follow(state, follow, false),
            },
            (Stage::Moving { write, expected, metadata }, Answer::Created(created)) => {
                let stored = match created? {
                    Created::Done(revision) => revision,
                    Created::Taken => return self.unrenewed(state, context, Error::IdTaken),
                };
                self.moved(state, context, write, expected, stored, metadata)
            }
            (Stage::Moving { write, expected, metadata }, Answer::Updated(updated)) => {
                match updated? {
                    Updated::Done(revision) => {
                        self.moved(state, context, write, expected, revision, metadata)
                    }
                    // No request knows the id. The record has ended, or an operator has removed it.
                    Updated::Conflict(_) | Updated::Gone => {
                        self.unrenewed(state, context, Error::Conflict)
                    }
                }
            }
            (Stage::Forwarding { write, spare, metadata }, Answer::Updated(answer)) => {
                self.forwarded(state, context, write, spare, metadata, answer.map_err(Error::Store))
            }
            (Stage::Forwarding { write, spare, metadata }, Answer::Fenced(answer)) => {
                let answer = fenced(state, answer);
                self.forwarded(state, context, write, spare, metadata, answer)
            }
            // A failure leaves a record that no request finds, and that ends by its deadline.
            (Stage::Discarding { then }, Answer::Destroyed(_)) => match then {
                Then::Follow(follow) => {
                    let is_saved = !state.is_unsaved();
                    self.follow(state, follow, is_saved)
                }
                Then::End => {
                    state.handle_missing_record(context.policy, self.now)?;
                    self.retry(state, context)
                }
            },
            (Stage::Following { follow, is_saved }, Answer::Loaded(found)) => {
                match follow.arrive(context, found?, self.now) {
                    Some(Arrival::Session(id, loaded)) => {
                        let resolution = Resolution::of(state, context, &loaded, self.now)?;
                        self.resolve(state, context, Box::new(resolution.under(id)), is_saved)
                    }
                    Some(Arrival::Further(follow)) => self.follow(state, follow, is_saved),
                    None => Err(state.end_elsewhere()),
                }
            }
            (stage, _) => {
                self.stage = stage;
                Err(Error::OutOfOrder)
            }
        }
    }

    /// Notes of a write what could be left out as long as it might have been the last step of all.
    #[inline]
    fn note(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        mut write: Write,
        is_needed: bool,
    ) -> Write {
        if write.noted.is_none()
            && is_needed
            && let Some(session) = &mut state.session
        {
            self.is_observed = true;
            session.begin_write(context.policy);
            let metadata = session.metadata();
            let saved = context.as_saved(&session.document, &session.cookie, metadata).0;
            write.noted = Some(Box::new((saved, session.pending_write(write.record.clone()))));
        }
        write
    }

    #[inline]
    fn update(
        &mut self,
        state: &mut SessionState,
        write: Write,
        id: SessionId,
        expected: Revision,
    ) -> Result<Next> {
        begin(state, &write);
        let record = write.record.clone();
        let call = match state.fence(&id) {
            Fence::Open => StoreCall::Update { id, record, expected },
            Fence::Locked(token) => StoreCall::UpdateLocked { id, record, expected, token },
            Fence::Lost => {
                revoke(state, &write);
                return Err(Error::LockLost);
            }
        };
        self.stage = Stage::Updating { write };
        Ok(Next::Call(call))
    }

    fn taken(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        write: Write,
        was_absent: bool,
    ) -> Result<Next> {
        let Some(session) = &mut state.session else { return Err(Error::Ended) };
        // A record of a write in doubt is this request's own.
        if was_absent && context.policy.on_id_collision() == OnMismatch::Refuse {
            session.view = StoreView::Absent;
            revoke(state, &write);
            return Err(Error::IdTaken);
        }
        let id = session.id.clone();
        // A driver may have repeated this very create: it stays in doubt.
        self.stage = Stage::Finding { overwriting: was_absent.then_some(write) };
        Ok(Next::Call(StoreCall::Load { id }))
    }

    /// Goes on with the record that is there already. After a create in doubt it is this request's own, but its id has left:
    /// another request may have written on top of it, or the same text.
    fn found(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        overwriting: Option<Write>,
        found: Option<Loaded>,
    ) -> Result<Next> {
        let Some(current) = found else {
            // A create that arrives later still finds no other record here.
            if state.must_not_create(context) {
                return Err(Error::Conflict);
            }
            return self.retry(state, context);
        };
        state.check_mark(context, &current)?;
        match (overwriting, state.id().cloned()) {
            (Some(write), Some(id)) => self.update(state, write, id, current.revision),
            _ => self.overtaken(state, context, &current),
        }
    }

    /// Goes on from what another request has stored meanwhile.
    fn overtaken(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        theirs: &Loaded,
    ) -> Result<Next> {
        if let Some(follow) = Follow::of(context, theirs, self.now) {
            return self.follow(state, follow, false);
        }
        let resolution = Resolution::of(state, context, theirs, self.now)?;
        self.resolve(state, context, Box::new(resolution), false)
    }

    #[inline]
    fn updated(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        write: Write,
        answer: Result<Updated>,
    ) -> Result<Next> {
        let was_noted = write.noted.is_some();
        let write = self.note(state, context, write, !matches!(answer, Ok(Updated::Done(_))));
        if !was_noted {
            begin(state, &write);
        }
        match answer {
            Ok(Updated::Done(revision)) => self.stored(state, context, write, revision),
            Ok(Updated::Conflict(theirs)) => {
                revoke(state, &write);
                self.overtaken(state, context, &theirs)
            }
            Ok(Updated::Gone) => {
                state.handle_missing_record(context.policy, self.now)?;
                self.retry(state, context)
            }
            Err(error) => {
                if error.is_definite() {
                    revoke(state, &write);
                }
                Err(error)
            }
        }
    }

    #[inline]
    fn stored(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        write: Write,
        revision: Revision,
    ) -> Result<Next> {
        let Some((stored, write)) = write.noted.map(|noted| *noted) else { return Ok(Next::Done) };
        let target = Target::Own { write, stored, metadata: None, revision, in_batch: false };
        self.resolve(state, context, Box::new(Resolution::from(target).at(self.now)), true)
    }

    fn resolve(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        resolution: Box<Resolution>,
        is_saved: bool,
    ) -> Result<Next> {
        match resolution.begin(state) {
            None => self.resolved(state, context, is_saved),
            Some(rebase) => {
                self.stage = Stage::Resolving { resolution, is_saved };
                Ok(Next::Rebase(Box::new(rebase)))
            }
        }
    }

    fn resolved(
        &mut self,
        state: &SessionState,
        context: &Context<'_>,
        is_saved: bool,
    ) -> Result<Next> {
        if is_saved {
            return Ok(Next::Done);
        }
        if let Some(id) = state.id()
            && self.can_join(state, context, id)?
        {
            self.stage = Stage::Joining;
            return Ok(Next::JoinBatch);
        }
        let attempts = self.count()?;
        self.stage = Stage::Waiting;
        Ok(Next::BackOff(attempts))
    }

    fn retry(&mut self, state: &mut SessionState, context: &Context<'_>) -> Result<Next> {
        self.count()?;
        self.start(state, context, false)
    }

    /// Counts the attempts, and returns how many there were before this one.
    fn count(&mut self) -> Result<u32> {
        let attempts = self.attempts;
        self.attempts += 1;
        if self.attempts < ATTEMPTS { Ok(attempts) } else { Err(Error::Conflict) }
    }

    /// Checks whether the request may write together with others. A request under a lock writes alone, and so does one
    /// with a write in doubt, which the record of the others may contain.
    fn can_join(
        &self,
        state: &SessionState,
        context: &Context<'_>,
        id: &SessionId,
    ) -> Result<bool> {
        let merges = self.joins && context.policy.on_conflict() == OnConflict::Merge;
        let is_in_doubt =
            state.session.as_ref().is_some_and(|session| session.log.has_writes_in_doubt());
        match state.fence(id) {
            _ if !merges || is_in_doubt => Ok(false),
            Fence::Open => Ok(true),
            Fence::Locked(_) => Ok(false),
            Fence::Lost => Err(Error::LockLost),
        }
    }
}

/// The renewal of the id.
impl SaveMachine {
    /// Writes the session under the new id, where no request finds it yet.
    fn begin_renewal(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        expected: Revision,
    ) -> Result<Next> {
        let (Some(session), Some(renewal)) = (&mut state.session, &self.renewal) else {
            return Err(Error::Ended);
        };
        let mut metadata =
            session.metadata.clone().unwrap_or_else(|| Box::new(Metadata::new(self.now)));
        metadata.renew(self.now);
        if context.forward_of(session, &metadata, &renewal.id, self.now).is_none() {
            return self.unrenewed(state, context, Error::Conflict);
        }
        let (saved, record) = context.as_saved(&session.document, &session.cookie, Some(&metadata));
        context.policy.record_limits.check(&session.document, record.text.len())?;
        session.begin_write(context.policy);
        let pending = session.pending_write(record.clone());
        let id = renewal.id.clone();
        let call = match renewal.spare.clone() {
            None => StoreCall::Create { id, record: record.clone() },
            Some(expected) => StoreCall::Update { id, record: record.clone(), expected },
        };
        let write = Write { record, noted: Some(Box::new((saved, pending))) };
        self.stage = Stage::Moving { write, expected, metadata };
        Ok(Next::Call(call))
    }

    /// Replaces the old record by one that forwards to the new id.
    fn moved(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        write: Write,
        expected: Revision,
        spare: Revision,
        metadata: Box<Metadata>,
    ) -> Result<Next> {
        let (Some(session), Some(renewal)) = (&state.session, &mut self.renewal) else {
            return Err(Error::Ended);
        };
        renewal.spare = Some(spare.clone());
        let (id, to) = (session.id.clone(), &renewal.id);
        let forward = context.forward_of(session, &metadata, to, self.now);
        let record = forward.ok_or(Error::Conflict)?;
        let call = match state.fence(&id) {
            Fence::Open => StoreCall::Update { id, record, expected },
            Fence::Locked(token) => StoreCall::UpdateLocked { id, record, expected, token },
            Fence::Lost => return Err(Error::LockLost),
        };
        begin(state, &write);
        self.stage = Stage::Forwarding { write, spare, metadata };
        Ok(Next::Call(call))
    }

    fn forwarded(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        write: Write,
        spare: Revision,
        metadata: Box<Metadata>,
        answer: Result<Updated>,
    ) -> Result<Next> {
        match answer {
            Ok(Updated::Done(_)) => {
                let (Some(renewal), Some(noted)) = (self.renewal.take(), write.noted) else {
                    return Ok(Next::Done);
                };
                let (stored, write) = *noted;
                let (metadata, revision, in_batch) = (Some(metadata), spare, false);
                let target = Target::Own { write, stored, metadata, revision, in_batch };
                let resolution = Resolution::from(target).at(self.now).under(renewal.id);
                self.resolve(state, context, Box::new(resolution), true)
            }
            Ok(Updated::Conflict(theirs)) => {
                revoke(state, &write);
                match Follow::of(context, &theirs, self.now) {
                    Some(follow) => Ok(self.discard(Then::Follow(follow))),
                    // Nothing is to be left of a session that another one has ended.
                    None if context.is_marked(&theirs) => {
                        Ok(self.discard(Then::Follow(Follow::over())))
                    }
                    None => {
                        let resolution = Resolution::of(state, context, &theirs, self.now)?;
                        self.resolve(state, context, Box::new(resolution), false)
                    }
                }
            }
            Ok(Updated::Gone) => {
                revoke(state, &write);
                Ok(self.discard(Then::End))
            }
            Err(error) => {
                if error.is_definite() {
                    revoke(state, &write);
                }
                Err(error)
            }
        }
    }

    /// Abandons the renewal, because the new id cannot be used.
    fn unrenewed(
        &mut self,
        state: &mut SessionState,
        context: &Context<'_>,
        error: Error,
    ) -> Result<Next> {
        match self.renewal.take() {
            Some(renewal) if !renewal.is_optional => Err(error),
            _ if state.is_unsaved() => self.start(state, context, false),
            _ => Ok(Next::Done),
        }
    }

    /// Abandons the renewal: another request has renewed the id, or ended the session.
    fn discard(&mut self, then: Then) -> Next {
        self.stage = Stage::Discarding { then };
        // A renewal has a new id as long as it goes on.
        match self.renewal.take() {
            Some(renewal) => Next::Call(StoreCall::Destroy { id: renewal.id }),
            None => Next::Done,
        }
    }

    /// Goes on under the id to which the session's own forwards.
    fn follow(&mut self, state: &mut SessionState, follow: Follow, is_saved: bool) -> Result<Next> {
        let Some(id) = follow.target().cloned() else {
            // The session goes on under an id that this request cannot find out.
            let is_over = !follow.is_outlived();
            return Err(if is_over { state.end_elsewhere() } else { Error::Conflict });
        };
        self.stage = Stage::Following { follow, is_saved };
        Ok(Next::Call(StoreCall::Load { id }))
    }
}

/// Returns the outcome of an update under a lock.
fn fenced(state: &mut SessionState, answer: Result<Fenced, store::Error>) -> Result<Updated> {
    match answer {
        Ok(Fenced::Held(updated)) => Ok(updated),
        Ok(Fenced::Lost) => {
            state.set_lock_stage(super::LockStage::Lost);
            Err(Error::LockLost)
        }
        Err(error) => Err(Error::Store(error)),
    }
}

/// Notes that a write is on its way.
fn begin(state: &mut SessionState, write: &Write) {
    if let (Some(noted), Some(session)) = (&write.noted, &mut state.session) {
        session.log.begin_write(&noted.1);
    }
}

/// Notes that the store did not apply a write.
fn revoke(state: &mut SessionState, write: &Write) {
    if let (Some(noted), Some(session)) = (&write.noted, &mut state.session) {
        session.log.revoke_write(&noted.1);
    }
}

impl Error {
    /// Checks whether a write that failed with this error was certainly not applied.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        use store::ErrorKind::{Corrupt, Refused, Unsuitable, Unsupported};
        match self {
            Self::LockLost => true,
            Self::Store(error) => {
                error.is_unsent()
                    || matches!(error.kind(), Corrupt | Refused | Unsuitable | Unsupported)
            }
            Self::Ended
            | Self::ResponseSent
            | Self::CookieNotSent
            | Self::Degraded
            | Self::IdTaken
            | Self::Conflict
            | Self::Corrupt(_)
            | Self::Limit(_)
            | Self::Update(_)
            | Self::TooManyUpdates
            | Self::OutOfOrder => false,
        }
    }
}

/// How a session goes on from what the store has instead of what was expected.
pub struct Resolution {
    target: Target,
    /// The id that the session has from then on, if it was renewed.
    id: Option<SessionId>,
    /// When the record was found, if that is known.
    at: Option<Timestamp>,
}

enum Target {
    /// A write of this request is stored.
    Own {
        write: Arc<PendingWrite>,
        stored: Document,
        metadata: Option<Box<Metadata>>,
        revision: Revision,
        in_batch: bool,
    },
    /// Another request has stored this.
    Theirs {
        theirs: Document,
        cookie: StoredCookie,
        metadata: Option<Box<Metadata>>,
        revision: Revision,
    },
    /// Another request has stored a record of this revision, which is overwritten.
    Overwrite { metadata: Option<Box<Metadata>>, revision: Revision },
}

impl Resolution {
    /// Compares what the store has with the writes in doubt.
    ///
    /// It may be a write of this request whose answer was lost: then its text is the same. Another request may have
    /// written the same text, which makes no difference if the write only set and removed members. With updates in it,
    /// the outcome is unknown: each of two requests may have counted once. The text that others have written on top of a
    /// write in doubt may contain it or not: it is neither applied twice nor put back where another request has removed
    /// it.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] where a write in doubt may or may not be contained; [`Error::Corrupt`];
    /// [`Error::Ended`].
    pub fn of(
        state: &mut SessionState,
        context: &Context<'_>,
        theirs: &Loaded,
        now: Timestamp,
    ) -> Result<Self> {
        state.check_mark(context, theirs)?;
        let Some(session) = &state.session else { return Err(Error::Ended) };
        let revision = theirs.revision.clone();
        let merges = context.policy.on_conflict() == OnConflict::Merge;
        match session.log.find_write_in_doubt(&theirs.record.text) {
            Some(write) if !(merges && write.has_updates) => {
                let (stored, metadata) = context.parse_own(&theirs.record.text)?;
                let in_batch = write.batch_text.is_some();
                let target = Target::Own { write, stored, metadata, revision, in_batch };
                return Ok(Self::from(target).at(now));
            }
            _ if merges && session.log.has_writes_in_doubt() => return Err(Error::Conflict),
            _ => {}
        }
        // A record that cannot be read is not overwritten either.
        let Parsed { document: theirs, mut cookie, metadata } = context.parse(theirs, now)?;
        // Nor is one that only forwards, which is for `Follow`.
        if metadata.as_ref().is_some_and(|metadata| metadata.has_moved()) {
            return Err(Error::Conflict);
        }
        if !merges {
            return Ok(Self::from(Target::Overwrite { metadata, revision }).at(now));
        }
        cookie.reset_expiry(now);
        Ok(Self::from(Target::Theirs { theirs, cookie, metadata, revision }).at(now))
    }

    /// Adds that the record is under another id, to which the session's own forwards.
    #[must_use]
    pub fn under(self, id: SessionId) -> Self {
        Self { id: Some(id), ..self }
    }

    fn at(self, now: Timestamp) -> Self {
        Self { at: Some(now), ..self }
    }

    /// Goes on from a batch that is stored, with this request's entry in it.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`].
    pub fn of_batch(context: &Context<'_>, entry: &BatchEntry, stored: &Loaded) -> Result<Self> {
        let (write, revision) = (Arc::clone(&entry.0), stored.revision.clone());
        let (stored, metadata) = context.parse_own(&stored.record.text)?;
        Ok(Target::Own { write, stored, metadata, revision, in_batch: true }.into())
    }

    /// Goes on, or returns the work that comes before. It calls the application's own functions, so the driver runs it
    /// without a lock, and then calls [`finish`](Self::finish).
    pub fn begin(&self, state: &mut SessionState) -> Option<Rebase> {
        let session = state.session.as_deref_mut()?;
        match &self.target {
            Target::Own { write, stored, .. } if session.document.same_members(stored) => {
                session.document = stored.clone();
                session.log.go_on_from_write(write);
                self.note_own(session);
                self.take_id(state);
                None
            }
            // A change that was made while the store was busy becomes a change of the stored record.
            Target::Own { write, stored, .. } => {
                Some(session.log.rebase_since(write, &session.document, stored))
            }
            Target::Theirs { theirs, .. } => Some(session.log.rebase(&session.document, theirs)),
            Target::Overwrite { metadata, revision } => {
                session.merge_metadata(metadata.as_deref());
                session.view = StoreView::At(revision.clone());
                self.take_id(state);
                None
            }
        }
    }

    /// Goes on from the rebased document. Returns `false`, with nothing done, where a clone of the handle has changed
    /// the session meanwhile: then the driver begins again.
    pub fn finish(&self, state: &mut SessionState, rebased: Rebased) -> bool {
        let Some(session) = state.session.as_deref_mut() else { return true };
        if session.log.version != rebased.version {
            session.log.discard(rebased);
            return false;
        }
        match &self.target {
            Target::Own { .. } => {
                session.document = session.log.go_on_from(rebased);
                self.note_own(session);
            }
            Target::Theirs { cookie, metadata, revision, .. } => {
                session.merge_metadata(metadata.as_deref());
                session.view = StoreView::At(revision.clone());
                session.document = session.log.go_on_from(rebased);
                session.take_cookie(cookie);
            }
            Target::Overwrite { .. } => {}
        }
        self.take_id(state);
        true
    }

    /// Takes the new id, together with the revision of its record, and the time at which it was found.
    fn take_id(&self, state: &mut SessionState) {
        if let Some(id) = &self.id {
            state.take_renewed_id(id);
        }
        if let (Some(at), Some(session)) = (self.at, &mut state.session) {
            session.known_at = session.known_at.max(at);
        }
    }

    fn note_own(&self, session: &mut LoadedSession) {
        let Target::Own { write, stored, metadata, revision, in_batch } = &self.target else {
            return;
        };
        session.merge_metadata(metadata.as_deref());
        session.view = StoreView::At(revision.clone());
        session.saved = Some(if *in_batch {
            let cookie = write.snapshot.cookie.clone();
            session.take_cookie(&cookie);
            Arc::new(Snapshot { document: stored.clone(), cookie })
        } else {
            Arc::clone(&write.snapshot)
        });
    }
}

impl From<Target> for Resolution {
    fn from(target: Target) -> Self {
        Self { target, id: None, at: None }
    }
}

impl fmt::Debug for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resolution").field(&self.target).finish()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own { .. } => "Own",
            Self::Theirs { .. } => "Theirs",
            Self::Overwrite { .. } => "Overwrite",
        })
    }
}

impl fmt::Debug for SaveMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveMachine").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
