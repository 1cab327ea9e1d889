//! The locks of the parts, and how ids are hashed: the standard library's, but where a scheduler tries the
//! orders of calls at once. That can only happen at a lock it knows of, and has to go the same way each time.

#[cfg(not(all(test, shuttle)))]
pub(super) use std::hash::RandomState;
#[cfg(not(all(test, shuttle)))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) use shuttle::sync::{Mutex, MutexGuard};

#[cfg(all(test, shuttle))]
pub(super) type RandomState =
    std::hash::BuildHasherDefault<std::collections::hash_map::DefaultHasher>;
