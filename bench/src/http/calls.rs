//! The calls of a store alone: the least that a session layer over this driver costs.
//!
//! A visitor's record is read with `GET`, and written with `SET` where the view counts. Nothing is signed or verified,
//! no overlapping request is noticed, and nothing says when the expiry was reset.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use express_session::store::Record;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

use crate::view_counter;

/// The seconds that a record is kept.
const DAY: u64 = 86_400;

#[derive(Clone)]
struct Calls {
    connection: MultiplexedConnection,
    first: Arc<Record>,
    visitors: Arc<AtomicU64>,
}

/// Returns the application, on the Redis or Valkey at a URL.
pub(super) async fn application(url: &str) -> Result<Router> {
    let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let first = Arc::new(view_counter::record().await?);
    let calls = Calls { connection, first, visitors: Arc::default() };
    Ok(Router::new().route("/", get(count)).route("/read", get(read)).with_state(calls))
}

async fn count(State(mut calls): State<Calls>, headers: HeaderMap) -> Result<Response, StatusCode> {
    let known = cookie(&headers);
    let key = match known {
        Some(key) => key.to_owned(),
        None => format!("visitor={}", calls.visitors.fetch_add(1, Ordering::Relaxed)),
    };
    let views = calls.views(&key).await? + 1;
    let text = view_counter::text(&calls.first, views);
    calls.connection.set_ex::<_, _, ()>(&key, text, DAY).await.map_err(failed)?;
    let answer = view_counter::answer(views);
    Ok(match known {
        Some(_) => answer.into_response(),
        None => ([(SET_COOKIE, key)], answer).into_response(),
    })
}

async fn read(
    State(mut calls): State<Calls>,
    headers: HeaderMap,
) -> Result<Html<String>, StatusCode> {
    let key = cookie(&headers).ok_or(StatusCode::BAD_REQUEST)?;
    calls.views(key).await.map(view_counter::answer)
}

impl Calls {
    async fn views(&mut self, key: &str) -> Result<u64, StatusCode> {
        let text: Option<String> = self.connection.get(key).await.map_err(failed)?;
        let views = text.as_deref().and_then(|text| text.rsplit_once(':')?.1.strip_suffix('}'));
        Ok(views.and_then(|views| views.parse().ok()).unwrap_or(0))
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers.get(COOKIE)?.to_str().ok()
}

fn failed(_: redis::RedisError) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
