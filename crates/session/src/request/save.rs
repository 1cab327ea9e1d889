//! Saving, against what other requests are saving: conditional writes, merges, and who goes first.

use std::sync::Arc;
use std::time::Duration;

use express_session_core::store::{Created, Fenced, Loaded, Record, Revision, Store as _, Updated};
use express_session_core::{Document, SessionId, Timestamp, decide, session::merge};
use futures_util::FutureExt as _;

use super::{Attempt, Known, Live, Phase, Shared, Snapshot, State, Update};
use crate::error::{Error, ErrorKind};
use crate::runtime::timeout::pause;

/// How often a save is tried when other requests keep writing the same session.
pub(super) const ATTEMPTS: u32 = 64;

/// The longest pause after the first try that failed, and after any. The timer knows whole milliseconds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// What came of a try to write a session.
pub(super) enum Tried {
    Done,
    /// The record is not there any more, and may be made anew.
    Again,
    /// Others have written meanwhile: what they wrote is taken in.
    Met,
    /// Those who write the same session do so together.
    Together,
}

impl Shared {
    /// Writes the session, against what others may be writing.
    pub(super) async fn write(&self, now: Timestamp) -> Result<(), Error> {
        for tries in 0..ATTEMPTS {
            match self.try_write(now).await? {
                Tried::Done => return Ok(()),
                Tried::Together => return Box::pin(self.write_together(now)).await,
                Tried::Met => self.pause_after(tries).await,
                Tried::Again => {}
            }
        }
        Err(Error::new(ErrorKind::Conflict))
    }

    /// Writes the session, unless others have.
    pub(super) async fn try_write(&self, now: Timestamp) -> Result<Tried, Error> {
        let policy = &self.config.policy;
        if self.joins_others()? {
            return Ok(Tried::Together);
        }
        let (id, known, attempt, written) = {
            let mut state = self.state();
            let Some(live) = &mut state.live else { return Err(Error::new(ErrorKind::Ended)) };
            live.begin_write(policy);
            let (written, record) = self.written_form(&live.document, &live.cookie);
            let attempt = Arc::new(Attempt {
                record,
                snapshot: Snapshot::of(live),
                version: live.version,
                together: None,
            });
            let known = live.known;
            if known == Known::Absent {
                live.known = Known::Attempted;
            }
            (live.id.clone(), known, attempt, written)
        };
        let store = &self.config.store;
        let expected = match known {
            Known::At(revision) => Some(revision),
            Known::Absent | Known::Attempted => {
                match store.create(&id, &attempt.record, now).await {
                    Ok(Created::Done(revision)) => {
                        return self.stored(&attempt, &written, revision).map(|()| Tried::Done);
                    }
                    Ok(Created::Taken) => {}
                    Err(error) => return Err(error.into()),
                }
                let ours = known == Known::Attempted;
                if !ours && decide::taken(policy) == decide::Surprise::Refuse {
                    self.state().live.iter_mut().for_each(|live| live.known = Known::Absent);
                    return Err(Error::new(ErrorKind::IdTaken));
                }
                store.load(&id, now).await?.map(|current| current.revision)
            }
        };
        let Some(expected) = expected else { return Ok(Tried::Again) };
        self.note_unsure(&attempt);
        let updated = self.update_in_store(&id, &attempt.record, expected, now).await;
        if updated.as_ref().is_err_and(Error::is_answer) {
            self.note_undone(&attempt);
        }
        match updated? {
            Updated::Done(revision) => {
                self.stored(&attempt, &written, revision).map(|()| Tried::Done)
            }
            Updated::Conflict(theirs) => {
                self.note_undone(&attempt);
                self.follow(&theirs, now)?;
                Ok(if self.can_join(&id)? { Tried::Together } else { Tried::Met })
            }
            Updated::Gone => self.meet_nothing().map(|()| Tried::Again),
        }
    }

    /// Writes the session, unless others write it too. Nothing is noted of it, since nobody is left to ask.
    pub(super) fn write_last(&self, state: &State, now: Timestamp) -> bool {
        let Some(live) = &state.live else { return false };
        if self.config.writers.has(&live.id) {
            return false;
        }
        let text = live.document.to_json(&self.cookie_text(&live.cookie));
        let record = Record { text, deadline: live.cookie.deadline() };
        let store = &self.config.store;
        match live.known {
            Known::Absent => {
                let created = store.create(&live.id, &record, now).now_or_never();
                matches!(created, Some(Ok(Created::Done(_))))
            }
            Known::At(revision) => {
                let updated = store.update(&live.id, &record, revision, now).now_or_never();
                matches!(updated, Some(Ok(Updated::Done(_))))
            }
            Known::Attempted => false,
        }
    }

    /// Asks what to do about a record that is gone, and does it: the session is over, or is written as a new
    /// one.
    pub(super) fn meet_nothing(&self) -> Result<(), Error> {
        let mut state = self.state();
        match decide::gone(&self.config.policy) {
            decide::Surprise::Refuse => {
                state.phase = Phase::Gone;
                Err(Error::new(ErrorKind::Ended))
            }
            decide::Surprise::Overwrite => {
                state.live.iter_mut().for_each(|live| live.known = Known::Absent);
                Ok(())
            }
        }
    }

    /// Waits after every second try that failed: the try after a pause finds out what others stored meanwhile,
    /// and the one after it goes on from there at once.
    pub(super) async fn pause_after(&self, tries: u32) {
        if tries % 2 == 1 {
            pause(self.backoff(tries)).await;
        }
    }

    /// Gives how long to wait after so many tries: a random part of a time that doubles, so that those who
    /// failed together do not meet again.
    fn backoff(&self, tries: u32) -> Duration {
        self.random_part_of(
            LONGEST_PAUSE.min(SHORTEST_PAUSE.saturating_mul(2_u32.saturating_pow(tries))),
        )
    }

    pub(super) fn random_part_of(&self, longest: Duration) -> Duration {
        let mut bytes = [0; 4];
        self.config.sources.random.fill(&mut bytes);
        longest.mul_f64(f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX))
    }

    /// Replaces the record; under a lock of this request, only while it is held.
    pub(super) async fn update_in_store(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let store = &self.config.store;
        let Some(holder) = self.holder_of(id)? else {
            return Ok(store.update(id, record, expected, now).await?);
        };
        match store.update_locked(id, record, expected, holder, now).await? {
            Fenced::Held(updated) => Ok(updated),
            Fenced::Lost => Err(self.lose_lock()),
        }
    }

    /// Notes that a write is on its way, until its outcome is known. One that changes no member is the
    /// same to everybody, whether it was done or not.
    pub(super) fn note_unsure(&self, attempt: &Arc<Attempt>) {
        if let Some(live) = &mut self.state().live
            && attempt.snapshot.document.is_changed()
        {
            live.unsure.push(Arc::clone(attempt));
        }
    }

    /// Notes that a write was not done.
    pub(super) fn note_undone(&self, attempt: &Arc<Attempt>) {
        if let Some(live) = &mut self.state().live {
            live.unsure.retain(|unsure| !Arc::ptr_eq(unsure, attempt));
        }
    }

    /// Goes on from what the store has instead of what was expected.
    ///
    /// It may be a write of our own, whose answer was lost: that is told by its text. What others have written
    /// on top of such a write may have ours in it or not, and nobody can tell: it is neither counted twice nor
    /// put back where somebody has removed it.
    pub(super) fn follow(&self, theirs: &Loaded, now: Timestamp) -> Result<(), Error> {
        let (own, is_unsure) = {
            let state = self.state();
            let unsure = state.live.as_ref().map_or(&[][..], |live| &live.unsure);
            let own = unsure.iter().rfind(|attempt| attempt.has_written(&theirs.record.text));
            (own.cloned(), !unsure.is_empty())
        };
        let merges = decide::conflict(&self.config.policy) == decide::Conflict::Merge;
        match own {
            Some(own) => {
                let stored = Document::parse(Arc::clone(&theirs.record.text))?;
                self.stored(&own, &stored, theirs.revision)
            }
            None if is_unsure && merges => Err(Error::new(ErrorKind::Conflict)),
            None => self.meet(theirs, now),
        }
    }

    /// Notes that the store has what was attempted.
    fn stored(
        &self,
        attempt: &Attempt,
        stored: &Document,
        revision: Revision,
    ) -> Result<(), Error> {
        self.go_on_from(attempt, stored, |live| {
            live.known = Known::At(revision);
            live.saved = Some(Arc::clone(&attempt.snapshot));
        })
    }

    /// Goes on from what the store has, with what was attempted in it, and perhaps what others put there. What
    /// was changed while the store was busy becomes a change of that.
    pub(super) fn go_on_from(
        &self,
        attempt: &Attempt,
        stored: &Document,
        note: impl FnOnce(&mut Live),
    ) -> Result<(), Error> {
        loop {
            let (ours, updates, version) = {
                let state = self.state();
                let Some(live) = &state.live else { return Ok(()) };
                (live.document.clone(), live.updates_since(attempt.version), live.version)
            };
            let document = if ours.same_members(stored) {
                stored.clone()
            } else {
                merged_since(&attempt.snapshot.document, &ours, stored, &updates)?
            };
            if let Some(live) = &mut self.state().live
                && live.version == version
            {
                live.document = document;
                live.updates = updates;
                live.unsure.clear();
                note(live);
                return Ok(());
            }
        }
    }

    /// Puts our changes onto what another request has stored. The user's own functions are called while
    /// no lock is held; where a clone of the handle changes the session meanwhile, it is done again.
    pub(super) fn meet(&self, theirs: &Loaded, now: Timestamp) -> Result<(), Error> {
        let revision = theirs.revision;
        let (theirs, mut cookie) = self.parse(theirs, now)?;
        cookie.reset_expiry(now);
        loop {
            let (ours, updates, version) = {
                let mut state = self.state();
                let Some(live) = &mut state.live else { return Ok(()) };
                if decide::conflict(&self.config.policy) == decide::Conflict::Overwrite {
                    live.known = Known::At(revision);
                    return Ok(());
                }
                (live.document.clone(), live.updates.clone(), live.version)
            };
            let merged = merged(&ours, &theirs, &updates)?;
            if let Some(live) = &mut self.state().live
                && live.version == version
            {
                live.known = Known::At(revision);
                live.unsure.clear();
                live.document = merged;
                live.take_cookie(&cookie);
                return Ok(());
            }
        }
    }
}

/// Merges what was changed since the load into what is stored now, and makes again what can be: each `update`
/// of a member that others changed too.
pub(super) fn merged(
    ours: &Document,
    theirs: &Document,
    updates: &[Update],
) -> Result<Document, Error> {
    merged_since(&ours.base(), ours, theirs, updates)
}

fn merged_since(
    base: &Document,
    ours: &Document,
    theirs: &Document,
    updates: &[Update],
) -> Result<Document, Error> {
    let mut document = merge::merge_since(base, ours, theirs).document;
    let again: Vec<_> = updates
        .iter()
        .filter(|update| update.on.is_none())
        .filter(|update| base.get_raw(&update.key) != theirs.get_raw(&update.key))
        .collect();
    for update in &again {
        document.revert_member(&update.key);
    }
    for update in again {
        (update.again)(&mut document, &update.key)?;
    }
    Ok(document)
}
