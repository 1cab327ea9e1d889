//! A law that no broken store breaks is no law: each flaw here is caught by the law it is named with. The model
//! finds flaws too, and shows them with few operations.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "all of this is a test, and each place is about one flaw or two"
)]

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use express_session_core::metadata::UserQuery;
use express_session_core::store::{
    Admin, Created, Cursor, Error, ErrorKind, Fenced, FencingToken, Lifetime, Loaded, LockOutcome,
    LockToken, Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};
use express_session_testkit::{MapStore, Subject, WithoutLocks, block_on, laws};

use Flaw::*;

struct Flawed {
    flaw: Flaw,
    inner: MapStore,
    /// The sessions of users, as they were created: an index that updates do not keep.
    known: Mutex<HashSet<SessionId>>,
    /// A first record that is on its way.
    late: Mutex<Option<(SessionId, Record)>>,
}

impl Flawed {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn id(&self, id: &SessionId) -> SessionId {
        let text = match self.flaw {
            IgnoresCase => id.as_str().to_lowercase(),
            IgnoresSpace => format!("{}.", id.as_str().trim_end_matches(' ')),
            EndsAtZero => match id.as_str().split_once('\0') {
                Some((text, _)) if !text.is_empty() => text.to_owned(),
                _ => return id.clone(),
            },
            _ => return id.clone(),
        };
        SessionId::new(text).unwrap()
    }

    fn record(&self, record: &Record, now: Timestamp) -> Record {
        let mut record = record.clone();
        match self.flaw {
            Reformats => record.text = record.text.replace("1.0", "1").into(),
            CutsOff if record.text.len() > 65_535 => record.text = record.text[..60_000].into(),
            EndsWithoutDeadline => record.deadline = record.deadline.or(Some(now)),
            _ => {}
        }
        record
    }

    /// Returns whether another token holds the lock, or `holder` does.
    async fn is_locked_by(
        &self,
        id: &SessionId,
        holder: Option<LockToken>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        // A try that leaves no trace: the lease ends immediately.
        let locked =
            self.inner.lock(id, LockToken::from_random([99; 16]), Duration::ZERO, now).await?;
        let Some(holder) = holder else { return Ok(locked == LockOutcome::Held) };
        if matches!(locked, LockOutcome::Acquired(_)) {
            return Ok(false);
        }
        let held = self.inner.update_locked(id, &nothing(), &Revision::new(0), holder, now).await?;
        Ok(held != Fenced::Lost)
    }

    /// A time at which what has expired is still there.
    fn time(&self, now: Timestamp, flaw: Flaw) -> Timestamp {
        if self.is(flaw) { Timestamp::from_millis(now.millis() - 3_500_000) } else { now }
    }
}

fn nothing() -> Record {
    Record { text: "".into(), deadline: None }
}

/// A lease that the laws do not wait for.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn turn() {
    let mut turns = 0;
    std::future::poll_fn(|context| {
        turns += 1;
        context.waker().wake_by_ref();
        if turns > 1 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

impl Store for Flawed {
    async fn load(&self, id: &SessionId, now: Timestamp) -> Result<Option<Loaded>, Error> {
        let mut loaded = self.inner.load(&self.id(id), self.time(now, ReturnsExpired)).await?;
        if let Some(loaded) = loaded.as_mut().filter(|_| self.is(RevisionBeginsAgain)) {
            loaded.revision = Revision::new(1);
        }
        Ok(loaded)
    }

    async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        now: Timestamp,
    ) -> Result<Created, Error> {
        assert!(!self.is(Panics) || record.text.len() < 1000, "too long");
        let (id, record) = (self.id(id), self.record(record, now));
        if record.text.contains("\"user\"") {
            self.known.lock().unwrap().insert(id.clone());
        }
        if self.is(CreateOverwrites) {
            self.inner.destroy(&id).await?;
        }
        if self.is(CreateIsTwoSteps) {
            if self.inner.load(&id, now).await?.is_some() {
                return Ok(Created::Taken);
            }
            turn().await;
            self.inner.destroy(&id).await?;
        }
        if self.is(CarriesOutLate) {
            *self.late.lock().unwrap() = Some((id.clone(), record.clone()));
            turn().await;
            self.late.lock().unwrap().take();
        }
        let created = self.inner.create(&id, &record, self.time(now, CreateSeesExpired)).await?;
        match created {
            Created::Done(_) if self.is(RevisionBeginsAgain) => Ok(Created::Done(Revision::new(1))),
            Created::Done(_) | Created::Taken => Ok(created),
        }
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let (id, mut record) = (self.id(id), self.record(record, now));
        let mut expected = expected.clone();
        let current = self.inner.load(&id, now).await?;
        if self.is(LockHinders) && self.is_locked_by(&id, None, now).await? {
            return Ok(Updated::Gone);
        }
        if current.is_none() && self.is(UpdateRevives) {
            return self.inner.create(&id, &record, now).await.map(|_| Updated::Done(expected));
        }
        if let Some(current) = current {
            if self.is(UpdateOverwrites) || self.is(RevisionBeginsAgain) {
                expected = current.revision.clone();
            }
            if self.is(UpdateIsTwoSteps) && expected == current.revision {
                turn().await;
                if let Some(newer) = self.inner.load(&id, now).await? {
                    expected = newer.revision;
                }
            }
            if self.is(TearsWhenAbandoned) && expected == current.revision {
                self.inner.destroy(&id).await?;
                turn().await;
                let Created::Done(revision) = self.inner.create(&id, &record, now).await? else {
                    return Ok(Updated::Gone);
                };
                return Ok(Updated::Done(revision));
            }
            if self.is(ConflictWrites) && expected != current.revision {
                self.inner.update(&id, &record, &current.revision, now).await?;
                return Ok(Updated::Conflict(current));
            }
            if self.is(UpdateKeepsDeadline) {
                record.deadline = current.record.deadline;
            }
        }
        let updated = self.inner.update(&id, &record, &expected, now).await?;
        match updated {
            Updated::Done(_) if self.is(UpdateGivesOldRevision) => Ok(Updated::Done(expected)),
            Updated::Done(_) | Updated::Conflict(_) | Updated::Gone => Ok(updated),
        }
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let id = self.id(id);
        if self.is(TouchDoesNothing) {
            return Ok(Touched::Done);
        }
        if self.is(TouchIsWriting)
            && let Some(Loaded { mut record, revision }) = self.inner.load(&id, now).await?
        {
            record.deadline = touch.deadline;
            self.inner.update(&id, &record, &revision, now).await?;
            return Ok(Touched::Done);
        }
        if self.is(TouchIsTwoSteps)
            && let Some(Loaded { record, .. }) = self.inner.load(&id, now).await?
        {
            turn().await;
            self.inner.destroy(&id).await?;
            self.inner.create(&id, &record, now).await?;
            return Ok(Touched::Done);
        }
        if self.is(TouchTrustsTheClock) && self.inner.load(&id, now).await?.is_some() {
            return self.inner.touch(&id, touch, std::time::SystemTime::now().into()).await;
        }
        self.inner.touch(&id, touch, self.time(now, TouchRevives)).await
    }

    async fn time(&self, now: Timestamp) -> Result<Timestamp, Error> {
        if self.is(TellsTheCallersTime) { Ok(now) } else { Store::time(&self.inner, now).await }
    }

    fn lifetime(&self) -> Lifetime {
        if self.is(SaysAnotherLifetime) {
            return Lifetime::MaxAgeOr(Duration::from_secs(60));
        }
        self.inner.lifetime()
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        let id = self.id(id);
        if self.is(DestroyOfNothingFails) && self.inner.load(&id, Timestamp::MIN).await?.is_none() {
            return Err(Error::new(ErrorKind::Other, "no such session"));
        }
        if self.is(DestroyUnlocks) {
            for byte in 0..=u8::MAX {
                self.inner.unlock(&id, LockToken::from_random([byte; 16])).await?;
            }
        }
        self.inner.destroy(&id).await?;
        let late = self.late.lock().unwrap().take();
        if let Some((id, record)) = late {
            self.inner.create(&id, &record, Timestamp::MIN).await?;
        }
        Ok(())
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let id = self.id(id);
        let is_held = self.is_locked_by(&id, Some(holder), now).await?;
        let fence = FencingToken::new(1);
        let lease = match self.flaw {
            LockHasNoEnd => DAY,
            LockOnlyGetsLonger if is_held => lease.max(Duration::from_secs(3600)),
            LockEndsEarly => lease.saturating_sub(Duration::from_secs(60)),
            _ => lease,
        };
        match self.flaw {
            LocksForAll => return Ok(LockOutcome::Acquired(fence)),
            LockIsTakenFromItself if is_held => return Ok(LockOutcome::Held),
            LockKeepsItsLease if is_held => return Ok(LockOutcome::Acquired(fence)),
            LockNeedsARecord if self.inner.load(&id, now).await?.is_none() => {
                return Ok(LockOutcome::Held);
            }
            LockIsARecord => {
                let id = SessionId::new(format!("{}.lock", id.as_str())).unwrap();
                self.inner.create(&id, &nothing(), now).await?;
            }
            LockIsTwoSteps => {
                if self.is_locked_by(&id, None, now).await? && !is_held {
                    return Ok(LockOutcome::Held);
                }
                turn().await;
                let others = (0..64_u128).map(|number| (number + 1).to_be_bytes());
                for other in others.map(LockToken::from_random).filter(|other| *other != holder) {
                    self.inner.unlock(&id, other).await?;
                }
            }
            _ => {}
        }
        let locked = self.inner.lock(&id, holder, lease, now).await?;
        Ok(match locked {
            LockOutcome::Acquired(_) if self.is(FenceIsTheSame) => LockOutcome::Acquired(fence),
            LockOutcome::Acquired(_) if self.is(FenceIsTheTime) => {
                LockOutcome::Acquired(FencingToken::after(0, now))
            }
            locked => locked,
        })
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: &Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        if self.is(HasHalfALock) {
            return Err(Error::new(ErrorKind::Unsupported, "it has no fence"));
        }
        if self.is(FenceIsOpen) {
            return self.update(id, record, expected, now).await.map(Fenced::Held);
        }
        let id = self.id(id);
        let mut expected = expected.clone();
        let current = self.inner.load(&id, now).await?;
        if let Some(current) = current {
            if self.is(FenceIgnoresTheRevision) {
                expected = current.revision.clone();
            }
            if self.is(FenceTellsOfConflicts) && expected != current.revision {
                return Ok(Fenced::Held(Updated::Conflict(current)));
            }
        }
        let now = self.time(now, FenceIgnoresTheLease);
        let is_held = self.is_locked_by(&id, Some(holder), now).await?;
        if is_held && (self.is(FenceIsTwoSteps) || self.is(TearsWhenAbandoned)) {
            if self.is(FenceIsTwoSteps) {
                turn().await;
            }
            return self.update(&id, record, &expected, now).await.map(Fenced::Held);
        }
        self.inner.update_locked(&id, record, &expected, holder, now).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        let id = self.id(id);
        match self.flaw {
            UnlockDoesNothing => return Ok(()),
            UnlockAsksNobody => {
                for byte in 0..=u8::MAX {
                    self.inner.unlock(&id, LockToken::from_random([byte; 16])).await?;
                }
            }
            UnlockOfNothingFails => {
                let now = Timestamp::from_millis(1_700_000_060_000);
                if !self.is_locked_by(&id, Some(holder), now).await? {
                    return Err(Error::new(ErrorKind::Other, "no such lock"));
                }
            }
            _ => {}
        }
        self.inner.unlock(&id, holder).await
    }

    async fn sessions_of(
        &self,
        users: &UserQuery,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let is_listed = |text: &str| match self.flaw {
            FindsByText => text.contains(users.text()),
            FindsByCase => text.to_lowercase().contains(&users.text().to_lowercase()),
            _ => users.matches(text),
        };
        let mut page = self.list(after, limit, self.time(now, FindsExpired)).await?;
        page.sessions.retain(|(_, record)| is_listed(&record.text));
        page.next = page.next.filter(|_| !self.is(FindsOnePage));
        let known = self.known.lock().unwrap().clone();
        let by_index = self.is(FindsByAnIndex) || self.is(EndsByAnIndex) && users.is_complete();
        page.sessions.retain(|(id, _)| !by_index || known.contains(id));
        if self.is(FindsTwice) {
            page.sessions.extend(page.sessions.clone());
            page.sessions.truncate(limit);
        }
        Ok(page)
    }
}

impl Admin for Flawed {
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        if !self.is(ListsByOffset) {
            let mut page = self.inner.list(after, limit, self.time(now, CountsExpired)).await?;
            page.next = page.next.filter(|_| !self.is(ListsOnePage));
            return Ok(page);
        }
        let offset = after.map_or(0, |after| after.as_str().parse::<usize>().unwrap());
        let all = self.inner.list(None, usize::MAX, now).await?.sessions;
        let sessions: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
        let next = (sessions.len() == limit).then(|| Cursor::new((offset + limit).to_string()));
        Ok(Page { sessions, next })
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        self.inner.count(self.time(now, CountsExpired)).await
    }

    async fn clear(&self) -> Result<(), Error> {
        let now = Timestamp::from_millis(1_700_000_060_000);
        if self.is(ClearsNothing) {
            return Ok(());
        }
        let half = self.inner.list(None, 10, now).await?;
        self.inner.clear().await?;
        if self.is(ClearsHalf) {
            for (id, record) in half.sessions {
                self.inner.create(&id, &record, now).await?;
            }
        }
        Ok(())
    }

    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        if self.is(PurgesLive)
            && let Some((id, _)) = self.inner.list(None, 1, now).await?.sessions.first()
        {
            self.inner.destroy(id).await?;
        }
        let limit = if self.is(PurgesAll) { usize::MAX } else { limit };
        self.inner.purge(limit, now).await
    }
}

struct Case(Flaw, Mutex<MapStore>);

impl Subject for Case {
    type Store = Flawed;

    async fn store(&self) -> Flawed {
        let server = self.1.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let inner = if self.0 == ClearsAll { server } else { MapStore::default() };
        Flawed { flaw: self.0, inner, known: Mutex::default(), late: Mutex::default() }
    }

    async fn plant(&self, store: &Flawed, id: &SessionId, garbage: &[u8]) -> bool {
        let text = String::from_utf8_lossy(garbage).into();
        let record = Record { text, deadline: None };
        store.inner.create(id, &record, Timestamp::MIN).await.unwrap();
        true
    }
}

/// Whether a law holds for a store with this flaw.
macro_rules! holds {
    ($law:ident, $flaw:expr) => {
        catch_unwind(AssertUnwindSafe(|| {
            block_on(laws::$law(&Case($flaw, Mutex::default())));
        }))
        .is_ok()
    };
}

/// Makes a flaw of each line, and a test that the laws named with it catch it.
macro_rules! flaws {
    ($($(#[$doc:meta])* $flaw:ident$(: $($law:ident),+)?;)*) => {
        /// A defect of a store.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Flaw {
            $( $(#[$doc])* $flaw, )*
        }

        #[test]
        fn every_flaw_is_caught_by_its_law() {
            $($( $( assert!(!holds!($law, $flaw), "{:?} obeys {}", $flaw, stringify!($law)); )+ )?)*
        }
    };
}

flaws! {
    /// Formats numbers again, as a store does that parses and prints.
    Reformats: record_is_loaded_as_it_was_saved;
    /// Cuts off what is too long, as MySQL did without its strict mode.
    CutsOff: megabyte_is_loaded_as_it_was_saved_or_refused;
    ReturnsExpired: record_is_never_returned_after_its_deadline;
    EndsWithoutDeadline: record_without_a_deadline_is_kept;
    CreateOverwrites: create_refuses_an_id_that_is_in_use;
    CreateSeesExpired: create_takes_the_id_of_an_expired_record;
    CreateIsTwoSteps: one_of_many_concurrent_creates_is_done;
    /// Forgets to say which writing an update was.
    UpdateGivesOldRevision: update_replaces_the_record_that_was_loaded;
    UpdateOverwrites: update_after_another_is_a_conflict_and_changes_nothing;
    /// Counts the writings of a record, and begins again with each.
    RevisionBeginsAgain: update_of_an_earlier_life_of_the_id_is_a_conflict;
    /// Says that a record lives longer than it does.
    SaysAnotherLifetime: lifetime_is_that_of_a_record_without_a_deadline;
    UpdateIsTwoSteps: concurrent_updates_lose_nothing;
    UpdateKeepsDeadline: update_moves_the_deadline;
    TouchDoesNothing: touch_moves_the_deadline, destroyed_record_stays_gone;
    TouchIsWriting: touch_keeps_the_data_and_the_revision;
    UpdateRevives: destroyed_record_stays_gone, logout_is_final_while_others_write;
    /// Touches what has expired, and so brings it back.
    TouchRevives: expired_record_stays_gone;
    /// Gives a record the end that the caller's clock says.
    TouchTrustsTheClock: wrong_clock_ends_no_record, wrong_clock_purges_nothing;
    TellsTheCallersTime: clock_that_is_ahead_is_not_the_stores;
    DestroyOfNothingFails: destroy_of_nothing_is_success;
    /// Takes upper and lower case for the same, as a collation does.
    IgnoresCase: every_id_keeps_its_own_record, every_id_has_its_own_lock;
    /// Takes an id with a space at its end for the same, as a padded column does.
    IgnoresSpace: every_id_keeps_its_own_record, every_id_has_its_own_lock;
    /// Replaces a record by removing it first, which shows when the future is dropped in between.
    TearsWhenAbandoned: abandoned_call_happened_or_did_not, abandoned_call_about_a_lock_happened_or_did_not;
    /// Carries out an abandoned call after the next one, as servers do over a pool of connections.
    CarriesOutLate: abandoned_call_is_over_before_the_next;
    /// Reads what it should not, and says nothing of it.
    ReadsGarbage: corrupt_record_is_an_error_and_stays;
    /// Pages by counting, so that it skips when something before goes.
    ListsByOffset: listing_gives_each_session_once_while_others_write;
    /// Finds whatever has the user's name in it.
    FindsByText: sessions_of_a_user_are_those_whose_record_says_so;
    FindsByCase: sessions_of_a_user_are_those_whose_record_says_so;
    FindsExpired: sessions_of_a_user_are_those_whose_record_says_so;
    /// Notes the user of a record when it is created, and not when it is written again.
    FindsByAnIndex: sessions_of_a_user_follow_every_write;
    /// The same only of the sessions that are to be ended.
    EndsByAnIndex: sessions_of_a_user_follow_every_write;
    FindsOnePage: logins_at_the_same_time_are_all_listed;
    FindsTwice: session_of_a_user_is_listed_once_while_others_write;
    CountsExpired: listing_and_count_leave_out_what_has_expired;
    ClearsAll: clear_removes_everything_and_nothing_of_another_store;
    ClearsHalf: clear_removes_everything_and_nothing_of_another_store;
    PurgesAll: purge_removes_what_has_expired_and_nothing_else;
    /// Has a lock and no fence.
    HasHalfALock: store_has_every_call_about_locks_or_none;
    LocksForAll: lock_is_taken_while_another_holds_it;
    LockIsTakenFromItself: lock_is_taken_while_another_holds_it;
    LockKeepsItsLease: locking_again_resets_the_lease_of_the_holder;
    LockOnlyGetsLonger: locking_again_resets_the_lease_of_the_holder;
    LockHasNoEnd: lock_is_free_after_its_lease;
    /// Counts a lease in minutes, rounded down.
    LockEndsEarly: lock_is_free_after_its_lease;
    LockIsTwoSteps: one_of_many_concurrent_locks_is_done, concurrent_critical_sections_lose_nothing;
    LockNeedsARecord: lock_needs_no_record_and_outlives_it;
    /// Keeps the lock in a record of its own.
    LockIsARecord: locks_are_no_sessions;
    LockHinders: lock_does_not_affect_calls_without_it;
    DestroyUnlocks: lock_needs_no_record_and_outlives_it;
    UnlockDoesNothing: lock_is_free_once_its_holder_unlocks_it;
    UnlockAsksNobody: unlock_by_another_changes_nothing;
    UnlockOfNothingFails: unlock_by_another_changes_nothing;
    FenceIsTheSame: fencing_token_grows_with_every_holder;
    FenceIsTheTime: fencing_token_grows_with_every_holder;
    FenceIsOpen: locked_update_without_the_lock_is_lost;
    /// Looks who had the lock last, and not until when.
    FenceIgnoresTheLease: locked_update_after_the_lease_is_lost;
    /// Does not look at the revision, as there is a lock.
    FenceIgnoresTheRevision: locked_update_writes_as_an_update_does;
    /// Looks at the revision first.
    FenceTellsOfConflicts: locked_update_without_the_lock_is_lost;
    FenceIsTwoSteps: locked_update_is_one_step_with_its_lock;
    // Those that only the model is asked about.
    ConflictWrites;
    /// Leaves off what comes after a zero.
    EndsAtZero;
    PurgesLive;
    ClearsNothing;
    ListsOnePage;
    /// Panics where a record has a certain size.
    Panics;
    TouchIsTwoSteps;
}

struct NoLocks;

impl Subject for NoLocks {
    type Store = WithoutLocks<MapStore>;

    async fn store(&self) -> WithoutLocks<MapStore> {
        WithoutLocks(MapStore::default())
    }
}

#[test]
fn store_without_locks_says_so_to_each_call_about_them() {
    block_on(async {
        let store = WithoutLocks(MapStore::default());
        let id = SessionId::from_random([7; 24]);
        let (holder, now) = (LockToken::from_random([1; 16]), Timestamp::MIN);
        let revision = Revision::new(1);
        let kinds = [
            store.lock(&id, holder, DAY, now).await.unwrap_err(),
            store.update_locked(&id, &nothing(), &revision, holder, now).await.unwrap_err(),
            store.unlock(&id, holder).await.unwrap_err(),
        ]
        .map(|error| error.kind());
        assert_eq!(kinds, [ErrorKind::Unsupported; 3]);

        laws::store_has_every_call_about_locks_or_none(&NoLocks).await;
        laws::locks_are_no_sessions(&NoLocks).await;
    });
}

#[cfg(feature = "model")]
mod with_the_model {
    use express_session_testkit::model;

    use super::*;

    express_session_testkit::admin_model_laws!(MapStore::default());

    /// Returns the message of a failing test.
    fn complaint(test: impl Future<Output = ()>) -> Option<String> {
        let panic = catch_unwind(AssertUnwindSafe(|| block_on(test))).err()?;
        Some(panic.downcast_ref::<String>().unwrap().clone())
    }

    /// Flaws that show one call after the other.
    const ONE_BY_ONE: [Flaw; 17] = [
        UpdateOverwrites,
        ConflictWrites,
        UpdateRevives,
        CreateOverwrites,
        ReturnsExpired,
        TouchIsWriting,
        TouchDoesNothing,
        RevisionBeginsAgain,
        IgnoresCase,
        EndsAtZero,
        PurgesLive,
        ClearsNothing,
        CountsExpired,
        ListsOnePage,
        Panics,
        LocksForAll,
        FenceIsOpen,
    ];

    #[test]
    fn every_flaw_is_found_and_shown_with_few_operations() {
        for flaw in ONE_BY_ONE {
            let case = Case(flaw, Mutex::default());
            let test = model::random_operations_of_an_operator_too_agree_with_the_model(&case);
            let complaint = complaint(test).unwrap_or_else(|| panic!("{flaw:?} is not found"));
            let operations = complaint.lines().filter(|line| line.starts_with(' ')).count();
            assert!(operations <= 4, "{flaw:?} is shown with {operations}:\n{complaint}");
        }
    }

    #[test]
    fn flaws_that_need_concurrency_are_found_and_shown_with_few_calls() {
        for flaw in [UpdateIsTwoSteps, CreateIsTwoSteps, TouchIsTwoSteps] {
            let case = Case(flaw, Mutex::default());
            let test = model::concurrent_operations_are_linearizable(&case);
            let complaint = complaint(test).unwrap_or_else(|| panic!("{flaw:?} is not found"));
            let calls = complaint.lines().filter(|line| line.contains(" gave ")).count();
            assert!(calls <= 5, "{flaw:?} is shown with {calls}:\n{complaint}");
            if flaw != TouchIsTwoSteps {
                block_on(model::random_operations_agree_with_the_model(&case));
            }
        }
    }

    #[test]
    fn number_of_a_history_stands_for_the_same_one_each_time() {
        let subject = Case(CreateIsTwoSteps, Mutex::default());
        let tell = |number| complaint(model::one_history_is_linearizable(&subject, number));
        let found = (0..64).find_map(|number| Some((number, tell(number)?)));
        let (number, first) = found.expect("no history shows it");
        assert_eq!(tell(number).as_ref(), Some(&first));
        assert!(first.contains(&format!("history {number}")), "{first}");
    }
}
