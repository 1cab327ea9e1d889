//! Plays a scenario to our layer, in this process.

use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use express_session::store::{Admin as _, AnyStore, Record, Store as _};
use express_session::{
    Cookie, Departures, Error, ErrorKind, MemoryStore, Priority, SameSite, Secure,
    SecureConnection, Session, SessionId, SessionLayer, Timestamp, Unset,
};
use futures_util::{StreamExt as _, stream};
use http::request::Parts;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tower::{Layer as _, Service as _, service_fn};

use crate::departures::{Switches, TABLE};
use crate::log::{Log, deadline};
use crate::outcome::{Outcome, Response};
use crate::scenario::{Attribute, Flag, Ids, Op, Request, Scenario, Server};
use crate::value::{Value, js_texts};

/// Plays a scenario, with these departures from express-session.
pub fn play(scenario: &Scenario, departures: Switches) -> Outcome {
    play_over(scenario, departures, true)
}

/// Plays a scenario with the memory store itself, which the layer drives by a shorter path: no calls are logged, and
/// none fails.
pub fn play_directly(scenario: &Scenario, departures: Switches) -> Outcome {
    play_over(scenario, departures, false)
}

fn play_over(scenario: &Scenario, departures: Switches, logged: bool) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| Stage::new(scenario).play(departures, logged)));
    match played {
        Ok(Ok(responses)) => Outcome { responses, crash: None },
        Ok(Err(error)) => Outcome { responses: Vec::new(), crash: Some(error) },
        Err(_) => Outcome { responses: Vec::new(), crash: Some("a panic, printed above".into()) },
    }
}

/// The stage of a scenario: the store, the clock, and the current request.
struct Stage<'a> {
    scenario: &'a Scenario,
    store: MemoryStore,
    clock: Arc<AtomicI64>,
    generated: Arc<AtomicUsize>,
}

impl<'a> Stage<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            // Node's memory store never removes sessions without an expiry.
            store: MemoryStore::new().ttl(None),
            clock: Arc::default(),
            generated: Arc::default(),
        }
    }

    fn play(&self, departures: Switches, logged: bool) -> Result<Vec<Response>, String> {
        let start = self.scenario.requests.first().map_or(0, |request| request.at);
        for seed in &self.scenario.seeds {
            let id = SessionId::new(seed.id.as_str()).ok_or("a seed without an id")?;
            let record = Record { text: seed.text.as_str().into(), deadline: deadline(&seed.text) };
            ready(self.store.create(&id, &record, Timestamp::from_millis(start)))
                .map_err(|error| error.to_string())?;
        }
        let logs: Vec<_> = self
            .scenario
            .servers
            .iter()
            .map(|server| Log::new(self.store.clone(), !server.no_touch))
            .collect();
        let layers: Vec<_> = self
            .scenario
            .servers
            .iter()
            .zip(&logs)
            .map(|(server, log)| self.layer(server, logged.then(|| log.clone()), departures))
            .collect::<Result<_, _>>()?;
        let requests = self.scenario.requests.iter();
        requests
            .map(|request| self.answer(request, &layers[request.server], &logs[request.server]))
            .collect()
    }

    fn layer(
        &self,
        server: &Server,
        log: Option<Log<MemoryStore>>,
        departures: Switches,
    ) -> Result<SessionLayer, String> {
        let Self { scenario, clock, generated, .. } = self;
        let (clock, generated) = (Arc::clone(clock), Arc::clone(generated));
        let ids = scenario.ids.clone();
        let mut switches = Departures::none();
        for row in TABLE.iter().filter(|row| departures.has(row.number)) {
            switches.set(row.number, true);
        }
        let store = log.map_or_else(|| AnyStore::new(self.store.clone()), AnyStore::new);
        let mut layer = SessionLayer::new(server.secrets.clone())
            // Scenarios are full of mistakes.
            .print_warnings(false)
            .store(store)
            .clock(move || Timestamp::from_millis(clock.load(Ordering::Relaxed)).into())
            .genid(move |request: &Parts| genid(request, &ids, &generated))
            .proxy(server.proxy)
            .resave(server.resave)
            .rolling(server.rolling)
            .save_uninitialized(server.save_uninitialized)
            .unset(if server.unset_destroys { Unset::Destroy } else { Unset::Keep })
            .departures(switches);
        if let Some(name) = &server.name {
            layer = layer.name(name.as_str());
        }
        let first = cookie(&server.cookie);
        let of_any_request = first.clone();
        layer = if server.cookie_function {
            let other = cookie(&server.alt_cookie);
            layer.cookie_with(move |request: &Parts| {
                let alt = request.extensions.get::<Request>().is_some_and(|request| request.alt);
                if alt { other.clone() } else { first.clone() }
            })
        } else {
            layer.cookie(first)
        };
        let lenient = layer.clone().departures(switches.browser_rules(false));
        if layer.clone().build().is_err() && lenient.build().is_ok() {
            // Departure 21 refuses the options. Of a function's, it refuses the cookie.
            layer = layer
                .departures(switches.cookie_function_auto(true))
                .cookie_with(move |_| of_any_request.clone());
        }
        layer.build().map_err(|error| error.to_string())
    }

    fn answer(
        &self,
        request: &Request,
        layer: &SessionLayer,
        log: &Log<MemoryStore>,
    ) -> Result<Response, String> {
        self.clock.store(request.at, Ordering::Relaxed);
        self.generated.store(0, Ordering::Relaxed);
        log.fail(&request.fail);
        let view = Arc::new(Mutex::new(Vec::new()));
        let handler = Handler {
            request: Arc::new(request.clone()),
            store: self.store.clone(),
            view: Arc::clone(&view),
        };
        let mut service = layer.layer(service_fn(move |request| {
            let handler = handler.clone();
            async move { Ok::<_, Infallible>(handler.handle(request).await) }
        }));
        let response =
            ready(service.call(http_request(request)?)).unwrap_or_else(|never| match never {});
        let (parts, body) = response.into_parts();
        // An error ends a body too.
        drop(ready(body.collect()));
        let set_cookie = parts.headers.get_all("set-cookie");
        let view = std::mem::take(&mut *view.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Response {
            // express-session leaves the kind of failure to Express, and Express leaves it to the application.
            status: if parts.status.is_server_error() { 500 } else { parts.status.as_u16() },
            set_cookie: set_cookie.iter().map(|line| latin1(line.as_bytes())).collect(),
            calls: log.take(),
            view,
            records: self.records(request.at)?,
            late: Vec::new(),
        })
    }

    fn records(&self, at: i64) -> Result<std::collections::BTreeMap<String, String>, String> {
        let page = ready(self.store.list(None, usize::MAX, Timestamp::from_millis(at)))
            .map_err(|error| error.to_string())?;
        let text =
            |(id, record): (SessionId, Record)| (id.as_str().into(), record.text.as_ref().into());
        Ok(page.sessions.into_iter().map(text).collect())
    }
}

fn genid(request: &Parts, ids: &Ids, generated: &AtomicUsize) -> String {
    let count = generated.fetch_add(1, Ordering::Relaxed);
    let tag = request.extensions.get::<Request>().map(|request| request.tag.as_str());
    ids.name(tag.unwrap_or_default(), count)
}

fn http_request(request: &Request) -> Result<http::Request<()>, String> {
    let path = request.path.as_deref().unwrap_or("/");
    // A URI with a scheme stands for Express's `req.secure`.
    let uri = if request.secure { format!("https://localhost{path}") } else { path.into() };
    let mut builder = http::Request::builder().uri(uri);
    if let Some(method) = &request.method {
        builder = builder.method(method.as_str());
    }
    for (name, text) in &request.headers {
        let bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
        builder = builder.header(name, bytes);
    }
    // The layer's functions read it.
    builder = builder.extension(request.clone());
    if request.encrypted {
        builder = builder.extension(SecureConnection);
    }
    builder.body(()).map_err(|error| error.to_string())
}

fn cookie(attributes: &[Attribute]) -> Cookie {
    attributes.iter().fold(Cookie::new(), |cookie, attribute| match attribute {
        Attribute::Path(path) => cookie.path(path),
        Attribute::Domain(domain) => cookie.domain(domain),
        Attribute::MaxAge(Some(age)) => cookie.max_age(Duration::from_millis(*age)),
        Attribute::Expires(Some(at)) => cookie.expires(time(*at)),
        Attribute::MaxAge(None) | Attribute::Expires(None) => cookie,
        Attribute::HttpOnly(on) => cookie.http_only(*on),
        Attribute::Secure(Flag::Is(on)) => cookie.secure(*on),
        Attribute::Secure(Flag::Named(_)) => cookie.secure(Secure::Auto),
        Attribute::SameSite(flag) => cookie.same_site(same_site(flag)),
        Attribute::Partitioned(on) => cookie.partitioned(*on),
        Attribute::Priority(name) => cookie.priority(priority(name)),
    })
}

fn time(millis: i64) -> SystemTime {
    Timestamp::from_millis(millis).into()
}

fn same_site(flag: &Flag) -> SameSite {
    match flag {
        Flag::Is(on) => (*on).into(),
        Flag::Named(name) => match name.as_str() {
            "lax" => SameSite::Lax,
            "strict" => SameSite::Strict,
            "none" => SameSite::None,
            _ => SameSite::Auto,
        },
    }
}

fn priority(name: &str) -> Priority {
    match name {
        "low" => Priority::Low,
        "high" => Priority::High,
        _ => Priority::Medium,
    }
}

/// A response's body: whole, or in two halves, the second of which comes when the rest of the handler is done.
type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The application behind the layer, which performs the request's operations.
#[derive(Clone)]
struct Handler {
    request: Arc<Request>,
    store: MemoryStore,
    view: Arc<Mutex<Vec<String>>>,
}

impl Handler {
    async fn handle(self, request: http::Request<()>) -> http::Response<Body> {
        // A handler that does nothing with the session does not ask for it.
        let session = if self.request.ops.is_empty() {
            None
        } else {
            match Session::from_extensions(request.extensions()) {
                Err(_) => None,
                Ok(session) => match session.load().await {
                    Ok(session) => Some(session),
                    Err(_) => return failed(),
                },
            }
        };
        let mut visit = Visit { handler: self, session };
        let ops = Arc::clone(&visit.handler.request);
        let flush = ops.ops.iter().position(|op| *op == Op::Flush);
        let (before, after) = ops.ops.split_at(flush.unwrap_or(ops.ops.len()));
        visit.perform(before).await;
        let mut response = http::Response::builder();
        for line in &ops.set_cookie {
            response = response.header("set-cookie", line);
        }
        if ops.content_length {
            response = response.header("content-length", "2");
        }
        let body = if after.is_empty() {
            // It is sent whole, and has a known length, as one of `res.end(text)` has.
            Full::from("ok").boxed_unsync()
        } else {
            let after = after.to_vec();
            let frame = |text: &'static str| Ok(Frame::data(Bytes::from_static(text.as_bytes())));
            let rest = async move {
                visit.perform(&after).await;
                frame("k")
            };
            let halves = stream::iter([frame("o")]).chain(stream::once(rest));
            StreamBody::new(halves).boxed_unsync()
        };
        response.body(body).unwrap_or_default()
    }
}

fn failed() -> http::Response<Body> {
    let mut response = http::Response::new(Body::default());
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// A handler in the middle of its operations.
struct Visit {
    handler: Handler,
    session: Option<Session>,
}

impl Visit {
    async fn perform(&mut self, ops: &[Op]) {
        for op in ops {
            let seen = match (op, &self.session) {
                (Op::Flush, _) => "ok".into(),
                (_, None) => "no session".into(),
                (op, Some(session)) => {
                    let seen = self.see(op, session).await.unwrap_or_else(|error| word(&error));
                    if matches!(op, Op::Destroy | Op::Unset) {
                        self.session = None;
                    }
                    seen
                }
            };
            self.handler.view.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        }
    }

    /// Performs one operation, and returns the result that a handler sees.
    async fn see(&self, op: &Op, session: &Session) -> Result<String, Error> {
        let value = |key: &str| session.get::<Value>(key);
        match op {
            Op::Get { key } => {
                return Ok(value(key)?.map_or_else(|| "undefined".into(), |value| value.js()));
            }
            Op::Set { key, value } => session.insert(key, value)?,
            Op::Remove { key } => {
                session.remove(key)?;
            }
            Op::Contains { key } => return Ok(session.contains(key).to_string()),
            Op::Keys => return Ok(js_texts(&session.keys())),
            Op::Clear => session.clear()?,
            Op::Same { key } => {
                if let Some(value) = value(key)? {
                    session.insert(key, &value)?;
                }
            }
            Op::Readd { key } => {
                if let Some(value) = session.take::<Value>(key)? {
                    session.insert(key, &value)?;
                }
            }
            Op::Revert { key, value: between } => {
                let before = value(key)?;
                session.insert(key, between)?;
                match before {
                    Some(before) => session.insert(key, &before)?,
                    None => {
                        session.remove(key)?;
                    }
                }
            }
            Op::Increment { key } => {
                let sum = session.update(key, |before: Option<Value>| match before {
                    Some(Value::Int(number)) => Value::Float(number as f64 + 1.0),
                    Some(Value::Float(number)) => Value::Float(number + 1.0),
                    _ => Value::Int(1),
                })?;
                return Ok(sum.js());
            }
            Op::Id => return Ok(session.id().as_str().into()),
            Op::Cookie => return Ok(lifetime(session)),
            Op::SetCookie { to } => change(session, to)?,
            Op::Touch => session.touch().await?,
            Op::Save => session.save().await?,
            Op::Reload => session.reload().await?,
            Op::Regenerate => session.regenerate().await?,
            Op::Destroy => session.destroy().await?,
            Op::Unset => session.unset()?,
            Op::RivalSet { text } => self.rival_set(session, text),
            Op::RivalDestroy => drop(ready(self.handler.store.destroy(&session.id()))),
            Op::Flush => {}
        }
        Ok("ok".into())
    }

    fn rival_set(&self, session: &Session, text: &str) {
        let now = Timestamp::from_millis(self.handler.request.at);
        let record = Record { text: text.into(), deadline: deadline(text) };
        let _ = ready(self.handler.store.destroy(&session.id()));
        let _ = ready(self.handler.store.create(&session.id(), &record, now));
    }
}

/// Returns the name of an error that both sides share.
fn word(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Ended => "error: gone".into(),
        ErrorKind::Store(_) => "error: store".into(),
        other => format!("error: {other:?}"),
    }
}

fn lifetime(session: &Session) -> String {
    let cookie = session.cookie();
    let millis = |duration: Option<Duration>| {
        duration.map_or_else(|| "null".into(), |duration| duration.as_millis().to_string())
    };
    let expires = cookie
        .expires()
        .map_or_else(|| "null".into(), |time| format!("\"{}\"", Timestamp::from(time).iso()));
    format!(
        "{{\"maxAge\":{},\"originalMaxAge\":{},\"expires\":{expires}}}",
        millis(cookie.max_age()),
        millis(cookie.original_max_age()),
    )
}

fn change(session: &Session, to: &Attribute) -> Result<(), Error> {
    let cookie = session.cookie();
    match to {
        Attribute::Path(path) => cookie.set_path(path),
        Attribute::Domain(domain) => cookie.set_domain(Some(domain.as_str())),
        Attribute::MaxAge(age) => cookie.set_max_age(age.map(Duration::from_millis)),
        Attribute::Expires(at) => cookie.set_expires(at.map(time)),
        Attribute::HttpOnly(on) => cookie.set_http_only(*on),
        Attribute::Secure(flag) => cookie.set_secure(*flag == Flag::Is(true)),
        Attribute::SameSite(flag) => cookie.set_same_site(same_site(flag)),
        Attribute::Partitioned(on) => cookie.set_partitioned(*on),
        Attribute::Priority(name) => cookie.set_priority(priority(name)),
    }
}

/// Runs a future that never waits: the memory store answers immediately.
fn ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the layer waits for a call that never ends");
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
