//! One write for the requests of this process that save the same session concurrently.
//!
//! The requests queue up at [`Config::writers`](crate::layer::config::Config::writers). Each in its turn adds its
//! changes to the [`WriteBatch`](session::WriteBatch) and steps back behind the requests that wait; the one that finds no request waiting
//! behind it writes for all. N requests that meet make N + 1 writes or a few more: one each until they have met, and
//! then one for all.
//!
//! A request that holds the session's lock takes no part: it writes alone, under its fence.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use express_session_core::session::{
    self, ATTEMPTS, BatchBegin, BatchEnd, BatchEntry, BatchOutcome, Follow, Resolution,
};
use express_session_core::store::Store as _;
use express_session_core::{SessionId, Timestamp, decide};
use tokio::sync::watch;

use super::{Error, ErrorKind, RequestSession};
use crate::runtime::batcher::WriteBatcher;
use crate::runtime::keyed::KeyedGuard;
use crate::runtime::timeout::pause;

/// The longest pause after the first attempt that failed, and after any. The timer knows whole milliseconds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// How a request that stepped back goes on.
enum Turn {
    /// Another request has written for all; `None` where the batch was given up.
    Written(Option<BatchOutcome>),
    /// It is this request's turn to write.
    Write(KeyedGuard<WriteBatcher>),
}

/// The outcome of adding a request's changes to a batch.
enum Added {
    Entry(BatchEntry),
    /// Another request has renewed the session's id.
    Moved(Follow),
    /// The session is gone.
    Gone,
}

impl RequestSession {
    /// Writes together with the other requests of this process.
    pub(super) async fn write_in_batch(&self, now: Timestamp) -> Result<BatchEnd, Error> {
        let Some(id) = self.id() else { return Err(Error::new(ErrorKind::Ended)) };
        // Where the store refuses the batch, each request writes its own: the fault may be another's.
        let mut is_alone = false;
        let mut turn = None;
        for _ in 0..ATTEMPTS {
            let mut own = match turn.take() {
                Some(turn) => turn,
                None => self.config.writers.turn(&id).await,
            };
            if own.value.batch.is_begun() {
                // The request that began the write gave up. It is written again as it was: only then can its text tell
                // whether it was applied.
                if let Some(BatchOutcome::Failed { error, .. }) =
                    self.flush_batch(&id, &mut own.value, now).await
                {
                    let error = Error::from(error);
                    if error.fault() == decide::Fault::Outage {
                        return Err(error);
                    }
                }
            }
            let others = is_alone.then(|| own.value.set_aside());
            let entry = match self.add_entry(&mut own.value, now)? {
                Added::Entry(entry) => entry,
                Added::Moved(follow) => return Ok(BatchEnd::Moved(follow)),
                Added::Gone => return Err(Error::new(ErrorKind::Ended)),
            };
            let outcome = if is_alone || !own.has_followers() {
                let outcome = self.flush_batch(&id, &mut own.value, now).await;
                if let Some(others) = others {
                    own.value.put_back(others);
                }
                turn = Some(own);
                outcome
            } else {
                let outcome = own.value.subscribe();
                drop(own);
                match self.wait_for_batch(&id, outcome).await {
                    Turn::Written(outcome) => outcome,
                    Turn::Write(mut own) => {
                        let outcome = if own.value.batch.has(&entry) {
                            self.flush_batch(&id, &mut own.value, now).await
                        } else {
                            None
                        };
                        turn = Some(own);
                        outcome
                    }
                }
            };
            match outcome {
                Some(BatchOutcome::Stored(stored)) => {
                    self.resolve(&Resolution::of_batch(&self.context(), &entry, &stored)?)?;
                    return Ok(BatchEnd::Saved);
                }
                Some(BatchOutcome::Overtaken { theirs, is_certain }) => {
                    let resolution = {
                        let state = &mut self.state().session;
                        if is_certain {
                            state.revoke_batch_entry(&entry);
                        }
                        if let Some(follow) = Follow::of(&self.context(), &theirs, now) {
                            return Ok(BatchEnd::Moved(follow));
                        }
                        Resolution::of(state, &self.context(), &theirs, now)?
                    };
                    self.resolve(&resolution)?;
                }
                Some(BatchOutcome::RecordGone) => {
                    self.state().session.handle_missing_record(&self.config.policy, now)?;
                    return Ok(BatchEnd::Gone);
                }
                Some(BatchOutcome::Failed { error, is_certain }) => {
                    let error = session::Error::from(error);
                    if is_certain && error.is_definite() {
                        self.state().session.revoke_batch_entry(&entry);
                    }
                    let error = Error::from(error);
                    if is_alone || error.fault() == decide::Fault::Outage {
                        return Err(error);
                    }
                    is_alone = true;
                }
                // The batch is gone with the queue: the request that was to write was dropped, or left with the outcome of
                // an earlier batch.
                None => self.state().session.drop_batch_entry(&entry),
            }
        }
        Err(Error::new(ErrorKind::Conflict))
    }

    /// Adds what this request has changed to what is written next.
    fn add_entry(&self, writers: &mut WriteBatcher, now: Timestamp) -> Result<Added, Error> {
        let context = self.context();
        let begun = self.state().session.begin_batch_entry(&context, &writers.batch, now)?;
        let draft = match begun {
            BatchBegin::Draft(draft) => draft,
            BatchBegin::Moved(follow) => return Ok(Added::Moved(follow)),
            BatchBegin::Gone => return Ok(Added::Gone),
        };
        // Without a lock on the state: it calls the application's own functions.
        let entry = draft.add_to(&mut writers.batch, &context)?;
        self.state().session.note_batch_entry(&entry);
        Ok(Added::Entry(entry))
    }

    /// Lets the requests that wait add their changes, until one has written for all or it is this request's turn to
    /// write.
    async fn wait_for_batch(
        &self,
        id: &SessionId,
        mut outcome: watch::Receiver<Option<BatchOutcome>>,
    ) -> Turn {
        let seen = outcome.clone();
        let mut written = pin!(async move {
            // An error is a batch that was given up.
            outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
        });
        let mut turn = pin!(self.config.writers.turn(id));
        poll_fn(|context| {
            if let Poll::Ready(outcome) = written.as_mut().poll(context) {
                return Poll::Ready(Turn::Written(outcome));
            }
            turn.as_mut().poll(context).map(|turn| match seen.borrow().clone() {
                Some(outcome) => Turn::Written(Some(outcome)),
                None => Turn::Write(turn),
            })
        })
        .await
    }

    /// Writes the batch, and tells every request that has an entry in it. `None` where there is nothing to write.
    async fn flush_batch(
        &self,
        id: &SessionId,
        writers: &mut WriteBatcher,
        now: Timestamp,
    ) -> Option<BatchOutcome> {
        if !writers.batch.has_write() {
            return None;
        }
        // The requests that overtook the batch are in other processes, and in no queue of this one.
        self.back_off(writers.batch.overtaken()).await;
        let flush = writers.batch.begin_flush()?;
        // Where this future is dropped, the batch stays for the next request.
        let answer = self.config.store.update(id, &flush.record, &flush.expected, now).await;
        let outcome = writers.batch.end_flush(flush, answer);
        writers.publish(&outcome);
        Some(outcome)
    }

    /// Goes on from what the store has. Where a clone of the handle changes the session meanwhile, it is done again.
    pub(super) fn resolve(&self, resolution: &Resolution) -> Result<(), Error> {
        loop {
            let rebase = resolution.begin(&mut self.state().session);
            let Some(rebase) = rebase else { return Ok(()) };
            let rebased = rebase.run()?;
            if resolution.finish(&mut self.state().session, rebased) {
                return Ok(());
            }
        }
    }

    /// Waits after every second attempt that failed: the attempt after a pause finds out what others stored meanwhile,
    /// and the one after it goes on from there immediately.
    pub(super) async fn back_off(&self, attempts: u32) {
        if attempts % 2 == 1 {
            let longest = SHORTEST_PAUSE.saturating_mul(2_u32.saturating_pow(attempts));
            pause(self.jitter(LONGEST_PAUSE.min(longest))).await;
        }
    }

    /// Returns a random part of a pause, so that the requests that failed together do not meet again.
    pub(super) fn jitter(&self, longest: Duration) -> Duration {
        let mut bytes = [0; 4];
        self.config.sources.random.fill(&mut bytes);
        longest.mul_f64(f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX))
    }
}
