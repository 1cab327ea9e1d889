//! The index of the users: a sorted set of ids for each, which only lists rely on.
//!
//! 1. An entry is added before the record is written, so that no session that this store has written is missing.
//! 2. The records decide: a listing reads them, and drops the entries without one.
//! 3. Other programs do not maintain it, and the server may evict it. The end of sessions reads every record.

use ::redis::cmd;
use express_session_core::metadata::{MemberName, UserQuery};
use express_session_core::store::{Cursor, Error, ErrorKind, Page, Record, Store as _};
use express_session_core::{SessionId, Timestamp};
use futures_util::future::join_all;

use super::listing::Master;
use super::{RedisStore, answer, script};

/// How many records of a cluster are asked for at the same time.
const TOGETHER: usize = 100;

impl RedisStore {
    /// Adds a session to those of the user that its text names, if it does. `seconds` is the TTL of the record, or `None`
    /// for ever.
    pub(super) async fn index(
        &self,
        id: &SessionId,
        text: &str,
        seconds: Option<i64>,
    ) -> Result<(), Error> {
        let Some(users) = UserQuery::of_record(text, MemberName::DEFAULT) else { return Ok(()) };
        let seconds = seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
        let (key, arguments) = (self.user_key(&users), [id.as_str(), &*seconds]);
        let added = self.run(&script::INDEX_ADD, &[&key], &arguments, true).await;
        answer::number(&added.map_err(|error| self.of_index(error))?).map(drop)
    }

    /// Returns a page of the sessions that the index has of a user, in the order of their ids.
    pub(super) async fn indexed(
        &self,
        users: &UserQuery,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let key = self.user_key(users);
        let mut range = cmd("ZRANGE");
        range.arg(&key).arg(0).arg(-1);
        let entries = answer::list(self.command(range, true).await?)?.unwrap_or_default();
        let mut ids = Vec::with_capacity(entries.len());
        for entry in entries {
            let id = answer::bytes(entry)?.and_then(|id| String::from_utf8(id).ok());
            ids.extend(id.and_then(SessionId::new));
        }
        let after = after.map_or("", Cursor::as_str);
        ids.retain(|id| id.as_str() > after);
        ids.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        // A page of none would never come to an end.
        let limit = limit.max(1);
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        let next = ids.last().filter(|_| has_more).map(|id| Cursor::new(id.as_str()));

        let mut sessions = if self.link.is_cluster() {
            self.scattered(&ids, now).await?
        } else {
            let alone = Master { id: None, slot: None };
            self.records(&alone, ids.clone(), now).await?
        };
        sessions.retain(|(_, record)| users.matches(&record.text));
        retain_missing(&mut ids, &sessions);
        if !ids.is_empty() {
            let ids: Vec<_> = ids.iter().map(SessionId::as_str).collect();
            // If it fails, the entries stay a while longer.
            let _ = self.run(&script::INDEX_DROP, &[&key], &ids, true).await;
        }
        Ok(Page { sessions, next })
    }

    /// Loads records that are in many slots of a cluster.
    async fn scattered(
        &self,
        ids: &[SessionId],
        now: Timestamp,
    ) -> Result<Vec<(SessionId, Record)>, Error> {
        let mut sessions = Vec::with_capacity(ids.len());
        for ids in ids.chunks(TOGETHER) {
            let loads = ids.iter().map(|id| self.load(id, now));
            for (id, loaded) in ids.iter().zip(join_all(loads).await) {
                match loaded {
                    Ok(Some(loaded)) => sessions.push((id.clone(), loaded.record)),
                    Ok(None) => {}
                    Err(error) if error.kind() == ErrorKind::Corrupt => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(sessions)
    }

    /// Names the set of a user by a digest, beside the keys that begin with the prefix, so that npm's connect-redis does not
    /// take it for a session.
    fn user_key(&self, users: &UserQuery) -> String {
        format!("user:{}{}", self.options.prefix, users.lock_id().as_str())
    }

    /// Adds to an error what a login without scripts lacks for the index.
    fn of_index(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Refused || !self.link.refuses_scripts() {
            return error;
        }
        let message = "the index of the users needs scripts, which the login may not run: allow +evalsha and +eval, \
                       and the commands in them, or turn user_index off";
        Error::new(ErrorKind::Refused, message).with_source(error)
    }
}

/// Retains the ids without a session. Both are in the same order.
fn retain_missing(ids: &mut Vec<SessionId>, sessions: &[(SessionId, Record)]) {
    let mut found = sessions.iter().map(|(id, _)| id).peekable();
    ids.retain(|id| found.next_if_eq(&id).is_none());
}
