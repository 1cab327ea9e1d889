//! Concurrent tasks on one id: their answers have to fit some order.
//!
//! The search is that of Wing and Gong: of the calls that may have been the first, as none was over before
//! they began, one after the other is taken for the first, as long as the model can answer so. An
//! attempt is not repeated from the same state.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use express_session_core::store::{ErrorKind, LockToken, Revision, Store};
use express_session_core::{SessionId, Timestamp};

use super::generate::{AtOnce, End, Expected, LEASE, Text, What};
use super::sequence::{brief, id, real_time};
use super::state::{Answer, Call, State, Tolerance, When, ask};
use crate::{Clock, Subject, Task};

/// A store on which histories are played, each on an id of its own.
pub(super) struct Histories<'s, S: Subject> {
    subject: &'s S,
    store: Arc<S::Store>,
    tolerance: Tolerance,
    played: AtomicU64,
}

/// A call, and when it began and ended: no two of these numbers are the same.
#[derive(Clone, Debug)]
struct Event {
    task: usize,
    call: Call,
    answer: Answer,
    began: u64,
    ended: u64,
}

impl<'s, S: Subject> Histories<'s, S> {
    pub(super) async fn of(subject: &'s S) -> Self {
        let store = Arc::new(subject.store().await);
        let locks = store.unlock(&id("none"), LockToken::from_random([9; 16])).await;
        let locks = !locks.is_err_and(|error| error.kind() == ErrorKind::Unsupported);
        let tolerance = Tolerance { clock: subject.clock(), locks };
        Self { subject, store, tolerance, played: AtomicU64::new(0) }
    }

    /// Runs the tasks of a case concurrently, and explains why their answers fit no order.
    pub(super) async fn play(&self, case: &AtOnce) -> Result<(), String> {
        let number = self.played.fetch_add(1, Ordering::Relaxed);
        let id = id(&format!("history-{number}"));
        let now = match self.tolerance.clock {
            Clock::Argument => Timestamp::from_millis(1_700_000_060_000),
            Clock::Server => real_time(),
        };
        let history = Arc::new(History::new(now));
        let mut seen = None;
        if case.begun {
            let text = Text::Data { number: 0, minutes: Some(60), fill: 0 };
            let record = text.record(End::Far, now, self.tolerance.clock);
            seen = history.ask(&*self.store, &id, 0, Call::Create(record)).await;
        }
        let task = |(task, steps): (usize, &Vec<What>)| -> Task {
            let (history, store) = (Arc::clone(&history), Arc::clone(&self.store));
            let (id, steps, clock) = (id.clone(), steps.clone(), self.tolerance.clock);
            let mut seen = seen.clone();
            Box::pin(async move {
                for what in &steps {
                    if matches!(what, What::Touch(_)) && !store.supports_touch() {
                        continue;
                    }
                    let call = call(what, seen.clone(), now, clock);
                    seen = history.ask(&*store, &id, task + 1, call).await.or(seen);
                }
            })
        };
        let tasks = case.tasks.iter().enumerate().map(task).collect();
        self.subject.parallel(tasks).await;
        history.ask(&*self.store, &id, 0, Call::Load).await;

        let when = When {
            from: now,
            to: match self.tolerance.clock {
                Clock::Argument => now,
                Clock::Server => real_time(),
            },
        };
        let events = history.events.lock().unwrap_or_else(PoisonError::into_inner);
        let search = Search { id: &id, events: &events, when, tolerance: self.tolerance };
        search.order().map_err(|why| failure(&events, &why))
    }
}

fn call(what: &What, seen: Option<Revision>, now: Timestamp, clock: Clock) -> Call {
    let revision = |expected: &Expected| match expected {
        Expected::Latest => seen.unwrap_or(INVENTED),
        Expected::Earlier(_) | Expected::Foreign(_) | Expected::Invented => INVENTED,
    };
    match what {
        What::Load => Call::Load,
        What::Create(text, end) => Call::Create(text.record(*end, now, clock)),
        What::Update(text, end, expected) => {
            Call::Update(text.record(*end, now, clock), revision(expected))
        }
        What::Touch(end) => Call::Touch(end.touch(now, clock)),
        What::Destroy => Call::Destroy,
        What::Lock(who) => Call::Lock(who.holder(), LEASE),
        What::UpdateLocked(text, end, expected, who) => {
            let record = text.record(*end, now, clock);
            Call::UpdateLocked(record, revision(expected), who.holder())
        }
        What::Unlock(who) => Call::Unlock(who.holder()),
    }
}

/// The calls and answers so far.
struct History {
    now: Timestamp,
    ticks: AtomicU64,
    events: Mutex<Vec<Event>>,
}

impl History {
    fn new(now: Timestamp) -> Self {
        Self { now, ticks: AtomicU64::new(0), events: Mutex::default() }
    }

    /// Asks, and keeps the answer. Gives the revision that it tells.
    async fn ask(
        &self,
        store: &impl Store,
        id: &SessionId,
        task: usize,
        call: Call,
    ) -> Option<Revision> {
        let began = self.ticks.fetch_add(1, Ordering::SeqCst);
        let answer = ask(store, id, &call, self.now).await;
        let ended = self.ticks.fetch_add(1, Ordering::SeqCst);
        let revision = answer.revision();
        let event = Event { task, call, answer, began, ended };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        revision
    }
}

/// Looks for an order.
struct Search<'h> {
    id: &'h SessionId,
    events: &'h [Event],
    when: When,
    tolerance: Tolerance,
}

impl Search<'_> {
    /// Finds an order, or says which call can come next in none of those that go furthest.
    fn order(&self) -> Result<(), String> {
        assert!(self.events.len() <= 64, "more calls than a set has room for");
        let all = u64::MAX.checked_shr(64 - self.events.len() as u32).unwrap_or(0);
        let mut furthest: (u32, BTreeMap<usize, String>) = (0, BTreeMap::new());
        let mut tried = HashSet::new();
        let mut open = vec![(0u64, State::default())];
        while let Some((done, state)) = open.pop() {
            if done == all {
                return Ok(());
            }
            if done.count_ones() > furthest.0 {
                furthest = (done.count_ones(), BTreeMap::new());
            }
            let left = || (0..self.events.len()).filter(|at| done & 1 << at == 0);
            let first_end = left().map(|at| self.events[at].ended).min().unwrap_or(u64::MAX);
            for at in left().filter(|at| self.events[*at].began < first_end) {
                let Event { call, answer, .. } = &self.events[at];
                match state.after(self.id, call, answer, self.when, self.tolerance) {
                    Ok(next) => {
                        let next = (done | 1 << at, next);
                        if tried.insert(next.clone()) {
                            open.push(next);
                        }
                    }
                    Err(why) if done.count_ones() == furthest.0 => {
                        furthest.1.insert(at, why);
                    }
                    Err(_) => {}
                }
            }
        }
        let why = furthest.1.iter().map(|(at, why)| {
            let Event { task, began, .. } = &self.events[*at];
            format!("that of task {task} at {began}: {why}")
        });
        Err(why.collect::<Vec<_>>().join("\n"))
    }
}

fn failure(events: &[Event], why: &str) -> String {
    let mut sorted: Vec<_> = events.iter().collect();
    sorted.sort_unstable_by_key(|event| event.began);
    let mut told = String::new();
    for Event { task, call, answer, began, ended } in sorted {
        let (call, answer) = (told_call(call), brief(answer));
        let _ = writeln!(told, "{began:3} to {ended:3}  task {task}: {call} gave {answer}");
    }
    format!(
        "the concurrent answers fit no order:\n\n{told}\nNone of these can come next where \
         the longest order ends:\n{why}\n"
    )
}

fn told_call(call: &Call) -> String {
    let text = match call {
        Call::Create(record) | Call::Update(record, _) | Call::UpdateLocked(record, ..) => {
            &record.text
        }
        Call::Load | Call::Touch(_) | Call::Destroy | Call::Lock(..) | Call::Unlock(_) => {
            return format!("{call:?}");
        }
    };
    format!("{call:?} ({text:?})")
}

const INVENTED: Revision = Revision::new(1 << 100);
