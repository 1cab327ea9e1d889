//! The order of an object's members in JavaScript, found in O(n log n) steps with any names.
//!
//! Names come from visitors. A step compares two names, or two of their hashes, and equal hashes are never taken for
//! equal names, so names that were chosen to collide cost no more than a constant factor.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::json;

/// Checks whether two of the keys are equal. Short lists compare pairs, long lists sort hashes.
pub(super) fn has_repeats<'a>(length: usize, key: impl Fn(usize) -> &'a str) -> bool {
    const FEW: usize = 8;
    if length <= FEW {
        return (1..length).any(|at| (0..at).any(|before| is_equal(key(before), key(at))));
    }
    let mut hashes: Vec<u32> = (0..length).map(|at| quick_hash(key(at))).collect();
    hashes.sort_unstable();
    hashes.windows(2).any(|pair| pair[0] == pair[1]) && {
        let sorted = sort(length, &key);
        sorted.windows(2).any(|pair| {
            pair[0].0 == pair[1].0 && is_equal(key(pair[0].1 as usize), key(pair[1].1 as usize))
        })
    }
}

/// Returns the members in JavaScript's order: array indices first, in numeric order. Of members with equal keys there is
/// one, at the place of the first and with the value of the last, as `JSON.parse` has it. Each member is a pair: the place
/// of its key and the place of its value.
///
/// The keys are normal, without their quotes.
pub(super) fn in_javascript_order<'a>(
    length: usize,
    key: impl Fn(usize) -> &'a str,
) -> Vec<(usize, usize)> {
    let equal = |one: &(u64, u32), other: &(u64, u32)| {
        one.0 == other.0 && is_equal(key(one.1 as usize), key(other.1 as usize))
    };
    let mut members: Vec<(usize, usize)> = sort(length, &key)
        .chunk_by(equal)
        .map(|equal| (equal[0].1 as usize, equal[equal.len() - 1].1 as usize))
        .collect();
    members.sort_by_cached_key(|(place, _)| {
        json::array_index(key(*place)).map_or((true, *place), |index| (false, index as usize))
    });
    members
}

/// Sorts places by the hash of their key, then by the key itself, then by place.
fn sort<'a>(length: usize, key: &impl Fn(usize) -> &'a str) -> Vec<(u64, u32)> {
    let mut sorted: Vec<(u64, u32)> =
        (0..length).zip(0..).map(|(at, place)| (hash(key(at)), place)).collect();
    sorted.sort_unstable_by(|one, other| {
        one.0.cmp(&other.0).then_with(|| {
            compare(key(one.1 as usize), key(other.1 as usize)).then(one.1.cmp(&other.1))
        })
    });
    sorted
}

/// FNV-1a, which is fast for short keys. Keys that collide are hashed again by [`hash`].
fn quick_hash(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// SipHash, of which no sets of colliding keys are known. Were there any, [`sort`] would compare them as text.
pub(super) fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Compares two keys, and counts that in tests.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    #[cfg(test)]
    steps::count();
    one.cmp(other)
}

fn is_equal(one: &str, other: &str) -> bool {
    #[cfg(test)]
    steps::count();
    one == other
}

/// The number of comparisons of keys, so that a test can bound them without a clock.
#[cfg(test)]
pub(super) mod steps {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<u64> = const { Cell::new(0) };
    }

    pub(in super::super) fn count() {
        STEPS.set(STEPS.get() + 1);
    }

    /// Returns how many comparisons `work` makes.
    pub(in super::super) fn of(work: impl FnOnce()) -> u64 {
        let before = STEPS.get();
        work();
        STEPS.get() - before
    }
}
