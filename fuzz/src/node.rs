//! The comparison with Node's own implementations.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A question for `node/judge.mjs`, and the expected answer.
#[derive(Debug)]
pub struct Question {
    /// The question. Its `target` names the implementation.
    pub ask: Value,
    /// Our answer.
    pub ours: Value,
}

/// Asks one Node process all questions. Returns its answers in order, with `None` if it has none to compare.
pub fn answers(questions: &[Question]) -> Result<Vec<Option<Value>>, Box<dyn Error>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/judge.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("node does not start: {error}"))?;
    let mut input = node.stdin.take().ok_or("node has no input")?;
    let lines: Vec<u8> =
        questions.iter().flat_map(|question| format!("{}\n", question.ask).into_bytes()).collect();
    // A thread writes while this one reads, because neither side can buffer everything that the other writes.
    let writer = std::thread::spawn(move || input.write_all(&lines));
    let output = node.wait_with_output()?;
    writer.join().map_err(|_| "the questions were not asked")??;
    if !output.status.success() {
        return Err(format!("node failed: {}", output.status).into());
    }
    let answers: Vec<Value> = std::str::from_utf8(&output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    if answers.len() != questions.len() {
        return Err(format!("{} answers to {} questions", answers.len(), questions.len()).into());
    }
    Ok(answers.into_iter().map(|answer| answer.get("skip").is_none().then_some(answer)).collect())
}
