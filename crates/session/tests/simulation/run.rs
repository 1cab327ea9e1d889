//! Plays a plan: browsers that send requests, and what is true of every answer and of the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use express_session::{Session, SessionBody};
use http::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::audit::Kept;
use crate::client_step::{ClientStep, ERRAND, HANDLED, Presented, Sent};
use crate::ledger::{Ended, members};
use crate::plan::{Plan, Visit, Which};
use crate::world::World;

/// The library's own member of a record.
const MEMBER: &str = "__sessionMetadata";

/// The outcome of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) hash: u64,
    /// The events, if they were to be kept.
    pub(crate) trace: String,
    pub(crate) tally: Tally,
}

/// How much was played, so that a test can tell a simulation from nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) calls: u64,
    pub(crate) refused: u64,
    pub(crate) dropped: u64,
    pub(crate) acknowledged: u64,
    pub(crate) ended: u64,
}

type App = BoxCloneSyncService<Request<()>, Response<SessionBody<Sent>>, Infallible>;

/// Plays a plan, in a runtime whose time only goes on when every task waits.
pub(crate) fn play(plan: Plan, keeps_trace: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(played(plan, keeps_trace))
}

async fn played(plan: Plan, keeps_trace: bool) -> Outcome {
    let world = World::new(plan, keeps_trace);
    world.note(format_args!("{:?}", world.plan.setup));
    let store = world.network();
    let apps: Vec<App> = world
        .layers(&store)
        .iter()
        .map(|layer| BoxCloneSyncService::new(layer.layer(service_fn(handle))))
        .collect();
    let mut visits = tokio::task::JoinSet::new();
    for visit in world.plan.visits.clone() {
        let app = apps[visit.process].clone();
        visits.spawn(visited(Arc::clone(&world), app, visit));
    }
    let mut tally = Tally::default();
    while let Some(visit) = visits.join_next().await {
        match visit {
            Ok(part) => tally.add(part),
            Err(error) => world.violation(format!("a request panicked: {error}")),
        }
    }
    // A dropped request releases its locks.
    tokio::time::sleep(world.plan.setup.timeout + Duration::from_secs(1)).await;
    store.deliver().await;
    settle(&world, &mut tally);
    let (violations, hash, trace) = world.outcome();
    Outcome { violations, hash, trace, tally }
}

impl Tally {
    pub(crate) fn add(&mut self, part: Self) {
        self.requests += part.requests;
        self.calls += part.calls;
        self.refused += part.refused;
        self.dropped += part.dropped;
        self.acknowledged += part.acknowledged;
        self.ended += part.ended;
    }
}

async fn handle(request: Request<()>) -> Result<Response<Sent>, Infallible> {
    let client_step = Arc::clone(request.extensions().get::<Arc<ClientStep>>().unwrap());
    let unloaded = Session::from_extensions(request.extensions()).unwrap();
    drop(request);
    Ok(client_step.handle(unloaded).await)
}

/// One request, from its sending to the last byte of its answer.
async fn visited(world: Arc<World>, app: App, visit: Visit) -> Tally {
    tokio::time::sleep(Duration::from_millis(visit.at)).await;
    let cookie = world.with_jar(visit.visitor, |jar| match visit.cookie {
        Which::Old(which) if !jar.old.is_empty() => {
            let at = usize::try_from(which % jar.old.len() as u64).unwrap();
            Some(jar.old[at].clone())
        }
        Which::Current | Which::Old(_) => jar.current.clone(),
    });
    let presented = cookie.as_deref().map(|cookie| presented(&world, cookie));
    let client_step = ClientStep::new(Arc::clone(&world), visit.clone(), presented);
    let mut request = Request::new(());
    if let Some(cookie) = &cookie {
        let name = world.name(id_of(cookie));
        world.note(format_args!("v{} of visitor {} comes with {name}", visit.nth, visit.visitor));
        request.headers_mut().insert(COOKIE, format!("connect.sid={cookie}").parse().unwrap());
    } else {
        world.note(format_args!("v{} of visitor {} comes", visit.nth, visit.visitor));
    }
    request.extensions_mut().insert(Arc::clone(&client_step));
    let (begun, written) = (world.elapsed(), world.audited.writings());
    let exchange =
        ERRAND.scope(Arc::clone(&client_step), exchange(&world, app, &client_step, request));
    let ended = match visit.gives_up {
        Some(time) => tokio::time::timeout(Duration::from_millis(time), exchange).await.ok(),
        None => Some(exchange.await),
    };
    let notes = client_step.notes();
    let mut tally = Tally { requests: 1, calls: notes.calls, ..Tally::default() };
    let taken = world.elapsed() - begun;
    let others = world.audited.writings() - written;
    match ended {
        Some(status) => {
            world.note(format_args!("v{} is answered {status}", visit.nth));
            tally.refused += u64::from(!status.is_success());
            let at = u64::try_from(begun.as_millis()).unwrap();
            let is_unavailable = status == StatusCode::SERVICE_UNAVAILABLE && !notes.was_locked;
            if is_unavailable && world.plan.is_calm_from(at.saturating_sub(1_000)) {
                world.violation(format!(
                    "v{}: the store has been back for a second, and it is answered {status}",
                    visit.nth,
                ));
            }
        }
        None => {
            world.note(format_args!("v{} hangs up", visit.nth));
            tally.dropped += 1;
        }
    }
    let limit = limit(&world, &client_step);
    if taken > limit {
        world.violation(format!(
            "v{}: it took {taken:?}, and may take {limit:?}: {notes:?}",
            visit.nth,
        ));
    }
    // Every step asks at most three times, and again where another has written in between.
    // A lock of another process is asked for every 10 ms or so.
    let polls = u64::try_from(notes.locked.as_millis()).unwrap() / 4;
    let mut most = 3 * (notes.steps + 3) + 2 * others + polls;
    if world.plan.setup.renewal.is_some() {
        // Two calls for a renewal, one for one that was given up, and a load for each id that is followed.
        most = 2 * most + 8;
    }
    if notes.calls > most {
        world.violation(format!("v{}: {} calls, at most {most}", visit.nth, notes.calls));
    }
    tally
}

/// Returns how long a request may take.
fn limit(world: &World, client_step: &ClientStep) -> Duration {
    let setup = &world.plan.setup;
    let notes = client_step.notes();
    let deadline = setup.timeout.mul_f64(1.1);
    let own = notes.worked + notes.locked + notes.delayed;
    // A handler that goes on after an error, and a body, may meet a store that hangs again, after it
    // has answered. And a request may wait in a queue behind another one that waits.
    own + deadline * u32::try_from(notes.waits.max(1)).unwrap()
}

fn presented(world: &World, cookie: &str) -> Presented {
    let id = id_of(cookie).to_owned();
    let (ended, told) = world.with_ledger(|ledger| match ledger.account(&id) {
        Some(account) => (account.ended, account.acknowledged.clone()),
        None => Default::default(),
    });
    Presented { id, ended, told }
}

/// Returns the id in a cookie: `s%3A<id>.<signature>`.
fn id_of(cookie: &str) -> &str {
    cookie.strip_prefix("s%3A").unwrap().split('.').next().unwrap()
}

async fn exchange(
    world: &World,
    app: App,
    client_step: &Arc<ClientStep>,
    request: Request<()>,
) -> StatusCode {
    let response = app.oneshot(request).await.unwrap_or_else(|never| match never {});
    let (head, body) = response.into_parts();
    let is_handled = head.headers.contains_key(HANDLED);
    let wrong = |text: &str| world.violation(format!("v{}: {text}", client_step.visit.nth));
    keep_cookie(world, client_step, &head.headers);
    if is_handled {
        if !cookies(&head.headers).any(|cookie| cookie == "seen=yes") {
            wrong("the handler's cookie is lost");
        }
        if let Some(cookie) = session_cookie(&head.headers) {
            client_step.follow(id_of(cookie));
        }
        client_step.response_left();
    } else {
        if head.headers.contains_key(SET_COOKIE) {
            wrong("a cookie leaks out of a response that was replaced");
        }
        let is_unavailable = head.status == StatusCode::SERVICE_UNAVAILABLE;
        if is_unavailable != head.headers.contains_key(RETRY_AFTER) {
            wrong("Retry-After goes with 503");
        }
        client_step.replaced(head.status);
    }
    let body = body.collect().await.unwrap_or_else(|never| match never {}).to_bytes();
    if is_handled {
        client_step.body_ended();
    } else if body == Bytes::from_static(b"hello") {
        wrong("a body leaks out of a response that was replaced");
    }
    head.status
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap())
}

/// Returns the value of the session cookie, if this line sets it.
fn value_of(line: &str) -> Option<&str> {
    line.strip_prefix("connect.sid=")?.split(';').next()
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    cookies(headers).filter_map(value_of).find(|value| !value.is_empty())
}

/// Does what a browser does with the session cookie.
fn keep_cookie(world: &World, client_step: &ClientStep, headers: &HeaderMap) {
    // A thief has a jar of his own, and an old tab that is answered late may well be overtaken.
    let is_persisted = client_step.visit.cookie == Which::Current;
    for line in cookies(headers) {
        let Some(value) = value_of(line) else { continue };
        let new = (!value.is_empty()).then(|| value.to_owned());
        if let Some(new) = &new {
            world.with_ledger(|ledger| {
                let account = ledger.open(id_of(new), client_step.visit.visitor);
                account.known.get_or_insert(world.now());
            });
        }
        world.with_jar(client_step.visit.visitor, |jar| {
            if !is_persisted {
                jar.old.extend(new);
                return;
            }
            if let Some(old) = jar.current.take().filter(|old| Some(old) != new.as_ref()) {
                jar.old.push(old);
            }
            jar.current = new;
        });
        world.note(format_args!("v{} is sent a cookie", client_step.visit.nth));
    }
}

/// Compares what the store has in the end with what was acknowledged.
fn settle(world: &World, tally: &mut Tally) {
    let now = world.now();
    let accounts: Vec<_> = world.with_ledger(|ledger| {
        ledger.accounts().map(|(id, account)| (id.to_owned(), account.clone())).collect()
    });
    for (id, account) in accounts {
        let name = world.name(&id);
        tally.acknowledged += account.acknowledged.count();
        tally.ended += u64::from(account.ended == Ended::Yes);
        let kept = world.audited.kept(&id, now);
        match (account.ended, kept) {
            // The first record of a session whose cookie was never sent may come late, unnoticed.
            (Ended::Yes, Kept::Live) if account.known.is_some() => {
                world.violation(format!("{name} was ended, and is there"))
            }
            (Ended::No, Kept::Destroyed) => {
                world.violation(format!("{name} is gone, and no request has ended it"));
            }
            (Ended::No, Kept::Never) if account.acknowledged.count() > 0 => {
                world.violation(format!("{name} has never been stored, and was acknowledged"));
            }
            _ => {}
        }
        if let Some(text) = world.audited.text(&id, now) {
            let members = members(&text);
            if members.contains_key(MEMBER) != world.plan.setup.metadata {
                world.violation(format!("in the end, {name}: the metadata is wrong"));
            }
            for wrong in account.check(&members, &account.acknowledged) {
                world.violation(format!("in the end, {name}: {wrong}"));
            }
        }
    }
    for (id, at) in world.audited.created_again() {
        let known = world.with_ledger(|ledger| ledger.account(&id).and_then(|found| found.known));
        // Before that, a request that makes a session may try again after a lost answer.
        if known.is_some_and(|known| known < at) {
            let name = world.name(&id);
            world.violation(format!("{name} had ended, and was created again"));
        }
    }
}
