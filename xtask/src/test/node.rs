//! The npm package: built, tested as its users have it, and judged.

use anyhow::Result;

use crate::conformance::judge;
use crate::process;
use crate::tools;
use crate::workspace::Workspace;

/// Fewer than of the Rust layer: each scenario is played on two Nodes.
const CASES: [(&str, &str); 2] = [("off", "1000"), ("on", "200")];

/// Runs its own tests, and the judge without departures and with all that it knows.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    tools::build_node_package(workspace)?;
    process::run(tools::npm(workspace).arg("test"))?;
    CASES.into_iter().try_for_each(|(departures, cases)| {
        let choice = ["--against", "node-package", "--departures", departures];
        let extent = ["--seed", "1", "--cases", cases];
        process::run(&mut judge(workspace, &[choice.as_slice(), extent.as_slice()].concat()))
    })
}
