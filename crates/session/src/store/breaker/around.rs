//! The circuit breaker around a store of any kind, for those that have none of their own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Admin, Created, Cursor, Error, Fenced, Lifetime, Loaded, LockOutcome, LockToken, Page, Record,
    Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{Clock as _, SessionId, Timestamp};

use super::{Breaker, Fault, MAX_WAITING, Server, UNUSED, is_outage, no_answer_in_time};
use crate::runtime::system::System;
use crate::runtime::timeout::within;

/// The default of [`BreakerStore::timeout`].
const TIMEOUT: Duration = Duration::from_secs(5);

/// A circuit breaker around a store of your own.
///
/// While the store inside does not answer, calls fail within 50 ms as
/// [`Unavailable`](super::super::ErrorKind::Unavailable), with the time until the next attempt. Tasks try it again twice a
/// second, by a `load` of an id that no session has, and calls are served within a second of its return. The
/// [guide](crate::guide::production#outages) has the rules.
///
/// An outage begins when a call has no answer within the [`timeout`](Self::timeout), or fails as `Unavailable` or
/// `TimedOut`, and no other call was answered meanwhile. Other errors are answers. The calls of
/// [`Admin`] are the store's own, without a limit.
///
/// It costs an atomic operation or two for each call. The stores of this crate that use a network have one inside already:
/// around them it does nothing more. Clones share it. Outside of a tokio runtime only [`max_waiting`](Self::max_waiting)
/// has an effect.
///
/// ```
/// use std::time::Duration;
///
/// use express_session::SessionLayer;
/// use express_session::store::BreakerStore;
/// # use express_session_testkit::MapStore as MyStore;
///
/// let store = BreakerStore::new(MyStore::default())
///     .timeout(Duration::from_secs(1))
///     .max_waiting(1000);
/// let layer = SessionLayer::new("keyboard cat").store(store);
/// assert!(layer.build().is_ok());
/// ```
pub struct BreakerStore<S> {
    around: Arc<Around<S>>,
    timeout: Duration,
    max_waiting: usize,
}

struct Around<S> {
    store: S,
    breaker: Breaker,
}

impl<S: Store> Server for Around<S> {
    fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The connections are those of the store inside.
    fn forget(&self) {}

    async fn probe(&self) -> Result<(), Error> {
        let Some(unused) = SessionId::new(UNUSED) else { return Ok(()) };
        match self.store.load(&unused, System.now().into()).await {
            Err(error) if is_outage(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl<S: Store> BreakerStore<S> {
    /// Puts a circuit breaker around a store.
    pub fn new(store: S) -> Self {
        let around = Arc::new(Around { store, breaker: Breaker::default() });
        Self { around, timeout: TIMEOUT, max_waiting: MAX_WAITING }
    }

    /// Sets how long a call waits for the store. Default 5 s. After that it fails as
    /// [`TimedOut`](super::super::ErrorKind::TimedOut), and the store's own future is dropped.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets the maximum number of calls that wait for the store at the same time. The default is 4,096.
    ///
    /// A further call fails immediately as [`Unavailable`](super::super::ErrorKind::Unavailable).
    #[must_use]
    pub fn max_waiting(mut self, calls: usize) -> Self {
        self.max_waiting = calls;
        self
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let work = async {
            match within(self.timeout, work).await {
                Some(Err(error)) if is_outage(&error) => Err(Fault::Silence(error)),
                Some(done) => Ok(done?),
                None => Err(Fault::Silence(no_answer_in_time())),
            }
        };
        self.around.breaker.call(&self.around, self.max_waiting, work).await
    }
}

impl<S> Clone for BreakerStore<S> {
    fn clone(&self) -> Self {
        Self { around: Arc::clone(&self.around), ..*self }
    }
}

impl<S: fmt::Debug> fmt::Debug for BreakerStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { around, timeout, max_waiting } = self;
        f.debug_struct("BreakerStore")
            .field("store", &around.store)
            .field("timeout", timeout)
            .field("max_waiting", max_waiting)
            .finish()
    }
}

impl<S: Store> Store for BreakerStore<S> {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        self.call(self.around.store.load(id, now)).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.call(self.around.store.create(id, record, now)).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        self.call(self.around.store.update(id, record, expected, now)).await
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        self.call(self.around.store.touch(id, touch, now)).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.call(self.around.store.destroy(id)).await
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        self.call(self.around.store.lock(id, holder, lease, now)).await
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        self.call(self.around.store.update_locked(id, record, expected, holder, now)).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        self.call(self.around.store.unlock(id, holder)).await
    }

    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        self.call(self.around.store.sessions_of(users, after, limit, now)).await
    }

    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        self.call(self.around.store.time(now)).await
    }

    fn lifetime(&self) -> Lifetime {
        self.around.store.lifetime()
    }

    fn supports_touch(&self) -> bool {
        self.around.store.supports_touch()
    }
}

impl<S: Admin> Admin for BreakerStore<S> {
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        self.around.store.list(after, limit, now).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        self.around.store.count(now).await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.around.store.clear().await
    }

    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        self.around.store.purge(limit, now).await
    }
}
