//! The handler: the same work with every session library.

use std::convert::Infallible;
use std::future::Future;

use http::{Extensions, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::{Service, service_fn};

use crate::{Body, Work};

/// The session of a request, as a library returns it. `None` and `false` are failures.
pub trait Handle: Sized + Send + Sync {
    /// Returns the session that the library's layer has put there.
    fn find(extensions: &Extensions) -> impl Future<Output = Option<Self>> + Send;

    fn get<T: DeserializeOwned + Send>(&self, key: &str) -> impl Future<Output = Option<T>> + Send;

    fn insert<T: Serialize + Send + Sync>(
        &self,
        key: &str,
        value: T,
    ) -> impl Future<Output = bool> + Send;
}

/// Returns the service whose handler does this work; a failure is a 500.
#[must_use = "a service does nothing until it is called"]
pub fn service<H: Handle + 'static>(
    does: Work,
) -> impl Service<Request<()>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |request: Request<()>| async move {
        let mut response = Response::new(Body::default());
        match work::<H>(does, &request).await {
            Some(text) if text.is_empty() => {}
            Some(text) => *response.body_mut() = Body::from(text),
            None => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        }
        Ok(response)
    })
}

/// Does the work of every handler on a session, which is looked for only if the handler asks for it. The result is the
/// text of the answer, or `None` after a failure. This is a macro since not every library's futures can change threads.
#[macro_export]
macro_rules! work {
    ($does:expr, $session:expr) => {{
        use std::hint::black_box;
        use $crate::Work;

        if $does == Work::Ignore {
            return Some(String::new());
        }
        let session = $session?;
        let done = match $does {
            Work::Ignore => true,
            // The reads must not be optimised away.
            Work::Read => black_box(session.get::<u64>("views").await).is_some(),
            Work::ReadOfMany => black_box(session.get::<String>("member-50").await).is_some(),
            Work::Write => {
                let views: u64 = session.get("views").await?;
                session.insert("views", views + 1).await
            }
            Work::Insert => session.insert("views", 1).await,
            Work::Seed => {
                let items = ["apples", "pears", "quinces", "medlars"];
                session.insert("views", 1).await
                    && session.insert("user", "ada.lovelace@example.com").await
                    && session.insert("items", items).await
            }
            Work::SeedMany => {
                for number in 0..100 {
                    session.insert(&format!("member-{number}"), "12345").await.then_some(())?;
                }
                true
            }
            Work::Tell => {
                let views: Option<u64> = session.get("views").await;
                return Some(views.map_or_else(|| "none".to_owned(), |views| views.to_string()));
            }
        };
        done.then(String::new)
    }};
}

async fn work<H: Handle>(does: Work, request: &Request<()>) -> Option<String> {
    work!(does, H::find(request.extensions()).await)
}
