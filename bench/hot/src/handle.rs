//! The handler: the same work with every session library.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
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

/// The member that [`Work::Write`] counts in.
const VIEWS: &str = "views";

/// Returns the service whose handler does this work.
#[must_use = "a service does nothing until it is called"]
pub fn service<H: Handle + 'static>(
    does: Work,
) -> impl Service<Request<()>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |request| async move { Ok(work::<H>(does, request).await) })
}

/// Does the work; a failure is a 500.
async fn work<H: Handle>(does: Work, request: Request<()>) -> Response<Body> {
    let done = match does {
        Work::Ignore => Some(Bytes::new()),
        Work::Read => read::<H, u64>(&request, VIEWS).await,
        Work::ReadOfMany => read::<H, String>(&request, "member-50").await,
        Work::Write => write::<H>(&request).await,
        Work::Insert => insert::<H>(&request).await,
        Work::Seed => seed::<H>(&request).await,
        Work::SeedMany => seed_many::<H>(&request).await,
        Work::Tell => tell::<H>(&request).await,
    };
    let mut response = Response::new(Body::default());
    match done {
        Some(text) if text.is_empty() => {}
        Some(text) => *response.body_mut() = Body::new(text),
        None => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

async fn read<H: Handle, T: DeserializeOwned + Send>(
    request: &Request<()>,
    key: &str,
) -> Option<Bytes> {
    let session = H::find(request.extensions()).await?;
    let value: T = session.get(key).await?;
    // The read must not be optimised away.
    std::hint::black_box(&value);
    Some(Bytes::new())
}

async fn write<H: Handle>(request: &Request<()>) -> Option<Bytes> {
    let session = H::find(request.extensions()).await?;
    let views: u64 = session.get(VIEWS).await?;
    session.insert(VIEWS, views + 1).await.then(Bytes::new)
}

async fn insert<H: Handle>(request: &Request<()>) -> Option<Bytes> {
    let session = H::find(request.extensions()).await?;
    session.insert(VIEWS, 1).await.then(Bytes::new)
}

async fn seed<H: Handle>(request: &Request<()>) -> Option<Bytes> {
    let session = H::find(request.extensions()).await?;
    let items = ["apples", "pears", "quinces", "medlars"];
    let is_seeded = session.insert(VIEWS, 1).await
        && session.insert("user", "ada.lovelace@example.com").await
        && session.insert("items", items).await;
    is_seeded.then(Bytes::new)
}

async fn seed_many<H: Handle>(request: &Request<()>) -> Option<Bytes> {
    let session = H::find(request.extensions()).await?;
    for number in 0..100 {
        if !session.insert(&format!("member-{number}"), "12345").await {
            return None;
        }
    }
    Some(Bytes::new())
}

async fn tell<H: Handle>(request: &Request<()>) -> Option<Bytes> {
    let session = H::find(request.extensions()).await?;
    let views: Option<u64> = session.get(VIEWS).await;
    Some(views.map_or_else(|| "none".to_owned(), |views| views.to_string()).into())
}
