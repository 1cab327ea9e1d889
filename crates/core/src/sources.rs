//! Where time and random bytes come from. The engine has none of either; the layer brings them.

use std::time::SystemTime;

/// Tells the time. Any closure that gives a [`SystemTime`] is a clock.
///
/// A layer has the system's clock unless it is given another, in a test for instance.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use express_session_core::Clock;
///
/// let stopped = || UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// assert_eq!(stopped.now(), stopped.now());
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Gives the present.
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    /// use express_session_core::Clock;
    ///
    /// let stopped = || UNIX_EPOCH;
    /// assert_eq!(Clock::now(&stopped), UNIX_EPOCH);
    /// ```
    fn now(&self) -> SystemTime;
}

impl<F> Clock for F
where
    F: Fn() -> SystemTime + Send + Sync + 'static,
{
    fn now(&self) -> SystemTime {
        self()
    }
}

/// Fills a slice with random bytes. Any closure that does so is a source.
///
/// A layer has the operating system's cryptographic source unless it is given another. Session ids are
/// made of these bytes and nothing else: a source that can be guessed gives every session away, so one
/// of your own belongs in tests.
///
/// ```
/// use express_session_core::{Random, SessionId};
///
/// let zeros = |bytes: &mut [u8]| bytes.fill(0);
/// let mut bytes = [1; SessionId::RANDOM_BYTES];
/// zeros.fill(&mut bytes);
/// assert_eq!(bytes, [0; 24]);
/// ```
pub trait Random: Send + Sync + 'static {
    /// Fills all of `bytes`.
    ///
    /// ```
    /// use express_session_core::Random;
    ///
    /// let sevens = |bytes: &mut [u8]| bytes.fill(7);
    /// let mut bytes = [0; 3];
    /// Random::fill(&sevens, &mut bytes);
    /// assert_eq!(bytes, [7; 3]);
    /// ```
    fn fill(&self, bytes: &mut [u8]);
}

impl<F> Random for F
where
    F: Fn(&mut [u8]) + Send + Sync + 'static,
{
    fn fill(&self, bytes: &mut [u8]) {
        self(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn closure_is_a_clock_or_a_source_of_bytes() {
        let clock: &dyn Clock = &|| UNIX_EPOCH + Duration::from_secs(7);
        assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(7));
        let random: &dyn Random = &|bytes: &mut [u8]| bytes.fill(7);
        let mut bytes = [0; 3];
        random.fill(&mut bytes);
        assert_eq!(bytes, [7; 3]);
    }
}
