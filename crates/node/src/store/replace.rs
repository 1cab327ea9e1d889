//! An unconditional write, as express-session's `set`, made of conditional ones.

use express_session::store::{Created, Error, ErrorKind, Loaded, Record, Revision, Store, Updated};
use express_session_core::{SessionId, Timestamp};

/// Stores a record, replacing any other.
///
/// It takes one call if `seen` is still true, two if the record has been created or deleted since, and one more
/// for each concurrent write of another process or thread: lib/stores/writes.js makes those of one store take turns.
/// The last write wins, as in Node's stores. A corrupt record is replaced too.
///
/// Returns the record's revision, or nothing if there was none to replace, and `missing` creates none.
pub(super) async fn replace<S: Store>(
    store: &S,
    id: &SessionId,
    record: &Record,
    mut seen: Option<Revision>,
    missing: Missing,
    now: Timestamp,
) -> Result<Option<Revision>, Error> {
    let mut is_removed = false;
    for _ in 0..ATTEMPTS {
        match attempt(store, id, record, seen.take(), missing, now).await {
            Ok(Attempt::Done(revision)) => return Ok(Some(revision)),
            Ok(Attempt::Other(found)) => seen = found,
            Ok(Attempt::Left) => return Ok(None),
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

/// The effect of a write where there is no record.
#[derive(Clone, Copy)]
pub(super) enum Missing {
    /// Creates it.
    Create,
    /// Leaves it: the session has ended. A corrupt record is removed.
    Leave,
}

impl Missing {
    /// Returns what a save does, whose session may be over by the clock of its machine.
    pub(super) fn of(is_over: bool) -> Self {
        if is_over { Self::Leave } else { Self::Create }
    }
}

/// The result of an attempt.
enum Attempt {
    Done(Revision),
    /// Nothing was written: this revision was there instead, or none.
    Other(Option<Revision>),
    /// Nothing was written, because there is no record.
    Left,
}

async fn attempt<S: Store>(
    store: &S,
    id: &SessionId,
    record: &Record,
    seen: Option<Revision>,
    missing: Missing,
    now: Timestamp,
) -> Result<Attempt, Error> {
    let Some(expected) = seen else {
        if matches!(missing, Missing::Leave) {
            let found = store.load(id, now).await?;
            return Ok(found.map_or(Attempt::Left, |found| Attempt::Other(Some(found.revision))));
        }
        return Ok(match store.create(id, record, now).await? {
            Created::Done(revision) => Attempt::Done(revision),
            Created::Taken => {
                Attempt::Other(store.load(id, now).await?.map(|loaded| loaded.revision))
            }
        });
    };
    Ok(match store.update(id, record, &expected, now).await? {
        Updated::Done(revision) => Attempt::Done(revision),
        Updated::Conflict(Loaded { revision, .. }) => Attempt::Other(Some(revision)),
        Updated::Gone => Attempt::Other(None),
    })
}

/// More than there are processes and threads that write one session at a time.
const ATTEMPTS: usize = 100;
