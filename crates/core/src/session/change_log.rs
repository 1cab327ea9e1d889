//! The changes of one request: their order, the ones that can be applied again, and the writes in doubt.

use std::any::TypeId;
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

/// The identity of a function that captures nothing: two updates by it are the same change twice.
pub type Function = TypeId;

/// The number of updates that a session keeps between two saves, so that a long-lived handle stays bounded. Updates of a
/// member by the same [`Function`] count as one.
pub const MAX_UPDATES: usize = 4096;

/// The number of writes in doubt that a session keeps to recognise. A store that was away for long is left with the first
/// of them or with the last.
const MAX_IN_DOUBT: usize = 4;

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
    /// The updates since the document's base.
    updates: Updates,
    /// The version of the last write that was begun. Updates before and after it stay apart.
    sealed: u64,
    /// The writes that the store may or may not have applied, at most [`MAX_IN_DOUBT`] of them.
    in_doubt: Vec<Arc<PendingWrite>>,
    /// Whether there are others, which are not recognised any more.
    has_unknown_writes: bool,
    discarded: Discarded,
}

/// The updates since the document's base, in the order in which they can be applied again.
#[derive(Clone, Default)]
struct Updates {
    /// The updates up to each run of those of all members.
    epochs: Vec<Epoch>,
    latest: MemberUpdates,
    len: usize,
}

/// The updates of each member, in order.
type MemberUpdates = BTreeMap<Box<str>, Vec<Update>>;

/// A run of updates of all members with no other change between them, and the updates of single members before it.
#[derive(Clone)]
struct Epoch {
    earlier: MemberUpdates,
    /// The functions, each with the session's version after it.
    run: Vec<(u64, Reapply)>,
    /// The session before and after the run.
    around: Arc<(Document, Document)>,
}

impl Epoch {
    /// Returns the part of the run after this version, when the session was `at`.
    fn since(&self, version: u64, at: &Document) -> Option<Self> {
        let later: Vec<_> = self.run.iter().filter(|(of, _)| *of > version).cloned().collect();
        let around = match later.len() {
            0 => return None,
            all if all == self.run.len() => Arc::clone(&self.around),
            _ => Arc::new((at.clone(), self.around.1.clone())),
        };
        Some(Self { earlier: MemberUpdates::new(), run: later, around })
    }
}

impl Updates {
    /// Returns the updates that are not part of the state of this version, when the session was `at`.
    fn since(&self, version: u64, at: &Document) -> Self {
        let of_member = |updates: &[Update]| -> Vec<_> {
            let later = updates.iter().filter(|update| update.version > version);
            let cut = |update: &Update| Update {
                overwrites_since: update.overwrites_since.filter(|since| *since > version),
                ..update.clone()
            };
            later.map(cut).collect()
        };
        let of_all = |members: &MemberUpdates| -> MemberUpdates {
            let later = members.iter().map(|(key, updates)| (key, of_member(updates)));
            let later = later.filter(|(_, updates)| !updates.is_empty());
            later.map(|(key, updates)| (key.clone(), updates)).collect()
        };
        let epochs = self.epochs.iter().filter_map(|epoch| {
            Some(Epoch { earlier: of_all(&epoch.earlier), ..epoch.since(version, at)? })
        });
        let mut later = Self { epochs: epochs.collect(), latest: of_all(&self.latest), len: 0 };
        let of_all_members: usize = later.epochs.iter().map(|epoch| epoch.run.len()).sum();
        later.len = of_all_members + later.of_members().count();
        later
    }

    fn of_members(&self) -> impl Iterator<Item = &Update> {
        let members = self.epochs.iter().map(|epoch| &epoch.earlier).chain([&self.latest]);
        members.flat_map(|members| members.values().flatten())
    }
}

/// Functions that are of no use any more: see [`SessionState::take_discarded`](super::SessionState::take_discarded).
#[derive(Default)]
pub struct Discarded(Vec<Reapply>);

impl Discarded {
    fn add(&mut self, updates: Updates) {
        for epoch in updates.epochs {
            self.0.extend(epoch.run.into_iter().map(|(_, reapply)| reapply));
            epoch.earlier.into_values().for_each(|updates| self.add_each(updates));
        }
        updates.latest.into_values().for_each(|updates| self.add_each(updates));
    }

    fn add_each(&mut self, updates: Vec<Update>) {
        self.0.extend(updates.into_iter().map(|update| update.reapply));
    }
}

impl fmt::Debug for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Discarded({})", self.0.len())
    }
}

/// An update of one member, or several by one function.
#[derive(Clone)]
struct Update {
    /// The session's version with this change.
    version: u64,
    /// The version of the change that overwrote the member before, while the store does not have that change. On
    /// top of an overwritten member, an update overwrites too.
    overwrites_since: Option<u64>,
    reapply: Reapply,
    function: Option<Function>,
    times: u32,
}

impl ChangeLog {
    /// Notes a change that overwrites a member. Earlier updates of it are not applied again.
    pub(super) fn overwrite(&mut self, key: &str) {
        self.overwritten = self.version;
        if let Some(gone) = self.updates.latest.remove(key) {
            self.updates.len -= gone.len();
            self.discarded.add_each(gone);
        }
    }

    /// Returns the version of the change by which a member was overwritten since the document's base, if it was
    /// changed otherwise than by updates.
    pub(super) fn overwritten_at(&self, document: &Document, key: &str) -> Option<u64> {
        let is_changed = match self.updates.epochs.last() {
            None => document.is_member_changed(key),
            Some(epoch) => document.get_raw(key) != epoch.around.1.get_raw(key),
        };
        if !is_changed {
            return None;
        }
        match self.updates.latest.get(key).and_then(|updates| updates.last()) {
            Some(update) => update.overwrites_since,
            None => Some(self.overwritten),
        }
    }

    /// Returns the update that another one by the same function only adds to.
    fn like(
        &mut self,
        key: &str,
        function: Option<Function>,
        overwrites_since: Option<u64>,
    ) -> Option<&mut Update> {
        let sealed = self.sealed;
        let last = self.updates.latest.get_mut(key)?.last_mut()?;
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
        if self.updates.len < MAX_UPDATES || self.like(key, function, overwrites_since).is_some() {
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
        self.updates.len += 1;
        let update = Update { version, overwrites_since, reapply, function, times: 1 };
        match self.updates.latest.get_mut(key) {
            Some(updates) => updates.push(update),
            None => drop(self.updates.latest.insert(key.into(), vec![update])),
        }
    }

    /// Notes an update of all members. Of those that follow each other only the first session and the last are kept.
    pub(super) fn update_all(&mut self, reapply: Reapply, before: Document, after: Document) {
        let version_before = self.version;
        self.version += 1;
        self.updates.len += 1;
        let update = (self.version, reapply);
        if let Some(epoch) = self.updates.epochs.last_mut()
            && epoch.run.last().is_some_and(|(version, _)| *version == version_before)
        {
            epoch.run.push(update);
            epoch.around = Arc::new((epoch.around.0.clone(), after));
            return;
        }
        self.updates.epochs.push(Epoch {
            earlier: std::mem::take(&mut self.updates.latest),
            run: vec![update],
            around: Arc::new((before, after)),
        });
    }

    /// Checks whether an update was applied to a value that the store has, so that applying it twice, or not at all, is
    /// another result.
    pub(super) fn has_updates(&self) -> bool {
        !self.updates.epochs.is_empty()
            || self.updates.of_members().any(|update| update.overwrites_since.is_none())
    }

    /// Puts these updates in place of the present ones.
    fn replace_updates(&mut self, updates: Updates) {
        let gone = std::mem::replace(&mut self.updates, updates);
        self.discarded.add(gone);
    }

    pub(super) fn discard(&mut self, rebased: Rebased) {
        self.discarded.add(rebased.updates);
    }

    pub(super) fn take_discarded(&mut self) -> Option<Discarded> {
        (!self.discarded.0.is_empty()).then(|| std::mem::take(&mut self.discarded))
    }

    /// Forgets all updates and writes: the document has been loaded again.
    pub(super) fn clear(&mut self) {
        self.version += 1;
        self.replace_updates(Updates::default());
        self.forget_writes();
    }

    /// Notes that no write is in doubt: the record is known, or there is none under this id.
    pub(super) fn forget_writes(&mut self) {
        self.in_doubt.clear();
        self.has_unknown_writes = false;
    }

    /// Notes that a write of the session as it is now begins.
    pub(super) fn seal(&mut self) {
        self.sealed = self.version;
    }

    /// Notes that a write is on its way. A write that changes no member is the same whether or not it is applied.
    pub(super) fn begin_write(&mut self, write: &Arc<PendingWrite>) {
        if !write.snapshot.document.is_changed() {
            return;
        }
        if self.in_doubt.len() == MAX_IN_DOUBT {
            self.in_doubt.remove(MAX_IN_DOUBT / 2);
            self.has_unknown_writes = true;
        }
        self.in_doubt.push(Arc::clone(write));
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
        self.has_unknown_writes || !self.in_doubt.is_empty()
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
            updates: self.updates.since(write.version, &write.snapshot.document),
            version: self.version,
        }
    }

    /// Notes that the rebased document is based on what the store has.
    pub(super) fn go_on_from(&mut self, rebased: Rebased) -> Document {
        self.replace_updates(rebased.updates);
        self.forget_writes();
        rebased.document
    }

    /// Goes on from the state that `write` stored, when the members are still the same.
    pub(super) fn go_on_from_write(&mut self, write: &PendingWrite) {
        if self.updates.len > 0 {
            let later = self.updates.since(write.version, &write.snapshot.document);
            self.replace_updates(later);
        }
        self.forget_writes();
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
    /// Merges member by member, then applies each update again whose member another request has changed; an update of
    /// all members is always applied again.
    ///
    /// # Errors
    ///
    /// [`Error::Update`] where an update fails on the new value.
    pub fn run(self) -> Result<Rebased> {
        let Self { mut base, ours, mut theirs, mut updates, version } = self;
        for epoch in &mut updates.epochs {
            let before = rebase_members(&base, &epoch.around.0, &theirs, &epoch.earlier)?;
            theirs = before.clone();
            for (_, reapply) in &epoch.run {
                reapply(&mut theirs, "").map_err(Error::Update)?;
            }
            base = epoch.around.1.clone();
            epoch.around = Arc::new((before, theirs.clone()));
        }
        let document = rebase_members(&base, &ours, &theirs, &updates.latest)?;
        Ok(Rebased { document, updates, version })
    }
}

fn rebase_members(
    base: &Document,
    ours: &Document,
    theirs: &Document,
    updates: &MemberUpdates,
) -> Result<Document> {
    let mut document = merge_since(base, ours, theirs).document;
    let mut contested: Vec<(&str, &Update)> = updates
        .iter()
        .filter(|(key, _)| base.get_raw(key) != theirs.get_raw(key))
        .flat_map(|(key, updates)| updates.iter().map(|update| (&**key, update)))
        .filter(|(_, update)| update.overwrites_since.is_none())
        .collect();
    contested.sort_by_key(|(_, update)| update.version);
    for (key, _) in &contested {
        match theirs.get_raw(key) {
            Some(value) => document.insert_raw(key, value),
            None => drop(document.remove(key)),
        }
    }
    for (key, update) in contested {
        for _ in 0..update.times {
            (update.reapply)(&mut document, key).map_err(Error::Update)?;
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

    const EMPTY: &str = r#"{"cookie":{}}"#;

    fn named() -> Option<Function> {
        Some(TypeId::of::<u8>())
    }

    #[test]
    fn audit_l4_updates_by_one_function_are_counted() {
        let mut log = ChangeLog::default();
        for _ in 0..100_000 {
            log.check_space("a", named(), None).unwrap();
            log.update("a", adding(1), named(), None);
            log.update("b", adding(1), named(), None);
        }
        assert_eq!(log.updates.len, 2);

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
    fn audit_l4_a_write_keeps_the_updates_before_and_after_it_apart() {
        let mut log = ChangeLog::default();
        log.update("a", adding(1), named(), None);
        log.seal();
        let written = log.version;
        log.update("a", adding(1), named(), None);
        log.update("a", adding(1), named(), None);
        let later = log.updates.since(written, &document(EMPTY));
        let times: Vec<_> = later.of_members().map(|update| update.times).collect();
        assert_eq!((log.updates.len, later.len, times), (2, 1, vec![2]));
    }

    #[test]
    fn audit_l4_count_of_an_update_that_is_full_is_followed_by_another() {
        let mut log = ChangeLog::default();
        log.update("a", adding(1), named(), None);
        log.updates.latest.get_mut("a").unwrap()[0].times = u32::MAX;
        log.update("a", adding(1), named(), None);
        let times: Vec<_> = log.updates.of_members().map(|update| update.times).collect();
        assert_eq!(times, [u32::MAX, 1]);
    }

    #[test]
    fn audit_l4_other_updates_have_an_end() {
        let mut log = ChangeLog::default();
        for amount in 0..MAX_UPDATES {
            log.check_space("a", None, None).unwrap();
            log.update("a", adding(amount as i64), None, None);
        }
        let refused = log.check_space("a", None, None).unwrap_err();
        assert!(matches!(refused, Error::TooManyUpdates));
        log.overwrite("a");
        log.check_space("a", None, None).unwrap();
        assert_eq!(log.take_discarded().unwrap().0.len(), MAX_UPDATES);
    }

    #[test]
    fn update_stays_an_overwriting_one_while_the_overwrite_is_not_stored() {
        for (overwritten, expected) in [(1, None), (2, None), (3, Some(3))] {
            let mut log = ChangeLog { version: 3, ..ChangeLog::default() };
            log.update("a", adding(1), None, Some(overwritten));
            let later = log.updates.since(2, &document(EMPTY));
            let since: Vec<_> = later.of_members().map(|update| update.overwrites_since).collect();
            assert_eq!(since, [expected], "{overwritten}");
        }
    }

    fn document(text: &str) -> Document {
        Document::parse(text).unwrap()
    }

    /// The application's function of all members, and its result for a document.
    fn doubled(before: &Document) -> (Reapply, Document) {
        let double: Reapply = Arc::new(|document, _| {
            let value = document.get::<i64>("a")?.unwrap_or(0) * 2;
            Ok(document.insert("a", &value)?)
        });
        let mut after = before.clone();
        double(&mut after, "").unwrap();
        (double, after)
    }

    #[test]
    fn update_of_all_members_comes_between_what_was_before_and_after_it() {
        let mut log = ChangeLog::default();
        let mut ours = document(r#"{"cookie":{},"a":1}"#);
        log.update("a", adding(1), None, None);
        ours.insert("a", &2).unwrap();
        let (double, after) = doubled(&ours);
        log.update_all(double, ours, after.clone());
        assert_eq!((log.version, log.updates.len), (2, 2));
        let mut ours = after;
        assert_eq!(log.overwritten_at(&ours, "a"), None);
        log.update("a", adding(1), None, None);
        ours.insert("a", &5).unwrap();
        assert_eq!((log.version, log.updates.len), (3, 3));

        let theirs = document(r#"{"cookie":{},"a":10}"#);
        let rebased = log.rebase(&ours, &theirs).run().unwrap();
        assert_eq!(rebased.document.get("a").unwrap(), Some(23));

        // A write after it has stored it: only what came later is applied again.
        let later = |version| log.updates.since(version, &document(EMPTY)).len;
        // The write before all of them keeps the update of the member that came before the one of all.
        assert_eq!((later(0), later(1), later(2), later(3)), (3, 2, 1, 0));
        ours.insert("a", &9).unwrap();
        assert!(log.overwritten_at(&ours, "b").is_none());
    }

    #[test]
    fn members_set_between_a_write_and_an_update_of_all_are_put_onto_what_the_write_stored() {
        let written = document(r#"{"cookie":{},"a":1}"#);
        let mut log = ChangeLog::default();
        log.update("a", adding(0), None, None);
        let write = pending(&written);
        assert_eq!(write.version, log.version);
        let mut ours = written;
        log.overwrite("b");
        ours.insert("b", &7).unwrap();
        let (double, after) = doubled(&ours);
        log.update_all(double, ours, after.clone());
        let stored = document(r#"{"cookie":{},"a":10}"#);
        let rebased = log.rebase_since(&write, &after, &stored).run().unwrap().document;
        assert_eq!((rebased.get("a").unwrap(), rebased.get("b").unwrap()), (Some(20), Some(7)));
    }

    #[test]
    fn functions_that_are_not_needed_any_more_are_handed_out() {
        let log = || {
            let mut log = ChangeLog::default();
            let base = document(r#"{"cookie":{},"a":1,"b":1}"#);
            log.update("a", adding(1), None, None);
            let (double, after) = doubled(&base);
            log.update_all(double, base, after);
            log.update("a", adding(1), None, None);
            log.update("b", adding(1), None, None);
            log.update("b", adding(2), None, None);
            log
        };
        let count = |log: &mut ChangeLog| log.take_discarded().map_or(0, |gone| gone.0.len());
        let mut overwritten = log();
        overwritten.overwrite("b");
        assert_eq!((overwritten.updates.len, count(&mut overwritten)), (3, 2));
        assert_eq!(format!("{:?}", Discarded(vec![adding(1)])), "Discarded(1)");

        let mut cleared = log();
        cleared.clear();
        assert_eq!((cleared.updates.len, count(&mut cleared)), (0, 5));

        let mut overtaken = log();
        let ours = document(r#"{"cookie":{},"a":1,"b":1}"#);
        let rebased = overtaken.rebase(&ours, &ours).run().unwrap();
        overtaken.discard(rebased);
        assert_eq!(count(&mut overtaken), 5);
    }

    /// L4: each update of all members kept the session before and after it.
    #[test]
    fn audit_l4_updates_of_all_members_keep_two_sessions_and_their_functions() {
        let mut log = ChangeLog::default();
        let mut ours = document(r#"{"cookie":{},"a":1}"#);
        let mut states = vec![ours.clone()];
        for _ in 0..10 {
            let (double, after) = doubled(&ours);
            log.update_all(double, ours, after.clone());
            ours = after;
            states.push(ours.clone());
        }
        assert_eq!((log.updates.epochs.len(), log.updates.len), (1, 10));
        let theirs = document(r#"{"cookie":{},"a":3}"#);
        let rebased = log.rebase(&ours, &theirs).run().unwrap();
        assert_eq!(rebased.document.get("a").unwrap(), Some(3 * 1024));

        // A write within the run: what came later is applied again, to what is stored.
        let write = PendingWrite { version: 7, ..pending(&states[7]) };
        let rebased = log.rebase_since(&write, &ours, &theirs).run().unwrap();
        assert_eq!(rebased.document.get("a").unwrap(), Some(3 * 8));
        assert_eq!(rebased.updates.len, 3);
        for (written, left) in [(0, 10), (9, 1), (10, 0)] {
            let write = PendingWrite { version: written, ..pending(&states[written as usize]) };
            let rebased = log.rebase_since(&write, &ours, &theirs).run().unwrap();
            assert_eq!(rebased.document.get("a").unwrap(), Some(3 << left), "{written}");
        }

        // Any other change ends the run.
        log.update("a", adding(1), None, None);
        ours.insert("a", &1025).unwrap();
        let (double, after) = doubled(&ours);
        log.update_all(double, ours, after.clone());
        assert_eq!((log.updates.epochs.len(), log.updates.len), (2, 12));
        let rebased = log.rebase(&after, &theirs).run().unwrap();
        assert_eq!(rebased.document.get("a").unwrap(), Some((3 * 1024 + 1) * 2));
    }

    /// L4: each write of an outage was kept, with its text.
    #[test]
    fn audit_l4_writes_in_doubt_are_few_and_the_others_are_known_to_be() {
        let mut log = ChangeLog::default();
        let write = |number: usize| {
            let mut document = document(EMPTY);
            document.insert("a", &number).unwrap();
            Arc::new(pending(&document))
        };
        let writes: Vec<_> = (0..1000).map(write).collect();
        for (before, write) in writes.iter().enumerate() {
            log.begin_write(write);
            assert_eq!(log.in_doubt.len(), (before + 1).min(MAX_IN_DOUBT));
            assert_eq!(log.has_unknown_writes, before >= MAX_IN_DOUBT);
        }
        for (number, is_kept) in [(0, true), (1, true), (2, false), (998, true), (999, true)] {
            let found = log.find_write_in_doubt(&writes[number].record.text);
            assert_eq!(found.is_some(), is_kept, "{number}");
        }
        writes.iter().for_each(|write| log.revoke_write(write));
        assert!(log.has_writes_in_doubt(), "those that are not kept");
        log.forget_writes();
        assert!(!log.has_writes_in_doubt());
    }

    /// A write of this session.
    fn pending(session: &Document) -> PendingWrite {
        let cookie = crate::cookie::StoredCookie::parse("{}", crate::Timestamp::MIN).unwrap();
        let document = session.clone();
        PendingWrite {
            record: Record { text: session.to_json("{}"), deadline: None },
            snapshot: Arc::new(Snapshot { document, cookie }),
            version: 1,
            has_updates: false,
            batch_text: None,
        }
    }

    #[test]
    fn write_in_doubt_is_found_by_its_text_or_that_of_its_batch() {
        let mut changed = document(r#"{"cookie":{}}"#);
        changed.insert("a", &1).unwrap();
        let batch = Arc::new(OnceLock::new());
        let batch_text = Some(Arc::clone(&batch));
        let write = Arc::new(PendingWrite { batch_text, ..pending(&changed) });
        let mut log = ChangeLog::default();
        log.begin_write(&write);
        assert!(log.find_write_in_doubt(&write.record.text).is_some());
        assert!(log.find_write_in_doubt("batch").is_none());
        batch.set("batch".into()).unwrap();
        assert!(log.find_write_in_doubt("batch").is_some());
        assert!(log.find_write_in_doubt("other").is_none());
        log.forget_writes();
        assert!(!log.has_writes_in_doubt());
    }
}
