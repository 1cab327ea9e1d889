//! The pool, which a new one replaces when its server turns out to be the wrong one.
//!
//! After a failover the idle connections of a pool all lead to the old primary, and the driver cannot close them. A
//! new pool connects where the address leads now.

use std::sync::{PoisonError, RwLock};

use express_session_core::store::Error;
use mysql_async::{Conn, Opts, OptsBuilder, Pool};
use tokio::time::timeout;

use super::super::breaker::{self, PROBE};
use super::super::finish::Calls;
use super::{error, pool};

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

    /// Connects for a probe, which must not wait for a place in the pool; only a pool of the application makes its
    /// connections itself.
    pub(super) async fn connect_for_probe(&self, calls: &Calls) -> Result<Conn, Error> {
        let connection = if let Some((opts, _)) = &self.own {
            Conn::new(OptsBuilder::from_opts(opts.clone()).prefer_socket(false)).await
        } else {
            let pool = self.current().1;
            // It continues without the probe, as every call that waits for the driver's pool.
            let connection = async move { timeout(PROBE, pool.get_conn()).await };
            calls.run(None, connection).await.map_err(|_| breaker::no_connection_in_time())?
        };
        connection.map_err(error::of_driver)
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
