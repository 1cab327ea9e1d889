//! The npm package: built, tested as its users have it, and judged.

use std::process::Command;

use anyhow::Result;

use crate::conformance::judge;
use crate::process;
use crate::tools;
use crate::workspace::Workspace;

/// Fewer than of the Rust layer: each scenario is played on two Nodes.
const CASES: [(&str, &str); 2] = [("off", "1000"), ("on", "200")];

/// Runs its own tests, with its stores on real servers beside the npm stores, the races of its processes, and the judge
/// without departures and with all that it knows.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    tools::build_node_package(workspace)?;
    process::run(&mut tests(workspace)?)?;
    crate::races::check_node(workspace)?;
    CASES.into_iter().try_for_each(|(departures, cases)| {
        let choice = ["--against", "node-package", "--departures", departures];
        let extent = ["--seed", "1", "--cases", cases];
        process::run(&mut judge(workspace, &[choice.as_slice(), extent.as_slice()].concat())?)
    })
}

/// Runs the package's tests beside servers; a missing server, npm store or browser makes a test fail.
fn tests(workspace: &Workspace) -> Result<Command> {
    let mut command = process::servers(workspace)?;
    command.args(["npm", "test", "--prefix"]).arg(tools::node_package(workspace));
    command.env("EXPRESS_SESSION_REQUIRE_SERVERS", "1");
    Ok(command)
}
