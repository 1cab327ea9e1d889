//! The calls that JavaScript makes to any store.

use std::future::Future;
use std::pin::Pin;

use std::time::Duration;

use express_session::store::{
    Admin, Cursor, Error, Lifetime, Loaded, LockOutcome, LockToken, Page, Record, Revision, Store,
    Touch, Touched,
};
use express_session_core::metadata::UserQuery;
use express_session_core::session::{Answer, StoreCall};
use express_session_core::{SessionId, Timestamp};

use super::replace::{self, Missing};

pub(super) type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;
type Answered<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// [`Admin`] with its futures boxed, and a write that has no condition.
pub(super) trait Backend: Send + Sync {
    fn load<'a>(&'a self, id: &'a SessionId, now: Timestamp) -> Call<'a, Option<Loaded>>;
    fn lifetime(&self) -> Lifetime;
    fn answer(&self, call: StoreCall, now: Timestamp) -> Answered<'_>;
    fn lock<'a>(
        &'a self,
        id: &'a SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Call<'a, LockOutcome>;
    fn unlock<'a>(&'a self, id: &'a SessionId, holder: LockToken) -> Call<'a, ()>;
    fn replace<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        seen: Option<Revision>,
        missing: Missing,
        now: Timestamp,
    ) -> Call<'a, Option<Revision>>;
    fn touch<'a>(
        &'a self,
        id: &'a SessionId,
        touch: &'a Touch,
        now: Timestamp,
    ) -> Call<'a, Touched>;
    fn destroy<'a>(&'a self, id: &'a SessionId) -> Call<'a, ()>;
    fn list(&self, after: Option<Cursor>, limit: usize, now: Timestamp) -> Call<'_, Page>;
    fn sessions_of<'a>(
        &'a self,
        users: &'a UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Call<'a, Page>;
    fn count(&self, now: Timestamp) -> Call<'_, u64>;
    fn clear(&self) -> Call<'_, ()>;
    fn purge(&self, limit: usize, now: Timestamp) -> Call<'_, u64>;
}

impl<S: Admin> Backend for S {
    fn load<'a>(&'a self, id: &'a SessionId, now: Timestamp) -> Call<'a, Option<Loaded>> {
        Box::pin(self.load(id, now))
    }

    fn lifetime(&self) -> Lifetime {
        Store::lifetime(self)
    }

    fn answer(&self, call: StoreCall, now: Timestamp) -> Answered<'_> {
        Box::pin(call.make(self, now))
    }

    fn lock<'a>(
        &'a self,
        id: &'a SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Call<'a, LockOutcome> {
        Box::pin(self.lock(id, holder, lease, now))
    }

    fn unlock<'a>(&'a self, id: &'a SessionId, holder: LockToken) -> Call<'a, ()> {
        Box::pin(self.unlock(id, holder))
    }

    fn replace<'a>(
        &'a self,
        id: &'a SessionId,
        record: &'a Record,
        seen: Option<Revision>,
        missing: Missing,
        now: Timestamp,
    ) -> Call<'a, Option<Revision>> {
        Box::pin(replace::replace(self, id, record, seen, missing, now))
    }

    fn touch<'a>(
        &'a self,
        id: &'a SessionId,
        touch: &'a Touch,
        now: Timestamp,
    ) -> Call<'a, Touched> {
        Box::pin(self.touch(id, touch, now))
    }

    fn destroy<'a>(&'a self, id: &'a SessionId) -> Call<'a, ()> {
        Box::pin(self.destroy(id))
    }

    fn list(&self, after: Option<Cursor>, limit: usize, now: Timestamp) -> Call<'_, Page> {
        Box::pin(self.list(after, limit, now))
    }

    fn sessions_of<'a>(
        &'a self,
        users: &'a UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Call<'a, Page> {
        Box::pin(self.sessions_of(users, after, limit, now))
    }

    fn count(&self, now: Timestamp) -> Call<'_, u64> {
        Box::pin(self.count(now))
    }

    fn clear(&self) -> Call<'_, ()> {
        Box::pin(self.clear())
    }

    fn purge(&self, limit: usize, now: Timestamp) -> Call<'_, u64> {
        Box::pin(self.purge(limit, now))
    }
}
