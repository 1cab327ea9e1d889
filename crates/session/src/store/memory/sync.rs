//! The locks of the parts, and how ids are hashed, but where a scheduler tries the orders of calls at once. That can only happen at a lock it knows of, and has to go the same way each time.

// Nobody chooses an id but the server: one that comes from outside is signed. So no flood of equal hashes.
#[cfg(not(all(test, shuttle)))]
pub(super) use foldhash::fast::RandomState;
#[cfg(not(all(test, shuttle)))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) use shuttle::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) type RandomState =
    std::hash::BuildHasherDefault<std::collections::hash_map::DefaultHasher>;
