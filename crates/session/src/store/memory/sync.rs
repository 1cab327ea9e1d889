//! The locks of the parts, and the hasher of ids. Under the scheduler of the interleavings tests they are its
//! own locks, at which it can switch threads, and a hasher that is the same in every run.

// A fast hash is enough, since only the server chooses ids: those of a client are signed.
#[cfg(not(all(test, shuttle)))]
pub(super) use foldhash::fast::RandomState;
#[cfg(not(all(test, shuttle)))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) use shuttle::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) type RandomState =
    std::hash::BuildHasherDefault<std::collections::hash_map::DefaultHasher>;
