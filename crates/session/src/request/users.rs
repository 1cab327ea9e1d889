//! The sessions of one user: their listing, their end, and the login within [`MaxSessions`].
//!
//! 1. The record alone says whose session it is. A list may use an index of the store; the end of sessions asks for a
//!    complete one.
//! 2. A session is ended by a compare-and-swap that leaves a mark in place of its data: a write under way conflicts with it,
//!    and writes nothing more. A layer without metadata destroys the record.
//! 3. With epochs ([`SessionLayer::user_epoch`]), the end of all sessions raises the user's before it looks for them. A login
//!    reads it before it stores the session.
//! 4. With a limit, the logins of a user, and the calls that end the sessions, come one after the other, under the lock of
//!    the user. A login stores its session before it gives the lock back.
//!
//! [`SessionLayer::user_epoch`]: crate::SessionLayer::user_epoch
//! [`MaxSessions`]: express_session_core::policy::MaxSessions

use std::pin::pin;
use std::sync::Arc;

use express_session_core::metadata::{Epoch, Mark, UserQuery};
use express_session_core::record::Json;
use express_session_core::session::{
    self, ATTEMPTS, Answer, Ending, EpochMachine, EpochStep, Listed, Listing, OwnSession,
    RaiseMachine, Raising, Revocation, RevokeMachine, SaveMachine, SessionState, Settled,
    StoreCall, is_lease_held,
};
use express_session_core::store::{LockToken, Store as _};
use express_session_core::{SessionId, Timestamp, decide};
use tracing::Level;

use super::{Error, ErrorKind, RequestSession};
use crate::layer::config::Config;
use crate::runtime::completion::run_to_completion;
use crate::runtime::keyed::KeyedGuard;
use crate::runtime::timeout::within;

/// How many sessions the store is asked for in one call.
const PAGE: usize = 1000;

const KEPT: &str = "the lock of a user's logins could not be given back: it ends with its lease";

/// Which sessions of a user end.
pub(crate) enum Meant {
    /// All. The caller ends the own one, if there is one.
    All { own: OwnSession },
    /// All but the own one, which goes on.
    Others { own: OwnSession },
    /// The one with this public id.
    Named(String),
}

/// The lock of a user.
struct UserLock {
    id: SessionId,
    token: LockToken,
    /// The end of the lease, by the layer's clock.
    until: Timestamp,
    /// The place in the queue of this process.
    _turn: Option<KeyedGuard<()>>,
}

impl RequestSession {
    /// Makes a caller of the store that has no session, for an administrator.
    pub(crate) fn of_user(config: Arc<Config>, users: &UserQuery) -> Arc<Self> {
        Arc::new(Self::of_id(config, users.lock_id()))
    }

    /// Returns the live sessions of a user, the one with the latest visit first.
    pub(crate) async fn sessions_of(&self, users: &UserQuery) -> Result<Vec<Listed>, Error> {
        let epoch = self.epoch_of(users).await?;
        self.list(users, Some(epoch)).await
    }

    /// Returns the sessions that are live in this epoch, or in any.
    async fn list(&self, users: &UserQuery, epoch: Option<Epoch>) -> Result<Vec<Listed>, Error> {
        let now = self.now();
        let (mut listing, mut after) = (Listing::default(), None);
        loop {
            let call = self.config.store.sessions_of(users, after, PAGE, now);
            let page = self.call_store(pin!(call)).await?;
            listing.add(&self.context().in_epoch(epoch), page.sessions, now);
            after = page.next;
            if after.is_none() {
                return Ok(listing.finish());
            }
        }
    }

    /// Returns the session that asks.
    pub(crate) fn own_session(&self) -> OwnSession {
        let metadata = self.read(|session| session.metadata().cloned()).flatten();
        OwnSession { id: self.id(), metadata }
    }

    /// Ends sessions of a user, also where this future is dropped. Returns how many.
    pub(crate) async fn end_sessions_of(
        self: &Arc<Self>,
        users: UserQuery,
        meant: Meant,
    ) -> Result<u64, Error> {
        let session = Arc::clone(self);
        run_to_completion(&self.config.tasks, async move {
            // In order with the logins, if they take the lock. Without it the sessions end all the same.
            let lock = match session.config.policy.max_sessions {
                Some(_) => session.lock_user(&users).await.ok(),
                None => None,
            };
            let ended = session.end_meant(&users, &meant).await;
            if let Some(lock) = lock {
                session.unlock_user(lock).await;
            }
            ended
        })
        .await
    }

    /// Ends the session of a user with this public id. Returns `false` where there is none.
    pub(crate) async fn end_by_public_id(
        self: &Arc<Self>,
        users: UserQuery,
        public_id: &str,
    ) -> Result<bool, Error> {
        Ok(self.end_sessions_of(users, Meant::Named(public_id.to_owned())).await? > 0)
    }

    async fn end_meant(self: &Arc<Self>, users: &UserQuery, meant: &Meant) -> Result<u64, Error> {
        match meant {
            Meant::All { .. } => self.raise_epoch(users, None).await?,
            Meant::Others { own } => self.raise_epoch(users, own.epoch(users)).await?,
            Meant::Named(_) => {}
        }
        let is_meant = |listed: &Listed| match meant {
            Meant::All { own } | Meant::Others { own } => !own.is(listed),
            Meant::Named(public_id) => self.config.is_public_id(&listed.id, public_id),
        };
        self.end_listed(users, is_meant).await
    }

    async fn end_listed(
        &self,
        users: &UserQuery,
        is_meant: impl Fn(&Listed) -> bool,
    ) -> Result<u64, Error> {
        let mut ended = 0;
        let users = &users.clone().complete();
        for _ in 0..self.config.policy.most_listings() {
            let before = ended;
            for listed in self.list(users, None).await? {
                if is_meant(&listed) {
                    ended += u64::from(self.end_session(users, &listed.id, Mark::Revoked).await?);
                }
            }
            if ended == before {
                break;
            }
        }
        Ok(ended)
    }

    /// Ends one session of a user. Returns `false` where it is gone, or another user's by now.
    async fn end_session(
        &self,
        users: &UserQuery,
        id: &SessionId,
        mark: Mark,
    ) -> Result<bool, Error> {
        let now = self.now();
        let mut end = RevokeMachine::new(users.clone(), id.clone(), mark, now);
        let mut call = end.start();
        loop {
            let answer = self.answer(decide::Step::Load, call, now).await?;
            match end.resume(&self.context(), answer)? {
                Revocation::Call(due) => call = due,
                Revocation::Done(has_ended) => return Ok(has_ended),
            }
        }
    }

    async fn answer(
        &self,
        step: decide::Step,
        call: StoreCall,
        now: Timestamp,
    ) -> Result<Answer, Error> {
        let answer = async { Ok::<_, Error>(call.make(&self.config.store, now).await) };
        self.call_store_for(step, pin!(answer)).await
    }

    /// Returns the present epoch of a user: without a call where the layer has none.
    pub(crate) async fn epoch_of(&self, users: &UserQuery) -> Result<Epoch, Error> {
        if !self.config.policy.user_epoch {
            return Ok(Epoch::FIRST);
        }
        let (id, now) = (users.epoch_id(), self.now());
        let answer = self.answer(decide::Step::Load, StoreCall::Load { id }, now).await?;
        let Answer::Loaded(found) = answer else { return Err(session::Error::OutOfOrder.into()) };
        Ok(self.context().epoch_of_user(found)?)
    }

    /// Reads the epoch of the user of a session that was loaded.
    pub(super) async fn settle(
        &self,
        step: decide::Step,
        mut check: EpochMachine,
        now: Timestamp,
    ) -> Result<Settled, Error> {
        let mut call = check.start();
        loop {
            let answer = self.answer(step, call, now).await?;
            match check.resume(&self.context(), answer)? {
                EpochStep::Call(due) => call = due,
                EpochStep::Done(settled) => return Ok(settled),
            }
        }
    }

    /// Raises the epoch of a user, where the layer has epochs. The own session goes on, if it is given.
    async fn raise_epoch(
        self: &Arc<Self>,
        users: &UserQuery,
        own: Option<(SessionId, Epoch)>,
    ) -> Result<(), Error> {
        if !self.config.policy.user_epoch {
            return Ok(());
        }
        let now = self.now();
        let mut raise = RaiseMachine::new(users.clone(), own, self.config.max_age(), now);
        let mut call = raise.start();
        loop {
            let answer = self.answer(decide::Step::Load, call, now).await?;
            call = match raise.resume(&self.context(), answer)? {
                Raising::Call(due) => due,
                Raising::Keep(epoch) => {
                    self.keep_own(users, epoch, now).await?;
                    raise.kept(&self.context())?
                }
                Raising::Done(_) => return Ok(()),
            };
        }
    }

    /// Notes an epoch in the own session, and stores that without the changes of the handler.
    async fn keep_own(
        self: &Arc<Self>,
        users: &UserQuery,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<(), Error> {
        let _operation = self.lock_operation().await;
        let is_stored = self.state().session.raise_epoch(users, epoch, now)?;
        // Otherwise the own session would end with the others.
        if is_stored && !self.note_visit(decide::Step::Write, ATTEMPTS, now).await? {
            return Err(session::Error::Conflict.into());
        }
        let has_ended = self.state().session.is_ended_elsewhere();
        if has_ended { Err(Error::new(ErrorKind::Ended)) } else { Ok(()) }
    }

    async fn destroy_session(&self, id: &SessionId) -> Result<(), Error> {
        self.call_store(pin!(self.config.store.destroy(id))).await
    }

    /// Logs a user in within the limit of sessions, also where this future is dropped. `login` notes the user, with this
    /// epoch or else the user's.
    pub(crate) async fn log_in_limited(
        self: &Arc<Self>,
        user: Json,
        keep: Vec<String>,
        epoch: Option<Epoch>,
        login: impl FnOnce(&mut SessionState, Epoch, Timestamp) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let operation = self.lock_operation().await;
        operation.state().session.begin_login(&operation.config.policy)?;
        let users = self.config.user_query(user);
        run_to_completion(&self.config.tasks, async move {
            let lock = operation.lock_user(&users).await?;
            let done = operation.log_in_under(&lock, &users, &keep, epoch, login).await;
            operation.unlock_user(lock).await;
            done
        })
        .await
    }

    async fn log_in_under(
        &self,
        lock: &UserLock,
        users: &UserQuery,
        keep: &[String],
        epoch: Option<Epoch>,
        login: impl FnOnce(&mut SessionState, Epoch, Timestamp) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let ending = self.state().session.begin_login(&self.config.policy)?;
        let own = match ending {
            Ending::Destroy(id) => Some(id),
            Ending::Nothing => None,
        };
        let present = self.epoch_of(users).await?;
        let sessions = self.list(users, Some(present)).await?;
        let admitted = self.config.policy.admit_login(sessions, &self.own_session());
        let end = admitted.ok_or_else(|| Error::new(ErrorKind::TooManySessions))?;
        let now = self.now();
        let (id, cookie) = self.generate(now)?;
        for other in end {
            self.end_session(users, &other, Mark::Limit).await?;
        }
        if let Some(own) = own {
            let end = self.end_record(own, self.known(), now);
            self.call_store(pin!(end)).await?;
        }
        self.state().session.finish_regenerate_keeping(id, cookie, keep)?;
        let begun = login(&mut self.state().session, epoch.unwrap_or(present), now);
        let stored = match begun {
            Ok(()) => {
                let save = self.drive(SaveMachine::new(now), now, true);
                self.call_store(pin!(save)).await
            }
            Err(error) => Err(error),
        };
        let stored = stored.and_then(|()| self.check_lease(lock));
        if stored.is_err() {
            self.forget_login(keep, now).await;
        }
        stored
    }

    /// Checks that the lock was held until now: otherwise another login may have counted without this one.
    fn check_lease(&self, lock: &UserLock) -> Result<(), Error> {
        let is_held = is_lease_held(lock.until, self.config.lock_lease, self.now());
        if is_held { Ok(()) } else { Err(Error::new(ErrorKind::Locked)) }
    }

    /// Goes on without the user: a login that has failed must not be stored at the end of the request.
    async fn forget_login(&self, keep: &[String], now: Timestamp) {
        let failed = self.id();
        let forgotten = self.generate(now).and_then(|(id, cookie)| {
            Ok(self.state().session.finish_regenerate_keeping(id, cookie, keep)?)
        });
        if forgotten.is_err() {
            // A session that is over stores nothing more, and may be over already.
            let _ = self.state().session.begin_destroy(&self.config.policy);
        }
        if let Some(failed) = failed
            && let Err(error) = self.destroy_session(&failed).await
        {
            // Its id has not left: a record that stays is of no use, and is listed until it expires.
            self.log_failure(&error);
        }
    }

    async fn lock_user(&self, users: &UserQuery) -> Result<UserLock, Error> {
        let id = users.lock_id();
        let token = self.draw_lock_token();
        let acquire = async {
            let turn = within(self.config.lock_lease, self.config.lockers.turn(&id)).await;
            Ok::<_, Error>((self.poll_lock(&id, token).await?.1, turn))
        };
        let error = match within(self.config.lock_wait, acquire).await {
            Some(Ok((until, turn))) => return Ok(UserLock { id, token, until, _turn: turn }),
            Some(Err(error)) => error,
            None => Error::new(ErrorKind::Locked),
        };
        if error.is_temporary() {
            // The store may have given it all the same.
            self.give_back(&id, token).await;
        }
        Err(error)
    }

    async fn unlock_user(&self, lock: UserLock) {
        self.give_back(&lock.id, lock.token).await;
    }

    async fn give_back(&self, id: &SessionId, token: LockToken) {
        let unlocked = self.call_store(pin!(self.config.store.unlock(id, token))).await;
        if let Err(error) = unlocked {
            self.log(Level::WARN, KEPT, &error);
        }
    }
}
