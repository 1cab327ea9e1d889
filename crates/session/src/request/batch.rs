//! One write for several requests: those of this process that save the same session at the same time.
//!
//! Of N writers that meet, one is stored and N−1 are told of a conflict. They queue up, and each, in its turn,
//! puts its changes onto what those before it have put together. Then it steps back behind those that still
//! wait. Whoever has its turn and has nothing to add any more writes for all: one conditional write, whose
//! outcome is everybody's. So N writers that meet make N + 1 writes or a few more, and not 2 N.
//!
//! 1. Nothing is known to be stored before the outcome is there: a session's own state stays as it was.
//! 2. A request may stop at any await point, at its deadline or outside of a runtime. What it has put in may be
//!    stored then, or not. If it was the one that wrote, the next one writes the same text again before anything
//!    is put in, and finds out by it if it is there already.
//! 3. Requests of other processes are met as always, by the conflict: then all merge again, in memory.
//! 4. A request that holds the session's lock takes no part: it writes alone, under its fence.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use express_session_core::store::{self, Loaded, Record, Revision, Store as _, Updated};
use express_session_core::{Document, SessionId, Timestamp, decide};
use tokio::sync::watch;

use super::save::{ATTEMPTS, merged};
use super::{Attempt, Known, Shared, Snapshot};
use crate::error::{Error, ErrorKind};
use crate::runtime::keyed::KeyedGuard;

/// What the writers of one session hand on to the next in their queue.
#[derive(Default)]
pub(crate) struct Writers {
    /// The record as it is in the store, as far as is known here.
    latest: Option<Loaded>,
    batch: Option<Batch>,
    /// How often a batch was overtaken by another process, since one was not.
    overtaken: u32,
}

/// What is to be written for several requests.
struct Batch {
    record: Record,
    onto: Revision,
    /// What was tried to be written.
    tried: Arc<OnceLock<Arc<str>>>,
    outcome: watch::Sender<Option<Outcome>>,
}

/// What became of a batch.
#[derive(Clone)]
enum Outcome {
    Stored(Loaded),
    /// Another process wrote this in the meantime. Whether it did so on top of what was tried is not known where
    /// that had been tried before.
    Overtaken {
        theirs: Loaded,
        is_sure: bool,
    },
    Gone,
    Failed(store::Error),
}

/// A request's part in a batch.
struct Part {
    /// Its snapshot has the members as the request had them, before those of others were put in.
    attempt: Arc<Attempt>,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Batch {
    fn is_tried(&self) -> bool {
        self.tried.get().is_some()
    }
}

impl Part {
    fn is_in(&self, writers: &Writers) -> bool {
        let (Some(batch), Some(own)) = (&writers.batch, &self.attempt.together) else {
            return false;
        };
        Arc::ptr_eq(&batch.tried, own)
    }
}

impl Shared {
    /// Says whether others are writing this session right now, so that a write alone would meet them.
    pub(super) fn joins_others(&self) -> Result<bool, Error> {
        let met = {
            let state = self.state();
            let live = state.live.as_ref().filter(|live| matches!(live.known, Known::At(_)));
            live.filter(|live| self.config.writers.has(&live.id)).map(|live| live.id.clone())
        };
        met.map_or(Ok(false), |id| self.can_join(&id))
    }

    /// Says whether this request may write together with others.
    pub(super) fn can_join(&self, id: &SessionId) -> Result<bool, Error> {
        let merges = decide::conflict(&self.config.policy) == decide::Conflict::Merge;
        Ok(merges && self.holder_of(id)?.is_none())
    }

    pub(super) async fn write_together(&self, now: Timestamp) -> Result<(), Error> {
        let Some(id) = self.id() else { return Err(Error::new(ErrorKind::Ended)) };
        // Where the store does not keep what is written together, each writes its own: it may be another's
        // fault.
        let mut is_apart = false;
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let mut own = match turn.take() {
                Some(turn) => turn,
                None => self.config.writers.turn(&id).await,
            };
            if own.value.batch.as_ref().is_some_and(Batch::is_tried) {
                // Whoever wrote it gave up. It is as it was when it was tried, or nobody could tell
                // whether it is in the store.
                let outcome = self.carry_out(&id, &mut own.value, now).await;
                if let Some(Outcome::Failed(error)) = outcome {
                    let error = Error::from(error);
                    if error.fault() == decide::Fault::Outage {
                        return Err(error);
                    }
                }
            }
            let others = if is_apart { own.value.batch.take() } else { None };
            let Some(part) = self.join(&mut own.value, now)? else {
                return Err(Error::new(ErrorKind::Ended));
            };
            let outcome = if is_apart || !own.has_followers() {
                let outcome = self.carry_out(&id, &mut own.value, now).await;
                own.value.batch = others;
                turn = Some(own);
                outcome
            } else {
                drop(own);
                match self.step_back(&id, part.outcome.clone()).await {
                    Step::Done(outcome) => outcome,
                    Step::Write(mut own) => {
                        let outcome = if part.is_in(&own.value) {
                            self.carry_out(&id, &mut own.value, now).await
                        } else {
                            None
                        };
                        turn = Some(own);
                        outcome
                    }
                }
            };
            match outcome {
                Some(Outcome::Stored(stored)) => return self.stored_together(&part, &stored),
                Some(Outcome::Overtaken { theirs, is_sure }) => {
                    if is_sure {
                        self.note_undone(&part.attempt);
                    }
                    self.follow(&theirs, now)?;
                }
                Some(Outcome::Gone) => {
                    self.meet_nothing()?;
                    return Box::pin(self.write(now)).await;
                }
                Some(Outcome::Failed(error)) => {
                    let error = Error::from(error);
                    if error.is_answer() {
                        self.note_undone(&part.attempt);
                    }
                    if is_apart || error.fault() == decide::Fault::Outage {
                        return Err(error);
                    }
                    is_apart = true;
                }
                // Whoever was to write was dropped, and the batch with it.
                None => {}
            }
        }
        Err(Error::new(ErrorKind::Conflict))
    }

    /// Puts what this request has changed into what is to be written next.
    fn join(&self, writers: &mut Writers, now: Timestamp) -> Result<Option<Part>, Error> {
        let (ours, updates, cookie, is_same_cookie, known, version) = {
            let mut state = self.state();
            let Some(live) = &mut state.live else { return Ok(None) };
            live.begin_write(&self.config.policy);
            let is_same = live.attributes() == decide::Attributes::Same;
            let (document, updates) = (live.document.clone(), live.updates.clone());
            (document, updates, live.cookie.clone(), is_same, live.known, live.version)
        };
        let Known::At(revision) = known else { return Ok(None) };
        let before = match &writers.batch {
            Some(batch) => Some(Loaded { record: batch.record.clone(), revision: batch.onto }),
            None => writers.latest.clone().filter(|latest| latest.revision != revision),
        };
        let (document, cookie) = match &before {
            None => (ours.clone(), cookie),
            Some(before) => {
                let (theirs, mut their_cookie) = self.parse(before, now)?;
                their_cookie.reset_expiry(now);
                let cookie = if is_same_cookie { their_cookie } else { cookie };
                (merged(&ours, &theirs, &updates)?, cookie)
            }
        };
        let (_, record) = self.written_form(&document, &cookie);
        let onto = before.map_or(revision, |before| before.revision);
        let batch = match writers.batch.take() {
            Some(batch) => Batch { record: record.clone(), ..batch },
            None => Batch {
                record: record.clone(),
                onto,
                tried: Arc::default(),
                outcome: watch::Sender::new(None),
            },
        };
        let snapshot = Arc::new(Snapshot { document: ours, cookie });
        let together = Some(Arc::clone(&batch.tried));
        let attempt = Arc::new(Attempt { record, snapshot, version, together });
        let outcome = batch.outcome.subscribe();
        writers.batch = Some(batch);
        self.note_unsure(&attempt);
        Ok(Some(Part { attempt, outcome }))
    }

    /// Lets those who wait put their changes in, until somebody has written for all or it is this
    /// request's turn to do so.
    async fn step_back(
        &self,
        id: &SessionId,
        mut outcome: watch::Receiver<Option<Outcome>>,
    ) -> Step {
        let look = outcome.clone();
        let mut written = pin!(async move {
            // An error is a batch that is no more.
            outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
        });
        let mut turn = pin!(self.config.writers.turn(id));
        poll_fn(|context| {
            if let Poll::Ready(outcome) = written.as_mut().poll(context) {
                return Poll::Ready(Step::Done(outcome));
            }
            turn.as_mut().poll(context).map(|turn| match look.borrow().clone() {
                Some(outcome) => Step::Done(Some(outcome)),
                None => Step::Write(turn),
            })
        })
        .await
    }

    /// Writes what there is to write, and tells all who have a part in it. `None` where there is nothing.
    async fn carry_out(
        &self,
        id: &SessionId,
        writers: &mut Writers,
        now: Timestamp,
    ) -> Option<Outcome> {
        let batch = writers.batch.as_ref()?;
        // Those who overtook it are of other processes, and in no queue of ours.
        self.pause_after(writers.overtaken).await;
        // Two may well write the same, each for itself.
        let may_be_there = batch.tried.set(Arc::clone(&batch.record.text)).is_err();
        // If this is dropped, the batch stays for the next one.
        let updated = self.config.store.update(id, &batch.record, batch.onto, now).await;
        let batch = writers.batch.take()?;
        let outcome = match updated {
            Ok(Updated::Done(revision)) => {
                Outcome::Stored(Loaded { record: batch.record, revision })
            }
            Ok(Updated::Conflict(theirs))
                if may_be_there && theirs.record.text == batch.record.text =>
            {
                Outcome::Stored(theirs)
            }
            Ok(Updated::Conflict(theirs)) => Outcome::Overtaken { theirs, is_sure: !may_be_there },
            Ok(Updated::Gone) => Outcome::Gone,
            Err(error) => Outcome::Failed(error),
        };
        (writers.latest, writers.overtaken) = match &outcome {
            Outcome::Stored(latest) => (Some(latest.clone()), 0),
            Outcome::Overtaken { theirs, .. } => (Some(theirs.clone()), writers.overtaken + 1),
            Outcome::Gone => (None, 0),
            Outcome::Failed(_) => (None, writers.overtaken),
        };
        batch.outcome.send_replace(Some(outcome.clone()));
        Some(outcome)
    }

    /// Notes that the store has what this request has put in, and what others have.
    fn stored_together(&self, part: &Part, stored: &Loaded) -> Result<(), Error> {
        let document = Document::parse(Arc::clone(&stored.record.text))?;
        self.go_on_from(&part.attempt, &document, |live| {
            let cookie = part.attempt.snapshot.cookie.clone();
            live.known = Known::At(stored.revision);
            live.take_cookie(&cookie);
            live.saved = Some(Arc::new(Snapshot { document: document.clone(), cookie }));
        })
    }
}

/// How a request that stepped back goes on.
enum Step {
    /// Somebody has written for all; `None` where the batch is no more.
    Done(Option<Outcome>),
    /// It is this request's turn, and nobody has.
    Write(KeyedGuard<Writers>),
}
