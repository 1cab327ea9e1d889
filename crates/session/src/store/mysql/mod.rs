//! Sessions in a MySQL or MariaDB table, shared with npm's express-mysql-session 3.
//!
//! 1. The table is that of express-mysql-session: `session_id`, `expires`, `data`. Either side reads
//!    what the other wrote, byte for byte.
//! 2. `expires` decides what is live, not the JSON's. It is a whole second, rounded to the nearest. At
//!    that second a session has ended; express-mysql-session returns it for half a second more.
//!    It ends in 2106, where `expires` does.
//! 3. A revision is a digest of the stored text, since Node keeps no counter: SHA-256, made by the
//!    server.
//! 4. Every verb is one round trip, after the first use of a connection, which prepares the statement.
//!    `load_and_touch` and `update` are several statements in one text, with every text in it a hexadecimal
//!    literal. An `update` of more than 16 KiB is prepared, and makes a second trip to hand back
//!    another record than it expected.
//! 5. A touch moves `expires` and leaves the text alone.
//! 6. A lock is a row in a table beside, of the same name with `_lock` behind it, which the first lock
//!    makes. Its lease runs by the server's clock. A write under a lock keeps it from being taken over
//!    until the write is committed.
//! 7. The column's collation takes `a` and `a ` for the same: an id with a space at its end is
//!    [`ErrorKind::Unsuitable`]. So is one of more than 128 characters, and a text of 16 MiB.
//! 8. What the server says is kept as an error's source where it is about the server, as a missing
//!    table. Where it may quote a session, only its number is kept.
//!
//! What it needs of the database: a user who may `SELECT`, `INSERT`, `UPDATE` and `DELETE` in the
//! table, and `CREATE` it unless it is there. For locks, the same for the table beside; the error for want of
//! it shows the statement to run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use ::mysql_async;
use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, Loaded, LoadedAndTouched, LockOutcome,
    LockToken, Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};
use mysql_async::{Opts, OptsBuilder, Pool, PoolConstraints, Row, Value};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use self::query::{Answer, Locks, Query};
use self::sql::{Statement, Statements};
use super::cleanup::Schedule;
use super::finish::Calls;

mod error;
mod query;
mod sql;

/// Keeps sessions in the table of npm's express-mysql-session.
///
/// Clones share the connections. Nothing is connected before the first call, and lost connections are
/// replaced by the calls that find them lost. A call whose future is dropped goes on by itself until it
/// is answered or its time is over, and the next call for its session waits for that.
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
    pool: Pool,
    options: Options,
    sql: Statements,
    /// Set once the table is known to be there, or is not asked for.
    table: OnceCell<()>,
    clearing: Schedule,
    calls: Calls,
}

#[derive(Clone)]
struct Options {
    /// Where the pool is our own: how to connect, and how often at most.
    own: Option<(Opts, usize)>,
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
}

impl MySqlStore {
    /// Makes a store for the database at a URL, with up to 10 connections of its own.
    ///
    /// The URL is `mysql://user:password@host:port/database`, with the parameters that
    /// [`Opts`] has, but for those of the pool. With `require_ssl=true` and the feature `tls` the
    /// connection is encrypted, and the server's certificate has to be one that browsers trust; for an
    /// authority of your own, give the store a [pool](Self::with_pool). The connections are in strict
    /// mode, so that nothing is ever cut off.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] where the URL is none, or asks for encryption without the feature `tls`. The
    /// message does not show it, for the password's sake.
    ///
    /// ```
    /// use express_session::store::mysql::MySqlStore;
    ///
    /// assert!(MySqlStore::new("mysql://web@localhost/shop").is_ok());
    /// assert!(MySqlStore::new("redis://localhost").is_err());
    /// ```
    pub fn new(url: &str) -> Result<Self, Error> {
        let opts = Opts::from_url(url)
            .map_err(|_| Error::new(ErrorKind::Other, "the URL is no MySQL URL"))?;
        // Without it, the driver panics when it connects.
        if opts.ssl_opts().is_some() && cfg!(not(feature = "tls")) {
            return Err(Error::new(ErrorKind::Other, "require_ssl=true needs the feature `tls`"));
        }
        let pool = pool(&opts, CONNECTIONS);
        Ok(Self::assemble(pool, Options { own: Some((opts, CONNECTIONS)), ..Options::default() }))
    }

    /// Makes a store as [`new`](Self::new) does, and connects at once: what is wrong with the address or
    /// the login shows when the application starts.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), [`ErrorKind::Unavailable`] where there is no server, and
    /// [`ErrorKind::Refused`] where the login is wrong.
    ///
    /// ```no_run
    /// use express_session::store::mysql::MySqlStore;
    ///
    /// # async fn example() -> Result<(), express_session::store::Error> {
    /// let store = MySqlStore::connect("mysql://web@localhost/shop").await?.table_name("visits");
    /// # let _ = store;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(url: &str) -> Result<Self, Error> {
        // The table is one that is asked for later, if at all.
        let store = Self::new(url)?;
        store.clone().create_database_table(false).ask(None, |sql| sql.ping, Vec::new()).await?;
        Ok(store)
    }

    /// Makes a store that takes its connections from a pool that the application has already.
    ///
    /// Such a pool resets each connection after each use, unless
    /// [`reset_connection`](mysql_async::PoolOpts::with_reset_connection) is off: statements are then
    /// prepared anew each time, in a round trip more. Keep the server's strict mode on: without it
    /// MySQL cuts off what does not fit a column.
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
        Self::assemble(pool, Options::default())
    }

    /// Says which table sessions are in, npm's `schema.tableName`. The default is `sessions`.
    ///
    /// As there, a dot in it comes after the name of a database: `shop.sessions`.
    ///
    /// ```
    /// # use express_session::store::mysql::MySqlStore;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?.table_name("web.visitors`");
    /// assert!(format!("{store:?}").contains("table: `web`.`visitors```,"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn table_name(self, name: impl Into<String>) -> Self {
        self.with(|options| options.table_name = name.into())
    }

    /// Says what the table's columns are called, npm's `schema.columnNames`. The defaults are
    /// `session_id`, `expires` and `data`.
    ///
    /// ```
    /// # use express_session::store::mysql::MySqlStore;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?.column_names("id", "until", "json");
    /// # let _ = store;
    /// # Ok(())
    /// # }
    /// ```
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

    /// Makes the table where there is none, at the first call. The default is `true`.
    ///
    /// It costs a statement at the first call of each process. A user who may not create tables is no
    /// failure, as long as the table is there.
    ///
    /// ```
    /// # use express_session::store::mysql::MySqlStore;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?.create_database_table(false);
    /// assert!(format!("{store:?}").contains("create_database_table: false"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn create_database_table(self, create: bool) -> Self {
        self.with(|options| options.create_database_table = create)
    }

    /// Says how long a session lives that has no expiry of its own, as those of a browser-session
    /// cookie. The default is a day.
    ///
    /// The time begins anew with each save and touch.
    ///
    /// ```
    /// # use express_session::store::mysql::MySqlStore;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?.expiration(Duration::from_secs(1800));
    /// assert!(format!("{store:?}").contains("expiration: 1800s"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn expiration(self, expiration: Duration) -> Self {
        self.with(|options| options.expiration = expiration)
    }

    /// Says whether expired sessions are removed from the table. The default is `true`; `false` is for
    /// where an event of the database does it.
    ///
    /// ```
    /// # use express_session::store::mysql::MySqlStore;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?.clear_expired(false);
    /// assert!(format!("{store:?}").contains("clear_expired: false"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn clear_expired(self, clear: bool) -> Self {
        self.with(|options| options.clear_expired = clear)
    }

    /// Says how often expired sessions are removed from the table. The default is 15 minutes.
    ///
    /// There is no timer: the first call after the interval starts it, in a task of its own, which
    /// looks for them without a lock and removes 250 at a time. The table has no index for it, so
    /// that each time costs a look at the whole table. Expired sessions are never returned, removed
    /// or not.
    ///
    /// ```
    /// # use express_session::store::mysql::MySqlStore;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?
    ///     .check_expiration_interval(Duration::from_secs(60));
    /// assert!(format!("{store:?}").contains("check_expiration_interval: 60s"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn check_expiration_interval(self, interval: Duration) -> Self {
        self.with(|options| options.check_expiration_interval = interval)
    }

    /// Leaves a session's time alone when it is not saved. The default is `false`.
    ///
    /// It spares the write that a request makes which only reads. The other side of it: a visitor
    /// who changes nothing is logged out when the time of the last save is over.
    ///
    /// ```
    /// use express_session::store::Store as _;
    /// # use express_session::store::mysql::MySqlStore;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?.disable_touch(true);
    /// assert!(!store.supports_touch());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn disable_touch(self, disable: bool) -> Self {
        self.with(|options| options.disable_touch = disable)
    }

    /// Says how many connections there may be at once, at least one. The default is 10, as in the npm
    /// package mysql2.
    ///
    /// More calls at once wait for a connection. It changes nothing of a pool that was given.
    ///
    /// ```
    /// # use express_session::store::mysql::MySqlStore;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?.connection_limit(50);
    /// assert!(format!("{store:?}").contains("connection_limit: Some(50)"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn connection_limit(self, connections: usize) -> Self {
        let mut options = self.shared.options.clone();
        let Some((opts, limit)) = &mut options.own else { return self };
        *limit = connections.max(1);
        let pool = pool(opts, *limit);
        Self::assemble(pool, options)
    }

    /// Says how long a call may take. The default is 5 seconds.
    ///
    /// A call that got no connection in that time ends with [`ErrorKind::Unavailable`], one that got no
    /// answer with [`ErrorKind::TimedOut`]: whether it happened is then not known.
    ///
    /// ```
    /// # use express_session::store::mysql::MySqlStore;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MySqlStore::new("mysql://localhost/shop")?.timeout(Duration::from_secs(1));
    /// assert!(format!("{store:?}").contains("timeout: 1s"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.timeout = timeout)
    }

    fn with(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.shared.options.clone();
        change(&mut options);
        Self::assemble(self.shared.pool.clone(), options)
    }

    fn assemble(pool: Pool, options: Options) -> Self {
        let Options { table_name, session_id, expires, data, .. } = &options;
        let sql = Statements::new(table_name, session_id, expires, data);
        let interval = options.clear_expired.then_some(options.check_expiration_interval);
        let clearing = Schedule::new(interval, false);
        let (table, calls) = (OnceCell::new(), Calls::default());
        Self { shared: Arc::new(Shared { pool, options, sql, table, clearing, calls }) }
    }

    /// Says when a record with this deadline ends, in whole seconds since 1970.
    fn expires(&self, deadline: Option<Timestamp>, now: Timestamp) -> i64 {
        let deadline =
            deadline.unwrap_or_else(|| now.saturating_add(self.shared.options.expiration));
        // Math.round, and what fits the column.
        (deadline.millis() + 500).div_euclid(1000).clamp(0, i64::from(u32::MAX))
    }

    /// Runs one statement, of a session or of none, on a connection of the pool.
    async fn ask(
        &self,
        sid: Option<&str>,
        statement: Statement,
        parameters: Vec<Value>,
    ) -> Result<Answer, Error> {
        self.query(sid, Query::Prepared(statement, parameters), Locks::Unasked).await
    }

    /// Runs one statement about the lock of an id, in a table that the first of them makes.
    async fn ask_lock(
        &self,
        sid: &str,
        statement: Statement,
        parameters: Vec<Value>,
    ) -> Result<Answer, Error> {
        self.query(Some(sid), Query::Prepared(statement, parameters), Locks::Make).await
    }

    async fn query(&self, sid: Option<&str>, query: Query, locks: Locks) -> Result<Answer, Error> {
        let Shared { pool, options, calls, .. } = &*self.shared;
        let until = Instant::now() + options.timeout;
        let settled = async {
            if let Some(sid) = sid {
                calls.settled(sid).await;
            }
        };
        let connection = match timeout_at(until, settled).await {
            Ok(()) => {
                let pool = pool.clone();
                // Not to be dropped: the driver's pool wakes one who waits for each connection that is
                // given back, and if that one has gone, the others wait on.
                let connection = async move { timeout_at(until, pool.get_conn()).await };
                calls.run(None, connection).await
            }
            Err(elapsed) => Err(elapsed),
        };
        let connection = match connection {
            Ok(connection) => connection.map_err(error::of_driver)?,
            Err(_) => return Err(Error::new(ErrorKind::Unavailable, "no connection in time")),
        };
        let shared = Arc::clone(&self.shared);
        calls.run(sid, query::run(shared, connection, until, query, locks)).await
    }

    /// Starts the removal of what has expired, if it is time for that.
    fn clear_if_due(&self, now: Timestamp) {
        if !self.shared.clearing.is_due(now) {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.purge(usize::MAX, now).await {
                tracing::warn!(
                    target: "express_session",
                    error = &error as &dyn std::error::Error,
                    "expired sessions were not removed",
                );
            }
        });
    }

    async fn current(&self, sid: &str, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let parameters = vec![sid.into(), sql::from(now).into()];
        let mut rows = self.ask(Some(sid), |sql| &sql.load, parameters).await?.rows;
        rows.first_mut().map(|row| loaded(row, 0)).transpose()
    }

    /// Updates a record, under the lock if a holder is named.
    async fn replace(
        &self,
        sid: &str,
        record: &Record,
        expected: Revision,
        holder: Option<LockToken>,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let text = checked(&record.text)?;
        let expires = self.expires(record.deadline, now);
        let digest = format!("{:032x}", expected.get());
        let done = Fenced::Held(Updated::Done(Revision::of_text(text)));
        if text.len() <= SHORT {
            let query = self.shared.sql.update_or_load(sid, text, expires, &digest, holder, now);
            let locks = if holder.is_some() { Locks::Make } else { Locks::Unasked };
            let mut answer = self.query(Some(sid), Query::Text(query, 3), locks).await?;
            let row = answer.rows.first_mut().ok_or_else(no_row)?;
            if column::<i64>(row, 0)? == 1 {
                return Ok(done);
            }
            if holder.is_some() && column::<i64>(row, 3)? == 0 {
                return Ok(Fenced::Lost);
            }
            if let Some(otherwise) = not_replaced(row, expected)? {
                return Ok(Fenced::Held(otherwise));
            }
        }
        let from = sql::from(now);
        loop {
            let mut parameters = vec![text.into(), expires.into(), sid.into()];
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
            if answer.is_marked {
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

    /// Removes the locks whose lease is over, where there are any.
    async fn purge_locks(&self) -> Result<(), Error> {
        loop {
            let query = Query::Prepared(|sql| &sql.locks.purge, vec![sql::STEP.into()]);
            if self.query(None, query, Locks::None).await?.affected < sql::STEP {
                return Ok(());
            }
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            own: None,
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
        }
    }
}

impl fmt::Debug for MySqlStore {
    /// Shows the options, and neither the server's address nor a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { options, sql, .. } = &*self.shared;
        f.debug_struct("MySqlStore")
            .field("table", &format_args!("{}", sql.table))
            .field("create_database_table", &options.create_database_table)
            .field("expiration", &options.expiration)
            .field("clear_expired", &options.clear_expired)
            .field("check_expiration_interval", &options.check_expiration_interval)
            .field("disable_touch", &options.disable_touch)
            .field("timeout", &options.timeout)
            .field("connection_limit", &options.own.as_ref().map(|(_, limit)| limit))
            .finish()
    }
}

impl Store for MySqlStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        self.clear_if_due(now);
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
        self.clear_if_due(now);
        let sid = key(id).ok_or_else(unsuitable_id)?;
        let text = checked(&record.text)?;
        let (expires, from) = (self.expires(record.deadline, now), sql::from(now));
        let parameters = vec![sid.into(), expires.into(), text.into(), from.into(), from.into()];
        let answer = self.ask(Some(sid), |sql| &sql.create, parameters).await?;
        Ok(if answer.is_marked { Created::Taken } else { Created::Done(Revision::of_text(text)) })
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        self.clear_if_due(now);
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
        self.clear_if_due(now);
        let Some(sid) = key(id) else { return Ok(Touched::Gone) };
        let expires = self.expires(touch.deadline, now);
        let parameters = vec![expires.into(), sid.into(), sql::from(now).into()];
        let answer = self.ask(Some(sid), |sql| &sql.touch, parameters).await?;
        Ok(if answer.is_marked { Touched::Done } else { Touched::Gone })
    }

    /// Leaves it to [`touch`](Store::touch) where the text is not as express-session writes it.
    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        // The sum that the server makes has no sign.
        if self.shared.options.disable_touch || now.millis() < 0 {
            let loaded = self.load(id, now).await?;
            return Ok(loaded.map(|loaded| LoadedAndTouched { loaded, is_touched: false }));
        }
        self.clear_if_due(now);
        let Some(sid) = key(id) else { return Ok(None) };
        let query = self.shared.sql.load_and_touch(sid, now, self.expires(None, now));
        let mut answer = self.query(Some(sid), Query::Text(query, 2), Locks::Unasked).await?;
        let Some(row) = answer.rows.first_mut() else { return Ok(None) };
        let loaded = loaded(row, 0)?;
        let wanted = Touch::renewing(&loaded.record.text, now).map(|touch| {
            Timestamp::from_millis(self.expires(touch.deadline, now).saturating_mul(1000))
        });
        Ok(Some(LoadedAndTouched { is_touched: wanted == loaded.record.deadline, loaded }))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        if let Some(sid) = key(id) {
            self.ask(Some(sid), |sql| &sql.destroy, vec![sid.into()]).await?;
        }
        Ok(())
    }

    /// Its lease runs by the server's clock, whatever `now` says.
    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        self.clear_if_due(now);
        let sid = key(id).ok_or_else(unsuitable_id)?;
        // Far beyond any lease, and within what the column holds.
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 4);
        let parameters = vec![sid.into(), bytes(holder), lease.into()];
        let answer = self.ask_lock(sid, |sql| &sql.locks.lock, parameters).await?;
        Ok(if answer.is_marked { LockOutcome::Held } else { LockOutcome::Acquired })
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        self.clear_if_due(now);
        let Some(sid) = key(id) else { return Ok(Fenced::Lost) };
        self.replace(sid, record, expected, Some(holder), now).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let Some(sid) = key(id) else { return Ok(()) };
        let parameters = vec![sid.into(), bytes(holder)];
        self.ask_lock(sid, |sql| &sql.locks.unlock, parameters).await.map(drop)
    }

    /// `false` with [`disable_touch`](Self::disable_touch).
    fn supports_touch(&self) -> bool {
        !self.shared.options.disable_touch
    }
}

impl Admin for MySqlStore {
    /// Gives them in the order of their ids.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        // A page of none would never come to an end.
        let limit = limit.max(1);
        let mut parameters = vec![sql::from(now).into(), Value::from(limit as u64)];
        let statement: Statement = match &after {
            None => |sql| &sql.list,
            Some(last) => {
                parameters.insert(0, last.as_str().into());
                |sql| &sql.list_on
            }
        };
        let page = self.ask(None, statement, parameters).await?.rows;

        let is_full = page.len() == limit;
        let mut next = None;
        let mut sessions = Vec::with_capacity(page.len());
        for mut row in page {
            let sid = text(&mut row, 2)?;
            next = is_full.then(|| Cursor::new(sid.as_str()));
            // Nobody can have a session whose id is empty.
            if let Some(id) = SessionId::new(sid) {
                sessions.push((id, loaded(&mut row, 0)?.record));
            }
        }
        Ok(Page { sessions, next })
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        let mut rows = self.ask(None, |sql| &sql.count, vec![sql::from(now).into()]).await?.rows;
        let count = rows.first_mut().map(|row| column::<u64>(row, 0)).transpose()?;
        Ok(count.unwrap_or(0))
    }

    /// Removes 250 at a time, so that no step takes long.
    async fn clear(&self) -> Result<(), Error> {
        while self.ask(None, |sql| &sql.clear, vec![sql::STEP.into()]).await?.affected > 0 {}
        Ok(())
    }

    /// Looks for them without a lock, which the lack of an index would put on every record. Locks whose
    /// lease is over go too, and are not counted.
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
            // One statement for any number: the first takes the place of those that are missing.
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

/// Makes a pool that keeps its connections as they are: the store leaves nothing behind on them.
fn pool(opts: &Opts, limit: usize) -> Pool {
    #[cfg(feature = "tls")]
    choose_cryptography();
    let constraints = PoolConstraints::new(limit, limit).unwrap_or_default();
    let pool = opts.pool_opts().clone().with_constraints(constraints).with_reset_connection(false);
    let opts = OptsBuilder::from_opts(opts.clone())
        .pool_opts(pool)
        // A connection through a socket is not seen to be closed; one that is asked for is kept.
        .prefer_socket(false)
        .init(vec![sql::STRICT]);
    Pool::new(opts)
}

/// Takes a cryptography where the application has chosen none, without which TLS panics.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Where another was faster, it is that one.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

/// Gives an id as the table can keep it, or nothing for one that it cannot have a record of.
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

/// The server says as much of a text that is too long, but only in its strict mode.
fn checked(text: &str) -> Result<&str, Error> {
    if text.len() > sql::TEXT_BYTES {
        return Err(Error::new(ErrorKind::Unsuitable, "the text is longer than the column"));
    }
    Ok(text)
}

/// Reads the columns that all statements begin with which return records: the text, and when it ends.
fn loaded(row: &mut Row, at: usize) -> Result<Loaded, Error> {
    let text = text(row, at)?;
    let seconds: i64 = column(row, at + 1)?;
    let revision = Revision::of_text(&text);
    let deadline = Some(Timestamp::from_millis(seconds.saturating_mul(1000)));
    Ok(Loaded { record: Record { text: text.into(), deadline }, revision })
}

/// Reads from the second and third column of a row why nothing was replaced. None where there is no
/// reason any more: it was another for a moment, and is back.
fn not_replaced(row: &mut Row, expected: Revision) -> Result<Option<Updated>, Error> {
    if row.as_ref(2) == Some(&Value::NULL) {
        return Ok(Some(Updated::Gone));
    }
    Ok(conflict(loaded(row, 1)?, expected))
}

fn conflict(current: Loaded, expected: Revision) -> Option<Updated> {
    (current.revision != expected).then_some(Updated::Conflict(current))
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
/// Up to so many bytes are written as hexadecimal digits, twice as many, to save a round trip.
const SHORT: usize = 16 * 1024;
