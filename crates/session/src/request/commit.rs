//! The end of a response: what [`decide`](express_session_core::decide) says is done, and the cookie is printed.

use express_session_core::policy::LoadTime;
use std::pin::pin;
use std::sync::Arc;

use express_session_core::decide::{self, CookieAction, Plan, StoreAction};
use express_session_core::session::{BodyKind, End, SaveMachine, SessionState, Unread, Withheld};
use express_session_core::store::Store as _;
use express_session_core::{Timestamp, cookie, signing};
use futures_util::FutureExt as _;
use http::HeaderValue;
use tracing::Level;

use super::{Error, OperationGuard, RequestSession};
use crate::layer::warnings::Warning;
use crate::runtime::completion::run_to_completion;

/// The cookie of a response, once its session is committed.
pub(crate) type Committed = Result<Option<HeaderValue>, Error>;

/// The decision at the end of a response.
pub(super) struct Planned {
    plan: Plan,
    withheld: Option<Withheld>,
    end: End,
    now: Timestamp,
}

/// How far the end of a response is.
pub(crate) struct Commit {
    body: BodyKind,
    planned: Option<Planned>,
    operation: Option<OperationGuard>,
}

impl Commit {
    pub(crate) fn new(body: BodyKind) -> Self {
        Self { body, planned: None, operation: None }
    }
}

impl RequestSession {
    /// Checks whether there is nothing to do at the end of this request: nothing has asked for the session or still
    /// can, and it is not to be loaded unasked.
    pub(crate) fn is_untouched(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
            && self.load_plan() == LoadTime::Asked
            && self.state().session.is_unloaded()
    }

    /// Commits without waiting, as far as the store is not called or answers immediately, and no other request is waited for.
    /// The rest is for [`commit`](Self::commit).
    pub(crate) fn commit_immediately(
        self: &Arc<Self>,
        body: BodyKind,
    ) -> Result<Committed, Commit> {
        let mut commit = Commit::new(body);
        let never_waits = self.config.store.never_waits();
        // Without another handle, no operation can be under way, and nothing looks at the state afterwards.
        let is_last = Arc::strong_count(self) == 1;
        if !is_last {
            commit.operation = self.try_lock_operation();
            if commit.operation.is_none() {
                return Err(commit);
            }
        }
        let now = self.now();
        let mut state = self.state();
        if state.session.lock().is_some() {
            return Err(commit);
        }
        commit.planned = if self.is_to_be_loaded_unasked(&state.session) {
            drop(state);
            if !never_waits {
                return Err(commit);
            }
            if is_last && self.touch_unloaded(now) {
                return Ok(Ok(None));
            }
            match pin!(self.plan_end(body, now, is_last)).now_or_never() {
                Some(planned) => planned,
                None => return Err(commit),
            }
        } else {
            state.session.begin_end(body, now);
            let planned = self.plan(&mut state.session, now, is_last);
            drop(state);
            planned
        };
        let Some(planned) = &commit.planned else { return Ok(Ok(None)) };
        match planned.plan.store {
            StoreAction::Keep => return Ok(self.conclude(planned, Ok(()), is_last)),
            // Several calls, none of which is left out.
            StoreAction::Renew => return Err(commit),
            StoreAction::Write | StoreAction::Touch | StoreAction::Destroy if !never_waits => {
                return Err(commit);
            }
            StoreAction::Write | StoreAction::Touch | StoreAction::Destroy => {}
        }
        let done = pin!(self.carry_out(planned, is_last, false)).now_or_never();
        done.ok_or(commit)
    }

    /// Commits, from wherever [`commit_immediately`](Self::commit_immediately) has left off.
    pub(crate) async fn commit(self: &Arc<Self>, commit: Commit) -> Committed {
        let operation = match commit.operation {
            Some(operation) => operation,
            None => self.lock_operation().await,
        };
        let planned = match commit.planned {
            Some(planned) => planned,
            None => match self.plan_end(commit.body, self.now(), false).await {
                Some(planned) => planned,
                None => return Ok(None),
            },
        };
        match planned.plan.store {
            StoreAction::Keep => operation.conclude(&planned, Ok(()), false),
            // One that is dropped makes no difference to what the next operation knows. Boxed, because it is rare and the
            // future of each response has room for it.
            StoreAction::Touch => Box::pin(operation.carry_out(&planned, false, true)).await,
            StoreAction::Write | StoreAction::Destroy | StoreAction::Renew => {
                run_to_completion(&self.config.tasks, async move {
                    operation.carry_out(&planned, false, true).await
                })
                .await
            }
        }
    }

    /// Prints the cookie of a response whose session is saved at the end of its body.
    pub(crate) async fn commit_cookie(self: &Arc<Self>, body: BodyKind) -> Option<HeaderValue> {
        let _operation = self.lock_operation().await;
        let now = self.now();
        self.load_unasked(now).await;
        let (plan, withheld) = {
            let state = &mut self.state().session;
            state.begin_end(body, now);
            state.plan(&self.context(), now)?
        };
        self.warn(withheld);
        self.print_cookie(plan, now)
    }

    /// Resets the expiry of a session that is to be loaded unasked, where nothing else is to be done and nothing can
    /// ask any more. Returns whether that is done.
    fn touch_unloaded(&self, now: Timestamp) -> bool {
        let Some(id) = &self.presented else { return false };
        let store = &self.config.store;
        let loaded = pin!(store.load(id, now)).now_or_never();
        let Some(Ok(Some(loaded))) = loaded else { return false };
        match self.context().unread(&loaded, now) {
            Unread::Open => false,
            Unread::Keep => true,
            Unread::Touch(touch) => {
                matches!(pin!(store.touch(id, &touch, now)).now_or_never(), Some(Ok(_)))
            }
        }
    }

    fn is_to_be_loaded_unasked(&self, state: &SessionState) -> bool {
        state.loads_unasked(self.load_plan())
    }

    /// Loads the session if the request needs it unasked.
    async fn load_unasked(&self, now: Timestamp) {
        let loads = self.is_to_be_loaded_unasked(&self.state().session);
        if loads {
            let load = Box::pin(self.load_in_operation(decide::Step::LoadUnasked, now));
            if let Err(error) = load.await {
                self.log_failure(&error);
            }
        }
    }

    /// Loads the session if the request needs it unasked, and decides. `None` where there never was a session.
    async fn plan_end(&self, body: BodyKind, now: Timestamp, is_last: bool) -> Option<Planned> {
        self.load_unasked(now).await;
        let mut state = self.state();
        state.session.begin_end(body, now);
        self.plan(&mut state.session, now, is_last)
    }

    /// Decides what to do, and begins it. `is_last` says that nothing can look at the state afterwards.
    pub(super) fn plan(
        &self,
        state: &mut SessionState,
        now: Timestamp,
        is_last: bool,
    ) -> Option<Planned> {
        let mut context = self.context();
        if self.config.policy.renewal.is_some() {
            context.may_renew = self.may_renew(state);
        }
        let (plan, withheld) = state.plan(&context, now)?;
        let end = state.begin_plan(plan, &self.config.policy, now, !is_last);
        Some(Planned { plan, withheld, end, now })
    }

    /// Warns that a cookie is not sent. No lock is held: the application's own subscriber may take the warning.
    fn warn(&self, withheld: Option<Withheld>) {
        if let Some(withheld) = withheld {
            self.config.warnings.warn_once(match withheld {
                Withheld::Insecure => Warning::InsecureConnection,
                Withheld::Unprintable => Warning::UnprintableCookie,
                Withheld::Dropped => Warning::DroppedCookie,
                Withheld::Late => Warning::LateSession,
            });
        }
    }

    /// Does what was decided, and prints the cookie. `is_last` says that nothing can look at the state afterwards,
    /// `may_wait` that the future is not dropped where it waits for another request.
    pub(super) async fn carry_out(
        &self,
        planned: &Planned,
        is_last: bool,
        may_wait: bool,
    ) -> Committed {
        let (plan, now) = (planned.plan, planned.now);
        let done = match plan.store {
            StoreAction::Keep => Ok(()),
            StoreAction::Write => {
                let save = if is_last { SaveMachine::last(now) } else { SaveMachine::new(now) };
                let step = self.state().session.failed_step(plan);
                self.call_store_for(step, pin!(self.drive(save, now, may_wait))).await
            }
            StoreAction::Touch => self.touch_record(decide::Step::Touch, now).await,
            StoreAction::Destroy => self.destroy_record().await,
            // A box: seldom, and the future of each response has room for it.
            StoreAction::Renew => {
                let step = self.state().session.failed_step(plan);
                self.call_store_for(step, pin!(Box::pin(self.renew(now)))).await
            }
        };
        self.conclude(planned, done, is_last)
    }

    /// Notes what the store has done, and prints the cookie.
    fn conclude(&self, planned: &Planned, done: Result<(), Error>, is_last: bool) -> Committed {
        let Planned { plan, withheld, end, now } = planned;
        self.warn(*withheld);
        if let Err(error) = done {
            self.handle_failure(*plan, error)?;
        }
        if !is_last {
            self.state().session.finish_plan(end);
        }
        Ok(self.print_cookie(*plan, *now))
    }

    /// Does with a failure of the store what the policy says.
    fn handle_failure(&self, plan: Plan, error: Error) -> Result<(), Error> {
        let step = self.state().session.failed_step(plan);
        let fault = error.fault();
        match (self.config.policy.on_failure(step, fault), fault) {
            (decide::OnFailure::Report, _) => return Err(error),
            (decide::OnFailure::Ignore, _) => self.log_failure(&error),
            (decide::OnFailure::ContinueWithoutSession, decide::Fault::Ended) => {
                self.log(Level::INFO, ENDED, &error);
            }
            (decide::OnFailure::ContinueWithoutSession, _) => {
                self.log(Level::ERROR, UNAVAILABLE, &error);
                self.state().session.degrade();
            }
        }
        Ok(())
    }

    /// Prints the `Set-Cookie` header that was decided.
    fn print_cookie(&self, plan: Plan, now: Timestamp) -> Option<HeaderValue> {
        if matches!(plan.cookie, CookieAction::Keep | CookieAction::Withhold) {
            return None;
        }
        let printed = self.print(&mut self.state().session, plan, now)?;
        if printed.len() > MAX_COOKIE {
            self.config.warnings.warn_once(Warning::LargeCookie);
        }
        // `print` lets nothing through that a header cannot carry.
        let mut value = HeaderValue::from_maybe_shared(bytes::Bytes::from(printed)).ok()?;
        // It has the id: `Debug` shows nothing of it, and HPACK puts it into no table (RFC 7541 §7.1.3).
        value.set_sensitive(true);
        Some(value)
    }

    fn print(&self, state: &mut SessionState, plan: Plan, now: Timestamp) -> Option<String> {
        let name = &self.config.name;
        let session = state.cookie_to_print(plan, now)?;
        if plan.cookie == CookieAction::Expire {
            return cookie::print_expired(name, &session.cookie).ok();
        }
        let value = signing::sign(session.id(), &self.config.keyring);
        let limited = session.limited_cookie(&self.config.policy);
        cookie::print(name, &value, limited.as_ref().unwrap_or(&session.cookie)).ok()
    }

    /// Logs a failure that the response does not show.
    pub(super) fn log_failure(&self, error: &Error) {
        self.log(Level::ERROR, FAILED, error);
    }

    /// Logs a failure, unless it has just been logged.
    pub(crate) fn log(&self, level: Level, what: &'static str, error: &Error) {
        self.config.failures.log(level, what, error, self.now());
    }

    /// Notes that the headers leave now, with the session's cookie or without.
    pub(crate) fn headers_left(&self, with_cookie: bool) {
        self.state().session.headers_left(&self.context(), with_cookie);
    }

    /// Notes that the connection is upgraded: handles stay usable, and nothing is saved implicitly.
    pub(crate) fn detach(&self) {
        self.state().session.detach(&self.context());
    }

    /// Notes that the response is over: handles are of no use any more.
    pub(crate) fn close(&self) {
        self.state().session.close();
    }
}

/// Browsers drop a longer cookie (RFC 6265bis §5.6).
const MAX_COOKIE: usize = 4096;

const FAILED: &str = "the session store failed at the end of a request";
const ENDED: &str =
    "the session ended while this request was being handled: its changes are dropped";
pub(super) const UNAVAILABLE: &str =
    "the session store is unavailable: a request goes on without a session";
