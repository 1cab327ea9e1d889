//! The plain model: what one id has, and what a store may answer to each call.
//!
//! It is written apart from every store, and decides the other way round: it receives a store's answer,
//! and returns whether that is possible and the state after it. So one model serves sequential and
//! concurrent calls.

use std::sync::Arc;
use std::time::Duration;

use express_session_core::record::{Document, with_cookie};
use express_session_core::store::{
    Created, Error, ErrorKind, Fenced, Loaded, LockOutcome, LockToken, Record, Revision, Store,
    Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use crate::Clock;

/// A call about one id.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Load,
    Create(Record),
    Update(Record, Revision),
    Touch(Touch),
    Destroy,
    Lock(LockToken, Duration),
    UpdateLocked(Record, Revision, LockToken),
    Unlock(LockToken),
}

/// The store's answer.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Loaded(Option<Loaded>),
    Created(Created),
    Updated(Updated),
    Touched(Touched),
    LockOutcome(LockOutcome),
    Fenced(Fenced),
    /// To what has no result.
    Done,
    Failed(ErrorKind, String),
}

/// Asks a store.
pub(super) async fn ask(store: &impl Store, id: &SessionId, call: &Call, now: Timestamp) -> Answer {
    let answer = match call {
        Call::Load => store.load(id, now).await.map(Answer::Loaded),
        Call::Create(record) => store.create(id, record, now).await.map(Answer::Created),
        Call::Update(record, expected) => {
            store.update(id, record, expected, now).await.map(Answer::Updated)
        }
        Call::Touch(touch) => store.touch(id, touch, now).await.map(Answer::Touched),
        Call::Destroy => store.destroy(id).await.map(|()| Answer::Done),
        Call::Lock(holder, lease) => {
            store.lock(id, *holder, *lease, now).await.map(Answer::LockOutcome)
        }
        Call::UpdateLocked(record, expected, holder) => {
            store.update_locked(id, record, expected, *holder, now).await.map(Answer::Fenced)
        }
        Call::Unlock(holder) => store.unlock(id, *holder).await.map(|()| Answer::Done),
    };
    answer.unwrap_or_else(|error: Error| Answer::Failed(error.kind(), format!("{error:?}")))
}

impl Answer {
    /// The revision that the answer tells.
    pub(super) fn revision(&self) -> Option<Revision> {
        match self {
            Self::Loaded(loaded) => loaded.as_ref().map(|loaded| loaded.revision.clone()),
            Self::Created(Created::Done(revision))
            | Self::Updated(Updated::Done(revision))
            | Self::Fenced(Fenced::Held(Updated::Done(revision))) => Some(revision.clone()),
            Self::Updated(Updated::Conflict(current))
            | Self::Fenced(Fenced::Held(Updated::Conflict(current))) => {
                Some(current.revision.clone())
            }
            Self::Created(Created::Taken)
            | Self::Updated(Updated::Gone)
            | Self::Fenced(Fenced::Held(Updated::Gone) | Fenced::Lost)
            | Self::Touched(_)
            | Self::LockOutcome(_)
            | Self::Done
            | Self::Failed(..) => None,
        }
    }
}

/// When a call was made, as the store's clock has it: some time from the first to the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct When {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// The record and the lock of an id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    record: Option<Kept>,
    /// Whether an expired record may still lie there.
    remains: bool,
    lease: Option<Lease>,
    /// The data that each revision has stood for, which may not stand for other data later.
    revisions: Vec<(Revision, Arc<str>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kept {
    /// The text, or what it may be; see [`Tolerance`].
    texts: Vec<Arc<str>>,
    until: Until,
    revision: Revision,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lease {
    holder: LockToken,
    /// Until then the holder has the lock; from then on, it depends on whose time counts.
    until: i64,
}

/// A deadline, or between which times it is; [`OPEN`] where the store's own default holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Until {
    least: i64,
    most: i64,
}

const OPEN: i64 = i64::MAX;

impl Until {
    /// Given by a call. A server receives the remaining time, and counts it from its arrival.
    fn given(deadline: Option<Timestamp>, when: When) -> Self {
        let end = deadline.map_or(OPEN, Timestamp::millis);
        Self { least: end, most: end.saturating_add(when.took()) }
    }

    /// Moved by a touch, which may leave the deadline alone where there is no new one.
    fn touched(self, deadline: Option<Timestamp>, when: When) -> Self {
        match deadline {
            Some(_) => Self::given(deadline, when),
            None => Self { most: OPEN, ..self },
        }
    }

    /// One or the other.
    fn or(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), most: self.most.max(other.most) }
    }
}

impl When {
    /// Milliseconds.
    fn took(self) -> i64 {
        self.to.millis() - self.from.millis()
    }
}

/// Everything that the formats of express-session's stores make coarser than the model: nowhere else is
/// a store forgiven anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    pub(super) clock: Clock,
    /// Whether the store has locks; one that has not answers [`ErrorKind::Unsupported`] to all three calls.
    pub(super) locks: bool,
}

impl Tolerance {
    /// A deadline may be kept in whole seconds, and a server's clock is a little ahead or behind.
    fn may_live(self, until: Until, when: When) -> bool {
        let part = until.most % 1000 != 0;
        let late = match self.clock {
            Clock::Argument => i64::from(part) * 1000,
            Clock::Server => 1200,
        };
        when.from.millis() < until.most.saturating_add(late)
    }

    fn may_be_gone(self, until: Until, when: When) -> bool {
        let early = match self.clock {
            Clock::Argument => 1000,
            Clock::Server => 1500,
        };
        when.to.millis().saturating_add(early) > until.least
    }

    /// The deadline that a load tells is the one that was given, to the second; where the server says how many
    /// seconds are left, and counts them by a clock that beats once in a second, to three.
    fn is_deadline(self, until: Until, told: Option<Timestamp>, when: When) -> bool {
        let far = when.took()
            + match self.clock {
                Clock::Argument => 1000,
                Clock::Server => 3000,
            };
        // A store may choose its own default.
        until.most == OPEN
            || told
                .is_some_and(|told| (until.least - far..=until.most + far).contains(&told.millis()))
    }

    /// A touch puts the new cookie into the text, as [`Touch::onto`] says, or leaves the text alone.
    fn touched(kept: &Kept, touch: &Touch, when: When) -> Kept {
        let mut texts = kept.texts.clone();
        let mut until = kept.until.touched(touch.deadline, when);
        for text in &kept.texts {
            for now in [when.from, when.to] {
                let (text, deadline) = touch.onto(text, now);
                push(&mut texts, text.into());
                until = until.or(kept.until.touched(deadline, when));
            }
        }
        Kept { texts, until, revision: kept.revision.clone() }
    }

    /// An id that is no ordinary one may be refused, as may a text that is no record or a large one, and a
    /// record that has expired before it is stored.
    fn may_refuse(id: &SessionId, record: Option<&Record>, when: When) -> bool {
        let ordinary = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let id = id.as_str();
        id.len() > 64
            || !id.chars().all(ordinary)
            || record.is_some_and(|record| {
                record.text.len() > 1 << 16
                    || Document::parse(Arc::clone(&record.text)).is_err()
                    || !record.is_live(when.to)
            })
    }
}

impl State {
    /// Returns the state after a call, or the reason why the answer is impossible.
    pub(super) fn after(
        &self,
        id: &SessionId,
        call: &Call,
        answer: &Answer,
        when: When,
        tolerance: Tolerance,
    ) -> Result<Self, String> {
        let mut complaint = String::new();
        for state in self.possible(when, tolerance) {
            match state.step(id, call, answer, when, tolerance) {
                Ok(next) => return Ok(next),
                Err(why) => complaint = why,
            }
        }
        Err(complaint)
    }

    /// Returns whether there is a record for an operator to see: certainly, or possibly.
    pub(super) fn seen(&self, when: When, tolerance: Tolerance) -> (bool, bool) {
        let Some(kept) = &self.record else { return (false, false) };
        let possibly = tolerance.may_live(kept.until, when);
        (possibly && !tolerance.may_be_gone(kept.until, when), possibly)
    }

    /// Returns whether a listing may give this record, or why not.
    pub(super) fn listed(
        &self,
        record: &Record,
        when: When,
        tolerance: Tolerance,
    ) -> Result<(), String> {
        let Some(kept) = &self.record else { return Err("there is none".to_owned()) };
        let loaded = Loaded { record: record.clone(), revision: kept.revision.clone() };
        kept.narrowed(&loaded, when, tolerance).map(drop)
    }

    /// Returns whether there is a record that has possibly expired and not been removed.
    pub(super) fn may_be_purged(&self, when: When, tolerance: Tolerance) -> bool {
        let kept = self.record.as_ref();
        self.remains || kept.is_some_and(|kept| tolerance.may_be_gone(kept.until, when))
    }

    /// Returns the state after a store was cleared. A store may clear its locks too or keep them.
    pub(super) fn cleared(&self) -> Self {
        let lease = self.lease.clone().map(|lease| Lease { until: i64::MIN, ..lease });
        Self { record: None, remains: false, lease, ..self.clone() }
    }

    /// The revision of the record, if there is one.
    pub(super) fn revision(&self) -> Option<Revision> {
        self.record.as_ref().map(|kept| kept.revision.clone())
    }

    /// Every revision that was ever given for the id.
    pub(super) fn revisions(&self) -> impl Iterator<Item = Revision> {
        self.revisions.iter().map(|(revision, _)| revision.clone())
    }

    /// With the record, with none, or with either, as its deadline may have passed or not.
    fn possible(&self, when: When, tolerance: Tolerance) -> impl Iterator<Item = Self> {
        let kept = self.record.as_ref();
        let live = kept.is_none_or(|kept| tolerance.may_live(kept.until, when));
        let gone = kept.is_some_and(|kept| tolerance.may_be_gone(kept.until, when));
        let without = gone.then(|| Self { record: None, remains: true, ..self.clone() });
        live.then(|| self.clone()).into_iter().chain(without)
    }

    fn step(
        &self,
        id: &SessionId,
        call: &Call,
        answer: &Answer,
        when: When,
        tolerance: Tolerance,
    ) -> Result<Self, String> {
        if let Answer::Failed(kind, error) = answer {
            return self.failed(id, call, *kind, error, when, tolerance);
        }
        match (call, answer) {
            (Call::Load, Answer::Loaded(None)) => self.without_record(),
            (Call::Load, Answer::Loaded(Some(loaded))) => {
                Ok(self.with(self.record()?.narrowed(loaded, when, tolerance)?))
            }
            (Call::Create(record), Answer::Created(Created::Done(revision))) => {
                self.without_record()?.as_saved(record, revision, when)
            }
            (Call::Create(_), Answer::Created(Created::Taken)) => {
                self.record()?;
                Ok(self.clone())
            }
            (Call::Update(record, expected), Answer::Updated(updated)) => {
                self.updated(record, expected, updated, when, tolerance)
            }
            (Call::Touch(_), Answer::Touched(Touched::Gone)) => self.without_record(),
            (Call::Touch(touch), Answer::Touched(Touched::Done)) => {
                Ok(self.with(Tolerance::touched(self.record()?, touch, when)))
            }
            (Call::Destroy, Answer::Done) => {
                Ok(Self { record: None, remains: false, ..self.clone() })
            }
            (Call::Lock(holder, lease), Answer::LockOutcome(LockOutcome::Acquired(_))) => {
                self.may_hold(*holder, when, true)?;
                let until = when.from.saturating_add(*lease).millis();
                let lease = Some(Lease { holder: *holder, until });
                Ok(Self { lease, ..self.clone() })
            }
            (Call::Lock(holder, _), Answer::LockOutcome(LockOutcome::Held)) => {
                let other = self.lease.as_ref().is_some_and(|lease| lease.holder != *holder);
                if other {
                    Ok(self.clone())
                } else {
                    Err("no other token holds the lock".to_owned())
                }
            }
            (Call::UpdateLocked(_, _, holder), Answer::Fenced(Fenced::Lost)) => {
                let lease = self.lease.as_ref().filter(|lease| lease.holder == *holder);
                if lease.is_some_and(|lease| lease.is_running(when)) {
                    return Err("the holder has the lock".to_owned());
                }
                Ok(self.clone())
            }
            (
                Call::UpdateLocked(record, expected, holder),
                Answer::Fenced(Fenced::Held(updated)),
            ) => {
                self.may_hold(*holder, when, false)?;
                self.updated(record, expected, updated, when, tolerance)
            }
            (Call::Unlock(holder), Answer::Done) => {
                let lease = self.lease.clone().filter(|lease| lease.holder != *holder);
                Ok(Self { lease, ..self.clone() })
            }
            // The types of the port make no other pairs.
            (
                Call::Load
                | Call::Create(_)
                | Call::Update(..)
                | Call::Touch(_)
                | Call::Destroy
                | Call::Lock(..)
                | Call::UpdateLocked(..)
                | Call::Unlock(_),
                answer,
            ) => Err(format!("an answer to another call: {answer:?}")),
        }
    }

    fn failed(
        &self,
        id: &SessionId,
        call: &Call,
        kind: ErrorKind,
        error: &str,
        when: When,
        tolerance: Tolerance,
    ) -> Result<Self, String> {
        let (record, locks) = match call {
            Call::Create(record) | Call::Update(record, _) => (Some(record), false),
            Call::UpdateLocked(record, ..) => (Some(record), true),
            Call::Lock(..) | Call::Unlock(_) => (None, true),
            Call::Load | Call::Touch(_) | Call::Destroy => (None, false),
        };
        let refused = kind == ErrorKind::Unsuitable && Tolerance::may_refuse(id, record, when);
        let unsupported = kind == ErrorKind::Unsupported && locks && !tolerance.locks;
        if refused || unsupported { Ok(self.clone()) } else { Err(format!("it failed: {error}")) }
    }

    fn updated(
        &self,
        record: &Record,
        expected: &Revision,
        updated: &Updated,
        when: When,
        tolerance: Tolerance,
    ) -> Result<Self, String> {
        match updated {
            Updated::Gone => self.without_record(),
            Updated::Conflict(current) => {
                let kept = self.record()?.narrowed(current, when, tolerance)?;
                if kept.revision == *expected {
                    return Err("no other task wrote".to_owned());
                }
                Ok(self.with(kept))
            }
            Updated::Done(revision) => {
                if self.record()?.revision != *expected {
                    return Err("the record is not the one that was expected".to_owned());
                }
                self.as_saved(record, revision, when)
            }
        }
    }

    /// With a record that was written. Its revision must not have stood for other data.
    fn as_saved(&self, record: &Record, revision: &Revision, when: When) -> Result<Self, String> {
        let mut state = self.clone();
        let text = Arc::clone(&record.text);
        let data = with_cookie(&text, "{}").map_or_else(|| Arc::clone(&text), Arc::from);
        let before = state.revisions.iter().find(|(before, _)| before == revision);
        match before {
            Some((_, before)) if *before != data => {
                return Err("its revision has stood for other data before".to_owned());
            }
            Some(_) => {}
            None => state.revisions.push((revision.clone(), data)),
        }
        let until = Until::given(record.deadline, when);
        state.record = Some(Kept { texts: vec![text], until, revision: revision.clone() });
        state.remains = false;
        Ok(state)
    }

    fn with(&self, kept: Kept) -> Self {
        Self { record: Some(kept), ..self.clone() }
    }

    fn record(&self) -> Result<&Kept, String> {
        self.record.as_ref().ok_or_else(|| "there is no live record".to_owned())
    }

    fn without_record(&self) -> Result<Self, String> {
        if self.record.is_some() {
            return Err("there is a live record".to_owned());
        }
        Ok(self.clone())
    }

    /// Returns whether a holder may have the lock, or may take it.
    fn may_hold(&self, holder: LockToken, when: When, take: bool) -> Result<(), String> {
        match &self.lease {
            Some(lease) if lease.holder == holder => Ok(()),
            Some(lease) if lease.is_running(when) => Err("another holds the lock".to_owned()),
            Some(_) | None if take => Ok(()),
            Some(_) | None => Err("the holder does not have the lock".to_owned()),
        }
    }
}

impl Kept {
    /// With the text that was seen, if it may have been seen.
    fn narrowed(&self, loaded: &Loaded, when: When, tolerance: Tolerance) -> Result<Self, String> {
        let Record { text, deadline } = &loaded.record;
        if !self.texts.contains(text) {
            return Err(format!("the text is not {:?}", short(&self.texts)));
        }
        if loaded.revision != self.revision {
            return Err("the revision is not the one that the writing gave".to_owned());
        }
        if !tolerance.is_deadline(self.until, *deadline, when) {
            return Err(format!("the deadline is not {:?}", self.until));
        }
        Ok(Self { texts: vec![Arc::clone(text)], ..self.clone() })
    }
}

impl Lease {
    fn is_running(&self, when: When) -> bool {
        when.to.millis().saturating_add(2000) <= self.until
    }
}

fn push(texts: &mut Vec<Arc<str>>, text: Arc<str>) {
    if !texts.contains(&text) {
        texts.push(text);
    }
}

fn short(texts: &[Arc<str>]) -> Vec<String> {
    texts.iter().map(|text| text.chars().take(100).collect()).collect()
}
