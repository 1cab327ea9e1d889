//! The npm package on Node, as the side that is judged.

use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::departures::{Switches, TABLE};
use crate::node::Node;
use crate::outcome::Outcome;
use crate::scenario::Scenario;

/// The departures that the package supports. The others need a feature that a Node store or a JavaScript object lacks.
const THERE: [u8; 11] = [3, 4, 6, 9, 10, 11, 12, 13, 14, 15, 18];

/// The processes, one for each scenario that plays at a time.
#[derive(Debug)]
pub struct Package(Mutex<Vec<Node>>);

impl Package {
    /// Starts the first process, to check that it runs.
    pub fn start() -> io::Result<Self> {
        Ok(Self(Mutex::new(vec![Node::start_package()?])))
    }

    /// Plays a scenario, with those departures that the package supports.
    pub fn play(&self, scenario: &Scenario, switches: Switches) -> Outcome {
        self.attempt(scenario, switches).unwrap_or_else(|error| Outcome {
            responses: Vec::new(),
            crash: Some(error.to_string()),
        })
    }

    fn attempt(&self, scenario: &Scenario, switches: Switches) -> io::Result<Outcome> {
        // Passed as text, since a value would reorder the members of the stored records.
        let scenario = scenario.line();
        let line = format!(r#"{{"departures":{},{}"#, names(switches), &scenario[1..]);
        let idle = self.idle().pop();
        let mut node = match idle {
            Some(node) => node,
            None => Node::start_package()?,
        };
        // A process that failed is not used again.
        let outcome = node.play_line(&line)?;
        self.idle().push(node);
        Ok(outcome)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Node>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names in JavaScript.
fn names(switches: Switches) -> Value {
    TABLE
        .iter()
        .filter(|row| THERE.contains(&row.number) && switches.has(row.number))
        .filter_map(|row| row.field)
        .map(|field| json!(camel(field)))
        .collect()
}

fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().map(str::to_owned);
    let others = words.map(|word| word[..1].to_uppercase() + &word[1..]);
    first.into_iter().chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn departures_go_by_their_names_in_javascript() {
        let some = Switches::NONE.with(3).with(15).with(19);
        assert_eq!(names(some), json!(["pathMatch", "saveBeforeResponse"]));
        assert_eq!(names(Switches::NONE), json!([]));
    }
}
