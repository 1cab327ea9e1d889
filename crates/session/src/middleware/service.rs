//! The service around an application.
//!
//! 1. It attaches the session to the request ([`admission`](super::admission)), and marks its cookies as sensitive.
//! 2. When the inner service has answered, the session is committed: saved, touched or destroyed, as core decides. Its
//!    cookie is appended behind the handler's own `Set-Cookie` headers (item 37).
//! 3. Where a handle is still held when the response is ready, by its body or by a task, the body becomes guarded: what
//!    changes while it is sent is saved when it ends.
//! 4. A response with an upgrade (101, or success after `CONNECT`) is saved before it leaves; its handles stay usable.
//! 5. An inner service that fails or panics, and a request that is dropped, save nothing. Explicit
//!    saves of the handler stay.

use express_session_core::policy::LoadTime;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::admission::SessionExtension;
use super::body::SessionBody;
use super::finish::ResponseContext;
use super::future::ResponseFuture;
use super::request_view::RequestView;
use crate::layer::config::Config;

/// A service that gives every request of its inner service a session. [`SessionLayer`](crate::SessionLayer) makes it.
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
        mark_sensitive(request.headers_mut());
        let extension = if self.config.needs_parts() {
            let (head, body) = request.into_parts();
            let extension = self.config.attach_session(&RequestView::from(&head));
            request = Request::from_parts(head, body);
            extension
        } else {
            self.config.attach_session(&RequestView::of(&request))
        };
        let session = extension.as_ref().and_then(SessionExtension::session).cloned();
        if let Some(extension) = extension {
            request.extensions_mut().insert(extension);
        }
        let context = session.map(|session| ResponseContext::new(session, &request));
        match context {
            Some(context) if context.session.load_plan() == LoadTime::Early => {
                // The service that was polled ready is the one to call.
                let clone = self.inner.clone();
                let ready = std::mem::replace(&mut self.inner, clone);
                ResponseFuture::load(ready, request, context)
            }
            context => ResponseFuture::inner(self.inner.call(request), context),
        }
    }
}

/// Keeps the request's cookies, which hold ids, out of `Debug` output of the application and its layers.
fn mark_sensitive(headers: &mut HeaderMap) {
    let cookies = headers.iter_mut().filter(|(name, _)| **name == COOKIE);
    cookies.for_each(|(_, cookie)| cookie.set_sensitive(true));
}
