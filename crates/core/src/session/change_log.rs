//! The changes of one request: their order, the ones that can be applied again, and the writes in doubt.

use std::any::TypeId;
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

/// The identity of a function that captures nothing: two updates by it are the same change twice.
pub type Function = TypeId;

/// The number of updates that a session keeps between two saves, so that a long-lived handle stays bounded. Updates of a
/// member by the same [`Function`] count as one.
pub const MAX_UPDATES: usize = 4096;

/// The changes of a session since its document was loaded.
///
/// An update of all members divides the updates in time: what came before it is put onto a record first, then the
/// update is applied again, then what came after it.
#[derive(Default)]
pub(super) struct ChangeLog {
    /// The number of changes so far.
    pub(super) version: u64,
    /// The version of the last change that overwrote a member.
    overwritten: u64,
    /// The updates since the document's base, in order.
    updates: Vec<Update>,
    /// The version of the last write that was begun. Updates before and after it stay apart.
    sealed: u64,
    /// The writes that the store may or may not have applied.
    in_doubt: Vec<Arc<PendingWrite>>,
    discarded: Discarded,
}

/// Functions that are of no use any more: see [`SessionState::take_discarded`](super::SessionState::take_discarded).
#[derive(Default)]
pub struct Discarded(Vec<Update>);

impl Discarded {
    /// Checks whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Discarded({})", self.0.len())
    }
}

/// An update, or several by one function.
#[derive(Clone)]
struct Update {
    key: Box<str>,
    /// The session's version with this change.
    version: u64,
    /// The version of the change that overwrote the member before, while the store does not have that change. On
    /// top of an overwritten member, an update overwrites too.
    overwrites_since: Option<u64>,
    reapply: Reapply,
    function: Option<Function>,
    times: u32,
    /// The session before and after an update of all members; such an update has no key.
    around: Option<Arc<(Document, Document)>>,
}

impl ChangeLog {
    /// Notes a change that overwrites a member. Earlier updates of it are not applied again.
    pub(super) fn overwrite(&mut self, key: &str) {
        self.overwritten = self.version;
        let begin = self.begin_of_latest();
        let gone = self.updates.extract_if(begin.., |update| &*update.key == key);
        self.discarded.0.extend(gone);
    }

    /// Returns the version of the change by which a member was overwritten since the document's base, if it was
    /// changed otherwise than by updates.
    pub(super) fn overwritten_at(&self, document: &Document, key: &str) -> Option<u64> {
        let (earlier, latest) = self.updates.split_at(self.begin_of_latest());
        let is_changed = match earlier.last().and_then(|update| update.around.as_deref()) {
            None => document.is_member_changed(key),
            Some((_, after)) => document.get_raw(key) != after.get_raw(key),
        };
        if !is_changed {
            return None;
        }
        match latest.iter().rfind(|update| &*update.key == key) {
            Some(update) => update.overwrites_since,
            None => Some(self.overwritten),
        }
    }

    /// Returns the index of the first update after the last one of all members.
    fn begin_of_latest(&self) -> usize {
        self.updates.iter().rposition(|update| update.around.is_some()).map_or(0, |at| at + 1)
    }

    /// Returns the update that another one by the same function only adds to.
    fn like(
        &mut self,
        key: &str,
        function: Option<Function>,
        overwrites_since: Option<u64>,
    ) -> Option<&mut Update> {
        let (begin, sealed) = (self.begin_of_latest(), self.sealed);
        let last = self.updates[begin..].iter_mut().rfind(|update| &*update.key == key)?;
        let is_like = function.is_some()
            && last.function == function
            && last.overwrites_since == overwrites_since
            && last.version > sealed
            && last.times < u32::MAX;
        is_like.then_some(last)
    }

    /// Checks whether there is space for one more update.
    pub(super) fn check_space(
        &mut self,
        key: &str,
        function: Option<Function>,
        overwrites_since: Option<u64>,
    ) -> Result<()> {
        if self.updates.len() < MAX_UPDATES || self.like(key, function, overwrites_since).is_some()
        {
            return Ok(());
        }
        Err(Error::TooManyUpdates)
    }

    /// Notes an update.
    pub(super) fn update(
        &mut self,
        key: &str,
        reapply: Reapply,
        function: Option<Function>,
        overwrites_since: Option<u64>,
    ) {
        self.version += 1;
        let version = self.version;
        if let Some(like) = self.like(key, function, overwrites_since) {
            like.version = version;
            like.times += 1;
            return;
        }
        let (key, times, around) = (key.into(), 1, None);
        self.updates.push(Update {
            key,
            version,
            overwrites_since,
            reapply,
            function,
            times,
            around,
        });
    }

    /// Notes an update of all members.
    pub(super) fn update_all(&mut self, reapply: Reapply, before: Document, after: Document) {
        self.update("", reapply, None, None);
        if let Some(update) = self.updates.last_mut() {
            update.around = Some(Arc::new((before, after)));
        }
    }

    /// Returns the updates that are not part of the state of this version.
    fn updates_since(&self, version: u64) -> Vec<Update> {
        let later = self.updates.iter().filter(|update| update.version > version);
        let since = |update: &Update| update.overwrites_since.filter(|since| *since > version);
        later.map(|update| Update { overwrites_since: since(update), ..update.clone() }).collect()
    }

    /// Puts these updates in place of the present ones.
    fn replace_updates(&mut self, updates: Vec<Update>) {
        self.discarded.0.extend(std::mem::replace(&mut self.updates, updates));
    }

    pub(super) fn discard(&mut self, rebased: Rebased) {
        self.discarded.0.extend(rebased.updates);
    }

    pub(super) fn take_discarded(&mut self) -> Discarded {
        std::mem::take(&mut self.discarded)
    }

    /// Forgets all updates and writes: the document has been loaded again.
    pub(super) fn clear(&mut self) {
        self.version += 1;
        self.replace_updates(Vec::new());
        self.in_doubt.clear();
    }

    /// Notes that a write of the session as it is now begins.
    pub(super) fn seal(&mut self) {
        self.sealed = self.version;
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

    /// Returns the latest write in doubt that wrote this text.
    pub(super) fn find_own_write(&self, text: &str) -> Option<Arc<PendingWrite>> {
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

    /// Notes that the rebased document is based on what the store has.
    pub(super) fn go_on_from(&mut self, rebased: Rebased) -> Document {
        self.replace_updates(rebased.updates);
        self.in_doubt.clear();
        rebased.document
    }

    /// Goes on from the state that `write` stored, when the members are still the same.
    pub(super) fn go_on_from_write(&mut self, write: &PendingWrite) {
        if !self.updates.is_empty() {
            self.replace_updates(self.updates_since(write.version));
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
    updates: Vec<Update>,
    version: u64,
}

/// A document with the changes of two requests.
pub struct Rebased {
    pub(super) document: Document,
    updates: Vec<Update>,
    /// The version of the session whose changes are in the document.
    pub(super) version: u64,
}

impl Rebase {
    /// Merges member by member, then applies each update again whose member another request has changed; an update of
    /// all members is always applied again.
    ///
    /// # Errors
    ///
    /// [`Error::Update`] where an update fails on the new value.
    pub fn run(self) -> Result<Rebased> {
        let Self { mut base, ours, mut theirs, mut updates, version } = self;
        let mut begin = 0;
        for at in 0..updates.len() {
            let Some(around) = updates[at].around.take() else { continue };
            let (before, after) = &*around;
            let before = rebase_members(&base, before, &theirs, &updates[begin..at])?;
            theirs = before.clone();
            (updates[at].reapply)(&mut theirs, "").map_err(Error::Update)?;
            base = after.clone();
            updates[at].around = Some(Arc::new((before, theirs.clone())));
            begin = at + 1;
        }
        let document = rebase_members(&base, &ours, &theirs, &updates[begin..])?;
        Ok(Rebased { document, updates, version })
    }
}

fn rebase_members(
    base: &Document,
    ours: &Document,
    theirs: &Document,
    updates: &[Update],
) -> Result<Document> {
    let mut document = merge_since(base, ours, theirs).document;
    let is_contested = |update: &&Update| {
        update.overwrites_since.is_none()
            && base.get_raw(&update.key) != theirs.get_raw(&update.key)
    };
    for update in updates.iter().filter(is_contested) {
        match theirs.get_raw(&update.key) {
            Some(value) => document.insert_raw(&update.key, value),
            None => drop(document.remove(&update.key)),
        }
    }
    for update in updates.iter().filter(is_contested) {
        for _ in 0..update.times {
            (update.reapply)(&mut document, &update.key).map_err(Error::Update)?;
        }
    }
    Ok(document)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn adding(amount: i64) -> Reapply {
        Arc::new(move |document, key| {
            let value = document.get::<i64>(key)?.unwrap_or(0) + amount;
            Ok(document.insert(key, &value)?)
        })
    }

    fn named() -> Option<Function> {
        Some(TypeId::of::<u8>())
    }

    #[test]
    fn audit_low_updates_by_one_function_are_counted() {
        let mut log = ChangeLog::default();
        for _ in 0..100_000 {
            log.check_space("a", named(), None).unwrap();
            log.update("a", adding(1), named(), None);
            log.update("b", adding(1), named(), None);
        }
        assert_eq!(log.updates.len(), 2);

        let mut ours = Document::parse(r#"{"cookie":{},"a":1,"b":1}"#).unwrap();
        let base = ours.base();
        ours.insert("a", &100_001).unwrap();
        ours.insert("b", &100_001).unwrap();
        let theirs = Document::parse(r#"{"cookie":{},"a":7,"b":1}"#).unwrap();
        let rebased = log.rebase(&ours, &theirs).run().unwrap().document;
        assert_eq!(rebased.get::<i64>("a").unwrap(), Some(100_007));
        assert_eq!(
            rebased.get::<i64>("b").unwrap(),
            base.get("b").unwrap().map(|n: i64| n + 100_000)
        );
    }

    #[test]
    fn audit_low_a_write_keeps_the_updates_before_and_after_it_apart() {
        let mut log = ChangeLog::default();
        log.update("a", adding(1), named(), None);
        log.seal();
        let written = log.version;
        log.update("a", adding(1), named(), None);
        log.update("a", adding(1), named(), None);
        let later = log.updates_since(written);
        assert_eq!((log.updates.len(), later.len(), later[0].times), (2, 1, 2));
    }

    #[test]
    fn audit_low_other_updates_have_an_end() {
        let mut log = ChangeLog::default();
        for amount in 0..MAX_UPDATES {
            log.check_space("a", None, None).unwrap();
            log.update("a", adding(amount as i64), None, None);
        }
        let refused = log.check_space("a", None, None).unwrap_err();
        assert!(matches!(refused, Error::TooManyUpdates));
        log.overwrite("a");
        log.check_space("a", None, None).unwrap();
        assert_eq!(log.take_discarded().0.len(), MAX_UPDATES);
    }
}
