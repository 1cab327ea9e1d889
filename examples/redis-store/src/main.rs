//! Sessions in Redis, in the records of npm's connect-redis.
//!
//! On Node the same sessions are those of
//! `session({ secret, store: new RedisStore({ client, prefix: 'sess:' }) })`. Both may run at once.
//!
//! `REDIS_URL=redis://127.0.0.1:6379 cargo run -p redis-store`, then `http://localhost:3000`. Other
//! servers have other URLs: `rediss://` with the feature `tls`, `redis+sentinel://a,b,c/mymaster`,
//! `redis+cluster://a,b,c`.

use std::error::Error as StdError;

use axum::routing::get;
use axum::{Router, serve};
use express_session::store::redis::RedisStore;
use express_session::{Error, Session, SessionLayer};

fn app(store: RedisStore) -> Router {
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    Router::new().route("/", get(views)).layer(SessionLayer::new(secret).store(store))
}

async fn views(session: Session) -> Result<String, Error> {
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(format!("Number of views: {views}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1".to_owned());
    // A server that is not there shows here, and not with the first visitor.
    let store = RedisStore::connect(&url).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(serve(listener, app(store)).await?)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use express_session_testkit::servers;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    /// Opens the page with a cookie. Gives its text, and the cookie that it sets.
    async fn open(app: Router, cookie: Option<&str>) -> (String, Option<String>) {
        let mut request = Request::get("/");
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let cookie = response.headers().get(header::SET_COOKIE);
        let cookie = cookie.map(|cookie| cookie.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (String::from_utf8(body.into()).unwrap(), cookie)
    }

    #[tokio::test]
    async fn another_process_goes_on_with_the_session() {
        let Some(server) = servers::shared_redis() else { return };
        let process = || RedisStore::new(server.url()).unwrap();
        let (text, cookie) = open(app(process()), None).await;
        assert_eq!(text, "Number of views: 1");
        assert_eq!(open(app(process()), cookie.as_deref()).await.0, "Number of views: 2");
    }
}
