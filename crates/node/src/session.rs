//! The session of one request, for a middleware with `integrity`.
//!
//! JavaScript has the session object, and calls; the state machine of core decides. A save goes from one [`SaveStep`] to the
//! next: JavaScript makes the call of the store that is due, or waits, and asks for the next step. The
//! answers stay here.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use express_session::store::{FencingToken, LockOutcome, LockToken};
use express_session_core::cookie::StoredCookie;
use express_session_core::decide::Step;
use express_session_core::metadata::{
    Authentication, Client, Epoch, MAX_USER, User, own_login, user_of,
};
use express_session_core::record::{Json, LimitExceeded};
use express_session_core::session::{
    self, ATTEMPTS, Answer, Context, DestroyMachine, EpochMachine, Follow, LockStage, Next,
    OwnSession, Rebase, Rebased, Recompute, Resolution, SaveMachine, SessionObject, SessionState,
    StoreCall, StoreView, TouchCall,
};
use express_session_core::store::{Lifetime, Loaded, Revision};
use express_session_core::{Corrupt, Departures, EndedBy, Metadata, Policy, SessionId, Timestamp};
use napi::bindgen_prelude::{FnArgs, Function, FunctionRef};
use napi::{Env, Status};
use napi_derive::napi;

use crate::engine::rules::{SessionPolicy, Settings};
use crate::store::users::UserSessions;
use crate::store::{failure, time};

/// The next step of a save. A number costs JavaScript less than an object.
#[napi]
#[derive(Debug, PartialEq, Eq)]
pub enum SaveStep {
    /// It is done, and the object has what is stored.
    Done,
    /// It is done, and the object has to catch up with what other requests have changed.
    CatchUp,
    /// A call of the store is due.
    Call,
    /// A pause is due.
    Pause,
    /// A new id is due.
    NewId,
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

/// The library's own notes about a session. Times are in milliseconds.
#[napi(object, object_from_js = false)]
pub struct Notes {
    /// When it began.
    pub created: f64,
    /// Its last visit that was noted.
    pub seen: f64,
    /// When its user logged in.
    pub authenticated: Option<f64>,
    /// The user, as JSON.
    pub user: Option<String>,
    /// The idle timeout of the login.
    pub idle: Option<f64>,
    /// The absolute timeout of the login.
    pub absolute: Option<f64>,
    /// The level of the login.
    pub level: Option<u32>,
    /// Where the first visit came from, as JSON.
    pub first_client: Option<String>,
    /// Where the last visit that was noted came from, as JSON.
    pub last_client: Option<String>,
}

/// The login of a session that can be stepped up. Times are in milliseconds.
#[napi(object, object_from_js = false)]
pub struct Login {
    /// The user, as JSON.
    pub user: String,
    /// The idle timeout of the login.
    pub idle: Option<f64>,
    /// The absolute timeout of the login.
    pub absolute: Option<f64>,
    /// The epoch of the login.
    pub epoch: f64,
}

/// The session of one request.
#[napi]
pub struct NativeSession {
    settings: Arc<Settings>,
    /// The id that JavaScript knows.
    id: SessionId,
    /// The id that the request's cookie has.
    presented: Option<SessionId>,
    /// Where the request came from, as far as that is noted.
    client: Option<Client>,
    state: SessionState,
    object: Option<SessionObject>,
    /// The members that the last save has found to be changed by other requests.
    changed: Vec<session::ChangedMember>,
    slot: Slot,
    save: Option<Save>,
    visit: Option<Visit>,
}

/// The store's answer, for JavaScript's thread to take.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Found>>>);

pub(crate) enum Found {
    Record(Read),
    /// Nothing any more: a limit has ended the session.
    Ended(EndedBy),
    Save(Answer),
    Lock(LockOutcome),
}

/// A record that was loaded.
pub(crate) struct Read {
    /// Its id, which may be another one than that of the cookie: it was renewed.
    id: SessionId,
    loaded: Loaded,
    /// How long its store keeps it after each reset.
    lifetime: Lifetime,
    /// When it was loaded: what has not ended then is a visit.
    at: Timestamp,
    /// The epoch of the session's user, if it was read.
    epoch: Option<Epoch>,
    /// The library's own notes and until when the record is left as it is, where records have such notes.
    notes: Option<Box<(Option<Metadata>, Option<Timestamp>)>>,
}

/// Keeps the record that a store returns.
pub(crate) struct Reader {
    slot: Slot,
    pub(crate) settings: Arc<Settings>,
    /// Whether the record is that of a session which has not begun: a limit may end it.
    is_first: bool,
}

/// The outcome of a load.
pub(crate) enum ReadOutcome {
    /// Its text for JavaScript.
    Text(String),
    /// There is no session.
    Nothing,
    /// Its session has ended, and the record is to be ended too.
    Ended(Box<DestroyMachine>),
}

/// The end of a session's record, which may take several calls: a renewal may be under way.
pub(crate) struct RecordEnd {
    pub(crate) settings: Arc<Settings>,
    pub(crate) id: SessionId,
    /// Its revision, and when it was found.
    pub(crate) known: Option<(Revision, Timestamp)>,
}

struct Save {
    machine: SaveMachine,
    policy: Policy,
    now: Timestamp,
    /// The deadline, where the store's options say it and not the cookie.
    deadline: Option<Timestamp>,
    call: Option<StoreCall>,
    /// How many attempts have failed.
    attempts: u32,
}

/// A visit that is being noted.
struct Visit {
    now: Timestamp,
    deadline: Option<Timestamp>,
    /// Whether it has to be noted, however many other requests write the record meanwhile.
    is_asked: bool,
    attempts: u32,
    /// The revision that it replaces.
    expected: Option<Revision>,
    call: Option<StoreCall>,
}

/// A JavaScript function of the number of an update and the value as JSON, which returns the new value.
pub(crate) type Apply<'a> = Function<'a, Arguments, Option<String>>;
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
    /// Makes the session of an id, which is that of the request's cookie if it `is_presented`.
    #[napi(constructor, catch_unwind)]
    pub fn new(policy: &SessionPolicy, id: String, is_presented: bool) -> napi::Result<Self> {
        let id = SessionId::new(id).ok_or_else(|| failure::of(crate::store::nameless()))?;
        let (settings, slot) = (Arc::clone(&policy.0), Slot::default());
        let mut state = SessionState::default();
        // `req.session` is there for every handler.
        let _ = state.begin_load(Step::Load);
        let presented = is_presented.then(|| id.clone());
        let (client, object, changed, save, visit) = Default::default();
        Ok(Self { settings, id, presented, client, state, object, changed, slot, save, visit })
    }

    /// Notes where the request came from. An address that is none counts as unknown.
    #[napi(catch_unwind)]
    pub fn note_client(&mut self, address: Option<String>, user_agent: Option<String>) {
        let address = address.and_then(|address| address.parse().ok());
        self.client = Client::new(self.settings.policy.client, address, user_agent.as_deref());
    }

    /// Notes that the response has sent the id, or may have sent it: from here on it is kept.
    #[napi(catch_unwind)]
    pub fn keep_id(&mut self) {
        // JavaScript decides whether a session can still be found.
        let plain = Policy { departures: Departures::none(), ..Policy::default() };
        self.state.detach(&self.settings.context(&plain));
    }

    /// Returns the id that the session has got by a renewal since JavaScript asked last.
    #[napi(catch_unwind)]
    pub fn renewed_id(&mut self) -> Option<String> {
        let found = || self.slot.read(|read| read.id.clone());
        let id = self.state.id().cloned().or_else(found)?;
        if id == self.id {
            return None;
        }
        self.id = id;
        Some(self.id.as_str().to_owned())
    }

    /// Begins with the object as it was loaded or created, once it is needed: most requests change nothing. Without an
    /// `object`, it is as the record that was loaded.
    #[napi(catch_unwind)]
    pub fn begin(&mut self, object: Option<String>, now: f64) -> napi::Result<()> {
        let now = time(now);
        let object = object.map(|text| SessionObject::new(&text)).transpose();
        let object = object.map_err(|error| of(error.into()))?;
        if let Some(Found::Record(read)) = self.slot.take() {
            let context = self.settings.context(&self.settings.policy).in_epoch(read.epoch);
            let id = read.id.clone();
            if let Err(error) = self.state.begin_loaded(&context, id, &read.loaded, read.at) {
                // A second attempt must not take the session for a new one.
                self.slot.put(Found::Record(read));
                return Err(of(error));
            }
        } else if let Some(object) = &object {
            let cookie = object.cookie(now).map_err(|error| of(error.into()))?;
            self.state.begin_new(self.id.clone(), cookie);
        }
        self.object = object.or_else(|| SessionObject::of(&self.state));
        Ok(())
    }

    /// Returns until when the record that was loaded need not be touched, because its expiry was reset recently.
    /// `max_age` is its cookie's.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn next_touch(&self, max_age: Option<f64>, now: f64) -> Option<f64> {
        let max_age = max_age.map(|millis| Duration::from_millis(millis.max(0.0) as u64));
        let next = self.slot.read(|read| match &read.notes {
            Some(notes) => notes.1,
            None => {
                let (lifetime, deadline) = (read.lifetime.of(max_age), read.loaded.record.deadline);
                self.settings.policy.next_touch(lifetime, deadline, time(now))
            }
        });
        next.flatten().map(millis)
    }

    /// Returns the limit that has ended the session whose record was loaded last.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn ended_by(&self) -> Option<&'static str> {
        self.slot.ended_by().map(|by| match by {
            EndedBy::Idle => "idle",
            EndedBy::Absolute => "absolute",
            EndedBy::Revoked => "revoked",
            EndedBy::Limit => "limit",
        })
    }

    /// Returns the library's own notes.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn notes(&self) -> Option<Notes> {
        let metadata = self.metadata()?;
        let login = metadata.authentication();
        let number = |time: Option<Duration>| time.map(|time| time.as_millis() as f64);
        Some(Notes {
            created: millis(metadata.created()),
            seen: millis(metadata.seen()),
            authenticated: login.map(|login| millis(login.at)),
            user: login.map(|login| login.user.as_str().to_owned()),
            idle: login.and_then(|login| number(login.idle)),
            absolute: login.and_then(|login| number(login.absolute)),
            level: login.and_then(|login| login.level).map(u32::from),
            first_client: metadata.first_client().map(Client::text),
            last_client: metadata.last_client().map(Client::text),
        })
    }

    /// Returns the user as JSON, with the member of npm's passport as JSON.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn user(&self, passport: Option<String>) -> Option<String> {
        self.found_user(passport.as_deref()).map(|user| user.user.as_str().to_owned())
    }

    /// Checks whether the user has logged in no longer than so many milliseconds ago. Nothing where no user has.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn is_fresh(&self, passport: Option<String>, max_age: f64, now: f64) -> Option<bool> {
        let max_age = Duration::from_millis(max_age.max(0.0) as u64);
        self.found_user(passport.as_deref()).map(|user| user.is_fresh(max_age, time(now)))
    }

    /// Checks whether the user's login has this level. Nothing where no user has logged in.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn has_level(&self, passport: Option<String>, level: u32) -> Option<bool> {
        let user = self.found_user(passport.as_deref())?;
        Some(u8::try_from(level).is_ok_and(|level| user.has_level(level)))
    }

    /// Returns the login that can be stepped up, if there is one.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn own_login(&self, passport: Option<String>) -> Option<Login> {
        let metadata = self.metadata();
        let login = own_login(metadata.as_ref(), passport.as_deref())?;
        let number = |time: Option<Duration>| time.map(|time| time.as_millis() as f64);
        let (idle, absolute) = (number(login.idle), number(login.absolute));
        let epoch = metadata.as_ref().map_or(Epoch::FIRST, Metadata::epoch).number() as f64;
        Some(Login { user: login.user.as_str().to_owned(), idle, absolute, epoch })
    }

    /// Checks whether the response renews the id. `may_renew` says that no other request of this process does, and that the
    /// headers have not left; `is_reachable`, that the connection can have the cookie.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn renews(&self, may_renew: bool, is_reachable: bool, now: f64) -> bool {
        let context = self.settings.context(&self.settings.policy);
        let context = Context { may_renew, ..context };
        self.state.renews(&context, self.metadata().as_ref(), is_reachable, time(now))
    }

    /// Begins to renew the id. Returns whether a save has to do it; otherwise the session has the new id already.
    #[napi(catch_unwind)]
    pub fn begin_renewal(&mut self, id: String) -> napi::Result<bool> {
        let id = SessionId::new(id).ok_or_else(|| failure::of(crate::store::nameless()))?;
        if self.state.lock().is_some() {
            return Err(coded("ERR_SESSION_LOCKED_TWICE", "the session's lock is of the old id"));
        }
        let context = self.settings.context(&self.settings.policy);
        self.state.begin_renewal(&context, &id).map_err(of)
    }

    /// Returns the latest time at which the browser's cookie expires, if there is an absolute timeout.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn cookie_end(&self, now: f64) -> Option<f64> {
        let metadata = self.metadata();
        let absolute = self.settings.policy.limits_of(metadata.as_ref()).absolute?;
        let created = metadata.map_or_else(|| time(now), |metadata| metadata.created());
        Some(millis(created.saturating_add(absolute)))
    }

    /// Notes that what the application does with the session is no visit.
    #[napi(catch_unwind)]
    pub fn leave_alone(&mut self) {
        self.state.leave_alone();
    }

    /// Notes the login of a user, as JSON, in a new session, with an epoch. The limits are milliseconds.
    #[napi(catch_unwind)]
    pub fn log_in(
        &mut self,
        user: String,
        idle: Option<f64>,
        absolute: Option<f64>,
        level: Option<u32>,
        epoch: f64,
        now: f64,
    ) -> napi::Result<()> {
        let user = user_json(&user)
            .ok_or_else(|| coded("ERR_SESSION_UPDATE", "the user is null, no JSON or too long"))?;
        let limit = |millis: f64| Duration::from_millis(millis.clamp(1.0, CENTURY) as u64);
        let (idle, absolute) = (idle.map(limit), absolute.map(limit));
        let level = level.and_then(|level| u8::try_from(level).ok());
        let now = time(now);
        let login = Authentication { at: now, user, idle, absolute, level };
        self.state.log_in(login, Epoch::new(epoch as i64), now).map_err(of)
    }

    /// Notes the epoch that the session's user is about to have. Returns whether a visit has to store it; otherwise the
    /// session's first save does.
    #[napi(catch_unwind)]
    pub fn keep_epoch(&mut self, users: &UserSessions, epoch: f64, now: f64) -> napi::Result<bool> {
        self.state.raise_epoch(users.users(), Epoch::new(epoch as i64), time(now)).map_err(of)
    }

    /// Begins to note a visit, and returns the next step: `update` is a call of the store, `touch` a plain touch instead, and
    /// after nothing it is noted, or the session is over. `cookie` is the session's if this request has changed it, and
    /// `deadline` is for a store whose options say it. One that `is_asked` for is repeated as
    /// often as a write, and fails if that is not enough.
    #[napi(catch_unwind)]
    pub fn visit(
        &mut self,
        cookie: Option<String>,
        deadline: Option<f64>,
        now: f64,
        is_asked: bool,
    ) -> napi::Result<Option<&'static str>> {
        let now = time(now);
        let cookie = cookie.map(|text| StoredCookie::parse(&text, now)).transpose();
        let cookie = cookie.map_err(|corrupt| of(corrupt.into()))?;
        self.state
            .change(|session| {
                if let Some(cookie) = cookie {
                    session.cookie = cookie;
                }
                session.reset_expiry(now);
            })
            .map_err(of)?;
        let deadline = deadline.map(time);
        let (attempts, expected, call) = (0, None, None);
        self.visit = Some(Visit { now, deadline, is_asked, attempts, expected, call });
        let context = self.settings.context(&self.settings.policy);
        let context = Context { client: self.client.as_ref(), ..context };
        let call = self.state.touch_call(&context, now);
        Ok(self.next_of_visit(call))
    }

    /// Goes on with what the store has answered, and returns the next step.
    #[napi(catch_unwind)]
    pub fn visited(&mut self) -> napi::Result<Option<&'static str>> {
        let updated = match self.slot.take() {
            Some(Found::Save(Answer::Updated(updated))) => updated.map_err(failure::of)?,
            _ => return Err(of(session::Error::OutOfOrder)),
        };
        let Some(visit) = &self.visit else { return Err(of(session::Error::OutOfOrder)) };
        let (now, attempts, is_asked) = (visit.now, visit.attempts, visit.is_asked);
        let Some(expected) = visit.expected.clone() else { return Ok(None) };
        let context = self.settings.context(&self.settings.policy);
        let call = self.state.visited(&context, &expected, updated, now);
        let most = if is_asked { ATTEMPTS } else { Step::Touch.touch_attempts() };
        if is_asked && call.is_some() && attempts >= most {
            return Err(of(session::Error::Conflict));
        }
        Ok(self.next_of_visit(call.filter(|_| attempts < most)))
    }

    /// Checks whether the session was found to be over.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state.is_ended_elsewhere()
    }

    /// Begins to save the object, and returns the first step. `deadline` is for a store whose options say it. After
    /// a final save, every update was last applied to what is stored, with any departures. `renewal` is the id under which
    /// the session goes on; where it `is_optional`, it is saved under the one that it has if that fails.
    #[allow(clippy::too_many_arguments, reason = "an object for each call would cost more")]
    #[napi(catch_unwind)]
    pub fn save(
        &mut self,
        env: Env,
        object: String,
        deadline: Option<f64>,
        now: f64,
        is_final: bool,
        renewal: Option<String>,
        is_optional: bool,
        apply: Apply<'_>,
    ) -> napi::Result<SaveStep> {
        let renewal = match renewal {
            Some(id) => {
                Some(SessionId::new(id).ok_or_else(|| failure::of(crate::store::nameless()))?)
            }
            None => None,
        };
        let now = time(now);
        let shown = self.object.as_mut().ok_or_else(|| of(session::Error::Ended))?;
        shown.take_changes(&mut self.state, &object, now).map_err(of)?;
        let policy = self.settings.policy;
        let policy = if is_final { policy.of_final_writes() } else { policy };
        let mut machine = match renewal {
            None => SaveMachine::alone(now),
            Some(id) if is_optional => SaveMachine::renewing(now, id).or_under_the_same_id(),
            Some(id) => SaveMachine::renewing(now, id),
        };
        let context = self.settings.context_of(&policy, self.presented.as_ref());
        let context = Context { client: self.client.as_ref(), ..context };
        let next = machine.start(&mut self.state, &context, false);
        let deadline = deadline.map(time);
        self.save = Some(Save { machine, policy, now, deadline, call: None, attempts: 0 });
        self.next_step(env, &apply, next.map_err(of)?)
    }

    /// Goes on with what the store has answered or after the pause, and returns the next step.
    #[napi(catch_unwind)]
    pub fn resume(&mut self, env: Env, apply: Apply<'_>) -> napi::Result<SaveStep> {
        let answer = match self.slot.take() {
            Some(Found::Save(answer)) => answer,
            _ => Answer::BackedOff { is_contended: false },
        };
        self.resume_with(env, &apply, answer)
    }

    /// Returns how many attempts have failed before the pause that is due.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn failed_attempts(&self) -> u32 {
        self.save.as_ref().map_or(0, |save| save.attempts)
    }

    /// Goes on under a new id, and returns the next step.
    #[napi(catch_unwind)]
    pub fn renew(&mut self, env: Env, id: String, apply: Apply<'_>) -> napi::Result<SaveStep> {
        let id = SessionId::new(id).ok_or_else(|| failure::of(crate::store::nameless()))?;
        let next = self.answer(Answer::NewId(id.clone()))?;
        self.id = id;
        self.next_step(env, &apply, next)
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
        self.look_for_changes();
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|session::ChangedMember { key, shown, value }| ChangedMember { key, shown, value })
            .collect()
    }

    /// Notes that the session is destroyed: nothing is written any more.
    #[napi(catch_unwind)]
    pub fn end(&mut self) {
        // A session that is over is left as it is.
        let _ = self.state.begin_destroy(&self.settings.policy);
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
        let Some(Found::Record(read)) = found else {
            let settings = &self.settings;
            return self.state.handle_missing_record(&settings.policy, time(now)).map_err(of);
        };
        let loaded = &read.loaded;
        if loaded.revision == revision && self.state.id() == Some(&read.id) {
            return Ok(());
        }
        let context = self.settings.context(&self.settings.policy);
        let resolution =
            Resolution::of(&mut self.state, &context, loaded, time(now)).map_err(of)?;
        // It may have been found under the id to which its own forwards.
        let resolution = resolution.under(read.id.clone());
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

    /// Returns what keeps the record that the store returns.
    pub(crate) fn reader(&self) -> Reader {
        let (slot, settings) = (self.slot(), Arc::clone(&self.settings));
        Reader { slot, settings, is_first: self.object.is_none() }
    }

    /// Returns what ends its record.
    pub(crate) fn record_end(&self) -> RecordEnd {
        let found = || self.slot.read(|read| (read.loaded.revision.clone(), read.at));
        let known = self.state.known().or_else(found);
        RecordEnd { settings: Arc::clone(&self.settings), id: self.id(), known }
    }

    /// Returns the session as it is among its user's.
    pub(crate) fn own_session(&self) -> OwnSession {
        OwnSession { id: Some(self.id()), metadata: self.metadata() }
    }

    /// Returns the call of the store that is due, and its time.
    pub(crate) fn take_call(&mut self) -> Option<(StoreCall, Timestamp)> {
        if let Some(visit) = &mut self.visit
            && let Some(call) = visit.call.take()
        {
            return Some((call, visit.now));
        }
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

    /// Goes on with an answer of the store, and returns the next step.
    pub(crate) fn resume_with(
        &mut self,
        env: Env,
        apply: &Apply<'_>,
        answer: Answer,
    ) -> napi::Result<SaveStep> {
        let next = self.answer(answer)?;
        self.next_step(env, apply, next)
    }

    /// Notes what others have changed, which the object has from here on.
    fn look_for_changes(&mut self) {
        if let Some(object) = &mut self.object {
            self.changed.append(&mut object.catch_up(&self.state));
        }
    }

    fn answer(&mut self, answer: Answer) -> napi::Result<Next> {
        let save = self.save.as_mut().ok_or_else(|| of(session::Error::OutOfOrder))?;
        let context = self.settings.context_of(&save.policy, self.presented.as_ref());
        let context = Context { client: self.client.as_ref(), ..context };
        save.machine.resume(&mut self.state, &context, answer).map_err(of)
    }

    /// Returns the library's own notes, of the session or of its record that was loaded.
    fn metadata(&self) -> Option<Metadata> {
        if let Some(session) = self.state.readable() {
            return session.metadata().cloned();
        }
        self.slot.read(|read| read.notes.as_ref().and_then(|notes| notes.0.clone())).flatten()
    }

    fn found_user(&self, passport: Option<&str>) -> Option<User> {
        user_of(self.metadata().as_ref(), passport)
    }

    /// Checks whether a call writes the record that forwards from an old id, whose deadline is its own.
    fn forwards(&self, call: &StoreCall, now: Timestamp) -> bool {
        let (StoreCall::Update { record, .. } | StoreCall::UpdateLocked { record, .. }) = call
        else {
            return false;
        };
        let loaded = Loaded { record: record.clone(), revision: Revision::new(0) };
        Follow::of(&self.settings.context(&self.settings.policy), &loaded, now).is_some()
    }

    /// Returns a deadline within the limits of the session.
    fn limited(&self, deadline: Timestamp) -> Timestamp {
        let policy = &self.settings.policy;
        let metadata = self.metadata().filter(|_| policy.keeps_metadata());
        let end = metadata.and_then(|metadata| policy.end(Some(&metadata), None));
        end.map_or(deadline, |end| deadline.min(end.at))
    }

    fn next_of_visit(&mut self, call: Option<TouchCall>) -> Option<&'static str> {
        let deadline = self.visit.as_ref()?.deadline.map(|deadline| self.limited(deadline));
        let visit = self.visit.as_mut()?;
        match call? {
            TouchCall::Touch(..) => Some("touch"),
            // Another request has renewed the id, which was a visit. As in Rust, the end of a response does not follow it.
            TouchCall::Follow(_) => None,
            TouchCall::Update(id, record, expected) => {
                visit.attempts += 1;
                visit.expected = Some(expected.clone());
                let mut call = StoreCall::Update { id, record, expected };
                if let Some(deadline) = deadline {
                    set_deadline(&mut call, deadline);
                }
                visit.call = Some(call);
                Some("update")
            }
        }
    }

    /// Goes on until JavaScript has something to do.
    fn next_step(&mut self, env: Env, apply: &Apply<'_>, mut next: Next) -> napi::Result<SaveStep> {
        loop {
            match next {
                Next::Done => {
                    self.save = None;
                    drop(self.state.take_discarded());
                    self.look_for_changes();
                    let is_current = self.changed.is_empty();
                    return Ok(if is_current { SaveStep::Done } else { SaveStep::CatchUp });
                }
                Next::Call(mut call) => {
                    let own = self.save.as_ref().and_then(|save| save.deadline.zip(Some(save.now)));
                    if let Some((deadline, now)) = own
                        && !self.forwards(&call, now)
                    {
                        set_deadline(&mut call, self.limited(deadline));
                    }
                    let save = self.save.as_mut().ok_or_else(|| of(session::Error::OutOfOrder))?;
                    save.call = Some(call);
                    return Ok(SaveStep::Call);
                }
                Next::BackOff(attempts) => {
                    if let Some(save) = &mut self.save {
                        save.attempts = attempts;
                    }
                    return Ok(SaveStep::Pause);
                }
                Next::Rebase(rebase) => {
                    let rebased = run(env, apply, *rebase)?;
                    next = self.answer(Answer::Rebased(Box::new(rebased)))?;
                }
                Next::NewId => return Ok(SaveStep::NewId),
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

    /// Reads from the record that was loaded.
    fn read<T>(&self, look: impl FnOnce(&Read) -> T) -> Option<T> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Found::Record(read)) => Some(look(read)),
            _ => None,
        }
    }

    fn ended_by(&self) -> Option<EndedBy> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Found::Ended(by)) => Some(*by),
            _ => None,
        }
    }

    fn take(&self) -> Option<Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Reader {
    /// Returns what reads the epoch of the session's user, where that may end it.
    pub(crate) fn check(
        &self,
        id: &SessionId,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Option<EpochMachine> {
        let context = self.settings.context(&self.settings.policy);
        EpochMachine::of(&context, id, loaded, now).filter(|_| self.is_first)
    }

    /// Keeps the record of a session, with its id, unless a limit, or its user's epoch, has ended it.
    pub(crate) fn keep(
        &self,
        found: Option<(SessionId, Loaded)>,
        epoch: Option<Epoch>,
        lifetime: Lifetime,
        at: Timestamp,
    ) -> ReadOutcome {
        let Some((id, loaded)) = found else { return ReadOutcome::Nothing };
        let Settings { policy, .. } = &*self.settings;
        let mut read = Read { id, loaded, lifetime, at, epoch, notes: None };
        if !policy.keeps_metadata() {
            let text = (*read.loaded.record.text).to_owned();
            self.slot.put(Found::Record(read));
            return ReadOutcome::Text(text);
        }
        let preview = self.settings.context(policy).in_epoch(epoch).preview(&read.loaded, at);
        if let Some(ended) = preview.ended.filter(|_| self.is_first) {
            self.slot.put(Found::Ended(ended.by));
            let end = DestroyMachine::of_ended(ended, read.id, read.loaded.revision, at);
            return ReadOutcome::Ended(Box::new(end));
        }
        read.notes = Some(Box::new((preview.metadata, preview.next_reset)));
        self.slot.put(Found::Record(read));
        ReadOutcome::Text((*preview.text).to_owned())
    }
}

/// Checks whether a text of JSON can be the user of a login.
#[napi(catch_unwind)]
#[must_use]
pub fn is_user(text: String) -> bool {
    user_json(&text).is_some()
}

fn user_json(text: &str) -> Option<Json> {
    Json::parse(text).filter(|user| user.as_str() != "null" && text.len() <= MAX_USER)
}

/// In milliseconds.
const CENTURY: f64 = 100.0 * 365.0 * 86_400_000.0;

fn millis(time: Timestamp) -> f64 {
    time.millis() as f64
}

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
        StoreCall::Load { .. } | StoreCall::Destroy { .. } | StoreCall::Time => {}
    }
}

/// A fencing token is microseconds, which JavaScript has exact numbers for until the year 2255.
fn number(fence: FencingToken) -> f64 {
    fence.get() as f64
}

/// Converts an error of the session.
pub(crate) fn of(error: session::Error) -> napi::Error {
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

impl fmt::Debug for Notes {
    /// Without the user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notes").field(&self.created).field(&self.seen).finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl fmt::Debug for ChangedMember {
    /// Without the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChangedMember").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    use express_session::store::{Record, Revision};

    use super::*;
    use crate::engine::rules::Options;

    const NOW: f64 = 1_700_000_000_000.0;
    const HOUR: f64 = 3_600_000.0;
    const COOKIE: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null}"#;

    fn policy(idle: Option<f64>, absolute: Option<f64>) -> SessionPolicy {
        SessionPolicy::new(Options {
            resave: false,
            rolling: false,
            save_uninitialized: false,
            unset_destroys: false,
            departures: Vec::new(),
            integrity: true,
            touch_after: None,
            is_native: true,
            metadata: true,
            metadata_member: None,
            idle_timeout: idle,
            absolute_timeout: absolute,
            client_address: None,
            user_agent: None,
            clear_site_data: false,
            renew_after: None,
            renewal_grace: None,
            max_sessions: None,
            ends_least_recently_used: None,
            user_epoch: false,
        })
        .unwrap()
    }

    /// Returns a session whose record was found: it began half an hour ago.
    fn found(policy: &SessionPolicy) -> (NativeSession, ReadOutcome) {
        let session = NativeSession::new(policy, "sid".to_owned(), false).unwrap();
        let began = NOW - HOUR / 2.0;
        let notes =
            format!(r#","views":1,"__sessionMetadata":{{"created":{began},"seen":{began}}}}}"#);
        let record = Record { text: [COOKIE, &notes].concat().into(), deadline: None };
        let loaded = Loaded { record, revision: Revision::new(1) };
        let kept = session.reader().keep(
            Some((session.id(), loaded)),
            None,
            Lifetime::OfMaxAge,
            time(NOW),
        );
        (session, kept)
    }

    fn deadline(session: &mut NativeSession) -> Option<f64> {
        match session.take_call() {
            Some((StoreCall::Update { record, .. }, _)) => record.deadline.map(millis),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn text_for_javascript_is_the_record_without_the_notes() {
        let (session, kept) = found(&policy(Some(HOUR), None));
        assert!(
            matches!(kept, ReadOutcome::Text(text) if text == [COOKIE, r#","views":1}"#].concat())
        );
        let notes = session.notes().unwrap();
        assert_eq!(
            (notes.created, notes.seen, notes.user),
            (NOW - HOUR / 2.0, NOW - HOUR / 2.0, None)
        );
        assert_eq!((session.ended_by(), session.next_touch(None, NOW)), (None, None));
    }

    #[test]
    fn record_that_a_limit_has_ended_is_not_kept() {
        // Such a record is marked, by its revision, before it is destroyed.
        let renewal = Some(express_session_core::policy::Renewal::default());
        let renewing = Policy { metadata: true, renewal, ..Policy::default() };
        let context = Context::new(&renewing, "connect.sid");
        for (idle, absolute, by) in [
            (Some(HOUR / 2.0), None, "idle"),
            (None, Some(HOUR / 2.0), "absolute"),
            (Some(HOUR), Some(HOUR / 2.0), "absolute"),
        ] {
            let (session, kept) = found(&policy(idle, absolute));
            let ReadOutcome::Ended(mut end) = kept else { panic!("it goes on") };
            assert!(matches!(end.start(&context), StoreCall::Time));
            let next = end.resume(&context, Answer::Time(Ok(time(NOW)))).unwrap();
            assert!(matches!(next, Some(StoreCall::Update { id, expected, .. })
                if id.as_str() == "sid" && expected == Revision::new(1)));
            assert_eq!(session.ended_by(), Some(by));
            assert!(session.notes().is_none());
        }
    }

    #[test]
    fn deadline_of_the_store_and_of_its_options_is_within_the_limits() {
        for (idle, absolute, own, expected) in [
            (None, None, None, None),
            (None, None, Some(HOUR), Some(HOUR)),
            (Some(HOUR), None, None, Some(HOUR)),
            (Some(HOUR), None, Some(HOUR / 4.0), Some(HOUR / 4.0)),
            (Some(HOUR), None, Some(9.0 * HOUR), Some(HOUR)),
            (None, Some(HOUR), Some(9.0 * HOUR), Some(HOUR / 2.0)),
            (Some(HOUR), Some(HOUR), None, Some(HOUR / 2.0)),
        ] {
            let (mut session, _) = found(&policy(idle, absolute));
            session.begin(Some([COOKIE, r#","views":1}"#].concat()), NOW).unwrap();
            let own = own.map(|time| NOW + time);
            assert_eq!(session.visit(None, own, NOW, false).unwrap(), Some("update"));
            let found = deadline(&mut session).map(|deadline| deadline - NOW);
            assert_eq!(found, expected, "{idle:?} {absolute:?} {own:?}");
        }
    }

    #[test]
    fn cookie_ends_with_the_absolute_timeout_also_before_the_first_write() {
        let policy = policy(Some(1.0), Some(HOUR));
        let session = NativeSession::new(&policy, "new".to_owned(), false).unwrap();
        assert_eq!(session.cookie_end(NOW), Some(NOW + HOUR));
        assert_eq!(
            NativeSession::new(&self::policy(Some(1.0), None), "new".to_owned(), false)
                .unwrap()
                .cookie_end(NOW),
            None
        );
    }

    #[test]
    fn login_is_noted_with_its_limits_and_is_not_shown_in_a_log() {
        let mut session = NativeSession::new(&policy(None, None), "new".to_owned(), false).unwrap();
        session.begin(Some(format!("{COOKIE}}}")), NOW).unwrap();
        let user = r#""bob""#.to_owned();
        session.log_in(user, Some(0.5), Some(f64::MAX), Some(2), 0.0, NOW).unwrap();
        let notes = session.notes().unwrap();
        assert_eq!((notes.idle, notes.absolute), (Some(1.0), Some(CENTURY)));
        assert_eq!(notes.user.as_deref(), Some(r#""bob""#));
        assert_eq!((notes.level, session.user(None).as_deref()), (Some(2), Some(r#""bob""#)));
        let login = session.own_login(None).unwrap();
        assert_eq!((&*login.user, login.idle), (r#""bob""#, Some(1.0)));
        assert!(!format!("{notes:?} {login:?} {session:?}").contains("bob"));
        let logged_out = || Some("{}".to_owned());
        assert!(session.user(logged_out()).is_none() && session.own_login(logged_out()).is_none());
        for (passport, level, expected) in [
            (None, 2, Some(true)),
            (None, 3, Some(false)),
            (None, 999, Some(false)),
            (logged_out(), 0, None),
        ] {
            assert_eq!(session.has_level(passport, level), expected, "{level}");
        }
        assert_eq!(session.is_fresh(None, 1.0, NOW), Some(true));
        assert_eq!(session.is_fresh(None, 1.0, NOW + 1.0), Some(false));
        assert_eq!(session.is_fresh(logged_out(), 1.0, NOW), None);
    }

    #[test]
    fn user_is_json_but_null_and_not_too_long() {
        let longest = format!("\"{}\"", "x".repeat(MAX_USER - 2));
        for (text, expected) in [
            ("7", true),
            ("{\"id\":7}", true),
            (&longest, true),
            ("null", false),
            ("{", false),
            ("", false),
        ] {
            assert_eq!(is_user(text.to_owned()), expected, "{text}");
        }
        assert!(!is_user(format!("{longest} ")));
    }
}
