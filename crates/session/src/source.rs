//! Where time and random bytes come from: the only two things the layer fetches by itself.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use express_session_core::Timestamp;

/// Tells the time. Any closure that gives a [`SystemTime`] is a clock.
///
/// A layer has the system's clock unless it is given another, in a test for instance:
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use express_session::SessionLayer;
///
/// let layer = SessionLayer::new("keyboard cat").clock(|| UNIX_EPOCH + Duration::from_secs(1_700_000_000));
/// # let _ = layer;
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Gives the present.
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
/// use express_session::SessionLayer;
///
/// let layer = SessionLayer::new("keyboard cat").random(|bytes: &mut [u8]| bytes.fill(0));
/// # let _ = layer;
/// ```
pub trait Random: Send + Sync + 'static {
    /// Fills all of `bytes`.
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

pub(crate) struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that reads the clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) {
        // Going on with bytes that can be guessed would give sessions away: nothing is better than that.
        if let Err(error) = getrandom::fill(bytes) {
            panic!("the operating system gives no random bytes: {error}");
        }
    }
}

/// The clock and the random source of a layer.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

impl Sources {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().into()
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self { clock: Arc::new(System), random: Arc::new(System) }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}
