//! The memory store obeys every law of a store, and does what the plain model does.

use express_session::MemoryStore;
use express_session_testkit::{
    Subject, Task, admin_laws, admin_model_laws, clock_laws, lock_laws, on_threads, order_laws,
    store_laws,
};

struct Memory(fn(MemoryStore) -> MemoryStore);

impl Subject for Memory {
    type Store = MemoryStore;

    async fn store(&self) -> MemoryStore {
        (self.0)(MemoryStore::new())
    }

    async fn parallel(&self, tasks: Vec<Task>) {
        on_threads(tasks).await;
    }
}

store_laws!(Memory(|store| store));
lock_laws!(Memory(|store| store));
admin_laws!(Memory(|store| store));
admin_model_laws!(Memory(|store| store));
clock_laws!(Memory(|store| store));
order_laws!(Memory(|store| store));

/// With caps that nothing reaches: other parts of the store, the same laws.
mod capped {
    use super::*;

    const CAPPED: Memory = Memory(|store| store.max_sessions(50_000).max_bytes(256 << 20));

    store_laws!(CAPPED);
    lock_laws!(CAPPED);
    admin_laws!(CAPPED);
    admin_model_laws!(CAPPED);
    clock_laws!(CAPPED);
}
