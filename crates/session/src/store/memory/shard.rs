//! One part of the store: a table of records, when each is due, and which was used last.
//!
//! Recency: two rings, as in a segmented LRU. A record that no request has loaded since its creation is in the
//! ring `fresh`, and moves to `returned` with the first load or touch. The store evicts fresh ones first.
//!
//! A record lives in a slot of a vector. The hash table holds slot numbers only; expiry and recency
//! are rings of slot numbers beside the vector, so that a session costs one slot, one table entry and
//! its text, and nothing is allocated for keeping it in order.
//!
//! Expiry: slots are filed in buckets of 16 seconds. A slot is filed no later than its deadline, and
//! stays where it is when the deadline moves later, so that a touch costs nothing here. When the
//! bucket is past, its slots are looked at one by one: what has expired goes, what has not is filed
//! again. Whether a record may be returned never depends on this, only on its deadline.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use express_session_core::store::{Created, Loaded, Record, Revision, Touched, Updated};
use express_session_core::{SessionId, Timestamp};
use hashbrown::HashTable;

use super::super::steady::Times;
use super::MemoryStore;
use super::chain::{Chain, NONE};
use super::key::{Key, Probe};
use super::sync::RandomState;

/// Slots looked at to find something expired before something live is evicted.
const EVICT_STEPS: usize = 8;
/// Slots that an empty shard keeps; if it has more, it gives all of them back.
const SPARE_SLOTS: usize = 1024;
/// The deadline of a record that has none. No time that JavaScript knows is as late.
const FOREVER: i64 = i64::MAX;
/// Milliseconds in a bucket, as a power of two: 16.4 s.
const BUCKET_BITS: u32 = 14;
/// The bucket of what is not filed: it has no deadline, or one after the year 3000.
const NEVER: i32 = i32::MAX;

/// The largest record that a shard takes, and whether it keeps the order of eviction.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// In bytes of the text.
    pub(super) record: usize,
    /// In bytes with the id and the overhead.
    pub(super) weight: usize,
    pub(super) evicts: bool,
}

impl Limits {
    #[cfg(test)]
    const NONE: Self = Self { record: usize::MAX, weight: usize::MAX, evicts: false };
}

/// The record is larger than the option of this name allows.
#[derive(Debug)]
pub(super) struct TooLarge(pub(super) &'static str);

/// The records that may be evicted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Victim {
    /// One that was not loaded since its creation, and is not the newest of these.
    Older,
    /// One that was not loaded since its creation.
    Fresh,
    /// Any.
    Any,
}

/// The result of a search for expired records.
#[derive(Default)]
pub(super) struct Reaped {
    /// Slots looked at. Fewer than asked for means that no past bucket is left.
    pub(super) steps: usize,
    /// Records removed.
    pub(super) removed: usize,
}

pub(super) struct Shard {
    hasher: RandomState,
    limits: Limits,
    /// Counts every writing in this shard. Being the shard's and not the record's, a number is not
    /// given again when an id is destroyed and created; it wraps after
    /// four billion writes, which matters only to a request that loads before and saves after just that many.
    revision: u32,
    table: HashTable<u32>,
    slots: Vec<Slot>,
    /// The ring of free slots.
    free: u32,
    /// The rings of `free` and of the buckets.
    filing: Chain,
    buckets: BTreeMap<i32, u32>,
    /// The rings of `fresh` and `returned`; without caps they are not kept.
    recency: Chain,
    /// Not loaded since their creation, the newest first.
    fresh: u32,
    /// Loaded or touched since then, the most recently used first.
    returned: u32,
    bytes: usize,
}

struct Slot {
    key: Key,
    /// `None` in a free slot.
    text: Option<Arc<str>>,
    deadline: i64,
    revision: u32,
    /// The bucket whose ring the slot is in, or [`NEVER`].
    filed: i32,
}

impl Slot {
    fn weight(&self) -> usize {
        weight(&self.key, self.text.as_deref().unwrap_or_default())
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.deadline > now.millis()
    }

    fn record(&self) -> Option<Record> {
        let deadline = (self.deadline != FOREVER).then(|| Timestamp::from_millis(self.deadline));
        self.text.clone().map(|text| Record { text, deadline })
    }

    fn loaded(&self) -> Option<Loaded> {
        let revision = Revision::new(self.revision.into());
        self.record().map(|record| Loaded { record, revision })
    }
}

impl Shard {
    pub(super) fn new(hasher: RandomState, limits: Limits) -> Self {
        Self {
            hasher,
            limits,
            revision: 0,
            table: HashTable::new(),
            slots: Vec::new(),
            free: NONE,
            filing: Chain::default(),
            buckets: BTreeMap::new(),
            recency: Chain::default(),
            fresh: NONE,
            returned: NONE,
            bytes: 0,
        }
    }

    pub(super) fn load(&mut self, probe: &Probe, times: Times) -> Option<Loaded> {
        let slot = self.live(probe, times)?;
        self.used(slot);
        self.slots[slot as usize].loaded()
    }

    pub(super) fn create(
        &mut self,
        probe: Probe,
        record: Record,
        times: Times,
    ) -> Result<Created, TooLarge> {
        if let Some(slot) = self.find(&probe) {
            if self.slots[slot as usize].is_live(times.ended()) {
                return Ok(Created::Taken);
            }
            self.remove(slot);
        }
        self.fits(&probe.key, &record.text)?;
        let revision = self.next_revision();
        let deadline = record.deadline.map(|new| times.end(None, new));
        self.insert(probe, Record { deadline, ..record }, revision);
        Ok(Created::Done(Revision::new(revision.into())))
    }

    /// Replaces a record. It does not count as a use: a request may create a record and update it.
    pub(super) fn update(
        &mut self,
        probe: &Probe,
        record: Record,
        expected: &Revision,
        times: Times,
    ) -> Result<Updated, TooLarge> {
        let Some(slot) = self.live(probe, times) else { return Ok(Updated::Gone) };
        let held = &self.slots[slot as usize];
        if expected.number() != Some(held.revision.into()) {
            return Ok(held.loaded().map_or(Updated::Gone, Updated::Conflict));
        }
        self.fits(&probe.key, &record.text)?;
        let revision = self.next_revision();
        self.slots[slot as usize].revision = revision;
        self.replace_text(slot, record.text);
        self.move_deadline(slot, record.deadline, times);
        Ok(Updated::Done(Revision::new(revision.into())))
    }

    /// Moves the deadline, and puts the cookie into the text, as express-session's own store does.
    /// A text that is no session is kept as it is.
    pub(super) fn touch(
        &mut self,
        probe: &Probe,
        times: Times,
        touch: impl FnOnce(&str) -> (Cow<'_, str>, Option<Timestamp>),
    ) -> Result<Touched, TooLarge> {
        let Some(slot) = self.live(probe, times) else { return Ok(Touched::Gone) };
        self.used(slot);
        let (text, deadline) = touch(self.slots[slot as usize].text.as_deref().unwrap_or_default());
        if let Cow::Owned(text) = text {
            self.fits(&probe.key, &text)?;
            self.replace_text(slot, text.into());
        }
        self.move_deadline(slot, deadline, times);
        Ok(Touched::Done)
    }

    pub(super) fn destroy(&mut self, probe: &Probe) {
        if let Some(slot) = self.find(probe) {
            self.remove(slot);
        }
    }

    /// Puts live sessions into `page`, from slot `from` on, until it has `limit`. Gives the slot to
    /// go on from, or `None` at the end of the shard.
    ///
    /// A session stays in its slot for as long as it lives, which is what makes a slot number a
    /// cursor that neither skips nor repeats one.
    pub(super) fn list(
        &self,
        from: usize,
        limit: usize,
        now: Timestamp,
        page: &mut Vec<(SessionId, Record)>,
    ) -> Option<usize> {
        for (at, slot) in self.slots.iter().enumerate().skip(from) {
            if page.len() >= limit {
                return Some(at);
            }
            if slot.is_live(now) {
                page.extend(slot.key.id().zip(slot.record()));
            }
        }
        None
    }

    /// Counts the live sessions. Expired ones are in buckets that have begun, so that only these few are
    /// checked.
    pub(super) fn count(&self, now: Timestamp) -> usize {
        let begun = self.buckets.range(..=bucket(now.millis()));
        let expired = begun.flat_map(|(_, head)| self.filing.iter(*head));
        self.table.len() - expired.filter(|slot| !self.slots[*slot as usize].is_live(now)).count()
    }

    /// Counts what is held, expired or not.
    pub(super) fn held(&self) -> usize {
        self.table.len()
    }

    /// Returns the bytes of ids, texts and overhead.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Removes everything, and gives it to be dropped where the lock is not held.
    #[must_use]
    pub(super) fn clear(&mut self) -> Self {
        let mut empty = Self::new(self.hasher.clone(), self.limits);
        // A number from before must not stand for anything that comes after.
        empty.revision = self.revision;
        std::mem::replace(self, empty)
    }

    /// Checks up to `steps` slots of past buckets, and removes the expired ones.
    pub(super) fn reap(&mut self, steps: usize, now: Timestamp) -> Reaped {
        let mut reaped = Reaped::default();
        while reaped.steps < steps {
            let Some((past, slot)) = self.buckets.first_key_value() else { break };
            if *past >= bucket(now.millis()) {
                break;
            }
            reaped.steps += 1;
            let slot = *slot;
            if self.slots[slot as usize].is_live(now) {
                self.unfile(slot);
                self.file(slot);
            } else {
                self.remove(slot);
                reaped.removed += 1;
            }
        }
        reaped
    }

    /// Removes up to `limit` expired records of the bucket that has begun and is not past yet.
    pub(super) fn reap_begun(&mut self, limit: usize, now: Timestamp) -> usize {
        let expired = self.begun(now).filter(|slot| !self.slots[*slot as usize].is_live(now));
        let expired: Vec<u32> = expired.take(limit).collect();
        expired.iter().for_each(|slot| self.remove(*slot));
        expired.len()
    }

    fn begun(&self, now: Timestamp) -> impl Iterator<Item = u32> + '_ {
        self.filing.iter(self.buckets.get(&bucket(now.millis())).copied().unwrap_or(NONE))
    }

    /// Checks that the tables, rings and sums agree. Returns the bytes.
    #[cfg(all(test, shuttle))]
    pub(super) fn checked_bytes(&self) -> usize {
        let used: Vec<_> = self.table.iter().map(|slot| &self.slots[*slot as usize]).collect();
        let weights = used.iter().map(|slot| slot.weight());
        assert_eq!(self.bytes, weights.sum::<usize>(), "the sum of what is held");
        let filed = self.buckets.values().flat_map(|head| self.filing.iter(*head)).count();
        let due = used.iter().filter(|slot| slot.filed != NEVER).count();
        assert_eq!(filed, due, "what is in a bucket");
        let free = self.filing.iter(self.free).count();
        assert_eq!(free + used.len(), self.slots.len(), "what is free, and what is not");
        if self.limits.evicts {
            let rings = [self.fresh, self.returned].map(|head| self.recency.iter(head).count());
            assert_eq!(rings[0] + rings[1], used.len(), "the rings of recency");
        }
        self.bytes
    }

    /// Evicts a record: one that has expired, if a short search finds it, and otherwise the least recently used
    /// of those that may go. Returns whether there was one.
    pub(super) fn evict(&mut self, victim: Victim, ended: Timestamp) -> bool {
        if self.reap(EVICT_STEPS, ended).removed > 0 {
            return true;
        }
        let mut few = self.begun(ended).take(EVICT_STEPS);
        let expired = few.find(|slot| !self.slots[*slot as usize].is_live(ended));
        drop(few);
        let last = |head| (head != NONE).then(|| self.recency.last(head));
        let slot = expired.or_else(|| match victim {
            Victim::Older => last(self.fresh).filter(|slot| *slot != self.fresh),
            Victim::Fresh => last(self.fresh),
            Victim::Any => last(self.fresh).or_else(|| last(self.returned)),
        });
        slot.inspect(|slot| self.remove(*slot)).is_some()
    }

    fn fits(&self, key: &Key, text: &str) -> Result<(), TooLarge> {
        if text.len() > self.limits.record {
            return Err(TooLarge("the record is larger than max_record_bytes allows"));
        }
        if weight(key, text) > self.limits.weight {
            return Err(TooLarge("the record is larger than max_bytes allows"));
        }
        Ok(())
    }

    fn next_revision(&mut self) -> u32 {
        self.revision = self.revision.wrapping_add(1);
        self.revision
    }

    fn find(&self, Probe { key, hash }: &Probe) -> Option<u32> {
        self.table.find(*hash, |slot| self.slots[*slot as usize].key == *key).copied()
    }

    /// Finds a live record, and removes one that has expired by both clocks.
    fn live(&mut self, probe: &Probe, times: Times) -> Option<u32> {
        let slot = self.find(probe)?;
        let held = &self.slots[slot as usize];
        if held.is_live(times.now) {
            return Some(slot);
        }
        if !held.is_live(times.ended()) {
            self.remove(slot);
        }
        None
    }

    fn used(&mut self, slot: u32) {
        if self.limits.evicts && self.returned != slot {
            self.unlink_recency(slot);
            self.recency.push(&mut self.returned, slot);
        }
    }

    fn unlink_recency(&mut self, slot: u32) {
        // Only the head of a ring has to be known to be in it.
        let head = if self.fresh == slot { &mut self.fresh } else { &mut self.returned };
        self.recency.unlink(head, slot);
    }

    fn insert(&mut self, Probe { key, hash }: Probe, record: Record, revision: u32) {
        let slot = self.free_slot();
        let deadline = record.deadline.map_or(FOREVER, Timestamp::millis);
        let held = &mut self.slots[slot as usize];
        *held = Slot { key, text: Some(record.text), deadline, revision, filed: NEVER };
        self.bytes += held.weight();
        self.file(slot);
        if self.limits.evicts {
            self.recency.push(&mut self.fresh, slot);
        }
        let Self { table, slots, hasher, .. } = self;
        table.insert_unique(hash, slot, |slot| {
            hasher.hash_one(slots[*slot as usize].key.as_bytes())
        });
    }

    fn remove(&mut self, slot: u32) {
        let hash = self.hasher.hash_one(self.slots[slot as usize].key.as_bytes());
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        self.bytes -= self.slots[slot as usize].weight();
        self.unfile(slot);
        if self.limits.evicts {
            self.unlink_recency(slot);
        }
        let held = &mut self.slots[slot as usize];
        held.key = Key::FREE;
        held.text = None;
        held.deadline = i64::MIN;
        self.filing.push(&mut self.free, slot);
        if self.table.is_empty() && self.slots.len() > SPARE_SLOTS {
            drop(self.clear());
        }
    }

    fn free_slot(&mut self) -> u32 {
        if self.free != NONE {
            let slot = self.free;
            self.filing.unlink(&mut self.free, slot);
            return slot;
        }
        // By an eighth and not twice: half of a large vector would lie idle.
        let spare = 16 + self.slots.len() / 8;
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(spare);
        }
        self.filing.grow(spare);
        if self.limits.evicts {
            self.recency.grow(spare);
        }
        self.slots.push(Slot {
            key: Key::FREE,
            text: None,
            deadline: i64::MIN,
            revision: 0,
            filed: NEVER,
        });
        // The memory for four billion slots is 300 GB, for each of the shards.
        (self.slots.len() - 1) as u32
    }

    fn replace_text(&mut self, slot: u32, text: Arc<str>) {
        let held = &mut self.slots[slot as usize];
        self.bytes -= held.weight();
        held.text = Some(text);
        self.bytes += held.weight();
    }

    fn move_deadline(&mut self, slot: u32, deadline: Option<Timestamp>, times: Times) {
        let held = &mut self.slots[slot as usize];
        let old = (held.deadline != FOREVER).then(|| Timestamp::from_millis(held.deadline));
        held.deadline = deadline.map_or(FOREVER, |new| times.end(old, new).millis());
        if bucket(held.deadline) < held.filed {
            self.unfile(slot);
            self.file(slot);
        }
    }

    fn file(&mut self, slot: u32) {
        let held = &mut self.slots[slot as usize];
        held.filed = bucket(held.deadline);
        if held.filed != NEVER {
            self.filing.push(self.buckets.entry(held.filed).or_insert(NONE), slot);
        }
    }

    fn unfile(&mut self, slot: u32) {
        if let Entry::Occupied(mut head) = self.buckets.entry(self.slots[slot as usize].filed) {
            self.filing.unlink(head.get_mut(), slot);
            if *head.get() == NONE {
                head.remove();
            }
        }
    }
}

fn weight(key: &Key, text: &str) -> usize {
    key.as_bytes().len() + text.len() + MemoryStore::RECORD_OVERHEAD
}

fn bucket(millis: i64) -> i32 {
    i32::try_from(millis >> BUCKET_BITS).unwrap_or(if millis < 0 { i32::MIN } else { NEVER })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const BUCKET: i64 = 1 << BUCKET_BITS;

    fn after(millis: i64) -> Timestamp {
        Timestamp::from_millis(NOW.millis() + millis)
    }

    fn times(now: Timestamp) -> Times {
        Times::new(now, now)
    }

    fn id(number: usize) -> SessionId {
        SessionId::new(format!("id-{number}")).unwrap()
    }

    fn record(deadline: Timestamp) -> Record {
        Record { text: r#"{"cookie":{}}"#.into(), deadline: Some(deadline) }
    }

    impl Shard {
        fn probe(&self, number: usize) -> Probe {
            Probe::new(&id(number), &self.hasher)
        }

        fn create_due(&mut self, number: usize, deadline: Timestamp) {
            let made = self.create(self.probe(number), record(deadline), times(NOW)).unwrap();
            assert!(matches!(made, Created::Done(_)));
        }

        fn touch_due(&mut self, number: usize, deadline: Timestamp) {
            let touched = self
                .touch(&self.probe(number), times(NOW), |text| (text.into(), Some(deadline)))
                .unwrap();
            assert_eq!(touched, Touched::Done);
        }
    }

    fn shard(records: usize, deadline: Timestamp) -> Shard {
        let mut shard = Shard::new(RandomState::default(), Limits::NONE);
        for number in 0..records {
            shard.create_due(number, deadline);
        }
        shard
    }

    #[test]
    fn huge_bucket_is_worked_off_in_small_steps() {
        let mut shard = shard(1000, after(1));
        let later = after(2 * BUCKET);
        for round in 1..=250 {
            let Reaped { steps, removed } = shard.reap(4, later);
            assert_eq!((steps, removed, shard.held()), (4, 4, 1000 - 4 * round));
        }
        assert_eq!(shard.reap(4, later).steps, 0);
        assert!(shard.buckets.is_empty());
    }

    #[test]
    fn touched_record_is_filed_again_only_when_its_bucket_is_past() {
        let mut shard = shard(1, after(1));
        let filed = bucket(after(1).millis());
        shard.touch_due(0, after(100 * BUCKET));
        assert_eq!(shard.buckets.keys().copied().collect::<Vec<_>>(), [filed]);

        let Reaped { steps, removed } = shard.reap(4, after(2 * BUCKET));
        assert_eq!((steps, removed), (1, 0));
        assert_eq!(shard.buckets.keys().copied().collect::<Vec<_>>(), [filed + 100]);
        assert_eq!(shard.reap(4, after(200 * BUCKET)).removed, 1);
    }

    #[test]
    fn deadline_that_moves_earlier_is_filed_earlier() {
        let mut shard = shard(1, after(100 * BUCKET));
        shard.touch_due(0, after(1));
        assert_eq!(shard.buckets.len(), 1);
        assert_eq!(shard.reap(4, after(2 * BUCKET)).removed, 1);
    }

    #[test]
    fn churn_reuses_slots_and_leaves_nothing_behind() {
        let mut shard = shard(10, after(1000 * BUCKET));
        let slots = shard.slots.capacity();
        for number in 10..100_000 {
            shard.create_due(number, after(number as i64));
            shard.destroy(&shard.probe(number - 10));
        }
        assert_eq!((shard.held(), shard.slots.len()), (10, 11));
        assert_eq!(shard.slots.capacity(), slots);
        assert!(shard.buckets.len() <= 10);
    }

    #[test]
    fn emptied_shard_gives_its_memory_back() {
        let mut shard = shard(10_000, after(1));
        assert!(shard.bytes > 10_000 * MemoryStore::RECORD_OVERHEAD);
        let _ = shard.reap(usize::MAX, after(2 * BUCKET));
        assert_eq!((shard.slots.capacity(), shard.bytes), (0, 0));
    }

    #[test]
    fn revision_of_a_cleared_or_destroyed_record_is_never_given_again() {
        let mut shard = shard(1, after(1000));
        let old = shard.load(&shard.probe(0), times(NOW)).unwrap().revision;
        drop(shard.clear());
        shard.create_due(0, after(1000));
        assert!(matches!(
            shard.update(&shard.probe(0), record(after(1000)), &old, times(NOW)),
            Ok(Updated::Conflict(_)),
        ));
    }

    #[test]
    fn distant_times_are_kept_apart_from_expired_ones() {
        let mut shard = Shard::new(RandomState::default(), Limits::NONE);
        for (number, deadline) in [Timestamp::MIN, NOW, Timestamp::MAX].into_iter().enumerate() {
            shard.create_due(number, deadline);
        }
        assert_eq!(shard.count(after(BUCKET * 2)), 1);
        assert_eq!(shard.reap(9, after(BUCKET * 2)).removed, 2);
        assert!(shard.load(&shard.probe(2), times(NOW)).is_some());
        assert!(shard.load(&shard.probe(2), times(Timestamp::MAX)).is_none());
    }

    #[test]
    fn slot_is_no_larger_than_promised() {
        assert_eq!(size_of::<Slot>(), 72);
    }
}
