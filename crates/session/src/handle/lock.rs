//! The handle of a session's lock.

use std::fmt;
use std::sync::Arc;

use crate::Session;
use crate::error::Error;
use crate::request::RequestSession;

/// A session's lock, held: no other request has it. [`Session::lock`] returns it.
///
/// It ends with [`unlock`](Self::unlock), or when the response has been sent, saved under the lock. Dropping
/// this value does not end it. A request that is dropped halfway releases the lock without saving; one
/// whose process dies keeps it until its lease runs out.
#[must_use = "a lock that is not released lasts until the response is sent"]
pub struct SessionLock {
    shared: Arc<RequestSession>,
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
    /// ```
    /// use express_session::{Error, Session};
    ///
    /// async fn pay(session: Session) -> Result<(), Error> {
    ///     let lock = session.lock().await?;
    ///     if session.get::<bool>("paid")?.is_none() {
    ///         // … charges the card, while no other request gets here …
    ///         session.insert("paid", true)?;
    ///     }
    ///     lock.unlock().await
    /// }
    /// # mod on { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/visit.rs")); } on::visit(async |session| {
    /// # pay(session.clone()).await?;
    /// # assert_eq!(session.get("paid")?, Some(true));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked) where another request has the lock for longer than
    /// [`lock_wait`](crate::SessionLayer::lock_wait), or this one has it already;
    /// [`ErrorKind::Ended`](crate::ErrorKind::Ended) where the session ended in the meantime;
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) where the store fails, or has no locks.
    pub async fn lock(&self) -> Result<SessionLock, Error> {
        let shared = self.shared();
        shared.lock().await?;
        Ok(SessionLock { shared: Arc::clone(shared) })
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
    /// [`ErrorKind::LockLost`](crate::ErrorKind::LockLost) where another request has the lock by now;
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) where the store fails.
    pub async fn renew(&self) -> Result<(), Error> {
        self.shared.renew_lock().await
    }
}

impl fmt::Debug for SessionLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionLock")
    }
}
