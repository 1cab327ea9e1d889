//! The records of connect-redis: a text, and the expiry of its key.

use std::time::Duration;

use express_session::Timestamp;
use express_session::store::{Error, ErrorKind, Loaded, Record, Revision};
use sha1::{Digest as _, Sha1};

/// Reads what `GET` and `PTTL` answered.
pub(super) fn loaded(
    text: Option<Vec<u8>>,
    left: i64,
    now: Timestamp,
) -> Result<Option<Loaded>, Error> {
    // With 0 milliseconds left, it is over.
    let Some(text) = text.filter(|_| left != 0) else { return Ok(None) };
    let text = String::from_utf8(text).map_err(|_| Error::new(ErrorKind::Corrupt, "not UTF-8"))?;
    // A key without an expiry has -1.
    let left = u64::try_from(left).ok().map(Duration::from_millis);
    let deadline = left.map(|left| now.saturating_add(left));
    Ok(Some(Loaded { revision: revision(&text), record: Record { text: text.into(), deadline } }))
}

/// Takes the digest of a text that a script takes too.
pub(super) fn revision(text: &str) -> Revision {
    let digest = Sha1::digest(text);
    Revision::new(digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

/// Returns the TTL, rounded up as in connect-redis, a day for a session of the browser's.
pub(super) fn seconds(deadline: Option<Timestamp>, now: Timestamp) -> i64 {
    let left = deadline.map_or(86_400_000, |deadline| deadline.millis() - now.millis());
    (left + 999).div_euclid(1000)
}
