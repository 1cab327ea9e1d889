//! The session as a struct of the application.
//!
//! 1. [`Typed`] reads and writes a struct: each field is the member of the session with that name.
//! 2. Members without a field stay as they are, so that several structs, plain [`Session`]s and an Express application
//!    can share a session.
//! 3. `update` loses nothing when requests of one visitor overlap: it is applied again to what is stored.
//! 4. A field that was added after the session was stored is as in the default.
//!
//! `cargo run -p typed-session`, then `curl -c jar -b jar -X POST localhost:3000/cart/apple`.

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Router, serve};
use express_session::{Error, Session, SessionLayer, Typed};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Cart {
    items: Vec<String>,
    coupon: Option<String>,
}

fn app(sessions: SessionLayer) -> Router {
    Router::new()
        .route("/cart", get(show))
        .route("/cart/{item}", post(add))
        .route("/", get(members))
        .layer(sessions)
}

async fn show(cart: Typed<Cart>) -> Result<String, Error> {
    Ok(describe(&cart.read()?))
}

async fn add(cart: Typed<Cart>, Path(item): Path<String>) -> Result<String, Error> {
    let cart = cart.update(move |cart| cart.items.push(item.clone()))?;
    Ok(describe(&cart))
}

fn describe(cart: &Cart) -> String {
    let coupon = cart.coupon.as_deref().unwrap_or("no coupon");
    format!("{} and {coupon}", cart.items.join(", "))
}

/// The same session, without the struct.
async fn members(session: Session) -> String {
    session.keys().join(", ")
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(SessionLayer::new(secret))).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use express_session::store::{Record, Store as _};
    use express_session::{MemoryStore, SessionId, Timestamp};
    use express_session_testkit::Browser;

    use super::*;

    /// The cookie of the session `apple`, signed with `keyboard cat`.
    const COOKIE: &str =
        "connect.sid=s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU";

    /// A browser with a session of this text.
    async fn browser(text: &str) -> Browser<Router> {
        let start = Timestamp::from_millis(0);
        let store = MemoryStore::new();
        let record = Record { text: text.into(), deadline: None };
        store.create(&SessionId::new("apple").unwrap(), &record, start).await.unwrap();
        let sessions = SessionLayer::new("keyboard cat").store(store).clock(move || start.into());
        Browser::new(app(sessions)).cookie(COOKIE)
    }

    #[tokio::test]
    async fn field_is_a_member_and_other_members_stay() {
        let mut browser = browser(r#"{"cookie":{},"user":"bob"}"#).await;
        browser.post("/cart/apple", "").await;
        assert_eq!(browser.post("/cart/pear", "").await.text, "apple, pear and no coupon");

        let members = browser.get("/").await.text;
        let members: BTreeSet<_> = members.split(", ").collect();
        assert_eq!(members, BTreeSet::from(["user", "items", "coupon"]));
    }

    #[tokio::test]
    async fn session_stored_before_a_field_was_added_is_read() {
        let mut browser = browser(r#"{"cookie":{},"items":["apple"]}"#).await;
        assert_eq!(browser.get("/cart").await.text, "apple and no coupon");
    }
}
