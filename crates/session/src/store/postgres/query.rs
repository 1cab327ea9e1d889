//! Runs statements on a connection.

use std::sync::Arc;

use deadpool_postgres::Object;
use express_session_core::store::{Error, ErrorKind};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::sql::{Statement, Statements};
use super::{Fault, Shared, error};

/// A parameter of a statement, owned by the call.
pub(super) type Parameter = Box<dyn ToSql + Sync + Send>;

/// The reaction to a missing table of locks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Locks {
    /// Fail: the statement is not about locks.
    Unasked,
    /// Create it, and run the statement again.
    Make,
}

/// Runs a statement with a timeout, and returns the connection to the pool if it is still usable.
pub(super) async fn run(
    shared: Arc<Shared>,
    connection: Object,
    until: Instant,
    Query { statement, parameters, locks }: Query,
) -> Result<Vec<Row>, Fault> {
    let work = async {
        if shared.options.create_table_if_missing {
            let create = || create_table(&connection, &shared.sql);
            shared.table.get_or_try_init(create).await?;
        }
        let parameters: Vec<&(dyn ToSql + Sync)> =
            parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect();
        let sql = &shared.sql;
        let answer = repeated(&connection, statement(sql), &parameters).await;
        let answer = match answer {
            Err(error)
                if locks == Locks::Make && error.code() == Some(&SqlState::UNDEFINED_TABLE) =>
            {
                create_lock_table(&connection, sql).await?;
                repeated(&connection, statement(sql), &parameters).await
            }
            answer => answer,
        };
        answer.map_err(error::of_driver)
    };
    match timeout_at(until, work).await {
        Ok(rows) => Ok(rows?),
        Err(_) => {
            // It may never answer: take it out of the pool and close it.
            drop(Object::take(connection));
            Err(Fault::Silence(Error::new(ErrorKind::TimedOut, "no answer in time")))
        }
    }
}

/// A query to the server.
pub(super) struct Query {
    pub(super) statement: Statement,
    pub(super) parameters: Vec<Parameter>,
    pub(super) locks: Locks,
}

/// Runs a statement, prepared once for each connection, until the server does not roll it back.
async fn repeated(
    connection: &Object,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let mut is_prepared_again = false;
    loop {
        let error = match attempt(connection, sql, parameters).await {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        let again = match error.code() {
            // The statement is no longer prepared, or the table has changed since.
            Some(
                &SqlState::FEATURE_NOT_SUPPORTED
                | &SqlState::INVALID_SQL_STATEMENT_NAME
                | &SqlState::DUPLICATE_PSTATEMENT,
            ) => {
                connection.statement_cache.clear();
                !std::mem::replace(&mut is_prepared_again, true)
            }
            // The server rolls a statement back under another isolation than READ COMMITTED, or beside
            // another program's transaction. The timeout ends the loop.
            Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => true,
            Some(_) | None => false,
        };
        if !again {
            return Err(error);
        }
    }
}

async fn attempt(
    connection: &Object,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = connection.prepare_cached(sql).await?;
    connection.query(&statement, parameters).await
}

/// Creates the table, unless it exists.
async fn create_table(connection: &Object, sql: &Statements) -> Result<(), Error> {
    if has_table(connection, sql, &sql.table).await? {
        return Ok(());
    }
    let created = connection.batch_execute(&sql.create_table).await;
    let Err(error) = created.map_err(error::of_driver) else { return Ok(()) };
    // Another process may have made it in the meantime.
    if has_table(connection, sql, &sql.table).await? { Ok(()) } else { Err(error) }
}

/// Creates the table of locks. The error for a missing right shows the statement to run.
async fn create_lock_table(connection: &Object, sql: &Statements) -> Result<(), Error> {
    let created = connection.batch_execute(&sql.locks.create_table).await;
    let Err(error) = created else { return Ok(()) };
    // Of two that make it at the same time, one may fail.
    if has_table(connection, sql, &sql.locks.table).await? {
        return Ok(());
    }
    let is_denied = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    let error = error::of_driver(error);
    if !is_denied {
        return Err(error);
    }
    let message =
        format!("locks need a table, which the role may not make: {}", sql.locks.create_table);
    Err(Error::new(ErrorKind::Refused, message).with_source(error))
}

async fn has_table(connection: &Object, sql: &Statements, table: &str) -> Result<bool, Error> {
    let rows = repeated(connection, &sql.table_exists, &[&table]).await;
    let rows = rows.map_err(error::of_driver)?;
    let name = rows.first().map(|row| row.try_get::<_, Option<&str>>(0));
    Ok(name.transpose().map_err(error::of_column)?.flatten().is_some())
}
