//! KeyedMutex of the requests of this process that want the same session at the same time.
//!
//! A request that meets no other never comes here. Where several do, one after the other is faster than
//! all at once: of N writers at a time N−1 would fail, and of those that try again N−2, and so on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use express_session_core::SessionId;
use tokio::sync::OwnedMutexGuard;

/// The queues, by session. Each has a value that those in it hand on: `T::default()` at first.
pub(crate) struct KeyedMutex<T> {
    all: Mutex<HashMap<Box<str>, Queue<T>>>,
    /// How many there are, for those who only look.
    count: AtomicUsize,
}

type Queue<T> = Arc<tokio::sync::Mutex<T>>;

impl<T> Default for KeyedMutex<T> {
    fn default() -> Self {
        Self { all: Mutex::default(), count: AtomicUsize::new(0) }
    }
}

impl<T: Default> KeyedMutex<T> {
    /// Waits for one's turn, first come, first served. It is over when the turn is dropped.
    pub(crate) async fn turn(self: &Arc<Self>, id: &SessionId) -> KeyedGuard<T> {
        let place = self.place(id);
        let value = Arc::clone(&place.queue).lock_owned().await;
        KeyedGuard { value, place }
    }

    fn place(self: &Arc<Self>, id: &SessionId) -> Place<T> {
        let mut all = self.all();
        let queue = Arc::clone(all.entry(id.as_str().into()).or_default());
        self.count.store(all.len(), Ordering::Relaxed);
        Place { queues: Arc::clone(self), id: id.clone(), queue }
    }
}

impl<T> KeyedMutex<T> {
    /// Says whether somebody is in the queue of this session. Costs a look at a number where there is no queue
    /// at all.
    pub(crate) fn has(&self, id: &SessionId) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.all().contains_key(id.as_str())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Box<str>, Queue<T>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One's turn, with what the one before has left.
pub(crate) struct KeyedGuard<T> {
    pub(crate) value: OwnedMutexGuard<T>,
    // Dropped after the guard, which counts as one that waits.
    place: Place<T>,
}

impl<T> KeyedGuard<T> {
    /// Says whether others wait for their turn.
    pub(crate) fn has_followers(&self) -> bool {
        // The map, our place and our guard have one each; whoever waits has its own.
        Arc::strong_count(&self.place.queue) > 3
    }
}

/// A place in a queue, of one that waits or whose turn it is. The last takes the queue away.
struct Place<T> {
    queues: Arc<KeyedMutex<T>>,
    id: SessionId,
    queue: Queue<T>,
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut all = self.queues.all();
        // Places are made under the same lock: there can be none but ours and that of the map.
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
    fn turns_of_one_session_come_one_after_the_other_and_hand_their_value_on() {
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
    fn queue_goes_with_the_last_in_it_also_one_that_gave_up() {
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
