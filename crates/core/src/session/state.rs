//! The state of a request's session, and how each operation of the handler changes it.

use crate::policy::{LoadTime, OnConflict, OnMismatch};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::change_log::{ChangeLog, Discarded, Function, PendingWrite, Reapply};
use super::epoch::EpochMachine;
use super::forward::Follow;
use super::{Error, Result};
use crate::cookie::{CookieTemplate, StoredCookie};
use crate::decide::{self, Attributes, Origin, Saved};
use crate::metadata::{Authentication, Client, Epoch, Mark, MemberName, Metadata, member};
use crate::policy::{Ended, EndedBy, Limits, ROUNDING};
use crate::store::{
    FencingToken, Lifetime, Loaded, LockToken, Record, Revision, Touch, Touched, Updated,
};
use crate::{Corrupt, Document, Policy, SessionId, Timestamp, record};

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
    /// Whether the session's id may be renewed now, where the policy says so.
    pub may_renew: bool,
    /// The id in the request's cookie, its signature checked.
    pub presented: Option<&'a SessionId>,
    /// Whether the request came over HTTPS.
    pub is_secure: bool,
    /// Where the request came from, as far as the policy notes it.
    pub client: Option<&'a Client>,
    /// Whether the store has a use for touching.
    pub supports_touch: bool,
    /// How long the store keeps a record after each reset of its expiry.
    pub lifetime: Lifetime,
    /// The name of the library's own member, where the policy keeps [metadata](Policy::keeps_metadata).
    pub member: &'a MemberName,
    /// The present epoch of the session's user, once it was read: see [`Context::in_epoch`].
    pub user_epoch: Option<Epoch>,
}

/// A record as an adapter shows it before the state opens it: see [`Context::preview`]. `Debug` shows no data.
#[derive(Clone, PartialEq, Eq)]
pub struct Preview {
    /// The record without the library's own member.
    pub text: Arc<str>,
    /// The library's own notes, in that member.
    pub metadata: Option<Metadata>,
    /// Why the session has ended, if it has.
    pub ended: Option<Ended>,
    /// Until when a request that only reads leaves the record as it is.
    pub next_reset: Option<Timestamp>,
}

/// A record, read.
pub(super) struct Parsed {
    pub(super) document: Document,
    pub(super) cookie: StoredCookie,
    pub(super) metadata: Option<Box<Metadata>>,
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
            may_renew: true,
            presented: None,
            is_secure: false,
            client: None,
            supports_touch: true,
            lifetime: Lifetime::OfMaxAge,
            member: &MemberName::DEFAULT,
            user_epoch: None,
        }
    }

    /// Checks whether the expiry of a record can be reset without a change of the session. The library's own member is
    /// written by an update, which every store has.
    pub(super) fn can_touch(&self) -> bool {
        self.supports_touch || self.policy.keeps_metadata()
    }

    /// Returns until when a record's expiry need not be reset. `max_age` is its cookie's.
    #[inline]
    fn next_touch(
        &self,
        max_age: Option<Duration>,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.policy.next_touch(self.lifetime.of(max_age), loaded.record.deadline, now)
    }

    /// Returns until when a visit need not be noted: until then, its record's expiry need not be reset either.
    // Cold, like the other functions for metadata: most layers keep none.
    #[cold]
    fn next_visit(
        &self,
        max_age: Option<Duration>,
        loaded: &Loaded,
        metadata: Option<&Metadata>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Some(metadata) = metadata else {
            // The limits of a session begin as soon as it passes.
            let has_limits = self.policy.limits != Limits::default();
            return if has_limits { None } else { self.next_touch(max_age, loaded, now) };
        };
        let lifetime = match (self.lifetime, self.policy.limits_of(Some(metadata)).idle) {
            // The idle timeout takes the place of a TTL.
            (Lifetime::OfMaxAge | Lifetime::MaxAgeOr(_), Some(idle)) => max_age.or(Some(idle)),
            (lifetime, _) => lifetime.of(max_age),
        };
        self.policy.next_visit(metadata, lifetime, now)
    }

    /// Returns until when a request that only reads leaves a record as it is.
    #[inline]
    fn next_reset(
        &self,
        max_age: Option<Duration>,
        loaded: &Loaded,
        metadata: Option<&Metadata>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.policy.keeps_metadata() {
            self.next_visit(max_age, loaded, metadata, now)
        } else {
            self.next_touch(max_age, loaded, now)
        }
    }

    /// Returns why the session of a record has ended, if it has.
    ///
    /// Node knows no limits, and moves a record's deadline with each visit: the deadline shows when it did.
    #[cold]
    fn ended(
        &self,
        max_age: Option<Duration>,
        loaded: &Loaded,
        metadata: Option<&Metadata>,
        now: Timestamp,
    ) -> Option<Ended> {
        if let Some(mark) = metadata.and_then(Metadata::ended) {
            return Some(Ended { by: mark.into(), at: None });
        }
        if self.user_epoch.is_some()
            && let Some((_, login)) = self.user_of_session(&loaded.record.text)
            && let Some(by) = self.policy.ended_by_epoch(login, self.user_epoch)
        {
            return Some(Ended { by, at: None });
        }
        let noticed = self.noticed(max_age, &loaded.record, now);
        self.policy.ended(metadata, noticed, now)
    }

    /// Returns the last visit as far as the deadline of a record shows it.
    fn noticed(
        &self,
        max_age: Option<Duration>,
        record: &Record,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let lifetime = self.lifetime.of(max_age).filter(|lifetime| *lifetime != Duration::MAX)?;
        let reset = i128::from(record.deadline?.millis())
            - i128::try_from(lifetime.as_millis()).unwrap_or(i128::MAX);
        let reset = Timestamp::from_millis(i64::try_from(reset).unwrap_or(i64::MIN));
        // A deadline that is further away belongs to another lifetime.
        (reset.saturating_since(now) <= ROUNDING).then_some(reset.min(now))
    }

    /// Checks whether another session has ended the session of this record: its text is the mark of that.
    pub(super) fn is_marked(&self, loaded: &Loaded) -> bool {
        self.policy.keeps_metadata()
            && member::read(&loaded.record.text, self.member.as_str())
                .is_some_and(|metadata| metadata.ended().is_some())
    }

    /// Returns the metadata and the last visit of a record in a listing, without opening it. Node's visits show in the
    /// deadline alone.
    #[must_use]
    pub fn summary(
        &self,
        record: &Record,
        now: Timestamp,
    ) -> (Option<Metadata>, Option<Timestamp>) {
        let metadata = member::read(&record.text, self.member.as_str());
        let max_age = record::max_age_of(&record.text, now).ok().flatten();
        let seen = metadata.as_ref().map(Metadata::seen);
        (metadata, seen.max(self.noticed(max_age, record, now)))
    }

    /// Returns the record that ends a session and says why: the cookie and the times, without a user and without data. It
    /// lasts as long as the session would have, and a day where the record has no deadline. `None` where no request would
    /// read the mark, or the text is no record: it is to be destroyed then.
    ///
    /// ```
    /// use express_session_core::metadata::Mark;
    /// use express_session_core::session::Context;
    /// use express_session_core::store::Record;
    /// use express_session_core::{Policy, Timestamp};
    ///
    /// let policy = Policy { metadata: true, ..Policy::default() };
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let text = r#"{"cookie":{"path":"/"},"passport":{"user":"bob"}}"#.into();
    /// let record = Record { text, deadline: None };
    /// let ended = Context::new(&policy, "connect.sid").ended_record(&record, Mark::Revoked, now).unwrap();
    /// assert_eq!(
    ///     &*ended.text,
    ///     r#"{"cookie":{"path":"/"},"__sessionMetadata":{"created":1700000000000,"seen":1700000000000,"ended":"revoked"}}"#,
    /// );
    /// ```
    #[must_use]
    pub fn ended_record(&self, record: &Record, mark: Mark, now: Timestamp) -> Option<Record> {
        const DAY: Duration = Duration::from_secs(86_400);
        if !self.policy.keeps_metadata() {
            return None;
        }
        let cookie = record::cookie_of(&record.text)?;
        let mut metadata =
            member::read(&record.text, self.member.as_str()).unwrap_or_else(|| Metadata::new(now));
        metadata.end(mark);
        let text = format!("{{\"cookie\":{cookie}}}");
        let text = member::append(&text, self.member.as_str(), &metadata);
        let deadline = record.deadline.unwrap_or_else(|| now.saturating_add(DAY));
        Some(Record { text, deadline: Some(deadline) })
    }

    /// Returns why the session of a record has ended, if it has, without opening it.
    #[must_use]
    pub fn has_ended(&self, loaded: &Loaded, now: Timestamp) -> Option<Ended> {
        if !self.policy.keeps_metadata() {
            return None;
        }
        let text = &loaded.record.text;
        let max_age = record::max_age_of(text, now).ok()?;
        let metadata = member::read(text, self.member.as_str());
        // A record that forwards has limits of its own, which are for `Follow`.
        if metadata.as_ref().is_some_and(Metadata::has_moved) {
            return None;
        }
        self.ended(max_age, loaded, metadata.as_ref(), now)
    }

    /// Reads of a record what an adapter needs whose language has the session object, and opens the record later or never.
    ///
    /// ```
    /// use express_session_core::session::Context;
    /// use express_session_core::store::{Loaded, Record, Revision};
    /// use express_session_core::{Policy, Timestamp};
    ///
    /// let text = r#"{"cookie":{},"views":1,"__sessionMetadata":{"created":1,"seen":2}}"#;
    /// let record = Record { text: text.into(), deadline: None };
    /// let loaded = Loaded { record, revision: Revision::new(1) };
    ///
    /// let policy = Policy { metadata: true, ..Policy::default() };
    /// let context = Context::new(&policy, "connect.sid");
    /// let preview = context.preview(&loaded, Timestamp::from_millis(1_700_000_000_000));
    /// assert_eq!(&*preview.text, r#"{"cookie":{},"views":1}"#);
    /// assert_eq!(preview.metadata.unwrap().seen(), Timestamp::from_millis(2));
    /// assert_eq!(preview.ended, None);
    /// ```
    #[must_use]
    #[cold]
    pub fn preview(&self, loaded: &Loaded, now: Timestamp) -> Preview {
        let stored = &loaded.record.text;
        let (text, metadata) = if self.policy.keeps_metadata() {
            member::split(stored, self.member.as_str())
        } else {
            (Arc::clone(stored), None)
        };
        // A record that cannot be read is for the adapter to find: it has not ended.
        let Ok(max_age) = record::max_age_of(&text, now) else {
            return Preview { text, metadata, ended: None, next_reset: None };
        };
        let notes = metadata.as_ref();
        let ended = if self.policy.keeps_metadata() {
            self.ended(max_age, loaded, notes, now)
        } else {
            None
        };
        let next_reset = self.next_reset(max_age, loaded, notes, now);
        Preview { text, metadata, ended, next_reset }
    }

    /// Returns what is left to do with the record of a session that no handler has asked for.
    #[must_use]
    #[inline]
    pub fn unread(&self, loaded: &Loaded, now: Timestamp) -> Unread {
        let text = &loaded.record.text;
        // A record that is normalised when it is read may have changed by that.
        if !self.policy.needs_only_touch() || !self.policy.keeps_records_verbatim() {
            return Unread::Open;
        }
        let Ok(max_age) = record::max_age_of(text, now) else { return Unread::Open };
        if self.policy.keeps_metadata() {
            return self.unread_with_metadata(max_age, loaded, now);
        }
        if !self.supports_touch || self.next_touch(max_age, loaded, now).is_some() {
            return Unread::Keep;
        }
        let touch = Touch::renewing(text, now).map(|touch| self.policy.touch(touch));
        touch.map_or(Unread::Open, Unread::Touch)
    }

    /// Does the same for records with the library's own member: a visit that is noted, and an end, need the record.
    #[cold]
    fn unread_with_metadata(
        &self,
        max_age: Option<Duration>,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Unread {
        let metadata = member::read(&loaded.record.text, self.member.as_str());
        let metadata = metadata.as_ref();
        // A record that only forwards, and a request whose handler did not ask: there is nothing to keep alive.
        if metadata.is_some_and(Metadata::has_moved) {
            return Unread::Keep;
        }
        let is_noted = self.next_visit(max_age, loaded, metadata, now).is_some();
        let is_over = self.ended(max_age, loaded, metadata, now).is_some();
        if is_noted && !is_over { Unread::Keep } else { Unread::Open }
    }

    /// Reads a record.
    #[inline]
    pub(super) fn parse(&self, loaded: &Loaded, now: Timestamp) -> Result<Parsed, Corrupt> {
        let text = &loaded.record.text;
        self.policy.record_limits.check_bytes(text.len())?;
        let mut parsed = if self.policy.keeps_metadata() {
            self.parse_with_metadata(text, now)?
        } else {
            self.parse_stored(text, now)?
        };
        if let Some(template) = self.template.filter(|_| self.hardens) {
            parsed.cookie.harden(template);
        }
        Ok(parsed)
    }

    #[cold]
    fn parse_with_metadata(&self, text: &Arc<str>, now: Timestamp) -> Result<Parsed, Corrupt> {
        let (text, metadata) = member::split(text, self.member.as_str());
        Ok(Parsed { metadata: metadata.map(Box::new), ..self.parse_stored(&text, now)? })
    }

    #[inline]
    fn parse_stored(&self, text: &Arc<str>, now: Timestamp) -> Result<Parsed, Corrupt> {
        let (document, cookie) = match self.template {
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
        self.policy.record_limits.check(&document, text.len())?;
        Ok(Parsed { document, cookie, metadata: None })
    }

    /// Reads a text that this request, or its batch, has written.
    pub(super) fn parse_own(
        &self,
        text: &Arc<str>,
    ) -> Result<(Document, Option<Box<Metadata>>), Corrupt> {
        if !self.policy.keeps_metadata() {
            return Ok((Document::parse(Arc::clone(text))?, None));
        }
        let (text, metadata) = member::split(text, self.member.as_str());
        Ok((Document::parse(text)?, metadata.map(Box::new)))
    }

    /// Returns the document that is loaded when the session is written now, and the record for it.
    pub(super) fn as_saved(
        &self,
        document: &Document,
        cookie: &StoredCookie,
        metadata: Option<&Metadata>,
    ) -> (Document, Record) {
        let saved = document.as_saved(&self.cookie_text(cookie));
        let record = self.with_metadata(Arc::clone(saved.base_text()), cookie, metadata);
        (saved, record)
    }

    #[inline]
    pub(super) fn record(
        &self,
        document: &Document,
        cookie: &StoredCookie,
        metadata: Option<&Metadata>,
    ) -> Record {
        self.with_metadata(document.to_json(&self.cookie_text(cookie)), cookie, metadata)
    }

    /// Returns the record of a text: with the library's own member, and with a deadline within the limits.
    #[inline]
    fn with_metadata(
        &self,
        text: Arc<str>,
        cookie: &StoredCookie,
        metadata: Option<&Metadata>,
    ) -> Record {
        match metadata {
            None => Record { text, deadline: cookie.deadline() },
            Some(metadata) => self.record_of(&text, cookie, metadata),
        }
    }

    #[cold]
    fn record_of(&self, text: &str, cookie: &StoredCookie, metadata: &Metadata) -> Record {
        let deadline = cookie.deadline();
        let text = member::append(text, self.member.as_str(), metadata);
        let Some(end) = self.policy.end(Some(metadata), None) else {
            return Record { text, deadline };
        };
        let of_store = || {
            // Without the idle timeout, the store's own TTL still counts.
            let ttl = self.lifetime.of(None).filter(|ttl| *ttl != Duration::MAX)?;
            let is_replaced = self.policy.limits_of(Some(metadata)).idle.is_some();
            (!is_replaced).then(|| metadata.seen().saturating_add(ttl))
        };
        let deadline = deadline.or_else(of_store).map_or(end.at, |deadline| deadline.min(end.at));
        Record { text, deadline: Some(deadline) }
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
    unread: Option<Box<Loaded>>,
    /// The lock that this request has, or is asking for.
    pub(super) lock: Option<Box<SessionLockState>>,
    /// Whether the handler has asked for the session.
    is_requested: bool,
    /// Whether the request neither touches the session nor sends its cookie, unless the handler changes it.
    pub(super) is_left_alone: bool,
    /// The id that the browser had before a response that has left, if new sessions without a cookie are refused.
    left: Option<Left>,
    /// The reason why the presented session had ended.
    ended_by: Option<EndedBy>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Whether the session has another id now, because another request has renewed it.
    pub is_outlived: bool,
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
    Open(Loaded),
}

/// The outcome of beginning with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The request has the session.
    Live,
    /// It has ended. The record is to be destroyed if the end [is one](Ended::is_so_by) by the store's clock too.
    Ended(Ended),
    /// The record is no session: the id was renewed.
    Moved(Follow),
    /// It is a user's, and the policy has [epochs](Policy::user_epoch): it begins once the epoch was read, with the context
    /// [`in_epoch`](Context::in_epoch).
    OfUser(Box<EpochMachine>),
}

/// The store call that resets the expiry of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum TouchCall {
    /// [`Store::touch`](crate::store::Store::touch).
    Touch(SessionId, Touch),
    /// [`Store::update`](crate::store::Store::update), which notes the visit in the library's own member as well.
    Update(SessionId, Record, Revision),
    /// None yet: another request has renewed the id, and was a visit itself.
    Follow(Follow),
}

/// The work on a record that was loaded unasked.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// Reading it: the end of the request needs more than its expiry.
    Open,
    /// Nothing: its expiry was reset recently.
    Keep,
    /// A call of the store.
    Touch(Touch),
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
    /// Until when the record need not be touched, because its expiry was reset recently.
    pub(super) next_touch: Option<Timestamp>,
    /// Whether the expiry was reset for this response.
    pub(super) is_expiry_reset: bool,
    /// The library's own member, as it was stored last or will be.
    pub(super) metadata: Option<Box<Metadata>>,
    /// When the request last found the record in the store.
    pub(super) known_at: Timestamp,
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
            next_touch: None,
            is_expiry_reset: false,
            metadata: None,
            known_at: Timestamp::MIN,
        })
    }

    /// Returns the session's id.
    #[must_use]
    #[inline]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Returns the library's own notes about the session, or `None` as long as they are not stored: the policy keeps
    /// none, the session is new, or Node began it.
    #[must_use]
    #[inline]
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_deref()
    }

    /// Notes that the session is written, by a visit or otherwise.
    pub(super) fn note_visit(&mut self, context: &Context<'_>, is_visit: bool, now: Timestamp) {
        if !context.policy.keeps_metadata() {
            return;
        }
        // A first write that was not answered in time is made again, however long the store took.
        let is_new = self.origin() != Origin::Loaded && !matches!(self.view, StoreView::At(_));
        match &mut self.metadata {
            Some(metadata) if is_new => metadata.restart(now),
            Some(metadata) if is_visit => metadata.see(now),
            Some(_) => {}
            empty => *empty = Some(Box::new(Metadata::new(now))),
        }
        if let Some(metadata) = self.metadata.as_mut().filter(|_| is_visit) {
            metadata.see_client(context.client);
        }
    }

    /// Adds the notes of another request.
    pub(super) fn merge_metadata(&mut self, theirs: Option<&Metadata>) {
        let Some(theirs) = theirs else { return };
        match &mut self.metadata {
            Some(metadata) => **metadata = metadata.merge(theirs),
            empty => *empty = Some(Box::new(theirs.clone())),
        }
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
    /// differs from the record that was loaded last counts too: another request may have stored it before a reload. A
    /// member that this request has saved and changes back does not: the save is stale then ([`saved`](Self::saved)).
    pub(super) fn has_changed_data(&self, policy: &Policy) -> bool {
        match &self.baseline.document {
            None => self.document.is_changed(),
            Some(baseline) => {
                !self.document.same_members(baseline)
                    || self.baseline.is_loaded
                        && self.saved.is_none()
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

    /// Keeps the record of a session that no handler has asked for, unread, where resetting its expiry is all there is to
    /// do. Returns what is left to do.
    #[inline]
    pub fn keep_unread(
        &mut self,
        context: &Context<'_>,
        step: decide::Step,
        found: &mut Option<Loaded>,
        now: Timestamp,
    ) -> Unread {
        let unread = match found {
            Some(loaded) if step == decide::Step::LoadUnasked => context.unread(loaded, now),
            Some(_) | None => Unread::Open,
        };
        if unread != Unread::Open {
            self.unread = found.take().map(Box::new);
        }
        unread
    }

    /// Notes the outcome of the touch of a record that stays unread. One that is gone is not kept: a stream that asks for
    /// the session later finds that out.
    pub fn touched_unread(&mut self, touched: Touched) {
        if touched == Touched::Gone {
            self.unread = None;
        }
    }

    /// Begins with a record that was found under the presented id, or under the one that this forwards to. Where it is no
    /// session, or a limit has ended it, nothing is begun.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`]; the state is unchanged then.
    #[inline]
    pub fn begin_loaded(
        &mut self,
        context: &Context<'_>,
        id: SessionId,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Result<Begun> {
        let Parsed { document, cookie, metadata } = context.parse(loaded, now)?;
        let max_age = cookie.original_max_age();
        if context.policy.keeps_metadata() {
            if let Some(follow) = Follow::of_metadata(metadata.as_deref(), now) {
                return Ok(Begun::Moved(follow));
            }
            let ended = context.ended(max_age, loaded, metadata.as_deref(), now);
            self.ended_by = ended.map(|ended| ended.by);
            if let Some(ended) = ended {
                return Ok(Begun::Ended(ended));
            }
            if context.user_epoch.is_none()
                && let Some(check) = EpochMachine::of(context, &id, loaded, now)
            {
                return Ok(Begun::OfUser(Box::new(check)));
            }
        }
        let view = StoreView::At(loaded.revision.clone());
        let mut session = LoadedSession::new(id, document, cookie, view);
        session.next_touch = context.next_reset(max_age, loaded, metadata.as_deref(), now);
        session.metadata = metadata;
        session.known_at = now;
        self.session = Some(session);
        self.phase = Phase::Live;
        Ok(Begun::Live)
    }

    /// Returns the limit that had ended the presented session when it was loaded.
    #[must_use]
    pub fn ended_by(&self) -> Option<EndedBy> {
        self.ended_by
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
        let Parsed { document, cookie, metadata } = context.parse(loaded, now)?;
        self.usable()?;
        // The store answers again.
        self.phase = Phase::Live;
        let session = self.usable()?;
        session.keep_baseline();
        session.document = document;
        let max_age = cookie.original_max_age();
        session.next_touch = context.next_reset(max_age, loaded, metadata.as_deref(), now);
        session.metadata = metadata;
        session.known_at = now;
        session.cookie = cookie;
        if session.committed.is_some() {
            session.committed = Some(Snapshot::of(session));
        }
        session.view = StoreView::At(loaded.revision.clone());
        session.log.clear();
        if context.policy.on_conflict() == OnConflict::Merge && session.saved() == Saved::Stale {
            // Another request has stored this since the session was saved: what was saved is not there any more.
            session.saved = None;
        }
        Ok(())
    }

    /// Begins to renew the id. Returns whether there is a record to move; otherwise the session has the new id already.
    ///
    /// # Errors
    ///
    /// Those of [`writable`](Self::writable), and [`Error::CookieNotSent`] where the headers have left, without the new id.
    pub fn begin_renewal(&mut self, context: &Context<'_>, id: &SessionId) -> Result<bool> {
        let is_sent = self.progress != Progress::Handling;
        let session = self.writable()?;
        if is_sent {
            return Err(Error::CookieNotSent);
        }
        if matches!(session.view, StoreView::At(_)) {
            return Ok(context.policy.renewal().is_some());
        }
        session.take_id(id.clone());
        Ok(false)
    }

    /// Begins to replace the session by a new one: returns what becomes of the old record.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn begin_regenerate(&mut self, policy: &Policy) -> Result<Ending> {
        self.usable().map(|session| session.ending(policy))
    }

    /// Begins to replace the session by one that is to be kept, as a login does: returns what becomes of the old record.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable), and [`Error::CookieNotSent`] where the headers have left, without the new id.
    pub fn begin_login(&mut self, policy: &Policy) -> Result<Ending> {
        let ending = self.begin_regenerate(policy)?;
        if self.left.is_some() { Err(Error::CookieNotSent) } else { Ok(ending) }
    }

    /// Replaces the session by a new one.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn finish_regenerate(&mut self, id: SessionId, cookie: StoredCookie) -> Result<()> {
        self.finish_regenerate_keeping(id, cookie, &[])
    }

    /// Replaces the session by a new one that has these members of it, byte for byte and in this order. A name that the
    /// session does not have is left out.
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn finish_regenerate_keeping(
        &mut self,
        id: SessionId,
        cookie: StoredCookie,
        keep: &[String],
    ) -> Result<()> {
        self.usable()?;
        // The new session is like any other, even if the store was unavailable before.
        self.phase = Phase::Live;
        let session = self.usable()?;
        let mut fresh = LoadedSession::new(id, Document::new(), cookie, StoreView::Absent);
        for key in keep {
            if let Some(value) = session.document.get_raw(key) {
                fresh.document.insert_raw(key, value);
            }
        }
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
        session.cookie.reset_expiry(now);
        session.next_touch = None;
        Ok(matches!(session.view, StoreView::At(_))
            && context.policy.touches_immediately(is_sending)
            && context.can_touch())
    }

    /// Notes the login of a user in a session that has just been [regenerated](Self::finish_regenerate).
    ///
    /// # Errors
    ///
    /// Those of [`usable`](Self::usable).
    pub fn log_in(&mut self, login: Authentication, epoch: Epoch, now: Timestamp) -> Result<()> {
        let mut metadata = Metadata::new(now);
        let user = login.user.clone();
        metadata.authenticate(login);
        metadata.raise_epoch(&user, epoch);
        self.usable()?.metadata = Some(Box::new(metadata));
        Ok(())
    }

    /// Returns the store call that resets the expiry. It writes nothing of what this request has changed. `None` where there
    /// is nothing to call: a session whose absolute timeout has passed is over.
    #[must_use]
    pub fn touch_call(&mut self, context: &Context<'_>, now: Timestamp) -> Option<TouchCall> {
        let session = self.session.as_deref_mut()?;
        if context.policy.keeps_metadata()
            && let StoreView::At(revision) = &session.view
        {
            let revision = revision.clone();
            session.note_visit(context, true, now);
            let (stored, cookie) = (session.document.base(), session.cookie.clone());
            let metadata = session.metadata.clone();
            return self.visit(context, &stored, &cookie, metadata.as_deref(), revision, now);
        }
        let touch = Touch::new(session.cookie.text(), session.cookie.deadline());
        Some(TouchCall::Touch(session.id.clone(), context.policy.touch(touch)))
    }

    /// Returns the store call that notes a visit in the record of this revision.
    #[cold]
    fn visit(
        &mut self,
        context: &Context<'_>,
        stored: &Document,
        cookie: &StoredCookie,
        metadata: Option<&Metadata>,
        revision: Revision,
        now: Timestamp,
    ) -> Option<TouchCall> {
        if context.policy.has_outlived(metadata, now) {
            self.phase = Phase::EndedElsewhere;
            return None;
        }
        let id = self.id()?.clone();
        let record = context.record(stored, cookie, metadata);
        if context.policy.record_limits.check_bytes(record.text.len()).is_ok() {
            return Some(TouchCall::Update(id, record, revision));
        }
        // With the member, no request could load it any more.
        let touch = Touch::new(cookie.text(), record.deadline);
        context.supports_touch.then(|| TouchCall::Touch(id, context.policy.touch(touch)))
    }

    /// Notes the outcome of an update that was a touch of the record with the revision `expected`. Where another request
    /// has written meanwhile, returns the call that notes the visit in its record. The session itself stays as it is: its
    /// next write finds out what the other one has changed.
    #[must_use]
    pub fn visited(
        &mut self,
        context: &Context<'_>,
        expected: &Revision,
        updated: Updated,
        now: Timestamp,
    ) -> Option<TouchCall> {
        match updated {
            Updated::Done(revision) => {
                if let Some(session) = &mut self.session
                    && matches!(&session.view, StoreView::At(own) if own == expected)
                {
                    session.view = StoreView::At(revision);
                }
                None
            }
            Updated::Conflict(theirs) => {
                if context.is_marked(&theirs) {
                    self.phase = Phase::EndedElsewhere;
                    return None;
                }
                // A record that cannot be read is for the next request to find.
                let Parsed { document, mut cookie, metadata } = context.parse(&theirs, now).ok()?;
                if let Some(follow) = Follow::of_metadata(metadata.as_deref(), now) {
                    if follow.target().is_none() && !follow.is_outlived() {
                        self.touched(Touched::Gone, context.policy);
                    }
                    return Some(TouchCall::Follow(follow));
                }
                cookie.reset_expiry(now);
                let own = self.session.as_ref()?.metadata();
                let mut metadata = match (own, metadata.as_deref()) {
                    (Some(own), Some(theirs)) => own.merge(theirs),
                    (Some(noted), None) | (None, Some(noted)) => noted.clone(),
                    (None, None) => Metadata::new(now),
                };
                metadata.see(now);
                self.visit(context, &document, &cookie, Some(&metadata), theirs.revision, now)
            }
            Updated::Gone => {
                self.touched(Touched::Gone, context.policy);
                None
            }
        }
    }

    /// Notes the outcome of a touch.
    pub fn touched(&mut self, touched: Touched, policy: &Policy) {
        if touched == Touched::Gone && policy.on_missing_record() == OnMismatch::Refuse {
            self.phase = Phase::EndedElsewhere;
        }
    }

    /// Notes that the session is written. One whose absolute timeout has passed while the request was under way is over.
    #[cold]
    pub(super) fn begin_write_with_metadata(
        &mut self,
        context: &Context<'_>,
        now: Timestamp,
    ) -> Result<()> {
        let Some(session) = &mut self.session else { return Err(Error::Ended) };
        session.note_visit(context, !self.is_left_alone, now);
        if context.policy.has_outlived(session.metadata(), now) {
            self.phase = Phase::EndedElsewhere;
            return Err(Error::Ended);
        }
        Ok(())
    }

    /// Refuses to go on where another session has ended this one. No policy writes on top of the mark.
    pub(super) fn check_mark(&mut self, context: &Context<'_>, theirs: &Loaded) -> Result<()> {
        if context.is_marked(theirs) {
            self.phase = Phase::EndedElsewhere;
            return Err(Error::Ended);
        }
        Ok(())
    }

    /// Notes that the session under its new id is gone: it is over, with any policy. Its old id is never used again.
    pub(super) fn end_elsewhere(&mut self) -> Error {
        self.phase = Phase::EndedElsewhere;
        Error::Ended
    }

    /// Handles a record that is gone: the session is over, or is written as a new one.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`]; [`Error::Conflict`] where the session may have been renewed, and the grace period is over.
    pub fn handle_missing_record(&mut self, policy: &Policy, now: Timestamp) -> Result<()> {
        if self.session.as_ref().is_some_and(|session| policy.may_have_moved(session.known_at, now))
        {
            return Err(Error::Conflict);
        }
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
        self.is_create_in_doubt(context) && !self.has_id_left(context)
    }

    /// Checks whether the session must not be created again: the same, but its id has left. A logout could not undo the
    /// create that arrives late.
    pub(super) fn must_not_create(&self, context: &Context<'_>) -> bool {
        self.is_create_in_doubt(context) && self.has_id_left(context)
    }

    fn is_create_in_doubt(&self, context: &Context<'_>) -> bool {
        context.policy.renews_id_in_doubt()
            && self.session.as_ref().is_some_and(|session| session.view == StoreView::InDoubt)
    }

    /// Checks whether a browser has the id, or may have it.
    fn has_id_left(&self, context: &Context<'_>) -> bool {
        let id = self.id();
        context.presented == id
            || match &self.progress {
                Progress::Handling | Progress::Sent => false,
                Progress::Streaming { cookie_of } => cookie_of.as_ref() == id,
                Progress::Detached => true,
            }
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
            let is_outlived = false;
            self.lock =
                Some(Box::new(SessionLockState { id, token, stage, fence, until, is_outlived }));
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
        match self.lock.as_ref().filter(|lock| lock.id == *id || lock.is_outlived) {
            None => Fence::Open,
            Some(lock) => match lock.stage {
                LockStage::Requested => Fence::Open,
                LockStage::Held => Fence::Locked(lock.token),
                LockStage::Lost => Fence::Lost,
            },
        }
    }

    /// Returns the revision of the session's record, and when it was found, if it is known.
    #[must_use]
    pub fn known(&self) -> Option<(Revision, Timestamp)> {
        let session = self.session.as_ref()?;
        match &session.view {
            StoreView::At(revision) => Some((revision.clone(), session.known_at)),
            StoreView::Absent | StoreView::InDoubt => None,
        }
    }

    /// Notes that the record of this id was found.
    pub fn found(&mut self, id: &SessionId, now: Timestamp) {
        if let Some(session) = self.session.as_mut().filter(|session| session.id == *id) {
            session.known_at = session.known_at.max(now);
        }
    }

    /// Returns what the store is known to have.
    #[must_use]
    pub fn view(&self) -> Option<StoreView> {
        self.session.as_ref().map(|session| session.view.clone())
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

impl fmt::Debug for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preview")
            .field("ended", &self.ended)
            .field("next_reset", &self.next_reset)
            .finish_non_exhaustive()
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
