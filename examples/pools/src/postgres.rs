//! Sessions in the table of connect-pg-simple, over a `PgPool`. sqlx sets the time zone of its connections to UTC.

use std::time::Duration;

use express_session::store::{Created, Error, Loaded, Record, Revision, Store};
use express_session::store::{Touch, Touched, Updated};
use express_session::{SessionId, Timestamp as Time};
use sqlx::{PgPool, query, query_as};

use crate::error::of_sqlx as failed;

/// The statement that creates the table, unless it exists.
pub const TABLE: &str = include_str!("postgres/table.sql");

/// Keeps sessions in the [`TABLE`] of a pool.
#[derive(Clone, Debug)]
pub struct PgPoolStore(pub PgPool);

type Row = (String, i64, bool);

impl Store for PgPoolStore {
    async fn load(&self, id: &SessionId, now: Time) -> Result<Option<Loaded>, Error> {
        let row = query_as(include_str!("postgres/load.sql")).bind(id.as_str()).bind(now.millis());
        Ok(row.fetch_optional(&self.0).await.map_err(failed)?.map(loaded))
    }

    async fn create(&self, id: &SessionId, new: &Record, now: Time) -> Result<Created, Error> {
        let row = query(include_str!("postgres/create.sql")).bind(id.as_str()).bind(now.millis());
        let row = row.bind(end(new.deadline, now)).bind(&*new.text).execute(&self.0).await;
        let is_done = row.map_err(failed)?.rows_affected() == 1;
        Ok(if is_done { Created::Done(Revision::of_text(&new.text)) } else { Created::Taken })
    }

    #[rustfmt::skip]
    async fn update(&self, id: &SessionId, new: &Record, seen: &Revision, now: Time) -> Result<Updated, Error> {
        Ok(match self.change(id, now, end(new.deadline, now), Some((&new.text, seen))).await? {
            None => Updated::Gone,
            Some((_, _, true)) => Updated::Done(Revision::of_text(&new.text)),
            Some(other) => Updated::Conflict(loaded(other)),
        })
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Time) -> Result<Touched, Error> {
        let row = self.change(id, now, end(touch.deadline, now), None).await?;
        Ok(row.map_or(Touched::Gone, |_| Touched::Done))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let row = query("DELETE FROM session WHERE sid = $1").bind(id.as_str());
        row.execute(&self.0).await.map(drop).map_err(failed)
    }
}

impl PgPoolStore {
    /// Writes a text if the revision is still that one, or moves the end alone.
    #[rustfmt::skip]
    async fn change(&self, id: &SessionId, now: Time, end: i64, update: Option<(&str, &Revision)>) -> Result<Option<Row>, Error> {
        let row = query_as(include_str!("postgres/change.sql")).bind(id.as_str());
        let row = row.bind(now.millis()).bind(end).bind(update.map(|it| it.0));
        let row = row.bind(update.map(|it| it.1.number().unwrap_or_default().to_be_bytes().to_vec()));
        row.fetch_optional(&self.0).await.map_err(failed)
    }
}

fn loaded((text, end, _): Row) -> Loaded {
    let revision = Revision::of_text(&text);
    let deadline = Some(Time::from_millis(end));
    Loaded { record: Record { text: text.into(), deadline }, revision }
}

/// Returns the end in milliseconds, a day after `now` for a session of the browser's.
fn end(deadline: Option<Time>, now: Time) -> i64 {
    deadline.unwrap_or_else(|| now.saturating_add(Duration::from_secs(86_400))).millis()
}

#[cfg(test)]
mod tests;
