//! Sessions in an SQLite file: on one machine, without a server, and after a restart still there.
//!
//! On Node the same sessions are those of
//! `session({ secret, store: new (connectSqlite3(session))({ db: 'sessions.db', dir: '.' }) })`. Where the
//! file is that of better-sqlite3-session-store or connect-session-knex, the table says so, and nothing
//! has to be changed here.
//!
//! `SQLITE_FILE=sessions.db cargo run -p sqlite-store`, then `http://localhost:3000`.

use std::error::Error as StdError;

use axum::routing::get;
use axum::{Router, serve};
use express_session::store::sqlite::SqliteStore;
use express_session::{Error, Session, SessionLayer};

fn app(store: SqliteStore) -> Router {
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    Router::new().route("/", get(views)).layer(SessionLayer::new(secret).store(store))
}

async fn views(session: Session) -> Result<String, Error> {
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(format!("Number of views: {views}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let file = std::env::var("SQLITE_FILE").unwrap_or_else(|_| "sessions.db".to_owned());
    let store = SqliteStore::new(file);
    // A folder that is not there shows here, and not with the first visitor.
    store.open().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(serve(listener, app(store)).await?)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
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
        let file = std::env::temp_dir().join(format!("sqlite-store-{}.db", std::process::id()));
        let process = || SqliteStore::new(&file);
        let (text, cookie) = open(app(process()), None).await;
        assert_eq!(text, "Number of views: 1");
        assert_eq!(open(app(process()), cookie.as_deref()).await.0, "Number of views: 2");

        for ending in ["", "-wal", "-shm"] {
            // The last process to close the file removes the two beside it.
            let _ = std::fs::remove_file(format!("{}{ending}", file.display()));
        }
    }
}
