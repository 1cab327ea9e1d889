//! Answers on their way to JavaScript: it is woken once for all that are there, and takes them together.

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{Either5, Null, Unknown};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Error, Status};
use napi_derive::napi;

use super::{Listing, failure};

/// Where the answers for one thread of JavaScript's are until it takes them.
#[napi]
pub struct Mailbox(Arc<Letters>);

/// What there is to be taken: a number and an answer for each call.
#[napi(object, object_from_js = false)]
pub struct Delivery {
    /// The numbers of the calls.
    pub numbers: Vec<u32>,
    /// What each has come to.
    pub answers: Vec<Answer>,
}

/// Nothing, a record, a number of sessions, some of them, or why there is no answer.
pub type Answer = Either5<Null, String, f64, Listing, Error>;

/// A call that has to be answered, and is once, whatever becomes of it.
pub(super) struct Call {
    number: u32,
    letters: Option<Arc<Letters>>,
}

struct Letters {
    waiting: Mutex<Vec<(u32, Answer)>>,
    bell: Bell,
}

/// Calls a function of JavaScript's there, and keeps no process alive.
type Bell = ThreadsafeFunction<(), Unknown<'static>, (), Status, false, true>;

#[napi]
impl Mailbox {
    /// Takes the function that is called when there is something to be taken.
    #[napi(constructor, catch_unwind)]
    #[must_use]
    pub fn new(bell: Bell) -> Self {
        Self(Arc::new(Letters { waiting: Mutex::default(), bell }))
    }

    /// Gives what there is.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn take(&self) -> Delivery {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (numbers, answers) = mem::take(&mut *waiting).into_iter().unzip();
        Delivery { numbers, answers }
    }

    /// Begins a call of this number.
    pub(super) fn call(&self, number: u32) -> Call {
        Call { number, letters: Some(Arc::clone(&self.0)) }
    }
}

impl Call {
    pub(super) fn answer(mut self, answer: Answer) {
        self.post(answer);
    }

    fn post(&mut self, answer: Answer) {
        let Some(letters) = self.letters.take() else { return };
        let mut waiting = letters.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push((self.number, answer));
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            // Where JavaScript has ended, nobody waits.
            letters.bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Only a panic leaves one without an answer.
        self.post(Answer::E(failure::panicked()));
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
