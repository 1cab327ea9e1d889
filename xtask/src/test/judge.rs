//! The judge, with a seed and a number of cases that suit every run.

use anyhow::Result;

use crate::conformance::judge;
use crate::process;
use crate::workspace::Workspace;

/// Enough to meet every departure, few enough to wait for. `cargo xtask conformance` takes any number.
const CASES: &str = "3000";
/// Fixed, so that a failure is the change's and comes again.
const SEED: &str = "1";

/// Without departures there is no difference at all, with them only the listed ones.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    ["off", "on"].into_iter().try_for_each(|departures| {
        let arguments = ["--seed", SEED, "--cases", CASES, "--departures", departures];
        process::run(&mut judge(workspace, &arguments)?)
    })
}
