//! actix-session, on a store in memory.
//!
//! actix-session comes without one, so this is one: a map, from which a load copies a session and into which a save
//! moves it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use actix_http::Request;
use actix_session::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};
use actix_session::{Session, SessionExt as _, SessionMiddleware};
use actix_web::body::{MessageBody, to_bytes};
use actix_web::cookie::Key;
use actix_web::cookie::time::{Duration, OffsetDateTime};
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use actix_web::{App, Error, HttpRequest, HttpResponse, test, web};
use anyhow::{Result, anyhow, ensure};
use bench_hot::{Driver, Reply, Site, Work, work};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

/// Actix without sessions.
pub(super) fn bare(runtime: &Runtime) -> Box<dyn Site> {
    let runtime = runtime.handle().clone();
    Box::new(move |_: Work| -> Box<dyn Driver> {
        let app = App::new().default_service(web::to(async || HttpResponse::Ok().finish()));
        Box::new(Application(runtime.block_on(test::init_service(app))))
    })
}

/// The middleware with its defaults, except that the cookie is signed rather than encrypted and goes over plain HTTP.
pub(super) fn with_sessions(runtime: &Runtime) -> Box<dyn Site> {
    let (memory, key, runtime) = (Memory::default(), Key::generate(), runtime.handle().clone());
    Box::new(move |does: Work| -> Box<dyn Driver> {
        let sessions = SessionMiddleware::builder(memory.clone(), key.clone())
            .cookie_content_security(actix_session::config::CookieContentSecurity::Signed)
            .cookie_secure(false)
            .build();
        let handler = move |request: HttpRequest| async move {
            match done(does, &request).await {
                Some(text) if text.is_empty() => HttpResponse::Ok().finish(),
                Some(text) => HttpResponse::Ok().body(text),
                None => HttpResponse::InternalServerError().finish(),
            }
        };
        let app = App::new().wrap(sessions).default_service(web::to(handler));
        Box::new(Application(runtime.block_on(test::init_service(app))))
    })
}

async fn done(does: Work, request: &HttpRequest) -> Option<String> {
    work!(does, Some(Theirs(request.get_session())))
}

/// Actix's sessions are read and written without waiting.
struct Theirs(Session);

impl Theirs {
    async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.0.get(key).ok()?
    }

    async fn insert(&self, key: &str, value: impl Serialize) -> bool {
        self.0.insert(key, value).is_ok()
    }
}

#[derive(Debug)]
struct Application<S>(S);

impl<S, B> Driver for Application<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    fn ask(&mut self, runtime: &Runtime, cookie: Option<&http::HeaderValue>) -> Result<Reply> {
        let cookie = cookie.map(converted).transpose()?;
        runtime.block_on(async {
            let (_, response) = answer(&self.0, cookie.as_ref()).await?.into_parts();
            let (head, body) = response.into_parts();
            let body = to_bytes(body).await.map_err(|_| anyhow!("no body"))?;
            let lines = head.headers().get_all(SET_COOKIE).map(HeaderValue::as_bytes);
            Ok(Reply::new(lines, &body))
        })
    }

    fn run(
        &mut self,
        runtime: &Runtime,
        cookies: &[http::HeaderValue],
        requests: u64,
    ) -> Result<()> {
        let cookies = cookies.iter().map(converted).collect::<Result<Vec<_>>>()?;
        runtime.block_on(tokio::task::unconstrained(async {
            let mut next = cookies.iter().cycle();
            for _ in 0..requests {
                drop(answer(&self.0, next.next()).await?);
            }
            Ok(())
        }))
    }
}

fn converted(cookie: &http::HeaderValue) -> Result<HeaderValue> {
    Ok(HeaderValue::from_bytes(cookie.as_bytes())?)
}

/// Sends one request: a round is made of these.
async fn answer<S, B>(service: &S, cookie: Option<&HeaderValue>) -> Result<ServiceResponse<B>>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
{
    let mut request = Request::new();
    if let Some(cookie) = cookie {
        request.head_mut().headers.insert(COOKIE, cookie.clone());
    }
    std::future::poll_fn(|context| service.poll_ready(context))
        .await
        .map_err(|error| anyhow!("{error}"))?;
    let response = service.call(request).await.map_err(|error| anyhow!("{error}"))?;
    ensure!(response.status().is_success(), "{}", response.status());
    Ok(response)
}

type State = HashMap<String, String>;

/// Sessions with their expiry.
#[derive(Clone, Debug, Default)]
struct Memory(Rc<RefCell<HashMap<String, (State, OffsetDateTime)>>>);

impl Memory {
    fn put(&self, key: SessionKey, state: State, ttl: &Duration) -> SessionKey {
        let end = OffsetDateTime::now_utc() + *ttl;
        self.0.borrow_mut().insert(key.as_ref().to_owned(), (state, end));
        key
    }
}

impl SessionStore for Memory {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        let sessions = self.0.borrow();
        let live = sessions.get(key.as_ref()).filter(|(_, end)| *end > OffsetDateTime::now_utc());
        Ok(live.map(|(state, _)| state.clone()))
    }

    async fn save(&self, state: State, ttl: &Duration) -> Result<SessionKey, SaveError> {
        Ok(self.put(generate_session_key(), state, ttl))
    }

    async fn update(
        &self,
        key: SessionKey,
        state: State,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        Ok(self.put(key, state, ttl))
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &Duration) -> Result<()> {
        if let Some((_, end)) = self.0.borrow_mut().get_mut(key.as_ref()) {
            *end = OffsetDateTime::now_utc() + *ttl;
        }
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<()> {
        self.0.borrow_mut().remove(key.as_ref());
        Ok(())
    }
}
