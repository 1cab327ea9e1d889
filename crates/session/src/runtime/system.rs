//! The sources of time and random bytes, the only two things the layer fetches by itself.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use express_session_core::{Clock, Random, Timestamp};

pub(crate) struct System;

impl Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that reads the clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Asks the operating system for every id. Bytes kept for the next id would be given twice by a forked process, by a
/// clone of a virtual machine and by a snapshot that is restored twice (audit, H1), and no id of a process tells them
/// apart.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_h1_the_source_of_random_bytes_keeps_none() {
        assert_eq!(size_of::<System>(), 0);
        let [mut one, mut other] = [[0; 24]; 2];
        System.fill(&mut one);
        System.fill(&mut other);
        assert_ne!(one, other);
    }
}
