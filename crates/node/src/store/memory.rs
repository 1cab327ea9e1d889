//! Sessions in this process, for JavaScript, with synchronous calls.

use std::future::Future;

use express_session::MemoryStore;
use express_session::store::{
    Admin, Cursor, Error, ErrorKind, Lifetime, Record, Store, Touch, Touched,
};
use express_session_core::SessionId;
use futures_util::FutureExt as _;
use napi::Env;
use napi_derive::napi;

use super::replace::{Missing, replace};
use super::users::{Meant, UserSessions, number_of};
use super::{Listing, PURGED, driver, failure, option, time};
use crate::engine::rules::SessionPolicy;
use crate::session::{self, Apply, Found, NativeSession, SaveStep};

/// The sessions, outside of JavaScript's heap.
#[napi]
#[derive(Debug)]
pub struct NativeMemory(MemoryStore);

#[napi]
impl NativeMemory {
    /// Makes a store that keeps so many sessions and bytes, and records of so many bytes.
    #[napi(constructor, catch_unwind)]
    #[must_use]
    pub fn new(
        max_sessions: Option<f64>,
        max_bytes: Option<f64>,
        max_record_bytes: Option<f64>,
    ) -> Self {
        let store = MemoryStore::new();
        let store = match max_sessions {
            Some(max) => store.max_sessions(max as usize),
            None => store,
        };
        let store = match max_bytes {
            Some(max) => store.max_bytes(max as usize),
            None => store,
        };
        Self(match max_record_bytes {
            Some(max) => store.max_record_bytes(max as usize),
            None => store,
        })
    }

    /// Returns a session's record.
    #[napi(catch_unwind)]
    pub fn load(&self, id: String, now: f64) -> napi::Result<Option<String>> {
        let Some(id) = SessionId::new(id) else { return Ok(None) };
        let loaded = now_or_error(self.0.load(&id, time(now)))?;
        Ok(loaded.map(|loaded| (*loaded.record.text).to_owned()))
    }

    /// Loads the record of a session that keeps it, and returns its text.
    #[napi(catch_unwind)]
    pub fn load_for(&self, session: &NativeSession, now: f64) -> napi::Result<Option<String>> {
        now_or_error(driver::load(&self.0, &session.reader(), session.id(), time(now)))
    }

    /// Ends the record of a session.
    #[napi(catch_unwind)]
    pub fn destroy_for(&self, session: &NativeSession, now: f64) -> napi::Result<()> {
        now_or_session_error(driver::end(&self.0, session.record_end(), time(now)))
    }

    /// Returns the sessions of a user, as JSON.
    #[napi(catch_unwind)]
    pub fn sessions_of(&self, users: &UserSessions, now: f64) -> napi::Result<String> {
        now_or_error(users.listed(&self.0, time(now)))
    }

    /// Ends sessions of a user: the one with the public id, all but the one that asks, or all. Returns how many.
    #[napi(catch_unwind)]
    pub fn end_sessions_of(
        &self,
        users: &UserSessions,
        public_id: Option<String>,
        spares_own: bool,
        now: f64,
    ) -> napi::Result<f64> {
        let meant = Meant::of(public_id, spares_own);
        now_or_session_error(users.end(&self.0, &meant, time(now))).map(|ended| ended as f64)
    }

    /// Raises the epoch of a user. Returns the one that the session which asks gets first, if it goes on: then this is called
    /// again. Otherwise returns -1.
    #[napi(catch_unwind)]
    pub fn raise_epoch(
        &self,
        users: &UserSessions,
        spares_own: bool,
        now: f64,
    ) -> napi::Result<f64> {
        now_or_session_error(users.raise(&self.0, spares_own, time(now))).map(number_of)
    }

    /// Returns the epoch of a user.
    #[napi(catch_unwind)]
    pub fn epoch_of(&self, users: &UserSessions, now: f64) -> napi::Result<f64> {
        now_or_error(users.epoch(&self.0, time(now))).map(|epoch| number_of(Some(epoch)))
    }

    /// Makes room for a login of a user. Returns the user's epoch, or -1 if the login is refused.
    #[napi(catch_unwind)]
    pub fn admit(&self, users: &UserSessions, now: f64) -> napi::Result<f64> {
        now_or_session_error(users.admit(&self.0, time(now))).map(number_of)
    }

    /// Asks for a user's lock. Returns 1, or 0 if another login has it.
    #[napi(catch_unwind)]
    pub fn lock_user(&self, users: &UserSessions, lease: f64, now: f64) -> napi::Result<f64> {
        now_or_error(users.lock(&self.0, lease, now)).map(f64::from)
    }

    /// Releases a user's lock.
    #[napi(catch_unwind)]
    pub fn unlock_user(&self, users: &UserSessions) -> napi::Result<()> {
        now_or_error(users.unlock(&self.0))
    }

    /// Notes in a policy how long the store keeps a record. With `is_unknown`, a function of the application decides.
    #[napi(catch_unwind)]
    pub fn describe(&self, policy: &mut SessionPolicy, is_unknown: bool) {
        policy.describe(if is_unknown { Lifetime::Unknown } else { self.0.lifetime() });
    }

    /// Makes the call that the note of a visit has asked for.
    #[napi(catch_unwind)]
    pub fn call_for(&self, session: &mut NativeSession) -> napi::Result<()> {
        if let Some((call, now)) = session.take_call() {
            let answer = now_or_error(call.make(&self.0, now).map(Ok))?;
            session.slot().put(Found::Save(answer));
        }
        Ok(())
    }

    /// Makes the calls that a session's save asks for, and returns the step after them.
    #[napi(catch_unwind)]
    pub fn save_for(
        &self,
        env: Env,
        session: &mut NativeSession,
        apply: Apply<'_>,
    ) -> napi::Result<SaveStep> {
        let mut step = SaveStep::Call;
        while step == SaveStep::Call {
            let Some((call, now)) = session.take_call() else { break };
            let answer = now_or_error(call.make(&self.0, now).map(Ok))?;
            step = session.resume_with(env, &apply, answer)?;
        }
        Ok(step)
    }

    /// Asks for a session's lock.
    #[napi(catch_unwind)]
    pub fn lock_for(&self, session: &NativeSession, lease: f64, now: f64) -> napi::Result<()> {
        if let Some((id, token)) = session.lock() {
            let call = self.0.lock(&id, token, option::time(lease), time(now));
            session.slot().put(Found::Lock(now_or_error(call)?));
        }
        Ok(())
    }

    /// Releases a session's lock.
    #[napi(catch_unwind)]
    pub fn unlock_for(&self, session: &mut NativeSession) -> napi::Result<()> {
        match session.take_lock() {
            Some((id, token)) => now_or_error(self.0.unlock(&id, token)),
            None => Ok(()),
        }
    }

    /// Stores a session's record, whether there is one already or not. One that `is_over` by this machine's clock replaces
    /// only a record that is there.
    #[napi(catch_unwind)]
    pub fn save(
        &self,
        id: String,
        text: String,
        deadline: Option<f64>,
        now: f64,
        is_over: bool,
    ) -> napi::Result<()> {
        let id = SessionId::new(id).ok_or_else(|| failure::of(super::nameless()))?;
        let record = Record { text: text.into(), deadline: deadline.map(time) };
        let missing = Missing::of(is_over);
        now_or_error(replace(&self.0, &id, &record, None, missing, time(now))).map(drop)
    }

    /// Moves the end of a session. `replaces_cookie` is that of [`Touch`]. Returns 1, or 0 if there is none.
    #[napi(catch_unwind)]
    pub fn touch(
        &self,
        id: String,
        cookie: String,
        deadline: Option<f64>,
        now: f64,
        replaces_cookie: bool,
    ) -> napi::Result<f64> {
        let Some(id) = SessionId::new(id) else { return Ok(0.0) };
        let touch = Touch { replaces_cookie, ..Touch::new(cookie, deadline.map(time)) };
        let touched = now_or_error(self.0.touch(&id, &touch, time(now)))?;
        Ok(f64::from(touched == Touched::Done))
    }

    /// Ends a session.
    #[napi(catch_unwind)]
    pub fn destroy(&self, id: String) -> napi::Result<()> {
        let Some(id) = SessionId::new(id) else { return Ok(()) };
        now_or_error(self.0.destroy(&id))
    }

    /// Returns some of the sessions.
    #[napi(catch_unwind)]
    pub fn list(&self, after: Option<String>, limit: u32, now: f64) -> napi::Result<Listing> {
        now_or_error(self.0.list(after.map(Cursor::new), limit as usize, time(now)))
            .map(Listing::from)
    }

    /// Returns the number of sessions.
    #[napi(catch_unwind)]
    pub fn count(&self, now: f64) -> napi::Result<f64> {
        now_or_error(self.0.count(time(now))).map(|count| count as f64)
    }

    /// Ends all sessions.
    #[napi(catch_unwind)]
    pub fn clear(&self) -> napi::Result<()> {
        now_or_error(self.0.clear())
    }

    /// Removes the records of sessions that have ended.
    #[napi(catch_unwind)]
    pub fn purge(&self, now: f64) -> napi::Result<()> {
        while now_or_error(self.0.purge(PURGED, time(now)))? == PURGED as u64 {}
        Ok(())
    }
}

/// Makes calls that never wait, of one of core's machines.
fn now_or_session_error<T>(
    calls: impl Future<Output = Result<T, express_session_core::session::Error>>,
) -> napi::Result<T> {
    let waits = || Err(Error::new(ErrorKind::Other, "it waits").into());
    calls.now_or_never().unwrap_or_else(waits).map_err(session::of)
}

/// Makes a call that never waits.
fn now_or_error<T>(call: impl Future<Output = Result<T, Error>>) -> napi::Result<T> {
    let waits = || Err(Error::new(ErrorKind::Other, "it waits"));
    call.now_or_never().unwrap_or_else(waits).map_err(failure::of)
}
