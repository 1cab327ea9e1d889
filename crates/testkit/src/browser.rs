//! A browser for a tower service, without a socket.

use std::fmt::Debug;
use std::future::poll_fn;

use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::request::Builder;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower_service::Service;

/// A browser with one cookie, which it sends with every request.
///
/// Clone it for a second browser with the same cookie.
#[derive(Clone, Debug)]
pub struct Browser<S> {
    service: S,
    /// The name and value of the cookie, if the service has set one.
    pub cookie: Option<String>,
}

/// A response whose body has been read.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl<S> Browser<S> {
    /// Opens a browser without a cookie.
    #[must_use]
    pub fn new(service: S) -> Self {
        Self { service, cookie: None }
    }

    /// Sets the name and value of the cookie.
    #[must_use]
    pub fn cookie(self, cookie: impl Into<String>) -> Self {
        Self { cookie: Some(cookie.into()), ..self }
    }

    /// Sends a GET request.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub async fn get<B>(&mut self, path: &str) -> Page
    where
        S: Service<Request<String>, Response = Response<B>, Error: Debug>,
        B: http_body::Body<Data: Debug, Error: Debug>,
    {
        self.send(Request::get(path), "").await
    }

    /// Sends a form in a POST request.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub async fn post<B>(&mut self, path: &str, form: &str) -> Page
    where
        S: Service<Request<String>, Response = Response<B>, Error: Debug>,
        B: http_body::Body<Data: Debug, Error: Debug>,
    {
        let kind = "application/x-www-form-urlencoded";
        self.send(Request::post(path).header(CONTENT_TYPE, kind), form).await
    }

    /// Sends a request with the cookie, and stores or removes the cookie as the response demands.
    ///
    /// # Panics
    ///
    /// The request is invalid, the service fails, or the body is not text.
    pub async fn send<B>(&mut self, mut request: Builder, body: &str) -> Page
    where
        S: Service<Request<String>, Response = Response<B>, Error: Debug>,
        B: http_body::Body<Data: Debug, Error: Debug>,
    {
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let request = request.body(body.to_owned()).expect("a valid request");
        poll_fn(|context| self.service.poll_ready(context)).await.expect("a ready service");
        let response = self.service.call(request).await.expect("a response");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let text = String::from_utf8(body.into()).expect("a body of text");
        let page = Page { status: head.status, headers: head.headers, text };
        if let Some(line) = page.set_cookie() {
            let pair = line.split(';').next().unwrap_or_default();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        page
    }
}

impl Page {
    /// Returns the `Set-Cookie` line.
    #[must_use]
    pub fn set_cookie(&self) -> Option<&str> {
        self.headers.get(SET_COOKIE)?.to_str().ok()
    }

    /// Returns the target of a redirect.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.headers.get(http::header::LOCATION)?.to_str().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};
    use std::task::{Context, Poll};

    use super::*;
    use crate::block_on;

    /// Answers with the cookie of the request. `/in` sets one and `/out` removes it.
    struct Echo;

    impl Service<Request<String>> for Echo {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<String>) -> Self::Future {
            let cookie = request.headers().get(COOKIE);
            let text = cookie.map_or("none", |cookie| cookie.to_str().unwrap());
            let mut response = Response::new(format!("{text} {}", request.body()));
            let line = match request.uri().path() {
                "/in" => Some("sid=7; Path=/"),
                "/out" => Some("sid=; Max-Age=0"),
                _ => None,
            };
            if let Some(line) = line {
                response.headers_mut().insert(SET_COOKIE, line.parse().unwrap());
            }
            ready(Ok(response))
        }
    }

    #[test]
    fn cookie_is_sent_from_the_response_that_sets_it_to_the_one_that_removes_it() {
        let mut browser = Browser::new(Echo);
        assert_eq!(block_on(browser.post("/in", "a=b")).text, "none a=b");
        assert_eq!(block_on(browser.get("/")).text, "sid=7 ");
        let page = block_on(browser.get("/out"));
        assert_eq!((&*page.text, page.set_cookie()), ("sid=7 ", Some("sid=; Max-Age=0")));
        assert_eq!(block_on(browser.get("/")).text, "none ");
    }
}
