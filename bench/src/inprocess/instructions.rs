//! How many instructions a request takes, as valgrind counts them.
//!
//! Two runs of one program that differ in the number of requests: what they differ by is the requests' own. Valgrind's
//! processor has no instructions for SHA-256, so that a signature takes more of them here than it would.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bench_hot::Case;
use clap::Args;

use super::subjects::{self, Subject};
use crate::process;

/// What a child does: it sends requests, and nothing else.
#[derive(Debug, Args)]
pub struct Drive {
    /// Whose sessions
    subject: String,
    /// Which case
    case: String,
    /// How many requests
    requests: u64,
}

/// Requests of the shorter run.
const FEW: u64 = 100;

impl Drive {
    /// Sends the requests, and ends the process.
    ///
    /// # Errors
    ///
    /// A subject or a case that is not there, or does not do what it should.
    pub fn run(&self) -> Result<()> {
        let subject = Subject::of_name(&self.subject)?;
        let case = Case::of_name(&self.case);
        let case = case.with_context(|| format!("no case is called {}", self.case))?;
        let runtime = subjects::runtime()?;
        let mut prepared = subject.prepare(case, &runtime)?;
        prepared.run(&runtime, self.requests)?;
        // What is still to be done when the program ends depends on nobody's requests.
        std::process::exit(0)
    }
}

/// Whether there is valgrind to count with.
pub(super) fn can_count() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok()
}

/// Of one request, from a run of so many.
#[expect(clippy::cast_precision_loss, reason = "far from 2 to the 52nd")]
pub(super) fn per_request(subject: &Subject, case: Case, requests: u64) -> Result<f64> {
    let (few, many) = (counted(subject, case, FEW)?, counted(subject, case, FEW + requests)?);
    ensure!(many > few, "{} requests cost less than {FEW}", FEW + requests);
    Ok((many - few) as f64 / requests as f64)
}

fn counted(subject: &Subject, case: Case, requests: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(process::beside("path")?).arg("drive");
    valgrind.args([subject.name, case.name(), &requests.to_string()]);
    let output = valgrind.output().context("valgrind does not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} under valgrind: {said}", subject.title);
    collected(&said).with_context(|| format!("valgrind tells no number: {said}"))
}

/// The number on callgrind's last line but one.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_collected_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 14712983\n==7== \n";
        assert_eq!(collected(said), Some(14_712_983));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
