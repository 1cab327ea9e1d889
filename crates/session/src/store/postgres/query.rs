//! What is done with a connection that is in hand.

use std::sync::Arc;

use deadpool_postgres::Object;
use express_session_core::store::{Error, ErrorKind};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::sql::{Statement, Statements};
use super::{Shared, error};

/// A parameter of a statement, owned by the call.
pub(super) type Parameter = Box<dyn ToSql + Sync + Send>;

/// Runs a statement in time, and gives the connection back to the pool if it is of use again.
pub(super) async fn run(
    shared: Arc<Shared>,
    connection: Object,
    until: Instant,
    statement: Statement,
    parameters: Vec<Parameter>,
) -> Result<Vec<Row>, Error> {
    let work = async {
        if shared.options.create_table_if_missing {
            let create = || create_table(&connection, &shared.sql);
            shared.table.get_or_try_init(create).await?;
        }
        let parameters: Vec<&(dyn ToSql + Sync)> =
            parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect();
        query(&connection, statement(&shared.sql), &parameters).await
    };
    match timeout_at(until, work).await {
        Ok(rows) => rows,
        Err(_) => {
            // Nobody knows when it will answer: out of the pool, and closed.
            drop(Object::take(connection));
            Err(Error::new(ErrorKind::TimedOut, "no answer in time"))
        }
    }
}

/// Runs a statement, prepared once for each connection.
async fn query(
    connection: &Object,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let mut is_prepared_anew = false;
    loop {
        let error = match attempt(connection, sql, parameters).await {
            Ok(rows) => return Ok(rows),
            Err(error) => error,
        };
        let again = match error.code() {
            // The statement is not prepared any more, or for a table that looks otherwise now.
            Some(
                &SqlState::FEATURE_NOT_SUPPORTED
                | &SqlState::INVALID_SQL_STATEMENT_NAME
                | &SqlState::DUPLICATE_PSTATEMENT,
            ) => {
                connection.statement_cache.clear();
                !std::mem::replace(&mut is_prepared_anew, true)
            }
            // The server takes a statement back for the sake of others: under another isolation than
            // READ COMMITTED, or beside somebody's own transaction. The timeout ends it.
            Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => true,
            Some(_) | None => false,
        };
        if !again {
            return Err(error::of_driver(error));
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

/// Makes the table, unless it is there.
async fn create_table(connection: &Object, sql: &Statements) -> Result<(), Error> {
    if has_table(connection, sql).await? {
        return Ok(());
    }
    let created = connection.batch_execute(&sql.create_table).await;
    let Err(error) = created.map_err(error::of_driver) else { return Ok(()) };
    // Another process may have made it in the meantime.
    if has_table(connection, sql).await? { Ok(()) } else { Err(error) }
}

async fn has_table(connection: &Object, sql: &Statements) -> Result<bool, Error> {
    let rows = query(connection, &sql.table_exists, &[&sql.table]).await?;
    let name = rows.first().map(|row| row.try_get::<_, Option<&str>>(0));
    Ok(name.transpose().map_err(error::of_column)?.flatten().is_some())
}
