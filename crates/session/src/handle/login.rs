//! The life of a session, for a handler: its metadata, the login and the logout.

use std::collections::BTreeMap;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use express_session_core::metadata::{Authentication, Epoch, MAX_USER, User, own_login, user_of};
use express_session_core::record::Json;
use express_session_core::session::SessionState;
use express_session_core::{EndedBy, Metadata};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::session::{json_of, parsed, raw_of};
use crate::Session;
use crate::error::{Error, ErrorKind};
use crate::request::insert;

/// The member of npm's passport, and the name of a user in errors.
const PASSPORT: &str = "passport";
const USER: &str = "user";

/// The life of a session. The errors that every method has are documented at the type.
impl Session {
    /// Returns the library's own notes about the session: when it began and was last seen, and which user has
    /// logged in.
    ///
    /// Works in memory. `None` as long as no notes are stored: the layer keeps none
    /// ([`SessionLayer::metadata`](crate::SessionLayer::metadata), off by default), the session is new, or Node began it.
    /// The time of the last visit is that of an earlier request, by less than
    /// [`touch_after`](crate::SessionLayer::touch_after) too early, and Node notes none.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # on::Browser::new(layer).visit(async |session| {
    /// assert_eq!(session.metadata()?, None);
    /// session.insert("views", 1)?;
    /// session.save().await?;
    /// let metadata = session.metadata()?.expect("it is stored");
    /// assert_eq!(metadata.created(), metadata.seen());
    /// assert_eq!(metadata.authenticated(), None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ended`] where the session is over.
    pub fn metadata(&self) -> Result<Option<Metadata>, Error> {
        self.shared().with_session(|session| session.metadata().cloned())
    }

    /// Returns why the session of the request's cookie had ended, so that this one is new: by a timeout, by the user or an
    /// administrator ([`end_other_sessions`](Self::end_other_sessions)), or by
    /// [`max_sessions`](crate::SessionLayer::max_sessions). For a page that says so. `None` for every other session, also for
    /// a new one whose old record the store has removed in time.
    ///
    /// A store that removes a record at its deadline leaves nothing to tell the reason from. The reason is known where Node
    /// has moved the deadline, and in a store with a lifetime of its own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::store::{Record, Store as _};
    /// use express_session::{EndedBy, MemoryStore, SessionId, SessionLayer, Timestamp};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// // Node has kept the session alive, 12 hours after its beginning.
    /// let record = r#"{"cookie":{},"__sessionMetadata":{"created":1700000000000,"seen":1700000000000}}"#;
    /// let twelve_hours = Duration::from_secs(12 * 3600);
    /// let now = Timestamp::from_millis(1_700_000_000_000).saturating_add(twelve_hours);
    /// # let (store, id) = (MemoryStore::new(), SessionId::new("bob").ok_or("empty")?);
    /// # let stored = Record { text: record.into(), deadline: None };
    /// # express_session_testkit::block_on(store.create(&id, &stored, now))?;
    /// # let keyring = express_session_core::Keyring::new(["keyboard cat"])?;
    /// # let cookie = express_session_core::signing::sign(&id, &keyring);
    /// let layer = SessionLayer::new("keyboard cat").store(store).absolute_timeout(twelve_hours);
    /// # let layer = layer.clock(move || now.into());
    /// # let request = http::Request::builder().header("cookie", format!("connect.sid={cookie}"));
    /// # on::Browser::new(layer).send(request.body(())?, async |session| {
    /// assert_eq!(session.ended_by(), Some(EndedBy::Absolute));
    /// assert!(session.is_empty());
    /// # Ok(()) });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn ended_by(&self) -> Option<EndedBy> {
        self.shared().ended_by()
    }

    /// Logs a user in: destroys the record, and goes on with a new session under a new id, in which the user and the time
    /// are noted (OWASP ASVS 5.0 7.2.4).
    ///
    /// An id that an attacker knows (session fixation) leads nowhere afterwards. The members of the old session are dropped,
    /// as by [`regenerate`](Self::regenerate) and by npm's passport, unless [`Login::keep`] names them. The limits of the
    /// session begin again, or are others by [`Login::idle_timeout`], [`Login::absolute_timeout`] or [`Login::remember`].
    ///
    /// `user` is what the application knows the user by: a number, a name, anything that serde serialises to at most 1,024
    /// bytes of JSON. The call returns a [`Login`], which is awaited. Costs one call of the store, none where the session was
    /// never stored, and the save at the end of the request. Needs [`SessionLayer::metadata`](crate::SessionLayer::metadata), or a limit.
    ///
    /// ```
    /// use express_session::{Error, Session, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// async fn log_in(session: Session) -> Result<(), Error> {
    ///     // The password is right, and:
    ///     session.login("bob").keep(["cart"]).await
    /// }
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # on::Browser::new(layer).visit(async |session| {
    /// # session.insert("cart", ["apple"])?;
    /// # session.insert("other", 1)?;
    /// # let before = session.id();
    /// # log_in(session.clone()).await?;
    /// assert_ne!(session.id(), before);
    /// assert_eq!(session.keys(), ["cart"]);
    /// assert_eq!(session.user::<String>()?.as_deref(), Some("bob"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoMetadata`] where the layer keeps none; [`ErrorKind::Serialize`] for a user that is `null`, no JSON, or
    /// too long; [`ErrorKind::CookieNotSent`] where the headers have left; [`ErrorKind::Store`] where the store fails. The
    /// session is as it was, then. With [`max_sessions`](crate::SessionLayer::max_sessions) also
    /// [`ErrorKind::TooManySessions`], and [`ErrorKind::Locked`] where other logins of the user take too long; if the store
    /// fails there when the new session is saved, the old one has ended, and the request goes on with a new one that has the
    /// kept members and no user.
    pub fn login<U: Serialize>(&self, user: U) -> Login {
        Login::of(self, user_json(&user))
    }

    /// Logs the user out: destroys the record, as [`destroy`](Self::destroy) does, and sends `Clear-Site-Data` if
    /// [`SessionLayer::clear_site_data`](crate::SessionLayer::clear_site_data) says so. Costs one call of the store.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.logout().await?;
    /// assert!(!session.is_persisted());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`destroy`](Self::destroy).
    pub async fn logout(&self) -> Result<(), Error> {
        self.shared().log_out().await
    }

    /// Returns the user that has logged in, or `None`.
    ///
    /// The user is that of [`login`](Self::login), or that of npm's passport, the member `passport.user`. If there is a member
    /// `passport`, it decides: passport may have logged the user out, or another one in. Works in memory.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// assert_eq!(session.user::<u64>()?, None);
    /// // As passport stores it:
    /// session.insert("passport", serde_json::json!({ "user": 17 }))?;
    /// assert_eq!(session.user::<u64>()?, Some(17));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deserialize`] where the user is not what `U` takes; [`ErrorKind::Ended`].
    pub fn user<U: DeserializeOwned>(&self) -> Result<Option<U>, Error> {
        match self.found_user()? {
            Some(user) => parsed(USER, Some(user.user.as_str())),
            None => Ok(None),
        }
    }

    /// Checks that a user has logged in, no longer ago than `max_age`: before a change of the password, a payment, or another
    /// step that needs a recent authentication (OWASP ASVS 5.0 7.5.1).
    ///
    /// Otherwise send the user to the login, and [log in](Self::login) again. Passport notes no time, so that its logins are
    /// never fresh. A login in the future, by a clock that was ahead, is fresh. Works in memory. In axum there is the
    /// extractor `Fresh<300>`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{Error, ErrorKind, Session, SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let five_minutes = Duration::from_secs(300);
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let layer = SessionLayer::new("keyboard cat").metadata(true).clock(clock.clone());
    /// # on::Browser::new(layer).visit(async |session| {
    /// let error = session.require_fresh(five_minutes).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotLoggedIn);
    ///
    /// session.login("bob").await?;
    /// session.require_fresh(five_minutes)?;
    /// clock.advance(five_minutes);
    /// let error = session.require_fresh(five_minutes).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::LoginTooOld);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`], as a response 401; [`ErrorKind::LoginTooOld`], as a response 403; [`ErrorKind::Ended`].
    pub fn require_fresh(&self, max_age: Duration) -> Result<(), Error> {
        let user = self.found_user()?.ok_or_else(|| Error::new(ErrorKind::NotLoggedIn))?;
        let is_fresh = user.is_fresh(max_age, self.shared().now());
        if is_fresh { Ok(()) } else { Err(Error::new(ErrorKind::LoginTooOld)) }
    }

    /// Checks that the user's login has this level of assurance, or a higher one: before what a password alone does not allow
    /// (OWASP ASVS 5.0 7.5.3). Levels are the application's own numbers, such as 2 for a login with a second factor.
    ///
    /// Otherwise ask for the second factor, and [step up](Self::step_up). A login without a level, and passport's, has level
    /// 0. Works in memory.
    ///
    /// ```
    /// use express_session::{ErrorKind, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # on::Browser::new(layer).visit(async |session| {
    /// assert_eq!(session.require_level(2).unwrap_err().kind(), ErrorKind::NotLoggedIn);
    /// session.login("bob").await?;
    /// assert_eq!(session.require_level(2).unwrap_err().kind(), ErrorKind::LevelTooLow);
    /// session.step_up(2).await?;
    /// session.require_level(2)?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`], as a response 401; [`ErrorKind::LevelTooLow`], as a response 403; [`ErrorKind::Ended`].
    pub fn require_level(&self, level: u8) -> Result<(), Error> {
        let user = self.found_user()?.ok_or_else(|| Error::new(ErrorKind::NotLoggedIn))?;
        if user.has_level(level) { Ok(()) } else { Err(Error::new(ErrorKind::LevelTooLow)) }
    }

    /// Raises the level of the user's login, after a second factor: a [`login`](Self::login) of the same user, whose session
    /// keeps its members and its own limits, under a new id.
    ///
    /// The time of the login is now, so that [`require_fresh`](Self::require_fresh) holds too, and the timeouts begin again. An id
    /// that was stolen before leads nowhere. Costs what a login costs. Passport's login gets a level by a
    /// [`login`](Self::login) only.
    ///
    /// ```
    /// use express_session::{Error, Session, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// async fn second_factor(session: Session) -> Result<(), Error> {
    ///     // The code is right, and:
    ///     session.step_up(2).await
    /// }
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # on::Browser::new(layer).visit(async |session| {
    /// session.login("bob").await?;
    /// session.insert("cart", ["apple"])?;
    /// # let before = session.id();
    /// second_factor(session.clone()).await?;
    /// # assert_ne!(session.id(), before);
    /// assert_eq!(session.user::<String>()?.as_deref(), Some("bob"));
    /// assert_eq!(session.keys(), ["cart"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] where no user has logged in here; those of [`login`](Self::login).
    pub fn step_up(&self, level: u8) -> Login {
        let login = self.shared().with_session(|session| {
            let login = own_login(session.metadata(), session.document.get_raw(PASSPORT));
            let epoch = session.metadata().map(Metadata::epoch);
            login.cloned().map(|login| (login, epoch, session.cookie.original_max_age()))
        });
        let login = login.and_then(|login| login.ok_or_else(|| Error::new(ErrorKind::NotLoggedIn)));
        match login {
            Ok((login, epoch, max_age)) => Login {
                keep: Keep::All,
                idle: login.idle,
                absolute: login.absolute,
                max_age,
                level: Some(level),
                // Where the user's sessions have ended meanwhile, this one has, too.
                epoch,
                ..Login::of(self, Ok(login.user))
            },
            Err(error) => Login::of(self, Err(error)),
        }
    }

    /// Renews the id of the session, with its data and all that this request has changed, which is saved.
    ///
    /// After a step that makes the session worth more, a second factor for example; at a login
    /// [`login`](Self::login) does more. [`renew_after`](crate::SessionLayer::renew_after) does it by itself.
    ///
    /// Requests of the old id that are under way go on with the same session: what they save is saved under the new id, and
    /// a logout ends it. New requests with the old cookie do so until the
    /// [grace period](crate::SessionLayer::renewal_grace) is over, and get the new cookie. After it, the old id leads
    /// nowhere. If two requests renew the id at the same time, the session has one id in the end. An absolute timeout counts
    /// on.
    ///
    /// Costs two calls of the store. A session that was never stored only takes the new id, without a call, and is stored at
    /// the end of the request.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").renew_after(Duration::from_secs(900));
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(on::change);
    /// # let set_cookie = browser.visit(async |session| {
    /// # session.insert("cart", ["apple"])?;
    /// let before = session.id();
    /// session.renew_id().await?;
    /// assert_ne!(session.id(), before);
    /// assert!(session.contains("cart"));
    /// # Ok(()) });
    /// # assert!(set_cookie.is_some());
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRenewal`] where the layer renews no ids; [`ErrorKind::CookieNotSent`] where the headers have left;
    /// [`ErrorKind::LockedTwice`] while the request has the session's [lock](Self::lock), which is of the old id;
    /// [`ErrorKind::Ended`]; those of [`save`](Self::save). The session has its old id then.
    pub async fn renew_id(&self) -> Result<(), Error> {
        self.shared().renew_id().await
    }

    /// Goes on with a new session as [`regenerate`](Self::regenerate) does, which has these members of the old one, byte for
    /// byte. Names that the old session does not have are left out.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// session.insert("cart", ["apple"])?;
    /// session.insert("role", "guest")?;
    /// session.regenerate_keeping(["cart"]).await?;
    /// assert_eq!(session.keys(), ["cart"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`regenerate`](Self::regenerate).
    pub async fn regenerate_keeping<I>(&self, names: I) -> Result<(), Error>
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let keep: Vec<String> = names.into_iter().map(Into::into).collect();
        self.shared().regenerate(&keep).await
    }

    pub(super) fn found_user(&self) -> Result<Option<User>, Error> {
        self.shared()
            .with_session(|session| user_of(session.metadata(), session.document.get_raw(PASSPORT)))
    }
}

/// A login, which happens when it is awaited: see [`Session::login`].
///
/// ```
/// use std::time::Duration;
/// use express_session::SessionLayer;
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
///
/// let layer = SessionLayer::new("keyboard cat").idle_timeout(Duration::from_secs(30 * 60));
/// # let set_cookie = on::Browser::new(layer).visit(async |session| {
/// let month = Duration::from_secs(30 * 24 * 3600);
/// session.login("bob").keep(["cart"]).remember(month).await?;
/// # Ok(()) });
/// # assert!(set_cookie.is_some_and(|line| line.contains("Expires=")));
/// ```
#[must_use = "a login happens when it is awaited"]
pub struct Login {
    session: Session,
    user: Result<Json, Error>,
    keep: Keep,
    idle: Option<Duration>,
    absolute: Option<Duration>,
    max_age: Option<Duration>,
    level: Option<u8>,
    /// The epoch of the login, if it is not the user's present one.
    epoch: Option<Epoch>,
    with_passport: bool,
}

/// The members of the old session that stay.
#[derive(Debug)]
enum Keep {
    Only(Vec<String>),
    All,
}

impl Login {
    fn of(session: &Session, user: Result<Json, Error>) -> Self {
        Self {
            session: session.clone(),
            user,
            keep: Keep::Only(Vec::new()),
            idle: None,
            absolute: None,
            max_age: None,
            level: None,
            epoch: None,
            with_passport: false,
        }
    }

    /// Keeps these members of the old session, byte for byte. Default: none.
    ///
    /// Keep only what the visitor may have changed before the login: a cart, not a role. The member `passport` is not kept,
    /// since it would decide who the user is.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # on::Browser::new(layer).visit(async |session| {
    /// session.insert("cart", ["apple"])?;
    /// session.insert("coupon", "a7f3")?;
    /// session.login("bob").keep(["cart"]).await?;
    /// assert_eq!(session.keys(), ["cart"]);
    /// # Ok(()) });
    /// ```
    pub fn keep<I>(mut self, names: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        if let Keep::Only(keep) = &mut self.keep {
            keep.extend(names.into_iter().map(Into::into));
        }
        self
    }

    /// Sets the level of assurance that this login has, which [`Session::require_level`] asks for: 2 after a second factor, for
    /// example. Default: none, which counts as 0.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # on::Browser::new(layer).visit(async |session| {
    /// // The user has a passkey:
    /// session.login("bob").level(2).await?;
    /// session.require_level(2)?;
    /// # Ok(()) });
    /// ```
    pub fn level(mut self, level: u8) -> Self {
        self.level = Some(level);
        self
    }

    /// Sets the idle timeout of this session, longer or shorter than [the layer's](crate::SessionLayer::idle_timeout):
    /// at least a millisecond, at most a century.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let layer = SessionLayer::new("keyboard cat").metadata(true).clock(clock.clone());
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(async |session| {
    /// session.login("bob").idle_timeout(Duration::from_secs(600)).await?;
    /// # Ok(()) });
    /// // The user comes back a quarter of an hour later:
    /// clock.advance(Duration::from_secs(900));
    /// # browser.visit(async |session| {
    /// assert_eq!(session.user::<String>()?, None);
    /// # Ok(()) });
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle = Some(bounded(timeout));
        self
    }

    /// Sets the absolute timeout of this session, longer or shorter than
    /// [the layer's](crate::SessionLayer::absolute_timeout): at least a millisecond, at most a century.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{Cookie, SessionLayer, Timestamp};
    /// use express_session_testkit::FakeClock;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let [hour, day] = [3600, 86_400].map(Duration::from_secs);
    /// let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
    /// let layer = SessionLayer::new("keyboard cat").metadata(true).clock(clock.clone());
    /// let layer = layer.cookie(Cookie::new().max_age(day));
    /// # let set_cookie = on::Browser::new(layer).visit(async |session| {
    /// session.login("admin").absolute_timeout(hour).await?;
    /// # Ok(()) }).unwrap();
    /// // The cookie of the user's browser, at 22:13:
    /// assert!(set_cookie.contains("; Expires=Tue, 14 Nov 2023 23:13:20 GMT;"));
    /// ```
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.absolute = Some(bounded(timeout));
        self
    }

    /// Remembers the user on this device for this time: sets both timeouts of this session, and the cookie's max age, so
    /// that the browser keeps the cookie when it closes. NIST SP 800-63B-4 §2.1.3 has 30 days at most without a new login.
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let half_an_hour = Duration::from_secs(30 * 60);
    /// let layer = SessionLayer::new("keyboard cat").idle_timeout(half_an_hour);
    /// # let set_cookie = on::Browser::new(layer).visit(async |session| {
    /// session.login("bob").remember(Duration::from_secs(30 * 24 * 3600)).await?;
    /// # Ok(()) });
    /// // The browser keeps the cookie:
    /// assert!(set_cookie.is_some_and(|set_cookie| set_cookie.contains("; Expires=")));
    /// ```
    pub fn remember(self, time: Duration) -> Self {
        Self { max_age: Some(time), ..self.idle_timeout(time).absolute_timeout(time) }
    }

    /// Stores the user as npm's passport does too, in the member `passport.user`, so that an Express application with
    /// passport on the same store sees the login.
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # on::Browser::new(layer).visit(async |session| {
    /// session.login(17).with_passport().await?;
    /// let passport: serde_json::Value = session.get("passport")?.expect("it is there");
    /// assert_eq!(passport, serde_json::json!({ "user": 17 }));
    /// # Ok(()) });
    /// ```
    pub fn with_passport(mut self) -> Self {
        self.with_passport = true;
        self
    }

    async fn run(self) -> Result<(), Error> {
        let Self { session, user, keep, idle, absolute, max_age, level, epoch, with_passport } =
            self;
        let user = user?;
        if !session.shared().config.policy.keeps_metadata() {
            return Err(Error::new(ErrorKind::NoMetadata));
        }
        let passport = with_passport.then(|| passport_of(&user)).transpose()?;
        let keep = match keep {
            // The user that passport has noted before would decide.
            Keep::Only(names) => names.into_iter().filter(|name| name != PASSPORT).collect(),
            Keep::All => session.keys(),
        };
        let max_sessions = session.shared().config.policy.max_sessions;
        let same = user.clone();
        let login = move |state: &mut SessionState, epoch, now| {
            state.log_in(Authentication { at: now, user, idle, absolute, level }, epoch, now)?;
            state.change(|session| {
                if let Some(max_age) = max_age {
                    session.cookie.set_max_age(Some(max_age), now);
                }
                if let Some(passport) = &passport {
                    insert(&mut session.document, PASSPORT, passport)?;
                    session.overwrite(PASSPORT);
                }
                Ok(())
            })?
        };
        let (shared, user) = (session.shared(), same);
        if max_sessions.is_some() {
            return shared.log_in_limited(user, keep, epoch, login).await;
        }
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => shared.epoch_of(&shared.config.user_query(user)).await?,
        };
        shared.regenerate_for(&keep, move |state, now| login(state, epoch, now)).await
    }
}

impl IntoFuture for Login {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("keep", &self.keep).finish_non_exhaustive()
    }
}

/// Bounds a timeout: one that is shorter than a millisecond is none in the record, and one of centuries as well.
fn bounded(timeout: Duration) -> Duration {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    timeout.clamp(Duration::from_millis(1), CENTURY)
}

/// Serialises a user.
pub(crate) fn user_json<U: Serialize>(user: &U) -> Result<Json, Error> {
    let json = json_of(USER, user)?;
    let is_user = json.as_str() != "null" && json.as_str().len() <= MAX_USER;
    if is_user { Ok(json) } else { Err(Error::of_member(ErrorKind::Serialize, USER)) }
}

/// Returns passport's member for a user.
fn passport_of(user: &Json) -> Result<Json, Error> {
    json_of(USER, &BTreeMap::from([(USER, raw_of(USER, user)?)]))
}

/// A session whose user has logged in no longer than so many seconds ago, as an argument of an axum handler:
/// [`Session::require_fresh`].
///
/// ```
/// use axum::{Router, routing::post};
/// use express_session::{Error, Fresh, SessionLayer};
///
/// async fn change_password(Fresh(session): Fresh<300>) -> Result<String, Error> {
///     Ok(format!("{:?} may", session.user::<String>()?))
/// }
///
/// let app: Router = Router::new()
///     .route("/password", post(change_password))
///     .layer(SessionLayer::new("keyboard cat").metadata(true));
/// # let request = http::Request::post("/password").body(axum::body::Body::empty()).unwrap();
/// # let response = express_session_testkit::block_on(tower::ServiceExt::oneshot(app, request))?;
/// // The response to a visitor that has not logged in:
/// assert_eq!(response.status(), 401);
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[cfg(feature = "axum")]
#[derive(Clone, Debug)]
pub struct Fresh<const SECONDS: u64>(pub Session);
