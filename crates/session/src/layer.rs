//! The layer and its options: `session({ … })`.

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, OnceLock};

use express_session_core::cookie::{Cookie, check_name};
use express_session_core::{Clock, Departures, Keyring, Policy, Random, Unset};
use http::request::Parts;
use tower_layer::Layer;

use crate::MemoryStore;
use crate::config::{Config, Cookies, Genid, Secret};
use crate::connection::Connection;
use crate::diagnose::{self, Diagnoses};
use crate::error::ConfigError;
use crate::service::SessionService;
use crate::source::Sources;
use crate::store::{AnyStore, Store};

/// Gives every request a session: express-session's middleware, as a [`tower`](tower_layer) layer.
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
/// # let _ = app;
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
    /// Whether that is a memory store, which is told of in a release build.
    in_memory: bool,
    cookies: Cookies,
    genid: Option<Genid>,
    connection: Connection,
    policy: Policy,
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
                cookies: Cookies::Fixed(Cookie::new()),
                genid: None,
                connection: Connection::default(),
                policy: Policy::default(),
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
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|options| options.name = name.into())
    }

    /// Sets where sessions are kept. Default: a [`MemoryStore`], whose sessions end with the process.
    pub fn store<S: Store>(self, store: S) -> Self {
        self.with(|options| {
            options.in_memory = TypeId::of::<S>() == TypeId::of::<MemoryStore>();
            options.store = Some(AnyStore::new(store));
        })
    }

    /// Sets the cookie of new sessions. Default: path `/`, `HttpOnly`, until the browser closes.
    ///
    /// Stored sessions keep the attributes they were stored with.
    pub fn cookie(self, cookie: Cookie) -> Self {
        self.with(|options| options.cookies = Cookies::Fixed(cookie))
    }

    /// Sets the cookie of new sessions by a function of the request: a domain for each tenant, say.
    ///
    /// It is called once a request, for the path, and once more for each session that is made. Costs a
    /// copy of the request's head. What it returns is not checked before it is used: a cookie that
    /// cannot be written is not sent, which is told once through `tracing`.
    ///
    /// ```
    /// use express_session::{Cookie, SessionLayer};
    ///
    /// let layer = SessionLayer::new("keyboard cat").cookie_with(|request| {
    ///     let admin = request.uri.path().starts_with("/admin");
    ///     Cookie::new().path(if admin { "/admin" } else { "/" })
    /// });
    /// # let _ = layer;
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
    /// # let _ = layer;
    /// ```
    pub fn genid<F>(self, genid: F) -> Self
    where
        F: Fn(&Parts) -> String + Send + Sync + 'static,
    {
        self.with(|options| options.genid = Some(Arc::new(genid)))
    }

    /// Says whether to believe a reverse proxy about HTTPS. Default `None`.
    ///
    /// - `true`: `X-Forwarded-Proto`, or else `Forwarded` (RFC 7239), tells whether the browser used
    ///   HTTPS. Only behind a proxy that sets it: anybody else can send that header too.
    /// - `false`: only a [`SecureConnection`](crate::SecureConnection) marker or
    ///   [`secure_when`](Self::secure_when) makes a request secure.
    /// - `None`: the same, and a URI whose scheme is `https`.
    pub fn proxy(self, proxy: impl Into<Option<bool>>) -> Self {
        self.with(|options| options.connection.proxy = proxy.into())
    }

    /// Takes a request for secure where a function of your own says so.
    ///
    /// For servers that tell of TLS in a way of their own; what it says `true` to counts whatever `proxy` is.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .secure_when(|request| request.headers.contains_key("fly-forwarded-ssl"));
    /// # let _ = layer;
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
    /// (express-session 1.x has `true` where nothing is said, deprecated; departure 1.)
    pub fn resave(self, resave: bool) -> Self {
        self.with(|options| options.policy.resave = resave)
    }

    /// Sends the cookie with every response, so that its expiry moves in the browser too. Default `false`.
    ///
    /// Without it a browser drops the cookie `max_age` after the last *modification*, though the store
    /// keeps the session from the last *request* on. A new session that is not saved has no cookie either way.
    pub fn rolling(self, rolling: bool) -> Self {
        self.with(|options| options.policy.rolling = rolling)
    }

    /// Saves a new session, and sends its cookie, even if nothing was put into it. Default `false`.
    ///
    /// `true` tells visits apart from the first request on. It costs a record and a cookie for every
    /// visitor, crawlers included, and in many places needs consent.
    /// (express-session 1.x has `true` where nothing is said, deprecated; departure 1.)
    pub fn save_uninitialized(self, save_uninitialized: bool) -> Self {
        self.with(|options| options.policy.save_uninitialized = save_uninitialized)
    }

    /// Says what [`Session::unset`](crate::Session::unset) does to the record. Default [`Unset::Keep`].
    pub fn unset(self, unset: Unset) -> Self {
        self.with(|options| options.policy.unset = unset)
    }

    /// Gives the layer a clock of your own, for tests. Default: the system's.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.with(|options| options.sources.clock = Arc::new(clock))
    }

    /// Gives the layer a source of random bytes of your own, for tests. Default: the system's.
    pub fn random(self, random: impl Random) -> Self {
        self.with(|options| options.sources.random = Arc::new(random))
    }

    /// Says where to depart from express-session 1.19.0. Default: everywhere that `DEPARTURES.md` lists.
    pub fn departures(self, departures: Departures) -> Self {
        self.with(|options| options.policy.departures = departures)
    }

    /// Checks the options, so that a mistake is an error here and not a panic at [`Layer::layer`].
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
            Cookies::Fixed(cookie) => Some(cookie),
            Cookies::Of(_) => None,
        };
        if let Some(cookie) = fixed {
            cookie.validate().map_err(|invalid| {
                ConfigError::new(option_of(invalid.attribute()), invalid.value())
            })?;
        }
        let store = self.store.clone().unwrap_or_else(|| AnyStore::new(MemoryStore::new()));
        let diagnoses = Diagnoses::default();
        let touches = store.supports_touch();
        for seen in diagnose::of_options(secrets, &self.policy, fixed, self.in_memory, touches) {
            diagnoses.tell(seen);
        }
        Ok(Config {
            name: self.name.clone(),
            keyring,
            store,
            cookies: self.cookies.clone(),
            genid: self.genid.clone(),
            connection: self.connection.clone(),
            policy: self.policy,
            sources: self.sources.clone(),
            diagnoses,
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
