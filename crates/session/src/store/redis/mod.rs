//! Sessions in Redis or Valkey, in records that npm's connect-redis reads and writes too.
//!
//! The key is the [`prefix`](RedisStore::prefix) and the id, the value the session as JSON, and the
//! server ends it: connect-redis 3 to 10 can share the sessions, for as long as both have the same
//! prefix and secret.
//!
//! 1. Each verb is one round trip; see [`RedisStore`] for what the server does in it.
//! 2. An update replaces what was loaded, and nothing else: the server compares a digest of the text,
//!    as Node counts no revisions. A record that is gone stays gone.
//! 3. A record lives until the cookie's expiry, in whole seconds rounded up, or else for the
//!    [`ttl`](RedisStore::ttl). Whose time is over when it is saved is destroyed.
//! 4. A touch moves the expiry and leaves the text alone.
//! 5. A lock is a key of its own, beside those that begin with the prefix: `lock:{sess:…}`, or
//!    `lock:sess:…` for a record whose key has a `{tag}` of its own, which both share. The server ends it
//!    with its lease. A login that is confined to some keys (`~sess:*`) needs `~lock:*` too.
//!
//! It needs Redis 6.2 or later, or Valkey: alone, with sentinels, or as a cluster.
//!
//! # What it does not do
//!
//! An answer means that the master has it. A master that fails before its replicas have it too takes
//! the last writes along, logouts among them; `min-replicas-to-write` on the server bounds that, and
//! [`wait_for_replicas`](RedisStore::wait_for_replicas) lets each change wait for them. A lock that is
//! taken along lets nobody write who had it: a save under it is lost, and says so. It does not read from
//! replicas, which could give back what was destroyed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Pipeline, Value, cmd};
use express_session_core::record::with_cookie;
#[cfg(doc)]
use express_session_core::store::ErrorKind;
use express_session_core::store::{
    Created, Error, Fenced, Loaded, LoadedAndTouched, LockOutcome, LockToken, Record, Revision,
    Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use self::address::Address;
pub use self::connection::Connection;
use self::link::{Call, Link, Work};
use self::listing::Listings;
use self::replicas::Replicas;
use self::script::Script;
use self::source::Trust;

mod address;
mod admin;
mod answer;
mod connection;
mod error;
mod link;
mod listing;
mod lock;
mod replicas;
mod script;
mod source;

/// Keeps sessions in Redis.
///
/// Clones share the connection, so that an application can keep a handle to list or clear sessions,
/// or have several stores with different prefixes.
///
/// # Cost
///
/// All calls share one connection, and each is one round trip:
///
/// | verb | what the server does |
/// |---|---|
/// | `load` | `GET` and `PTTL`, sent together |
/// | `create` | `SET … EX … NX` |
/// | `update` | a script: `GET`, a digest, `SET … EX` |
/// | `touch` | `EXPIRE` |
/// | `load_and_touch` | a script: `GET`, `EXPIRE` |
/// | `destroy` | `DEL` |
/// | `lock`, `unlock` | a script: `HGET`, and then `HSET` and `PEXPIRE`, or `DEL` |
/// | `update_locked` | the script of `update`, with an `HGET` before |
///
/// A server that was restarted is sent the scripts again, which is a second round trip, once. With a
/// [`ttl_with`](Self::ttl_with), a touch is two.
///
/// The two commands of a load are not one step. If a record is written between them, the text is the
/// earlier and the deadline the later one, which harms nobody: an update of that text is a conflict.
/// One step would be a script, which takes the server three times as long.
///
/// # Outages
///
/// A server that cannot be reached is an error of kind [`ErrorKind::Unavailable`] at once, and each
/// call tries to reach it anew. A call without an answer is [`ErrorKind::TimedOut`] after
/// [`timeout`](Self::timeout), and the calls after it use a new connection. What was lost with a
/// connection is asked again if it does no harm to do it twice: everything but `create`, `update` and
/// `update_locked`, so that no change is made twice.
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
    scan_count: usize,
    timeout: Duration,
    replicas: Option<Replicas>,
}

/// How long a record lives.
#[derive(Clone)]
enum Ttl {
    /// Until its own deadline, or for so long where it has none.
    Default(Duration),
    /// What a function says, whatever its deadline.
    Of(Arc<dyn Fn(&Record) -> Duration + Send + Sync>),
}

/// The default of [`RedisStore::ttl`]: a day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl RedisStore {
    /// Makes a store at an address, to which it connects with the first call.
    ///
    /// | address | |
    /// |---|---|
    /// | `redis://user:password@host:6379/0` | one server, here with the database 0 |
    /// | `rediss://…` | the same with TLS, with the feature `tls` |
    /// | `redis+unix:///run/redis.sock?db=0` | a socket of this machine; `user` and `pass` beside `db` |
    /// | `redis+sentinel://a:26379,b:26379/mymaster?db=0` | the master that sentinels name, of the name `mymaster` |
    /// | `redis+cluster://a:6379,b:6379` | a cluster, of which some nodes are known |
    ///
    /// Sentinels and clusters have TLS as `rediss+sentinel` and `rediss+cluster`. The user and the
    /// password are those of the servers; those of the sentinels are `sentinel_username` and
    /// `sentinel_password`, behind the `?`. What has a special meaning in URLs is written as `%40` and so
    /// on. `?protocol=2` speaks the protocol of Redis 5, for proxies that know no other. `valkey` can
    /// stand in place of `redis`.
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
        Ok(Self::over(Link::to(Address::parse(url)?, &Trust::default())?))
    }

    /// Makes a store at an address with TLS, and says whom to trust: an authority of one's own in place
    /// of the public ones, or a certificate to show to the server.
    ///
    /// ```no_run
    /// use express_session::store::redis::RedisStore;
    /// use redis::TlsCertificates;
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
        let trust = Trust { certificates: Some(certificates) };
        Ok(Self::over(Link::to(Address::parse(url)?, &trust)?))
    }

    /// Makes a store at an address as [`new`](Self::new) does, and connects at once: what is wrong with
    /// the address or the login shows when the application starts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] where the address cannot be used, [`ErrorKind::Unavailable`] where nothing
    /// is there, [`ErrorKind::Refused`] where the login is wrong.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let store = Self::new(url)?;
        store.ping().await?;
        Ok(store)
    }

    /// Makes a store over a connection that the application has already: a `ConnectionManager`, a
    /// `MultiplexedConnection` or a `ClusterConnection` of the `redis` crate.
    ///
    /// It saves a connection, and leaves everything about it to the application: timeouts shorter than
    /// [`timeout`](Self::timeout), and how it comes back when it is lost. Know three things about those of
    /// the crate: a `MultiplexedConnection` does not come back; a `ConnectionManager` does, but keeps a
    /// connection on which nothing is answered any more; and a `ClusterConnection` repeats what was
    /// lost with a node, updates too, which can make a change twice.
    ///
    /// ```no_run
    /// use express_session::store::redis::RedisStore;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = redis::cluster::ClusterClient::new(["redis://127.0.0.1:7000"])?;
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
            scan_count: 100,
            timeout: Duration::from_secs(5),
            replicas: None,
        };
        Self { link: Arc::new(link), listings: Arc::new(Listings::new()), options }
    }

    /// Sets what the keys begin with, `sess:` by default.
    ///
    /// Two applications on one server need two prefixes. Neither may begin with the other, as `a:`
    /// and `a:b:` do, or clearing the one clears both. An empty one takes every text of the database
    /// for a session, and clears it.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// Sets how long a session lives that has no expiry of its own, as those of a browser-session
    /// cookie. The default is 24 hours, which also stands for zero.
    ///
    /// It begins anew with each save and touch. It does not override an expiry of the cookie, as it
    /// does not in connect-redis since version 4; for that there is [`ttl_with`](Self::ttl_with).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Ttl::Default(if ttl.is_zero() { DAY } else { ttl });
        self
    }

    /// Sets how long a session lives from its record, whatever the cookie's expiry: connect-redis's
    /// `ttl` where it is a function. What it gives is rounded up to seconds; zero destroys the session.
    ///
    /// It is called for every save and touch. As the record has to be loaded for the latter, a touch
    /// takes two round trips, and a request that only reads takes three in place of one.
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

    /// Says whether records are kept for ever, which they are not by default.
    ///
    /// The server then only ever grows, unless it has a `maxmemory-policy`. A session whose time is
    /// over is still destroyed where it is saved, and its cookie ends in the browser, but a copy of the
    /// cookie works for ever. Touches do nothing.
    #[must_use]
    pub fn disable_ttl(mut self, disable: bool) -> Self {
        self.options.keeps_ttl = !disable;
        self
    }

    /// Says whether reading a session leaves its expiry alone, so that it ends a fixed time after its
    /// last change. By default it begins anew with each request.
    #[must_use]
    pub fn disable_touch(mut self, disable: bool) -> Self {
        self.options.touches = !disable;
        self
    }

    /// Sets how many keys the server looks at in one step of a listing, a count or a clearing: 100 by
    /// default, at least one.
    ///
    /// More makes these faster, and lets all others wait longer for each step.
    #[must_use]
    pub fn scan_count(mut self, count: usize) -> Self {
        self.options.scan_count = count.max(1);
        self
    }

    /// Sets how long a call waits, for a connection and then for the answer: 5 seconds by default.
    ///
    /// What takes several round trips may take it several times: a touch with
    /// [`ttl_with`](Self::ttl_with), and what goes over all sessions. Of this, connecting to one server may
    /// take a second. A cluster's node is not waited for longer than 5 seconds in any case.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Lets each change wait until so many replicas have it too, for at most so long (`WAIT`). By default
    /// none is waited for.
    ///
    /// It is for those to whom a logout that comes undone after a failover is worse than one that takes
    /// longer. `create`, `update`, `update_locked` and `destroy` then end with [`ErrorKind::TimedOut`] where
    /// too few replicas had the change in time: the master has it, and it may be lost with the master.
    /// It makes such a loss unlikely, and not impossible: a replica that does not have the change may be
    /// made the master all the same.
    ///
    /// The cost is a way from the master to its replicas and back for each change, and that changes go one
    /// after the other: while the server waits, it does nothing else of what comes over the same
    /// connection. So they have a second one, and nothing but changes waits. Where replicas are down,
    /// each change takes the whole time; keep it well below [`timeout`](Self::timeout). A change whose
    /// future is dropped may happen a moment later, after what is then read over the first connection.
    ///
    /// A connection [of the application's](Self::with_connection) is the only one: all that the
    /// application asks over it waits too. Numbers beyond what the server has time out always; no replicas
    /// are none to wait for.
    #[must_use]
    pub fn wait_for_replicas(mut self, replicas: usize, timeout: Duration) -> Self {
        self.options.replicas = Replicas::new(replicas, timeout);
        self
    }

    /// Asks whether the server is there: for a health check, or before the first request.
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

    /// Gives the seconds that a record is to live, as connect-redis rounds them; none or fewer for one
    /// whose time is over.
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
        self.link.ask(call, self.options.timeout)
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

    /// Makes a change that replicas may have to have. Gives the answer, and whether enough of them have
    /// it, which is of interest if there was a change.
    async fn change(
        &self,
        work: Work<'_>,
        is_repeatable: bool,
    ) -> Result<(Value, Result<(), Error>), Error> {
        let replicas = self.options.replicas;
        let call = Call { work, is_repeatable, slot: None, replicas };
        let mut answers = self.ask(&call).await?;
        let replicated = match replicas {
            Some(replicas) => replicas.check(&answers.pop().ok_or_else(answer::unexpected)?),
            None => Ok(()),
        };
        Ok((answer::only(answers)?, replicated))
    }

    /// Updates a record, under a lock if one is named: its key and its holder.
    async fn replace(
        &self,
        key: &str,
        lock: Option<[&str; 2]>,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let seconds = self.seconds(record, now);
        let seconds = match self.options.keeps_ttl || seconds <= 0 {
            true => seconds.to_string(),
            false => String::new(),
        };
        let expected = format!("{:032x}", expected.get());
        let (mut keys, mut arguments) = (vec![key], vec![&*expected, &*record.text, &*seconds]);
        if let Some([lock, holder]) = lock {
            keys.push(lock);
            arguments.push(holder);
        }
        let work = Work::Script { script: &script::UPDATE, keys: &keys, arguments: &arguments };
        let (answer, replicated) = self.change(work, false).await?;
        if answer == Value::Int(1) {
            return replicated
                .map(|()| Fenced::Held(Updated::Done(answer::revision(&record.text))));
        }
        if answer == Value::Int(0) {
            return Ok(Fenced::Lost);
        }
        let Some(current) = answer::list(answer)? else { return Ok(Fenced::Held(Updated::Gone)) };
        let [text, left] = answer::exactly(current)?;
        let current = answer::loaded(text, &left, now)?;
        Ok(Fenced::Held(current.map_or(Updated::Gone, Updated::Conflict)))
    }
}

impl fmt::Debug for RedisStore {
    /// Shows the address without its login, and no session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { prefix, ttl, keeps_ttl, touches, scan_count, timeout, replicas } =
            &self.options;
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
            .field("scan_count", scan_count)
            .field("timeout", timeout)
            .field("wait_for_replicas", replicas)
            .finish()
    }
}

impl Store for RedisStore {
    /// Gives the record with the deadline that the server keeps; none where it keeps it for ever.
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let key = self.key(id);
        let mut commands = Pipeline::with_capacity(2);
        commands.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
        let work = Work::Commands(commands);
        let call = Call { work, is_repeatable: true, slot: None, replicas: None };
        let answers = self.ask(&call).await?;
        let [text, left] = answer::exactly(answers)?;
        answer::loaded(text, &left, now)
    }

    /// Stores the record with `SET … NX`. Of one whose time is over nothing is stored.
    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let key = self.key(id);
        let seconds = self.seconds(record, now);
        let done = Created::Done(answer::revision(&record.text));
        if seconds <= 0 {
            let mut exists = cmd("EXISTS");
            exists.arg(key);
            let exists = answer::number(&self.command(exists, true).await?)? > 0;
            return Ok(if exists { Created::Taken } else { done });
        }
        let mut set = cmd("SET");
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
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        match self.replace(&self.key(id), None, record, expected, now).await? {
            Fenced::Held(updated) => Ok(updated),
            Fenced::Lost => Err(answer::unexpected()),
        }
    }

    /// Moves the expiry with `EXPIRE`, and leaves the text alone.
    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let key = self.key(id);
        let mut command = if self.supports_touch() { cmd("EXPIRE") } else { cmd("EXISTS") };
        command.arg(key);
        if self.supports_touch() {
            let record = match self.options.ttl {
                Ttl::Default(_) => Record { text: "".into(), deadline: touch.deadline },
                Ttl::Of(_) => {
                    let loaded = Box::pin(self.load(id, now)).await?;
                    let Some(loaded) = loaded else { return Ok(Touched::Gone) };
                    let text = loaded.record.text;
                    let text = with_cookie(&text, &touch.cookie).map_or(text, Arc::from);
                    Record { text, deadline: touch.deadline }
                }
            };
            command.arg(self.seconds(&record, now));
        }
        let found = answer::number(&self.command(command, true).await?)? > 0;
        Ok(if found { Touched::Done } else { Touched::Gone })
    }

    /// Does both in one step, unless touches do nothing, or the time to live is a function.
    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        let ttl = match self.options.ttl {
            Ttl::Default(ttl) if self.supports_touch() => whole_seconds(ttl).to_string(),
            Ttl::Default(_) | Ttl::Of(_) => {
                let loaded = Box::pin(self.load(id, now)).await?;
                return Ok(loaded.map(|loaded| LoadedAndTouched { loaded, is_touched: false }));
            }
        };
        let answer = self.run(&script::RENEW, &[&self.key(id)], &[&ttl], true).await?;
        let Some(answers) = answer::list(answer)? else { return Ok(None) };
        let [text, left, renewed] = answer::exactly(answers)?;
        let is_touched = answer::number(&renewed)? > 0;
        let loaded = answer::loaded(text, &left, now)?;
        Ok(loaded.map(|loaded| LoadedAndTouched { loaded, is_touched }))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let mut delete = cmd("DEL");
        delete.arg(self.key(id));
        // Made again on another connection, it would find nothing, and wait for nobody.
        let is_repeatable = self.options.replicas.is_none();
        let (answer, replicated) =
            self.change(Work::Commands(alone(delete)), is_repeatable).await?;
        answer::number(&answer)?;
        replicated
    }

    /// The server ends it with its lease, by its own clock.
    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        _now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let key = lock::key(&self.key(id), self.link.is_cluster())?;
        // Beyond JavaScript's last date the server may not count so far.
        let lease = lease.as_millis().min(Timestamp::MAX.millis().unsigned_abs().into());
        let arguments = [&*lock::holder(holder), &*lease.to_string()];
        let answer = self.run(&script::LOCK, &[&key], &arguments, true).await?;
        Ok(if answer::number(&answer)? > 0 { LockOutcome::Acquired } else { LockOutcome::Held })
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let key = self.key(id);
        let lock = lock::key(&key, self.link.is_cluster())?;
        let lock = Some([&*lock, &*lock::holder(holder)]);
        self.replace(&key, lock, record, expected, now).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let key = lock::key(&self.key(id), self.link.is_cluster())?;
        let answer = self.run(&script::UNLOCK, &[&key], &[&lock::holder(holder)], true).await?;
        answer::number(&answer).map(drop)
    }

    /// Says no where [`disable_touch`](Self::disable_touch) or [`disable_ttl`](Self::disable_ttl) is
    /// set: connect-redis's `touch` does nothing then.
    fn supports_touch(&self) -> bool {
        self.options.touches && self.options.keeps_ttl
    }
}

fn alone(command: Cmd) -> Pipeline {
    let mut commands = Pipeline::with_capacity(1);
    commands.add_command(command);
    commands
}

fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    // Beyond JavaScript's last date the server may not count so far.
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
    fn store_never_prints_its_password() {
        let store = RedisStore::new("redis://user:hunter2@127.0.0.1").unwrap();
        assert!(!format!("{store:?}").contains("hunter2"));
    }
}
