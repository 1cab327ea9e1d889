//! A site: a store with services that answer requests.

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::pin;

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{Extensions, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tower::Service;

use crate::prepared::alter;
use crate::{Handle, Work, service};

/// The body of every response.
pub type Body = Full<Bytes>;

/// A store with services that answer requests.
pub trait Site {
    /// Returns a service whose handler does this work, on the site's store.
    fn driver(&self, work: Work) -> Box<dyn Driver>;

    /// Returns the cookie with another id or another signature, whichever is first in it: no session of this site
    /// has that id, or it is not the one that was signed.
    fn forged(&self, cookie: &str) -> String {
        alter(cookie, cookie.find('=').map_or(0, |equals| equals + 3))
    }
}

/// A site that is only its services.
impl<F: Fn(Work) -> Box<dyn Driver>> Site for F {
    fn driver(&self, work: Work) -> Box<dyn Driver> {
        self(work)
    }
}

/// A service that receives requests.
pub trait Driver {
    /// Sends one request, and returns the reply.
    fn ask(&mut self, runtime: &Runtime, cookie: Option<&HeaderValue>) -> Result<Reply>;

    /// Sends so many requests, one after the other, each with the next of the cookies. This is measured.
    fn run(&mut self, runtime: &Runtime, cookies: &[HeaderValue], requests: u64) -> Result<()>;
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reply {
    /// The names and values of its cookies, as a browser sends them back.
    pub cookie: String,
    pub text: String,
}

impl Reply {
    /// Reads the cookies of a response's headers.
    pub fn new<'v>(set_cookies: impl Iterator<Item = &'v [u8]>, body: &[u8]) -> Self {
        let pairs: Vec<_> = set_cookies
            .map(String::from_utf8_lossy)
            .filter_map(|line| line.split(';').next().map(str::to_owned))
            // A removed cookie has no value.
            .filter(|pair| !pair.ends_with('='))
            .collect();
        let text = String::from_utf8_lossy(body).into_owned();
        Self { cookie: pairs.join("; "), text }
    }
}

/// A tower service as a [`Driver`].
#[derive(Debug)]
pub struct Tower<S>(S);

impl<S, B> Tower<S>
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug> + 'static,
    B: http_body::Body<Data = Bytes, Error: Debug> + 'static,
{
    pub fn boxed(service: S) -> Box<dyn Driver> {
        Box::new(Self(service))
    }
}

impl<S, B> Driver for Tower<S>
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug>,
    B: http_body::Body<Data = Bytes, Error: Debug>,
{
    fn ask(&mut self, runtime: &Runtime, cookie: Option<&HeaderValue>) -> Result<Reply> {
        runtime.block_on(async {
            let response = answer(&mut self.0, cookie).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| anyhow!("{error:?}"))?.to_bytes();
            let lines = head.headers.get_all(SET_COOKIE).iter().map(HeaderValue::as_bytes);
            Ok(Reply::new(lines, &body))
        })
    }

    fn run(&mut self, runtime: &Runtime, cookies: &[HeaderValue], requests: u64) -> Result<()> {
        // Without tokio's budget, since a server has one for each request.
        runtime.block_on(tokio::task::unconstrained(async {
            let mut next = cookies.iter().cycle();
            for _ in 0..requests {
                let response = answer(&mut self.0, next.next()).await?;
                let mut body = pin!(response.into_body());
                while let Some(frame) = body.frame().await {
                    drop(frame);
                }
            }
            Ok(())
        }))
    }
}

/// Sends one request: a round is made of these.
async fn answer<S, B>(service: &mut S, cookie: Option<&HeaderValue>) -> Result<Response<B>>
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug>,
{
    let mut request = Request::new(());
    if let Some(cookie) = cookie {
        request.headers_mut().insert(COOKIE, cookie.clone());
    }
    let ready = poll_fn(|context| service.poll_ready(context)).await;
    ready.map_err(|error| anyhow!("{error:?}"))?;
    let response = service.call(request).await.map_err(|error| anyhow!("{error:?}"))?;
    ensure!(response.status().is_success(), "{}", response.status());
    Ok(response)
}

/// The same handler without sessions: costs are measured over it.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

impl Site for Bare {
    fn driver(&self, _: Work) -> Box<dyn Driver> {
        Tower::boxed(service::<NoSession>(Work::Ignore))
    }

    fn forged(&self, cookie: &str) -> String {
        cookie.to_owned()
    }
}

/// The session of a site without sessions. No handler asks for it.
struct NoSession;

impl Handle for NoSession {
    async fn find(_: &Extensions) -> Option<Self> {
        None
    }

    async fn get<T: DeserializeOwned + Send>(&self, _: &str) -> Option<T> {
        None
    }

    async fn insert<T: Serialize + Send + Sync>(&self, _: &str, _: T) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_lose_their_attributes_and_removed_cookies_are_not_sent_back() {
        let lines: [&[u8]; 3] = [b"sid=s%3Aa.b; Path=/", b"store=; Max-Age=0", b"b=2"];
        let reply = Reply::new(lines.into_iter(), b"text");
        assert_eq!(reply.cookie, "sid=s%3Aa.b; b=2");
        assert_eq!(reply.text, "text");
    }
}
