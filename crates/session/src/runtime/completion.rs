//! Runs an operation to its end, even if the future that began it is dropped.
//!
//! A handler's future is dropped when the client goes away or a time limit ends it, at any await point. A write that is
//! dropped with it may or may not be applied, and where other requests write the same session, the outcome is unknown. So an operation
//! that has begun goes on in a task of its own; the next operation of the request waits for it.
//!
//! Outside of a tokio runtime nothing can go on, and the operation is dropped.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::timeout::within;

/// Returns a future that runs to its end once it was polled, even where it is dropped before. It is one of `tasks` while
/// it waits.
pub(crate) fn run_to_completion<F>(tasks: &Arc<Tasks>, operation: F) -> Completion<'_, F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    Completion { operation: Some(Box::pin(operation)), tasks, running: None }
}

pub(crate) struct Completion<'t, T: Send + 'static> {
    /// `None` where it is done or has panicked.
    operation: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    tasks: &'t Arc<Tasks>,
    /// Once it has begun and waits.
    running: Option<Running>,
}

impl<T: Send + 'static> Future for Completion<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out while it is polled, so that an operation that panics is not polled again.
        let Some(mut operation) = self.operation.take() else { return Poll::Pending };
        let polled = operation.as_mut().poll(context);
        if polled.is_pending() {
            self.operation = Some(operation);
            if self.running.is_none() {
                self.running = Some(self.tasks.begin());
            }
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Completion<'_, T> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take()
            && let Some(operation) = self.operation.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                drop(operation.await);
                drop(running);
            });
        }
    }
}

/// Counts the operations that have begun and wait for the store, in a request or in a task of their own.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: AtomicUsize,
    /// Notified when none is left.
    ended: Notify,
}

impl Tasks {
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }

    /// Waits until none is left, but no longer than the limit, and returns how many are.
    pub(crate) async fn drain(&self, limit: Duration) -> usize {
        let none_left = async {
            loop {
                let mut ended = pin!(self.ended.notified());
                // From here on an end is not missed.
                ended.as_mut().enable();
                if self.running() == 0 {
                    return;
                }
                ended.await;
            }
        };
        within(limit, none_left).await;
        self.running()
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }
}

/// An operation under way.
pub(crate) struct Running(Arc<Tasks>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::Release) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn on_tokio<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn operation_that_has_begun_goes_on_when_it_is_dropped() {
        let tasks = Arc::default();
        on_tokio(async {
            let (go, may_go) = oneshot::channel::<()>();
            let (tell, told) = oneshot::channel();
            let mut operation = Box::pin(run_to_completion(&tasks, async move {
                may_go.await.unwrap();
                tell.send(7).unwrap();
            }));
            assert!(poll_once(operation.as_mut()).is_pending());
            drop(operation);
            assert_eq!(poll_once(std::pin::pin!(tasks.drain(Duration::MAX))), Poll::Pending);
            go.send(()).unwrap();
            assert_eq!(told.await, Ok(7));
            assert_eq!(tasks.drain(Duration::MAX).await, 0);
        });
    }

    #[test]
    fn operation_that_has_not_begun_never_does() {
        let tasks = Arc::default();
        on_tokio(async {
            let (tell, told) = oneshot::channel::<()>();
            drop(run_to_completion(&tasks, async move { tell.send(()).unwrap() }));
            assert!(told.await.is_err());
        });
    }

    #[test]
    fn operation_is_run_once_whether_it_ends_or_panics() {
        let tasks = Arc::default();
        on_tokio(async {
            let runs = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&runs);
            let mut operation =
                pin!(run_to_completion(
                    &tasks,
                    async move { counted.fetch_add(1, Ordering::Relaxed) }
                ));
            assert_eq!(poll_once(operation.as_mut()), Poll::Ready(0));
            assert!(poll_once(operation.as_mut()).is_pending());

            let mut panics =
                Box::pin(run_to_completion(&tasks, async { panic!("the user's own function") }));
            let poll = std::panic::AssertUnwindSafe(|| poll_once(panics.as_mut()));
            assert!(std::panic::catch_unwind(poll).is_err());
            drop(panics);
            tokio::task::yield_now().await;
            assert_eq!(runs.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn without_a_runtime_a_operation_ends_where_it_is_dropped() {
        let tasks = Arc::default();
        let (_go, may_go) = oneshot::channel::<()>();
        let (tell, mut told) = oneshot::channel::<()>();
        let mut operation = Box::pin(run_to_completion(&tasks, async move {
            may_go.await.unwrap();
            drop(tell);
        }));
        assert!(poll_once(operation.as_mut()).is_pending());
        drop(operation);
        assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
