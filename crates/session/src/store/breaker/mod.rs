//! The circuit breaker of the stores on the network. Every call to a server goes through [`Breaker::call`].
//!
//! 1. Connections are made one after the other. When an attempt fails, every call that waits for a connection fails with
//!    the same error, immediately. An attempt whose caller leaves continues in a task, so that no caller begins another.
//! 2. After the first call without an answer, further calls fail immediately too, while probes in tasks of their own find
//!    out when the server answers again. A process without calls and without an outage has no such task.
//! 3. Calls that are dropped, as by a layer with a shorter timeout, count together: see [`silence`].
//! 4. A server that answers other calls meanwhile is slow and not out: nothing opens.
//! 5. A probe connects and reads as a call does. If the calls that it admits are not answered all the same, as while
//!    writes wait for a lock, the circuit closes again only after a call is answered: see [`circuit`].
//!
//! Existing crates were considered: `failsafe` and `recloser` open by counts or rates and read the clock themselves;
//! none says when it tries again, or probes without using up a visitor's request.

mod around;
mod circuit;
mod silence;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use express_session_core::store::{Error, ErrorKind};
use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

pub use self::around::BreakerStore;
use self::circuit::{Circuit, Ended};
use self::silence::{SILENCE, Silence};
use super::finish::Calls;
use crate::runtime::pacemaker::Pacemaker;

/// The timeout of a probe.
pub(super) const PROBE: Duration = Duration::from_secs(2);

/// The default of a store's `max_waiting`.
pub(super) const MAX_WAITING: usize = 4096;

/// A server behind a breaker.
pub(super) trait Server: Send + Sync + 'static {
    fn breaker(&self) -> &Breaker;

    /// Leaves the idle connections: those that were made before an outage may never answer.
    fn forget(&self);

    /// Asks on the connection in use, if that answers in order, and returns whether it was answered: then so were the calls
    /// before, also those whose callers have left.
    fn echo(&self) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }

    /// Makes a new connection, and reads a session on it that does not exist. Fails if calls would fail too.
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
    pacemaker: Pacemaker,
    connecting: Arc<Mutex<()>>,
    attempts: Calls,
    silence: std::sync::Mutex<Silence>,
    /// Whether the server is just being asked if it is silent.
    is_doubted: AtomicBool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self(Arc::new(Shared {
            circuit: watch::Sender::default(),
            created: Instant::now(),
            answered: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            pacemaker: Pacemaker::default(),
            connecting: Arc::default(),
            attempts: Calls::default(),
            silence: std::sync::Mutex::default(),
            is_doubted: AtomicBool::new(false),
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
        let done = self.make(&mut call, work).await;
        match &done {
            Ok(_) => self.answered(),
            Err(error) if !is_answer(error) => return done,
            Err(_) => {}
        }
        if call.is_trial {
            self.update(Circuit::close);
        }
        done
    }

    /// Makes a call that only takes a connection, so that its success is no answer of the server.
    #[cfg(any(test, feature = "memcached"))]
    pub(super) async fn lend<S: Server, T>(
        &self,
        server: &Arc<S>,
        max_waiting: usize,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut call = Waiting::enter(server, max_waiting)?;
        self.make(&mut call, async { Ok(work.await?) }).await
    }

    async fn make<S: Server, T>(
        &self,
        call: &mut Waiting<'_, S>,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Error> {
        if !self.0.circuit.borrow().is_closed() {
            // Boxed as is all that is seldom: each call would have to carry it.
            call.is_trial = Box::pin(self.admit(call.server)).await.map_err(Error::unsent)?;
        }
        call.begun = Some(self.now());
        let done = work.await;
        let begun = call.begun.take().unwrap_or_default();
        done.map_err(|fault| match fault {
            Fault::Silence(error) => {
                self.silent(call.server, &error, begun);
                error
            }
            Fault::Answer(error) => error,
        })
    }

    /// Waits for a connection that `work` makes or takes, after all calls that came earlier. If the attempt of any of
    /// them fails, this fails with it.
    ///
    /// Once begun, `work` is not dropped before `until`. If this is, no other attempt begins before its end; if the
    /// circuit opens, nothing waits for it. Its connection should return to the pool if its caller has left.
    pub(super) async fn connect<S: Server, C: Send + 'static>(
        &self,
        server: &Arc<S>,
        until: Instant,
        work: impl Future<Output = Result<C, Error>> + Send + 'static,
    ) -> Result<C, Error> {
        let mut circuit = self.0.circuit.subscribe();
        // It ends without the reference to the state, which would lock the state.
        let opened = Box::pin(async move { drop(circuit.wait_for(Circuit::is_open).await) });
        let turn = Arc::clone(&self.0.connecting).lock_owned();
        // The outage first: a call that gets its turn by the failure of another must not begin to connect.
        let (turn, opened) = match timeout_at(until, select(opened, pin!(turn))).await {
            Ok(Either::Left(_)) => return Err(self.refused()),
            Ok(Either::Right(turn)) => turn,
            Err(_) => return Err(no_connection_in_time()),
        };
        let (breaker, server) = (self.clone(), Arc::clone(server));
        let work = async move {
            timeout_at(until, work).await.unwrap_or_else(|_| Err(no_connection_in_time()))
        };
        let work = self.0.attempts.run(None, work);
        let attempt = async move {
            let begun = breaker.now();
            let done = match select(opened, work).await {
                Either::Left(_) => Err(breaker.refused()),
                Either::Right((connected, _)) => {
                    if let Err(error) = &connected {
                        breaker.silent(&server, error, begun);
                    }
                    connected
                }
            };
            // After the circuit has opened.
            drop(turn);
            done
        };
        self.0.attempts.run(None, attempt).await
    }

    /// Fails while the circuit is open, unless a probe that has just begun is answered. Returns whether the call is on
    /// trial.
    async fn admit<S: Server>(&self, server: &Arc<S>) -> Result<bool, Error> {
        self.probe_if_due(server);
        let mut circuit = self.0.circuit.subscribe();
        let grace = circuit.borrow().grace().map(|grace| self.0.created + grace);
        let grace = grace.filter(|grace| *grace > Instant::now());
        if grace.is_none() {
            // A caller that tries again in a loop must not keep the probe from running.
            tokio::task::yield_now().await;
        }
        loop {
            if let Some(is_trial) = self.admitted() {
                return Ok(is_trial);
            }
            let admits = async { drop(circuit.wait_for(Circuit::admits).await) };
            match grace {
                Some(grace) if timeout_at(grace, admits).await.is_ok() => {}
                Some(_) | None => return Err(self.refused()),
            }
        }
    }

    /// Admits a call if that is possible, and returns whether it is on trial.
    fn admitted(&self) -> Option<bool> {
        let mut admitted = None;
        self.0.circuit.send_if_modified(|circuit| {
            admitted = if circuit.is_closed() {
                Some(false)
            } else {
                circuit.begin_trial().then_some(true)
            };
            false
        });
        admitted
    }

    /// Notes that the server has answered, also a call whose caller has left.
    pub(super) fn answered(&self) {
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
            server.forget();
            runtime.spawn(Self::watch(Arc::downgrade(server), self.clone()));
        }
    }

    /// Opens if callers have left for so long that the server must be silent.
    fn left<S: Server>(&self, server: &Arc<S>, begun: Duration) {
        let answered = Duration::from_micros(self.0.answered.load(Ordering::Relaxed));
        let mut silence = self.0.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = silence.left(begun, answered, self.now());
        drop(silence);
        let Ok(runtime) = Handle::try_current() else { return };
        if !is_silent || self.0.is_doubted.swap(true, Ordering::Relaxed) {
            return;
        }
        let (doubt, server) = (Doubt(self.clone()), Arc::clone(server));
        runtime.spawn(async move {
            let breaker = &doubt.0;
            if timeout(SILENCE, server.echo()).await == Ok(true) {
                breaker.answered();
            } else {
                let message = "no answer for as long as the callers waited";
                breaker.silent(&server, &Error::new(ErrorKind::TimedOut, message), begun);
            }
        });
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
                Ok(Ok(())) => {
                    breaker.answered();
                    breaker.update(Circuit::probed);
                }
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

    /// Takes an answer of the server into account, which may end the outage.
    fn update(&self, change: impl FnOnce(&mut Circuit, Duration) -> Option<Ended>) {
        let (now, mut ended) = (self.now(), None);
        self.0.circuit.send_modify(|circuit| ended = change(circuit, now));
        if let Some(Ended { lasted, refused }) = ended {
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
    is_trial: bool,
}

impl<'s, S: Server> Waiting<'s, S> {
    fn enter(server: &'s Arc<S>, max_waiting: usize) -> Result<Self, Error> {
        let waiting = Self { server, begun: None, is_trial: false };
        server.breaker().0.pacemaker.call();
        if server.breaker().0.waiting.fetch_add(1, Ordering::Relaxed) >= max_waiting {
            let message = format!("max_waiting is {max_waiting}, and so many calls wait for it");
            return Err(Error::new(ErrorKind::Unavailable, message).unsent());
        }
        Ok(waiting)
    }
}

impl<S: Server> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        let breaker = self.server.breaker();
        breaker.0.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(begun) = self.begun {
            breaker.left(self.server, begun);
        }
        if self.is_trial {
            // An attempt to connect that is under way is waited for no more.
            breaker.0.circuit.send_modify(Circuit::end_trial);
        }
    }
}

/// A server that is just being asked if it is silent. Another doubt comes after its end.
struct Doubt(Breaker);

impl Drop for Doubt {
    fn drop(&mut self) {
        self.0.0.is_doubted.store(false, Ordering::Relaxed);
    }
}

/// Returns when a timeout that begins now is over.
pub(super) fn deadline(timeout: Duration) -> Instant {
    let now = Instant::now();
    // As good as never.
    now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(1 << 30))
}

/// The id of no session, which probes read.
pub(super) const UNUSED: &str = "no-session-has-this-id";

/// Checks whether an error is the server's answer.
fn is_answer(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused | ErrorKind::Corrupt | ErrorKind::Other)
}

/// Checks whether all calls would fail with this error of a probe.
pub(super) fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut)
}

/// The error of a call whose timeout is over before it has a connection.
pub(super) fn no_connection_in_time() -> Error {
    Error::new(ErrorKind::Unavailable, "no connection in time")
}

/// The error of a call that was sent, and is not answered within its timeout.
pub(super) fn no_answer_in_time() -> Error {
    Error::new(ErrorKind::TimedOut, "no answer in time")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Returns a number from 0 to 1; without randomness, the middle.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt as _;
    use tokio::task::yield_now;

    use super::*;

    /// A server whose probes are answered or not.
    #[derive(Default)]
    struct Scripted {
        breaker: Breaker,
        probes: AtomicUsize,
        forgotten: AtomicUsize,
        answers: watch::Sender<bool>,
        /// After how many milliseconds an echo is answered.
        echo: Option<u64>,
    }

    impl Server for Scripted {
        fn breaker(&self) -> &Breaker {
            &self.breaker
        }

        fn forget(&self) {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }

        async fn echo(&self) -> bool {
            match self.echo {
                Some(millis) => sleep_until(Instant::now() + at(millis)).await,
                None => return false,
            }
            true
        }

        async fn probe(&self) -> Result<(), Error> {
            self.probes.fetch_add(1, Ordering::Relaxed);
            let _ = self.answers.subscribe().wait_for(|answers| *answers).await;
            Ok(())
        }
    }

    impl Scripted {
        fn is_closed(&self) -> bool {
            self.breaker.0.circuit.borrow().is_closed()
        }
    }

    async fn call<T>(
        server: &Arc<Scripted>,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Error> {
        server.breaker.call(server, MAX_WAITING, work).await
    }

    /// Makes a call that has to connect.
    async fn connecting(
        server: &Arc<Scripted>,
        within: Duration,
        attempt: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Result<(), Error> {
        let work = server.breaker.connect(server, deadline(within), attempt);
        call(server, async { Ok(work.await?) }).await
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn attempt_whose_caller_left_continues_and_its_failure_answers_those_that_wait() {
        let server = Arc::new(Scripted::default());
        let attempts = Arc::new(AtomicUsize::new(0));
        let attempt = || {
            let attempts = Arc::clone(&attempts);
            async move {
                attempts.fetch_add(1, Ordering::Relaxed);
                pending().await
            }
        };
        let first = timeout(at(10), connecting(&server, at(300), attempt())).await;
        assert!(first.is_err());
        let begun = Instant::now();
        let second = connecting(&server, at(5000), attempt()).await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::Unavailable);
        assert!(begun.elapsed() <= at(300), "{:?}", begun.elapsed());
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        assert!(!server.is_closed());
        assert_eq!(server.forgotten.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn attempt_whose_caller_left_gives_its_connection_to_the_next() {
        let server = Arc::new(Scripted::default());
        let (connection, connected) = tokio::sync::oneshot::channel();
        let attempt = async {
            sleep_until(Instant::now() + at(300)).await;
            connection.send(()).unwrap();
            Ok(())
        };
        assert!(timeout(at(10), connecting(&server, at(5000), attempt)).await.is_err());
        // Its turn comes after that.
        let mut connected = connected;
        let taken = async move {
            connected.try_recv().map_err(|_| Error::new(ErrorKind::Other, "no connection"))
        };
        connecting(&server, at(5000), taken).await.unwrap();
        assert!(server.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_leave_early_open_the_circuit_together() {
        let server = Arc::new(Scripted::default());
        for _ in 0..2 {
            assert!(timeout(at(150), call::<()>(&server, pending())).await.is_err());
        }
        assert!(server.is_closed());
        // An answer that comes after its caller has left.
        server.breaker.answered();
        for _ in 0..2 {
            assert!(timeout(at(150), call::<()>(&server, pending())).await.is_err());
        }
        assert!(server.is_closed());
        assert!(timeout(at(150), call::<()>(&server, pending())).await.is_err());
        yield_now().await;
        assert!(!server.is_closed());
        assert!(call(&server, ready(Ok(()))).await.unwrap_err().retry_after().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn echo_tells_a_server_that_is_far_away_from_one_that_is_silent() {
        for (echo, is_far) in [(300, true), (4000, false)] {
            let server = Arc::new(Scripted { echo: Some(echo), ..Scripted::default() });
            for _ in 0..8 {
                // Refused or left.
                let _ = timeout(at(150), call::<()>(&server, pending())).await;
            }
            assert_eq!(server.is_closed(), is_far);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_is_lent_is_no_answer() {
        let server = Arc::new(Scripted::default());
        let call = async { timeout(at(400), call::<()>(&server, pending())).await };
        let lend = async {
            yield_now().await;
            server.breaker.lend(&server, MAX_WAITING, ready(Ok(()))).await
        };
        let (call, lent) = tokio::join!(biased; call, lend);
        assert!(call.is_err() && lent.is_ok());
        yield_now().await;
        assert!(!server.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn outage_after_an_answered_probe_ends_with_one_answered_call() {
        let server = Arc::new(Scripted::default());
        let silent = || async { Err::<(), _>(Fault::Silence(no_connection_in_time())) };
        call(&server, silent()).await.unwrap_err();
        server.answers.send_replace(true);
        // A call waits for the probe.
        call(&server, ready(Ok(()))).await.unwrap();
        assert!(server.is_closed());

        tokio::time::advance(at(1000)).await;
        call(&server, silent()).await.unwrap_err();
        // A probe is answered, and admits one call of these, which can connect.
        let trial = connecting(&server, at(5000), pending());
        let other = async {
            yield_now().await;
            call(&server, ready(Ok(()))).await
        };
        let (trial, other) = tokio::join!(biased; timeout(at(100), trial), other);
        assert!(trial.is_err());
        assert!(other.unwrap_err().retry_after().is_some());
        assert!(!server.is_closed());
        // It has not held up the probes.
        tokio::time::advance(at(600)).await;
        call(&server, ready(Ok(()))).await.unwrap();
        assert!(server.is_closed());
    }

    #[test]
    fn calls_work_without_a_runtime_and_open_nothing() {
        let server = Arc::new(Scripted::default());
        let mut left = Box::pin(call::<()>(&server, pending()));
        assert!(left.as_mut().now_or_never().is_none());
        drop(left);
        let silent = async { Err::<(), _>(Fault::Silence(no_connection_in_time())) };
        assert!(call(&server, silent).now_or_never().unwrap().is_err());
        assert!(call(&server, ready(Ok(()))).now_or_never().unwrap().is_ok());
        assert!(server.is_closed());
    }

    #[tokio::test]
    async fn timeout_beyond_the_range_of_the_clock_is_as_good_as_never() {
        assert!(deadline(Duration::MAX) > Instant::now() + Duration::from_secs(1 << 29));
    }
}
