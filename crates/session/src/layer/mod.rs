//! The layer and its options: `session({ … })`.

pub(crate) mod config;
pub(crate) mod warnings;

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use express_session_core::cookie::{Cookie, check_name};
use express_session_core::{Clock, Departures, Keyring, LateWrite, Outage, Policy, Random, Unset};
use http::Response;
use http::request::Parts;
use tower_layer::Layer;

use self::warnings::Warnings;
use crate::MemoryStore;
use crate::error::{ConfigError, Error};
use crate::layer::config::{Config, Cookies, Genid, Secret};
use crate::middleware::https::Connection;
use crate::middleware::{ErrorResponse, SessionService};
use crate::runtime::system::Sources;
use crate::store::{AnyStore, Store};

/// Adds a session to every request: express-session's middleware, as a [`tower`](https://docs.rs/tower) layer.
///
/// The options have express-session's names, defaults and effects; where one departs from it, its
/// documentation says so, and `DEPARTURES.md` why.
///
/// | option | default | express-session |
/// |---|---|---|
/// | [`new`](Self::new) | required | `secret` |
/// | [`name`](Self::name) | `connect.sid` | `name` |
/// | [`store`](Self::store) | a [`MemoryStore`] | `store` |
/// | [`cookie`](Self::cookie), [`cookie_with`](Self::cookie_with) | path `/`, `HttpOnly` | `cookie` |
/// | [`genid`](Self::genid) | 24 random bytes | `genid` |
/// | [`proxy`](Self::proxy) | `None` | `proxy` |
/// | [`resave`](Self::resave) | `false` | `resave` |
/// | [`rolling`](Self::rolling) | `false` | `rolling` |
/// | [`save_uninitialized`](Self::save_uninitialized) | `false` | `saveUninitialized` |
/// | [`unset`](Self::unset) | [`Unset::Keep`] | `unset` |
/// | [`secure_when`](Self::secure_when) | – | `req.connection.encrypted` |
/// | [`store_timeout`](Self::store_timeout) | 5 s | – |
/// | [`outage`](Self::outage) | [`Outage::Fail`] | – |
/// | [`late_write`](Self::late_write) | [`LateWrite::Drop`] | – |
/// | [`lock_wait`](Self::lock_wait), [`lock_lease`](Self::lock_lease) | 10 s, 30 s | – |
/// | [`clock`](Self::clock), [`random`](Self::random) | the system's | – |
/// | [`departures`](Self::departures) | all | – |
///
/// ```
/// use std::time::Duration;
/// use axum::Router;
/// use axum::routing::get;
/// use express_session::{Cookie, Session, SessionLayer};
///
/// async fn views(session: Session) -> Result<String, express_session::Error> {
///     let views = session.update("views", |n: Option<u64>| n.unwrap_or(0) + 1)?;
///     Ok(format!("{views} views"))
/// }
///
/// let sessions = SessionLayer::new("keyboard cat")
///     .cookie(Cookie::new().max_age(Duration::from_secs(3600)));
/// let app: Router = Router::new().route("/", get(views)).layer(sessions);
/// # let request = http::Request::new(axum::body::Body::empty());
/// # let response = express_session_testkit::block_on(tower::ServiceExt::oneshot(app, request))?;
/// assert!(response.headers().contains_key("set-cookie"));
/// # Ok::<(), std::convert::Infallible>(())
/// ```
///
/// In axum a layer covers the routes that were added *before* it.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is given to a router or a service builder"]
pub struct SessionLayer {
    options: Options,
    /// The options, checked: once for all the services that this layer and its clones make.
    config: Arc<OnceLock<Arc<Config>>>,
}

#[derive(Clone)]
struct Options {
    secret: Secret,
    name: String,
    store: Option<AnyStore>,
    /// Whether that is a memory store, of which a release build warns.
    in_memory: bool,
    cookies: Cookies,
    genid: Option<Genid>,
    connection: Connection,
    error_response: Option<ErrorResponse>,
    policy: Policy,
    store_timeout: Duration,
    lock_wait: Duration,
    lock_lease: Duration,
    sources: Sources,
}

impl SessionLayer {
    /// Starts from a secret and express-session's defaults.
    ///
    /// The secret signs the session's id in the cookie, so that a visitor cannot make one up. Give at least
    /// 32 random characters, from the environment. Of several secrets, `["new", "old"]`, the first signs and
    /// all verify: a secret is rotated by putting a new one in front and dropping the old one when the
    /// sessions signed with it have ended. A session verified by an older secret keeps its cookie as it is.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// let one = SessionLayer::new("keyboard cat");
    /// let rotating = SessionLayer::new(["new secret", "old secret"]);
    /// let bytes = SessionLayer::new(&[7; 32]);
    /// assert!(rotating.build().is_ok());
    /// # let _ = (one, bytes);
    /// ```
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self {
            options: Options {
                secret: secret.into(),
                name: "connect.sid".to_owned(),
                store: None,
                in_memory: true,
                cookies: Cookies::fixed(Cookie::new()),
                genid: None,
                connection: Connection::default(),
                error_response: None,
                policy: Policy::default(),
                store_timeout: Duration::from_secs(5),
                lock_wait: Duration::from_secs(10),
                lock_lease: Duration::from_secs(30),
                sources: Sources::default(),
            },
            config: Arc::default(),
        }
    }

    /// Sets the cookie's name. Default `connect.sid`.
    ///
    /// Applications on one host, on whatever port, need different names, since cookies do not know of
    /// ports. With the prefix `__Host-` a browser also keeps subdomains from setting the cookie; it asks
    /// for `secure`, path `/` and no domain then.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").name("shop.sid");
    /// # let set_cookie = on::Browser::new(layer).visit(on::change).unwrap();
    /// // The cookie that a visitor gets after changing the session:
    /// assert!(set_cookie.starts_with("shop.sid=s%3A"));
    /// ```
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|options| options.name = name.into())
    }

    /// Sets where sessions are kept. Default: a [`MemoryStore`], whose sessions end with the process.
    ///
    /// ```
    /// use express_session::store::Admin as _;
    /// use express_session::{MemoryStore, SessionLayer, Timestamp};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let store = MemoryStore::new();
    /// let layer = SessionLayer::new("keyboard cat").store(store.clone());
    /// # let now = Timestamp::from_millis(1_700_000_000_000);
    /// # express_session_testkit::block_on(async {
    /// assert_eq!(store.count(now).await?, 0);
    /// # on::Browser::new(layer).visit(on::change);
    /// // After the first visitor whose session was changed:
    /// assert_eq!(store.count(now).await?, 1);
    /// # Ok::<(), express_session::store::Error>(())
    /// # })?;
    /// # Ok::<(), express_session::store::Error>(())
    /// ```
    pub fn store<S: Store>(self, store: S) -> Self {
        self.with(|options| {
            options.in_memory = TypeId::of::<S>() == TypeId::of::<MemoryStore>();
            options.store = Some(AnyStore::new(store));
        })
    }

    /// Sets the cookie of new sessions. Default: path `/`, `HttpOnly`, until the browser closes.
    ///
    /// Stored sessions keep the attributes they were stored with.
    ///
    /// ```
    /// use express_session::{Cookie, SameSite, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .cookie(Cookie::new().path("/admin").same_site(SameSite::Strict));
    /// # let request = http::Request::get("/admin").body(()).unwrap();
    /// # let set_cookie = on::Browser::new(layer).send(request, on::change).unwrap();
    /// assert!(set_cookie.ends_with("; Path=/admin; HttpOnly; SameSite=Strict"));
    /// ```
    pub fn cookie(self, cookie: Cookie) -> Self {
        self.with(|options| options.cookies = Cookies::fixed(cookie))
    }

    /// Sets the cookie of new sessions by a function of the request: a domain for each tenant, say.
    ///
    /// It is called once a request, for the path, and once more for each session that is made. Costs a
    /// copy of the request's head. Its result is not checked before it is used: a cookie that
    /// cannot be written is not sent, and the layer logs a warning once.
    ///
    /// ```
    /// use express_session::{Cookie, SessionLayer};
    ///
    /// let layer = SessionLayer::new("keyboard cat").cookie_with(|request| {
    ///     let admin = request.uri.path().starts_with("/admin");
    ///     Cookie::new().path(if admin { "/admin" } else { "/" })
    /// });
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    /// # let request = http::Request::get("/admin/users").body(()).unwrap();
    /// # let set_cookie = on::Browser::new(layer).send(request, on::change).unwrap();
    /// // The cookie for a request of `/admin/users`:
    /// assert!(set_cookie.contains("; Path=/admin;"));
    /// ```
    pub fn cookie_with<F>(self, cookie: F) -> Self
    where
        F: Fn(&Parts) -> Cookie + Send + Sync + 'static,
    {
        self.with(|options| options.cookies = Cookies::Of(Arc::new(cookie)))
    }

    /// Makes the ids of new sessions by a function of the request. Default: 24 random bytes, as 32 characters.
    ///
    /// Ids have to be unique and impossible to guess. Costs a copy of the request's head.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// fn unguessable() -> String {
    ///     // from your generator of random ids
    ///     # "x".to_owned()
    /// }
    /// let layer = SessionLayer::new("keyboard cat").genid(|_| format!("web-{}", unguessable()));
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::Browser::new(layer).visit(async |session| {
    /// assert!(session.id().as_str().starts_with("web-"));
    /// # Ok(()) });
    /// ```
    pub fn genid<F>(self, genid: F) -> Self
    where
        F: Fn(&Parts) -> String + Send + Sync + 'static,
    {
        self.with(|options| options.genid = Some(Arc::new(genid)))
    }

    /// Sets the response to a request whose session cannot be loaded or saved. Default: a sentence of plain text, with
    /// 503 and `Retry-After` where the failure is temporary, 409 where the session has ended meanwhile, 500 otherwise.
    ///
    /// The function takes the error and the head of the request. Its response replaces that of the handler, also where
    /// the handler itself returned the [`Error`](crate::Error). With or without such a function, the error is in the
    /// response's extensions, as `Arc<Error>`, for the layers outside of this one. Costs a copy of the request's head.
    ///
    /// ```
    /// use express_session::{Error, ErrorKind, SessionLayer};
    /// use http::{Response, StatusCode, request::Parts};
    ///
    /// fn sorry(error: &Error, request: &Parts) -> Response<String> {
    ///     let status = match error.kind() {
    ///         ErrorKind::Ended => StatusCode::CONFLICT,
    ///         _ => StatusCode::SERVICE_UNAVAILABLE,
    ///     };
    ///     let page = format!("<p>{} is not available right now.</p>", request.uri.path());
    ///     let response = Response::builder().status(status).header("content-type", "text/html");
    ///     response.body(page).unwrap_or_default()
    /// }
    /// let layer = SessionLayer::new("keyboard cat").error_response(sorry);
    /// # assert!(layer.build().is_ok());
    /// ```
    pub fn error_response<F, B>(self, respond: F) -> Self
    where
        F: Fn(&Error, &Parts) -> Response<B> + Send + Sync + 'static,
        B: Into<Bytes>,
    {
        let respond = move |error: &Error, request: &Parts| respond(error, request).map(Into::into);
        self.with(|options| options.error_response = Some(Arc::new(respond)))
    }

    /// Sets whether to trust a reverse proxy about HTTPS. Default `None`.
    ///
    /// - `true`: `X-Forwarded-Proto`, or else `Forwarded` (RFC 7239), tells whether the browser used
    ///   HTTPS. Only behind a proxy that sets it: any client can send that header too.
    /// - `false`: only a [`SecureConnection`](crate::SecureConnection) marker or
    ///   [`secure_when`](Self::secure_when) makes a request secure.
    /// - `None`: the same, and a URI whose scheme is `https`.
    ///
    /// ```
    /// use express_session::{Cookie, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .cookie(Cookie::new().secure(true))
    ///     .proxy(true);
    /// # let mut browser = on::Browser::new(layer);
    /// # let plain = http::Request::new(());
    /// # let forwarded = http::Request::builder().header("x-forwarded-proto", "https").body(()).unwrap();
    /// # let [plain, forwarded] = [plain, forwarded]
    /// #     .map(|request| browser.send(request, on::change));
    /// // The `Set-Cookie` of a plain request, and of one with `X-Forwarded-Proto: https`:
    /// assert_eq!(plain, None);
    /// assert!(forwarded.is_some_and(|set_cookie| set_cookie.contains("; Secure")));
    /// ```
    pub fn proxy(self, proxy: impl Into<Option<bool>>) -> Self {
        self.with(|options| options.connection.proxy = proxy.into())
    }

    /// Sets a function of the application that marks requests as secure.
    ///
    /// For servers that report TLS in a way of their own. Where it returns `true`, the request is secure, whatever `proxy` is.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .secure_when(|request| request.headers.contains_key("fly-forwarded-ssl"));
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    /// # let layer = layer.cookie(express_session::Cookie::new().secure(true));
    /// # let mut request = http::Request::new(());
    /// # request.headers_mut().insert("fly-forwarded-ssl", http::HeaderValue::from_static("on"));
    /// # let set_cookie = on::Browser::new(layer).send(request, on::change);
    /// // The cookie of a request with that header may be `Secure`.
    /// assert!(set_cookie.is_some_and(|set_cookie| set_cookie.contains("; Secure")));
    /// ```
    pub fn secure_when<F>(self, secure: F) -> Self
    where
        F: Fn(&Parts) -> bool + Send + Sync + 'static,
    {
        self.with(|options| options.connection.secure_when = Some(Arc::new(secure)))
    }

    /// Saves a loaded session at the end of every request, modified or not. Default `false`.
    ///
    /// Needed only for a store that cannot touch. It costs a write of the whole record a request.
    /// (express-session 1.x has `true` where the option is missing, deprecated; departure 1.)
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// use express_session_testkit::{MapStore, Spy, Verb};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let store = Spy::new(MapStore::default());
    /// let layer = SessionLayer::new("keyboard cat").store(store.clone()).resave(true);
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// # browser.visit(async |_| Ok(()));
    /// // A visitor changes the session, comes back, and changes nothing:
    /// assert_eq!(store.verbs(), [Verb::Create, Verb::Load, Verb::Update]);
    /// ```
    pub fn resave(self, resave: bool) -> Self {
        self.with(|options| options.policy.resave = resave)
    }

    /// Sends the cookie with every response, so that its expiry moves in the browser too. Default `false`.
    ///
    /// Without it a browser drops the cookie `max_age` after the last *modification*, though the store
    /// keeps the session from the last *request* on. A new session that is not saved has no cookie either way.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").rolling(true);
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// # let set_cookie = browser.visit(async |_| Ok(()));
    /// // The cookie that a visitor gets who comes back and changes nothing:
    /// assert!(set_cookie.is_some());
    /// ```
    pub fn rolling(self, rolling: bool) -> Self {
        self.with(|options| options.policy.rolling = rolling)
    }

    /// Saves a new session, and sends its cookie, even if nothing was put into it. Default `false`.
    ///
    /// `true` tells visits apart from the first request on. It costs a record and a cookie for every
    /// visitor, crawlers included, and in many places needs consent.
    /// (express-session 1.x has `true` where the option is missing, deprecated; departure 1.)
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").save_uninitialized(true);
    /// # let set_cookie = on::Browser::new(layer).visit(async |_| Ok(()));
    /// // The cookie that a visitor with an empty session gets:
    /// assert!(set_cookie.is_some());
    /// ```
    pub fn save_uninitialized(self, save_uninitialized: bool) -> Self {
        self.with(|options| options.policy.save_uninitialized = save_uninitialized)
    }

    /// Sets what [`Session::unset`](crate::Session::unset) does to the record. Default [`Unset::Keep`].
    ///
    /// ```
    /// use express_session::{SessionLayer, Unset};
    /// use express_session_testkit::{MapStore, Spy, Verb};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let store = Spy::new(MapStore::default());
    /// let layer = SessionLayer::new("keyboard cat").store(store.clone()).unset(Unset::Destroy);
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// # store.take_calls();
    /// # browser.visit(async |session| session.unset());
    /// // A visitor comes back, and the handler calls `session.unset()`:
    /// assert_eq!(store.verbs(), [Verb::LoadAndTouch, Verb::Destroy]);
    /// ```
    pub fn unset(self, unset: Unset) -> Self {
        self.with(|options| options.policy.unset = unset)
    }

    /// Sets how long a request waits for its store: to load, and once more to save. Default 5 s.
    ///
    /// A store that does not answer in time is unavailable: [`outage`](Self::outage) sets what the request does then.
    /// A save has this time for all its tries, where other requests write the same session. A store has a
    /// timeout of its own too, per call; the shorter one counts. Without a tokio runtime there is only that.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::SessionLayer;
    ///
    /// let layer = SessionLayer::new("keyboard cat").store_timeout(Duration::from_millis(500));
    /// assert!(layer.build().is_ok());
    /// let never = SessionLayer::new("keyboard cat").store_timeout(Duration::ZERO);
    /// assert_eq!(never.build().unwrap_err().option(), "store_timeout");
    /// ```
    pub fn store_timeout(self, limit: Duration) -> Self {
        self.with(|options| options.store_timeout = limit)
    }

    /// Sets what a request does when its store is unavailable: it cannot be reached, does not answer within
    /// [`store_timeout`](Self::store_timeout), or refuses to work. Default [`Outage::Fail`].
    ///
    /// A request that fails is answered 503 with `Retry-After`, and nothing of what the handler answered is
    /// sent. One that goes on ([`Outage::Continue`]) has a session that is empty and
    /// [not kept](crate::Session::is_persisted), or `None` for an `Option<Session>`; no cookie is sent, so that the
    /// visitor has the old session again when the store is back. A logout, and `regenerate`, fail in
    /// both cases: they are not to seem done. A handler that ignores the session is never failed.
    ///
    /// ```
    /// use express_session::{Outage, SessionLayer, store};
    /// use express_session_testkit::{MapStore, Spy, Verb};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let store = Spy::new(MapStore::default());
    /// let layer = SessionLayer::new("keyboard cat").store(store.clone()).outage(Outage::Continue);
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// store.fail_next(Verb::LoadAndTouch, store::ErrorKind::Unavailable);
    /// // A visitor comes back, and the handler asks for the session all the same:
    /// # let set_cookie = browser.visit(async |session| {
    /// assert!(!session.is_persisted());
    /// # Ok(()) });
    /// # assert_eq!(set_cookie, None);
    /// ```
    pub fn outage(self, outage: Outage) -> Self {
        self.with(|options| options.policy.outage = outage)
    }

    /// Sets what becomes of the changes of a request when its session ended in the meantime: by a logout in
    /// another tab, by `regenerate`, by its time. Default [`LateWrite::Drop`].
    ///
    /// They are never stored: a session that has ended stays so (departure 16). The request is answered
    /// as the handler says, without a cookie, or else ([`LateWrite::Refuse`]) with 409 Conflict, so that a
    /// client does not take for done what has been dropped.
    pub fn late_write(self, late_write: LateWrite) -> Self {
        self.with(|options| options.policy.late_write = late_write)
    }

    /// Sets how long [`Session::lock`](crate::Session::lock) waits while another request has the lock.
    /// Default 10 s.
    pub fn lock_wait(self, limit: Duration) -> Self {
        self.with(|options| options.lock_wait = limit)
    }

    /// Sets how long a [lock](crate::Session::lock) lasts that is neither given back nor renewed. Default
    /// 30 s.
    ///
    /// It bounds what a crash costs: the session can be locked again after it. A request that takes longer
    /// must [renew](crate::SessionLock::renew) the lock, or loses it and cannot save.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::SessionLayer;
    ///
    /// let layer = SessionLayer::new("keyboard cat").lock_lease(Duration::from_secs(60));
    /// assert!(layer.build().is_ok());
    /// let never = SessionLayer::new("keyboard cat").lock_lease(Duration::ZERO);
    /// assert_eq!(never.build().unwrap_err().option(), "lock_lease");
    /// ```
    pub fn lock_lease(self, lease: Duration) -> Self {
        self.with(|options| options.lock_lease = lease)
    }

    /// Sets the clock, for tests. Default: the system's.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use express_session::{Cookie, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .cookie(Cookie::new().max_age(Duration::from_secs(60)))
    ///     .clock(|| UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    /// # let set_cookie = on::Browser::new(layer).visit(on::change).unwrap();
    /// assert!(set_cookie.contains("; Expires=Tue, 14 Nov 2023 22:14:20 GMT;"));
    /// ```
    pub fn clock(self, clock: impl Clock) -> Self {
        self.with(|options| options.sources.clock = Arc::new(clock))
    }

    /// Sets the source of random bytes, for tests. Default: the system's.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").random(|bytes: &mut [u8]| bytes.fill(0));
    /// # let set_cookie = on::Browser::new(layer).visit(on::change).unwrap();
    /// assert!(set_cookie.starts_with("connect.sid=s%3AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA."));
    /// ```
    pub fn random(self, random: impl Random) -> Self {
        self.with(|options| options.sources.random = Arc::new(random))
    }

    /// Sets where to depart from express-session 1.19.0. Default: everywhere that `DEPARTURES.md` lists.
    ///
    /// ```
    /// use express_session::{Departures, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// // As express-session: the browser keeps the cookie of a session that was destroyed.
    /// let layer = SessionLayer::new("keyboard cat").departures(Departures::all().clear_cookie(false));
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// # let set_cookie = browser.visit(async |session| session.destroy().await);
    /// assert_eq!(set_cookie, None);
    /// ```
    pub fn departures(self, departures: Departures) -> Self {
        self.with(|options| options.policy.departures = departures)
    }

    /// Checks the options, so that a mistake is an error here and not a panic at [`Layer::layer`].
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// let error = SessionLayer::new("keyboard cat").name("my session").build().unwrap_err();
    /// assert_eq!(error.to_string(), r#"session option name is invalid: "my session""#);
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the option and the value: a list of secrets that is empty, a name, path or
    /// domain that no cookie can have, a time that is no date.
    pub fn build(self) -> Result<Self, ConfigError> {
        self.config()?;
        Ok(self)
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        Self { options: self.options, config: Arc::default() }
    }

    fn config(&self) -> Result<&Arc<Config>, ConfigError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = Arc::new(self.options.check()?);
        Ok(self.config.get_or_init(|| config))
    }
}

impl Options {
    fn check(&self) -> Result<Config, ConfigError> {
        let secrets = &self.secret.0;
        let keyring = Keyring::new(secrets.iter())
            .map_err(|_| ConfigError::new("secret", "a list without a secret"))?;
        check_name(&self.name).map_err(|_| ConfigError::new("name", self.name.as_str()))?;
        let fixed = match &self.cookies {
            Cookies::Fixed(fixed) => Some(&fixed.options),
            Cookies::Of(_) => None,
        };
        if let Some(cookie) = fixed {
            cookie.validate().map_err(|invalid| {
                ConfigError::new(option_of(invalid.attribute()), invalid.value())
            })?;
        }
        for (option, value) in
            [("store_timeout", self.store_timeout), ("lock_lease", self.lock_lease)]
        {
            if value.is_zero() {
                return Err(ConfigError::new(option, format!("{value:?}")));
            }
        }
        let store = self.store.clone().unwrap_or_else(|| AnyStore::new(MemoryStore::new()));
        let warnings = Warnings::default();
        let touches = store.supports_touch();
        for warning in warnings::of_options(secrets, &self.policy, fixed, self.in_memory, touches) {
            warnings.warn_once(warning);
        }
        Ok(Config {
            name: self.name.clone(),
            keyring,
            supports_touch: store.supports_touch(),
            store,
            cookies: self.cookies.clone(),
            genid: self.genid.clone(),
            connection: self.connection.clone(),
            error_response: self.error_response.clone(),
            policy: self.policy,
            store_timeout: self.store_timeout,
            lock_wait: self.lock_wait,
            lock_lease: self.lock_lease,
            writers: Arc::default(),
            finalisers: Arc::default(),
            lockers: Arc::default(),
            sources: self.sources.clone(),
            warnings,
        })
    }
}

/// Names a cookie setting as the option it is.
fn option_of(attribute: &str) -> &'static str {
    match attribute {
        "path" => "cookie.path",
        "domain" => "cookie.domain",
        "max_age" => "cookie.max_age",
        "expires" => "cookie.expires",
        _ => "cookie",
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    /// Puts sessions around a service.
    ///
    /// # Panics
    ///
    /// With the message of [`ConfigError`] where an option is invalid, at start-up and not at a request.
    /// [`SessionLayer::build`] gives the error instead.
    fn layer(&self, inner: S) -> SessionService<S> {
        match self.config() {
            Ok(config) => SessionService::new(inner, Arc::clone(config)),
            Err(error) => panic!("{error}"),
        }
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer")
            .field("secret", &self.options.secret)
            .field("name", &self.options.name)
            .field("policy", &self.options.policy)
            .finish_non_exhaustive()
    }
}
