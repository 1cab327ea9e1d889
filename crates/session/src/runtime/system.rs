//! The sources of time and random bytes, the only two things the layer fetches by itself.

use std::cell::RefCell;
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

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) {
        POOL.with_borrow_mut(|pool| pool.take(bytes, std::process::id()));
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::EMPTY) };
}

/// As many bytes as the operating system gives at one go (Linux gives up to 256 without a break).
const POOLED: usize = 240;

/// Random bytes that were asked for together: the system call costs more than all that is done with an id.
struct Pool {
    /// The last `left` of them are still to be given; the others are zero.
    bytes: [u8; POOLED],
    left: usize,
    /// A process that was forked must not give what its parent gives.
    process: u32,
}

impl Pool {
    const EMPTY: Self = Self { bytes: [0; POOLED], left: 0, process: 0 };

    /// Returns bytes to a process.
    fn take(&mut self, out: &mut [u8], process: u32) {
        if out.len() > POOLED {
            return fill(out);
        }
        if self.left < out.len() || self.process != process {
            fill(&mut self.bytes);
            self.left = POOLED;
            self.process = process;
        }
        let at = POOLED - self.left;
        let taken = &mut self.bytes[at..at + out.len()];
        out.copy_from_slice(taken);
        // No byte that is given stays in the pool.
        taken.fill(0);
        self.left -= out.len();
    }
}

fn fill(bytes: &mut [u8]) {
    // Going on with bytes that can be guessed would give sessions away: nothing is better than that.
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the operating system gives no random bytes: {error}");
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_given_twice_and_nothing_that_was_given_stays() {
        let mut pool = Pool::EMPTY;
        let mut given = HashSet::new();
        for _ in 0..1000 {
            let mut id = [0; 24];
            pool.take(&mut id, 1);
            assert!(given.insert(id));
            assert!(!pool.bytes.windows(24).any(|bytes| bytes == id));
        }
    }

    #[test]
    fn forked_process_does_not_repeat_the_bytes_of_its_parent() {
        let mut pool = Pool::EMPTY;
        pool.take(&mut [0; 24], 1);
        let left = pool.bytes;
        let mut id = [0; 24];
        pool.take(&mut id, 2);
        assert_ne!(left[24..48], id);
    }

    #[test]
    fn request_larger_than_the_pool_bypasses_it() {
        let mut pool = Pool::EMPTY;
        let mut bytes = [0; POOLED + 1];
        pool.take(&mut bytes, 1);
        assert_ne!(bytes, [0; POOLED + 1]);
        assert_eq!(pool.left, 0);
    }
}
