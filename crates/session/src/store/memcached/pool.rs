//! A bounded number of connections, used again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use express_session_core::store::Error;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::super::breaker::{Breaker, Fault, Server};
use super::connection::Connection;
use super::protocol::{Reply, Request};
use super::{Options, error};

/// The connections to one server.
pub(super) struct Pool {
    host: Box<str>,
    port: u16,
    size: usize,
    permits: Semaphore,
    breaker: Breaker,
    /// The one used last is used next, so that those too many grow old. The youngest is the last.
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// Devices between two networks drop idle connections.
const IDLE: Duration = Duration::from_secs(60);
const RESTED: Duration = Duration::from_millis(10);

impl Pool {
    pub(super) fn new(host: Box<str>, port: u16, size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        let (permits, breaker, idle) = (Semaphore::new(size), Breaker::default(), Mutex::default());
        Self { host, port, size, permits, breaker, idle }
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
    pub(super) async fn ask(
        self: &Arc<Self>,
        request: &Request,
        options: &Options,
    ) -> Result<Reply, Error> {
        let until = deadline(options.timeout);
        let work = async {
            let mut lease = self.lease(until).await?;
            let Ok(reply) = timeout_at(until, lease.connection.ask(request)).await else {
                return Err(Fault::Silence(error::no_answer_in_time()));
            };
            let reply = reply?;
            lease.finish();
            Ok(reply)
        };
        self.breaker.call(self, options.max_waiting, Box::pin(work)).await
    }

    /// Returns a connection for more than one request.
    pub(super) async fn lend(self: &Arc<Self>, options: &Options) -> Result<Lease<'_>, Error> {
        let lease = async { Ok(self.lease(deadline(options.timeout)).await?) };
        self.breaker.call(self, options.max_waiting, lease).await
    }

    async fn lease(self: &Arc<Self>, until: Instant) -> Result<Lease<'_>, Error> {
        let late = |_| error::no_connection_in_time();
        let connected = async {
            // The semaphore is never closed.
            let permit =
                self.permits.acquire().await.map_err(|_| error::no_connection_in_time())?;
            let connection = match self.idle().await {
                Some(connection) => connection,
                None => Connection::open(&self.host, self.port).await?,
            };
            Ok(Lease { connection, pool: self, _permit: permit })
        };
        let connected = async { timeout_at(until, connected).await.map_err(late)? };
        timeout_at(until, self.breaker.connect(self, connected)).await.map_err(late)?
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

impl Server for Pool {
    fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    async fn probe(&self) -> Result<(), Error> {
        // Those that were made before the outage may never answer.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Connection::open(&self.host, self.port).await.map(drop)
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
