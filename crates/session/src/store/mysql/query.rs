//! Runs statements on a connection.

use std::sync::Arc;
use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, Params, Row, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::super::breaker::{self, UNUSED};
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
    Query { statement, parameters, locks }: Query,
) -> Result<Answer, Fault> {
    let work = async {
        if shared.options.create_database_table && !shared.table.initialized() {
            let (connection, sql) = (&mut connection, &shared.sql);
            shared.table.get_or_try_init(|| create_table(connection, sql)).await?;
        }
        let (connection, sql) = (&mut connection, &shared.sql);
        match (ask(connection, statement(sql), &parameters).await, locks) {
            (Err(error), Locks::Make) if error::is_no_table(&error) => {
                create_lock_table(connection, sql).await?;
                Ok(ask(connection, statement(sql), &parameters).await?)
            }
            (Err(error), Locks::None) if error::is_no_table(&error) => Ok(Answer::default()),
            (answer, _) => answer.map_err(Failure::Driver),
        }
    };
    match timeout_at(until, work).await {
        Ok(Ok(answer)) => {
            // Also if the caller is gone.
            shared.breaker.answered();
            Ok(answer)
        }
        Ok(Err(Failure::Ours(error))) => Err(error.into()),
        Ok(Err(Failure::Driver(error))) => {
            if error::is_demoted(&error) {
                shared.connections.leave(generation);
                close(connection);
            }
            Err(error::of_driver(error).into())
        }
        Err(_) => {
            close(connection);
            Err(Fault::Silence(breaker::no_answer_in_time()))
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
pub(super) struct Query {
    /// It is prepared once for each connection.
    pub(super) statement: Statement,
    pub(super) parameters: Vec<Value>,
    pub(super) locks: Locks,
}

/// Runs a statement until the server does not roll it back. The timeout ends the loop.
async fn ask(
    connection: &mut Conn,
    sql: &str,
    parameters: &[Value],
) -> Result<Answer, mysql_async::Error> {
    loop {
        match attempt(connection, sql, parameters.to_vec()).await {
            Err(error) if error::may_try_again(&error) => {}
            answer => return answer,
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

/// Reads a session that does not exist. An error is an answer too, unless calls would fail with it.
pub(super) async fn probe(connection: &mut Conn, sql: &Statements) -> Result<(), Error> {
    let parameters = [UNUSED.into(), 0.into()];
    match ask(connection, &sql.load, &parameters).await.map_err(error::of_driver) {
        Err(error) if breaker::is_outage(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
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
