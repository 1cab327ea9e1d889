//! Listing, counting and clearing, with the sessions' own ids; and the upgrade of records.

use express_session_core::store::ErrorKind::{Corrupt, Unsuitable};
use express_session_core::store::{Admin, Cursor, Error, Page, Record, Store};
use express_session_core::{SessionId, Timestamp};

use super::SealedStore;
use super::envelope::{Content, State, open};
use super::locate::Goal;

/// The result of [`SealedStore::upgrade`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upgraded {
    /// The number of records that were moved to their current name and key.
    pub moved: u64,
    /// The number of records that could not be read, and stay where they are: plain ones that are not accepted, damaged
    /// ones, and those of keys that are not in the list.
    pub unreadable: u64,
    /// Where the next page begins, or `None` after the last.
    pub next: Option<Cursor>,
}

/// A record of the store inside, as a listing shows it.
enum Listed {
    Session(SessionId, Record),
    /// A session whose record is moving.
    Moving(SessionId),
    /// There is no session any more.
    Ended,
    Unreadable,
}

impl<S: Admin> SealedStore<S> {
    /// Moves up to `limit` plain records and records of older keys to the name and key of the first key, while requests
    /// go on. Each keeps its deadline.
    ///
    /// Call it until [`Upgraded::next`] is `None`, when *every* process has the same list of keys and the same
    /// [`accept_plain`](Self::accept_plain). After that no record depends on the older keys, or is plain, except the
    /// unreadable ones. It logs no visitor out, loses no update and no touch, and a logout during the move is final.
    /// A call that fails or is dropped can be repeated with the same cursor.
    ///
    /// It costs a page of the inner store's listing, and some eight calls for each record that moves. A session that moves
    /// during a [listing](Admin::list) may be missing in it, or be there twice.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`](super::ErrorKind) of the store inside.
    ///
    /// ```
    /// use express_session::store::sealed::{SealKeys, SealedStore};
    /// use express_session::store::{Record, Store as _};
    /// use express_session::{MemoryStore, SessionId, Timestamp};
    /// # use express_session_testkit::block_on;
    ///
    /// # block_on(async {
    /// # let mut secret = [0; 32];
    /// # getrandom::fill(&mut secret)?;
    /// # let keys = SealKeys::new([secret])?;
    /// let (id, now) = (SessionId::from_random([7; 24]), Timestamp::now());
    /// let text = r#"{"cookie":{},"user":"bob"}"#.into();
    /// let record = Record { text, deadline: None };
    /// let memory = MemoryStore::new();
    /// memory.create(&id, &record, now).await?;
    ///
    /// let store = SealedStore::new(memory, keys).accept_plain(true);
    /// let mut after = None;
    /// let mut moved = 0;
    /// loop {
    ///     let page = store.upgrade(after, 100, now).await?;
    ///     moved += page.moved;
    ///     after = page.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(moved, 1);
    /// let store = store.accept_plain(false);
    /// assert!(store.load(&id, now).await?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn upgrade(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Upgraded, Error> {
        let page = self.store.list(after, limit, now).await?;
        let mut upgraded = Upgraded { moved: 0, unreadable: 0, next: page.next };
        for (name, record) in page.sessions {
            let (id, is_counted) = match self.listed(&name, record) {
                Listed::Session(id, _) if self.name(0, &id) == name => continue,
                Listed::Session(id, _) => (id, true),
                // The one of its two records that stays counts.
                Listed::Moving(id) => (id.clone(), self.name(0, &id) == name),
                Listed::Ended => continue,
                Listed::Unreadable => {
                    upgraded.unreadable += 1;
                    continue;
                }
            };
            match self.locate(&id, now, Goal::Move).await {
                Ok(Some(_)) => {
                    // An interrupted move may have left its source.
                    if self.name(0, &id) != name {
                        self.store.destroy(&name).await?;
                    }
                    upgraded.moved += u64::from(is_counted);
                }
                Ok(None) => {}
                Err(error) if matches!(error.kind(), Corrupt | Unsuitable) => {
                    upgraded.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(upgraded)
    }
}

impl<S: Store> SealedStore<S> {
    /// Opens the records of a page, and leaves out those that do not open.
    pub(super) fn opened(&self, page: Page) -> Page {
        let sessions = page.sessions.into_iter();
        let sessions = sessions.filter_map(|(name, record)| match self.listed(&name, record) {
            Listed::Session(id, record) => Some((id, record)),
            Listed::Moving(_) | Listed::Ended | Listed::Unreadable => None,
        });
        Page { sessions: sessions.collect(), next: page.next }
    }

    /// Opens a record of a listing.
    fn listed(&self, name: &SessionId, record: Record) -> Listed {
        let envelope = match open(&self.keys, name, &record.text) {
            Content::Sealed(envelope) => envelope,
            Content::Plain if self.is_plain_accepted => {
                return Listed::Session(name.clone(), record);
            }
            Content::Plain | Content::Unopened => return Listed::Unreadable,
        };
        if self.place_of(&envelope.id, name.as_str()).is_none() {
            return Listed::Unreadable;
        }
        match envelope.state {
            State::Record => Listed::Session(envelope.id, Record { text: envelope.text, ..record }),
            State::Arriving { .. } | State::Moved => Listed::Moving(envelope.id),
            State::Ended => Listed::Ended,
        }
    }
}

/// With the sessions' own ids. [`count`](Admin::count) counts the records of the store inside, also those that a listing
/// leaves out, because they do not open.
impl<S: Admin> Admin for SealedStore<S> {
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        Ok(self.opened(self.store.list(after, limit, now).await?))
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        self.store.count(now).await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.store.clear().await
    }

    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        self.store.purge(limit, now).await
    }
}
