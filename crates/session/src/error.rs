//! The errors of a session in a handler, and of the options of a layer.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use express_session_core::record::LimitExceeded;
use express_session_core::{Corrupt, decide, session};

use crate::store;

/// An error of an operation on a session.
///
/// The message says what to do; it names no id, no secret and no data. The cause, where there is one,
/// is the [source](StdError::source). In an axum handler an error is a response too: 503 with
/// `Retry-After` where the store cannot be reached, 409 where the session has ended meanwhile, 400 where the
/// cookies name two sessions, 401 where no user has logged in, 403 where the login is too old or of too low a level, the
/// user has too many sessions, or the CSRF token is not valid, 500 otherwise, with a body that says nothing more.
///
/// ```
/// use express_session::{ErrorKind, Session};
///
/// let request = http::Request::new(());
/// let error = Session::from_extensions(request.extensions()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::MissingLayer);
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    member: Option<Box<str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of an [`Error`], for handlers to match on.
///
/// ```
/// use express_session::{Error, ErrorKind, store};
///
/// fn is_ours(error: &Error) -> bool {
///     match error.kind() {
///         ErrorKind::Store(_) | ErrorKind::Conflict => false,
///         _ => true,
///     }
/// }
/// let error = Error::from(store::Error::new(store::ErrorKind::TimedOut, "no answer within 5 s"));
/// assert!(!is_ours(&error));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No session layer is in front of this handler.
    MissingLayer,
    /// The request's path is outside of the cookie's path.
    OutsidePath,
    /// The session is over: destroyed or unset in this request, or gone from the store since.
    Ended,
    /// The response has been sent, and the session saved with it.
    ResponseSent,
    /// The response left without the cookie of this new session: what is changed now would not be persisted, since no
    /// request would find it. Change the session before the response begins.
    CookieNotSent,
    /// The member's name is one that express-session keeps for itself.
    ReservedName,
    /// The value cannot be serialised as JSON.
    Serialize,
    /// The member is not of the type that was asked for.
    Deserialize,
    /// A cookie attribute cannot be written into a header.
    InvalidCookie,
    /// The request has no CSRF token, or one that is not of this session. See the feature `csrf`.
    InvalidCsrfToken,
    /// No user has logged in, as far as the session shows.
    NotLoggedIn,
    /// The user's login is too long ago for what the handler does: see [`Session::require_fresh`](crate::Session::require_fresh).
    LoginTooOld,
    /// The user's login has too low a level for what the handler does: see
    /// [`Session::require_level`](crate::Session::require_level).
    LevelTooLow,
    /// The user has as many sessions as [`max_sessions`](crate::SessionLayer::max_sessions) allows, and the layer refuses
    /// another login.
    TooManySessions,
    /// The layer keeps no [metadata](crate::SessionLayer::metadata), in which a login is noted.
    NoMetadata,
    /// The layer renews no ids: neither [`renew_after`](crate::SessionLayer::renew_after) nor
    /// [`renewal_grace`](crate::SessionLayer::renewal_grace) is set.
    NoRenewal,
    /// The request's cookies name two different sessions, and the layer refuses that.
    AmbiguousCookie,
    /// `reload` found no record.
    NotFound,
    /// The new session's id is in use: `genid` gives ids that are not unique.
    IdTaken,
    /// `genid` gave an empty id.
    EmptyId,
    /// Other requests kept changing the session at every attempt to save it, or an earlier write had no answer, so that
    /// what is stored is not known.
    Conflict,
    /// Another request held the session's lock for as long as `lock_wait` says.
    Locked,
    /// This request has the session's lock already, or is asking for it: a mistake in the program.
    LockedTwice,
    /// The lease of the session's lock ran out, or another process has renewed the session's id meanwhile: what was changed
    /// under the lock is not written.
    LockLost,
    /// The session is larger than [`record_limits`](crate::SessionLayer::record_limits) allow. The stored record stays as
    /// it is.
    RecordLimit(LimitExceeded),
    /// The session was updated more than 4,096 times without a save: see [`Session::update`](crate::Session::update).
    TooManyUpdates,
    /// The store failed in this way.
    Store(store::ErrorKind),
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self { kind, member: None, source: None }
    }

    /// Returns the name of the member that the error is about.
    pub(crate) fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    pub(crate) fn of_member(kind: ErrorKind, member: &str) -> Self {
        Self { kind, member: Some(member.into()), source: None }
    }

    /// Makes the error of a member that does not fit, or, without a name, of a whole session. A field of a struct that is
    /// missing is named by the message of serde.
    pub(crate) fn mismatch(member: &str, source: &serde_json::Error) -> Self {
        Self::of_member(ErrorKind::Deserialize, member).with_source(Mismatch::of(source))
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Returns the kind of the error.
    ///
    /// ```
    /// use express_session::{ErrorKind, Session};
    ///
    /// let error = Session::from_extensions(&http::Extensions::new()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::MissingLayer);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Checks whether trying again later may help: the store cannot be reached, or did not answer; other requests
    /// write the session or hold its lock.
    ///
    /// ```
    /// use express_session::{Error, store};
    ///
    /// let error = Error::from(store::Error::new(store::ErrorKind::Unavailable, "cannot connect"));
    /// assert!(error.is_temporary());
    /// ```
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Store(store::ErrorKind::Unavailable | store::ErrorKind::TimedOut)
                | ErrorKind::Conflict
                | ErrorKind::Locked
                | ErrorKind::LockLost
        )
    }

    /// Returns in how long a retry may help: when the store is tried next, or else a second. `None` where the failure is
    /// not [temporary](Self::is_temporary).
    ///
    /// ```
    /// use std::time::Duration;
    /// use express_session::{Error, store};
    ///
    /// let error = store::Error::new(store::ErrorKind::Unavailable, "the server does not answer");
    /// let error = Error::from(error.with_retry_after(Duration::from_millis(400)));
    /// assert_eq!(error.retry_after(), Some(Duration::from_millis(400)));
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let of_store = || self.source.as_ref()?.downcast_ref::<store::Error>()?.retry_after();
        self.is_temporary().then(|| of_store().unwrap_or(Duration::from_secs(1)))
    }

    /// Checks whether loading failed because of what is stored: the store works, and the record cannot be used.
    pub(crate) fn is_about_the_record(&self) -> bool {
        matches!(self.kind, ErrorKind::Store(store::ErrorKind::Corrupt) | ErrorKind::RecordLimit(_))
    }

    /// Returns the kind of fault, for the table that decides what to do about it.
    pub(crate) fn fault(&self) -> decide::Fault {
        use store::ErrorKind::{Corrupt, Unsuitable, Unsupported};
        match self.kind {
            ErrorKind::Ended => decide::Fault::Ended,
            ErrorKind::Store(Corrupt | Unsuitable | Unsupported) => decide::Fault::Session,
            ErrorKind::Store(_) => decide::Fault::Outage,
            ErrorKind::MissingLayer
            | ErrorKind::OutsidePath
            | ErrorKind::ResponseSent
            | ErrorKind::CookieNotSent
            | ErrorKind::ReservedName
            | ErrorKind::Serialize
            | ErrorKind::Deserialize
            | ErrorKind::InvalidCookie
            | ErrorKind::InvalidCsrfToken
            | ErrorKind::NotLoggedIn
            | ErrorKind::LoginTooOld
            | ErrorKind::LevelTooLow
            | ErrorKind::TooManySessions
            | ErrorKind::NoMetadata
            | ErrorKind::NoRenewal
            | ErrorKind::AmbiguousCookie
            | ErrorKind::NotFound
            | ErrorKind::IdTaken
            | ErrorKind::EmptyId
            | ErrorKind::Conflict
            | ErrorKind::Locked
            | ErrorKind::LockedTwice
            | ErrorKind::LockLost
            | ErrorKind::RecordLimit(_)
            | ErrorKind::TooManyUpdates => decide::Fault::Session,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = self.member.as_deref().unwrap_or_default();
        match self.kind {
            ErrorKind::MissingLayer => f.write_str(
                "no session layer in front of this handler: add the SessionLayer with .layer(…) \
                 after the routes it is for, and outside of other layers that use the session",
            ),
            ErrorKind::OutsidePath => f.write_str(
                "the request's path is outside of the session cookie's path: widen Cookie::path, or \
                 take Option<Session>",
            ),
            ErrorKind::Ended => {
                f.write_str("the session is over: it was destroyed, unset, or is gone from the store")
            }
            ErrorKind::ResponseSent => f.write_str(
                "the response has been sent, and the session saved with it: change the session before \
                 the handler returns or while its body is being sent",
            ),
            ErrorKind::CookieNotSent => f.write_str(
                "the response left without the cookie of this new session, so that nothing would be \
                 persisted: change the session before the response begins",
            ),
            ErrorKind::ReservedName => write!(
                f,
                "the name {member:?} is reserved by express-session, which would drop the member: choose another"
            ),
            ErrorKind::Serialize if member.is_empty() => {
                f.write_str("the typed session cannot be serialised as a JSON object")
            }
            ErrorKind::Serialize => {
                write!(f, "the value for {member:?} cannot be serialised as JSON")
            }
            ErrorKind::Deserialize if member.is_empty() => {
                f.write_str("the session's members are not those of the type that was asked for")
            }
            ErrorKind::Deserialize => {
                write!(f, "the member {member:?} is not of the type that was asked for")
            }
            ErrorKind::InvalidCookie => f.write_str("the cookie attribute cannot be sent"),
            ErrorKind::InvalidCsrfToken => {
                f.write_str("the request has no CSRF token of its session")
            }
            ErrorKind::NotLoggedIn => f.write_str("no user has logged in"),
            ErrorKind::LoginTooOld => {
                f.write_str("the login is too long ago: the user has to log in again for this")
            }
            ErrorKind::LevelTooLow => {
                f.write_str("the login has too low a level: the user has to confirm it with another factor")
            }
            ErrorKind::TooManySessions => f.write_str(
                "the user has as many sessions as max_sessions allows: the login is refused",
            ),
            ErrorKind::NoMetadata => f.write_str(
                "the layer keeps no metadata, in which a login is noted: set SessionLayer::metadata",
            ),
            ErrorKind::NoRenewal => f.write_str(
                "the layer renews no ids: set SessionLayer::renew_after or SessionLayer::renewal_grace",
            ),
            ErrorKind::AmbiguousCookie => f.write_str(
                "the request's cookies name two different sessions, and ambiguous_cookie refuses them",
            ),
            ErrorKind::NotFound => f.write_str("failed to load session"),
            ErrorKind::IdTaken => {
                f.write_str("the new session's id is in use: genid has to give unique ids")
            }
            ErrorKind::EmptyId => f.write_str("genid gave an empty id"),
            ErrorKind::Conflict => {
                f.write_str("other requests changed the session at every attempt to save it")
            }
            ErrorKind::Locked => f.write_str(
                "another request held the session's lock for as long as lock_wait says",
            ),
            ErrorKind::LockedTwice => f.write_str(
                "this request has the session's lock already: hand the SessionLock on, or unlock it first",
            ),
            ErrorKind::LockLost => f.write_str(
                "the lease of the session's lock ran out, and nothing is written under it: a longer \
                 lock_lease, or a renewal, keeps it",
            ),
            ErrorKind::RecordLimit(limit) => write!(f, "the session is too large: {limit}"),
            ErrorKind::TooManyUpdates => f.write_str(
                "the session was updated too often without a save: call Session::save in between",
            ),
            // The source's own message begins with what the store did.
            ErrorKind::Store(_) => f.write_str("the session store failed"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The message of serde for JSON that does not fit a type, without the data that it quotes.
#[derive(Debug)]
struct Mismatch(Box<str>);

impl Mismatch {
    /// Keeps what is known to be of the type: what was expected, and the names of its fields.
    fn of(source: &serde_json::Error) -> Self {
        const QUOTING: [&str; 5] = [
            "invalid type: ",
            "invalid value: ",
            "invalid length ",
            "unknown variant ",
            "unknown field ",
        ];
        const NAMING: [&str; 2] = ["missing field ", "duplicate field "];
        let text = source.to_string();
        let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        let kept = if begins(&NAMING) {
            Some(&*text)
        } else if begins(&QUOTING) {
            // The last, since the data comes before it.
            text.rfind("expected ").map(|at| &text[at..])
        } else {
            None
        };
        Self(kept.unwrap_or("the type refuses the value").into())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Mismatch {}

impl From<session::Error> for Error {
    fn from(source: session::Error) -> Self {
        match source {
            session::Error::Ended => Self::new(ErrorKind::Ended),
            session::Error::ResponseSent => Self::new(ErrorKind::ResponseSent),
            session::Error::CookieNotSent => Self::new(ErrorKind::CookieNotSent),
            session::Error::Degraded => store::Error::new(
                store::ErrorKind::Unavailable,
                "it was unavailable when the session was loaded",
            )
            .into(),
            session::Error::IdTaken => Self::new(ErrorKind::IdTaken),
            session::Error::Conflict => Self::new(ErrorKind::Conflict),
            session::Error::LockLost => Self::new(ErrorKind::LockLost),
            session::Error::TooManyUpdates => Self::new(ErrorKind::TooManyUpdates),
            session::Error::Corrupt(source) => source.into(),
            session::Error::Limit(limit) => Self::new(ErrorKind::RecordLimit(limit)),
            session::Error::Store(source) => source.into(),
            // The layer's own updates fail with its own errors.
            session::Error::Update(source) => match source.downcast::<Self>() {
                Ok(error) => *error,
                Err(source) => {
                    Self { kind: ErrorKind::Serialize, member: None, source: Some(source) }
                }
            },
            source @ (session::Error::OutOfOrder | _) => {
                Self::new(ErrorKind::Conflict).with_source(source)
            }
        }
    }
}

impl From<store::Error> for Error {
    fn from(source: store::Error) -> Self {
        Self::new(ErrorKind::Store(source.kind())).with_source(source)
    }
}

impl From<Corrupt> for Error {
    fn from(source: Corrupt) -> Self {
        if let Corrupt::Limit(limit) = source {
            return Self::new(ErrorKind::RecordLimit(limit));
        }
        Self::new(ErrorKind::Store(store::ErrorKind::Corrupt)).with_source(source)
    }
}

impl From<express_session_core::cookie::InvalidAttribute> for Error {
    fn from(source: express_session_core::cookie::InvalidAttribute) -> Self {
        Self::new(ErrorKind::InvalidCookie).with_source(source)
    }
}

/// An option that no layer can be built with. Its message names the option and the value.
///
/// ```
/// use express_session::{Cookie, SessionLayer};
///
/// let error = SessionLayer::new("keyboard cat")
///     .cookie(Cookie::new().domain("not a domain"))
///     .build()
///     .unwrap_err();
/// assert_eq!(error.option(), "cookie.domain");
/// assert_eq!(error.to_string(), r#"session option cookie.domain is invalid: "not a domain""#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    option: &'static str,
    value: Box<str>,
}

impl ConfigError {
    pub(crate) fn new(option: &'static str, value: impl Into<Box<str>>) -> Self {
        Self { option, value: value.into() }
    }

    /// Names the option: `secret`, `name`, `cookie.domain`, …
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// let error = SessionLayer::new("keyboard cat").name("my session").build().unwrap_err();
    /// assert_eq!(error.option(), "name");
    /// ```
    #[must_use]
    pub fn option(&self) -> &'static str {
        self.option
    }

    /// Shows the value that was refused; of a secret, what is wrong with it.
    ///
    /// ```
    /// use express_session::SessionLayer;
    ///
    /// let error = SessionLayer::new("keyboard cat").name("my session").build().unwrap_err();
    /// assert_eq!(error.value(), "my session");
    /// ```
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session option {} is invalid: {:?}", self.option, self.value)
    }
}

impl StdError for ConfigError {}
