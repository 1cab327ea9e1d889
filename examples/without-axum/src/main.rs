//! Sessions without axum: a plain tower service, served by hyper.
//!
//! The layer wraps any tower service of `http` requests and responses. The handler does explicitly what axum's extractor
//! does: [`Session::from_extensions`], then `load`.
//!
//! `cargo run -p without-axum`, then `http://localhost:3000`.

use std::convert::Infallible;

use bytes::Bytes;
use express_session::{Error, Session, SessionLayer};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

async fn views(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Error> {
    let session = Session::from_extensions(request.extensions())?.load().await?;
    let views = session.update("views", |views: Option<u64>| views.unwrap_or(0) + 1)?;
    Ok(Response::new(format!("Number of views: {views}").into()))
}

/// Turns an error into a response, as axum does.
async fn handle(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = views(request).await.unwrap_or_else(|error| {
        let mut response = Response::new("The session failed.".into());
        *response.status_mut() = if error.is_temporary() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        response
    });
    Ok(response)
}

async fn run(listener: TcpListener, sessions: SessionLayer) -> std::io::Result<()> {
    // All connections share one layer, and with it one store.
    let service = ServiceBuilder::new().layer(sessions).service(service_fn(handle));
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let secret = std::env::var("SECRET").unwrap_or_else(|_| "for this machine only".to_owned());
    run(TcpListener::bind("127.0.0.1:3000").await?, SessionLayer::new(secret)).await
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// Requests the page over a connection of its own, and returns the whole response.
    async fn ask(server: SocketAddr, header: &str) -> String {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let request =
            format!("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn cookie_identifies_the_visitor() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::spawn(run(listener, SessionLayer::new("f81d4fae7dec11d0a76500a0c91e6bf6")));

        let first = ask(server, "").await;
        assert!(first.ends_with("\r\n\r\nNumber of views: 1"), "{first}");
        let line = first.lines().find(|line| line.starts_with("set-cookie: ")).unwrap();
        let cookie = line["set-cookie: ".len()..].split(';').next().unwrap();

        let second = ask(server, &format!("cookie: {cookie}\r\n")).await;
        assert!(second.ends_with("\r\n\r\nNumber of views: 2"), "{second}");
        assert!(!second.contains("set-cookie"), "{second}");
    }
}
