//! A bounded number of connections, used again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use express_session_core::store::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::super::breaker::{self, Breaker, Fault, Server, UNUSED, deadline};
use super::super::finish::Calls;
use super::Options;
use super::connection::Connection;
use super::protocol::{Key, Reply, Request};

/// The connections to one server.
pub(super) struct Pool {
    host: Box<str>,
    port: u16,
    size: usize,
    permits: Arc<Semaphore>,
    breaker: Breaker,
    /// The one used last is used next, so that those too many grow old. The youngest is the last.
    idle: Mutex<Vec<(Connection, Instant)>>,
    calls: Calls,
}

/// Devices between two networks drop idle connections.
const IDLE: Duration = Duration::from_secs(60);
const RESTED: Duration = Duration::from_millis(10);

impl Pool {
    pub(super) fn new(host: Box<str>, port: u16, size: usize) -> Self {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(size));
        let (breaker, idle, calls) = (Breaker::default(), Mutex::default(), Calls::default());
        Self { host, port, size, permits, breaker, idle, calls }
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

    /// Sends a request about an item on some connection and reads the answer, all in time.
    ///
    /// The server may read a later request on another connection first. So a request that was begun continues
    /// if its caller is gone, and the next one about the same item waits for that.
    pub(super) async fn ask(
        self: &Arc<Self>,
        key: &Key,
        request: Request,
        options: &Options,
    ) -> Result<Reply, Error> {
        let until = deadline(options.timeout);
        let work = async {
            let settled = timeout_at(until, self.calls.settled(key.as_str())).await;
            settled.map_err(|_| breaker::no_connection_in_time())?;
            let mut lease = self.lease(until).await?;
            let exchange = async move {
                let Ok(reply) = timeout_at(until, lease.connection.ask(request)).await else {
                    return Err(Fault::Silence(breaker::no_answer_in_time()));
                };
                let reply = reply?;
                // Also if the caller is gone.
                lease.pool.breaker.answered();
                lease.finish();
                Ok(reply)
            };
            self.calls.run(Some(key.as_str()), exchange).await
        };
        self.breaker.call(self, options.max_waiting, Box::pin(work)).await
    }

    /// Returns a connection for more than one request.
    pub(super) async fn lend(self: &Arc<Self>, options: &Options) -> Result<Lease, Error> {
        let lease = self.lease(deadline(options.timeout));
        self.breaker.lend(self, options.max_waiting, lease).await
    }

    async fn lease(self: &Arc<Self>, until: Instant) -> Result<Lease, Error> {
        let pool = Arc::clone(self);
        let connected = async move {
            // The semaphore is never closed.
            let permit = Arc::clone(&pool.permits).acquire_owned().await;
            let permit = permit.map_err(|_| breaker::no_connection_in_time())?;
            let connection = match pool.idle().await {
                Some(connection) => connection,
                None => Connection::open(&pool.host, pool.port).await?,
            };
            Ok(Untaken(Some(Lease { connection, pool, _permit: permit })))
        };
        let lease = self.breaker.connect(self, until, connected).await?;
        lease.take().ok_or_else(breaker::no_connection_in_time)
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

    fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn probe(&self) -> Result<(), Error> {
        let mut connection = Connection::open(&self.host, self.port).await?;
        let Some(key) = Key::new(UNUSED) else { return Ok(()) };
        match connection.ask(Request::get(&key)).await {
            Err(error) if breaker::is_outage(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// A connection for the time being. It is closed, unless it is finished with.
pub(super) struct Lease {
    pub(super) connection: Connection,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Returns the connection to the pool, after every answer was read to its end.
    pub(super) fn finish(self) {
        let Self { connection, pool, _permit } = self;
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((connection, Instant::now()));
    }
}

/// A lease whose caller may have left. It returns to the pool unless it is taken.
struct Untaken(Option<Lease>);

impl Untaken {
    fn take(mut self) -> Option<Lease> {
        self.0.take()
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.finish();
        }
    }
}
