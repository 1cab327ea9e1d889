//! The view counter and its sessions: what every store is given.

use anyhow::{Context as _, Result, bail};
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use axum::{Router, response::Html};
use express_session::store::{Admin as _, Created, Record, Revision, Store, Updated};
use express_session::{Cookie, Error, MemoryStore, Session, SessionId, SessionLayer, Timestamp};
use fastrand::Rng;
use tower::ServiceExt as _;

use crate::machine;

/// The view counter's session layer, without a store yet.
pub(crate) fn layer() -> SessionLayer {
    SessionLayer::new("keyboard cat")
        .resave(false)
        .save_uninitialized(false)
        .cookie(Cookie::new().secure(false))
}

pub(crate) async fn count(session: Session) -> Result<Html<String>, Error> {
    session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1).map(answer)
}

/// Reads the number of views, and leaves the session as it is.
pub(crate) async fn read(session: Session) -> Result<Html<String>, Error> {
    session.get::<u64>("views").map(|views| answer(views.unwrap_or(0)))
}

pub(crate) fn answer(views: u64) -> Html<String> {
    Html(format!("<p>Number of views: {views}</p>"))
}

/// Returns the record that our layer saves for a first visit.
pub(crate) async fn record() -> Result<Record> {
    let store = MemoryStore::new();
    let router = Router::new().route("/", get(count)).layer(layer().store(store.clone()));
    router.oneshot(Request::new(Body::empty())).await?;
    let page = store.list(None, 1, machine::now()).await?;
    let (_, record) = page.sessions.into_iter().next().context("a visit made no session")?;
    // The memory store sets a deadline of its own.
    Ok(Record { deadline: None, ..record })
}

/// Returns the text of a record after so many visits.
pub(crate) fn text(record: &Record, views: u64) -> String {
    let end = record.text.rfind(':').unwrap_or_default();
    format!("{}:{views}}}", &record.text[..end])
}

/// Creates a session with a random id. Its text is a copy, as the text of a request is.
pub(crate) async fn create(
    store: &impl Store,
    random: &mut Rng,
    first: &Record,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Result<(SessionId, Revision)> {
    let mut bytes = [0; SessionId::RANDOM_BYTES];
    random.fill(&mut bytes);
    let id = SessionId::from_random(bytes);
    let record = Record { text: first.text.as_ref().into(), deadline };
    match store.create(&id, &record, now).await? {
        Created::Done(revision) => Ok((id, revision)),
        Created::Taken => bail!("an id was drawn twice"),
    }
}

/// Saves a session that no other caller has written.
pub(crate) async fn save(
    store: &impl Store,
    id: &SessionId,
    record: &Record,
    expected: &Revision,
    now: Timestamp,
) -> Result<Revision> {
    match store.update(id, record, expected, now).await? {
        Updated::Done(revision) => Ok(revision),
        Updated::Conflict(_) | Updated::Gone => bail!("a session cannot be saved"),
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
