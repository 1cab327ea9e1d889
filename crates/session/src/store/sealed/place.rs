//! The places of a session in the store inside: its names, newest first, and what is under one of them.

use std::borrow::Cow;

use express_session_core::store::{Error, ErrorKind, Loaded, Revision, Store};
use express_session_core::{SessionId, Timestamp};

use super::SealedStore;
use super::envelope::{Content, State, open};
use super::keys::is_name;

/// The content of a place, for one session. The texts are open, and the revisions those of the store inside.
pub(super) enum Found {
    /// No record, or that of another session whose name equals this id.
    Nothing,
    /// The session's record.
    Record(Loaded),
    /// See [`State::Arriving`].
    Arriving { from: Box<str>, loaded: Loaded },
    /// See [`State::Moved`].
    Moved(Loaded),
    /// See [`State::Ended`].
    Ended(Loaded),
}

impl<S> SealedStore<S> {
    /// Counts the places of a session: one for each key, and its own id if plain records are accepted.
    pub(super) fn places(&self) -> usize {
        self.keys.len() + usize::from(self.is_plain_accepted)
    }

    /// Returns whether a place is the session's own id, with a plain record.
    pub(super) fn is_raw(&self, place: usize) -> bool {
        place >= self.keys.len()
    }

    /// Returns the id that the store inside knows at a place.
    pub(super) fn name(&self, place: usize, id: &SessionId) -> SessionId {
        if self.is_raw(place) {
            return id.clone();
        }
        // A name has 43 characters, and is never empty.
        SessionId::new(self.keys.at(place).name(id)).unwrap_or_else(|| id.clone())
    }

    /// Returns the place that a name is of, for a session.
    pub(super) fn place_of(&self, id: &SessionId, name: &str) -> Option<usize> {
        (0..self.places()).find(|place| self.name(*place, id).as_str() == name)
    }

    /// Opens a record that was found at a place of a session, under the name of the place.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if it does not open, or is of another session.
    pub(super) fn recognise(
        &self,
        place: usize,
        name: &SessionId,
        id: &SessionId,
        mut loaded: Loaded,
    ) -> Result<Found, Error> {
        let is_raw = self.is_raw(place);
        let envelope = match open(&self.keys, name, &loaded.record.text) {
            Content::Sealed(envelope) if envelope.id == *id => envelope,
            Content::Plain if is_raw => return Ok(Found::Record(loaded)),
            // A session's id that equals the name of another is no way to its record.
            _ if is_raw && is_name(id.as_str()) => return Ok(Found::Nothing),
            Content::Plain => return Err(corrupt("it is not sealed")),
            Content::Unopened => return Err(corrupt("no key opens it under this id")),
            Content::Sealed(_) => return Err(corrupt("it is sealed for another id")),
        };
        loaded.record.text = envelope.text;
        Ok(match envelope.state {
            State::Record => Found::Record(loaded),
            State::Arriving { from } => Found::Arriving { from, loaded },
            State::Moved => Found::Moved(loaded),
            State::Ended => Found::Ended(loaded),
        })
    }
}

impl<S: Store> SealedStore<S> {
    /// Loads and opens what is at a place of a session.
    pub(super) async fn look(
        &self,
        place: usize,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Found, Error> {
        let name = self.name(place, id);
        let loaded = self.store.load(&name, now).await;
        match self.unless_unsuitable(place, loaded)? {
            Some(loaded) => self.recognise(place, &name, id, loaded),
            None => Ok(Found::Nothing),
        }
    }
}

/// Marks the revision of a record at an older place, so that it is never taken for one of the current place.
pub(super) fn tag(place: usize, revision: Revision) -> Revision {
    if place == 0 {
        return revision;
    }
    let text = match (revision.number(), revision.text()) {
        (Some(number), _) => format!("{TAG}{place} n{number}"),
        (None, text) => format!("{TAG}{place} t{}", text.unwrap_or_default()),
    };
    Revision::by_text(text.into())
}

/// Returns the place and the revision of the store inside.
pub(super) fn untag(revision: &Revision, places: usize) -> (usize, Cow<'_, Revision>) {
    let older = || {
        let (place, revision) = revision.text()?.strip_prefix(TAG)?.split_once(' ')?;
        let place = place.parse().ok().filter(|place| *place < places)?;
        let revision = match revision.split_at_checked(1)? {
            ("n", number) => Revision::new(number.parse().ok()?),
            ("t", text) => Revision::by_text(text.into()),
            _ => return None,
        };
        Some((place, Cow::Owned(revision)))
    };
    older().unwrap_or((0, Cow::Borrowed(revision)))
}

fn corrupt(message: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

/// No text of a record begins so.
const TAG: &str = "at an older place ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revision_of_an_older_place_differs_from_each_of_another_place() {
        let number = Revision::new(7);
        let text = Revision::by_text("n7".into());
        let mut all = Vec::new();
        for place in 0..3 {
            for revision in [&number, &text] {
                let tagged = tag(place, revision.clone());
                assert_eq!(untag(&tagged, 3), (place, Cow::Borrowed(revision)));
                assert!(!all.contains(&tagged));
                all.push(tagged);
            }
        }
        assert_eq!(untag(&all[5], 2), (0, Cow::Borrowed(&all[5])), "a place that is not there");
    }
}
