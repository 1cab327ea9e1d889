//! Sessions in a Redis, over a pool of deadpool-redis.

use deadpool_redis::Pool;
use express_session::store::redis::RedisStore;
use express_session::store::{
    Created, Error, ErrorKind, Loaded, LoadedAndTouched, Record, Revision, Store, Touch, Touched,
    Updated,
};
use express_session::{SessionId, Timestamp};

/// Keeps sessions under keys with a prefix, in the format of connect-redis. Each call takes a connection of the pool.
#[derive(Clone)]
pub struct DeadpoolStore {
    pub pool: Pool,
    pub prefix: String,
}

impl DeadpoolStore {
    /// Makes the store of one call, which shares the connection while the pool has lent it.
    async fn with<T>(
        &self,
        call: impl AsyncFnOnce(RedisStore) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let connection = self.pool.get().await;
        let connection = connection.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the pool has no connection").with_source(error)
        })?;
        call(RedisStore::with_connection((*connection).clone()).prefix(&*self.prefix)).await
    }
}

impl Store for DeadpoolStore {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        self.with(async |store| store.load(id, now).await).await
    }

    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        self.with(async |store| store.load_and_touch(id, now).await).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.with(async |store| store.create(id, record, now).await).await
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        self.with(async |store| store.update(id, record, expected, now).await).await
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        self.with(async |store| store.touch(id, touch, now).await).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.with(async |store| store.destroy(id).await).await
    }
}
