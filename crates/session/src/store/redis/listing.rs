//! Walks over all sessions of a server or of a cluster, with `SCAN`.
//!
//! `SCAN` gives each key at least once, more often where the server shrinks its table meanwhile, and
//! gives more keys at a time than fit on a page. So a mark carries the keys that are left over, and
//! the store remembers what each listing has given on which page, in 12 bytes for each session. Where
//! it does not remember, in another process or after many other listings, a listing goes on all the
//! same, but may then give a session twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use express_session_core::store::{Cursor, Error, ErrorKind};

/// How many listings are remembered that are under way or were left off.
const REMEMBERED: usize = 8;

/// Where a listing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    listing: u64,
    page: u32,
    /// The master that is being scanned; nothing on a server of its own.
    pub(super) master: Option<String>,
    pub(super) position: Position,
    /// The masters that were scanned.
    pub(super) done: Vec<String>,
    /// Ids that were found and not given yet.
    pub(super) rest: VecDeque<String>,
}

/// Where the scan of one server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Position {
    Begin,
    At(u64),
    End,
}

impl Position {
    /// Returns the cursor for `SCAN`, unless nothing is left to scan.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Begin => Some(0),
            Self::At(number) => Some(number),
            Self::End => None,
        }
    }

    /// Reads the number that `SCAN` answered.
    pub(super) fn after(number: u64) -> Self {
        if number == 0 { Self::End } else { Self::At(number) }
    }
}

impl Mark {
    pub(super) fn parse(cursor: &Cursor) -> Result<Self, Error> {
        serde_json::from_str(cursor.as_str())
            .map_err(|_| Error::new(ErrorKind::Other, "the cursor is not one of the Redis store"))
    }

    /// Ends a page.
    pub(super) fn turn(mut self) -> Result<Cursor, Error> {
        self.page = self.page.saturating_add(1);
        let text = serde_json::to_string(&self);
        let text =
            text.map_err(|error| Error::new(ErrorKind::Other, "no cursor").with_source(error));
        Ok(Cursor::new(text?))
    }

    /// Leaves off where the master that is being scanned is no more: the replica in its place, which
    /// has another order, is scanned from the beginning.
    pub(super) fn forget_lost(&mut self, masters: &[Master]) {
        if self.master(masters).is_none() {
            self.master = None;
            self.position = Position::Begin;
            self.rest.clear();
        }
    }

    /// Returns the master that is being scanned.
    pub(super) fn master<'a>(&self, masters: &'a [Master]) -> Option<&'a Master> {
        masters.iter().find(|master| master.id == self.master)
    }

    /// Returns the master to scan further, the next one when it is done, or `None` when all are.
    pub(super) fn next_master<'a>(&mut self, masters: &'a [Master]) -> Option<&'a Master> {
        if self.position == Position::End {
            // A server of its own is done with this.
            self.done.push(self.master.take()?);
        } else if let Some(current) = self.master(masters) {
            return Some(current);
        }
        let next = masters
            .iter()
            .find(|master| master.id.as_ref().is_some_and(|id| !self.done.contains(id)))?;
        self.master.clone_from(&next.id);
        self.position = Position::Begin;
        Some(next)
    }
}

/// A server to scan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Master {
    /// Its id within the cluster; nothing for a server of its own.
    pub(super) id: Option<String>,
    /// A slot that it serves, for the driver to find it.
    pub(super) slot: Option<u16>,
}

/// The sessions that the running listings have returned.
pub(super) struct Listings {
    hasher: RandomState,
    remembered: Mutex<Remembered>,
}

struct Remembered {
    next: u64,
    /// By their numbers; the one that was used last is the last.
    given: VecDeque<(u64, Given)>,
}

/// On which page each session was given, by the hash of its id.
pub(super) type Given = Arc<Mutex<HashMap<u64, u32>>>;

impl Listings {
    pub(super) fn new() -> Self {
        let hasher = RandomState::new();
        // A random beginning distinguishes these listings from another process's.
        let next = hasher.hash_one("listings");
        let remembered = Mutex::new(Remembered { next, given: VecDeque::new() });
        Self { hasher, remembered }
    }

    pub(super) fn begin(&self) -> Mark {
        let mut remembered = lock(&self.remembered);
        let listing = remembered.next;
        remembered.next = listing.wrapping_add(1);
        Mark {
            listing,
            page: 0,
            master: None,
            position: Position::Begin,
            done: Vec::new(),
            rest: VecDeque::new(),
        }
    }

    /// Returns the sessions that are remembered for a listing.
    pub(super) fn given(&self, mark: &Mark) -> Given {
        let mut remembered = lock(&self.remembered);
        let known = remembered.given.iter().position(|(listing, _)| *listing == mark.listing);
        let known = known.and_then(|at| remembered.given.remove(at));
        let known = known.unwrap_or_else(|| (mark.listing, Given::default()));
        let given = Given::clone(&known.1);
        remembered.given.push_back(known);
        if remembered.given.len() > REMEMBERED {
            remembered.given.pop_front();
        }
        given
    }

    pub(super) fn forget(&self, mark: &Mark) {
        lock(&self.remembered).given.retain(|(listing, _)| *listing != mark.listing);
    }

    /// Returns whether an earlier page had the session. The same page may be requested again.
    pub(super) fn is_given(&self, given: &Given, mark: &Mark, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        lock(given).get(&hash).is_some_and(|page| *page < mark.page)
    }

    /// Remembers what is given on the page of a mark.
    pub(super) fn give<'a>(
        &self,
        given: &Given,
        mark: &Mark,
        ids: impl IntoIterator<Item = &'a str>,
    ) {
        let mut given = lock(given);
        for id in ids {
            given.entry(self.hasher.hash_one(id)).or_insert(mark.page);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a pattern for the keys that begin with a text, whatever is in it.
pub(super) fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masters(ids: &[&str]) -> Vec<Master> {
        let master = |id: &&str| Master { id: Some((*id).to_owned()), slot: Some(0) };
        ids.iter().map(master).collect()
    }

    #[test]
    fn session_is_given_once_but_its_page_can_be_asked_for_again() {
        let listings = Listings::new();
        let first = listings.begin();
        let given = listings.given(&first);
        assert!(!listings.is_given(&given, &first, "a"));
        listings.give(&given, &first, ["a"]);

        let second = Mark::parse(&first.clone().turn().unwrap()).unwrap();
        let given = listings.given(&second);
        assert!(listings.is_given(&given, &second, "a"));
        assert!(!listings.is_given(&given, &second, "b"));
        assert!(!listings.is_given(&given, &first, "a"));
        listings.give(&given, &second, ["a"]);
        assert!(!listings.is_given(&given, &first, "a"));
    }

    #[test]
    fn only_the_last_listings_are_remembered() {
        let listings = Listings::new();
        let first = listings.begin();
        listings.give(&listings.given(&first), &first, ["a"]);
        for _ in 1..REMEMBERED {
            listings.given(&listings.begin());
        }
        assert_eq!(lock(&listings.given(&first)).len(), 1);
        for _ in 0..REMEMBERED {
            listings.given(&listings.begin());
        }
        assert_eq!(lock(&listings.given(&first)).len(), 0);
    }

    #[test]
    fn listing_that_is_over_is_forgotten() {
        let listings = Listings::new();
        let mark = listings.begin();
        listings.give(&listings.given(&mark), &mark, ["a"]);
        listings.forget(&mark);
        assert_eq!(lock(&listings.remembered).given.len(), 0);
    }

    #[test]
    fn each_master_is_scanned_and_the_one_that_took_over_too() {
        let mut mark = Listings::new().begin();
        let both = masters(&["a", "b"]);
        assert_eq!(mark.next_master(&both), Some(&both[0]));
        mark.position = Position::At(5);
        assert_eq!(mark.next_master(&both), Some(&both[0]));
        assert_eq!(mark.position, Position::At(5));
        mark.position = Position::End;
        assert_eq!(mark.next_master(&both), Some(&both[1]));
        assert_eq!(mark.position, Position::Begin);

        mark.position = Position::At(7);
        mark.rest.push_back("id".to_owned());
        let other = masters(&["a", "c"]);
        mark.forget_lost(&other);
        assert!(mark.rest.is_empty());
        assert_eq!(mark.next_master(&other), Some(&other[1]));
        assert_eq!(mark.position, Position::Begin);
        mark.position = Position::End;
        assert_eq!(mark.next_master(&other), None);
    }

    #[test]
    fn server_of_its_own_is_scanned_once() {
        let alone = [Master { id: None, slot: None }];
        let mut mark = Listings::new().begin();
        mark.position = Position::At(5);
        mark.forget_lost(&alone);
        assert_eq!(mark.position, Position::At(5));
        assert_eq!(mark.next_master(&alone), Some(&alone[0]));
        mark.position = Position::End;
        assert_eq!(mark.next_master(&alone), None);
        assert_eq!(mark.next_master(&alone), None);
    }

    #[test]
    fn prefix_is_taken_literally() {
        assert_eq!(pattern("sess:"), "sess:*");
        assert_eq!(pattern("a*b?[c]\\"), "a\\*b\\?\\[c\\]\\\\*");
        assert_eq!(pattern(""), "*");
    }
}
