//! The options of a layer, checked and ready for use.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::cookie::{Cookie, CookieTemplate, StoredCookie};
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::record::Json;
use express_session_core::store::Lifetime;
use express_session_core::{Keyring, Policy, SessionId, Timestamp};
use http::request::Parts;

use crate::error::{Error, ErrorKind};
use crate::layer::warnings::Warnings;
use crate::middleware::ErrorResponse;
use crate::middleware::https::Connection;
use crate::runtime::batcher::WriteBatcher;
use crate::runtime::completion::Tasks;
use crate::runtime::failures::Failures;
use crate::runtime::keyed::KeyedMutex;
use crate::runtime::pacemaker::Pacemaker;
use crate::runtime::system::Sources;
use crate::store::AnyStore;

/// Makes the ids of new sessions.
pub(crate) type Genid = Arc<dyn Fn(&Parts) -> String + Send + Sync>;

/// Finds the address of a request's client.
pub(crate) type ClientAddress = Arc<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;

/// Where the cookie settings come from.
#[derive(Clone)]
pub(crate) enum Cookies {
    Fixed(Arc<Fixed>),
    Of(Arc<dyn Fn(&Parts) -> Cookie + Send + Sync>),
}

/// Cookie settings that are the same for every request.
pub(crate) struct Fixed {
    pub(crate) options: Cookie,
    /// Their form in a record: of sessions that began over HTTP, and over HTTPS.
    template: [CookieTemplate; 2],
}

impl Cookies {
    pub(crate) fn fixed(options: Cookie) -> Self {
        let epoch = Timestamp::from_millis(0);
        let over = |secure| CookieTemplate::new(&StoredCookie::new(&options, epoch, secure, true));
        let template = [over(false), over(true)];
        Self::Fixed(Arc::new(Fixed { options, template }))
    }
}

impl Fixed {
    fn template(&self, secure: bool) -> &CookieTemplate {
        &self.template[usize::from(secure)]
    }
}

/// The configuration that all requests through one layer share.
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) keyring: Keyring,
    pub(crate) store: AnyStore,
    /// Whether the store has a use for touching.
    pub(crate) supports_touch: bool,
    /// How long the store keeps a record after each reset of its expiry.
    pub(crate) lifetime: Lifetime,
    pub(crate) cookies: Cookies,
    pub(crate) genid: Option<Genid>,
    pub(crate) connection: Connection,
    pub(crate) client_address: Option<ClientAddress>,
    pub(crate) error_response: Option<ErrorResponse>,
    pub(crate) policy: Policy,
    /// How long a step waits for the store.
    pub(crate) store_timeout: Duration,
    /// How long a request waits for the steps that its handler did not ask for.
    pub(crate) touch_timeout: Duration,
    /// How long a lock is waited for, and how long it lasts.
    pub(crate) lock_wait: Duration,
    pub(crate) lock_lease: Duration,
    /// Whether stored sessions get the attributes of this layer's cookie.
    pub(crate) harden_stored_cookies: bool,
    /// The name of the library's own member, where the policy keeps metadata.
    pub(crate) metadata_member: MemberName,
    /// The keys of the public ids of sessions.
    pub(crate) public_ids: Keyring,
    /// Whether a logout clears what the browser has of the site.
    pub(crate) clear_site_data: bool,
    /// Those who save the same session, those whose write is to be final when it returns, and those who want its lock.
    pub(crate) writers: Arc<KeyedMutex<WriteBatcher>>,
    pub(crate) finalisers: Arc<KeyedMutex<()>>,
    pub(crate) lockers: Arc<KeyedMutex<()>>,
    /// Those who renew the session's id.
    pub(crate) renewers: Arc<KeyedMutex<()>>,
    /// The operations under way.
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) pacemaker: Pacemaker,
    pub(crate) failures: Failures,
    pub(crate) sources: Sources,
    pub(crate) warnings: Warnings,
}

impl Config {
    /// Checks whether a function of the application takes the request after the handler has consumed it.
    pub(crate) fn keeps_request(&self) -> bool {
        self.genid.is_some()
            || self.error_response.is_some()
            || matches!(self.cookies, Cookies::Of(_))
    }

    /// Checks whether any function of the application takes the request.
    pub(crate) fn needs_parts(&self) -> bool {
        self.keeps_request()
            || self.connection.secure_when.is_some()
            || self.client_address.is_some()
    }

    /// Returns the max age of most cookies, if it is known.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        match &self.cookies {
            Cookies::Fixed(fixed) => {
                let epoch = Timestamp::from_millis(0);
                StoredCookie::new(&fixed.options, epoch, false, true).original_max_age()
            }
            Cookies::Of(_) => None,
        }
    }

    /// Returns what the cookies of most records are like; `None` where a function says so for each request.
    pub(crate) fn template(&self, secure: bool) -> Option<&CookieTemplate> {
        match &self.cookies {
            Cookies::Fixed(fixed) => Some(fixed.template(secure)),
            Cookies::Of(_) => None,
        }
    }

    /// Makes the template of a request, where a function returns the settings and stored cookies get them.
    pub(crate) fn template_of_request(
        &self,
        options: &Cookie,
        secure: bool,
    ) -> Option<Box<CookieTemplate>> {
        let is_needed = self.harden_stored_cookies && matches!(self.cookies, Cookies::Of(_));
        // A template's cookie can be printed.
        (is_needed && options.validate().is_ok()).then(|| {
            let auto = self.policy.resolves_auto_from_function();
            let cookie = StoredCookie::new(options, Timestamp::from_millis(0), secure, auto);
            Box::new(CookieTemplate::new(&cookie))
        })
    }

    /// Returns the cookie settings for a request.
    pub(crate) fn cookie_options(&self, request: Option<&Parts>) -> Cow<'_, Cookie> {
        match (&self.cookies, request) {
            (Cookies::Fixed(fixed), _) => Cow::Borrowed(&fixed.options),
            (Cookies::Of(cookie), Some(request)) => Cow::Owned(cookie(request)),
            // The service has, and keeps, the request wherever `keeps_request` says so.
            (Cookies::Of(_), None) => Cow::Owned(Cookie::new()),
        }
    }

    /// Returns the question for the sessions of a user.
    pub(crate) fn user_query(&self, user: Json) -> UserQuery {
        UserQuery::new(user, self.metadata_member.clone())
    }

    /// Returns the public id of a session, in the alphabet of URLs.
    pub(crate) fn public_id(&self, id: &SessionId) -> String {
        self.public_ids.public_id(id)
    }

    /// Checks whether this is the public id of a session, by any of the secrets.
    pub(crate) fn is_public_id(&self, id: &SessionId, public_id: &str) -> bool {
        self.public_ids.is_public_id(id, public_id)
    }

    /// Makes the id and the cookie of a new session.
    pub(crate) fn generate(
        &self,
        request: Option<&Parts>,
        secure: bool,
        now: Timestamp,
    ) -> Result<(SessionId, StoredCookie), Error> {
        let id = match (&self.genid, request) {
            (Some(genid), Some(request)) => {
                SessionId::new(genid(request)).ok_or_else(|| Error::new(ErrorKind::EmptyId))?
            }
            _ => {
                let mut bytes = [0; SessionId::RANDOM_BYTES];
                self.sources.random.fill(&mut bytes);
                SessionId::from_random(bytes)
            }
        };
        let cookie = match &self.cookies {
            Cookies::Fixed(fixed) => fixed.template(secure).cookie(&fixed.options, now),
            Cookies::Of(_) => {
                let options = self.cookie_options(request);
                let auto = self.policy.resolves_auto_from_function();
                StoredCookie::new(&options, now, secure, auto)
            }
        };
        Ok((id, cookie))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("keyring", &self.keyring)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// One or several secrets, as the layer takes them: text or bytes, alone or in a list.
///
/// Prints as redacted.
///
/// ```
/// use express_session::Secret;
///
/// let rotating = Secret::from(["new secret", "old secret"]);
/// assert_eq!(format!("{rotating:?}"), "Secret(2, redacted)");
/// let bytes = Secret::from(vec![7_u8; 32]);
/// # let _ = bytes;
/// ```
#[derive(Clone)]
pub struct Secret(pub(crate) Arc<[Vec<u8>]>);

impl Secret {
    fn one(secret: impl Into<Vec<u8>>) -> Self {
        Self([secret.into()].into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, redacted)", self.0.len())
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::one(secret)
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::one(secret)
    }
}

impl From<&[u8]> for Secret {
    fn from(secret: &[u8]) -> Self {
        Self::one(secret)
    }
}

impl From<Vec<u8>> for Secret {
    fn from(secret: Vec<u8>) -> Self {
        Self::one(secret)
    }
}

impl<const N: usize> From<&[u8; N]> for Secret {
    fn from(secret: &[u8; N]) -> Self {
        Self::one(*secret)
    }
}

impl<const N: usize> From<[&str; N]> for Secret {
    fn from(secrets: [&str; N]) -> Self {
        Self(secrets.into_iter().map(Vec::from).collect())
    }
}

impl<const N: usize> From<[String; N]> for Secret {
    fn from(secrets: [String; N]) -> Self {
        Self(secrets.into_iter().map(Vec::from).collect())
    }
}

impl From<Vec<&str>> for Secret {
    fn from(secrets: Vec<&str>) -> Self {
        Self(secrets.into_iter().map(Vec::from).collect())
    }
}

impl From<Vec<String>> for Secret {
    fn from(secrets: Vec<String>) -> Self {
        Self(secrets.into_iter().map(Vec::from).collect())
    }
}

impl From<Vec<Vec<u8>>> for Secret {
    fn from(secrets: Vec<Vec<u8>>) -> Self {
        Self(secrets.into())
    }
}
