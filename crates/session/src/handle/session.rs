//! The handle: a visitor's session in a handler.

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use express_session_core::cookie::{Priority, SameSite, StoredCookie, check_domain, check_path};
use express_session_core::record::Json;
use express_session_core::session::{Function, Reapply};
use express_session_core::{Document, SessionId};
use http::Extensions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::middleware::SessionExtension;
use crate::request::{Edit, RequestSession, insert};

/// The session of the visitor whose request this is: `req.session`.
///
/// In an axum handler it is an extractor, which loads the record. From then on reading and writing is
/// synchronous, in memory, and costs the one member it is about. At the end of the request the
/// session is saved if it was changed, and touched otherwise; the response leaves after that.
///
/// A clone is the same session. Members are JSON: whatever serde can make of it, as Express would
/// store it.
///
/// ```
/// use axum::response::Html;
/// use express_session::{Error, Session};
///
/// async fn cart(session: Session) -> Result<Html<String>, Error> {
///     let items = session.update("items", |items: Option<Vec<String>>| {
///         let mut items = items.unwrap_or_default();
///         items.push("apple".to_owned());
///         items
///     })?;
///     Ok(Html(format!("{} items", items.len())))
/// }
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
/// assert_eq!(cart(session).await?.0, "1 items");
/// # Ok(()) });
/// ```
///
/// | here | express-session |
/// |---|---|
/// | `session.get::<u32>("views")?` | `req.session.views` |
/// | `session.insert("views", 1)?` | `req.session.views = 1` |
/// | `session.update("views", \|n: Option<u32>\| n.unwrap_or(0) + 1)?` | `req.session.views++` |
/// | `session.remove("views")?` | `delete req.session.views` |
/// | `session.id()` | `req.session.id`, `req.sessionID` |
/// | `session.cookie().set_max_age(…)?` | `req.session.cookie.maxAge = …` |
/// | `session.save().await?` | `req.session.save(callback)` |
/// | `session.reload().await?` | `req.session.reload(callback)` |
/// | `session.regenerate().await?` | `req.session.regenerate(callback)` |
/// | `session.destroy().await?` | `req.session.destroy(callback)` |
/// | `session.touch().await?` | `req.session.touch()` |
/// | `session.unset()?` | `req.session = null` |
///
/// # Errors
///
/// Of every method: [`ErrorKind::Ended`] once the session was destroyed, unset, or found gone from the
/// store; [`ErrorKind::ResponseSent`] once the response is over. Of those that change or save it:
/// [`ErrorKind::CookieNotSent`] where the session is new, and its headers have left without its cookie. The methods name
/// what else can go wrong.
#[derive(Clone)]
pub struct Session {
    shared: Arc<RequestSession>,
}

/// A session that has not been loaded, as it stands in a request's extensions.
///
/// Axum's extractor makes a [`Session`] of it; without axum, [`load`](Self::load) does.
///
/// ```
/// use axum::{Router, routing::get};
/// use express_session::{Error, SessionLayer, LazySession};
///
/// async fn page(session: LazySession) -> Result<String, Error> {
///     // A response that is returned before this line costs no call of the store.
///     let session = session.load().await?;
///     Ok(format!("{} members", session.len()))
/// }
///
/// let app: Router = Router::new().route("/", get(page)).layer(SessionLayer::new("keyboard cat"));
/// # let request = http::Request::new(axum::body::Body::empty());
/// # let response = express_session_testkit::block_on(tower::ServiceExt::oneshot(app, request))?;
/// assert_eq!(response.status(), 200);
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[derive(Clone)]
#[must_use = "a session is loaded with .load().await"]
pub struct LazySession {
    shared: Arc<RequestSession>,
}

impl LazySession {
    /// Loads the session: one call of the store at most, none where the visitor has no valid cookie or the
    /// session was loaded before in this request.
    ///
    /// ```
    /// use express_session::{Error, Session, SessionLayer};
    /// use http::{Request, Response};
    /// use tower::{Layer as _, ServiceExt as _, service_fn};
    ///
    /// let service = SessionLayer::new("keyboard cat").layer(service_fn(async |request: Request<()>| {
    ///     let session = Session::from_extensions(request.extensions())?.load().await?;
    ///     session.insert("views", 1)?;
    ///     Ok::<_, Error>(Response::new(String::new()))
    /// }));
    /// # let response = express_session_testkit::block_on(service.oneshot(Request::new(())))?;
    /// assert!(response.headers().contains_key("set-cookie"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] where the store fails, [`ErrorKind::EmptyId`] where `genid` gives no id.
    pub async fn load(self) -> Result<Session, Error> {
        self.shared.load().await?;
        Ok(Session { shared: self.shared })
    }

    /// Leaves the session alone in this request: it is not touched, and no cookie is sent, neither with `rolling` nor with
    /// `resave`. A change that a handler makes all the same is saved, and sent.
    ///
    /// For files and other responses that are not a visit. A 304 for one then costs no call of the store. Routes outside
    /// of the layer cost even less: put them after it, with `Router::merge`.
    ///
    /// ```
    /// use axum::extract::Request;
    /// use axum::middleware::{Next, from_fn};
    /// use axum::response::Response;
    /// use axum::{Router, routing::get};
    /// use express_session::{LazySession, SessionLayer};
    ///
    /// async fn unattended(session: LazySession, request: Request, next: Next) -> Response {
    ///     session.leave_alone();
    ///     next.run(request).await
    /// }
    ///
    /// let files = Router::new().route("/logo.svg", get(async || "<svg/>")).layer(from_fn(unattended));
    /// let app: Router = files.layer(SessionLayer::new("keyboard cat").rolling(true));
    /// # let request = http::Request::get("/logo.svg").body(axum::body::Body::empty()).unwrap();
    /// # let response = express_session_testkit::block_on(tower::ServiceExt::oneshot(app, request))?;
    /// assert!(!response.headers().contains_key("set-cookie"));
    /// # Ok::<(), std::convert::Infallible>(())
    /// ```
    pub fn leave_alone(&self) {
        self.shared.leave_alone();
    }

    /// Ends the session without loading it, as [`Session::destroy`] does: the record is removed, and the browser forgets
    /// the cookie. One call of the store; none where the visitor has no valid cookie.
    ///
    /// A logout page needs nothing that is stored, so that it works where the record
    /// [cannot be read](crate::SessionLayer::unreadable_record).
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use express_session::{Error, LazySession, SessionLayer};
    ///
    /// async fn logout(session: LazySession) -> Result<&'static str, Error> {
    ///     session.destroy().await?;
    ///     Ok("bye")
    /// }
    ///
    /// let app: Router =
    ///     Router::new().route("/logout", post(logout)).layer(SessionLayer::new("keyboard cat"));
    /// # let request = http::Request::post("/logout").body(axum::body::Body::empty()).unwrap();
    /// # let response = express_session_testkit::block_on(tower::ServiceExt::oneshot(app, request))?;
    /// assert_eq!(response.status(), 200);
    /// # Ok::<(), std::convert::Infallible>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] where the store fails, and [`ErrorKind::AmbiguousCookie`]: the session is not over then.
    pub async fn destroy(self) -> Result<(), Error> {
        self.shared.destroy_unread().await
    }
}

impl fmt::Debug for LazySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazySession")
    }
}

#[expect(
    clippy::missing_errors_doc,
    reason = "the errors of every method are documented at the type"
)]
impl Session {
    pub(crate) fn new(shared: Arc<RequestSession>) -> Self {
        Self { shared }
    }

    /// Finds the session in a request's extensions: the one of the innermost layer.
    ///
    /// This is for services without axum, whose handlers take a [`Session`] as an argument.
    ///
    /// ```
    /// use express_session::{Error, Session};
    ///
    /// async fn views<B>(request: http::Request<B>) -> Result<http::Response<String>, Error> {
    ///     let session = Session::from_extensions(request.extensions())?.load().await?;
    ///     let views = session.update("views", |n: Option<u64>| n.unwrap_or(0) + 1)?;
    ///     Ok(http::Response::new(views.to_string()))
    /// }
    /// # use tower::{Layer as _, ServiceExt as _};
    /// # let service = express_session::SessionLayer::new("keyboard cat").layer(tower::service_fn(views));
    /// # let request = http::Request::new(());
    /// # let response = express_session_testkit::block_on(service.oneshot(request))?;
    /// assert!(response.headers().contains_key("set-cookie"));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MissingLayer`] without a session layer, [`ErrorKind::OutsidePath`] where the
    /// request's path is outside of the cookie's.
    pub fn from_extensions(extensions: &Extensions) -> Result<LazySession, Error> {
        Self::find(extensions, |_| true)
    }

    /// Finds the session of the layer whose cookie has this name, where several layers are in use.
    ///
    /// ```
    /// use express_session::{Error, Session, SessionLayer};
    /// use http::{Request, Response};
    /// use tower::{ServiceBuilder, ServiceExt as _};
    ///
    /// let service = ServiceBuilder::new()
    ///     .layer(SessionLayer::new("keyboard cat").name("shop.sid"))
    ///     .layer(SessionLayer::new("keyboard cat").name("admin.sid"))
    ///     .service_fn(async |request: Request<()>| {
    ///         let shop = Session::named(request.extensions(), "shop.sid")?.load().await?;
    ///         shop.insert("items", 1)?;
    ///         Ok::<_, Error>(Response::new(String::new()))
    ///     });
    /// # let response = express_session_testkit::block_on(service.oneshot(Request::new(())))?;
    /// let set_cookie = response.headers()["set-cookie"].to_str()?;
    /// assert!(set_cookie.starts_with("shop.sid="));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Session::from_extensions`].
    pub fn named(extensions: &Extensions, name: &str) -> Result<LazySession, Error> {
        Self::find(extensions, |found| found == name)
    }

    fn find(
        extensions: &Extensions,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<LazySession, Error> {
        let mut slot = extensions.get::<SessionExtension>();
        let mut missing = ErrorKind::MissingLayer;
        while let Some(found) = slot {
            if is_wanted(found.name()) {
                match found.session() {
                    Some(shared) => return Ok(LazySession { shared: Arc::clone(shared) }),
                    None => missing = ErrorKind::OutsidePath,
                }
            }
            slot = found.outer();
        }
        Err(Error::new(missing))
    }

    /// Returns the session's id. It is a secret: a client that knows it and the layer's secret can act as the visitor.
    ///
    /// A new session has its id from the start, though it is stored only when something is put into it. If the outcome of
    /// its first save is not known, the next save gives it another id (see [concurrency](crate::guide::concurrency)): keep
    /// the id elsewhere only after a save has succeeded.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// assert_eq!(session.id().as_str().len(), 32);
    /// assert_eq!(format!("{:?}", session.id()), "SessionId(redacted)");
    /// # Ok(()) });
    /// ```
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a loaded session has an id, and keeps one")]
    pub fn id(&self) -> SessionId {
        // A Session is made of a state that has one, and it is never taken away.
        self.shared.id().expect("a loaded session has an id")
    }

    /// Reads a member, or returns `None` where there is none.
    ///
    /// A member that is `null`, as Node and an inserted `None` store it, is `None` too, unless `T` takes null itself.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("views", 1)?;
    /// assert_eq!(session.get::<u32>("views")?, Some(1));
    /// assert_eq!(session.get::<u32>("visits")?, None);
    /// assert!(session.get::<String>("views").is_err());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deserialize`] where the member is there and is not what `T` takes.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        parsed(key, self.shared.raw(key)?.as_deref())
    }

    /// Sets a member. The session counts as modified if the value is another than before.
    ///
    /// ```
    /// use express_session::ErrorKind;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("items", ["apple", "pear"])?;
    /// assert_eq!(session.get("items")?, Some(vec!["apple".to_owned(), "pear".to_owned()]));
    ///
    /// let reserved = session.insert("cookie", 1).unwrap_err();
    /// assert_eq!(reserved.kind(), ErrorKind::ReservedName);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Serialize`] where the value is no JSON, [`ErrorKind::ReservedName`] for `cookie`,
    /// `id`, `save` and the other names that a session of express-session has of its own.
    pub fn insert<T: Serialize>(&self, key: &str, value: T) -> Result<(), Error> {
        self.shared.check_name(key)?;
        let json = json_of(key, &value)?;
        self.shared.change(|session| {
            insert(&mut session.document, key, &json)?;
            session.overwrite(key);
            Ok(())
        })
    }

    /// Removes a member, and returns whether there was one.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("views", 1)?;
    /// assert!(session.remove("views")?);
    /// assert!(!session.remove("views")?);
    /// # Ok(()) });
    /// ```
    pub fn remove(&self, key: &str) -> Result<bool, Error> {
        self.shared.change(|session| {
            session.overwrite(key);
            Ok(session.document.remove(key))
        })
    }

    /// Removes a member and returns its value. Overlapping requests may all get it; for what only one may get, there is
    /// [`take_once`](Self::take_once), and for flash messages [`flash`](Self::flash).
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("return_to", "/cart")?;
    /// assert_eq!(session.take("return_to")?, Some("/cart".to_owned()));
    /// assert_eq!(session.take::<String>("return_to")?, None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deserialize`] where the member is not what `T` takes; it stays, then.
    pub fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let value = self.get(key)?;
        self.remove(key)?;
        Ok(value)
    }

    /// Removes a member from the store, and returns its value to one of all overlapping requests: for a token that is
    /// good once. The others get `None`.
    ///
    /// The session is saved before this returns: a compare-and-swap, made again where another request has written
    /// meanwhile, with all that this request has changed so far. Requests of one process queue up for it. Costs one call
    /// of the store, and two more for each conflict; none where this request's session has no such member.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("reset_token", "a7f3")?;
    /// session.save().await?;
    /// assert_eq!(session.take_once("reset_token").await?, Some("a7f3".to_owned()));
    /// assert_eq!(session.take_once::<String>("reset_token").await?, None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deserialize`] where the member is not what `T` takes; it stays, then. Those of
    /// [`save`](Self::save): whether the member is taken is not known then, and the end of the request tries to save
    /// again, so that no later request gets it.
    pub async fn take_once<T>(&self, key: &str) -> Result<Option<T>, Error>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let slot = Slot::default();
        let taken = slot.clone();
        let reapply: Reapply = Arc::new(move |document, key| {
            taken.put(parsed::<T>(key, document.get_raw(key))?);
            document.remove(key);
            Ok(())
        });
        let taken = self.shared.change_finally(|| {
            if !self.contains(key) {
                return Ok(None);
            }
            let take = |before: Option<&str>| -> Result<_, Error> {
                Ok((parsed(key, before)?, Edit::Remove))
            };
            slot.put(self.shared.update(key, take, &reapply, None)?);
            Ok(Some(()))
        });
        Ok(taken.await?.and_then(|()| slot.take()))
    }

    /// Changes a member by a function of its value, and returns the new value.
    ///
    /// Where another request of the same visitor has changed the member in the meantime, the function is
    /// applied again, to the value that is stored then. So counters and lists lose nothing, while of two
    /// [`insert`](Self::insert)s of one member the later stays. The function should do nothing else than
    /// compute.
    ///
    /// The value returned is the one of this request: what is stored in the end may be another. A limit or a unique
    /// number needs [`update_now`](Self::update_now). An update that is not saved is kept in memory, some 200 bytes each;
    /// those of one member by a function that captures nothing count as one.
    ///
    /// ```
    /// use express_session::{Error, Session};
    ///
    /// async fn add(session: Session) -> Result<String, Error> {
    ///     let items = session.update("items", |items: Option<Vec<String>>| {
    ///         let mut items = items.unwrap_or_default();
    ///         items.push("apple".to_owned());
    ///         items
    ///     })?;
    ///     Ok(format!("{} items", items.len()))
    /// }
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// assert_eq!(add(session).await?, "1 items");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deserialize`], [`ErrorKind::Serialize`] and [`ErrorKind::ReservedName`], as of
    /// [`get`](Self::get) and [`insert`](Self::insert), and [`ErrorKind::TooManyUpdates`] after 4,096 without a save;
    /// the member is unchanged then.
    pub fn update<T, F>(&self, key: &str, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + Sync + 'static,
    {
        // Two updates by a function that captures nothing are the same change twice.
        let function = (size_of::<F>() == 0).then(TypeId::of::<F>);
        self.update_with(key, change, function, |_| {})
    }

    /// Changes a member as [`update`](Self::update) does, and saves the session: the value that it returns is the one
    /// that was stored, and no other request got the same step.
    ///
    /// For a limit of attempts, a sequence number, a seat. The save is the one of [`take_once`](Self::take_once), at the
    /// same cost. The function must not wait for a save or another call of this session: that would wait for this one.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let tries = session.update_now("tries", |n: Option<u32>| n.unwrap_or(0) + 1).await?;
    /// // Of any number of overlapping requests, three get here.
    /// assert!(tries <= 3);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`update`](Self::update) and of [`save`](Self::save). Where the save fails, the change stays in the
    /// session, and the end of the request tries to save it again: turn the visitor away then.
    pub async fn update_now<T, F>(&self, key: &str, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(Option<T>) -> T + Send + Sync + 'static,
    {
        let slot = Slot::default();
        let stored = slot.clone();
        let changed = self.shared.change_finally(|| {
            let see = move |value| stored.put(Some(value));
            slot.put(Some(self.update_with(key, change, None, see)?));
            Ok(Some(()))
        });
        changed.await?;
        slot.take().ok_or_else(|| Error::new(ErrorKind::Conflict))
    }

    /// Updates, and shows `see` the value of each time that the function is applied again.
    fn update_with<T, F>(
        &self,
        key: &str,
        change: F,
        function: Option<Function>,
        see: impl Fn(T) + Send + Sync + 'static,
    ) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + Sync + 'static,
    {
        let change = Arc::new(change);
        let again = Arc::clone(&change);
        let reapply: Reapply = Arc::new(move |document, key| {
            let (value, edit) = applied(key, document.get_raw(key), &*again)?;
            see(value);
            Ok(edit.apply(document, key)?)
        });
        self.shared.update(key, |before| applied(key, before, &*change), &reapply, function)
    }

    /// Checks whether there is such a member.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("user", "bob")?;
    /// assert!(session.contains("user") && !session.contains("admin"));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.shared.read(|session| session.document.contains(key)).unwrap_or(false)
    }

    /// Returns the names of the members, in the order in which JavaScript has them. Empty once the session is over.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// for key in ["b", "10", "9"] {
    ///     session.insert(key, true)?;
    /// }
    /// assert_eq!(session.keys(), ["9", "10", "b"]);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let keys = |document: &Document| document.keys().map(Into::into).collect();
        self.shared.read(|session| keys(&session.document)).unwrap_or_default()
    }

    /// Counts the members, without the cookie.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.read(|session| session.document.len()).unwrap_or(0)
    }

    /// Checks whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes every member; the session and its id stay.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("views", 1)?;
    /// session.clear()?;
    /// assert!(session.is_empty());
    /// # Ok(()) });
    /// ```
    pub fn clear(&self) -> Result<(), Error> {
        self.shared.change(|session| {
            for key in session.document.keys().map(String::from).collect::<Vec<_>>() {
                session.overwrite(&key);
            }
            session.document.clear();
            Ok(())
        })
    }

    /// Forgets the session: `req.session = null`.
    ///
    /// With `unset` at its default, [`Unset::Keep`](crate::Unset::Keep), the record stays as it is and the changes of
    /// this request are dropped; with [`Unset::Destroy`](crate::Unset::Destroy) the record is destroyed at
    /// the end of the request.
    ///
    /// ```
    /// use express_session::ErrorKind;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("views", 1)?;
    /// session.unset()?;
    /// assert_eq!(session.get::<u32>("views").unwrap_err().kind(), ErrorKind::Ended);
    /// # Ok(()) });
    /// ```
    pub fn unset(&self) -> Result<(), Error> {
        self.shared.unset()
    }

    /// Returns the session's own cookie: its time and its attributes, to read and to change.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.cookie().set_max_age(Duration::from_secs(60))?;
    /// assert_eq!(session.cookie().original_max_age(), Some(Duration::from_secs(60)));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn cookie(&self) -> SessionCookie<'_> {
        SessionCookie { shared: &self.shared }
    }

    /// Saves the session now, rather than at the end of the request.
    ///
    /// Needed where something else waits for it: before notifying another process, or before a long
    /// answer. Costs one call of the store. If it was all there was to save, the end of the request
    /// makes no further call.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("order", 42)?;
    /// session.save().await?;
    /// // Another process that learns of the order from here on finds it in the store.
    /// session.reload().await?;
    /// assert_eq!(session.get("order")?, Some(42));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] where the store fails; the end of the request tries to save the changes again;
    /// [`ErrorKind::Ended`] where the record is gone, and nothing is written;
    /// [`ErrorKind::Conflict`] where other requests were faster at every attempt;
    /// [`ErrorKind::IdTaken`] where a new session's id is in use.
    pub async fn save(&self) -> Result<(), Error> {
        self.shared.save().await
    }

    /// Loads the record again and drops what was changed since. Costs one call of the store.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("views", 1)?;
    /// session.save().await?;
    /// session.insert("views", 2)?;
    /// session.reload().await?;
    /// assert_eq!(session.get("views")?, Some(1));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where there is no record; the session is as it was, then.
    /// [`ErrorKind::Store`] where the store fails.
    pub async fn reload(&self) -> Result<(), Error> {
        self.shared.reload().await
    }

    /// Destroys the record and goes on with a new session, empty and under a new id.
    ///
    /// Do this whenever a visitor's rights change, at login above all: an id that an attacker knows
    /// (session fixation) leads nowhere afterwards. Read the members to keep before, and insert them after.
    /// Costs one call of the store, none for a session that was never stored.
    ///
    /// ```
    /// use express_session::{Error, Session};
    ///
    /// async fn login(session: Session) -> Result<(), Error> {
    ///     let cart: Option<Vec<String>> = session.get("cart")?;
    ///     session.regenerate().await?;
    ///     session.insert("user", "bob")?;
    ///     session.insert("cart", cart)
    /// }
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// # session.insert("cart", ["apple"])?;
    /// # let before = session.id();
    /// # login(session.clone()).await?;
    /// assert_ne!(session.id(), before);
    /// assert_eq!(session.keys(), ["user", "cart"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] where the store fails; the old session is as it was, then.
    pub async fn regenerate(&self) -> Result<(), Error> {
        self.shared.regenerate(&[]).await
    }

    /// Destroys the record: logging out. The session is over, and the browser forgets the cookie.
    ///
    /// Costs one call of the store, none for a session that was never stored. No request that loaded the
    /// session before can write it back.
    ///
    /// ```
    /// use express_session::ErrorKind;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("user", "bob")?;
    /// session.destroy().await?;
    /// assert_eq!(session.insert("user", "eve").unwrap_err().kind(), ErrorKind::Ended);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] where the store fails. The session is over for this request all the same,
    /// and the end of the request tries once more.
    pub async fn destroy(&self) -> Result<(), Error> {
        self.shared.destroy().await
    }

    /// Resets the session's expiry, as every request does by itself.
    ///
    /// Within a handler the store is called at the end of the request, by one call at most. While a body is being
    /// streamed, and after an upgrade, the store is called immediately.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{Cookie, SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .cookie(Cookie::new().max_age(Duration::from_secs(60)))
    ///     .clock(clock.clone());
    /// # on::Browser::new(layer).visit(async |session| {
    /// clock.advance(Duration::from_secs(20));
    /// assert_eq!(session.cookie().max_age(), Some(Duration::from_secs(40)));
    /// session.touch().await?;
    /// assert_eq!(session.cookie().max_age(), Some(Duration::from_secs(60)));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] where the store is called immediately, and fails.
    pub async fn touch(&self) -> Result<(), Error> {
        self.shared.touch().await
    }

    /// Waits until the session has ended, by a logout elsewhere or by its expiry: for a socket, which no request closes.
    ///
    /// It asks the store at each interval, one call that is no visit, and goes on while the store is unavailable. A session
    /// that was never stored has ended already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{Error, Session};
    ///
    /// async fn socket(session: Session, messages: impl Future<Output = ()>) -> Result<(), Error> {
    ///     tokio::select! {
    ///         () = messages => Ok(()),
    ///         ended = session.ended(Duration::from_secs(5)) => ended, // and the socket is closed
    ///     }
    /// }
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// # socket(session, async {}).await
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] where a retry does not help; [`store::ErrorKind::Unsupported`](crate::store::ErrorKind::Unsupported)
    /// outside of a tokio runtime.
    pub async fn ended(&self, every: Duration) -> Result<(), Error> {
        self.shared.ended(every).await
    }

    /// Checks whether what is put into the session is kept: not where the store is unavailable and the layer
    /// goes on without it ([`Outage::Continue`](crate::Outage::Continue)), nor after the session has ended.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// assert!(session.is_persisted());
    /// session.destroy().await?;
    /// assert!(!session.is_persisted());
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn is_persisted(&self) -> bool {
        self.shared.is_persisted()
    }

    pub(crate) fn shared(&self) -> &Arc<RequestSession> {
        &self.shared
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("members", &self.len()).finish_non_exhaustive()
    }
}

pub(super) fn json_of<T: Serialize>(key: &str, value: &T) -> Result<Json, Error> {
    Json::of(value)
        .map_err(|source| Error::of_member(ErrorKind::Serialize, key).with_source(source))
}

/// Returns a value that serde serialises as it is, inside another one.
pub(super) fn raw_of(key: &str, json: &Json) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(json.as_str().to_owned())
        .map_err(|source| Error::of_member(ErrorKind::Serialize, key).with_source(source))
}

/// Reads a value. Null is a value where the type has it, as an `Option` does, and otherwise no value.
pub(super) fn parsed<T: DeserializeOwned>(
    key: &str,
    raw: Option<&str>,
) -> Result<Option<T>, Error> {
    match raw.map(serde_json::from_str).transpose() {
        Err(_) if raw == Some("null") => Ok(None),
        value => value.map_err(|source| Error::mismatch(key, &source)),
    }
}

/// Applies a function to a member's value, and serialises what comes of it.
fn applied<T, F>(key: &str, before: Option<&str>, change: &F) -> Result<(T, Edit), Error>
where
    T: Serialize + DeserializeOwned,
    F: Fn(Option<T>) -> T,
{
    let value = change(parsed(key, before)?);
    let json = json_of(key, &value)?;
    Ok((value, Edit::Set(json)))
}

/// The value of the last time that a function was applied.
pub(crate) struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Slot<T> {
    pub(crate) fn put(&self, value: Option<T>) {
        // The former value is dropped after the lock.
        let _former = std::mem::replace(&mut *self.lock(), value);
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A session's own cookie: `req.session.cookie`.
///
/// A stored session keeps the attributes it was stored with; these methods change them for this
/// session alone. A change counts as a modification: it is saved, and sent to the browser.
///
/// ```
/// use std::time::Duration;
/// use express_session::{Error, Session};
///
/// /// "Remember me": this visitor's session lives for 30 days from the last request on.
/// async fn remember(session: Session) -> Result<(), Error> {
///     session.cookie().set_max_age(Duration::from_secs(30 * 24 * 3600))
/// }
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
/// # remember(session.clone()).await?;
/// assert_eq!(session.cookie().original_max_age(), Some(Duration::from_secs(30 * 24 * 3600)));
/// # Ok(()) });
/// ```
///
/// # Errors
///
/// The methods that change something: [`ErrorKind::Ended`] and [`ErrorKind::ResponseSent`], as those of
/// [`Session`]. Reading a session that is over gives `None` or `false`.
pub struct SessionCookie<'a> {
    shared: &'a RequestSession,
}

#[expect(
    clippy::missing_errors_doc,
    reason = "the errors of every changing method are documented at the type"
)]
impl SessionCookie<'_> {
    /// Returns the time that is left, `cookie.maxAge`. `None`: until the browser closes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{Cookie, SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let layer = SessionLayer::new("keyboard cat")
    ///     .cookie(Cookie::new().max_age(Duration::from_secs(60)))
    ///     .clock(clock.clone());
    /// # on::Browser::new(layer).visit(async |session| {
    /// clock.advance(Duration::from_secs(20));
    /// assert_eq!(session.cookie().max_age(), Some(Duration::from_secs(40)));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        let now = self.shared.now();
        self.read(|cookie| cookie.max_age(now))
    }

    /// Returns the time the session lives from each request on, `cookie.originalMaxAge`.
    #[must_use]
    pub fn original_max_age(&self) -> Option<Duration> {
        self.read(StoredCookie::original_max_age)
    }

    /// Returns the end of the session, `cookie.expires`. `None`: until the browser closes.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.read(StoredCookie::expires)
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        self.read(|cookie| cookie.path().map(str::to_owned))
    }

    /// Returns the domain.
    #[must_use]
    pub fn domain(&self) -> Option<String> {
        self.read(|cookie| cookie.domain().map(str::to_owned))
    }

    /// Checks whether scripts are kept from the cookie.
    #[must_use]
    pub fn http_only(&self) -> bool {
        self.read(|cookie| Some(cookie.http_only())).unwrap_or(false)
    }

    /// Checks whether the cookie is for HTTPS only.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.read(|cookie| Some(cookie.secure())).unwrap_or(false)
    }

    /// Returns the `SameSite` attribute.
    #[must_use]
    pub fn same_site(&self) -> Option<SameSite> {
        self.read(StoredCookie::same_site)
    }

    /// Checks whether the cookie is partitioned.
    #[must_use]
    pub fn partitioned(&self) -> bool {
        self.read(|cookie| Some(cookie.partitioned())).unwrap_or(false)
    }

    /// Returns the priority.
    #[must_use]
    pub fn priority(&self) -> Option<Priority> {
        self.read(StoredCookie::priority)
    }

    /// Sets how long the session lives from now, and from each request on. `None`: until the browser closes.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let cookie = session.cookie();
    /// cookie.set_max_age(Duration::from_secs(60))?;
    /// assert_eq!(cookie.original_max_age(), Some(Duration::from_secs(60)));
    /// cookie.set_max_age(None)?;
    /// assert_eq!(cookie.original_max_age(), None);
    /// # Ok(()) });
    /// ```
    pub fn set_max_age(&self, max_age: impl Into<Option<Duration>>) -> Result<(), Error> {
        let now = self.shared.now();
        self.change(|cookie| cookie.set_max_age(max_age.into(), now))
    }

    /// Sets the end of the session; each request moves it by the time that is left now. `None`: until the browser closes.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let end = UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    /// session.cookie().set_expires(end)?;
    /// assert_eq!(session.cookie().expires(), Some(end));
    /// session.cookie().set_expires(None)?;
    /// assert_eq!(session.cookie().expires(), None);
    /// # Ok(()) });
    /// ```
    pub fn set_expires(&self, expires: impl Into<Option<SystemTime>>) -> Result<(), Error> {
        let now = self.shared.now();
        self.change(|cookie| cookie.set_expires(expires.into(), now))
    }

    /// Sets the path.
    ///
    /// ```
    /// use express_session::ErrorKind;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.cookie().set_path("/admin")?;
    /// assert_eq!(session.cookie().path().as_deref(), Some("/admin"));
    /// let refused = session.cookie().set_path("/; Secure").unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::InvalidCookie);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCookie`] for a path that no header can carry.
    pub fn set_path(&self, path: &str) -> Result<(), Error> {
        check_path(path)?;
        self.change(|cookie| cookie.set_path(path))
    }

    /// Sets or removes the domain.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.cookie().set_domain("example.com")?;
    /// assert_eq!(session.cookie().domain().as_deref(), Some("example.com"));
    /// session.cookie().set_domain(None)?;
    /// assert_eq!(session.cookie().domain(), None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCookie`] for what is no domain.
    pub fn set_domain<'d>(&self, domain: impl Into<Option<&'d str>>) -> Result<(), Error> {
        let domain = domain.into();
        domain.map_or(Ok(()), check_domain)?;
        self.change(|cookie| cookie.set_domain(domain.map(str::to_owned)))
    }

    /// Sets whether scripts are kept from the cookie.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.cookie().set_http_only(false)?;
    /// assert!(!session.cookie().http_only());
    /// # Ok(()) });
    /// ```
    pub fn set_http_only(&self, http_only: bool) -> Result<(), Error> {
        self.change(|cookie| cookie.set_http_only(http_only))
    }

    /// Sets whether the cookie is for HTTPS only.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.cookie().set_secure(true)?;
    /// assert!(session.cookie().secure());
    /// # Ok(()) });
    /// ```
    pub fn set_secure(&self, secure: bool) -> Result<(), Error> {
        self.change(|cookie| cookie.set_secure(secure))
    }

    /// Sets or removes the `SameSite` attribute.
    ///
    /// ```
    /// use express_session::SameSite;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.cookie().set_same_site(SameSite::Strict)?;
    /// assert_eq!(session.cookie().same_site(), Some(SameSite::Strict));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidCookie`] for [`SameSite::Auto`], which is resolved when a session is made and
    /// means nothing afterwards.
    pub fn set_same_site(&self, same_site: impl Into<Option<SameSite>>) -> Result<(), Error> {
        let same_site = same_site.into();
        if same_site == Some(SameSite::Auto) {
            return Err(Error::new(ErrorKind::InvalidCookie));
        }
        self.change(|cookie| cookie.set_same_site(same_site))
    }

    /// Sets whether the cookie is partitioned.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.cookie().set_partitioned(true)?;
    /// assert!(session.cookie().partitioned());
    /// # Ok(()) });
    /// ```
    pub fn set_partitioned(&self, partitioned: bool) -> Result<(), Error> {
        self.change(|cookie| cookie.set_partitioned(partitioned))
    }

    /// Sets or removes the priority.
    ///
    /// ```
    /// use express_session::Priority;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.cookie().set_priority(Priority::High)?;
    /// assert_eq!(session.cookie().priority(), Some(Priority::High));
    /// # Ok(()) });
    /// ```
    pub fn set_priority(&self, priority: impl Into<Option<Priority>>) -> Result<(), Error> {
        self.change(|cookie| cookie.set_priority(priority.into()))
    }

    fn read<T>(&self, read: impl FnOnce(&StoredCookie) -> Option<T>) -> Option<T> {
        self.shared.read(|session| read(&session.cookie)).flatten()
    }

    fn change(&self, change: impl FnOnce(&mut StoredCookie)) -> Result<(), Error> {
        self.shared.change(|session| {
            change(&mut session.cookie);
            Ok(())
        })
    }
}

impl fmt::Debug for SessionCookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionCookie")
    }
}
