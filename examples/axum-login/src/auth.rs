//! The work of axum-login's `AuthSession` over these sessions, for any backend that implements its traits.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_login::{AuthUser, AuthnBackend, UserId};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use express_session::{Error, Session};
use sha2::{Digest as _, Sha256};

/// The session's member with the digest of what ends it when it changes: the hash of the password, for example.
const DIGEST: &str = "authDigest";

/// The session and its user. The state of the router has the backend.
pub(crate) struct Auth<B: AuthnBackend> {
    pub(crate) user: Option<B::User>,
    pub(crate) session: Session,
    pub(crate) backend: B,
}

impl<B: AuthnBackend> Auth<B> {
    /// Checks credentials, and leaves the session as it is.
    pub(crate) async fn authenticate(
        &self,
        credentials: B::Credentials,
    ) -> Result<Option<B::User>, B::Error> {
        self.backend.authenticate(credentials).await
    }

    /// Goes on under a new id, with this user.
    pub(crate) async fn login(&mut self, user: &B::User) -> Result<(), Error> {
        self.session.login(user.id()).await?;
        self.session.insert(DIGEST, digest_of(user))?;
        self.user = Some(user.clone());
        Ok(())
    }

    /// Destroys the session.
    pub(crate) async fn logout(&mut self) -> Result<(), Error> {
        self.user = None;
        self.session.logout().await
    }
}

impl<B, S> FromRequestParts<S> for Auth<B>
where
    B: AuthnBackend + FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let failed = |error: Error| error.into_response();
        let session = Session::from_request_parts(parts, state).await.map_err(failed)?;
        let backend = B::from_ref(state);
        let mut auth = Self { user: None, session, backend };
        let Some(id) = auth.session.user::<UserId<B>>().map_err(failed)? else { return Ok(auth) };
        auth.user = auth
            .backend
            .get_user(&id)
            .await
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())?;
        let digest = auth.session.get::<String>(DIGEST).map_err(failed)?;
        // The user is gone, or has another password since the login.
        if auth.user.as_ref().map(digest_of) != digest {
            auth.logout().await.map_err(failed)?;
        }
        Ok(auth)
    }
}

/// The store gets no hash of a password: an attacker who reads it could try passwords against that.
fn digest_of(user: &impl AuthUser) -> String {
    let digest = Sha256::new_with_prefix("session\0").chain_update(user.session_auth_hash());
    BASE64_STANDARD_NO_PAD.encode(digest.finalize())
}
