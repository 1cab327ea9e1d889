//! The response when its session is committed.

use express_session_core::policy::SaveTime;
use std::sync::Arc;

use bytes::Bytes;
use express_session_core::session::BodyKind;
use http::header::{CONTENT_LENGTH, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tracing::Level;

use super::body::SessionBody;
use super::cache::keep_out_of_shared_caches;
use super::error_response::error_response;
use crate::error::Error;
use crate::request::{Commit, Committed, RequestSession};

/// The header's value after a logout (W3C Clear Site Data §3.1).
const CLEAR_SITE_DATA: &str = r#""cookies", "storage""#;

const UNSAVED: &str = "a session could not be saved, and the response says so";

/// The context of a response.
pub(super) struct ResponseContext {
    pub(super) session: Arc<RequestSession>,
    is_head: bool,
    is_connect: bool,
}

impl ResponseContext {
    pub(super) fn new<B>(session: Arc<RequestSession>, request: &Request<B>) -> Self {
        Self {
            session,
            is_head: *request.method() == Method::HEAD,
            is_connect: *request.method() == Method::CONNECT,
        }
    }

    /// Checks whether the connection becomes something else after this response (RFC 9110 §9.3.6 and §15.2.2; RFC 8441
    /// for WebSockets over HTTP/2).
    fn is_upgrade(&self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS || (self.is_connect && status.is_success())
    }

    /// Checks whether a server sends no body after this response, even if there is one (RFC 9110 §6.4.1).
    fn has_no_body(&self, status: StatusCode) -> bool {
        let is_bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.is_head || is_bare || self.is_upgrade(status)
    }
}

/// How the session of a response is committed.
#[derive(Clone, Copy)]
pub(super) struct CommitMode {
    is_upgrade: bool,
    has_no_body: bool,
    /// Whether the store is called when the body has ended.
    at_end: bool,
    pub(super) body: BodyKind,
}

impl CommitMode {
    pub(super) fn new<R: Body>(context: &ResponseContext, response: &Response<R>) -> Self {
        let has_no_body = context.has_no_body(response.status()) || response.body().is_end_stream();
        let policy = &context.session.config.policy;
        let is_complete = has_no_body || response.body().size_hint().exact().is_some();
        Self {
            is_upgrade: context.is_upgrade(response.status()),
            has_no_body,
            at_end: policy.when_to_save() == SaveTime::AtEnd && !has_no_body,
            body: if is_complete { BodyKind::Complete } else { BodyKind::Streaming },
        }
    }

    /// Commits without waiting, as far as that can be done.
    pub(super) fn commit_immediately(
        self,
        session: &Arc<RequestSession>,
    ) -> Result<Committed, Commit> {
        if self.at_end {
            return Err(Commit::new(self.body));
        }
        session.commit_immediately(self.body)
    }

    /// Commits, from wherever [`commit_immediately`](Self::commit_immediately) has left off.
    pub(super) async fn commit<R>(
        self,
        session: Arc<RequestSession>,
        commit: Commit,
        mut response: Response<R>,
    ) -> Response<SessionBody<R>>
    where
        R: Body,
        R::Data: From<Bytes>,
    {
        let committed = if self.at_end {
            Ok(session.commit_cookie(self.body).await)
        } else {
            session.commit(commit).await
        };
        let outcome = self.apply(&session, committed, &mut response);
        if outcome.is_over() {
            session.release_lock().await;
        }
        outcome.respond(session, response)
    }

    /// Adds the cookie, and returns what becomes of the response.
    pub(super) fn apply<R>(
        self,
        session: &Arc<RequestSession>,
        committed: Committed,
        response: &mut Response<R>,
    ) -> Outcome {
        let set_cookie = match committed {
            Ok(set_cookie) => set_cookie,
            Err(error) => {
                session.log(Level::ERROR, UNSAVED, &error);
                return Outcome::Failed(error);
            }
        };
        let is_sent = set_cookie.is_some();
        if let Some(set_cookie) = set_cookie {
            response.headers_mut().append(SET_COOKIE, set_cookie);
            restrict_caches(session, response.headers_mut());
        }
        if session.config.clear_site_data {
            clear_site_data(session, response.headers_mut());
        }
        if self.is_upgrade {
            session.detach();
            return Outcome::Upgraded;
        }
        if Arc::strong_count(session) == 1 && !self.at_end {
            return Outcome::Final;
        }
        session.headers_left(is_sent);
        if self.has_no_body { Outcome::Over } else { Outcome::Guarded }
    }
}

/// The next step of a response whose session is committed.
pub(super) enum Outcome {
    Failed(Error),
    Upgraded,
    /// No other handle of the session is left: nothing can change any more.
    Final,
    Over,
    /// The session may still change while the body is sent.
    Guarded,
}

impl Outcome {
    /// Checks whether the session is of no use any more.
    fn is_over(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Final | Self::Over)
    }

    #[inline]
    pub(super) fn respond<R>(
        self,
        session: Arc<RequestSession>,
        response: Response<R>,
    ) -> Response<SessionBody<R>>
    where
        R: Body,
        R::Data: From<Bytes>,
    {
        if let Some(error) = replaced_error(&session, &response) {
            session.close();
            let cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().cloned().collect();
            let mut replaced = failed(&session, error);
            if !cookies.is_empty() {
                restrict_caches(&session, replaced.headers_mut());
            }
            cookies.into_iter().for_each(|cookie| {
                replaced.headers_mut().append(SET_COOKIE, cookie);
            });
            if session.config.clear_site_data {
                clear_site_data(&session, replaced.headers_mut());
            }
            return replaced;
        }
        match self {
            Self::Failed(error) => {
                session.close();
                failed(&session, Arc::new(error))
            }
            Self::Upgraded | Self::Final => response.map(SessionBody::plain),
            Self::Over => {
                session.close();
                response.map(SessionBody::plain)
            }
            Self::Guarded => {
                let length = response.headers().get(CONTENT_LENGTH).and_then(as_length);
                response.map(|body| SessionBody::guarded(body, length, session))
            }
        }
    }
}

/// Adds the header by which the browser clears the site's data, after a logout.
#[cold]
fn clear_site_data(session: &RequestSession, headers: &mut HeaderMap) {
    if session.is_logged_out() {
        headers.insert("clear-site-data", HeaderValue::from_static(CLEAR_SITE_DATA));
    }
}

fn restrict_caches(session: &RequestSession, headers: &mut HeaderMap) {
    if let Some(cache) = session.config.policy.cache_headers() {
        keep_out_of_shared_caches(headers, cache);
    }
}

fn as_length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// Answers a request whose session could not be loaded before the handler ran.
pub(super) async fn refuse<R: Body>(
    session: Arc<RequestSession>,
    error: Error,
) -> Response<SessionBody<R>> {
    // The policy also decides about the record then (item 23).
    let _ = session.commit(Commit::new(BodyKind::Complete)).await;
    session.close();
    failed(&session, Arc::new(error))
}

/// Returns the error response: nothing of what the handler answered is left.
fn failed<R: Body>(session: &RequestSession, error: Arc<Error>) -> Response<SessionBody<R>> {
    let custom = session.config.error_response.as_ref().zip(session.request());
    error_response(error, custom).map(SessionBody::message)
}

/// Returns the error of a handler whose response is to be replaced by the application's own error response.
fn replaced_error<R>(session: &RequestSession, response: &Response<R>) -> Option<Arc<Error>> {
    session.config.error_response.as_ref()?;
    response.extensions().get().cloned()
}
