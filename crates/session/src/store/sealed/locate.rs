//! Finds the record of a session, and moves it to its current place.
//!
//! A move has four steps, each of them conditional on the revision that was loaded before. A call of any process that
//! meets a half-finished move finishes it.
//!
//! | step | current place | older place | the session is |
//! |---|---|---|---|
//! | 0 | – | record | at the older place |
//! | 1 | `Arriving` | record | at the older place |
//! | 2 | `Arriving` | `Moved` | nowhere; its record does not change |
//! | 3 | record | `Moved` | at the current place |
//! | 4 | record | – | at the current place |
//!
//! 1. **No update is lost.** Step 2 replaces the record only if its revision is that of the text which step 3 writes. An
//!    update that comes before makes step 2 fail; one that comes after finds `Moved` or nothing, and is a conflict with the
//!    record at the current place.
//! 2. **A logout is final.** [`destroy`](super::SealedStore) removes the older places first. From then on step 2 fails, and
//!    `Arriving` without an older place is no session: it becomes `Ended`. After step 2 the logout also removes `Arriving`,
//!    so that step 3 fails.
//! 3. **No touch is lost.** A touch does not change the revision. Step 2 therefore uses a load that began after `Arriving`
//!    was seen, and a touch of the older place looks at the current place afterwards. If it finds `Arriving` there, it
//!    finishes the move and touches the current place.
//! 4. A session that is found nowhere may have moved between two loads. The current place is therefore loaded again.

use express_session_core::store::{Created, Error, ErrorKind, Loaded, Record, Store, Updated};
use express_session_core::{SessionId, Timestamp};

use super::SealedStore;
use super::envelope::{State, seal};
use super::place::Found;

/// Whether a record at an older place stays there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Find,
    Move,
}

/// The record of a session and its place. The text is open, and the revision that of the store inside.
pub(super) struct Located {
    pub(super) place: usize,
    pub(super) loaded: Loaded,
}

/// A record or [`State::Moved`] at an older place.
enum Source {
    Record(Located),
    Moved(Located),
}

impl<S: Store> SealedStore<S> {
    /// Returns the live record of a session, after it has finished a move that another call has begun.
    pub(super) async fn locate(
        &self,
        id: &SessionId,
        now: Timestamp,
        goal: Goal,
    ) -> Result<Option<Located>, Error> {
        let mut was_nowhere = false;
        for _ in 0..ATTEMPTS {
            match self.look(0, id, now).await? {
                Found::Record(loaded) => return Ok(Some(Located { place: 0, loaded })),
                Found::Arriving { from, loaded } => {
                    was_nowhere = false;
                    // Its key is not known here, nor is its session.
                    let Some(place) = self.place_of(id, &from) else { return Ok(None) };
                    match self.source(id, place..place + 1, now).await? {
                        Some(Source::Record(older)) => self.depart(id, older, now).await?,
                        Some(Source::Moved(older)) => self.arrive(id, older, &loaded, now).await?,
                        None => self.end(id, &loaded, now).await?,
                    }
                }
                empty @ (Found::Nothing | Found::Ended(_) | Found::Moved(_)) => {
                    if was_nowhere || self.places() == 1 {
                        return Ok(None);
                    }
                    let source = self.source(id, 1..self.places(), now).await?;
                    let Some(Source::Record(older)) = source else {
                        was_nowhere = true;
                        continue;
                    };
                    if goal == Goal::Find {
                        return Ok(Some(older));
                    }
                    self.announce(id, older, empty, now).await?;
                }
            }
        }
        Err(changed_too_often())
    }

    /// Returns the first record at one of these places, or else the first one that is moving from there.
    async fn source(
        &self,
        id: &SessionId,
        places: std::ops::Range<usize>,
        now: Timestamp,
    ) -> Result<Option<Source>, Error> {
        let mut moved = None;
        for place in places {
            match self.look(place, id, now).await? {
                Found::Record(loaded) => {
                    return Ok(Some(Source::Record(Located { place, loaded })));
                }
                Found::Moved(loaded) => {
                    moved.get_or_insert(Source::Moved(Located { place, loaded }));
                }
                Found::Nothing | Found::Arriving { .. } | Found::Ended(_) => {}
            }
        }
        Ok(moved)
    }

    /// Step 1. Another call may have been faster, which the next look shows; so in each step.
    async fn announce(
        &self,
        id: &SessionId,
        older: Located,
        current: Found,
        now: Timestamp,
    ) -> Result<(), Error> {
        let state = State::Arriving { from: self.name(older.place, id).as_str().into() };
        let (name, record) = (self.name(0, id), self.sealed(0, &state, id, &older.loaded.record)?);
        match current {
            Found::Ended(Loaded { revision, .. }) | Found::Moved(Loaded { revision, .. }) => {
                self.store.update(&name, &record, &revision, now).await.map(drop)
            }
            Found::Nothing | Found::Record(_) | Found::Arriving { .. } => {
                self.store.create(&name, &record, now).await.map(|_: Created| ())
            }
        }
    }

    /// Step 2.
    async fn depart(&self, id: &SessionId, older: Located, now: Timestamp) -> Result<(), Error> {
        let Located { place, loaded: Loaded { record, revision } } = older;
        let record = self.sealed(place, &State::Moved, id, &record)?;
        self.store.update(&self.name(place, id), &record, &revision, now).await.map(drop)
    }

    /// Steps 3 and 4.
    async fn arrive(
        &self,
        id: &SessionId,
        older: Located,
        arriving: &Loaded,
        now: Timestamp,
    ) -> Result<(), Error> {
        let record = self.sealed(0, &State::Record, id, &older.loaded.record)?;
        let updated =
            self.store.update(&self.name(0, id), &record, &arriving.revision, now).await?;
        if let Updated::Done(_) = updated {
            self.store.destroy(&self.name(older.place, id)).await?;
        }
        Ok(())
    }

    /// Replaces the place of a record that does not arrive any more.
    async fn end(&self, id: &SessionId, arriving: &Loaded, now: Timestamp) -> Result<(), Error> {
        let record = self.sealed(0, &State::Ended, id, &arriving.record)?;
        self.store.update(&self.name(0, id), &record, &arriving.revision, now).await.map(drop)
    }

    fn sealed(
        &self,
        place: usize,
        state: &State,
        id: &SessionId,
        record: &Record,
    ) -> Result<Record, Error> {
        let text = seal(self.keys.at(place), &self.name(place, id), state, id, &record.text)?;
        Ok(Record { text, deadline: record.deadline })
    }
}

pub(super) fn changed_too_often() -> Error {
    Error::new(ErrorKind::Unavailable, "other calls changed the record again and again")
}

/// Each attempt follows a step of another call for the same session.
pub(super) const ATTEMPTS: usize = 64;
