//! An application seen from outside: a spied store, a clock that stands still, ids that are known.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use express_session::store::{Record, Store as _, Touch};
use express_session::{
    Cookie, EndedBy, Error, MemoryStore, Secret, Session, SessionBody, SessionId, SessionLayer,
    Timestamp,
};
use express_session_core::{Keyring, signing};
use express_session_testkit::{Call, FakeClock, Spy, Verb};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::sync::{mpsc, oneshot};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

pub(crate) mod body;
pub(crate) mod delayed_store;
pub(crate) mod log;

pub(crate) use body::{Body, text};

/// The time of the vectors.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

/// The secret of the vectors.
pub(crate) const SECRET: &str = "keyboard cat";

/// The id of a session that is there before the request: the one of the vectors.
pub(crate) const BOB: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

/// A stored cookie without any option.
pub(crate) const PLAIN: &str =
    r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;

/// A stored cookie of one minute, as it is at [`NOW`].
pub(crate) const MINUTE: &str =
    r#"{"originalMaxAge":60000,"expires":"2023-11-14T22:14:20.123Z","httpOnly":true,"path":"/"}"#;

/// Writes a record: a cookie, and members behind it.
pub(crate) fn record(cookie: &str, members: &str) -> String {
    let comma = if members.is_empty() { "" } else { "," };
    format!(r#"{{"cookie":{cookie}{comma}{members}}}"#)
}

/// The surroundings of an application, open to a test.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) store: Spy<MemoryStore>,
    pub(crate) clock: FakeClock,
    drawn: Arc<AtomicU8>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::over(Spy::new(MemoryStore::new()))
    }

    pub(crate) fn over(store: Spy<MemoryStore>) -> Self {
        log::install();
        Self { store, clock: FakeClock::new(NOW), drawn: Arc::default() }
    }

    /// A world with one stored session, [`BOB`]'s.
    pub(crate) async fn with(members: &str) -> Self {
        Self::holding(&record(PLAIN, members)).await
    }

    /// A world with one stored session, [`BOB`]'s, of this text.
    pub(crate) async fn holding(text: &str) -> Self {
        let world = Self::new();
        world.keep(BOB, text).await;
        world
    }

    /// A world with one stored session, and a request of [`BOB`]'s.
    pub(crate) async fn visited(members: &str) -> (Self, Talk) {
        let world = Self::with(members).await;
        let talk = bob(&world.layer()).await;
        (world, talk)
    }

    /// The same with two requests that overlap.
    pub(crate) async fn visited_twice(members: &str) -> (Self, Talk, Talk) {
        let (world, one) = Self::visited(members).await;
        let two = bob(&world.layer()).await;
        (world, one, two)
    }

    /// An empty world, and a request without a cookie.
    pub(crate) async fn first_visit() -> (Self, Talk) {
        let world = Self::new();
        let talk = Talk::begin(&world.layer(), visit()).await;
        (world, talk)
    }

    /// A layer over the spied store, with the clock and the ids of this world.
    pub(crate) fn layer(&self) -> SessionLayer {
        self.signing(SECRET)
    }

    /// The same with another secret.
    pub(crate) fn signing(&self, secret: impl Into<Secret>) -> SessionLayer {
        let clock = self.clock.clone();
        let drawn = Arc::clone(&self.drawn);
        SessionLayer::new(secret)
            .store(self.store.clone())
            .clock(move || clock.system_time())
            .random(move |bytes: &mut [u8]| {
                bytes.fill(drawn.fetch_add(1, Ordering::SeqCst).wrapping_add(1))
            })
    }

    /// The same with a cookie of one minute.
    pub(crate) fn minute(&self) -> SessionLayer {
        self.layer().cookie(Cookie::new().max_age(Duration::from_secs(60)))
    }

    /// A layer over a store that delays the calls of one kind.
    pub(crate) fn delayed(&self, stage: Delay, verb: Verb) -> (SessionLayer, Delayed) {
        let store = stage(verb, self.store.clone());
        (self.layer().store(store.clone()), store)
    }

    /// Puts a record into the store, past the spy.
    pub(crate) async fn keep(&self, id: &str, text: &str) {
        let touch = Touch::renewing(text, self.clock.now());
        let deadline = touch.and_then(|touch| touch.deadline);
        let record = Record { text: text.into(), deadline };
        let id = SessionId::new(id).unwrap();
        self.store.inner().destroy(&id).await.unwrap();
        self.store.inner().create(&id, &record, self.clock.now()).await.unwrap();
    }

    /// Returns the text that the store has for an id, past the spy.
    pub(crate) async fn kept(&self, id: &str) -> Option<String> {
        let id = SessionId::new(id).unwrap();
        let loaded = self.store.inner().load(&id, self.clock.now()).await.unwrap();
        loaded.map(|loaded| loaded.record.text.to_string())
    }

    /// Returns the calls since the last time, in one line: `load create(…)`.
    pub(crate) fn calls(&self) -> String {
        self.store.take_calls().iter().map(call).collect::<Vec<_>>().join(" ")
    }

    /// Returns the methods called since the last time.
    pub(crate) fn verbs(&self) -> Vec<Verb> {
        self.store.take_calls().iter().map(Call::verb).collect()
    }
}

type Delayed = delayed_store::DelayedStore<Spy<MemoryStore>>;

/// Where a call is delayed.
pub(crate) type Delay = fn(Verb, Spy<MemoryStore>) -> Delayed;

/// Writes a call down: what was done, for whom, and with which text.
fn call(call: &Call) -> String {
    let id = match call.id().as_str() {
        BOB => "bob",
        other => other,
    };
    match call {
        Call::Load { .. } => format!("load({id})"),
        Call::Create { record, .. } => format!("create({id}, {})", record.text),
        Call::Update { record, .. } => format!("update({id}, {})", record.text),
        Call::Touch { touch, .. } => format!("touch({id}, {})", touch.cookie),
        Call::Destroy { .. } => format!("destroy({id})"),
        Call::Lock { .. } => format!("lock({id})"),
        Call::UpdateLocked { record, .. } => format!("update_locked({id}, {})", record.text),
        Call::Unlock { .. } => format!("unlock({id})"),
    }
}

/// Returns the n-th id that a [`World`] draws, from 1.
pub(crate) fn drawn(nth: u8) -> String {
    SessionId::from_random([nth; 24]).as_str().to_owned()
}

/// Signs an id as the value of a cookie, percent-encoded.
pub(crate) fn signed(id: &str) -> String {
    signed_with(id, SECRET)
}

/// The pair of name and value that a browser sends for an id.
pub(crate) fn sid(id: &str) -> String {
    format!("connect.sid={}", signed(id))
}

pub(crate) fn signed_with(id: &str, secret: &str) -> String {
    let keyring = Keyring::new([secret]).unwrap();
    let token = signing::sign(&SessionId::new(id).unwrap(), &keyring);
    token.replace(':', "%3A").replace('+', "%2B").replace('/', "%2F")
}

/// A request for `/` without a cookie.
pub(crate) fn visit() -> Request<()> {
    request("/", &[])
}

/// A request for `/` with the cookie of an id.
pub(crate) fn visit_as(id: &str) -> Request<()> {
    visit_with(&sid(id))
}

/// A request for `/` with this `Cookie` header.
pub(crate) fn visit_with(cookie: &str) -> Request<()> {
    request("/", &[(COOKIE.as_str(), cookie)])
}

pub(crate) fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// The result of a handler of these tests.
pub(crate) trait Reply {
    fn reply(self) -> Response<Body>;
}

impl Reply for () {
    fn reply(self) -> Response<Body> {
        text("ok")
    }
}

impl Reply for String {
    fn reply(self) -> Response<Body> {
        text(self)
    }
}

impl Reply for Response<Body> {
    fn reply(self) -> Response<Body> {
        self
    }
}

/// An error is identified by its kind.
impl<T: Reply> Reply for Result<T, Error> {
    fn reply(self) -> Response<Body> {
        self.map_or_else(
            |error| {
                let mut response = text(format!("{:?}", error.kind()));
                *response.status_mut() = StatusCode::IM_A_TEAPOT;
                response
            },
            Reply::reply,
        )
    }
}

/// A service whose handler gets the session, loaded. Where that fails, it says so.
pub(crate) fn app<H, F>(
    layer: &SessionLayer,
    handler: H,
) -> impl Service<
    Request<()>,
    Response = Response<SessionBody<Body>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ use<H, F>
where
    H: Fn(Session) -> F + Clone + Send + 'static,
    F: Future<Output: Reply> + Send + 'static,
{
    raw(layer, move |request| {
        let handler = handler.clone();
        let unloaded = Session::from_extensions(request.extensions());
        drop(request);
        async move {
            let session = match unloaded {
                Ok(unloaded) => unloaded.load().await,
                Err(error) => Err(error),
            };
            match session {
                Ok(session) => handler(session).await.reply(),
                Err(error) => Err::<(), _>(error).reply(),
            }
        }
    })
}

/// A service whose handler gets the request.
pub(crate) fn raw<H, F>(
    layer: &SessionLayer,
    handler: H,
) -> impl Service<
    Request<()>,
    Response = Response<SessionBody<Body>>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ use<H, F>
where
    H: Fn(Request<()>) -> F + Clone + Send + 'static,
    F: Future<Output: Reply> + Send + 'static,
{
    layer.layer(service_fn(move |request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await.reply()) }
    }))
}

/// The response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Returns the `Set-Cookie` lines.
    pub(crate) fn cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }

    /// Returns the `Set-Cookie` line, where there is at most one.
    pub(crate) fn cookie(&self) -> Option<&str> {
        let cookies = self.cookies();
        assert!(cookies.len() < 2, "{cookies:?}");
        cookies.first().copied()
    }

    /// Returns what a browser would send next time.
    pub(crate) fn pair(&self) -> &str {
        self.cookie().unwrap().split(';').next().unwrap()
    }
}

/// A request of [`BOB`]'s, up to where its handler has the session.
pub(crate) async fn bob(layer: &SessionLayer) -> Talk {
    Talk::begin(layer, visit_as(BOB)).await
}

/// Reads a response to its end.
pub(crate) async fn read<B>(response: Response<B>) -> Answer
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: head.status, headers: head.headers, body }
}

/// Sends a request, and reads the response to its end.
pub(crate) async fn send<S, B>(app: &S, request: Request<()>) -> Answer
where
    S: Service<Request<()>, Response = Response<B>, Error: std::fmt::Debug> + Clone,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    read(app.clone().oneshot(request).await.unwrap()).await
}

/// Polls a future once.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(move |context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Checks that a future, polled once, is not done.
pub(crate) async fn waits<F: Future + ?Sized>(future: Pin<&mut F>) -> bool {
    poll_once(future).await.is_pending()
}

type Sent = Pin<Box<dyn Future<Output = Response<SessionBody<Body>>> + Send>>;

/// A request whose handler has its session, and answers at the test's signal, so that a test decides
/// how requests overlap.
pub(crate) struct Talk {
    pub(crate) session: Session,
    respond: oneshot::Sender<Response<Body>>,
    response: Sent,
}

impl Talk {
    /// Begins a request, up to where its handler has the session.
    pub(crate) async fn begin(layer: &SessionLayer, request: Request<()>) -> Self {
        let (hand, mut handed) = mpsc::unbounded_channel();
        let app = app(layer, move |session| {
            let (respond, response) = oneshot::channel();
            hand.send((session, respond)).unwrap();
            async move { response.await.unwrap() }
        });
        let mut response: Sent = Box::pin(async move { app.oneshot(request).await.unwrap() });
        let (session, respond) = tokio::select! {
            biased;
            _ = &mut response => panic!("answered before the test said so"),
            handed = handed.recv() => handed.unwrap(),
        };
        Self { session, respond, response }
    }

    /// Lets the handler answer `ok`, and reads the response to its end.
    pub(crate) async fn end(self) -> Answer {
        self.end_with(text("ok")).await
    }

    /// Destroys the session, as a logout does, and ends.
    pub(crate) async fn destroy(self) {
        self.session.destroy().await.unwrap();
        self.end().await;
    }

    /// Lets the handler answer, and reads the response to its end.
    pub(crate) async fn end_with(self, response: Response<Body>) -> Answer {
        let (session, sent) = self.hold(response);
        drop(session);
        read(sent.await).await
    }

    /// Lets the handler answer, and keeps the handle.
    pub(crate) fn hold(self, response: Response<Body>) -> (Session, Sent) {
        self.respond.send(response).unwrap();
        (self.session, self.response)
    }

    /// Breaks the request off, as a client that goes away does, and keeps the handle.
    pub(crate) fn abort(self) -> Session {
        self.session
    }
}

/// Comes back with a cookie.
pub(crate) async fn back(layer: &SessionLayer, pair: &str) -> Talk {
    Talk::begin(layer, visit_with(pair)).await
}

/// Comes back with a cookie, and returns the user and why the session has ended.
pub(crate) async fn found(layer: &SessionLayer, pair: &str) -> (Option<String>, Option<EndedBy>) {
    let talk = back(layer, pair).await;
    let found = (talk.session.user().unwrap(), talk.session.ended_by());
    assert!(found.1.is_none() || talk.session.is_empty());
    talk.end().await;
    found
}

/// The answer of [`found`] for a session that goes on.
pub(crate) fn live(user: &str) -> (Option<String>, Option<EndedBy>) {
    (Some(user.to_owned()), None)
}
