//! The whole layer under simulated time, over a store that fails, hangs and loses answers: visitors whose
//! requests overlap, and what must be true of every answer and of the end.
//!
//! Everything comes of one seed: what visitors do, what the network does, every id. A failure names its
//! seed, and
//!
//! ```text
//! EXPRESS_SESSION_SIMULATION_SEED=… cargo test -p express-session --test simulation
//! ```
//!
//! replays it. `EXPRESS_SESSION_SIMULATION_SEEDS=200000` plays more than the few thousand that are played
//! otherwise, and `EXPRESS_SESSION_SIMULATION_FIRST=…` others.
//!
//! 1. An acknowledged change is kept unless its session was ended, and a count is counted once.
//! 2. A session that was ended, by `destroy`, `unset` or `regenerate`, never comes back under an id that a browser has,
//!    even where its first record arrives late.
//! 3. No visitor sees another visitor's data.
//! 4. No request waits longer than `store_timeout` and a tenth for a store that does not answer, and everybody
//!    is served when it has been back for a second.
//! 5. A request asks the store as often as its steps need, and again only where another has written.
//! 6. A response that the layer replaces has nothing of the handler's, and there is a reason for it.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what fails here fails a test, and an unexpected event is a violation"
)]

mod audit;
mod client_step;
mod ledger;
mod plan;
mod rng;
mod run;
mod trace;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use plan::{End, Plan};
use run::{Outcome, Tally, play};

/// The number of simulations by default.
const SEEDS: u64 = 3_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
fn visitors_lose_nothing_over_an_unreliable_store() {
    if let Some(seed) = number("EXPRESS_SESSION_SIMULATION_SEED") {
        fail_if_wrong(seed);
        return;
    }
    let first = number("EXPRESS_SESSION_SIMULATION_FIRST").unwrap_or(0);
    let count = number("EXPRESS_SESSION_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<Tally> = thread::scope(|scope| {
        let work = || {
            let mut tally = Tally::default();
            loop {
                let nth = next.fetch_add(1, Ordering::SeqCst);
                if nth >= count || failed.load(Ordering::SeqCst) != u64::MAX {
                    return tally;
                }
                let outcome = play(Plan::new(first + nth), false);
                if !outcome.violations.is_empty() {
                    failed.fetch_min(first + nth, Ordering::SeqCst);
                }
                tally.add(outcome.tally);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let failed = failed.into_inner();
    if failed != u64::MAX {
        fail_if_wrong(failed);
    }
    let mut tally = Tally::default();
    parts.into_iter().for_each(|part| tally.add(part));
    // A simulation in which nothing happens finds nothing.
    assert!(tally.requests > 5 * count && tally.calls > tally.requests, "{tally:?}");
    if count >= 100 {
        let rare = [tally.refused, tally.dropped, tally.acknowledged, tally.ended];
        assert!(rare.iter().all(|times| *times > count / 10), "{tally:?}");
    }
}

#[test]
fn seed_replays_the_same_simulation() {
    let mut hashes = Vec::new();
    for seed in 0..50 {
        let [once, again] = [false, true].map(|keeps| play(Plan::new(seed), keeps));
        assert_eq!(once.hash, again.hash, "seed {seed}");
        hashes.push(once.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 50);
}

/// Plays a simulation, and says what is wrong with it: first made as small as it can be made.
fn fail_if_wrong(seed: u64) {
    let whole = play(Plan::new(seed), true);
    if whole.violations.is_empty() {
        return;
    }
    let (plan, outcome) = shrunk(Plan::new(seed), whole.clone());
    panic!(
        "{}\n\nin short ({} of {} requests): {}\n{}\n\nthe whole:\n{}\n\n\
         EXPRESS_SESSION_SIMULATION_SEED={seed} cargo test -p express-session --test simulation",
        whole.violations.join("\n"),
        plan.visits.len(),
        Plan::new(seed).visits.len(),
        outcome.violations.join("\n"),
        outcome.trace,
        whole.trace,
    );
}

/// Leaves requests, and steps of handlers, out for as long as something stays wrong.
fn shrunk(mut plan: Plan, mut outcome: Outcome) -> (Plan, Outcome) {
    let mut try_with = |plan: &mut Plan, change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        let smaller_outcome = play(smaller.clone(), true);
        let is_wrong = !smaller_outcome.violations.is_empty();
        if is_wrong {
            *plan = smaller;
            outcome = smaller_outcome;
        }
        is_wrong
    };
    let mut at = 0;
    while at < plan.visits.len() {
        if !try_with(&mut plan, &|plan| drop(plan.visits.remove(at))) {
            at += 1;
        }
    }
    for visit in 0..plan.visits.len() {
        let mut at = 0;
        while at < plan.visits[visit].steps.len() {
            if !try_with(&mut plan, &|plan| {
                plan.visits[visit].steps.remove(at);
            }) {
                at += 1;
            }
        }
        if plan.visits[visit].end != End::Text {
            try_with(&mut plan, &|plan| plan.visits[visit].end = End::Text);
        }
    }
    (plan, outcome)
}
