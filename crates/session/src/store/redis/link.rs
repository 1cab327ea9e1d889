//! One connection that all calls share, and that is replaced when it is lost.
//!
//! The driver's own reconnecting connection is not used: it reconnects to the same address when a sentinel
//! would name another, it keeps a connection that no longer answers, and its first call after an outage
//! fails with the error of an attempt during the outage.
//!
//! 1. A call without an answer in time discards its connection, and later calls make a new one.
//! 2. A server that cannot be reached is `Unavailable` immediately; no call waits for its return.
//! 3. A call is repeated only if it has certainly not happened, or is idempotent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use ::redis::{Pipeline, RedisError, RedisResult, Value, cmd};
use express_session_core::store::{Error, ErrorKind};
use tokio::time::{Instant, timeout_at};

use super::super::breaker::{self, Breaker, Fault, Server, UNUSED, deadline};
use super::address::Address;
use super::answer;
use super::connection::Connection;
use super::error::{self, Outcome, Stage, without_arguments};
use super::replicas::Replicas;
use super::script::{self, Script};
use super::source::{self, Source, Trust};
use super::swap::{self, Swap, Way};

/// How often a cluster is asked in all, while it says that it is the wrong moment or the wrong node.
const TRIES: u32 = 6;
/// The first pause between, which doubles: together they are 0.6 s.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Link {
    source: Source,
    breaker: Breaker,
    live: RwLock<Option<Live>>,
    /// For the calls that wait for replicas, since their connection answers no other call meanwhile.
    waiting: RwLock<Option<Live>>,
    /// For transactions, one after the other.
    exclusive: tokio::sync::Mutex<Option<Live>>,
    rights: Rights,
    /// The prefix of the keys that probes read.
    prefix: RwLock<Arc<str>>,
    is_cluster: bool,
    shown: Box<str>,
}

/// The rights that the login has shown to lack, and whether the server has `IFEQ`. A new connection forgets both.
#[derive(Default)]
struct Rights {
    refuses_scripts: AtomicBool,
    compare: Mutex<Compare>,
}

/// Whether the server has `IFEQ`.
#[derive(Clone, Copy, Default)]
enum Compare {
    #[default]
    Unknown,
    Has,
    /// Found at this time. The servers of a cluster may differ while it is upgraded, and their connections are the
    /// driver's, so that it is asked again after [`RETRY`].
    Lacks(Instant),
}

const RETRY: Duration = Duration::from_secs(60);

impl Rights {
    fn forget(&self) {
        self.refuses_scripts.store(false, Ordering::Relaxed);
        *self.compare() = Compare::Unknown;
    }

    fn compare(&self) -> MutexGuard<'_, Compare> {
        self.compare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Live {
    connection: Connection,
    is_lost: Arc<AtomicBool>,
}

/// A call to the server.
pub(super) struct Call<'a> {
    pub(super) work: Work<'a>,
    /// Whether the call is idempotent.
    pub(super) is_repeatable: bool,
    /// On a cluster: the slot whose master to ask, instead of that of the keys.
    pub(super) slot: Option<u16>,
    /// The replicas to wait for. Their answer is the last one.
    pub(super) replicas: Option<Replicas>,
}

pub(super) enum Work<'a> {
    Commands(Pipeline),
    Script {
        script: &'a Script,
        keys: &'a [&'a str],
        arguments: &'a [&'a str],
    },
    /// An update in a transaction.
    Transaction(Swap<'a>),
}

enum Failure {
    /// There is no connection, or no way to do it, so that nothing was sent.
    Unsent(Error),
    Ask(RedisError),
}

impl Link {
    /// Takes a connection of the application's.
    pub(super) fn over(connection: Connection) -> Self {
        Self::from(Source::Given(connection), "a given connection".into())
    }

    /// Will connect with the first call.
    pub(super) fn to(address: Address, trust: &Trust) -> Result<Self, Error> {
        #[cfg(feature = "tls")]
        trust.check(&address)?;
        let shown = address.shown().into();
        let source = Source::new(address, trust);
        Ok(Self::from(source.map_err(|error| error::of(error, Stage::Connecting))?, shown))
    }

    fn from(source: Source, shown: Box<str>) -> Self {
        let is_cluster = source.is_cluster();
        let (live, waiting, exclusive) = Default::default();
        let (breaker, rights) = Default::default();
        let prefix = RwLock::new("".into());
        Self { source, breaker, live, waiting, exclusive, rights, prefix, is_cluster, shown }
    }

    /// Sets the prefix of the keys that probes read, since the login may be limited to it. The last one of several stores
    /// is as good as the others.
    pub(super) fn probe_with(&self, prefix: &Arc<str>) {
        *self.prefix.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(prefix);
    }

    fn unused(&self) -> String {
        let prefix = self.prefix.read().unwrap_or_else(PoisonError::into_inner);
        format!("{prefix}{UNUSED}")
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// Returns whether the login was not allowed to run scripts the last time.
    pub(super) fn refuses_scripts(&self) -> bool {
        self.rights.refuses_scripts.load(Ordering::Relaxed)
    }

    /// Returns whether the server has `IFEQ`, or `None` if it has to be asked.
    pub(super) fn compares(&self) -> Option<bool> {
        match *self.rights.compare() {
            Compare::Unknown => None,
            Compare::Has => Some(true),
            Compare::Lacks(since) => (since.elapsed() < RETRY).then_some(false),
        }
    }

    /// Notes whether the server has `IFEQ`.
    pub(super) fn note_compares(&self, compares: bool) {
        *self.rights.compare() =
            if compares { Compare::Has } else { Compare::Lacks(Instant::now()) };
    }

    /// Notes that the server or the login lacks a way of updating.
    pub(super) fn lacks(&self, way: Way) {
        match way {
            Way::Compare => self.note_compares(false),
            Way::Script => self.rights.refuses_scripts.store(true, Ordering::Relaxed),
            Way::Transaction => {}
        }
    }

    /// Returns whether transactions can have a connection of their own.
    pub(super) fn has_transactions(&self) -> bool {
        self.source.makes_connections()
    }

    /// Returns the address without its login.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Asks, and gives one answer for each command; errors that the server answered are among them.
    pub(super) async fn ask(
        self: &Arc<Self>,
        call: &Call<'_>,
        timeout: Duration,
        max_waiting: usize,
    ) -> Result<Vec<Value>, Error> {
        let asked = Asked { until: deadline(timeout), lost: Mutex::default() };
        let work = async {
            match timeout_at(asked.until, self.tries(call, &asked)).await {
                Ok(Ok(answers)) => Ok(answers),
                Ok(Err(Failure::Unsent(error))) => Err(error.into()),
                Ok(Err(Failure::Ask(error))) if self.is_cluster => {
                    Err(error::of(error, Stage::AskingCluster).into())
                }
                Ok(Err(Failure::Ask(error))) => Err(error::of(error, Stage::Asking).into()),
                Err(_) => Err(Fault::Silence(if asked.give_up() {
                    Error::new(ErrorKind::TimedOut, format!("no answer within {timeout:?}"))
                } else {
                    Error::new(ErrorKind::Unavailable, format!("no connection within {timeout:?}"))
                })),
            }
        };
        // Boxed here, so that the calls around it stay small.
        self.breaker.call(self, max_waiting, Box::pin(work)).await
    }

    async fn tries(
        self: &Arc<Self>,
        call: &Call<'_>,
        asked: &Asked,
    ) -> Result<Vec<Value>, Failure> {
        let mut tried = 0;
        loop {
            let error = match self.once(call, asked).await {
                Err(Failure::Ask(error)) => error,
                done => return done,
            };
            tried += 1;
            let outcome = error::outcome(&error);
            match pause(outcome, tried, call.is_repeatable, self.is_cluster) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(Failure::Ask(error)),
            }
        }
    }

    async fn once(self: &Arc<Self>, call: &Call<'_>, asked: &Asked) -> Result<Vec<Value>, Failure> {
        if let Work::Transaction(swap) = &call.work {
            return Box::pin(self.transact(call, swap, asked)).await;
        }
        let place: Place =
            if call.replicas.is_some() { |link| &link.waiting } else { |link| &link.live };
        let mut live = match current(place(self)) {
            Some(live) => live,
            // Boxed as is all that is seldom: each call would have to carry it.
            None => Box::pin(self.connect(place, asked.until)).await.map_err(Failure::Unsent)?,
        };
        asked.on(&live);
        let error = match call.ask(&mut live.connection).await {
            Ok(answers) => {
                if matches!(call.work, Work::Script { .. }) && script::is_refused(&answers) {
                    self.rights.refuses_scripts.store(true, Ordering::Relaxed);
                }
                return Ok(answers);
            }
            Err(error) => error,
        };
        if let Some(asked) = Box::pin(self.ask_new_home(call, &error)).await {
            return asked;
        }
        // The connections to a cluster are looked after by the driver.
        if !self.is_cluster && error::outcome(&error) != Outcome::Settled {
            live.is_lost.store(true, Ordering::Relaxed);
        }
        Err(Failure::Ask(error))
    }

    /// Updates in a transaction.
    async fn transact(
        self: &Arc<Self>,
        call: &Call<'_>,
        swap: &Swap<'_>,
        asked: &Asked,
    ) -> Result<Vec<Value>, Failure> {
        if !self.has_transactions() {
            return Err(Failure::Unsent(without_rights("")));
        }
        let mut place = self.exclusive.lock().await;
        let live = match place.as_ref().filter(|live| !live.is_lost.load(Ordering::Relaxed)) {
            Some(live) => live.clone(),
            None => {
                let link = Arc::clone(self);
                let connect = async move { link.open().await };
                let connect = self.breaker.connect(self, asked.until, connect);
                connect.await.map_err(Failure::Unsent)?
            }
        };
        *place = Some(live.clone());
        asked.on(&live);
        let done = transact(call, swap, live.connection.clone()).await;
        match self.settle(&live, done) {
            Err(Failure::Ask(error)) if error::is_of_command(&error) => {
                let error = without_arguments(&error);
                Err(Failure::Unsent(
                    without_rights(", nor those of transactions").with_source(error),
                ))
            }
            done => done,
        }
    }

    /// Leaves a connection on which a call may have failed.
    fn settle(&self, live: &Live, done: RedisResult<Vec<Value>>) -> Result<Vec<Value>, Failure> {
        done.map_err(|error| {
            if !self.is_cluster && error::outcome(&error) != Outcome::Settled {
                live.is_lost.store(true, Ordering::Relaxed);
            }
            Failure::Ask(error)
        })
    }

    /// Asks the node that a slot is just moving to, if that is what the error says.
    async fn ask_new_home(
        &self,
        call: &Call<'_>,
        error: &RedisError,
    ) -> Option<Result<Vec<Value>, Failure>> {
        let (host, port) = new_home(error)?;
        match self.source.node(host, port)? {
            Ok(node) => Some(call.ask_new_home(&node).await),
            Err(error) => Some(Err(Failure::Ask(error))),
        }
    }

    /// Returns the connection. One call makes it, while the others wait for it.
    async fn connect(self: &Arc<Self>, place: Place, until: Instant) -> Result<Live, Error> {
        let link = Arc::clone(self);
        let connect = async move {
            match current(place(&link)) {
                Some(live) => Ok(live),
                None => {
                    let live = link.open().await?;
                    link.replace(place, &live);
                    Ok(live)
                }
            }
        };
        self.breaker.connect(self, until, connect).await
    }

    fn replace(&self, place: Place, live: &Live) {
        self.rights.forget();
        *place(self).write().unwrap_or_else(PoisonError::into_inner) = Some(live.clone());
    }

    async fn open(&self) -> Result<Live, Error> {
        let is_lost = Arc::default();
        let connection = self.source.connect(&is_lost).await;
        let connection = connection.map_err(|error| error::of(error, Stage::Connecting))?;
        Ok(Live { connection, is_lost })
    }
}

/// Updates in a transaction, on a connection of its own.
async fn transact(
    call: &Call<'_>,
    swap: &Swap<'_>,
    mut connection: Connection,
) -> RedisResult<Vec<Value>> {
    loop {
        let answers = undone(connection.ask(&swap.watch(), None).await?)?;
        if let Some(answers) = swap.otherwise(answers)? {
            return Ok(with_wait(answers, call.replicas));
        }
        let commands = swap.transaction(call.replicas);
        let answers = undone(connection.ask(&commands, None).await?)?;
        if let Some(answers) = swap::done(answers, call.replicas)? {
            return Ok(answers);
        }
    }
}

/// Adds the answer of the replicas, which were not asked.
fn with_wait(mut answers: Vec<Value>, replicas: Option<Replicas>) -> Vec<Value> {
    answers.extend(replicas.map(|_| Value::Int(0)));
    answers
}

/// Makes the error of a login that can create sessions, and not change them.
pub(super) fn without_rights(more: &str) -> Error {
    let message = format!(
        "the login lacks the commands of scripts{more}: allow +evalsha +eval, or +watch +multi +exec for one server, \
         or use a server that has SET … IFEQ (Valkey 8.1, Redis 8.4)"
    );
    Error::new(ErrorKind::Refused, message)
}

impl Server for Link {
    fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    fn forget(&self) {
        for place in [&self.live, &self.waiting] {
            *place.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        // A transaction that is under way leaves it itself.
        if let Ok(mut place) = self.exclusive.try_lock() {
            *place = None;
        }
    }

    async fn echo(&self) -> bool {
        let Some(mut live) = current(&self.live) else { return false };
        let mut ping = Pipeline::with_capacity(1);
        ping.cmd("PING");
        live.connection.ask(&ping, None).await.is_ok()
    }

    /// Keeps the connection, once it has answered.
    async fn probe(&self) -> Result<(), Error> {
        let mut live = self.open().await?;
        let mut read = Pipeline::with_capacity(1);
        read.cmd("GET").arg(self.unused());
        let answers = live.connection.ask(&read, None).await;
        let error = match answers.map(|answers| answer::error_among(&answers, |_| true)) {
            Ok(None) => None,
            Ok(Some(error)) | Err(error) => Some(error::of(error, Stage::Asking)),
        };
        match error {
            Some(error) if breaker::is_outage(&error) => Err(error),
            // A server that refuses has answered.
            Some(_) | None => {
                self.replace(|link| &link.live, &live);
                Ok(())
            }
        }
    }
}

/// One of the places of a connection.
type Place = fn(&Link) -> &RwLock<Option<Live>>;

fn current(place: &RwLock<Option<Live>>) -> Option<Live> {
    let live = place.read().unwrap_or_else(PoisonError::into_inner);
    live.as_ref().filter(|live| !live.is_lost.load(Ordering::Relaxed)).cloned()
}

impl Call<'_> {
    async fn ask(&self, connection: &mut Connection) -> RedisResult<Vec<Value>> {
        let answers = match &self.work {
            Work::Commands(commands) => self.send(commands, connection).await?,
            // It is made in steps.
            Work::Transaction(swap) => self.send(&swap.watch(), connection).await?,
            Work::Script { script, keys, arguments } => {
                let answers = self.send(&script.by_hash(keys, arguments), connection).await?;
                if !script::is_unknown(&answers) {
                    return undone(answers);
                }
                let by_code = script.by_code(keys, arguments);
                Box::pin(self.send(&by_code, connection)).await?
            }
        };
        undone(answers)
    }

    async fn send(
        &self,
        commands: &Pipeline,
        connection: &mut Connection,
    ) -> RedisResult<Vec<Value>> {
        let Some(replicas) = self.replicas else {
            return connection.ask(commands, self.slot).await;
        };
        let mut commands = commands.clone();
        commands.add_command(replicas.command());
        connection.ask(&commands, self.slot).await
    }

    /// Asks the node that a slot is just moving to. That is so seldom that the connection is not kept.
    async fn ask_new_home(&self, node: &::redis::Client) -> Result<Vec<Value>, Failure> {
        let connection = source::connect(node, &Arc::default()).await;
        let connection = connection.map_err(|error| error::of(error, Stage::Connecting));
        let mut connection = Connection::from(connection.map_err(Failure::Unsent)?);
        let commands = match &self.work {
            Work::Commands(commands) => commands.clone(),
            Work::Transaction(swap) => swap.watch(),
            Work::Script { script, keys, arguments } => script.by_code(keys, arguments),
        };
        let wait = self.replicas.map(Replicas::command);
        let mut asking = Pipeline::new();
        for command in commands.cmd_iter().chain(&wait) {
            asking.add_command(cmd("ASKING")).add_command(command.clone());
        }
        let answers = connection.ask(&asking, None).await.map_err(Failure::Ask)?;
        Ok(answers.into_iter().skip(1).step_by(2).collect())
    }
}

/// The end of a call's time, and the connection that it was last sent on.
struct Asked {
    until: Instant,
    lost: Mutex<Option<Arc<AtomicBool>>>,
}

impl Asked {
    fn on(&self, live: &Live) {
        let is_lost = Arc::clone(&live.is_lost);
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(is_lost);
    }

    /// Lets other calls use another connection, and says whether there was one.
    fn give_up(&self) -> bool {
        let is_lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        is_lost.as_ref().inspect(|is_lost| is_lost.store(true, Ordering::Relaxed)).is_some()
    }
}

/// Returns the pause after which to try again, if at all.
fn pause(outcome: Outcome, tried: u32, is_repeatable: bool, is_cluster: bool) -> Option<Duration> {
    let may_repeat = match outcome {
        Outcome::Undone => true,
        Outcome::Unknown => is_repeatable,
        Outcome::Settled => false,
    };
    if is_cluster {
        (may_repeat && tried < TRIES).then(|| PAUSE * 2_u32.pow(tried - 1))
    } else {
        (may_repeat && tried == 1).then_some(Duration::ZERO)
    }
}

/// Finds among the answers that the server did nothing, for a reason that passes.
fn undone(answers: Vec<Value>) -> RedisResult<Vec<Value>> {
    let is_undone = |error: &RedisError| error::outcome(error) == Outcome::Undone;
    answer::error_among(&answers, is_undone).map_or(Ok(answers), Err)
}

/// Reads where a slot is just moving to.
fn new_home(error: &RedisError) -> Option<(String, u16)> {
    let (address, _) = error.redirect_node().filter(|_| error.code() == Some("ASK"))?;
    let (host, port) = address.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_that_may_have_happened_is_repeated_only_where_twice_is_as_good() {
        for is_cluster in [false, true] {
            assert!(pause(Outcome::Unknown, 1, true, is_cluster).is_some());
            assert!(pause(Outcome::Unknown, 1, false, is_cluster).is_none());
            assert!(pause(Outcome::Undone, 1, false, is_cluster).is_some());
            assert!(pause(Outcome::Settled, 1, true, is_cluster).is_none());
        }
    }

    #[test]
    fn repeating_comes_to_an_end() {
        assert_eq!(pause(Outcome::Undone, 2, true, false), None);
        let pauses: Vec<_> =
            (1..).map_while(|tried| pause(Outcome::Undone, tried, true, true)).collect();
        assert_eq!(pauses.iter().sum::<Duration>(), Duration::from_millis(620));
    }

    #[test]
    fn moving_slot_tells_its_new_home() {
        let answer = ::redis::parse_redis_value(b"-ASK 3999 127.0.0.1:6381\r\n").unwrap();
        let error = answer.extract_error().unwrap_err();
        assert_eq!(new_home(&error), Some(("127.0.0.1".to_owned(), 6381)));
        let answer = ::redis::parse_redis_value(b"-MOVED 3999 127.0.0.1:6381\r\n").unwrap();
        assert_eq!(new_home(&answer.extract_error().unwrap_err()), None);
    }
}
