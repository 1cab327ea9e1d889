//! Shrinks a scenario that fails, as long as it still fails.

use crate::scenario::{Op, Scenario};
use crate::value::Value;

/// Returns the smallest scenario that `fails`, found by trying ever smaller ones.
pub fn shrink(mut scenario: Scenario, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    while let Some(smaller) = simpler(&scenario).into_iter().find(&mut fails) {
        scenario = smaller;
    }
    scenario
}

/// Returns every scenario that is one step simpler, the simplest first.
fn simpler(scenario: &Scenario) -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut propose = |changed: Scenario| {
        if changed != *scenario && can_be_played(&changed) {
            all.push(changed);
        }
    };
    // The line has no defaults: without a member, its default counts.
    let line: Option<Value> = serde_json::from_str(&scenario.line()).ok();
    for less in line.iter().flat_map(without_one) {
        let less = serde_json::to_string(&less).and_then(|line| serde_json::from_str(&line));
        less.into_iter().for_each(&mut propose);
    }
    let mut change = |change: &dyn Fn(&mut Scenario)| {
        let mut changed = scenario.clone();
        change(&mut changed);
        propose(changed);
    };
    for at in 0..scenario.servers.len() {
        change(&|scenario| {
            scenario.servers.remove(at);
            scenario.requests.iter_mut().for_each(|request| request.server = 0);
        });
    }
    for (at, request) in scenario.requests.iter().enumerate() {
        for (header, (name, text)) in request.headers.iter().enumerate() {
            let parts: Vec<&str> = text.split(';').collect();
            for part in 0..if name == "cookie" { parts.len() } else { 0 } {
                let left = [&parts[..part], &parts[part + 1..]].concat().join(";");
                change(&|scenario| {
                    scenario.requests[at].headers[header].1 = left.trim().to_owned();
                });
            }
        }
        for op in 0..request.ops.len() {
            change(&|scenario| simplify(&mut scenario.requests[at].ops[op]));
        }
        let before = at.checked_sub(1).map_or(request.at, |before| scenario.requests[before].at);
        change(&|scenario| scenario.requests[at].at = before);
    }
    for at in 0..scenario.seeds.len() {
        let plain =
            r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}}"#;
        change(&|scenario| scenario.seeds[at].text = plain.into());
    }
    all
}

fn can_be_played(scenario: &Scenario) -> bool {
    !scenario.requests.is_empty()
        && scenario.requests.iter().all(|request| request.server < scenario.servers.len())
        && scenario.servers.iter().all(|server| !server.secrets.is_empty())
}

/// Returns the value without one of the members or items in it, in all ways.
fn without_one(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(members) => {
            let less = |(key, value): &(String, Value)| {
                without_one(value).into_iter().map(|less| (key.clone(), less)).collect()
            };
            without_one_of(members, less).map(Value::Object).collect()
        }
        Value::List(items) => without_one_of(items, without_one).map(Value::List).collect(),
        _ => Vec::new(),
    }
}

fn without_one_of<T: Clone>(
    items: &[T],
    less: impl Fn(&T) -> Vec<T>,
) -> impl Iterator<Item = Vec<T>> {
    items.iter().enumerate().flat_map(move |(at, item)| {
        let news = [None].into_iter().chain(less(item).into_iter().map(Some));
        news.map(move |new| {
            let (before, after) = (items[..at].iter(), items[at + 1..].iter());
            before.cloned().chain(new).chain(after.cloned()).collect()
        })
    })
}

fn simplify(op: &mut Op) {
    if let Op::Set { value, .. } | Op::Revert { value, .. } = op {
        *value = Value::Int(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Generator;

    #[test]
    fn parts_unrelated_to_the_failure_are_shrunk_away() {
        let saves = |scenario: &Scenario| {
            scenario.requests.iter().any(|request| request.ops.contains(&Op::Save))
        };
        let scenario = Generator::new(1).find(saves).unwrap();
        let small = shrink(scenario, saves);
        assert_eq!(small.requests.len(), 1);
        assert_eq!(small.requests[0].ops, [Op::Save]);
        assert!(small.seeds.is_empty() && small.requests[0].headers.is_empty());
        assert!(small.servers[0].cookie.is_empty());
    }
}
