//! Loading the session, when the handler asks for it or at the end of the request.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use express_session_core::metadata::Epoch;
use express_session_core::policy::{LoadTime, UnreadableRecord};
use express_session_core::session::{
    Arrival, Begun, Context, DestroyMachine, EpochMachine, Follow, Load, Resolution, SessionState,
    Settled, Unread,
};
use express_session_core::store::{self, Loaded, Store as _, Touch};
use express_session_core::{SessionId, Timestamp, decide};
use futures_util::FutureExt as _;
use tracing::Level;

use super::commit::UNAVAILABLE;
use super::{Error, ErrorKind, RequestSession};
use crate::layer::config::Config;
use crate::runtime::timeout::pause;

/// The text of the log where a visitor goes on without the record.
const UNREADABLE: &str = "a stored record cannot be read: the visitor gets a new session";

/// The state of a session whose record was loaded.
enum Opened {
    /// It has begun, or the record stays unread.
    Done,
    /// The record stays unread, and its expiry is to be reset.
    Touch(Touch),
    /// It has ended, and the record is to be ended too.
    Ended(Box<DestroyMachine>),
    /// The id was renewed.
    Moved(Follow),
    /// It is a user's, whose epoch decides.
    OfUser(Box<EpochMachine>),
}

impl RequestSession {
    /// Returns when the session is to be loaded.
    pub(crate) fn load_plan(&self) -> LoadTime {
        self.config.policy.when_to_load(self.presented.is_some(), self.is_refused)
    }

    /// Loads the session or makes a new one, unless that has been done.
    pub(crate) async fn load(self: &Arc<Self>) -> Result<(), Error> {
        match self.load_immediately() {
            Some(loaded) => loaded,
            // A box, so that the handler's own future stays small.
            None => Box::pin(self.load_later()).await,
        }
    }

    /// Loads without waiting: `None` where the store may have to be waited for, or another operation is under way.
    fn load_immediately(&self) -> Option<Result<(), Error>> {
        if !self.config.store.never_waits() {
            return None;
        }
        let _permit = self.operation.try_acquire().ok()?;
        // Pinned, since `now_or_never` would move it, and that is a copy.
        pin!(self.load_in_operation(decide::Step::Load, self.now())).now_or_never()
    }

    async fn load_later(self: &Arc<Self>) -> Result<(), Error> {
        let _operation = self.lock_operation().await;
        self.load_in_operation(decide::Step::Load, self.now()).await
    }

    pub(super) async fn load_in_operation(
        &self,
        step: decide::Step,
        now: Timestamp,
    ) -> Result<(), Error> {
        let load = self.state().session.begin_load(step);
        let found = match load {
            Load::Done => return Ok(()),
            // Only a record that was just loaded may end its session: in the store, later visits may have renewed it.
            Load::Open(found) if self.context().has_ended(&found, now).is_none() => Ok(Some(found)),
            Load::Fetch if self.is_refused => Err(Error::new(ErrorKind::AmbiguousCookie)),
            Load::Open(_) | Load::Fetch => self.call_store_for(step, pin!(self.fetch(now))).await,
        };
        let policy = &self.config.policy;
        let mut opened = match found {
            Ok(found) => self.open(step, self.presented.clone().zip(found), now),
            Err(error) => Err(error),
        };
        if let Ok(Opened::Moved(follow)) = opened {
            // A box, so that the future of every load stays small.
            opened = Box::pin(self.open_moved(step, follow, now)).await;
        }
        if let Ok(Opened::OfUser(check)) = opened {
            // A box: most layers have no epochs.
            opened = Box::pin(self.open_of_user(step, *check, now)).await;
        }
        let error = match opened {
            Ok(Opened::Done) => return Ok(()),
            Ok(Opened::Touch(touch)) => return self.touch_unread(step, &touch, now).await,
            // A box, so that the future of every load stays small.
            Ok(Opened::Ended(end)) => return Box::pin(self.begin_after(step, *end, now)).await,
            // A record that forwards leads to a session, or nowhere, and an epoch is read once.
            Ok(Opened::Moved(_) | Opened::OfUser(_)) => return self.begin_new(now),
            Err(error) => error,
        };
        if error.is_about_the_record() {
            // A box, so that the future of every load stays small.
            return Box::pin(self.without_the_record(step, error, now)).await;
        }
        let failure = policy.on_failure(step, error.fault());
        if failure != decide::OnFailure::ContinueWithoutSession {
            self.state().session.load_failed();
            return Err(error);
        }
        self.log(Level::ERROR, UNAVAILABLE, &error);
        let (id, cookie) = self.generate(now)?;
        self.state().session.begin_degraded(&self.context(), id, cookie);
        Ok(())
    }

    /// Begins with what the store has found.
    #[inline]
    fn open(
        &self,
        step: decide::Step,
        found: Option<(SessionId, Loaded)>,
        now: Timestamp,
    ) -> Result<Opened, Error> {
        let (id, mut found) = found.unzip();
        let mut state = self.state();
        match state.session.keep_unread(&self.context(), step, &mut found, now) {
            Unread::Open => {}
            Unread::Keep => return Ok(Opened::Done),
            Unread::Touch(touch) => return Ok(Opened::Touch(touch)),
        }
        match (found, id) {
            (Some(found), Some(id)) => begin(&mut state.session, &self.context(), id, found, now),
            _ => {
                drop(state);
                self.begin_new(now)?;
                Ok(Opened::Done)
            }
        }
    }

    /// Begins with the session of a user, whose epoch decides.
    async fn open_of_user(
        &self,
        step: decide::Step,
        check: EpochMachine,
        now: Timestamp,
    ) -> Result<Opened, Error> {
        let Settled { id, loaded, epoch } = self.settle(step, check, now).await?;
        let Some(loaded) = loaded else {
            self.begin_new(now)?;
            return Ok(Opened::Done);
        };
        let context = self.context().in_epoch(Some(epoch));
        begin(&mut self.state().session, &context, id, loaded, now)
    }

    /// Reads the epoch of the user of a session that was loaded, if the layer has epochs. `None` where the session has gone
    /// meanwhile.
    pub(super) async fn settled(
        &self,
        id: SessionId,
        loaded: Loaded,
        now: Timestamp,
    ) -> Result<Option<(SessionId, Loaded, Option<Epoch>)>, Error> {
        let Some(check) = EpochMachine::of(&self.context(), &id, &loaded, now) else {
            return Ok(Some((id, loaded, None)));
        };
        // A box: most layers have no epochs.
        let settled = Box::pin(self.settle(decide::Step::Load, check, now)).await?;
        Ok(settled.loaded.map(|loaded| (settled.id, loaded, Some(settled.epoch))))
    }

    /// Ends the record of a session that has ended, so that no request under way writes it again, and begins a new session.
    /// Where the store fails, the next request that loads the record ends it.
    async fn begin_after(
        &self,
        step: decide::Step,
        end: DestroyMachine,
        now: Timestamp,
    ) -> Result<(), Error> {
        if let Err(error) = self.call_store_for(step, pin!(self.drive_end(end, now))).await {
            self.log_failure(&error);
        }
        self.begin_new(now)
    }

    /// Begins with the session to which the presented id forwards, or with a new one.
    async fn open_moved(
        &self,
        step: decide::Step,
        follow: Follow,
        now: Timestamp,
    ) -> Result<Opened, Error> {
        let found = self.follow(step, follow, now).await?;
        self.open(step, found, now)
    }

    /// Loads the session to which a record forwards, with its id. `None` where there is none any more.
    async fn follow(
        &self,
        step: decide::Step,
        mut follow: Follow,
        now: Timestamp,
    ) -> Result<Option<(SessionId, Loaded)>, Error> {
        while let Some(id) = follow.target().cloned() {
            let load = self.config.store.load(&id, now);
            let found = self.call_store_for(step, pin!(load)).await?;
            match follow.arrive(&self.context(), found, now) {
                Some(Arrival::Session(id, loaded)) => return Ok(Some((id, loaded))),
                Some(Arrival::Further(further)) => follow = further,
                None => break,
            }
        }
        Ok(None)
    }

    /// Loads a record, or the session to which it forwards, with its id.
    pub(super) async fn load_following(
        &self,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<(SessionId, Loaded)>, Error> {
        let found = self.call_store(pin!(self.config.store.load(&id, now))).await?;
        let Some(loaded) = found else { return Ok(None) };
        match Follow::of(&self.context(), &loaded, now) {
            None => Ok(Some((id, loaded))),
            Some(follow) => Box::pin(self.follow(decide::Step::Load, follow, now)).await,
        }
    }

    /// Goes on with the session to which the record of the session's id forwards, with what this request has changed on
    /// top. Returns `false` where there is none any more.
    pub(super) async fn adopt(
        &self,
        step: decide::Step,
        follow: Follow,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let Some((id, loaded)) = self.follow(step, follow, now).await? else { return Ok(false) };
        let resolution = Resolution::of(&mut self.state().session, &self.context(), &loaded, now)?;
        self.resolve(&resolution.under(id))?;
        Ok(true)
    }

    /// Resets the expiry of a record that stays unread.
    async fn touch_unread(
        &self,
        step: decide::Step,
        touch: &Touch,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(id) = &self.presented else { return Ok(()) };
        let touched =
            self.call_store_for(step, pin!(self.config.store.touch(id, touch, now))).await?;
        self.state().session.touched_unread(touched);
        Ok(())
    }

    /// Continues where the record cannot be read.
    async fn without_the_record(
        &self,
        step: decide::Step,
        error: Error,
        now: Timestamp,
    ) -> Result<(), Error> {
        let ended = match (self.config.policy.on_unreadable(step), &self.presented) {
            (UnreadableRecord::Fail, _) => Err(error),
            (UnreadableRecord::Destroy, Some(id)) => {
                self.log(Level::ERROR, UNREADABLE, &error);
                self.call_store_for(step, pin!(self.config.store.destroy(id))).await
            }
            (UnreadableRecord::StartNew | UnreadableRecord::Destroy, _) => {
                self.log(Level::ERROR, UNREADABLE, &error);
                Ok(())
            }
        };
        if ended.is_err() {
            self.state().session.load_failed();
            return ended;
        }
        self.begin_new(now)
    }

    /// Loads the session of an id, outside of a request; `None` where the store has none.
    pub(crate) async fn load_by_id(
        config: Arc<Config>,
        id: SessionId,
    ) -> Result<Option<Arc<Self>>, Error> {
        let session = Arc::new(Self::of_id(config, id.clone()));
        let now = session.now();
        let Some((id, found)) = session.load_following(id, now).await? else { return Ok(None) };
        let settled = session.settled(id, found, now).await?;
        let Some((id, found, epoch)) = settled else { return Ok(None) };
        let context = session.context().in_epoch(epoch);
        let opened = begin(&mut session.state().session, &context, id, found, now)?;
        match opened {
            Opened::Done => Ok(Some(session)),
            Opened::Ended(end) => {
                session.call_store(pin!(session.drive_end(*end, now))).await?;
                Ok(None)
            }
            // Both were looked at before.
            Opened::Moved(_) | Opened::OfUser(_) | Opened::Touch(_) => Ok(None),
        }
    }

    /// Waits until the store has no record of the session any more, and asks at each interval.
    pub(crate) async fn ended(self: &Arc<Self>, every: Duration) -> Result<(), Error> {
        loop {
            let id = self.read(|session| session.id().clone());
            let Some(id) = id else { return Ok(()) };
            let now = self.now();
            let found = match self.call_store(pin!(self.config.store.load(&id, now))).await {
                Ok(Some(loaded)) => self.settled(id.clone(), loaded, now).await,
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            match found {
                Ok(None) => return Ok(()),
                Ok(Some((_, loaded, epoch)))
                    if self.context().in_epoch(epoch).has_ended(&loaded, now).is_some() =>
                {
                    return Ok(());
                }
                Ok(Some((_, loaded, _))) => {
                    // A box: ids are seldom renewed.
                    if !Box::pin(self.goes_on(&id, &loaded, now)).await? {
                        return Ok(());
                    }
                }
                Err(error) if !error.is_temporary() => return Err(error),
                Err(_) => {}
            }
            if !pause(every).await {
                return Err(Error::new(ErrorKind::Store(store::ErrorKind::Unsupported)));
            }
        }
    }

    /// Checks whether a session goes on whose record was found, and takes its new id if that was renewed. A store that
    /// fails is asked again later.
    async fn goes_on(
        self: &Arc<Self>,
        id: &SessionId,
        loaded: &Loaded,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let Some(follow) = Follow::of(&self.context(), loaded, now) else {
            self.state().session.found(id, now);
            return Ok(true);
        };
        let _operation = self.lock_operation().await;
        if self.id().as_ref() != Some(id) {
            return Ok(true);
        }
        match self.adopt(decide::Step::Load, follow, now).await {
            Err(error) if !error.is_temporary() => Err(error),
            Err(_) => Ok(true),
            Ok(goes_on) => Ok(goes_on),
        }
    }

    /// Begins without asking the store, so that the session can be ended. Returns whether there is anything to end.
    pub(super) async fn begin_unread(self: &Arc<Self>) -> Result<bool, Error> {
        let _operation = self.lock_operation().await;
        let load = self.state().session.begin_load(decide::Step::Destroy);
        match load {
            Load::Done => return Ok(true),
            Load::Fetch if self.is_refused => return Err(Error::new(ErrorKind::AmbiguousCookie)),
            Load::Fetch | Load::Open(_) if self.presented.is_none() => return Ok(false),
            Load::Fetch | Load::Open(_) => {}
        }
        let (id, cookie) = self.generate(self.now())?;
        self.state().session.begin_degraded(&self.context(), id, cookie);
        Ok(true)
    }

    /// Calls the store for the record that the request's cookie names, if there is one.
    async fn fetch(&self, now: Timestamp) -> Result<Option<Loaded>, store::Error> {
        match &self.presented {
            Some(id) => self.config.store.load(id, now).await,
            None => Ok(None),
        }
    }

    fn begin_new(&self, now: Timestamp) -> Result<(), Error> {
        let (id, cookie) = self.generate(now)?;
        self.state().session.begin_new(id, cookie);
        Ok(())
    }
}

/// Begins with a record that was loaded.
#[inline]
fn begin(
    session: &mut SessionState,
    context: &Context<'_>,
    id: SessionId,
    found: Loaded,
    now: Timestamp,
) -> Result<Opened, Error> {
    Ok(match session.begin_loaded(context, id.clone(), &found, now)? {
        Begun::Live => Opened::Done,
        Begun::Ended(ended) => {
            Opened::Ended(Box::new(DestroyMachine::of_ended(ended, id, found.revision, now)))
        }
        Begun::Moved(follow) => Opened::Moved(follow),
        Begun::OfUser(check) => Opened::OfUser(check),
    })
}
