//! A second clock for the stores of one machine, which a step of the machine's clock does not move.
//!
//! A store must not delete by the time of one call alone, since that clock may be wrong. A server has a clock
//! of its own; here it is the machine's time when the process first asked, plus the monotonic time since then.
//!
//! 1. A record has ended, and may be removed or replaced, if both clocks say so.
//! 2. Whether a record is returned depends on the time of the call alone.
//! 3. A touch or save by a clock that is behind does not give a live record an end that is already over.
//! 4. The machine's clock is believed again once it has differed for [`PATIENCE`], so that cleanup goes on
//!    after a clock that was wrong at the start, and after a machine that slept.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use express_session_core::Timestamp;

/// For how long the machine's clock must differ until it is believed.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// The difference between the clocks that counts as none, in milliseconds.
const TOLERANCE: i64 = 1000;

/// The two clocks at the time of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The time that the caller told.
    pub(super) now: Timestamp,
    steady: Timestamp,
}

impl Times {
    #[inline]
    pub(super) fn of(now: Timestamp) -> Self {
        let known = KNOWN.load(Ordering::Relaxed);
        let steady = if now.millis().saturating_sub(known) > TOLERANCE { ask() } else { known };
        Self { now, steady: Timestamp::from_millis(steady) }
    }

    /// Returns the earlier time: what has ended by then has ended by both clocks.
    #[inline]
    pub(super) fn ended(self) -> Timestamp {
        self.now.min(self.steady)
    }

    /// Returns whether the caller's clock is behind by more than a second.
    #[cfg(feature = "file")]
    pub(super) fn are_behind(self) -> bool {
        self.steady.millis().saturating_sub(self.now.millis()) > TOLERANCE
    }

    /// Returns the end that a record gets instead of `old`: `new`, unless that would end a live record only
    /// because the caller's clock is behind.
    #[inline]
    pub(super) fn end(self, old: Timestamp, new: Timestamp) -> Timestamp {
        // An end that has come by the caller's own clock is meant.
        if new <= self.steady && new > self.now && old > self.steady { old } else { new }
    }

    #[cfg(test)]
    pub(super) fn new(now: Timestamp, steady: Timestamp) -> Self {
        Self { now, steady }
    }
}

/// The steady time when it was last asked for, in milliseconds since 1970: calls within a second of it need not
/// read a clock.
static KNOWN: AtomicI64 = AtomicI64::new(i64::MIN);
static ANCHOR: Mutex<Option<Anchor>> = Mutex::new(None);

/// Reads the clocks. A store that many calls use does it now and then, so that its time is a recent one.
#[cold]
#[expect(clippy::disallowed_methods, reason = "the adapter of the clocks that cleanup judges by")]
pub(super) fn ask() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
    let monotonic = Instant::now();
    let mut anchor = ANCHOR.lock().unwrap_or_else(PoisonError::into_inner);
    let anchor = anchor.get_or_insert(Anchor { wall, monotonic, differs_since: None });
    let steady = anchor.observe(wall, monotonic);
    KNOWN.store(steady, Ordering::Relaxed);
    steady
}

/// Without a division of 128 bits, since a clock that is ahead is asked about in each call.
fn millis(time: Duration) -> i64 {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds.saturating_mul(1000).saturating_add(i64::from(time.subsec_millis()))
}

/// A time of the machine's clock that was believed, and the monotonic time then.
struct Anchor {
    wall: i64,
    monotonic: Instant,
    differs_since: Option<Instant>,
}

impl Anchor {
    /// Returns the steady time, and believes a machine's clock that has differed for long.
    fn observe(&mut self, wall: i64, monotonic: Instant) -> i64 {
        let passed = millis(monotonic.saturating_duration_since(self.monotonic));
        let steady = self.wall.saturating_add(passed);
        let since = match self.differs_since {
            _ if steady.abs_diff(wall) <= TOLERANCE.unsigned_abs() => {
                self.differs_since = None;
                return steady;
            }
            Some(since) => since,
            None => *self.differs_since.insert(monotonic),
        };
        if monotonic.saturating_duration_since(since) < PATIENCE {
            return steady;
        }
        *self = Self { wall, monotonic, differs_since: None };
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(NOW + millis)
    }

    #[expect(clippy::disallowed_methods, reason = "an instant has no other origin")]
    fn anchor() -> (Anchor, Instant) {
        let start = Instant::now();
        (Anchor { wall: NOW, monotonic: start, differs_since: None }, start)
    }

    #[test]
    fn audit_m1_step_of_the_machines_clock_does_not_move_the_steady_one() {
        for step in [25 * 60 * 60 * 1000, -DAY, 365 * DAY] {
            let (mut anchor, start) = anchor();
            for second in 0..3000 {
                let passed = second * 1000;
                let monotonic = start + Duration::from_secs(second as u64);
                assert_eq!(anchor.observe(NOW + passed + step, monotonic), NOW + passed, "{step}");
            }
            // The clock is right again, and stepped once more: that counts from the beginning.
            let right = start + Duration::from_secs(3000);
            assert_eq!(anchor.observe(NOW + 3_000_000, right), NOW + 3_000_000);
            let later = right + Duration::from_secs(1000);
            assert_eq!(anchor.observe(NOW + 4_000_000 + step, later), NOW + 4_000_000);
        }
    }

    #[test]
    fn audit_m1_clock_that_was_wrong_at_the_start_is_corrected_after_an_hour() {
        for step in [25 * 60 * 60 * 1000, -DAY, 365 * DAY] {
            let (mut anchor, start) = anchor();
            assert_eq!(anchor.observe(NOW + step, start), NOW);
            let hour = start + PATIENCE;
            assert_eq!(anchor.observe(NOW + DAY + step, hour), NOW + DAY + step);
            let later = hour + Duration::from_secs(7);
            assert_eq!(anchor.observe(NOW + DAY + step + 7000, later), NOW + DAY + step + 7000);
        }
    }

    #[test]
    fn audit_m1_only_an_end_that_a_clock_behind_gave_is_not_kept() {
        let times = |now, steady| Times::new(at(now), at(steady));
        for (now, steady, old, new, kept) in [
            (0, 0, 100, 50, 50),
            (0, 0, 100, 200, 200),
            // Behind: over by the steady clock, and only by that.
            (-1000, 0, 100, -500, 100),
            (-1000, 0, 100, 0, 100),
            (-1000, 0, 100, 1, 1),
            // Meant to end.
            (-1000, 0, 100, -1000, -1000),
            (0, 0, 100, 0, 0),
            // It had ended already by the steady clock.
            (-1000, 0, 0, -500, -500),
            // Ahead.
            (1000, 0, 100, 2000, 2000),
        ] {
            let end = times(now, steady).end(at(old), at(new));
            assert_eq!(end, at(kept), "now {now}, steady {steady}, old {old}, new {new}");
        }
    }

    #[test]
    fn audit_m1_what_has_ended_has_ended_by_both_clocks() {
        assert_eq!(Times::new(at(5), at(0)).ended(), at(0));
        assert_eq!(Times::new(at(-5), at(0)).ended(), at(-5));
        let real = Timestamp::from_millis(ask());
        let ahead = real.saturating_add(Duration::from_secs(25 * 60 * 60));
        assert!(Times::of(ahead).ended() < real.saturating_add(Duration::from_secs(600)));
        assert_eq!(Times::of(at(0)).ended(), at(0), "a time of the past is taken as it is");
    }
}
