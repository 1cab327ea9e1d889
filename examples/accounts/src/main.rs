//! Accounts: the life of a session, from the login to the logout, with the options that an audit asks for.
//!
//! 1. A login goes on under a new id; "remember me" gives this session a month instead of half an hour.
//! 2. A transfer needs a second factor: the login gets a higher level, for as long as the session lives.
//! 3. The page of devices lists the user's sessions and where each was used, and ends one of them or all others.
//! 4. A message is shown once, and each form carries a token of its session.
//!
//! `cargo run -p accounts`, then `http://localhost:3000`. The name is bob, the password sesame, the code 123456.

mod pages;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{ConnectInfo, Form, FromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use express_session::{
    ClientDetail, Cookie, Csrf, EndedBy, Error, ErrorKind, Flash, SameSite, Secret, Secure,
    Session, SessionLayer,
};
use maud::Markup;
use serde::Deserialize;

const A_MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The level of a login that a second factor has confirmed.
const CONFIRMED: u8 = 2;

/// The layer of production is `SessionLayer::hardened(secret)`, behind HTTPS. Browsers send its cookie over HTTPS only, so
/// that on `localhost` two of its options are others.
fn sessions(secret: impl Into<Secret>) -> SessionLayer {
    SessionLayer::hardened(secret)
        .client_address(ClientDetail::Shortened, peer)
        .user_agent(ClientDetail::Shortened)
        .name("sid")
        .cookie(Cookie::new().secure(Secure::Auto).same_site(SameSite::Lax))
}

/// Returns the address that the request came from. Behind a proxy, read the one that this proxy has added.
fn peer(request: &Parts) -> Option<IpAddr> {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(peer.ip())
}

fn app(sessions: SessionLayer) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/login", get(login_page).post(log_in))
        .route("/logout", post(log_out))
        .route("/confirm", get(confirm_page).post(confirm))
        .route("/transfer", get(transfer_page).post(transfer))
        .route("/devices", get(devices))
        .route("/devices/end", post(end_device))
        .route("/devices/end-others", post(end_others))
        .layer(sessions)
}

/// The user of a session. Only a request that has one reaches a handler that extracts it.
struct User(String);

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, state)
            .await
            .map_err(|error: Error| error.into_response())?;
        match session.user() {
            Ok(Some(name)) => Ok(Self(name)),
            Ok(None) => {
                say_why(&session).map_err(|error| error.into_response())?;
                Err(Redirect::to("/login").into_response())
            }
            Err(error) => Err(error.into_response()),
        }
    }
}

/// Leaves a message for the login page, if the session has not just expired: the next request has no way to know.
fn say_why(session: &Session) -> Result<(), Error> {
    if session.ended_by() == Some(EndedBy::Revoked) {
        session.flash().push("error", "You were logged out on another device.")?;
    }
    Ok(())
}

async fn home(User(name): User, flash: Flash, csrf: Csrf) -> Result<Markup, Error> {
    let messages = flash.take("info").await?;
    Ok(pages::home(&name, &messages, &csrf.token().await?))
}

async fn login_page(csrf: Csrf, flash: Flash) -> Result<Markup, Error> {
    let messages = flash.take("error").await?;
    Ok(pages::login(&messages, &csrf.token().await?))
}

#[derive(Deserialize)]
struct Login {
    #[serde(rename = "_csrf")]
    csrf: String,
    name: String,
    password: String,
    remember: Option<String>,
}

async fn log_in(session: Session, Form(form): Form<Login>) -> Result<Redirect, Error> {
    session.csrf().verify(form.csrf.as_str())?;
    if !is_right(&form) {
        session.flash().push("error", "The name or the password is wrong.")?;
        return Ok(Redirect::to("/login"));
    }
    let login = session.login(&form.name);
    if form.remember.is_some() {
        login.remember(A_MONTH).await?;
    } else {
        login.await?;
    }
    // The session is saved before the redirect leaves, so that the next page finds it.
    Ok(Redirect::to("/"))
}

/// Stands for a query of your table of users, with its password hashes.
fn is_right(login: &Login) -> bool {
    login.name == "bob" && login.password == "sesame"
}

#[derive(Deserialize)]
struct Plain {
    #[serde(rename = "_csrf")]
    csrf: String,
}

async fn log_out(session: Session, Form(form): Form<Plain>) -> Result<Redirect, Error> {
    session.csrf().verify(form.csrf.as_str())?;
    session.logout().await?;
    Ok(Redirect::to("/login"))
}

async fn transfer_page(_: User, session: Session) -> Result<Response, Error> {
    if let Some(confirm) = needs_confirmation(&session)? {
        return Ok(confirm.into_response());
    }
    Ok(pages::transfer(&session.csrf().token().await?).into_response())
}

#[derive(Deserialize)]
struct Transfer {
    #[serde(rename = "_csrf")]
    csrf: String,
    amount: u32,
}

async fn transfer(
    _: User,
    session: Session,
    Form(form): Form<Transfer>,
) -> Result<Redirect, Error> {
    session.csrf().verify(form.csrf.as_str())?;
    if let Some(confirm) = needs_confirmation(&session)? {
        return Ok(confirm);
    }
    session.flash().push("info", format!("{} € are on their way.", form.amount))?;
    Ok(Redirect::to("/"))
}

/// Sends a user whose login no second factor has confirmed to the page that asks for it.
fn needs_confirmation(session: &Session) -> Result<Option<Redirect>, Error> {
    match session.require_level(CONFIRMED) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == ErrorKind::LevelTooLow => Ok(Some(Redirect::to("/confirm"))),
        Err(error) => Err(error),
    }
}

async fn confirm_page(_: User, csrf: Csrf, flash: Flash) -> Result<Markup, Error> {
    let messages = flash.take("error").await?;
    Ok(pages::confirm(&messages, &csrf.token().await?))
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(rename = "_csrf")]
    csrf: String,
    code: String,
}

async fn confirm(
    _: User,
    session: Session,
    Form(form): Form<Confirmation>,
) -> Result<Redirect, Error> {
    session.csrf().verify(form.csrf.as_str())?;
    // Stands for the code of an authenticator app, which is valid once, with a bounded number of tries.
    if form.code != "123456" {
        session.flash().push("error", "The code is wrong.")?;
        return Ok(Redirect::to("/confirm"));
    }
    session.step_up(CONFIRMED).await?;
    Ok(Redirect::to("/transfer"))
}

async fn devices(_: User, session: Session) -> Result<Markup, Error> {
    let messages = session.flash().take("info").await?;
    let devices = session.user_sessions().await?;
    Ok(pages::devices(&devices, &messages, &session.csrf().token().await?))
}

#[derive(Deserialize)]
struct Device {
    #[serde(rename = "_csrf")]
    csrf: String,
    id: String,
}

async fn end_device(
    _: User,
    session: Session,
    Form(form): Form<Device>,
) -> Result<Redirect, Error> {
    session.csrf().verify(form.csrf.as_str())?;
    // `false` if it has ended meanwhile, which is what the user wants.
    session.end_user_session(&form.id).await?;
    Ok(Redirect::to("/devices"))
}

async fn end_others(_: User, session: Session, Form(form): Form<Plain>) -> Result<Redirect, Error> {
    session.csrf().verify(form.csrf.as_str())?;
    let ended = session.end_other_sessions().await?;
    session.flash().push("info", format!("Logged out on other devices: {ended}."))?;
    Ok(Redirect::to("/devices"))
}

/// Returns the secret of the environment, or a new one: the sessions, which are in memory, end with the program anyway.
fn secret() -> Secret {
    std::env::var("SECRET").map(Secret::from).unwrap_or_else(|_| {
        let mut secret = vec![0; 32];
        getrandom::fill(&mut secret).expect("the system has random bytes");
        Secret::from(secret)
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    let app = app(sessions(secret()));
    serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::http::StatusCode;
    use express_session::Timestamp;
    use express_session_testkit::{Browser, FakeClock};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const RIGHT: &str = "name=bob&password=sesame";
    const RIGHT_AND_REMEMBER: &str = "name=bob&password=sesame&remember=on";

    /// A visitor of an application whose clock stands still.
    struct Visitor {
        browser: Browser<Router>,
        clock: FakeClock,
    }

    impl Visitor {
        fn new() -> Self {
            let clock = FakeClock::new(Timestamp::from_millis(1_700_000_000_000));
            let app = app(sessions(secret()).clock(clock.clone()));
            let peer = SocketAddr::from(([192, 0, 2, 17], 1024));
            Self { browser: Browser::new(app.layer(Extension(ConnectInfo(peer)))), clock }
        }

        /// Another browser of the same application.
        fn other(&self) -> Self {
            let mut browser = self.browser.clone();
            browser.cookie = None;
            Self { browser, clock: self.clock.clone() }
        }

        /// Returns the page, or where it sends the visitor.
        async fn get(&mut self, path: &str) -> String {
            let page = self.browser.get(path).await;
            page.location().map_or(page.text.clone(), str::to_owned)
        }

        /// Fills in the form of a page, and returns where that leads.
        async fn send(&mut self, page: &str, action: &str, fields: &str) -> String {
            let form = self.browser.get(page).await.text;
            let token = form.split(r#"name="_csrf" value=""#).nth(1).expect("a form");
            let token = token.split('"').next().unwrap();
            let answer = self.browser.post(action, &format!("_csrf={token}&{fields}")).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
            answer.location().unwrap().to_owned()
        }

        async fn log_in(&mut self, fields: &str) {
            assert_eq!(self.send("/login", "/login", fields).await, "/");
        }

        async fn is_logged_in(&mut self) -> bool {
            self.get("/").await.contains("Hello, bob")
        }
    }

    #[tokio::test]
    async fn guarded_pages_need_a_login_and_a_wrong_password_is_reported_once() {
        let mut bob = Visitor::new();
        for path in ["/", "/transfer", "/confirm"] {
            assert_eq!(bob.get(path).await, "/login", "{path}");
        }
        assert_eq!(bob.send("/login", "/login", "name=bob&password=wrong").await, "/login");
        assert!(bob.get("/login").await.contains("is wrong"));
        assert!(!bob.get("/login").await.contains("is wrong"));
        bob.log_in(RIGHT).await;
        assert!(bob.is_logged_in().await);
    }

    #[tokio::test]
    async fn kept_cookie_is_useless_after_a_login_and_after_a_logout() {
        let mut bob = Visitor::new();
        bob.log_in(RIGHT).await;
        let mut thief = bob.browser.clone();
        bob.log_in(RIGHT).await;
        assert_eq!(thief.get("/").await.location(), Some("/login"));

        let mut thief = bob.browser.clone();
        assert_eq!(bob.send("/", "/logout", "").await, "/login");
        assert_eq!(bob.browser.cookie, None, "the response removes the cookie");
        assert_eq!(thief.get("/").await.location(), Some("/login"));
    }

    #[tokio::test]
    async fn form_of_another_site_is_refused() {
        let mut bob = Visitor::new();
        bob.log_in(RIGHT).await;
        for (path, form) in [("/logout", "_csrf="), ("/login", "_csrf=x&name=eve&password=x")] {
            assert_eq!(bob.browser.post(path, form).await.status, StatusCode::FORBIDDEN, "{path}");
        }
        assert!(bob.is_logged_in().await);
    }

    #[tokio::test]
    async fn only_a_remembered_session_outlives_half_an_hour_without_a_visit() {
        for (form, is_remembered) in [(RIGHT, false), (RIGHT_AND_REMEMBER, true)] {
            let mut bob = Visitor::new();
            bob.log_in(form).await;
            bob.clock.advance(29 * MINUTE);
            assert!(bob.is_logged_in().await);
            bob.clock.advance(31 * MINUTE);
            assert_eq!(bob.is_logged_in().await, is_remembered);
            bob.clock.advance(A_MONTH);
            assert!(!bob.is_logged_in().await);
        }
    }

    #[tokio::test]
    async fn device_is_ended_from_another_one() {
        let mut laptop = Visitor::new();
        laptop.log_in(RIGHT).await;
        let [mut phone, mut tablet] = [laptop.other(), laptop.other()];
        for device in [&mut phone, &mut tablet] {
            device.log_in(RIGHT_AND_REMEMBER).await;
        }
        let page = laptop.get("/devices").await;
        assert!(page.contains("192.0.2.0"));
        assert_eq!((page.matches("<tr>").count(), page.matches("this device").count()), (4, 1));
        let id = page.split(r#"name="id" value=""#).nth(1).unwrap().split('"').next().unwrap();
        laptop.send("/devices", "/devices/end", &format!("id={id}")).await;
        assert_eq!(laptop.get("/devices").await.matches("<tr>").count(), 3);

        laptop.send("/devices", "/devices/end-others", "").await;
        assert!(laptop.get("/devices").await.contains("on other devices: 1."));
        for device in [&mut phone, &mut tablet] {
            assert!(!device.is_logged_in().await);
        }
        assert!(laptop.is_logged_in().await);
    }

    #[tokio::test]
    async fn device_that_was_logged_out_elsewhere_says_so() {
        let mut laptop = Visitor::new();
        laptop.log_in(RIGHT).await;
        let mut phone = laptop.other();
        phone.log_in(RIGHT).await;
        laptop.send("/devices", "/devices/end-others", "").await;
        assert_eq!(phone.get("/").await, "/login");
        assert!(phone.get("/login").await.contains("on another device"));
        assert!(!phone.get("/login").await.contains("on another device"));
    }

    #[tokio::test]
    async fn transfer_asks_for_a_second_factor_once() {
        let mut bob = Visitor::new();
        bob.log_in(RIGHT).await;
        assert_eq!(bob.get("/transfer").await, "/confirm");
        assert_eq!(bob.send("/confirm", "/confirm", "code=000000").await, "/confirm");
        assert_eq!(bob.get("/transfer").await, "/confirm");
        let mut thief = bob.browser.clone();
        assert_eq!(bob.send("/confirm", "/confirm", "code=123456").await, "/transfer");
        assert_eq!(bob.send("/transfer", "/transfer", "amount=10").await, "/");
        assert!(bob.get("/").await.contains("10 € are on their way."));
        assert!(!bob.get("/").await.contains("10 €"));
        // The id from before the confirmation leads nowhere.
        assert_eq!(thief.get("/transfer").await.location(), Some("/login"));
        // Another device has to confirm for itself.
        let mut phone = bob.other();
        phone.log_in(RIGHT).await;
        assert_eq!(phone.get("/transfer").await, "/confirm");
    }
}
