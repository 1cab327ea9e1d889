//! The vectors of `vectors/`, made by express-session 1.19.0 on Node 20, as scenarios.

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;

use crate::cookie;
use crate::departures::cookie_of;
use crate::outcome::{Call, Outcome, Response};
use crate::scenario::{Attribute, Ids, Op, Request, Scenario, Seed, Server};
use crate::value::Value;

const STORED: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const SECRET: &str = "keyboard cat";
const NOW: i64 = 1_700_000_000_123;

/// A row of `requests.json`: one request with its outcome.
#[derive(Debug, Deserialize)]
pub struct Exchange {
    pub case: String,
    set_cookie: Option<Vec<String>>,
    calls: Vec<String>,
    stored: BTreeMap<String, String>,
}

/// Returns the rows of `requests.json`, each with its scenario, or without one if a Rust program cannot play it.
pub fn exchanges() -> serde_json::Result<Vec<(Exchange, Option<Scenario>)>> {
    let rows: Vec<Exchange> = serde_json::from_str(include_str!("../vectors/requests.json"))?;
    let mut scenarios: BTreeMap<String, Scenario> =
        serde_json::from_str(include_str!("../vectors/request-scenarios.json"))?;
    let with_scenario = |row: Exchange| {
        let scenario = scenarios.remove(&row.case);
        (row, scenario)
    };
    Ok(rows.into_iter().map(with_scenario).collect())
}

impl Exchange {
    /// Returns the differences between a response and the row.
    pub fn difference(&self, response: &Response) -> Option<String> {
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
pub struct Decision {
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

/// Returns the rows of `decision-matrix.jsonl`.
pub fn decisions() -> serde_json::Result<Vec<Decision>> {
    include_str!("../vectors/decision-matrix.jsonl").lines().map(serde_json::from_str).collect()
}

impl Decision {
    pub fn scenario(&self) -> Scenario {
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
    pub fn difference(&self, response: &Response) -> Option<String> {
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

/// Plays every vector, and returns the differences and the number of vectors.
pub fn check(
    mut play: impl FnMut(&Scenario) -> io::Result<Outcome>,
) -> io::Result<(usize, Vec<String>)> {
    let mut count = 0;
    let mut differences = Vec::new();
    let mut respond = |scenario: &Scenario| -> io::Result<Response> {
        count += 1;
        let outcome = play(scenario)?;
        if let Some(crash) = outcome.crash {
            return Err(io::Error::other(crash));
        }
        Ok(outcome.responses.into_iter().next().unwrap_or_default())
    };
    for (row, scenario) in exchanges()? {
        if let Some(scenario) = scenario {
            differences.extend(row.difference(&respond(&scenario)?));
        }
    }
    for row in decisions()? {
        differences.extend(row.difference(&respond(&row.scenario())?));
    }
    for row in normalisations() {
        for (touch, expected) in [(false, row.loaded), (true, row.touched)] {
            let response = respond(&row.scenario(touch))?;
            let saved = Normalisation::saved(&response);
            if saved != Some(expected) {
                differences.push(format!("expected {expected}\ngot {saved:?}\n"));
            }
        }
    }
    Ok((count, differences))
}

/// An entry of `load-normalisation.txt`: a record before and after a load and a touch.
#[derive(Debug)]
pub struct Normalisation {
    /// The record as it is in the store.
    pub stored: &'static str,
    /// The record after a load and a save.
    pub loaded: &'static str,
    /// The record after a load, a touch and a save.
    pub touched: &'static str,
}

/// Returns the entries of `load-normalisation.txt`, without the one that makes express-session throw.
pub fn normalisations() -> Vec<Normalisation> {
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
    pub fn scenario(&self, touch: bool) -> Scenario {
        let server = Server { secrets: vec![SECRET.into()], ..Server::default() };
        let ops = if touch { vec![Op::Touch, Op::Save] } else { vec![Op::Save] };
        let value = cookie::value(STORED, SECRET);
        request(server, Some(self.stored.into()), Some(value), ops)
    }

    /// Returns the record that this request saved.
    pub fn saved(response: &Response) -> Option<&str> {
        response.calls.iter().find_map(|call| match call {
            Call::Set(_, text) => Some(text.as_str()),
            _ => None,
        })
    }
}
