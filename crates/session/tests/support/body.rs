//! Bodies of responses: whole, or frame by frame as a test sends them.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::sync::mpsc;

/// The body of every handler in these tests.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// A body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body broke off")
    }
}

impl std::error::Error for Broken {}

/// A response of this text.
pub(crate) fn text(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync())
}

/// A response without a body.
pub(crate) fn empty(status: u16) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status.try_into().unwrap();
    response
}

/// Sends the frames of a [`stream`]. The body ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Frames(mpsc::UnboundedSender<Result<Frame<Bytes>, Broken>>);

impl Frames {
    pub(crate) fn data(&self, data: &'static str) {
        self.0.send(Ok(Frame::data(Bytes::from_static(data.as_bytes())))).unwrap();
    }

    pub(crate) fn trailers(&self, name: &'static str, value: &'static str) {
        let mut trailers = HeaderMap::new();
        trailers.insert(name, value.parse().unwrap());
        self.0.send(Ok(Frame::trailers(trailers))).unwrap();
    }

    pub(crate) fn break_off(&self) {
        self.0.send(Err(Broken)).unwrap();
    }
}

/// A response of unknown length: as `StreamBody` over a channel, it learns of its end by
/// `None`, and must not be asked again then.
pub(crate) fn stream() -> (Frames, Response<Body>) {
    streaming(SizeHint::default())
}

/// The same with a body that knows how long it is.
pub(crate) fn sized(length: u64) -> (Frames, Response<Body>) {
    streaming(SizeHint::with_exact(length))
}

fn streaming(hint: SizeHint) -> (Frames, Response<Body>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let body = Channel { receiver, hint, ended: false };
    (Frames(sender), Response::new(body.boxed_unsync()))
}

struct Channel {
    receiver: mpsc::UnboundedReceiver<Result<Frame<Bytes>, Broken>>,
    hint: SizeHint,
    ended: bool,
}

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        assert!(!self.ended, "a body is polled after its end");
        let frame = ready!(self.receiver.poll_recv(context));
        self.ended = frame.is_none();
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Some(left) = self.hint.exact()
        {
            self.hint = SizeHint::with_exact(left - data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// Polls a body once.
pub(crate) async fn next<B>(body: &mut B) -> Poll<Option<Result<Frame<Bytes>, B::Error>>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *body).poll_frame(context))).await
}

/// Polls a body once, for a frame of data that is to be there.
pub(crate) async fn next_data<B>(body: &mut B) -> String
where
    B: http_body::Body<Data = Bytes, Error: fmt::Debug> + Unpin,
{
    let Poll::Ready(Some(Ok(frame))) = next(body).await else { panic!("there is no frame") };
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}
