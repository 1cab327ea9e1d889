//! Our side: one store of any kind, called at the present time.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Result, ensure};
use express_session::store::{
    Admin, AnyStore, Created, Cursor, Error, Loaded, Page, Record, Revision, Store as _, Touch,
    Touched, Updated,
};
use express_session::{SessionId, Timestamp};

#[derive(Clone)]
pub(crate) struct Ours {
    store: AnyStore,
    admin: Arc<dyn Lists>,
}

impl Ours {
    pub(crate) fn new(store: impl Admin + Clone) -> Self {
        Self { store: AnyStore::new(store.clone()), admin: Arc::new(store) }
    }

    /// Returns the store itself, for a service.
    pub(crate) fn store(&self) -> AnyStore {
        self.store.clone()
    }

    pub(crate) fn can_touch(&self) -> bool {
        self.store.supports_touch()
    }

    pub(crate) async fn load(&self, id: &str) -> Result<Option<Loaded>> {
        Ok(self.store.load(&known(id)?, now()).await?)
    }

    pub(crate) async fn create(&self, id: &str, record: &Record) -> Result<Created> {
        Ok(self.store.create(&known(id)?, record, now()).await?)
    }

    pub(crate) async fn update(
        &self,
        id: &str,
        record: &Record,
        expected: Revision,
    ) -> Result<Updated> {
        Ok(self.store.update(&known(id)?, record, &expected, now()).await?)
    }

    /// Touches, if the store supports it.
    pub(crate) async fn touch(&self, id: &str, touch: &Touch) -> Result<Touched> {
        if !self.can_touch() {
            return Ok(Touched::Done);
        }
        Ok(self.store.touch(&known(id)?, touch, now()).await?)
    }

    pub(crate) async fn destroy(&self, id: &str) -> Result<()> {
        Ok(self.store.destroy(&known(id)?).await?)
    }

    /// Returns the ids of all sessions, sorted, read in pages of three.
    pub(crate) async fn ids(&self) -> Result<Vec<String>> {
        let mut ids = BTreeSet::new();
        let mut after = None;
        loop {
            let page = self.admin.list(after, 3, now()).await?;
            for (id, _) in page.sessions {
                ensure!(ids.insert(id.as_str().to_owned()), "listed twice");
            }
            after = page.next;
            if after.is_none() {
                return Ok(ids.into_iter().collect());
            }
        }
    }

    pub(crate) async fn count(&self) -> Result<u64> {
        Ok(self.admin.count(now()).await?)
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        Ok(self.admin.clear().await?)
    }
}

impl fmt::Debug for Ours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ours")
    }
}

pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the stores on Node read this same clock")]
    let now = std::time::SystemTime::now();
    now.into()
}

fn known(id: &str) -> Result<SessionId> {
    SessionId::new(id).ok_or_else(|| anyhow::anyhow!("{id:?} is not an id"))
}

type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The methods of [`Admin`] with boxed futures.
trait Lists: Send + Sync {
    fn list(&self, after: Option<Cursor>, limit: usize, now: Timestamp) -> Call<'_, Page>;
    fn count(&self, now: Timestamp) -> Call<'_, u64>;
    fn clear(&self) -> Call<'_, ()>;
}

impl<S: Admin> Lists for S {
    fn list(&self, after: Option<Cursor>, limit: usize, now: Timestamp) -> Call<'_, Page> {
        Box::pin(Admin::list(self, after, limit, now))
    }

    fn count(&self, now: Timestamp) -> Call<'_, u64> {
        Box::pin(Admin::count(self, now))
    }

    fn clear(&self) -> Call<'_, ()> {
        Box::pin(Admin::clear(self))
    }
}
