//! The cases: the requests that overlap, and the members that the session must have afterwards.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::cluster::{Cluster, Timed};
use crate::entrants::word;
use crate::ours::{EPOCH, LIFE, MAX_SESSIONS};
use crate::site::Answer;
use crate::tally::Tally;

/// One case, played on a new session in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// One request at a time: the other times are compared with its time.
    Alone,
    /// All writers concurrently, each with a session of its own.
    Apart,
    /// All concurrently, each with a member of its own.
    Members,
    /// All concurrently add one to the same member.
    Counter,
    /// All are slow, and meanwhile the session is destroyed.
    Logout,
    /// All are slow, and meanwhile the session gets a new id.
    Regenerate,
    /// All concurrently read and set the same member under the session's lock.
    Lock,
    /// All are slow, and meanwhile the session's id is renewed.
    Renew,
    /// All concurrently renew the id, and set a member each.
    Renewals,
    /// All are slow, and meanwhile another session of the user ends this one.
    Revoke,
    /// All concurrently log the same user in, who may have three sessions.
    Logins,
    /// All concurrently log the same user in and are slow, and meanwhile the user's sessions end, but for one.
    #[value(name = "logins during end")]
    LoginsDuringEnd,
    /// All are slow, and meanwhile Node answers a request.
    #[value(name = "with node")]
    WithNode,
    /// Node is slow, and meanwhile all are answered.
    #[value(name = "around node")]
    AroundNode,
}

impl Case {
    pub(crate) fn name(self) -> String {
        word(&self)
    }

    pub(crate) fn suits(self, cluster: &Cluster) -> bool {
        match self {
            Self::Lock => cluster.store.is_some(),
            Self::Renew | Self::Renewals | Self::Revoke | Self::Logins | Self::LoginsDuringEnd => {
                cluster.has_life
            }
            Self::WithNode | Self::AroundNode => cluster.node.is_some(),
            Self::Alone
            | Self::Apart
            | Self::Members
            | Self::Counter
            | Self::Logout
            | Self::Regenerate => true,
        }
    }

    /// Checks whether it needs a store with locks.
    pub(crate) fn needs_locks(self) -> bool {
        matches!(self, Self::Lock | Self::Revoke | Self::Logins)
    }

    /// Checks whether its times mean something: a request waits only for its own work and that of its rivals.
    pub(crate) fn is_timed(self) -> bool {
        !matches!(self, Self::WithNode | Self::AroundNode)
    }

    /// Checks whether the writers change the same session.
    pub(crate) fn is_contended(self) -> bool {
        !matches!(self, Self::Alone | Self::Apart | Self::Logins | Self::LoginsDuringEnd)
    }

    /// Plays one round, with a number of its own.
    pub(crate) async fn play(
        self,
        cluster: &Cluster,
        writers: usize,
        round: usize,
    ) -> Result<Tally> {
        let gate = format!("{}-{round}", self.name().replace(' ', "-"));
        match self {
            Self::Alone => alone(cluster).await,
            Self::Apart => apart(cluster, writers).await,
            Self::Members => members(cluster, writers).await,
            Self::Counter => counter(cluster, writers, "/count").await,
            Self::Lock => counter(cluster, writers, "/lock").await,
            Self::Logout => Ok(overtaken(cluster, writers, &gate, "/logout").await?.0),
            Self::Regenerate => regenerate(cluster, writers, &gate).await,
            Self::Renew => renew(&cluster.below(LIFE), writers, &gate).await,
            Self::Renewals => renewals(&cluster.below(LIFE), writers).await,
            Self::Revoke => revoke(&cluster.below(LIFE), writers, &gate).await,
            Self::Logins => logins(&cluster.below(LIFE), writers, &gate).await,
            Self::LoginsDuringEnd => logins_during_end(&cluster.below(EPOCH), writers, &gate).await,
            Self::WithNode => with_node(cluster, writers, &gate).await,
            Self::AroundNode => around_node(cluster, writers, &gate).await,
        }
    }
}

async fn alone(cluster: &Cluster) -> Result<Tally> {
    let mut tally = Tally::default();
    let cookie = cluster.start().await?;
    for _ in 0..ALONE {
        let sent = cluster.send(1, member, |_| cookie.clone());
        tally.add(Tally::of(&sent.answers().await?));
    }
    Ok(tally)
}

/// How many requests, one after the other.
const ALONE: usize = 20;

async fn apart(cluster: &Cluster, writers: usize) -> Result<Tally> {
    let mut cookies = Vec::new();
    for _ in 0..writers {
        cookies.push(cluster.start().await?);
    }
    let answers = cluster.send(writers, member, |writer| cookies[writer].clone()).answers().await?;
    let mut tally = Tally::of(&answers);
    for (writer, cookie) in cookies.iter().enumerate() {
        let key = key(writer);
        let found = cluster.read(std::slice::from_ref(&key), cookie).await?;
        tally.lost += missing(&answers[writer..=writer], |_| key.clone(), &found);
    }
    Ok(tally)
}

async fn members(cluster: &Cluster, writers: usize) -> Result<Tally> {
    let cookie = cluster.start().await?;
    let answers = cluster.send(writers, member, |_| cookie.clone()).answers().await?;
    let found = cluster.read(&keys(writers), &cookie).await?;
    let mut tally = Tally::of(&answers);
    tally.lost = missing(&answers, key, &found);
    Ok(tally)
}

async fn counter(cluster: &Cluster, writers: usize, path: &str) -> Result<Tally> {
    let cookie = cluster.start().await?;
    let sent = cluster.send(writers, |_| path.to_owned(), |_| cookie.clone());
    let mut tally = Tally::of(&sent.answers().await?);
    let found = cluster.read(&["n".to_owned()], &cookie).await?;
    let counted = found.get("n").and_then(Value::as_u64).unwrap_or(0);
    tally.lost = (tally.sent - tally.refused).saturating_sub(counted);
    Ok(tally)
}

async fn regenerate(cluster: &Cluster, writers: usize, gate: &str) -> Result<Tally> {
    let (mut tally, new) = overtaken(cluster, writers, gate, "/regenerate").await?;
    // The new session must live, and have what was put into it.
    let is_alive = match &new {
        Some(new) => cluster.read(&["fresh".to_owned()], new).await?.contains_key("fresh"),
        None => false,
    };
    tally.lost = u64::from(!is_alive);
    Ok(tally)
}

/// Ends the session while slow requests are between their load and their save. Returns the cookie of the ending
/// request.
async fn overtaken(
    cluster: &Cluster,
    writers: usize,
    gate: &str,
    path: &str,
) -> Result<(Tally, Option<String>)> {
    let old = cluster.start().await?;
    let (answers, ending) = meanwhile(cluster, writers, gate, &old, &old, path).await?;
    let mut tally = Tally::of(&answers);
    let mut wanted = keys(writers);
    wanted.push("base".to_owned());
    let mut is_back = cluster.is_stored(&old).await?;
    // The session may return under the old cookie, or under one that a late response has set.
    let late = answers.iter().filter_map(|late| late.answer.cookie.as_ref());
    for cookie in [&old].into_iter().chain(late) {
        is_back |= !cluster.read(&wanted, cookie).await?.is_empty();
    }
    tally.resurrected = u64::from(is_back);
    Ok((tally, ending.cookie))
}

/// Answers a request with the cookie `by` while slow requests of the cookie `of` are between their load and their save.
async fn meanwhile(
    cluster: &Cluster,
    writers: usize,
    gate: &str,
    of: &str,
    by: &str,
    path: &str,
) -> Result<(Vec<Timed>, Answer)> {
    let slow = cluster.send(writers, |writer| slow(gate, writer), |_| of.to_owned());
    cluster.arrived(gate, writers).await?;
    let answer = cluster.get(writers, path, Some(by)).await?;
    cluster.open(gate).await?;
    Ok((slow.answers().await?, answer))
}

async fn renew(cluster: &Cluster, writers: usize, gate: &str) -> Result<Tally> {
    let old = cluster.start().await?;
    let (answers, renewal) =
        meanwhile(cluster, writers, gate, &old, &old, "/renew/renewed").await?;
    let new = renewal.cookie.context("a renewal without a cookie")?;
    let mut tally = Tally::of(&answers);
    let mut wanted = keys(writers);
    wanted.push("renewed".to_owned());
    let found = cluster.read(&wanted, &new).await?;
    tally.lost = missing(&answers, key, &found) + u64::from(!found.contains_key("renewed"));
    // Within the grace period the old id leads to the same session.
    tally.lost += u64::from(cluster.read(&wanted, &old).await? != found);
    tally.resurrected = outlives_logout(cluster, &old, &[&old, &new]).await?;
    Ok(tally)
}

async fn renewals(cluster: &Cluster, writers: usize) -> Result<Tally> {
    let old = cluster.start().await?;
    let renewal = |writer| format!("/renew/{}", key(writer));
    let answers = cluster.send(writers, renewal, |_| old.clone()).answers().await?;
    let mut tally = Tally::of(&answers);
    let new = answers.iter().filter_map(|timed| timed.answer.cookie.as_deref());
    let cookies: Vec<&str> = [&*old].into_iter().chain(new).collect();
    for cookie in &cookies {
        let found = cluster.read(&keys(writers), cookie).await?;
        tally.lost = tally.lost.max(missing(&answers, key, &found));
    }
    tally.resurrected = outlives_logout(cluster, &old, &cookies).await?;
    Ok(tally)
}

/// Logs out with one of a session's cookies. Returns with how many of them there is a session afterwards.
async fn outlives_logout(cluster: &Cluster, cookie: &str, cookies: &[&str]) -> Result<u64> {
    cluster.get(0, "/logout", Some(cookie)).await?;
    let mut alive = 0;
    for cookie in cookies {
        let found = cluster.read(&["base".to_owned()], cookie).await?;
        alive += u64::from(!found.is_empty());
    }
    Ok(alive)
}

async fn revoke(cluster: &Cluster, writers: usize, gate: &str) -> Result<Tally> {
    let path = format!("/login/{gate}");
    let mut cookies = Vec::new();
    for site in 0..2 {
        let login = cluster.get(site, &path, None).await?;
        cookies.push(login.cookie.context("a login without a cookie")?);
    }
    let (ended, other) = (&cookies[0], &cookies[1]);
    let (answers, _) = meanwhile(cluster, writers, gate, ended, other, "/end-others").await?;
    let mut tally = Tally::of(&answers);
    let mut wanted = keys(writers);
    wanted.push("base".to_owned());
    let late = answers.iter().filter_map(|late| late.answer.cookie.as_ref());
    for cookie in [ended].into_iter().chain(late) {
        tally.resurrected |= u64::from(!cluster.read(&wanted, cookie).await?.is_empty());
    }
    let is_alive = cluster.read(&["base".to_owned()], other).await?.contains_key("base");
    tally.lost = u64::from(!is_alive);
    Ok(tally)
}

async fn logins(cluster: &Cluster, writers: usize, gate: &str) -> Result<Tally> {
    let sent = cluster.send_to(writers, |_| format!("/login/{gate}"), |_| None);
    let answers = sent.answers().await?;
    let mut tally = Tally::of(&answers);
    let mut alive = Vec::new();
    for cookie in answers.iter().filter_map(|timed| timed.answer.cookie.as_deref()) {
        if !cluster.read(&["base".to_owned()], cookie).await?.is_empty() {
            alive.push(cookie);
        }
    }
    let allowed = MAX_SESSIONS.min(writers);
    tally.resurrected = alive.len().saturating_sub(allowed) as u64;
    tally.lost = allowed.saturating_sub(alive.len()) as u64;
    // Each of them is listed.
    let listed = match alive.first() {
        Some(cookie) => cluster.get(0, "/sessions", Some(cookie)).await?.body.parse()?,
        None => 0_usize,
    };
    tally.lost += listed.abs_diff(alive.len()) as u64;
    Ok(tally)
}

async fn logins_during_end(cluster: &Cluster, writers: usize, gate: &str) -> Result<Tally> {
    let login = format!("/login/{gate}");
    let own = cluster.get(0, &login, None).await?.cookie.context("a login without a cookie")?;
    let slow = cluster.send_to(writers, |_| format!("/slow-login/{gate}/{gate}"), |_| None);
    cluster.arrived(gate, writers).await?;
    cluster.get(writers, "/end-others", Some(&own)).await?;
    cluster.open(gate).await?;
    let answers = slow.answers().await?;
    let mut tally = Tally::of(&answers);
    let base = ["base".to_owned()];
    for cookie in answers.iter().filter_map(|timed| timed.answer.cookie.as_deref()) {
        tally.resurrected += u64::from(!cluster.read(&base, cookie).await?.is_empty());
    }
    // The session that has ended the others goes on, and the next login is a new one.
    let later = cluster.get(0, &login, None).await?.cookie.context("a login without a cookie")?;
    for cookie in [own, later] {
        tally.lost += u64::from(cluster.read(&base, &cookie).await?.is_empty());
    }
    Ok(tally)
}

async fn with_node(cluster: &Cluster, writers: usize, gate: &str) -> Result<Tally> {
    let cookie = cluster.start().await?;
    let slow = cluster.send(writers, |writer| slow(gate, writer), |_| cookie.clone());
    cluster.arrived(gate, writers).await?;
    let mut tally = Tally::of(
        &node(cluster).send(1, |_| "/member/node".into(), |_| cookie.clone()).answers().await?,
    );
    cluster.open(gate).await?;
    let answers = slow.answers().await?;

    tally.add(Tally::of(&answers));
    let mut wanted = keys(writers);
    wanted.push("node".to_owned());
    let found = cluster.read(&wanted, &cookie).await?;
    tally.lost = missing(&answers, key, &found) + u64::from(!found.contains_key("node"));
    Ok(tally)
}

async fn around_node(cluster: &Cluster, writers: usize, gate: &str) -> Result<Tally> {
    let cookie = cluster.start().await?;
    let node = node(cluster);
    let slow = node.send(1, |_| format!("/slow/{gate}/node"), |_| cookie.clone());
    node.arrived(gate, 1).await?;
    let answers = cluster.send(writers, member, |_| cookie.clone()).answers().await?;
    node.open(gate).await?;
    let slow = slow.answers().await?;

    let mut tally = Tally::of(&answers);
    tally.add(Tally::of(&slow));
    let found = cluster.read(&keys(writers), &cookie).await?;
    tally.lost = missing(&answers, key, &found);
    Ok(tally)
}

/// The Express application beside ours, as a cluster of its own.
fn node(cluster: &Cluster) -> Cluster {
    Cluster { sites: cluster.node.iter().cloned().collect(), ..Cluster::default() }
}

/// Counts the missing members of successful requests.
fn missing(answers: &[Timed], key: impl Fn(usize) -> String, found: &Map<String, Value>) -> u64 {
    let is_lost = |(writer, timed): &(usize, &Timed)| {
        timed.answer.status.is_success() && !found.contains_key(&key(*writer))
    };
    answers.iter().enumerate().filter(is_lost).map(|_| 1).sum()
}

fn key(writer: usize) -> String {
    format!("m{writer}")
}

fn keys(writers: usize) -> Vec<String> {
    (0..writers).map(key).collect()
}

fn member(writer: usize) -> String {
    format!("/member/{}", key(writer))
}

fn slow(gate: &str, writer: usize) -> String {
    format!("/slow/{gate}/{}", key(writer))
}

/// Handlers wait in simulated time, all together, so that the overlap does not depend on the machine.
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use express_session::store::{
        AnyStore, Created, Error, ErrorKind, Loaded, Record, Revision, Store, Touch, Touched,
        Updated,
    };
    use express_session::{MemoryStore, SessionId, Timestamp};

    use express_session_testkit::{Spy, Verb};

    use super::*;
    use crate::ours;
    use crate::site::Site;

    const WRITERS: usize = 5;

    fn cluster(store: &(impl Store + Clone), sites: usize) -> Cluster {
        let site = |_| Site::Here(ours::application(store.clone(), Duration::from_millis(20)));
        Cluster {
            sites: (0..sites).map(site).collect(),
            store: Some(AnyStore::new(store.clone())),
            has_life: true,
            ..Cluster::default()
        }
    }

    /// Returns the numbers of lost changes and resurrected sessions.
    async fn damage(case: Case, cluster: &Cluster) -> (u64, u64) {
        let tally = case.play(cluster, WRITERS, 1).await.unwrap();
        assert_eq!(tally.refused, 0, "{:?}", tally.refusal);
        (tally.lost, tally.resurrected)
    }

    #[tokio::test(start_paused = true)]
    async fn memory_store_neither_loses_nor_resurrects() {
        // With one application, and with two that share the store.
        for sites in [1, 2] {
            let cluster = cluster(&MemoryStore::new(), sites);
            for case in Case::value_variants().iter().filter(|case| case.suits(&cluster)) {
                assert_eq!(damage(*case, &cluster).await, (0, 0), "{case:?} with {sites}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn overwriting_store_is_caught() {
        let cluster = cluster(&Overwriting(MemoryStore::new()), 1);
        let damages = [
            (Case::Alone, (0, 0)),
            (Case::Apart, (0, 0)),
            (Case::Members, (WRITERS as u64 - 1, 0)),
            (Case::Counter, (WRITERS as u64 - 1, 0)),
            (Case::Logout, (0, 1)),
            (Case::Regenerate, (0, 1)),
            // Nothing of a write under the old id is found under the new one, and each id has a session of its own.
            (Case::Renew, (WRITERS as u64 + 1, 1)),
        ];
        for (case, expected) in damages {
            assert_eq!(damage(case, &cluster).await, expected, "{case:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_change_is_not_lost() {
        let store = Spy::new(MemoryStore::new());
        store.fail(|call| {
            let out = || Error::new(ErrorKind::Unavailable, "the server is down");
            (call.verb() == Verb::Update).then(out)
        });
        let cluster = cluster(&store, 1);
        for case in [Case::Members, Case::Counter] {
            let tally = case.play(&cluster, WRITERS, 1).await.unwrap();
            assert_eq!((tally.lost, tally.refused), (0, WRITERS as u64), "{case:?}");
            assert!(tally.refusal.unwrap().starts_with("503"), "{case:?}");
        }
    }

    /// A store like those of npm: the last write wins, also over a destroyed session.
    #[derive(Clone)]
    struct Overwriting(MemoryStore);

    impl Store for Overwriting {
        async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
            self.0.load(id, now).await
        }

        async fn create(
            &self,
            id: &SessionId,
            record: &Record,
            now: Timestamp,
        ) -> Result<Created, Error> {
            self.0.create(id, record, now).await
        }

        async fn update(
            &self,
            id: &SessionId,
            record: &Record,
            _: &Revision,
            now: Timestamp,
        ) -> Result<Updated, Error> {
            self.0.destroy(id).await?;
            match self.0.create(id, record, now).await? {
                Created::Done(revision) => Ok(Updated::Done(revision)),
                Created::Taken => Ok(Updated::Gone),
            }
        }

        async fn touch(
            &self,
            id: &SessionId,
            to: &Touch,
            now: Timestamp,
        ) -> Result<Touched, Error> {
            self.0.touch(id, to, now).await
        }

        async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
            self.0.destroy(id).await
        }
    }
}
