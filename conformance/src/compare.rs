//! The differences between two outcomes of one scenario.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::outcome::{Outcome, Response};
use crate::value::Value;

/// Returns the differences of two outcomes, one line for each item and side, or `None` if they agree.
pub fn difference(node: &Outcome, ours: &Outcome) -> Option<String> {
    let mut out = String::new();
    if node.crash.is_some() || ours.crash.is_some() {
        // A crash is a difference, even of both sides.
        return Some(format!("crash\n    node {:?}\n    ours {:?}\n", node.crash, ours.crash));
    }
    if node.responses.len() != ours.responses.len() {
        line(&mut out, "responses", &node.responses.len(), &ours.responses.len());
    }
    for (at, (node, ours)) in node.responses.iter().zip(&ours.responses).enumerate() {
        if let Some(difference) = response_difference(node, ours) {
            let _ = write!(out, "request {at}:\n{difference}");
        }
    }
    (!out.is_empty()).then_some(out)
}

pub fn response_difference(node: &Response, ours: &Response) -> Option<String> {
    let mut out = String::new();
    line(&mut out, "status", &node.status, &ours.status);
    line(&mut out, "Set-Cookie", &node.set_cookie, &ours.set_cookie);
    line(&mut out, "store calls", &node.calls, &ours.calls);
    line(&mut out, "handler saw", &node.view, &ours.view);
    if !same_records(&node.records, &ours.records) {
        line(&mut out, "records", &node.records, &ours.records);
    }
    (!out.is_empty()).then_some(out)
}

fn same_records(node: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> bool {
    node.len() == ours.len()
        && node.iter().zip(ours).all(|((id, text), (other, left))| {
            id == other && (text == left || normal(text) == normal(left))
        })
}

/// Normalises a record's text: `JSON.stringify(JSON.parse(text))`.
///
/// The records in the store are compared in this form: a touch of express-session's memory store writes the
/// whole record again, ours writes only its cookie. The calls of the store are compared byte for byte.
pub fn normal(text: &str) -> String {
    // A Rust string cannot hold a lone surrogate. The generator has only this one.
    let whole = text.replace("\\ud800", "\\ue000");
    serde_json::from_str(&whole).map_or_else(|_| text.into(), |value: Value| value.js())
}

fn line<T: PartialEq + std::fmt::Debug>(out: &mut String, what: &str, node: &T, ours: &T) {
    if node != ours {
        let _ = writeln!(out, "  {what}\n    node {node:?}\n    ours {ours:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_outcomes_have_no_difference() {
        let outcome = Outcome { responses: vec![Response::default()], crash: None };
        assert_eq!(difference(&outcome, &outcome), None);
    }

    #[test]
    fn difference_names_only_the_items_that_differ() {
        let node = Response { status: 200, ..Response::default() };
        let ours = Response { status: 500, ..Response::default() };
        let text = response_difference(&node, &ours).unwrap();
        assert_eq!(text, "  status\n    node 200\n    ours 500\n");
    }

    #[test]
    fn crash_on_both_sides_is_a_difference() {
        let outcome = Outcome { responses: Vec::new(), crash: Some("boom".into()) };
        assert!(difference(&outcome, &outcome).is_some());
    }

    #[test]
    fn records_are_compared_in_one_form() {
        assert_eq!(normal(r#"{ "b":1.0, "7":"\u00e9" }"#), r#"{"7":"é","b":1}"#);
        assert_eq!(
            normal(r#"{"a":"\ud83d\ude00","b":"\ud800"}"#),
            "{\"a\":\"😀\",\"b\":\"\u{e000}\"}"
        );
    }
}
