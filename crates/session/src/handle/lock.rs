//! The handle of a session's lock.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::Session;
use crate::error::Error;
use crate::request::RequestSession;
use crate::store::FencingToken;

/// A session's lock, held: no other request has it. [`Session::lock`] returns it.
///
/// It ends with [`unlock`](Self::unlock), or when the response has been sent, saved under the lock. Dropping
/// this value does not end it. A request that is dropped halfway releases the lock without saving; one
/// whose process dies keeps it until its lease runs out.
#[must_use = "a lock that is not released lasts until the response is sent"]
pub struct SessionLock {
    shared: Arc<RequestSession>,
    fence: FencingToken,
}

impl Session {
    /// Waits for the session's lock: a critical section, for what a visitor must not do concurrently.
    ///
    /// Most changes need no lock: overlapping requests are merged, and [`update`](Self::update) is applied
    /// again. A lock is for what cannot be: a decision that depends on the session and has an effect
    /// elsewhere, like paying for what is in the cart.
    ///
    /// - When it is there, the session is as the store has it now, with what this request has changed on top.
    /// - It is a matter between the requests that ask for it, here and in other processes. Those that do not may
    ///   read and write the session meanwhile, and are merged as always.
    /// - It is fenced: a request whose lease ([`lock_lease`](crate::SessionLayer::lock_lease), 30 s) has
    ///   run out cannot save, with any error of its clock; the store itself refuses it in the same step.
    /// - It is of the id that the session has now: after [`regenerate`](Self::regenerate) it says nothing
    ///   about the new one.
    ///
    /// Costs two calls of the store, and one to release it. Requests of one process queue up; one of
    /// another process is waited for by asking again, after pauses of up to 160 ms. memcached has no locks.
    ///
    /// A lock alone does not keep a pause from charging twice: the lease may run out while the process stands still, and
    /// another request gets the lock. So the other system gets a key that is the same in every attempt, and does a thing
    /// once for each key; one without such keys gets the [`fencing_token`](SessionLock::fencing_token), and refuses
    /// a lower one than it has seen.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::Mutex;
    ///
    /// use express_session::{Error, Session};
    ///
    /// /// Takes a payment once for each key, and nothing from a holder of the past.
    /// #[derive(Default)]
    /// struct Bank(Mutex<(u64, HashMap<String, u32>)>);
    ///
    /// impl Bank {
    ///     fn charge(&self, key: &str, fence: u64, amount: u32) -> bool {
    ///         let (highest, paid) = &mut *self.0.lock().unwrap();
    ///         if fence < *highest {
    ///             return false;
    ///         }
    ///         *highest = fence;
    ///         paid.entry(key.to_owned()).or_insert(amount);
    ///         true
    ///     }
    /// }
    ///
    /// async fn pay(session: Session, bank: &Bank) -> Result<bool, Error> {
    ///     let lock = session.lock().await?;
    ///     let order: String = session.get("order")?.unwrap_or_default();
    ///     let is_paid = bank.charge(&order, lock.fencing_token().get(), 20);
    ///     session.insert("paid", is_paid)?;
    ///     lock.unlock().await?;
    ///     Ok(is_paid)
    /// }
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// # let bank = Bank::default();
    /// # session.insert("order", "1042")?;
    /// # assert!(pay(session.clone(), &bank).await?);
    /// # assert!(!bank.charge("1043", 1, 20));
    /// # assert_eq!(session.get("paid")?, Some(true));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked) where another request has the lock for longer than
    /// [`lock_wait`](crate::SessionLayer::lock_wait);
    /// [`ErrorKind::LockedTwice`](crate::ErrorKind::LockedTwice) where this request has it already;
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the session ended in the meantime;
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) where the store fails, or has no locks.
    pub async fn lock(&self) -> Result<SessionLock, Error> {
        let shared = self.shared();
        let fence = shared.lock().await?;
        Ok(SessionLock { shared: Arc::clone(shared), fence })
    }
}

impl SessionLock {
    /// Saves the changes and releases the lock. Costs one call of the store, and one more to save.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let lock = session.lock().await?;
    /// session.insert("seats", ["12A"])?;
    /// lock.unlock().await?;
    /// // The next holder of the lock finds the seat.
    /// session.reload().await?;
    /// assert_eq!(session.get("seats")?, Some(["12A".to_owned()]));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LockLost`](crate::ErrorKind::LockLost) where the lease ran out before, and nothing is
    /// written; what [`Session::save`] fails with, and the lock is kept until the response then.
    pub async fn unlock(self) -> Result<(), Error> {
        self.shared.unlock().await
    }

    /// Renews the lease, for a section that takes long. Costs one call of the store.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let lock = session.lock().await?;
    /// for step in 0..3 {
    ///     // … takes most of the lease …
    ///     session.insert("step", step)?;
    ///     lock.renew().await?;
    /// }
    /// lock.unlock().await
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LockLost`](crate::ErrorKind::LockLost) where the lease had run out, whether or not another request
    /// has the lock by now; [`ErrorKind::Store`](crate::ErrorKind::Store) where the store fails.
    pub async fn renew(&self) -> Result<(), Error> {
        self.shared.renew_lock().await
    }

    /// Renews the lease while a future runs, a third of the lease after each renewal, and returns its output. It needs a
    /// tokio runtime; nothing is renewed once the future is done or this one is dropped.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let lock = session.lock().await?;
    /// let answer = lock.renew_while(async { /* … asks a slow service … */ 42 }).await?;
    /// session.insert("answer", answer)?;
    /// lock.unlock().await
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`renew`](Self::renew); the future is dropped at its next await point then.
    pub async fn renew_while<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        self.shared.keep_lock(work).await
    }

    /// Returns the number of this lock, higher than that of every earlier holder of the session's lock: for other systems,
    /// which refuse a lower number than they have seen. It is no secret, and stays the same through renewals.
    ///
    /// It is the store's time in microseconds, or the last number and one where that is higher. Every store keeps
    /// the last number for at least a day after the lock, the memory store as long as its process runs; a clock that is set
    /// back by more than that, with the store's memory lost, may repeat a number. Compare the tokens of one session: those
    /// of different sessions are not in any order.
    ///
    /// ```
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let lock = session.lock().await?;
    /// let first = lock.fencing_token();
    /// lock.renew().await?;
    /// assert_eq!(lock.fencing_token(), first);
    /// lock.unlock().await?;
    /// let next = session.lock().await?;
    /// assert!(next.fencing_token() > first);
    /// # next.unlock().await
    /// # });
    /// ```
    #[must_use]
    pub fn fencing_token(&self) -> FencingToken {
        self.fence
    }

    /// Returns how long the lease still runs by the layer's clock, counted from before the store was asked; zero once it is
    /// over or known to be lost. It says when to [`renew`](Self::renew), and not that the lock is held: only the store,
    /// and a system that checks the [`fencing_token`](Self::fencing_token), know that.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// let lock = session.lock().await?;
    /// if lock.remaining() < Duration::from_secs(10) {
    ///     lock.renew().await?;
    /// }
    /// assert!(lock.remaining() > Duration::from_secs(20));
    /// # lock.unlock().await
    /// # });
    /// ```
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.shared.lock_remaining()
    }
}

impl fmt::Debug for SessionLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionLock")
    }
}
