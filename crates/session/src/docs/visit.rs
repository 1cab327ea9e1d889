// The scaffolding of this crate's examples: a browser that visits a handler through a layer.

use express_session::{Error, Session, SessionLayer};
use tower::{Layer as _, ServiceExt as _, service_fn};

/// Visits a handler once, through a layer with the defaults. A handler that fails panics.
pub fn visit<T>(handler: impl AsyncFnOnce(Session) -> Result<T, Error> + Clone) {
    Browser::new(SessionLayer::new("keyboard cat")).visit(handler);
}

/// A handler that changes the session.
pub async fn change(session: Session) -> Result<(), Error> {
    session.insert("views", 1)
}

/// Sends back the cookie that it was sent.
#[derive(Clone)]
pub struct Browser {
    layer: SessionLayer,
    cookie: Option<String>,
}

impl Browser {
    pub fn new(layer: SessionLayer) -> Self {
        Self { layer, cookie: None }
    }

    /// Visits a handler, and gives the `Set-Cookie` of the response.
    pub fn visit<T>(
        &mut self,
        handler: impl AsyncFnOnce(Session) -> Result<T, Error> + Clone,
    ) -> Option<String> {
        self.send(http::Request::new(()), handler)
    }

    /// Does the same with a request of its own.
    pub fn send<T>(
        &mut self,
        mut request: http::Request<()>,
        handler: impl AsyncFnOnce(Session) -> Result<T, Error> + Clone,
    ) -> Option<String> {
        if let Some(cookie) = &self.cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        let service = self.layer.layer(service_fn(|request: http::Request<()>| {
            let handler = handler.clone();
            async move {
                let session = Session::from_extensions(request.extensions())?.load().await?;
                handler(session).await?;
                Ok::<_, Error>(http::Response::new(String::new()))
            }
        }));
        let response = express_session_testkit::block_on(service.oneshot(request)).unwrap();
        let set_cookie = response.headers().get("set-cookie")?.to_str().unwrap();
        self.cookie = set_cookie.split(';').next().map(str::to_owned);
        Some(set_cookie.to_owned())
    }
}
