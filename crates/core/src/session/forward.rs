//! The way from an old id of a session to its present one.
//!
//! A renewal stores the session under a new id first, and then replaces the old record, by a compare-and-swap, with one
//! that forwards to it. All requests that find such a record go on with the session that it leads to:
//!
//! 1. A forwarding record is never loaded, merged or overwritten as a session.
//! 2. It leads to the new id until its grace period ends, by its own text: a touch of Node moves only its deadline.
//! 3. An end of a session is marked by a compare-and-swap as well ([`DestroyMachine`](super::DestroyMachine)), so that
//!    of an end and a renewal the second one finds the first.

use super::state::{Context, LoadedSession, SessionState};
use crate::metadata::member;
use crate::store::{Loaded, Record};
use crate::{Metadata, SessionId, Timestamp};

/// How many forwarding records are followed, one after the other.
const MAX_MOVES: u32 = 16;

/// A record that is no session: it forwards to another id, or its session is being ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    to: Option<SessionId>,
    /// Whether it has no target because the grace period is over, and not because the session was ended.
    is_outlived: bool,
    moves: u32,
}

/// The record under the id that another one forwards to.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The session, under this id.
    Session(SessionId, Loaded),
    /// Another record that forwards.
    Further(Follow),
}

impl Follow {
    /// Checks whether a record that was loaded is no session. `None` for a session, and for any record where the policy
    /// keeps no metadata.
    #[must_use]
    pub fn of(context: &Context<'_>, loaded: &Loaded, now: Timestamp) -> Option<Self> {
        if !context.policy.keeps_metadata() {
            return None;
        }
        Self::of_metadata(member::read(&loaded.record.text, context.member.as_str()).as_ref(), now)
    }

    /// The way from a session that is over.
    pub(super) const fn over() -> Self {
        Self { to: None, is_outlived: false, moves: 0 }
    }

    /// Checks whether a record with this member is no session.
    #[inline]
    pub(super) fn of_metadata(metadata: Option<&Metadata>, now: Timestamp) -> Option<Self> {
        let metadata = metadata.filter(|metadata| metadata.has_moved())?;
        let to = metadata.moved_to(now).cloned();
        Some(Self { is_outlived: to.is_none() && metadata.was_renewed(), to, moves: 0 })
    }

    /// Returns the id to load next, or `None` where there is no session any more.
    #[must_use]
    pub fn target(&self) -> Option<&SessionId> {
        self.to.as_ref()
    }

    /// Checks whether there is no target because the grace period is over: the session may go on under an id that is not
    /// found from here.
    #[must_use]
    pub fn is_outlived(&self) -> bool {
        self.is_outlived
    }

    /// Goes on with what the store has under the [target](Self::target). `None` where there is no session any more.
    #[must_use]
    pub fn arrive(
        self,
        context: &Context<'_>,
        found: Option<Loaded>,
        now: Timestamp,
    ) -> Option<Arrival> {
        let (Some(id), Some(loaded)) = (self.to, found) else { return None };
        match Self::of(context, &loaded, now) {
            None => Some(Arrival::Session(id, loaded)),
            Some(_) if self.moves == MAX_MOVES => None,
            Some(further) => Some(Arrival::Further(Self { moves: self.moves + 1, ..further })),
        }
    }
}

impl Context<'_> {
    /// Returns the record that forwards from a session's id to a new one. It has no data: an application without the
    /// library reads it as an empty session. `None` where the new id is too long for it.
    pub(super) fn forward_of(
        &self,
        session: &LoadedSession,
        metadata: &Metadata,
        to: &SessionId,
        now: Timestamp,
    ) -> Option<Record> {
        let until = now.saturating_add(self.policy.renewal()?.grace);
        let metadata = metadata.forwarding(to.clone(), until);
        metadata.is_readable().then(|| {
            let text = ["{\"cookie\":", &session.cookie.text(), "}"].concat();
            Record {
                text: member::append(&text, self.member.as_str(), &metadata),
                deadline: Some(until),
            }
        })
    }

    /// Returns the record of a session that is being ended.
    pub(super) fn ending(&self, now: Timestamp) -> Option<Record> {
        let until = now.saturating_add(self.policy.renewal()?.grace);
        let metadata = Metadata::ending(now);
        let text = member::append(EMPTY, self.member.as_str(), &metadata);
        Some(Record { text, deadline: Some(until) })
    }
}

/// A record without data.
const EMPTY: &str =
    r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}}"#;

impl SessionState {
    /// Goes on under the id to which the session was renewed, whose record the state has just taken. A lock of the old id
    /// does not count for the new one, and is lost.
    pub fn take_renewed_id(&mut self, id: &SessionId) {
        let Some(session) = &mut self.session else { return };
        if session.id == *id {
            return;
        }
        self.lock.iter_mut().filter(|lock| lock.id == session.id).for_each(|lock| {
            lock.stage = super::LockStage::Lost;
            lock.is_outlived = true;
        });
        if session.baseline.id == session.id {
            session.baseline.id = id.clone();
        }
        session.id = id.clone();
    }
}
