//! The vectors of express-session 1.19.0, played to our layer without departures and without Node.

use conformance::departures::Switches;
use conformance::ours;
use conformance::vectors::{check, decisions, exchanges, normalisations};

#[test]
fn every_vector_is_answered_as_express_session_answered_it() {
    let (count, differences) = check(|scenario| Ok(ours::play(scenario, Switches::NONE))).unwrap();
    assert!(
        differences.is_empty(),
        "{} of {count}:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn no_vector_is_left_out_without_a_reason() {
    assert_eq!(decisions().unwrap().len(), 720);
    // One further record makes express-session throw when it is touched.
    assert_eq!(normalisations().len(), 7);
    let unreachable: Vec<_> = exchanges()
        .unwrap()
        .into_iter()
        .filter_map(|(row, scenario)| scenario.is_none().then_some(row.case))
        .collect();
    assert_eq!(
        unreachable,
        [
            // Its handler stores a lone surrogate, and values that JavaScript turns into null.
            "all attrs",
            // `domain: null`: ours leaves an attribute without a value out.
            "secure:false explicit",
            // `false` cannot be passed as a time.
            "expires=false at runtime",
            "maxAge=false at runtime",
            // A duration is not negative, and milliseconds are whole.
            "maxAge: -1000",
            "maxAge 1500.7 float",
            // Ours has no such setting.
            "extra unknown cookie option",
        ]
    );
}
