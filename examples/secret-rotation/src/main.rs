//! A new secret that ends no session.
//!
//! The first secret of the list signs new cookies, and each of them verifies. So a rotation has three steps:
//!
//! 1. Deploy `SECRETS="new old"`: new sessions are signed with `new`, and those of `old` stay valid.
//! 2. Wait until the sessions from before step 1 have expired. A session keeps its cookie, so if every visit resets
//!    the expiry, set a date.
//! 3. Deploy `SECRETS="new"`: a visitor with a cookie of `old` gets a new session.
//!
//! If a secret has leaked, begin with step 3.
//!
//! `SECRETS="new old" cargo run -p secret-rotation`, then `http://localhost:3000`.

use axum::routing::get;
use axum::{Router, serve};
use express_session::{Error, MemoryStore, Session, SessionLayer};

fn app(secrets: Vec<&str>, store: MemoryStore) -> Router {
    let sessions = SessionLayer::new(secrets).store(store);
    Router::new().route("/", get(views)).layer(sessions)
}

async fn views(session: Session) -> Result<String, Error> {
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(format!("Number of views: {views}"))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let secrets = std::env::var("SECRETS").unwrap_or_else(|_| "new old".to_owned());
    let app = app(secrets.split_whitespace().collect(), MemoryStore::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    const OLD: &str = "0e4d1c2ab9e84b6d8a9cf0a5c1f7de31";
    const NEW: &str = "f81d4fae7dec11d0a76500a0c91e6bf6";

    /// Opens the page with a cookie. Returns its text, and the cookie that it sets.
    async fn open(app: &Router, cookie: Option<&str>) -> (String, Option<String>) {
        let mut request = Request::get("/");
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let cookie = response.headers().get(header::SET_COOKIE);
        let cookie = cookie.map(|cookie| cookie.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (String::from_utf8(body.into()).unwrap(), cookie)
    }

    #[tokio::test]
    async fn session_of_the_old_secret_stays_until_that_is_dropped() {
        let store = MemoryStore::new();
        let [before, during, after] =
            [vec![OLD], vec![NEW, OLD], vec![NEW]].map(|secrets| app(secrets, store.clone()));

        let (text, cookie) = open(&before, None).await;
        assert_eq!(text, "Number of views: 1");

        let (text, set) = open(&during, cookie.as_deref()).await;
        assert_eq!(text, "Number of views: 2");
        assert_eq!(set, None, "the browser keeps the cookie of the old secret");

        let (text, set) = open(&after, cookie.as_deref()).await;
        assert_eq!(text, "Number of views: 1");
        assert!(set.is_some(), "the visitor has a new session");
    }

    #[tokio::test]
    async fn session_of_the_new_secret_outlives_the_rotation() {
        let store = MemoryStore::new();
        let [during, after] =
            [vec![NEW, OLD], vec![NEW]].map(|secrets| app(secrets, store.clone()));

        let (_, cookie) = open(&during, None).await;
        assert_eq!(open(&after, cookie.as_deref()).await.0, "Number of views: 2");
    }
}
