//! A second clock for the stores of one machine, which a step of the machine's clock does not move.
//!
//! A store must not delete by the time of one call alone, since that clock may be wrong. A server has a clock
//! of its own; here it is the machine's time when the process first asked, plus the monotonic time since then.
//!
//! 1. A record has ended, and may be removed or replaced, if both clocks say so.
//! 2. Whether a record is returned depends on the time of the call alone.
//! 3. A record that is live by the second clock gets its whole lifetime from there, also in a call whose clock is
//!    behind. A clock that is ahead gives it the end that the clock says, which is later: on that machine an
//!    earlier end would already be over. Servers' clocks judge by the same rule, in the statements of their stores.
//! 4. The machine's clock is believed again once it has differed for [`PATIENCE`], so that cleanup goes on
//!    after a clock that was wrong at the start, and after a machine that slept.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use express_session_core::Timestamp;

/// For how long the machine's clock must differ until it is believed.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// The difference between the clocks that counts as none, in milliseconds.
const TOLERANCE: i64 = 1000;
/// How old the time of a call may be when the store carries it out: such a clock is not behind, and the record has the
/// end that the npm store would write.
pub(super) const DELAY: Duration = Duration::from_secs(5);

/// The two clocks at the time of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The time that the caller told.
    pub(super) now: Timestamp,
    /// The steady time, or that of a third clock which is earlier.
    earliest: Timestamp,
    /// The steady time, or that of a third clock which is later.
    latest: Timestamp,
}

impl Times {
    #[inline]
    pub(super) fn of(now: Timestamp) -> Self {
        let known = KNOWN.load(Ordering::Relaxed);
        let steady = if now.millis().saturating_sub(known) > TOLERANCE { ask() } else { known };
        let steady = Timestamp::from_millis(steady);
        Self { now, earliest: steady, latest: steady }
    }

    /// Adds a third clock, that of a file system.
    #[cfg(feature = "file")]
    pub(super) fn beside(self, third: Timestamp) -> Self {
        Self { earliest: self.earliest.min(third), latest: self.latest.max(third), ..self }
    }

    /// Returns the earliest time: what has ended by then has ended by all clocks.
    #[inline]
    pub(super) fn ended(self) -> Timestamp {
        self.now.min(self.earliest)
    }

    /// Returns the end of a record that ended at `old`, or of a new one, where the caller's clock says `new`.
    #[inline]
    pub(super) fn end(self, old: Option<Timestamp>, new: Timestamp) -> Timestamp {
        // The steady time that is known is an old one in a process that was idle, and the clock may have been set back to it.
        let latest = self.latest.max(Timestamp::from_millis(steady_now()));
        let fresh = Self { latest, ..self };
        let is_behind = self.is_behind(old, new) || fresh.is_behind(old, new);
        if is_behind { fresh.whole(new) } else { new }
    }

    /// Returns the end of a lease that begins in this call.
    pub(super) fn lease(self, lease: Duration) -> Timestamp {
        // A clock that is ahead does not keep a lock for longer.
        let now = self.ended();
        Self { now, ..self }.end(None, now.saturating_add(lease))
    }

    /// Returns whether the caller's clock is behind, and the record is live by the other one, before or after the call.
    fn is_behind(self, old: Option<Timestamp>, new: Timestamp) -> bool {
        let is_late = self.latest >= new || self.latest > self.now.saturating_add(DELAY);
        let is_live = new > self.latest || old.is_some_and(|old| old > self.latest);
        // An end that has come by the caller's own clock is meant.
        new > self.now && is_late && is_live
    }

    /// Returns the end after the same lifetime by the other clock.
    fn whole(self, new: Timestamp) -> Timestamp {
        new.saturating_add(Duration::from_millis(self.latest.millis().abs_diff(self.now.millis())))
    }

    #[cfg(test)]
    pub(super) fn new(now: Timestamp, steady: Timestamp) -> Self {
        Self { now, earliest: steady, latest: steady }
    }
}

/// The steady time when it was last asked for, in milliseconds since 1970: calls within a second of it need not
/// read a clock.
static KNOWN: AtomicI64 = AtomicI64::new(i64::MIN);
static ANCHOR: Mutex<Option<Anchor>> = Mutex::new(None);

/// The steady time at [`START`], in milliseconds since 1970.
static AT_START: AtomicI64 = AtomicI64::new(i64::MIN);
#[expect(clippy::disallowed_methods, reason = "the adapter of the clocks that cleanup judges by")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns the steady time of this moment, for the cost of the monotonic clock.
fn steady_now() -> i64 {
    match AT_START.load(Ordering::Relaxed) {
        i64::MIN => ask(),
        at_start => at_start.saturating_add(millis(START.elapsed())),
    }
}

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
    // Before the first call it is zero.
    let passed = millis(monotonic.saturating_duration_since(*START));
    AT_START.store(steady.saturating_sub(passed), Ordering::Relaxed);
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
    fn audit_m1_live_record_gets_its_whole_lifetime_by_the_other_clock() {
        const NONE: i64 = i64::MIN;
        for (now, steady, old, new, end) in [
            (0, 0, 100, 50, 50),
            (0, 0, 100, 200, 200),
            (0, 0, NONE, 200, 200),
            // Behind, and over by the steady clock.
            (-1000, 0, 100, -500, 500),
            (-1000, 0, 100, 0, 1000),
            (-9000, 0, 100, -500, 8500),
            // Behind, and nearly over: by more than a call may be late.
            (-5000, 0, 100, 1, 1),
            (-5001, 0, 100, 1, 5002),
            (-5001, 0, NONE, 1, 5002),
            (-9000, 0, -100, 1, 9001),
            // Meant to end.
            (-9000, 0, 100, -9000, -9000),
            (0, 0, 100, 0, 0),
            // Over by the steady clock before and after: so are the times of tests.
            (-9000, 0, 0, -500, -500),
            (-9000, 0, NONE, 0, 0),
            // Ahead.
            (9000, 0, 100, 9200, 9200),
            (9000, 0, NONE, 9200, 9200),
        ] {
            let (times, old) = (Times::new(at(now), at(steady)), (old != NONE).then(|| at(old)));
            let is_behind = times.is_behind(old, at(new));
            let found = if is_behind { times.whole(at(new)) } else { at(new) };
            assert_eq!(found, at(end), "now {now}, steady {steady}, old {old:?}, new {new}");
        }
    }

    #[test]
    fn audit_m1_end_is_counted_from_the_steady_time_of_the_call() {
        let real = Timestamp::from_millis(ask());
        let before = |seconds: i64| Timestamp::from_millis(real.millis() - seconds * 1000);
        // The time that is known is ten minutes old.
        let times = Times::new(before(3000), before(600));
        let end = times.end(None, before(300));
        assert!((2700..2760).contains(&((end.millis() - real.millis()) / 1000)), "{end:?}");
        assert_eq!(times.end(None, before(700)), before(700), "a time of a test");
        let lease = times.lease(Duration::from_secs(2500));
        assert!((2500..2560).contains(&((lease.millis() - real.millis()) / 1000)), "{lease:?}");
        // While the process was idle, the clock was set back nearly to the time that is known.
        for behind in [595, 599, 600, 601, 604, 606] {
            let times = Times::new(before(behind), before(600));
            let left = |end: Timestamp| (end.millis() - real.millis()) / 1000;
            let end = left(times.end(None, before(behind - 3600)));
            assert!((3600..3660).contains(&end), "{end} s instead of 3600, {behind} s behind");
            let lease = left(times.lease(Duration::from_secs(3600)));
            assert!((3600..3660).contains(&lease), "{lease} s instead of 3600, {behind} s behind");
        }
        let ahead = Times::new(at(9000), at(0)).lease(Duration::from_secs(1));
        assert_eq!(ahead, at(1000));
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
