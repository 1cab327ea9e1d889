//! The round trips of a request to the store's server, or its calls of a store without one.

use anyhow::{Result, ensure};
use axum::Router;
use axum::routing::get;
use express_session::store::AnyStore;
use express_session::{Error, Session};
use express_session_testkit::{Browser, Proxy, Spy};
use serde::{Deserialize, Serialize};

use crate::view_counter;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The URL of the store
    url: String,
    /// The port in it, if there is a server
    #[arg(long)]
    port: Option<u16>,
}

/// The round trips of a first visit, and of later requests.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Trips {
    pub(super) new: u64,
    pub(super) reads: u64,
    pub(super) changes: u64,
    pub(super) does_not_ask: u64,
}

impl Args {
    pub(crate) async fn run(&self) -> Result<Trips> {
        match self.port {
            Some(port) => {
                let proxy = Proxy::start(&format!("127.0.0.1:{port}"));
                let url = self.url.replace(&format!(":{port}"), &format!(":{}", proxy.port()));
                let store = express_session::connect(&url).await?;
                counted(store, || proxy.round_trips()).await
            }
            None => {
                let spy = Spy::new(express_session::connect(&self.url).await?);
                counted(AnyStore::new(spy.clone()), || spy.verbs().len() as u64).await
            }
        }
    }
}

/// Counts in the second of two runs: the server knows the scripts and statements by then.
async fn counted(store: AnyStore, count: impl Fn() -> u64) -> Result<Trips> {
    let application = Router::new()
        .route("/", get(async || ()))
        .route("/count", get(view_counter::count))
        .route("/read", get(read))
        .layer(view_counter::layer().store(store));
    let mut trips = Trips::default();
    for _ in 0..2 {
        let mut browser = Browser::new(application.clone());
        for (path, trips) in [
            ("/count", &mut trips.new),
            ("/read", &mut trips.reads),
            ("/count", &mut trips.changes),
            ("/", &mut trips.does_not_ask),
        ] {
            let before = count();
            let status = browser.get(path).await.status;
            ensure!(status.is_success(), "{path} is answered {status}");
            *trips = count() - before;
        }
    }
    Ok(trips)
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(session.get::<u64>("views")?.unwrap_or_default().to_string())
}
