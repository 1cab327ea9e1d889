//! Records that are bound to their id: each carries a keyed digest of it, as a member that only this store sees.
//!
//! 1. A write appends the member; a load checks it and removes it.
//! 2. A record without the member has no session. Under another id's member it is corrupt.
//! 3. Node keeps the member wherever it writes the record again, and the place of it does not matter.

use std::sync::Arc;
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Created, Cursor, Error, ErrorKind, Fenced, Lifetime, Loaded, LockOutcome, LockToken, Page,
    Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{Document, Keyring, SessionId, Timestamp};

use super::AnyStore;

/// The name of the member.
const MEMBER: &str = "__boundTo";

/// A store whose records are bound to their ids.
pub(crate) struct BoundStore {
    store: AnyStore,
    keyring: Keyring,
}

impl BoundStore {
    pub(crate) fn new(store: AnyStore, keyring: Keyring) -> Self {
        Self { store, keyring }
    }

    /// Returns the record with the member, its last one.
    fn bind(&self, id: &SessionId, record: &Record) -> Record {
        let open = record.text.trim_end().strip_suffix('}').unwrap_or(&record.text);
        let text = format!("{open},\"{MEMBER}\":\"{}\"}}", self.keyring.sign(id));
        Record { text: text.into(), deadline: record.deadline }
    }

    /// Returns the record without the member, or `None` if it has none.
    fn unbind(&self, id: &SessionId, mut loaded: Loaded) -> Result<Option<Loaded>, Error> {
        let text = &loaded.record.text;
        let Some((digest, rest)) = split_last(text).or_else(|| split(text)) else {
            return Ok(None);
        };
        if !self.keyring.verify(id.as_str(), &digest) {
            return Err(Error::new(ErrorKind::Corrupt, "the record is bound to another id"));
        }
        loaded.record.text = rest;
        Ok(Some(loaded))
    }

    fn unbind_updated(&self, id: &SessionId, updated: Updated) -> Result<Updated, Error> {
        Ok(match updated {
            Updated::Conflict(loaded) => {
                self.unbind(id, loaded)?.map_or(Updated::Gone, Updated::Conflict)
            }
            Updated::Done(_) | Updated::Gone => updated,
        })
    }
}

/// Takes the member off the end, where this store has put it.
fn split_last(text: &str) -> Option<(String, Arc<str>)> {
    let (front, digest) = text.strip_suffix("\"}")?.rsplit_once('"')?;
    let front = front.strip_suffix("\":")?.strip_suffix(MEMBER)?.strip_suffix(",\"")?;
    Some((digest.to_owned(), [front, "}"].concat().into()))
}

/// Takes the member from where another program has put it.
fn split(text: &Arc<str>) -> Option<(String, Arc<str>)> {
    let mut document = Document::parse(Arc::clone(text)).ok()?;
    let digest = document.get(MEMBER).ok()??;
    document.remove(MEMBER);
    let rest = document.to_json(document.cookie_text());
    Some((digest, rest))
}

impl Store for BoundStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let Some(loaded) = self.store.load(id, now).await? else { return Ok(None) };
        self.unbind(id, loaded)
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.store.create(id, &self.bind(id, record), now).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let updated = self.store.update(id, &self.bind(id, record), expected, now).await?;
        self.unbind_updated(id, updated)
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        self.store.touch(id, touch, now).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.store.destroy(id).await
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        self.store.lock(id, holder, lease, now).await
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let record = self.bind(id, record);
        Ok(match self.store.update_locked(id, &record, expected, holder, now).await? {
            Fenced::Held(updated) => Fenced::Held(self.unbind_updated(id, updated)?),
            Fenced::Lost => Fenced::Lost,
        })
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        self.store.unlock(id, holder).await
    }

    /// Leaves out records that no request could load.
    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let mut page = self.store.sessions_of(users, after, limit, now).await?;
        let unbound = |(id, record): (SessionId, Record)| {
            let loaded = Loaded { record, revision: Revision::new(0) };
            let loaded = self.unbind(&id, loaded).ok()??;
            Some((id, loaded.record))
        };
        page.sessions = page.sessions.into_iter().filter_map(unbound).collect();
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
