//! The sessions of the user that has logged in: their list, and their end.

use express_session_core::Timestamp;
use express_session_core::metadata::{Client, UserQuery};
use express_session_core::session::Listed;

use crate::Session;
use crate::error::{Error, ErrorKind};
use crate::layer::config::Config;
use crate::request::Meant;

/// One of a user's sessions, for a page that shows them: see [`Session::user_sessions`].
///
/// ```
/// use express_session::SessionLayer;
/// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
///
/// let layer = SessionLayer::new("keyboard cat").metadata(true);
/// # let mut browser = on::Browser::new(layer);
/// # browser.visit(async |session| session.login("bob").await);
/// # browser.visit(async |session| {
/// let sessions = session.user_sessions().await?;
/// assert!(sessions[0].is_current());
/// assert_eq!(sessions[0].public_id().len(), 43);
/// assert_ne!(sessions[0].public_id(), session.id().as_str());
/// assert_eq!(sessions[0].authenticated(), sessions[0].created());
/// assert!(sessions[0].seen() >= sessions[0].created());
/// # Ok(()) });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSession {
    public_id: String,
    created: Option<Timestamp>,
    seen: Option<Timestamp>,
    authenticated: Option<Timestamp>,
    clients: [Option<Client>; 2],
    is_current: bool,
}

impl UserSession {
    pub(crate) fn of(config: &Config, listed: &Listed, is_current: bool) -> Self {
        let metadata = listed.metadata.as_ref();
        Self {
            public_id: config.public_id(&listed.id),
            created: metadata.map(|metadata| metadata.created()),
            seen: listed.last_visit,
            authenticated: metadata.and_then(|metadata| metadata.authenticated()),
            clients: [
                metadata.and_then(|metadata| metadata.first_client()).cloned(),
                metadata.and_then(|metadata| metadata.last_client()).cloned(),
            ],
            is_current,
        }
    }

    /// Returns a name of the session that is no secret, for links and forms: 43 characters of the alphabet of URLs, an HMAC of
    /// the id under a key derived from the layer's secret. Another secret gives other names; those of a secret that is still
    /// in the list stay valid.
    #[must_use]
    pub fn public_id(&self) -> &str {
        &self.public_id
    }

    /// Returns when the session began, or `None` for one that this library has not written yet.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.created
    }

    /// Returns the last visit that was noted, by less than [`touch_after`](crate::SessionLayer::touch_after) too early. That of
    /// a session of Node is known as far as the store's deadline shows it.
    #[must_use]
    pub fn seen(&self) -> Option<Timestamp> {
        self.seen
    }

    /// Returns the time of the login, or `None` for one by npm's passport, which notes no time.
    #[must_use]
    pub fn authenticated(&self) -> Option<Timestamp> {
        self.authenticated
    }

    /// Returns the client of the first visit, which for a session after a login is that of the login. `None` where neither
    /// [`client_address`](crate::SessionLayer::client_address) nor [`user_agent`](crate::SessionLayer::user_agent) noted it.
    #[must_use]
    pub fn first_client(&self) -> Option<&Client> {
        self.clients[0].as_ref()
    }

    /// Returns the client of the last visit that was noted.
    #[must_use]
    pub fn last_client(&self) -> Option<&Client> {
        self.clients[1].as_ref()
    }

    /// Checks whether this is the session that asked.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.is_current
    }
}

/// The sessions of the user. The errors that every method has are documented at the type.
impl Session {
    /// Returns the sessions of the user that has logged in, the one with the latest visit first: for a page that shows
    /// them (OWASP ASVS 5.0 7.5.2).
    ///
    /// They are those that are stored: a login of this request is among them after its save. A session is the user's if
    /// [`user`](Self::user) returns the same JSON there, by [`login`](Self::login) or by passport in Express. Costs a
    /// [listing](crate::store::Store::sessions_of), which in Redis and memory, in files and in sealed stores reads every
    /// session, unless the store has an [index](crate::guide::lifetime#an-index-of-the-users).
    ///
    /// ```
    /// use express_session::{Error, Session, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// async fn devices(session: Session) -> Result<String, Error> {
    ///     let lines = session.user_sessions().await?.into_iter().map(|it| {
    ///         let here = if it.is_current() { ", this one" } else { "" };
    ///         format!("{}: seen {:?}{here}\n", it.public_id(), it.seen())
    ///     });
    ///     Ok(lines.collect())
    /// }
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # let mut browser = on::Browser::new(layer);
    /// # browser.visit(async |session| session.login("bob").await);
    /// # browser.visit(async |session| {
    /// assert!(devices(session).await?.ends_with(", this one\n"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`]; [`ErrorKind::Store`], of kind `Unsupported` for a store that does not list.
    pub async fn user_sessions(&self) -> Result<Vec<UserSession>, Error> {
        let users = self.own_user()?;
        let listed = self.shared().sessions_of(&users).await?;
        let (config, own) = (&self.shared().config, self.shared().own_session());
        Ok(listed.iter().map(|listed| UserSession::of(config, listed, own.is(listed))).collect())
    }

    /// Ends one of the user's sessions, by its [public id](UserSession::public_id). Returns `false` where the user has no such
    /// session: that of another user is never ended. This session itself is [logged out](Self::logout).
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # let mut phone = on::Browser::new(layer.clone());
    /// # phone.visit(async |session| session.login("bob").await);
    /// # let mut laptop = on::Browser::new(layer);
    /// # laptop.visit(async |session| session.login("bob").await);
    /// # laptop.visit(async |session| {
    /// let sessions = session.user_sessions().await?;
    /// let phone = sessions.iter().find(|it| !it.is_current()).expect("the user has a phone");
    /// assert!(session.end_user_session(phone.public_id()).await?);
    /// assert_eq!(session.user_sessions().await?.len(), 1);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`user_sessions`](Self::user_sessions).
    pub async fn end_user_session(&self, public_id: &str) -> Result<bool, Error> {
        let users = self.own_user()?;
        if self.shared().config.is_public_id(&self.id(), public_id) {
            return self.logout().await.map(|()| true);
        }
        self.shared().end_by_public_id(users, public_id).await
    }

    /// Ends the user's other sessions, and returns how many: after a change of the password or another factor (OWASP ASVS 5.0
    /// 7.4.3).
    ///
    /// Change the password first. Every session whose login was stored before this call is ended: its next request gets a new,
    /// empty session, [`ended_by`](Self::ended_by) returns [`EndedBy::Revoked`](crate::EndedBy::Revoked) there, and a request
    /// of it that is under way stores nothing more. No login that begins after it is ended. Of a login under way, whose
    /// session is stored during this call, either is possible; with [`max_sessions`](crate::SessionLayer::max_sessions)
    /// it comes before this call or after it as a whole. An Express request under way may store a session again, as after a
    /// logout. With [`user_epoch`](crate::SessionLayer::user_epoch), neither the one nor the other session goes on.
    ///
    /// It goes on where the request is dropped. Costs a [listing](crate::store::Store::sessions_of), and two calls of the
    /// store for each session that ends; with epochs also three, one of which stores the metadata of this session.
    ///
    /// ```
    /// use express_session::{EndedBy, Error, Session, SessionLayer};
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// async fn change_password(session: Session) -> Result<u64, Error> {
    ///     // … and then:
    ///     session.end_other_sessions().await
    /// }
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # let mut phone = on::Browser::new(layer.clone());
    /// # phone.visit(async |session| session.login("bob").await);
    /// # let mut laptop = on::Browser::new(layer);
    /// # laptop.visit(async |session| session.login("bob").await);
    /// # laptop.visit(async |session| { assert_eq!(change_password(session).await?, 1); Ok(()) });
    /// # phone.visit(async |session| {
    /// // On the phone of the user, after the change on the laptop:
    /// assert_eq!(session.ended_by(), Some(EndedBy::Revoked));
    /// # Ok(()) });
    /// # laptop.visit(async |session| { assert!(session.user::<String>()?.is_some()); Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`user_sessions`](Self::user_sessions). Some of the sessions may have ended then: call it again. With epochs
    /// also [`ErrorKind::Ended`] where this session has ended meanwhile, with the user's others.
    pub async fn end_other_sessions(&self) -> Result<u64, Error> {
        let (users, own) = (self.own_user()?, self.shared().own_session());
        self.shared().end_sessions_of(users, Meant::Others { own }).await
    }

    /// Ends all sessions of the user, this one by a [logout](Self::logout), and returns how many there were: "log out
    /// everywhere". For requests under way, the same holds as in [`end_other_sessions`](Self::end_other_sessions).
    ///
    /// ```
    /// use express_session::SessionLayer;
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); }
    ///
    /// let layer = SessionLayer::new("keyboard cat").metadata(true);
    /// # let mut phone = on::Browser::new(layer.clone());
    /// # phone.visit(async |session| session.login("bob").await);
    /// # let mut laptop = on::Browser::new(layer.clone());
    /// # laptop.visit(async |session| session.login("bob").await);
    /// # laptop.visit(async |session| {
    /// assert_eq!(session.end_all_sessions().await?, 2);
    /// assert!(!session.is_persisted());
    /// # Ok(()) });
    /// # assert!(express_session_testkit::block_on(layer.sessions_of("bob")).unwrap().is_empty());
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`end_other_sessions`](Self::end_other_sessions), and this session goes on then; with epochs, it has ended if
    /// the user's was raised.
    pub async fn end_all_sessions(&self) -> Result<u64, Error> {
        let (users, own) = (self.own_user()?, self.shared().own_session());
        let others = self.shared().end_sessions_of(users, Meant::All { own }).await?;
        self.logout().await?;
        Ok(others + 1)
    }

    fn own_user(&self) -> Result<UserQuery, Error> {
        let user = self.found_user()?.ok_or_else(|| Error::new(ErrorKind::NotLoggedIn))?;
        Ok(self.shared().config.user_query(user.user))
    }
}
