//! An unconditional write, as express-session's `set`, made of conditional ones.

use express_session::store::{Created, Error, ErrorKind, Loaded, Record, Revision, Store, Updated};
use express_session_core::{SessionId, Timestamp};

/// Stores a record, replacing any other.
///
/// It takes one call if `seen` is still true, two if the record has been created or deleted since, and one more
/// for each concurrent write of another process or thread: lib/stores/writes.js makes those of one store take turns.
/// The last write wins, as in Node's stores. A corrupt record is replaced too.
pub(super) async fn replace<S: Store>(
    store: &S,
    id: &SessionId,
    record: &Record,
    mut seen: Option<Revision>,
    now: Timestamp,
) -> Result<Revision, Error> {
    let mut is_removed = false;
    for _ in 0..ATTEMPTS {
        match attempt(store, id, record, seen, now).await {
            Ok(Attempt::Done(revision)) => return Ok(revision),
            Ok(Attempt::Other(found)) => seen = found,
            Err(error) if error.kind() == ErrorKind::Corrupt && !is_removed => {
                store.destroy(id).await?;
                (seen, is_removed) = (None, true);
            }
            Err(error) => return Err(error),
        }
    }
    // Not unavailable: the server answers, and a busy session must not count as an outage for the others.
    Err(Error::new(ErrorKind::Other, "other processes write this session all the time"))
}

/// The result of an attempt.
enum Attempt {
    Done(Revision),
    /// Nothing was written: this revision was there instead, or none.
    Other(Option<Revision>),
}

async fn attempt<S: Store>(
    store: &S,
    id: &SessionId,
    record: &Record,
    seen: Option<Revision>,
    now: Timestamp,
) -> Result<Attempt, Error> {
    let Some(expected) = seen else {
        return Ok(match store.create(id, record, now).await? {
            Created::Done(revision) => Attempt::Done(revision),
            Created::Taken => {
                Attempt::Other(store.load(id, now).await?.map(|loaded| loaded.revision))
            }
        });
    };
    Ok(match store.update(id, record, expected, now).await? {
        Updated::Done(revision) => Attempt::Done(revision),
        Updated::Conflict(Loaded { revision, .. }) => Attempt::Other(Some(revision)),
        Updated::Gone => Attempt::Other(None),
    })
}

/// More than there are processes and threads that write one session at a time.
const ATTEMPTS: usize = 100;
