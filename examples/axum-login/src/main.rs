//! From axum-login: the application keeps its users and its `AuthnBackend`, and `auth.rs` takes the place of `AuthSession`.
//!
//! `cargo run -p axum-login-backend`, then `http://localhost:3000`. The name is bob, the password sesame.

mod auth;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use axum_login::{AuthUser, AuthnBackend};
use express_session::{Cookie, Error, SameSite, SessionLayer};
use serde::Deserialize;

#[derive(Clone)]
struct User {
    name: String,
    /// Stands for its hash.
    password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

/// The table of users, as an axum-login application has it.
#[derive(Clone, Default)]
struct Users(Arc<Mutex<HashMap<String, User>>>);

impl Users {
    fn set_password(&self, name: &str, password: &str) {
        let user = User { name: name.to_owned(), password: password.to_owned() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), user);
    }

    fn find(&self, name: &str) -> Option<User> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = Credentials;
    type Error = Infallible;

    async fn authenticate(&self, given: Credentials) -> Result<Option<User>, Infallible> {
        // Stands for the comparison of hashes, in a thread for blocking work.
        Ok(self.find(&given.name).filter(|user| user.password == given.password))
    }

    async fn get_user(&self, name: &String) -> Result<Option<User>, Infallible> {
        Ok(self.find(name))
    }
}

type Auth = auth::Auth<Users>;

fn app(users: Users, sessions: SessionLayer) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/login", get(form).post(log_in))
        .route("/logout", post(log_out))
        .route("/password", post(change_password))
        .layer(sessions)
        .with_state(users)
}

/// In the place of `login_required!`.
async fn home(auth: Auth) -> Response {
    let Some(user) = &auth.user else { return Redirect::to("/login").into_response() };
    let hello = format!("Hello, {}. <form method=post action=/logout><button>Log out", user.name);
    Html(hello).into_response()
}

async fn form() -> Html<&'static str> {
    Html(
        "<form method=post><label>Name <input name=name></label> \
         <label>Password <input name=password type=password></label> <button>Log in</button></form>",
    )
}

async fn log_in(mut auth: Auth, Form(given): Form<Credentials>) -> Result<Response, Error> {
    let Ok(Some(user)) = auth.authenticate(given).await else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    auth.login(&user).await?;
    Ok(Redirect::to("/").into_response())
}

async fn log_out(mut auth: Auth) -> Result<Redirect, Error> {
    auth.logout().await?;
    Ok(Redirect::to("/login"))
}

#[derive(Deserialize)]
struct NewPassword {
    password: String,
}

/// Every session of the user ends, and this one goes on under another id.
async fn change_password(
    State(users): State<Users>,
    mut auth: Auth,
    Form(new): Form<NewPassword>,
) -> Result<Response, Error> {
    let Some(user) = &auth.user else { return Ok(StatusCode::UNAUTHORIZED.into_response()) };
    users.set_password(&user.name, &new.password);
    if let Some(user) = users.find(&user.name) {
        auth.login(&user).await?;
    }
    Ok(Redirect::to("/").into_response())
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let users = Users::default();
    users.set_password("bob", "sesame");
    let cookie = Cookie::new().same_site(SameSite::Lax);
    let sessions = SessionLayer::new("keyboard cat").metadata(true).cookie(cookie);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(users, sessions)).await
}

#[cfg(test)]
mod tests {
    use express_session_testkit::Browser;

    use super::*;

    const RIGHT: &str = "name=bob&password=sesame";

    fn bob() -> (Users, Browser<Router>) {
        let users = Users::default();
        users.set_password("bob", "sesame");
        let sessions = SessionLayer::new("keyboard cat").metadata(true);
        (users.clone(), Browser::new(app(users, sessions)))
    }

    async fn is_logged_in(browser: &mut Browser<Router>) -> bool {
        browser.get("/").await.text.contains("Hello, bob")
    }

    #[tokio::test]
    async fn user_of_the_backend_logs_in_and_out() {
        let (_, mut bob) = bob();
        assert!(!is_logged_in(&mut bob).await);
        let wrong = bob.post("/login", "name=bob&password=wrong").await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
        assert!(!is_logged_in(&mut bob).await);
        bob.post("/login", RIGHT).await;
        assert!(is_logged_in(&mut bob).await);
        let mut thief = bob.clone();
        bob.post("/logout", "").await;
        assert!(!is_logged_in(&mut bob).await && !is_logged_in(&mut thief).await);
    }

    #[tokio::test]
    async fn new_password_ends_the_other_sessions_and_this_one_goes_on() {
        let (_, mut phone) = bob();
        let mut laptop = phone.clone();
        for device in [&mut phone, &mut laptop] {
            device.post("/login", RIGHT).await;
            assert!(is_logged_in(device).await);
        }
        laptop.post("/password", "password=open").await;
        assert!(is_logged_in(&mut laptop).await);
        assert!(!is_logged_in(&mut phone).await);
    }

    #[tokio::test]
    async fn user_who_is_gone_has_no_session() {
        let (users, mut bob) = bob();
        bob.post("/login", RIGHT).await;
        users.0.lock().unwrap().clear();
        assert!(!is_logged_in(&mut bob).await);
        users.set_password("bob", "sesame");
        assert!(!is_logged_in(&mut bob).await);
    }
}
