//! The sources of time and of random bytes, which the caller provides.

use std::time::SystemTime;

/// A source of the current time. Any closure that returns a [`SystemTime`] is a clock.
///
/// A layer uses the system's clock by default. A test can set another.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use express_session_core::Clock;
///
/// let stopped = || UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// assert_eq!(stopped.now(), stopped.now());
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time.
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

/// A source of random bytes. Any closure that fills a slice is a source.
///
/// A layer uses the operating system's cryptographic source by default. Session ids consist only of these bytes, so
/// that a predictable source reveals every session. Set another source only in tests.
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
    /// Fills `bytes` completely.
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
