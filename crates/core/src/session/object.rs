//! The session as an object of another language.

use std::sync::Arc;

use super::{Error, Reapply, Result, SessionState, UpdateError};
use crate::cookie::StoredCookie;
use crate::record::json;
use crate::{Corrupt, Document, Timestamp};

/// A function of a member's value, both as JSON; `None` where there is no such member.
pub type Recompute =
    Arc<dyn Fn(Option<&str>) -> std::result::Result<Option<String>, UpdateError> + Send + Sync>;

/// The session as an object of another language, which tells an adapter of no change: the adapter passes the whole
/// object as text, and what differs from the text before is this request's change.
///
/// A member that neither text has, such as one with a reserved name, is not changed.
///
/// ```
/// use express_session_core::session::{Context, SessionObject, SessionState};
/// use express_session_core::store::{Loaded, Record, Revision};
/// use express_session_core::{Policy, SessionId, Timestamp};
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let policy = Policy::default();
/// let context = Context::new(&policy, "connect.sid");
/// let text = r#"{"cookie":{"originalMaxAge":null},"cart":["apple"],"views":1}"#;
/// let record = Record { text: text.into(), deadline: None };
/// let loaded = Loaded { record, revision: Revision::new(1) };
///
/// let mut state = SessionState::default();
/// state.begin_loaded(&context, SessionId::from_random([7; 24]), &loaded, now)?;
///
/// let mut object = SessionObject::new(text)?;
/// let changed = r#"{"cookie":{"originalMaxAge":null},"cart":["apple"],"views":2}"#;
/// object.take_changes(&mut state, changed, now)?;
/// let session = state.readable().unwrap();
/// assert_eq!(session.document.get("views")?, Some(2));
/// assert!(!session.document.is_member_changed("cart"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SessionObject {
    /// The members that the object showed last.
    shown: Document,
}

/// A member of the object that others have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedMember {
    /// Its name.
    pub key: String,
    /// The value that the object showed, as JSON.
    pub shown: Option<String>,
    /// The value of the session, as JSON.
    pub value: Option<String>,
}

impl SessionObject {
    /// Begins with the object as it was when the session was loaded or created.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] where the text is not a JSON object with a `cookie`.
    pub fn new(text: &str) -> Result<Self, Corrupt> {
        Ok(Self { shown: Document::parse(text)? })
    }

    /// Begins with an object that shows the members of a session which has begun, each with the text of its record. `None`
    /// where there is no session.
    #[must_use]
    pub fn of(state: &SessionState) -> Option<Self> {
        state.readable().map(|session| Self { shown: session.document.clone() })
    }

    /// Returns the object's cookie.
    ///
    /// # Errors
    ///
    /// Those of [`StoredCookie::parse`].
    pub fn cookie(&self, now: Timestamp) -> Result<StoredCookie, Corrupt> {
        StoredCookie::parse(self.shown.cookie_text(), now)
    }

    /// Changes the session as the object was changed, and takes the object's cookie.
    ///
    /// # Errors
    ///
    /// Those of [`SessionState::change`], with nothing changed; [`Error::Corrupt`].
    pub fn take_changes(
        &mut self,
        state: &mut SessionState,
        text: &str,
        now: Timestamp,
    ) -> Result<()> {
        let object = Self::new(text)?;
        let cookie = object.cookie(now)?;
        let object = object.shown;
        state.change(|session| {
            for key in self.shown.keys().filter(|key| !object.contains(key)) {
                if session.document.remove(&key) {
                    session.overwrite(&key);
                }
            }
            for key in object.keys() {
                let value = object.get_raw(&key);
                let is_changed =
                    self.shown.get_raw(&key) != value && session.document.get_raw(&key) != value;
                if let Some(value) = value.filter(|_| is_changed) {
                    session.document.insert_raw(&key, value);
                    session.overwrite(&key);
                }
            }
            session.cookie = cookie;
        })?;
        self.shown = object;
        Ok(())
    }

    /// Changes a member from `before` to `after`, the result of `recompute` for it. Where another request changes the
    /// member, `recompute` is applied again.
    ///
    /// The object has to [catch up](Self::catch_up) first: a save under way may have met what others have stored.
    ///
    /// # Errors
    ///
    /// Those of [`SessionState::update`], and [`Error::Conflict`] where the object has not caught up with the member; with
    /// nothing changed.
    pub fn update(
        &mut self,
        state: &mut SessionState,
        key: &str,
        before: Option<&str>,
        after: Option<&str>,
        recompute: Recompute,
    ) -> Result<()> {
        // The object may have been changed directly since it was last looked at. A member whose value is still the shown
        // one was not changed.
        let is_assigned = self.shown.get_raw(key) != before;
        state.change(|session| {
            if is_assigned && session.document.get_raw(key) != before {
                set(&mut session.document, key, before);
                session.overwrite(key);
            }
        })?;
        let reapply: Reapply = Arc::new(move |document, key| {
            let value = recompute(document.get_raw(key))?;
            if let Some(value) = &value {
                json::check(value).map_err(|_| "the new value is not JSON")?;
            }
            set(document, key, value.as_deref());
            Ok(())
        });
        let change = |document: &mut Document| {
            set(document, key, after);
            Ok::<(), Error>(())
        };
        if !state.update(key, before, change, &reapply, None)? {
            return Err(Error::Conflict);
        }
        set(&mut self.shown, key, after);
        Ok(())
    }

    /// Returns the members that others have changed, for the adapter to put into the object. From here on the object counts
    /// as showing them.
    pub fn catch_up(&mut self, state: &SessionState) -> Vec<ChangedMember> {
        let Some(session) = state.readable() else { return Vec::new() };
        let current = &session.document;
        let gone = self.shown.keys().filter(|key| !current.contains(key));
        let changed: Vec<_> = gone
            .chain(current.keys().filter(|key| current.get_raw(key) != self.shown.get_raw(key)))
            .map(|key| ChangedMember {
                shown: self.shown.get_raw(&key).map(str::to_owned),
                value: current.get_raw(&key).map(str::to_owned),
                key: key.into_owned(),
            })
            .collect();
        for member in &changed {
            set(&mut self.shown, &member.key, member.value.as_deref());
        }
        changed
    }
}

fn set(document: &mut Document, key: &str, value: Option<&str>) {
    match value {
        Some(value) => document.insert_raw(key, value),
        None => drop(document.remove(key)),
    }
}
