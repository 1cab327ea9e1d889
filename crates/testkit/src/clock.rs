use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use express_session_core::{Clock, Timestamp};

/// A clock that stands still until it is moved.
///
/// Clones show the same time, so that a test can move the clock which a server was given.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use express_session_core::{Clock, Timestamp};
/// use express_session_testkit::FakeClock;
///
/// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
/// let server = { let clock = clock.clone(); move || clock.system_time() };
///
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().iso(), "2023-11-14T22:14:20.000Z");
/// assert_eq!(server(), SystemTime::from(clock.now()));
/// ```
#[derive(Clone, Debug)]
pub struct FakeClock(Arc<AtomicI64>);

impl FakeClock {
    /// Makes a clock that shows this time.
    #[must_use]
    pub fn new(time: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(time.millis())))
    }

    /// Returns the time that it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    /// Returns the time that it shows, as the standard library has it.
    #[must_use]
    pub fn system_time(&self) -> SystemTime {
        self.now().into()
    }

    /// Moves it forward. Parts of a millisecond are dropped.
    pub fn advance(&self, duration: Duration) {
        let later = |time| Some(Timestamp::from_millis(time).saturating_add(duration).millis());
        // Always moved: the closure always gives a time.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
    }

    /// Sets it, to a time before or after.
    ///
    /// ```
    /// # use express_session_core::{Clock, Timestamp};
    /// # use express_session_testkit::FakeClock;
    /// let clock = FakeClock::new(Timestamp::from_millis(5));
    /// clock.set(Timestamp::from_millis(-5));
    /// assert_eq!(clock.now().millis(), -5);
    /// ```
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.millis(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> SystemTime {
        self.system_time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_stops_at_the_latest_time_there_is() {
        let clock = FakeClock::new(Timestamp::from_millis(0));
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
