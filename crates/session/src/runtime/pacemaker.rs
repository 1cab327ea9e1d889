//! A timer that is due before the timeouts of calls, while calls are made.
//!
//! tokio wakes its driver for each new timer that is due before all others: that is a write to an `eventfd`, and on a
//! runtime of several threads it wakes one that sleeps. A call has a timeout of seconds, and mostly ends within a
//! millisecond, so that often no other timer is pending. With this one pending, a timeout costs no system call.
//!
//! Each layer has one, for stores of any kind, and so has each circuit breaker, since the npm package calls stores without a
//! layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

/// The pause between two beats: less than the default of `touch_timeout`, the shortest of the timeouts.
const PERIOD: Duration = Duration::from_millis(100);

/// Keeps the timer pending on the runtime of the first call. It ends when no call was made for a period.
#[derive(Debug, Default)]
pub(crate) struct Pacemaker(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether a call was made since the last beat.
    is_used: AtomicBool,
    beats: AtomicBool,
}

impl Pacemaker {
    /// Notes that a call is made whose timeout begins. Outside of a runtime this does nothing.
    #[inline]
    pub(crate) fn call(&self) {
        let State { is_used, beats } = &*self.0;
        // A store of what is there already would take the value away from the other processors.
        if !is_used.load(Ordering::Relaxed) {
            is_used.store(true, Ordering::Relaxed);
        }
        if !beats.load(Ordering::Relaxed) {
            self.begin();
        }
    }

    #[cold]
    fn begin(&self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.0.beats.swap(true, Ordering::Relaxed) {
            return;
        }
        // Also where the runtime ends, and drops the task: another one may begin.
        let beating = Beating(Arc::clone(&self.0));
        runtime.spawn(async move {
            while beating.0.is_used.swap(false, Ordering::Relaxed) {
                tokio::time::sleep(PERIOD).await;
            }
        });
    }
}

struct Beating(Arc<State>);

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.beats.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    fn tasks() -> usize {
        Handle::current().metrics().num_alive_tasks()
    }

    #[test]
    fn timer_is_pending_while_calls_are_made_and_ends_after_them() {
        let pacemaker = Pacemaker::default();
        runtime().block_on(async {
            for _ in 0..10 {
                pacemaker.call();
                tokio::time::sleep(PERIOD / 2).await;
                assert_eq!(tasks(), 1);
            }
            tokio::time::sleep(PERIOD * 2).await;
            assert_eq!(tasks(), 0);
            pacemaker.call();
            assert_eq!(tasks(), 1);
        });
    }

    #[test]
    fn timer_begins_again_on_another_runtime_when_its_own_has_ended() {
        let pacemaker = Pacemaker::default();
        pacemaker.call();
        for _ in 0..2 {
            runtime().block_on(async {
                pacemaker.call();
                assert_eq!(tasks(), 1);
            });
        }
    }
}
