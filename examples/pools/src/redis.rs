//! Sessions under the keys of connect-redis, over a pool of deadpool-redis.

use std::sync::LazyLock;

use deadpool_redis::{Connection, Pool, redis};
use express_session::store::{Created, Error, ErrorKind, Loaded, Record, Revision, Store};
use express_session::store::{Touch, Touched, Updated};
use express_session::{SessionId, Timestamp as Time};

use self::record::{loaded, revision, seconds};
use crate::error::of_redis as failed;

mod record;

/// Keeps sessions under keys that begin with a prefix, which is `sess:` in connect-redis.
#[derive(Clone, Debug)]
pub struct RedisPoolStore {
    /// The pool.
    pub pool: Pool,
    /// The prefix.
    pub prefix: String,
}

static WRITE: LazyLock<redis::Script> =
    LazyLock::new(|| redis::Script::new(include_str!("redis/write.lua")));

impl Store for RedisPoolStore {
    async fn load(&self, id: &SessionId, now: Time) -> Result<Option<Loaded>, Error> {
        let mut both = redis::pipe();
        both.atomic().cmd("GET").arg(self.key(id)).cmd("PTTL").arg(self.key(id));
        let (text, left) = both.query_async(&mut self.connection().await?).await.map_err(failed)?;
        loaded(text, left, now)
    }

    async fn create(&self, id: &SessionId, new: &Record, now: Time) -> Result<Created, Error> {
        let (is_done, _) = self.write(id, new, "", now).await?;
        Ok(if is_done { Created::Done(revision(&new.text)) } else { Created::Taken })
    }

    #[rustfmt::skip]
    async fn update(&self, id: &SessionId, new: &Record, seen: &Revision, now: Time) -> Result<Updated, Error> {
        Ok(match self.write(id, new, &format!("{:032x}", seen.number().unwrap_or_default()), now).await? {
            (true, _) => Updated::Done(revision(&new.text)),
            (false, other) => other.map_or(Updated::Gone, Updated::Conflict),
        })
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Time) -> Result<Touched, Error> {
        let mut expire = redis::cmd("EXPIRE");
        expire.arg(self.key(id)).arg(seconds(touch.deadline, now));
        let is_done = expire.query_async(&mut self.connection().await?).await.map_err(failed)?;
        Ok(if is_done { Touched::Done } else { Touched::Gone })
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let connection = &mut self.connection().await?;
        redis::cmd("DEL").arg(self.key(id)).query_async(connection).await.map_err(failed)
    }
}

impl RedisPoolStore {
    fn key(&self, id: &SessionId) -> String {
        [&self.prefix, id.as_str()].concat()
    }

    async fn connection(&self) -> Result<Connection, Error> {
        self.pool.get().await.map_err(|_| Error::new(ErrorKind::Unavailable, "no connection"))
    }

    /// Writes a text where that digest is the text's, or there is none. Returns whether it did, and what was there.
    #[rustfmt::skip]
    async fn write(&self, id: &SessionId, new: &Record, seen: &str, now: Time) -> Result<(bool, Option<Loaded>), Error> {
        let mut call = WRITE.key(self.key(id));
        call.arg(seen).arg(&*new.text).arg(seconds(new.deadline, now));
        let answer = call.invoke_async(&mut self.connection().await?).await;
        let (is_done, text, left) = answer.map_err(failed)?;
        Ok((is_done, loaded(text, left, now)?))
    }
}

#[cfg(test)]
mod tests;
