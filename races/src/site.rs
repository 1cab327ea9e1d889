//! An application that receives requests: in this process, or in one of its own behind a port of loopback.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse as _;
use express_session_testkit::child::Child;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::ServiceExt as _;

/// An application. Clones share it.
#[derive(Clone, Debug)]
pub(crate) enum Site {
    Here(Router),
    There(Arc<Process>),
}

/// An application in a process of its own, which ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    client: Client<HttpConnector, Body>,
    port: u16,
    _child: Child,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The cookie that is set, without its attributes.
    pub(crate) cookie: Option<String>,
    pub(crate) body: String,
}

impl Site {
    /// Starts a process that prints its port.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = Child::start(command)?;
        let port = child.port()?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self::There(Arc::new(Process { client, port, _child: child })))
    }

    /// Sends one request, and waits for its whole answer.
    pub(crate) async fn get(&self, path: &str, cookie: Option<&str>) -> Result<Answer> {
        let request = |uri: String| {
            let request = cookie
                .into_iter()
                .fold(Request::get(uri), |request, cookie| request.header(COOKIE, cookie));
            request.body(Body::empty())
        };
        let response = match self {
            Self::Here(router) => router.clone().oneshot(request(path.to_owned())?).await?,
            Self::There(process) => {
                let uri = format!("http://{}:{}{path}", Ipv4Addr::LOCALHOST, process.port);
                process.client.request(request(uri)?).await?.into_response()
            }
        };
        let (head, body) = response.into_parts();
        let cookie = head.headers.get(SET_COOKIE).map(|value| value.to_str()).transpose()?;
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
        let body = body.collect().await.map_err(axum::Error::new)?.to_bytes();
        let body = String::from_utf8(body.into()).context("an answer that is no text")?;
        Ok(Answer { status: head.status, cookie, body })
    }
}
