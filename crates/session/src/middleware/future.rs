//! The future of a response.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::SessionBody;
use super::finish::{CommitMode, ResponseContext, refuse};
use crate::error::Error;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pin_project! {
    /// The response of a [`SessionService`](crate::SessionService), once its session is saved.
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
        stage: Stage<S, S::Future, B, R>,
    }
}

pin_project! {
    #[project = Stages]
    enum Stage<S, F, B, R>
    where
        R: Body,
    {
        // Boxed: few layers load before the handler runs, and every future has room for it.
        Load {
            load: Boxed<Result<(), Error>>,
            next: Option<Box<(S, Request<B>, ResponseContext)>>,
        },
        Inner { #[pin] inner: F, context: Option<ResponseContext> },
        Commit { commit: Boxed<Response<SessionBody<R>>> },
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    /// Calls the inner service. Without a context, the request has no session of this layer.
    #[inline]
    pub(super) fn inner(inner: S::Future, context: Option<ResponseContext>) -> Self {
        Self { stage: Stage::Inner { inner, context } }
    }

    /// Loads the session, and calls the inner service then.
    pub(super) fn load(service: S, request: Request<B>, context: ResponseContext) -> Self {
        let session = Arc::clone(&context.session);
        let load = Box::pin(async move { session.load().await });
        Self { stage: Stage::Load { load, next: Some(Box::new((service, request, context))) } }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body + Send + 'static,
    R::Data: From<Bytes>,
{
    type Output = Result<Response<SessionBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        loop {
            let next = match stage.as_mut().project() {
                Stages::Load { load, next } => {
                    let loaded = ready!(load.as_mut().poll(task));
                    // It is there until it is taken here, and this stage is left then.
                    let Some((mut service, request, context)) = next.take().map(|next| *next)
                    else {
                        return Poll::Pending;
                    };
                    match loaded {
                        Ok(()) => {
                            Stage::Inner { inner: service.call(request), context: Some(context) }
                        }
                        Err(error) => {
                            Stage::Commit { commit: Box::pin(refuse(context.session, error)) }
                        }
                    }
                }
                Stages::Inner { inner, context } => {
                    let mut response = ready!(inner.poll(task))?;
                    let Some(context) =
                        context.take().filter(|context| !context.session.is_untouched())
                    else {
                        return Poll::Ready(Ok(response.map(SessionBody::plain)));
                    };
                    let mode = CommitMode::new(&context, &response);
                    let session = context.session;
                    match mode.commit_immediately(&session) {
                        Ok(committed) => {
                            let outcome = mode.apply(&session, committed, &mut response);
                            return Poll::Ready(Ok(outcome.respond(session, response)));
                        }
                        Err(commit) => Stage::Commit {
                            commit: Box::pin(mode.commit(session, commit, response)),
                        },
                    }
                }
                Stages::Commit { commit } => {
                    return Poll::Ready(Ok(ready!(commit.as_mut().poll(task))));
                }
            };
            stage.set(next);
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
