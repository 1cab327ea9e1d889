//! The state of a request's session, and how each operation of the handler changes it.

use crate::policy::{LoadMode, LoadTime, OnConflict, OnMismatch};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::change_log::{ChangeLog, Discarded, Function, PendingWrite, Reapply};
use super::{Error, Result};
use crate::cookie::{CookieTemplate, StoredCookie};
use crate::decide::{self, Attributes, Origin, Saved};
use crate::store::{
    FencingToken, Loaded, LoadedAndTouched, LockToken, Record, Revision, Touch, Touched,
};
use crate::{Corrupt, Document, Policy, SessionId, Timestamp};

/// The facts that do not change in the course of a request.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The options that decide.
    pub policy: &'a Policy,
    /// The cookie's name.
    pub name: &'a str,
    /// The usual cookie of a record; `None` where the settings differ from request to request.
    pub template: Option<&'a CookieTemplate>,
    /// Whether a loaded session gets the attributes of the template.
    pub hardens: bool,
    /// The id in the request's cookie, its signature checked.
    pub presented: Option<&'a SessionId>,
    /// Whether the request came over HTTPS.
    pub is_secure: bool,
    /// Whether the store has a use for touching.
    pub supports_touch: bool,
}

impl<'a> Context<'a> {
    /// Returns the context of a request over plain HTTP without a cookie, with a store that can touch.
    #[must_use]
    pub fn new(policy: &'a Policy, name: &'a str) -> Self {
        Self {
            policy,
            name,
            template: None,
            hardens: false,
            presented: None,
            is_secure: false,
            supports_touch: true,
        }
    }

    /// Reads a record.
    #[inline]
    pub(super) fn parse(
        &self,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Result<(Document, StoredCookie), Corrupt> {
        let (document, mut cookie) = self.parse_stored(loaded, now)?;
        if let Some(template) = self.template.filter(|_| self.hardens) {
            cookie.harden(template);
        }
        Ok((document, cookie))
    }

    fn parse_stored(
        &self,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Result<(Document, StoredCookie), Corrupt> {
        let text = &loaded.record.text;
        let limits = &self.policy.record_limits;
        limits.check_bytes(text.len())?;
        let parsed = match self.template {
            Some(template) if self.policy.keeps_records_verbatim() => {
                Document::parse_as(Arc::clone(text), template, now)?
            }
            _ => {
                let document = if self.policy.keeps_records_verbatim() {
                    Document::parse(Arc::clone(text))?
                } else {
                    Document::parse_normalised(text)?
                };
                let cookie = StoredCookie::parse(document.cookie_text(), now)?;
                (document, cookie)
            }
        };
        limits.check(&parsed.0, text.len())?;
        Ok(parsed)
    }

    /// Returns the document that is loaded when the session is written now, and the record for it.
    pub(super) fn as_saved(
        &self,
        document: &Document,
        cookie: &StoredCookie,
    ) -> (Document, Record) {
        let saved = document.as_saved(&self.cookie_text(cookie));
        let text = Arc::clone(saved.base_text());
        (saved, Record { text, deadline: cookie.deadline() })
    }

    #[inline]
    pub(super) fn record(&self, document: &Document, cookie: &StoredCookie) -> Record {
        Record { text: document.to_json(&self.cookie_text(cookie)), deadline: cookie.deadline() }
    }

    #[inline]
    fn cookie_text(&self, cookie: &StoredCookie) -> Cow<'a, str> {
        match self.template {
            Some(template) => template.text(cookie),
            None => Cow::Owned(cookie.text()),
        }
    }
}

/// The session of one request.
///
/// # Invariants
///
/// 1. A session that has ended is never written again.
/// 2. The state knows the store's record only from answers: a call without an answer leaves it in doubt.
#[derive(Default)]
pub struct SessionState {
    pub(super) phase: Phase,
    pub(super) progress: Progress,
    /// Boxed: most of a request's state is in it, and many requests never ask for their session.
    pub(super) session: Option<Box<LoadedSession>>,
    /// The record of a session that no handler has asked for yet. A stream may still ask.
    unread: Option<Box<LoadedAndTouched>>,
    /// The lock that this request has, or is asking for.
    lock: Option<Box<SessionLockState>>,
    /// Whether the handler has asked for the session.
    is_requested: bool,
    /// Whether the request neither touches the session nor sends its cookie, unless the handler changes it.
    pub(super) is_left_alone: bool,
    /// The id that the browser had before a response that has left, if new sessions without a cookie are refused.
    left: Option<Left>,
}

/// The id that the browser had when the headers left.
struct Left {
    presented: Option<SessionId>,
}

/// Whether there is a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handler has not asked.
    #[default]
    Unloaded,
    /// The store failed when the session was loaded.
    LoadFailed,
    /// There is.
    Live,
    /// The store is unavailable, and the request goes on without a session: the handler's changes are not kept.
    Degraded,
    /// The handler unset it.
    Unset,
    /// The handler destroyed it.
    Destroyed,
    /// Its record is gone from the store: another request ended it.
    EndedElsewhere,
}

/// How far the response is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// The handler is running.
    #[default]
    Handling,
    /// The headers have left, with the cookie of this id.
    Streaming { cookie_of: Option<SessionId> },
    /// The connection was upgraded: handles stay usable, and nothing is saved implicitly.
    Detached,
    /// It is over.
    Sent,
}

/// How much of a response is there when its headers leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// All of it, or its length is known.
    Complete,
    /// Its beginning: the rest is streamed.
    Streaming,
}

/// The store's record of a session, as far as the request knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreView {
    /// There is none.
    Absent,
    /// A first record was on its way, and its outcome is not known.
    InDoubt,
    /// There is one, of this revision.
    At(Revision),
}

/// A lock on the session.
#[derive(Debug)]
pub struct SessionLockState {
    /// The id that is locked.
    pub id: SessionId,
    /// The proof towards the store.
    pub token: LockToken,
    /// How far it is.
    pub stage: LockStage,
    /// The number for other systems, once the lock is held.
    pub fence: Option<FencingToken>,
    /// The end of the lease by the layer's clock, counted from before the store was asked.
    pub until: Timestamp,
}

/// How far a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStage {
    /// The store is being asked for it: nothing is written under it yet.
    Requested,
    /// This request has it.
    Held,
    /// Its lease has run out: nothing more is written under it.
    Lost,
}

/// How a write has to be fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// It need not: the request has no lock.
    Open,
    /// By this token.
    Locked(LockToken),
    /// The write must not happen: the lock is lost.
    Lost,
}

/// The work of loading a session.
#[derive(Debug)]
pub enum Load {
    /// Nothing: it is loaded, or over.
    Done,
    /// A call of the store.
    Fetch,
    /// Reading this record, which was loaded before.
    Open(LoadedAndTouched),
}

/// The work of ending the record of a session.
#[derive(Debug)]
pub enum Ending {
    /// A call of the store.
    Destroy(SessionId),
    /// Nothing: the store has no record.
    Nothing,
}

/// A session that is there.
pub struct LoadedSession {
    pub(super) id: SessionId,
    /// The members.
    pub document: Document,
    /// The cookie.
    pub cookie: StoredCookie,
    pub(super) view: StoreView,
    pub(super) log: ChangeLog,
    pub(super) baseline: Baseline,
    pub(super) saved: Option<Arc<Snapshot>>,
    pub(super) committed: Option<Arc<Snapshot>>,
    /// Whether the record was touched when it was loaded.
    pub(super) is_touched: bool,
    /// Whether the expiry was reset for this response.
    pub(super) is_expiry_reset: bool,
}

/// The session as the request got it.
pub(super) struct Baseline {
    pub(super) id: SessionId,
    is_loaded: bool,
    /// The members, where the document's own base is another by now.
    document: Option<Document>,
    cookie: StoredCookie,
}

/// The members and the cookie at one moment.
pub struct Snapshot {
    pub(super) document: Document,
    pub(super) cookie: StoredCookie,
}

impl Snapshot {
    pub(super) fn of(session: &LoadedSession) -> Arc<Self> {
        Arc::new(Self { document: session.document.clone(), cookie: session.cookie.clone() })
    }

    fn has_same_data(&self, session: &LoadedSession) -> bool {
        session.document.same_members(&self.document)
    }

    fn has_same_cookie(&self, session: &LoadedSession) -> bool {
        !session.cookie.is_changed_from(&self.cookie)
    }
}

impl LoadedSession {
    fn new(id: SessionId, document: Document, cookie: StoredCookie, view: StoreView) -> Box<Self> {
        let is_loaded = view != StoreView::Absent;
        let baseline =
            Baseline { id: id.clone(), is_loaded, document: None, cookie: cookie.clone() };
        Box::new(Self {
            id,
            document,
            cookie,
            view,
            log: ChangeLog::default(),
            baseline,
            saved: None,
            committed: None,
            is_touched: false,
            is_expiry_reset: false,
        })
    }

    /// Returns the session's id.
    #[must_use]
    #[inline]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Notes that a member was set or removed: earlier updates of it are not applied again.
    pub fn overwrite(&mut self, key: &str) {
        self.log.overwrite(key);
    }

    /// Starts the session's time again.
    pub fn reset_expiry(&mut self, now: Timestamp) {
        self.cookie.reset_expiry(now);
        self.is_expiry_reset = true;
    }

    /// Keeps what the session began with, before the document gets another base.
    pub(super) fn keep_baseline(&mut self) {
        let document = &self.document;
        self.baseline.document.get_or_insert_with(|| document.base());
    }

    /// Checks whether the members differ from those that the session began with. Where changes are merged, a member that
    /// differs from the record that was loaded last counts too: another request may have stored it before a reload.
    pub(super) fn has_changed_data(&self, policy: &Policy) -> bool {
        match &self.baseline.document {
            None => self.document.is_changed(),
            Some(baseline) => {
                !self.document.same_members(baseline)
                    || self.baseline.is_loaded
                        && policy.on_conflict() == OnConflict::Merge
                        && self.document.is_changed()
            }
        }
    }

    /// Notes what a write changes before its outcome is known.
    pub(super) fn begin_write(&mut self, policy: &Policy) {
        self.keep_baseline();
        self.log.seal();
        // After this write, the store has something else than what was committed before.
        self.committed = None;
        let failure = policy.on_failure(decide::Step::Write, decide::Fault::Session);
        if failure == decide::OnFailure::Ignore {
            // As in express-session, an attempt counts as saved.
            self.saved = Some(Snapshot::of(self));
        }
    }

    /// Takes another id, under which the store has no record yet. The one before may still get a record.
    pub(super) fn take_id(&mut self, id: SessionId) {
        if self.baseline.id == self.id {
            self.baseline.id = id.clone();
        }
        self.id = id;
        self.view = StoreView::Absent;
        self.log.forget_writes();
    }

    /// Returns the write of the session as it is.
    pub(super) fn pending_write(&self, record: Record) -> Arc<PendingWrite> {
        let (snapshot, version) = (Snapshot::of(self), self.log.version);
        let has_updates = self.log.has_updates();
        Arc::new(PendingWrite { record, snapshot, version, has_updates, batch_text: None })
    }

    /// Takes the cookie of the stored record, unless this request has changed the cookie itself.
    pub(super) fn take_cookie(&mut self, cookie: &StoredCookie) {
        if self.attributes() == Attributes::Same {
            self.baseline.cookie = cookie.clone();
            self.cookie = cookie.clone();
        }
    }

    /// Checks whether there is anything that the store does not have yet.
    pub(super) fn is_unsaved(&self) -> bool {
        self.document.is_changed() || self.attributes() == Attributes::Changed
    }

    pub(super) fn origin(&self) -> Origin {
        if self.id != self.baseline.id {
            Origin::Regenerated
        } else if self.baseline.is_loaded {
            Origin::Loaded
        } else {
            Origin::New
        }
    }

    pub(super) fn attributes(&self) -> Attributes {
        if !self.cookie.is_changed_from(&self.baseline.cookie) {
            return Attributes::Same;
        }
        match &self.saved {
            Some(saved) if saved.has_same_cookie(self) => Attributes::Saved,
            Some(_) | None => Attributes::Changed,
        }
    }

    pub(super) fn saved(&self) -> Saved {
        let is_committed = self
            .committed
            .as_ref()
            .is_some_and(|snapshot| snapshot.has_same_data(self) && snapshot.has_same_cookie(self));
        match &self.saved {
            _ if is_committed => Saved::Committed,
            None => Saved::Never,
            Some(saved) if saved.has_same_data(self) => Saved::Current,
            Some(_) => Saved::Stale,
        }
    }
}

impl Left {
    fn of(context: &Context<'_>) -> Option<Self> {
        let presented = context.presented.cloned();
        context.policy.skips_unreachable_sessions().then_some(Self { presented })
    }
}

/// Reading and changing.
impl SessionState {
    /// Returns the session for a change or an operation.
    ///
    /// # Errors
    ///
    /// [`Error::ResponseSent`], or [`Error::Ended`] where there is no session.
    #[inline]
    pub fn usable(&mut self) -> Result<&mut LoadedSession> {
        if self.progress == Progress::Sent {
            return Err(Error::ResponseSent);
        }
        match (self.phase, &mut self.session) {
            (Phase::Live | Phase::Degraded, Some(session)) => Ok(session),
            _ => Err(Error::Ended),
        }
    }

    /// Returns the session for a change.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable), and [`Error::CookieNotSent`] where nothing could find what is changed.
    #[inline]
    fn changeable(&mut self) -> Result<&mut LoadedSession> {
        if self.left.is_some() && self.is_out_of_reach() {
            return Err(Error::CookieNotSent);
        }
        self.usable()
    }

    /// Checks whether the session is new, and its headers have left without its cookie: no request would find its record.
    fn is_out_of_reach(&self) -> bool {
        let (Some(left), Some(session)) = (&self.left, &self.session) else { return false };
        let is_sent = matches!(&self.progress, Progress::Streaming { cookie_of: Some(id) } if *id == session.id);
        session.view == StoreView::Absent
            && !is_sent
            && left.presented.as_ref() != Some(&session.id)
            && matches!(self.phase, Phase::Live)
    }

    /// Returns the session for an operation that writes it.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable), [`Error::Degraded`] where the request goes on without a session, and
    /// [`Error::CookieNotSent`].
    pub fn writable(&mut self) -> Result<&mut LoadedSession> {
        if self.phase == Phase::Degraded {
            return Err(Error::Degraded);
        }
        self.changeable()
    }

    /// Returns the session for reading, also after the response; `None` where it is over.
    #[must_use]
    #[inline]
    pub fn readable(&self) -> Option<&LoadedSession> {
        match self.phase {
            Phase::Live | Phase::Degraded => self.session.as_deref(),
            Phase::Unloaded
            | Phase::LoadFailed
            | Phase::Unset
            | Phase::Destroyed
            | Phase::EndedElsewhere => None,
        }
    }

    /// Changes the session.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable), and [`Error::CookieNotSent`].
    #[inline]
    pub fn change<T>(&mut self, change: impl FnOnce(&mut LoadedSession) -> T) -> Result<T> {
        let session = self.changeable()?;
        session.log.version += 1;
        Ok(change(session))
    }

    /// Sets a member to the value that a function made of the value `before`, and remembers how to apply the function
    /// again. Returns `false`, with nothing changed, where the member has another value by now. Updates by one
    /// `function`, if it has a name, are counted rather than kept.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable); [`Error::CookieNotSent`]; those of `set`; [`Error::TooManyUpdates`].
    pub fn update<E>(
        &mut self,
        key: &str,
        before: Option<&str>,
        set: impl FnOnce(&mut Document) -> Result<(), E>,
        reapply: &Reapply,
        function: Option<Function>,
    ) -> Result<bool, E>
    where
        E: From<Error>,
    {
        let session = self.changeable()?;
        if session.document.get_raw(key) != before {
            return Ok(false);
        }
        let overwrites_since = session.log.overwritten_at(&session.document, key);
        session.log.check_space(key, function, overwrites_since)?;
        set(&mut session.document)?;
        session.log.update(key, Arc::clone(reapply), function, overwrites_since);
        Ok(true)
    }

    /// Makes the changes that a function of all members made of `before`, and remembers how to apply the function again
    /// where another request has changed any member. Returns `false`, with nothing changed, where the members are
    /// others by now.
    ///
    /// # Errors
    ///
    /// Those of [`update`](Self::update).
    pub fn update_all<E>(
        &mut self,
        before: &Document,
        set: impl FnOnce(&mut Document) -> Result<(), E>,
        reapply: &Reapply,
    ) -> Result<bool, E>
    where
        E: From<Error>,
    {
        let session = self.changeable()?;
        if !session.document.same_members(before) {
            return Ok(false);
        }
        session.log.check_space("", None, None)?;
        let before = session.document.clone();
        let mut after = before.clone();
        set(&mut after)?;
        session.document = after.clone();
        session.log.update_all(Arc::clone(reapply), before, after);
        Ok(true)
    }

    /// Takes the functions that are of no use any more. They belong to the caller, who drops them while no lock is held:
    /// what they have captured may use the session when it is dropped.
    #[must_use]
    pub fn take_discarded(&mut self) -> Option<Discarded> {
        self.session.as_mut()?.log.take_discarded()
    }

    /// Returns the id, also of a session that is over.
    #[must_use]
    pub fn id(&self) -> Option<&SessionId> {
        self.session.as_ref().map(|session| &session.id)
    }

    /// Checks whether the handler has asked for the session.
    #[must_use]
    #[inline]
    pub fn is_requested(&self) -> bool {
        self.is_requested
    }

    /// Checks whether the session has been looked at: whether the request has one, or has failed to load one.
    #[must_use]
    #[inline]
    pub fn is_unloaded(&self) -> bool {
        self.phase == Phase::Unloaded
    }

    /// Leaves the session alone: it is not loaded unasked, not touched, and its cookie is not sent. A change is saved all
    /// the same.
    pub fn leave_alone(&mut self) {
        self.is_left_alone = true;
    }

    /// Returns how the record is loaded: one that is left alone is not touched.
    #[must_use]
    #[inline]
    pub fn load_mode(&self, policy: &Policy) -> LoadMode {
        if self.is_left_alone { LoadMode::Load } else { policy.how_to_load() }
    }

    /// Checks whether the session has to be loaded although no handler has asked for it.
    #[must_use]
    #[inline]
    pub fn loads_unasked(&self, time: LoadTime) -> bool {
        self.is_unloaded() && !self.is_left_alone && time != LoadTime::Asked
    }

    /// Checks whether the request goes on without a session because the store is unavailable.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.phase == Phase::Degraded
    }

    /// Checks whether what is put into the session is persisted.
    #[must_use]
    pub fn is_persisted(&self) -> bool {
        self.phase == Phase::Live && !self.is_out_of_reach()
    }

    /// Checks whether there is anything that the store does not have yet.
    #[must_use]
    pub fn is_unsaved(&self) -> bool {
        self.is_persisted() && self.session.as_ref().is_some_and(|session| session.is_unsaved())
    }

    /// Checks whether the session was found to be ended by another request.
    #[must_use]
    pub fn is_ended_elsewhere(&self) -> bool {
        self.phase == Phase::EndedElsewhere
    }

    /// Unsets the session: `req.session = null`.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn unset(&mut self) -> Result<()> {
        self.usable()?;
        self.phase = Phase::Unset;
        Ok(())
    }
}

/// Loading.
impl SessionState {
    /// Begins to load the session, as the handler asks or unasked.
    #[inline]
    pub fn begin_load(&mut self, step: decide::Step) -> Load {
        self.is_requested |= step == decide::Step::Load;
        match self.phase {
            Phase::Unloaded | Phase::LoadFailed => {
                self.unread.take().map_or(Load::Fetch, |found| Load::Open(*found))
            }
            Phase::Live
            | Phase::Degraded
            | Phase::Unset
            | Phase::Destroyed
            | Phase::EndedElsewhere => Load::Done,
        }
    }

    /// Keeps the record of a session that no handler has asked for, unread, where its touch was all there is to do.
    /// Returns whether it was.
    #[inline]
    pub fn keep_unread(
        &mut self,
        step: decide::Step,
        found: &mut Option<LoadedAndTouched>,
        policy: &Policy,
    ) -> bool {
        let is_enough = step == decide::Step::LoadUnasked
            && policy.touch_on_load_suffices()
            && found.as_ref().is_some_and(|found| found.is_touched);
        if is_enough {
            self.unread = found.take().map(Box::new);
        }
        is_enough
    }

    /// Begins with a record that was found under the presented id.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`]; the state is unchanged then.
    #[inline]
    pub fn begin_loaded(
        &mut self,
        context: &Context<'_>,
        id: SessionId,
        found: &LoadedAndTouched,
        now: Timestamp,
    ) -> Result<()> {
        let (document, cookie) = context.parse(&found.loaded, now)?;
        let view = StoreView::At(found.loaded.revision);
        let mut session = LoadedSession::new(id, document, cookie, view);
        session.is_touched = found.is_touched;
        self.session = Some(session);
        self.phase = Phase::Live;
        Ok(())
    }

    /// Begins with a new session.
    #[inline]
    pub fn begin_new(&mut self, id: SessionId, cookie: StoredCookie) {
        self.session = Some(LoadedSession::new(id, Document::new(), cookie, StoreView::Absent));
        self.phase = Phase::Live;
    }

    /// Begins without the record, because the store is unavailable, or because the handler only ends the session. The record
    /// of the presented id may well be there: ending the session has to reach the store.
    pub fn begin_degraded(&mut self, context: &Context<'_>, id: SessionId, cookie: StoredCookie) {
        self.begin_new(id, cookie);
        self.phase = Phase::Degraded;
        if let (Some(session), Some(presented)) = (&mut self.session, context.presented) {
            session.baseline.id = presented.clone();
            session.id = presented.clone();
            session.view = StoreView::InDoubt;
        }
    }

    /// Notes that the session could not be loaded.
    pub fn load_failed(&mut self) {
        self.phase = Phase::LoadFailed;
    }
}

/// The operations of a handler.
impl SessionState {
    /// Checks whether `reload` may take a record that the store has under this id.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn begin_reload(&mut self, policy: &Policy) -> Result<(SessionId, bool)> {
        let session = self.usable()?;
        // A record under the id of a session that was never stored belongs to another visitor.
        let is_foreign =
            session.view == StoreView::Absent && policy.on_id_collision() == OnMismatch::Refuse;
        Ok((session.id.clone(), !is_foreign))
    }

    /// Takes the record again, and drops the changes since.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable); [`Error::Corrupt`].
    pub fn finish_reload(
        &mut self,
        context: &Context<'_>,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Result<()> {
        let (document, cookie) = context.parse(loaded, now)?;
        self.usable()?;
        // The store answers again.
        self.phase = Phase::Live;
        let session = self.usable()?;
        session.keep_baseline();
        session.document = document;
        session.cookie = cookie;
        if session.committed.is_some() {
            session.committed = Some(Snapshot::of(session));
        }
        session.view = StoreView::At(loaded.revision);
        session.log.clear();
        Ok(())
    }

    /// Begins to replace the session by a new one: returns what becomes of the old record.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn begin_regenerate(&mut self, policy: &Policy) -> Result<Ending> {
        self.usable().map(|session| session.ending(policy))
    }

    /// Replaces the session by a new one.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn finish_regenerate(&mut self, id: SessionId, cookie: StoredCookie) -> Result<()> {
        self.usable()?;
        // The new session is like any other, even if the store was unavailable before.
        self.phase = Phase::Live;
        let session = self.usable()?;
        let mut fresh = LoadedSession::new(id, Document::new(), cookie, StoreView::Absent);
        fresh.baseline = Baseline {
            id: session.baseline.id.clone(),
            is_loaded: session.baseline.is_loaded,
            document: session.baseline.document.take().or_else(|| Some(session.document.base())),
            cookie: fresh.cookie.clone(),
        };
        session.log.clear();
        std::mem::swap(&mut fresh.log, &mut session.log);
        fresh.is_expiry_reset = session.is_expiry_reset;
        *session = *fresh;
        Ok(())
    }

    /// Ends the session, and returns what becomes of its record. From here on nothing is written to it, even where the
    /// store fails.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn begin_destroy(&mut self, policy: &Policy) -> Result<Ending> {
        let ending = self.usable()?.ending(policy);
        self.phase = Phase::Destroyed;
        Ok(ending)
    }

    /// Notes that the record is destroyed.
    pub fn destroyed(&mut self) {
        if let Some(session) = &mut self.session {
            session.view = StoreView::Absent;
        }
    }

    /// Starts the session's time again. Returns whether the store has to be called now: while a response is being
    /// sent, its own touch is over.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn touch(&mut self, context: &Context<'_>, now: Timestamp) -> Result<bool> {
        let is_sending = self.progress != Progress::Handling;
        let session = self.usable()?;
        let deadline = session.cookie.deadline();
        session.cookie.reset_expiry(now);
        // The touch of the load has another deadline than this one.
        session.is_touched &= session.cookie.deadline() == deadline;
        Ok(matches!(session.view, StoreView::At(_))
            && context.policy.touches_immediately(is_sending)
            && context.supports_touch)
    }

    /// Returns what a touch of the store says.
    #[must_use]
    pub fn touch_call(&self) -> Option<(SessionId, Touch)> {
        let session = self.session.as_ref()?;
        let (cookie, deadline) = (session.cookie.text().into(), session.cookie.deadline());
        Some((session.id.clone(), Touch { cookie, deadline }))
    }

    /// Notes the outcome of a touch.
    pub fn touched(&mut self, touched: Touched, policy: &Policy) {
        if touched == Touched::Gone && policy.on_missing_record() == OnMismatch::Refuse {
            self.phase = Phase::EndedElsewhere;
        }
    }

    /// Handles a record that is gone: the session is over, or is written as a new one.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`].
    pub fn handle_missing_record(&mut self, policy: &Policy) -> Result<()> {
        match policy.on_missing_record() {
            OnMismatch::Refuse => {
                self.phase = Phase::EndedElsewhere;
                Err(Error::Ended)
            }
            OnMismatch::Overwrite => {
                self.destroyed();
                Ok(())
            }
        }
    }
}

impl LoadedSession {
    fn ending(&self, policy: &Policy) -> Ending {
        if policy.destroys(self.view != StoreView::Absent) {
            Ending::Destroy(self.id.clone())
        } else {
            Ending::Nothing
        }
    }
}

/// The id.
impl SessionState {
    /// Checks whether the session has to get another id before it is created again: the outcome of an earlier create is
    /// not known, so that the record may appear at any time, even after a logout. An id that has left is kept.
    pub(super) fn needs_new_id(&self, context: &Context<'_>) -> bool {
        self.session.as_ref().is_some_and(|session| {
            session.view == StoreView::InDoubt
                && context.policy.renews_id_in_doubt()
                && context.presented != Some(&session.id)
                && self.progress != Progress::Detached
                && self.progress != Progress::Streaming { cookie_of: Some(session.id.clone()) }
        })
    }
}

/// The lock.
impl SessionState {
    /// Notes that this request asks for the lock. Returns `false` where it has one, or is asking for one.
    pub fn request_lock(&mut self, id: SessionId, token: LockToken) -> bool {
        let is_free = self.lock.is_none();
        if is_free {
            let stage = LockStage::Requested;
            let (fence, until) = (None, Timestamp::MIN);
            self.lock = Some(Box::new(SessionLockState { id, token, stage, fence, until }));
        }
        is_free
    }

    /// Returns the lock of this request.
    #[must_use]
    #[inline]
    pub fn lock(&self) -> Option<&SessionLockState> {
        self.lock.as_deref()
    }

    /// Takes the lock off this request: it is given back.
    pub fn take_lock(&mut self) -> Option<Box<SessionLockState>> {
        self.lock.take()
    }

    /// Notes that the store gave the lock, or renewed its lease until then. Returns `false` where the lease had ended in
    /// between: another request may have had the lock, and this one has lost it.
    pub fn grant_lock(&mut self, fence: FencingToken, until: Timestamp) -> bool {
        let Some(lock) = &mut self.lock else { return false };
        let is_ours = match lock.stage {
            LockStage::Requested => true,
            LockStage::Held => lock.fence == Some(fence),
            LockStage::Lost => false,
        };
        lock.stage = if is_ours { LockStage::Held } else { LockStage::Lost };
        (lock.fence, lock.until) = (Some(fence), until);
        is_ours
    }

    /// Notes how far the lock is.
    pub fn set_lock_stage(&mut self, stage: LockStage) {
        self.lock.iter_mut().for_each(|lock| lock.stage = stage);
    }

    /// Returns how a write of this id has to be fenced.
    #[must_use]
    #[inline]
    pub fn fence(&self, id: &SessionId) -> Fence {
        match self.lock.as_ref().filter(|lock| lock.id == *id) {
            None => Fence::Open,
            Some(lock) => match lock.stage {
                LockStage::Requested => Fence::Open,
                LockStage::Held => Fence::Locked(lock.token),
                LockStage::Lost => Fence::Lost,
            },
        }
    }

    /// Returns what the store is known to have.
    #[must_use]
    pub fn view(&self) -> Option<StoreView> {
        self.session.as_ref().map(|session| session.view)
    }
}

/// The end of the response.
impl SessionState {
    /// Notes that the headers leave now, with the session's cookie or without.
    pub fn headers_left(&mut self, context: &Context<'_>, with_cookie: bool) {
        let cookie_of = self.id().filter(|_| with_cookie).cloned();
        self.progress = Progress::Streaming { cookie_of };
        self.left = Left::of(context);
    }

    /// Notes that the connection is upgraded: handles stay usable, and nothing is saved implicitly.
    pub fn detach(&mut self, context: &Context<'_>) {
        self.progress = Progress::Detached;
        self.left = Left::of(context);
    }

    /// Notes that the response is over: handles are of no use any more.
    pub fn close(&mut self) {
        if self.progress != Progress::Detached {
            self.progress = Progress::Sent;
        }
    }

    /// Goes on without a session, because the store is unavailable.
    pub fn degrade(&mut self) {
        self.phase = Phase::Degraded;
    }

    #[inline]
    pub(super) fn reset_expiry_once(&mut self, now: Timestamp) {
        if let Some(session) = &mut self.session
            && !session.is_expiry_reset
        {
            session.reset_expiry(now);
        }
    }
}

impl fmt::Debug for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionState").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl fmt::Debug for LoadedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedSession").field("view", &self.view).finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}
