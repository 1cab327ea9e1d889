//! The store's threads: one that writes, a few that read, each with a connection of its own.
//!
//! 1. A call is sent to a thread through a bounded queue and answered through a channel, so that a
//!    future may be dropped at any time: its call happens or, if it has not begun, does not.
//! 2. The writer batches all waiting calls, up to [`BATCH`], into one transaction, so that concurrent
//!    requests share a commit. If the transaction fails, each call gets one of its own.
//! 3. A connection that fails is dropped, and opened again by the next call.
//! 4. The writer removes what has expired, in steps between the calls, when a call comes whose `now`
//!    is an interval later. An idle store does nothing.
//! 5. The threads end when the store is dropped and the queue is empty. Their connections are closed one
//!    after the other: SQLite removes its log with the last one, and of two that are closed concurrently
//!    neither is the last.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use express_session_core::Timestamp;
use express_session_core::store::{Error, ErrorKind};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use super::super::local::{DiskCalls, Work};
use super::super::steady::Times;
use super::Options;
use super::database::{Database, Failure, Result, busy};

/// How many calls may wait for a thread.
const QUEUE: usize = 1024;
/// How many calls one transaction takes.
const BATCH: usize = 64;

/// A call to run on a thread.
pub(super) trait Job: Send {
    /// Does the work, and keeps the result. It may be called again, after a roll-back.
    fn run(&mut self, database: &Database) -> Result<()>;
    /// Sends the caller the result or the error.
    fn answer(self: Box<Self>, done: Answer<()>);
    /// Returns whether the caller no longer waits for the result.
    fn is_abandoned(&self) -> bool;
    /// The time that the caller told.
    fn now(&self) -> Option<Timestamp>;
}

/// The answer to a caller.
pub(super) type Answer<T> = std::result::Result<T, Error>;

type Queue = Sender<Box<dyn Job>>;

/// A call: what to do, and whom to tell.
///
/// The work fails as a whole with SQLite's error, which rolls the transaction back, or gives the call
/// its own result, which may be an error too.
struct Call<T, W> {
    work: W,
    now: Option<Timestamp>,
    done: Option<Answer<T>>,
    reply: oneshot::Sender<Answer<T>>,
    _under_way: Work,
}

impl<T, W> Job for Call<T, W>
where
    T: Send,
    W: FnMut(&Database) -> Result<Answer<T>> + Send,
{
    fn run(&mut self, database: &Database) -> Result<()> {
        self.done = Some((self.work)(database)?);
        Ok(())
    }

    fn answer(self: Box<Self>, done: Answer<()>) {
        let Self { done: own, reply, .. } = *self;
        let never_ran = || Err(Error::new(ErrorKind::Other, "the call was not carried out"));
        // A caller that is gone needs no answer.
        let _ = reply.send(done.and_then(|()| own.unwrap_or_else(never_ran)));
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn now(&self) -> Option<Timestamp> {
        self.now
    }
}

/// Which thread a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Read,
    Write,
}

/// The threads, which start with the first call.
pub(super) struct Workers {
    options: Arc<Options>,
    reads: DiskCalls,
    writes: DiskCalls,
    queues: Mutex<Option<KeyedMutex>>,
}

struct KeyedMutex {
    write: Queue,
    /// `None` where the writer reads as well.
    read: Option<Queue>,
}

impl Workers {
    pub(super) fn new(options: Arc<Options>) -> Self {
        let [reads, writes] = [options.readers.max(1), 1].map(DiskCalls::new);
        Self { options, reads, writes, queues: Mutex::new(None) }
    }

    /// Runs work on a thread, and waits for the result until the timeout of the options.
    pub(super) async fn call<T, W>(&self, task: Task, now: Option<Timestamp>, work: W) -> Answer<T>
    where
        T: Send + 'static,
        W: FnMut(&Database) -> Result<Answer<T>> + Send + 'static,
    {
        let calls = if task == Task::Read { &self.reads } else { &self.writes };
        let _waiting = calls.enter(self.options.timeout)?;
        let queue = self.queue(task)?;
        let (reply, answer) = oneshot::channel();
        let call = Call { work, now, done: None, reply, _under_way: calls.begin() };
        let asked = async {
            if queue.send(Box::new(call)).await.is_err() {
                self.forget();
                return Err(ended());
            }
            answer.await.unwrap_or_else(|_| Err(ended()))
        };
        tokio::time::timeout(self.options.timeout, asked).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::TimedOut, "SQLite did not answer within the timeout"))
        })
    }

    fn queue(&self, task: Task) -> Answer<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queues = match &mut *queues {
            Some(queues) => queues,
            none => none.insert(start(&self.options).map_err(|error| {
                Error::new(ErrorKind::Unavailable, "no thread could be started").with_source(error)
            })?),
        };
        Ok(match (task, &queues.read) {
            (Task::Read, Some(read)) => read.clone(),
            (Task::Read, None) | (Task::Write, _) => queues.write.clone(),
        })
    }

    /// Lets the next call start new threads.
    fn forget(&self) {
        *self.queues.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "the thread of the store has ended")
}

fn start(options: &Arc<Options>) -> std::io::Result<KeyedMutex> {
    let (write, jobs) = channel(QUEUE);
    let closing = Arc::default();
    let writer =
        Writer { connection: Connection::new(options, &closing), cleaner: Cleaner::default() };
    spawn("session-write", move || writer.run(jobs))?;

    // A database in memory is one connection's own.
    if options.readers == 0 || options.is_in_memory() {
        return Ok(KeyedMutex { write, read: None });
    }
    let (read, jobs) = channel(QUEUE);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..options.readers {
        let (jobs, connection) = (Arc::clone(&jobs), Connection::new(options, &closing));
        spawn("session-read", move || run_reader(connection, &jobs))?;
    }
    Ok(KeyedMutex { write, read: Some(read) })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn run_reader(mut connection: Connection, jobs: &Mutex<Receiver<Box<dyn Job>>>) {
    loop {
        // One reader waits for a job, the others wait for their turn to wait.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(mut job) = job else { break };
        if job.is_abandoned() {
            continue;
        }
        let done = connection.with(|database| job.run(database));
        job.answer(done.map_err(Error::from));
    }
}

/// A connection that is opened when it is needed.
struct Connection {
    options: Arc<Options>,
    database: Option<Database>,
    /// Held by the one that is being closed.
    closing: Arc<Mutex<()>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _alone = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        self.database = None;
    }
}

impl Connection {
    fn new(options: &Arc<Options>, closing: &Arc<Mutex<()>>) -> Self {
        Self { options: Arc::clone(options), database: None, closing: Arc::clone(closing) }
    }

    fn with<T>(&mut self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let database = match &mut self.database {
            Some(database) => database,
            none => none.insert(Database::open(&self.options)?),
        };
        let done = work(database);
        if done.as_ref().is_err_and(Failure::breaks_the_connection) {
            self.database = None;
        }
        done
    }

    /// How often to remove what has expired, where that is known yet.
    fn cleanup_interval(&self) -> Option<Duration> {
        let dialect = self.database.as_ref()?.dialect();
        self.options.cleanup_interval(dialect)
    }

    fn transaction<T>(&mut self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let mut is_stuck = false;
        let done = self.with(|database| {
            database.begin()?;
            let done = work(database).and_then(|done| database.commit().map(|()| done));
            if done.is_err() {
                is_stuck = database.roll_back().is_err();
            }
            done
        });
        if is_stuck {
            self.database = None;
        }
        done
    }
}

struct Writer {
    connection: Connection,
    cleaner: Cleaner,
}

impl Writer {
    fn run(mut self, mut jobs: Receiver<Box<dyn Job>>) {
        let mut batch = Vec::new();
        loop {
            let first = if self.cleaner.is_busy() {
                match jobs.try_recv() {
                    Ok(job) => Some(job),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => break,
                }
            } else {
                let Some(job) = jobs.blocking_recv() else { break };
                Some(job)
            };
            batch.extend(first);
            while !batch.is_empty() && batch.len() < BATCH {
                let Ok(job) = jobs.try_recv() else { break };
                batch.push(job);
            }
            let now = batch.iter().filter_map(|job| job.now()).max();
            self.carry_out(&mut batch);
            if let Some(now) = now {
                self.cleaner.tell(now, self.connection.cleanup_interval());
            }
            self.cleaner.step(&mut self.connection);
        }
    }

    fn carry_out(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        batch.retain(|job| !job.is_abandoned());
        if batch.len() > 1 {
            let all = |database: &Database| batch.iter_mut().try_for_each(|job| job.run(database));
            match self.connection.transaction(all) {
                Ok(()) => batch.drain(..).for_each(|job| job.answer(Ok(()))),
                // Each would wait as long again, one after the other.
                Err(failure) if failure.is_busy() => {
                    batch.drain(..).for_each(|job| job.answer(Err(busy())));
                }
                Err(_) => {}
            }
        }
        for mut job in batch.drain(..).filter(|job| !job.is_abandoned()) {
            let done = self.connection.transaction(|database| job.run(database));
            job.answer(done.map_err(Error::from));
        }
    }
}

/// Removes what has expired, some ids at a time.
#[derive(Default)]
struct Cleaner {
    /// When the last round began, by the calls' time.
    last: Option<Timestamp>,
    /// The time of the round that is going on, and the id up to which it has come.
    round: Option<(Timestamp, String)>,
}

impl Cleaner {
    fn is_busy(&self) -> bool {
        self.round.is_some()
    }

    fn tell(&mut self, now: Timestamp, interval: Option<Duration>) {
        let Some(interval) = interval else { return };
        // A clock that was set back does not put the next round off for longer than an interval.
        let passed = |last: Timestamp| last.millis().abs_diff(now.millis()).into();
        if self.last.is_none_or(|last| interval.as_millis() <= passed(last)) {
            self.last = Some(now);
            self.round = Some((now, String::new()));
        }
    }

    fn step(&mut self, connection: &mut Connection) {
        let Some((now, after)) = self.round.take() else { return };
        let ended = Times::of(now).ended();
        match connection.transaction(|database| database.clean(&after, ended)) {
            Ok(Some(next)) => self.round = Some((now, next)),
            Ok(None) => {}
            Err(failure) => tracing::warn!(
                target: "express_session",
                error = &Error::from(failure) as &dyn std::error::Error,
                "expired sessions could not be removed; the next round tries again",
            ),
        }
    }
}
