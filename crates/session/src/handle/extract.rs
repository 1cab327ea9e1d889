//! Axum's extractors.

use std::convert::Infallible;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::RETRY_AFTER;
use http::request::Parts;

use crate::error::{Error, ErrorKind};
use crate::middleware::service::{RETRY_AFTER_SECONDS, status_of};
use crate::{LazySession, Session};

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Self::from_extensions(&parts.extensions)?.load().await
    }
}

/// `Option<Session>` is for handlers that work with and without a session: `None` where no layer is in
/// front of the handler, or the request's path is outside of the cookie's. A store that fails is an error
/// here too, and `None` under [`Outage::Continue`](crate::Outage::Continue).
impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Error> {
        match Self::from_extensions(&parts.extensions) {
            Ok(unloaded) => {
                let session = unloaded.load().await?;
                Ok(Some(session).filter(|session| !session.shared().is_adrift()))
            }
            Err(_) => Ok(None),
        }
    }
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

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, text) = status_of(&self);
        if !matches!(self.kind(), ErrorKind::Ended) {
            tracing::error!(
                target: "express_session",
                error = &self as &dyn std::error::Error,
                "a handler failed for its session",
            );
        }
        let mut response = (status, text).into_response();
        if self.is_temporary() {
            let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}
