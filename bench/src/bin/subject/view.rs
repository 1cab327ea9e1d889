//! The view counter's sessions: what a store is given for them.

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use axum::{Router, response::Html};
use express_session::store::{Admin as _, Record};
use express_session::{Cookie, Error, MemoryStore, Session, SessionId, SessionLayer};
use tower::ServiceExt as _;
use tower_sessions::session as tower_sessions_app;

use crate::machine;

pub(crate) const SECRET: &str = "keyboard cat";

/// The view counter with our sessions, without a store yet.
pub(crate) fn layer() -> SessionLayer {
    SessionLayer::new(SECRET)
        .resave(false)
        .save_uninitialized(false)
        .cookie(Cookie::new().secure(false))
}

pub(crate) async fn count(session: Session) -> Result<Html<String>, Error> {
    session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1).map(answer)
}

pub(crate) fn answer(views: u64) -> Html<String> {
    Html(format!("<p>Number of views: {views}</p>"))
}

/// The record that our layer makes of a first visit.
pub(crate) async fn record() -> Result<Record> {
    let store = MemoryStore::new();
    let router = Router::new().route("/", get(count)).layer(layer().store(store.clone()));
    router.oneshot(Request::new(Body::empty())).await?;
    let page = store.list(None, 1, machine::now()).await?;
    let (_, record) = page.sessions.into_iter().next().context("a visit made no session")?;
    // The deadline is the store's own.
    Ok(Record { deadline: None, ..record })
}

/// The text of a record after so many visits.
pub(crate) fn text(record: &Record, views: u64) -> String {
    let end = record.text.rfind(':').unwrap_or_default();
    format!("{}:{views}}}", &record.text[..end])
}

/// An id as ours are, from a generator that can be started anew.
pub(crate) fn id(random: &mut fastrand::Rng) -> SessionId {
    let mut bytes = [0; 24];
    random.fill(&mut bytes);
    SessionId::from_random(bytes)
}

/// The same session as tower-sessions has it.
pub(crate) fn towers_record(random: &mut fastrand::Rng) -> tower_sessions_app::Record {
    tower_sessions_app::Record {
        id: tower_sessions_app::Id(random.i128(..)),
        data: [("views".to_owned(), 1.into())].into(),
        // As without a `Max-Age`.
        expiry_date: time::OffsetDateTime::now_utc() + time::Duration::weeks(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn record_is_as_express_session_writes_it() {
        let record = record().await.unwrap();
        let text = r#"{"cookie":{"originalMaxAge":null,"expires":null,"secure":false,"httpOnly":true,"path":"/"},"views":1}"#;
        assert_eq!(&*record.text, text);
        assert_eq!(super::text(&record, 23), text.replace(":1}", ":23}"));
    }
}
