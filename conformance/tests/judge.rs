//! The judge itself: the differences that it accepts and those that it reports.
//!
//! Our layer without departures stands in for Node, so that these tests do not need Node.

use conformance::departures::Switches;
use conformance::generate::Generator;
use conformance::judge::Judge;
use conformance::ours;
use conformance::outcome::{Call, Outcome, Response};
use conformance::scenario::Scenario;

/// Counts the scenarios that differ if ours is played like this.
fn differing(
    play: impl Fn(&Scenario, Switches) -> Outcome + Send + Sync + 'static,
    departures: bool,
) -> usize {
    let mut judge = Judge::new(play, departures);
    Generator::new(1)
        .take(120)
        .filter(|scenario| {
            let node = ours::play(scenario, Switches::NONE);
            judge.judge(scenario, &node).is_err()
        })
        .count()
}

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
    assert!(differing(|scenario: &Scenario, _| ours::play(scenario, Switches::ALL), false) > 40);
}

#[test]
fn no_departure_explains_a_change_of_every_response() {
    type Change = fn(&mut Response);
    let changes: [(&str, Change, usize); 3] = [
        ("a cookie is not sent", |response| drop(response.set_cookie.pop()), 40),
        ("a record is lost", |response| drop(response.records.pop_first()), 40),
        (
            "another record is written",
            |response| {
                for call in &mut response.calls {
                    if let Call::Set(_, text) = call {
                        *text = text.replace("\"views\":", "\"Views\":");
                    }
                }
            },
            3,
        ),
    ];
    for (what, change, least) in changes {
        let play = move |scenario: &Scenario, switches| changed(scenario, switches, change);
        for departures in [false, true] {
            assert!(differing(play, departures) > least, "{what}, {departures}");
        }
    }
}

#[test]
fn no_departure_explains_what_only_all_together_do() {
    // The cookie is lost only if every departure is on: each alone is harmless.
    let play = |scenario: &Scenario, switches: Switches| {
        let is_lost = switches.numbers().len() >= 20;
        changed(scenario, switches, if is_lost { |it| it.set_cookie.clear() } else { |_| {} })
    };
    assert!(differing(play, true) > 40);
}

#[test]
fn panic_is_a_difference() {
    let crash = Some("a panic".to_owned());
    let play = move |_: &Scenario, _| Outcome { responses: Vec::new(), crash: crash.clone() };
    assert_eq!(differing(play, true), 120);
}
