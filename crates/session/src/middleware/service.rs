//! The service: finds the cookie, hands out the session, and lets the response leave when it is saved.
//!
//! 1. A request whose path is outside of the cookie's has no session (item 19).
//! 2. So has one that already has a session of this name (item 17), and it keeps that.
//! 3. The cookie is read and its signature checked; the store is not asked yet.
//! 4. When the inner service has answered, [`Shared::commit`] does what [`decide`] says. Its cookie is
//!    appended behind the handler's own `Set-Cookie` headers (item 37).
//! 5. Where a handle is still held when the response is ready, by its body or by a task, the body
//!    becomes guarded: what changes while it is sent is saved when it ends.
//! 6. A response with an upgrade (101, or success after `CONNECT`) is saved before it leaves; handles held
//!    on stay usable.
//! 7. An inner service that fails or panics, and a request that is dropped, save nothing. What a handler saved by
//!    hand stays saved.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use express_session_core::cookie;
use express_session_core::{SessionId, Verified, decide, signing};
use http::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::error::{Error, ErrorKind};
use crate::layer::config::Config;
use crate::middleware::body::SessionBody;
use crate::middleware::request_view::RequestView;
use crate::request::{Begun, Committed, Ready, Shared};

/// Where the sessions of a request stand in its extensions: the innermost layer's first.
#[derive(Clone)]
pub(crate) struct Slot {
    inner: Inner,
    outer: Option<Arc<Self>>,
}

#[derive(Clone)]
enum Inner {
    Session(Arc<Shared>),
    /// There is none: the request's path is outside of the cookie's.
    Outside(Arc<Config>),
}

impl Slot {
    /// Names the layer's cookie.
    pub(crate) fn name(&self) -> &str {
        match &self.inner {
            Inner::Session(shared) => &shared.config.name,
            Inner::Outside(config) => &config.name,
        }
    }

    pub(crate) fn session(&self) -> Option<&Arc<Shared>> {
        match &self.inner {
            Inner::Session(shared) => Some(shared),
            Inner::Outside(_) => None,
        }
    }

    pub(crate) fn outer(&self) -> Option<&Self> {
        self.outer.as_deref()
    }

    fn has(&self, name: &str) -> bool {
        (self.session().is_some() && self.name() == name)
            || self.outer().is_some_and(|outer| outer.has(name))
    }
}

/// Gives every request of an inner service a session. [`SessionLayer`](crate::SessionLayer) makes it.
///
/// Works around any service of `http` requests and responses; a response's body becomes a
/// [`SessionBody`].
///
/// ```
/// use express_session::{Error, Session, SessionLayer, SessionService};
/// use http::{Request, Response};
/// use tower::{Layer as _, ServiceExt as _, service_fn};
/// # use express_session_testkit::block_on;
///
/// let handler = service_fn(async |request: Request<()>| {
///     let session = Session::from_extensions(request.extensions())?.load().await?;
///     session.insert("views", 1)?;
///     Ok::<_, Error>(Response::new(String::new()))
/// });
/// let service: SessionService<_> = SessionLayer::new("keyboard cat").layer(handler);
/// # block_on(async {
/// let response = service.oneshot(Request::new(())).await?;
/// assert!(response.headers().contains_key("set-cookie"));
/// # Ok::<(), Error>(())
/// # })?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> SessionService<S> {
    pub(crate) fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body + Send + 'static,
    R::Data: From<Bytes>,
{
    type Response = Response<SessionBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let admission = if self.config.needs_parts() {
            let (head, body) = request.into_parts();
            let admission = self.config.admit(&RequestView::from(&head));
            request = Request::from_parts(head, body);
            admission
        } else {
            self.config.admit(&RequestView::of(&request))
        };
        let shared = admission.as_ref().and_then(Slot::session).cloned();
        if let Some(slot) = admission {
            request.extensions_mut().insert(slot);
        }
        let Some(shared) = shared else {
            let inner = self.inner.call(request);
            return ResponseFuture { step: Step::Inner { inner, end: None } };
        };
        let end = End {
            shared,
            is_head: *request.method() == Method::HEAD,
            is_connect: *request.method() == Method::CONNECT,
        };
        if end.shared.load_plan() == decide::Load::Early {
            // The service that was polled ready is the one to call.
            let clone = self.inner.clone();
            let ready = std::mem::replace(&mut self.inner, clone);
            let shared = Arc::clone(&end.shared);
            let load = Box::pin(async move { shared.load().await });
            let next = Some(Box::new((ready, request, end)));
            return ResponseFuture { step: Step::Load { load, next } };
        }
        let inner = self.inner.call(request);
        ResponseFuture { step: Step::Inner { inner, end: Some(end) } }
    }
}

impl Config {
    /// Finds out what a request's session may be: what is to be put into the request's extensions. `None` where
    /// another layer has done that.
    fn admit(self: &Arc<Self>, head: &RequestView<'_>) -> Option<Slot> {
        let departures = self.policy.departures;
        let outer = head.extensions.get::<Slot>();
        let taken = |slot: &Slot| {
            if departures.layers_by_name { slot.has(&self.name) } else { slot.session().is_some() }
        };
        if outer.is_some_and(taken) {
            return None;
        }
        let cookie = self.cookie_options(head.parts);
        let outer = || outer.cloned().map(Arc::new);
        if !matches(original_path(head), cookie.session_path(), departures.path_match) {
            return Some(Slot { inner: Inner::Outside(Arc::clone(self)), outer: outer() });
        }
        let presented = self.presented(head).map(Verified::into_inner);
        let secure = self.connection.is_secure(head, departures.forwarded);
        let parts = head.parts.filter(|_| self.needs_request());
        let request = parts.map(|parts| Box::new(parts.clone()));
        let shared = Arc::new(Shared::new(Arc::clone(self), presented, secure, request));
        Some(Slot { inner: Inner::Session(shared), outer: outer() })
    }

    /// Gives the id of the request's cookie, if its signature is good.
    fn presented(&self, head: &RequestView<'_>) -> Option<Verified<SessionId>> {
        let headers = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
        cookie::find(headers, &self.name, decide::candidates(&self.policy), |value| {
            signing::verify(value, &self.keyring).ok()
        })
    }
}

/// Gives the path that the client asked for, also inside of a nested router.
fn original_path<'a>(head: &RequestView<'a>) -> &'a str {
    #[cfg(feature = "axum")]
    if let Some(original) = head.extensions.get::<axum::extract::OriginalUri>() {
        return path_of(&original.0);
    }
    path_of(head.uri)
}

fn path_of(uri: &http::Uri) -> &str {
    match uri.path() {
        "" => "/",
        path => path,
    }
}

/// Says whether a request's path is within a cookie's: as browsers do (RFC 6265 §5.1.4), or by prefix.
fn matches(path: &str, cookie_path: &str, as_browsers: bool) -> bool {
    let Some(rest) = path.strip_prefix(cookie_path) else { return false };
    !as_browsers || rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/')
}

/// What is to be done when the inner service has answered.
struct End {
    shared: Arc<Shared>,
    is_head: bool,
    is_connect: bool,
}

impl End {
    /// Says whether the connection becomes something else after this response (RFC 9110 §9.3.6 and
    /// §15.2.2; RFC 8441 for WebSockets over HTTP/2).
    fn is_upgrade(&self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS || (self.is_connect && status.is_success())
    }

    /// Says whether a server sends no body after this response, whatever the body is (RFC 9110 §6.4.1).
    fn has_no_body(&self, status: StatusCode) -> bool {
        let is_bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.is_head || is_bare || self.is_upgrade(status)
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    /// The response of a [`SessionService`], once its session is saved.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use express_session::{ResponseFuture, SessionLayer};
    /// use http::{Request, Response};
    /// use tower::{Layer as _, Service as _, service_fn};
    /// # use express_session_testkit::block_on;
    ///
    /// let handler = service_fn(async |_: Request<()>| {
    ///     Ok::<_, Infallible>(Response::new(String::new()))
    /// });
    /// let mut service = SessionLayer::new("keyboard cat").layer(handler);
    /// let response: ResponseFuture<_, (), String> = service.call(Request::new(()));
    /// # block_on(async {
    /// assert_eq!(response.await?.status(), 200);
    /// # Ok::<(), Infallible>(())
    /// # })?;
    /// # Ok::<(), Infallible>(())
    /// ```
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        R: Body,
    {
        #[pin]
        step: Step<S, S::Future, B, R>,
    }
}

pin_project! {
    #[project = Steps]
    enum Step<S, F, B, R>
    where
        R: Body,
    {
        // Boxed, since few layers load early, and every future has room for it.
        Load { load: Boxed<Result<(), Error>>, next: Option<Box<(S, Request<B>, End)>> },
        Inner { #[pin] inner: F, end: Option<End> },
        Commit { commit: Boxed<Response<SessionBody<R>>> },
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body + Send + 'static,
    R::Data: From<Bytes>,
{
    type Output = Result<Response<SessionBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut step = self.project().step;
        loop {
            let next = match step.as_mut().project() {
                Steps::Load { load, next } => {
                    let loaded = std::task::ready!(load.as_mut().poll(context));
                    // It is there until it is taken here, and this step is left then.
                    let Some((mut service, request, end)) = next.take().map(|next| *next) else {
                        return Poll::Pending;
                    };
                    match loaded {
                        Ok(()) => Step::Inner { inner: service.call(request), end: Some(end) },
                        Err(error) => Step::Commit { commit: Box::pin(refuse(end.shared, error)) },
                    }
                }
                Steps::Inner { inner, end } => {
                    let mut response = std::task::ready!(inner.poll(context))?;
                    let Some(end) = end.take().filter(|end| !end.shared.is_untouched()) else {
                        return Poll::Ready(Ok(response.map(SessionBody::plain)));
                    };
                    let leaving = Leaving::new(&end, &response);
                    let shared = end.shared;
                    match leaving.begin(&shared) {
                        ControlFlow::Break(committed) => {
                            let outcome = leaving.settle(&shared, committed, &mut response);
                            return Poll::Ready(Ok(outcome.respond(shared, response)));
                        }
                        ControlFlow::Continue(begun) => Step::Commit {
                            commit: Box::pin(finish(leaving, shared, begun, response)),
                        },
                    }
                }
                Steps::Commit { commit } => {
                    return Poll::Ready(Ok(std::task::ready!(commit.as_mut().poll(context))));
                }
            };
            step.set(next);
        }
    }
}

impl<S, B, R> std::fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Body,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseFuture")
    }
}

/// Answers a request whose session could not be loaded before the handler ran.
async fn refuse<R>(shared: Arc<Shared>, error: Error) -> Response<SessionBody<R>>
where
    R: Body,
    R::Data: From<Bytes>,
{
    // What express-session does with the record then is decided like anything else (item 23).
    let _ = shared.commit(Ready::Whole, Begun::Not).await;
    shared.close();
    failed(&error)
}

/// Takes the session's step for a response, from where it was begun.
async fn finish<R>(
    leaving: Leaving,
    shared: Arc<Shared>,
    begun: Begun,
    mut response: Response<R>,
) -> Response<SessionBody<R>>
where
    R: Body + Send + 'static,
    R::Data: From<Bytes>,
{
    let committed = if leaving.at_end {
        Ok(shared.commit_cookie(leaving.ready).await)
    } else {
        shared.commit(leaving.ready, begun).await
    };
    let outcome = leaving.settle(&shared, committed, &mut response);
    if outcome.is_over() {
        shared.release_lock().await;
    }
    outcome.respond(shared, response)
}

/// How a response leaves.
#[derive(Clone, Copy)]
struct Leaving {
    is_upgrade: bool,
    has_no_body: bool,
    /// Whether the store step is taken when the body has ended.
    at_end: bool,
    ready: Ready,
}

impl Leaving {
    fn new<R: Body>(end: &End, response: &Response<R>) -> Self {
        let has_no_body = end.has_no_body(response.status()) || response.body().is_end_stream();
        let policy = &end.shared.config.policy;
        let is_whole = has_no_body || response.body().size_hint().exact().is_some();
        Self {
            is_upgrade: end.is_upgrade(response.status()),
            has_no_body,
            at_end: decide::commit(policy) == decide::Commit::AtEnd && !has_no_body,
            ready: if is_whole { Ready::Whole } else { Ready::Begun },
        }
    }

    /// Takes the session's step as far as that can be done without waiting.
    fn begin(self, shared: &Arc<Shared>) -> ControlFlow<Committed, Begun> {
        if self.at_end { ControlFlow::Continue(Begun::Not) } else { shared.commit_now(self.ready) }
    }

    /// Adds the cookie, and says what becomes of the response.
    fn settle<R>(
        self,
        shared: &Arc<Shared>,
        committed: Committed,
        response: &mut Response<R>,
    ) -> Outcome {
        let set_cookie = match committed {
            Ok(set_cookie) => set_cookie,
            Err(error) => {
                tracing::error!(
                    target: "express_session",
                    error = &error as &dyn std::error::Error,
                    "a session could not be saved, and the response says so",
                );
                return Outcome::Failed(error);
            }
        };
        let cookie_sent = set_cookie.is_some();
        if let Some(set_cookie) = set_cookie {
            response.headers_mut().append(SET_COOKIE, set_cookie);
        }
        if self.is_upgrade {
            shared.detach();
            return Outcome::Upgraded;
        }
        if Arc::strong_count(shared) == 1 && !self.at_end {
            return Outcome::Alone;
        }
        shared.headers_left(cookie_sent);
        if self.has_no_body { Outcome::Over } else { Outcome::Guarded }
    }
}

/// What becomes of a response whose session's step is done.
enum Outcome {
    Failed(Error),
    Upgraded,
    /// Nobody else holds the session: nothing can change any more.
    Alone,
    Over,
    /// The session may still change while the body is sent.
    Guarded,
}

impl Outcome {
    /// Says whether the session is of no use any more.
    fn is_over(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Alone | Self::Over)
    }

    #[inline]
    fn respond<R>(self, shared: Arc<Shared>, response: Response<R>) -> Response<SessionBody<R>>
    where
        R: Body,
        R::Data: From<Bytes>,
    {
        match self {
            Self::Failed(error) => {
                shared.close();
                failed(&error)
            }
            Self::Upgraded | Self::Alone => response.map(SessionBody::plain),
            Self::Over => {
                shared.close();
                response.map(SessionBody::plain)
            }
            Self::Guarded => {
                let length =
                    response.headers().get(http::header::CONTENT_LENGTH).and_then(as_length);
                response.map(|body| SessionBody::guarded(body, length, shared))
            }
        }
    }
}

fn as_length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// Makes the response that says that a session could not be loaded or saved: nothing of what the handler
/// answered is left.
fn failed<R>(error: &Error) -> Response<SessionBody<R>>
where
    R: Body,
    R::Data: From<Bytes>,
{
    let (status, text) = status_of(error);
    let mut response = Response::new(SessionBody::message(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    response
}

/// When a client is to try again after 503, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: &str = "1";

/// Gives what a client is told of an error: that there is one, and whether trying again may help.
pub(crate) fn status_of(error: &Error) -> (StatusCode, &'static str) {
    if error.kind() == ErrorKind::Ended {
        (StatusCode::CONFLICT, "The session has ended.\n")
    } else if error.is_temporary() {
        (StatusCode::SERVICE_UNAVAILABLE, "The session is unavailable. Please try again.\n")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "The session failed.\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_prefix_as_on_node_and_by_segment_as_in_browsers() {
        for (path, cookie_path, on_node, in_browsers) in [
            ("/", "/", true, true),
            ("/a/b", "/", true, true),
            ("/admin", "/admin", true, true),
            ("/admin/x", "/admin", true, true),
            ("/administrator", "/admin", true, false),
            ("/admin/x", "/admin/", true, true),
            ("/admin", "/admin/", false, false),
            ("/Admin", "/admin", false, false),
            ("*", "/", false, false),
        ] {
            assert_eq!(matches(path, cookie_path, false), on_node, "{path} {cookie_path}");
            assert_eq!(matches(path, cookie_path, true), in_browsers, "{path} {cookie_path}");
        }
    }
}
