//! Calls on their way to the runtime, and answers on their way to JavaScript: many at a time.
//!
//! Waking a thread costs more than all of the rest. JavaScript sends the calls of a turn together, so that a store
//! can send them to its server together; answers that arrive together wake it once.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Either6, Null, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Error, Status};
use napi_derive::napi;
use tokio::runtime::Handle;

use super::sealed::Upgraded;
use super::{Listing, failure, runtime};

/// The calls of one JavaScript thread, and their answers.
#[napi]
pub struct Mailbox {
    calls: Mutex<Vec<Work>>,
    answers: Arc<Answers>,
}

/// The answers that have arrived, each with the number of its call.
#[napi(object, object_from_js = false)]
pub struct Delivery {
    /// The numbers of the calls.
    pub numbers: Vec<u32>,
    /// The answer to each.
    pub answers: Vec<Answer>,
}

/// Nothing, a record, a number of sessions, some of them, why there is no answer, or a page of an upgrade.
pub type Answer = Either6<Null, String, f64, Listing, Error, Upgraded>;

/// The work of a call, including its answer.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A call that is answered exactly once, also if it panics.
pub(super) struct Call {
    number: u32,
    answers: Option<Arc<Answers>>,
}

/// The answers that JavaScript has not taken yet.
struct Answers {
    waiting: Mutex<Vec<(u32, Answer)>>,
    bell: Bell,
}

/// Calls a JavaScript function on its thread, without keeping the process alive.
type Bell = ThreadsafeFunction<(), Unknown<'static>, (), Status, false, true>;

#[napi]
impl Mailbox {
    /// Makes a mailbox, with the function to call when answers arrive.
    #[napi(constructor, catch_unwind)]
    #[must_use]
    pub fn new(bell: Bell) -> Self {
        let answers = Answers { waiting: Mutex::default(), bell };
        Self { calls: Mutex::default(), answers: Arc::new(answers) }
    }

    /// Starts the calls that were made.
    #[napi(catch_unwind)]
    pub fn send(&self) {
        let calls = mem::take(&mut *lock(&self.calls));
        match runtime::handle() {
            Ok(runtime) => drop(runtime.spawn(async {
                for work in calls {
                    tokio::spawn(work);
                }
            })),
            // Each answers when it is dropped.
            Err(_) => drop(calls),
        }
    }

    /// Returns the answers that have arrived.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn take(&self) -> Delivery {
        let (numbers, answers) = mem::take(&mut *lock(&self.answers.waiting)).into_iter().unzip();
        Delivery { numbers, answers }
    }
}

impl Mailbox {
    /// Makes a call of this number.
    pub(super) fn call<F>(&self, number: u32, work: impl FnOnce(Call) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let call = Call { number, answers: Some(Arc::clone(&self.answers)) };
        lock(&self.calls).push(Box::pin(work(call)));
    }
}

impl Call {
    pub(super) fn answer(mut self, answer: Answer) {
        self.post(answer);
    }

    fn post(&mut self, answer: Answer) {
        let Some(answers) = self.answers.take() else { return };
        let mut waiting = lock(&answers.waiting);
        waiting.push((self.number, answer));
        let is_first = waiting.len() == 1;
        drop(waiting);
        if !is_first {
            return;
        }
        match Handle::try_current() {
            // After the other calls that have their answers.
            Ok(runtime) => drop(runtime.spawn(async move { answers.ring() })),
            Err(_) => answers.ring(),
        }
    }
}

impl Answers {
    fn ring(&self) {
        // If JavaScript has ended, this fails, and no call waits.
        self.bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Without an answer only after a panic, or if the process can have no more threads.
        self.post(Answer::E(failure::broken()));
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

impl fmt::Debug for Delivery {
    /// Without the records.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delivery").field(&self.numbers).finish()
    }
}

/// Ignores poisoning, since no other code runs while the lock is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
