//! The calls of the stores that work on threads of this process: a bounded number of them, and none on a disk that hangs.
//!
//! 1. Beyond [`MAX_WAITING`] calls, further ones fail immediately.
//! 2. When no thread has finished anything for the store's timeout, though there is work for each of them, further calls fail
//!    immediately. The work that hangs is the probe: as soon as some of it ends, calls are admitted again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};
use tokio::time::Instant;

/// How many calls may wait.
pub(super) const MAX_WAITING: usize = 4096;

/// The calls of a store and the work on its threads. Clones are the same.
#[derive(Clone)]
pub(super) struct DiskCalls(Arc<Shared>);

struct Shared {
    created: Instant,
    /// How many threads there are.
    threads: usize,
    waiting: AtomicUsize,
    /// The pieces of work that threads have, or will take.
    under_way: AtomicUsize,
    /// When a piece of work last ended, or gave the last idle thread something to do, in microseconds since `created`.
    progress: AtomicU64,
}

impl DiskCalls {
    pub(super) fn new(threads: usize) -> Self {
        Self(Arc::new(Shared {
            created: Instant::now(),
            threads,
            waiting: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            progress: AtomicU64::new(0),
        }))
    }

    /// Admits a call, until the returned value is dropped.
    pub(super) fn enter(&self, timeout: Duration) -> Result<Waiting, Error> {
        let waiting = Waiting(self.clone());
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            let message = format!("{MAX_WAITING} calls wait for the disk already");
            return Err(Error::new(ErrorKind::Unavailable, message).unsent());
        }
        let progress = Duration::from_micros(self.0.progress.load(Ordering::Relaxed));
        let hangs = self.0.under_way.load(Ordering::Relaxed) >= self.0.threads
            && self.0.created.elapsed().saturating_sub(progress) >= timeout;
        if hangs {
            let message = format!("the disk has finished nothing for {timeout:?}");
            return Err(Error::new(ErrorKind::Unavailable, message).unsent());
        }
        Ok(waiting)
    }

    /// Begins a piece of work, which ends when the returned value is dropped.
    pub(super) fn begin(&self) -> Work {
        if self.0.under_way.fetch_add(1, Ordering::Relaxed) + 1 == self.0.threads {
            self.advance();
        }
        Work(self.clone())
    }

    fn advance(&self) {
        let now = self.0.created.elapsed().as_micros();
        self.0.progress.store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A call that waits.
pub(super) struct Waiting(DiskCalls);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A piece of work for a thread.
pub(super) struct Work(DiskCalls);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.advance();
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn call_is_refused_while_no_work_ends_for_the_timeout() {
        let calls = DiskCalls::new(2);
        // An idle store is no store that hangs.
        advance(2 * TIMEOUT).await;
        assert!(calls.enter(TIMEOUT).is_ok());
        // One long piece of work keeps one thread, and no call from the other.
        let one = calls.begin();
        advance(2 * TIMEOUT).await;
        assert!(calls.enter(TIMEOUT).is_ok());
        let other = calls.begin();
        assert!(calls.enter(TIMEOUT).is_ok());
        drop(one);
        let one = calls.begin();
        advance(TIMEOUT - Duration::from_millis(1)).await;
        assert!(calls.enter(TIMEOUT).is_ok());
        drop(one);
        let _one = calls.begin();
        advance(TIMEOUT - Duration::from_millis(1)).await;
        assert!(calls.enter(TIMEOUT).is_ok());
        advance(Duration::from_millis(1)).await;
        let error = calls.enter(TIMEOUT).err().unwrap();
        assert_eq!((error.kind(), error.is_unsent()), (ErrorKind::Unavailable, true));
        // The work that hung has ended.
        drop(other);
        assert!(calls.enter(TIMEOUT).is_ok());
    }

    #[tokio::test]
    async fn call_beyond_the_bound_is_refused_until_another_one_ends() {
        let calls = DiskCalls::new(1);
        let mut waiting: Vec<_> =
            (0..MAX_WAITING).map(|_| calls.enter(TIMEOUT).ok().unwrap()).collect();
        for _ in 0..3 {
            assert!(calls.enter(TIMEOUT).is_err());
        }
        waiting.pop();
        assert!(calls.enter(TIMEOUT).is_ok());
    }
}
