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

/// Implements the verbs of [`Store`], each with its references first, for [`AnyStore`] and [`Erased`].
macro_rules! verbs {
    ($($verb:ident($($name:ident: &$reference:ty),*; $($value:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Store for AnyStore {
            $(async fn $verb(&self, $($name: &$reference,)* $($value: $type),*) -> Result<$answer, Error> {
                match &self.0 {
                    Kind::Memory(store) => Store::$verb(store, $($name,)* $($value),*).await,
                    Kind::Other(store) => store.$verb($($name,)* $($value),*).await,
                }
            })*

            fn supports_touch(&self) -> bool {
                match &self.0 {
                    Kind::Memory(store) => Store::supports_touch(store),
                    Kind::Other(store) => store.supports_touch(),
                }
            }
        }

        /// [`Store`] with its futures boxed, so that it can be a `dyn`.
        trait Erased: Send + Sync {
            $(fn $verb<'a>(&'a self, $($name: &'a $reference,)* $($value: $type),*) -> Call<'a, $answer>;)*
            fn supports_touch(&self) -> bool;
        }

        impl<S: Store> Erased for S {
            $(fn $verb<'a>(&'a self, $($name: &'a $reference,)* $($value: $type),*) -> Call<'a, $answer> {
                Box::pin(Store::$verb(self, $($name,)* $($value),*))
            })*

            fn supports_touch(&self) -> bool {
                Store::supports_touch(self)
            }
        }
    };
}

verbs! {
    load(id: &SessionId; now: Timestamp) -> Option<Loaded>;
    create(id: &SessionId, record: &Record; now: Timestamp) -> Created;
    update(id: &SessionId, record: &Record; expected: Revision, now: Timestamp) -> Updated;
    touch(id: &SessionId, touch: &Touch; now: Timestamp) -> Touched;
    load_and_touch(id: &SessionId; now: Timestamp) -> Option<LoadedAndTouched>;
    destroy(id: &SessionId;) -> ();
    lock(id: &SessionId; holder: LockToken, lease: Duration, now: Timestamp) -> LockOutcome;
    update_locked(
        id: &SessionId, record: &Record;
        expected: Revision, holder: LockToken, now: Timestamp
    ) -> Fenced;
    unlock(id: &SessionId; holder: LockToken) -> ();
}
