//! Axum's extractors.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use express_session_core::Clock as _;
use http::request::Parts;
use tracing::Level;

use crate::error::{Error, ErrorKind};
use crate::middleware::error_response;
use crate::runtime::failures::OF_HANDLERS;
use crate::runtime::system::System;
use crate::{Flash, Fresh, LazySession, Session};

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Self::from_extensions(&parts.extensions)?.load().await
    }
}

/// `Option<Session>` is for handlers that work with and without a session: `None` where no layer is in
/// front of the handler, the request's path is outside of the cookie's, or the record
/// [cannot be read](crate::SessionLayer::unreadable_record). A store that fails is an error
/// here too, and `None` under [`Outage::Continue`](crate::Outage::Continue).
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Error> {
        match Self::from_extensions(&parts.extensions) {
            Ok(unloaded) => match unloaded.load().await {
                Ok(session) => Ok(Some(session).filter(|it| !it.shared().is_degraded())),
                Err(error) if error.is_about_the_record() => {
                    log("a stored record cannot be read: an optional session is none", &error);
                    Ok(None)
                }
                Err(error) => Err(error),
            },
            Err(_) => Ok(None),
        }
    }
}

fn log(what: &'static str, error: &Error) {
    OF_HANDLERS.with(|failures| failures.log(Level::ERROR, what, error, System.now().into()));
}

/// Takes the session without loading it, for handlers that decide later whether they need it.
impl<S: Sync> FromRequestParts<S> for LazySession {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Session::from_extensions(&parts.extensions)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for LazySession {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Session::from_extensions(&parts.extensions).ok())
    }
}

/// Loads the session, as the extractor of [`Session`] does.
impl<S: Sync> FromRequestParts<S> for Flash {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Session::from_extensions(&parts.extensions)?.load().await?.flash())
    }
}

/// Loads the session, as the extractor of [`Session`] does.
#[cfg(feature = "csrf")]
impl<S: Sync> FromRequestParts<S> for crate::Csrf {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Session::from_extensions(&parts.extensions)?.load().await?.csrf())
    }
}

/// Loads the session, and checks the login.
impl<S: Sync, const SECONDS: u64> FromRequestParts<S> for Fresh<SECONDS> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let session = Session::from_extensions(&parts.extensions)?.load().await?;
        session.require_fresh(Duration::from_secs(SECONDS))?;
        Ok(Self(session))
    }
}

/// The response of the layer's own error response, which the response's extensions have the error of as
/// `Arc<`[`Error`]`>`. Where [`SessionLayer::error_response`](crate::SessionLayer::error_response) is set, the layer
/// replaces it.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        // None of these is a failure. Any other site can cause the second, and would fill the log.
        if !matches!(
            self.kind(),
            ErrorKind::Ended
                | ErrorKind::InvalidCsrfToken
                | ErrorKind::NotLoggedIn
                | ErrorKind::LoginTooOld
                | ErrorKind::LevelTooLow
        ) {
            log("a handler failed for its session", &self);
        }
        error_response(Arc::new(self), None).map(Body::from)
    }
}
