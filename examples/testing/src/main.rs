//! Tests of an application with sessions, without sockets, sleeping or random results.
//!
//! 1. The application takes its [`SessionLayer`] as an argument, so that a test can pass another.
//! 2. A `Browser` calls the application as a tower service: no port, no server.
//! 3. `FakeClock` stands still until the test advances it, so that an hour passes immediately.
//! 4. The test supplies the random bytes of the ids, so that it can contain the expected cookie.
//! 5. `Spy` records the calls of the store, and lets the test make calls fail.
//!
//! The tests are below. `cargo test -p testing` runs them.

use std::time::Duration;

use axum::routing::{get, post};
use axum::{Router, serve};
use express_session::{Cookie, Error, Session, SessionLayer};

fn sessions(secret: &str) -> SessionLayer {
    SessionLayer::new(secret).cookie(Cookie::new().max_age(Duration::from_secs(60 * 60)))
}

fn app(sessions: SessionLayer) -> Router {
    Router::new().route("/cart", get(show)).route("/cart/{item}", post(add)).layer(sessions)
}

async fn show(session: Session) -> Result<String, Error> {
    let items: Vec<String> = session.get("items")?.unwrap_or_default();
    Ok(items.join(", "))
}

async fn add(
    session: Session,
    axum::extract::Path(item): axum::extract::Path<String>,
) -> Result<(), Error> {
    session.update("items", move |items: Option<Vec<String>>| {
        let mut items = items.unwrap_or_default();
        items.push(item.clone());
        items
    })?;
    Ok(())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(sessions(&secret))).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use axum::http::StatusCode;
    use express_session::store::ErrorKind;
    use express_session::{MemoryStore, Timestamp};
    use express_session_testkit::{Browser, FakeClock, Spy, Verb};

    use super::*;

    /// The application, with a clock, a store and ids that the test controls.
    struct Server {
        app: Router,
        clock: FakeClock,
        store: Spy<MemoryStore>,
    }

    impl Server {
        fn start() -> Self {
            let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
            let store = Spy::new(MemoryStore::new());
            let ids = AtomicU8::new(0);
            let sessions = sessions("keyboard cat")
                .store(store.clone())
                .clock(clock.clone())
                // The first id is all zeros, the second all ones, and so on.
                .random(move |bytes: &mut [u8]| bytes.fill(ids.fetch_add(1, Ordering::Relaxed)));
            Self { app: app(sessions), clock, store }
        }

        fn browser(&self) -> Browser<Router> {
            Browser::new(self.app.clone())
        }
    }

    #[tokio::test]
    async fn visitors_have_carts_of_their_own() {
        let server = Server::start();
        let [mut alice, mut bob] = [server.browser(), server.browser()];
        alice.post("/cart/apple", "").await;
        bob.post("/cart/pear", "").await;
        alice.post("/cart/plum", "").await;

        assert_eq!(alice.get("/cart").await.text, "apple, plum");
        assert_eq!(bob.get("/cart").await.text, "pear");
    }

    #[tokio::test]
    async fn cookie_is_signed_and_expires_in_an_hour() {
        let page = Server::start().browser().post("/cart/apple", "").await;
        assert_eq!(
            page.set_cookie().unwrap(),
            "connect.sid=s%3AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
             .RT5Cal5xFtX9GjJLGoiK%2BGzZ%2BcCRnZ5ZbIS8ml7E5Xo; Path=/; \
             Expires=Tue, 14 Nov 2023 23:13:20 GMT; HttpOnly"
        );
    }

    #[tokio::test]
    async fn session_ends_an_hour_after_the_last_visit() {
        let server = Server::start();
        let mut browser = server.browser();
        browser.post("/cart/apple", "").await;

        server.clock.advance(Duration::from_secs(59 * 60));
        assert_eq!(browser.get("/cart").await.text, "apple");
        server.clock.advance(Duration::from_secs(59 * 60));
        assert_eq!(browser.get("/cart").await.text, "apple");
        server.clock.advance(Duration::from_secs(60 * 60));
        assert_eq!(browser.get("/cart").await.text, "");
    }

    #[tokio::test]
    async fn visit_calls_the_store_once_and_only_with_a_cart() {
        let server = Server::start();
        let mut browser = server.browser();
        assert_eq!(browser.get("/cart").await.set_cookie(), None);
        assert_eq!(server.store.take_calls(), []);

        browser.post("/cart/apple", "").await;
        browser.get("/cart").await;
        // The second request loads the session and resets its expiry in one call.
        assert_eq!(server.store.verbs(), [Verb::Create, Verb::Load]);
    }

    #[tokio::test]
    async fn unavailable_store_is_an_error_and_not_an_empty_cart() {
        let server = Server::start();
        let mut browser = server.browser();
        browser.post("/cart/apple", "").await;

        server.store.fail_next(Verb::Load, ErrorKind::Unavailable);
        assert_eq!(browser.get("/cart").await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(browser.get("/cart").await.text, "apple");
    }
}
