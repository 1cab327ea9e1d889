//! Entry points for the fuzzer only: `cargo fuzz` builds with `cfg(fuzzing)`, and so do the tests
//! of its corpus.

use crate::store::{self, ConnectError};

/// Reads a store's URL and its options as [`connect`](crate::connect) does, and connects to nothing.
///
/// # Errors
///
/// Those of [`connect`](crate::connect) that need no server.
pub fn read_url(url: &str) -> Result<(), ConnectError> {
    store::prepare(url)
}
