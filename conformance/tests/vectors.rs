//! The vectors of `vectors/`, made by express-session 1.19.0 on Node 20, played to our layer without departures and
//! without Node.

#![allow(clippy::unwrap_used, reason = "a vector that cannot be read fails the tests")]

use std::collections::BTreeMap;

use conformance::departures::{Switches, cookie_of};
use conformance::outcome::{Call, Response};
use conformance::scenario::{Attribute, Ids, Op, Request, Scenario, Seed, Server};
use conformance::value::Value;
use conformance::{cookie, ours};
use serde::Deserialize;

const STORED: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const SECRET: &str = "keyboard cat";
const NOW: i64 = 1_700_000_000_123;

/// A row of `requests.json`: one request with its outcome.
#[derive(Debug, Deserialize)]
struct Exchange {
    case: String,
    set_cookie: Option<Vec<String>>,
    calls: Vec<String>,
    stored: BTreeMap<String, String>,
}

/// Returns the rows of `requests.json`, each with its scenario, or without one if a Rust program cannot play it.
fn exchanges() -> Vec<(Exchange, Option<Scenario>)> {
    let rows: Vec<Exchange> =
        serde_json::from_str(include_str!("../vectors/requests.json")).unwrap();
    let mut scenarios: BTreeMap<String, Scenario> =
        serde_json::from_str(include_str!("../vectors/request-scenarios.json")).unwrap();
    let with_scenario = |row: Exchange| {
        let scenario = scenarios.remove(&row.case);
        (row, scenario)
    };
    rows.into_iter().map(with_scenario).collect()
}

impl Exchange {
    /// Returns the differences between a response and the row.
    fn difference(&self, response: &Response) -> Option<String> {
        let calls: Vec<String> = response
            .calls
            .iter()
            .map(|call| match call {
                Call::Get(_) => "get".into(),
                Call::Destroy(_) => "destroy".into(),
                Call::Set(_, text) => format!("set:{text}"),
                Call::Touch(_, cookie) => format!("touch:{cookie}"),
            })
            .collect();
        let expected: Vec<String> = self.calls.iter().map(|call| cookie_of_touch(call)).collect();
        let set_cookie = self.set_cookie.clone().unwrap_or_default();
        // Only Node's memory store keeps a session that has already expired.
        let over = |text: &String| text.contains(r#""originalMaxAge":0,"#);
        let stored: BTreeMap<_, _> = self.stored.iter().filter(|(_, text)| !over(text)).collect();
        let same = response.set_cookie == set_cookie
            && calls == expected
            && response.records.iter().eq(stored);
        (!same).then(|| format!("{}\nexpected {self:?}\ngot {response:?}\n", self.case))
    }
}

/// A touch is logged with the cookie here, and with the whole session in the vectors.
fn cookie_of_touch(call: &str) -> String {
    let cookie = call.strip_prefix("touch:").and_then(cookie_of);
    cookie.map_or_else(|| call.into(), |cookie| format!("touch:{cookie}"))
}

/// A row of `decision-matrix.jsonl`: a kind of request with its outcome.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    state: String,
    act: String,
    unset: String,
    resave: bool,
    save_uninit: bool,
    rolling: bool,
    max_age: bool,
    calls: String,
    get: bool,
    sc: bool,
}

fn decisions() -> Vec<Decision> {
    let lines = include_str!("../vectors/decision-matrix.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Decision {
    fn scenario(&self) -> Scenario {
        let modify = Op::Set { key: "a".into(), value: Value::Int(2) };
        let ops = match self.act.as_str() {
            "touch()" => vec![Op::Touch],
            "modify" => vec![modify],
            "modify+save" => vec![modify, Op::Save],
            "save-only" => vec![Op::Save],
            "regenerate" => vec![Op::Regenerate],
            "regenerate+modify" => vec![Op::Regenerate, modify],
            "destroy" => vec![Op::Destroy],
            "null" => vec![Op::Unset],
            "reload" => vec![Op::Reload],
            _ => Vec::new(),
        };
        let value = match self.state.as_str() {
            "none" => None,
            "badsig" => Some(cookie::value(STORED, "another")),
            _ => Some(cookie::value(STORED, SECRET)),
        };
        let age = if self.max_age {
            r#""originalMaxAge":60000,"expires":"2023-11-14T22:13:50.123Z""#
        } else {
            r#""originalMaxAge":null,"expires":null"#
        };
        let text = format!(r#"{{"cookie":{{{age},"httpOnly":true,"path":"/"}},"a":1}}"#);
        let server = Server {
            secrets: vec![SECRET.into()],
            resave: self.resave,
            rolling: self.rolling,
            save_uninitialized: self.save_uninit,
            unset_destroys: self.unset == "destroy",
            cookie: if self.max_age { vec![Attribute::MaxAge(Some(60_000))] } else { Vec::new() },
            ..Server::default()
        };
        request(server, (self.state == "found").then_some(text), value, ops)
    }

    /// Returns the differences between a response and the row.
    fn difference(&self, response: &Response) -> Option<String> {
        // The first read is in a column of its own; those of a reload are not.
        let calls = response.calls.iter().filter_map(|call| match call {
            Call::Get(_) => None,
            Call::Set(..) => Some("set"),
            Call::Touch(..) => Some("touch"),
            Call::Destroy(_) => Some("destroy"),
        });
        let calls = calls.collect::<Vec<_>>().join("+");
        let calls = if calls.is_empty() { "-" } else { &calls };
        let get = matches!(response.calls.first(), Some(Call::Get(_)));
        let same = calls == self.calls
            && get == self.get
            && response.set_cookie.len() == usize::from(self.sc);
        (!same).then(|| format!("expected {self:?}\ngot {response:?}\n"))
    }
}

/// Returns one request with this cookie, and the record that the store has.
fn request(server: Server, text: Option<String>, value: Option<String>, ops: Vec<Op>) -> Scenario {
    let cookie = |value| ("cookie".into(), format!("connect.sid={value}"));
    let headers = value.map(cookie).into_iter().collect();
    let request = Request { tag: "r0".into(), at: NOW, headers, ops, ..Request::default() };
    let seed = |text| Seed { id: STORED.into(), text };
    let seeds = text.map(seed).into_iter().collect();
    Scenario { servers: vec![server], ids: Ids::default(), seeds, requests: vec![request] }
}

/// An entry of `load-normalisation.txt`: a record before and after a load and a touch.
#[derive(Debug)]
struct Normalisation {
    /// The record as it is in the store.
    stored: &'static str,
    /// The record after a load and a save.
    loaded: &'static str,
    /// The record after a load, a touch and a save.
    touched: &'static str,
}

/// Returns the entries of `load-normalisation.txt`, without the one that makes express-session throw.
fn normalisations() -> Vec<Normalisation> {
    let lines: Vec<_> = include_str!("../vectors/load-normalisation.txt").lines().collect();
    lines
        .windows(3)
        .filter_map(|lines| {
            Some(Normalisation {
                stored: lines[0].strip_prefix("IN ")?.trim(),
                loaded: lines[1].strip_prefix("LOADED ")?.trim(),
                touched: lines[2].strip_prefix("TOUCH ")?.trim(),
            })
        })
        .collect()
}

impl Normalisation {
    /// Returns a request that loads the record and saves it, touched or not.
    fn scenario(&self, touch: bool) -> Scenario {
        let server = Server { secrets: vec![SECRET.into()], ..Server::default() };
        let ops = if touch { vec![Op::Touch, Op::Save] } else { vec![Op::Save] };
        let value = cookie::value(STORED, SECRET);
        request(server, Some(self.stored.into()), Some(value), ops)
    }

    /// Returns the record that this request saved.
    fn saved(response: &Response) -> Option<&str> {
        response.calls.iter().find_map(|call| match call {
            Call::Set(_, text) => Some(text.as_str()),
            Call::Get(_) | Call::Touch(..) | Call::Destroy(_) => None,
        })
    }
}

/// Plays one request to ours.
fn respond(scenario: &Scenario) -> Response {
    let outcome = ours::play(scenario, Switches::NONE);
    assert_eq!(outcome.crash, None, "{scenario:?}");
    outcome.responses.into_iter().next().unwrap_or_default()
}

#[test]
fn every_vector_is_answered_as_express_session_answered_it() {
    let mut differences = Vec::new();
    for (row, scenario) in exchanges() {
        if let Some(scenario) = scenario {
            differences.extend(row.difference(&respond(&scenario)));
        }
    }
    for row in decisions() {
        differences.extend(row.difference(&respond(&row.scenario())));
    }
    for row in normalisations() {
        for (touch, expected) in [(false, row.loaded), (true, row.touched)] {
            let response = respond(&row.scenario(touch));
            let saved = Normalisation::saved(&response);
            if saved != Some(expected) {
                differences.push(format!("expected {expected}\ngot {saved:?}\n"));
            }
        }
    }
    assert!(differences.is_empty(), "{}:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn no_vector_is_left_out_without_a_reason() {
    assert_eq!(decisions().len(), 720);
    // One further record makes express-session throw when it is touched.
    assert_eq!(normalisations().len(), 7);
    let unreachable: Vec<_> = exchanges()
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
