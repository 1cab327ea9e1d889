//! The minimal layer: a session layer without any optional work.
//!
//! It is written for this bench, around any handler, on our memory store. It finds the cookie, checks its signature,
//! and hands out a session that is read when the handler asks for it, or at the end, which shows whether it still
//! exists. At the end it saves the session unless another request has, and sets the cookie of a new one. It never
//! touches: ours does not either within `touch_after`. It has no options, and does not support paths, HTTPS, errors,
//! overlapping requests, streams, upgrades, or a handle that outlives the response.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::Result;
use bench_hot::{Driver, Handle, Site, Tower, Work, service};
use express_session::store::{Created, Record, Revision, Store as _};
use express_session::{MemoryStore, SessionId, Timestamp};
use express_session_core::cookie::{self, Cookie, CookieTemplate, StoredCookie};
use express_session_core::{Document, Keyring, Verified, signing};
use futures_util::FutureExt as _;
use http::header::{COOKIE, SET_COOKIE};
use http::{Extensions, HeaderValue, Request, Response};
use rand::Rng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::{Service, service_fn};

const NAME: &str = "connect.sid";

#[derive(Clone, Debug)]
pub(crate) struct MinimalLayer(Arc<Settings>);

#[derive(Debug)]
struct Settings {
    keyring: Keyring,
    store: MemoryStore,
    /// The cookie of every session, and its text in a record.
    cookie: StoredCookie,
    template: CookieTemplate,
}

impl MinimalLayer {
    pub(crate) fn new() -> Result<Self> {
        let cookie = StoredCookie::new(&Cookie::new().secure(false), now(), false, true);
        Ok(Self(Arc::new(Settings {
            keyring: Keyring::new(["keyboard cat"])?,
            store: MemoryStore::new(),
            template: CookieTemplate::new(&cookie),
            cookie,
        })))
    }

    /// Puts the layer around a service that is ready at any time.
    pub(crate) fn around<S, B, R>(
        &self,
        mut inner: S,
    ) -> impl Service<Request<B>, Response = Response<R>, Error = S::Error, Future: Send>
    + Clone
    + use<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone,
    {
        let settings = Arc::clone(&self.0);
        service_fn(move |mut request: Request<B>| {
            let presented = settings.presented(&request);
            let settings = Arc::clone(&settings);
            let shared = Arc::new(Shared { settings, presented, state: Mutex::default() });
            request.extensions_mut().insert(MinimalSession(Arc::clone(&shared)));
            let answered = inner.call(request);
            async move {
                let mut response = answered.await?;
                if let Some(cookie) = shared.end() {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
                Ok(response)
            }
        })
    }
}

impl Settings {
    /// Returns the id of the request's cookie, if its signature is good.
    fn presented<B>(&self, request: &Request<B>) -> Option<SessionId> {
        let headers = request.headers().get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        let opened = |value: &str| signing::verify(value, &self.keyring).ok();
        cookie::find(headers, NAME, usize::MAX, opened).map(Verified::into_inner)
    }
}

impl Site for MinimalLayer {
    fn driver(&self, does: Work) -> Box<dyn Driver> {
        Tower::boxed(self.around(service::<MinimalSession>(does)))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct MinimalSession(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    presented: Option<SessionId>,
    state: Mutex<Option<Loaded>>,
}

/// A session that the handler has asked for.
#[derive(Debug)]
struct Loaded {
    id: SessionId,
    document: Document,
    /// `None` if the session is not stored yet.
    revision: Option<Revision>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> Option<Loaded> {
        let Some(id) = &self.presented else {
            let mut bytes = [0; SessionId::RANDOM_BYTES];
            // The peers use the same generator.
            rand::rng().fill_bytes(&mut bytes);
            let id = SessionId::from_random(bytes);
            return Some(Loaded { id, document: Document::new(), revision: None });
        };
        let Settings { store, template, .. } = &*self.settings;
        let now = now();
        let found = store.load(id, now).now_or_never()?.ok()??;
        let (document, _) = Document::parse_as(found.record.text, template, now).ok()?;
        Some(Loaded { id: id.clone(), document, revision: Some(found.revision) })
    }

    /// Saves the session if it is changed, and returns the cookie of a new one. A failed write is ignored.
    fn end(&self) -> Option<HeaderValue> {
        let Settings { keyring, store, cookie, template } = &*self.settings;
        let Some(Loaded { id, document, revision }) = &*self.state() else {
            store.load(self.presented.as_ref()?, now()).now_or_never()?.ok()?;
            return None;
        };
        if !document.is_changed() {
            return None;
        }
        let record = Record { text: document.to_json(&template.text(cookie)), deadline: None };
        if let Some(revision) = revision {
            store.update(id, &record, revision, now()).now_or_never()?.ok()?;
            return None;
        }
        let created = store.create(id, &record, now()).now_or_never()?.ok()?;
        let Created::Done(_) = created else { return None };
        let line = cookie::print(NAME, &signing::sign(id, keyring), cookie).ok()?;
        HeaderValue::try_from(line).ok()
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of a layer without options")]
fn now() -> Timestamp {
    SystemTime::now().into()
}

impl Handle for MinimalSession {
    async fn find(extensions: &Extensions) -> Option<Self> {
        let held: &Self = extensions.get()?;
        let mut state = held.0.state();
        if state.is_none() {
            *state = Some(held.0.load()?);
        }
        Some(held.clone())
    }

    async fn get<T: DeserializeOwned + Send>(&self, key: &str) -> Option<T> {
        self.0.state().as_ref()?.document.get(key).ok()?
    }

    async fn insert<T: Serialize + Send + Sync>(&self, key: &str, value: T) -> bool {
        let mut state = self.0.state();
        state.as_mut().is_some_and(|loaded| loaded.document.insert(key, &value).is_ok())
    }
}
