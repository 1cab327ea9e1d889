//! A write that has no condition, as express-session's `set` is, made of those that have one.

use express_session::store::{Created, Error, ErrorKind, Loaded, Record, Revision, Store, Updated};
use express_session_core::{SessionId, Timestamp};

/// Stores a record, whatever is there.
///
/// One call where there is nothing and `seen` is none, or where `seen` is what is there; two where the one has
/// turned into the other; otherwise one more for each that writes in between. The last one stays, as in Node's
/// stores. What is no record goes: Node writes over it.
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
    Err(Error::new(ErrorKind::Unavailable, "others write this session all the time"))
}

/// What became of an attempt.
enum Attempt {
    Done(Revision),
    /// Nothing: something else was there than expected.
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

/// More than there are writers that meet.
const ATTEMPTS: usize = 100;
