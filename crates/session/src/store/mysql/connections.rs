//! The pool, which a new one replaces when its server turns out to be the wrong one.
//!
//! After a failover the idle connections of a pool all lead to the old primary, and the driver cannot close them. A
//! new pool connects where the address leads now.

use std::sync::{PoisonError, RwLock};

use mysql_async::{Opts, Pool};

use super::pool;

pub(super) struct Connections {
    /// How to connect and the limit of connections, if the pool is not the application's.
    own: Option<(Opts, usize)>,
    current: RwLock<(Generation, Pool)>,
}

/// The number of a pool among those that replaced each other.
pub(super) type Generation = u64;

impl Connections {
    pub(super) fn own(opts: Opts, limit: usize) -> Self {
        let current = RwLock::new((0, pool(&opts, limit)));
        Self { own: Some((opts, limit)), current }
    }

    /// Takes a pool of the application.
    pub(super) fn given(pool: Pool) -> Self {
        Self { own: None, current: RwLock::new((0, pool)) }
    }

    pub(super) fn limit(&self) -> Option<usize> {
        self.own.as_ref().map(|(_, limit)| *limit)
    }

    /// Returns the same server's connections with another limit, if the pool is not the application's.
    pub(super) fn with_limit(&self, limit: usize) -> Option<Self> {
        self.own.as_ref().map(|(opts, _)| Self::own(opts.clone(), limit))
    }

    pub(super) fn current(&self) -> (Generation, Pool) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the pool of this generation, unless another call has done so. A pool of the application stays.
    pub(super) fn leave(&self, generation: Generation) {
        let Some((opts, limit)) = &self.own else { return };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 != generation {
            return;
        }
        let left = std::mem::replace(&mut *current, (generation + 1, pool(opts, *limit)));
        drop(current);
        // It closes its idle connections now, and the others when their calls are done.
        drop(tokio::spawn(left.1.disconnect()));
    }
}
