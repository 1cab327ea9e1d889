//! A session that changes while its response streams, here as server-sent events.
//!
//! 1. The headers leave before the stream begins, and the cookie with them: a new session must have a member by then.
//! 2. Changes of the stream are saved when its body ends. The end waits for the save, so that a client that has read
//!    the whole body finds them saved.
//! 3. A stream saves changes explicitly that other requests must see earlier.
//! 4. A stream that is cancelled saves no further changes.
//!
//! `cargo run -p streaming`, then `curl -N -c jar -b jar localhost:3000/work`, and
//! `curl -b jar localhost:3000/` meanwhile and afterwards.

use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::routing::get;
use axum::{Router, serve};
use express_session::{Error, Session, SessionLayer};
use futures_util::{Stream, StreamExt as _, stream};

const STEPS: u32 = 5;

fn app(sessions: SessionLayer) -> Router {
    Router::new().route("/work", get(work)).route("/", get(status)).layer(sessions)
}

/// Works in steps, and reports each of them.
async fn work(session: Session) -> Result<Sse<impl Stream<Item = Result<Event, Error>>>, Error> {
    session.insert("done", 0)?;
    let events = stream::iter(1..=STEPS).then(move |step| {
        let session = session.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            session.insert("done", step)?;
            if step < STEPS {
                session.save().await?;
            } else {
                // The end of the body saves this.
                session.insert("result", 42)?;
            }
            Ok(Event::default().data(format!("{step} of {STEPS}")))
        }
    });
    Ok(Sse::new(events))
}

async fn status(session: Session) -> Result<String, Error> {
    let done: Option<u32> = session.get("done")?;
    let result: Option<u32> = session.get("result")?;
    Ok(match (done, result) {
        (_, Some(result)) => format!("The result is {result}."),
        (Some(done), None) => format!("{done} of {STEPS} done."),
        (None, None) => "Nothing has begun.".to_owned(),
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(SessionLayer::new(secret))).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use express_session_testkit::Browser;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    fn new_app() -> Router {
        app(SessionLayer::new("f81d4fae7dec11d0a76500a0c91e6bf6"))
    }

    /// Begins to work for a new visitor, and returns the stream and the visitor's browser.
    async fn begin() -> (Body, Browser<Router>) {
        let app = new_app();
        let request = Request::get("/work").body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        (response.into_body(), Browser::new(app).cookie(cookie))
    }

    // In paused time, a sleep ends as soon as every task waits.
    #[tokio::test(start_paused = true)]
    async fn explicit_saves_are_seen_during_the_stream_and_the_rest_at_its_end() {
        assert_eq!(Browser::new(new_app()).get("/").await.text, "Nothing has begun.");

        let (mut events, mut browser) = begin().await;
        assert_eq!(browser.get("/").await.text, "0 of 5 done.");
        for step in 1..STEPS {
            let event = events.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(event, format!("data: {step} of 5\n\n"));
            assert_eq!(browser.get("/").await.text, format!("{step} of 5 done."));
        }

        events.collect().await.unwrap();
        assert_eq!(browser.get("/").await.text, "The result is 42.");
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_stream_saves_no_further_changes() {
        let (mut events, mut browser) = begin().await;
        for _ in 0..STEPS {
            events.frame().await.unwrap().unwrap();
        }
        drop(events);
        assert_eq!(browser.get("/").await.text, "4 of 5 done.");
    }
}
