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
    // Omit the default in production, so that the program does not start without a secret.
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(sessions(&secret))).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode, header};
    use express_session::Timestamp;
    use express_session_testkit::FakeClock;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    const SECRET: &str = "f81d4fae7dec11d0a76500a0c91e6bf6";
    const RIGHT: &str = "name=bob&password=sesame";
    const RIGHT_AND_REMEMBER: &str = "name=bob&password=sesame&remember=on";

    /// A browser, which sends the cookie that it received.
    struct Browser {
        app: Router,
        cookie: Option<String>,
    }

    impl Browser {
        fn new() -> Self {
            Self::of(sessions(SECRET))
        }

        fn of(sessions: SessionLayer) -> Self {
            Self { app: app(sessions), cookie: None }
        }

        /// Opens a page. Returns its status, and its text or the target of its redirect.
        async fn open(&mut self, path: &str) -> (StatusCode, String) {
            self.send(Request::get(path), Body::empty()).await
        }

        async fn post(&mut self, path: &str, form: &'static str) -> (StatusCode, String) {
            let kind = "application/x-www-form-urlencoded";
            self.send(Request::post(path).header(header::CONTENT_TYPE, kind), form.into()).await
        }

        async fn send(
            &mut self,
            mut request: axum::http::request::Builder,
            body: Body,
        ) -> (StatusCode, String) {
            if let Some(cookie) = &self.cookie {
                request = request.header(header::COOKIE, cookie);
            }
            let request = request.body(body).unwrap();
            let response = self.app.clone().oneshot(request).await.unwrap();
            if let Some(cookie) = response.headers().get(header::SET_COOKIE) {
                let pair = cookie.to_str().unwrap().split(';').next().unwrap();
                self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
            }
            let status = response.status();
            let text = match response.headers().get(header::LOCATION) {
                Some(location) => location.to_str().unwrap().to_owned(),
                None => {
                    let body = response.into_body().collect().await.unwrap().to_bytes();
                    String::from_utf8(body.into()).unwrap()
                }
            };
            (status, text)
        }
    }

    #[tokio::test]
    async fn guarded_page_needs_a_login() {
        let mut browser = Browser::new();
        assert_eq!(browser.open("/").await, (StatusCode::SEE_OTHER, "/login".to_owned()));

        browser.post("/login", "name=bob&password=wrong").await;
        assert_eq!(browser.open("/").await.1, "/login");

        browser.post("/login", RIGHT).await;
        assert_eq!(browser.open("/").await, (StatusCode::OK, "Hello, bob!".to_owned()));
    }

    #[tokio::test]
    async fn each_login_makes_a_new_session_and_ends_the_old_one() {
        let mut browser = Browser::new();
        browser.post("/login", RIGHT).await;
        let first = browser.cookie.clone();

        browser.post("/login", RIGHT).await;
        assert!(browser.cookie.is_some() && browser.cookie != first);

        browser.cookie = first;
        assert_eq!(browser.open("/").await.1, "/login");
    }

    #[tokio::test]
    async fn kept_cookie_is_useless_after_a_logout() {
        let mut browser = Browser::new();
        browser.post("/login", RIGHT).await;
        let kept = browser.cookie.clone();

        assert_eq!(browser.post("/logout", "").await.1, "/login");
        assert_eq!(browser.cookie, None, "the response removes the cookie");

        browser.cookie = kept;
        assert_eq!(browser.open("/").await.1, "/login");
    }

    #[tokio::test]
    async fn only_a_remembered_session_lives_for_a_month() {
        for (form, page) in [(RIGHT, "/login"), (RIGHT_AND_REMEMBER, "Hello, bob!")] {
            let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
            let mut browser = Browser::of(sessions(SECRET).clock(clock.clone()));
            browser.post("/login", form).await;

            clock.advance(AN_HOUR);
            assert_eq!(browser.open("/").await.1, page);

            clock.advance(A_MONTH);
            assert_eq!(browser.open("/").await.1, "/login");
        }
    }
}
