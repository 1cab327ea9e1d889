//! The locks of the parts, and how ids are hashed: others where a scheduler tries the orders of calls at once,
//! which can only happen at a lock that it knows of, and has to go the same way each time.

// A quick hash will do, as nobody but the server chooses ids: one that comes from outside is signed.
#[cfg(not(all(test, shuttle)))]
pub(super) use foldhash::fast::RandomState;
#[cfg(not(all(test, shuttle)))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) use shuttle::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) type RandomState =
    std::hash::BuildHasherDefault<std::collections::hash_map::DefaultHasher>;
