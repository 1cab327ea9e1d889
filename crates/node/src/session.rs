//! The session of one request, for a middleware with `integrity`.
//!
//! JavaScript has the session object, and calls; the state machine of core decides. A save goes from one [`Task`] to the
//! next: JavaScript makes the call of the store that is due, or waits, and asks for the next task. The
//! answers stay here.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use express_session::store::{FencingToken, LockOutcome, LockToken};
use express_session_core::record::LimitExceeded;
use express_session_core::session::{
    self, Answer, Context, LockStage, Next, Rebase, Rebased, Recompute, Resolution, SaveMachine,
    SessionObject, SessionState, StoreCall, StoreView,
};
use express_session_core::store::{Lifetime, Loaded};
use express_session_core::{Corrupt, Departures, Policy, SessionId, Timestamp};
use napi::bindgen_prelude::{FnArgs, Function, FunctionRef};
use napi::{Env, Status};
use napi_derive::napi;

use crate::engine::rules::SessionPolicy;
use crate::store::{failure, time};

/// The next task of a save.
#[napi(object, object_from_js = false)]
#[derive(Debug)]
pub struct Task {
    /// Whether a call of the store is due.
    pub calls: bool,
    /// How many attempts have failed, where a pause is due.
    pub attempts: Option<u32>,
    /// Whether a new id is due.
    pub renews: bool,
}

/// A member that another request has changed.
#[napi(object, object_from_js = false)]
pub struct ChangedMember {
    /// Its name.
    pub key: String,
    /// The value that the object has shown, as JSON.
    pub shown: Option<String>,
    /// The value that is stored, as JSON.
    pub value: Option<String>,
}

/// The session of one request.
#[napi]
pub struct NativeSession {
    policy: Arc<Policy>,
    id: SessionId,
    state: SessionState,
    object: Option<SessionObject>,
    slot: Slot,
    save: Option<Save>,
}

/// The store's answer, for JavaScript's thread to take.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Found>>>);

pub(crate) enum Found {
    /// A record, and how long its store keeps it after each reset.
    Record(Loaded, Lifetime),
    Save(Answer),
    Lock(LockOutcome),
}

struct Save {
    machine: SaveMachine,
    policy: Arc<Policy>,
    now: Timestamp,
    /// The deadline, where the store's options say it and not the cookie.
    deadline: Option<Timestamp>,
    call: Option<StoreCall>,
}

/// A JavaScript function of the number of an update and the value as JSON, which returns the new value.
type Apply<'a> = Function<'a, Arguments, Option<String>>;
type Arguments = FnArgs<(u32, Option<String>)>;
/// The same, with the environment in which it is called.
type Kept = (Env, FunctionRef<Arguments, Option<String>>);

thread_local! {
    /// The function of the call under way. A session that kept it would keep JavaScript's objects alive, and those the
    /// session.
    static APPLY: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

#[napi]
impl NativeSession {
    /// Makes the session of an id.
    #[napi(constructor, catch_unwind)]
    pub fn new(policy: &SessionPolicy, id: String) -> napi::Result<Self> {
        let id = SessionId::new(id).ok_or_else(|| failure::of(crate::store::nameless()))?;
        let (policy, slot) = (Arc::clone(&policy.0), Slot::default());
        Ok(Self { policy, id, state: SessionState::default(), object: None, slot, save: None })
    }

    /// Notes that a browser has the id, or may have it: from here on it is kept.
    #[napi(catch_unwind)]
    pub fn keep_id(&mut self) {
        // JavaScript decides whether a session can still be found.
        let plain = Policy { departures: Departures::none(), ..Policy::default() };
        self.state.detach(&Context::new(&plain, NAME));
    }

    /// Begins with the object as it was loaded or created, once it is needed: most requests change nothing.
    #[napi(catch_unwind)]
    pub fn begin(&mut self, object: String, now: f64) -> napi::Result<()> {
        let (id, now) = (self.id.clone(), time(now));
        let object = SessionObject::new(&object).map_err(|error| of(error.into()))?;
        if let Some(Found::Record(found, lifetime)) = self.slot.take() {
            let context = Context::new(&self.policy, NAME);
            if let Err(error) = self.state.begin_loaded(&context, id, &found, now) {
                // A second attempt must not take the session for a new one.
                self.slot.put(Found::Record(found, lifetime));
                return Err(of(error));
            }
        } else {
            let cookie = object.cookie(now).map_err(|error| of(error.into()))?;
            self.state.begin_new(id, cookie);
        }
        self.object = Some(object);
        Ok(())
    }

    /// Returns until when the record that was loaded need not be touched, because its expiry was reset recently.
    /// `max_age` is its cookie's.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn next_touch(&self, max_age: Option<f64>, now: f64) -> Option<f64> {
        let max_age = max_age.map(|millis| Duration::from_millis(millis.max(0.0) as u64));
        let (lifetime, deadline) = self.slot.expiry()?;
        let next = self.policy.next_touch(lifetime.of(max_age), deadline, time(now))?;
        Some(next.millis() as f64)
    }

    /// Begins to save the object, and returns the first task. `deadline` is for a store whose options say it. After
    /// a final save, every update was last applied to what is stored, with any departures.
    #[napi(catch_unwind)]
    pub fn save(
        &mut self,
        env: Env,
        object: String,
        deadline: Option<f64>,
        now: f64,
        is_final: bool,
        apply: Apply<'_>,
    ) -> napi::Result<Option<Task>> {
        let now = time(now);
        let shown = self.object.as_mut().ok_or_else(|| of(session::Error::Ended))?;
        shown.take_changes(&mut self.state, &object, now).map_err(of)?;
        let policy = if is_final {
            Arc::new(self.policy.of_final_writes())
        } else {
            Arc::clone(&self.policy)
        };
        let mut machine = SaveMachine::alone(now);
        let next = machine.start(&mut self.state, &Context::new(&policy, NAME), false);
        let deadline = deadline.map(time);
        self.save = Some(Save { machine, policy, now, deadline, call: None });
        self.until_task(env, apply, next.map_err(of)?)
    }

    /// Goes on with what the store has answered or after the pause, and returns the next task, if there is one.
    #[napi(catch_unwind)]
    pub fn resume(&mut self, env: Env, apply: Apply<'_>) -> napi::Result<Option<Task>> {
        let answer = match self.slot.take() {
            Some(Found::Save(answer)) => answer,
            _ => Answer::BackedOff { is_contended: false },
        };
        let next = self.answer(answer)?;
        self.until_task(env, apply, next)
    }

    /// Goes on under a new id, and returns the next task.
    #[napi(catch_unwind)]
    pub fn renew(&mut self, env: Env, id: String, apply: Apply<'_>) -> napi::Result<Option<Task>> {
        let id = SessionId::new(id).ok_or_else(|| failure::of(crate::store::nameless()))?;
        let next = self.answer(Answer::NewId(id.clone()))?;
        self.id = id;
        self.until_task(env, apply, next)
    }

    /// Changes a member by the update of this number, which has made `after` of `before`.
    #[napi(catch_unwind)]
    pub fn update(
        &mut self,
        key: String,
        before: Option<String>,
        after: Option<String>,
        number: u32,
    ) -> napi::Result<()> {
        let recompute: Recompute = Arc::new(move |value| {
            APPLY.with_borrow(|apply| {
                let (env, apply) = apply.as_ref().ok_or("no call of JavaScript is under way")?;
                let arguments = FnArgs::from((number, value.map(str::to_owned)));
                Ok(apply.borrow_back(env)?.call(arguments)?)
            })
        });
        let Self { object, state, .. } = self;
        let object = object.as_mut().ok_or_else(|| of(session::Error::Ended))?;
        object.update(state, &key, before.as_deref(), after.as_deref(), recompute).map_err(of)?;
        drop(self.state.take_discarded());
        Ok(())
    }

    /// Returns the members that other requests have changed, which the object has from here on.
    #[napi(catch_unwind)]
    pub fn catch_up(&mut self) -> Vec<ChangedMember> {
        let Some(object) = &mut self.object else { return Vec::new() };
        let changed = object.catch_up(&self.state).into_iter();
        changed
            .map(|session::ChangedMember { key, shown, value }| ChangedMember { key, shown, value })
            .collect()
    }

    /// Notes that the session is destroyed: nothing is written any more.
    #[napi(catch_unwind)]
    pub fn end(&mut self) {
        // A session that is over is left as it is.
        let _ = self.state.begin_destroy(&self.policy);
    }

    /// Notes that this request asks for the lock.
    #[napi(catch_unwind)]
    pub fn request_lock(&mut self) -> napi::Result<()> {
        self.state.writable().map_err(of)?;
        let mut bytes = [0; LockToken::BYTES];
        getrandom::fill(&mut bytes)
            .map_err(|_| napi::Error::new(Status::GenericFailure, "the system has no entropy"))?;
        if self.state.request_lock(self.id.clone(), LockToken::from_random(bytes)) {
            return Ok(());
        }
        Err(coded("ERR_SESSION_LOCKED_TWICE", "this request has the session's lock already"))
    }

    /// Returns the number of the lock for other systems if the store has given it, or nothing if another request has it.
    #[napi(catch_unwind)]
    pub fn locked(&mut self, until: f64) -> Option<f64> {
        match self.slot.take() {
            Some(Found::Lock(LockOutcome::Acquired(fence))) => {
                self.state.grant_lock(fence, time(until));
                Some(number(fence))
            }
            _ => None,
        }
    }

    /// Rebases the session onto the record that the store has now.
    #[napi(catch_unwind)]
    pub fn refresh(&mut self, env: Env, now: f64, apply: Apply<'_>) -> napi::Result<()> {
        let found = self.slot.take();
        let Some(StoreView::At(revision)) = self.state.view() else { return Ok(()) };
        let Some(Found::Record(loaded, _)) = found else {
            return self.state.handle_missing_record(&self.policy).map_err(of);
        };
        if loaded.revision == revision {
            return Ok(());
        }
        let context = Context::new(&self.policy, NAME);
        let resolution =
            Resolution::of(&mut self.state, &context, &loaded, time(now)).map_err(of)?;
        while let Some(rebase) = resolution.begin(&mut self.state) {
            let rebased = run(env, &apply, rebase)?;
            if resolution.finish(&mut self.state, rebased) {
                break;
            }
        }
        drop(self.state.take_discarded());
        Ok(())
    }

    /// Notes that the lease has run out.
    #[napi(catch_unwind)]
    pub fn lose_lock(&mut self) {
        self.state.set_lock_stage(LockStage::Lost);
    }
}

impl NativeSession {
    /// Returns the id.
    pub(crate) fn id(&self) -> SessionId {
        self.id.clone()
    }

    /// Returns the place for what the store answers.
    pub(crate) fn slot(&self) -> Slot {
        self.slot.clone()
    }

    /// Returns the call of the store that is due, and its time.
    pub(crate) fn take_call(&mut self) -> Option<(StoreCall, Timestamp)> {
        let save = self.save.as_mut()?;
        Some((save.call.take()?, save.now))
    }

    /// Returns the id of the lock, held or asked for, and its proof. The session may have another id since.
    pub(crate) fn lock(&self) -> Option<(SessionId, LockToken)> {
        self.state.lock().map(|lock| (lock.id.clone(), lock.token))
    }

    /// Removes the lock, and returns the same of it.
    pub(crate) fn take_lock(&mut self) -> Option<(SessionId, LockToken)> {
        self.state.take_lock().map(|lock| (lock.id, lock.token))
    }

    fn answer(&mut self, answer: Answer) -> napi::Result<Next> {
        let save = self.save.as_mut().ok_or_else(|| of(session::Error::OutOfOrder))?;
        let context = Context::new(&save.policy, NAME);
        save.machine.resume(&mut self.state, &context, answer).map_err(of)
    }

    /// Goes on until JavaScript has something to do.
    fn until_task(
        &mut self,
        env: Env,
        apply: Apply<'_>,
        mut next: Next,
    ) -> napi::Result<Option<Task>> {
        loop {
            match next {
                Next::Done => {
                    self.save = None;
                    drop(self.state.take_discarded());
                    return Ok(None);
                }
                Next::Call(mut call) => {
                    let save = self.save.as_mut().ok_or_else(|| of(session::Error::OutOfOrder))?;
                    if let Some(deadline) = save.deadline {
                        set_deadline(&mut call, deadline);
                    }
                    save.call = Some(call);
                    return Ok(Some(Task { calls: true, attempts: None, renews: false }));
                }
                Next::BackOff(attempts) => {
                    let attempts = Some(attempts);
                    return Ok(Some(Task { calls: false, attempts, renews: false }));
                }
                Next::Rebase(rebase) => {
                    let rebased = run(env, &apply, *rebase)?;
                    next = self.answer(Answer::Rebased(Box::new(rebased)))?;
                }
                Next::NewId => {
                    return Ok(Some(Task { calls: false, attempts: None, renews: true }));
                }
                // The save writes alone.
                Next::JoinBatch => return Err(of(session::Error::OutOfOrder)),
            }
        }
    }
}

impl Slot {
    pub(crate) fn put(&self, found: Found) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    /// Keeps a record, and returns its text.
    pub(crate) fn keep(&self, found: Option<Loaded>, lifetime: Lifetime) -> Option<String> {
        let found = found?;
        let text = (*found.record.text).to_owned();
        self.put(Found::Record(found, lifetime));
        Some(text)
    }

    /// Returns how long the record's store keeps it after each reset, and its deadline.
    fn expiry(&self) -> Option<(Lifetime, Option<Timestamp>)> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Found::Record(found, lifetime)) => Some((*lifetime, found.record.deadline)),
            _ => None,
        }
    }

    fn take(&self) -> Option<Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The session's name counts for nothing here: JavaScript has the cookie.
const NAME: &str = "connect.sid";

/// Puts a request's changes onto what another one has stored, with JavaScript's own functions.
fn run(env: Env, apply: &Apply<'_>, rebase: Rebase) -> napi::Result<Rebased> {
    APPLY.set(Some((env, apply.create_ref()?)));
    let rebased = rebase.run();
    APPLY.set(None);
    rebased.map_err(of)
}

fn set_deadline(call: &mut StoreCall, deadline: Timestamp) {
    match call {
        StoreCall::Create { record, .. }
        | StoreCall::Update { record, .. }
        | StoreCall::UpdateLocked { record, .. } => record.deadline = Some(deadline),
        StoreCall::Load { .. } => {}
    }
}

/// A fencing token is microseconds, which JavaScript has exact numbers for until the year 2255.
fn number(fence: FencingToken) -> f64 {
    fence.get() as f64
}

/// Converts an error of the session.
fn of(error: session::Error) -> napi::Error {
    use session::Error;
    match error {
        Error::Store(error) => failure::of(error),
        Error::Corrupt(Corrupt::Limit(limit)) | Error::Limit(limit) => {
            coded("ERR_STORE_UNSUITABLE", too_large(limit))
        }
        Error::Corrupt(corrupt) => {
            coded("ERR_STORE_CORRUPT", &format!("the session's record is corrupt: {corrupt}"))
        }
        Error::Ended | Error::ResponseSent | Error::CookieNotSent | Error::Degraded => {
            coded("ERR_SESSION_ENDED", "another request has ended the session")
        }
        Error::IdTaken => coded("ERR_SESSION_ID_TAKEN", &error.to_string()),
        Error::LockLost => coded("ERR_SESSION_LOCK_LOST", &error.to_string()),
        Error::Update(_) => coded("ERR_SESSION_UPDATE", &error.to_string()),
        Error::TooManyUpdates => coded("ERR_SESSION_TOO_MANY_UPDATES", &error.to_string()),
        Error::Conflict | Error::OutOfOrder | _ => {
            coded("ERR_SESSION_CONFLICT", &error.to_string())
        }
    }
}

/// Returns the reason why a session is not merged. The limits are not options of the npm package.
fn too_large(limit: LimitExceeded) -> &'static str {
    match limit {
        LimitExceeded::Members => "the session has too many members to be merged",
        LimitExceeded::Depth => "the session is nested too deeply to be merged",
        // And any limit that is added later.
        LimitExceeded::Bytes | _ => "the session is too large to be merged",
    }
}

fn coded(code: &str, message: &str) -> napi::Error {
    failure::text(&[code.to_owned(), message.to_owned()])
}

impl fmt::Debug for NativeSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeSession").field("state", &self.state).finish_non_exhaustive()
    }
}

impl fmt::Debug for ChangedMember {
    /// Without the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChangedMember").field(&self.key).finish()
    }
}
