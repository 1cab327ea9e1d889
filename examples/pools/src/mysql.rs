//! Sessions in the table of express-mysql-session, over a `MySqlPool`.

use express_session::store::{Created, Error, ErrorKind, Loaded, Record, Revision, Store};
use express_session::store::{Touch, Touched, Updated};
use express_session::{SessionId, Timestamp as Time};
use sqlx::{MySqlPool, query, query_as};

use crate::error::of_sqlx as failed;

/// The statement that creates the table, unless it exists.
pub const TABLE: &str = include_str!("mysql/table.sql");

/// Keeps sessions in the [`TABLE`] of a pool.
#[derive(Clone, Debug)]
pub struct MySqlPoolStore(pub MySqlPool);

impl Store for MySqlPoolStore {
    async fn load(&self, id: &SessionId, now: Time) -> Result<Option<Loaded>, Error> {
        let row = query_as(include_str!("mysql/load.sql")).bind(key(id)?).bind(now.millis());
        let row = row.fetch_optional(&self.0).await.map_err(failed)?;
        Ok(row.map(|(text, end): (String, i64)| Loaded {
            revision: Revision::of_text(&text),
            record: Record { text: text.into(), deadline: Some(Time::from_millis(end)) },
        }))
    }

    async fn create(&self, id: &SessionId, new: &Record, now: Time) -> Result<Created, Error> {
        let [late, end, lifetime] = end(new.deadline, now);
        let row = query(include_str!("mysql/create.sql")).bind(key(id)?);
        let row = row.bind(late).bind(end).bind(lifetime).bind(end).bind(&*new.text);
        let row = row.bind(now.millis()).bind(now.millis()).execute(&self.0).await;
        let is_taken = row.map_err(failed)?.last_insert_id() == 1;
        Ok(if is_taken { Created::Taken } else { Created::Done(Revision::of_text(&new.text)) })
    }

    #[rustfmt::skip]
    async fn update(&self, id: &SessionId, new: &Record, seen: &Revision, now: Time) -> Result<Updated, Error> {
        let seen = format!("{:032x}", seen.number().unwrap_or_default());
        if self.change(id, end(new.deadline, now), now, Some(&new.text), &seen).await? {
            return Ok(Updated::Done(Revision::of_text(&new.text)));
        }
        Ok(self.load(id, now).await?.map_or(Updated::Gone, Updated::Conflict))
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Time) -> Result<Touched, Error> {
        let is_done = self.change(id, end(touch.deadline, now), now, None, "").await?;
        Ok(if is_done { Touched::Done } else { Touched::Gone })
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let row = query("DELETE FROM sessions WHERE session_id = ?").bind(key(id)?);
        row.execute(&self.0).await.map(drop).map_err(failed)
    }
}

impl MySqlPoolStore {
    /// Writes a text in place of the one with that digest, or moves the end alone. Returns whether there was one.
    #[rustfmt::skip]
    async fn change(&self, id: &SessionId, [late, end, lifetime]: [i64; 3], now: Time, text: Option<&str>, seen: &str) -> Result<bool, Error> {
        let row = query(include_str!("mysql/change.sql")).bind(text);
        let row = row.bind(late).bind(end).bind(lifetime).bind(end);
        let row = row.bind(key(id)?).bind(now.millis()).bind(seen).execute(&self.0).await;
        // sqlx has the server count the rows that a statement found, changed or not.
        Ok(row.map_err(failed)?.rows_affected() == 1)
    }
}

/// Refuses an id that the column would cut off, or take for another: its collation ignores spaces at the end.
fn key(id: &SessionId) -> Result<&str, Error> {
    let id = Some(id.as_str()).filter(|id| id.chars().count() <= 128 && !id.ends_with(' '));
    id.ok_or_else(|| Error::new(ErrorKind::Unsuitable, "the table has no such ids"))
}

/// Returns from when on the caller's clock is behind by the server's, the end as express-mysql-session rounds it, and the
/// lifetime. A session of the browser's lives for a day.
fn end(deadline: Option<Time>, now: Time) -> [i64; 3] {
    let millis = deadline.map_or(now.millis() + 86_400_000, Time::millis);
    let end = (millis + 500).div_euclid(1000).clamp(0, u32::MAX.into());
    let now = now.millis().div_euclid(1000);
    // An end that has come by the caller's clock is meant. A call may take 5 seconds.
    let late = if end <= now { i64::MAX } else { end.min(now + 5) };
    [late, end, end - now - 1]
}

#[cfg(test)]
mod tests;
