//! Stores sessions in Redis or Valkey, in the format of npm's connect-redis.
//!
//! Keys are the [`prefix`](RedisStore::prefix) followed by the session id; values are the session as JSON.
//! connect-redis 3 to 10 can read and write the same sessions if both sides have the same prefix and secret.
//!
//! - **Round trips.** Every operation takes one, if there is no index; see [`RedisStore`] for the commands.
//! - **Concurrency.** An update is a compare-and-swap: the server replaces the record only if its text is
//!   still the one that was loaded. A deleted record stays deleted.
//! - **Expiry.** The server expires a record at the cookie's expiry, rounded up to a second, or after
//!   [`ttl`](RedisStore::ttl) if the cookie has none. Saving a record that has already expired deletes it.
//!   A touch moves the expiry only.
//! - **Locks.** A lock is a key of its own, `lock:{sess:…}`, or `lock:sess:…` if the record's key has a
//!   `{tag}`, so that a cluster stores it beside the record. It expires with its lease. A second key,
//!   `lock:fence:{sess:…}`, keeps its last fencing token for a day longer. An ACL restricted to `~sess:*` also needs
//!   `~lock:*`.
//! - **The index of the users**, with [`user_index`](RedisStore::user_index), is a sorted set for each user,
//!   `user:sess:…` with a digest of the user.
//!
//! Requires Redis 6.2 or later, or Valkey; standalone, Sentinel and Cluster are supported.
//!
//! # Durability
//!
//! A successful write means that the master has it. If the master fails before replicating, the write is
//! lost, and a logout with it. Use `min-replicas-to-write` on the server, or
//! [`wait_for_replicas`](RedisStore::wait_for_replicas) to make each write wait for its replicas. If a
//! failover loses a lock, its holder can no longer write, and its save fails. The store never reads from
//! replicas, which could return a deleted session.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use ::redis;
use ::redis::{Cmd, Pipeline, Value, cmd};
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::store::{
    Created, Cursor, Error, ErrorKind, Fenced, FencingToken, Lifetime, Loaded, LockOutcome,
    LockToken, Page, Record, Revision, Store, Touch, Touched, Updated, scan,
};
use express_session_core::{SessionId, Timestamp};

use self::address::Address;
pub use self::connection::Connection;
use self::link::{Call, Link, Work};
use self::listing::Listings;
use self::replicas::Replicas;
use self::script::Script;
use self::swap::{Abilities, Swap, Way};
use super::breaker::MAX_WAITING;

pub(super) mod address;
mod admin;
mod answer;
mod check;
mod connection;
mod error;
mod link;
mod listing;
mod lock;
mod replicas;
mod script;
mod source;
mod swap;
mod users;

/// Keeps sessions in Redis.
///
/// Clones share the connection, so that an application can keep a handle to list or clear sessions, or use
/// several stores with different prefixes.
///
/// # Cost
///
/// All calls share one connection, and each is one round trip:
///
/// | verb | what the server does |
/// |---|---|
/// | `load` | `GET` and `PTTL`, sent together |
/// | `create` | `SET … EX … NX` |
/// | `update` | `SET … EX … IFEQ`; on a server without it, or for more than 4 KiB, a script: `GET`, `SET … EX` |
/// | `touch` | `EXPIRE` |
/// | `destroy` | `DEL` |
/// | `time` | `TIME` |
/// | `lock` | a script: `HMGET`, `TIME`, `HGET`, and then `HSET` and `PEXPIRE` |
/// | `unlock` | a script: `HGET`, `DEL` |
/// | `update_locked` | the script of `update`, with an `HGET` before |
///
/// With [`user_index`](Self::user_index), a write of a session with a user takes a second one, and a touch three.
///
/// The first call after a server restart sends the scripts again, in a second round trip. With
/// [`ttl_with`](Self::ttl_with), a touch takes two.
///
/// The two commands of a load are not atomic. If another request writes the record between them, the text is
/// the earlier and the deadline the later one, and an update of that text is a conflict. An atomic script
/// would take the server three times as long.
///
/// # Outages
///
/// If the server cannot be reached, a call fails immediately as [`ErrorKind::Unavailable`]. A call without an
/// answer is [`ErrorKind::TimedOut`] after [`timeout`](Self::timeout), and later calls use a new connection. After
/// either, calls fail immediately until the server answers again, which the store tries twice a second. If a connection is lost, the store repeats its idempotent calls: all but
/// `create`, `update` and `update_locked`.
///
/// ```
/// use std::time::Duration;
/// use express_session::SessionLayer;
/// use express_session::store::redis::RedisStore;
///
/// // Connects with the first call.
/// let store = RedisStore::new("redis://127.0.0.1")?.ttl(Duration::from_secs(3600));
/// let layer = SessionLayer::new("keyboard cat").store(store);
/// # let _ = layer;
/// # Ok::<(), express_session::store::Error>(())
/// ```
#[derive(Clone)]
pub struct RedisStore {
    link: Arc<Link>,
    listings: Arc<Listings>,
    options: Options,
}

#[derive(Clone)]
struct Options {
    prefix: Arc<str>,
    ttl: Ttl,
    keeps_ttl: bool,
    touches: bool,
    user_index: bool,
    scan_count: usize,
    timeout: Duration,
    max_waiting: usize,
    replicas: Option<Replicas>,
}

/// The TTL of records.
#[derive(Clone)]
enum Ttl {
    /// The record's own deadline, or this TTL if it has none.
    Default(Duration),
    /// The result of a function, instead of the record's deadline.
    Of(Arc<dyn Fn(&Record) -> Duration + Send + Sync>),
}

/// The default of [`RedisStore::ttl`]: a day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl RedisStore {
    /// Makes a store for a URL, to which the first call connects.
    ///
    /// | address | |
    /// |---|---|
    /// | `redis://user:password@host:6379/0` | one server, here with the database 0 |
    /// | `rediss://…` | the same with TLS, with the feature `tls`; `?ssl_ca_certs=…` names a PEM file of your authority |
    /// | `redis+unix:///run/redis.sock?db=0` | a socket of this machine; `user` and `pass` beside `db` |
    /// | `redis+sentinel://a:26379,b:26379/mymaster?db=0` | the master that sentinels name, of the name `mymaster` |
    /// | `redis+cluster://a:6379,b:6379` | a cluster, of which some nodes are known |
    ///
    /// Sentinels and clusters have TLS as `rediss+sentinel` and `rediss+cluster`. The user and the
    /// password are those of the servers; `?sentinel_username=…&sentinel_password=…` are those of the sentinels.
    /// Special characters are percent-encoded. `?protocol=2` uses RESP2, for proxies that have no other.
    /// `valkey` can replace `redis`. The guide lists the [other parameters](crate::guide::stores::redis).
    ///
    /// ```
    /// use express_session::store::redis::RedisStore;
    ///
    /// let store = RedisStore::new("redis+sentinel://:secret@a,b,c/mymaster?db=1")?;
    /// assert!(format!("{store:?}").contains("mymaster of the sentinels a:26379,b:26379,c:26379"));
    /// assert!(!format!("{store:?}").contains("secret"));
    /// # Ok::<(), express_session::store::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] where the address cannot be used.
    pub fn new(url: &str) -> Result<Self, Error> {
        let (address, trust) = Address::parse(url)?;
        Ok(Self::over(Link::to(address, &trust)?))
    }

    /// Makes a store for a URL with TLS, with your own certificate authority instead of the public ones, or a
    /// client certificate.
    ///
    /// ```no_run
    /// use express_session::store::redis::RedisStore;
    /// use express_session::store::redis::redis::TlsCertificates;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let authority = std::fs::read("/etc/redis/ca.pem")?;
    /// let certificates = TlsCertificates { client_tls: None, root_cert: Some(authority) };
    /// let store = RedisStore::new_with_tls("rediss://redis.example.com", certificates)?;
    /// # let _ = store;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] where the address, its options or the certificates cannot be used.
    #[cfg(feature = "tls")]
    pub fn new_with_tls(url: &str, certificates: ::redis::TlsCertificates) -> Result<Self, Error> {
        let (address, mut trust) = Address::parse(url)?;
        trust.give(certificates);
        Ok(Self::over(Link::to(address, &trust)?))
    }

    /// Returns whether a store for this URL verifies the server's certificate by the public authorities: the URL asks
    /// for a trusted certificate, and names no authority.
    ///
    /// For a caller that has a default of its own, to pass to [`new_with_tls`](Self::new_with_tls) only then.
    ///
    /// ```
    /// use express_session::store::redis::RedisStore;
    ///
    /// # fn main() -> Result<(), express_session::store::Error> {
    /// assert!(RedisStore::trusts_public_authorities("rediss://cache")?);
    /// assert!(!RedisStore::trusts_public_authorities("rediss://cache?ssl_cert_reqs=none")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    #[cfg(feature = "tls")]
    pub fn trusts_public_authorities(url: &str) -> Result<bool, Error> {
        let (address, trust) = Address::parse(url)?;
        Ok(trust.trusts_public_authorities(&address))
    }

    /// Makes a store as [`new`](Self::new) does, and connects immediately, so that a wrong address or login
    /// shows when the application starts. Commands without an effect find out what the login may do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] where the address cannot be used, [`ErrorKind::Unavailable`] if the
    /// server cannot be reached, [`ErrorKind::Refused`] if the login is wrong or lacks commands, which the message
    /// lists, or if the server is a node of a cluster.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let store = Self::new(url)?;
        store.check().await?;
        Ok(store)
    }

    /// Makes a store over a connection of the application: a `ConnectionManager`, a `MultiplexedConnection` or
    /// a `ClusterConnection` of the `redis` crate.
    ///
    /// The application then handles reconnects, and timeouts shorter than [`timeout`](Self::timeout). A
    /// `MultiplexedConnection` does not reconnect. A `ConnectionManager` does, but keeps a connection that no
    /// longer answers. A `ClusterConnection` repeats every call that was lost with a node, updates too, so
    /// that a change may be made twice.
    ///
    /// ```no_run
    /// use express_session::store::redis::RedisStore;
    /// use express_session::store::redis::redis::cluster::ClusterClient;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = ClusterClient::new(["redis://127.0.0.1:7000"])?;
    /// let store = RedisStore::with_connection(cluster.get_async_connection().await?);
    /// # let _ = store;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_connection(connection: impl Into<Connection>) -> Self {
        Self::over(Link::over(connection.into()))
    }

    fn over(link: Link) -> Self {
        let options = Options {
            prefix: "sess:".into(),
            ttl: Ttl::Default(DAY),
            keeps_ttl: true,
            touches: true,
            user_index: false,
            scan_count: 100,
            timeout: Duration::from_secs(5),
            max_waiting: MAX_WAITING,
            replicas: None,
        };
        link.probe_with(&options.prefix);
        Self { link: Arc::new(link), listings: Arc::new(Listings::new()), options }
    }

    /// Sets the prefix of the keys, `sess:` by default.
    ///
    /// Two applications on one server need two prefixes, of which neither begins with the other, or clearing
    /// one clears both. With an empty prefix, every string of the database counts as a session, and
    /// [`clear`](express_session_core::store::Admin::clear) deletes it.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.options.prefix = prefix.into();
        self.link.probe_with(&self.options.prefix);
        self
    }

    /// Sets the TTL of sessions without `max_age`. The default, also for zero, is 24 hours.
    ///
    /// Each save and touch resets the expiry. As in connect-redis since version 4, a session with `max_age`
    /// ignores the TTL; use [`ttl_with`](Self::ttl_with) to override it.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Ttl::Default(if ttl.is_zero() { DAY } else { ttl });
        self
    }

    /// Sets the TTL of each session by a function of its record, overriding the cookie's expiry: connect-redis's
    /// `ttl` as a function. The result is rounded up to seconds; zero deletes the session.
    ///
    /// Every save and touch calls it. Since a touch has to load the record, it takes two round trips, and a
    /// request that only reads takes three instead of one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use express_session::store::redis::RedisStore;
    /// let store = RedisStore::new("redis://127.0.0.1")?.ttl_with(|record| {
    ///     let is_admin = record.text.contains(r#""role":"admin""#);
    ///     Duration::from_secs(if is_admin { 900 } else { 86_400 })
    /// });
    /// assert!(format!("{store:?}").contains("ttl: a function"));
    /// # Ok::<(), express_session::store::Error>(())
    /// ```
    #[must_use]
    pub fn ttl_with(mut self, ttl: impl Fn(&Record) -> Duration + Send + Sync + 'static) -> Self {
        self.options.ttl = Ttl::Of(Arc::new(ttl));
        self
    }

    /// Sets whether records never expire. The default is `false`.
    ///
    /// With `true` the server only ever grows, unless it has a `maxmemory-policy`. Saving an expired session
    /// still deletes it, and the browser drops the cookie, but a copy of the cookie works for ever. Touches do
    /// nothing.
    #[must_use]
    pub fn disable_ttl(mut self, disable: bool) -> Self {
        self.options.keeps_ttl = !disable;
        self
    }

    /// Sets whether a request that only reads leaves the expiry unchanged, so that a session expires a fixed
    /// time after its last change. The default is `false`.
    #[must_use]
    pub fn disable_touch(mut self, disable: bool) -> Self {
        self.options.touches = !disable;
        self
    }

    /// Sets whether the store keeps an index of the users, a sorted set for each, which a list of a user's sessions then
    /// reads. The default is `false`: it reads every session of the server. The end of a user's sessions does so in any
    /// case.
    ///
    /// Express does not maintain it: a session that Express has begun is listed from the first time that this store has
    /// written it. So is one of before the option. Each write and touch of a session with a user takes a round trip more,
    /// for a script, and a touch a `GET`. It is for the metadata member `__sessionMetadata`; the layer's
    /// [`metadata_member`](crate::SessionLayer::metadata_member) of another name does not use it.
    #[must_use]
    pub fn user_index(mut self, index: bool) -> Self {
        self.options.user_index = index;
        self
    }

    /// Sets how many keys the server scans in one step of a listing, a count or a clearing: 100 by default, at
    /// least one. A larger number makes these faster, but other calls wait longer for each step.
    #[must_use]
    pub fn scan_count(mut self, count: usize) -> Self {
        self.options.scan_count = count.max(1);
        self
    }

    /// Sets the timeout of a call, for the connection and the answer: 5 seconds by default.
    ///
    /// It applies to each round trip of a touch with [`ttl_with`](Self::ttl_with), a listing, a count or a
    /// clearing. Connecting to one server may take a second of it. The timeout for a node of a cluster is
    /// 5 seconds at most.
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

    /// Makes each change wait until `replicas` replicas have it, for at most `timeout` (`WAIT`). By default no
    /// change waits.
    ///
    /// Use it if a logout must not be undone by a failover. `create`, `update`, `update_locked` and `destroy`
    /// are [`ErrorKind::TimedOut`] if too few replicas have the change in time: the master has it, but may
    /// lose it. A loss becomes unlikely, not impossible, since a replica without the change may become master.
    ///
    /// Each change costs a round trip from the master to its replicas, and changes run one after the other on
    /// a second connection, so that other calls do not wait. If replicas are down, each change takes the
    /// whole `timeout`; keep it well below [`timeout`](Self::timeout). A change whose future is dropped may
    /// happen after a later read on the first connection.
    ///
    /// A [connection of the application](Self::with_connection) is the only one: all its other calls wait too.
    /// More replicas than the server has always time out; 0 turns waiting off.
    #[must_use]
    pub fn wait_for_replicas(mut self, replicas: usize, timeout: Duration) -> Self {
        self.options.replicas = Replicas::new(replicas, timeout);
        self
    }

    /// Checks that the server answers, for a health check or before the first request.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`], [`ErrorKind::TimedOut`] or [`ErrorKind::Refused`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.command(cmd("PING"), true).await.map(drop)
    }

    fn key(&self, id: &SessionId) -> String {
        [&self.options.prefix, id.as_str()].concat()
    }

    /// Returns the TTL of a record in seconds, rounded as in connect-redis; 0 or less if it has expired.
    fn seconds(&self, record: &Record, now: Timestamp) -> i64 {
        match (&self.options.ttl, record.deadline) {
            (Ttl::Default(_), Some(deadline)) => {
                let left = deadline.millis() - now.millis();
                left.div_euclid(1000) + i64::from(left.rem_euclid(1000) > 0)
            }
            (Ttl::Default(ttl), None) => whole_seconds(*ttl),
            (Ttl::Of(ttl), _) => whole_seconds(ttl(record)),
        }
    }

    fn ask(&self, call: &Call<'_>) -> impl Future<Output = Result<Vec<Value>, Error>> {
        self.link.ask(call, self.options.timeout, self.options.max_waiting)
    }

    async fn command(&self, command: Cmd, is_repeatable: bool) -> Result<Value, Error> {
        let work = Work::Commands(alone(command));
        let call = Call { work, is_repeatable, slot: None, replicas: None };
        answer::only(self.ask(&call).await?)
    }

    async fn run(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&str],
        is_repeatable: bool,
    ) -> Result<Value, Error> {
        let work = Work::Script { script, keys, arguments };
        let call = Call { work, is_repeatable, slot: None, replicas: None };
        answer::only(self.ask(&call).await?)
    }

    /// Makes a change, and waits for replicas if that is set. Returns the answer, and whether enough of them
    /// have the change if there was one.
    async fn change(
        &self,
        work: Work<'_>,
        is_repeatable: bool,
    ) -> Result<(Value, Result<(), Error>), Error> {
        let replicas = self.options.replicas;
        let call = Call { work, is_repeatable, slot: None, replicas };
        self.changed(self.ask(&call).await?)
    }

    /// Reads the answers to a change.
    fn changed(&self, mut answers: Vec<Value>) -> Result<(Value, Result<(), Error>), Error> {
        let replicated = match self.options.replicas {
            Some(replicas) => replicas.check(&answers.pop().ok_or_else(answer::unexpected)?),
            None => Ok(()),
        };
        Ok((answer::only(answers)?, replicated))
    }

    /// Updates a record, under a lock if its key and holder are given.
    async fn replace(
        &self,
        id: &SessionId,
        lock: Option<[&str; 2]>,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let key = self.key(id);
        let seconds = self.seconds(record, now);
        let seconds = (self.options.keeps_ttl || seconds <= 0).then_some(seconds);
        if self.options.user_index && seconds.is_none_or(|seconds| seconds > 0) {
            Box::pin(self.index(id, &record.text, seconds)).await?;
        }
        // A revision of another store is that of no record.
        let expected = expected.text().filter(|text| !text.is_empty()).unwrap_or("none");
        let swap = Swap { key: &key, expected, text: &record.text, seconds };
        loop {
            let compares = match self.link.compares() {
                // Only a script can check the lock.
                _ if lock.is_some() => false,
                Some(compares) => compares,
                // Asked by a command without an effect, so that it can be repeated if its answer is lost.
                None => Box::pin(self.compares(&key)).await?,
            };
            let abilities = Abilities { compares, scripts: !self.link.refuses_scripts() };
            let way = Way::of(abilities, expected.len(), lock.is_some());
            let answers = match way {
                Way::Compare => self.swap(Work::Commands(swap.compare())).await?,
                Way::Script => self.run_update(&swap, lock).await.map_err(|it| self.of_lock(it))?,
                Way::Transaction => Box::pin(self.swap(Work::Transaction(swap))).await?,
            };
            if way.is_lacking(&answers) && lock.is_none() {
                self.link.lacks(way);
                continue;
            }
            let (answer, replicated) = self.changed(answers).map_err(|it| self.of_lock(it))?;
            if matches!(answer, Value::Int(1) | Value::Okay) {
                let revision = Revision::by_text(Arc::clone(&record.text));
                return replicated.map(|()| Fenced::Held(Updated::Done(revision)));
            }
            if answer == Value::Int(0) {
                return Ok(Fenced::Lost);
            }
            // A script and a transaction return the record that is there.
            let current = match answer::list(answer)? {
                Some(current) => {
                    let [text, left] = answer::exactly(current)?;
                    answer::loaded(text, &left, now)?
                }
                None if way == Way::Compare => Box::pin(self.load(id, now)).await?,
                None => None,
            };
            return Ok(Fenced::Held(match current {
                None => Updated::Gone,
                // It was written in between, and is compared again.
                Some(current) if *current.record.text == *expected && way == Way::Compare => {
                    continue;
                }
                Some(current) => Updated::Conflict(current),
            }));
        }
    }

    /// Asks for an update.
    async fn swap(&self, work: Work<'_>) -> Result<Vec<Value>, Error> {
        let replicas = self.options.replicas;
        self.ask(&Call { work, is_repeatable: false, slot: None, replicas }).await
    }

    /// Updates by a script.
    async fn run_update(
        &self,
        swap: &Swap<'_>,
        lock: Option<[&str; 2]>,
    ) -> Result<Vec<Value>, Error> {
        let digest;
        let (expected, form) = match swap.expected {
            text if text.len() <= swap::TEXT => (text, "text"),
            text => {
                digest = script::digest(text);
                (&*digest, "sha1")
            }
        };
        let seconds = swap.seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
        let (mut keys, mut arguments) = (vec![swap.key], vec![expected, swap.text, &seconds, form]);
        if let Some([lock, holder]) = lock {
            keys.push(lock);
            arguments.push(holder);
        }
        let (keys, arguments) = (&*keys, &*arguments);
        self.swap(Work::Script { script: &script::UPDATE, keys, arguments }).await
    }
}

impl RedisStore {
    /// Adds to an error what a login without scripts lacks for locks.
    fn of_lock(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Refused || !self.link.refuses_scripts() {
            return error;
        }
        let message = "locks are scripts, which the login may not run: allow +evalsha and +eval, and the commands in \
                       them";
        Error::new(ErrorKind::Refused, message).with_source(error)
    }
}

impl fmt::Debug for RedisStore {
    /// Shows the address without its login, and no session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            prefix,
            ttl,
            keeps_ttl,
            touches,
            user_index,
            scan_count,
            timeout,
            max_waiting,
            replicas,
        } = &self.options;
        let ttl: &dyn fmt::Debug = match ttl {
            Ttl::Default(ttl) => ttl,
            Ttl::Of(_) => &format_args!("a function"),
        };
        f.debug_struct("RedisStore")
            .field("server", &format_args!("{}", self.link.shown()))
            .field("prefix", prefix)
            .field("ttl", ttl)
            .field("disable_ttl", &!keeps_ttl)
            .field("disable_touch", &!touches)
            .field("user_index", user_index)
            .field("scan_count", scan_count)
            .field("timeout", timeout)
            .field("max_waiting", max_waiting)
            .field("wait_for_replicas", replicas)
            .finish()
    }
}

impl Store for RedisStore {
    /// Returns the record with the server's deadline, or without one if it never expires.
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let key = self.key(id);
        let mut commands = Pipeline::with_capacity(2);
        for name in ["GET", "PTTL"] {
            let mut read = command(name, 1, key.len());
            read.arg(&key);
            commands.add_command(read);
        }
        let work = Work::Commands(commands);
        let call = Call { work, is_repeatable: true, slot: None, replicas: None };
        let answers = self.ask(&call).await?;
        let [text, left] = answer::exactly(answers)?;
        answer::loaded(text, &left, now)
    }

    /// Stores the record with `SET … NX`, unless it has already expired.
    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let key = self.key(id);
        let seconds = self.seconds(record, now);
        let done = Created::Done(Revision::by_text(Arc::clone(&record.text)));
        if seconds <= 0 {
            let exists = Box::pin(self.load(id, now)).await?.is_some();
            return Ok(if exists { Created::Taken } else { done });
        }
        if self.options.user_index {
            let seconds = self.options.keeps_ttl.then_some(seconds);
            Box::pin(self.index(id, &record.text, seconds)).await?;
        }
        let mut set = command("SET", 5, key.len() + record.text.len());
        set.arg(key).arg(&*record.text);
        if self.options.keeps_ttl {
            set.arg("EX").arg(seconds);
        }
        set.arg("NX");
        let (answer, replicated) = self.change(Work::Commands(alone(set)), false).await?;
        if answer::done(&answer)? { replicated.map(|()| done) } else { Ok(Created::Taken) }
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        match self.replace(id, None, record, expected, now).await? {
            Fenced::Held(updated) => Ok(updated),
            Fenced::Lost => Err(answer::unexpected()),
        }
    }

    /// Moves the expiry with `EXPIRE`, and does not change the text.
    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let loaded = match self.options.ttl {
            Ttl::Default(_) if self.supports_touch() && !self.options.user_index => None,
            Ttl::Default(_) | Ttl::Of(_) => {
                let Some(loaded) = Box::pin(self.load(id, now)).await? else {
                    return Ok(Touched::Gone);
                };
                Some(loaded.record.text)
            }
        };
        if !self.supports_touch() {
            return Ok(Touched::Done);
        }
        let (text, deadline) = match &loaded {
            Some(text) => touch.onto(text, now),
            None => ("".into(), touch.deadline),
        };
        let record = Record { text: text.into(), deadline };
        let seconds = self.seconds(&record, now);
        if self.options.user_index && seconds > 0 {
            Box::pin(self.index(id, &record.text, Some(seconds))).await?;
        }
        let mut command = cmd("EXPIRE");
        command.arg(self.key(id)).arg(seconds);
        let found = answer::number(&self.command(command, true).await?)? > 0;
        Ok(if found { Touched::Done } else { Touched::Gone })
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let mut delete = cmd("DEL");
        delete.arg(self.key(id));
        // Repeated on another connection, it would find nothing, and not wait for replicas.
        let is_repeatable = self.options.replicas.is_none();
        let (answer, replicated) =
            self.change(Work::Commands(alone(delete)), is_repeatable).await?;
        answer::number(&answer)?;
        replicated
    }

    /// The lease ends by the server's clock.
    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        _now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let (key, is_cluster) = (self.key(id), self.link.is_cluster());
        let keys = [&*lock::key(&key, is_cluster)?, &*lock::fence_key(&key, is_cluster)?];
        // The server's numbers may not reach beyond JavaScript's last date.
        let lease = lease.as_millis().min(Timestamp::MAX.millis().unsigned_abs().into());
        let arguments = [&*lock::holder(holder), &*lease.to_string()];
        let answer = self.run(&script::LOCK, &keys, &arguments, true).await;
        let fence = answer::number(&answer.map_err(|error| self.of_lock(error))?)?;
        Ok(match fence {
            0 => LockOutcome::Held,
            fence => LockOutcome::Acquired(FencingToken::new(fence.cast_unsigned())),
        })
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let key = self.key(id);
        let lock = lock::key(&key, self.link.is_cluster())?;
        let lock = Some([&*lock, &*lock::holder(holder)]);
        self.replace(id, lock, record, expected, now).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let key = lock::key(&self.key(id), self.link.is_cluster())?;
        let answer = self.run(&script::UNLOCK, &[&key], &[&lock::holder(holder)], true).await;
        answer::number(&answer.map_err(|error| self.of_lock(error))?).map(drop)
    }

    /// Reads every session of the server, of a cluster on all masters, as [`Admin::list`](super::Admin::list) does, or for a
    /// list with [`user_index`](RedisStore::user_index) those that the index has.
    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let is_indexed = self.options.user_index && !users.is_complete();
        if is_indexed && users.indexed(&MemberName::DEFAULT).is_some() {
            return Box::pin(self.indexed(users, after.as_ref(), limit, now)).await;
        }
        scan(self, users, after, limit, now).await
    }

    /// The server's clock; the caller's where the login may not ask for `TIME`.
    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        match self.command(cmd("TIME"), true).await {
            Ok(time) => answer::time(time),
            Err(error) if error.kind() == ErrorKind::Refused => Ok(now),
            Err(error) => Err(error),
        }
    }

    /// Unknown with [`ttl_with`](Self::ttl_with).
    fn lifetime(&self) -> Lifetime {
        match self.options.ttl {
            Ttl::Default(ttl) => Lifetime::MaxAgeOr(ttl),
            Ttl::Of(_) => Lifetime::Unknown,
        }
    }

    /// Returns `false` with [`disable_touch`](Self::disable_touch) or [`disable_ttl`](Self::disable_ttl), as
    /// connect-redis's `touch` then does nothing.
    fn supports_touch(&self) -> bool {
        self.options.touches && self.options.keeps_ttl
    }
}

/// Makes a command with room for its arguments, the long ones of which have so many bytes.
fn command(name: &str, arguments: usize, bytes: usize) -> Cmd {
    // For the name, options and numbers.
    const SHORT: usize = 64;
    let mut command = Cmd::with_capacity(1 + arguments, SHORT + bytes);
    command.arg(name);
    command
}

fn alone(command: Cmd) -> Pipeline {
    let mut commands = Pipeline::with_capacity(1);
    commands.add_command(command);
    commands
}

fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    // The server's numbers may not reach beyond JavaScript's last date.
    i64::try_from(seconds).unwrap_or(i64::MAX).min(Timestamp::MAX.millis() / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> RedisStore {
        RedisStore::new("redis://127.0.0.1").unwrap()
    }

    fn seconds(store: &RedisStore, deadline: Option<i64>) -> i64 {
        let deadline = deadline.map(Timestamp::from_millis);
        let record = Record { text: "{}".into(), deadline };
        store.seconds(&record, Timestamp::from_millis(1_000_000))
    }

    #[test]
    fn time_that_is_left_is_rounded_up_to_seconds() {
        for (deadline, expected) in [
            (1_000_001, 1),
            (1_001_000, 1),
            (1_001_001, 2),
            (1_000_000, 0),
            (999_999, 0),
            (999_000, -1),
            (998_999, -1),
        ] {
            assert_eq!(seconds(&store(), Some(deadline)), expected, "{deadline}");
        }
    }

    #[test]
    fn number_is_for_records_without_an_expiry_and_a_function_is_for_all() {
        assert_eq!(seconds(&store(), None), 86_400);
        assert_eq!(seconds(&store().ttl(Duration::ZERO), None), 86_400);
        assert_eq!(seconds(&store().ttl(Duration::from_millis(1500)), None), 2);
        assert_eq!(seconds(&store().ttl(Duration::from_secs(7)), Some(1_060_000)), 60);
        let by_function = store().ttl_with(|_| Duration::from_secs(7));
        assert_eq!(seconds(&by_function, Some(1_060_000)), 7);
        assert_eq!(seconds(&by_function.ttl_with(|_| Duration::ZERO), None), 0);
        assert_eq!(seconds(&store().ttl(Duration::MAX), None), 8_640_000_000_000);
    }

    #[test]
    fn every_option_is_set_and_shown() {
        let store = store()
            .prefix("shop:")
            .ttl(Duration::from_secs(1800))
            .disable_ttl(true)
            .disable_touch(true)
            .user_index(true)
            .scan_count(1000)
            .timeout(Duration::from_millis(500))
            .max_waiting(9)
            .wait_for_replicas(1, Duration::from_millis(250));
        let shown = format!("{store:?}");
        let options = r#"prefix: "shop:", ttl: 1800s, disable_ttl: true, disable_touch: true, "#
            .to_owned()
            + "user_index: true, scan_count: 1000, timeout: 500ms, max_waiting: 9, wait_for_replicas: Some";
        assert!(shown.contains(&options), "{shown}");
        assert!(!store.supports_touch());
        for store in [self::store().disable_ttl(true), self::store().disable_touch(true)] {
            assert!(!store.supports_touch(), "{store:?}");
        }
    }

    #[test]
    fn store_never_prints_its_password() {
        let store = RedisStore::new("redis://user:hunter2@127.0.0.1").unwrap();
        assert!(!format!("{store:?}").contains("hunter2"));
    }
}
