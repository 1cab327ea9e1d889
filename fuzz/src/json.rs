//! A value in a record.

use express_session_core::Document;
use express_session_core::record::Json;
use serde_json::Value;

use crate::javascript::{Integers, Js};
use crate::node::Question;
use crate::record_text;

/// Reads a text as the content of a list, and writes the value again.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    record_text::check(&wrapped(text));
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let Ok(json) = Json::of(&value) else { return };
    let printed = Js::read(json.as_str(), Integers::Exact).expect("what is printed is JSON");
    let expected = Js::read(&value.to_string(), Integers::Exact);
    assert_eq!(Some(printed), expected, "serde_json prints the same value");
    let mut document = Document::new();
    document.insert("v", &value).expect("the name is free");
    let stored = Document::parse(document.to_json("{}")).expect("what is written is read");
    assert_eq!(stored.get_raw("v"), Some(json.as_str()));
    let read = stored.get::<Value>("v").expect("what serde_json printed it reads");
    assert_eq!(read.as_ref().and_then(tree), tree(&value));
}

/// Asks for Node's form, as for a record.
pub fn question(data: &[u8]) -> Option<Question> {
    record_text::question(wrapped(std::str::from_utf8(data).ok()?).as_bytes())
}

fn wrapped(text: &str) -> String {
    format!(r#"{{"cookie":{{}},"v":[{text}]}}"#)
}

/// Returns the tree with 1.0 as 1, as JavaScript prints it.
fn tree(value: &Value) -> Option<Js> {
    Js::read(&value.to_string(), Integers::Exact)
}
