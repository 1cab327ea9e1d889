//! Stores sessions in a PostgreSQL table, in the format of npm's connect-pg-simple 10.
//!
//! The table is that of connect-pg-simple: `sid`, `sess`, `expire`. Either side reads what the other wrote.
//! A `sess` of type `json` is kept byte for byte; `jsonb` reorders it.
//!
//! - **Round trips.** Every operation is one statement and one round trip, except an update that is refused, which
//!   loads the record to say why.
//! - **Prepared statements.** Statements are prepared, once for each connection, where the server says that it was reached
//!   at the address that the URL names: then no pooler by transaction is in between, which could not honour them.
//!   Elsewhere they are not, as in connect-pg-simple. See [`prepare_statements`](PostgresStore::prepare_statements).
//! - **Concurrency.** An update is a compare-and-swap on a SHA-256 of the stored text, computed by the
//!   server in the statement that writes.
//! - **Expiry.** `expire` decides, not the JSON's `expires`. It is a whole second, rounded up, at which the
//!   session has expired; connect-pg-simple returns it for one millisecond more. A touch moves `expire` only.
//! - **Time zone.** `expire` is local time of the connection's `TimeZone`, as in connect-pg-simple. Both
//!   sides need the same setting, which should be `UTC`: where clocks go back an hour, that hour is ambiguous.
//! - **Locks.** A lock is a row in a second table with the suffix `_lock`, which the first lock creates. Its
//!   lease ends by the server's clock. A write under a lock holds the lock's row until it is committed.
//! - **Limits.** A text that is not JSON is [`ErrorKind::Unsuitable`], and so is an id that contains NUL or
//!   is too long for the index (some 2,700 bytes).
//! - **Errors.** The source of an error has the server's message if it is about the server, such as a missing
//!   table. A message that may quote a session is reduced to its SQLSTATE.
//!
//! Requires PostgreSQL 11 or later, and a role that may `SELECT`, `INSERT`, `UPDATE` and `DELETE` in the table
//! and, for locks, in the second one. The role creates the first with
//! [`create_table_if_missing`](PostgresStore::create_table_if_missing); the error for a missing right to
//! create the second shows the statement to run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use ::deadpool_postgres;
use deadpool_postgres::{Object, Pool};
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, FencingToken, Lifetime, Loaded, LockOutcome,
    LockToken, Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};
use tokio::sync::OnceCell;
use tokio::time::timeout_at;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use self::address::Address;
use self::connector::Connector;
use self::query::{Locks, Parameter, Query};
use self::sql::{Statement, Statements};
use super::breaker::{self, Breaker, Fault, Server};
use super::cleanup::Schedule;
use super::finish::Calls;

pub(super) mod address;
mod connector;
mod direct;
mod encryption;
mod error;
mod passfile;
mod query;
mod sql;
#[cfg(feature = "tls")]
mod tls;

/// Keeps sessions in the table of npm's connect-pg-simple.
///
/// Clones share the connections. The first call connects, and a call that finds its connection lost replaces
/// it. A call whose future is dropped continues until its answer or its timeout, and the next call for the
/// same session waits for it.
///
/// ```no_run
/// use express_session::SessionLayer;
/// use express_session::store::postgres::PostgresStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::new("postgres://web@localhost/shop")?.create_table_if_missing(true);
/// let layer = SessionLayer::new("keyboard cat").store(store);
/// # let _ = layer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    options: Options,
    sql: Statements,
    /// Set once the table is known to exist.
    table: OnceCell<()>,
    pruning: Schedule,
    calls: Calls,
    breaker: Breaker,
}

#[derive(Clone)]
struct Options {
    /// How to connect, if the pool is not the application's.
    own: Option<Connector>,
    schema_name: Option<String>,
    table_name: String,
    create_table_if_missing: bool,
    user_index: bool,
    ttl: Duration,
    disable_touch: bool,
    prune_session_interval: Option<Duration>,
    prune_session_randomized_interval: bool,
    timeout: Duration,
    max_waiting: usize,
    /// Instead of what the connections show.
    prepare_statements: Option<bool>,
}

impl PostgresStore {
    /// Makes a store for the database at a URL, with up to 10 connections of its own.
    ///
    /// The URL is that of libpq and node-postgres, `postgres://user:password@host:port/database`, with their
    /// parameters: several hosts, `sslmode`, `sslrootcert`, `target_session_attrs`, `options`. The environment of
    /// libpq, as `PGHOST` and `PGSSLMODE`, has what the URL leaves out. Without any parameter about encryption, nothing
    /// is encrypted; with `sslmode=require`, the server's certificate has to be for this host, by an authority that the
    /// system trusts, or that `SSL_CERT_FILE` in the environment or `sslrootcert` names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] if the URL is malformed, has a parameter that cannot be honoured, or asks for encryption
    /// without the feature `tls` or without certificates on the system. The message names the parameter. It does not
    /// show the URL, which may hold a password.
    ///
    /// ```
    /// use express_session::store::postgres::PostgresStore;
    ///
    /// assert!(PostgresStore::new("postgres://web@localhost/shop").is_ok());
    /// assert!(PostgresStore::new("redis://localhost").is_err());
    /// ```
    pub fn new(url: &str) -> Result<Self, Error> {
        Self::at(address::parse(url, &|name| std::env::var(name).ok())?)
    }

    /// Makes a store for a URL as [`new`](Self::new) does, with certificates as PEM: `authority` instead of those that
    /// the system trusts, and `identity`, a client certificate and its key.
    ///
    /// The connections are encrypted, with a certificate of the server for this host, unless the URL has another
    /// `sslmode`.
    ///
    /// ```no_run
    /// use express_session::store::postgres::PostgresStore;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let authority = std::fs::read("/etc/postgresql/ca.pem")?;
    /// let store = PostgresStore::new_with_tls("postgres://web@db.internal/shop", Some(authority), None)?;
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
        let address = address::parse(url, &|name| std::env::var(name).ok())?;
        Self::at(address.with_certificates(authority, identity)?)
    }

    /// Returns whether a store for this URL verifies the server's certificate by the authorities that the system trusts:
    /// the URL asks for a trusted certificate, and neither it nor the environment names an authority.
    ///
    /// For a caller that has a default of its own, to pass to [`new_with_tls`](Self::new_with_tls) only then.
    ///
    /// ```
    /// use express_session::store::postgres::PostgresStore;
    ///
    /// # fn main() -> Result<(), express_session::store::Error> {
    /// assert!(PostgresStore::trusts_public_authorities("postgres://web@db/shop?sslmode=require")?);
    /// assert!(!PostgresStore::trusts_public_authorities("postgres://web@db/shop?sslmode=no-verify")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    #[cfg(feature = "tls")]
    pub fn trusts_public_authorities(url: &str) -> Result<bool, Error> {
        let address = address::parse(url, &|name| std::env::var(name).ok())?;
        Ok(address.encryption.trusts_public_authorities())
    }

    fn at(address: Address) -> Result<Self, Error> {
        let connections = address.connections.unwrap_or(CONNECTIONS).max(1);
        let schema_name = address.schema.clone();
        let connector = Connector::new(address)?;
        let pool = connector.pool(connections);
        let options = Options { own: Some(connector), schema_name, ..Options::default() };
        Ok(Self::assemble(pool, Breaker::default(), options))
    }

    /// Makes a store as [`new`](Self::new) does, and connects immediately, so that a wrong address or login
    /// shows when the application starts.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), [`ErrorKind::Unavailable`] if the server cannot be reached, and
    /// [`ErrorKind::Refused`] if the login is wrong.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let store = Self::new(url)?;
        store.rows(None, |sql| sql.ping, Vec::new()).await?;
        Ok(store)
    }

    /// Makes a store over a pool of the application.
    ///
    /// The connections' `TimeZone` has to be that of the Node side, see the [module](self).
    ///
    /// ```
    /// use express_session::store::postgres::PostgresStore;
    /// use express_session::store::postgres::deadpool_postgres::{Config, Runtime, tokio_postgres};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut config = Config::new();
    /// config.dbname = Some("shop".to_owned());
    /// # config.user = Some("web".to_owned());
    /// # config.host = Some("localhost".to_owned());
    /// let pool = config.create_pool(Some(Runtime::Tokio1), tokio_postgres::NoTls)?;
    /// let store = PostgresStore::with_pool(pool);
    /// # let _ = store;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_pool(pool: Pool) -> Self {
        Self::assemble(pool, Breaker::default(), Options::default())
    }

    /// Sets the name of the table. The default is `session`.
    ///
    /// The name is quoted: upper case counts, and a dot is a part of it. For a schema, see
    /// [`schema_name`](Self::schema_name).
    #[must_use]
    pub fn table_name(self, name: impl Into<String>) -> Self {
        self.with(|options| options.table_name = name.into())
    }

    /// Sets the schema of the table. The default is `schema` of the URL, or the first of the role's `search_path` that
    /// has the table.
    #[must_use]
    pub fn schema_name(self, name: impl Into<String>) -> Self {
        self.with(|options| options.schema_name = Some(name.into()))
    }

    /// Sets whether the first call creates a missing table. The default is `false`.
    ///
    /// It costs one query in the first call of each process, and needs a role that may create tables. A table
    /// called `session` has connect-pg-simple's names for the key and the index too; the server names those of
    /// any other table, so that a schema can hold two.
    #[must_use]
    pub fn create_table_if_missing(self, create: bool) -> Self {
        self.with(|options| options.create_table_if_missing = create)
    }

    /// Sets whether the table has an index of the users, which [`sessions_of`](Store::sessions_of) then searches. The
    /// default is `false`: the server searches the text of every record.
    ///
    /// A missing index is created, in the statement that creates the table, or else by the first call of the process in the
    /// background (`CREATE INDEX CONCURRENTLY`), without keeping others from writing. That needs the owner of the table;
    /// where it fails, a warning has the statement to run. The server maintains the index with every write, Node's too,
    /// and reads the JSON of the record for it. It is for the metadata member `__sessionMetadata`; the layer's
    /// [`metadata_member`](crate::SessionLayer::metadata_member) of another name does not use it.
    #[must_use]
    pub fn user_index(self, index: bool) -> Self {
        self.with(|options| options.user_index = index)
    }

    /// Sets the TTL of sessions without `max_age`. The default is a day.
    ///
    /// Each save and touch resets the expiry. As in connect-pg-simple, a session with `max_age` ignores the
    /// TTL.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        self.with(|options| options.ttl = ttl)
    }

    /// Sets whether a request that only reads leaves the expiry unchanged. The default is `false`.
    ///
    /// `true` saves a write for each such request, but a session that only reads expires at the deadline of
    /// its last save.
    #[must_use]
    pub fn disable_touch(self, disable: bool) -> Self {
        self.with(|options| options.disable_touch = disable)
    }

    /// Sets the interval at which expired sessions are removed. The default is 15 minutes; `None` is never, if
    /// a job in the database removes them.
    ///
    /// The first call after the interval starts a task that removes a thousand at a time. Expired sessions are
    /// never returned, removed or not.
    #[must_use]
    pub fn prune_session_interval(self, interval: impl Into<Option<Duration>>) -> Self {
        let interval = interval.into();
        self.with(|options| options.prune_session_interval = interval)
    }

    /// Sets whether each [interval](Self::prune_session_interval) is random, from a half to one and a half of
    /// it, so that processes do not all remove at the same time. The default is `true`.
    #[must_use]
    pub fn prune_session_randomized_interval(self, randomized: bool) -> Self {
        self.with(|options| options.prune_session_randomized_interval = randomized)
    }

    /// Sets the timeout of a call. The default is 5 seconds.
    ///
    /// A call without a connection by then is [`ErrorKind::Unavailable`]. A call without an answer is
    /// [`ErrorKind::TimedOut`], and may or may not have happened.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.timeout = timeout)
    }

    /// Sets the maximum number of calls that wait for the server at the same time. The default is 4,096.
    ///
    /// A further call is [`ErrorKind::Unavailable`] immediately, and not made.
    #[must_use]
    pub fn max_waiting(self, calls: usize) -> Self {
        self.with(|options| options.max_waiting = calls)
    }

    /// Sets the maximum number of connections, from 1 to 65,535. The default is `connection_limit` of the URL, or 10, as in
    /// the npm package pg.
    ///
    /// Further calls wait for a connection. A pool of the application is not changed.
    #[must_use]
    pub fn max_connections(self, connections: usize) -> Self {
        let Some(connector) = &self.shared.options.own else { return self };
        let pool = connector.pool(connections);
        Self::assemble(pool, Breaker::default(), self.shared.options.clone())
    }

    /// Sets whether the statements of a session are prepared, which saves the server parsing and planning them. The default
    /// is `true` for connections that the store makes to the server itself, and `false` for all others.
    ///
    /// The store asks on each new connection for the server's address. Where that is not the one of the URL, a pooler by
    /// transaction may be in between, which cannot honour prepared statements.
    ///
    /// Set `true` if the addresses differ for another reason: a pool of the application, a Unix socket, a container's
    /// published port, a proxy by connection. Set `false` if a tunnel leads to a pooler from the address that the server
    /// has on its own machine, such as `127.0.0.1`.
    #[must_use]
    pub fn prepare_statements(self, prepare: bool) -> Self {
        self.with(|options| options.prepare_statements = Some(prepare))
    }

    fn with(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.shared.options.clone();
        change(&mut options);
        Self::assemble(self.shared.pool.clone(), self.shared.breaker.clone(), options)
    }

    fn assemble(pool: Pool, breaker: Breaker, options: Options) -> Self {
        let sql = Statements::new(options.schema_name.as_deref(), &options.table_name);
        let pruning = Schedule::new(
            options.prune_session_interval,
            options.prune_session_randomized_interval,
        );
        let (table, calls) = (OnceCell::new(), Calls::default());
        Self { shared: Arc::new(Shared { pool, options, sql, table, pruning, calls, breaker }) }
    }

    /// Returns the end of a record with this deadline, in whole seconds since 1970.
    fn expire(&self, deadline: Option<Timestamp>, now: Timestamp) -> f64 {
        let deadline = deadline.unwrap_or_else(|| now.saturating_add(self.shared.options.ttl));
        let seconds = deadline.millis().div_euclid(1000);
        let seconds = seconds + i64::from(deadline.millis().rem_euclid(1000) != 0);
        // PostgreSQL knows no time before 4714 BC, and anything in the past is as good.
        seconds.max(sql::EARLIEST) as f64
    }

    /// Runs one statement, for a session or for none, on a connection of the pool.
    async fn rows(
        &self,
        sid: Option<&str>,
        statement: Statement,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, Error> {
        let is_of_session = sid.is_some();
        self.query(sid, Query { statement, parameters, locks: Locks::Unasked, is_of_session }).await
    }

    /// Runs a statement about the lock of an id, and creates the table of locks if it is missing.
    async fn lock_row(
        &self,
        sid: &str,
        statement: Statement,
        parameters: Vec<Parameter>,
    ) -> Result<Option<Row>, Error> {
        let query = Query { statement, parameters, locks: Locks::Make, is_of_session: true };
        Ok(self.query(Some(sid), query).await?.into_iter().next())
    }

    async fn query(&self, sid: Option<&str>, query: Query) -> Result<Vec<Row>, Error> {
        let Shared { pool, options, calls, breaker, .. } = &*self.shared;
        let until = breaker::deadline(options.timeout);
        let work = async {
            if let Some(sid) = sid {
                let settled = timeout_at(until, calls.settled(sid)).await;
                settled.map_err(|_| breaker::no_connection_in_time())?;
            }
            let pool = pool.clone();
            let connection = async move { pool.get().await.map_err(error::of_pool) };
            let connection = breaker.connect(&self.shared, until, connection).await?;
            let shared = Arc::clone(&self.shared);
            calls.run(sid, query::run(shared, connection, until, query)).await
        };
        // Boxed, so that the calls around it stay small.
        breaker.call(&self.shared, options.max_waiting, Box::pin(work)).await
    }

    /// Runs a statement that returns at most one row.
    async fn row(
        &self,
        sid: Option<&str>,
        statement: Statement,
        parameters: Vec<Parameter>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.rows(sid, statement, parameters).await?.into_iter().next())
    }

    async fn current(&self, sid: &str, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let parameters = vec![text(sid), float(sql::from(now))];
        let row = self.row(Some(sid), |sql| &sql.load, parameters).await;
        row.map_err(unreadable)?.map(|row| loaded(&row)).transpose()
    }

    /// Returns the parameters of an update.
    fn replacement(
        &self,
        sid: &str,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Vec<Parameter>, Error> {
        Ok(vec![
            text(sid),
            float(sql::from(now)),
            text(checked(&record.text)?),
            float(self.expire(record.deadline, now)),
            Parameter::bytes(&expected.number().unwrap_or_default().to_be_bytes()),
        ])
    }

    /// Removes the locks whose lease has ended, if the table of locks exists.
    async fn purge_locks(&self) -> Result<(), Error> {
        let table = text(&self.shared.sql.locks.table);
        let row = self.row(None, |sql| &sql.table_exists, vec![table]).await?;
        let name = row.as_ref().map(|row| row.try_get::<_, Option<&str>>(0));
        if name.transpose().map_err(error::of_column)?.flatten().is_some() {
            self.rows(None, |sql| &sql.locks.purge, Vec::new()).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// Returns whether the statements of a session are prepared.
    fn prepares(&self) -> bool {
        let Options { own, prepare_statements, .. } = &self.options;
        prepare_statements.unwrap_or_else(|| own.as_ref().is_some_and(Connector::is_direct))
    }

    /// Takes note of an error of a prepared statement. On connections of the store's own, only a pooler can make the server
    /// forget a name or have it already.
    fn prepared_in_vain(&self, code: &SqlState) {
        let names = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT];
        if let Some(connector) = &self.options.own
            && names.contains(code)
        {
            connector.found_indirect();
        }
    }
}

impl Server for Shared {
    fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    fn forget(&self) {
        self.pool.retain(|_, _| false);
    }

    /// The connection leaves the pool before it is asked: other probes must not wait for its place.
    async fn probe(&self) -> Result<(), Error> {
        let connection = Object::take(self.pool.get().await.map_err(error::of_pool)?);
        query::probe(&connection, &self.sql).await
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            own: None,
            schema_name: None,
            table_name: "session".to_owned(),
            create_table_if_missing: false,
            user_index: false,
            ttl: DAY,
            disable_touch: false,
            prune_session_interval: Some(PRUNE_INTERVAL),
            prune_session_randomized_interval: true,
            timeout: TIMEOUT,
            max_waiting: breaker::MAX_WAITING,
            prepare_statements: None,
        }
    }
}

impl fmt::Debug for PostgresStore {
    /// Shows the options, and neither the server's address nor a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { pool, options, sql, .. } = &*self.shared;
        f.debug_struct("PostgresStore")
            .field("table", &format_args!("{}", sql.table))
            .field("create_table_if_missing", &options.create_table_if_missing)
            .field("user_index", &options.user_index)
            .field("ttl", &options.ttl)
            .field("disable_touch", &options.disable_touch)
            .field("prune_session_interval", &options.prune_session_interval)
            .field("timeout", &options.timeout)
            .field("max_waiting", &options.max_waiting)
            .field("prepare_statements", &options.prepare_statements)
            .field("max_connections", &pool.status().max_size)
            .finish()
    }
}

impl Store for PostgresStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        self.shared.pruning.purge_if_due(self, now);
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
        self.shared.pruning.purge_if_due(self, now);
        let sid = key(id).ok_or_else(unsuitable_id)?;
        let json = checked(&record.text)?;
        let expire = self.expire(record.deadline, now);
        let parameters = vec![text(sid), text(json), float(expire), float(sql::from(now))];
        match self.row(Some(sid), |sql| &sql.create, parameters).await? {
            Some(row) => Ok(Created::Done(written(&row, json)?)),
            None => Ok(Created::Taken),
        }
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        self.shared.pruning.purge_if_due(self, now);
        let Some(sid) = key(id) else { return Ok(Updated::Gone) };
        let mut tries = 1..TRIES;
        loop {
            let parameters = self.replacement(sid, record, expected, now)?;
            if let Some(row) = self.row(Some(sid), |sql| &sql.update, parameters).await? {
                return Ok(Updated::Done(written(&row, &record.text)?));
            }
            match self.current(sid, now).await? {
                None => return Ok(Updated::Gone),
                // The expected record is back, which was another for a moment.
                Some(current) if current.revision == *expected && tries.next().is_some() => {}
                Some(current) => return Ok(Updated::Conflict(current)),
            }
        }
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        if self.shared.options.disable_touch {
            let live = self.load(id, now).await?;
            return Ok(live.map_or(Touched::Gone, |_| Touched::Done));
        }
        self.shared.pruning.purge_if_due(self, now);
        let Some(sid) = key(id) else { return Ok(Touched::Gone) };
        let expire = self.expire(touch.deadline, now);
        let parameters = vec![text(sid), float(sql::from(now)), float(expire)];
        let row = self.row(Some(sid), |sql| &sql.touch, parameters).await?;
        Ok(row.map_or(Touched::Gone, |_| Touched::Done))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let Some(sid) = key(id) else { return Ok(()) };
        self.rows(Some(sid), |sql| &sql.destroy, vec![text(sid)]).await?;
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
        self.shared.pruning.purge_if_due(self, now);
        let sid = key(id).ok_or_else(unsuitable_id)?;
        // JavaScript's last date is within what PostgreSQL knows, and twice its distance is too.
        let lease = (lease.as_secs_f64() * 1000.0).min(Timestamp::MAX.millis() as f64);
        let parameters = vec![text(sid), bytes(holder), float(lease)];
        let row = self.lock_row(sid, |sql| &sql.locks.lock, parameters).await?;
        let Some(row) = row else { return Ok(LockOutcome::Held) };
        let fence: i64 = row.try_get(0).map_err(error::of_column)?;
        Ok(LockOutcome::Acquired(FencingToken::new(fence.cast_unsigned())))
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        self.shared.pruning.purge_if_due(self, now);
        let Some(sid) = key(id) else { return Ok(Fenced::Lost) };
        let mut parameters = self.replacement(sid, record, expected, now)?;
        parameters.extend([bytes(holder), text(sid)]);
        let row = self.lock_row(sid, |sql| &sql.locks.update, parameters).await?;
        let row = row.ok_or_else(|| Error::new(ErrorKind::Other, "the server gave no row"))?;
        if !row.try_get::<_, bool>(3).map_err(error::of_column)? {
            return Ok(Fenced::Lost);
        }
        let end: Option<f64> = row.try_get(1).map_err(error::of_column)?;
        Ok(Fenced::Held(if end.is_some() { updated(&row)? } else { Updated::Gone }))
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let Some(sid) = key(id) else { return Ok(()) };
        self.lock_row(sid, |sql| &sql.locks.unlock, vec![text(sid), bytes(holder)]).await?;
        Ok(())
    }

    /// The server looks for the user's text in all records, or in those that the [index](PostgresStore::user_index) has, and
    /// sends those that have it. Both are complete.
    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let indexed =
            users.indexed(&MemberName::DEFAULT).filter(|_| self.shared.options.user_index);
        let mut page = self.page(users.text(), indexed.as_deref(), after, limit, now).await?;
        page.sessions.retain(|(_, record)| users.matches(&record.text));
        Ok(page)
    }

    /// The server's clock.
    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        let row = self.row(None, |sql| &sql.time, Vec::new()).await?;
        let millis = row.map(|row| row.try_get(0)).transpose().map_err(error::of_column)?;
        Ok(millis.map_or(now, Timestamp::from_millis))
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::MaxAgeOr(self.shared.options.ttl)
    }

    /// `false` with [`disable_touch`](Self::disable_touch).
    fn supports_touch(&self) -> bool {
        !self.shared.options.disable_touch
    }
}

impl PostgresStore {
    /// Returns a page of the records that contain a text, of those that the index has if a user is given.
    async fn page(
        &self,
        contained: &str,
        indexed: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        // A limit of 0 would loop forever.
        let limit = limit.max(1);
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut parameters = vec![float(sql::from(now)), Parameter::integer(rows)];
        let statement: Statement = match (contained, indexed, &after) {
            ("", _, None) => |sql| &sql.list_first,
            ("", _, Some(_)) => |sql| &sql.list,
            (_, None, None) => |sql| &sql.list_first_with,
            (_, None, Some(_)) => |sql| &sql.list_with,
            (_, Some(_), None) => |sql| &sql.list_first_of,
            (_, Some(_), Some(_)) => |sql| &sql.list_of,
        };
        if !contained.is_empty() {
            parameters.push(text(contained));
            parameters.extend(indexed.map(text));
        }
        if let Some(last) = &after {
            parameters.push(text(last.as_str()));
        }
        let page = self.rows(None, statement, parameters).await.map_err(unreadable)?;

        let is_full = page.len() == limit;
        let mut next = None;
        let mut sessions = Vec::with_capacity(page.len());
        for row in &page {
            let sid: &str = row.try_get(2).map_err(error::of_column)?;
            next = is_full.then(|| Cursor::new(sid));
            // No session has an empty id.
            if let Some(id) = SessionId::new(sid) {
                sessions.push((id, loaded(row)?.record));
            }
        }
        Ok(Page { sessions, next })
    }
}

impl Admin for PostgresStore {
    /// Lists the sessions in the order of their ids.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        self.page("", None, after, limit, now).await
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        let row = self.row(None, |sql| &sql.count, vec![float(sql::from(now))]).await?;
        counted(row.as_ref())
    }

    /// Removes a thousand at a time, so that each step is short.
    async fn clear(&self) -> Result<(), Error> {
        loop {
            let row = self.row(None, |sql| &sql.clear, vec![Parameter::integer(STEP)]).await?;
            if counted(row.as_ref())? < STEP.unsigned_abs() {
                return Ok(());
            }
        }
    }

    /// Removes what has ended by `now` and by the server's clock, a thousand at a time, and skips those that
    /// another transaction is writing. Locks whose lease has ended are removed too, and not counted.
    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut purged = 0;
        while purged < limit {
            let step = STEP.min(limit - purged);
            let parameters: Vec<Parameter> = vec![float(sql::from(now)), Parameter::integer(step)];
            let row = self.row(None, |sql| &sql.purge, parameters).await?;
            let removed = counted(row.as_ref())?;
            purged = purged.saturating_add_unsigned(removed);
            if removed < step.unsigned_abs() {
                break;
            }
        }
        self.purge_locks().await?;
        Ok(purged.unsigned_abs())
    }
}

fn text(text: &str) -> Parameter {
    Parameter::text(text)
}

fn float(number: f64) -> Parameter {
    Parameter::float(number)
}

fn bytes(holder: LockToken) -> Parameter {
    Parameter::bytes(holder.as_bytes())
}

fn unsuitable_id() -> Error {
    Error::new(ErrorKind::Unsuitable, "an id with a NUL is no text for PostgreSQL")
}

/// Returns an id as PostgreSQL can keep it, or nothing for one that it cannot have a record of.
fn key(id: &SessionId) -> Option<&str> {
    Some(id.as_str()).filter(|sid| !sid.contains('\0'))
}

/// Refuses a NUL here, since the server's error would quote the text before it.
fn checked(text: &str) -> Result<&str, Error> {
    if text.contains('\0') {
        return Err(Error::new(ErrorKind::Unsuitable, "a text with a NUL is no JSON"));
    }
    Ok(text)
}

/// Reads the text and its end, the first columns of every statement that returns records.
fn loaded(row: &Row) -> Result<Loaded, Error> {
    let text: Option<&str> = row.try_get(0).map_err(error::of_column)?;
    let text = text.ok_or_else(|| Error::new(ErrorKind::Corrupt, "the text is NULL"))?;
    let end = row.try_get(1).map_err(error::of_column)?;
    let record = Record { text: text.into(), deadline: Some(seconds(end)) };
    Ok(Loaded { record, revision: Revision::of_text(text) })
}

/// Returns the revision of a text that was sent: the first column has another that was stored in its place.
fn written(row: &Row, sent: &str) -> Result<Revision, Error> {
    let stored: Option<&str> = row.try_get(0).map_err(error::of_column)?;
    Ok(Revision::of_text(stored.unwrap_or(sent)))
}

/// Reads the result of an update under a lock from its row: the conflicting record, or the revision written.
fn updated(row: &Row) -> Result<Updated, Error> {
    match row.try_get::<_, Option<&str>>(0).map_err(error::of_column)? {
        Some(_) => Ok(Updated::Conflict(loaded(row)?)),
        None => Ok(Updated::Done(revision(row, 2)?)),
    }
}

/// Converts seconds, all within JavaScript's range; `infinity` becomes the last timestamp.
fn seconds(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0).round() as i64)
}

fn revision(row: &Row, column: usize) -> Result<Revision, Error> {
    let digest: &[u8] = row.try_get(column).map_err(error::of_column)?;
    let digest = digest
        .try_into()
        .map_err(|_| Error::new(ErrorKind::Other, "the digest has another length"))?;
    Ok(Revision::new(u128::from_be_bytes(digest)))
}

fn counted(row: Option<&Row>) -> Result<u64, Error> {
    let count = row.map_or(Ok(0), |row| row.try_get::<_, i64>(0)).map_err(error::of_column)?;
    Ok(count.unsigned_abs())
}

/// Turns an error about a text that the server cannot take into one about the stored record.
fn unreadable(error: Error) -> Error {
    if error.kind() == ErrorKind::Unsuitable {
        return Error::new(ErrorKind::Corrupt, "the server cannot read it").with_source(error);
    }
    error
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PRUNE_INTERVAL: Duration = Duration::from_secs(15 * 60);
const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 10;
/// How many times an update is made while the expected record is there: a trigger or a policy may prevent it permanently.
const TRIES: usize = 3;
/// How many records one statement removes.
const STEP: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_set_and_shown() {
        let store = PostgresStore::new("postgres://localhost").unwrap();
        assert!(format!("{store:?}").contains(r#"table: "session","#));
        let store = store
            .schema_name("web")
            .table_name("visitor's \"session\"")
            .create_table_if_missing(true)
            .user_index(true)
            .ttl(Duration::from_secs(1800))
            .disable_touch(true)
            .prune_session_interval(None)
            .timeout(Duration::from_secs(1))
            .max_waiting(9)
            .prepare_statements(false)
            .max_connections(50);
        assert_eq!(
            format!("{store:?}"),
            r#"PostgresStore { table: "web"."visitor's ""session""", create_table_if_missing: true, "#
                .to_owned()
                + "user_index: true, ttl: 1800s, disable_touch: true, prune_session_interval: None, timeout: 1s, max_waiting: 9, "
                + "prepare_statements: Some(false), max_connections: 50 }",
        );
        assert!(!store.supports_touch());
    }

    #[test]
    fn connections_beyond_the_ports_of_an_address_are_not_prepared_for() {
        let store = PostgresStore::new("postgres://localhost?connection_limit=1000000000").unwrap();
        assert!(format!("{store:?}").contains("max_connections: 65535"));
        assert!(
            format!("{:?}", store.clone().max_connections(usize::MAX))
                .contains("max_connections: 65535")
        );
        assert!(format!("{:?}", store.max_connections(0)).contains("max_connections: 1 }"));
    }
}
