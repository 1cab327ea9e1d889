//! A store of any kind, chosen at run time.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::store::{
    Created, Error, Fenced, Loaded, LoadedAndTouched, LockOutcome, LockToken, Record, Revision,
    Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use super::memory::MemoryStore;

type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Any [`Store`] behind a pointer, for a kind that is known only at run time.
///
/// Each call costs one more allocation than that of the store itself, except for the memory store. Clones are
/// the same store.
///
/// ```
/// use express_session::store::AnyStore;
/// use express_session::{MemoryStore, SessionLayer};
///
/// let store = AnyStore::new(MemoryStore::new());
/// let layer = SessionLayer::new("keyboard cat").store(store.clone());
/// assert!(layer.build().is_ok());
/// ```
#[derive(Clone)]
pub struct AnyStore(Kind);

#[derive(Clone)]
enum Kind {
    /// Known, so that its calls, which never wait, need not be boxed.
    Memory(MemoryStore),
    Other(Arc<dyn Erased>),
}

/// Calls the store, whichever kind it is.
macro_rules! ask {
    ($any:expr, $call:ident($($argument:expr),*)) => {
        match &$any.0 {
            Kind::Memory(store) => Store::$call(store, $($argument),*).await,
            Kind::Other(store) => store.$call($($argument),*).await,
        }
    };
}

impl AnyStore {
    /// Wraps a store.
    pub fn new<S: Store>(store: S) -> Self {
        let any: &dyn Any = &store;
        if let Some(known) = any.downcast_ref::<Self>() {
            return known.clone();
        }
        Self(match any.downcast_ref::<MemoryStore>() {
            Some(memory) => Kind::Memory(memory.clone()),
            None => Kind::Other(Arc::new(store)),
        })
    }

    /// Returns whether the calls of this store never wait.
    pub(crate) fn never_waits(&self) -> bool {
        matches!(self.0, Kind::Memory(_))
    }

    /// Touches a record without loading it, if that needs no wait, and returns whether it did.
    pub(crate) fn load_and_touch_now(&self, id: &SessionId, now: Timestamp) -> bool {
        match &self.0 {
            Kind::Memory(store) => store.touch_only(id, now),
            Kind::Other(_) => false,
        }
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyStore")
    }
}

impl Store for AnyStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        ask!(self, load(id, now))
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        ask!(self, create(id, record, now))
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        ask!(self, update(id, record, expected, now))
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        ask!(self, touch(id, touch, now))
    }

    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        ask!(self, load_and_touch(id, now))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        ask!(self, destroy(id))
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        ask!(self, lock(id, holder, lease, now))
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        ask!(self, update_locked(id, record, expected, holder, now))
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        ask!(self, unlock(id, holder))
    }

    fn supports_touch(&self) -> bool {
        match &self.0 {
            Kind::Memory(store) => Store::supports_touch(store),
            Kind::Other(store) => store.supports_touch(),
        }
    }
}

/// [`Store`] with its futures boxed, so that it can be a `dyn`.
trait Erased: Send + Sync {
    fn load<'a>(&'a self, id: &'a SessionId, now: Timestamp) -> Call<'a, Option<Loaded>>;
    fn create<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        now: Timestamp,
    ) -> Call<'a, Created>;
    fn update<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        expected: Revision,
        now: Timestamp,
    ) -> Call<'a, Updated>;
    fn touch<'a>(
        &'a self,
        id: &'a SessionId,
        touch: &'a Touch,
        now: Timestamp,
    ) -> Call<'a, Touched>;
    fn load_and_touch<'a>(
        &'a self,
        id: &'a SessionId,
        now: Timestamp,
    ) -> Call<'a, Option<LoadedAndTouched>>;
    fn destroy<'a>(&'a self, id: &'a SessionId) -> Call<'a, ()>;
    fn lock<'a>(
        &'a self,
        id: &'a SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Call<'a, LockOutcome>;
    fn update_locked<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Call<'a, Fenced>;
    fn unlock<'a>(&'a self, id: &'a SessionId, holder: LockToken) -> Call<'a, ()>;
    fn supports_touch(&self) -> bool;
}

impl<S: Store> Erased for S {
    fn load<'a>(&'a self, id: &'a SessionId, now: Timestamp) -> Call<'a, Option<Loaded>> {
        Box::pin(Store::load(self, id, now))
    }

    fn create<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        now: Timestamp,
    ) -> Call<'a, Created> {
        Box::pin(Store::create(self, id, record, now))
    }

    fn update<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        expected: Revision,
        now: Timestamp,
    ) -> Call<'a, Updated> {
        Box::pin(Store::update(self, id, record, expected, now))
    }

    fn touch<'a>(
        &'a self,
        id: &'a SessionId,
        touch: &'a Touch,
        now: Timestamp,
    ) -> Call<'a, Touched> {
        Box::pin(Store::touch(self, id, touch, now))
    }

    fn load_and_touch<'a>(
        &'a self,
        id: &'a SessionId,
        now: Timestamp,
    ) -> Call<'a, Option<LoadedAndTouched>> {
        Box::pin(Store::load_and_touch(self, id, now))
    }

    fn destroy<'a>(&'a self, id: &'a SessionId) -> Call<'a, ()> {
        Box::pin(Store::destroy(self, id))
    }

    fn lock<'a>(
        &'a self,
        id: &'a SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Call<'a, LockOutcome> {
        Box::pin(Store::lock(self, id, holder, lease, now))
    }

    fn update_locked<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Call<'a, Fenced> {
        Box::pin(Store::update_locked(self, id, record, expected, holder, now))
    }

    fn unlock<'a>(&'a self, id: &'a SessionId, holder: LockToken) -> Call<'a, ()> {
        Box::pin(Store::unlock(self, id, holder))
    }

    fn supports_touch(&self) -> bool {
        Store::supports_touch(self)
    }
}
