//! Where requests go: an application in this process, or in one of its own behind a port of loopback.

use std::fmt;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::response::IntoResponse as _;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tower::ServiceExt as _;

/// An application. A clone is the same one.
#[derive(Clone)]
pub(crate) enum Site {
    Here(Router),
    There(Arc<Process>),
}

/// An application in a process of its own, which ends with this value.
pub(crate) struct Process {
    client: Client<HttpConnector, Body>,
    port: u16,
    /// It ends with its input, also where this process is killed.
    _input: ChildStdin,
    _process: Child,
}

/// What a visitor gets.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The cookie that is set, without its attributes.
    pub(crate) cookie: Option<String>,
    pub(crate) body: String,
}

impl Site {
    /// Starts a process that prints its port, and perhaps more, which is given too.
    pub(crate) async fn start(command: &mut Command) -> Result<(Self, String)> {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let input = process.stdin.take().context("no input")?;
        let output = process.stdout.take().context("no output")?;
        let line = BufReader::new(output).lines().next_line().await?;
        let line = line.context("it ended before it was ready")?;
        let (port, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let port = port.parse().context("it printed no port")?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let process = Process { client, port, _input: input, _process: process };
        Ok((Self::There(Arc::new(process)), rest.to_owned()))
    }

    /// Sends one request, and waits for the whole of its answer.
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

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Here",
            Self::There(_) => "There",
        })
    }
}
