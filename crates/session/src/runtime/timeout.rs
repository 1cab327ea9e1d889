//! Waiting, with an end to it: the only place of the layer that knows of tokio's timer.
//!
//! Outside of a tokio runtime nothing is timed: a call takes as long as the store takes, and pauses are left
//! out.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

/// Waits for a call, but no longer than the limit: `None` after it.
///
/// A call that is done immediately, like any of a memory store, costs no timer.
pub(crate) async fn within<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    let first = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    match first {
        Poll::Ready(done) => Some(done),
        Poll::Pending if has_timer() => tokio::time::timeout(limit, call).await.ok(),
        Poll::Pending => Some(call.await),
    }
}

/// A limit of several calls together.
#[derive(Default)]
pub(crate) struct Budget {
    spent_millis: AtomicU32,
}

impl Budget {
    /// Returns the time that was waited within it.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_millis(self.spent_millis.load(Ordering::Relaxed).into())
    }

    /// Waits for a call as [`within`] does, as long as is left of the limit.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let spent = self.spent();
        let mut begun = None;
        let mut call = pin!(call);
        let timed = poll_fn(|context| {
            let polled = call.as_mut().poll(context);
            if polled.is_pending() {
                begun.get_or_insert_with(Instant::now);
            }
            polled
        });
        let done = within(limit.saturating_sub(spent), timed).await;
        if let Some(begun) = begun {
            let millis = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
            self.spent_millis.fetch_add(millis, Ordering::Relaxed);
        }
        done
    }
}

/// Waits for a while, and returns whether it could.
pub(crate) async fn pause(length: Duration) -> bool {
    let can = has_timer();
    if can {
        tokio::time::sleep(length).await;
    }
    can
}

fn has_timer() -> bool {
    Handle::try_current().is_ok()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use express_session_testkit::block_on;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn on_paused_tokio<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(work)
    }

    #[test]
    fn call_that_never_ends_is_left_at_the_limit() {
        on_paused_tokio(async {
            let start = Instant::now();
            assert_eq!(within(LIMIT, pending::<()>()).await, None);
            assert_eq!(start.elapsed(), LIMIT);
        });
    }

    #[test]
    fn call_that_ends_before_the_limit_is_not_held_up() {
        on_paused_tokio(async {
            let start = Instant::now();
            let call = async {
                tokio::time::sleep(LIMIT / 2).await;
                7
            };
            assert_eq!(within(LIMIT, call).await, Some(7));
            assert_eq!(start.elapsed(), LIMIT / 2);
        });
    }

    #[test]
    fn calls_of_one_budget_wait_for_the_limit_together() {
        on_paused_tokio(async {
            let start = Instant::now();
            let budget = Budget::default();
            let call = tokio::time::sleep(LIMIT.mul_f64(0.8));
            assert_eq!(budget.within(LIMIT, call).await, Some(()));
            assert_eq!(budget.within(LIMIT, pending::<()>()).await, None);
            assert_eq!(start.elapsed(), LIMIT);
            assert_eq!(budget.within(LIMIT, ready(7)).await, Some(7));
        });
    }

    #[test]
    fn without_a_runtime_calls_work_and_pauses_are_left_out() {
        let yields = async {
            let mut is_first = true;
            poll_fn(|context| {
                if std::mem::take(&mut is_first) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(7)
            })
            .await
        };
        assert_eq!(block_on(within(LIMIT, yields)), Some(7));
        assert_eq!(block_on(within(LIMIT, ready(7))), Some(7));
        assert!(!block_on(pause(LIMIT)));
    }
}
