//! The verdict on a scenario: equal on both sides, different by departures only, or different.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::compare::{self, response_difference};
use crate::departures::{Step, Switches, TABLE};
use crate::node::Node;
use crate::outcome::{Outcome, Response};
use crate::scenario::{Scenario, Seed};

/// Plays a scenario on our side, with these departures.
type Ours = dyn Fn(&Scenario, Switches) -> Outcome + Send + Sync;

/// Compares with express-session, and counts what the departures explain.
pub struct Judge {
    ours: Arc<Ours>,
    departures: bool,
    exact: bool,
    explained: BTreeMap<u8, usize>,
}

impl Judge {
    /// Judges one way of playing, with departures on or off.
    pub fn new(
        ours: impl Fn(&Scenario, Switches) -> Outcome + Send + Sync + 'static,
        departures: bool,
    ) -> Self {
        Self { ours: Arc::new(ours), departures, exact: false, explained: BTreeMap::new() }
    }

    /// Demands equality with departures off: also of errors after the response has begun, and of records byte for
    /// byte.
    pub fn exact(self) -> Self {
        Self { exact: true, ..self }
    }

    /// Returns a judge of the same kind whose counts are zero.
    fn fresh(&self) -> Self {
        Self { ours: Arc::clone(&self.ours), explained: BTreeMap::new(), ..*self }
    }

    pub fn judge(&mut self, scenario: &Scenario, node: &Outcome) -> Result<(), String> {
        let switches = if self.departures { Switches::ALL } else { Switches::NONE };
        let ours = (self.ours)(scenario, switches);
        let Some(difference) = compare::difference(node, &ours) else {
            let differs = self.exact && !self.departures && *node != ours;
            return if differs {
                Err(format!("  node {node:#?}\n  ours {ours:#?}\n"))
            } else {
                Ok(())
            };
        };
        if !self.departures || node.crash.is_some() || ours.crash.is_some() {
            return Err(difference);
        }
        // express-session keeps only the records between requests, so each request can be judged alone, from the
        // records that it found on that side.
        let mut explained = false;
        for (at, node) in node_steps(scenario, node) {
            explained |= self.explain(&at, node)?;
        }
        if explained {
            return Ok(());
        }
        // A record that is kept verbatim (departure 8) counts as equal to the one that Node's store wrote again, but
        // makes a difference in the next request.
        if compare::difference(node, &(self.ours)(scenario, switches.without(8))).is_none() {
            *self.explained.entry(8).or_default() += 1;
            return Ok(());
        }
        Err(format!("no single request differs\n{difference}"))
    }

    /// Explains the differences of one request by departures, and returns whether there were any.
    fn explain(&mut self, alone: &Scenario, node: &Response) -> Result<bool, String> {
        let play = |scenario: &Scenario, switches| {
            let outcome = (self.ours)(scenario, switches);
            outcome.responses.into_iter().next().unwrap_or_default()
        };
        let all = play(alone, Switches::ALL);
        if response_difference(node, &all).is_none() {
            return Ok(false);
        }
        let without = play(alone, Switches::NONE);
        if let Some(difference) = response_difference(node, &without) {
            return Err(format!("differs without departures\n{difference}in {}\n", alone.line()));
        }
        // Each departure alone, and then one after the other until all are on: so that a difference which several
        // make together is attributed too.
        let mut at_work = BTreeSet::new();
        let mut on = Switches::NONE;
        let mut before = without.clone();
        for row in &TABLE {
            let by_itself = play(alone, Switches::NONE.with(row.number));
            let after = play(alone, on.with(row.number));
            let steps = [(Switches::NONE, &without, &by_itself), (on, &before, &after)];
            for (others, node, ours) in steps {
                let Some(difference) = response_difference(node, ours) else { continue };
                let plain = |scenario: &Scenario| play(scenario, others);
                let step = Step { scenario: alone, node, ours, plain: &plain };
                (row.rule)(&step).map_err(|reason| {
                    format!(
                        "departure {} with {:?} may not do this: {reason}\nit does\n{difference}in {}\n",
                        row.number,
                        others.numbers(),
                        alone.line()
                    )
                })?;
                at_work.insert(row.number);
            }
            on = on.with(row.number);
            before = after;
        }
        for number in at_work {
            *self.explained.entry(number).or_default() += 1;
        }
        Ok(true)
    }
}

/// The counts of many scenarios.
#[derive(Debug, Default)]
pub struct Report {
    /// The number of requests that each departure changed, by its number.
    pub explained: BTreeMap<u8, usize>,
    /// The number of scenarios with a difference that no departure explains.
    pub differences: usize,
    /// The first of these.
    pub failed: Vec<Scenario>,
}

/// Judges many scenarios while Node plays on, and keeps the first `show` that differ.
pub fn judge_all(
    node: &mut Node,
    scenarios: impl Iterator<Item = Scenario> + Clone + Send,
    judge: &Judge,
    show: usize,
) -> io::Result<Report> {
    let (sender, receiver) = sync_channel::<Case>(256);
    let receiver = Mutex::new(receiver);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let working: Vec<_> =
            (0..workers).map(|_| scope.spawn(|| work(&receiver, judge.fresh()))).collect();
        let mut count = 0;
        node.play_all(scenarios, |scenario, outcome| {
            count += 1;
            sender
                .send(Case { number: count, scenario, outcome })
                .map_err(|_| io::Error::other("the judges are gone"))
        })?;
        drop(sender);
        let mut report = Report::default();
        let mut failed = Vec::new();
        for worker in working {
            let (explained, differing) =
                worker.join().map_err(|_| io::Error::other("a judge panicked"))?;
            for (number, count) in explained {
                *report.explained.entry(number).or_default() += count;
            }
            failed.extend(differing);
        }
        failed.sort_by_key(|(number, _)| *number);
        report.differences = failed.len();
        report.failed = failed.into_iter().take(show).map(|(_, scenario)| scenario).collect();
        Ok(report)
    })
}

struct Case {
    number: usize,
    scenario: Scenario,
    outcome: Outcome,
}

/// Judges the scenarios of a channel, and returns those that differ with their numbers.
fn work(
    cases: &Mutex<Receiver<Case>>,
    mut judge: Judge,
) -> (BTreeMap<u8, usize>, Vec<(usize, Scenario)>) {
    let mut failed = Vec::new();
    loop {
        let next = cases.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Case { number, scenario, outcome }) = next else { return (judge.explained, failed) };
        if judge.judge(&scenario, &outcome).is_err() {
            failed.push((number, scenario));
        }
    }
}

/// Splits a scenario into its requests, each with the records that express-session had then.
fn node_steps<'a>(
    scenario: &'a Scenario,
    node: &'a Outcome,
) -> impl Iterator<Item = (Scenario, &'a Response)> {
    let mut seeds = scenario.seeds.clone();
    scenario.requests.iter().zip(&node.responses).map(move |(request, response)| {
        let after = response.records.iter();
        let after = after.map(|(id, text)| Seed { id: id.clone(), text: text.clone() }).collect();
        let before = std::mem::replace(&mut seeds, after);
        let alone = Scenario {
            servers: scenario.servers.clone(),
            ids: scenario.ids.clone(),
            seeds: before,
            requests: vec![request.clone()],
        };
        (alone, response)
    })
}
