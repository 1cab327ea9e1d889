//! Stores sessions in a MySQL or MariaDB table, in the format of npm's express-mysql-session 3.
//!
//! The table is that of express-mysql-session: `session_id`, `expires`, `data`. Either side reads what the
//! other wrote, byte for byte.
//!
//! - **Round trips.** Every operation takes one, except the first use of a connection, which prepares the
//!   statement, and an update that is refused, which loads the record to say why.
//! - **Concurrency.** An update is a compare-and-swap on a SHA-256 of the stored text, computed by the server.
//! - **Expiry.** `expires` decides, not the JSON's. It is a whole second, rounded to the nearest, at which the
//!   session has expired; express-mysql-session returns it for half a second more. Its last value is in 2106.
//!   A touch moves `expires` only.
//! - **Locks.** A lock is a row in a second table with the suffix `_lock`, which the first lock creates. Its
//!   lease ends by the server's clock. A write under a lock holds the lock's row until it is committed.
//! - **Limits.** An id of more than 128 characters or with a space at its end, which the collation ignores,
//!   is [`ErrorKind::Unsuitable`]. So is a text of 16 MiB.
//! - **Errors.** The source of an error has the server's message if it is about the server, such as a missing
//!   table. A message that may quote a session is reduced to its number.
//!
//! Requires a user that may `SELECT`, `INSERT`, `UPDATE` and `DELETE` in the table, and `CREATE` it if it is
//! missing; for locks, the same in the second table. The error for a missing right to create that shows the
//! statement to run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use ::mysql_async;
use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, FencingToken, Lifetime, Loaded, LockOutcome,
    LockToken, Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};
use mysql_async::{Opts, OptsBuilder, Pool, PoolConstraints, Row, Value};
use tokio::sync::OnceCell;
use tokio::time::timeout_at;

use self::connections::Connections;
use self::encryption::{Demand, Encryption};
use self::query::{Answer, Locks, Query};
use self::sql::{End, Statement, Statements};
use super::breaker::{self, Breaker, Fault, Server};
use super::cleanup::Schedule;
use super::finish::Calls;

pub(super) mod address;
mod connections;
mod encryption;
mod error;
mod query;
mod sql;

/// Keeps sessions in the table of npm's express-mysql-session.
///
/// Clones share the connections. The first call connects, and a call that finds its connection lost replaces
/// it. A call whose future is dropped continues until its answer or its timeout, and the next call for the
/// same session waits for it.
///
/// ```no_run
/// use express_session::SessionLayer;
/// use express_session::store::mysql::MySqlStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MySqlStore::new("mysql://web:password@localhost/shop")?;
/// let layer = SessionLayer::new("keyboard cat").store(store);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MySqlStore {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Arc<Connections>,
    options: Options,
    sql: Statements,
    /// Set once the table is known to exist.
    table: OnceCell<()>,
    clearing: Schedule,
    calls: Calls,
    breaker: Breaker,
}

#[derive(Clone)]
struct Options {
    table_name: String,
    session_id: String,
    expires: String,
    data: String,
    create_database_table: bool,
    expiration: Duration,
    clear_expired: bool,
    check_expiration_interval: Duration,
    disable_touch: bool,
    timeout: Duration,
    max_waiting: usize,
}

impl MySqlStore {
    /// Makes a store for the database at a URL, with up to 10 connections of its own.
    ///
    /// The URL is `mysql://user:password@host:port/database`, with the parameters in which hosts and other
    /// clients ask for encryption (`ssl-mode`, `ssl`, `sslaccept`, `useSSL`, `tls`), the PEM files `ssl-ca`,
    /// `ssl-cert` and `ssl-key`, `socketPath`, and those of the driver's
    /// [`Opts`] but for the pool's. Encryption needs the feature `tls`; a URL that asks for it is never answered
    /// with plain text, `ssl-mode=PREFERRED` neither. `REQUIRED` accepts any certificate. The connections are in
    /// strict mode, so that the server never truncates a value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] if the URL is malformed, has an unknown parameter, or asks for encryption without the
    /// feature `tls`. The message names the parameter, and does not show the URL, which may hold a password.
    ///
    /// ```
    /// use express_session::store::mysql::MySqlStore;
    ///
    /// assert!(MySqlStore::new("mysql://web@localhost/shop").is_ok());
    /// assert!(MySqlStore::new("redis://localhost").is_err());
    /// ```
    pub fn new(url: &str) -> Result<Self, Error> {
        let (opts, encryption) = address::parse(url)?;
        Self::encrypted(opts, encryption)
    }

    /// Makes a store for a URL as [`new`](Self::new) does, with certificates as PEM: `authority` instead of the
    /// public authorities, and `identity`, a client certificate and its key.
    ///
    /// The connections are encrypted, with a certificate of the server for this host, unless the URL has another
    /// `ssl-mode`.
    ///
    /// ```no_run
    /// use express_session::store::mysql::MySqlStore;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let authority = std::fs::read("/etc/mysql/ca.pem")?;
    /// let store = MySqlStore::new_with_tls("mysql://web@db.internal/shop", Some(authority), None)?;
    /// # let _ = store;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] if the URL is malformed, asks for plain text, or a certificate is not in PEM.
    #[cfg(feature = "tls")]
    pub fn new_with_tls(
        url: &str,
        authority: Option<Vec<u8>>,
        identity: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, Error> {
        let (opts, mut encryption) = address::parse(url)?;
        encryption.verify();
        encryption.authority = authority.or(encryption.authority);
        if let Some((certificate, key)) = identity {
            (encryption.certificate, encryption.key) = (Some(certificate), Some(key));
        }
        Self::encrypted(opts, encryption)
    }

    /// Returns whether a store for this URL verifies the server's certificate by the public authorities: the URL asks
    /// for a trusted certificate, and names no authority.
    ///
    /// For a caller that has a default of its own, to pass to [`new_with_tls`](Self::new_with_tls) only then.
    ///
    /// ```
    /// use express_session::store::mysql::MySqlStore;
    ///
    /// # fn main() -> Result<(), express_session::store::Error> {
    /// assert!(MySqlStore::trusts_public_authorities("mysql://web@db/shop?sslaccept=strict")?);
    /// assert!(!MySqlStore::trusts_public_authorities("mysql://web@db/shop?ssl-mode=REQUIRED")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    #[cfg(feature = "tls")]
    pub fn trusts_public_authorities(url: &str) -> Result<bool, Error> {
        let (_, encryption) = address::parse(url)?;
        encryption.trusts_public_authorities()
    }

    fn encrypted(opts: Opts, encryption: Encryption) -> Result<Self, Error> {
        let is_plain = encryption.demand()? == Demand::Plain;
        if !is_plain && opts.socket().is_some() {
            let message = "a socket of this machine has no TLS: leave out ssl-mode, ssl and so on";
            return Err(Error::new(ErrorKind::Other, message));
        }
        #[cfg(feature = "tls")]
        let opts = OptsBuilder::from_opts(opts).ssl_opts(encryption.options()?).into();
        // Without it, the driver panics when it connects.
        #[cfg(not(feature = "tls"))]
        if !is_plain {
            let message = "encryption, which the URL asks for, needs the feature `tls`";
            return Err(Error::new(ErrorKind::Other, message));
        }
        Ok(Self::over(Connections::own(opts, CONNECTIONS), Options::default()))
    }

    /// Makes a store as [`new`](Self::new) does, and connects immediately, so that a wrong address or login
    /// shows when the application starts.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), [`ErrorKind::Unavailable`] if the server cannot be reached, and
    /// [`ErrorKind::Refused`] if the login is wrong.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        // Its name is not known yet.
        let store = Self::new(url)?;
        store.clone().create_database_table(false).ask(None, |sql| sql.ping, Vec::new()).await?;
        Ok(store)
    }

    /// Makes a store over a pool of the application.
    ///
    /// Such a pool resets each connection after each use, unless
    /// [`reset_connection`](mysql_async::PoolOpts::with_reset_connection) is off: each use
    /// then prepares its statement again, in another round trip. Keep the server's strict mode on: without it
    /// MySQL truncates a value that does not fit its column.
    ///
    /// ```
    /// use express_session::store::mysql::MySqlStore;
    /// use express_session::store::mysql::mysql_async::Pool;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::from_url("mysql://web@localhost/shop?reset_connection=false")?;
    /// let store = MySqlStore::with_pool(pool);
    /// # let _ = store;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_pool(pool: Pool) -> Self {
        Self::over(Connections::given(pool), Options::default())
    }

    /// Sets the name of the table, npm's `schema.tableName`. The default is `sessions`.
    ///
    /// A dot follows the name of a database, as in `shop.sessions`.
    #[must_use]
    pub fn table_name(self, name: impl Into<String>) -> Self {
        self.with(|options| options.table_name = name.into())
    }

    /// Sets the names of the columns, npm's `schema.columnNames`. The defaults are `session_id`, `expires`
    /// and `data`.
    #[must_use]
    pub fn column_names(
        self,
        session_id: impl Into<String>,
        expires: impl Into<String>,
        data: impl Into<String>,
    ) -> Self {
        self.with(|options| {
            options.session_id = session_id.into();
            options.expires = expires.into();
            options.data = data.into();
        })
    }

    /// Sets whether the first call creates a missing table. The default is `true`.
    ///
    /// It costs one statement in the first call of each process. A user that may not create tables can use an
    /// existing table.
    #[must_use]
    pub fn create_database_table(self, create: bool) -> Self {
        self.with(|options| options.create_database_table = create)
    }

    /// Sets the TTL of sessions without `max_age`. The default is a day. Each save and touch resets the
    /// expiry.
    #[must_use]
    pub fn expiration(self, expiration: Duration) -> Self {
        self.with(|options| options.expiration = expiration)
    }

    /// Sets whether the store removes expired sessions. The default is `true`; `false` is for databases
    /// whose own events remove them.
    #[must_use]
    pub fn clear_expired(self, clear: bool) -> Self {
        self.with(|options| options.clear_expired = clear)
    }

    /// Sets the interval at which expired sessions are removed. The default is 15 minutes.
    ///
    /// The first call after the interval starts a task that finds them without a lock and removes 250 at a
    /// time. The table has no index on `expires`, so that each removal scans the whole table. Expired sessions
    /// are never returned, removed or not.
    #[must_use]
    pub fn check_expiration_interval(self, interval: Duration) -> Self {
        self.with(|options| options.check_expiration_interval = interval)
    }

    /// Sets whether a request that only reads leaves the expiry unchanged. The default is `false`.
    ///
    /// `true` saves a write for each such request, but a session that only reads expires at the deadline of
    /// its last save.
    #[must_use]
    pub fn disable_touch(self, disable: bool) -> Self {
        self.with(|options| options.disable_touch = disable)
    }

    /// Sets the maximum number of connections, at least one. The default is 10, as in the npm package mysql2.
    ///
    /// Further calls wait for a connection. A pool of the application is not changed.
    #[must_use]
    pub fn connection_limit(self, connections: usize) -> Self {
        match self.shared.connections.with_limit(connections.max(1)) {
            Some(limited) => Self::over(limited, self.shared.options.clone()),
            None => self,
        }
    }

    /// Sets the maximum number of calls that wait for the server at the same time. The default is 4,096.
    ///
    /// A further call is [`ErrorKind::Unavailable`] immediately, and not made.
    #[must_use]
    pub fn max_waiting(self, calls: usize) -> Self {
        self.with(|options| options.max_waiting = calls)
    }

    /// Sets the timeout of a call. The default is 5 seconds.
    ///
    /// A call without a connection by then is [`ErrorKind::Unavailable`]. A call without an answer is
    /// [`ErrorKind::TimedOut`], and may or may not have happened.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.timeout = timeout)
    }

    fn with(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.shared.options.clone();
        change(&mut options);
        Self::assemble(self.shared.connections.clone(), self.shared.breaker.clone(), options)
    }

    fn over(connections: Connections, options: Options) -> Self {
        Self::assemble(Arc::new(connections), Breaker::default(), options)
    }

    fn assemble(connections: Arc<Connections>, breaker: Breaker, options: Options) -> Self {
        let Options { table_name, session_id, expires, data, .. } = &options;
        let sql = Statements::new(table_name, session_id, expires, data);
        let interval = options.clear_expired.then_some(options.check_expiration_interval);
        let clearing = Schedule::new(interval, false);
        let (table, calls) = (OnceCell::new(), Calls::default());
        let shared = Shared { connections, options, sql, table, clearing, calls, breaker };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the parameters of the end of a record with this deadline.
    fn end(&self, deadline: Option<Timestamp>, now: Timestamp) -> [Value; 4] {
        let deadline =
            deadline.unwrap_or_else(|| now.saturating_add(self.shared.options.expiration));
        // Math.round, and what fits the column.
        let end = (deadline.millis() + 500).div_euclid(1000).clamp(0, i64::from(u32::MAX));
        End::new(end, now).parameters().map(Value::from)
    }

    /// Runs one statement, for a session or for none, on a connection of the pool.
    async fn ask(
        &self,
        sid: Option<&str>,
        statement: Statement,
        parameters: Vec<Value>,
    ) -> Result<Answer, Error> {
        self.query(sid, Query { statement, parameters, locks: Locks::Unasked }).await
    }

    /// Runs one statement about the lock of an id, and creates the table of locks if it is missing.
    async fn ask_lock(
        &self,
        sid: &str,
        statement: Statement,
        parameters: Vec<Value>,
    ) -> Result<Answer, Error> {
        self.query(Some(sid), Query { statement, parameters, locks: Locks::Make }).await
    }

    async fn query(&self, sid: Option<&str>, query: Query) -> Result<Answer, Error> {
        let Shared { connections, options, calls, breaker, .. } = &*self.shared;
        let until = breaker::deadline(options.timeout);
        let work = async {
            if let Some(sid) = sid {
                let settled = timeout_at(until, calls.settled(sid)).await;
                settled.map_err(|_| breaker::no_connection_in_time())?;
            }
            let connections = Arc::clone(connections);
            // Never dropped by its caller: the driver's pool wakes one waiter for each connection that is returned, and
            // if that waiter is gone, the others keep waiting.
            let connection = async move {
                let (generation, pool) = connections.current();
                Ok((pool.get_conn().await.map_err(error::of_driver)?, generation))
            };
            let connection = breaker.connect(&self.shared, until, connection).await?;
            let shared = Arc::clone(&self.shared);
            calls.run(sid, query::run(shared, connection, until, query)).await
        };
        breaker.call(&self.shared, options.max_waiting, Box::pin(work)).await
    }

    async fn current(&self, sid: &str, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let parameters = vec![sid.into(), sql::from(now).into()];
        let mut rows = self.ask(Some(sid), |sql| &sql.load, parameters).await?.rows;
        rows.first_mut().map(|row| loaded(row, 0)).transpose()
    }

    /// Updates a record, under the lock if there is a holder.
    async fn replace(
        &self,
        sid: &str,
        record: &Record,
        expected: &Revision,
        holder: Option<LockToken>,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let text = checked(&record.text)?;
        let digest = format!("{:032x}", expected.number().unwrap_or_default());
        let done = Fenced::Held(Updated::Done(Revision::of_text(text)));
        let from = sql::from(now);
        loop {
            let mut parameters = vec![text.into()];
            parameters.extend(self.end(record.deadline, now));
            parameters.push(sid.into());
            let answer = match holder {
                None => {
                    parameters.extend([from.into(), digest.as_str().into()]);
                    self.ask(Some(sid), |sql| &sql.update, parameters).await?
                }
                Some(holder) => {
                    let holder = bytes(holder);
                    parameters.extend([sid.into(), holder, from.into(), digest.as_str().into()]);
                    self.ask_lock(sid, |sql| &sql.locks.update, parameters).await?
                }
            };
            if answer.is_marked() {
                return Ok(done);
            }
            let otherwise = match holder {
                None => match self.current(sid, now).await? {
                    None => Some(Updated::Gone),
                    Some(current) => conflict(current, expected),
                },
                Some(holder) => {
                    let parameters = vec![sid.into(), bytes(holder), sid.into(), from.into()];
                    let mut answer = self.ask_lock(sid, |sql| &sql.locks.load, parameters).await?;
                    let row = answer.rows.first_mut().ok_or_else(no_row)?;
                    if column::<i64>(row, 0)? == 0 {
                        return Ok(Fenced::Lost);
                    }
                    not_replaced(row, expected)?
                }
            };
            if let Some(otherwise) = otherwise {
                return Ok(Fenced::Held(otherwise));
            }
        }
    }

    /// Removes the locks whose lease has ended, if the table of locks exists.
    async fn purge_locks(&self) -> Result<(), Error> {
        loop {
            let query = Query {
                statement: |sql| &sql.locks.purge,
                parameters: vec![sql::STEP.into()],
                locks: Locks::None,
            };
            if self.query(None, query).await?.affected < sql::STEP {
                return Ok(());
            }
        }
    }
}

impl Server for Shared {
    fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    fn forget(&self) {
        let (generation, _) = self.connections.current();
        self.connections.leave(generation);
    }

    async fn probe(&self) -> Result<(), Error> {
        let mut connection = self.connections.connect_for_probe(&self.calls).await?;
        query::probe(&mut connection, &self.sql).await
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            table_name: "sessions".to_owned(),
            session_id: "session_id".to_owned(),
            expires: "expires".to_owned(),
            data: "data".to_owned(),
            create_database_table: true,
            expiration: DAY,
            clear_expired: true,
            check_expiration_interval: CHECK_INTERVAL,
            disable_touch: false,
            timeout: TIMEOUT,
            max_waiting: breaker::MAX_WAITING,
        }
    }
}

impl fmt::Debug for MySqlStore {
    /// Shows the options, and neither the server's address nor a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { connections, options, sql, .. } = &*self.shared;
        f.debug_struct("MySqlStore")
            .field("table", &format_args!("{}", sql.table))
            .field("create_database_table", &options.create_database_table)
            .field("expiration", &options.expiration)
            .field("clear_expired", &options.clear_expired)
            .field("check_expiration_interval", &options.check_expiration_interval)
            .field("disable_touch", &options.disable_touch)
            .field("timeout", &options.timeout)
            .field("max_waiting", &options.max_waiting)
            .field("connection_limit", &connections.limit())
            .finish()
    }
}

impl Store for MySqlStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        self.shared.clearing.purge_if_due(self, now);
        match key(id) {
            Some(sid) => self.current(sid, now).await,
            None => Ok(None),
        }
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.shared.clearing.purge_if_due(self, now);
        let sid = key(id).ok_or_else(unsuitable_id)?;
        let text = checked(&record.text)?;
        let from = sql::from(now);
        let mut parameters = vec![sid.into()];
        parameters.extend(self.end(record.deadline, now));
        parameters.extend([text.into(), from.into(), from.into()]);
        let answer = self.ask(Some(sid), |sql| &sql.create, parameters).await?;
        Ok(if answer.is_marked() { Created::Taken } else { Created::Done(Revision::of_text(text)) })
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        self.shared.clearing.purge_if_due(self, now);
        let Some(sid) = key(id) else { return Ok(Updated::Gone) };
        match self.replace(sid, record, expected, None, now).await? {
            Fenced::Held(updated) => Ok(updated),
            Fenced::Lost => Err(no_row()),
        }
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        if self.shared.options.disable_touch {
            let live = self.load(id, now).await?;
            return Ok(live.map_or(Touched::Gone, |_| Touched::Done));
        }
        self.shared.clearing.purge_if_due(self, now);
        let Some(sid) = key(id) else { return Ok(Touched::Gone) };
        let mut parameters: Vec<Value> = self.end(touch.deadline, now).into();
        parameters.extend([sid.into(), sql::from(now).into()]);
        let answer = self.ask(Some(sid), |sql| &sql.touch, parameters).await?;
        Ok(if answer.is_marked() { Touched::Done } else { Touched::Gone })
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        if let Some(sid) = key(id) {
            self.ask(Some(sid), |sql| &sql.destroy, vec![sid.into()]).await?;
        }
        Ok(())
    }

    /// The lease ends by the server's clock, not by `now`.
    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        self.shared.clearing.purge_if_due(self, now);
        let sid = key(id).ok_or_else(unsuitable_id)?;
        // Far beyond any lease, and within what the column holds.
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 4);
        let parameters = vec![sid.into(), bytes(holder), lease.into()];
        let answer = self.ask_lock(sid, |sql| &sql.locks.lock, parameters).await?;
        Ok(match answer.marked {
            Some(1) => LockOutcome::Held,
            Some(fence) => LockOutcome::Acquired(FencingToken::new(fence)),
            None => return Err(Error::new(ErrorKind::Other, "the server gave no fencing token")),
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
        self.shared.clearing.purge_if_due(self, now);
        let Some(sid) = key(id) else { return Ok(Fenced::Lost) };
        self.replace(sid, record, expected, Some(holder), now).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let Some(sid) = key(id) else { return Ok(()) };
        let parameters = vec![sid.into(), bytes(holder)];
        self.ask_lock(sid, |sql| &sql.locks.unlock, parameters).await.map(drop)
    }

    /// The server looks for the user's text in all records, and sends those that have it.
    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let mut page = self.page(users.text(), after, limit, now).await?;
        page.sessions.retain(|(_, record)| users.matches(&record.text));
        Ok(page)
    }

    /// The server's clock.
    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        let mut rows = self.ask(None, |sql| &sql.time, Vec::new()).await?.rows;
        let millis = rows.first_mut().map(|row| column(row, 0)).transpose()?;
        Ok(millis.map_or(now, Timestamp::from_millis))
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::MaxAgeOr(self.shared.options.expiration)
    }

    /// `false` with [`disable_touch`](Self::disable_touch).
    fn supports_touch(&self) -> bool {
        !self.shared.options.disable_touch
    }
}

impl MySqlStore {
    /// Returns a page of the records that contain a text.
    async fn page(
        &self,
        contained: &str,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        // A limit of 0 would loop forever.
        let limit = limit.max(1);
        let statement: Statement = match (contained, &after) {
            ("", None) => |sql| &sql.list,
            ("", Some(_)) => |sql| &sql.list_on,
            (_, None) => |sql| &sql.list_with,
            (_, Some(_)) => |sql| &sql.list_with_on,
        };
        let mut parameters: Vec<Value> = Vec::new();
        if !contained.is_empty() {
            parameters.push(contained.into());
        }
        if let Some(last) = &after {
            parameters.push(last.as_str().into());
        }
        parameters.extend([sql::from(now).into(), Value::from(limit as u64)]);
        let page = self.ask(None, statement, parameters).await?.rows;

        let is_full = page.len() == limit;
        let mut next = None;
        let mut sessions = Vec::with_capacity(page.len());
        for mut row in page {
            let sid = text(&mut row, 2)?;
            next = is_full.then(|| Cursor::new(sid.as_str()));
            // No session has an empty id.
            if let Some(id) = SessionId::new(sid) {
                sessions.push((id, loaded(&mut row, 0)?.record));
            }
        }
        Ok(Page { sessions, next })
    }
}

impl Admin for MySqlStore {
    /// Lists the sessions in the order of their ids.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        self.page("", after, limit, now).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        let mut rows = self.ask(None, |sql| &sql.count, vec![sql::from(now).into()]).await?.rows;
        let count = rows.first_mut().map(|row| column::<u64>(row, 0)).transpose()?;
        Ok(count.unwrap_or(0))
    }

    /// Removes 250 at a time, so that each step is short.
    async fn clear(&self) -> Result<(), Error> {
        while self.ask(None, |sql| &sql.clear, vec![sql::STEP.into()]).await?.affected > 0 {}
        Ok(())
    }

    /// Removes what has ended by `now` and by the server's clock. It finds expired records without locking, since without an index that would lock every record. Locks whose
    /// lease has ended are removed too, and not counted.
    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        let mut purged = 0;
        while purged < limit as u64 {
            let step = sql::STEP.min(limit as u64 - purged);
            let parameters = vec![sql::from(now).into(), step.into()];
            let mut found = Vec::new();
            for mut row in self.ask(None, |sql| &sql.expired, parameters).await?.rows {
                found.push(Value::from(text(&mut row, 0)?));
            }
            let Some(first) = found.first().cloned() else { break };
            let count = found.len() as u64;
            // One statement for any number: the first id fills the places that are left.
            found.resize(sql::STEP as usize, first);
            found.push(sql::from(now).into());
            purged += self.ask(None, |sql| &sql.purge, found).await?.affected;
            if count < step {
                break;
            }
        }
        self.purge_locks().await?;
        Ok(purged)
    }
}

/// Makes a pool that does not reset its connections, since the store leaves no state on them.
fn pool(opts: &Opts, limit: usize) -> Pool {
    #[cfg(feature = "tls")]
    choose_cryptography();
    let constraints = PoolConstraints::new(limit, limit).unwrap_or_default();
    let pool = opts.pool_opts().clone().with_constraints(constraints).with_reset_connection(false);
    let opts = OptsBuilder::from_opts(opts.clone())
        .pool_opts(pool)
        // The driver does not notice that a socket was closed. A socket in the URL is still used.
        .prefer_socket(false)
        .init(vec![sql::STRICT]);
    Pool::new(opts)
}

/// Installs a cryptography provider if the application has none, since TLS panics without one.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have installed one first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// Returns an id as the table can keep it, or nothing for one that it cannot have a record of.
fn key(id: &SessionId) -> Option<&str> {
    let sid = id.as_str();
    (!sid.ends_with(' ') && sid.chars().count() <= sql::ID_CHARACTERS).then_some(sid)
}

fn unsuitable_id() -> Error {
    Error::new(ErrorKind::Unsuitable, "an id has up to 128 characters, and no space at its end")
}

fn bytes(holder: LockToken) -> Value {
    Value::Bytes(holder.as_bytes().to_vec())
}

/// Refuses a text that is too long, since the server refuses it only in strict mode.
fn checked(text: &str) -> Result<&str, Error> {
    if text.len() > sql::TEXT_BYTES {
        return Err(Error::new(ErrorKind::Unsuitable, "the text is longer than the column"));
    }
    Ok(text)
}

/// Reads the text and its end, the first columns of every statement that returns records.
fn loaded(row: &mut Row, at: usize) -> Result<Loaded, Error> {
    let text = text(row, at)?;
    let seconds: i64 = column(row, at + 1)?;
    let revision = Revision::of_text(&text);
    let deadline = Some(Timestamp::from_millis(seconds.saturating_mul(1000)));
    Ok(Loaded { record: Record { text: text.into(), deadline }, revision })
}

/// Reads from the second and third column of a row why nothing was replaced. Returns `None` if the expected
/// record is back, which was another for a moment.
fn not_replaced(row: &mut Row, expected: &Revision) -> Result<Option<Updated>, Error> {
    if row.as_ref(2) == Some(&Value::NULL) {
        return Ok(Some(Updated::Gone));
    }
    Ok(conflict(loaded(row, 1)?, expected))
}

fn conflict(current: Loaded, expected: &Revision) -> Option<Updated> {
    (current.revision != *expected).then_some(Updated::Conflict(current))
}

fn no_row() -> Error {
    Error::new(ErrorKind::Other, "the server gave no row")
}

fn text(row: &mut Row, index: usize) -> Result<String, Error> {
    let bytes: Option<Vec<u8>> = column(row, index)?;
    let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the text is NULL"))?;
    // The driver's own error would show the bytes.
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::Corrupt, "the text is no UTF-8"))
}

fn column<T: mysql_async::prelude::FromValue>(row: &mut Row, index: usize) -> Result<T, Error> {
    match row.take_opt(index) {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) | None => Err(Error::new(ErrorKind::Corrupt, "a column holds something else")),
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CHECK_INTERVAL: Duration = Duration::from_secs(15 * 60);
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_set_and_shown() {
        let store = MySqlStore::new("mysql://localhost/shop").unwrap();
        assert!(store.supports_touch());
        let store = store
            .table_name("web.visitors`")
            .create_database_table(false)
            .expiration(Duration::from_secs(1800))
            .clear_expired(false)
            .check_expiration_interval(Duration::from_secs(60))
            .disable_touch(true)
            .timeout(Duration::from_secs(1))
            .max_waiting(9)
            .connection_limit(50);
        assert_eq!(
            format!("{store:?}"),
            "MySqlStore { table: `web`.`visitors```, create_database_table: false, expiration: 1800s, \
             clear_expired: false, check_expiration_interval: 60s, disable_touch: true, timeout: 1s, max_waiting: 9, \
             connection_limit: Some(50) }",
        );
        assert!(!store.supports_touch());
    }
}
