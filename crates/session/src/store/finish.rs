//! Calls that run to completion, even if their future is dropped.
//!
//! A statement that was sent cannot be cancelled, and a later one on another connection may overtake it.
//! So an abandoned call continues in a task: its connection is usable again after the answer, and the next
//! call for the same session waits for that. An attempt to connect continues too: its connection serves the next call.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Keeps track of abandoned calls.
#[derive(Default)]
pub(super) struct Calls(Arc<Abandoned>);

#[derive(Default)]
struct Abandoned {
    /// Their number, to be read without the lock.
    count: AtomicUsize,
    /// The sessions of the calls; few, and mostly none.
    ids: Mutex<Vec<Box<str>>>,
    ended: Notify,
}

impl Calls {
    /// Waits until no abandoned call for this id is under way.
    pub(super) async fn settled(&self, id: &str) {
        loop {
            let mut ended = std::pin::pin!(self.0.ended.notified());
            // From here on an end is not missed.
            ended.as_mut().enable();
            if self.0.count.load(Ordering::Acquire) == 0 || !self.0.has(id) {
                return;
            }
            ended.await;
        }
    }

    /// Carries out work for an id, or for none. It has to end by itself, and in time.
    pub(super) fn run<T: Send + 'static>(
        &self,
        id: Option<&str>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Call<T> {
        Call { work: Some(Box::pin(work)), id: id.map(Box::from), abandoned: Arc::clone(&self.0) }
    }
}

/// Work under way.
pub(super) struct Call<T: Send + 'static> {
    /// Until it has ended.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    id: Option<Box<str>>,
    abandoned: Arc<Abandoned>,
}

impl<T: Send + 'static> Future for Call<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // It is not asked again after its end.
        let Some(work) = &mut self.work else { return Poll::Pending };
        let done = ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for Call<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        // Without a runtime, the connection ends with the work.
        let Ok(runtime) = Handle::try_current() else { return };
        let entry = Entry::new(Arc::clone(&self.abandoned), self.id.take());
        runtime.spawn(async move {
            drop(work.await);
            drop(entry);
        });
    }
}

/// An abandoned call, for as long as it is under way.
struct Entry {
    abandoned: Arc<Abandoned>,
    id: Option<Box<str>>,
}

impl Entry {
    fn new(abandoned: Arc<Abandoned>, id: Option<Box<str>>) -> Self {
        if let Some(id) = &id {
            abandoned.ids().push(id.clone());
            abandoned.count.fetch_add(1, Ordering::Release);
        }
        Self { abandoned, id }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let mut ids = self.abandoned.ids();
        if let Some(at) = ids.iter().position(|other| *other == id) {
            ids.swap_remove(at);
        }
        drop(ids);
        self.abandoned.count.fetch_sub(1, Ordering::Release);
        self.abandoned.ended.notify_waiters();
    }
}

impl Abandoned {
    fn has(&self, id: &str) -> bool {
        self.ids().iter().any(|other| **other == *id)
    }

    fn ids(&self) -> MutexGuard<'_, Vec<Box<str>>> {
        // Nothing panics while it is held.
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn abandoned_call_is_carried_out_and_waited_for_by_the_next_of_its_id() {
        let calls = Calls::default();
        let (answer, answered) = oneshot::channel::<()>();
        let is_done = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&is_done);
        let mut call = Box::pin(calls.run(Some("a"), async move {
            answered.await.unwrap();
            done.store(true, Ordering::SeqCst);
        }));
        assert!(
            std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context)))
                .await
                .is_pending()
        );
        calls.settled("a").await;
        drop(call);

        calls.settled("b").await;
        let mut settled = Box::pin(calls.settled("a"));
        assert!(
            std::future::poll_fn(|context| Poll::Ready(settled.as_mut().poll(context)))
                .await
                .is_pending()
        );
        answer.send(()).unwrap();
        settled.await;
        assert!(is_done.load(Ordering::SeqCst));
        assert_eq!(calls.0.count.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn call_that_is_waited_for_leaves_nothing_behind() {
        let calls = Calls::default();
        assert_eq!(calls.run(Some("a"), async { 7 }).await, 7);
        calls.settled("a").await;
        assert!(!calls.0.has("a"));
    }

    #[test]
    fn call_that_is_dropped_without_a_runtime_ends() {
        let calls = Calls::default();
        drop(calls.run(Some("a"), std::future::pending::<()>()));
        assert!(!calls.0.has("a"));
    }
}
