//! The response to a request whose session cannot be loaded or saved.
//!
//! | error | status | headers |
//! |---|---|---|
//! | the session has ended | 409 | |
//! | the cookies name two sessions | 400 | |
//! | temporary: the store is unavailable, others hold the session | 503 | `Retry-After: 1` |
//! | any other | 500 | |
//!
//! The body is one sentence that tells the visitor no detail. The response's extensions have the error, as
//! `Arc<`[`Error`](crate::Error)`>`, for layers outside of the session layer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use crate::error::{Error, ErrorKind};

/// The application's own error response.
pub(crate) type ErrorResponse = Arc<dyn Fn(&Error, &Parts) -> Response<Bytes> + Send + Sync>;

/// Returns the error response of this page's table.
pub(crate) fn default_response(error: &Error) -> Response<Bytes> {
    let (status, text) = if error.kind() == ErrorKind::Ended {
        (StatusCode::CONFLICT, "The session has ended.\n")
    } else if error.kind() == ErrorKind::AmbiguousCookie {
        let text = "The browser sent two sessions. Please delete the cookies of this site.\n";
        (StatusCode::BAD_REQUEST, text)
    } else if error.is_temporary() {
        (StatusCode::SERVICE_UNAVAILABLE, "The session is unavailable. Please try again.\n")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "The session failed.\n")
    };
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Returns the response for an error: the application's own, or the default one. The error is in its extensions.
pub(crate) fn error_response(
    error: Arc<Error>,
    custom: Option<(&ErrorResponse, &Parts)>,
) -> Response<Bytes> {
    let mut response = match custom {
        Some((respond, request)) => respond(&error, request),
        None => default_response(&error),
    };
    response.extensions_mut().insert(error);
    response
}
