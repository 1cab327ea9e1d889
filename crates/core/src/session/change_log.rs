//! The changes of one request: their order, the ones that can be applied again, and the writes in doubt.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, OnceLock};

use super::merge::merge_since;
use super::state::Snapshot;
use super::{Error, Result};
use crate::Document;
use crate::store::Record;

/// An error of the caller's own function that changes a member.
pub type UpdateError = Box<dyn StdError + Send + Sync>;

/// An `update`: a change of one member that can be applied again to what another request has stored.
pub type Reapply =
    Arc<dyn Fn(&mut Document, &str) -> std::result::Result<(), UpdateError> + Send + Sync>;

/// The changes of a session since its document was loaded.
#[derive(Default)]
pub(super) struct ChangeLog {
    /// The number of changes so far.
    pub(super) version: u64,
    /// The version of the last change that overwrote a member.
    overwritten: u64,
    /// The updates since the document's base.
    updates: Updates,
    /// The writes that the store may or may not have applied.
    in_doubt: Vec<Arc<PendingWrite>>,
}

/// The updates of each member, in order.
type Updates = BTreeMap<Box<str>, Vec<Update>>;

/// One update.
#[derive(Clone)]
struct Update {
    /// The session's version with this change.
    version: u64,
    /// The version of the change that overwrote the member before, while the store does not have that change. On
    /// top of an overwritten member, an update overwrites too.
    overwrites_since: Option<u64>,
    reapply: Reapply,
}

impl ChangeLog {
    /// Notes a change that overwrites a member. Earlier updates of it are not applied again.
    pub(super) fn overwrite(&mut self, key: &str) {
        self.overwritten = self.version;
        self.updates.remove(key);
    }

    /// Returns the version of the change by which a member was overwritten since the document's base, if it was
    /// changed otherwise than by updates.
    pub(super) fn overwritten_at(&self, document: &Document, key: &str) -> Option<u64> {
        if !document.is_member_changed(key) {
            return None;
        }
        match self.updates.get(key).and_then(|updates| updates.last()) {
            Some(update) => update.overwrites_since,
            None => Some(self.overwritten),
        }
    }

    /// Notes an update.
    pub(super) fn update(&mut self, key: &str, reapply: Reapply, overwrites_since: Option<u64>) {
        self.version += 1;
        let version = self.version;
        let update = Update { version, overwrites_since, reapply };
        match self.updates.get_mut(key) {
            Some(updates) => updates.push(update),
            None => drop(self.updates.insert(key.into(), vec![update])),
        }
    }

    /// Checks whether an update was applied to a value that the store has, so that applying it twice, or not at all, is
    /// another result.
    pub(super) fn has_updates(&self) -> bool {
        self.updates.values().flatten().any(|update| update.overwrites_since.is_none())
    }

    /// Returns the updates that are not part of the state of this version.
    fn updates_since(&self, version: u64) -> Updates {
        let mut later = self.updates.clone();
        later.retain(|_, updates| {
            updates.retain(|update| update.version > version);
            for update in &mut *updates {
                update.overwrites_since = update.overwrites_since.filter(|since| *since > version);
            }
            !updates.is_empty()
        });
        later
    }

    /// Forgets all updates and writes: the document has been loaded again.
    pub(super) fn clear(&mut self) {
        self.version += 1;
        self.updates.clear();
        self.in_doubt.clear();
    }

    /// Notes that the session has no record under its new id yet.
    pub(super) fn forget_writes(&mut self) {
        self.in_doubt.clear();
    }

    /// Notes that a write is on its way. A write that changes no member is the same whether or not it is applied.
    pub(super) fn begin_write(&mut self, write: &Arc<PendingWrite>) {
        if write.snapshot.document.is_changed() {
            self.in_doubt.push(Arc::clone(write));
        }
    }

    /// Notes that the store did not apply a write.
    pub(super) fn revoke_write(&mut self, write: &Arc<PendingWrite>) {
        self.in_doubt.retain(|other| !Arc::ptr_eq(other, write));
    }

    /// Returns the latest write in doubt of this text. Another request may have written the same text.
    pub(super) fn find_write_in_doubt(&self, text: &str) -> Option<Arc<PendingWrite>> {
        self.in_doubt.iter().rfind(|write| write.has_written(text)).cloned()
    }

    pub(super) fn has_writes_in_doubt(&self) -> bool {
        !self.in_doubt.is_empty()
    }

    /// Returns the work of putting all changes onto `theirs`.
    pub(super) fn rebase(&self, ours: &Document, theirs: &Document) -> Rebase {
        Rebase {
            base: ours.base(),
            ours: ours.clone(),
            theirs: theirs.clone(),
            updates: self.updates.clone(),
            version: self.version,
        }
    }

    /// Returns the work of putting the changes that came after `write` onto what the store has.
    pub(super) fn rebase_since(
        &self,
        write: &PendingWrite,
        ours: &Document,
        stored: &Document,
    ) -> Rebase {
        Rebase {
            base: write.snapshot.document.clone(),
            ours: ours.clone(),
            theirs: stored.clone(),
            updates: self.updates_since(write.version),
            version: self.version,
        }
    }

    /// Notes that the rebased document is based on what the store has, with a write of this request in it.
    pub(super) fn go_on_from(&mut self, rebased: Rebased) -> Document {
        self.updates = rebased.updates;
        self.in_doubt.clear();
        rebased.document
    }

    /// Notes that the rebased document is based on what another request has stored.
    pub(super) fn go_on_from_theirs(&mut self, rebased: Rebased) -> Document {
        self.in_doubt.clear();
        rebased.document
    }

    /// Goes on from the state that `write` stored, when the members are still the same.
    pub(super) fn go_on_from_write(&mut self, write: &PendingWrite) {
        if !self.updates.is_empty() {
            self.updates = self.updates_since(write.version);
        }
        self.in_doubt.clear();
    }
}

/// A write that the store may or may not have applied.
pub(super) struct PendingWrite {
    pub(super) record: Record,
    /// The session as it was when the write began.
    pub(super) snapshot: Arc<Snapshot>,
    /// The session's version that is written.
    pub(super) version: u64,
    /// Whether the write has updates: a store with the same text may have the updates of another request in their place.
    pub(super) has_updates: bool,
    /// The text that was written for several requests, this one among them.
    pub(super) batch_text: Option<Arc<OnceLock<Arc<str>>>>,
}

impl PendingWrite {
    fn has_written(&self, text: &str) -> bool {
        let batch = self.batch_text.as_ref().and_then(|batch| batch.get());
        *self.record.text == *text || batch.is_some_and(|batch| **batch == *text)
    }
}

/// The work of putting one request's changes onto what another request has stored.
///
/// It is separate from the session's state because it calls the caller's own functions: a driver runs it while it
/// holds no lock.
pub struct Rebase {
    base: Document,
    ours: Document,
    theirs: Document,
    updates: Updates,
    version: u64,
}

/// A document with the changes of two requests.
pub struct Rebased {
    pub(super) document: Document,
    updates: Updates,
    /// The version of the session whose changes are in the document.
    pub(super) version: u64,
}

impl Rebase {
    /// Merges member by member, then applies each update again whose member another request has changed.
    ///
    /// # Errors
    ///
    /// [`Error::Update`] where an update fails on the new value.
    pub fn run(self) -> Result<Rebased> {
        let Self { base, ours, theirs, updates, version } = self;
        let mut document = merge_since(&base, &ours, &theirs).document;
        let mut contested: Vec<(&str, &Update)> = updates
            .iter()
            .filter(|(key, _)| base.get_raw(key) != theirs.get_raw(key))
            .flat_map(|(key, updates)| updates.iter().map(|update| (&**key, update)))
            .filter(|(_, update)| update.overwrites_since.is_none())
            .collect();
        contested.sort_by_key(|(_, update)| update.version);
        for (key, _) in &contested {
            document.revert_member(key);
        }
        for (key, update) in contested {
            (update.reapply)(&mut document, key).map_err(Error::Update)?;
        }
        Ok(Rebased { document, updates, version })
    }
}

impl fmt::Debug for Rebase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebase").field("version", &self.version).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rebased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebased").field("version", &self.version).finish_non_exhaustive()
    }
}
