//! The session of one request: the driver of [`SessionState`](express_session_core::session::SessionState).
//!
//! The state machine in core decides; this module calls the store, reads the clock, holds the locks and runs the
//! application's own functions. The handle ([`crate::Session`]) and the middleware are both thin over it.
//!
//! 1. The state is behind a plain lock, which is held neither across an await point nor while a function of the
//!    application runs.
//! 2. The operations that call the store run one after the other, behind an asynchronous lock: clones of a handle may
//!    save at the same time.
//! 3. An operation that writes or ends the session runs to completion when its future is dropped, and the next one
//!    waits for it. Outside of a runtime, or after a timeout, the store may or may not have applied the call; the
//!    state machine keeps it as a write in doubt.
//! 4. An operation waits for the store as long as `store_timeout` says, all its attempts together. Calls that the handler
//!    did not ask for wait `touch_timeout` in all.

mod batch;
mod commit;
mod load;
mod lock;
mod operations;
mod users;

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use express_session_core::cookie::{CookieTemplate, StoredCookie};
use express_session_core::metadata::Client;
use express_session_core::record::Json;
use express_session_core::session::{Context, Function, LoadedSession, Reapply, SessionState};
use express_session_core::signing::Presented;
use express_session_core::{
    Document, EndedBy, InsertError, Policy, SessionId, Timestamp, Verified, decide, store,
};
use http::request::Parts;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind};
use crate::layer::config::Config;
use crate::runtime::keyed::KeyedGuard;
use crate::runtime::timeout::{Budget, within};
pub(crate) use commit::{Commit, Committed};
pub(crate) use users::Meant;

/// The session of one request.
pub(crate) struct RequestSession {
    pub(crate) config: Arc<Config>,
    /// The id of the request's cookie, its signature checked.
    presented: Option<SessionId>,
    /// Whether its cookies name two sessions, and the policy refuses that.
    is_refused: bool,
    /// Whether the request came over HTTPS.
    is_secure: bool,
    /// Where the request came from, as far as that is noted.
    client: Option<Box<Client>>,
    /// The request, where the application's own functions take it.
    request: Option<Box<Parts>>,
    /// The usual cookie, where a function returns its settings and stored cookies get them.
    template: Option<Box<CookieTemplate>>,
    state: Mutex<RequestState>,
    /// How many calls in a row the store has not answered in time: a request waits `store_timeout` once for a store that
    /// hangs, and a tenth longer.
    unanswered: AtomicU32,
    /// The waiting for calls that the handler did not ask for.
    unasked: Budget,
    /// One permit, which the operation under way has.
    operation: Semaphore,
}

#[derive(Default)]
struct RequestState {
    session: SessionState,
    /// The place in the queue of those that want the lock, as long as this request has it.
    lock_turn: Option<KeyedGuard<()>>,
    /// The flash messages that this request has taken.
    taken: TakenMessages,
    /// Whether the handler has logged the user out.
    is_logged_out: bool,
}

/// The number of lists that are remembered beside those of the latest take.
const MAX_TAKEN: usize = 4096;

/// Flash messages, in lists by their type.
pub(crate) type TakenMessages = Vec<(String, Vec<Box<RawValue>>)>;

/// The state, locked. Functions of the application that the state has no use for any more are dropped after the lock:
/// what they have captured may use the session when it is dropped.
struct StateGuard<'a>(Option<MutexGuard<'a, RequestState>>);

impl Deref for StateGuard<'_> {
    type Target = RequestState;

    fn deref(&self) -> &RequestState {
        self.0.as_deref().expect("only the drop takes it")
    }
}

impl DerefMut for StateGuard<'_> {
    fn deref_mut(&mut self) -> &mut RequestState {
        self.0.as_deref_mut().expect("only the drop takes it")
    }
}

impl Drop for StateGuard<'_> {
    fn drop(&mut self) {
        let discarded = self.0.as_mut().and_then(|state| state.session.take_discarded());
        self.0 = None;
        drop(discarded);
    }
}

/// The operation under way: the next one begins when it is dropped.
pub(crate) struct OperationGuard(Arc<RequestSession>);

impl Deref for OperationGuard {
    type Target = RequestSession;

    fn deref(&self) -> &RequestSession {
        &self.0
    }
}

impl Drop for OperationGuard {
    fn drop(&mut self) {
        self.0.operation.add_permits(1);
    }
}

impl RequestSession {
    #[inline]
    pub(crate) fn new(
        config: Arc<Config>,
        presented: Presented,
        is_secure: bool,
        client: Option<Box<Client>>,
        request: Option<Box<Parts>>,
        template: Option<Box<CookieTemplate>>,
    ) -> Self {
        let is_refused = config.policy.refuses(&presented);
        Self {
            config,
            presented: presented.id.map(Verified::into_inner).filter(|_| !is_refused),
            is_refused,
            is_secure,
            client,
            request,
            template,
            state: Mutex::default(),
            unanswered: AtomicU32::new(0),
            unasked: Budget::default(),
            operation: Semaphore::new(1),
        }
    }

    /// Makes the session of an id, outside of a request: nothing is saved implicitly, and loading it is no visit.
    fn of_id(config: Arc<Config>, id: SessionId) -> Self {
        let session = Self {
            config,
            presented: Some(id),
            is_refused: false,
            is_secure: true,
            client: None,
            request: None,
            template: None,
            state: Mutex::default(),
            unanswered: AtomicU32::new(0),
            unasked: Budget::default(),
            operation: Semaphore::new(1),
        };
        session.leave_alone();
        session.detach();
        session
    }

    fn state(&self) -> StateGuard<'_> {
        // A panic in a function of the application leaves the state as it was before it.
        StateGuard(Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn context(&self) -> Context<'_> {
        self.context_with(&self.config.policy)
    }

    fn context_with<'a>(&'a self, policy: &'a Policy) -> Context<'a> {
        Context {
            policy,
            name: &self.config.name,
            template: self.template.as_deref().or_else(|| self.config.template(self.is_secure)),
            hardens: self.config.harden_stored_cookies,
            may_renew: false,
            presented: self.presented.as_ref(),
            is_secure: self.is_secure,
            client: self.client.as_deref(),
            supports_touch: self.config.supports_touch,
            lifetime: self.config.lifetime,
            member: &self.config.metadata_member,
            user_epoch: None,
        }
    }

    /// Waits until no other operation is under way.
    async fn lock_operation(self: &Arc<Self>) -> OperationGuard {
        match self.operation.acquire().await {
            Ok(permit) => permit.forget(),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
        OperationGuard(Arc::clone(self))
    }

    /// Begins an operation if no other one is under way.
    fn try_lock_operation(self: &Arc<Self>) -> Option<OperationGuard> {
        self.operation.try_acquire().ok()?.forget();
        Some(OperationGuard(Arc::clone(self)))
    }

    /// Returns the request, where the application's own functions take it.
    pub(crate) fn request(&self) -> Option<&Parts> {
        self.request.as_deref()
    }

    /// Returns the time by the layer's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.config.sources.now()
    }

    /// Notes that a call of the store begins, whose timeout need not wake the runtime.
    fn begin_call(&self) {
        if !self.config.store.never_waits() {
            self.config.pacemaker.call();
        }
    }

    /// Waits for the store no longer than `store_timeout`, together with what the request has waited unasked.
    ///
    /// The caller pins the call: a future that takes another one by value has room for it twice.
    async fn call_store<T, E: Into<Error>>(
        &self,
        call: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Error> {
        self.begin_call();
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        let timeout = |unanswered| reduced_timeout(self.config.store_timeout, unanswered);
        let left = timeout(unanswered).saturating_sub(self.unasked.spent());
        match within(left.max(timeout(unanswered.saturating_add(1))), call).await {
            Some(Ok(done)) => {
                if unanswered > 0 {
                    self.unanswered.store(0, Ordering::Relaxed);
                }
                Ok(done)
            }
            Some(Err(error)) => Err(error.into()),
            None => {
                self.unanswered.store(unanswered.saturating_add(1), Ordering::Relaxed);
                Err(store::Error::new(
                    store::ErrorKind::TimedOut,
                    "no answer within the layer's store_timeout",
                )
                .into())
            }
        }
    }

    /// Waits for the store no longer than the step may take. A wait that ended with `touch_timeout` shortens later ones
    /// by its length alone: the store may answer what the handler asks for.
    async fn call_store_for<T, E: Into<Error>>(
        &self,
        step: decide::Step,
        call: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Result<T, Error> {
        if step.is_asked() {
            return self.call_store(call).await;
        }
        self.begin_call();
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        let limit = reduced_timeout(self.config.store_timeout, unanswered);
        match self.unasked.within(limit.min(self.config.touch_timeout), call).await {
            Some(done) => done.map_err(Into::into),
            None => Err(store::Error::new(
                store::ErrorKind::TimedOut,
                "no answer within the layer's touch_timeout",
            )
            .into()),
        }
    }

    /// Makes the id and the cookie of a new session. Calls the application's own functions.
    fn generate(&self, now: Timestamp) -> Result<(SessionId, StoredCookie), Error> {
        self.config.generate(self.request.as_deref(), self.is_secure, now)
    }
}

/// Reads and changes of a handle.
impl RequestSession {
    /// Reads from the session, also after the response; `None` where it is over.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&LoadedSession) -> T) -> Option<T> {
        self.state().session.readable().map(read)
    }

    /// Reads from the session, or returns why it cannot be read. `read` is not the application's.
    pub(crate) fn with_session<T>(
        &self,
        read: impl FnOnce(&LoadedSession) -> T,
    ) -> Result<T, Error> {
        Ok(read(self.state().session.usable()?))
    }

    /// Changes the session. `change` is not the application's.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut LoadedSession) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.state().session.change(change)?
    }

    /// Changes a member by a function of its value. The function belongs to the application and is called while no lock
    /// is held: it may use the session.
    pub(crate) fn update<T>(
        &self,
        key: &str,
        change: impl Fn(Option<&str>) -> Result<(T, Edit), Error>,
        reapply: &Reapply,
        function: Option<Function>,
    ) -> Result<T, Error> {
        self.check_name(key)?;
        loop {
            let before = self.raw(key)?;
            let (value, edit) = change(before.as_deref())?;
            let set = |document: &mut Document| edit.apply(document, key);
            // A clone of the handle may have changed the member meanwhile.
            let mut state = self.state();
            if state.session.update(key, before.as_deref(), set, reapply, function)? {
                return Ok(value);
            }
        }
    }

    /// Changes several members by a function of all, as [`update`](Self::update) does.
    pub(crate) fn update_all<T>(
        &self,
        change: impl Fn(&Document) -> Result<(T, Vec<(String, Edit)>), Error>,
        reapply: &Reapply,
    ) -> Result<T, Error> {
        loop {
            let before = self.with_session(|session| session.document.clone())?;
            let (value, edits) = change(&before)?;
            edits.iter().try_for_each(|(key, _)| self.check_name(key))?;
            let set = |document: &mut Document| apply_all(document, &edits);
            if self.state().session.update_all(&before, set, reapply)? {
                return Ok(value);
            }
        }
    }

    /// Copies a member's JSON, to be deserialised while no lock is held.
    pub(crate) fn raw(&self, key: &str) -> Result<Option<String>, Error> {
        self.with_session(|session| session.document.get_raw(key).map(str::to_owned))
    }

    /// Returns the id, also of a session that is over.
    pub(crate) fn id(&self) -> Option<SessionId> {
        self.state().session.id().cloned()
    }

    /// Refuses the name of the library's own member.
    pub(crate) fn check_name(&self, key: &str) -> Result<(), Error> {
        if self.config.policy.keeps_metadata() && key == self.config.metadata_member.as_str() {
            return Err(Error::of_member(ErrorKind::ReservedName, key));
        }
        Ok(())
    }

    /// Returns the limit that had ended the session of the request's cookie.
    pub(crate) fn ended_by(&self) -> Option<EndedBy> {
        self.state().session.ended_by()
    }

    /// Unsets the session: `req.session = null`.
    pub(crate) fn unset(&self) -> Result<(), Error> {
        Ok(self.state().session.unset()?)
    }

    /// Checks whether the request goes on without a session.
    #[cfg(feature = "axum")]
    pub(crate) fn is_degraded(&self) -> bool {
        self.state().session.is_degraded()
    }

    /// Remembers flash messages that this request has taken. A socket may take them for days, and the earliest lists
    /// are forgotten then.
    pub(crate) fn add_taken(&self, taken: TakenMessages) {
        let mut state = self.state();
        let excess = state.taken.len().saturating_sub(MAX_TAKEN);
        state.taken.drain(..excess);
        state.taken.extend(taken);
    }

    /// Returns the flash messages that this request has taken, and forgets them.
    pub(crate) fn forget_taken(&self) -> TakenMessages {
        std::mem::take(&mut self.state().taken)
    }

    /// Destroys the record, and notes that the user has logged out.
    pub(crate) async fn log_out(self: &Arc<Self>) -> Result<(), Error> {
        self.destroy().await?;
        self.state().is_logged_out = true;
        Ok(())
    }

    /// Checks whether the handler has logged the user out.
    pub(crate) fn is_logged_out(&self) -> bool {
        self.state().is_logged_out
    }

    /// Leaves the session alone, unless the handler changes it.
    pub(crate) fn leave_alone(&self) {
        self.state().session.leave_alone();
    }

    /// Checks whether what is put into the session is persisted.
    pub(crate) fn is_persisted(&self) -> bool {
        self.state().session.is_persisted()
    }
}

/// A change of a member.
pub(crate) enum Edit {
    Set(Json),
    Remove,
}

impl Edit {
    pub(crate) fn apply(&self, document: &mut Document, key: &str) -> Result<(), Error> {
        match self {
            Self::Set(json) => insert(document, key, json),
            Self::Remove => {
                document.remove(key);
                Ok(())
            }
        }
    }
}

pub(crate) fn apply_all(document: &mut Document, edits: &[(String, Edit)]) -> Result<(), Error> {
    edits.iter().try_for_each(|(key, edit)| edit.apply(document, key))
}

/// Inserts a member; the error names it.
pub(crate) fn insert(document: &mut Document, key: &str, value: &Json) -> Result<(), Error> {
    document.insert_json(key, value).map_err(|error| match error {
        InsertError::Serialize(source) => {
            Error::of_member(ErrorKind::Serialize, key).with_source(source)
        }
        InsertError::Reserved | _ => Error::of_member(ErrorKind::ReservedName, key),
    })
}

/// Returns the timeout of a call after so many that the store has not answered in time: a twentieth, and then half of it
/// each time. The total stays below a tenth of `store_timeout`.
fn reduced_timeout(store_timeout: Duration, unanswered: u32) -> Duration {
    match unanswered.checked_sub(1) {
        None => store_timeout,
        Some(halved) => store_timeout / 20_u32.saturating_mul(1 << halved.min(20)),
    }
}
