//! The stores, for JavaScript: one object for each, whose calls are promises.
//!
//! 1. A call waits for the store on the runtime's threads, never on JavaScript's.
//! 2. JavaScript says what time it is, so that a clock that a test moves moves the stores too.
//! 3. A write is express-session's: the last one stays, and one after an end begins anew.
//! 4. What fails is a text of a code, a message and a cause, line by line, of which lib/stores/failure.js makes
//!    an error. None of them names an id or holds data.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use express_session::store::{Cursor, Error, ErrorKind, Record, Touch};
use express_session_core::{SessionId, Timestamp};
use napi::Env;
use napi::bindgen_prelude::{PromiseRaw, ToNapiValue};
use napi_derive::napi;

use self::backend::Backend;
use self::seen::Seen;

pub mod file;
pub mod memcached;
pub mod memory;
pub mod mysql;
pub mod postgres;
pub mod redis;
pub mod sqlite;

mod backend;
mod failure;
mod option;
mod replace;
mod seen;

/// One store of whatever kind.
#[napi]
pub struct NativeStore(Mutex<Option<Arc<Open>>>);

/// What there is until the store is closed.
struct Open {
    backend: Box<dyn Backend>,
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
    /// Gives a session's record.
    #[napi(catch_unwind)]
    pub fn load<'env>(
        &self,
        env: &'env Env,
        id: String,
        now: f64,
    ) -> napi::Result<PromiseRaw<'env, Option<String>>> {
        self.call(env, move |open| async move {
            let Some(id) = SessionId::new(id) else { return Ok(None) };
            let loaded = open.backend.load(&id, time(now)).await?;
            Ok(loaded.map(|loaded| {
                open.seen.insert(&id, loaded.revision);
                (*loaded.record.text).to_owned()
            }))
        })
    }

    /// Stores a session's record, whether there is one already or not.
    #[napi(catch_unwind)]
    pub fn save<'env>(
        &self,
        env: &'env Env,
        id: String,
        text: String,
        deadline: Option<f64>,
        now: f64,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        self.call(env, move |open| async move {
            let id = SessionId::new(id).ok_or_else(nameless)?;
            let record = Record { text: text.into(), deadline: deadline.map(time) };
            let seen = open.seen.get(&id);
            let revision = open.backend.replace(&id, &record, seen, time(now)).await?;
            open.seen.insert(&id, revision);
            Ok(())
        })
    }

    /// Moves the end of a session, where there is one.
    #[napi(catch_unwind)]
    pub fn touch<'env>(
        &self,
        env: &'env Env,
        id: String,
        cookie: String,
        deadline: Option<f64>,
        now: f64,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        self.call(env, move |open| async move {
            let Some(id) = SessionId::new(id) else { return Ok(()) };
            let touch = Touch { cookie: cookie.into(), deadline: deadline.map(time) };
            open.backend.touch(&id, &touch, time(now)).await.map(drop)
        })
    }

    /// Ends a session.
    #[napi(catch_unwind)]
    pub fn destroy<'env>(&self, env: &'env Env, id: String) -> napi::Result<PromiseRaw<'env, ()>> {
        self.call(env, move |open| async move {
            let Some(id) = SessionId::new(id) else { return Ok(()) };
            open.seen.remove(&id);
            open.backend.destroy(&id).await
        })
    }

    /// Gives some of the sessions.
    #[napi(catch_unwind)]
    pub fn list<'env>(
        &self,
        env: &'env Env,
        after: Option<String>,
        limit: u32,
        now: f64,
    ) -> napi::Result<PromiseRaw<'env, Listing>> {
        let after = after.map(Cursor::new);
        self.call(env, move |open| async move {
            open.backend.list(after, limit as usize, time(now)).await.map(Listing::from)
        })
    }

    /// Gives the number of sessions.
    #[napi(catch_unwind)]
    pub fn count<'env>(&self, env: &'env Env, now: f64) -> napi::Result<PromiseRaw<'env, f64>> {
        self.call(env, move |open| async move {
            open.backend.count(time(now)).await.map(|count| count as f64)
        })
    }

    /// Ends all sessions.
    #[napi(catch_unwind)]
    pub fn clear<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        self.call(env, move |open| async move { open.backend.clear().await })
    }

    /// Removes the records of sessions that have ended.
    #[napi(catch_unwind)]
    pub fn purge<'env>(&self, env: &'env Env, now: f64) -> napi::Result<PromiseRaw<'env, ()>> {
        self.call(env, move |open| async move {
            while open.backend.purge(PURGED, time(now)).await? == PURGED as u64 {}
            Ok(())
        })
    }

    /// Lets go of the connections, when the calls that are under way are done.
    #[napi(catch_unwind)]
    pub fn close<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        let open = self.lock().take();
        // There: what is let go of may need the runtime.
        env.spawn_future(async move {
            drop(open);
            Ok(())
        })
    }
}

impl NativeStore {
    fn new(backend: impl Backend + 'static) -> Self {
        let open = Open { backend: Box::new(backend), seen: Seen::new() };
        Self(Mutex::new(Some(Arc::new(open))))
    }

    /// Makes a call on the runtime. It holds what it needs itself: when a worker thread is ended, its objects
    /// are freed while calls of theirs are under way.
    fn call<'env, T, F>(
        &self,
        env: &'env Env,
        call: impl FnOnce(Arc<Open>) -> F,
    ) -> napi::Result<PromiseRaw<'env, T>>
    where
        T: ToNapiValue + Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let open = self.lock().clone().ok_or_else(failure::closed)?;
        let call = call(open);
        env.spawn_future(async move { call.await.map_err(failure::of) })
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

/// Panics on the runtime, so that a test can see that this too is an error in JavaScript, and no abort.
#[napi(catch_unwind)]
#[allow(clippy::missing_panics_doc, reason = "nobody else calls it")]
pub fn panic_later<'env>(env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
    env.spawn_future(async { std::panic::resume_unwind(Box::new("on purpose")) })
}

/// How many expired records are removed in a step.
const PURGED: usize = 1000;

/// Takes JavaScript's milliseconds. Beyond a number's end it is the end.
fn time(millis: f64) -> Timestamp {
    Timestamp::from_millis(millis as i64)
}

fn nameless() -> Error {
    Error::new(ErrorKind::Unsuitable, "the id is empty")
}
