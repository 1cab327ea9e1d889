//! Carrying a step out to its end, whoever stops waiting for it.
//!
//! A handler's future is dropped when the client goes away or a time limit ends it, at any await point. A
//! write that is dropped with it may have been done or not, and where others write the same session nobody can
//! tell any more. So what has begun goes on in a task of its own; the next step of the request waits
//! for it, as for any other step.
//!
//! Outside of a tokio runtime there is no one to go on, and it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Makes a future that runs to its end once it was polled, also where it is dropped before.
pub(crate) fn carry<F>(step: F) -> Carried<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    Carried { step: Some(Box::pin(step)), has_begun: false }
}

pub(crate) struct Carried<T: Send + 'static> {
    /// `None` where it is done, or has panicked.
    step: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    has_begun: bool,
}

impl<T: Send + 'static> Future for Carried<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.has_begun = true;
        // It is not there while it is polled: one that panics is not polled again.
        let Some(mut step) = self.step.take() else { return Poll::Pending };
        let polled = step.as_mut().poll(context);
        if polled.is_pending() {
            self.step = Some(step);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Carried<T> {
    fn drop(&mut self) {
        if self.has_begun
            && let Some(step) = self.step.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
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
    fn step_that_has_begun_goes_on_when_it_is_dropped() {
        on_tokio(async {
            let (go, may_go) = oneshot::channel::<()>();
            let (tell, told) = oneshot::channel();
            let mut step = Box::pin(carry(async move {
                may_go.await.unwrap();
                tell.send(7).unwrap();
            }));
            assert!(poll_once(step.as_mut()).is_pending());
            drop(step);
            go.send(()).unwrap();
            assert_eq!(told.await, Ok(7));
        });
    }

    #[test]
    fn step_that_has_not_begun_never_does() {
        on_tokio(async {
            let (tell, told) = oneshot::channel::<()>();
            drop(carry(async move { tell.send(()).unwrap() }));
            assert!(told.await.is_err());
        });
    }

    #[test]
    fn step_is_run_once_whether_it_ends_or_panics() {
        on_tokio(async {
            let runs = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&runs);
            let mut step = pin!(carry(async move { counted.fetch_add(1, Ordering::Relaxed) }));
            assert_eq!(poll_once(step.as_mut()), Poll::Ready(0));
            assert!(poll_once(step.as_mut()).is_pending());

            let mut panics = Box::pin(carry(async { panic!("the user's own function") }));
            let poll = std::panic::AssertUnwindSafe(|| poll_once(panics.as_mut()));
            assert!(std::panic::catch_unwind(poll).is_err());
            drop(panics);
            tokio::task::yield_now().await;
            assert_eq!(runs.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn without_a_runtime_a_step_ends_where_it_is_dropped() {
        let (_go, may_go) = oneshot::channel::<()>();
        let (tell, mut told) = oneshot::channel::<()>();
        let mut step = Box::pin(carry(async move {
            may_go.await.unwrap();
            drop(tell);
        }));
        assert!(poll_once(step.as_mut()).is_pending());
        drop(step);
        assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
