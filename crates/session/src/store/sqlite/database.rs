//! One connection, and what can be done with it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use express_session_core::store::{Error, ErrorKind, FencingToken, LockToken};
use express_session_core::{SessionId, Timestamp};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Params, Row, params};

use super::dialect::{Dialect, Sql};
#[cfg(unix)]
use super::trust;
use super::{Options, Synchronous};

/// How many ids a step of the cleaning looks at.
const STEP: i64 = 500;
/// How long a lock that is over keeps its fencing token, in milliseconds: a day.
const KEPT_FENCE: i64 = 86_400_000;
/// More than there are statements.
const STATEMENTS: usize = 32;

/// A connection to the database, with its table found or made.
pub(super) struct Database {
    connection: Connection,
    sql: Sql,
    dialect: Dialect,
    makes_tables: bool,
}

/// A record as it stands in its row.
pub(super) struct Stored {
    /// The text, or nothing where that is no UTF-8 text.
    pub(super) text: Option<Arc<str>>,
    /// The deadline, or nothing where that is no time: to the npm stores such a record is not there.
    pub(super) deadline: Option<Timestamp>,
}

/// Why a transaction was rolled back, or a connection not opened.
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Refused(&'static str),
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl Database {
    pub(super) fn open(options: &Options) -> Result<Self> {
        let path = if options.is_in_memory() { options.path.clone() } else { make_room(options)? };
        // Without the flag for URIs, so that a path beginning with `file:` is a path too.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(options.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        set_durability(&connection, options)?;

        let sid = options.sid_field_name.as_str();
        let sql = |dialect| Sql::new(dialect, &options.table, sid);
        let mut columns = columns(&connection, &options.table)?;
        if columns.is_empty() {
            if !options.create_table {
                return Err(Failure::Refused("there is no such table, and create_table is off"));
            }
            // Another process may be doing the same: the statements do nothing the second time.
            let create = sql(options.dialect.unwrap_or(Dialect::ConnectSqlite3)).create;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            connection
                .execute_batch(&create)
                .and_then(|()| connection.execute_batch("COMMIT"))
                .inspect_err(|_| drop(connection.execute_batch("ROLLBACK")))?;
            columns = self::columns(&connection, &options.table)?;
        }
        let Some(dialect) = Dialect::of_columns(&columns, sid) else {
            return Err(Failure::Refused("the table has not the columns of a session store"));
        };
        if options.dialect.is_some_and(|wanted| wanted != dialect) {
            return Err(Failure::Refused("the table is of another dialect than the option says"));
        }
        let sql = sql(dialect);
        if options.user_index {
            let [name, create] = &sql.user_index;
            let is_there = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?1";
            if !connection.prepare(is_there)?.exists([name])? {
                connection.execute(create, [])?;
            }
        }
        Ok(Self { sql, connection, dialect, makes_tables: options.create_table })
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn begin(&self) -> Result<()> {
        // A writer takes its lock immediately; a lock taken later may fail without any wait.
        self.execute("BEGIN IMMEDIATE", []).map(drop)
    }

    pub(super) fn commit(&self) -> Result<()> {
        self.execute("COMMIT", []).map(drop)
    }

    pub(super) fn roll_back(&self) -> Result<()> {
        // Some errors roll back by themselves.
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.execute("ROLLBACK", []).map(drop)
    }

    pub(super) fn find(&self, id: &SessionId) -> Result<Option<Stored>> {
        let mut statement = self.connection.prepare_cached(&self.sql.load)?;
        Ok(statement.query_row([id.as_str()], |row| stored(row, 0)).optional()?)
    }

    pub(super) fn insert(
        &self,
        id: &SessionId,
        text: &str,
        deadline: Timestamp,
    ) -> Result<Timestamp> {
        self.put(&self.sql.insert, id, text, deadline)
    }

    pub(super) fn replace(
        &self,
        id: &SessionId,
        text: &str,
        deadline: Timestamp,
    ) -> Result<Timestamp> {
        self.put(&self.sql.replace, id, text, deadline)
    }

    fn put(&self, sql: &str, id: &SessionId, text: &str, deadline: Timestamp) -> Result<Timestamp> {
        let (value, deadline) = self.dialect.deadline(deadline);
        self.execute(sql, params![id.as_str(), value, text])?;
        Ok(deadline)
    }

    /// Moves a deadline, and gives it as it is kept.
    pub(super) fn touch(&self, id: &SessionId, deadline: Timestamp) -> Result<Timestamp> {
        let (value, deadline) = self.dialect.deadline(deadline);
        self.execute(&self.sql.touch, params![id.as_str(), value])?;
        Ok(deadline)
    }

    pub(super) fn destroy(&self, id: &SessionId) -> Result<()> {
        self.execute(&self.sql.destroy, [id.as_str()]).map(drop)
    }

    /// Returns live records that contain a text, of those that the index has under it if asked for, in the order of their
    /// ids, each id as its stored bytes.
    pub(super) fn list(
        &self,
        text: &str,
        by_index: bool,
        after: &str,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(Vec<u8>, Stored)>> {
        let read = |row: &Row<'_>| {
            let id = row.get_ref(0)?.as_bytes().map(<[u8]>::to_vec).unwrap_or_default();
            Ok((id, stored(row, 1)?))
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let collected = if text.is_empty() {
            let mut statement = self.connection.prepare_cached(&self.sql.list)?;
            let rows = statement.query_map(params![after, now.millis(), limit], read)?;
            rows.collect::<rusqlite::Result<_>>()
        } else {
            let sql = if by_index { &self.sql.list_of } else { &self.sql.list_with };
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![after, now.millis(), limit, text], read)?;
            rows.collect::<rusqlite::Result<_>>()
        };
        Ok(collected?)
    }

    pub(super) fn count(&self, now: Timestamp) -> Result<u64> {
        let mut statement = self.connection.prepare_cached(&self.sql.count)?;
        let count: i64 = statement.query_row([now.millis()], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) fn clear(&self) -> Result<()> {
        self.execute(&self.sql.clear, []).map(drop)
    }

    /// Takes the lock of an id if it can be had, and returns its fencing token. The table is made by the first.
    pub(super) fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<FencingToken>> {
        let sql = &self.sql.locks;
        if !self.has_locks()? {
            if !self.makes_tables {
                return Err(Failure::Refused(
                    "there is no table of locks, and create_table is off",
                ));
            }
            self.execute(&sql.create, [])?;
        }
        let least = FencingToken::after(0, now).get().cast_signed();
        let params = params![id.as_str(), holder.as_bytes(), until.millis(), now.millis(), least];
        let mut statement = self.connection.prepare_cached(&sql.lock)?;
        let fence: Option<i64> = statement.query_row(params, |row| row.get(0)).optional()?;
        Ok(fence.map(|fence| FencingToken::new(fence.cast_unsigned())))
    }

    pub(super) fn is_held(
        &self,
        id: &SessionId,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<bool> {
        if !self.has_locks()? {
            return Ok(false);
        }
        let mut statement = self.connection.prepare_cached(&self.sql.locks.is_held)?;
        Ok(statement.exists(params![id.as_str(), holder.as_bytes(), now.millis()])?)
    }

    pub(super) fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<()> {
        if self.has_locks()? {
            self.execute(&self.sql.locks.unlock, params![id.as_str(), holder.as_bytes()])?;
        }
        Ok(())
    }

    /// Removes some of the locks whose lease is over, and says whether there may be more of them.
    pub(super) fn clean_locks(&self, now: Timestamp) -> Result<bool> {
        let some = |database: &Self| {
            let until = now.millis() - KEPT_FENCE;
            database.execute(&database.sql.locks.clean, params![until, STEP])
        };
        Ok(self.has_locks()? && some(self)? as i64 == STEP)
    }

    /// Returns whether there is a table of locks, which another process may have created since.
    fn has_locks(&self) -> Result<bool> {
        Ok(self.connection.prepare_cached(&self.sql.locks.is_there)?.exists([])?)
    }

    pub(super) fn purge(&self, limit: usize, now: Timestamp) -> Result<usize> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.execute(&self.sql.purge, [now.millis(), limit])
    }

    /// Removes some of the locks that are over and, once there are none left, what has expired among some
    /// ids after this one. Gives where to go on.
    pub(super) fn clean(&self, after: &str, now: Timestamp) -> Result<Option<String>> {
        if self.clean_locks(now)? {
            return Ok(Some(after.to_owned()));
        }
        let mut step = self.connection.prepare_cached(&self.sql.step)?;
        let last = step.query_row(params![after, STEP - 1], |row| row.get(0)).optional()?;
        self.execute(&self.sql.clean, params![after, last, now.millis()])?;
        Ok(last)
    }

    fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }
}

/// Makes the folder if that was asked for, and the file if there is none: SQLite would make one that
/// every user of the machine can read. Returns the path without links.
///
/// Where it fails, SQLite says why.
fn make_room(options: &Options) -> Result<PathBuf> {
    if options.create_dir_if_not_exists {
        let _ = options.path.parent().map(fs::create_dir_all);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = trust::resolved(&options.path)?;
        let _ = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        trust::judge(&path)?;
        Ok(path)
    }
    #[cfg(not(unix))]
    Ok(fs::canonicalize(&options.path).unwrap_or_else(|_| options.path.clone()))
}

fn set_durability(connection: &Connection, options: &Options) -> Result<()> {
    let mode = || connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
    let is_log = |mode: rusqlite::Result<String>| mode.is_ok_and(|mode| mode == "wal");
    let mut has_log = is_log(mode());
    if options.concurrent_db && !has_log {
        // A file that cannot be changed, or that another program holds, works as it is.
        let _ = connection.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()));
        has_log = is_log(mode());
    }
    // Without a write-ahead log, less than FULL could leave a broken database after a power cut.
    let synchronous = match options.synchronous {
        Synchronous::Normal if has_log => "NORMAL",
        Synchronous::Normal | Synchronous::Full => "FULL",
    };
    Ok(connection.pragma_update(None, "synchronous", synchronous)?)
}

/// Returns a table's columns with their declared types; none if the table does not exist.
fn columns(connection: &Connection, table: &str) -> Result<Vec<(String, String)>> {
    let mut statement = connection.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
    let rows = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn stored(row: &Row<'_>, at: usize) -> rusqlite::Result<Stored> {
    let text = match row.get_ref(at)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().map(Arc::from),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    };
    let deadline = row.get::<_, Option<i64>>(at + 1)?.map(Timestamp::from_millis);
    Ok(Stored { text, deadline })
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    /// Returns whether another program holds the database, so that nothing was done.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy),
            Self::Refused(_) => false,
        }
    }

    /// Returns whether the connection should not be used again.
    pub(super) fn breaks_the_connection(&self) -> bool {
        let code = match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Refused(_) => None,
        };
        !matches!(
            code,
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DiskFull
                    | ErrorCode::TooBig
            )
        )
    }
}

/// Makes the error of a call that could not begin because another program holds the database.
pub(super) fn busy() -> Error {
    Error::new(ErrorKind::Unavailable, BUSY)
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Sqlite(error) => error,
            Failure::Refused(message) => return Self::new(ErrorKind::Refused, message),
        };
        let code = error.sqlite_error_code();
        let found = KINDS.iter().find(|(codes, ..)| code.is_some_and(|code| codes.contains(&code)));
        let (_, kind, message) = found.unwrap_or(&(&[], ErrorKind::Other, "SQLite failed"));
        Self::new(*kind, *message).with_source(error)
    }
}

const BUSY: &str = "another program holds the database";

/// The meaning of SQLite's codes to a caller.
const KINDS: [(&[ErrorCode], ErrorKind, &str); 7] = [
    (
        &[ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked, ErrorCode::FileLockingProtocolFailed],
        ErrorKind::Unavailable,
        BUSY,
    ),
    (
        &[ErrorCode::CannotOpen, ErrorCode::SystemIoFailure],
        ErrorKind::Unavailable,
        "the database file cannot be used",
    ),
    (
        &[
            ErrorCode::ReadOnly,
            ErrorCode::PermissionDenied,
            ErrorCode::AuthorizationForStatementDenied,
        ],
        ErrorKind::Refused,
        "the database may not be written to",
    ),
    (&[ErrorCode::DiskFull], ErrorKind::Refused, "the disk is full"),
    (
        &[ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase],
        ErrorKind::Refused,
        "the file is broken, or no SQLite database",
    ),
    (
        &[ErrorCode::Unknown, ErrorCode::SchemaChanged],
        ErrorKind::Refused,
        "the database does not take the statement",
    ),
    (&[ErrorCode::TooBig], ErrorKind::Unsuitable, "the record is larger than SQLite takes"),
];
