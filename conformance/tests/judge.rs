//! The judge itself: the differences that it accepts and those that it reports.
//!
//! Our layer without departures stands in for Node, so that these tests do not need Node.

use conformance::departures::Switches;
use conformance::generate::Generator;
use conformance::judge::{Judge, Play};
use conformance::ours;
use conformance::outcome::{Call, Outcome, Response};
use conformance::scenario::Scenario;

/// Counts the scenarios that differ if ours is played like this.
fn differing(play: Play, departures: bool) -> usize {
    let mut judge = Judge::new(play, departures);
    Generator::new(1)
        .take(120)
        .filter(|scenario| {
            let node = ours::play(scenario, Switches::NONE);
            judge.judge(scenario, &node).is_err()
        })
        .count()
}

/// Plays ours, and changes each response.
fn changed(scenario: &Scenario, switches: Switches, change: fn(&mut Response)) -> Outcome {
    let mut outcome = ours::play(scenario, switches);
    outcome.responses.iter_mut().for_each(change);
    outcome
}

#[test]
fn departures_explain_all_that_they_do() {
    assert_eq!(differing(ours::play, true), 0);
}

#[test]
fn departures_are_differences_when_they_are_off() {
    assert!(differing(|scenario, _| ours::play(scenario, Switches::ALL), false) > 40);
}

#[test]
fn no_departure_explains_a_cookie_that_is_not_sent() {
    let play: Play = |scenario, switches| {
        changed(scenario, switches, |response| {
            response.set_cookie.pop();
        })
    };
    assert!(differing(play, false) > 40);
    assert!(differing(play, true) > 40);
}

#[test]
fn no_departure_explains_another_record() {
    let play: Play = |scenario, switches| {
        changed(scenario, switches, |response| {
            for call in &mut response.calls {
                if let Call::Set(_, text) = call {
                    *text = text.replace("\"views\":", "\"Views\":");
                }
            }
        })
    };
    assert!(differing(play, false) > 3);
    assert!(differing(play, true) > 3);
}

#[test]
fn no_departure_explains_a_record_that_is_lost() {
    let play: Play = |scenario, switches| {
        changed(scenario, switches, |response| {
            response.records.pop_first();
        })
    };
    assert!(differing(play, true) > 40);
}

#[test]
fn no_departure_explains_what_only_all_together_do() {
    // The cookie is lost only if every departure is on: each alone is harmless.
    let play: Play = |scenario, switches| {
        let all = switches.numbers().len() >= 20;
        changed(
            scenario,
            switches,
            if all { |response| response.set_cookie.clear() } else { |_| {} },
        )
    };
    assert!(differing(play, true) > 40);
}

#[test]
fn panic_is_a_difference() {
    let play: Play = |_, _| Outcome { responses: Vec::new(), crash: Some("a panic".into()) };
    assert_eq!(differing(play, true), 120);
}
