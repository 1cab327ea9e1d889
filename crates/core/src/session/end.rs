//! The end of a session as a machine that says which store call comes next.
//!
//! Where ids are never renewed, it is one call of `destroy`. Otherwise a renewal may be under way: the record is marked by
//! a compare-and-swap before it is destroyed, so that the renewal fails; or it finds the record that forwards, and the
//! session is ended under its new id.
//!
//! Where a limit has ended the session by the clock of this machine, the store's clock is asked for first: by that one it
//! may go on.

use std::fmt;

use super::forward::Follow;
use super::save::ATTEMPTS;
use super::state::Context;
use super::{Answer, Error, Result, StoreCall};
use crate::policy::Ended;
use crate::store::{Loaded, Revision, Updated};
use crate::{SessionId, Timestamp};

/// The end of one session.
///
/// ```text
/// Start ──▶ Loading ──▶ Marking ──▶ Destroying ──▶ done
///   │          ▲           │
///   ▼          └───────────┘ the record forwards
/// Asking ──▶ Marking, Destroying, or done: it goes on by the store's clock
/// ```
///
/// ```
/// use express_session_core::session::{Answer, Context, DestroyMachine, StoreCall};
/// use express_session_core::{Policy, SessionId, Timestamp};
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let policy = Policy::default();
/// let context = Context::new(&policy, "connect.sid");
/// let mut end = DestroyMachine::new(SessionId::from_random([7; 24]), None, now);
///
/// // Ids are not renewed: it is one call.
/// assert!(matches!(end.start(&context), StoreCall::Destroy { .. }));
/// assert!(end.resume(&context, Answer::Destroyed(Ok(())))?.is_none());
/// # Ok::<(), express_session_core::session::Error>(())
/// ```
pub struct DestroyMachine {
    /// The limit that the store's clock has to confirm.
    ended: Option<Ended>,
    id: SessionId,
    known: Option<Revision>,
    /// Whether the request has had the session, and when its record was found.
    was_known: bool,
    since: Timestamp,
    now: Timestamp,
    /// The records that forward to the id, the oldest one first.
    forwards: Vec<SessionId>,
    attempts: u32,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Asking,
    Loading,
    Marking,
    Destroying,
}

impl DestroyMachine {
    /// Ends the session of an id, whose record had this revision at this time if it is known.
    #[must_use]
    pub fn new(id: SessionId, known: Option<(Revision, Timestamp)>, now: Timestamp) -> Self {
        let (known, since) = known.unzip();
        let (was_known, since) = (known.is_some(), since.unwrap_or(now));
        let (forwards, attempts, stage) = (Vec::new(), 0, Stage::Start);
        Self { ended: None, id, known, was_known, since, now, forwards, attempts, stage }
    }

    /// Ends the session of an id that was found over at `now`, in this revision, if it is over by the store's clock too.
    ///
    /// ```
    /// use express_session_core::policy::{Ended, EndedBy};
    /// use express_session_core::session::{Answer, Context, DestroyMachine, StoreCall};
    /// use express_session_core::store::Revision;
    /// use express_session_core::{Policy, SessionId, Timestamp};
    ///
    /// let [earlier, now] = [1_700_000_000_000, 1_700_003_600_000].map(Timestamp::from_millis);
    /// let policy = Policy::default();
    /// let context = Context::new(&policy, "connect.sid");
    /// let ended = Ended { by: EndedBy::Idle, at: Some(now) };
    /// let id = SessionId::from_random([7; 24]);
    /// let mut end = DestroyMachine::of_ended(ended, id, Revision::new(1), now);
    ///
    /// assert!(matches!(end.start(&context), StoreCall::Time));
    /// // The clock of this machine is an hour ahead: nothing is left to do.
    /// assert!(end.resume(&context, Answer::Time(Ok(earlier)))?.is_none());
    /// # Ok::<(), express_session_core::session::Error>(())
    /// ```
    #[must_use]
    pub fn of_ended(ended: Ended, id: SessionId, revision: Revision, now: Timestamp) -> Self {
        let ended = Some(ended).filter(|ended| ended.at.is_some());
        Self { ended, ..Self::new(id, Some((revision, now)), now) }
    }

    /// Begins.
    #[must_use]
    pub fn start(&mut self, context: &Context<'_>) -> StoreCall {
        if self.ended.is_some() {
            self.stage = Stage::Asking;
            return StoreCall::Time;
        }
        self.end(context)
    }

    fn end(&mut self, context: &Context<'_>) -> StoreCall {
        match self.known.take() {
            _ if context.policy.renewal().is_none() => self.destroy(),
            Some(revision) => self.mark(context, revision),
            None => self.load(),
        }
    }

    /// Goes on with the store's answer. `None` where nothing is left to do.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] where the store failed; [`Error::Conflict`] where other requests were faster at every attempt, or where
    /// the record is gone and may have been renewed before the last grace period; [`Error::OutOfOrder`].
    pub fn resume(&mut self, context: &Context<'_>, answer: Answer) -> Result<Option<StoreCall>> {
        match (self.stage, answer) {
            (Stage::Asking, Answer::Time(time)) => {
                let time = time?;
                let is_over = self.ended.is_none_or(|ended| ended.is_so_by(time));
                Ok(is_over.then(|| self.end(context)))
            }
            (Stage::Loading, Answer::Loaded(found)) => match found? {
                Some(loaded) => self.found(context, &loaded).map(Some),
                None => Ok(Some(self.destroy())),
            },
            (Stage::Marking, Answer::Updated(updated)) => match updated? {
                Updated::Conflict(theirs) => self.found(context, &theirs).map(Some),
                // No logout is to seem done that has not reached the session.
                Updated::Gone if context.policy.may_have_moved(self.since, self.now) => {
                    Err(Error::Conflict)
                }
                Updated::Done(_) | Updated::Gone => Ok(Some(self.destroy())),
            },
            (Stage::Destroying, Answer::Destroyed(destroyed)) => {
                destroyed?;
                Ok(self.forwards.pop().map(|id| {
                    self.id = id;
                    self.destroy()
                }))
            }
            _ => Err(Error::OutOfOrder),
        }
    }

    fn found(&mut self, context: &Context<'_>, loaded: &Loaded) -> Result<StoreCall> {
        self.attempts += 1;
        self.since = self.now;
        if self.attempts > ATTEMPTS {
            return Err(Error::Conflict);
        }
        let Some(follow) = Follow::of(context, loaded, self.now) else {
            return Ok(self.mark(context, loaded.revision.clone()));
        };
        match follow.target() {
            Some(to) => {
                self.forwards.push(std::mem::replace(&mut self.id, to.clone()));
                Ok(self.load())
            }
            // The request has had the session, which goes on under another id.
            None if follow.is_outlived() && self.was_known => Err(Error::Conflict),
            None => Ok(self.destroy()),
        }
    }

    fn load(&mut self) -> StoreCall {
        self.stage = Stage::Loading;
        StoreCall::Load { id: self.id.clone() }
    }

    fn mark(&mut self, context: &Context<'_>, expected: Revision) -> StoreCall {
        let Some(record) = context.ending(self.now) else { return self.destroy() };
        self.stage = Stage::Marking;
        StoreCall::Update { id: self.id.clone(), record, expected }
    }

    fn destroy(&mut self) -> StoreCall {
        self.stage = Stage::Destroying;
        StoreCall::Destroy { id: self.id.clone() }
    }
}

impl fmt::Debug for DestroyMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DestroyMachine").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
