use express_session_core::store::{
    Admin, Created, Cursor, Error, Loaded, Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use crate::Call;

/// Implements [`Store`] for a wrapper `|this| store`: its method `around(call, answer)` stands between the
/// caller and the store inside. The parts are `records` (`create` and `others`), `expiry` and `locks`; what follows
/// them is the wrapper's own. The names of [`express_session_core::store`] have to be in scope.
#[doc(hidden)]
#[macro_export]
macro_rules! __wrap_store {
    (($($generics:tt)*) $wrapper:ty, |$this:ident| $store:expr, [$($part:ident)*] $($own:tt)*) => {
        impl<$($generics)*> Store for $wrapper {
            $( $crate::__wrap_store! { @$part $this $store } )*
            $($own)*
        }
    };
    (@records $this:ident $store:expr) => {
        $crate::__wrap_store! { @create $this $store }
        $crate::__wrap_store! { @others $this $store }
    };
    (@create $this:ident $store:expr) => {
        $crate::__wrap_store! { @call $this $store, create Create
            [id: SessionId, record: Record] [now: Timestamp] [] -> Created }
    };
    (@others $this:ident $store:expr) => {
        $crate::__wrap_store! { @call $this $store, load Load
            [id: SessionId] [now: Timestamp] [] -> Option<Loaded> }
        $crate::__wrap_store! { @call $this $store, update Update
            [id: SessionId, record: Record, expected: Revision] [now: Timestamp] [] -> Updated }
        $crate::__wrap_store! { @call $this $store, touch Touch
            [id: SessionId, touch: Touch] [now: Timestamp] [] -> Touched }
        $crate::__wrap_store! { @call $this $store, destroy Destroy [id: SessionId] [] [] -> () }

        // Handed on, as the listing of every session is.
        async fn sessions_of(
            &self,
            users: &express_session_core::metadata::UserQuery,
            after: Option<express_session_core::store::Cursor>,
            limit: usize,
            now: Timestamp,
        ) -> Result<express_session_core::store::Page, Error> {
            let $this = self;
            ($store).sessions_of(users, after, limit, now).await
        }
    };
    (@expiry $this:ident $store:expr) => {
        async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
            let $this = self;
            $store.time(now).await
        }

        fn lifetime(&self) -> express_session_core::store::Lifetime {
            let $this = self;
            $store.lifetime()
        }

        fn supports_touch(&self) -> bool {
            let $this = self;
            $store.supports_touch()
        }
    };
    (@locks $this:ident $store:expr) => {
        $crate::__wrap_store! { @call $this $store, lock Lock [id: SessionId]
            [holder: LockToken, lease: std::time::Duration, now: Timestamp] [holder, lease] -> LockOutcome }
        $crate::__wrap_store! { @call $this $store, update_locked UpdateLocked
            [id: SessionId, record: Record, expected: Revision]
            [holder: LockToken, now: Timestamp] [holder] -> Fenced }
        $crate::__wrap_store! { @call $this $store, unlock Unlock
            [id: SessionId] [holder: LockToken] [holder] -> () }
    };
    (@call $this:ident $store:expr, $method:ident $call:ident [$($kept:ident: $Kept:ty),*]
     [$($given:ident: $Given:ty),*] [$($told:ident),*] -> $Answer:ty) => {
        async fn $method(&self, $($kept: &$Kept,)* $($given: $Given),*) -> Result<$Answer, Error> {
            let $this = self;
            let store = $store;
            $( let $kept = $kept.clone(); )*
            let call = $crate::Call::$call { $($kept: $kept.clone(),)* $($told),* };
            self.around(call, async move { store.$method($(&$kept,)* $($given),*).await }).await
        }
    };
}

/// Implements [`Admin`](express_session_core::store::Admin) for a wrapper by the store inside.
#[doc(hidden)]
#[macro_export]
macro_rules! __wrap_admin {
    (($($generics:tt)*) $wrapper:ty, |$this:ident| $store:expr) => {
        impl<$($generics)*> Admin for $wrapper {
            async fn list(
                &self,
                after: Option<Cursor>,
                limit: usize,
                now: Timestamp,
            ) -> Result<Page, Error> {
                let $this = self;
                $store.list(after, limit, now).await
            }

            async fn count(&self, now: Timestamp) -> Result<u64, Error> {
                let $this = self;
                $store.count(now).await
            }

            async fn clear(&self) -> Result<(), Error> {
                let $this = self;
                $store.clear().await
            }

            async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
                let $this = self;
                $store.purge(limit, now).await
            }
        }
    };
}

/// A store without the locks of the one inside.
///
/// ```
/// # use express_session_core::{SessionId, Timestamp, store::{ErrorKind, LockToken, Store as _}};
/// # use express_session_testkit::{MapStore, WithoutLocks, block_on};
/// # block_on(async {
/// let (store, id) = (WithoutLocks(MapStore::default()), SessionId::from_random([0; 24]));
/// let error = store.unlock(&id, LockToken::from_random([0; 16])).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct WithoutLocks<S>(pub S);

impl<S: Store> WithoutLocks<S> {
    async fn around<T>(
        &self,
        _: Call,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        answer.await
    }
}

__wrap_store! { (S: Store) WithoutLocks<S>, |this| &this.0, [records] }
__wrap_admin! { (S: Admin) WithoutLocks<S>, |this| this.0 }
