//! One request: what its handler does, and what it must find.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use express_session::{Error, ErrorKind, LateWrite, LazySession, Outage, Session, Unset};
use express_session_testkit::Fate;
use http::header::SET_COOKIE;
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use serde_json::Value;

use crate::audit::Kept;
use crate::ledger::{Change, Changes, Ended};
use crate::plan::{End, Step, Visit};
use crate::world::World;

tokio::task_local! {
    /// The request that is being polled, so that a store call can be assigned to it.
    pub(crate) static ERRAND: Arc<ClientStep>;
}

/// The header of every response that a handler made.
pub(crate) const HANDLED: &str = "x-handled";

pub(crate) struct ClientStep {
    pub(crate) visit: Visit,
    world: Arc<World>,
    /// The id of the cookie that is sent, and what was known of that session then.
    presented: Option<Presented>,
    unanswered_before: u64,
    begun: Duration,
    notes: Mutex<Notes>,
}

pub(crate) struct Presented {
    pub(crate) id: String,
    pub(crate) ended: Ended,
    pub(crate) told: Changes,
}

/// The history of a request so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// Calls of the store.
    pub(crate) calls: u64,
    /// Those that were never answered, or so late that the request may have stopped waiting.
    pub(crate) unanswered: u64,
    /// How often the store began to hang.
    pub(crate) waits: u64,
    hung: bool,
    /// How long the answers took.
    pub(crate) delayed: Duration,
    /// How long the handler worked.
    pub(crate) worked: Duration,
    /// How long it may have waited for locks.
    pub(crate) locked: Duration,
    /// How often a method was called that may call the store.
    pub(crate) steps: u64,
    /// The session that the handler has.
    id: Option<String>,
    /// The changes to it, and those that were not acknowledged.
    sent: Vec<Change>,
    pending: Vec<Change>,
    /// Whether a write in doubt is followed by another.
    unsure: bool,
    has_lock: bool,
    /// Whether it has asked for a lock, which others may keep for long.
    pub(crate) was_locked: bool,
    unset: bool,
    /// Whether what the handler does is kept at all.
    adrift: bool,
    /// Whether the session has a record, so that a change in a stream can be saved.
    stored: bool,
}

impl ClientStep {
    pub(crate) fn new(world: Arc<World>, visit: Visit, presented: Option<Presented>) -> Arc<Self> {
        let unanswered_before = world.unanswered();
        let (begun, notes) = (world.elapsed(), Mutex::default());
        Arc::new(Self { visit, world, presented, unanswered_before, begun, notes })
    }

    pub(crate) fn notes(&self) -> Notes {
        self.lock().clone()
    }

    /// Returns whether the store has left a request without an answer since this request began: others may
    /// have been waited for.
    fn is_out(&self) -> bool {
        self.world.unanswered() > self.unanswered_before
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    pub(crate) fn count_call(&self) -> u64 {
        let mut notes = self.lock();
        notes.calls += 1;
        notes.calls
    }

    pub(crate) fn count_fate(&self, fate: Fate, is_answered: bool) {
        let mut notes = self.lock();
        let hangs = match fate {
            Fate::Hang | Fate::Mute | Fate::Stray(_) => true,
            Fate::Delay(_) | Fate::Linger(_) => !is_answered,
            Fate::Pass | Fate::Fail(_) | Fate::Lose(_) => false,
        };
        notes.waits += u64::from(hangs && !notes.hung);
        notes.hung = hangs || (notes.hung && !fate.is_answered());
        notes.unanswered += u64::from(!is_answered);
        if let Fate::Delay(time) | Fate::Linger(time) = fate {
            notes.delayed += time.min(self.world.plan.setup.timeout);
        }
    }

    fn note(&self, event: std::fmt::Arguments<'_>) {
        self.world.note(format_args!("v{} {event}", self.visit.nth));
    }

    fn violation(&self, text: &str) {
        self.world.violation(format!("v{}: {text}", self.visit.nth));
    }

    /// The handler's action.
    pub(crate) async fn handle(self: Arc<Self>, unloaded: LazySession) -> Response<Sent> {
        if self.visit.lazy {
            let body = match &self.visit.end {
                End::Stream(_) => {
                    Sent::Stream(Streaming::Begun(self, Handle::LazySession(unloaded)))
                }
                End::Text | End::Empty => Sent::Whole(Some("hello")),
            };
            return handled(StatusCode::OK, body);
        }
        let session = match unloaded.load().await {
            Ok(session) => session,
            Err(error) => return self.refused(&error),
        };
        self.lock().steps += 1;
        self.has(&session);
        let done = self.run(&session, &self.visit.steps, 0).await;
        // The end of the request writes what is left.
        self.retries();
        if let Err(error) = done {
            return self.refused(&error);
        }
        let body = match &self.visit.end {
            End::Text => Sent::Whole(Some("hello")),
            End::Empty => Sent::Whole(None),
            End::Stream(_) => {
                Sent::Stream(Streaming::Begun(Arc::clone(&self), Handle::Loaded(session)))
            }
        };
        let status =
            if self.visit.end == End::Empty { StatusCode::NO_CONTENT } else { StatusCode::OK };
        handled(status, body)
    }

    fn refused(&self, error: &Error) -> Response<Sent> {
        self.failed(error);
        let status = if error.is_temporary() {
            StatusCode::SERVICE_UNAVAILABLE
        } else if error.kind() == ErrorKind::Ended {
            StatusCode::CONFLICT
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        handled(status, Sent::Whole(Some("refused")))
    }

    /// Checks a session that was just loaded.
    fn has(&self, session: &Session) {
        let id = session.id().as_str().to_owned();
        let adrift = !session.is_persisted();
        {
            let mut notes = self.lock();
            notes.id = Some(id.clone());
            notes.adrift = adrift;
        }
        let name = self.world.name(&id);
        let members = members_of(session);
        self.note(format_args!(
            "has {name}, kept: {}, {}",
            !adrift,
            Value::from_iter(members.clone())
        ));
        if adrift {
            let is_out = self.lock().unanswered > 0 || self.is_out();
            let goes_on = self.world.plan.setup.outage == Outage::Continue || self.visit.lazy;
            let is_new = self.world.audited.kept(&id, self.world.now()) == Kept::Never;
            if self.visit.lazy && !is_out && is_new {
                // The response left without the cookie of a new session, which is in no store.
            } else if self.visit.lazy && !is_out {
                // The response left before, and found that the session had ended.
                self.may_have_ended(&id, "the session is not kept");
            } else if !goes_on || !is_out {
                self.violation("the session is not kept, and the store is not out");
            }
            // A body that loads late finds the session as it was when the response left.
            if !members.is_empty() && !self.visit.lazy {
                self.violation("a session that is not kept has data");
            }
            return;
        }
        match &self.presented {
            Some(presented) if self.is_same(&presented.id, &id) => {
                self.lock().stored = true;
                if presented.ended == Ended::Yes {
                    self.violation("a session that had ended is there again");
                }
                self.compare(&id, &members, &presented.told);
            }
            Some(presented) => {
                if !members.is_empty() {
                    self.violation("a new session has data");
                }
                self.may_have_ended(&presented.id, "a new session in place of a live one");
            }
            None if !members.is_empty() => self.violation("a new session has data"),
            None => {}
        }
        let visitor = self.visit.visitor;
        if self.world.with_ledger(|ledger| ledger.open(&id, visitor).visitor) != visitor {
            self.violation("the session is another visitor's");
        }
    }

    fn compare(&self, id: &str, members: &BTreeMap<String, Value>, told: &Changes) {
        let wrong = self.world.with_ledger(|ledger| {
            ledger.account(id).map(|account| account.check(members, told)).unwrap_or_default()
        });
        wrong.iter().for_each(|wrong| self.violation(wrong));
    }

    /// Checks that a session is gone for a reason.
    fn may_have_ended(&self, id: &str, what: &str) {
        let ended = self
            .world
            .with_ledger(|ledger| ledger.account(id).map(|account| account.ended))
            .unwrap_or_default();
        let audited = &self.world.audited;
        let now = self.world.now();
        let expired = audited.kept(id, now) == Kept::Expired || audited.is_outlived(id, now);
        if ended == Ended::No && !expired && !audited.was_found_expired(id) {
            self.violation(&format!("{what}: {} was not ended", self.world.name(id)));
        }
    }

    /// Checks that an error has a reason.
    fn failed(&self, error: &Error) {
        self.note(format_args!("failed: {:?}", error.kind()));
        let notes = self.notes();
        match error.kind() {
            ErrorKind::Store(_) if notes.unanswered > 0 || notes.adrift => {}
            ErrorKind::Ended | ErrorKind::NotFound if notes.unset => {}
            ErrorKind::Ended | ErrorKind::NotFound => {
                let id = notes.id.unwrap();
                let is_new = self.world.audited.kept(&id, self.world.now()) == Kept::Never;
                if error.kind() == ErrorKind::Ended || !is_new {
                    self.may_have_ended(&id, "an error says that the session is over");
                }
            }
            // The headers left without the cookie of a new session, which is in no store then.
            ErrorKind::CookieNotSent
                if self.world.audited.kept(&notes.id.unwrap(), self.world.now()) == Kept::Never => {
            }
            // Others have written on top of a write in doubt.
            ErrorKind::Conflict if notes.unanswered > 0 || self.is_out() => {}
            // Its id was renewed, and it has lasted for too long to know.
            ErrorKind::Conflict if self.is_late() => {}
            // Another process may keep the lock until its lease runs out.
            ErrorKind::Locked | ErrorKind::LockLost => {}
            ErrorKind::Store(_) if self.is_out() => {}
            kind => self.violation(&format!("there is no reason for {kind:?}")),
        }
    }

    async fn run(&self, session: &Session, steps: &[Step], first: u64) -> Result<(), Error> {
        for (nth, step) in steps.iter().enumerate() {
            let token = self.visit.nth * 100 + first + nth as u64;
            let Err(error) = self.step(session, *step, token).await else { continue };
            let is_over = matches!(error.kind(), ErrorKind::Ended | ErrorKind::ResponseSent);
            if is_over || !self.visit.stubborn {
                return Err(error);
            }
            self.failed(&error);
        }
        Ok(())
    }

    async fn step(&self, session: &Session, step: Step, token: u64) -> Result<(), Error> {
        self.follow(session.id().as_str());
        match step {
            Step::Work(time) => {
                self.work(time).await;
                Ok(())
            }
            Step::Insert => {
                self.change(session, Change::Insert(token))?;
                session.insert(&format!("m{token}"), token)
            }
            Step::Share => {
                self.change(session, Change::Share(token))?;
                session.insert("shared", token)
            }
            Step::Count => {
                self.change(session, Change::Count)?;
                session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).map(drop)
            }
            Step::Push => {
                self.change(session, Change::Push(token))?;
                let push = move |list: Option<Vec<u64>>| {
                    let mut list = list.unwrap_or_default();
                    list.push(token);
                    list
                };
                session.update("list", push).map(drop)
            }
            Step::Remove(which) => {
                let keys = session.keys();
                let keys: Vec<_> = keys.iter().filter_map(|key| key.strip_prefix('m')).collect();
                if keys.is_empty() {
                    return Ok(());
                }
                let at = usize::try_from(which % keys.len() as u64).unwrap();
                let token = keys[at].parse().unwrap();
                self.change(session, Change::Remove(token))?;
                session.remove(&format!("m{token}")).map(drop)
            }
            Step::Save => self.settled(session, session.save()).await,
            Step::Reload => {
                self.step_begins();
                session.reload().await?;
                let mut notes = self.lock();
                notes.pending.clear();
                notes.adrift = false;
                notes.stored = true;
                Ok(())
            }
            Step::Touch => {
                self.step_begins();
                session.touch().await
            }
            Step::Renew => self.renew(session).await,
            Step::Regenerate => {
                self.ends(Ended::Perhaps);
                self.step_begins();
                session.regenerate().await?;
                self.ends(Ended::Yes);
                let id = session.id().as_str().to_owned();
                self.note(format_args!("has {} by regenerate", self.world.name(&id)));
                let mut notes = self.lock();
                notes.id = Some(id);
                notes.sent.clear();
                notes.pending.clear();
                notes.adrift = false;
                notes.stored = false;
                notes.unsure = false;
                Ok(())
            }
            Step::Destroy => {
                self.ends(Ended::Perhaps);
                self.lock().pending.clear();
                self.lock().unset = true;
                self.step_begins();
                session.destroy().await?;
                self.ends(Ended::Yes);
                Ok(())
            }
            Step::Unset => {
                session.unset()?;
                let mut notes = self.lock();
                notes.pending.clear();
                notes.unset = true;
                drop(notes);
                if self.world.plan.setup.unset == Unset::Destroy {
                    self.ends(Ended::Perhaps);
                }
                Ok(())
            }
            Step::Till { work, unlocks } => self.till(session, work, unlocks).await,
        }
    }

    async fn renew(&self, session: &Session) -> Result<(), Error> {
        // A session without a record only takes the id.
        let is_stored = self.lock().stored;
        let renewed = if is_stored {
            self.settled(session, session.renew_id()).await
        } else {
            self.step_begins();
            session.renew_id().await
        };
        // In a body, and under a lock.
        let refusals = [ErrorKind::CookieNotSent, ErrorKind::LockedTwice];
        renewed.or_else(|error| if refusals.contains(&error.kind()) { Ok(()) } else { Err(error) })
    }

    /// Adds one to a sum, in a critical section.
    async fn till(&self, session: &Session, work: u64, unlocks: bool) -> Result<(), Error> {
        if self.lock().has_lock {
            return Ok(());
        }
        self.step_begins();
        self.lock().locked += self.world.plan.setup.lock_wait;
        self.lock().was_locked = true;
        let lock = session.lock().await?;
        self.lock().has_lock = true;
        let till: u64 = session.get("till")?.unwrap_or(0);
        self.work(work).await;
        self.change(session, Change::Till)?;
        session.insert("till", till + 1)?;
        if unlocks {
            self.settled(session, lock.unlock()).await?;
            self.lock().has_lock = false;
        }
        Ok(())
    }

    async fn work(&self, time: u64) {
        let time = Duration::from_millis(time);
        self.lock().worked += time;
        tokio::time::sleep(time).await;
    }

    fn step_begins(&self) {
        self.lock().steps += 1;
    }

    /// Waits for a save. Changes that it acknowledges are kept.
    async fn settled(
        &self,
        session: &Session,
        save: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        self.step_begins();
        let before = self.notes();
        self.retries();
        let saved = save.await;
        self.follow(session.id().as_str());
        match &saved {
            Ok(()) => {
                let mut notes = self.lock();
                notes.stored = true;
                notes.unsure = false;
                // Nothing has changed meanwhile: a handler does one thing after the other.
                let pending = std::mem::take(&mut notes.pending);
                drop(notes);
                self.acknowledge(&pending);
            }
            Err(_) if self.notes().unanswered > before.unanswered => self.lock().unsure = true,
            Err(_) => {}
        }
        saved
    }

    /// Notes that the session has another id by now: its first record was in doubt, and was written again under a new
    /// one. The browser never got the id before.
    pub(crate) fn follow(&self, id: &str) {
        let notes = self.lock();
        if notes.adrift || notes.unset || notes.id.as_deref().is_none_or(|known| known == id) {
            return;
        }
        drop(notes);
        let known = self.lock().id.clone();
        if known.is_some_and(|known| self.is_same(&known, id)) {
            self.note(format_args!("has {} by a renewal", self.world.name(id)));
            self.lock().id = Some(id.to_owned());
            return;
        }
        let mut notes = self.lock();
        let before = notes.id.replace(id.to_owned());
        let sent = notes.sent.clone();
        drop(notes);
        let visitor = self.visit.visitor;
        let known = self.world.with_ledger(|ledger| {
            sent.iter().for_each(|change| ledger.sent(id, visitor, *change));
            before.and_then(|before| ledger.account(&before).and_then(|account| account.known))
        });
        self.note(format_args!("goes on as {}", self.world.name(id)));
        if known.is_some() {
            self.violation("an id that a browser has was given up");
        }
    }

    /// Returns whether two ids are of the same session, which was renewed.
    fn is_same(&self, one: &str, other: &str) -> bool {
        self.world.with_ledger(|ledger| ledger.first(one) == ledger.first(other))
    }

    /// Returns whether the request has lasted for half the grace period of renewals.
    fn is_late(&self) -> bool {
        let grace = self.world.plan.setup.renewal.map(|(_, grace)| grace);
        grace.is_some_and(|grace| self.world.elapsed() >= self.begun + grace / 2)
    }

    /// Notes that a write in doubt is made again.
    fn retries(&self) {
        let mut notes = self.lock();
        if !std::mem::take(&mut notes.unsure) {
            return;
        }
        let Some(id) = notes.id.clone() else { return };
        drop(notes);
        let visitor = self.visit.visitor;
        self.world.with_ledger(|ledger| ledger.open(&id, visitor).retried += 1);
    }

    fn change(&self, session: &Session, change: Change) -> Result<(), Error> {
        if !session.contains("owner") {
            session.insert("owner", self.visit.visitor)?;
        }
        let mut notes = self.lock();
        notes.pending.push(change);
        notes.sent.push(change);
        let id = notes.id.clone().unwrap();
        drop(notes);
        self.world.with_ledger(|ledger| ledger.sent(&id, self.visit.visitor, change));
        self.note(format_args!("{change:?} {}", self.world.name(&id)));
        Ok(())
    }

    fn acknowledge(&self, changes: &[Change]) {
        let id = self.lock().id.clone().unwrap();
        self.note(format_args!("learns that {changes:?} are kept in {}", self.world.name(&id)));
        self.world.with_ledger(|ledger| ledger.acknowledged(&id, self.visit.visitor, changes));
    }

    fn ends(&self, ended: Ended) {
        let id = self.lock().id.clone().unwrap();
        self.note(format_args!("ends {}: {ended:?}", self.world.name(&id)));
        self.world.with_ledger(|ledger| ledger.ended(&id, self.visit.visitor, ended));
    }

    /// The handler's response left: the layer has kept what it was given, if it could at all.
    pub(crate) fn response_left(&self) {
        let notes = self.notes();
        if notes.id.is_none() {
            return;
        }
        // With any behaviour of the store, no visitor learns of an end that did not happen.
        if notes.unset && self.world.plan.setup.unset == Unset::Destroy {
            self.ends(Ended::Yes);
        }
        if notes.adrift {
            return;
        }
        let is_lenient = self.world.plan.setup.outage == Outage::Continue;
        // It may have gone on without a session.
        if is_lenient && (notes.unanswered > 0 || self.is_out()) {
            self.lock().pending.clear();
            return;
        }
        if !notes.pending.is_empty() {
            self.lock().pending.clear();
            self.lock().stored = true;
            self.acknowledge(&notes.pending);
        }
    }

    /// The layer answered in the handler's place.
    pub(crate) fn replaced(&self, status: StatusCode) {
        let notes = self.notes();
        match status {
            StatusCode::SERVICE_UNAVAILABLE if notes.unanswered > 0 || self.is_out() => {}
            // The lease of its lock has run out.
            StatusCode::SERVICE_UNAVAILABLE if notes.has_lock => {}
            StatusCode::SERVICE_UNAVAILABLE if self.is_late() => {}
            StatusCode::CONFLICT if self.world.plan.setup.late_write == LateWrite::Refuse => {
                // A handler that asked for nothing may be refused too, where everything is saved again.
                let presented = self.presented.as_ref().map(|presented| presented.id.clone());
                self.may_have_ended(&notes.id.or(presented).unwrap(), "409");
            }
            status => self.violation(&format!("there is no reason for {status}")),
        }
    }

    /// The body was read to its end.
    pub(crate) fn body_ended(&self) {
        let notes = self.notes();
        // No response is left that could report a failure, a lock whose lease has run out, or a
        // session without a cookie.
        let may_fail = notes.unanswered > 0 || self.is_out() || notes.has_lock;
        if may_fail || notes.adrift || !notes.stored {
            return;
        }
        if !notes.pending.is_empty() {
            self.lock().pending.clear();
            self.acknowledge(&notes.pending);
        }
    }
}

fn handled(status: StatusCode, body: Sent) -> Response<Sent> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(HANDLED, HeaderValue::from_static("yes"));
    headers.insert(SET_COOKIE, HeaderValue::from_static("seen=yes"));
    response
}

fn members_of(session: &Session) -> BTreeMap<String, Value> {
    let keys = session.keys();
    keys.into_iter().filter_map(|key| Some((key.clone(), session.get(&key).ok()??))).collect()
}

/// The body of a handler's response.
pub(crate) enum Sent {
    Whole(Option<&'static str>),
    Stream(Streaming),
}

/// The session of a body.
pub(crate) enum Handle {
    LazySession(LazySession),
    Loaded(Session),
}

/// A body that changes its session while it is sent.
pub(crate) enum Streaming {
    Begun(Arc<ClientStep>, Handle),
    Working(Pin<Box<dyn Future<Output = ()> + Send>>),
    Ended,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let streaming = match &mut *self {
            Self::Whole(text) => {
                let frame =
                    text.take().map(|text| Frame::data(Bytes::from_static(text.as_bytes())));
                return Poll::Ready(frame.map(Ok));
            }
            Self::Stream(streaming) => streaming,
        };
        match std::mem::replace(streaming, Streaming::Ended) {
            Streaming::Begun(client_step, handle) => {
                *streaming = Streaming::Working(Box::pin(async move {
                    let End::Stream(steps) = client_step.visit.end.clone() else { return };
                    let session = match handle {
                        Handle::Loaded(session) => session,
                        Handle::LazySession(unloaded) => match unloaded.load().await {
                            Ok(session) => {
                                client_step.step_begins();
                                client_step.has(&session);
                                session
                            }
                            Err(error) => return client_step.failed(&error),
                        },
                    };
                    if let Err(error) = client_step.run(&session, &steps, 50).await {
                        client_step.failed(&error);
                    }
                    client_step.retries();
                }));
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"begun")))))
            }
            Streaming::Working(mut work) => {
                if work.as_mut().poll(context).is_pending() {
                    *streaming = Streaming::Working(work);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"ended")))))
            }
            Streaming::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }
}
