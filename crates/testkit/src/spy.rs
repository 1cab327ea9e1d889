use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Lifetime, Loaded, LockOutcome, LockToken,
    Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

/// A store that records which calls were made, and makes them fail when told to.
///
/// Everything else it hands on to the store inside, which keeps its own behaviour. Clones share the
/// record, so that a test can ask what a server did with the store it was given. Listing, counting
/// and clearing are handed on, and not recorded.
///
/// ```
/// use express_session_core::store::{ErrorKind, Store};
/// use express_session_core::{SessionId, Timestamp};
/// use express_session_testkit::{Call, MapStore, Spy, Verb};
/// # use express_session_testkit::block_on;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # block_on(async {
/// let spy = Spy::new(MapStore::default());
/// let id = SessionId::from_random([0; 24]);
/// let now = Timestamp::from_millis(1_700_000_000_000);
///
/// spy.load(&id, now).await?;
/// assert_eq!(spy.take_calls(), [Call::Load { id: id.clone() }]);
///
/// spy.fail_next(Verb::Load, ErrorKind::Unavailable);
/// assert!(spy.load(&id, now).await.is_err());
/// assert!(spy.load(&id, now).await.is_ok());
/// assert_eq!(spy.verbs(), [Verb::Load, Verb::Load]);
/// # Ok(())
/// # })
/// # }
/// ```
pub struct Spy<S> {
    shared: Arc<Shared<S>>,
}

/// One call that a [`Spy`] saw, named as in [`Store`], without the current time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the arguments of the method of the same name")]
pub enum Call {
    /// [`Store::load`].
    Load { id: SessionId },
    /// [`Store::create`].
    Create { id: SessionId, record: Record },
    /// [`Store::update`].
    Update { id: SessionId, record: Record, expected: Revision },
    /// [`Store::touch`].
    Touch { id: SessionId, touch: Touch },
    /// [`Store::destroy`].
    Destroy { id: SessionId },
    /// [`Store::lock`].
    Lock { id: SessionId, holder: LockToken, lease: Duration },
    /// [`Store::update_locked`].
    UpdateLocked { id: SessionId, record: Record, expected: Revision, holder: LockToken },
    /// [`Store::unlock`].
    Unlock { id: SessionId, holder: LockToken },
}

/// Which method a [`Call`] was to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// [`Store::load`].
    Load,
    /// [`Store::create`].
    Create,
    /// [`Store::update`].
    Update,
    /// [`Store::touch`].
    Touch,
    /// [`Store::destroy`].
    Destroy,
    /// [`Store::lock`].
    Lock,
    /// [`Store::update_locked`].
    UpdateLocked,
    /// [`Store::unlock`].
    Unlock,
}

impl Call {
    /// Returns the method that was called.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Load { .. } => Verb::Load,
            Self::Create { .. } => Verb::Create,
            Self::Update { .. } => Verb::Update,
            Self::Touch { .. } => Verb::Touch,
            Self::Destroy { .. } => Verb::Destroy,
            Self::Lock { .. } => Verb::Lock,
            Self::UpdateLocked { .. } => Verb::UpdateLocked,
            Self::Unlock { .. } => Verb::Unlock,
        }
    }

    /// Returns the session's id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        match self {
            Self::Load { id }
            | Self::Create { id, .. }
            | Self::Update { id, .. }
            | Self::Touch { id, .. }
            | Self::Destroy { id }
            | Self::Lock { id, .. }
            | Self::UpdateLocked { id, .. }
            | Self::Unlock { id, .. } => id,
        }
    }
}

struct Shared<S> {
    store: S,
    touches: bool,
    state: Mutex<State>,
}

type Fault = Box<dyn FnMut(&Call) -> Option<Error> + Send>;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    next: Vec<(Verb, ErrorKind)>,
    fault: Option<Fault>,
}

impl<S: Store> Spy<S> {
    /// Puts a spy around a store.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::with(store, true)
    }

    /// Puts a spy around a store, and says that it has no touch, as a store of express-session's
    /// without that method.
    ///
    /// ```
    /// # use express_session_core::store::Store as _;
    /// # use express_session_testkit::{MapStore, Spy};
    /// assert!(!Spy::without_touch(MapStore::default()).supports_touch());
    /// ```
    #[must_use]
    pub fn without_touch(store: S) -> Self {
        Self::with(store, false)
    }

    fn with(store: S, touches: bool) -> Self {
        Self { shared: Arc::new(Shared { store, touches, state: Mutex::default() }) }
    }
}

impl<S> Spy<S> {
    /// Returns the calls so far, in order, those that failed included.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Returns the methods that were called so far, in order.
    #[must_use]
    pub fn verbs(&self) -> Vec<Verb> {
        self.state().calls.iter().map(Call::verb).collect()
    }

    /// Returns the calls so far and forgets them, for a test of several steps.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state().calls)
    }

    /// Makes the next call to a method fail, before it reaches the store. Said twice, it is the next
    /// two.
    pub fn fail_next(&self, verb: Verb, kind: ErrorKind) {
        self.state().next.push((verb, kind));
    }

    /// Asks a function before each call, which may give an error that the call fails with, before it
    /// reaches the store. It replaces the function from before; `|_| None` fails nothing.
    ///
    /// ```
    /// # use express_session_core::{SessionId, store::{Error, ErrorKind, Store as _}};
    /// # use express_session_testkit::{MapStore, Spy, block_on};
    /// # block_on(async {
    /// let spy = Spy::new(MapStore::default());
    /// spy.fail(|_| Some(Error::new(ErrorKind::Unavailable, "pulled the plug")));
    /// let id = SessionId::from_random([0; 24]);
    /// assert!(spy.destroy(&id).await.is_err());
    /// spy.fail(|_| None);
    /// assert!(spy.destroy(&id).await.is_ok());
    /// # });
    /// ```
    pub fn fail(&self, fault: impl FnMut(&Call) -> Option<Error> + Send + 'static) {
        self.state().fault = Some(Box::new(fault));
    }

    /// Returns the store inside. Calls to it are not recorded.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.shared.store
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A fault that panicked is its test's own business; the record is whole.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, call: Call) -> Result<(), Error> {
        let State { calls, next, fault } = &mut *self.state();
        let verb = call.verb();
        let planned = next.iter().position(|(failing, _)| *failing == verb);
        let error = match planned {
            Some(at) => Some(Error::new(next.remove(at).1, "a test made this call fail")),
            None => fault.as_mut().and_then(|fault| fault(&call)),
        };
        calls.push(call);
        error.map_or(Ok(()), Err)
    }
}

impl<S> Clone for Spy<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for Spy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spy").field("calls", &self.state().calls).finish_non_exhaustive()
    }
}

impl<S: Store> Spy<S> {
    async fn around<T>(
        &self,
        call: Call,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.see(call)?;
        answer.await
    }
}

__wrap_store! { (S: Store) Spy<S>, |this| &this.shared.store, [records locks]
    fn lifetime(&self) -> Lifetime {
        self.shared.store.lifetime()
    }

    fn supports_touch(&self) -> bool {
        self.shared.touches && self.shared.store.supports_touch()
    }
}

__wrap_admin! { (S: Admin) Spy<S>, |this| this.shared.store }

#[cfg(test)]
mod tests {
    use crate::{MapStore, Subject, block_on};

    use super::*;

    /// A spy hands everything on, so that what it is around keeps obeying the laws.
    struct Spied;

    impl Subject for Spied {
        type Store = Spy<MapStore>;

        async fn store(&self) -> Self::Store {
            Spy::new(MapStore::default())
        }
    }

    crate::store_laws!(Spied);
    crate::lock_laws!(Spied);
    crate::admin_laws!(Spied);

    #[test]
    fn calls_about_locks_are_recorded_and_fail_on_demand() {
        block_on(async {
            let spy = Spy::new(MapStore::default());
            let id = SessionId::from_random([0; 24]);
            let now = Timestamp::from_millis(1_700_000_000_000);
            let (holder, lease) = (LockToken::from_random([1; 16]), Duration::from_secs(30));
            let record = Record { text: r#"{"cookie":{}}"#.into(), deadline: None };
            let expected = Revision::new(1);

            for verb in [Verb::Lock, Verb::UpdateLocked, Verb::Unlock] {
                spy.fail_next(verb, ErrorKind::Unavailable);
            }
            assert!(spy.lock(&id, holder, lease, now).await.is_err());
            assert!(spy.update_locked(&id, &record, &expected, holder, now).await.is_err());
            assert!(spy.unlock(&id, holder).await.is_err());

            let calls = spy.take_calls();
            assert!(calls.iter().all(|call| call.id() == &id));
            let verbs: Vec<_> = calls.iter().map(Call::verb).collect();
            assert_eq!(verbs, [Verb::Lock, Verb::UpdateLocked, Verb::Unlock]);
            assert_eq!(
                calls,
                [
                    Call::Lock { id: id.clone(), holder, lease },
                    Call::UpdateLocked { id: id.clone(), record, expected, holder },
                    Call::Unlock { id, holder },
                ],
            );
        });
    }
}
