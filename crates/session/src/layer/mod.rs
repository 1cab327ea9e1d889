//! The layer and its options: `session({ … })`.
use crate::runtime::pacemaker::Pacemaker;

pub(crate) mod config;
pub mod preset;
pub mod report;
pub(crate) mod warnings;

use std::any::TypeId;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use express_session_core::cookie::{Cookie, InvalidAttribute, check_name};
use express_session_core::metadata::{MEMBER, MemberName};
use express_session_core::policy::{AtLimit, ClientDetail, MaxSessions};
use express_session_core::record::RecordLimits;
use express_session_core::session::OwnSession;
use express_session_core::signing::check_secret;
use express_session_core::{
    AmbiguousCookie, CacheHeaders, Clock, Departures, Keyring, LateWrite, Outage, Policy, Random,
    SessionId, TouchAfter, UnreadableRecord, Unset,
};
use http::Response;
use http::request::Parts;
use serde::Serialize;
use tower_layer::Layer;

use self::report::{Facts, Prefix, Report};
use self::warnings::Warnings;
use crate::error::{ConfigError, Error};
use crate::handle::login::user_json;
use crate::handle::users::UserSession;
use crate::layer::config::{ClientAddress, Config, Cookies, Genid, Secret};
use crate::middleware::https::Connection;
use crate::middleware::{ErrorResponse, SessionService};
use crate::request::{Meant, RequestSession};
use crate::runtime::console;
use crate::runtime::failures::Failures;
use crate::runtime::system::Sources;
use crate::store::{AnyStore, BoundStore, Store};
use crate::{MemoryStore, Session};

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
/// | [`touch_timeout`](Self::touch_timeout) | 250 ms | – |
/// | [`touch_after`](Self::touch_after) | a hundredth of the session's time, at most a minute | – |
/// | [`outage`](Self::outage) | [`Outage::Fail`] | – |
/// | [`late_write`](Self::late_write) | [`LateWrite::Drop`] | – |
/// | [`unreadable_record`](Self::unreadable_record) | [`UnreadableRecord::Fail`] | – |
/// | [`ambiguous_cookie`](Self::ambiguous_cookie) | [`AmbiguousCookie::First`] | – |
/// | [`cache_headers`](Self::cache_headers) | [`CacheHeaders::Private`] | – |
/// | [`refuse_weak_secrets`](Self::refuse_weak_secrets) | `false` | – |
/// | [`key_per_name`](Self::key_per_name) | `false` | – |
/// | [`harden_stored_cookies`](Self::harden_stored_cookies) | `false` | – |
/// | [`bind_records`](Self::bind_records) | `false` | – |
/// | [`record_limits`](Self::record_limits) | 10,000 members, 4 MiB, 127 deep | – |
/// | [`metadata`](Self::metadata), [`metadata_member`](Self::metadata_member) | `false`, `__sessionMetadata` | – |
/// | [`client_address`](Self::client_address), [`user_agent`](Self::user_agent) | not noted | – |
/// | [`idle_timeout`](Self::idle_timeout), [`absolute_timeout`](Self::absolute_timeout) | none | – |
/// | [`renew_after`](Self::renew_after), [`renewal_grace`](Self::renewal_grace) | never, 30 s | – |
/// | [`max_sessions`](Self::max_sessions) | any number | – |
/// | [`user_epoch`](Self::user_epoch) | `false` | – |
/// | [`clear_site_data`](Self::clear_site_data) | `false` | – |
/// | [`print_warnings`](Self::print_warnings) | in a debug build | – |
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
    client_address: Option<ClientAddress>,
    error_response: Option<ErrorResponse>,
    policy: Policy,
    store_timeout: Duration,
    touch_timeout: Duration,
    print_warnings: bool,
    lock_wait: Duration,
    lock_lease: Duration,
    refuse_weak_secrets: bool,
    key_per_name: bool,
    harden_stored_cookies: bool,
    bind_records: bool,
    metadata_member: String,
    clear_site_data: bool,
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
                client_address: None,
                error_response: None,
                policy: Policy::default(),
                store_timeout: Duration::from_secs(5),
                touch_timeout: Duration::from_millis(250),
                print_warnings: true,
                lock_wait: Duration::from_secs(10),
                lock_lease: Duration::from_secs(30),
                refuse_weak_secrets: false,
                key_per_name: false,
                harden_stored_cookies: false,
                bind_records: false,
                metadata_member: MEMBER.to_owned(),
                clear_site_data: false,
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
    /// 503 and `Retry-After` where the failure is temporary, 409 where the session has ended meanwhile, 401 where
    /// no user has logged in, 403 where the login is too old or a CSRF token is not valid, 500 otherwise.
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
    /// assert_eq!(store.verbs(), [Verb::Load, Verb::Destroy]);
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

    /// Sets how long a request waits for the store calls that its handler did not ask for, all of them together. Default
    /// 250 ms, and never longer than [`store_timeout`](Self::store_timeout).
    ///
    /// These are the load and the touch that keep an unused session alive, a save by
    /// [`resave`](Self::resave) or [`save_uninitialized`](Self::save_uninitialized), and the release of a lock at the
    /// end. A failed or late one is logged and no error for the page: the session keeps its earlier expiry. A new
    /// session that could not be stored in time has no cookie.
    ///
    /// It does not bound a layer without lazy loading (departure 2), which loads before every handler, as
    /// express-session does, and waits `store_timeout` for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::SessionLayer;
    ///
    /// let layer = SessionLayer::new("keyboard cat").touch_timeout(Duration::from_millis(100));
    /// assert!(layer.build().is_ok());
    /// let never = SessionLayer::new("keyboard cat").touch_timeout(Duration::ZERO);
    /// assert_eq!(never.build().unwrap_err().option(), "touch_timeout");
    /// ```
    pub fn touch_timeout(self, limit: Duration) -> Self {
        self.with(|options| options.touch_timeout = limit)
    }

    /// Sets how much of a session's time passes before a request that only reads resets its expiry in the store again
    /// (departure 20). Default [`TouchAfter::Hundredth`]: a hundredth of the session's time, and at most a minute.
    ///
    /// It is the store that is spared: one read is all that such a request needs of it meanwhile. A session ends up to
    /// this much earlier than its time after the last visit, never later. At most half of the session's time counts.
    /// Zero resets the expiry with every request, as express-session does, which takes a second call. A request that
    /// changes the session, saves or [touches](crate::Session::touch) it explicitly resets it always.
    ///
    /// With [`rolling`](Self::rolling) every response has a cookie whose expiry is new: the browser's expiry is up to this
    /// much later than the record's.
    ///
    /// The time of the last reset follows from the deadline that the store returns with the record, so that nothing more
    /// is stored. A store that does not tell how long a record lives ([`Store::lifetime`](crate::store::Store::lifetime))
    /// is touched with every request.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::SessionLayer;
    /// use express_session_testkit::{MapStore, Spy, Verb};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// # for (after, calls) in [(Duration::from_secs(60), 1), (Duration::ZERO, 2)] {
    /// let spy = Spy::new(MapStore::default());
    /// let layer = SessionLayer::new("keyboard cat").store(spy.clone());
    /// let layer = layer.cookie(express_session::Cookie::new().max_age(Duration::from_secs(3600)));
    /// let layer = layer.touch_after(after);
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(async |session| session.insert("views", 1));
    /// # spy.take_calls();
    /// # browser.visit(async |session| session.get::<u32>("views").map(drop));
    /// # let found = spy.verbs();
    /// # assert_eq!(found, [Verb::Load, Verb::Touch][..calls]);
    /// # }
    /// ```
    pub fn touch_after(self, time: impl Into<TouchAfter>) -> Self {
        self.with(|options| options.policy.touch_after = time.into())
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
    /// store.fail_next(Verb::Load, store::ErrorKind::Unavailable);
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

    /// Sets whether a debug build prints warnings and failures to standard error where the program has installed no
    /// `tracing` subscriber. Default `true`; a release build prints nothing.
    ///
    /// They are events on the target `express_session`, which only a subscriber shows, such as
    /// `tracing_subscriber::fmt::init()`: a secure cookie over plain HTTP would be missing silently. Each text is
    /// printed once. `false` counts for the whole program.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// assert!(SessionLayer::new("keyboard cat").print_warnings(false).build().is_ok());
    /// ```
    pub fn print_warnings(self, print: bool) -> Self {
        self.with(|options| options.print_warnings = print)
    }

    /// Sets how a request continues whose stored record cannot be read: it is cut off, another application's, or larger
    /// than [`record_limits`](Self::record_limits). Default [`UnreadableRecord::Fail`]: using the session is an error,
    /// whose response is a 500, and nothing is written.
    ///
    /// Such a visitor meets the error on each page that uses the session, until the cookie is deleted. With
    /// [`UnreadableRecord::StartNew`] the visitor gets a new session with a new id, and the record stays in the store under
    /// the old one until it expires; with [`UnreadableRecord::Destroy`] it is removed, at the cost of a call of the store.
    /// Both are logged at level `ERROR`, once in ten seconds. Under each of the three `Option<Session>` is `None`, or the
    /// new session, and [`LazySession::destroy`](crate::LazySession::destroy) works, for a logout page.
    ///
    /// ```
    /// use express_session::{SessionLayer, UnreadableRecord, store};
    /// use express_session_testkit::{MapStore, Spy, Verb};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let store = Spy::new(MapStore::default());
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .store(store.clone())
    ///     .unreadable_record(UnreadableRecord::StartNew);
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// store.fail_next(Verb::Load, store::ErrorKind::Corrupt);
    /// // A visitor comes back, and the handler asks for the session:
    /// # let set_cookie = browser.visit(async |session| {
    /// assert!(session.is_empty());
    /// session.insert("views", 1)?;
    /// # Ok(()) });
    /// # assert!(set_cookie.is_some());
    /// ```
    pub fn unreadable_record(self, unreadable: UnreadableRecord) -> Self {
        self.with(|options| options.policy.unreadable_record = unreadable)
    }

    /// Sets the outcome of a request whose cookies name two different sessions, both validly signed. Default
    /// [`AmbiguousCookie::First`].
    ///
    /// A subdomain, or a page under another path, can plant the attacker's own session beside the visitor's ("cookie
    /// tossing"); which cookie comes first is the browser's choice (RFC 6265 §4.2.2). In both cases the layer logs a
    /// warning, once a minute at most. With [`AmbiguousCookie::Refuse`] none of them counts: using the session is an
    /// error ([`ErrorKind::AmbiguousCookie`](crate::ErrorKind::AmbiguousCookie)), whose response is a 400; a request that does not
    /// use it is not affected. An attacker can then log the visitor out, but not in. A name that begins with `__Host-`
    /// prevents both.
    ///
    /// ```
    /// use express_session::{AmbiguousCookie, ErrorKind, MemoryStore, Session, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let store = MemoryStore::new();
    /// let layer = SessionLayer::new("keyboard cat").store(store)
    ///     .ambiguous_cookie(AmbiguousCookie::Refuse);
    /// # let pair = |layer: &SessionLayer| {
    /// #     let line = on::Browser::new(layer.clone()).visit(on::change).unwrap();
    /// #     line.split(';').next().unwrap().to_owned()
    /// # };
    /// # let both = format!("{}; {}", pair(&layer), pair(&layer));
    /// # let request = http::Request::builder().header("cookie", both).body(()).unwrap();
    /// # let handler = tower::service_fn(async |request: http::Request<()>| {
    /// #     let session = Session::from_extensions(request.extensions())?.load().await;
    /// // A browser sends the cookies of two sessions:
    /// assert_eq!(session.unwrap_err().kind(), ErrorKind::AmbiguousCookie);
    /// #     Ok::<_, express_session::Error>(http::Response::new(String::new()))
    /// # });
    /// # let service = tower::Layer::layer(&layer, handler);
    /// # express_session_testkit::block_on(tower::ServiceExt::oneshot(service, request)).unwrap();
    /// ```
    pub fn ambiguous_cookie(self, ambiguous_cookie: AmbiguousCookie) -> Self {
        self.with(|options| options.policy.ambiguous_cookie = ambiguous_cookie)
    }

    /// Sets the directive for caches of a response that sets or expires the session's cookie. Default
    /// [`CacheHeaders::Private`] (departure 22; with it off, no header is added).
    ///
    /// `Set-Cookie` alone keeps no cache from storing a response (RFC 9111 §7.3), and a shared cache that stores it hands one
    /// visitor's session to the next. `Cache-Control` gets `private` or `no-store`; a stricter directive of the handler
    /// stays, and directives that permit shared caches (`public`, `s-maxage`, `CDN-Cache-Control`) are taken back.
    /// Responses without the cookie are not changed, also where the handler read the session.
    ///
    /// ```
    /// use express_session::{CacheHeaders, Session, SessionLayer};
    /// # use http::{Request, Response};
    ///
    /// let layer = SessionLayer::new("keyboard cat").cache_headers(CacheHeaders::NoStore);
    /// # let handler = tower::service_fn(async |request: Request<()>| {
    /// #     let session = Session::from_extensions(request.extensions())?.load().await?;
    /// #     session.insert("a", 1)?;
    /// #     Ok::<_, express_session::Error>(Response::new(String::new()))
    /// # });
    /// # let service = tower::Layer::layer(&layer, handler);
    /// # let call = tower::ServiceExt::oneshot(service, Request::new(()));
    /// # let response = express_session_testkit::block_on(call)?;
    /// // The response to a visitor whose session is new:
    /// assert!(response.headers().contains_key("set-cookie"));
    /// assert_eq!(response.headers()["cache-control"], "no-store");
    /// # Ok::<(), express_session::Error>(())
    /// ```
    pub fn cache_headers(self, cache_headers: CacheHeaders) -> Self {
        self.with(|options| options.policy.cache_headers = cache_headers)
    }

    /// Refuses weak secrets when the layer is built, old ones in the list as well. Default `false`: the layer logs a
    /// warning.
    ///
    /// Weak are secrets of fewer than 16 bytes, those that documentation has published, and those of less than 80 bits by
    /// [an estimate](express_session_core::signing::check_secret). Costs some 100 µs when the layer is built.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// let layer = SessionLayer::new("passwordpassword").refuse_weak_secrets(true);
    /// let error = layer.build().unwrap_err();
    /// assert_eq!(error.to_string(), r#"session option secret is invalid: "easy to guess""#);
    /// ```
    pub fn refuse_weak_secrets(self, refuse: bool) -> Self {
        self.with(|options| options.refuse_weak_secrets = refuse)
    }

    /// Signs with a key of this cookie's name alone. Default `false`, as express-session.
    ///
    /// By default a signature does not cover the cookie's name: of two layers with one secret and one store, each takes
    /// the other's cookie under its own name. With `true`, it does not. Cookies from before the change are no longer valid, and
    /// Express can share the sessions only if its secret is the derived key, HMAC-SHA256(secret, `cookie:` + name) in
    /// base64 without padding:
    /// `createHmac('sha256', secret).update('cookie:shop.sid').digest('base64').replace(/=+$/, '')`.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = |name| {
    ///     let layer = SessionLayer::new("keyboard cat").name(name).key_per_name(true);
    ///     layer.random(|bytes: &mut [u8]| bytes.fill(0))
    /// };
    /// # let [shop, admin] = ["shop.sid", "admin.sid"].map(|name| {
    /// #     on::Browser::new(layer(name)).visit(on::change).unwrap().replace(name, "")
    /// # });
    /// // The values of the cookies `shop.sid` and `admin.sid` of one id:
    /// assert_ne!(shop, admin);
    /// ```
    pub fn key_per_name(self, key_per_name: bool) -> Self {
        self.with(|options| options.key_per_name = key_per_name)
    }

    /// Sets whether stored sessions get the attributes of this layer's cookie when they are loaded. Default `false`: a stored session
    /// keeps the attributes it was stored with, as in express-session.
    ///
    /// For a layer that became stricter, or a store that others write to: a record with `httpOnly: false`, or with a foreign
    /// path or domain, is sent like a new session's cookie. Only its times stay, and `Secure` where it was set. Changes by
    /// [`session.cookie()`](crate::Session::cookie) last for one request then. The record itself changes with its next
    /// write.
    ///
    /// ```
    /// use express_session::store::{Record, Store as _};
    /// use express_session::{MemoryStore, SessionId, SessionLayer, Timestamp};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let record = r#"{"cookie":{"httpOnly":false,"path":"/"},"user":"bob"}"#;
    /// # let (store, now) = (MemoryStore::new(), Timestamp::from_millis(1_700_000_000_000));
    /// # let id = SessionId::new("bob").ok_or("empty")?;
    /// # let stored = Record { text: record.into(), deadline: None };
    /// # express_session_testkit::block_on(store.create(&id, &stored, now))?;
    /// # let keyring = express_session_core::Keyring::new(["keyboard cat"])?;
    /// # let cookie = express_session_core::signing::sign(&id, &keyring);
    /// let layer = SessionLayer::new("keyboard cat").store(store).harden_stored_cookies(true);
    /// # let layer = layer.rolling(true).clock(move || now.into());
    /// # let request = http::Request::builder().header("cookie", format!("connect.sid={cookie}"));
    /// # let set_cookie = on::Browser::new(layer).send(request.body(())?, async |_| Ok(())).unwrap();
    /// // The cookie that is sent for this record:
    /// assert!(set_cookie.ends_with("; Path=/; HttpOnly"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn harden_stored_cookies(self, harden: bool) -> Self {
        self.with(|options| options.harden_stored_cookies = harden)
    }

    /// Binds each record to its id: a record that the store returns for another id is an error, and not another visitor's
    /// session. Default `false`, as express-session.
    ///
    /// Against answers that reach the wrong call, caches and proxies that mix up keys, collations that take two ids for one,
    /// and records that were copied. Each record has one more member, `__boundTo`, an HMAC of the id under a key
    /// derived from the secret; handlers do not see it, and Node keeps it. It does not cover the data: an attacker that writes
    /// to the store can still change a session. **Sessions that began before, or in Express, have no such member and are not
    /// used**; Express does read those that begin here.
    ///
    /// Costs an HMAC and a copy of the text for each load and write, and 59 bytes for each record. With a
    /// [`MemoryStore`], calls take the longer way of other stores.
    ///
    /// ```
    /// use express_session::store::Store as _;
    /// use express_session::{MemoryStore, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let store = MemoryStore::new();
    /// let layer = SessionLayer::new("keyboard cat").store(store.clone()).bind_records(true);
    /// # let layer = layer.random(|bytes: &mut [u8]| bytes.fill(0));
    /// # on::Browser::new(layer).visit(on::change);
    /// # let id = express_session::SessionId::from_random([0; 24]);
    /// # let now = std::time::SystemTime::now().into();
    /// # let loaded = express_session_testkit::block_on(store.load(&id, now))?.ok_or("none")?;
    /// // The record of a visitor:
    /// assert!(loaded.record.text.contains(r#","views":1,"__boundTo":""#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bind_records(self, bind: bool) -> Self {
        self.with(|options| options.bind_records = bind)
    }

    /// Sets how large the record of a session may be. Default 10,000 members, 4 MiB, and values 127 levels deep.
    ///
    /// A stored record that is larger is not loaded, and a session that has become larger is not saved: the request fails
    /// with [`ErrorKind::RecordLimit`](crate::ErrorKind::RecordLimit), answered 500, which names the limit. The store
    /// keeps what it has, and a higher limit makes the session usable again. A check takes one pass over the values that
    /// this request has set.
    ///
    /// ```
    /// use express_session::{LimitExceeded, ErrorKind, RecordLimits, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").record_limits(RecordLimits::default().bytes(1_000));
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(async |session| {
    /// session.insert("comment", "a".repeat(1_000))?;
    /// let error = session.save().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::RecordLimit(LimitExceeded::Bytes));
    /// # session.remove("comment")?;
    /// # Ok(()) });
    /// ```
    pub fn record_limits(self, limits: RecordLimits) -> Self {
        self.with(|options| options.policy.record_limits = limits)
    }

    /// Keeps the library's own notes about each session: when it began, when it was last seen, and which user
    /// has logged in. Default `false`: records are as express-session writes them.
    ///
    /// The notes are one more member of the record, [`metadata_member`](Self::metadata_member), of 62 bytes and more.
    /// Handlers do not see it among the members: [`Session::metadata`] reads it. Node keeps it like any other member.
    /// Sessions that began in Node or before the option was set get it with their next write, or when their expiry is reset.
    /// A member of this name and of another shape counts as absent, and is replaced. [`idle_timeout`](Self::idle_timeout)
    /// and [`absolute_timeout`](Self::absolute_timeout) turn the notes on by themselves.
    ///
    /// No request needs one more call of the store, unless that [does not touch](Store::supports_touch). One that only reads
    /// writes the record where it would otherwise touch it, once in [`touch_after`](Self::touch_after): the note of the
    /// visit. Such a write changes the revision of the record, so that one of an overlapping request may have to be merged.
    ///
    /// ```
    /// use express_session::{SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let now = Timestamp::from_millis(1_700_000_000_000);
    /// let clock = FakeClock::new(now);
    /// let layer = SessionLayer::new("keyboard cat").metadata(true).clock(clock);
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// // A visitor comes back:
    /// # browser.visit(async |session| {
    /// let metadata = session.metadata()?.expect("it is stored");
    /// assert_eq!(metadata.created(), now);
    /// assert_eq!(session.keys(), ["views"]);
    /// # Ok(()) });
    /// ```
    pub fn metadata(self, keep: bool) -> Self {
        self.with(|options| options.policy.metadata = keep)
    }

    /// Sets the name of the record's member that has the [metadata](Self::metadata). Default `__sessionMetadata`.
    ///
    /// All applications on one store need the same name. [`build`](Self::build) refuses an empty name, one that
    /// express-session reserves, and a number.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// assert!(SessionLayer::new("keyboard cat").metadata_member("__life").build().is_ok());
    /// let error = SessionLayer::new("keyboard cat").metadata_member("cookie").build().unwrap_err();
    /// assert_eq!(error.option(), "metadata_member");
    /// ```
    pub fn metadata_member(self, name: impl Into<String>) -> Self {
        self.with(|options| options.metadata_member = name.into())
    }

    /// Notes the address of the client in the metadata of its session: that of the first visit and that of the last one, for
    /// a page of devices. Default: not noted.
    ///
    /// `of` returns the address of a request, or `None` where that is not known. Only the application knows which proxies it
    /// may believe: without one it is the peer of the connection, behind one the entry of `X-Forwarded-For` (or `Forwarded`,
    /// RFC 7239) that this proxy has added, which is the last one. A client can write the others itself.
    ///
    /// [`ClientDetail::Shortened`] keeps the network alone, the first 24 bits of IPv4 and 48 of IPv6: an address is personal
    /// data in many countries. [`Metadata::first_client`](crate::Metadata::first_client) and
    /// [`last_client`](crate::Metadata::last_client) return it, and [`UserSession`] too. The last one is noted when the
    /// [last visit](Self::metadata) is, a login begins with a new first one, and an ended session has none. Node carries it
    /// along. Turns [`metadata`](Self::metadata) on. Costs up to 60 bytes of the record for each of the two.
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use axum::extract::ConnectInfo;
    /// use express_session::{ClientDetail, SessionLayer};
    /// use http::request::Parts;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// // With `app.into_make_service_with_connect_info::<SocketAddr>()`:
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .client_address(ClientDetail::Shortened, |request: &Parts| {
    ///         let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    ///         peer.map(|peer| peer.0.ip())
    ///     });
    /// # let mut request = http::Request::new(());
    /// # let peer: SocketAddr = "192.0.2.17:1024".parse()?;
    /// # request.extensions_mut().insert(ConnectInfo(peer));
    /// # on::Browser::new(layer).send(request, async |session| {
    /// # session.insert("views", 1)?;
    /// # session.save().await?;
    /// let metadata = session.metadata()?.expect("it is stored");
    /// let address = metadata.last_client().and_then(|client| client.address());
    /// assert_eq!(address, "192.0.2.0".parse().ok());
    /// # Ok(()) });
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn client_address(
        self,
        detail: ClientDetail,
        of: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.with(|options| {
            options.policy.client.address = Some(detail);
            options.client_address = Some(Arc::new(of));
        })
    }

    /// Notes the `User-Agent` of the client in the metadata of its session, where and when
    /// [`client_address`](Self::client_address) notes the address. Default: not noted.
    ///
    /// [`ClientDetail::Shortened`] keeps the first number of each version: `Chrome/126.0.6478.61` is noted as `Chrome/126`.
    /// At most 256 bytes are noted. It is what the client says of itself: show it as text, and decide nothing by it. Turns
    /// [`metadata`](Self::metadata) on. Costs up to 530 bytes of the record for each of the first and the last visit, once
    /// if they are equal.
    ///
    /// ```
    /// use express_session::{ClientDetail, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").user_agent(ClientDetail::Shortened);
    /// # let request = http::Request::builder().header("user-agent", "curl/8.9.1");
    /// # on::Browser::new(layer).send(request.body(())?, async |session| {
    /// # session.insert("views", 1)?;
    /// # session.save().await?;
    /// let metadata = session.metadata()?.expect("it is stored");
    /// let client = metadata.first_client().expect("it is noted");
    /// assert_eq!(client.user_agent(), Some("curl/8"));
    /// # Ok(()) });
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn user_agent(self, detail: ClientDetail) -> Self {
        self.with(|options| options.policy.client.user_agent = Some(detail))
    }

    /// Ends sessions that have not been used for this long, with any time of the cookie (OWASP ASVS 5.0 7.3.1).
    /// Default: none.
    ///
    /// A record's deadline in the store is at most this far in the future, and a record that the store returns all the same is
    /// checked when it is loaded: its visitor gets a new, empty session, the old record is destroyed, and
    /// [`Session::ended_by`] returns the reason. A request that is under way when the time passes is a visit. Where the
    /// cookie has no time, the timeout takes the place of the store's own TTL.
    ///
    /// Visits are noted once in [`touch_after`](Self::touch_after), at most a tenth of the timeout. This time is added,
    /// so that no session ends before the timeout has passed since the last visit: with the defaults, a session of 30
    /// minutes ends up to 18 s later. With `touch_after(Duration::ZERO)` each visit is noted, and the timeout is exact.
    ///
    /// Turns on [`metadata`](Self::metadata), whose costs it has. Express sets its own deadline with each of its visits, and
    /// knows no timeout: see the table in the [guide](crate::guide::lifetime).
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{EndedBy, SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let half_an_hour = Duration::from_secs(30 * 60);
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let layer = SessionLayer::new("keyboard cat").idle_timeout(half_an_hour).clock(clock.clone());
    /// # let layer = layer.touch_after(Duration::ZERO);
    /// # let layer = layer.store(express_session_testkit::MapStore::default());
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// // A visitor comes back half an hour later:
    /// clock.advance(half_an_hour);
    /// # browser.visit(async |session| {
    /// assert!(session.is_empty());
    /// # Ok(()) });
    /// # let _ = EndedBy::Idle;
    /// ```
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.policy.limits.idle = Some(timeout))
    }

    /// Ends sessions this long after they began, or after their [login](Session::login), however often they are used
    /// (OWASP ASVS 5.0 7.3.2, NIST SP 800-63B-4 §5.2). Default: none.
    ///
    /// It is enforced as [`idle_timeout`](Self::idle_timeout) is, and by two more rules: a request that is under way when
    /// the time passes writes nothing more, as after a logout elsewhere, and the cookie's `Expires` is not later than the
    /// end. The time of a session without metadata, which Node began, begins with its first write by this layer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{Cookie, SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let [hour, day] = [3600, 86_400].map(Duration::from_secs);
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .cookie(Cookie::new().max_age(day))
    ///     .absolute_timeout(12 * hour)
    ///     .clock(clock.clone());
    /// # let mut browser = on::Browser::new(layer);
    /// # let set_cookie = browser.visit(on::change).unwrap();
    /// // The cookie of a visitor that comes at 22:13:
    /// assert!(set_cookie.contains("; Expires=Wed, 15 Nov 2023 10:13:20 GMT;"));
    /// # clock.advance(11 * hour);
    /// # browser.visit(async |session| { assert!(!session.is_empty()); Ok(()) });
    /// // The visitor comes back after 12 hours, the last visit being an hour ago:
    /// # clock.advance(hour);
    /// # browser.visit(async |session| {
    /// assert!(session.is_empty());
    /// # Ok(()) });
    /// ```
    pub fn absolute_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.policy.limits.absolute = Some(timeout))
    }

    /// Allows each user this many sessions (OWASP ASVS 5.0 7.1.2). A [login](crate::Session::login) beyond it is refused, or
    /// ends the sessions with the earliest last visits. Default: any number.
    ///
    /// A user never has more sessions by `login` than that, in all processes together: the logins of one user come one after
    /// the other, under a lock of the store, and each stores its session before the next one begins. So a login costs a lock
    /// and its release, one [listing](Store::sessions_of) of the user's sessions, and the save that the end of the
    /// request otherwise makes. **In Redis and memory, in files and in [sealed](crate::guide::lifetime) stores the listing
    /// reads every session**, unless the store has an index: see the [guide](crate::guide::lifetime#an-index-of-the-users). A session that ended by a limit does
    /// not count, and neither does the one that logs in. Logins by passport in Express are counted by the next login here,
    /// and are not checked themselves.
    ///
    /// A refused login is [`ErrorKind::TooManySessions`](crate::ErrorKind::TooManySessions), answered 403, and changes
    /// nothing. In the next request of a session that was ended, [`Session::ended_by`] has the reason. Turns on
    /// [`metadata`](Self::metadata). [`MemoryStore::max_sessions`](crate::MemoryStore::max_sessions) is about all sessions of
    /// a store.
    ///
    /// ```
    /// use express_session::{AtLimit, EndedBy, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").max_sessions(1, AtLimit::EndLeastRecentlyUsed);
    /// # let mut phone = on::Browser::new(layer.clone());
    /// # phone.visit(async |session| session.login("bob").await);
    /// # let mut laptop = on::Browser::new(layer);
    /// # laptop.visit(async |session| session.login("bob").await);
    /// # phone.visit(async |session| {
    /// // The user has logged in on the phone and then on the laptop. On the phone:
    /// assert_eq!(session.ended_by(), Some(EndedBy::Limit));
    /// assert_eq!(session.user::<String>()?, None);
    /// # Ok(()) });
    /// # laptop.visit(async |session| { assert_eq!(session.user::<String>()?.as_deref(), Some("bob")); Ok(()) });
    /// ```
    pub fn max_sessions(self, count: usize, at_limit: AtLimit) -> Self {
        let max = MaxSessions { count, at_limit };
        self.with(|options| options.policy.max_sessions = Some(max))
    }

    /// Notes for each user when their sessions ended last, so that no session from before that goes on: neither one whose login
    /// was under way, nor one that another program has stored again. Default: `false`.
    ///
    /// Without it, the end of a user's sessions ends what it finds in the store. A login whose session is stored meanwhile may
    /// be missed, and an Express request that loaded a session before may `set` it again. With it, a record for each user has
    /// an *epoch*, a number that only rises. [`login`](crate::Session::login) notes it in the session, and
    /// [`end_other_sessions`](crate::Session::end_other_sessions), [`end_all_sessions`](crate::Session::end_all_sessions) and
    /// [`end_sessions_of`](Self::end_sessions_of) raise it before they look for the sessions. A session with a lower one has
    /// ended: the next request that loads it destroys its record, and [`ended_by`](crate::Session::ended_by) is
    /// [`EndedBy::Revoked`](crate::EndedBy::Revoked) there.
    ///
    /// Costs one more call of the store for each request that loads a session with a user, and for each login; an end costs
    /// two, or three where a session goes on. If the epoch cannot be read, the request fails as if the session could not be
    /// loaded. The record of the epoch is stored when the user's sessions end for the first time, and lasts as long as the
    /// longest time limit of the layer, at least 400 days. Turns on [`metadata`](Self::metadata).
    ///
    /// **A login call that begins after the end is a new login.** An application that verifies a password, waits, and then calls
    /// `login` may do so with the old password: see the [guide](crate::guide::lifetime#an-epoch-for-each-user). There is also
    /// what holds for logins by passport in Express, which know no epoch, and while only some of the processes have the option.
    ///
    /// ```
    /// use express_session::{EndedBy, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").user_epoch(true);
    /// # let sessions = layer.clone();
    /// # let mut phone = on::Browser::new(layer);
    /// # phone.visit(async move |session| {
    /// // A login is under way on the phone,
    /// session.login("bob").await?;
    /// // and before its session is stored, an administrator ends those of the user:
    /// sessions.end_sessions_of("bob").await?;
    /// # Ok(()) });
    /// # phone.visit(async |session| {
    /// // The next request of the phone:
    /// assert_eq!(session.user::<String>()?, None);
    /// assert_eq!(session.ended_by(), Some(EndedBy::Revoked));
    /// # Ok(()) });
    /// ```
    pub fn user_epoch(self, has_epochs: bool) -> Self {
        self.with(|options| options.policy.user_epoch = has_epochs)
    }

    /// Renews the id of a session by itself at this age, and keeps the data. Default: never.
    ///
    /// An id that was stolen then leads nowhere after the [grace period](Self::renewal_grace) (OWASP ASVS 5.0 7.2.4 asks for
    /// it at the login, which [`login`](crate::Session::login) does by itself). The first request of a session with an older
    /// id stores it under a new one, and sends the cookie: a request whose handler has asked for the session, and whose
    /// response can still have the cookie. It goes on if that fails, with the old id. See
    /// [`renew_id`](crate::Session::renew_id) for what it does.
    ///
    /// Costs two calls of the store with each renewal, and one more for the end of a session. Every other request makes as
    /// many as without. Turns [`metadata`](Self::metadata) on, in which the time is noted. All layers on one store should
    /// have it: a layer without does not end a session that is renewed at the same moment.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let quarter = Duration::from_secs(900);
    /// let layer = SessionLayer::new("keyboard cat").renew_after(quarter).clock(clock.clone());
    /// # let mut browser = on::Browser::new(layer);
    /// # let first = browser.visit(on::change);
    /// // A visitor comes back a quarter of an hour later, and the handler only reads:
    /// clock.advance(quarter);
    /// # let renewed = browser.visit(async |session| session.get::<u32>("views").map(drop));
    /// assert!(renewed.is_some() && renewed != first);
    ///
    /// let never = SessionLayer::new("keyboard cat").renew_after(Duration::ZERO);
    /// assert_eq!(never.build().unwrap_err().option(), "renew_after");
    /// ```
    pub fn renew_after(self, age: Duration) -> Self {
        self.with(|options| options.policy.renewal.get_or_insert_default().after = Some(age))
    }

    /// Sets how long the old id leads to the session after a renewal, and allows
    /// [`renew_id`](crate::Session::renew_id). Default 30 s with [`renew_after`](Self::renew_after).
    ///
    /// It is for requests that were sent with the old cookie, and for a response that did not arrive: each response to the
    /// old id has the new cookie. At least twice [`store_timeout`](Self::store_timeout).
    ///
    /// A request that takes more than half of it does not know what it means that its session's record is gone: it may
    /// have been renewed, and the grace period be over. It fails with [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), also
    /// where it is a logout, rather than drop what it has changed. Take the grace period twice as long as any request lasts.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let minute = Duration::from_secs(60);
    /// let layer = SessionLayer::new("keyboard cat").renewal_grace(minute).clock(clock.clone());
    /// # let mut browser = on::Browser::new(layer.clone());
    /// # let old = browser.visit(on::change).unwrap();
    /// # browser.visit(async |session| session.renew_id().await);
    /// # let visit = |handler: fn(express_session::Session) -> Result<(), express_session::Error>| {
    /// #     let pair = old.split(';').next().unwrap();
    /// #     let request = http::Request::builder().header("cookie", pair).body(()).unwrap();
    /// #     on::Browser::new(layer.clone()).send(request, async move |session| handler(session));
    /// # };
    /// // The handler has called `renew_id`. A request with the old cookie, and one a minute later:
    /// # visit(|session| {
    /// assert!(!session.is_empty());
    /// # Ok(()) });
    /// clock.advance(minute);
    /// # visit(|session| {
    /// assert!(session.is_empty());
    /// # Ok(()) });
    /// ```
    pub fn renewal_grace(self, grace: Duration) -> Self {
        self.with(|options| options.policy.renewal.get_or_insert_default().grace = grace)
    }

    /// Sends `Clear-Site-Data: "cookies", "storage"` with the response of a [`Session::logout`]. Default `false`.
    ///
    /// The browser then deletes all cookies of the registrable domain, other applications' included, and what scripts of
    /// the origin have stored (W3C Clear Site Data; OWASP ASVS 5.0 14.3.1). Browsers obey it over HTTPS only.
    ///
    /// ```
    /// use express_session::{Session, SessionLayer};
    /// # use http::{Request, Response};
    ///
    /// let layer = SessionLayer::new("keyboard cat").clear_site_data(true);
    /// # let handler = tower::service_fn(async |request: Request<()>| {
    /// #     Session::from_extensions(request.extensions())?.load().await?.logout().await?;
    /// #     Ok::<_, express_session::Error>(Response::new(String::new()))
    /// # });
    /// # let service = tower::Layer::layer(&layer, handler);
    /// # let call = tower::ServiceExt::oneshot(service, Request::new(()));
    /// # let response = express_session_testkit::block_on(call)?;
    /// // The response of a handler that calls `session.logout()`:
    /// assert_eq!(response.headers()["clear-site-data"], r#""cookies", "storage""#);
    /// # Ok::<(), express_session::Error>(())
    /// ```
    pub fn clear_site_data(self, clear: bool) -> Self {
        self.with(|options| options.clear_site_data = clear)
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
    /// domain that no cookie can have, a time that is no date; or the option and the rule, for a cookie that browsers would
    /// drop (RFC 6265bis §4.1.3; departure 21), and a weak secret under
    /// [`refuse_weak_secrets`](Self::refuse_weak_secrets).
    pub fn build(self) -> Result<Self, ConfigError> {
        self.config()?;
        Ok(self)
    }

    /// Reports which requirements of OWASP's ASVS and WSTG and of NIST SP 800-63B-4 the layer meets, as it is configured, and
    /// which option or call each of the others needs.
    ///
    /// For an audit, and for a test that [fails](Report::fail_under) when an option becomes weaker. The options are not
    /// checked, and nothing is asked of the store.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// use express_session::report::Standard;
    ///
    /// // 32 random bytes, from the environment:
    /// # let secret: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(167) ^ 91).collect();
    /// let report = SessionLayer::hardened(secret).report();
    /// print!("{report}");
    /// # let table = report.to_string();
    /// # assert!(table.contains("  met         7.3.1   an idle timeout: `SessionLayer::idle_timeout`\n"), "{table}");
    /// report.fail_under(Standard::Nist, 14)?;
    /// # Ok::<(), express_session::report::TooFew>(())
    /// ```
    #[must_use]
    pub fn report(&self) -> Report {
        Report::new(&self.options.facts())
    }

    /// Loads a session by its id, outside of a request: for a webhook, a job, or a socket. `None` where the store has no
    /// such session.
    ///
    /// The handle is that of a handler, with the same rules: `update` is applied again where a request has changed the
    /// session in the meantime, a session that has ended is never written again, and `destroy` ends it. Nothing is saved
    /// implicitly: call [`save`](crate::Session::save), or [`update_now`](crate::Session::update_now). Loading is no visit,
    /// so that it does not extend the session's life; [`touch`](crate::Session::touch) does. One call of the store.
    ///
    /// The id is [`Session::id`](crate::Session::id), which the handler passed on. Keep it secret.
    ///
    /// ```
    /// use express_session::{Error, Session, SessionId, SessionLayer};
    ///
    /// /// The payment provider calls back, without the visitor's cookie.
    /// async fn paid(sessions: &SessionLayer, id: &SessionId) -> Result<bool, Error> {
    ///     let Some(session) = sessions.open(id).await? else { return Ok(false) };
    ///     session.update_now("paid", |paid: Option<u32>| paid.unwrap_or(0) + 1).await?;
    ///     Ok(true)
    /// }
    /// # let sessions = SessionLayer::new("keyboard cat");
    /// # let nobody = SessionId::new("nobody").unwrap();
    /// # assert!(!express_session_testkit::block_on(paid(&sessions, &nobody))?);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store), and
    /// [`ErrorKind::RecordLimit`](crate::ErrorKind::RecordLimit): the setting of
    /// [`unreadable_record`](Self::unreadable_record) is for visits.
    ///
    /// # Panics
    ///
    /// Where an option is invalid, as making a service does; [`build`](Self::build) returns that as an error.
    pub async fn open(&self, id: &SessionId) -> Result<Option<Session>, Error> {
        let loaded = RequestSession::load_by_id(Arc::clone(self.valid()), id.clone()).await?;
        Ok(loaded.map(Session::new))
    }

    /// Returns the sessions of a user, the one with the latest visit first: for an administrator (OWASP ASVS 5.0 7.4.5).
    ///
    /// `user` is what [`login`](crate::Session::login) or passport stored, of the same type: a session of `17` is not one of
    /// `"17"`. Costs a [listing](Store::sessions_of); none of the sessions is a visit.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # let mut browser = on::Browser::new(layer.clone());
    /// # browser.visit(async |session| session.login("bob").await);
    /// # express_session_testkit::block_on(async {
    /// // Bob has logged in once.
    /// assert_eq!(layer.sessions_of("bob").await?.len(), 1);
    /// assert_eq!(layer.sessions_of("eve").await?.len(), 0);
    /// # Ok::<(), express_session::Error>(()) })?;
    /// # Ok::<(), express_session::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store), of kind `Unsupported` for a store that does not list;
    /// [`ErrorKind::Serialize`](crate::ErrorKind::Serialize) for a user that no session can have.
    ///
    /// # Panics
    ///
    /// Where an option is invalid, as making a service does.
    pub async fn sessions_of<U: Serialize>(&self, user: U) -> Result<Vec<UserSession>, Error> {
        let users = self.valid().user_query(user_json(&user)?);
        let session = RequestSession::of_user(Arc::clone(self.valid()), &users);
        let listed = session.sessions_of(&users).await?;
        Ok(listed.iter().map(|listed| UserSession::of(&session.config, listed, false)).collect())
    }

    /// Ends all sessions of a user, and returns how many there were: when the user is disabled, or deleted (OWASP ASVS 5.0
    /// 7.4.2, 7.4.5).
    ///
    /// First disable the user, so that no new login succeeds. The effect is that of
    /// [`end_other_sessions`](crate::Session::end_other_sessions), which says what holds for logins and requests under way.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # let mut browser = on::Browser::new(layer.clone());
    /// # browser.visit(async |session| session.login("bob").await);
    /// # express_session_testkit::block_on(async {
    /// // Bob has logged in once.
    /// assert_eq!(layer.end_sessions_of("bob").await?, 1);
    /// assert_eq!(layer.sessions_of("bob").await?.len(), 0);
    /// # Ok::<(), express_session::Error>(()) })?;
    /// # Ok::<(), express_session::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`sessions_of`](Self::sessions_of). Some of the sessions may have ended then: call it again.
    ///
    /// # Panics
    ///
    /// Where an option is invalid, as making a service does.
    pub async fn end_sessions_of<U: Serialize>(&self, user: U) -> Result<u64, Error> {
        let users = self.valid().user_query(user_json(&user)?);
        let session = RequestSession::of_user(Arc::clone(self.valid()), &users);
        session.end_sessions_of(users, Meant::All { own: OwnSession::default() }).await
    }

    /// Ends one session of a user, by its [public id](UserSession::public_id). Returns `false` where the user has no such
    /// session.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # let mut browser = on::Browser::new(layer.clone());
    /// # browser.visit(async |session| session.login("bob").await);
    /// # express_session_testkit::block_on(async {
    /// let sessions = layer.sessions_of("bob").await?;
    /// assert!(layer.end_session_of("bob", sessions[0].public_id()).await?);
    /// assert!(!layer.end_session_of("bob", sessions[0].public_id()).await?);
    /// # Ok::<(), express_session::Error>(()) })?;
    /// # Ok::<(), express_session::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`sessions_of`](Self::sessions_of).
    ///
    /// # Panics
    ///
    /// Where an option is invalid, as making a service does.
    pub async fn end_session_of<U: Serialize>(
        &self,
        user: U,
        public_id: &str,
    ) -> Result<bool, Error> {
        let users = self.valid().user_query(user_json(&user)?);
        let session = RequestSession::of_user(Arc::clone(self.valid()), &users);
        session.end_by_public_id(users, public_id).await
    }

    /// Waits until every save, logout and release of a lock of this layer's requests has ended, but no longer than
    /// `limit`, and returns how many have not.
    ///
    /// For a graceful shutdown, after the server has stopped. An operation continues in a task of its own when its
    /// request is dropped, as by a client that disconnects, and would end with the runtime. Operations that
    /// wait in tasks of the application count too. A limit longer than
    /// [`store_timeout`](Self::store_timeout) is enough for all of them. It covers the services of this layer and
    /// of its clones, from the time they were made.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::SessionLayer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sessions = SessionLayer::new("keyboard cat").build().expect("the options are valid");
    /// // axum::serve(listener, app.layer(sessions.clone())).with_graceful_shutdown(…).await
    /// assert_eq!(sessions.drain(Duration::from_secs(6)).await, 0);
    /// # }
    /// ```
    #[must_use = "the number of operations that are lost when the runtime ends now"]
    pub async fn drain(&self, limit: Duration) -> usize {
        match self.config.get() {
            Some(config) => config.tasks.drain(limit).await,
            None => 0,
        }
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        Self { options: self.options, config: Arc::default() }
    }

    /// Returns the options, checked.
    ///
    /// # Panics
    ///
    /// Where one is invalid.
    fn valid(&self) -> &Arc<Config> {
        self.config().unwrap_or_else(|error| panic!("{error}"))
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
    /// Returns the policy: a renewal notes its time in the metadata.
    fn policy(&self) -> Policy {
        let metadata = self.policy.metadata || self.policy.renewal.is_some();
        Policy { metadata, ..self.policy }
    }

    fn facts(&self) -> Facts {
        Facts {
            policy: self.policy(),
            cookie: match &self.cookies {
                Cookies::Fixed(fixed) => Some((&fixed.options).into()),
                Cookies::Of(_) => None,
            },
            prefix: Prefix::of(&self.name),
            has_genid: self.genid.is_some(),
            refuses_weak_secrets: self.refuse_weak_secrets,
            has_key_per_name: self.key_per_name,
        }
    }

    fn check(&self) -> Result<Config, ConfigError> {
        let secrets = &self.secret.0;
        let keyring = if self.key_per_name {
            Keyring::derived(secrets.iter(), &["cookie:", &self.name].concat())
        } else {
            Keyring::new(secrets.iter())
        };
        let without_secret = |_| ConfigError::new("secret", "a list without a secret");
        let keyring = keyring.map_err(without_secret)?;
        let public_ids = Keyring::derived(secrets.iter(), "public id").map_err(without_secret)?;
        if self.refuse_weak_secrets {
            let check = secrets.iter().try_for_each(|secret| check_secret(secret));
            check.map_err(|weak| ConfigError::new("secret", weak.to_string()))?;
        }
        check_name(&self.name).map_err(|_| ConfigError::new("name", self.name.as_str()))?;
        let fixed = match &self.cookies {
            Cookies::Fixed(fixed) => Some(&fixed.options),
            Cookies::Of(_) => None,
        };
        if let Some(cookie) = fixed {
            cookie.validate().map_err(|invalid| refused(&invalid))?;
        }
        let dropped = fixed.and_then(|cookie| cookie.check_browser_rules(&self.name).err());
        if let Some(dropped) = dropped.as_ref().filter(|_| self.policy.follows_browser_rules()) {
            return Err(refused(dropped));
        }
        self.check_limits()?;
        let metadata_member = MemberName::new(self.metadata_member.as_str());
        let metadata_member = metadata_member
            .ok_or_else(|| ConfigError::new("metadata_member", self.metadata_member.as_str()))?;
        let mut store = self.store.clone().unwrap_or_else(|| AnyStore::new(MemoryStore::new()));
        if self.bind_records
            && let Ok(keyring) = Keyring::derived(secrets.iter(), "record")
        {
            store = AnyStore::new(BoundStore::new(store, keyring));
        }
        if !self.print_warnings {
            console::silence();
        }
        let warnings = Warnings::default();
        let touches = store.supports_touch();
        let dropped = dropped.is_some();
        for warning in warnings::of_options(secrets, &self.policy, dropped, self.in_memory, touches)
        {
            warnings.warn_once(warning);
        }
        Ok(Config {
            name: self.name.clone(),
            keyring,
            supports_touch: store.supports_touch(),
            lifetime: store.lifetime(),
            store,
            cookies: self.cookies.clone(),
            genid: self.genid.clone(),
            connection: self.connection.clone(),
            client_address: self.client_address.clone(),
            error_response: self.error_response.clone(),
            policy: self.policy(),
            store_timeout: self.store_timeout,
            touch_timeout: self.touch_timeout.min(self.store_timeout),
            lock_wait: self.lock_wait,
            lock_lease: self.lock_lease,
            harden_stored_cookies: self.harden_stored_cookies,
            metadata_member,
            public_ids,
            clear_site_data: self.clear_site_data,
            writers: Arc::default(),
            finalisers: Arc::default(),
            lockers: Arc::default(),
            renewers: Arc::default(),
            tasks: Arc::default(),
            pacemaker: Pacemaker::default(),
            failures: Failures::default(),
            sources: self.sources.clone(),
            warnings,
        })
    }

    /// Checks the times and the number of sessions, which are useless if they are too small.
    fn check_limits(&self) -> Result<(), ConfigError> {
        for (option, value) in [
            ("store_timeout", self.store_timeout),
            ("touch_timeout", self.touch_timeout),
            ("lock_lease", self.lock_lease),
        ] {
            if value.is_zero() {
                return Err(ConfigError::new(option, format!("{value:?}")));
            }
        }
        let limits = self.policy.limits;
        for (option, limit) in
            [("idle_timeout", limits.idle), ("absolute_timeout", limits.absolute)]
        {
            if limit.is_some_and(|limit| limit < Duration::from_millis(1)) {
                return Err(ConfigError::new(option, format!("{limit:?}")));
            }
        }
        if self.policy.max_sessions.is_some_and(|max| max.count == 0) {
            return Err(ConfigError::new("max_sessions", "0"));
        }
        if let Some(renewal) = self.policy.renewal {
            let after = renewal.after.unwrap_or(Duration::MAX);
            for (option, time) in [("renew_after", after), ("renewal_grace", renewal.grace)] {
                if time < Duration::from_millis(1) {
                    return Err(ConfigError::new(option, format!("{time:?}")));
                }
            }
            // A save that begins in the first half has to end within the second one.
            if renewal.grace / 2 < self.store_timeout {
                let value = format!("{:?}, less than twice store_timeout", renewal.grace);
                return Err(ConfigError::new("renewal_grace", value));
            }
        }
        Ok(())
    }
}

/// Names a cookie setting as the option it is.
fn refused(invalid: &InvalidAttribute) -> ConfigError {
    let option = match invalid.attribute() {
        "secure" => "cookie.secure",
        "http_only" => "cookie.http_only",
        "path" => "cookie.path",
        "domain" => "cookie.domain",
        "max_age" => "cookie.max_age",
        "expires" => "cookie.expires",
        _ => "cookie",
    };
    ConfigError::new(option, invalid.value())
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
        SessionService::new(inner, Arc::clone(self.valid()))
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
