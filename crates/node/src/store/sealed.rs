//! Encrypted records, for JavaScript.

use std::fmt;

use express_session::store::sealed::{
    SealKeyError, SealKeyProblem, SealKeys, SealedStore, Upgraded as Moved,
};
use express_session::store::{Admin, Cursor};
use express_session_core::Timestamp;
use napi::bindgen_prelude::Uint8Array;
use napi::{Error, Result, Status};
use napi_derive::napi;

use super::backend::Call;

/// The option `sealed` of a store.
#[napi(object, object_to_js = false)]
pub struct Sealing {
    /// The secrets, of which the first one seals.
    pub keys: Vec<Uint8Array>,
    /// Whether records that are not sealed are accepted.
    pub accept_plain: bool,
}

/// A page of an upgrade.
#[napi(object)]
#[derive(Debug)]
pub struct Upgraded {
    /// The number of records that were moved.
    pub moved: f64,
    /// The number of those that could not be read.
    pub unreadable: f64,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Returns the reason why these secrets cannot be keys.
#[napi(catch_unwind)]
#[must_use]
pub fn seal_problem(keys: Vec<Uint8Array>) -> Option<String> {
    seal_keys(&keys).err().map(|error| problem(&error))
}

/// The upgrade of a sealed store of any kind.
pub(super) trait Upgrade: Send + Sync {
    fn upgrade(&self, after: Option<Cursor>, limit: usize, now: Timestamp) -> Call<'_, Moved>;
}

impl<S: Admin> Upgrade for SealedStore<S> {
    fn upgrade(&self, after: Option<Cursor>, limit: usize, now: Timestamp) -> Call<'_, Moved> {
        Box::pin(self.upgrade(after, limit, now))
    }
}

impl Sealing {
    /// Seals the records of a store.
    pub(super) fn seal<S>(&self, store: S) -> Result<SealedStore<S>> {
        let keys = seal_keys(&self.keys)
            .map_err(|error| Error::new(Status::InvalidArg, problem(&error)))?;
        Ok(SealedStore::new(store, keys).accept_plain(self.accept_plain))
    }
}

fn seal_keys(keys: &[Uint8Array]) -> std::result::Result<SealKeys, SealKeyError> {
    SealKeys::new(keys.iter().map(|key| &**key))
}

/// Returns why a key is refused, with its place in JavaScript's option, and nothing of the key.
fn problem(error: &SealKeyError) -> String {
    let key = error.position();
    match error.problem() {
        SealKeyProblem::Missing => "there must be at least one key".to_owned(),
        SealKeyProblem::Short => format!("key {key} is shorter than {} bytes", SealKeys::SHORTEST),
        SealKeyProblem::Weak(weak) => format!("key {key} is {weak}"),
        SealKeyProblem::Repeated => format!("key {key} is there twice"),
        // And any problem that is added later.
        _ => format!("key {key} is refused"),
    }
}

impl From<Moved> for Upgraded {
    fn from(moved: Moved) -> Self {
        Self {
            moved: moved.moved as f64,
            unreadable: moved.unreadable as f64,
            next: moved.next.map(|next| next.as_str().to_owned()),
        }
    }
}

impl fmt::Debug for Sealing {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("accept_plain", &self.accept_plain).finish_non_exhaustive()
    }
}
