//! Runs statements on a connection.
//!
//! Statements of a session are prepared where [no pooler](super::direct) is in between, and have no names elsewhere.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;

use deadpool_postgres::Object;
use express_session_core::store::{Error, ErrorKind};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Row};

use super::super::breaker::{self, UNUSED};
use super::sql::{Statement, Statements};
use super::{Fault, Shared, error};
use crate::runtime::console::print_unheard;

/// A parameter of a statement, owned by the call, and its type.
pub(super) struct Parameter(Box<dyn ToSql + Sync + Send>, Type);

impl Parameter {
    /// A text for a column of any type.
    pub(super) fn text(text: &str) -> Self {
        Self::new(Inferred(text.to_owned()), Type::UNKNOWN)
    }

    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec(), Type::BYTEA)
    }

    pub(super) fn integer(number: i64) -> Self {
        Self::new(number, Type::INT8)
    }

    pub(super) fn float(number: f64) -> Self {
        Self::new(number, Type::FLOAT8)
    }

    fn new(value: impl ToSql + Sync + Send + 'static, of_type: Type) -> Self {
        Self(Box::new(Redacted(value)), of_type)
    }
}

/// A value that does not print: tokio-postgres logs the parameters of each statement.
struct Redacted<T>(T);

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

impl<T: ToSql> ToSql for Redacted<T> {
    fn to_sql(
        &self,
        of_type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.0.to_sql(of_type, out)
    }

    fn accepts(of_type: &Type) -> bool {
        T::accepts(of_type)
    }

    fn encode_format(&self, of_type: &Type) -> Format {
        self.0.encode_format(of_type)
    }

    to_sql_checked!();
}

/// A text of which the server infers the type, as of a literal.
#[derive(Debug)]
struct Inferred(String);

impl ToSql for Inferred {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

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
    Query { statement, parameters, locks, is_of_session }: Query,
) -> Result<Vec<Row>, Fault> {
    let work = async {
        if shared.options.create_table_if_missing || shared.options.user_index {
            shared.table.get_or_try_init(|| prepare_table(&shared, &connection)).await?;
        }
        let sql = &shared.sql;
        let ask = || async {
            let preparing = Some(&*shared).filter(|shared| is_of_session && shared.prepares());
            repeated(&connection, statement(sql), &parameters, preparing).await
        };
        let answer = ask().await;
        let answer = match answer {
            Err(error)
                if locks == Locks::Make && error.code() == Some(&SqlState::UNDEFINED_TABLE) =>
            {
                create_lock_table(&connection, sql).await?;
                ask().await
            }
            answer => answer,
        };
        match answer {
            Ok(rows) => Ok(rows),
            Err(error) => Err(explained(&connection, sql, error).await),
        }
    };
    match timeout_at(until, work).await {
        Ok(Err(error)) if error::is_of_server(&error) => {
            // It goes on to refuse writes, or stops. Idle connections are to the same server.
            drop(Object::take(connection));
            shared.pool.retain(|_, _| false);
            Err(error.into())
        }
        Ok(rows) => {
            // Also if the caller is gone.
            shared.breaker.answered();
            Ok(rows?)
        }
        Err(_) => {
            // It may never answer: take it out of the pool and close it.
            drop(Object::take(connection));
            Err(Fault::Silence(breaker::no_answer_in_time()))
        }
    }
}

/// A query to the server.
pub(super) struct Query {
    pub(super) statement: Statement,
    pub(super) parameters: Vec<Parameter>,
    pub(super) locks: Locks,
    /// Others are too rare to be prepared, and need the plan for the table as it is now.
    pub(super) is_of_session: bool,
}

/// Runs a statement until the server does not roll it back: it does under another isolation than READ COMMITTED, or
/// beside another program's transaction. The timeout ends the loop.
async fn repeated(
    connection: &Object,
    sql: &str,
    parameters: &[Parameter],
    preparing: Option<&Shared>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    loop {
        match attempt(connection, sql, parameters, preparing).await {
            Err(error)
                if matches!(
                    error.code(),
                    Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED)
                ) => {}
            answer => return answer,
        }
    }
}

async fn attempt(
    connection: &Object,
    sql: &str,
    parameters: &[Parameter],
    preparing: Option<&Shared>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    if let Some(shared) = preparing {
        let types: Vec<_> = parameters.iter().map(|Parameter(_, kind)| kind.clone()).collect();
        let answer = prepared(connection, sql, &types, parameters).await;
        match answer.as_ref().err().and_then(|error| error.code()) {
            Some(code) if is_about_the_statement(code) => {
                connection.statement_cache.remove(sql, &types);
                shared.prepared_in_vain(code);
            }
            Some(_) | None => return answer,
        }
    }
    let parameters: Vec<_> = parameters
        .iter()
        .map(|Parameter(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()))
        .collect();
    connection.query_typed(sql, &parameters).await
}

async fn prepared(
    connection: &Object,
    sql: &str,
    types: &[Type],
    parameters: &[Parameter],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = connection.prepare_typed_cached(sql, types).await?;
    let parameters: Vec<_> =
        parameters.iter().map(|Parameter(value, _)| &**value as &(dyn ToSql + Sync)).collect();
    connection.query(&statement, &parameters).await
}

/// Returns whether a prepared statement may be the cause of an error: the server has forgotten it (26000), the table was
/// altered since (0A000, 42804, 42883), or the name is taken (42P05). Nothing was done.
fn is_about_the_statement(code: &SqlState) -> bool {
    ["0A", "26", "42"].contains(&code.code().get(..2).unwrap_or_default())
}

/// Maps an error, and names the columns that may have caused it.
async fn explained(connection: &Object, sql: &Statements, error: tokio_postgres::Error) -> Error {
    let is_about_columns = error.code().is_some_and(|code| error::is_about_columns(code.code()));
    let error = error::of_driver(error);
    if !is_about_columns {
        return error;
    }
    let Ok(rows) = repeated(connection, sql.columns, &[Parameter::text(&sql.table)], None).await
    else {
        return error;
    };
    let columns = rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)));
    match error::odd_columns(&columns.collect::<Vec<_>>()) {
        Some(odd) => {
            let message = format!("the table does not take it: {odd}");
            Error::new(error.kind(), message).with_source(error)
        }
        None => error,
    }
}

/// Reads a session that does not exist. An error is an answer too, unless calls would fail with it.
pub(super) async fn probe(connection: &Client, sql: &Statements) -> Result<(), Error> {
    let sid: &(dyn ToSql + Sync) = &Inferred(UNUSED.to_owned());
    let parameters = [(sid, Type::UNKNOWN), (&0_f64, Type::FLOAT8)];
    match connection.query_typed(&sql.load, &parameters).await.map_err(error::of_driver) {
        Err(error) if breaker::is_outage(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Creates the table, unless it exists, and the index of the users.
async fn prepare_table(shared: &Arc<Shared>, connection: &Object) -> Result<(), Error> {
    let (options, sql) = (&shared.options, &shared.sql);
    if options.create_table_if_missing && !has_table(connection, sql, &sql.table).await? {
        let with_index = format!("{}; {}", sql.create_table, sql.users.create);
        let create = if options.user_index { &with_index } else { &sql.create_table };
        let created = connection.batch_execute(create).await;
        let Err(error) = created.map_err(error::of_driver) else { return Ok(()) };
        // Another process may have made it in the meantime.
        if !has_table(connection, sql, &sql.table).await? {
            return Err(error);
        }
    }
    if options.user_index && !has_table(connection, sql, &sql.users.name).await? {
        // It may take minutes, and no call has to wait for it.
        tokio::spawn(create_user_index(Arc::clone(shared)));
    }
    Ok(())
}

const NO_INDEX: &str = "the index of the users could not be created: lists read every session";

/// Creates the index of the users for a table that exists, on a connection that no call gets.
async fn create_user_index(shared: Arc<Shared>) {
    let sql = &shared.sql.users;
    let create = async {
        let connection = Object::take(shared.pool.get().await.map_err(error::of_pool)?);
        let begun = connection.query_typed(&sql.begin, &[]).await.map_err(error::of_driver)?;
        let is_free = begun.first().is_some_and(|row| row.try_get(0).unwrap_or(false));
        if is_free {
            let created = connection.batch_execute(&sql.create_concurrently).await;
            // Behind a pooler, the end of the connection does not release it.
            let _ = connection.batch_execute(&sql.end).await;
            created.map_err(error::of_driver)?;
        }
        Ok::<_, Error>(())
    };
    if let Err(error) = create.await {
        let error: &dyn StdError = &error;
        let statement = &*sql.create_concurrently;
        tracing::warn!(target: "express_session", error, statement, "{NO_INDEX}");
        print_unheard(NO_INDEX, Some(error));
    }
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
    let rows = repeated(connection, &sql.table_exists, &[Parameter::text(table)], None).await;
    let rows = rows.map_err(error::of_driver)?;
    let name = rows.first().map(|row| row.try_get::<_, Option<&str>>(0));
    Ok(name.transpose().map_err(error::of_column)?.flatten().is_some())
}
