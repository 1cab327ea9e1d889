//! Sessions in Memcached, in records that npm's connect-memcached 3 reads and writes too.
//!
//! 1. The key is the [`prefix`](MemcachedStore::prefix) and the id, the value the session as JSON, with
//!    the flags by which Node's client knows JSON. Both sides may share the sessions, for as long as
//!    they have the same prefix and secret.
//! 2. The server ends a record: after the [`ttl`](MemcachedStore::ttl) if one is set, else at the
//!    cookie's expiry, in whole seconds rounded down, else after a day. Its clock beats once in a
//!    second, so a record may end a second earlier than that.
//! 3. Every verb is one round trip. An update that finds another record than it expected takes a second
//!    one, to fetch it.
//! 4. A revision is the number that the server gives each writing of an item, Node's included, so that
//!    an update compares and writes in one step.
//! 5. A touch moves the expiry, and neither text nor revision.
//! 6. Prefix and id together have at most 250 bytes, and no blanks or control characters. Record, key
//!    and some 100 bytes more are no larger than the server's largest item, which is 1 MiB unless it
//!    was started with `-I`. Anything else is [`ErrorKind::Unsuitable`].
//!
//! It needs Memcached 1.6 or later, for its meta commands.
//!
//! # How it differs from connect-memcached
//!
//! - A max age of more than 30 days is sent as a point in time. connect-memcached sends it as it is,
//!   and the server takes it for a point in 1970: such a session is lost as soon as Node saves it.
//! - A max age of less than a second is sent as a second, and one that has passed ends the record.
//!   connect-memcached sends 0 within a second before and after, which is never.
//! - connect-memcached's touch writes the whole session, and may undo what another request has just
//!   saved. Since ours leaves the text alone, the `expires` in it may be older than the record's time,
//!   as it is with connect-redis. Node sees it in `req.session.cookie.maxAge` until it touches the
//!   session itself.
//! - `clear` removes what has the prefix, and not all that is in the server.
//! - A prefix and id of more than 250 bytes are refused. Node's client replaces them by their MD5.
//! - connect-memcached's `secret`, which encrypts the records, is not supported.
//!
//! # What it does not do
//!
//! Memcached is a cache. It forgets sessions when it ends, and those unused for longest when it is
//! full; a visitor whose session is forgotten is logged out, and nothing else happens. Give it memory
//! enough, and watch `evictions` in its `stats`.
//!
//! One server keeps all sessions. connect-memcached can spread them over several, by a rule of its
//! own that would have to be the same here.
//!
//! It has no locks: no command of Memcached looks at one item and writes another in one step, so that a
//! write could not be kept from one whose lock is lost. [`lock`](Store::lock) and what belongs to it are
//! [`ErrorKind::Unsupported`].
//!
//! There is no TLS and no login: the network between must be one to trust.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::store::{
    Created, Error, ErrorKind, Loaded, LoadedAndTouched, Record, Revision, Store, Touch, Touched,
    Updated,
};
use express_session_core::{SessionId, Timestamp};

use self::address::Address;
use self::pool::Pool;
use self::protocol::{Expiry, Item, Key, Reply, Request};

mod address;
mod admin;
mod connection;
mod error;
mod pool;
mod protocol;

/// Keeps sessions in a Memcached.
///
/// Clones share the connections. Nothing is connected before the first call, and lost connections are
/// replaced by the calls that find them lost.
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
}

impl MemcachedStore {
    /// Makes a store for the server at a URL, `memcached://host:port?prefix=sess:&ttl=3600`.
    ///
    /// The port is 11211 unless given. The parameters are those of [`prefix`](Self::prefix) and, in
    /// seconds, of [`ttl`](Self::ttl).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] where the URL is none, or has several hosts or a login.
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
        Ok(Self { pool, options: Options { prefix, ttl, timeout: TIMEOUT } })
    }

    /// Makes a store, and connects, so that a server which is missing or cannot be used is known at
    /// the start.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), [`ErrorKind::Unavailable`] where there is no server, and
    /// [`ErrorKind::Refused`] where it is too old or runs without CAS.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let store = Self::new(url)?;
        // Any key will do, to see whether the commands are known.
        if let Some(key) = Key::new("express-session") {
            store.ask(&Request::get(&key, None)).await?;
        }
        Ok(store)
    }

    /// Sets what comes before the id in each key. The default is nothing, as in connect-memcached.
    ///
    /// With nothing, [`clear`](express_session_core::store::Admin::clear) takes every key of the server
    /// for a session; so it does with those of a store whose prefix merely begins with this one.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Lets every record live for so long after it was saved or touched, whatever its cookie says. By
    /// default the cookie decides, and a browser-session cookie's record lives for a day.
    ///
    /// As in connect-memcached it is for all sessions, in whole seconds, and zero is as if it were not
    /// set. A cookie that lives longer than its record looks like a logout to the visitor. With it, a
    /// request that only reads takes one round trip and not two.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Sets how long a call may take. The default is 5 seconds.
    ///
    /// A call that got no connection in that time ends with [`ErrorKind::Unavailable`], one that got no
    /// answer with [`ErrorKind::TimedOut`]: whether it happened is then not known. A listing may take
    /// longer, for as long as something comes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets how many connections there may be at once, at least one. The default is 10, as the
    /// `poolSize` of Node's client.
    ///
    /// More calls at once wait for a connection. One that was not used for a minute is replaced. Call
    /// it before the store is cloned: the clones keep the connections that they have.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.pool = Arc::new(self.pool.resized(connections));
        self
    }

    async fn ask(&self, request: &Request) -> Result<Reply, Error> {
        self.pool.ask(request, self.options.timeout).await
    }

    async fn current(&self, key: &Key, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let reply = self.ask(&Request::get(key, None)).await?;
        found(reply)?.map(|item| loaded(item, now)).transpose()
    }

    /// The key of a session, or nothing for an id that no session in here can have.
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
        Expiry::after(left, now.millis().div_euclid(1000))
    }
}

impl fmt::Debug for MemcachedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { prefix, ttl, timeout } = &self.options;
        f.debug_struct("MemcachedStore")
            .field("server", &self.pool.address())
            .field("prefix", prefix)
            .field("ttl", ttl)
            .field("timeout", timeout)
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
        match self.ask(&Request::add(&key, &record.text, expiry)).await? {
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
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let Some(key) = self.key(id) else { return Ok(Updated::Gone) };
        let expiry = self.expiry(record.deadline, now);
        // A revision of another store is of no record here.
        let reply = match u64::try_from(expected.get()) {
            Ok(cas) if cas > 0 => {
                self.ask(&Request::replace(&key, &record.text, expiry, cas)).await?
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
        match self.ask(&Request::touch(&key, expiry)).await? {
            Reply::Done { .. } => Ok(Touched::Done),
            Reply::Missing => Ok(Touched::Gone),
            Reply::Found(_) | Reply::Taken | Reply::Changed => Err(error::unexpected()),
        }
    }

    /// Renews where a [`ttl`](Self::ttl) is set. Without, it is the text that tells the new deadline,
    /// and the caller has to touch.
    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        let Some(ttl) = self.ttl_set() else {
            let loaded = self.load(id, now).await?;
            return Ok(loaded.map(|loaded| LoadedAndTouched { loaded, is_touched: false }));
        };
        let Some(key) = self.key(id) else { return Ok(None) };
        let reply = self.ask(&Request::get(&key, Some(self.expiry(None, now)))).await?;
        let Some(item) = found(reply)? else { return Ok(None) };
        let mut loaded = loaded(item, now)?;
        // The server tells the time that it had left before.
        loaded.record.deadline = Some(now.saturating_add(ttl));
        Ok(Some(LoadedAndTouched { loaded, is_touched: true }))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let Some(key) = self.key(id) else { return Ok(()) };
        deleted(&self.ask(&Request::delete(&key)).await?)
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
