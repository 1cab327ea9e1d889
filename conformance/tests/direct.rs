//! The memory store, which never waits, is driven by a shorter path of the layer: the responses are the same.

use conformance::departures::Switches;
use conformance::generate::Generator;
use conformance::ours;
use conformance::outcome::Outcome;
use conformance::scenario::Scenario;

/// Checks whether a scenario can be played without the log of store calls.
fn is_plain(scenario: &Scenario) -> bool {
    scenario.servers.iter().all(|server| !server.no_touch)
        && scenario.requests.iter().all(|request| request.fail.is_empty())
}

/// Returns what a client sees.
fn without_calls(mut outcome: Outcome) -> Outcome {
    outcome.responses.iter_mut().for_each(|response| response.calls.clear());
    outcome
}

#[test]
fn memory_store_alone_does_what_it_does_behind_a_log() {
    let plain = Generator::new(1).filter(is_plain).take(1000);
    let mut changes = 0;
    for scenario in plain {
        for switches in [Switches::NONE, Switches::ALL] {
            let logged = ours::play(&scenario, switches);
            let calls = logged.responses.iter().flat_map(|response| &response.calls);
            changes += calls.count();
            let direct = ours::play_directly(&scenario, switches);
            assert_eq!(direct, without_calls(logged), "{scenario:?}");
        }
    }
    assert!(changes > 1000, "{changes} calls are not enough to see anything");
}
