//! The applications that serve one entrant's requests, and the requests of a visitor.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::http::StatusCode;
use express_session::store::{AnyStore, Store as _};
use express_session::{SessionId, Timestamp};
use express_session_core::{Keyring, Verified, cookie, signing};
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::SECRET;
use crate::site::{Answer, Site};

/// A started entrant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) sites: Vec<Site>,
    pub(crate) store: Option<AnyStore>,
    /// An Express application on the same store, if there is one.
    pub(crate) node: Option<Site>,
    /// Whether its applications have sessions with a life, below [`LIFE`](crate::ours::LIFE).
    pub(crate) has_life: bool,
    /// The beginning of each path.
    pub(crate) root: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Timed {
    pub(crate) answer: Answer,
    pub(crate) took: Duration,
}

/// Requests in flight.
#[must_use = "the requests end with this value"]
pub(crate) struct Sent(JoinSet<Result<(usize, Timed)>>);

impl Cluster {
    /// Returns the same applications, below this path.
    pub(crate) fn below(&self, root: &'static str) -> Self {
        Self { root, ..self.clone() }
    }

    /// Returns the application of this writer's requests.
    fn site(&self, writer: usize) -> &Site {
        &self.sites[writer % self.sites.len()]
    }

    /// Sends one request, as this writer, that has to succeed.
    pub(crate) async fn get(
        &self,
        writer: usize,
        path: &str,
        cookie: Option<&str>,
    ) -> Result<Answer> {
        let answer = self.try_get(writer, path, cookie).await?;
        ensure!(answer.status.is_success(), "{path} is refused: {}", answer.told());
        Ok(answer)
    }

    async fn try_get(&self, writer: usize, path: &str, cookie: Option<&str>) -> Result<Answer> {
        self.site(writer).get(&format!("{}{path}", self.root), cookie).await
    }

    pub(crate) async fn start(&self) -> Result<String> {
        let answer = self.get(0, "/start", None).await?;
        answer.cookie.context("a new session has no cookie")
    }

    /// Checks whether the sessions have locks.
    pub(crate) async fn has_locks(&self) -> Result<bool> {
        let cookie = self.start().await?;
        let answer = self.try_get(0, "/lock", Some(&cookie)).await?;
        Ok(answer.status != StatusCode::NOT_IMPLEMENTED)
    }

    /// Sends one request of each writer concurrently.
    pub(crate) fn send(
        &self,
        writers: usize,
        path: impl Fn(usize) -> String,
        cookie: impl Fn(usize) -> String,
    ) -> Sent {
        self.send_to(writers, path, |writer| Some(cookie(writer)))
    }

    /// Sends one request of each writer concurrently, also of visitors without a cookie.
    pub(crate) fn send_to(
        &self,
        writers: usize,
        path: impl Fn(usize) -> String,
        cookie: impl Fn(usize) -> Option<String>,
    ) -> Sent {
        let mut requests = JoinSet::new();
        for writer in 0..writers {
            let (site, cookie) = (self.site(writer).clone(), cookie(writer));
            let path = format!("{}{}", self.root, path(writer));
            requests.spawn(async move {
                let start = Instant::now();
                let answer = site.get(&path, cookie.as_deref()).await?;
                Ok((writer, Timed { answer, took: start.elapsed() }))
            });
        }
        Sent(requests)
    }

    /// Waits until each writer's slow request has loaded its session.
    pub(crate) async fn arrived(&self, gate: &str, writers: usize) -> Result<()> {
        let sites = self.sites.len();
        for (number, site) in self.sites.iter().enumerate() {
            let count = (number..writers).step_by(sites).count();
            site.get(&format!("{}/gate/{gate}/arrived/{count}", self.root), None).await?;
        }
        Ok(())
    }

    /// Lets the slow requests go on.
    pub(crate) async fn open(&self, gate: &str) -> Result<()> {
        for site in &self.sites {
            site.get(&format!("{}/gate/{gate}/open", self.root), None).await?;
        }
        Ok(())
    }

    /// Returns the members that a later request with this cookie finds.
    pub(crate) async fn read(&self, keys: &[String], cookie: &str) -> Result<Map<String, Value>> {
        let answer = self.get(0, &format!("/read/{}", keys.join(",")), Some(cookie)).await?;
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// Checks whether the store, not a request, has the session of a cookie.
    pub(crate) async fn is_stored(&self, cookie: &str) -> Result<bool> {
        let Some(store) = &self.store else { return Ok(false) };
        let id = id_of(cookie).context("a cookie without an id")?;
        Ok(store.load(&id, now()).await?.is_some())
    }
}

impl Sent {
    /// Waits for all answers, and returns them in the order of the writers.
    pub(crate) async fn answers(mut self) -> Result<Vec<Timed>> {
        let mut answers = Vec::new();
        while let Some(answer) = self.0.join_next().await {
            answers.push(answer??);
        }
        answers.sort_unstable_by_key(|(writer, _)| *writer);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }
}

impl Answer {
    /// Returns the status and the first line of the body.
    pub(crate) fn told(&self) -> String {
        format!("{} {}", self.status, self.body.lines().next().unwrap_or_default())
    }
}

/// Returns the id in a cookie of express-session, `connect.sid=…`.
fn id_of(cookie: &str) -> Option<SessionId> {
    let keyring = Keyring::new([SECRET]).ok()?;
    let value = cookie::values([cookie.as_bytes()], "connect.sid").next()?;
    signing::verify(&value, &keyring).ok().map(Verified::into_inner)
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the stores are called at the present time")]
    let now = std::time::SystemTime::now();
    now.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_read_from_a_signed_cookie() {
        let id = SessionId::from_random([7; 24]);
        let token = signing::sign(&id, &Keyring::new([SECRET]).unwrap());
        let encoded = token.replace(':', "%3A").replace('+', "%2B").replace('/', "%2F");
        assert!(id_of(&format!("connect.sid={encoded}")).is_some_and(|read| read == id));
        assert!(id_of(&format!("id={encoded}")).is_none());
        assert!(id_of("connect.sid=s%3AzN-x.c2ln").is_none());
    }
}
