//! A sealed store obeys every law of a store, over memory, Redis, PostgreSQL and SQLite: with one key, with several
//! places, and for records that are at an older place.

use express_session::MemoryStore;
use express_session::store::sealed::SealedStore;
use express_session::store::{
    Admin, Created, Cursor, Error, Fenced, Loaded, LockOutcome, LockToken, Page, Record, Revision,
    Store, Touch, Touched, Updated,
};
use express_session::{SessionId, Timestamp};
use express_session_testkit::{
    __wrap_admin, __wrap_store, Call, Clock, MapStore, Subject, Task, admin_laws, admin_model_laws,
    clock_laws, lock_laws, on_threads, order_laws, store_laws,
};

use super::keys;

/// A subject around that of the store inside.
struct Sealed<I, O> {
    inside: I,
    open: O,
}

impl<I: Subject, S: Store, O: Fn(I::Store) -> S> Subject for Sealed<I, O> {
    type Store = S;

    async fn store(&self) -> S {
        (self.open)(self.inside.store().await)
    }

    fn clock(&self) -> Clock {
        self.inside.clock()
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        self.inside.parallel(tasks).await;
    }
}

fn one_key<S: Store>(inside: S) -> SealedStore<S> {
    SealedStore::new(inside, keys(&[1]))
}

fn several_places<S: Store>(inside: S) -> SealedStore<S> {
    SealedStore::new(inside, keys(&[1, 2])).accept_plain(true)
}

fn of_an_older_key<S: Store + Clone>(inside: S) -> Aged<SealedStore<S>, SealedStore<S>> {
    let earlier = SealedStore::new(inside.clone(), keys(&[2]));
    Aged { earlier, store: several_places(inside), place: 1 }
}

fn of_plain_records<S: Store + Clone>(inside: S) -> Aged<S, SealedStore<S>> {
    Aged { earlier: inside.clone(), store: several_places(inside), place: 2 }
}

/// A store whose records were created by an earlier one.
#[derive(Clone)]
struct Aged<E, S> {
    earlier: E,
    store: S,
    place: usize,
}

/// Returns the revision that a load gives for a record at an older place.
fn older(place: usize, revision: &Revision) -> Revision {
    let revision = match (revision.number(), revision.text()) {
        (Some(number), _) => format!("n{number}"),
        (None, text) => format!("t{}", text.unwrap_or_default()),
    };
    Revision::by_text(format!("at an older place {place} {revision}").into())
}

impl<E: Store, S: Store> Aged<E, S> {
    async fn around<T>(
        &self,
        _: Call,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        answer.await
    }
}

__wrap_store! { (E: Store, S: Store) Aged<E, S>, |this| &this.store, [others expiry locks]
    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        match self.earlier.create(id, record, now).await? {
            Created::Done(revision) => Ok(Created::Done(older(self.place, &revision))),
            Created::Taken => Ok(Created::Taken),
        }
    }
}
__wrap_admin! { (E: Store, S: Admin) Aged<E, S>, |this| this.store }

/// Makes the modules of the laws for one subject: those of one way to seal its records, or of all ways with the model. A
/// store on a server has one, since its own laws are tested without the seal too.
macro_rules! laws {
    ($module:ident, $inside:expr, $leased:expr, $open:ident, $block_on:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "not each subject needs all")]
            use super::*;

            store_laws!(Sealed { inside: $inside, open: $open }, block_on = $block_on);
            lock_laws!(Sealed { inside: $leased, open: $open }, block_on = $block_on);
            admin_laws!(Sealed { inside: $inside, open: $open }, block_on = $block_on);
            clock_laws!(Sealed { inside: $leased, open: $open }, block_on = $block_on);
            order_laws!(Sealed { inside: $leased, open: $open }, block_on = $block_on);
        }
    };
    ($inside:expr, $leased:expr, $block_on:expr) => {
        laws!(with_one_key, $inside, $leased, one_key, $block_on);
        laws!(with_several_places, $inside, $leased, several_places, $block_on);
        laws!(with_records_of_an_older_key, $inside, $leased, of_an_older_key, $block_on);
        laws!(with_plain_records, $inside, $leased, of_plain_records, $block_on);

        mod models {
            use super::*;

            mod with_one_key {
                use super::*;

                admin_model_laws!(Sealed { inside: $inside, open: one_key }, block_on = $block_on);
            }

            mod with_plain_records {
                use super::*;

                admin_model_laws!(
                    Sealed { inside: $inside, open: of_plain_records },
                    block_on = $block_on,
                );
            }
        }
    };
}

mod over_memory {
    use super::*;

    struct Memory;

    impl Subject for Memory {
        type Store = MemoryStore;

        async fn store(&self) -> MemoryStore {
            MemoryStore::new()
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            on_threads(tasks).await;
        }
    }

    laws!(Memory, Memory, express_session_testkit::block_on);
}

/// With locks whose store knows nothing of records, and revisions that no two ids share.
mod over_a_map {
    use super::*;

    laws!(MapStore::default(), MapStore::default(), express_session_testkit::block_on);
}

#[cfg(feature = "redis")]
mod over_redis {
    use std::sync::atomic::{AtomicU32, Ordering};

    use express_session::store::redis::RedisStore;
    use express_session_testkit::servers;

    use super::*;

    struct Redis;

    impl Subject for Redis {
        type Store = RedisStore;

        async fn store(&self) -> RedisStore {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let prefix = format!("sealed-{}:", COUNT.fetch_add(1, Ordering::Relaxed));
            let url = servers::shared_redis().unwrap().url();
            RedisStore::connect(url).await.unwrap().prefix(prefix)
        }

        fn clock(&self) -> Clock {
            Clock::Server
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            crate::spawned(tasks).await;
        }
    }

    fn on_tokio(law: impl Future<Output = ()>) {
        if servers::shared_redis().is_some() {
            crate::on_tokio(law);
        }
    }

    laws!(with_plain_records, Redis, Redis, of_plain_records, on_tokio);
}

#[cfg(feature = "postgres")]
mod over_postgres {
    use std::marker::PhantomData;

    use crate::postgres::support::Db;
    use crate::sql::{Leased, Tables, with_server};

    use super::*;

    laws!(
        with_plain_records,
        Tables::<Db>(PhantomData),
        Leased::<Db>(PhantomData),
        of_plain_records,
        with_server::<Db>
    );
}

#[cfg(feature = "sqlite")]
mod over_sqlite {
    use express_session::store::sqlite::SqliteStore;

    use super::*;

    struct InMemory;

    impl Subject for InMemory {
        type Store = SqliteStore;

        async fn store(&self) -> SqliteStore {
            SqliteStore::new(":memory:")
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            crate::spawned(tasks).await;
        }
    }

    laws!(InMemory, InMemory, crate::on_tokio);
}
