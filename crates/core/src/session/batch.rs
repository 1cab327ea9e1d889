//! One write for several requests of a process that save the same session concurrently.
//!
//! Of N writers that meet, one succeeds and N − 1 get a conflict. They queue up, and each in its turn puts its changes
//! onto what the others before it have put together ([`SessionState::begin_batch_entry`]). The last of the queue writes
//! for all: one compare-and-swap, whose outcome belongs to every entry.
//!
//! 1. No entry counts as stored before the outcome is there.
//! 2. A request can stop at any point. If it had begun the write, the next request in the queue writes the same text
//!    again before it adds an entry. If the store has another revision then, each entry decides for itself by
//!    [`Resolution::of`](super::Resolution::of): even an equal text may be another process's.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::Result;
use super::change_log::{PendingWrite, Rebase};
use super::forward::Follow;
use super::state::{Context, Parsed, SessionState, Snapshot, StoreView};
use crate::decide::Attributes;
use crate::store::{self, Loaded, Record, Revision, Updated};
use crate::{Metadata, Timestamp};

/// The state that the writers of one session hand on to the next in their queue.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// The record as the store has it, as far as this process knows.
    latest: Option<Loaded>,
    write: Option<Write>,
    /// How often another process has overtaken the batch in a row.
    overtaken: u32,
}

/// The write that is being put together.
#[derive(Debug)]
struct Write {
    record: Record,
    expected: Revision,
    /// The text whose write was begun.
    begun: Arc<OnceLock<Arc<str>>>,
}

/// The outcome of a batch.
#[derive(Clone, Debug)]
pub enum BatchOutcome {
    /// The store has this record.
    Stored(Loaded),
    /// Another process has written this record meanwhile.
    Overtaken {
        /// The record in the store.
        theirs: Loaded,
        /// Whether the batch is known not to be applied.
        is_certain: bool,
    },
    /// The record is gone.
    RecordGone,
    /// The store failed.
    Failed {
        /// The store's error.
        error: store::Error,
        /// Whether this was the only attempt to write the batch: then an error that is definite says that it is not
        /// applied.
        is_certain: bool,
    },
}

/// A write that was set aside.
#[derive(Debug)]
pub struct SetAside(Option<Write>);

/// The compare-and-swap of a batch.
#[derive(Debug)]
pub struct Flush {
    /// The new record.
    pub record: Record,
    /// The revision that it replaces.
    pub expected: Revision,
    may_be_applied: bool,
}

/// One request's part in a batch.
#[derive(Clone)]
pub struct BatchEntry(pub(super) Arc<PendingWrite>);

/// The beginning of a request's part in a batch.
#[derive(Debug)]
pub enum BatchBegin {
    /// Its changes are to be put into the batch.
    Draft(Box<BatchDraft>),
    /// Another request has renewed the session's id.
    Moved(Follow),
    /// The session is gone.
    Gone,
}

/// The work of putting one request's changes into a batch.
#[derive(Debug)]
pub struct BatchDraft {
    rebase: Option<Rebase>,
    metadata: Option<Box<Metadata>>,
    snapshot: Arc<Snapshot>,
    version: u64,
    has_updates: bool,
    expected: Revision,
}

impl WriteBatch {
    /// Checks whether a write of the batch was begun, and its outcome was not seen: the request that began it gave up.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.write.as_ref().is_some_and(|write| write.begun.get().is_some())
    }

    /// Checks whether this entry is part of the write that is being put together.
    #[must_use]
    pub fn has(&self, entry: &BatchEntry) -> bool {
        let (Some(write), Some(own)) = (&self.write, &entry.0.batch_text) else { return false };
        Arc::ptr_eq(&write.begun, own)
    }

    /// Checks whether there is anything to write.
    #[must_use]
    pub fn has_write(&self) -> bool {
        self.write.is_some()
    }

    /// Sets the write aside, so that an entry can be written alone.
    pub fn set_aside(&mut self) -> SetAside {
        SetAside(self.write.take())
    }

    /// Takes back what was set aside.
    pub fn put_back(&mut self, aside: SetAside) {
        self.write = aside.0;
    }

    /// Returns how often another process has overtaken the batch in a row.
    #[must_use]
    pub fn overtaken(&self) -> u32 {
        self.overtaken
    }

    /// Returns what an entry has to be put onto, if that is another record than the request knows.
    fn before(&self, known: &Revision) -> Option<Loaded> {
        match &self.write {
            Some(write) => {
                Some(Loaded { record: write.record.clone(), revision: write.expected.clone() })
            }
            None => self.latest.clone().filter(|latest| latest.revision != *known),
        }
    }

    /// Begins to write. `None` where there is nothing to write.
    pub fn begin_flush(&mut self) -> Option<Flush> {
        let write = self.write.as_ref()?;
        let may_be_applied = write.begun.set(Arc::clone(&write.record.text)).is_err();
        Some(Flush {
            record: write.record.clone(),
            expected: write.expected.clone(),
            may_be_applied,
        })
    }

    /// Ends a write with the store's answer.
    pub fn end_flush(
        &mut self,
        flush: Flush,
        answer: Result<Updated, store::Error>,
    ) -> BatchOutcome {
        self.write = None;
        let outcome = match answer {
            Ok(Updated::Done(revision)) => {
                BatchOutcome::Stored(Loaded { record: flush.record, revision })
            }
            Ok(Updated::Conflict(theirs)) => {
                BatchOutcome::Overtaken { theirs, is_certain: !flush.may_be_applied }
            }
            Ok(Updated::Gone) => BatchOutcome::RecordGone,
            Err(error) => BatchOutcome::Failed { error, is_certain: !flush.may_be_applied },
        };
        (self.latest, self.overtaken) = match &outcome {
            BatchOutcome::Stored(latest) => (Some(latest.clone()), 0),
            BatchOutcome::Overtaken { theirs, .. } => (Some(theirs.clone()), self.overtaken + 1),
            BatchOutcome::RecordGone => (None, 0),
            BatchOutcome::Failed { .. } => (None, self.overtaken),
        };
        outcome
    }
}

impl SessionState {
    /// Begins to put this request's changes into a batch.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](super::Error::Corrupt) where the record before it is none;
    /// [`Error::Conflict`](super::Error::Conflict) where it may contain a write of this request that is in doubt;
    /// [`Error::Ended`](super::Error::Ended) where another session has ended this one.
    pub fn begin_batch_entry(
        &mut self,
        context: &Context<'_>,
        batch: &WriteBatch,
        now: Timestamp,
    ) -> Result<BatchBegin> {
        let before = match self.session.as_deref().map(|session| &session.view) {
            Some(StoreView::At(known)) if context.policy.keeps_metadata() => batch.before(known),
            _ => None,
        };
        if let Some(before) = before {
            self.check_mark(context, &before)?;
        }
        let Some(session) = &mut self.session else { return Ok(BatchBegin::Gone) };
        session.begin_write(context.policy);
        let StoreView::At(known) = &session.view else { return Ok(BatchBegin::Gone) };
        let mut cookie = session.cookie.clone();
        let mut rebase = None;
        let mut expected = known.clone();
        if let Some(before) = batch.before(known) {
            // With a write in doubt, too: the record under the new id decides about it.
            if let Some(follow) = Follow::of(context, &before, now) {
                return Ok(BatchBegin::Moved(follow));
            }
            if session.log.has_writes_in_doubt() {
                return Err(super::Error::Conflict);
            }
            let parsed = context.parse(&before, now)?;
            let Parsed { document: theirs, cookie: mut their_cookie, metadata } = parsed;
            session.merge_metadata(metadata.as_deref());
            their_cookie.reset_expiry(now);
            if session.attributes() == Attributes::Same {
                cookie = their_cookie;
            }
            rebase = Some(session.log.rebase(&session.document, &theirs));
            expected = before.revision;
        }
        let snapshot = Arc::new(Snapshot { document: session.document.clone(), cookie });
        let (version, has_updates) = (session.log.version, session.log.has_updates());
        let metadata = session.metadata.clone();
        let draft = BatchDraft { rebase, metadata, snapshot, version, has_updates, expected };
        Ok(BatchBegin::Draft(Box::new(draft)))
    }

    /// Notes that the entry's write is on its way.
    pub fn note_batch_entry(&mut self, entry: &BatchEntry) {
        if let Some(session) = &mut self.session {
            session.log.begin_write(&entry.0);
        }
    }

    /// Notes that the entry's batch is gone. Unless the batch's write had begun, the store has not applied it.
    pub fn drop_batch_entry(&mut self, entry: &BatchEntry) {
        let begun = entry.0.batch_text.as_ref().and_then(|text| text.get());
        if begun.is_none() {
            self.revoke_batch_entry(entry);
        }
    }

    /// Notes that the store did not apply the entry's write.
    pub fn revoke_batch_entry(&mut self, entry: &BatchEntry) {
        if let Some(session) = &mut self.session {
            session.log.revoke_write(&entry.0);
        }
    }
}

impl BatchDraft {
    /// Puts the changes into the batch. Calls the application's own functions.
    ///
    /// # Errors
    ///
    /// Those of [`Rebase::run`]; [`Error::Limit`](super::Error::Limit), and the batch stays as it was.
    pub fn add_to(self, batch: &mut WriteBatch, context: &Context<'_>) -> Result<BatchEntry> {
        let Self { rebase, metadata, snapshot, version, has_updates, expected } = self;
        let rebased = rebase.map(Rebase::run).transpose()?;
        let document = rebased.as_ref().map_or(&snapshot.document, |rebased| &rebased.document);
        let (saved, record) = context.as_saved(document, &snapshot.cookie, metadata.as_deref());
        context.policy.record_limits.check(&saved, record.text.len())?;
        let begun = match &mut batch.write {
            Some(write) => {
                write.record = record.clone();
                Arc::clone(&write.begun)
            }
            empty => {
                let begun = Arc::default();
                let write = Write { record: record.clone(), expected, begun: Arc::clone(&begun) };
                *empty = Some(write);
                begun
            }
        };
        let batch_text = Some(begun);
        let write = PendingWrite { record, snapshot, version, has_updates, batch_text };
        Ok(BatchEntry(Arc::new(write)))
    }
}

impl fmt::Debug for BatchEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchEntry")
    }
}
