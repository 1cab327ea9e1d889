//! What a request asks of a store: round trips to its server, or calls where it has none.

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::routing::get;
use express_session::store::AnyStore;
use express_session::{Error, Session};
use express_session_testkit::{Proxy, Spy};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::view;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the store is
    url: String,
    /// The port in it, if there is a server
    #[arg(long)]
    port: Option<u16>,
}

/// A first visit, and what returning visitors do.
const REQUESTS: [(&str, &str); 4] =
    [("new", "/count"), ("reads", "/read"), ("changes", "/count"), ("does_not_ask", "/")];

pub(crate) async fn run(args: &Args) -> Result<Value> {
    match args.port {
        Some(port) => {
            let proxy = Proxy::start(&format!("127.0.0.1:{port}"));
            let url = args.url.replace(&format!(":{port}"), &format!(":{}", proxy.port()));
            let store = express_session::connect(&url).await?;
            counted(store, || proxy.round_trips()).await
        }
        None => {
            let spy = Spy::new(express_session::connect(&args.url).await?);
            counted(AnyStore::new(spy.clone()), || spy.verbs().len() as u64).await
        }
    }
}

/// Counts when everything has been done once: scripts and statements are known to the server then.
async fn counted(store: AnyStore, count: impl Fn() -> u64) -> Result<Value> {
    let application = Router::new()
        .route("/", get(async || ()))
        .route("/count", get(view::count))
        .route("/read", get(read))
        .layer(view::layer().store(store));
    let mut trips = serde_json::Map::new();
    for _ in 0..2 {
        let mut sid = None;
        for (name, path) in REQUESTS {
            let before = count();
            let mut request = Request::get(path);
            if let Some(sid) = &sid {
                request = request.header(COOKIE, sid);
            }
            let response = application.clone().oneshot(request.body(Body::empty())?).await?;
            ensure!(response.status().is_success(), "{path} is answered {}", response.status());
            trips.insert(name.to_owned(), json!(count() - before));
            if sid.is_none() {
                sid = Some(response.headers().get(SET_COOKIE).context("no cookie")?.clone());
            }
        }
    }
    Ok(trips.into())
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(session.get::<u64>("views")?.unwrap_or_default().to_string())
}
