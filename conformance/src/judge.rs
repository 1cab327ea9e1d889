//! Judges a scenario: the same on both sides, or different by departures only, or different.

use std::collections::{BTreeMap, BTreeSet};

use crate::compare::{difference, response_difference};
use crate::departures::{Step, Switches, TABLE};
use crate::outcome::{Outcome, Response};
use crate::scenario::{Scenario, Seed};

/// Plays a scenario on our side, with these departures.
pub type Play = fn(&Scenario, Switches) -> Outcome;

/// Compares with express-session, and counts what the departures explain.
#[derive(Debug)]
pub struct Judge {
    ours: Play,
    departures: bool,
    explained: BTreeMap<u8, usize>,
}

impl Judge {
    /// Judges one way of playing, with departures on or off.
    #[must_use]
    pub fn new(ours: Play, departures: bool) -> Self {
        Self { ours, departures, explained: BTreeMap::new() }
    }

    /// Gives how many requests each departure made a difference to, by number.
    #[must_use]
    pub fn explained(&self) -> &BTreeMap<u8, usize> {
        &self.explained
    }

    /// Judges one scenario.
    ///
    /// # Errors
    ///
    /// What differs and is not explained, for a person to read.
    pub fn judge(&mut self, scenario: &Scenario, node: &Outcome) -> Result<(), String> {
        let switches = if self.departures { Switches::ALL } else { Switches::NONE };
        let ours = (self.ours)(scenario, switches);
        let Some(difference) = difference(node, &ours) else { return Ok(()) };
        if !self.departures || node.crash.is_some() || ours.crash.is_some() {
            return Err(difference);
        }
        // express-session keeps nothing between requests but the records, so each request can be
        // judged by itself, from the records that it found on that side.
        let mut explained = false;
        for (at, node) in node_steps(scenario, node) {
            explained |= self.explain(&at, node)?;
        }
        if explained { Ok(()) } else { Err(format!("no single request differs\n{difference}")) }
    }

    /// Says whether there was something to explain about one request.
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
        // Each by itself, and then one after the other until all are on: so that what several do
        // together is somebody's doing too.
        let mut at_work = BTreeSet::new();
        let mut on = Switches::NONE;
        let mut before = without.clone();
        for row in &TABLE {
            for (others, node) in [(Switches::NONE, &without), (on, &before)] {
                let ours = play(alone, others.with(row.number));
                let Some(difference) = response_difference(node, &ours) else { continue };
                let plain = |scenario: &Scenario| play(scenario, others);
                let step = Step { scenario: alone, node, ours: &ours, plain: &plain };
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
            before = play(alone, on);
        }
        for number in at_work {
            *self.explained.entry(number).or_default() += 1;
        }
        Ok(true)
    }
}

/// Takes a scenario apart into its requests, each with the records that express-session had then.
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
