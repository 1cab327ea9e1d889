//! One request's session: what it is, and the steps that act on the store.
//!
//! This is the one place that obeys [`decide`]. The handle ([`crate::Session`]) and the service are both
//! thin over it. [`save`] has how a session is written while others write it, [`together`] how the
//! requests of one process do that with one write, [`lock`] how they are kept out.
//!
//! 1. The state is behind a plain lock that is never held across an await point.
//! 2. The steps that call the store run one after the other, behind an asynchronous lock: clones of a
//!    handle may save at the same time.
//! 3. A step that writes or ends the session goes on when it is dropped ([`crate::runtime::completion`]), and the next one
//!    waits for it. Where it cannot, or took too long, the store has the call or has it not, and the state
//!    still says what was known before; the next step finds out by the revision.
//! 4. A step waits for the store for as long as `store_timeout` says, with all its tries.

use std::borrow::Cow;
use std::future::Future;
use std::ops::{ControlFlow, Deref};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use express_session_core::cookie::{self, StoredCookie};
use express_session_core::decide::{self, Facts, Plan};
use express_session_core::record::Json;
use express_session_core::store::{
    self, Loaded, LoadedAndTouched, Record, Revision, Store as _, Touch, Touched,
};
use express_session_core::{Document, InsertError, Policy, SessionId, Timestamp, signing};
use futures_util::FutureExt as _;
use http::HeaderValue;
use http::request::Parts;
use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind};
use crate::layer::config::Config;
use crate::layer::warnings::Warning;
use crate::runtime::completion::carry;
use crate::runtime::timeout::within;

mod batch;
mod lock;
mod save;

pub(crate) use batch::Writers;
use lock::Held;
use save::Tried;

/// The session of one request.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    /// The id of the request's cookie, its signature checked.
    presented: Option<SessionId>,
    /// Whether the request came over HTTPS.
    secure: bool,
    /// The request, where the user's own functions want to see it.
    request: Option<Box<Parts>>,
    state: Mutex<State>,
    /// One permit, which the step that is under way has.
    step: Semaphore,
}

/// The step that is under way: the next one begins when it is dropped.
pub(crate) struct Underway(Arc<Shared>);

impl Deref for Underway {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.step.add_permits(1);
    }
}

#[derive(Default)]
struct State {
    phase: Phase,
    progress: Progress,
    /// Boxed, since most of a request's state is in it, and many requests never ask.
    live: Option<Box<Live>>,
    /// The record of a session that nobody has asked for yet: somebody may while the body is being sent.
    unread: Option<Box<LoadedAndTouched>>,
    /// The lock that this request has, or is asking for.
    lock: Option<Box<Held>>,
    /// Whether somebody has asked for the session.
    is_asked: bool,
    /// How long the next step waits, after one that the store did not answer in time: a request waits once
    /// for a store that hangs, and a tenth longer.
    hurry: Option<Duration>,
}

/// How much of a response is there when its headers leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// All of it, or its length is known.
    Whole,
    /// Its beginning: the rest is streamed.
    Begun,
}

/// The cookie that a response is to have, once its step is done.
pub(crate) type Committed = Result<Option<HeaderValue>, Error>;

/// How far the step of a response came without waiting, where it is not done.
pub(crate) enum Begun {
    Not,
    /// What is to be done is known; the store has to be waited for.
    Planned(Underway, Plan, Timestamp),
}

/// Whether there is a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nobody has asked.
    #[default]
    LazySession,
    /// The store failed when somebody asked.
    Unread,
    Live,
    /// The store is out, and the request goes on without a session: what the handler does to this one is
    /// kept nowhere.
    Adrift,
    Unset,
    Destroyed,
    /// Its record is gone from the store: ended by somebody else.
    Gone,
}

/// How far the response is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// It is not there yet.
    #[default]
    Handling,
    /// Its headers have left, with the cookie of this id.
    Streaming { cookie_of: Option<SessionId> },
    /// The connection was upgraded: the handle is for whoever holds it, and nothing is saved by itself.
    Detached,
    /// It is over.
    Sent,
}

/// What the store is known to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Absent,
    /// A first record was on its way, and what became of it is not known.
    Attempted,
    At(Revision),
}

/// A change that can be made again to what another request has stored: an `update`.
pub(crate) type Reapply = Arc<dyn Fn(&mut Document, &str) -> Result<(), Error> + Send + Sync>;

/// A session that is there.
pub(crate) struct Live {
    id: SessionId,
    pub(crate) document: Document,
    pub(crate) cookie: StoredCookie,
    known: Known,
    /// Counts the changes made by the handler.
    version: u64,
    began: Began,
    saved: Option<Arc<Snapshot>>,
    committed: Option<Arc<Snapshot>>,
    /// Whether the record was touched when it was loaded.
    is_touched: bool,
    /// Whether the session's time was renewed for this response.
    renewed: bool,
    /// The version of the last change that overwrote a member.
    overwritten: u64,
    /// The changes since the document's base that were made by a function, in order.
    updates: Vec<Update>,
    /// The writes of which it is not known whether the store has them.
    unsure: Vec<Arc<Attempt>>,
}

/// A change that was made by a function of the value, and can be made again.
#[derive(Clone)]
struct Update {
    key: Box<str>,
    /// The session's version with this change.
    version: u64,
    /// The version of the change that overwrote the member before, where the store does not have that yet: on
    /// top of it, this one overwrites too.
    on: Option<u64>,
    again: Reapply,
}

/// What the session was when the request got it.
struct Began {
    id: SessionId,
    loaded: bool,
    /// The members, where the document's own base is another by now.
    document: Option<Document>,
    cookie: StoredCookie,
}

struct Snapshot {
    document: Document,
    cookie: StoredCookie,
}

/// A write that is under way.
struct Attempt {
    record: Record,
    snapshot: Arc<Snapshot>,
    /// The session's version that is written.
    version: u64,
    /// The text that was written for several requests, this one among them.
    together: Option<Arc<OnceLock<Arc<str>>>>,
}

impl Attempt {
    fn has_written(&self, text: &str) -> bool {
        let together = self.together.as_ref().and_then(|together| together.get());
        *self.record.text == *text || together.is_some_and(|together| **together == *text)
    }
}

impl Snapshot {
    fn of(live: &Live) -> Arc<Self> {
        Arc::new(Self { document: live.document.clone(), cookie: live.cookie.clone() })
    }

    fn has_same_data(&self, live: &Live) -> bool {
        live.document.same_members(&self.document)
    }

    fn has_same_cookie(&self, live: &Live) -> bool {
        !live.cookie.is_changed_from(&self.cookie)
    }
}

impl Live {
    fn new(id: SessionId, cookie: StoredCookie) -> Box<Self> {
        Self::with(id, Document::new(), cookie, Known::Absent)
    }

    fn with(id: SessionId, document: Document, cookie: StoredCookie, known: Known) -> Box<Self> {
        let loaded = known != Known::Absent;
        Box::new(Self {
            began: Began { id: id.clone(), loaded, document: None, cookie: cookie.clone() },
            id,
            document,
            cookie,
            known,
            version: 0,
            saved: None,
            committed: None,
            is_touched: false,
            renewed: false,
            overwritten: 0,
            updates: Vec::new(),
            unsure: Vec::new(),
        })
    }

    /// Keeps what the session began with, before the document gets another base.
    fn keep_beginning(&mut self) {
        let document = &self.document;
        self.began.document.get_or_insert_with(|| document.base());
    }

    fn has_changed_data(&self) -> bool {
        match &self.began.document {
            None => self.document.is_changed(),
            Some(began) => !self.document.same_members(began),
        }
    }

    /// Notes what a write changes before it is known to be done.
    fn begin_write(&mut self, policy: &Policy) {
        self.keep_beginning();
        // What was committed before is not what the store has after this.
        self.committed = None;
        let failure = decide::failure(decide::Step::Write, decide::Fault::Session, policy);
        if failure == decide::OnFailure::Ignore {
            // As in express-session, what was tried counts as saved.
            self.saved = Some(Snapshot::of(self));
        }
    }

    /// Takes the cookie of the record, unless this request has changed it: one that only others changed is
    /// theirs.
    fn take_cookie(&mut self, cookie: &StoredCookie) {
        if self.attributes() == decide::Attributes::Same {
            self.began.cookie = cookie.clone();
            self.cookie = cookie.clone();
        }
    }

    /// Notes a change that overwrites a member: what was to be made again on top of it is not any more.
    pub(crate) fn overwrites(&mut self, key: &str) {
        self.overwritten = self.version;
        self.updates.retain(|update| &*update.key != key);
    }

    /// Notes a change that can be made again, but for one on top of an overwritten value: as long as the store
    /// does not have that, both overwrite.
    fn updates(&mut self, key: &str, again: Reapply, on: Option<u64>) {
        self.updates.push(Update { key: key.into(), version: self.version, on, again });
    }

    /// Says by which change a member was set or removed since the document's base, otherwise than by updates.
    fn overwrote(&self, key: &str) -> Option<u64> {
        if !self.document.is_member_changed(key) {
            return None;
        }
        match self.updates.iter().rfind(|update| &*update.key == key) {
            Some(update) => update.on,
            None => Some(self.overwritten),
        }
    }

    /// Gives the changes that can be made again on top of a state which has those up to this version.
    fn updates_since(&self, version: u64) -> Vec<Update> {
        let later = self.updates.iter().filter(|update| update.version > version);
        let on = |update: &Update| update.on.filter(|on| *on > version);
        later.map(|update| Update { on: on(update), ..update.clone() }).collect()
    }
}

impl Shared {
    #[inline]
    pub(crate) fn new(
        config: Arc<Config>,
        presented: Option<SessionId>,
        secure: bool,
        request: Option<Box<Parts>>,
    ) -> Self {
        Self {
            config,
            presented,
            secure,
            request,
            state: Mutex::default(),
            step: Semaphore::new(1),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in a user's closure leaves the state as it was before it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other step is under way, and begins one.
    async fn begin_step(self: &Arc<Self>) -> Underway {
        match self.step.acquire().await {
            Ok(permit) => permit.forget(),
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
        Underway(Arc::clone(self))
    }

    /// Begins a step that need not wait: `None` where the store may have to be waited for, or another step is under
    /// way.
    fn begin_step_now(self: &Arc<Self>) -> Option<Underway> {
        if !self.config.store.answers_at_once() {
            return None;
        }
        self.step.try_acquire().ok()?.forget();
        Some(Underway(Arc::clone(self)))
    }

    /// Gives the time by the layer's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.config.sources.now()
    }

    /// Says whether anything is to be done at the end of a request whose handler did not ask.
    pub(crate) fn load_plan(&self) -> decide::Load {
        decide::load(self.presented.is_some(), &self.config.policy)
    }

    /// Says whether there is nothing to be done at the end of this request: nobody has asked for the session, or
    /// can still ask, and it is not to be loaded unasked.
    pub(crate) fn is_untouched(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
            && self.load_plan() == decide::Load::Asked
            && self.state().phase == Phase::LazySession
    }

    /// Reads from the session, or gives `None` where it is over.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Live) -> T) -> Option<T> {
        let state = self.state();
        match state.phase {
            Phase::Live | Phase::Adrift => state.live.as_deref().map(read),
            Phase::LazySession | Phase::Unread | Phase::Unset | Phase::Destroyed | Phase::Gone => {
                None
            }
        }
    }

    /// Reads from the session, or says why it cannot be read.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Live) -> T) -> Result<T, Error> {
        Ok(look(self.state().callable()?))
    }

    /// Changes the session.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Live) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = self.state();
        let live = state.callable()?;
        live.version += 1;
        change(live)
    }

    /// Changes a member by a function of its value. The function is the user's own, and is called while
    /// no lock is held: it may look at the session.
    pub(crate) fn update<T>(
        &self,
        key: &str,
        change: impl Fn(Option<&str>) -> Result<(T, Json), Error>,
        again: Reapply,
    ) -> Result<T, Error> {
        loop {
            let before = self.state().callable()?.document.get_raw(key).map(str::to_owned);
            let (value, json) = change(before.as_deref())?;
            let mut state = self.state();
            let live = state.callable()?;
            // A clone of the handle may have changed it meanwhile.
            if live.document.get_raw(key) != before.as_deref() {
                continue;
            }
            let on = live.overwrote(key);
            insert(&mut live.document, key, &json)?;
            live.version += 1;
            live.updates(key, again, on);
            return Ok(value);
        }
    }

    /// Gives the id, also of a session that is over.
    pub(crate) fn id(&self) -> Option<SessionId> {
        self.state().live.as_ref().map(|live| live.id.clone())
    }

    /// Forgets the session: `req.session = null`.
    pub(crate) fn unset(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.callable()?;
        state.phase = Phase::Unset;
        Ok(())
    }

    /// Loads the session, or makes a new one, unless that has been done.
    pub(crate) async fn load(self: &Arc<Self>) -> Result<(), Error> {
        match self.load_now() {
            Some(loaded) => loaded,
            // A box, so that the handler's own future stays small.
            None => Box::pin(self.load_later()).await,
        }
    }

    /// Loads without waiting: `None` where the store may have to be waited for, or another step is under way.
    fn load_now(&self) -> Option<Result<(), Error>> {
        if !self.config.store.answers_at_once() {
            return None;
        }
        let _permit = self.step.try_acquire().ok()?;
        self.load_in_step(decide::Step::Load, self.now()).now_or_never()
    }

    async fn load_later(self: &Arc<Self>) -> Result<(), Error> {
        let _step = self.begin_step().await;
        self.load_in_step(decide::Step::Load, self.now()).await
    }

    async fn load_in_step(&self, step: decide::Step, now: Timestamp) -> Result<(), Error> {
        let unread = {
            let mut state = self.state();
            state.is_asked |= step == decide::Step::Load;
            match state.phase {
                Phase::LazySession | Phase::Unread => state.unread.take(),
                Phase::Live | Phase::Adrift | Phase::Unset | Phase::Destroyed | Phase::Gone => {
                    return Ok(());
                }
            }
        };
        let found = match unread {
            Some(found) => Ok(Some(*found)),
            None => self.ask(self.fetch(now)).await,
        };
        if step == decide::Step::LoadUnasked
            && decide::touch_on_load_suffices(&self.config.policy)
            && let Ok(Some(found @ LoadedAndTouched { is_touched: true, .. })) = found
        {
            self.state().unread = Some(Box::new(found));
            return Ok(());
        }
        let error = match found.and_then(|found| self.found(found.as_ref(), now)) {
            Ok(live) => {
                let mut state = self.state();
                state.live = Some(live);
                state.phase = Phase::Live;
                return Ok(());
            }
            Err(error) => error,
        };
        if decide::failure(step, error.fault(), &self.config.policy)
            != decide::OnFailure::ContinueWithoutSession
        {
            self.state().phase = Phase::Unread;
            return Err(error);
        }
        tell_outage(&error);
        // Its record may well be there: ending it has to reach the store.
        let mut live = self.generate(now)?;
        if let Some(id) = self.presented.clone() {
            live.began.id = id.clone();
            live.id = id;
            live.known = Known::Attempted;
        }
        let mut state = self.state();
        state.live = Some(live);
        state.phase = Phase::Adrift;
        Ok(())
    }

    /// Waits for the store, for as long as the options say.
    async fn ask<T, E: Into<Error>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        let hurry = self.state().hurry;
        let limit = hurry.unwrap_or(self.config.store_timeout);
        let done = within(limit, pin!(call)).await;
        // A twentieth, then half of it, and so on: a tenth in all.
        let next = hurry.map_or(self.config.store_timeout / 20, |limit| limit / 2);
        match done {
            Some(Ok(done)) => {
                if hurry.is_some() {
                    self.state().hurry = None;
                }
                Ok(done)
            }
            Some(Err(error)) => Err(error.into()),
            None => {
                self.state().hurry = Some(next);
                Err(store::Error::new(
                    store::ErrorKind::TimedOut,
                    "no answer within the layer's store_timeout",
                )
                .into())
            }
        }
    }

    /// Says whether the request goes on without a session.
    #[cfg(feature = "axum")]
    pub(crate) fn is_adrift(&self) -> bool {
        self.state().phase == Phase::Adrift
    }

    /// Says whether what is put into the session is kept.
    pub(crate) fn is_persisted(&self) -> bool {
        self.state().phase == Phase::Live
    }

    /// Loads the record that the request's cookie names, if there is one.
    async fn fetch(&self, now: Timestamp) -> Result<Option<LoadedAndTouched>, store::Error> {
        let Some(id) = &self.presented else { return Ok(None) };
        let store = &self.config.store;
        match decide::fetch(&self.config.policy) {
            decide::Fetch::LoadAndTouch => store.load_and_touch(id, now).await,
            decide::Fetch::Load => {
                let loaded = store.load(id, now).await?;
                Ok(loaded.map(|loaded| LoadedAndTouched { loaded, is_touched: false }))
            }
        }
    }

    /// Makes a session of the record that was found, or a new one where there is none.
    fn found(&self, found: Option<&LoadedAndTouched>, now: Timestamp) -> Result<Box<Live>, Error> {
        let (Some(found), Some(id)) = (found, self.presented.clone()) else {
            return self.generate(now);
        };
        let (document, cookie) = self.parse(&found.loaded, now)?;
        let mut live = Live::with(id, document, cookie, Known::At(found.loaded.revision));
        live.is_touched = found.is_touched;
        Ok(live)
    }

    fn parse(&self, loaded: &Loaded, now: Timestamp) -> Result<(Document, StoredCookie), Error> {
        let text = &loaded.record.text;
        if !self.config.policy.departures.verbatim {
            let document = Document::parse_normalised(text)?;
            let cookie = StoredCookie::parse(document.cookie_text(), now)?;
            return Ok((document, cookie));
        }
        if let Some(template) = self.config.template(self.secure) {
            return Ok(Document::parse_as(Arc::clone(text), template, now)?);
        }
        let document = Document::parse(Arc::clone(text))?;
        let cookie = StoredCookie::parse(document.cookie_text(), now)?;
        Ok((document, cookie))
    }

    /// Gives what is loaded when a session is written now, and the record for it.
    fn written_form(&self, document: &Document, cookie: &StoredCookie) -> (Document, Record) {
        let written = document.as_saved(&self.cookie_text(cookie));
        let text = Arc::clone(written.base_text());
        (written, Record { text, deadline: cookie.deadline() })
    }

    fn cookie_text(&self, cookie: &StoredCookie) -> Cow<'_, str> {
        match self.config.template(self.secure) {
            Some(template) => template.text(cookie),
            None => Cow::Owned(cookie.text()),
        }
    }

    fn generate(&self, now: Timestamp) -> Result<Box<Live>, Error> {
        let (id, cookie) = self.config.generate(self.request.as_deref(), self.secure, now)?;
        Ok(Live::new(id, cookie))
    }

    /// Saves by hand.
    pub(crate) async fn save(self: &Arc<Self>) -> Result<(), Error> {
        let step = self.begin_step().await;
        self.state().kept()?;
        let now = self.now();
        if decide::save_renews(&self.config.policy) {
            self.state().callable()?.reset_expiry(now);
        }
        carry(async move { step.ask(step.write(now)).await }).await
    }

    /// Loads the record again, and drops what was changed since.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), Error> {
        let _step = self.begin_step().await;
        let (id, known) = {
            let mut state = self.state();
            let live = state.callable()?;
            (live.id.clone(), live.known)
        };
        let now = self.now();
        let found = self.ask(self.config.store.load(&id, now)).await?;
        // What is there under the id of a session that was never stored is somebody else's.
        let foreign = known == Known::Absent
            && decide::taken(&self.config.policy) == decide::Surprise::Refuse;
        let Some(loaded) = found.filter(|_| !foreign) else {
            return Err(Error::new(ErrorKind::NotFound));
        };
        let (document, cookie) = self.parse(&loaded, now)?;
        let mut state = self.state();
        state.callable()?;
        // The store answers again.
        state.phase = Phase::Live;
        let live = state.callable()?;
        live.keep_beginning();
        live.document = document;
        live.cookie = cookie;
        if live.committed.is_some() {
            live.committed = Some(Snapshot::of(live));
        }
        live.known = Known::At(loaded.revision);
        live.version += 1;
        live.updates.clear();
        live.unsure.clear();
        Ok(())
    }

    /// Destroys the record and makes a new session under a new id.
    pub(crate) async fn regenerate(self: &Arc<Self>) -> Result<(), Error> {
        let mut step = self.begin_step().await;
        let (id, known) = {
            let mut state = self.state();
            let live = state.callable()?;
            (live.id.clone(), live.known)
        };
        let mut fresh = self.generate(self.now())?;
        let policy = &self.config.policy;
        let mut destroyed = Ok(());
        if decide::destroys(known != Known::Absent, policy) {
            // Where this is dropped, the handle keeps what it has: the handler does not expect another session.
            (step, destroyed) = carry(async move {
                let destroyed = step.ask(step.config.store.destroy(&id)).await;
                (step, destroyed)
            })
            .await;
        }
        let failed = match destroyed {
            Err(error) => match decide::failure(decide::Step::Destroy, error.fault(), policy) {
                decide::OnFailure::Report => return Err(error),
                decide::OnFailure::Ignore | decide::OnFailure::ContinueWithoutSession => {
                    Some(error)
                }
            },
            Ok(()) => None,
        };
        let mut state = self.state();
        state.callable()?;
        // Whatever the store could not do before, the new session is one like any other.
        state.phase = Phase::Live;
        let live = state.callable()?;
        fresh.began = Began {
            id: live.began.id.clone(),
            loaded: live.began.loaded,
            document: live.began.document.take().or_else(|| Some(live.document.base())),
            cookie: fresh.cookie.clone(),
        };
        fresh.version = live.version + 1;
        fresh.renewed = live.renewed;
        *live = *fresh;
        drop(step);
        failed.map_or(Ok(()), Err)
    }

    /// Destroys the record; the session is over.
    pub(crate) async fn destroy(self: &Arc<Self>) -> Result<(), Error> {
        let step = self.begin_step().await;
        carry(async move { step.destroy_in_step().await }).await
    }

    async fn destroy_in_step(&self) -> Result<(), Error> {
        let (id, known) = {
            let mut state = self.state();
            let live = state.callable()?;
            (live.id.clone(), live.known)
        };
        // Over at once: nothing is written to it any more, even if the store fails now.
        self.state().phase = Phase::Destroyed;
        if !decide::destroys(known != Known::Absent, &self.config.policy) {
            return Ok(());
        }
        self.ask(self.config.store.destroy(&id)).await?;
        if let Some(live) = &mut self.state().live {
            live.known = Known::Absent;
        }
        Ok(())
    }

    /// Starts the session's time anew; in a stream, the store is told at once.
    pub(crate) async fn touch(self: &Arc<Self>) -> Result<(), Error> {
        let _step = self.begin_step().await;
        let now = self.now();
        let tell = {
            let mut state = self.state();
            let sending = state.progress != Progress::Handling;
            let live = state.callable()?;
            let deadline = live.cookie.deadline();
            live.cookie.reset_expiry(now);
            // The touch of the load is older than this one.
            live.is_touched &= live.cookie.deadline() == deadline;
            matches!(live.known, Known::At(_))
                && decide::touches_at_once(sending, &self.config.policy)
        };
        if tell && self.config.store.supports_touch() {
            self.tell_touch(now).await?;
        }
        if self.state().phase == Phase::Gone {
            return Err(Error::new(ErrorKind::Ended));
        }
        Ok(())
    }

    /// Takes the step of a response that is ready, as [`decide::plan`] says, and gives its cookie.
    pub(crate) async fn commit(self: &Arc<Self>, response: Ready, begun: Begun) -> Committed {
        let (step, plan, now) = match begun {
            Begun::Planned(step, plan, now) => (step, plan, now),
            Begun::Not => {
                let step = self.begin_step().await;
                let now = self.now();
                self.begin_end(response, now).await;
                let Some(plan) = self.plan(&mut self.state()) else { return Ok(None) };
                (step, plan, now)
            }
        };
        match plan.store {
            // A touch that is dropped makes no difference to what the next step knows.
            decide::StoreAction::Keep | decide::StoreAction::Touch => self.obey(plan, now).await,
            decide::StoreAction::Write | decide::StoreAction::Destroy => {
                carry(async move { step.obey(plan, now).await }).await
            }
        }
    }

    /// Takes the step of a response as far as that can be done without waiting.
    pub(crate) fn commit_now(self: &Arc<Self>, response: Ready) -> ControlFlow<Committed, Begun> {
        const NOT: ControlFlow<Committed, Begun> = ControlFlow::Continue(Begun::Not);
        if !self.config.store.answers_at_once() {
            return NOT;
        }
        // Nobody else can take a step, or look at what is known after this one.
        let is_last = Arc::strong_count(self) == 1;
        let step = if is_last { None } else { self.begin_step_now() };
        let now = self.now();
        let mut state = self.state();
        if (!is_last && step.is_none()) || state.lock.is_some() {
            return NOT;
        }
        if self.is_to_be_loaded_unasked(&state) {
            if is_last && self.renew_last(now) {
                return ControlFlow::Break(Ok(None));
            }
            drop(state);
            if self.load_unasked(now).now_or_never().is_none() {
                return NOT;
            }
            state = self.state();
        }
        state.begin_end(response, now);
        let Some(plan) = self.plan(&mut state) else { return ControlFlow::Break(Ok(None)) };
        if is_last && self.act_last(&mut state, plan, now) {
            return ControlFlow::Break(Ok(self.answer(&mut state, plan, now)));
        }
        drop(state);
        match self.act_now(plan, now) {
            Some(done) => {
                ControlFlow::Break(done.map(|()| self.answer(&mut self.state(), plan, now)))
            }
            None => match step.or_else(|| self.begin_step_now()) {
                Some(step) => ControlFlow::Continue(Begun::Planned(step, plan, now)),
                None => NOT,
            },
        }
    }

    async fn obey(&self, plan: Plan, now: Timestamp) -> Result<Option<HeaderValue>, Error> {
        self.act(plan, now).await?;
        Ok(self.answer(&mut self.state(), plan, now))
    }

    /// Prints the cookie of a response whose store step is taken.
    fn answer(&self, state: &mut State, plan: Plan, now: Timestamp) -> Option<HeaderValue> {
        let over = matches!(state.phase, Phase::Gone | Phase::Adrift);
        if over { None } else { self.cookie_of(state, plan, now) }
    }

    /// Prints the cookie of a response whose store step is taken at the end of its body.
    pub(crate) async fn commit_cookie(self: &Arc<Self>, response: Ready) -> Option<HeaderValue> {
        let _step = self.begin_step().await;
        let now = self.now();
        self.begin_end(response, now).await;
        let mut state = self.state();
        self.plan(&mut state).and_then(|plan| self.cookie_of(&mut state, plan, now))
    }

    /// Does what express-session does before it decides.
    async fn begin_end(&self, response: Ready, now: Timestamp) {
        if self.is_to_be_loaded_unasked(&self.state()) {
            self.load_unasked(now).await;
        }
        self.state().begin_end(response, now);
    }

    /// Takes the step of a body that has ended. There is nobody left to tell of an error.
    pub(crate) async fn commit_late(self: &Arc<Self>) {
        let step = self.begin_step().await;
        carry(async move {
            let now = step.now();
            let plan = step.plan(&mut step.state());
            if let Some(plan) = plan
                && let Err(error) = step.act(plan, now).await
            {
                tell_failure(&error);
            }
            step.release_lock().await;
        })
        .await;
    }

    /// Notes that the headers leave now, with the session's cookie or without.
    pub(crate) fn headers_left(&self, with_cookie: bool) {
        let mut state = self.state();
        let id = state.live.as_ref().map(|live| live.id.clone());
        state.progress = Progress::Streaming { cookie_of: id.filter(|_| with_cookie) };
    }

    /// Notes that the connection is upgraded: handles stay usable, and nothing is saved by itself.
    pub(crate) fn detach(&self) {
        self.state().progress = Progress::Detached;
    }

    /// Notes that the response is over: handles are of no use any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        if state.progress != Progress::Detached {
            state.progress = Progress::Sent;
        }
    }

    /// Says whether the request needs what the handler did not ask for.
    fn is_to_be_loaded_unasked(&self, state: &State) -> bool {
        state.phase == Phase::LazySession && self.load_plan() != decide::Load::Asked
    }

    /// Loads it. Nobody waits for an error.
    async fn load_unasked(&self, now: Timestamp) {
        let loaded = Box::pin(self.load_in_step(decide::Step::LoadUnasked, now)).await;
        if let Err(error) = loaded {
            tell_failure(&error);
        }
    }

    /// Asks what to do, or gives `None` where there never was a session.
    fn plan(&self, state: &mut State) -> Option<Plan> {
        let mut facts = self.facts(state)?;
        let mut plan = decide::plan(facts, &self.config.policy);
        let sends =
            matches!(plan.cookie, decide::CookieAction::Send | decide::CookieAction::Expire);
        if sends
            && let Some(live) = &mut state.live
            && !self.is_printable(live)
        {
            // express-session finds out when it prints, and has renewed the time by then.
            if plan.cookie == decide::CookieAction::Send && !live.renewed {
                live.reset_expiry(self.now());
            }
            facts.reach = decide::Reach::Unprintable;
            plan = decide::plan(facts, &self.config.policy);
        }
        if plan.cookie == decide::CookieAction::Withhold
            && let Some(warning) = withheld(facts, plan)
        {
            self.config.warnings.warn_once(warning);
        }
        Some(plan)
    }

    fn facts(&self, state: &State) -> Option<Facts> {
        let session = match state.phase {
            Phase::LazySession | Phase::Adrift | Phase::Gone => return None,
            Phase::Unread => decide::Lifecycle::Unread,
            Phase::Live => decide::Lifecycle::Live,
            Phase::Unset => decide::Lifecycle::Unset,
            Phase::Destroyed => decide::Lifecycle::Destroyed,
        };
        let Some(live) = &state.live else {
            // It could not be loaded: only the presented id is known.
            return Some(Facts {
                session,
                id: decide::CookieMatch::Presented,
                origin: decide::Origin::Loaded,
                data: decide::Data::Same,
                attributes: decide::Attributes::Same,
                saved: decide::Saved::Never,
                record: decide::RecordStatus::Touchable,
                expiry: decide::Expiry::None,
                reach: decide::Reach::Open,
            });
        };
        Some(Facts {
            session,
            id: match &self.presented {
                None => decide::CookieMatch::Unknown,
                Some(id) if *id == live.id => decide::CookieMatch::Presented,
                Some(_) => decide::CookieMatch::Other,
            },
            origin: live.origin(),
            data: if live.has_changed_data() { decide::Data::Changed } else { decide::Data::Same },
            attributes: live.attributes(),
            saved: live.saved(),
            record: match live.known {
                Known::Absent => decide::RecordStatus::Absent,
                Known::Attempted | Known::At(_) if !self.config.store.supports_touch() => {
                    decide::RecordStatus::Untouchable
                }
                Known::Attempted | Known::At(_) if live.is_touched => decide::RecordStatus::Renewed,
                Known::Attempted | Known::At(_) => decide::RecordStatus::Touchable,
            },
            expiry: if live.cookie.has_expiry() {
                decide::Expiry::Some
            } else {
                decide::Expiry::None
            },
            reach: self.reach(&state.progress, live),
        })
    }

    fn reach(&self, progress: &Progress, live: &Live) -> decide::Reach {
        match progress {
            Progress::Handling if live.cookie.secure() && !self.secure => decide::Reach::Insecure,
            Progress::Handling => decide::Reach::Open,
            Progress::Streaming { cookie_of: Some(id) } if *id == live.id => decide::Reach::Sent,
            Progress::Streaming { .. } | Progress::Detached | Progress::Sent => decide::Reach::Late,
        }
    }

    fn is_printable(&self, live: &Live) -> bool {
        let mut renewed = live.cookie.clone();
        renewed.reset_expiry(self.now());
        // The settings of the options were checked when the layer was made.
        self.config.template(self.secure).is_some_and(|template| template.is_printable(&renewed))
            || cookie::print(&self.config.name, "", &renewed).is_ok()
    }

    /// Does to the store what was decided.
    async fn act(&self, plan: Plan, now: Timestamp) -> Result<(), Error> {
        let before = self.begin_act(plan, now);
        let done = match plan.store {
            decide::StoreAction::Keep => Ok(()),
            // Boxed, since most responses do none of it.
            decide::StoreAction::Write => self.ask(Box::pin(self.write(now))).await,
            decide::StoreAction::Touch => Box::pin(self.tell_touch(now)).await,
            decide::StoreAction::Destroy => Box::pin(self.tell_destroy()).await,
        };
        self.end_act(plan, before, done)
    }

    /// Does it with a store that answers at once, or gives `None` where others write the session too, and have to
    /// be waited for.
    fn act_now(&self, plan: Plan, now: Timestamp) -> Option<Result<(), Error>> {
        let before = self.begin_act(plan, now);
        let done = match plan.store {
            decide::StoreAction::Keep => Ok(()),
            decide::StoreAction::Write => match self.ask(self.try_write(now)).now_or_never()? {
                Ok(Tried::Done) => Ok(()),
                Ok(Tried::Again | Tried::Met | Tried::Together) => return None,
                Err(error) => Err(error),
            },
            decide::StoreAction::Touch => self.tell_touch(now).now_or_never()?,
            decide::StoreAction::Destroy => self.tell_destroy().now_or_never()?,
        };
        Some(self.end_act(plan, before, done))
    }

    /// Renews the record of a session that is to be loaded unasked, and that nobody can ask for any more, without
    /// loading it. Gives `false` where that is not all there is to do.
    fn renew_last(&self, now: Timestamp) -> bool {
        let Some(id) = &self.presented else { return false };
        decide::touch_on_load_suffices(&self.config.policy)
            && self.config.store.load_and_touch_now(id, now)
    }

    /// Does it with a store that answers at once and notes nothing, as the last step of all. Gives `false`, with
    /// nothing done, where it turns out that more is to be said about it.
    fn act_last(&self, state: &mut State, plan: Plan, now: Timestamp) -> bool {
        match plan.store {
            decide::StoreAction::Keep => true,
            decide::StoreAction::Write => {
                state.renew_once(now);
                self.write_last(state, now)
            }
            decide::StoreAction::Touch | decide::StoreAction::Destroy => false,
        }
    }

    /// Gives what the store has when this is done, as far as it is known before.
    fn begin_act(&self, plan: Plan, now: Timestamp) -> Option<Arc<Snapshot>> {
        let mut state = self.state();
        let sends = plan.cookie == decide::CookieAction::Send;
        if sends || matches!(plan.store, decide::StoreAction::Write | decide::StoreAction::Touch) {
            state.renew_once(now);
        }
        match plan.store {
            decide::StoreAction::Write => None,
            decide::StoreAction::Keep
            | decide::StoreAction::Touch
            | decide::StoreAction::Destroy => state.live.as_deref().map(Snapshot::of),
        }
    }

    fn end_act(
        &self,
        plan: Plan,
        before: Option<Arc<Snapshot>>,
        done: Result<(), Error>,
    ) -> Result<(), Error> {
        if let Err(error) = done {
            let step = match plan.store {
                decide::StoreAction::Keep | decide::StoreAction::Touch => decide::Step::Touch,
                decide::StoreAction::Write if self.state().is_asked => decide::Step::Write,
                decide::StoreAction::Write => decide::Step::WriteUnasked,
                decide::StoreAction::Destroy => decide::Step::Destroy,
            };
            let fault = error.fault();
            match (decide::failure(step, fault, &self.config.policy), fault) {
                (decide::OnFailure::Report, _) => return Err(error),
                (decide::OnFailure::Ignore, _) => tell_failure(&error),
                (decide::OnFailure::ContinueWithoutSession, decide::Fault::Ended) => tell_ended(),
                (decide::OnFailure::ContinueWithoutSession, _) => {
                    tell_outage(&error);
                    self.state().phase = Phase::Adrift;
                }
            }
        }
        if let Some(live) = &mut self.state().live {
            // What a clone of the handle has changed meanwhile is not part of it.
            live.committed = before.or_else(|| live.saved.clone());
        }
        Ok(())
    }

    async fn tell_destroy(&self) -> Result<(), Error> {
        match self.id().or_else(|| self.presented.clone()) {
            Some(id) => self.ask(self.config.store.destroy(&id)).await,
            None => Ok(()),
        }
    }

    async fn tell_touch(&self, now: Timestamp) -> Result<(), Error> {
        let (id, touch) = {
            let state = self.state();
            let Some(live) = &state.live else { return Ok(()) };
            let touch =
                Touch { cookie: live.cookie.text().into(), deadline: live.cookie.deadline() };
            (live.id.clone(), touch)
        };
        let touched = self.ask(self.config.store.touch(&id, &touch, now)).await?;
        if touched == Touched::Gone && decide::gone(&self.config.policy) == decide::Surprise::Refuse
        {
            self.state().phase = Phase::Gone;
        }
        Ok(())
    }

    /// Prints the `Set-Cookie` header that was decided.
    fn cookie_of(&self, state: &mut State, plan: Plan, now: Timestamp) -> Option<HeaderValue> {
        let name = &self.config.name;
        let printed = match plan.cookie {
            decide::CookieAction::Keep | decide::CookieAction::Withhold => return None,
            decide::CookieAction::Send => {
                state.renew_once(now);
                let live = state.live.as_ref()?;
                cookie::print(name, &signing::sign(&live.id, &self.config.keyring), &live.cookie)
            }
            decide::CookieAction::Expire => {
                cookie::print_expired(name, &state.live.as_ref()?.cookie)
            }
        };
        let printed = printed.ok()?;
        if printed.len() > MAX_COOKIE {
            self.config.warnings.warn_once(Warning::LargeCookie);
        }
        // `print` lets nothing through that a header cannot carry.
        HeaderValue::from_maybe_shared(bytes::Bytes::from(printed)).ok()
    }
}

/// Browsers drop a cookie beyond this (RFC 6265bis §5.6).
const MAX_COOKIE: usize = 4096;

/// Inserts a member, with an error that names it.
pub(crate) fn insert(document: &mut Document, key: &str, value: &Json) -> Result<(), Error> {
    document.insert_json(key, value).map_err(|error| match error {
        InsertError::Serialize(source) => {
            Error::of_member(ErrorKind::Serialize, key).with_source(source)
        }
        InsertError::Reserved | _ => Error::of_member(ErrorKind::ReservedName, key),
    })
}

/// Gives what there is to tell of a cookie that should have been sent.
fn withheld(facts: Facts, plan: Plan) -> Option<Warning> {
    match facts.reach {
        decide::Reach::Insecure => Some(Warning::InsecureConnection),
        decide::Reach::Unprintable => Some(Warning::UnprintableCookie),
        decide::Reach::Open | decide::Reach::Sent | decide::Reach::Late => {
            // A session that the browser knows goes on as it is.
            let is_lost = facts.record == decide::RecordStatus::Absent
                && plan.store == decide::StoreAction::Keep;
            is_lost.then_some(Warning::LateSession)
        }
    }
}

fn tell_failure(error: &Error) {
    tracing::error!(
        target: "express_session",
        error = error as &dyn std::error::Error,
        "the session store failed at the end of a request",
    );
}

fn tell_outage(error: &Error) {
    tracing::error!(
        target: "express_session",
        error = error as &dyn std::error::Error,
        "the session store is out: a request goes on without a session",
    );
}

fn tell_ended() {
    tracing::info!(
        target: "express_session",
        "the session ended while this request was being handled: its changes are dropped",
    );
}

impl State {
    /// With a response that is all there, express-session renews the session's time before it decides (in
    /// `res.end`), with one that has only begun it does not.
    fn begin_end(&mut self, response: Ready, now: Timestamp) {
        if response == Ready::Whole {
            self.renew_once(now);
        }
    }

    fn renew_once(&mut self, now: Timestamp) {
        if let Some(live) = &mut self.live
            && !live.renewed
        {
            live.reset_expiry(now);
        }
    }

    /// Gives the session for a change or a step, or says why there is none.
    fn callable(&mut self) -> Result<&mut Live, Error> {
        if self.progress == Progress::Sent {
            return Err(Error::new(ErrorKind::ResponseSent));
        }
        match (self.phase, &mut self.live) {
            (Phase::Live | Phase::Adrift, Some(live)) => Ok(live),
            _ => Err(Error::new(ErrorKind::Ended)),
        }
    }

    /// Gives the session for a step that writes it, or says why there is none.
    fn kept(&mut self) -> Result<&mut Live, Error> {
        if self.phase == Phase::Adrift {
            return Err(store::Error::new(
                store::ErrorKind::Unavailable,
                "it was out when the session was loaded",
            )
            .into());
        }
        self.callable()
    }
}

impl Live {
    pub(crate) fn reset_expiry(&mut self, now: Timestamp) {
        self.cookie.reset_expiry(now);
        self.renewed = true;
    }

    /// Says whether there is anything that the store does not have yet.
    fn is_unsaved(&self) -> bool {
        self.document.is_changed() || self.attributes() == decide::Attributes::Changed
    }

    fn origin(&self) -> decide::Origin {
        if self.id != self.began.id {
            decide::Origin::Regenerated
        } else if self.began.loaded {
            decide::Origin::Loaded
        } else {
            decide::Origin::New
        }
    }

    fn attributes(&self) -> decide::Attributes {
        if !self.cookie.is_changed_from(&self.began.cookie) {
            return decide::Attributes::Same;
        }
        match &self.saved {
            Some(saved) if saved.has_same_cookie(self) => decide::Attributes::Saved,
            Some(_) | None => decide::Attributes::Changed,
        }
    }

    fn saved(&self) -> decide::Saved {
        if self
            .committed
            .as_ref()
            .is_some_and(|snapshot| snapshot.has_same_data(self) && snapshot.has_same_cookie(self))
        {
            return decide::Saved::Committed;
        }
        match &self.saved {
            None => decide::Saved::Never,
            Some(saved) if saved.has_same_data(self) => decide::Saved::Current,
            Some(_) => decide::Saved::Stale,
        }
    }
}
