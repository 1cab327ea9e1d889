//! The sessions of one user, for JavaScript: their list, their end, and the lock and the limit of a login.
//!
//! The decisions are core's. JavaScript never gets the ids, but names for them that are no secret.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use express_session::store::{Error, LockOutcome, LockToken};
use express_session_core::metadata::{Client, Epoch, Mark, UserQuery};
use express_session_core::record::Json;
use express_session_core::session::{
    self, Listed, Listing, OwnSession, RaiseMachine, Raising, Revocation, RevokeMachine, StoreCall,
    is_lease_held,
};
use express_session_core::{Keyring, SessionId, Timestamp};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use super::backend::Backend;
use super::{option, time};
use crate::engine::rules::{SessionPolicy, Settings};
use crate::session::NativeSession;

/// How many sessions the store is asked for in one call.
const PAGE: usize = 1000;

/// The sessions of a user, for the calls of a store.
#[napi]
#[derive(Clone)]
pub struct UserSessions {
    settings: Arc<Settings>,
    users: UserQuery,
    public_ids: Option<Arc<Keyring>>,
    own: OwnSession,
    holder: LockToken,
    /// The rise of the user's epoch, while JavaScript gives it to the session that goes on.
    raise: Arc<Mutex<Option<RaiseMachine>>>,
}

/// Which of a user's sessions are meant.
pub(super) enum Meant {
    All,
    /// All but the one that asks.
    Others,
    /// The one with this public id.
    Named(String),
}

impl Meant {
    pub(super) fn of(public_id: Option<String>, spares_own: bool) -> Self {
        match public_id {
            Some(public_id) => Self::Named(public_id),
            None if spares_own => Self::Others,
            None => Self::All,
        }
    }
}

#[napi]
impl UserSessions {
    /// Asks for the sessions of a user, as JSON, by public ids of these secrets.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        policy: &SessionPolicy,
        user: String,
        secrets: Vec<Uint8Array>,
    ) -> napi::Result<Self> {
        let user = Json::parse(&user)
            .ok_or_else(|| napi::Error::new(napi::Status::InvalidArg, "the user is no JSON"))?;
        let mut bytes = [0; LockToken::BYTES];
        getrandom::fill(&mut bytes).map_err(|_| {
            napi::Error::new(napi::Status::GenericFailure, "the system has no entropy")
        })?;
        let keyring = Keyring::derived(secrets.iter().map(|secret| secret.as_ref()), "public id");
        Ok(Self {
            settings: Arc::clone(&policy.0),
            users: policy.0.user_query(user),
            public_ids: keyring.ok().map(Arc::new),
            own: OwnSession::default(),
            holder: LockToken::from_random(bytes),
            raise: Arc::default(),
        })
    }

    /// Notes which session asks.
    #[napi(catch_unwind)]
    pub fn ask_as(&mut self, session: &NativeSession) {
        self.own = session.own_session();
    }

    /// Returns the id whose lock is the user's. It is no session's.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn lock_id(&self) -> String {
        self.users.lock_id().as_str().to_owned()
    }

    /// Checks whether a public id is that of the session that asks.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn is_own(&self, public_id: String) -> bool {
        self.own.id.as_ref().is_some_and(|id| self.is_named(id, &public_id))
    }

    /// Checks that the user's lock is still held, whose lease ends at `until`.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn is_held(&self, until: f64, lease: f64, now: f64) -> bool {
        is_lease_held(time(until), option::time(lease), time(now))
    }
}

impl UserSessions {
    fn public_id(&self, id: &SessionId) -> String {
        let sign = |keyring: &Arc<Keyring>| keyring.public_id(id);
        self.public_ids.as_ref().map(sign).unwrap_or_default()
    }

    fn is_named(&self, id: &SessionId, public_id: &str) -> bool {
        self.public_ids.as_ref().is_some_and(|keyring| keyring.is_public_id(id, public_id))
    }

    pub(crate) fn users(&self) -> &UserQuery {
        &self.users
    }

    /// Returns the user's present epoch, without a call where there are none.
    pub(super) async fn epoch(
        &self,
        backend: &dyn Backend,
        now: Timestamp,
    ) -> Result<Epoch, Error> {
        if !self.settings.policy.user_epoch {
            return Ok(Epoch::FIRST);
        }
        let found = backend.load(&self.users.epoch_id(), now).await;
        self.settings.context(&self.settings.policy).epoch_of_user(found)
    }

    /// Raises the user's epoch. Returns the epoch that the session which asks gets first, if it goes on; then it is called
    /// again.
    pub(super) async fn raise(
        &self,
        backend: &dyn Backend,
        spares_own: bool,
        now: Timestamp,
    ) -> Result<Option<Epoch>, session::Error> {
        let context = self.settings.context(&self.settings.policy);
        let kept = self.raise.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut raise, mut call): (_, StoreCall) = match kept {
            Some(mut raise) => {
                let call = raise.kept(&context)?;
                (raise, call)
            }
            None => {
                let own = self.own.epoch(&self.users).filter(|_| spares_own);
                let mut raise = RaiseMachine::new(self.users.clone(), own, None, now);
                let call = raise.start();
                (raise, call)
            }
        };
        loop {
            let answer = backend.answer(call, now).await;
            match raise.resume(&context, answer)? {
                Raising::Call(due) => call = due,
                Raising::Done(_) => return Ok(None),
                Raising::Keep(epoch) => {
                    *self.raise.lock().unwrap_or_else(PoisonError::into_inner) = Some(raise);
                    return Ok(Some(epoch));
                }
            }
        }
    }

    /// Returns the sessions that are live in this epoch, or in any, the one with the latest visit first.
    async fn list(
        &self,
        backend: &dyn Backend,
        users: &UserQuery,
        epoch: Option<Epoch>,
        now: Timestamp,
    ) -> Result<Vec<Listed>, Error> {
        let (mut listing, mut after) = (Listing::default(), None);
        loop {
            let page = backend.sessions_of(users, after, PAGE, now).await?;
            let context = self.settings.context(&self.settings.policy);
            listing.add(&context.in_epoch(epoch), page.sessions, now);
            after = page.next;
            if after.is_none() {
                return Ok(listing.finish());
            }
        }
    }

    /// Returns the same as JSON, with a public id for each.
    pub(super) async fn listed(
        &self,
        backend: &dyn Backend,
        now: Timestamp,
    ) -> Result<String, Error> {
        let epoch = self.epoch(backend, now).await?;
        let listed = self.list(backend, &self.users, Some(epoch), now).await?;
        let client =
            |client: Option<&Client>| client.map_or_else(|| "null".to_owned(), Client::text);
        let number = |time: Option<Timestamp>| match time {
            Some(time) => time.millis().to_string(),
            None => "null".to_owned(),
        };
        let entries: Vec<_> = listed
            .iter()
            .map(|listed| {
                let metadata = listed.metadata.as_ref();
                format!(
                    r#"{{"publicId":"{}","created":{},"seen":{},"authenticated":{},"firstClient":{},"lastClient":{},"isCurrent":{}}}"#,
                    self.public_id(&listed.id),
                    number(metadata.map(|metadata| metadata.created())),
                    number(listed.last_visit),
                    number(metadata.and_then(|metadata| metadata.authenticated())),
                    client(metadata.and_then(|metadata| metadata.first_client())),
                    client(metadata.and_then(|metadata| metadata.last_client())),
                    self.own.is(listed)
                )
            })
            .collect();
        Ok(format!("[{}]", entries.join(",")))
    }

    /// Ends sessions, and returns how many.
    pub(super) async fn end(
        &self,
        backend: &dyn Backend,
        meant: &Meant,
        now: Timestamp,
    ) -> Result<u64, session::Error> {
        let mut ended = 0;
        let users = self.users.clone().complete();
        for _ in 0..self.settings.policy.most_listings() {
            let before = ended;
            for listed in self.list(backend, &users, None, now).await? {
                let is_meant = match meant {
                    Meant::All => true,
                    Meant::Others => !self.own.is(&listed),
                    Meant::Named(public_id) => self.is_named(&listed.id, public_id),
                };
                if is_meant {
                    let has_ended = self.revoke(backend, listed.id, Mark::Revoked, now).await?;
                    ended += u64::from(has_ended);
                }
            }
            if ended == before {
                break;
            }
        }
        Ok(ended)
    }

    /// Ends the sessions that are too many for a login, and returns the user's epoch. `None` where it is refused.
    pub(super) async fn admit(
        &self,
        backend: &dyn Backend,
        now: Timestamp,
    ) -> Result<Option<Epoch>, session::Error> {
        let epoch = self.epoch(backend, now).await?;
        let sessions = self.list(backend, &self.users, Some(epoch), now).await?;
        let Some(end) = self.settings.policy.admit_login(sessions, &self.own) else {
            return Ok(None);
        };
        for id in end {
            self.revoke(backend, id, Mark::Limit, now).await?;
        }
        Ok(Some(epoch))
    }

    async fn revoke(
        &self,
        backend: &dyn Backend,
        id: SessionId,
        mark: Mark,
        now: Timestamp,
    ) -> Result<bool, session::Error> {
        let context = self.settings.context(&self.settings.policy);
        let mut end = RevokeMachine::new(self.users.clone(), id, mark, now);
        let mut call = end.start();
        loop {
            let answer = backend.answer(call, now).await;
            match end.resume(&context, answer)? {
                Revocation::Call(due) => call = due,
                Revocation::Done(has_ended) => return Ok(has_ended),
            }
        }
    }

    /// Asks for the user's lock. Returns whether the store has given it.
    pub(super) async fn lock(
        &self,
        backend: &dyn Backend,
        lease: f64,
        now: f64,
    ) -> Result<bool, Error> {
        let (id, lease) = (self.users.lock_id(), option::time(lease));
        let outcome = backend.lock(&id, self.holder, lease, time(now)).await?;
        Ok(matches!(outcome, LockOutcome::Acquired(_)))
    }

    /// Releases the user's lock.
    pub(super) async fn unlock(&self, backend: &dyn Backend) -> Result<(), Error> {
        backend.unlock(&self.users.lock_id(), self.holder).await
    }
}

/// Returns an epoch for JavaScript, and -1 where there is none.
pub(super) fn number_of(epoch: Option<Epoch>) -> f64 {
    epoch.map_or(-1.0, |epoch| epoch.number() as f64)
}

impl fmt::Debug for UserSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserSessions").field(&self.users).finish()
    }
}
