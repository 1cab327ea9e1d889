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

/// Scenarios that a long run once found to differ.
const FOUND: [(&str, &str); 6] = [
    (
        "a new session whose cookie browsers drop is reloaded",
        r##"{"servers":[{"secrets":["keyboard cat"],"cookie":[{"sameSite":"none"}]}],
            "requests":[{"tag":"r2","at":1700086400123,
            "ops":[{"op":"set","key":"10","value":1},{"op":"flush"},{"op":"reload"}]}]}"##,
    ),
    (
        "a saved member is removed again",
        r##"{"servers":[{"secrets":["sécrét"]}],
            "seeds":[{"id":"seed0","text":"{\"cookie\":{\"originalMaxAge\":60000,\"expires\":\"2023-11-14T22:14:20.123Z\",\"httpOnly\":true,\"path\":\"/\"},\"a\":1}"}],
            "requests":[{"tag":"r0","at":1700000000123,
            "headers":[["cookie","connect.sid=s%3Aseed0.%2F%2Big2lY4cTP8AppnLU8yVkTzwPXRYfgjAsyrcPs5QVA"]],
            "ops":[{"op":"set","key":"b","value":1},{"op":"save"},{"op":"remove","key":"b"}]}]}"##,
    ),
    (
        "members with reserved names are cleared, and the cookie expires",
        r##"{"servers":[{"secrets":["new secret"]}],
            "seeds":[{"id":"seed0","text":"{\"cookie\":{\"originalMaxAge\":null,\"expires\":null,\"httpOnly\":true,\"path\":\"/\"},\"toString\":1,\"__proto__\":{\"a\":1}}"}],
            "requests":[{"tag":"r0","at":1700000000123,
            "headers":[["cookie","connect.sid=s%3Aseed0.TIJy4ZPwwObHfFQWDB86xrzVBJ3a4WR6L0UWbFRLAmM"]],
            "ops":[{"op":"keys"},{"op":"setCookie","to":{"maxAge":999}},{"op":"clear"}]}]}"##,
    ),
    (
        "the cookie of another request is merged and seen",
        r##"{"servers":[{"secrets":["old secret"],"cookie":[{"maxAge":2592000000}]}],
            "ids":{"prefix":"user/42."},
            "requests":[{"tag":"r0","at":1700000000123,
            "ops":[{"op":"save"}]},
            {"tag":"r1","at":1700000000123,
            "headers":[["cookie","connect.sid=s%3Auser%2F42.r0n0.tKrs6YvPE2rQEO8L2OpG%2FgJzPe3Uv8NVpUo0E5jP0VQ"]],
            "ops":[{"op":"rivalSet","text":"{\"cookie\":{\"originalMaxAge\":null,\"expires\":null,\"httpOnly\":true,\"path\":\"/\"},\"a\":1,\"rival\":true}"},{"op":"save"},{"op":"cookie"}]}]}"##,
    ),
    (
        "late changes of a session under an id in use",
        r##"{"servers":[{"secrets":["keyboard cat"]}],
            "ids":{"fixed":"fixed"},
            "requests":[{"tag":"r2","at":1700003600125,
            "headers":[["cookie","connect.sid=s%3Afixed.nWTzulYjWS5sA967NBIeBvQP7xyAz%2BDdjqvt3UJMG7Q"]]},{"tag":"r3","at":1700003600125,
            "ops":[{"op":"flush"},{"op":"set","key":"7","value":1}]}]}"##,
    ),
    (
        "late changes of a session that was not stored, since its id is in use",
        r##"{"servers":[{"secrets":["old secret"],"cookie":[{"secure":true}]}],
            "ids":{"fixed":"fixed"},
            "requests":[{"tag":"r3","at":1700000182122,
            "ops":[{"op":"save"}]},
            {"tag":"r4","at":1700000182122,
            "ops":[{"op":"save"},{"op":"flush"},{"op":"setCookie","to":{"maxAge":3600000}}]}]}"##,
    ),
];

#[test]
fn differences_that_long_runs_found_are_explained() {
    for (what, line) in FOUND {
        let scenario: Scenario = serde_json::from_str(line).unwrap();
        let node = ours::play(&scenario, Switches::NONE);
        assert_eq!(Judge::new(ours::play, true).judge(&scenario, &node), Ok(()), "{what}");
    }
}

#[test]
fn panic_is_a_difference() {
    let crash = Some("a panic".to_owned());
    let play = move |_: &Scenario, _| Outcome { responses: Vec::new(), crash: crash.clone() };
    assert_eq!(differing(play, true), 120);
}
