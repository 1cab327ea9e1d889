//! A bounded number of connections, used again and again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use express_session_core::store::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::error;
use super::protocol::{Reply, Request};

/// The connections to one server.
pub(super) struct Pool {
    host: Box<str>,
    port: u16,
    size: usize,
    permits: Semaphore,
    /// The one used last is used next, so that those too many grow old. The youngest is the last.
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// Devices between two networks drop idle connections.
const IDLE: Duration = Duration::from_secs(60);
const RESTED: Duration = Duration::from_millis(10);

impl Pool {
    pub(super) fn new(host: Box<str>, port: u16, size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        Self { host, port, size, permits: Semaphore::new(size), idle: Mutex::default() }
    }

    /// An empty pool for the same server.
    pub(super) fn resized(&self, size: usize) -> Self {
        Self::new(self.host.clone(), self.port, size)
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Sends a request on some connection and reads the answer, all in time.
    pub(super) async fn ask(&self, request: &Request, within: Duration) -> Result<Reply, Error> {
        let until = deadline(within);
        let mut lease = self.lease(until).await?;
        match timeout_at(until, lease.connection.ask(request)).await {
            Ok(reply) => {
                let reply = reply?;
                lease.finish();
                Ok(reply)
            }
            Err(_) => Err(error::no_answer_in_time()),
        }
    }

    /// Returns a connection for more than one request.
    pub(super) async fn lend(&self, within: Duration) -> Result<Lease<'_>, Error> {
        self.lease(deadline(within)).await
    }

    async fn lease(&self, until: Instant) -> Result<Lease<'_>, Error> {
        let work = async {
            // The semaphore is never closed.
            let permit =
                self.permits.acquire().await.map_err(|_| error::no_connection_in_time())?;
            let connection = match self.idle().await {
                Some(connection) => connection,
                None => Connection::open(&self.host, self.port).await?,
            };
            Ok(Lease { connection, pool: self, _permit: permit })
        };
        timeout_at(until, work).await.map_err(|_| error::no_connection_in_time())?
    }

    /// Returns a connection that was used before and is still good.
    async fn idle(&self) -> Option<Connection> {
        while let Some((connection, since)) = self.youngest() {
            if since.elapsed() >= RESTED {
                // That the server hung up is known only when the runtime has looked.
                yield_now().await;
            }
            if connection.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    fn youngest(&self) -> Option<(Connection, Instant)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let youngest = idle.pop().filter(|(_, since)| since.elapsed() < IDLE);
        if youngest.is_none() {
            // Those below are older still.
            idle.clear();
        }
        youngest
    }
}

/// A connection for the time being. It is closed, unless it is finished with.
pub(super) struct Lease<'p> {
    pub(super) connection: Connection,
    pool: &'p Pool,
    _permit: SemaphorePermit<'p>,
}

impl Lease<'_> {
    /// Returns the connection to the pool, after every answer was read to its end.
    pub(super) fn finish(self) {
        let Self { connection, pool, _permit } = self;
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((connection, Instant::now()));
    }
}

fn deadline(within: Duration) -> Instant {
    let now = Instant::now();
    // As good as never.
    now.checked_add(within).unwrap_or_else(|| now + Duration::from_secs(1 << 30))
}
