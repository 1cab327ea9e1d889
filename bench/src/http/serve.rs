//! The servers of the view counter that are written in Rust.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_session::config::CookieContentSecurity;
use actix_session::storage::RedisSessionStore;
use actix_session::{Session as ActixSession, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::{App, HttpResponse, HttpServer, error, web};
use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{Route, get};
use bench_hot::Handle as _;
use express_session::MemoryStore;
use express_session::store::Store;
use express_session::store::mysql::MySqlStore;
use express_session::store::postgres::PostgresStore;
use express_session::store::redis::RedisStore;
use express_session::store::sqlite::SqliteStore;
use tokio::io::AsyncReadExt as _;
use tower::layer::layer_fn;

use super::calls;
use crate::minimal_layer::{MinimalLayer, MinimalSession};
use crate::view_counter;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    library: String,
    /// Where the sessions are: `none`, `memory`, `redis`, …
    store: String,
    /// The URL of that, if it has one
    url: String,
}

/// Those of each pool of connections to an SQL database.
const CONNECTIONS: usize = 16;
const KEY: &str = "views";

impl Args {
    /// Serves until the input ends, which it does with the process that started this one.
    pub(crate) async fn run(&self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let ended = async {
            writeln!(io::stdout(), "{port}")?;
            let (mut input, mut nothing) = (tokio::io::stdin(), Vec::new());
            input.read_to_end(&mut nothing).await
        };
        let served = async {
            if self.library == "actix-session" {
                return self.serve_actix(listener).await;
            }
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Ok(axum::serve(listener, self.application().await?).await?)
        };
        tokio::select! {
            served = served => served,
            read = ended => Ok(read.map(drop)?),
        }
    }

    async fn application(&self) -> Result<Router> {
        Ok(match (&*self.library, &*self.store) {
            ("axum", "none") => {
                let views = Arc::new(AtomicU64::new(0));
                Router::new().route(
                    "/",
                    get(async move || {
                        view_counter::answer(views.fetch_add(1, Ordering::Relaxed) + 1)
                    }),
                )
            }
            ("minimal-layer", "memory") => {
                let layer = MinimalLayer::new()?;
                let layer = layer_fn(move |inner: Route| layer.around(inner));
                Router::new().route("/", get(minimal)).layer(layer)
            }
            ("ours", "memory") => ours(MemoryStore::new()),
            ("calls", "redis" | "valkey") => calls::application(&self.url).await?,
            ("ours", "redis" | "valkey") => ours(RedisStore::new(&self.url)?),
            ("ours", "postgres") => {
                let store = PostgresStore::new(&self.url)?.create_table_if_missing(true);
                ours(store.max_connections(CONNECTIONS))
            }
            ("ours", "mysql") => ours(MySqlStore::new(&self.url)?.connection_limit(CONNECTIONS)),
            ("ours", "sqlite") => {
                let path = self.url.strip_prefix("sqlite://").context("no path of a file")?;
                ours(SqliteStore::new(path))
            }
            ("tower-sessions", "memory") => {
                let store = tower_sessions::MemoryStore::default();
                let layer = tower_sessions::SessionManagerLayer::new(store).with_secure(false);
                Router::new().route("/", get(tower_sessions_count)).layer(layer)
            }
            (library, store) => bail!("no server has {library} with sessions in {store}"),
        })
    }

    /// actix-session with its defaults, except that the cookie is signed rather than encrypted and goes over plain
    /// HTTP.
    async fn serve_actix(&self, listener: TcpListener) -> Result<()> {
        let (store, key) = (RedisSessionStore::new(self.url.clone()).await?, Key::generate());
        let application = move || {
            let sessions = SessionMiddleware::builder(store.clone(), key.clone())
                .cookie_content_security(CookieContentSecurity::Signed)
                .cookie_secure(false)
                .build();
            App::new()
                .wrap(sessions)
                .route("/", web::get().to(actix_count))
                .route("/read", web::get().to(actix_read))
        };
        let server = HttpServer::new(application).workers(1).disable_signals().listen(listener)?;
        Ok(server.run().await?)
    }
}

fn ours(store: impl Store) -> Router {
    let router = Router::new().route("/", get(view_counter::count));
    router.route("/read", get(view_counter::read)).layer(view_counter::layer().store(store))
}

async fn minimal(request: Request) -> Result<Html<String>, StatusCode> {
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    let session = MinimalSession::find(request.extensions()).await.ok_or(failed)?;
    let views = session.get::<u64>(KEY).await.unwrap_or(0) + 1;
    if session.insert(KEY, views).await { Ok(view_counter::answer(views)) } else { Err(failed) }
}

async fn tower_sessions_count(
    session: tower_sessions::Session,
) -> Result<Html<String>, StatusCode> {
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let views = session.get::<u64>(KEY).await.map_err(failed)?.unwrap_or(0) + 1;
    session.insert(KEY, views).await.map_err(failed)?;
    Ok(view_counter::answer(views))
}

async fn actix_count(session: ActixSession) -> actix_web::Result<HttpResponse> {
    let views = session.get::<u64>(KEY)?.unwrap_or(0) + 1;
    session.insert(KEY, views).map_err(error::ErrorInternalServerError)?;
    Ok(actix_answer(views))
}

async fn actix_read(session: ActixSession) -> actix_web::Result<HttpResponse> {
    Ok(actix_answer(session.get::<u64>(KEY)?.unwrap_or(0)))
}

fn actix_answer(views: u64) -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(view_counter::answer(views).0)
}
