//! Shrinks a scenario that fails, as long as it still fails.

use crate::scenario::{Ids, Op, Request, Scenario, Server};
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
    let mut propose = |change: &dyn Fn(&mut Scenario)| {
        let mut changed = scenario.clone();
        change(&mut changed);
        if changed != *scenario && !changed.requests.is_empty() {
            all.push(changed);
        }
    };
    for at in 0..scenario.requests.len() {
        propose(&|scenario| drop(scenario.requests.remove(at)));
    }
    for at in 0..scenario.seeds.len() {
        propose(&|scenario| drop(scenario.seeds.remove(at)));
    }
    for at in 0..scenario.servers.len() {
        propose(&|scenario| {
            if scenario.servers.len() > 1 {
                scenario.servers.remove(at);
                for request in &mut scenario.requests {
                    request.server = 0;
                }
            }
        });
    }
    for (at, server) in scenario.servers.iter().enumerate() {
        for change in server_changes(server) {
            propose(&|scenario| change(&mut scenario.servers[at]));
        }
    }
    for (at, request) in scenario.requests.iter().enumerate() {
        for change in request_changes(request) {
            propose(&|scenario| change(&mut scenario.requests[at]));
        }
    }
    for at in 1..scenario.requests.len() {
        propose(&|scenario| scenario.requests[at].at = scenario.requests[at - 1].at);
    }
    for at in 0..scenario.seeds.len() {
        let plain =
            r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}}"#;
        propose(&|scenario| scenario.seeds[at].text = plain.into());
    }
    propose(&|scenario| scenario.ids = Ids::default());
    all
}

type Change<T> = Box<dyn Fn(&mut T)>;

fn server_changes(server: &Server) -> Vec<Change<Server>> {
    let mut all: Vec<Change<Server>> = vec![
        Box::new(|server| server.name = None),
        Box::new(|server| server.proxy = None),
        Box::new(|server| server.resave = false),
        Box::new(|server| server.rolling = false),
        Box::new(|server| server.save_uninitialized = false),
        Box::new(|server| server.unset_destroys = false),
        Box::new(|server| server.cookie_function = false),
        Box::new(|server| server.no_touch = false),
        Box::new(|server| server.secrets.truncate(1)),
    ];
    for at in 0..server.cookie.len() {
        all.push(Box::new(move |server| drop(server.cookie.remove(at))));
    }
    for at in 0..server.alt_cookie.len() {
        all.push(Box::new(move |server| drop(server.alt_cookie.remove(at))));
    }
    all
}

fn request_changes(request: &Request) -> Vec<Change<Request>> {
    let mut all: Vec<Change<Request>> = Vec::new();
    for at in 0..request.ops.len() {
        all.push(Box::new(move |request| drop(request.ops.remove(at))));
    }
    for (at, (name, text)) in request.headers.iter().enumerate() {
        all.push(Box::new(move |request| drop(request.headers.remove(at))));
        let parts: Vec<&str> = text.split(';').collect();
        for part in 0..parts.len() {
            if name == "cookie" && parts.len() > 1 {
                let mut left = parts.clone();
                left.remove(part);
                let left = left.join(";").trim().to_owned();
                all.push(Box::new(move |request| request.headers[at].1.clone_from(&left)));
            }
        }
    }
    all.extend([
        Box::new(|request: &mut Request| request.method = None) as Change<Request>,
        Box::new(|request| request.path = None),
        Box::new(|request| request.encrypted = false),
        Box::new(|request| request.secure = false),
        Box::new(|request| request.alt = false),
        Box::new(|request| request.fail.clear()),
        Box::new(|request| request.set_cookie.clear()),
        Box::new(|request| request.content_length = false),
    ]);
    for at in 0..request.ops.len() {
        all.push(Box::new(move |request| simplify(&mut request.ops[at])));
    }
    all
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
