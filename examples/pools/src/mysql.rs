//! Sessions in a table of a `MySqlPool`.

use express_session::store::*;
use express_session::{SessionId, Timestamp};
use sqlx::mysql::MySqlPool;

/// The table.
pub const TABLE: &str = "CREATE TABLE IF NOT EXISTS session (deadline bigint, \
    id varchar(128) COLLATE utf8mb4_bin PRIMARY KEY, text mediumtext COLLATE utf8mb4_bin NOT NULL)";

/// Keeps sessions in the [`TABLE`] of a pool.
#[derive(Clone, Debug)]
pub struct SqlxStore(pub MySqlPool);

/// Runs a statement, and returns whether it found a row: sqlx counts those that it found, changed or not.
macro_rules! run {
    ($store:ident, $sql:literal, $($value:expr),+ $(,)?) => {{
        let statement = sqlx::query($sql)$(.bind($value))+;
        statement.execute(&$store.0).await.map_err(failed)?.rows_affected() > 0
    }};
}

impl Store for SqlxStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let sql = "SELECT text, deadline FROM session WHERE id = ? AND IFNULL(deadline > ?, true)";
        let row = sqlx::query_as(sql).bind(id.as_str()).bind(now.millis());
        let row = row.fetch_optional(&self.0).await.map_err(failed)?;
        Ok(row.map(|(text, deadline): (String, Option<i64>)| Loaded {
            revision: Revision::of_text(&text),
            record: Record { text: text.into(), deadline: deadline.map(Timestamp::from_millis) },
        }))
    }

    async fn create(&self, id: &SessionId, new: &Record, now: Timestamp) -> Result<Created, Error> {
        run!(self, "DELETE FROM session WHERE id = ? AND deadline <= ?", id.as_str(), now.millis());
        let (end, id) = (new.deadline.map(Timestamp::millis), id.as_str());
        let is_new = run!(self, "INSERT IGNORE INTO session VALUES (?, ?, ?)", end, id, &*new.text);
        Ok(if is_new { Created::Done(Revision::of_text(&new.text)) } else { Created::Taken })
    }

    #[rustfmt::skip]
    async fn update(&self, id: &SessionId, new: &Record, old: Revision, now: Timestamp) -> Result<Updated, Error> {
        let (end, old) = (new.deadline.map(Timestamp::millis), format!("{:032x}", old.get()));
        let is_done = run!(self, "UPDATE session SET deadline = ?, text = ? WHERE id = ? \
            AND IFNULL(deadline > ?, true) AND LEFT(SHA2(text, 256), 32) = ?",
            end, &*new.text, id.as_str(), now.millis(), old);
        if is_done {
            return Ok(Updated::Done(Revision::of_text(&new.text)));
        }
        Ok(self.load(id, now).await?.map_or(Updated::Gone, Updated::Conflict))
    }

    async fn touch(&self, id: &SessionId, to: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let (end, id) = (to.deadline.map(Timestamp::millis), id.as_str());
        let is_there = run!(
            self,
            "UPDATE session SET deadline = ? WHERE id = ? AND IFNULL(deadline > ?, true)",
            end,
            id,
            now.millis()
        );
        Ok(if is_there { Touched::Done } else { Touched::Gone })
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        run!(self, "DELETE FROM session WHERE id = ?", id.as_str());
        Ok(())
    }
}

fn failed(error: sqlx::Error) -> Error {
    let is_of_server = matches!(error, sqlx::Error::Database(_));
    // The server's message may repeat a value.
    Error::new(if is_of_server { ErrorKind::Other } else { ErrorKind::Unavailable }, "no answer")
}
