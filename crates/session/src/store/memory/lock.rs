//! The locks of one part: the holder and the end of the lease for each locked id.
//!
//! They are kept apart from the records, since an id without a record may be locked. Only the end of its lease
//! decides whether a lock is held; the ends are also kept in order, so that ended leases are removed without
//! a scan. Without locks, all of this is one comparison.

use std::collections::BTreeSet;

use express_session_core::Timestamp;
use express_session_core::store::{FencingToken, LockOutcome, LockToken};
use hashbrown::HashTable;

use super::key::{Key, Probe};

/// Places that an empty table keeps; if it has more, it gives all of them back.
const SPARE: usize = 64;

#[derive(Default)]
pub(super) struct Locks {
    table: HashTable<Lease>,
    /// The end of each lease, with the hash of its id.
    ends: BTreeSet<(Timestamp, u64)>,
    /// The last fencing token of any id of this part.
    last_fence: u64,
}

struct Lease {
    key: Key,
    hash: u64,
    holder: LockToken,
    until: Timestamp,
    fence: FencingToken,
}

impl Locks {
    pub(super) fn lock(
        &mut self,
        probe: Probe,
        holder: LockToken,
        until: Timestamp,
        now: Timestamp,
    ) -> LockOutcome {
        let mut fence = FencingToken::after(self.last_fence, now);
        if let Some(lease) = self.find(&probe) {
            if lease.until > now {
                if lease.holder != holder {
                    return LockOutcome::Held;
                }
                fence = lease.fence;
            }
            self.remove(&probe);
        }
        self.last_fence = self.last_fence.max(fence.get());
        let Probe { key, hash } = probe;
        let lease = Lease { key, hash, holder, until, fence };
        self.table.insert_unique(hash, lease, |lease| lease.hash);
        self.ends.insert((until, hash));
        LockOutcome::Acquired(fence)
    }

    pub(super) fn is_held(&self, probe: &Probe, holder: LockToken, now: Timestamp) -> bool {
        self.find(probe).is_some_and(|lease| lease.holder == holder && lease.until > now)
    }

    pub(super) fn unlock(&mut self, probe: &Probe, holder: LockToken) {
        if self.find(probe).is_some_and(|lease| lease.holder == holder) {
            self.remove(probe);
        }
    }

    /// Removes up to `steps` locks whose lease is over, and says how many there were.
    pub(super) fn reap(&mut self, steps: usize, now: Timestamp) -> usize {
        for done in 0..steps {
            let Some((until, hash)) = self.ends.first().copied().filter(|(end, _)| *end <= now)
            else {
                return done;
            };
            self.ends.pop_first();
            let is_it = |lease: &Lease| lease.hash == hash && lease.until == until;
            if let Ok(entry) = self.table.find_entry(hash, is_it) {
                entry.remove();
            }
            self.give_back();
        }
        steps
    }

    fn find(&self, Probe { key, hash }: &Probe) -> Option<&Lease> {
        self.table.find(*hash, |lease| lease.key == *key)
    }

    fn remove(&mut self, Probe { key, hash }: &Probe) {
        if let Ok(entry) = self.table.find_entry(*hash, |lease| lease.key == *key) {
            let (Lease { until, .. }, _) = entry.remove();
            self.ends.remove(&(until, *hash));
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if self.table.is_empty() && self.table.capacity() > SPARE {
            self.table = HashTable::new();
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        assert_eq!(self.table.len(), self.ends.len());
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::sync::RandomState;

    use express_session_core::SessionId;

    use super::*;

    const ONE: LockToken = LockToken::from_random([1; 16]);
    const OTHER: LockToken = LockToken::from_random([2; 16]);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    fn probe(hasher: &RandomState, number: usize) -> Probe {
        Probe::new(&SessionId::new(format!("id-{number}")).unwrap(), hasher)
    }

    #[test]
    fn ended_leases_alone_are_removed_in_small_steps() {
        let (mut locks, hasher) = (Locks::default(), RandomState::default());
        for number in 0..1000 {
            let until = if number % 2 == 0 { at(1) } else { at(2) };
            locks.lock(probe(&hasher, number), ONE, until, at(0));
        }
        assert_eq!(locks.reap(4, at(0)), 0);
        assert_eq!((locks.reap(4, at(1)), locks.kept()), (4, 996));
        assert_eq!((locks.reap(1000, at(1)), locks.kept()), (496, 500));
        assert!((1..1000).step_by(2).all(|nth| locks.is_held(&probe(&hasher, nth), ONE, at(1))));
        assert_eq!((locks.reap(1000, at(2)), locks.kept()), (500, 0));
        assert_eq!(locks.table.capacity(), 0);
    }

    #[test]
    fn lock_has_one_end_however_often_it_is_taken() {
        let (mut locks, hasher) = (Locks::default(), RandomState::default());
        for round in 0..100 {
            let holder = if round % 2 == 0 { ONE } else { OTHER };
            assert!(matches!(
                locks.lock(probe(&hasher, 0), holder, at(1), at(0)),
                LockOutcome::Acquired(_)
            ));
            assert!(matches!(
                locks.lock(probe(&hasher, 0), holder, at(2 + round), at(0)),
                LockOutcome::Acquired(_)
            ));
            assert_eq!(locks.kept(), 1);
            locks.unlock(&probe(&hasher, 0), holder);
            assert_eq!(locks.kept(), 0);
        }
    }

    #[test]
    fn lock_that_is_over_is_not_held_before_it_has_gone() {
        let (mut locks, hasher) = (Locks::default(), RandomState::default());
        locks.lock(probe(&hasher, 0), ONE, at(1), at(0));
        assert!(locks.is_held(&probe(&hasher, 0), ONE, at(0)));
        assert!(!locks.is_held(&probe(&hasher, 0), ONE, at(1)));
        assert_eq!(locks.kept(), 1);
    }
}
