//! Half a shop: the other half is Express, and a visitor has one session in both.
//!
//! 1. Both halves have the same options: the secret, the cookie's name and attributes, the store and its prefix. The
//!    guide's chapter on moving from Express has the list.
//! 2. Here each half answers every path, and a reverse proxy sends a request to either. In a shop that moves, the
//!    proxy sends some paths to the one and some to the other.
//! 3. `proxy(true)`: the browser speaks HTTPS with the proxy, which sends `X-Forwarded-Proto`.
//! 4. A `Visit` has the members that the shop uses. Other members of Express stay as they are.
//!
//! `crates/node/testing/shop/express.mjs` is the other half, and the visitors of `crates/node/test/shop.test.mjs` get
//! the same session from both.
//!
//! `REDIS_URL=redis://127.0.0.1:6379 PORT=4000 cargo run -p beside-express`

use std::error::Error as StdError;
use std::io::Write as _;
use std::time::Duration;

use axum::extract::Form;
use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use axum::{Router, serve};
use express_session::store::redis::RedisStore;
use express_session::{Cookie, Departures, Error, SessionLayer, Typed};
use serde::{Deserialize, Serialize};

/// The name of this half, which the page shows.
const NAME: &str = "axum";

const HALF_A_DAY: Duration = Duration::from_secs(12 * 60 * 60);

fn sessions(secret: &str) -> SessionLayer {
    SessionLayer::new(secret)
        .name("sid")
        .proxy(true)
        .cookie(Cookie::new().secure(true).max_age(HALF_A_DAY))
        // Both sides accept the same cookies.
        .departures(Departures::all().duplicate_cookies(false).path_match(false))
}

fn app(sessions: SessionLayer) -> Router {
    Router::new()
        .route("/", get(count))
        .route("/look", get(look))
        .route("/cart", post(fill))
        .route("/login", post(log_in))
        .route("/renew", post(renew))
        .route("/logout", post(log_out))
        .layer(sessions)
}

/// The members of the session: `req.session.views`, `.cart` and `.user`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Visit {
    views: u64,
    cart: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
}

#[derive(Serialize, Deserialize)]
struct Item {
    name: String,
    /// The half that added it.
    by: String,
}

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
    by: String,
}

async fn count(visit: Typed<Visit>) -> Result<Html<String>, Error> {
    let visit = visit.update(|visit| visit.views += 1)?;
    Ok(page(&visit))
}

async fn look(visit: Typed<Visit>) -> Result<Html<String>, Error> {
    Ok(page(&visit.read()?))
}

/// The name of an item or of a visitor.
#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Adds an item. The lock, which ends with the response, keeps a login from moving the cart meanwhile.
async fn fill(visit: Typed<Visit>, Form(item): Form<Named>) -> Result<Redirect, Error> {
    let _lock = visit.session().lock().await?;
    visit.update(move |visit| {
        visit.cart.push(Item { name: item.name.clone(), by: NAME.to_owned() });
    })?;
    Ok(Redirect::to("/look"))
}

/// Moves only the cart to the new session. A request that waited for the lock finds that the old one has ended.
async fn log_in(visit: Typed<Visit>, Form(user): Form<Named>) -> Result<Redirect, Error> {
    let _lock = visit.session().lock().await?;
    let cart = visit.read()?.cart;
    visit.session().regenerate().await?;
    let user = User { name: user.name, by: NAME.to_owned() };
    visit.write(&Visit { cart, user: Some(user), views: 0 })?;
    Ok(Redirect::to("/look"))
}

/// Moves the session to a new id, as [`log_in`] does.
async fn renew(visit: Typed<Visit>) -> Result<Redirect, Error> {
    let _lock = visit.session().lock().await?;
    let before = visit.read()?;
    visit.session().regenerate().await?;
    visit.write(&before)?;
    Ok(Redirect::to("/look"))
}

async fn log_out(visit: Typed<Visit>) -> Result<Redirect, Error> {
    visit.session().destroy().await?;
    Ok(Redirect::to("/look"))
}

/// Returns the visit as JSON, with the forms.
fn page(visit: &Visit) -> Html<String> {
    let json = serde_json::json!({ "by": NAME, "visit": visit }).to_string();
    // Escaped, so that no name is read as HTML.
    let json = json.replace('&', "\\u0026").replace('<', "\\u003c");
    Html(format!("<!doctype html><pre>{json}</pre>{FORMS}"))
}

const FORMS: &str = r#"
<form id="cart" method="post" action="/cart"><input name="name"><button>Into the cart</button></form>
<form id="login" method="post" action="/login"><input name="name"><button>Log in</button></form>
<form id="renew" method="post" action="/renew"><button>Renew</button></form>
<form id="logout" method="post" action="/logout"><button>Log out</button></form>"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let variable = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let store =
        RedisStore::connect(&variable("REDIS_URL", "redis://127.0.0.1")).await?.prefix("shop:");
    let sessions = sessions(&variable("SECRET", "for this machine only")).store(store);
    let port = variable("PORT", "4000").parse::<u16>()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    Ok(serve(listener, app(sessions)).await?)
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, header};
    use express_session::store::{Record, Store};
    use express_session::{SessionId, Timestamp};
    use express_session_testkit::{Browser, MapStore, Odds, Page, Unreliable};

    use super::*;

    /// A record that Express stored, with a member that this half does not use.
    const RECORD: &str = r#"{"cookie":{"originalMaxAge":43200000,"expires":"1970-01-01T12:00:00.000Z","secure":true,"httpOnly":true,"path":"/"},"views":3,"cart":[{"name":"pear","by":"express-session"}],"flash":{"info":["hello"]}}"#;

    /// The cookie of the session `apple`, signed with `keyboard cat`.
    const COOKIE: &str = "sid=s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU";

    async fn store() -> MapStore {
        let store = MapStore::default();
        let record = Record { text: RECORD.into(), deadline: None };
        store.create(&apple(), &record, start()).await.unwrap();
        store
    }

    fn apple() -> SessionId {
        SessionId::new("apple").unwrap()
    }

    fn start() -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn browser(store: impl Store) -> Browser<Router> {
        let sessions = sessions("keyboard cat").store(store).clock(|| start().into());
        Browser::new(app(sessions)).cookie(COOKIE)
    }

    /// Sends a form, as the proxy passes it on.
    async fn post(browser: &mut Browser<Router>, path: &str, form: &str) -> Page {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("x-forwarded-proto", "https");
        browser.send(request, form).await
    }

    async fn look(browser: &mut Browser<Router>) -> String {
        let request = Request::get("/look").header("x-forwarded-proto", "https");
        browser.send(request, "").await.text
    }

    #[tokio::test]
    async fn session_continues_and_members_of_express_stay() {
        let store = store().await;
        post(&mut browser(store.clone()), "/cart", "name=plum").await;

        let loaded = store.load(&apple(), start()).await.unwrap().unwrap();
        let members: serde_json::Value = serde_json::from_str(&loaded.record.text).unwrap();
        assert_eq!(members["views"], 3);
        assert_eq!(members["cart"][0]["by"], "express-session");
        assert_eq!(members["cart"][1]["name"], "plum");
        assert_eq!(members["flash"]["info"][0], "hello");
    }

    #[tokio::test]
    async fn login_takes_the_cart_to_a_new_session() {
        let store = store().await;
        let mut browser = browser(store.clone());
        let page = post(&mut browser, "/login", "name=ada").await;
        assert!(
            store.load(&apple(), start()).await.unwrap().is_none(),
            "the old session has ended"
        );

        let cookie = page.set_cookie().unwrap();
        assert!(cookie.ends_with("; HttpOnly; Secure"), "{cookie}");
        let page = look(&mut browser).await;
        assert!(page.contains(r#"{"by":"express-session","name":"pear"}"#), "{page}");
        assert!(page.contains(r#""user":{"by":"axum","name":"ada"}"#), "{page}");
        assert!(page.contains(r#""views":0"#), "{page}");
    }

    /// With each seed, other calls of the store overtake one another.
    #[tokio::test(start_paused = true)]
    async fn item_that_is_acknowledged_is_in_the_cart_of_the_new_session() {
        for (seed, path) in (0..100).zip(["/renew", "/login"].into_iter().cycle()) {
            let turns = async |time: Duration| {
                for _ in 0..time.as_millis() {
                    tokio::task::yield_now().await;
                }
            };
            let store = Unreliable::new(store().await, seed, turns);
            store.set_odds(Odds { delay: 1000, longest: Duration::from_millis(8), ..Odds::NONE });
            let (mut one, mut other) = (browser(store.clone()), browser(store.clone()));
            let renew = post(&mut one, path, "name=ada");
            let (filled, _) = tokio::join!(post(&mut other, "/cart", "name=plum"), renew);
            let renewed = look(&mut one).await;
            assert!(renewed.contains("pear"), "{seed} {path} {renewed}");
            // A request that comes after the renewal has the cookie of no session, and begins one.
            let begins = filled.set_cookie().is_some_and(|cookie| !cookie.contains("apple"));
            let page = if begins { look(&mut other).await } else { renewed };
            assert_eq!(
                page.contains("plum"),
                filled.status.is_redirection(),
                "{seed} {path} {page}"
            );
        }
    }

    #[tokio::test]
    async fn page_shows_names_as_text() {
        let user = User { name: "<b>&".to_owned(), by: NAME.to_owned() };
        let Html(page) = page(&Visit { user: Some(user), ..Visit::default() });
        assert!(page.contains(r"\u003cb>\u0026"), "{page}");
    }
}
