//! A store that logs its calls in express-session's words.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use express_session::store::{
    Created, Error, ErrorKind, Lifetime, Loaded, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session::{SessionId, Timestamp};
use serde::Deserialize;

use crate::outcome::Call;

/// Logs the calls to the store inside. Clones share the log.
///
/// A `create` or an `update` is a `set`. A refused write that is tried again with the same text, perhaps after a
/// `load`, counts as one `set`: express-session's stores refuse nothing.
#[derive(Clone, Debug)]
pub struct Log<S> {
    store: S,
    touches: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    fail: Vec<String>,
    /// The id and text of a write that was refused.
    refused: Option<(String, String)>,
    /// A load after that: part of the retry, or a call of its own.
    undecided: Option<Call>,
}

impl<S> Log<S> {
    /// Logs the calls to `store`, which is said to have no `touch` unless `touches`.
    pub fn new(store: S, touches: bool) -> Self {
        Self { store, touches, state: Arc::default() }
    }

    /// Makes these calls fail, by express-session's names, until the log is taken.
    pub fn fail(&self, verbs: &[String]) {
        self.state().fail = verbs.to_vec();
    }

    pub fn take(&self) -> Vec<Call> {
        let mut state = std::mem::take(&mut *self.state());
        state.calls.extend(state.undecided);
        state.calls
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a call, and returns whether it has to fail.
    fn log(&self, verb: &str, call: Call) -> Result<(), Error> {
        let mut state = self.state();
        state.refused = None;
        let before = state.undecided.take();
        state.calls.extend(before);
        state.calls.push(call);
        state.failure(verb)
    }

    fn log_set(&self, id: &SessionId, record: &Record) -> Result<(), Error> {
        let mut state = self.state();
        let set = (id.as_str().to_owned(), described(record));
        let before = state.undecided.take();
        if state.refused.as_ref() != Some(&set) {
            state.calls.extend(before);
            state.calls.push(Call::Set(set.0, set.1));
        }
        state.refused = None;
        state.failure("set")
    }

    fn refused(&self, id: &SessionId, record: &Record) {
        self.state().refused = Some((id.as_str().to_owned(), described(record)));
    }
}

impl State {
    fn failure(&self, verb: &str) -> Result<(), Error> {
        if self.fail.iter().any(|fail| fail == verb) {
            Err(Error::new(ErrorKind::Unavailable, "the scenario has it fail"))
        } else {
            Ok(())
        }
    }
}

impl<S: Store> Store for Log<S> {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let get = Call::Get(id.as_str().into());
        let refused = |state: &State| {
            state.refused.as_ref().is_some_and(|(refused, _)| refused == id.as_str())
        };
        if refused(&self.state()) {
            let mut state = self.state();
            let before = state.undecided.replace(get);
            state.calls.extend(before);
            state.failure("get")?;
        } else {
            self.log("get", get)?;
        }
        self.store.load(id, now).await
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        self.log_set(id, record)?;
        let created = self.store.create(id, record, now).await?;
        if created == Created::Taken {
            self.refused(id, record);
        }
        Ok(created)
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        self.log_set(id, record)?;
        let updated = self.store.update(id, record, expected, now).await?;
        if !matches!(updated, Updated::Done(_)) {
            self.refused(id, record);
        }
        Ok(updated)
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let cookie = with_deadline(&touch.cookie, expiry(&touch.cookie), touch.deadline);
        self.log("touch", Call::Touch(id.as_str().into(), cookie))?;
        self.store.touch(id, touch, now).await
    }

    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        self.store.time(now).await
    }

    fn lifetime(&self) -> Lifetime {
        self.store.lifetime()
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.log("destroy", Call::Destroy(id.as_str().into()))?;
        self.store.destroy(id).await
    }

    fn supports_touch(&self) -> bool {
        self.touches
    }
}

/// Returns a record's expiry, as express-session's memory store reads it from the text.
pub fn deadline(text: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Session {
        cookie: Cookie,
    }
    serde_json::from_str(text).ok().and_then(|session: Session| session.cookie.time())
}

/// Returns the expiry of a cookie in a record.
pub fn expiry(cookie: &str) -> Option<Timestamp> {
    serde_json::from_str(cookie).ok().and_then(|cookie: Cookie| cookie.time())
}

#[derive(Deserialize)]
struct Cookie {
    expires: Option<Expires>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expires {
    Text(String),
    Number(i64),
}

impl Cookie {
    fn time(self) -> Option<Timestamp> {
        match self.expires? {
            Expires::Text(text) => Timestamp::parse(&text),
            Expires::Number(millis) => Some(Timestamp::from_millis(millis)),
        }
    }
}

fn described(record: &Record) -> String {
    with_deadline(&record.text, deadline(&record.text), record.deadline)
}

/// Returns the text, marked if the store received another deadline than the text has.
fn with_deadline(text: &str, expected: Option<Timestamp>, told: Option<Timestamp>) -> String {
    if expected == told { text.into() } else { format!("{text} with the deadline {told:?}") }
}
