//! actix-session, on a store in memory.
//!
//! actix-session comes without one, so this is one: a map, from which a load copies a session and into which a save
//! moves it. It is not shared between threads, like all of actix.

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
use bench_hot::{Driver, Reply, Site, Work};
use tokio::runtime::{Handle, Runtime};

pub(super) struct Actix {
    sessions: Option<(Memory, Key)>,
    runtime: Handle,
}

impl Actix {
    /// Uses the middleware with its defaults, except that the cookie is signed rather than encrypted and goes over
    /// plain HTTP.
    pub(super) fn with_sessions(runtime: &Runtime) -> Self {
        let sessions = Some((Memory::default(), Key::generate()));
        Self { sessions, runtime: runtime.handle().clone() }
    }

    /// Uses no sessions.
    pub(super) fn bare(runtime: &Runtime) -> Self {
        Self { sessions: None, runtime: runtime.handle().clone() }
    }
}

impl Site for Actix {
    fn driver(&self, does: Work) -> Box<dyn Driver> {
        let Some((memory, key)) = &self.sessions else {
            let app = App::new().default_service(web::to(async || HttpResponse::Ok().finish()));
            return Box::new(Application(self.runtime.block_on(test::init_service(app))));
        };
        let sessions = SessionMiddleware::builder(memory.clone(), key.clone())
            .cookie_content_security(actix_session::config::CookieContentSecurity::Signed)
            .cookie_secure(false)
            .build();
        let handler = move |request: HttpRequest| async move { work(does, &request) };
        let app = App::new().wrap(sessions).default_service(web::to(handler));
        Box::new(Application(self.runtime.block_on(test::init_service(app))))
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

/// Does the work of every handler. Actix's sessions are read and written without waiting.
fn work(does: Work, request: &HttpRequest) -> HttpResponse {
    let done = match does {
        Work::Ignore => Some(()),
        Work::Read => {
            let value: Option<u64> = request.get_session().get("views").ok().flatten();
            std::hint::black_box(value).map(drop)
        }
        Work::ReadOfMany => {
            let value: Option<String> = request.get_session().get("member-50").ok().flatten();
            std::hint::black_box(value).map(drop)
        }
        Work::Write => write(&request.get_session()),
        Work::Insert => request.get_session().insert("views", 1).ok(),
        Work::Seed => seed(&request.get_session()),
        Work::SeedMany => {
            let session = request.get_session();
            (0..100).try_for_each(|n| session.insert(format!("member-{n}"), "12345").ok())
        }
        Work::Tell => {
            let views: Option<u64> = request.get_session().get("views").ok().flatten();
            let text = views.map_or_else(|| "none".to_owned(), |views| views.to_string());
            return HttpResponse::Ok().body(text);
        }
    };
    match done {
        Some(()) => HttpResponse::Ok().finish(),
        None => HttpResponse::InternalServerError().finish(),
    }
}

fn write(session: &Session) -> Option<()> {
    let views: u64 = session.get("views").ok()??;
    session.insert("views", views + 1).ok()
}

fn seed(session: &Session) -> Option<()> {
    session.insert("views", 1).ok()?;
    session.insert("user", "ada.lovelace@example.com").ok()?;
    session.insert("items", ["apples", "pears", "quinces", "medlars"]).ok()
}

type State = HashMap<String, String>;

/// Sessions with their expiry.
#[derive(Clone, Debug, Default)]
struct Memory(Rc<RefCell<HashMap<String, (State, OffsetDateTime)>>>);

impl SessionStore for Memory {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        let sessions = self.0.borrow();
        let live = sessions.get(key.as_ref()).filter(|(_, end)| *end > OffsetDateTime::now_utc());
        Ok(live.map(|(state, _)| state.clone()))
    }

    async fn save(&self, state: State, ttl: &Duration) -> Result<SessionKey, SaveError> {
        let key = generate_session_key();
        let end = OffsetDateTime::now_utc() + *ttl;
        self.0.borrow_mut().insert(key.as_ref().to_owned(), (state, end));
        Ok(key)
    }

    async fn update(
        &self,
        key: SessionKey,
        state: State,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        let end = OffsetDateTime::now_utc() + *ttl;
        self.0.borrow_mut().insert(key.as_ref().to_owned(), (state, end));
        Ok(key)
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
