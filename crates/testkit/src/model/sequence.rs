//! Operations one after the other, on a few ids of one store.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::future::Future;
use std::time::SystemTime;

use express_session_core::store::{Admin, Cursor, Error, ErrorKind, Page, Revision, Store};
use express_session_core::{SessionId, Timestamp};
use proptest::strategy::ValueTree as _;

use super::generate::{self, Expected, LEASE, Operation, SERVER_WAIT, Sequence, What};
use super::state::{Answer, Call, State, Tolerance, When, ask};
use super::{caught, runner, smallest, told, tree};
use crate::{Clock, Subject};

/// Plays cases, and makes the first that fails smaller.
pub(super) async fn check<S: Subject, O: Operate<S::Store>>(subject: &S) {
    let mut runner = runner();
    let strategy = generate::sequence(subject.clock(), O::IS_THERE);
    // Those that wait for a server wait together.
    let together = match subject.clock() {
        Clock::Argument => 1,
        Clock::Server => runner.config().cases,
    };
    for first in (0..runner.config().cases).step_by(together as usize) {
        let trees: Vec<_> = (0..together).map(|_| tree(&mut runner, &strategy)).collect();
        let cases: Vec<_> = trees.iter().map(|tree| tree.current()).collect();
        let Err((at, failure)) = play::<S, O>(subject, &cases).await else { continue };
        let number = first + u32::try_from(at).unwrap_or(u32::MAX);
        let Some(mut tree) = trees.into_iter().nth(at) else { continue };
        let mut waits = MOST_WAITS;
        let failure = smallest(&mut *tree, failure, async |case: Sequence| {
            if case.waits(subject.clock()) {
                if waits == 0 {
                    return Ok(());
                }
                waits -= 1;
            }
            play::<S, O>(subject, &[case]).await.map_err(|(_, failure)| failure)
        })
        .await;
        panic!("{failure}{}", told(number, runner.config()));
    }
}

/// Plays cases side by side, each on a store of its own; gives the first that fails.
async fn play<S: Subject, O: Operate<S::Store>>(
    subject: &S,
    cases: &[Sequence],
) -> Result<(), (usize, String)> {
    let mut trials = Vec::new();
    for case in cases {
        trials.push(Trial::of(subject, case).await);
    }
    for (at, trial) in trials.iter_mut().enumerate() {
        trial.play::<O>().await.map_err(|failure| (at, failure))?;
    }
    if cases.iter().any(|case| case.waits(subject.clock())) {
        wait(&trials).await;
    }
    for (at, trial) in trials.iter_mut().enumerate() {
        trial.play::<O>().await.map_err(|failure| (at, failure))?;
        trial.end::<O>().await.map_err(|failure| (at, failure))?;
    }
    Ok(())
}

/// Waits while the stores are asked now and then, which keeps their connections going.
async fn wait<S: Store>(trials: &[Trial<'_, S>]) {
    let until = real_time().saturating_add(SERVER_WAIT);
    let none = id("none");
    while real_time() < until {
        for trial in trials {
            // An error here occurs again in a call whose result is checked.
            let _ = trial.store.load(&none, real_time()).await;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

impl Sequence {
    fn waits(&self, clock: Clock) -> bool {
        let passes = |operation: &_| matches!(operation, Operation::Pass(_));
        clock == Clock::Server && self.operations.iter().any(passes)
    }
}

/// A store, what the model has of it, and how far a case has come.
struct Trial<'c, S> {
    store: S,
    tolerance: Tolerance,
    now: Timestamp,
    case: &'c Sequence,
    done: usize,
    states: BTreeMap<&'c str, State>,
    /// The latest revision that was seen of each.
    seen: BTreeMap<&'c str, Revision>,
    told: String,
}

impl<'c, S: Store> Trial<'c, S> {
    async fn of(subject: &impl Subject<Store = S>, case: &'c Sequence) -> Self {
        let store = subject.store().await;
        let who = express_session_core::store::LockToken::from_random([9; 16]);
        let locks = store.unlock(&id("none"), who).await;
        let locks = !locks.is_err_and(|error| error.kind() == ErrorKind::Unsupported);
        Self {
            store,
            tolerance: Tolerance { clock: subject.clock(), locks },
            // 2023-11-14, at a whole second.
            now: Timestamp::from_millis(1_700_000_060_000),
            case,
            done: 0,
            states: case.names.iter().map(|name| (&**name, State::default())).collect(),
            seen: BTreeMap::new(),
            told: String::new(),
        }
    }

    fn now(&self) -> Timestamp {
        match self.tolerance.clock {
            Clock::Argument => self.now,
            Clock::Server => real_time(),
        }
    }

    /// Plays on, until a server has to be waited for.
    async fn play<O: Operate<S>>(&mut self) -> Result<(), String> {
        while let Some(operation) = self.case.operations.get(self.done) {
            self.done += 1;
            let waits =
                matches!((operation, self.tolerance.clock), (Operation::Pass(_), Clock::Server));
            let _ = writeln!(self.told, "{:3}  {}", self.done, self.describe(operation));
            if waits {
                break;
            }
            let result = caught(self.perform::<O>(operation)).await;
            result.map_err(|why| self.failure(&why))?;
        }
        Ok(())
    }

    /// Checks every id once more.
    async fn end<O: Operate<S>>(&mut self) -> Result<(), String> {
        for name in self.states.keys().copied().collect::<Vec<_>>() {
            let _ = writeln!(self.told, "end  {name:?}: Load");
            let result = caught(self.ask(name, &What::Load)).await;
            result.map_err(|why| self.failure(&why))?;
        }
        let _ = writeln!(self.told, "end  List, one at a time");
        let result = caught(self.perform::<O>(&Operation::List { limit: 1 })).await;
        result.map_err(|why| self.failure(&why))
    }

    fn failure(&self, why: &str) -> String {
        format!("the store and the model differ at the last of these:\n\n{}\n{why}\n\n", self.told)
    }

    fn describe(&self, operation: &Operation) -> String {
        match operation {
            Operation::On { name, what } => format!("{:?}: {what:?}", self.name(*name)),
            Operation::Pass(_)
            | Operation::List { .. }
            | Operation::Count
            | Operation::Purge { .. }
            | Operation::Clear => format!("{operation:?}"),
        }
    }

    fn name(&self, at: usize) -> &'c str {
        &self.case.names[at % self.case.names.len()]
    }

    async fn perform<O: Operate<S>>(&mut self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::On { name, what } => self.ask(self.name(*name), what).await,
            Operation::Pass(pass) => {
                self.now = self.now.saturating_add(pass.duration());
                Ok(())
            }
            Operation::List { limit } => self.list::<O>(*limit).await,
            Operation::Count => self.count::<O>().await,
            Operation::Purge { limit } => self.purge::<O>(*limit).await,
            Operation::Clear => {
                O::clear(&self.store).await.map_err(|error| failed(&error))?;
                self.states.values_mut().for_each(|state| *state = state.cleared());
                Ok(())
            }
        }
    }

    async fn ask(&mut self, name: &'c str, what: &What) -> Result<(), String> {
        if matches!(what, What::Touch(_)) && !self.store.supports_touch() {
            return Ok(());
        }
        let (id, from) = (id(name), self.now());
        let call = self.call(name, what, from);
        let answer = ask(&self.store, &id, &call, from).await;
        let when = When { from, to: self.now() };
        let state = &self.states[name];
        let next = state.after(&id, &call, &answer, when, self.tolerance);
        let next = next.map_err(|why| format!("It answered {}, but {why}.", brief(&answer)))?;
        self.states.insert(name, next);
        if let Some(revision) = answer.revision() {
            self.seen.insert(name, revision);
        }
        Ok(())
    }

    fn call(&self, name: &str, what: &What, now: Timestamp) -> Call {
        let clock = self.tolerance.clock;
        let revision = |expected: &Expected| self.expected(name, expected);
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

    fn expected(&self, name: &str, expected: &Expected) -> Revision {
        let latest = self.seen.get(name).cloned();
        let revision = match expected {
            Expected::Latest => latest,
            Expected::Earlier(back) => {
                let all: Vec<_> = self.states[name].revisions().collect();
                all.get(back % all.len().max(1)).cloned()
            }
            Expected::Foreign(other) => self.states[self.name(*other)].revision(),
            Expected::Invented => None,
        };
        revision.unwrap_or(Revision::new(1 << 100))
    }

    /// Lists page by page: all that certainly is there, each once, and nothing that certainly is not.
    async fn list<O: Operate<S>>(&mut self, limit: usize) -> Result<(), String> {
        if !O::IS_THERE {
            return Ok(());
        }
        let from = self.now();
        let (mut listed, mut after) = (BTreeMap::new(), None);
        for _ in 0..MOST_PAGES {
            let page = O::list(&self.store, after, limit, self.now())
                .await
                .map_err(|error| failed(&error))?;
            if page.sessions.len() > limit {
                return Err(format!("A page of {limit} has {}.", page.sessions.len()));
            }
            for (id, record) in page.sessions {
                let name = id.as_str().to_owned();
                if listed.insert(name, record).is_some() {
                    return Err(format!("{:?} is listed twice.", id.as_str()));
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if after.is_some() {
            return Err("The listing does not end.".to_owned());
        }
        let when = When { from, to: self.now() };
        let names: BTreeSet<_> = self.states.keys().copied().collect();
        if let Some(name) = listed.keys().find(|name| !names.contains(&***name)) {
            return Err(format!("{name:?} is listed, and was never there."));
        }
        for (name, state) in &self.states {
            let (certainly, possibly) = state.seen(when, self.tolerance);
            match listed.get(*name) {
                None if certainly => return Err(format!("{name:?} is not listed.")),
                None => {}
                Some(_) if !possibly => {
                    return Err(format!("{name:?} is listed, and is not there."));
                }
                Some(record) => state
                    .listed(record, when, self.tolerance)
                    .map_err(|why| format!("{name:?} is listed, but {why}."))?,
            }
        }
        Ok(())
    }

    async fn count<O: Operate<S>>(&mut self) -> Result<(), String> {
        let from = self.now();
        let count = O::count(&self.store, from).await.map_err(|error| failed(&error))?;
        let when = When { from, to: self.now() };
        let seen: Vec<_> =
            self.states.values().map(|state| state.seen(when, self.tolerance)).collect();
        let least = seen.iter().filter(|(certainly, _)| *certainly).count() as u64;
        let most = seen.iter().filter(|(_, possibly)| *possibly).count() as u64;
        if (least..=most).contains(&count) {
            return Ok(());
        }
        Err(format!("It counts {count}, but there are {least} to {most}."))
    }

    /// A purge of more than the expired records is noticed later; the number that is left is unknown.
    async fn purge<O: Operate<S>>(&mut self, limit: usize) -> Result<(), String> {
        let from = self.now();
        let purged = O::purge(&self.store, limit, from).await.map_err(|error| failed(&error))?;
        let when = When { from, to: self.now() };
        let may = |state: &&State| state.may_be_purged(when, self.tolerance);
        let most = self.states.values().filter(may).count().min(limit) as u64;
        if purged <= most {
            return Ok(());
        }
        Err(format!("It purged {purged}, but there are {most} at most."))
    }
}

/// Asks what an operator asks, where the store has answers.
pub(super) trait Operate<S> {
    const IS_THERE: bool;

    fn list(
        store: &S,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> impl Future<Output = Result<Page, Error>>;
    fn count(store: &S, now: Timestamp) -> impl Future<Output = Result<u64, Error>>;
    fn clear(store: &S) -> impl Future<Output = Result<(), Error>>;
    fn purge(store: &S, limit: usize, now: Timestamp) -> impl Future<Output = Result<u64, Error>>;
}

/// For a store that is [`Admin`].
pub(super) struct Operator;

impl<S: Admin> Operate<S> for Operator {
    const IS_THERE: bool = true;

    async fn list(
        store: &S,
        after: Option<Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, Error> {
        store.list(after, limit, now).await
    }

    async fn count(store: &S, now: Timestamp) -> Result<u64, Error> {
        store.count(now).await
    }

    async fn clear(store: &S) -> Result<(), Error> {
        store.clear().await
    }

    async fn purge(store: &S, limit: usize, now: Timestamp) -> Result<u64, Error> {
        store.purge(limit, now).await
    }
}

/// For any other, of which nothing of that is ever asked.
pub(super) struct NoOperator;

impl<S: Store> Operate<S> for NoOperator {
    const IS_THERE: bool = false;

    async fn list(_: &S, _: Option<Cursor>, _: usize, _: Timestamp) -> Result<Page, Error> {
        Err(unasked())
    }

    async fn count(_: &S, _: Timestamp) -> Result<u64, Error> {
        Err(unasked())
    }

    async fn clear(_: &S) -> Result<(), Error> {
        Err(unasked())
    }

    async fn purge(_: &S, _: usize, _: Timestamp) -> Result<u64, Error> {
        Err(unasked())
    }
}

fn unasked() -> Error {
    Error::new(ErrorKind::Unsupported, "it has no operator")
}

fn failed(error: &Error) -> String {
    format!("It failed: {error:?}.")
}

/// An answer, with no more of a text than shows what it is.
pub(super) fn brief(answer: &Answer) -> String {
    let text = match answer {
        Answer::Loaded(Some(loaded)) => &loaded.record.text,
        Answer::Loaded(None)
        | Answer::Created(_)
        | Answer::Updated(_)
        | Answer::Touched(_)
        | Answer::LockOutcome(_)
        | Answer::Fenced(_)
        | Answer::Done
        | Answer::Failed(..) => return format!("{answer:?}"),
    };
    format!("{answer:?} ({:?})", text.chars().take(100).collect::<String>())
}

pub(super) fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap_or_else(|| panic!("no name is empty"))
}

#[expect(clippy::disallowed_methods, reason = "a server's clock can only be waited for")]
pub(super) fn real_time() -> Timestamp {
    SystemTime::now().into()
}

const MOST_PAGES: usize = 1000;
/// How often a server is waited for while a case is made smaller.
const MOST_WAITS: usize = 12;
