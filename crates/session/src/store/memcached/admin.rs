//! Lists, counts and clears the sessions of a server that is made for single keys.

use std::collections::BinaryHeap;
use std::time::Duration;

use express_session_core::store::{Admin, Cursor, Error, ErrorKind, Page};
use express_session_core::{SessionId, Timestamp};
use tokio::time::{Instant, sleep};

use super::MemcachedStore;
use super::connection::Connection;
use super::error;
use super::protocol::{self, Fault, Key, Request};

/// Each call reads the keys of the whole server, also those of others: some 100 bytes for each, and
/// some tenths of a second for 100,000 of them. A listing reads them for each of its pages.
///
/// The server must let its keys be read, as it does unless it was started with `-X` or without its
/// crawler; otherwise these are [`ErrorKind::Refused`]. It reads them for one client at a time, the
/// others wait for their turn until their time is over.
///
/// Without a prefix, every key of the server is a session.
impl Admin for MemcachedStore {
    /// Lists the sessions in the order of their ids, without records that are not text.
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        // A page of none would never come to an end.
        let limit = limit.max(1);
        let after = after.as_ref().map_or("", Cursor::as_str);
        let mut lease = self.pool.lend(&self.options).await?;
        let mut first = First::new(limit);
        // Which of them are over shows when they are read, by the server's clock, which may be behind ours.
        self.scan(&mut lease.connection, |id, _| {
            if id > after {
                first.offer(id);
            }
        })
        .await?;

        let mut sessions = Vec::with_capacity(first.ids.len());
        let next = first.next();
        let ids: Vec<_> = first.ids.into_sorted_vec();
        for ids in ids.chunks(TOGETHER) {
            let ids = ids.iter().filter_map(|id| SessionId::new(id.as_ref()));
            // The server may have keys that no session can have.
            let (keys, ids): (Vec<_>, Vec<_>) =
                ids.filter_map(|id| Some((self.key(&id)?, id))).unzip();
            let requests = keys.iter().map(Request::get);
            let replies = lease.connection.ask_all(requests, self.options.timeout).await?;
            for (id, reply) in ids.into_iter().zip(replies) {
                let Some(item) = super::found(reply)? else { continue };
                if let Ok(loaded) = super::loaded(item, now) {
                    sessions.push((id, loaded.record));
                }
            }
        }
        lease.finish();
        Ok(Page { sessions, next })
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        let mut lease = self.pool.lend(&self.options).await?;
        let mut count = 0;
        let live = |_: &str, end| count += u64::from(may_live(end, now));
        self.scan(&mut lease.connection, live).await?;
        lease.finish();
        Ok(count)
    }

    /// Removes the keys with the prefix. npm's store empties the whole server.
    async fn clear(&self) -> Result<(), Error> {
        let mut lease = self.pool.lend(&self.options).await?;
        loop {
            let mut keys = Vec::new();
            self.scan(&mut lease.connection, |id, _| {
                if keys.len() < MOST_KEYS {
                    keys.extend(Key::new(self.name(id)));
                }
            })
            .await?;
            for keys in keys.chunks(TOGETHER) {
                let requests = keys.iter().map(Request::delete);
                let replies = lease.connection.ask_all(requests, self.options.timeout).await?;
                replies.iter().try_for_each(super::deleted)?;
            }
            if keys.len() < MOST_KEYS {
                lease.finish();
                return Ok(());
            }
        }
    }

    /// Removes nothing: the server does.
    async fn purge(&self, _limit: usize, _now: Timestamp) -> Result<u64, Error> {
        Ok(0)
    }
}

impl MemcachedStore {
    /// Shows the id of every session, and the second at which it ends.
    async fn scan(
        &self,
        connection: &mut Connection,
        mut show: impl FnMut(&str, Option<i64>),
    ) -> Result<(), Error> {
        let within = self.options.timeout;
        let started = Instant::now();
        connection.ask_for_lines(&Request::keys()).await?;
        loop {
            match connection.line(within, listing).await? {
                Line::Item(key, end) => {
                    let key = std::str::from_utf8(&key).ok();
                    if let Some(id) = key.and_then(|key| key.strip_prefix(&*self.options.prefix)) {
                        show(id, end);
                    }
                }
                Line::Busy if started.elapsed() < within => {
                    sleep(TURN).await;
                    connection.ask_for_lines(&Request::keys()).await?;
                }
                Line::Busy => {
                    let message = "the server lists its keys for others";
                    return Err(Error::new(ErrorKind::Unavailable, message));
                }
                Line::Refused => return Err(error::no_listing()),
                Line::End => return Ok(()),
            }
        }
    }
}

/// A line of the listing.
enum Line {
    Item(Vec<u8>, Option<i64>),
    /// Another client is being served, or the server itself looks for what has expired.
    Busy,
    /// The server does not list, or not in this order.
    Refused,
    End,
}

fn listing(line: &[u8]) -> Result<Line, Fault> {
    let first = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    match first {
        b"END" => Ok(Line::End),
        b"BUSY" => Ok(Line::Busy),
        b"BADCLASS" | b"NOTSTARTED" | b"ERROR" | b"CLIENT_ERROR" => Ok(Line::Refused),
        _ => protocol::listed(line).map(|(key, end)| Line::Item(key, end)),
    }
}

/// Returns whether an item may be live. The server lists an item in the second in which it expired, and its
/// end may be a second early, since its clock ticks once a second.
fn may_live(end: Option<i64>, now: Timestamp) -> bool {
    end.is_none_or(|second| second.saturating_add(1).saturating_mul(1000) > now.millis())
}

/// The first ids in their order, of those that were offered in any.
struct First {
    limit: usize,
    ids: BinaryHeap<Box<str>>,
    is_more: bool,
}

impl First {
    fn new(limit: usize) -> Self {
        Self { limit, ids: BinaryHeap::new(), is_more: false }
    }

    fn offer(&mut self, id: &str) {
        if self.ids.len() < self.limit {
            self.ids.push(id.into());
            return;
        }
        self.is_more = true;
        if let Some(mut last) = self.ids.peek_mut().filter(|last| id < &***last) {
            *last = id.into();
        }
    }

    /// Where the next page begins, if there is one.
    fn next(&self) -> Option<Cursor> {
        self.ids.peek().filter(|_| self.is_more).map(|last| Cursor::new(&**last))
    }
}

/// How many requests are sent before the first answer is read: 16 KB at most.
const TOGETHER: usize = 64;
/// How many keys are kept in memory to be removed.
const MOST_KEYS: usize = 100_000;
/// The pause before asking again while the server is busy.
const TURN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_the_first_ids_for_any_order_of_arrival() {
        let mut first = First::new(2);
        for id in ["d", "b", "c", "a", "e"] {
            first.offer(id);
        }
        assert_eq!(first.next().unwrap().as_str(), "b");
        let ids = first.ids.into_sorted_vec();
        assert_eq!(ids.iter().map(|id| &**id).collect::<Vec<_>>(), ["a", "b"]);

        let mut last = First::new(2);
        last.offer("e");
        last.offer("d");
        assert!(last.next().is_none());
    }

    #[test]
    fn every_line_of_a_listing_is_known() {
        let is = |line: &str| listing(line.as_bytes()).unwrap();
        assert!(matches!(is("END"), Line::End));
        assert!(matches!(is("BUSY currently processing crawler request"), Line::Busy));
        assert!(matches!(is("BADCLASS invalid class id"), Line::Refused));
        assert!(matches!(is("ERROR metadump not allowed"), Line::Refused));
        assert!(matches!(is("CLIENT_ERROR lru crawler disabled"), Line::Refused));
        assert!(matches!(is("key=a exp=-1 la=1"), Line::Item(..)));
        assert!(listing(b"VALUE a 0 1").is_err());
    }

    #[test]
    fn an_item_counts_until_its_second_is_over() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        assert!(!may_live(Some(1_699_999_999), now));
        assert!(may_live(Some(1_700_000_000), now));
        assert!(may_live(None, now));
    }
}
