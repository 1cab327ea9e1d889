//! An Express service and ours side by side: one visitor, one cookie, one store.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::extract::Path;
use axum::http::Uri;
use axum::routing::get;
use express_session::{Csrf, Error, Flash, Session, SessionLayer};
use express_session_core::metadata::MEMBER;
use express_session_core::{Document, Metadata};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::bench::{Bench, same};

const SECRET: &str = "keyboard cat";

/// Ten requests, answered in turn.
pub(super) async fn counted(bench: &mut Bench) -> Result<()> {
    let services = Services::start(bench).await?;
    for first in [Side::Node, Side::Rust] {
        let mut visitor = Visitor::default();
        let mut side = first;
        for count in 1..=10 {
            let answer = visitor.visit(&services, side, "/").await?;
            ensure!(answer == count.to_string(), "visit {count}, answered by {side:?}: {answer:?}");
            side = side.other();
        }
        ensure!(visitor.cookies == 1, "the visitor got {} cookies", visitor.cookies);
    }
    Ok(())
}

/// Two messages of each side are in the same form, and are shown by either side once.
pub(super) async fn flash(bench: &mut Bench) -> Result<()> {
    let services = Services::start(bench).await?;
    for writer in [Side::Node, Side::Rust] {
        for reader in [Side::Node, Side::Rust] {
            bench.node.empty().await?;
            let mut visitor = Visitor::default();
            for message in ["one", "two"] {
                visitor.visit(&services, writer, &format!("/say/{message}")).await?;
            }
            let stored = member(bench, &visitor, "flash").await?;
            same("the messages", r#"{"info":["one","two"]}"#, &stored)?;
            for expected in [r#"["one","two"]"#, "[]"] {
                let shown = visitor.visit(&services, reader, "/hear").await?;
                same(&format!("{reader:?} shows those of {writer:?}"), expected, &shown)?;
            }
            same("what is left", "{}", &member(bench, &visitor, "flash").await?)?;
        }
    }
    Ok(())
}

/// Both sides accept the tokens of both, with a secret of either.
pub(super) async fn csrf(bench: &mut Bench) -> Result<()> {
    let services = Services::start(bench).await?;
    for first in [Side::Node, Side::Rust] {
        bench.node.empty().await?;
        let mut visitor = Visitor::default();
        for issuer in [first, first.other()] {
            let token = visitor.visit(&services, issuer, "/token").await?;
            for verifier in [Side::Node, Side::Rust] {
                let paid = visitor.visit(&services, verifier, &format!("/pay?_csrf={token}")).await;
                let answer = paid.with_context(|| format!("a token of {issuer:?}"))?;
                ensure!(answer == "paid", "{verifier:?}: {answer:?}");
                let forged = format!("/pay?_csrf=x{token}");
                let refused = visitor.visit(&services, verifier, &forged).await;
                let refused = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
                ensure!(refused.contains("403"), "{verifier:?}, a forged token: {refused:?}");
            }
        }
        ensure!(visitor.cookies == 1, "the visitor got {} cookies", visitor.cookies);
    }
    Ok(())
}

/// Node keeps the library's own member where it writes the record, and a session that Node begins gets it from ours.
pub(super) async fn metadata(bench: &mut Bench) -> Result<()> {
    let services = Services::start_with(bench, |layer| layer.metadata(true)).await?;
    for first in [Side::Node, Side::Rust] {
        bench.node.empty().await?;
        let mut visitor = Visitor::default();
        let mut side = first;
        let mut known: Option<Metadata> = None;
        for count in 1..=4 {
            let answer = visitor.visit(&services, side, "/").await?;
            ensure!(answer == count.to_string(), "visit {count}, answered by {side:?}: {answer:?}");
            // A session of Node's has none before the first visit of ours.
            if count > 1 || first == Side::Rust {
                let text = member(bench, &visitor, MEMBER).await?;
                let found = Metadata::parse(&text).context("another shape")?;
                if let Some(known) = known {
                    ensure!(found.created() == known.created(), "visit {count}: it began again");
                    ensure!(side == Side::Rust || found == known, "Node has changed it: {found:?}");
                }
                known = Some(found);
            }
            side = side.other();
        }
        ensure!(visitor.cookies == 1, "the visitor got {} cookies", visitor.cookies);
    }
    Ok(())
}

/// The logins of both sides are listed and ended by ours, and neither side finds the user afterwards.
pub(super) async fn user_sessions(bench: &mut Bench) -> Result<()> {
    let services = Services::start_with(bench, |layer| layer.metadata(true)).await?;
    let mut visitors = Vec::new();
    for (side, user) in
        [(Side::Node, "bob"), (Side::Rust, "bob"), (Side::Node, "eve"), (Side::Node, "bob")]
    {
        let mut visitor = Visitor::default();
        visitor.visit(&services, side, &format!("/login/{user}")).await?;
        visitors.push((visitor, user));
    }
    for (visitor, user) in &mut visitors {
        for side in [Side::Node, Side::Rust] {
            same("the user", user, &visitor.visit(&services, side, "/who").await?)?;
        }
    }
    let layer = SessionLayer::new(SECRET).store(bench.ours.store()).metadata(true);
    ensure!(layer.sessions_of("bob").await?.len() == 3, "not all logins are listed");
    ensure!(layer.end_sessions_of("bob").await? == 3, "not all logins are ended");
    ensure!(layer.sessions_of("bob").await?.is_empty(), "some are left");
    for side in [Side::Node, Side::Rust, Side::Node] {
        for (visitor, user) in &mut visitors {
            let user = if *user == "bob" { "a guest" } else { user };
            same("the user afterwards", user, &visitor.visit(&services, side, "/who").await?)?;
        }
    }
    Ok(())
}

/// Returns the JSON of a member of the visitor's session.
async fn member(bench: &mut Bench, visitor: &Visitor, name: &str) -> Result<String> {
    let id = visitor.id().context("the visitor has no session")?;
    let document = Document::parse(bench.raw(id).await?.text)?;
    document.get_raw(name).map(str::to_owned).with_context(|| format!("there is no {name}"))
}

pub(super) async fn logged_out(bench: &mut Bench) -> Result<()> {
    let services = Services::start(bench).await?;
    for side in [Side::Node, Side::Rust] {
        let mut visitor = Visitor::default();
        for (visited, count) in [(side, "1"), (side.other(), "2"), (side, "3")] {
            let answer = visitor.visit(&services, visited, "/").await?;
            ensure!(answer == count, "before the logout: {answer:?}");
        }
        let mut thief = visitor.clone();
        visitor.visit(&services, side, "/logout").await?;
        for visited in [side.other(), side] {
            let mut late = thief.clone();
            let answer = late.visit(&services, visited, "/").await?;
            ensure!(answer == "1", "logged out by {side:?}, {visited:?} still counts: {answer:?}");
        }
        let answer = thief.visit(&services, side.other(), "/").await?;
        ensure!(answer == "1", "a logged out session came back: {answer:?}");
    }
    Ok(())
}

/// Node answers a request while one of ours is in flight, which has loaded the session before.
pub(super) async fn overlapping(bench: &mut Bench) -> Result<()> {
    let services = Services::start(bench).await?;
    let mut visitor = Visitor::default();
    visitor.visit(&services, Side::Node, "/").await?;
    let slow = visitor.begin_slow(&services).await;
    let answer = visitor.visit(&services, Side::Node, "/").await?;
    ensure!(answer == "2", "meanwhile: {answer:?}");
    slow.end().await?;
    for (side, count) in [(Side::Node, "4"), (Side::Rust, "5")] {
        let answer = visitor.visit(&services, side, "/").await?;
        ensure!(answer == count, "after two concurrent requests, {side:?} counts {answer:?}");
    }
    Ok(())
}

/// Node's request is the logout: ours must not bring the session back.
pub(super) async fn logged_out_meanwhile(bench: &mut Bench) -> Result<()> {
    let services = Services::start(bench).await?;
    let mut visitor = Visitor::default();
    visitor.visit(&services, Side::Node, "/").await?;
    let thief = visitor.clone();
    let slow = visitor.begin_slow(&services).await;
    visitor.visit(&services, Side::Node, "/logout").await?;
    // This case ignores its answer.
    let _ = slow.end().await;
    for side in [Side::Node, Side::Rust] {
        let answer = thief.clone().visit(&services, side, "/").await?;
        ensure!(answer == "1", "it came back: {side:?} counts {answer:?}");
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Node,
    Rust,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Node => Self::Rust,
            Self::Rust => Self::Node,
        }
    }
}

/// Both services. Dropping the value ends ours; Node's ends with its process.
struct Services {
    node: u16,
    rust: u16,
    gate: Arc<Gate>,
    running: JoinHandle<()>,
}

/// The gate of a slow request of ours.
#[derive(Default)]
struct Gate {
    reached: Notify,
    opened: Notify,
}

impl Services {
    async fn start(bench: &mut Bench) -> Result<Self> {
        Self::start_with(bench, |layer| layer).await
    }

    async fn start_with(
        bench: &mut Bench,
        options: impl FnOnce(SessionLayer) -> SessionLayer,
    ) -> Result<Self> {
        let node = bench.node.serve(SECRET).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let rust = listener.local_addr()?.port();
        let gate = Arc::new(Gate::default());
        let layer = options(SessionLayer::new(SECRET).store(bench.ours.store()));
        let app = app(layer, Arc::clone(&gate));
        let running = tokio::spawn(async move {
            // The server runs until it is aborted.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { node, rust, gate, running })
    }

    fn port(&self, side: Side) -> u16 {
        match side {
            Side::Node => self.node,
            Side::Rust => self.rust,
        }
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn app(layer: SessionLayer, gate: Arc<Gate>) -> Router {
    let slow = |session: Session| async move {
        let answer = views(session).await;
        gate.reached.notify_one();
        gate.opened.notified().await;
        answer
    };
    Router::new()
        .route("/", get(views))
        .route("/slow", get(slow))
        .route("/logout", get(logout))
        .route("/login/{user}", get(log_in))
        .route("/who", get(greeted))
        .route("/say/{message}", get(say))
        .route("/hear", get(hear))
        .route("/token", get(token))
        .route("/pay", get(pay))
        .layer(layer)
}

async fn views(session: Session) -> Result<String, Error> {
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(views.to_string())
}

async fn log_in(session: Session, Path(user): Path<String>) -> Result<&'static str, Error> {
    session.login(user).with_passport().await?;
    Ok("hello")
}

async fn greeted(session: Session) -> Result<String, Error> {
    Ok(session.user()?.unwrap_or_else(|| "a guest".to_owned()))
}

async fn logout(session: Session) -> Result<&'static str, Error> {
    session.destroy().await?;
    Ok("bye")
}

async fn say(flash: Flash, Path(message): Path<String>) -> Result<&'static str, Error> {
    flash.push("info", message)?;
    Ok("said")
}

async fn hear(flash: Flash) -> Result<String, Error> {
    Ok(serde_json::json!(flash.take::<String>("info").await?).to_string())
}

async fn token(csrf: Csrf) -> Result<String, Error> {
    csrf.token().await
}

async fn pay(csrf: Csrf, uri: Uri) -> Result<&'static str, Error> {
    csrf.verify(uri.query().and_then(|query| query.strip_prefix("_csrf=")))?;
    Ok("paid")
}

/// A browser with one cookie in its jar.
#[derive(Clone, Default)]
struct Visitor {
    cookie: Option<String>,
    /// The number of cookies that it received.
    cookies: u32,
}

/// A request that waits at the gate.
struct Slow<'s> {
    gate: &'s Gate,
    answer: JoinHandle<Result<()>>,
}

impl Slow<'_> {
    async fn end(self) -> Result<()> {
        self.gate.opened.notify_one();
        self.answer.await?
    }
}

impl Visitor {
    /// Sends a request to ours, and returns when it has loaded and changed the session.
    async fn begin_slow<'s>(&self, services: &'s Services) -> Slow<'s> {
        let url = format!("http://127.0.0.1:{}/slow", services.rust);
        let cookie = self.cookie.clone();
        let answer = tokio::task::spawn_blocking(move || fetch(&url, cookie.as_deref()).map(drop));
        services.gate.reached.notified().await;
        Slow { gate: &services.gate, answer }
    }

    /// Returns the id in the cookie.
    fn id(&self) -> Option<&str> {
        let (_, value) = self.cookie.as_deref()?.split_once("=s%3A")?;
        value.split('.').next()
    }

    async fn visit(&mut self, services: &Services, side: Side, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", services.port(side));
        let cookie = self.cookie.clone();
        let (set, body) = tokio::task::spawn_blocking(move || fetch(&url, cookie.as_deref()))
            .await?
            .with_context(|| format!("{side:?} at {path}"))?;
        if let Some(set) = set {
            self.cookie = set.split(';').next().map(str::to_owned);
            self.cookies += 1;
        }
        Ok(body)
    }
}

/// Returns the cookie that is set, if any, and the body.
fn fetch(url: &str, cookie: Option<&str>) -> Result<(Option<String>, String)> {
    let mut request = ureq::get(url);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let mut response = request.call()?;
    let set = response.headers().get("set-cookie");
    let set = set.map(|value| value.to_str().map(str::to_owned)).transpose()?;
    Ok((set, response.body_mut().read_to_string()?))
}
