use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::thread;

use express_session_core::SessionId;
use express_session_core::store::Store;

use crate::block_on;

/// A store under test: how to open one, and what it needs from a test.
///
/// Only [`store`](Subject::store) has to be written; the crate's page has a complete example.
///
/// ```
/// use express_session_testkit::{Clock, MapStore, Subject};
///
/// struct Map;
///
/// impl Subject for Map {
///     type Store = MapStore;
///
///     async fn store(&self) -> MapStore {
///         MapStore::default()
///     }
/// }
///
/// assert_eq!(Map.clock(), Clock::Argument);
/// ```
pub trait Subject {
    /// The store.
    type Store: Store;

    /// Opens a store with nothing in it, which shares nothing with any other that was opened.
    ///
    /// A store on a server gets a prefix or a table of its own for each call, so that tests can run
    /// side by side, and so that the laws see whether one store's `clear` reaches into another.
    ///
    /// Panic where the server is missing: a law that was not tried is not obeyed.
    fn store(&self) -> impl Future<Output = Self::Store>;

    /// Returns the clock that decides about expiry; by default the calls' time argument.
    fn clock(&self) -> Clock {
        Clock::Argument
    }

    /// Runs tasks at the same time, until all are done.
    ///
    /// Unless overridden it is [`join_all`], where the tasks take turns whenever one waits. A store
    /// that never waits is put to a real test only by [`on_threads`]; one that needs a runtime, by
    /// spawning the tasks on it. A task that panics must not go unnoticed.
    fn parallel(&self, tasks: Vec<Task>) -> impl Future<Output = ()> {
        join_all(tasks)
    }

    /// Puts bytes where the store looks for a session, past its own checks, and says that it did.
    ///
    /// With it the laws check how the store treats a record that it cannot read. Not overridden, or
    /// for a store that takes any text, it does nothing and gives `false`.
    fn plant(
        &self,
        store: &Self::Store,
        id: &SessionId,
        garbage: &[u8],
    ) -> impl Future<Output = bool> {
        let _ = (store, id, garbage);
        async { false }
    }
}

/// The clock that decides whether a record has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The `now` that each call gets. The laws move it explicitly.
    Argument,
    /// The server's own. The laws tell it the real time, and wait for deadlines of a few seconds.
    Server,
}

/// A task of [`Subject::parallel`], in the form that executors accept.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Waits for tasks together, each taking its turn when another waits.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
/// use express_session_testkit::{Task, block_on, join_all};
///
/// let sum = Arc::new(AtomicU32::new(0));
/// let task = |number| -> Task {
///     let sum = Arc::clone(&sum);
///     Box::pin(async move { sum.fetch_add(number, SeqCst); })
/// };
/// block_on(join_all(vec![task(1), task(2)]));
/// assert_eq!(sum.load(SeqCst), 3);
/// ```
pub async fn join_all(mut tasks: Vec<Task>) {
    poll_fn(|context| {
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        if tasks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Runs each task on a thread of its own, for stores that need no runtime.
///
/// # Panics
///
/// Where a task panicked.
///
/// ```
/// use std::sync::{Arc, Barrier};
/// use express_session_testkit::{Task, block_on, on_threads};
///
/// // Each waits for the other, which only threads of their own can do.
/// let barrier = Arc::new(Barrier::new(2));
/// let both = Arc::clone(&barrier);
/// let one: Task = Box::pin(async move { drop(barrier.wait()) });
/// let other: Task = Box::pin(async move { drop(both.wait()) });
/// block_on(on_threads(vec![one, other]));
/// ```
pub async fn on_threads(tasks: Vec<Task>) {
    thread::scope(|scope| {
        for task in tasks {
            scope.spawn(|| block_on(task));
        }
    });
}
