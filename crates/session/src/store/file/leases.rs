//! The holders of the locks of sessions: one file for all ids that share one of the store's own locks.
//!
//! Only the holder of that lock reads and writes the file, as with the files of the sessions. It is in
//! `.lock`, where session-file-store looks for no session. A new lock drops those whose lease has ended, and
//! the last one released removes the file.
//!
//! A file that cannot be read holds no lock: a power cut left it, and ended the holders too.
//!
//! The last fencing token of these ids is in a file of its own, which stays.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use express_session_core::store::{Error, FencingToken, LockOutcome, LockToken};
use express_session_core::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Options;
use super::directory::Role;
use super::folder::{LOCKS, Lock, failed};

/// The locks of some ids.
type Leases = BTreeMap<String, Lease>;

#[derive(Serialize, Deserialize)]
struct Lease {
    holder: [u8; LockToken::BYTES],
    /// In milliseconds since 1970.
    until: i64,
    fence: u64,
}

impl Lease {
    fn is_of(&self, holder: LockToken) -> bool {
        self.holder == *holder.as_bytes()
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now.millis()
    }
}

impl Options {
    pub(super) fn take(
        &self,
        lock: &Lock,
        id: &SessionId,
        holder: LockToken,
        length: Duration,
        now: Timestamp,
    ) -> Result<LockOutcome, Error> {
        // By all clocks, so that one that is ahead neither takes a lock nor keeps one for long.
        let times = lock.times(now)?;
        let (now, until) = (times.ended(), times.lease(length));
        let mut leases = self.leases(lock)?;
        leases.retain(|_, lease| !lease.is_over(now));
        let fence = match leases.get(id.as_str()) {
            Some(lease) if !lease.is_of(holder) => return Ok(LockOutcome::Held),
            Some(lease) => FencingToken::new(lease.fence),
            None => self.next_fence(lock, now)?,
        };
        let lease = Lease { holder: *holder.as_bytes(), until: until.millis(), fence: fence.get() };
        leases.insert(id.as_str().to_owned(), lease);
        self.keep(lock, &leases)?;
        Ok(LockOutcome::Acquired(fence))
    }

    /// Keeps the token before a lock has it, so that no number is given twice. Where the file cannot be read, the clock
    /// goes on from it.
    fn next_fence(&self, lock: &Lock, now: Timestamp) -> Result<FencingToken, Error> {
        let name = format!("{:02}.fence", lock.number());
        let last = match lock.locks.read(&name, Role::Lock) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).parse().unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
        let fence = FencingToken::after(last, now);
        self.put(lock, &lock.locks, &name, &fence.to_string(), false)?;
        Ok(fence)
    }

    pub(super) fn is_held(
        &self,
        lock: &Lock,
        id: &SessionId,
        holder: LockToken,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (leases, now) = (self.leases(lock)?, lock.ended(now)?);
        let lease = leases.get(id.as_str());
        Ok(lease.is_some_and(|lease| lease.is_of(holder) && !lease.is_over(now)))
    }

    pub(super) fn give_back(
        &self,
        lock: &Lock,
        id: &SessionId,
        holder: LockToken,
    ) -> Result<(), Error> {
        let mut leases = self.leases(lock)?;
        if leases.get(id.as_str()).is_none_or(|lease| !lease.is_of(holder)) {
            return Ok(());
        }
        leases.remove(id.as_str());
        self.keep(lock, &leases)
    }

    /// Removes every lock whose lease has ended.
    pub(super) fn drop_leases(&self, now: Timestamp) -> Result<(), Error> {
        let (_, locks) = self.make_folders()?;
        for number in 0..LOCKS {
            // Without the store's lock, which is rarely needed.
            if !locks.has(&name(number)).map_err(failed)? {
                continue;
            }
            let lock = self.lock(number)?;
            let now = lock.ended(now)?;
            let mut leases = self.leases(&lock)?;
            let before = leases.len();
            leases.retain(|_, lease| !lease.is_over(now));
            if leases.len() < before {
                self.keep(&lock, &leases)?;
            }
        }
        Ok(())
    }

    fn leases(&self, lock: &Lock) -> Result<Leases, Error> {
        match lock.locks.read(&name(lock.number()), Role::Lock) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Leases::new()),
            Err(error) => Err(failed(error)),
        }
    }

    fn keep(&self, lock: &Lock, leases: &Leases) -> Result<(), Error> {
        let name = name(lock.number());
        if leases.is_empty() {
            return lock.locks.remove(&name).map_err(failed);
        }
        // Strings and numbers alone, of which each has a JSON.
        let text = serde_json::to_string(leases).map_err(|error| failed(error.into()))?;
        self.put(lock, &lock.locks, &name, &text, false)
    }
}

fn name(number: usize) -> String {
    format!("{number:02}.leases")
}
