//! The store behind the bad network. It does what every store does, and looks on: what has ended in it
//! may never be there again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use express_session::store::{
    Created, Error, Fenced, FencingToken, Loaded, LockOutcome, LockToken, Record, Revision, Store,
    Touch, Touched, Updated,
};
use express_session::{SessionId, Timestamp};

use crate::plan::Setup;

/// A map that keeps what has ended, marked. Clones are the same.
#[derive(Clone)]
pub(crate) struct Audited(Arc<Inner>);

struct Inner {
    digests: bool,
    touches: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<String, Slot>,
    locks: BTreeMap<String, (LockToken, Timestamp, FencingToken)>,
    last_fence: u64,
    /// Counts the writings of all records, so that no number comes twice.
    writings: u128,
    again: Vec<(String, Timestamp)>,
    /// The renewals: from each old id to the new one, and the end of its grace period.
    moved: BTreeMap<String, (String, Timestamp)>,
}

impl State {
    /// Finds a live record for a load, and notes if it has expired.
    fn find(&mut self, id: &SessionId, now: Timestamp) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.as_str())?;
        slot.found_expired |= !slot.record.is_live(now);
        slot.is_live(now).then_some(slot)
    }

    /// Returns the record of the session that an id had, under the id that it has now.
    fn present<'a>(&'a self, mut id: &'a str) -> Option<&'a Slot> {
        while let Some((to, _)) = self.moved.get(id) {
            id = to;
        }
        self.slots.get(id)
    }
}

struct Slot {
    record: Record,
    revision: Revision,
    destroyed: bool,
    /// A load came after the deadline. A touch that began before it may still extend the record.
    found_expired: bool,
}

impl Slot {
    fn is_live(&self, now: Timestamp) -> bool {
        !self.destroyed && self.record.is_live(now)
    }

    /// Returns whether the record marks that its session is being ended.
    fn is_ending(&self) -> bool {
        self.record.text.contains(r#""movedTo":null"#)
    }

    fn loaded(&self) -> Loaded {
        Loaded { record: self.record.clone(), revision: self.revision.clone() }
    }
}

/// The store's record of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Never,
    Live,
    Expired,
    Destroyed,
}

impl Audited {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self(Arc::new(Inner {
            digests: setup.digests,
            touches: setup.touches,
            state: Mutex::default(),
        }))
    }

    pub(crate) fn kept(&self, id: &str, now: Timestamp) -> Kept {
        match self.state().present(id) {
            None => Kept::Never,
            Some(slot) if slot.destroyed || slot.is_ending() => Kept::Destroyed,
            Some(slot) if slot.record.is_live(now) => Kept::Live,
            Some(_) => Kept::Expired,
        }
    }

    /// Returns whether a load came after the record's deadline.
    pub(crate) fn was_found_expired(&self, id: &str) -> bool {
        self.state().present(id).is_some_and(|slot| slot.found_expired)
    }

    /// Returns the text of a live record.
    pub(crate) fn text(&self, id: &str, now: Timestamp) -> Option<Arc<str>> {
        let state = self.state();
        let slot = state.present(id).filter(|slot| slot.is_live(now) && !slot.is_ending())?;
        Some(Arc::clone(&slot.record.text))
    }

    /// Returns the renewals: from each new id to the one before.
    pub(crate) fn renewed(&self) -> BTreeMap<String, String> {
        let state = self.state();
        state.moved.iter().map(|(from, (to, _))| (to.clone(), from.clone())).collect()
    }

    /// Returns whether the grace period of an old id is over.
    pub(crate) fn is_outlived(&self, id: &str, now: Timestamp) -> bool {
        self.state().moved.get(id).is_some_and(|(_, until)| *until <= now)
    }

    /// Counts how often all records were written.
    pub(crate) fn writings(&self) -> u64 {
        u64::try_from(self.state().writings).unwrap()
    }

    /// Returns the sessions that had ended and were created again, and when.
    pub(crate) fn created_again(&self) -> Vec<(String, Timestamp)> {
        self.state().again.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn put(&self, state: &mut State, id: &SessionId, record: &Record) -> Revision {
        state.writings += 1;
        let revision = if self.0.digests {
            Revision::of_text(&record.text)
        } else {
            Revision::new(state.writings)
        };
        if let Some(moved) = moved(&record.text) {
            state.moved.insert(id.as_str().to_owned(), moved);
        }
        let old = state.slots.get(id.as_str());
        let found_expired = old.is_some_and(|slot| slot.found_expired);
        let record = record.clone();
        let slot = Slot { record, revision: revision.clone(), destroyed: false, found_expired };
        state.slots.insert(id.as_str().to_owned(), slot);
        revision
    }

    fn replace(
        &self,
        state: &mut State,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Updated {
        match state.slots.get(id.as_str()).filter(|slot| slot.is_live(now)) {
            None => Updated::Gone,
            Some(slot) if slot.revision != *expected => Updated::Conflict(slot.loaded()),
            Some(_) => Updated::Done(self.put(state, id, record)),
        }
    }
}

/// Returns where a record forwards to, and until when.
fn moved(text: &str) -> Option<(String, Timestamp)> {
    if !text.contains("\"movedTo\"") {
        return None;
    }
    let record: serde_json::Value = serde_json::from_str(text).unwrap();
    let member = &record["__sessionMetadata"];
    let until = Timestamp::from_millis(member["movedUntil"].as_i64().unwrap());
    Some((member["movedTo"].as_str()?.to_owned(), until))
}

impl Store for Audited {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        Ok(self.state().find(id, now).map(|slot| slot.loaded()))
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let mut state = self.state();
        if let Some(slot) = state.slots.get(id.as_str()) {
            if slot.is_live(now) {
                return Ok(Created::Taken);
            }
            state.again.push((id.as_str().to_owned(), now));
        }
        Ok(Created::Done(self.put(&mut state, id, record)))
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        Ok(self.replace(&mut self.state(), id, record, expected, now))
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let mut state = self.state();
        match state.slots.get_mut(id.as_str()).filter(|slot| slot.is_live(now)) {
            None => Ok(Touched::Gone),
            Some(slot) => {
                slot.record.deadline = touch.deadline;
                Ok(Touched::Done)
            }
        }
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        if let Some(slot) = self.state().slots.get_mut(id.as_str()) {
            slot.destroyed = true;
        }
        Ok(())
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let mut state = self.state();
        let taken = state.locks.get(id.as_str()).filter(|(_, until, _)| *until > now);
        let fence = match taken {
            Some((other, ..)) if *other != holder => return Ok(LockOutcome::Held),
            Some((_, _, fence)) => *fence,
            None => FencingToken::after(state.last_fence, now),
        };
        state.last_fence = state.last_fence.max(fence.get());
        let until = now.saturating_add(lease);
        state.locks.insert(id.as_str().to_owned(), (holder, until, fence));
        Ok(LockOutcome::Acquired(fence))
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let mut state = self.state();
        let held = state.locks.get(id.as_str());
        if !held.is_some_and(|(held, until, _)| *held == holder && *until > now) {
            return Ok(Fenced::Lost);
        }
        Ok(Fenced::Held(self.replace(&mut state, id, record, expected, now)))
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let mut state = self.state();
        if state.locks.get(id.as_str()).is_some_and(|(held, ..)| *held == holder) {
            state.locks.remove(id.as_str());
        }
        Ok(())
    }

    fn supports_touch(&self) -> bool {
        self.0.touches
    }
}
