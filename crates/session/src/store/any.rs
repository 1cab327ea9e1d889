//! A store of any kind, chosen at run time.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Lifetime, Loaded, LockOutcome, LockToken,
    Page, Record, Revision, Store, Touch, Touched, Updated,
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
///
/// It lists, counts and clears sessions too, as [`Admin`], where the store does: [`connect`](super::connect) gives such
/// a store, and [`with_admin`](Self::with_admin) makes one.
#[derive(Clone)]
pub struct AnyStore(Kind);

#[derive(Clone)]
enum Kind {
    /// Known, so that its calls, which never wait, need not be boxed.
    Memory(MemoryStore),
    Other(Arc<dyn Erased>, Option<Arc<dyn ErasedAdmin>>),
}

impl AnyStore {
    /// Wraps a store. Its calls as [`Admin`] are [`ErrorKind::Unsupported`], except for the memory store.
    pub fn new<S: Store>(store: S) -> Self {
        Self::known(&store).unwrap_or_else(|| Self(Kind::Other(Arc::new(store), None)))
    }

    /// Wraps a store that can list its sessions.
    ///
    /// ```
    /// use express_session::Timestamp;
    /// use express_session::store::{Admin as _, AnyStore};
    /// use express_session_testkit::MapStore;
    /// # use express_session_testkit::block_on;
    ///
    /// # block_on(async {
    /// let store = AnyStore::with_admin(MapStore::default());
    /// assert_eq!(store.count(Timestamp::now()).await?, 0);
    /// assert!(AnyStore::new(MapStore::default()).count(Timestamp::now()).await.is_err());
    /// # Ok::<(), express_session::store::Error>(()) }).unwrap();
    /// ```
    pub fn with_admin<S: Admin>(store: S) -> Self {
        Self::known(&store).unwrap_or_else(|| {
            let store = Arc::new(store);
            Self(Kind::Other(Arc::clone(&store) as Arc<dyn Erased>, Some(store)))
        })
    }

    /// Returns a store that needs no pointer around it.
    fn known(store: &dyn Any) -> Option<Self> {
        let memory =
            || store.downcast_ref().map(|memory| Self(Kind::Memory(MemoryStore::clone(memory))));
        store.downcast_ref::<Self>().cloned().or_else(memory)
    }

    /// Returns whether the calls of this store never wait.
    pub(crate) fn never_waits(&self) -> bool {
        matches!(self.0, Kind::Memory(_))
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
                    Kind::Other(store, _) => store.$verb($($name,)* $($value),*).await,
                }
            })*

            fn lifetime(&self) -> Lifetime {
                match &self.0 {
                    Kind::Memory(store) => Store::lifetime(store),
                    Kind::Other(store, _) => store.lifetime(),
                }
            }

            fn supports_touch(&self) -> bool {
                match &self.0 {
                    Kind::Memory(store) => Store::supports_touch(store),
                    Kind::Other(store, _) => store.supports_touch(),
                }
            }
        }

        /// [`Store`] with its futures boxed, so that it can be a `dyn`.
        trait Erased: Send + Sync {
            $(fn $verb<'a>(&'a self, $($name: &'a $reference,)* $($value: $type),*) -> Call<'a, $answer>;)*
            fn lifetime(&self) -> Lifetime;
            fn supports_touch(&self) -> bool;
        }

        impl<S: Store> Erased for S {
            $(fn $verb<'a>(&'a self, $($name: &'a $reference,)* $($value: $type),*) -> Call<'a, $answer> {
                Box::pin(Store::$verb(self, $($name,)* $($value),*))
            })*

            fn lifetime(&self) -> Lifetime {
                Store::lifetime(self)
            }

            fn supports_touch(&self) -> bool {
                Store::supports_touch(self)
            }
        }
    };
}

verbs! {
    load(id: &SessionId; now: Timestamp) -> Option<Loaded>;
    create(id: &SessionId, record: &Record; now: Timestamp) -> Created;
    update(id: &SessionId, record: &Record, expected: &Revision; now: Timestamp) -> Updated;
    touch(id: &SessionId, touch: &Touch; now: Timestamp) -> Touched;
    destroy(id: &SessionId;) -> ();
    lock(id: &SessionId; holder: LockToken, lease: Duration, now: Timestamp) -> LockOutcome;
    update_locked(
        id: &SessionId, record: &Record, expected: &Revision;
        holder: LockToken, now: Timestamp
    ) -> Fenced;
    unlock(id: &SessionId; holder: LockToken) -> ();
    sessions_of(users: &UserQuery; after: Option<Cursor>, limit: usize, now: Timestamp) -> Page;
    time(; now: Timestamp) -> Timestamp;
}

/// Implements the verbs of [`Admin`] for [`AnyStore`] and [`ErasedAdmin`].
macro_rules! admin_verbs {
    ($($verb:ident($($name:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Admin for AnyStore {
            $(async fn $verb(&self, $($name: $type),*) -> Result<$answer, Error> {
                match &self.0 {
                    Kind::Memory(store) => Admin::$verb(store, $($name),*).await,
                    Kind::Other(_, Some(store)) => store.$verb($($name),*).await,
                    Kind::Other(_, None) => Err(Error::new(
                        ErrorKind::Unsupported,
                        "the store was wrapped by `AnyStore::new`, which knows no `Admin`: use `with_admin`",
                    )),
                }
            })*
        }

        /// [`Admin`] with its futures boxed.
        trait ErasedAdmin: Send + Sync {
            $(fn $verb(&self, $($name: $type),*) -> Call<'_, $answer>;)*
        }

        impl<S: Admin> ErasedAdmin for S {
            $(fn $verb(&self, $($name: $type),*) -> Call<'_, $answer> {
                Box::pin(Admin::$verb(self, $($name),*))
            })*
        }
    };
}

admin_verbs! {
    list(after: Option<Cursor>, limit: usize, now: Timestamp) -> Page;
    count(now: Timestamp) -> u64;
    clear() -> ();
    purge(limit: usize, now: Timestamp) -> u64;
}
