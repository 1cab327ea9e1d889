//! A store around another one that encrypts records and hides ids, so that a reader of the database learns neither.
//!
//! The guide's page about [sealed records](crate::guide::stores::sealed) has the steps of introducing it, of a rotation
//! and of an upgrade.
//!
//! 1. **Names.** The inner store's id is the base64url of HMAC-SHA-256 of the session's id. It is no session id: a cookie
//!    with it finds nothing.
//! 2. **Records** are encrypted with XChaCha20-Poly1305 (RFC 8439, draft-irtf-cfrg-xchacha-03) and a random nonce of 192
//!    bits. The version, the key id and the name are associated data, and the session's id is encrypted with the record.
//!    A record that was changed, or copied onto another name, is [`ErrorKind::Corrupt`], and stays where it is.
//! 3. **The `cookie` member** stays in plain text, since stores read it, and is not authenticated, since a touch replaces
//!    it without the key. A writer of the database can prolong or shorten a session, change its cookie's attributes, delete
//!    a record and put an older one back. It can neither read, nor forge, nor move one.
//! 4. **Places.** A session is looked up under its name by the first key. Only if nothing is there, its names by the other
//!    keys are tried, and its own id if [plain records are accepted](SealedStore::accept_plain).
//! 5. A record keeps its name and its key until [`upgrade`](SealedStore::upgrade) moves it.

mod admin;
mod envelope;
mod keys;
mod locate;
mod place;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Created, Cursor, Error, ErrorKind, Fenced, Lifetime, Loaded, LockOutcome, LockToken, Page,
    Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};

use crate::runtime::keyed::{KeyedGuard, KeyedMutex};

pub use admin::Upgraded;
pub use keys::{SealKeyError, SealKeyProblem, SealKeys};

use envelope::{State, seal};
use locate::{ATTEMPTS, Goal, changed_too_often};
use place::{Found, tag, untag};

/// Encrypts the records of another store, and hides their ids.
///
/// Use it where others read the database or its backups. It costs an encryption for each write and a decryption for each
/// load. The stored text is longer by a third, and by its cookie and some 150 bytes. It makes the same calls as the store
/// inside, but for those of a store with more than one key or with plain records, below.
///
/// Locks, the lifetime, touches, limits and errors are those of the store inside. A text that is not a session record is
/// [`ErrorKind::Unsuitable`], since it has no cookie for the store inside. With an inner [`Admin`](super::Admin) it lists,
/// counts and clears too, with the sessions' own ids.
///
/// Where there is more than one place ([module page](self), rule 4):
///
/// - `load` makes one call if the session is under its current name. Otherwise each older place costs one more, and an
///   id that is nowhere one more at the end, because its record may have moved meanwhile.
/// - `create` and `destroy` make one call for each place, and a lock is taken under each name, so that processes that do
///   not have the newest key yet see it. The fencing token is the highest of the names.
/// - `touch` loads first, so that it never meets a record that is moving.
///
/// ```
/// use express_session::store::sealed::{SealKeys, SealedStore};
/// use express_session::store::{Admin as _, Record, Store as _};
/// use express_session::{MemoryStore, SessionId, Timestamp};
/// # use express_session_testkit::block_on;
///
/// # block_on(async {
/// // In an application, from the environment.
/// # let mut secret = [0; 32];
/// # getrandom::fill(&mut secret)?;
/// let keys = SealKeys::new([secret])?;
/// let memory = MemoryStore::new();
/// let store = SealedStore::new(memory.clone(), keys);
///
/// let (id, now) = (SessionId::from_random([7; 24]), Timestamp::now());
/// let text = r#"{"cookie":{},"user":"bob"}"#.into();
/// let record = Record { text, deadline: None };
/// store.create(&id, &record, now).await?;
/// let loaded = store.load(&id, now).await?.ok_or("it was created")?;
/// assert_eq!(loaded.record.text, record.text);
///
/// // The store inside has neither the id nor the data.
/// assert_eq!(memory.load(&id, now).await?, None);
/// let mut page = memory.list(None, 1, now).await?;
/// let (name, at_rest) = page.sessions.remove(0);
/// assert_ne!(name, id);
/// assert!(!at_rest.text.contains("bob"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SealedStore<S> {
    store: S,
    keys: SealKeys,
    is_plain_accepted: bool,
    /// A lock under several names takes several calls: those of one session come one after the other.
    lockers: Arc<KeyedMutex<()>>,
}

impl<S> SealedStore<S> {
    /// Seals the records of a store. Plain records, as the store inside has them without this one, are not accepted.
    pub fn new(store: S, keys: SealKeys) -> Self {
        Self { store, keys, is_plain_accepted: false, lockers: Arc::default() }
    }

    /// Sets whether a record that is not sealed is accepted, under the session's own id; `false` by default.
    ///
    /// Turn it on to seal the sessions of a store that has plain ones, and off after the [upgrade](Self::upgrade). While
    /// it is on, a writer of the database can make a session of any content. A plain record stays plain until it is
    /// upgraded, so that processes without this store go on with it; they do not find sessions that this store creates.
    /// When it is off, a plain record does not exist for this store.
    ///
    /// The name of a sealed record is not an id either while this is on: calls with it neither find, nor change, nor lock
    /// that record.
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
    /// let store = SealedStore::new(memory, keys);
    /// assert!(store.load(&id, now).await?.is_none());
    /// let store = store.accept_plain(true);
    /// assert!(store.load(&id, now).await?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn accept_plain(mut self, is_accepted: bool) -> Self {
        self.is_plain_accepted = is_accepted;
        self
    }

    /// Returns the store inside, whose ids are the names at rest.
    pub fn inner(&self) -> &S {
        &self.store
    }
}

/// Shows the options, and no secret.
impl<S> fmt::Debug for SealedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore")
            .field("keys", &self.keys)
            .field("accept_plain", &self.is_plain_accepted)
            .finish_non_exhaustive()
    }
}

impl<S: Store> SealedStore<S> {
    /// Returns the record as it is written at a place.
    fn at_rest(
        &self,
        place: usize,
        name: &SessionId,
        id: &SessionId,
        record: &Record,
    ) -> Result<Record, Error> {
        if self.is_raw(place) {
            return Ok(record.clone());
        }
        let text = seal(self.keys.at(place), name, &State::Record, id, &record.text)?;
        Ok(Record { text, deadline: record.deadline })
    }

    /// Returns the caller's result of an update at a place.
    async fn updated(
        &self,
        place: usize,
        name: &SessionId,
        id: &SessionId,
        updated: Updated,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        match updated {
            Updated::Done(revision) => return Ok(Updated::Done(tag(place, revision))),
            Updated::Conflict(loaded) => {
                if let Found::Record(loaded) = self.recognise(place, name, id, loaded)? {
                    return Ok(Updated::Conflict(tag_loaded(place, loaded)));
                }
            }
            Updated::Gone if self.places() == 1 => return Ok(Updated::Gone),
            Updated::Gone => {}
        }
        // The record moved, or was never at this place.
        let located = self.locate(id, now, Goal::Find).await?;
        Ok(located.map_or(Updated::Gone, |located| {
            Updated::Conflict(tag_loaded(located.place, located.loaded))
        }))
    }

    /// Returns whether a session is at a place other than its current one, or is moving.
    async fn is_elsewhere(&self, id: &SessionId, now: Timestamp) -> Result<bool, Error> {
        for place in 1..self.places() {
            match self.look(place, id, now).await? {
                Found::Nothing => {}
                Found::Record(_) => return Ok(true),
                Found::Arriving { .. } | Found::Moved(_) | Found::Ended(_) => {
                    return Ok(self.locate(id, now, Goal::Find).await?.is_some());
                }
            }
        }
        Ok(false)
    }

    /// Returns whether the session's own id may be taken for the name of a plain record in a call that does not read it.
    async fn owns_raw(&self, id: &SessionId, now: Timestamp) -> Result<bool, Error> {
        let place = self.places() - 1;
        if !keys::is_name(id.as_str()) {
            return Ok(true);
        }
        match self.look(place, id, now).await {
            Ok(found) => Ok(!matches!(found, Found::Nothing)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for the calls about this session's lock that came before, where there is more than one place.
    async fn turn(&self, id: &SessionId) -> Option<KeyedGuard<()>> {
        if self.places() == 1 { None } else { Some(self.lockers.turn(id).await) }
    }

    async fn unlock_places(
        &self,
        id: &SessionId,
        holder: LockToken,
        places: usize,
    ) -> Result<(), Error> {
        // The current name last: the next caller takes it first, and then finds the others free.
        for place in (0..places).rev() {
            let unlocked = self.store.unlock(&self.name(place, id), holder).await;
            self.unless_unsuitable(place, unlocked)?;
        }
        Ok(())
    }

    /// Ignores that an inner store cannot keep a session's own id: then it has no plain record of it.
    fn unless_unsuitable<T: Default>(
        &self,
        place: usize,
        answer: Result<T, Error>,
    ) -> Result<T, Error> {
        match answer {
            Err(error) if self.is_raw(place) && error.kind() == ErrorKind::Unsuitable => {
                Ok(T::default())
            }
            answer => answer,
        }
    }
}

impl<S: Store> Store for SealedStore<S> {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let located = self.locate(id, now, Goal::Find).await?;
        Ok(located.map(|located| tag_loaded(located.place, located.loaded)))
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        let name = self.name(0, id);
        let sealed = self.at_rest(0, &name, id, record)?;
        if self.is_elsewhere(id, now).await? {
            return Ok(Created::Taken);
        }
        for _ in 0..ATTEMPTS {
            let created = self.store.create(&name, &sealed, now).await?;
            if matches!(created, Created::Done(_)) || self.places() == 1 {
                return Ok(created);
            }
            match self.look(0, id, now).await {
                Ok(Found::Ended(ended)) => {
                    let updated = self.store.update(&name, &sealed, &ended.revision, now).await?;
                    if let Updated::Done(revision) = updated {
                        return Ok(Created::Done(revision));
                    }
                }
                // Unless its session has ended, which this finds out.
                Ok(Found::Arriving { .. }) => {
                    if self.locate(id, now, Goal::Find).await?.is_some() {
                        return Ok(Created::Taken);
                    }
                }
                // Nothing: it was destroyed since, or this caller's clock is wrong.
                Ok(Found::Record(_) | Found::Moved(_) | Found::Nothing) => {
                    return Ok(Created::Taken);
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Created::Taken),
                Err(error) => return Err(error),
            }
        }
        Err(changed_too_often())
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let (place, expected) = untag(expected, self.places());
        let name = self.name(place, id);
        let record = self.at_rest(place, &name, id, record)?;
        let updated = self.store.update(&name, &record, &expected, now).await?;
        self.updated(place, &name, id, updated, now).await
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let current = self.name(0, id);
        if self.places() == 1 {
            return self.store.touch(&current, touch, now).await;
        }
        let mut touched = None;
        for _ in 0..ATTEMPTS {
            let Some(located) = self.locate(id, now, Goal::Find).await? else {
                // The touch itself may have ended it.
                return Ok(touched.unwrap_or(Touched::Gone));
            };
            // Touched at its older place, and still there: a move that begins later finds the new deadline.
            if let Some(touched) = touched.filter(|_| located.place > 0) {
                return Ok(touched);
            }
            let name = self.name(located.place, id);
            let answer = self.store.touch(&name, touch, now).await?;
            if located.place == 0 {
                return Ok(answer);
            }
            touched = Some(answer);
        }
        Err(changed_too_often())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        // The older places first: a record that moves meanwhile arrives only if its older place still has it.
        for place in (1..self.places()).rev() {
            // `destroy` is given no time. At the earliest one, no record counts as expired.
            if self.is_raw(place) && !self.owns_raw(id, Timestamp::MIN).await? {
                continue;
            }
            let destroyed = self.store.destroy(&self.name(place, id)).await;
            self.unless_unsuitable(place, destroyed)?;
        }
        self.store.destroy(&self.name(0, id)).await
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let _turn = self.turn(id).await;
        let mut highest = None;
        for place in 0..self.places() {
            if self.is_raw(place) && !self.owns_raw(id, now).await? {
                continue;
            }
            match self.store.lock(&self.name(place, id), holder, lease, now).await {
                Ok(LockOutcome::Acquired(token)) => highest = highest.max(Some(token)),
                Err(error) if self.is_raw(place) && error.kind() == ErrorKind::Unsuitable => {}
                refused => {
                    self.unlock_places(id, holder, place).await?;
                    return refused;
                }
            }
        }
        // The current name is locked before.
        highest.map(LockOutcome::Acquired).ok_or_else(changed_too_often)
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let (place, expected) = untag(expected, self.places());
        let name = self.name(place, id);
        let record = self.at_rest(place, &name, id, record)?;
        let _turn = self.turn(id).await;
        Ok(match self.store.update_locked(&name, &record, &expected, holder, now).await? {
            Fenced::Held(updated) => {
                Fenced::Held(self.updated(place, &name, id, updated, now).await?)
            }
            Fenced::Lost => Fenced::Lost,
        })
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let _turn = self.turn(id).await;
        self.unlock_places(id, holder, self.places()).await
    }

    /// Opens every record: the store inside cannot read them. A session whose record moves to another key meanwhile may be
    /// missing, or be there twice.
    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let page = self.store.sessions_of(&users.everyone(), after, limit, now).await?;
        let mut page = self.opened(page);
        page.sessions.retain(|(_, record)| users.matches(&record.text));
        Ok(page)
    }

    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        self.store.time(now).await
    }

    fn lifetime(&self) -> Lifetime {
        self.store.lifetime()
    }

    fn supports_touch(&self) -> bool {
        self.store.supports_touch()
    }
}

fn tag_loaded(place: usize, mut loaded: Loaded) -> Loaded {
    loaded.revision = tag(place, loaded.revision);
    loaded
}
