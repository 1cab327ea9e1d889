//! The stores for JavaScript: one object for each, with numbered calls that are answered later.
//!
//! 1. A call waits for the store on the runtime's thread, never on JavaScript's. The caller's mailbox receives
//!    exactly one answer, also after a panic.
//! 2. JavaScript passes the time, so that a test that moves its clock moves the stores too.
//! 3. A write is express-session's: the last one wins, and a write after a deletion creates the session again, unless its
//!    cookie is over.
//! 4. An error is a text with a code, a message and a cause on a line each, from which lib/stores/failure.js
//!    makes an error. It names no id and holds no data.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use express_session::store::{Admin, Cursor, Error, ErrorKind, Lifetime, Record, Touch, Touched};
use express_session_core::{SessionId, Timestamp};
use napi::bindgen_prelude::Null;
use napi_derive::napi;

use self::backend::Backend;
use self::mailbox::{Answer, Mailbox};
use self::replace::Missing;
use self::sealed::{Sealing, Upgrade};
use self::seen::Seen;
use self::users::{Meant, UserSessions, number_of};
use crate::engine::rules::SessionPolicy;
use crate::session::{self, Found, NativeSession};

pub mod file;
pub mod mailbox;
pub mod memcached;
pub mod memory;
pub mod mysql;
pub mod postgres;
pub mod redis;
pub mod sealed;
pub mod sqlite;
pub mod users;

mod backend;
mod driver;
pub(crate) mod failure;
mod option;
mod replace;
mod runtime;
mod seen;

/// A store of any kind.
#[napi]
pub struct NativeStore(Mutex<Option<Arc<Open>>>);

/// The state of a store until it is closed.
struct Open {
    backend: Box<dyn Backend>,
    /// The same store, if it seals its records.
    sealed: Option<Box<dyn Upgrade>>,
    seen: Seen,
}

/// One page of a listing.
#[napi(object)]
#[derive(Debug)]
pub struct Listing {
    /// The ids.
    pub ids: Vec<String>,
    /// The record of each.
    pub texts: Vec<String>,
    /// Where the next page begins.
    pub next: Option<String>,
}

#[napi]
impl NativeStore {
    /// Returns a session's record.
    #[napi(catch_unwind)]
    pub fn load(&self, mailbox: &Mailbox, number: u32, id: String, now: f64) {
        self.call(mailbox, number, move |open| async move {
            let Some(id) = SessionId::new(id) else { return Ok(NOTHING) };
            let Some(loaded) = open.backend.load(&id, time(now)).await? else { return Ok(NOTHING) };
            open.seen.insert(&id, loaded.revision);
            Ok(Answer::B((*loaded.record.text).to_owned()))
        });
    }

    /// Loads the record of a session that keeps it, and returns its text.
    #[napi(catch_unwind)]
    pub fn load_for(&self, mailbox: &Mailbox, number: u32, session: &NativeSession, now: f64) {
        let (id, reader) = (session.id(), session.reader());
        self.call(mailbox, number, move |open| async move {
            let found = driver::load(&*open.backend, &reader, id, time(now)).await?;
            Ok(found.map_or(NOTHING, Answer::B))
        });
    }

    /// Ends the record of a session.
    #[napi(catch_unwind)]
    pub fn destroy_for(&self, mailbox: &Mailbox, number: u32, session: &NativeSession, now: f64) {
        let end = session.record_end();
        self.call(mailbox, number, move |open| async move {
            open.seen.remove(&end.id);
            let ended = driver::end(&*open.backend, end, time(now)).await;
            Ok(ended.map_or_else(|error| Answer::E(session::of(error)), |()| NOTHING))
        });
    }

    /// Returns the sessions of a user, as JSON.
    #[napi(catch_unwind)]
    pub fn sessions_of(&self, mailbox: &Mailbox, number: u32, users: &UserSessions, now: f64) {
        let users = users.clone();
        self.call(mailbox, number, move |open| async move {
            Ok(Answer::B(users.listed(&*open.backend, time(now)).await?))
        });
    }

    /// Ends sessions of a user: the one with the public id, all but the one that asks, or all. Returns how many.
    #[napi(catch_unwind)]
    pub fn end_sessions_of(
        &self,
        mailbox: &Mailbox,
        number: u32,
        users: &UserSessions,
        public_id: Option<String>,
        spares_own: bool,
        now: f64,
    ) {
        let (users, meant) = (users.clone(), Meant::of(public_id, spares_own));
        self.call(mailbox, number, move |open| async move {
            let ended = users.end(&*open.backend, &meant, time(now)).await;
            Ok(ended.map_or_else(|error| Answer::E(session::of(error)), |n| Answer::C(n as f64)))
        });
    }

    /// Raises the epoch of a user. Returns the one that the session which asks gets first, if it goes on: then this is called
    /// again. Otherwise returns -1.
    #[napi(catch_unwind)]
    pub fn raise_epoch(
        &self,
        mailbox: &Mailbox,
        number: u32,
        users: &UserSessions,
        spares_own: bool,
        now: f64,
    ) {
        let users = users.clone();
        self.call(mailbox, number, move |open| async move {
            let kept = users.raise(&*open.backend, spares_own, time(now)).await;
            Ok(kept.map_or_else(
                |error| Answer::E(session::of(error)),
                |kept| Answer::C(number_of(kept)),
            ))
        });
    }

    /// Returns the epoch of a user.
    #[napi(catch_unwind)]
    pub fn epoch_of(&self, mailbox: &Mailbox, number: u32, users: &UserSessions, now: f64) {
        let users = users.clone();
        self.call(mailbox, number, move |open| async move {
            Ok(Answer::C(number_of(Some(users.epoch(&*open.backend, time(now)).await?))))
        });
    }

    /// Makes room for a login of a user. Returns the user's epoch, or -1 if the login is refused.
    #[napi(catch_unwind)]
    pub fn admit(&self, mailbox: &Mailbox, number: u32, users: &UserSessions, now: f64) {
        let users = users.clone();
        self.call(mailbox, number, move |open| async move {
            let admitted = users.admit(&*open.backend, time(now)).await;
            Ok(admitted.map_or_else(
                |error| Answer::E(session::of(error)),
                |epoch| Answer::C(number_of(epoch)),
            ))
        });
    }

    /// Asks for a user's lock. Returns 1, or 0 if another login has it.
    #[napi(catch_unwind)]
    pub fn lock_user(
        &self,
        mailbox: &Mailbox,
        number: u32,
        users: &UserSessions,
        lease: f64,
        now: f64,
    ) {
        let users = users.clone();
        self.call(mailbox, number, move |open| async move {
            Ok(Answer::C(f64::from(users.lock(&*open.backend, lease, now).await?)))
        });
    }

    /// Releases a user's lock.
    #[napi(catch_unwind)]
    pub fn unlock_user(&self, mailbox: &Mailbox, number: u32, users: &UserSessions) {
        let users = users.clone();
        self.call(mailbox, number, move |open| async move {
            users.unlock(&*open.backend).await?;
            Ok(NOTHING)
        });
    }

    /// Notes in a policy how long the store keeps a record. With `is_unknown`, a function of the application decides.
    #[napi(catch_unwind)]
    pub fn describe(&self, policy: &mut SessionPolicy, is_unknown: bool) {
        if is_unknown {
            policy.describe(Lifetime::Unknown);
        } else if let Some(open) = &*self.lock() {
            policy.describe(open.backend.lifetime());
        }
    }

    /// Makes the call that a session's save has asked for.
    #[napi(catch_unwind)]
    pub fn call_for(&self, mailbox: &Mailbox, number: u32, session: &mut NativeSession) {
        let (call, slot) = (session.take_call(), session.slot());
        self.call(mailbox, number, move |open| async move {
            if let Some((call, now)) = call {
                slot.put(Found::Save(open.backend.answer(call, now).await));
            }
            Ok(NOTHING)
        });
    }

    /// Asks for a session's lock.
    #[napi(catch_unwind)]
    pub fn lock_for(
        &self,
        mailbox: &Mailbox,
        number: u32,
        session: &NativeSession,
        lease: f64,
        now: f64,
    ) {
        let (slot, lock) = (session.slot(), session.lock());
        self.call(mailbox, number, move |open| async move {
            if let Some((id, token)) = lock {
                let outcome = open.backend.lock(&id, token, option::time(lease), time(now)).await?;
                slot.put(Found::Lock(outcome));
            }
            Ok(NOTHING)
        });
    }

    /// Releases a session's lock.
    #[napi(catch_unwind)]
    pub fn unlock_for(&self, mailbox: &Mailbox, number: u32, session: &mut NativeSession) {
        let lock = session.take_lock();
        self.call(mailbox, number, move |open| async move {
            if let Some((id, token)) = lock {
                open.backend.unlock(&id, token).await?;
            }
            Ok(NOTHING)
        });
    }

    /// Stores a session's record, whether there is one already or not. One that `is_over` by this machine's clock replaces
    /// only a record that is there.
    #[allow(clippy::too_many_arguments, reason = "an object for each call would cost more")]
    #[napi(catch_unwind)]
    pub fn save(
        &self,
        mailbox: &Mailbox,
        number: u32,
        id: String,
        text: String,
        deadline: Option<f64>,
        now: f64,
        is_over: bool,
    ) {
        self.call(mailbox, number, move |open| async move {
            let id = SessionId::new(id).ok_or_else(nameless)?;
            let record = Record { text: text.into(), deadline: deadline.map(time) };
            let seen = open.seen.get(&id);
            let missing = Missing::of(is_over);
            match open.backend.replace(&id, &record, seen, missing, time(now)).await? {
                Some(revision) => open.seen.insert(&id, revision),
                None => open.seen.remove(&id),
            }
            Ok(NOTHING)
        });
    }

    /// Moves the end of a session. `replaces_cookie` is that of [`Touch`]. Returns 1, or 0 if there is none.
    #[allow(clippy::too_many_arguments, reason = "an object for each call would cost more")]
    #[napi(catch_unwind)]
    pub fn touch(
        &self,
        mailbox: &Mailbox,
        number: u32,
        id: String,
        cookie: String,
        deadline: Option<f64>,
        now: f64,
        replaces_cookie: bool,
    ) {
        self.call(mailbox, number, move |open| async move {
            let Some(id) = SessionId::new(id) else { return Ok(Answer::C(0.0)) };
            let touch = Touch { replaces_cookie, ..Touch::new(cookie, deadline.map(time)) };
            let touched = open.backend.touch(&id, &touch, time(now)).await?;
            Ok(Answer::C(f64::from(touched == Touched::Done)))
        });
    }

    /// Ends a session.
    #[napi(catch_unwind)]
    pub fn destroy(&self, mailbox: &Mailbox, number: u32, id: String) {
        self.call(mailbox, number, move |open| async move {
            let Some(id) = SessionId::new(id) else { return Ok(NOTHING) };
            open.seen.remove(&id);
            open.backend.destroy(&id).await?;
            Ok(NOTHING)
        });
    }

    /// Returns some of the sessions.
    #[napi(catch_unwind)]
    pub fn list(
        &self,
        mailbox: &Mailbox,
        number: u32,
        after: Option<String>,
        limit: u32,
        now: f64,
    ) {
        let after = after.map(Cursor::new);
        self.call(mailbox, number, move |open| async move {
            let page = open.backend.list(after, limit as usize, time(now)).await?;
            Ok(Answer::D(page.into()))
        });
    }

    /// Returns the number of sessions.
    #[napi(catch_unwind)]
    pub fn count(&self, mailbox: &Mailbox, number: u32, now: f64) {
        self.call(mailbox, number, move |open| async move {
            Ok(Answer::C(open.backend.count(time(now)).await? as f64))
        });
    }

    /// Ends all sessions.
    #[napi(catch_unwind)]
    pub fn clear(&self, mailbox: &Mailbox, number: u32) {
        self.call(mailbox, number, move |open| async move {
            open.backend.clear().await?;
            Ok(NOTHING)
        });
    }

    /// Removes the records of sessions that have ended.
    #[napi(catch_unwind)]
    pub fn purge(&self, mailbox: &Mailbox, number: u32, now: f64) {
        self.call(mailbox, number, move |open| async move {
            while open.backend.purge(PURGED, time(now)).await? == PURGED as u64 {}
            Ok(NOTHING)
        });
    }

    /// Moves some of the records to the first key.
    #[napi(catch_unwind)]
    pub fn upgrade(
        &self,
        mailbox: &Mailbox,
        number: u32,
        after: Option<String>,
        limit: u32,
        now: f64,
    ) {
        let after = after.map(Cursor::new);
        self.call(mailbox, number, move |open| async move {
            let Some(sealed) = &open.sealed else {
                return Err(Error::new(ErrorKind::Unsupported, "the records are not sealed"));
            };
            Ok(Answer::F(sealed.upgrade(after, limit as usize, time(now)).await?.into()))
        });
    }

    /// Releases the connections after the running calls.
    #[napi(catch_unwind)]
    pub fn close(&self, mailbox: &Mailbox, number: u32) {
        let open = self.lock().take();
        // On the runtime, which the connections may need to close.
        mailbox.call(number, move |call| async move {
            drop(open);
            call.answer(NOTHING);
        });
    }
}

impl NativeStore {
    /// Makes the object of a store, which seals its records if that is an option.
    fn new(store: impl Admin + Clone, sealing: Option<&Sealing>) -> napi::Result<Self> {
        let (backend, sealed): (Box<dyn Backend>, Option<Box<dyn Upgrade>>) = match sealing {
            None => (Box::new(store), None),
            Some(sealing) => {
                let store = sealing.seal(store)?;
                (Box::new(store.clone()), Some(Box::new(store)))
            }
        };
        let open = Open { backend, sealed, seen: Seen::new() };
        Ok(Self(Mutex::new(Some(Arc::new(open)))))
    }

    /// Makes a call, which owns its data: when a worker thread ends, its objects are freed while their calls still
    /// run.
    fn call<F>(
        &self,
        mailbox: &Mailbox,
        number: u32,
        work: impl FnOnce(Arc<Open>) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<Answer, Error>> + Send + 'static,
    {
        let open = self.lock().clone();
        mailbox.call(number, move |call| async move {
            call.answer(match open {
                Some(open) => {
                    work(open).await.unwrap_or_else(|error| Answer::E(failure::of(error)))
                }
                None => Answer::E(failure::closed()),
            });
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Open>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for NativeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NativeStore")
    }
}

impl From<express_session::store::Page> for Listing {
    fn from(page: express_session::store::Page) -> Self {
        let (ids, texts) = page
            .sessions
            .into_iter()
            .map(|(id, record)| (id.as_str().to_owned(), (*record.text).to_owned()))
            .unzip();
        Self { ids, texts, next: page.next.map(|next| next.as_str().to_owned()) }
    }
}

/// Panics on the runtime, so that a test can check that JavaScript receives an error instead of an abort.
#[napi(catch_unwind)]
#[allow(clippy::missing_panics_doc, reason = "only a test calls it")]
pub fn panic_later(mailbox: &Mailbox, number: u32) {
    mailbox.call(number, |call| async move {
        let _call = call;
        std::panic::resume_unwind(Box::new("on purpose"))
    });
}

/// The answer of a call that is done.
const NOTHING: Answer = Answer::A(Null);

/// How many expired records are removed in a step.
const PURGED: usize = 1000;

/// Converts JavaScript's milliseconds, clamped to the range of the number.
pub(crate) fn time(millis: f64) -> Timestamp {
    Timestamp::from_millis(millis as i64)
}

pub(crate) fn nameless() -> Error {
    Error::new(ErrorKind::Unsuitable, "the id is empty")
}
