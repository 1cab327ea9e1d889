//! The body of a response whose session may still change while it is sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::request::RequestSession;

pin_project! {
    /// The body of a response that went through a session layer.
    ///
    /// Mostly this is the inner body and nothing else. Where a handle of the session is still held when the
    /// response is ready (by a stream, or a task), the last frame waits until what was changed
    /// meanwhile is saved, so that a client that has read to the end finds it saved. A body that is dropped
    /// before its end saves nothing more.
    ///
    /// ```
    /// use express_session::{SessionBody, SessionLayer};
    /// use http::{Request, Response};
    /// use http_body_util::BodyExt as _;
    /// use tower::{Layer as _, ServiceExt as _, service_fn};
    /// # use express_session_testkit::block_on;
    ///
    /// let service = SessionLayer::new("keyboard cat").layer(service_fn(async |_: Request<()>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new("hello".to_owned()))
    /// }));
    /// # block_on(async {
    /// let response: Response<SessionBody<String>> = service.oneshot(Request::new(())).await?;
    /// assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
    /// # Ok::<(), std::convert::Infallible>(())
    /// # })?;
    /// # Ok::<(), std::convert::Infallible>(())
    /// ```
    pub struct SessionBody<B: Body> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = Kinds]
    enum Kind<B: Body> {
        Plain { #[pin] body: B },
        // Boxed, since most bodies are plain, and go from layer to layer.
        Guarded { #[pin] body: B, guard: Box<Guard<B::Data>> },
        Message { text: Option<Bytes> },
    }
}

/// Empty where the inner body's default is: layers inside others, as tower-http's `CorsLayer`, ask for it.
impl<B: Body + Default> Default for SessionBody<B> {
    fn default() -> Self {
        Self::plain(B::default())
    }
}

/// The state between the end of the inner body and the end of this one.
struct Guard<D> {
    session: Arc<RequestSession>,
    /// The number of bytes left to send, where the length is known: a server stops polling when it has all.
    left: Option<u64>,
    /// The last frame, held back until the session is saved; `None` where the end is all that waits.
    last: Option<Frame<D>>,
    /// Whether the inner body has said that it is at its end: it must not be polled any more.
    ended: bool,
    stage: Stage,
}

enum Stage {
    Sending,
    Saving(Pin<Box<dyn Future<Output = ()> + Send>>),
    Saved,
}

impl<B: Body> SessionBody<B> {
    pub(crate) fn plain(body: B) -> Self {
        Self { kind: Kind::Plain { body } }
    }

    pub(crate) fn guarded(body: B, length: Option<u64>, session: Arc<RequestSession>) -> Self {
        let left = length.or_else(|| body.size_hint().exact());
        let guard = Guard { session, left, last: None, ended: false, stage: Stage::Sending };
        Self { kind: Kind::Guarded { body, guard: Box::new(guard) } }
    }

    pub(crate) fn message(text: Bytes) -> Self {
        Self { kind: Kind::Message { text: Some(text) } }
    }
}

impl<D: Buf> Guard<D> {
    /// Begins to save, and holds a frame back until that is done.
    fn save(&mut self, last: Option<Frame<D>>) {
        self.last = last;
        let session = Arc::clone(&self.session);
        self.stage = Stage::Saving(Box::pin(async move {
            session.commit_late().await;
            session.close();
        }));
    }

    fn count(&mut self, frame: &Frame<D>) {
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            *left = left.saturating_sub(u64::try_from(data.remaining()).unwrap_or(u64::MAX));
        }
    }
}

impl<D> Drop for Guard<D> {
    fn drop(&mut self) {
        self.session.close();
    }
}

impl<B> Body for SessionBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let (mut body, guard) = match self.project().kind.project() {
            Kinds::Plain { body } => return body.poll_frame(context),
            Kinds::Message { text } => {
                let frame = text.take().map(|text| Frame::data(text.into()));
                return Poll::Ready(frame.map(Ok));
            }
            Kinds::Guarded { body, guard } => (body, guard),
        };
        loop {
            match &mut guard.stage {
                Stage::Sending => {
                    let frame = match ready!(body.as_mut().poll_frame(context)) {
                        Some(Ok(frame)) => frame,
                        // A body that breaks off is no end: nothing more is saved.
                        Some(Err(error)) => {
                            guard.session.close();
                            guard.ended = true;
                            guard.stage = Stage::Saved;
                            return Poll::Ready(Some(Err(error)));
                        }
                        None => {
                            guard.ended = true;
                            guard.save(None);
                            continue;
                        }
                    };
                    guard.count(&frame);
                    if !body.is_end_stream() && guard.left != Some(0) {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    guard.save(Some(frame));
                }
                Stage::Saving(saving) => {
                    ready!(saving.as_mut().poll(context));
                    guard.stage = Stage::Saved;
                }
                Stage::Saved => {
                    if let Some(last) = guard.last.take() {
                        return Poll::Ready(Some(Ok(last)));
                    }
                    if guard.ended || body.is_end_stream() {
                        return Poll::Ready(None);
                    }
                    // Trailers may come behind the last byte.
                    let frame = ready!(body.poll_frame(context));
                    guard.ended = frame.is_none();
                    return Poll::Ready(frame);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { body } => body.is_end_stream(),
            Kind::Guarded { body, guard } => {
                matches!(guard.stage, Stage::Saved)
                    && guard.last.is_none()
                    && (guard.ended || body.is_end_stream())
            }
            Kind::Message { text } => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { body } => body.size_hint(),
            Kind::Guarded { body, guard } => match &guard.last {
                None => body.size_hint(),
                // The frame held back is gone from the inner body's hint.
                Some(last) => {
                    let held = last.data_ref().map_or(0, Buf::remaining);
                    let held = u64::try_from(held).unwrap_or(u64::MAX);
                    let inner = body.size_hint();
                    let mut hint = SizeHint::new();
                    if let Some(upper) = inner.upper() {
                        hint.set_upper(upper.saturating_add(held));
                    }
                    hint.set_lower(inner.lower().saturating_add(held));
                    hint
                }
            },
            Kind::Message { text } => {
                let length = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
        }
    }
}

impl<B: Body> fmt::Debug for SessionBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Plain { .. } => "SessionBody::Plain",
            Kind::Guarded { .. } => "SessionBody::Guarded",
            Kind::Message { .. } => "SessionBody::Message",
        })
    }
}
