//! The circuit breaker of the stores on the network. Every call to a server goes through [`Breaker::call`].
//!
//! 1. Connections are made one after the other. When an attempt fails, every call that waits for a connection fails with
//!    the same error, immediately.
//! 2. After the first call without an answer, further calls fail immediately too, while probes in tasks of their own find
//!    out when the server answers again. A process without calls and without an outage has no such task.
//! 3. A call that is dropped after [`SILENCE`], as by a layer with a shorter timeout, counts as one without an answer.
//! 4. A server that answers other calls meanwhile is slow and not out: nothing opens.
//!
//! Existing crates were considered: `failsafe` and `recloser` open by counts or rates and read the clock themselves;
//! none says when it tries again, or probes without using up a visitor's request.

mod circuit;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};
use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use self::circuit::Circuit;

/// A call that is dropped earlier says nothing about the server.
const SILENCE: Duration = Duration::from_millis(400);

/// The longest that a probe waits for its answer.
const PROBE: Duration = Duration::from_secs(2);

/// The default of a store's `max_waiting`.
pub(super) const MAX_WAITING: usize = 4096;

/// A server behind a breaker.
pub(super) trait Server: Send + Sync + 'static {
    fn breaker(&self) -> &Breaker;

    /// Makes a new connection, and waits for an answer on it. Fails if calls would fail too.
    fn probe(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The reason why a call failed.
pub(super) enum Fault {
    /// There was no answer within its timeout.
    Silence(Error),
    /// The server or this side answered it.
    Answer(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Answer(error)
    }
}

/// Clones are the same breaker.
#[derive(Clone)]
pub(super) struct Breaker(Arc<Shared>);

struct Shared {
    circuit: watch::Sender<Circuit>,
    created: Instant,
    /// When the server has last answered, in microseconds since `created`.
    answered: AtomicU64,
    waiting: AtomicUsize,
    connecting: Mutex<()>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self(Arc::new(Shared {
            circuit: watch::Sender::default(),
            created: Instant::now(),
            answered: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            connecting: Mutex::default(),
        }))
    }
}

impl Breaker {
    /// Makes a call, if the server is not known to be out and fewer than `max_waiting` calls wait.
    pub(super) async fn call<S: Server, T>(
        &self,
        server: &Arc<S>,
        max_waiting: usize,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Error> {
        let mut call = Waiting::enter(server, max_waiting)?;
        if self.0.circuit.borrow().is_open() {
            // Boxed as is all that is seldom: each call would have to carry it.
            Box::pin(self.admit(server)).await?;
        }
        call.begun = Some(self.now());
        let done = work.await;
        let begun = call.begun.take().unwrap_or_default();
        match done {
            Ok(done) => {
                self.answered();
                Ok(done)
            }
            Err(Fault::Silence(error)) => {
                self.silent(server, &error, begun);
                Err(error)
            }
            Err(Fault::Answer(error)) => Err(error),
        }
    }

    /// Waits for a connection that `work` makes or takes, after all calls that came earlier. If the attempt of any of
    /// them fails, this fails with it.
    pub(super) async fn connect<S: Server, C>(
        &self,
        server: &Arc<S>,
        work: impl Future<Output = Result<C, Error>>,
    ) -> Result<C, Error> {
        let attempt = async {
            let _turn = self.0.connecting.lock().await;
            let begun = self.now();
            let connected = work.await;
            if let Err(error) = &connected {
                // Before the next one has its turn.
                self.silent(server, error, begun);
            }
            connected
        };
        let mut circuit = self.0.circuit.subscribe();
        // It ends without the reference to the state, which would lock the state.
        let opened = pin!(async { drop(circuit.wait_for(Circuit::is_open).await) });
        // The outage first: a call that gets its turn by the failure of another must not begin to connect.
        match select(opened, pin!(attempt)).await {
            Either::Left(_) => Err(self.refused()),
            Either::Right((connected, _)) => connected,
        }
    }

    /// Fails while the circuit is open, unless a probe that has just begun is answered.
    async fn admit<S: Server>(&self, server: &Arc<S>) -> Result<(), Error> {
        self.probe_if_due(server);
        let mut circuit = self.0.circuit.subscribe();
        let grace = circuit.borrow().grace().map(|grace| self.0.created + grace);
        let closed = async { drop(circuit.wait_for(|circuit| !circuit.is_open()).await) };
        match grace.filter(|grace| *grace > Instant::now()) {
            Some(grace) if timeout_at(grace, closed).await.is_ok() => return Ok(()),
            Some(_) => {}
            // A caller that tries again in a loop must not keep the probe from running.
            None => tokio::task::yield_now().await,
        }
        Err(self.refused())
    }

    /// Notes that the server has answered.
    fn answered(&self) {
        self.0.answered.fetch_max(micros(self.now()), Ordering::Relaxed);
    }

    /// Opens, unless the server has answered since a call began.
    fn silent<S: Server>(&self, server: &Arc<S>, error: &Error, begun: Duration) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.0.answered.load(Ordering::Relaxed) > micros(begun) {
            return;
        }
        let now = self.now();
        let is_opened =
            self.0.circuit.send_if_modified(|circuit| circuit.open(error, now, random()));
        if is_opened {
            tracing::warn!(
                target: "express_session",
                error = error as &dyn std::error::Error,
                "the session store does not answer: calls fail until it does",
            );
            runtime.spawn(Self::watch(Arc::downgrade(server), self.clone()));
        }
    }

    /// Probes for as long as the outage lasts and the store is in use.
    async fn watch<S: Server>(server: Weak<S>, breaker: Self) {
        loop {
            let next = breaker.0.circuit.borrow().next_probe();
            let Some(next) = next else { return };
            sleep_until(breaker.0.created + next).await;
            let Some(server) = server.upgrade() else { return };
            breaker.probe_if_due(&server);
        }
    }

    fn probe_if_due<S: Server>(&self, server: &Arc<S>) {
        let now = self.now();
        let mut is_due = false;
        self.0.circuit.send_if_modified(|circuit| {
            is_due = circuit.begin_probe(now, random());
            false
        });
        if !is_due {
            return;
        }
        let (server, breaker) = (Arc::clone(server), self.clone());
        tokio::spawn(async move {
            match timeout(PROBE, server.probe()).await {
                Ok(Ok(())) => breaker.close(),
                Ok(Err(error)) => {
                    let now = breaker.now();
                    breaker.0.circuit.send_if_modified(|circuit| {
                        // An earlier or a later probe may have been answered.
                        if circuit.is_open() {
                            circuit.open(&error, now, 0.0);
                        }
                        false
                    });
                }
                Err(_) => {}
            }
        });
    }

    fn close(&self) {
        self.answered();
        let (now, mut ended) = (self.now(), None);
        self.0.circuit.send_if_modified(|circuit| {
            ended = circuit.close(now);
            ended.is_some()
        });
        if let Some(circuit::Ended { lasted, refused }) = ended {
            tracing::info!(
                target: "express_session",
                ?lasted,
                refused,
                "the session store answers again",
            );
        }
    }

    fn refused(&self) -> Error {
        let (now, mut error) = (self.now(), None);
        self.0.circuit.send_if_modified(|circuit| {
            error = circuit.refuse(now);
            false
        });
        // Closed in this moment: the next call is served.
        error.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no connection"))
    }

    fn now(&self) -> Duration {
        self.0.created.elapsed()
    }
}

/// A call that waits for a server. Dropped before its answer, it may tell that there is none.
struct Waiting<'s, S: Server> {
    server: &'s Arc<S>,
    /// When the server was asked; `None` before that and after the answer.
    begun: Option<Duration>,
}

impl<'s, S: Server> Waiting<'s, S> {
    fn enter(server: &'s Arc<S>, max_waiting: usize) -> Result<Self, Error> {
        let waiting = Self { server, begun: None };
        if server.breaker().0.waiting.fetch_add(1, Ordering::Relaxed) >= max_waiting {
            let message = format!("max_waiting is {max_waiting}, and so many calls wait for it");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(waiting)
    }
}

impl<S: Server> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        let breaker = self.server.breaker();
        breaker.0.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(begun) = self.begun
            && breaker.now().saturating_sub(begun) >= SILENCE
        {
            let message = "no answer for as long as the caller waited";
            breaker.silent(self.server, &Error::new(ErrorKind::TimedOut, message), begun);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Returns a number from 0 to 1; without randomness, the middle.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
