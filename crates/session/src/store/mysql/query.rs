//! Runs statements on a connection.

use std::sync::Arc;
use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Row, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::connections::Generation;
use super::sql::{Statement, Statements};
use super::{Fault, Shared, error};

/// The server's answer to a statement.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) rows: Vec<Row>,
    /// How many rows a `DELETE` has removed.
    pub(super) affected: u64,
    /// The number that the statement left: see [`sql`](super::sql).
    pub(super) marked: Option<u64>,
}

impl Answer {
    pub(super) fn is_marked(&self) -> bool {
        self.marked == Some(1)
    }
}

/// The reaction to a missing table of locks.
#[derive(Clone, Copy)]
pub(super) enum Locks {
    /// Fail: the statement is not about locks.
    Unasked,
    /// Create it, and run the statement again.
    Make,
    /// Succeed: there are no locks.
    None,
}

/// Runs a statement with a timeout, and returns the connection to the pool if it is still usable.
pub(super) async fn run(
    shared: Arc<Shared>,
    (mut connection, generation): (Conn, Generation),
    until: Instant,
    query: Query,
    locks: Locks,
) -> Result<Answer, Fault> {
    let work = async {
        if shared.options.create_database_table && !shared.table.initialized() {
            let (connection, sql) = (&mut connection, &shared.sql);
            shared.table.get_or_try_init(|| create_table(connection, sql)).await?;
        }
        let (connection, sql) = (&mut connection, &shared.sql);
        match (ask(connection, sql, &query).await, locks) {
            (Err(error), Locks::Make) if error::is_no_table(&error) => {
                create_lock_table(connection, sql).await?;
                Ok(ask(connection, sql, &query).await?)
            }
            (Err(error), Locks::None) if error::is_no_table(&error) => Ok(Answer::default()),
            (answer, _) => answer.map_err(Failure::Driver),
        }
    };
    match timeout_at(until, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Failure::Ours(error))) => Err(error.into()),
        Ok(Err(Failure::Driver(error))) => {
            if error::is_demoted(&error) {
                shared.connections.leave(generation);
                close(connection);
            } else if matches!(query, Query::Text(..)) {
                // It may be within a transaction.
                close(connection);
            }
            Err(error::of_driver(error).into())
        }
        Err(_) => {
            close(connection);
            Err(Fault::Silence(Error::new(ErrorKind::TimedOut, "no answer in time")))
        }
    }
}

/// Keeps a connection out of the pool, which counts it as closed immediately, so that no call waits for the rest.
fn close(connection: Conn) {
    drop(tokio::spawn(timeout(CLOSING, connection.disconnect())));
}

/// The failure of a statement.
enum Failure {
    Driver(mysql_async::Error),
    Ours(Error),
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        Self::Driver(error)
    }
}

/// A query to the server.
pub(super) enum Query {
    /// A statement, prepared once for each connection.
    Prepared(Statement, Vec<Value>),
    /// Several statements in one text, and their number; one returns the rows. They may be a transaction.
    Text(String, usize),
}

async fn ask(
    connection: &mut Conn,
    sql: &Statements,
    query: &Query,
) -> Result<Answer, mysql_async::Error> {
    loop {
        let answer = match query {
            Query::Prepared(statement, parameters) => {
                attempt(connection, statement(sql), parameters.clone()).await
            }
            Query::Text(text, statements) => attempt_text(connection, text, *statements).await,
        };
        match answer {
            Ok(answer) => return Ok(answer),
            // The timeout ends it.
            Err(error) if error::may_try_again(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn attempt(
    connection: &mut Conn,
    sql: &str,
    parameters: Vec<Value>,
) -> Result<Answer, mysql_async::Error> {
    // The driver takes an empty list for named parameters.
    let parameters =
        if parameters.is_empty() { Params::Empty } else { Params::Positional(parameters) };
    let result = connection.exec_iter(sql, parameters).await?;
    let marked = result.last_insert_id();
    let affected = result.affected_rows();
    let rows = result.collect_and_drop().await?;
    Ok(Answer { rows, affected, marked })
}

async fn attempt_text(
    connection: &mut Conn,
    text: &str,
    statements: usize,
) -> Result<Answer, mysql_async::Error> {
    let mut result = connection.query_iter(text).await?;
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..statements {
        rows.extend(result.collect::<Row>().await?);
    }
    result.drop_result().await?;
    Ok(Answer { rows, affected: 0, marked: None })
}

/// Creates the table, unless it exists.
async fn create_table(connection: &mut Conn, sql: &Statements) -> Result<(), Failure> {
    match connection.query_drop(&sql.create_table).await {
        // If it does not exist, the statement will fail.
        Err(error) if error::is_denied(&error) => Ok(()),
        created => Ok(created?),
    }
}

/// Creates the table of locks. The error for a missing right shows the statement to run.
async fn create_lock_table(connection: &mut Conn, sql: &Statements) -> Result<(), Failure> {
    let Err(error) = connection.query_drop(&sql.locks.create_table).await else { return Ok(()) };
    if error::is_demoted(&error) || !error::is_denied(&error) {
        return Err(error.into());
    }
    let error = error::of_driver(error);
    let message =
        format!("locks need a table, which the user may not make: {}", sql.locks.create_table);
    Err(Failure::Ours(Error::new(ErrorKind::Refused, message).with_source(error)))
}

/// The timeout of closing a connection.
const CLOSING: Duration = Duration::from_secs(1);
