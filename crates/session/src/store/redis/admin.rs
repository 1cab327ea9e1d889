//! Lists, counts and clears the sessions of a server or of a cluster.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use ::redis::{Pipeline, Value, cmd};
use express_session_core::store::{Admin, Cursor, Error, ErrorKind, Page, Record};
use express_session_core::{SessionId, Timestamp};

use super::link::{Call, Work};
use super::listing::{Given, Mark, Master, Position, pattern};
use super::{RedisStore, answer};

/// Goes over all keys that begin with the prefix, on a cluster over all masters, one after another.
///
/// A server that is restarted while it is scanned, or a slot that moves from a master to another, may
/// hide a session from a listing that is under way.
impl Admin for RedisStore {
    /// Reads more keys until the page is full, so that a page of few among many other keys takes long.
    ///
    /// Records that are no text are left out; to load one is an error.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let begun = match &after {
            Some(cursor) => Mark::parse(cursor)?,
            None => self.listings.begin(),
        };
        let given = self.listings.given(&begun);
        // A page of none would never come to an end.
        let page = self.page(begun.clone(), &given, limit.max(1), now).await?;
        if page.next.is_some() {
            let ids = page.sessions.iter().map(|(id, _)| id.as_str());
            self.listings.give(&given, &begun, ids);
        } else {
            self.listings.forget(&begun);
        }
        Ok(page)
    }

    async fn count(&self, _now: Timestamp) -> Result<u64, Error> {
        let hasher = RandomState::new();
        let mut seen = HashSet::new();
        for master in self.masters().await? {
            let mut position = Position::Begin;
            while let Some(number) = position.number() {
                let found;
                (position, found) = self.scan(&master, number).await?;
                seen.extend(found.iter().map(|key| hasher.hash_one(key)));
            }
        }
        Ok(seen.len() as u64)
    }

    async fn clear(&self) -> Result<(), Error> {
        for master in self.masters().await? {
            let mut position = Position::Begin;
            while let Some(number) = position.number() {
                let found;
                (position, found) = self.scan(&master, number).await?;
                if found.is_empty() {
                    continue;
                }
                // One by one, as a command's keys must not be in different slots of a cluster.
                let mut commands = Pipeline::with_capacity(found.len());
                for key in &found {
                    commands.cmd("DEL").arg(key);
                }
                for answer in self.ask_master(&master, commands).await? {
                    answer::only(vec![answer])?;
                }
            }
        }
        Ok(())
    }

    /// Removes nothing, as the server has removed what expired.
    async fn purge(&self, _limit: usize, _now: Timestamp) -> Result<u64, Error> {
        Ok(0)
    }
}

impl RedisStore {
    async fn page(
        &self,
        mut mark: Mark,
        given: &Given,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let masters = self.masters().await?;
        mark.forget_lost(&masters);
        let mut sessions = Vec::new();
        let mut on_page = HashSet::new();
        loop {
            while let Some(master) = mark.master(&masters).filter(|_| !mark.rest.is_empty()) {
                if sessions.len() == limit {
                    return Ok(Page { sessions, next: Some(mark.turn()?) });
                }
                let count = mark.rest.len().min(limit - sessions.len());
                let mut ids: Vec<_> = mark.rest.drain(..count).collect();
                ids.retain(|id| {
                    !self.listings.is_given(given, &mark, id) && on_page.insert(id.clone())
                });
                let ids = ids.into_iter().filter_map(SessionId::new).collect();
                sessions.extend(self.records(master, ids, now).await?);
            }
            let Some(master) = mark.next_master(&masters) else {
                return Ok(Page { sessions, next: None });
            };
            let Some(number) = mark.position.number() else { continue };
            let (position, found) = self.scan(master, number).await?;
            mark.position = position;
            let prefix = self.options.prefix.as_bytes();
            // A cookie cannot hold an id that is not UTF-8.
            let ids = found.iter().filter_map(|key| key.strip_prefix(prefix));
            let ids = ids.filter_map(|id| String::from_utf8(id.to_vec()).ok());
            mark.rest.extend(ids);
        }
    }

    pub(super) async fn records(
        &self,
        master: &Master,
        ids: Vec<SessionId>,
        now: Timestamp,
    ) -> Result<Vec<(SessionId, Record)>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = Pipeline::with_capacity(2 * ids.len());
        for id in &ids {
            let key = self.key(id);
            commands.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
        }
        let mut answers = self.ask_master(master, commands).await?.into_iter();
        let mut sessions = Vec::with_capacity(ids.len());
        for id in ids {
            let (Some(text), Some(left)) = (answers.next(), answers.next()) else {
                return Err(answer::unexpected());
            };
            match answer::loaded(text, &left, now) {
                Ok(Some(loaded)) => sessions.push((id, loaded.record)),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sessions)
    }

    /// Scans some more keys, and returns those that are sessions.
    async fn scan(&self, master: &Master, number: u64) -> Result<(Position, Vec<Vec<u8>>), Error> {
        let mut commands = Pipeline::with_capacity(1);
        commands
            .cmd("SCAN")
            .arg(number)
            .arg("MATCH")
            .arg(pattern(&self.options.prefix))
            .arg("COUNT")
            .arg(self.options.scan_count)
            .arg("TYPE")
            .arg("string");
        let answer = answer::only(self.ask_master(master, commands).await?)?;
        let [number, keys] = answer::exactly(answer::list(answer)?.unwrap_or_default())?;
        let number = answer::bytes(number)?.and_then(|number| String::from_utf8(number).ok());
        let number = number.and_then(|number| number.parse().ok());
        let number = number.ok_or_else(answer::unexpected)?;
        let keys = answer::list(keys)?.unwrap_or_default().into_iter().map(answer::bytes);
        let keys = keys.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        Ok((Position::after(number), keys))
    }

    /// Asks which servers to scan.
    async fn masters(&self) -> Result<Vec<Master>, Error> {
        if !self.link.is_cluster() {
            return Ok(vec![Master { id: None, slot: None }]);
        }
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        let ranges = answer::list(self.command(slots, true).await?)?.unwrap_or_default();
        let masters = ranges.iter().map(|range| master(range).ok_or_else(answer::unexpected));
        let mut masters = masters.collect::<Result<Vec<_>, _>>()?;
        masters.sort_by(|one, other| one.id.cmp(&other.id));
        masters.dedup_by(|one, other| one.id == other.id);
        Ok(masters)
    }

    async fn ask_master(&self, master: &Master, commands: Pipeline) -> Result<Vec<Value>, Error> {
        let work = Work::Commands(commands);
        let call = Call { work, is_repeatable: true, slot: master.slot, replicas: None };
        self.ask(&call).await
    }
}

/// Reads the first slot and the master of an entry of `CLUSTER SLOTS`.
fn master(range: &Value) -> Option<Master> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(first), _, Value::Array(master), ..] = &range[..] else { return None };
    let [_, _, Value::BulkString(id), ..] = &master[..] else { return None };
    let id = Some(String::from_utf8(id.clone()).ok()?);
    Some(Master { id, slot: Some(u16::try_from(*first).ok()?) })
}
