//! A session that changes while its response is being sent, here as server-sent events.
//!
//! 1. The headers leave before the stream begins, and with them the cookie: a new session needs something
//!    in it by then.
//! 2. What a stream changes is saved when its body ends. The end waits for it, so that a browser
//!    that has read everything finds it saved.
//! 3. What others are to see earlier is saved by hand.
//! 4. A stream that breaks off saves nothing more.
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

/// Does some work, and tells how far it is.
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
                // Saved with the rest when the body ends.
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
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, app(SessionLayer::new(secret))).await
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{HeaderValue, Request, Response, header};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    struct Browser {
        app: Router,
        cookie: Option<HeaderValue>,
    }

    impl Browser {
        fn new() -> Self {
            let sessions = SessionLayer::new("f81d4fae7dec11d0a76500a0c91e6bf6");
            Self { app: app(sessions), cookie: None }
        }

        async fn open(&mut self, path: &str) -> Response<Body> {
            let mut request = Request::get(path);
            if let Some(cookie) = &self.cookie {
                request = request.header(header::COOKIE, cookie);
            }
            let request = request.body(Body::empty()).unwrap();
            let response = self.app.clone().oneshot(request).await.unwrap();
            let cookie = response.headers().get(header::SET_COOKIE).cloned();
            self.cookie = cookie.or(self.cookie.take());
            response
        }

        async fn status(&mut self) -> String {
            let body = self.open("/").await.into_body().collect().await.unwrap().to_bytes();
            String::from_utf8(body.into()).unwrap()
        }
    }

    // Paused: time stands still until everybody waits, and then moves on at once.
    #[tokio::test(start_paused = true)]
    async fn what_is_saved_by_hand_is_seen_meanwhile_and_the_rest_at_the_end() {
        let mut browser = Browser::new();
        assert_eq!(browser.status().await, "Nothing has begun.");

        let mut events = browser.open("/work").await.into_body();
        assert_eq!(browser.status().await, "0 of 5 done.");
        for step in 1..STEPS {
            let event = events.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(event, format!("data: {step} of 5\n\n"));
            assert_eq!(browser.status().await, format!("{step} of 5 done."));
        }

        events.collect().await.unwrap();
        assert_eq!(browser.status().await, "The result is 42.");
    }

    #[tokio::test(start_paused = true)]
    async fn stream_that_breaks_off_saves_nothing_more() {
        let mut browser = Browser::new();
        let mut events = browser.open("/work").await.into_body();
        for _ in 0..STEPS {
            events.frame().await.unwrap().unwrap();
        }
        drop(events);
        assert_eq!(browser.status().await, "4 of 5 done.");
    }
}
