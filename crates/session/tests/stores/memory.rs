//! The memory store obeys every law of a store.

use express_session::MemoryStore;
use express_session_testkit::{
    Subject, Task, admin_laws, clock_laws, lock_laws, on_threads, store_laws,
};

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

store_laws!(Memory);
lock_laws!(Memory);
admin_laws!(Memory);
clock_laws!(Memory);

/// With caps that nothing reaches: other parts of the store, the same laws.
mod capped {
    use super::*;

    struct Capped;

    impl Subject for Capped {
        type Store = MemoryStore;

        async fn store(&self) -> MemoryStore {
            MemoryStore::new().max_sessions(50_000).max_bytes(256 << 20)
        }

        async fn parallel(&self, tasks: Vec<Task>) {
            on_threads(tasks).await;
        }
    }

    store_laws!(Capped);
    lock_laws!(Capped);
    admin_laws!(Capped);
    clock_laws!(Capped);
}
