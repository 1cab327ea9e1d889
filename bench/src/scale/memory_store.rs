//! The memory stores of ours and of tower-sessions, behind one interface.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use express_session::store::{Admin as _, Record, Store as _};
use express_session::{MemoryStore, SessionId, Timestamp};
use fastrand::Rng;
use tower_sessions::SessionStore as _;
use tower_sessions::session::{Id, Record as TowerSessionsRecord};

use crate::{machine, view_counter};

pub(super) trait Memory: Sized + Sync {
    type Id;

    async fn open() -> Result<Self>;

    /// Creates a session so long after the store was opened.
    async fn create(&self, random: &mut Rng, after: Duration) -> Result<Self::Id>;

    /// Loads a session, as a request does, and saves it with another number of views.
    async fn visit(&self, id: &Self::Id, views: u64) -> Result<()>;

    /// Checks that it has so many sessions, if it can count them.
    async fn check(&self, _count: u64, _after: Duration) -> Result<()> {
        Ok(())
    }
}

pub(super) struct Ours {
    store: MemoryStore,
    first: Record,
    start: Timestamp,
}

impl Memory for Ours {
    type Id = SessionId;

    async fn open() -> Result<Self> {
        let first = view_counter::record().await?;
        Ok(Self { store: MemoryStore::new(), first, start: machine::now() })
    }

    async fn create(&self, random: &mut Rng, after: Duration) -> Result<SessionId> {
        let now = self.start.saturating_add(after);
        Ok(view_counter::create(&self.store, random, &self.first, None, now).await?.0)
    }

    async fn visit(&self, id: &SessionId, views: u64) -> Result<()> {
        let found = self.store.load(id, self.start).await?;
        let revision = found.context("a session is missing")?.revision;
        let text = view_counter::text(&self.first, views).into();
        let record = Record { text, deadline: None };
        view_counter::save(&self.store, id, &record, &revision, self.start).await.map(drop)
    }

    async fn check(&self, count: u64, after: Duration) -> Result<()> {
        let live = self.store.count(self.start.saturating_add(after)).await?;
        ensure!(live == count, "sessions are missing");
        Ok(())
    }
}

pub(super) struct TowerSessions(tower_sessions::MemoryStore);

impl Memory for TowerSessions {
    type Id = Id;

    async fn open() -> Result<Self> {
        Ok(Self(tower_sessions::MemoryStore::default()))
    }

    async fn create(&self, random: &mut Rng, _: Duration) -> Result<Id> {
        let mut record = TowerSessionsRecord {
            id: Id(random.i128(..)),
            data: [("views".to_owned(), 1.into())].into(),
            // The default of a cookie without `Max-Age`.
            expiry_date: time::OffsetDateTime::now_utc() + time::Duration::weeks(2),
        };
        self.0.create(&mut record).await?;
        Ok(record.id)
    }

    async fn visit(&self, id: &Id, views: u64) -> Result<()> {
        let mut record = self.0.load(id).await?.context("a session is missing")?;
        record.data.insert("views".to_owned(), views.into());
        Ok(self.0.save(&record).await?)
    }
}
