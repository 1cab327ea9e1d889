//! The response to a request whose session cannot be loaded or saved.
//!
//! | error | status | headers |
//! |---|---|---|
//! | the session has ended | 409 | |
//! | the cookies name two sessions | 400 | |
//! | no user has logged in | 401 | `WWW-Authenticate: Session` (RFC 9110 §15.5.2 asks for one; browsers know no such scheme) |
//! | the login is too old, or of too low a level | 403 | |
//! | the user has too many sessions | 403 | |
//! | the CSRF token is not valid | 403 | |
//! | temporary: the store is unavailable, others hold the session | 503 | `Retry-After`, in seconds (RFC 9110 §10.2.3) |
//! | any other | 500 | |
//!
//! `Retry-After` is when the store is tried next, or a second, and up to two more at random: the visitors of an outage do
//! not all come back at the same time.
//!
//! The body is one sentence that tells the visitor no detail. The response's extensions have the error, as
//! `Arc<`[`Error`](crate::Error)`>`, for layers outside of the session layer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
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
    } else if error.kind() == ErrorKind::InvalidCsrfToken {
        (StatusCode::FORBIDDEN, "The form is not valid any more. Please load the page again.\n")
    } else if error.kind() == ErrorKind::NotLoggedIn {
        (StatusCode::UNAUTHORIZED, "Please log in.\n")
    } else if error.kind() == ErrorKind::LoginTooOld {
        (StatusCode::FORBIDDEN, "Please log in again to continue.\n")
    } else if error.kind() == ErrorKind::LevelTooLow {
        (StatusCode::FORBIDDEN, "Please confirm your login with another factor to continue.\n")
    } else if error.kind() == ErrorKind::TooManySessions {
        (StatusCode::FORBIDDEN, "You are logged in too often. Please log out elsewhere.\n")
    } else if error.is_temporary() {
        (StatusCode::SERVICE_UNAVAILABLE, "The session is unavailable. Please try again.\n")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "The session failed.\n")
    };
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Session"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let random = getrandom::u32().unwrap_or_default();
        let seconds = retry_seconds(error.retry_after().unwrap_or_default(), random);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The most seconds of `Retry-After`, and how many of them are random at most.
const LONGEST: u64 = 30;
const JITTER: u32 = 2;

fn retry_seconds(left: Duration, random: u32) -> u64 {
    let whole = left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0));
    whole.clamp(1, LONGEST - u64::from(JITTER)) + u64::from(random % (JITTER + 1))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_m3_retry_after_is_the_next_probe_in_whole_seconds_and_jitter_and_bounded() {
        for (millis, random, seconds) in [
            (0, 0, 1),
            (400, 0, 1),
            (1000, 0, 1),
            (1001, 0, 2),
            (400, 1, 2),
            (400, 2, 3),
            (400, 3, 1),
            (u64::MAX, 2, 30),
        ] {
            assert_eq!(retry_seconds(Duration::from_millis(millis), random), seconds, "{millis}");
        }
    }
}
