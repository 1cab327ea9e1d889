//! The stores and their drivers log nothing of a visitor, at any level.

use std::convert::Infallible;

use express_session::store::AnyStore;
use express_session::{Error, Session, SessionLayer, connect};
use http::header::SET_COOKIE;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::support::log::Log;

const SECRET_MEMBER: &str = "the visitor's own words";

/// Saves, updates, locks, touches and ends a session, and returns its id.
async fn visit(store: AnyStore) -> String {
    let layer = SessionLayer::new("a secret of the application, never logged").store(store);
    let handler = async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions())?.load().await?;
        session.insert("words", SECRET_MEMBER)?;
        session.save().await?;
        session.insert("more", SECRET_MEMBER)?;
        session.save().await?;
        session.reload().await?;
        // One store has no locks.
        if let Ok(lock) = session.lock().await {
            session.insert("locked", SECRET_MEMBER)?;
            session.save().await?;
            lock.unlock().await?;
        }
        let id = session.id().as_str().to_owned();
        session.regenerate().await?;
        session.insert("words", SECRET_MEMBER)?;
        Ok::<_, Error>(id)
    };
    let service = layer.layer(service_fn(|request| async move {
        let id = handler(request).await.unwrap();
        Ok::<_, Infallible>(Response::new(id))
    }));
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert!(response.headers().contains_key(SET_COOKIE));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[allow(dead_code, reason = "without a store there is nothing to check")]
async fn nothing_of_a_visitor_is_logged(url: &str) -> String {
    let store = connect(url).await.unwrap();
    let log = Log::start();
    let id = visit(store).await;
    let text = log.text();
    for secret in [id.as_str(), SECRET_MEMBER, "a secret of the application"] {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret:?} is logged: {line:?}");
    }
    text
}

#[tokio::test]
async fn memory_store_logs_nothing_of_a_visitor() {
    nothing_of_a_visitor_is_logged("memory://").await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_store_logs_nothing_of_a_visitor() {
    nothing_of_a_visitor_is_logged("sqlite://:memory:").await;
}

#[cfg(feature = "file")]
#[tokio::test]
async fn file_store_logs_nothing_of_a_visitor() {
    let folder = crate::local::Folder::new();
    let url = format!("file://{}", folder.path().join("sessions").display());
    nothing_of_a_visitor_is_logged(&url).await;
}

#[cfg(all(
    unix,
    any(feature = "redis", feature = "postgres", feature = "mysql", feature = "memcached"),
))]
mod servers {
    use express_session_testkit::servers;

    use super::nothing_of_a_visitor_is_logged;

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn redis_store_logs_nothing_of_a_visitor() {
        let Some(server) = servers::shared_redis() else { return };
        nothing_of_a_visitor_is_logged(&format!("{}?prefix=logged:", server.url())).await;
    }

    #[cfg(feature = "postgres")]
    #[tokio::test]
    async fn postgres_store_logs_nothing_of_a_visitor() {
        let Some(server) = servers::shared_postgres() else { return };
        for prepares in [true, false] {
            let options = format!("prepare_statements={prepares}&table=logged_{prepares}");
            let url = format!("{}?create_table_if_missing=true&{options}", server.url());
            let text = nothing_of_a_visitor_is_logged(&url).await;
            // The driver logs the parameters of the statements that it has prepared.
            assert_eq!(text.contains("[redacted, "), prepares, "{text}");
        }
    }

    #[cfg(feature = "mysql")]
    #[tokio::test]
    async fn mysql_store_logs_nothing_of_a_visitor() {
        let Some(server) = servers::shared_mariadb() else { return };
        nothing_of_a_visitor_is_logged(&server.url()).await;
    }

    #[cfg(feature = "memcached")]
    #[tokio::test]
    async fn memcached_store_logs_nothing_of_a_visitor() {
        let Some(server) = servers::shared_memcached() else { return };
        nothing_of_a_visitor_is_logged(&server.url()).await;
    }
}
