//! Stores sessions in Memcached, in the format of npm's connect-memcached 3.
//!
//! Keys are the [`prefix`](MemcachedStore::prefix) followed by the session id; values are the session as JSON,
//! with the flags of Node's client for JSON. Both sides need the same prefix and secret.
//!
//! - **Round trips.** Every operation takes one. A conflict takes a second one, to load the other record.
//! - **Concurrency.** An update is a compare-and-swap on the number that the server gives each write of an
//!   item, Node's writes included. A call that was dropped is carried out before the store's next call for the
//!   same session.
//! - **Expiry.** The server expires a record after the [`ttl`](MemcachedStore::ttl) if it is set, else at the
//!   cookie's expiry, rounded down to a second, else after a day. Its clock ticks once a second, so that a
//!   record may expire a second earlier. A touch moves the expiry only.
//! - **Limits.** Prefix and id together have at most 250 bytes, without blanks or control characters. Record,
//!   key and some 100 bytes fit the server's largest item, 1 MiB by default (`-I`). Anything else is
//!   [`ErrorKind::Unsuitable`].
//!
//! Requires Memcached 1.6 or later, for its meta commands.
//!
//! # Differences from connect-memcached
//!
//! - A max age of more than 30 days is sent as a point in time by the server's clock, which each connection asks for once
//!   (`stats`). Through a proxy that has no time, such a record lives for 30 days after each save and touch.
//!   connect-memcached sends the duration, which the server reads as a point in 1970: saving such a session on Node
//!   loses it.
//! - A max age of less than a second is sent as a second, and one that has passed deletes the record.
//!   connect-memcached sends 0, which is never, within a second before and after.
//! - A touch does not change the text, so that `expires` in it may be older than the deadline, as with
//!   connect-redis. Node shows that in `req.session.cookie.maxAge` until it touches the session.
//!   connect-memcached's touch writes the whole session, and may undo the save of another request.
//! - `clear` removes the keys with the prefix, not everything in the server.
//! - A prefix and id of more than 250 bytes are refused. Node's client replaces them by their MD5.
//! - connect-memcached's `secret`, which encrypts the records, is not supported.
//!
//! # Limitations
//!
//! Memcached is a cache: it loses all sessions when it stops, and evicts the least recently used ones when it
//! is full, which logs their visitors out. Give it enough memory, and watch `evictions` in its `stats`.
//!
//! All sessions are on one server. connect-memcached can spread them over several, by a rule of its own.
//!
//! There are no locks, since no command can check one item and write another in one step.
//! [`lock`](Store::lock), `update_locked` and `unlock` are [`ErrorKind::Unsupported`].
//!
//! There is no TLS and no login, so that the network must be trusted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Created, Cursor, Error, ErrorKind, Lifetime, Loaded, Page, Record, Revision, Store, Touch,
    Touched, Updated, scan,
};
use express_session_core::{SessionId, Timestamp};
use tokio::time::timeout;

use self::address::Address;
use self::pool::Pool;
use self::protocol::{Expiry, Item, Key, Reply, Request};
use super::breaker::{MAX_WAITING, no_answer_in_time};

mod address;
mod admin;
mod connection;
mod error;
mod pool;
mod protocol;

/// Keeps sessions in Memcached.
///
/// Clones share the connections. The first call connects, and a call that finds its connection lost replaces
/// it.
///
/// ```
/// use express_session::SessionLayer;
/// use express_session::store::memcached::MemcachedStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemcachedStore::new("memcached://127.0.0.1")?.prefix("sess:");
/// let layer = SessionLayer::new("keyboard cat").store(store);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemcachedStore {
    pool: Arc<Pool>,
    options: Options,
}

#[derive(Clone)]
struct Options {
    prefix: Arc<str>,
    ttl: Option<Duration>,
    timeout: Duration,
    max_waiting: usize,
}

impl MemcachedStore {
    /// Makes a store for the server at a URL, `memcached://host:port?prefix=sess:&ttl=3600`.
    ///
    /// The port is 11211 unless given. The parameters are those of [`prefix`](Self::prefix) and, in
    /// seconds, of [`ttl`](Self::ttl).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] if the URL is malformed, or has several hosts or a login.
    ///
    /// ```
    /// use express_session::store::memcached::MemcachedStore;
    ///
    /// assert!(MemcachedStore::new("memcached://127.0.0.1:11211?prefix=sess:").is_ok());
    /// assert!(MemcachedStore::new("redis://127.0.0.1").is_err());
    /// ```
    pub fn new(url: &str) -> Result<Self, Error> {
        let Address { host, port, prefix, ttl } = Address::parse(url)?;
        let prefix = prefix.unwrap_or_default().into();
        let pool = Arc::new(Pool::new(host, port, CONNECTIONS));
        Ok(Self {
            pool,
            options: Options { prefix, ttl, timeout: TIMEOUT, max_waiting: MAX_WAITING },
        })
    }

    /// Makes a store as [`new`](Self::new) does, and connects immediately, so that a failure shows when the
    /// application starts.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), [`ErrorKind::Unavailable`] if the server cannot be reached, and
    /// [`ErrorKind::Refused`] if it is too old or runs without CAS.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let store = Self::new(url)?;
        // Any key shows whether the server has the commands.
        if let Some(key) = Key::new("express-session") {
            store.ask(&key, Request::get(&key)).await?;
        }
        Ok(store)
    }

    /// Sets the prefix of the keys. The default is empty, as in connect-memcached.
    ///
    /// [`clear`](express_session_core::store::Admin::clear) deletes every key that begins with the prefix: with
    /// an empty one, every key of the server.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Sets the TTL of every record after each save and touch, overriding its cookie. By default the cookie
    /// decides, and a session without `max_age` lives for a day.
    ///
    /// As in connect-memcached it is in whole seconds, and zero unsets it. A cookie that outlives its record
    /// looks like a logout to the visitor.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Sets the timeout of a call. The default is 5 seconds.
    ///
    /// A call without a connection by then is [`ErrorKind::Unavailable`]. A call without an answer is
    /// [`ErrorKind::TimedOut`], and may or may not have happened. A listing may take longer, as long as data
    /// arrives.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets the maximum number of calls that wait for the server at the same time. The default is 4,096.
    ///
    /// A further call is [`ErrorKind::Unavailable`] immediately, and not made.
    #[must_use]
    pub fn max_waiting(mut self, calls: usize) -> Self {
        self.options.max_waiting = calls;
        self
    }

    /// Sets the maximum number of connections, at least one. The default is 10, as the `poolSize` of Node's
    /// client.
    ///
    /// Further calls wait for a connection. A connection that was idle for a minute is replaced. Set this
    /// before cloning the store: clones keep their connections.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.pool = Arc::new(self.pool.resized(connections));
        self
    }

    async fn ask(&self, key: &Key, request: Request) -> Result<Reply, Error> {
        self.pool.ask(key, request, &self.options).await
    }

    async fn current(&self, key: &Key, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let reply = self.ask(key, Request::get(key)).await?;
        found(reply)?.map(|item| loaded(item, now)).transpose()
    }

    /// Returns the key of a session, or `None` for an id that cannot have one.
    fn key(&self, id: &SessionId) -> Option<Key> {
        Key::new(self.name(id.as_str()))
    }

    fn name(&self, id: &str) -> String {
        format!("{}{id}", self.options.prefix)
    }

    fn ttl_set(&self) -> Option<Duration> {
        self.options.ttl.filter(|ttl| !ttl.is_zero())
    }

    fn expiry(&self, deadline: Option<Timestamp>, now: Timestamp) -> Expiry {
        let deadline = match (self.ttl_set(), deadline) {
            (Some(ttl), _) => now.saturating_add(ttl),
            (None, Some(deadline)) => deadline,
            (None, None) => now.saturating_add(DAY),
        };
        let left = deadline.millis().saturating_sub(now.millis());
        Expiry::after(left)
    }
}

impl fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { prefix, ttl, timeout, max_waiting } = &self.options;
        f.debug_struct("MemcachedStore")
            .field("server", &self.pool.address())
            .field("prefix", prefix)
            .field("ttl", ttl)
            .field("timeout", timeout)
            .field("max_waiting", max_waiting)
            .field("max_connections", &self.pool.size())
            .finish()
    }
}

impl Store for MemcachedStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let Some(key) = self.key(id) else { return Ok(None) };
        self.current(&key, now).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let key = self.key(id).ok_or_else(error::unsuitable_id)?;
        let expiry = self.expiry(record.deadline, now);
        match self.ask(&key, Request::add(&key, &record.text, expiry)).await? {
            Reply::Done { cas: Some(cas) } => Ok(Created::Done(Revision::new(cas.into()))),
            Reply::Taken => Ok(Created::Taken),
            Reply::Done { cas: None } | Reply::Found(_) | Reply::Missing | Reply::Changed => {
                Err(error::unexpected())
            }
        }
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let Some(key) = self.key(id) else { return Ok(Updated::Gone) };
        let expiry = self.expiry(record.deadline, now);
        // A revision of another store matches no record here.
        let reply = match u64::try_from(expected.number().unwrap_or_default()) {
            Ok(cas) if cas > 0 => {
                self.ask(&key, Request::replace(&key, &record.text, expiry, cas)).await?
            }
            Ok(_) | Err(_) => Reply::Changed,
        };
        match reply {
            Reply::Done { cas: Some(cas) } => Ok(Updated::Done(Revision::new(cas.into()))),
            Reply::Missing => Ok(Updated::Gone),
            Reply::Changed => {
                let current = self.current(&key, now).await?;
                Ok(current.map_or(Updated::Gone, Updated::Conflict))
            }
            Reply::Done { cas: None } | Reply::Found(_) | Reply::Taken => Err(error::unexpected()),
        }
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let Some(key) = self.key(id) else { return Ok(Touched::Gone) };
        let expiry = self.expiry(touch.deadline, now);
        match self.ask(&key, Request::touch(&key, expiry)).await? {
            Reply::Done { .. } => Ok(Touched::Done),
            Reply::Missing => Ok(Touched::Gone),
            Reply::Found(_) | Reply::Taken | Reply::Changed => Err(error::unexpected()),
        }
    }

    /// The server's clock, in whole seconds; the caller's where a proxy does not tell it.
    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        let mut lease = self.pool.lend(&self.options).await?;
        let asked = timeout(self.options.timeout, lease.connection.server_time()).await;
        let seconds = asked.map_err(|_| no_answer_in_time())??;
        lease.finish();
        Ok(seconds.map_or(now, |seconds| Timestamp::from_millis(seconds.saturating_mul(1000))))
    }

    /// The [`ttl`](Self::ttl) if it is set, with any max age.
    fn lifetime(&self) -> Lifetime {
        match self.ttl_set() {
            Some(ttl) => Lifetime::Always(ttl),
            None => Lifetime::MaxAgeOr(DAY),
        }
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let Some(key) = self.key(id) else { return Ok(()) };
        deleted(&self.ask(&key, Request::delete(&key)).await?)
    }

    /// Reads every session of the server, as [`Admin::list`](super::Admin::list) does.
    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        scan(self, users, after, limit, now).await
    }
}

fn found(reply: Reply) -> Result<Option<Item>, Error> {
    match reply {
        Reply::Found(item) => Ok(Some(item)),
        Reply::Missing => Ok(None),
        Reply::Done { .. } | Reply::Taken | Reply::Changed => Err(error::unexpected()),
    }
}

fn deleted(reply: &Reply) -> Result<(), Error> {
    match reply {
        Reply::Done { .. } | Reply::Missing => Ok(()),
        Reply::Found(_) | Reply::Taken | Reply::Changed => Err(error::unexpected()),
    }
}

fn loaded(item: Item, now: Timestamp) -> Result<Loaded, Error> {
    let text = String::from_utf8(item.value)
        .map_err(|_| Error::new(ErrorKind::Corrupt, "the value is not UTF-8"))?;
    let left = item.seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let deadline = left.map(|left| now.saturating_add(left));
    let record = Record { text: text.into(), deadline };
    Ok(Loaded { record, revision: Revision::new(item.cas.into()) })
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_set_and_shown() {
        let store = MemcachedStore::new("memcached://127.0.0.1")
            .unwrap()
            .prefix("sess:")
            .ttl(Duration::from_secs(3600))
            .timeout(Duration::from_secs(1))
            .max_waiting(9)
            .max_connections(50);
        let shown = format!("{store:?}");
        let options = r#"prefix: "sess:", ttl: Some(3600s), timeout: 1s, max_waiting: 9, max_connections: 50 }"#;
        assert!(shown.ends_with(options), "{shown}");
    }
}
