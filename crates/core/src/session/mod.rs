//! The session of one request as a state machine without IO.
//!
//! A driver owns a [`SessionState`] for each request: the tower service does, and so can an adapter for another
//! framework. The state says what the session is; the driver calls the store, reads the clock and holds the locks.
//!
//! - [`SessionState`] is the life of a session in one request: loading, changes, the end of the response.
//! - [`SaveMachine`] saves it by optimistic concurrency. It says which store call comes next ([`Next::Call`]) and is
//!   resumed with the answer, until it is [`Next::Done`].
//! - [`Follow`] leads from a record whose id was renewed to the session, and [`DestroyMachine`] ends a session also where it
//!   is being renewed.
//! - [`Listing`] is the list of a user's sessions, and [`RevokeMachine`] ends one of them.
//! - [`EpochMachine`] reads the epoch of a session's user, which decides whether the session has ended, and
//!   [`RaiseMachine`] raises it.
//! - [`Rebase`] puts the request's changes onto what another request has stored. It calls the application's own
//!   functions, so the driver runs it while it holds no lock.
//! - [`WriteBatch`] collects the changes of several requests of one process into one write.
//! - [`SessionObject`] finds the changes of an object of another language, such as `req.session`.
//! - [`Context`] is what does not change in the course of a request: the policy and what the request is.
//!
//! ```
//! use express_session_core::session::{Answer, Context, Next, StoreCall};
//! use express_session_core::session::{SaveMachine, SessionState};
//! use express_session_core::store::{Created, Revision};
//! use express_session_core::cookie::{Cookie, StoredCookie};
//! use express_session_core::{Policy, SessionId, Timestamp};
//!
//! let now = Timestamp::from_millis(1_700_000_000_000);
//! let policy = Policy::default();
//! let context = Context::new(&policy, "connect.sid");
//!
//! // A first visit: the handler changes a new session.
//! let cookie = StoredCookie::new(&Cookie::new(), now, false, true);
//! let mut state = SessionState::default();
//! state.begin_new(SessionId::from_random([7; 24]), cookie);
//! state.change(|session| session.document.insert("views", &1))??;
//!
//! // Its save is one call of the store, which the driver makes.
//! let mut save = SaveMachine::new(now);
//! let next = save.start(&mut state, &context, false)?;
//! let Next::Call(StoreCall::Create { record, .. }) = next else {
//!     panic!("a new session is created");
//! };
//! assert!(record.text.ends_with(r#""views":1}"#));
//! let revision = Revision::of_text(&record.text);
//! let created = Answer::Created(Ok(Created::Done(revision)));
//! let next = save.resume(&mut state, &context, created)?;
//! assert!(matches!(next, Next::Done));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod change_log;
mod end;
mod epoch;
mod facts_of;
mod forward;
pub mod merge;
mod object;
mod save;
mod state;
#[cfg(test)]
mod tests;
mod users;

use std::fmt;

pub use batch::{BatchBegin, BatchDraft, BatchEntry, BatchOutcome, Flush, SetAside, WriteBatch};
pub use change_log::{Discarded, Function, MAX_UPDATES, Reapply, Rebase, Rebased, UpdateError};
pub use end::DestroyMachine;
pub use epoch::{EpochMachine, EpochStep, RaiseMachine, Raising, Settled};
pub use facts_of::{End, Withheld};
pub use forward::{Arrival, Follow};
pub use object::{ChangedMember, Recompute, SessionObject};
pub use save::{ATTEMPTS, Answer, BatchEnd, Next, Resolution, SaveMachine, StoreCall};
pub use state::{
    Begun, BodyKind, Context, Ending, Fence, Load, LoadedSession, LockStage, Preview,
    SessionLockState, SessionState, Snapshot, StoreView, TouchCall, Unread,
};
pub use users::{Listed, Listing, OwnSession, Revocation, RevokeMachine, is_lease_held};

use crate::record::LimitExceeded;
use crate::{Corrupt, store};

/// Why a session cannot be used or saved.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The session is over: destroyed or unset in this request, or its record is gone.
    Ended,
    /// The response has been sent.
    ResponseSent,
    /// The response left without the cookie of this new session: no request would find its record.
    CookieNotSent,
    /// The store was unavailable when the session was loaded: the request goes on without one.
    Degraded,
    /// The id of a new session is in use.
    IdTaken,
    /// Other requests kept changing the session, or a write of this request is in doubt.
    Conflict,
    /// The lease of the session's lock has run out.
    LockLost,
    /// The stored text is no record.
    Corrupt(Corrupt),
    /// The session is larger than a record may be. Nothing is written.
    Limit(LimitExceeded),
    /// The store failed.
    Store(store::Error),
    /// An update failed on the value that another request has stored.
    Update(UpdateError),
    /// The session has been updated [`MAX_UPDATES`] times since it was saved.
    TooManyUpdates,
    /// The driver resumed a machine with the answer to another question.
    OutOfOrder,
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "the session is over",
            Self::ResponseSent => "the response has been sent",
            Self::CookieNotSent => "the response left without the new session's cookie",
            Self::Degraded => "the session store was unavailable when the session was loaded",
            Self::IdTaken => "the new session's id is in use",
            Self::Conflict => "other requests changed the session at every attempt to save it",
            Self::LockLost => "the lease of the session's lock has run out",
            Self::Corrupt(_) => "the stored session is no record",
            Self::Limit(_) => "the session is larger than a record may be",
            Self::Store(_) => "the session store failed",
            Self::Update(_) => "an update failed on the stored value",
            Self::TooManyUpdates => "too many updates since the session was saved",
            Self::OutOfOrder => "a save was resumed with the answer to another question",
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Corrupt(source) => Some(source),
            Self::Limit(source) => Some(source),
            Self::Store(source) => Some(source),
            Self::Update(source) => Some(&**source),
            Self::Ended
            | Self::ResponseSent
            | Self::CookieNotSent
            | Self::Degraded
            | Self::IdTaken
            | Self::Conflict
            | Self::LockLost
            | Self::TooManyUpdates
            | Self::OutOfOrder => None,
        }
    }
}

impl From<Corrupt> for Error {
    fn from(source: Corrupt) -> Self {
        Self::Corrupt(source)
    }
}

impl From<LimitExceeded> for Error {
    fn from(source: LimitExceeded) -> Self {
        Self::Limit(source)
    }
}

impl From<store::Error> for Error {
    fn from(source: store::Error) -> Self {
        Self::Store(source)
    }
}
