//! The model finds what is wrong with a store, and tells it with few operations.
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use express_session_core::store::{
    Admin, Created, Cursor, Error, Fenced, FencingToken, Loaded, LoadedAndTouched, LockOutcome,
    LockToken, Page, Record, Revision, Store, Touch, Touched, Updated,
};
use express_session_core::{SessionId, Timestamp};
use express_session_testkit::{MapStore, Subject, block_on, model};

express_session_testkit::admin_model_laws!(MapStore::default());

/// A defect of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Does not look at the revision.
    UpdateOverwrites,
    /// Says that there was a conflict, and has written.
    ConflictWrites,
    /// Writes back what was destroyed.
    UpdateRevives,
    /// Creates over what is there.
    CreateOverwrites,
    /// Returns what has expired.
    ReturnsExpired,
    /// Counts a touch as a writing.
    TouchIsWriting,
    /// Says that it touched, and did not.
    TouchDoesNothing,
    /// Says that it renewed, and did not.
    RenewDoesNothing,
    /// Counts the writings of a record, and begins again with each.
    RevisionBeginsAgain,
    /// Takes upper and lower case for the same.
    IgnoresCase,
    /// Leaves off what comes after a zero.
    EndsAtZero,
    /// Removes a live record when it purges.
    PurgesLive,
    /// Clears nothing.
    ClearsNothing,
    /// Counts what has expired.
    CountsExpired,
    /// Lists only the first page.
    ListsOnePage,
    /// Panics where a record has a certain size.
    Panics,
    /// Returns everybody the lock.
    LocksForAll,
    /// Writes for a token that does not hold the lock.
    WritesUnlocked,
    /// Looks, lets others in, and then updates.
    UpdateIsTwoSteps,
    /// Looks, lets others in, and then creates.
    CreateIsTwoSteps,
    /// Looks, lets others in, and then writes back what it saw, with its deadline moved.
    TouchIsTwoSteps,
}

use Flaw::*;

struct Flawed {
    flaw: Flaw,
    inner: MapStore,
}

impl Flawed {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn id(&self, id: &SessionId) -> SessionId {
        let text = id.as_str();
        let end = text.find('\0').filter(|at| self.is(EndsAtZero) && *at > 0);
        let text = &text[..end.unwrap_or(text.len())];
        let text = if self.is(IgnoresCase) { text.to_lowercase() } else { text.to_owned() };
        SessionId::new(text).unwrap()
    }

    /// A time at which what has expired is still there.
    fn time(&self, now: Timestamp, flaw: Flaw) -> Timestamp {
        if self.is(flaw) { Timestamp::from_millis(now.millis() - 400_000) } else { now }
    }
}

async fn turn() {
    let mut turns = 0;
    std::future::poll_fn(|context| {
        turns += 1;
        context.waker().wake_by_ref();
        if turns > 1 { Poll::Ready(()) } else { Poll::Pending }
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
        let id = self.id(id);
        if self.is(CreateIsTwoSteps) && self.inner.load(&id, now).await?.is_none() {
            turn().await;
            self.inner.destroy(&id).await?;
        }
        if self.is(CreateOverwrites) {
            self.inner.destroy(&id).await?;
        }
        let created = self.inner.create(&id, record, now).await?;
        let again = matches!(created, Created::Done(_)) && self.is(RevisionBeginsAgain);
        Ok(if again { Created::Done(Revision::new(1)) } else { created })
    }

    async fn update(
        &self,
        id: &SessionId,
        record: &Record,
        mut expected: Revision,
        now: Timestamp,
    ) -> Result<Updated, Error> {
        let id = self.id(id);
        let current = self.inner.load(&id, now).await?;
        if current.is_none() && self.is(UpdateRevives) {
            return self.inner.create(&id, record, now).await.map(|_| Updated::Done(expected));
        }
        if let Some(current) = current {
            if self.is(UpdateOverwrites) {
                expected = current.revision;
            }
            if self.is(RevisionBeginsAgain) && expected == Revision::new(1) {
                expected = current.revision;
            }
            if self.is(UpdateIsTwoSteps) && expected == current.revision {
                turn().await;
                if let Some(newer) = self.inner.load(&id, now).await? {
                    expected = newer.revision;
                }
            }
            if self.is(ConflictWrites) && expected != current.revision {
                self.inner.update(&id, record, current.revision, now).await?;
                return Ok(Updated::Conflict(current));
            }
        }
        let updated = self.inner.update(&id, record, expected, now).await?;
        Ok(match updated {
            Updated::Done(_) if self.is(RevisionBeginsAgain) => Updated::Done(Revision::new(1)),
            Updated::Done(_) | Updated::Conflict(_) | Updated::Gone => updated,
        })
    }

    async fn touch(&self, id: &SessionId, touch: &Touch, now: Timestamp) -> Result<Touched, Error> {
        let id = self.id(id);
        let writes = self.is(TouchIsWriting) || self.is(TouchIsTwoSteps);
        match self.inner.load(&id, now).await? {
            Some(_) if self.is(TouchDoesNothing) => Ok(Touched::Done),
            Some(Loaded { mut record, revision }) if writes => {
                if self.is(TouchIsTwoSteps) {
                    turn().await;
                    self.inner.destroy(&id).await?;
                    self.inner.create(&id, &record, now).await?;
                    return Ok(Touched::Done);
                }
                record.deadline = touch.deadline;
                self.inner.update(&id, &record, revision, now).await?;
                Ok(Touched::Done)
            }
            Some(_) | None => self.inner.touch(&id, touch, now).await,
        }
    }

    async fn load_and_touch(
        &self,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<LoadedAndTouched>, Error> {
        let loaded = self.load(id, now).await?;
        Ok(loaded.map(|loaded| LoadedAndTouched { loaded, is_touched: self.is(RenewDoesNothing) }))
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), Error> {
        self.inner.destroy(&self.id(id)).await
    }

    async fn lock(
        &self,
        id: &SessionId,
        holder: LockToken,
        lease: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        let locked = self.inner.lock(&self.id(id), holder, lease, now).await?;
        let fence = FencingToken::new(1);
        Ok(if self.is(LocksForAll) { LockOutcome::Acquired(fence) } else { locked })
    }

    async fn update_locked(
        &self,
        id: &SessionId,
        record: &Record,
        expected: Revision,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<Fenced, Error> {
        let id = self.id(id);
        if self.is(WritesUnlocked) {
            return self.inner.update(&id, record, expected, now).await.map(Fenced::Held);
        }
        self.inner.update_locked(&id, record, expected, holder, now).await
    }

    async fn unlock(&self, id: &SessionId, holder: LockToken) -> Result<(), Error> {
        self.inner.unlock(&self.id(id), holder).await
    }
}

impl Admin for Flawed {
    async fn list(
        &self,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        let mut page = self.inner.list(after, limit, now).await?;
        page.next = page.next.filter(|_| !self.is(ListsOnePage));
        Ok(page)
    }

    async fn count(&self, now: Timestamp) -> Result<u64, Error> {
        self.inner.count(self.time(now, CountsExpired)).await
    }

    async fn clear(&self) -> Result<(), Error> {
        if self.is(ClearsNothing) { Ok(()) } else { self.inner.clear().await }
    }

    async fn purge(&self, limit: usize, now: Timestamp) -> Result<u64, Error> {
        if self.is(PurgesLive)
            && let Some((id, _)) = self.inner.list(None, 1, now).await?.sessions.first()
        {
            self.inner.destroy(id).await?;
        }
        self.inner.purge(limit, now).await
    }
}

impl Subject for Flaw {
    type Store = Flawed;

    async fn store(&self) -> Flawed {
        Flawed { flaw: *self, inner: MapStore::default() }
    }
}

/// Returns the message of a failing test.
fn complaint(test: impl Future<Output = ()>) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| block_on(test))).err()?;
    Some(panic.downcast_ref::<String>().unwrap().clone())
}

/// Flaws that show one call after the other.
const ONE_BY_ONE: [Flaw; 18] = [
    UpdateOverwrites,
    ConflictWrites,
    UpdateRevives,
    CreateOverwrites,
    ReturnsExpired,
    TouchIsWriting,
    TouchDoesNothing,
    RenewDoesNothing,
    RevisionBeginsAgain,
    IgnoresCase,
    EndsAtZero,
    PurgesLive,
    ClearsNothing,
    CountsExpired,
    ListsOnePage,
    Panics,
    LocksForAll,
    WritesUnlocked,
];

#[test]
fn every_flaw_is_found_and_shown_with_few_operations() {
    for flaw in ONE_BY_ONE {
        let test = model::random_operations_of_an_operator_too_agree_with_the_model(&flaw);
        let complaint = complaint(test).unwrap_or_else(|| panic!("{flaw:?} is not found"));
        let operations = complaint.lines().filter(|line| line.starts_with(' ')).count();
        assert!(operations <= 4, "{flaw:?} is shown with {operations}:\n{complaint}");
    }
}

#[test]
fn flaws_that_need_concurrency_are_found_and_shown_with_few_calls() {
    for flaw in [UpdateIsTwoSteps, CreateIsTwoSteps, TouchIsTwoSteps] {
        let test = model::concurrent_operations_are_linearizable(&flaw);
        let complaint = complaint(test).unwrap_or_else(|| panic!("{flaw:?} is not found"));
        let calls = complaint.lines().filter(|line| line.contains(" gave ")).count();
        assert!(calls <= 5, "{flaw:?} is shown with {calls}:\n{complaint}");
        if flaw != TouchIsTwoSteps {
            block_on(model::random_operations_agree_with_the_model(&flaw));
        }
    }
}

#[test]
fn number_of_a_history_stands_for_the_same_one_each_time() {
    let found = (0..64).find_map(|number| {
        complaint(model::one_history_is_linearizable(&CreateIsTwoSteps, number))
            .map(|complaint| (number, complaint))
    });
    let (number, first) = found.expect("no history shows it");
    let again = complaint(model::one_history_is_linearizable(&CreateIsTwoSteps, number));
    assert_eq!(again.as_ref(), Some(&first));
    assert!(first.contains(&format!("history {number}")), "{first}");
}
