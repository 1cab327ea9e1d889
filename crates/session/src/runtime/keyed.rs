//! Queues of the requests of this process that want the same session at the same time.
//!
//! Where several requests want one session, one after the other is faster than all concurrently: of N concurrent writers
//! N − 1 would fail, of those that try again N − 2, and so on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use express_session_core::SessionId;
use tokio::sync::OwnedMutexGuard;

/// One asynchronous mutex for each session that is wanted. Its value is handed on from holder to holder: `T::default()`
/// at first.
pub(crate) struct KeyedMutex<T> {
    all: Mutex<HashMap<Box<str>, Queue<T>>>,
    /// The number of queues, for a check without a lock.
    count: AtomicUsize,
}

type Queue<T> = Arc<tokio::sync::Mutex<T>>;

impl<T> Default for KeyedMutex<T> {
    fn default() -> Self {
        Self { all: Mutex::default(), count: AtomicUsize::new(0) }
    }
}

impl<T: Default> KeyedMutex<T> {
    /// Waits for the mutex, first come, first served. The next waiter has it when the guard is dropped.
    pub(crate) async fn turn(self: &Arc<Self>, id: &SessionId) -> KeyedGuard<T> {
        let place = self.place(id);
        let value = Arc::clone(&place.queue).lock_owned().await;
        KeyedGuard { value, place }
    }

    fn place(self: &Arc<Self>, id: &SessionId) -> Waiter<T> {
        let mut all = self.all();
        let queue = Arc::clone(all.entry(id.as_str().into()).or_default());
        self.count.store(all.len(), Ordering::Relaxed);
        Waiter { queues: Arc::clone(self), id: id.clone(), queue }
    }
}

impl<T> KeyedMutex<T> {
    /// Checks whether no session is wanted: one load of a number.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Checks whether a request has this session's mutex or waits for it.
    pub(crate) fn has(&self, id: &SessionId) -> bool {
        !self.is_empty() && self.all().contains_key(id.as_str())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Box<str>, Queue<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mutex of one session, with the value that the holder before has left.
pub(crate) struct KeyedGuard<T> {
    pub(crate) value: OwnedMutexGuard<T>,
    // Dropped after the value's guard, which counts as a waiter.
    place: Waiter<T>,
}

impl<T> KeyedGuard<T> {
    /// Checks whether other requests wait.
    pub(crate) fn has_followers(&self) -> bool {
        // The map, this place and this guard have one reference each; each waiter has its own.
        Arc::strong_count(&self.place.queue) > 3
    }
}

/// A place in a queue, of a waiter or of the holder. The last one removes the queue.
struct Waiter<T> {
    queues: Arc<KeyedMutex<T>>,
    id: SessionId,
    queue: Queue<T>,
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        let mut all = self.queues.all();
        // Places are made under the same lock: the two references are this one and that of the map.
        if Arc::strong_count(&self.queue) == 2 {
            all.remove(self.id.as_str());
            self.queues.count.store(all.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use express_session_testkit::block_on;

    use super::*;

    fn id(byte: u8) -> SessionId {
        SessionId::from_random([byte; 24])
    }

    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn requests_for_one_session_come_one_after_the_other_and_hand_the_value_on() {
        let queues = Arc::new(KeyedMutex::<u32>::default());
        let mut first = block_on(queues.turn(&id(1)));
        let (one, queued) = (id(1), Arc::clone(&queues));
        let mut second = pin!(queued.turn(&one));
        assert!(!first.has_followers());
        assert!(poll(second.as_mut()).is_pending());
        assert!(first.has_followers());
        *first.value = 7;
        drop(first);
        let Poll::Ready(second) = poll(second.as_mut()) else { panic!("the turn is free") };
        assert_eq!(*second.value, 7);
        assert!(!second.has_followers());
    }

    #[test]
    fn sessions_do_not_wait_for_each_other() {
        let queues = Arc::new(KeyedMutex::<u32>::default());
        let _first = block_on(queues.turn(&id(1)));
        let _second = block_on(queues.turn(&id(2)));
        assert_eq!(queues.all().len(), 2);
    }

    #[test]
    fn queue_is_removed_with_its_last_request_even_one_that_gave_up() {
        let queues = Arc::new(KeyedMutex::<u32>::default());
        let first = block_on(queues.turn(&id(1)));
        {
            let one = id(1);
            let mut second = pin!(queues.turn(&one));
            assert!(poll(second.as_mut()).is_pending());
        }
        assert!(queues.has(&id(1)) && !queues.has(&id(2)));
        drop(first);
        assert!(!queues.has(&id(1)));
        assert_eq!(queues.all().len(), 0);
    }
}
