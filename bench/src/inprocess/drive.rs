//! The instructions of a request, as valgrind counts them.
//!
//! Two runs of one program differ only in the number of requests, so that the difference of their counts is the cost
//! of the requests.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bench_hot::Case;

use super::subjects::{self, Subject};
use crate::process;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    subject: String,
    case: String,
    /// How many requests
    requests: u64,
}

/// Requests of the shorter run.
const FEW: u64 = 100;

impl Args {
    pub(crate) fn run(&self) -> Result<()> {
        let subject = Subject::of_name(&self.subject)?;
        let case = Case::of_name(&self.case);
        let case = case.with_context(|| format!("no case is called {}", self.case))?;
        let runtime = subjects::runtime()?;
        let mut prepared = subject.prepare(case, &runtime)?;
        prepared.run(&runtime, self.requests)?;
        // The cleanup at the end of a program is not the cost of a request.
        std::process::exit(0)
    }
}

pub(super) fn can_count() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok()
}

/// Returns the instructions of one request, from a run of so many.
#[expect(clippy::cast_precision_loss, reason = "far from 2 to the 52nd")]
pub(super) fn per_request(subject: &Subject, case: Case, requests: u64) -> Result<f64> {
    let (few, many) = (counted(subject, case, FEW)?, counted(subject, case, FEW + requests)?);
    ensure!(many > few, "{} requests cost less than {FEW}", FEW + requests);
    Ok((many - few) as f64 / requests as f64)
}

fn counted(subject: &Subject, case: Case, requests: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(process::itself()?).arg("drive");
    valgrind.args([subject.name, case.name(), &requests.to_string()]);
    let output = valgrind.output().context("valgrind does not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} under valgrind: {said}", subject.title);
    collected(&said).with_context(|| format!("valgrind printed no number: {said}"))
}

/// Reads the number on the last line but one of callgrind.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_of_callgrind_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 14712983\n==7== \n";
        assert_eq!(collected(said), Some(14_712_983));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
