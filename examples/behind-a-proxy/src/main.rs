//! Behind a reverse proxy that speaks HTTPS with the browser and plain HTTP with this program.
//!
//! 1. `secure(true)` restricts the cookie to HTTPS: the layer does not set it on a plain connection.
//! 2. This program sees only plain HTTP, so `proxy(true)` makes it trust the header of the proxy:
//!    `X-Forwarded-Proto`, or else `Forwarded` (RFC 7239).
//! 3. Any client can send these headers. So listen on an address that only the proxy reaches, and let the proxy
//!    overwrite the header, as in nginx: `proxy_set_header X-Forwarded-Proto $scheme;`.
//! 4. With `__Host-` in the cookie's name, the browser refuses a cookie that a subdomain sets.
//!
//! `cargo run -p behind-a-proxy`, then, as the proxy would send it:
//! `curl -i -H 'X-Forwarded-Proto: https' localhost:3000`.

use axum::routing::get;
use axum::{Router, serve};
use express_session::{Cookie, Error, Session, SessionLayer};

fn app(secret: &str) -> Router {
    let sessions =
        SessionLayer::new(secret).name("__Host-sid").proxy(true).cookie(Cookie::new().secure(true));
    Router::new().route("/", get(views)).layer(sessions)
}

async fn views(session: Session) -> Result<String, Error> {
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(format!("Number of views: {views}"))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    // Loopback: the proxy is on this machine, and no other machine reaches this port.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(&secret)).await
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use express_session_testkit::Browser;

    use super::*;

    async fn set_cookie(headers: &[(&str, &str)]) -> Option<String> {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut browser = Browser::new(app("f81d4fae7dec11d0a76500a0c91e6bf6"));
        browser.send(request, "").await.set_cookie().map(str::to_owned)
    }

    #[tokio::test]
    async fn cookie_is_set_if_the_proxy_reports_https() {
        for header in [("x-forwarded-proto", "https"), ("forwarded", "for=192.0.2.60;proto=https")]
        {
            let cookie = set_cookie(&[header]).await.unwrap();
            assert!(cookie.starts_with("__Host-sid=s%3A"), "{cookie}");
            assert!(cookie.ends_with("; Path=/; HttpOnly; Secure"), "{cookie}");
        }
    }

    #[tokio::test]
    async fn no_cookie_is_set_if_the_proxy_reports_no_https() {
        assert_eq!(set_cookie(&[]).await, None);
        assert_eq!(set_cookie(&[("x-forwarded-proto", "http")]).await, None);
        assert_eq!(set_cookie(&[("forwarded", "proto=http, proto=https")]).await, None);
    }
}
