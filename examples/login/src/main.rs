//! Logging in and out.
//!
//! 1. A login makes a new session, so that an id that an attacker planted in the browser is useless.
//! 2. A logout destroys the session in the store, and removes the cookie from the browser.
//! 3. "Remember me" sets a longer expiry for this session.
//! 4. A guarded page extracts a [`User`], which only a logged-in session has.
//!
//! `cargo run -p login`, then `http://localhost:3000`. The name is bob, the password sesame.

use std::time::Duration;

use axum::extract::{Form, FromRequestParts};
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use express_session::{Cookie, Error, SameSite, Secure, Session, SessionLayer};
use serde::Deserialize;

const AN_HOUR: Duration = Duration::from_secs(60 * 60);
const A_MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn sessions(secret: &str) -> SessionLayer {
    SessionLayer::new(secret).cookie(
        // `Lax`: the browser sends forms of other sites without the cookie.
        Cookie::new().max_age(AN_HOUR).secure(Secure::Auto).same_site(SameSite::Lax),
    )
}

fn app(sessions: SessionLayer) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/login", get(form).post(log_in))
        .route("/logout", post(log_out))
        .layer(sessions)
}

/// The logged-in user. Only a request with one reaches a handler that extracts it.
struct User(String);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, state)
            .await
            .map_err(|error: Error| error.into_response())?;
        match session.get("user") {
            Ok(Some(name)) => Ok(Self(name)),
            Ok(None) => Err(Redirect::to("/login").into_response()),
            Err(error) => Err(error.into_response()),
        }
    }
}

async fn home(User(name): User) -> String {
    format!("Hello, {name}!")
}

async fn form() -> Html<&'static str> {
    Html(
        r#"<form method="post">
            <input name="name" autocomplete="username">
            <input name="password" type="password" autocomplete="current-password">
            <label><input name="remember" type="checkbox"> Remember me</label>
            <button>Log in</button>
        </form>"#,
    )
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
    remember: Option<String>,
}

async fn log_in(session: Session, Form(login): Form<Login>) -> Result<Redirect, Error> {
    if !is_right(&login) {
        return Ok(Redirect::to("/login"));
    }
    session.regenerate().await?;
    session.insert("user", &login.name)?;
    if login.remember.is_some() {
        session.cookie().set_max_age(A_MONTH)?;
    }
    // The session is saved before the redirect leaves, so that the next page finds it.
    Ok(Redirect::to("/"))
}

/// Stands for a query of your table of users, with its password hashes.
fn is_right(login: &Login) -> bool {
    login.name == "bob" && login.password == "sesame"
}

async fn log_out(session: Session) -> Result<Redirect, Error> {
    session.destroy().await?;
    Ok(Redirect::to("/login"))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // Omit the default in production, so that the program does not start without a secret.
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(sessions(&secret))).await
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use express_session::Timestamp;
    use express_session_testkit::{Browser, FakeClock};

    use super::*;

    const SECRET: &str = "f81d4fae7dec11d0a76500a0c91e6bf6";
    const RIGHT: &str = "name=bob&password=sesame";
    const RIGHT_AND_REMEMBER: &str = "name=bob&password=sesame&remember=on";

    fn browser() -> Browser<Router> {
        Browser::new(app(sessions(SECRET)))
    }

    #[tokio::test]
    async fn guarded_page_needs_a_login() {
        let mut browser = browser();
        let page = browser.get("/").await;
        assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, Some("/login")));

        browser.post("/login", "name=bob&password=wrong").await;
        assert_eq!(browser.get("/").await.location(), Some("/login"));

        browser.post("/login", RIGHT).await;
        let page = browser.get("/").await;
        assert_eq!((page.status, &*page.text), (StatusCode::OK, "Hello, bob!"));
    }

    #[tokio::test]
    async fn each_login_makes_a_new_session_and_ends_the_old_one() {
        let mut browser = browser();
        browser.post("/login", RIGHT).await;
        let mut first = browser.clone();

        browser.post("/login", RIGHT).await;
        assert!(browser.cookie.is_some() && browser.cookie != first.cookie);
        assert_eq!(first.get("/").await.location(), Some("/login"));
    }

    #[tokio::test]
    async fn kept_cookie_is_useless_after_a_logout() {
        let mut browser = browser();
        browser.post("/login", RIGHT).await;
        let mut thief = browser.clone();

        assert_eq!(browser.post("/logout", "").await.location(), Some("/login"));
        assert_eq!(browser.cookie, None, "the response removes the cookie");
        assert_eq!(thief.get("/").await.location(), Some("/login"));
    }

    #[tokio::test]
    async fn only_a_remembered_session_lives_for_a_month() {
        for (form, is_remembered) in [(RIGHT, false), (RIGHT_AND_REMEMBER, true)] {
            let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
            let mut browser = Browser::new(app(sessions(SECRET).clock(clock.clone())));
            browser.post("/login", form).await;

            clock.advance(AN_HOUR);
            assert_eq!(browser.get("/").await.text == "Hello, bob!", is_remembered);

            clock.advance(A_MONTH);
            assert_eq!(browser.get("/").await.location(), Some("/login"));
        }
    }
}
