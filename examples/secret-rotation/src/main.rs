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
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let secrets = std::env::var("SECRETS").unwrap_or_else(|_| "new old".to_owned());
    let app = app(secrets.split_whitespace().collect(), MemoryStore::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app).await
}

#[cfg(test)]
mod tests {
    use express_session_testkit::Browser;

    use super::*;

    const OLD: &str = "0e4d1c2ab9e84b6d8a9cf0a5c1f7de31";
    const NEW: &str = "f81d4fae7dec11d0a76500a0c91e6bf6";

    #[tokio::test]
    async fn session_of_the_old_secret_stays_until_that_is_dropped() {
        let store = MemoryStore::new();
        let mut before = Browser::new(app(vec![OLD], store.clone()));
        assert_eq!(before.get("/").await.text, "Number of views: 1");
        let cookie = before.cookie.unwrap();

        let mut during = Browser::new(app(vec![NEW, OLD], store.clone())).cookie(&cookie);
        let page = during.get("/").await;
        assert_eq!(page.text, "Number of views: 2");
        assert_eq!(page.set_cookie(), None, "the browser keeps the cookie of the old secret");

        let mut after = Browser::new(app(vec![NEW], store)).cookie(&cookie);
        let page = after.get("/").await;
        assert_eq!(page.text, "Number of views: 1");
        assert!(page.set_cookie().is_some(), "the visitor has a new session");
    }

    #[tokio::test]
    async fn session_of_the_new_secret_outlives_the_rotation() {
        let store = MemoryStore::new();
        let mut during = Browser::new(app(vec![NEW, OLD], store.clone()));
        during.get("/").await;
        let mut after = Browser::new(app(vec![NEW], store)).cookie(during.cookie.unwrap());
        assert_eq!(after.get("/").await.text, "Number of views: 2");
    }
}
