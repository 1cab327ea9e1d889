//! Any store, chosen by its URL.
//!
//! An Express application with the npm store beside it reads and writes the same sessions, at the same time.
//!
//! | `STORE_URL` | the same sessions on Node |
//! |---|---|
//! | `redis://127.0.0.1:6379`, `rediss://` with the feature `tls` | `new RedisStore({ client, prefix: 'sess:' })` of connect-redis |
//! | `redis+sentinel://a,b,c/mymaster`, `redis+cluster://a,b,c` | the same |
//! | `postgres://user:password@127.0.0.1/shop?create_table_if_missing=true` | `new (connectPgSimple(session))({ conString, createTableIfMissing: true })` |
//! | `mysql://user:password@127.0.0.1/shop` | `new (expressMySqlSession(session))({ host, user, password, database })` |
//! | `sqlite://sessions.db` | `new (connectSqlite3(session))({ db: 'sessions.db', dir: '.' })`, better-sqlite3-session-store or connect-session-knex: the table shows which |
//! | `file://sessions` | `new (sessionFileStore(session))({ path: './sessions' })` |
//! | `memcached://127.0.0.1:11211?prefix=sess:` | `new (connectMemcached(session))({ hosts, prefix: 'sess:' })` |
//! | `memory://` | none: these sessions end with the process |
//!
//! Each store is a feature of `express-session`; an application enables the ones it uses. Files are for development.
//! Memcached is a cache: it drops sessions when it restarts or runs out of memory.
//!
//! `STORE_URL=redis://127.0.0.1:6379 cargo run -p stores`, then `http://localhost:3000`.

use std::error::Error as StdError;

use axum::routing::get;
use axum::{Router, serve};
use express_session::store::AnyStore;
use express_session::{Error, Session, SessionLayer};

fn app(store: AnyStore) -> Router {
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    Router::new().route("/", get(views)).layer(SessionLayer::new(secret).store(store))
}

async fn views(session: Session) -> Result<String, Error> {
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(format!("Number of views: {views}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let url = std::env::var("STORE_URL").unwrap_or_else(|_| "file://sessions".to_owned());
    // `connect` opens the store, so that a server that is down ends the program here, before the first request.
    let store = express_session::connect(&url).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(serve(listener, app(store)).await?)
}

#[cfg(test)]
mod tests {
    use express_session_testkit::{Browser, TemporaryFolder, servers};

    use super::*;

    /// Opens the page in two applications on the same store: the second stands for another process.
    async fn second_process_continues_the_session(url: &str) {
        let process = async || app(express_session::connect(url).await.unwrap());
        let mut first = Browser::new(process().await);
        assert_eq!(first.get("/").await.text, "Number of views: 1");
        let mut second = Browser::new(process().await).cookie(first.cookie.unwrap());
        assert_eq!(second.get("/").await.text, "Number of views: 2");
    }

    #[tokio::test]
    async fn redis() {
        let Some(server) = servers::shared_redis() else { return };
        second_process_continues_the_session(server.url()).await;
    }

    #[tokio::test]
    async fn postgres() {
        let Some(server) = servers::shared_postgres() else { return };
        let url = format!("{}?create_table_if_missing=true", server.url());
        second_process_continues_the_session(&url).await;
    }

    #[tokio::test]
    async fn mysql() {
        let Some(server) = servers::shared_mariadb() else { return };
        second_process_continues_the_session(&server.url()).await;
    }

    #[tokio::test]
    async fn memcached() {
        let Some(server) = servers::shared_memcached() else { return };
        second_process_continues_the_session(&format!("{}?prefix=sess:", server.url())).await;
    }

    #[tokio::test]
    async fn sqlite() {
        let folder = TemporaryFolder::new("stores-example-sqlite").unwrap();
        let url = format!("sqlite://{}/sessions.db", folder.path().display());
        second_process_continues_the_session(&url).await;
    }

    #[tokio::test]
    async fn file() {
        let folder = TemporaryFolder::new("stores-example-file").unwrap();
        second_process_continues_the_session(&format!("file://{}", folder.path().display())).await;
    }
}
