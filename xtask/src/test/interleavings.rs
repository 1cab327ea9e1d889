//! The memory store's calls at once, in the orders of a scheduler instead of those that come by chance.

use anyhow::Result;

use crate::process::{self, cargo};
use crate::workspace::Workspace;

/// Builds with the scheduler's locks, in a folder of its own: what is built otherwise stays as it is.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let selection = ["test", "--package", "express-session", "--lib", "--no-default-features"];
    let mut command = cargo(workspace, selection);
    command.arg("--target-dir").arg(workspace.target.join("interleavings"));
    command.arg("interleavings::").env("RUSTFLAGS", flags(std::env::var("RUSTFLAGS").ok()));
    process::run(&mut command)
}

/// Beside the flags that there are.
fn flags(present: Option<String>) -> String {
    let present = present.filter(|flags| !flags.is_empty());
    present.map_or_else(|| SCHEDULER.to_owned(), |flags| format!("{flags} {SCHEDULER}"))
}

const SCHEDULER: &str = "--cfg shuttle";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_set_stay_set() {
        assert_eq!(flags(None), "--cfg shuttle");
        assert_eq!(flags(Some(String::new())), "--cfg shuttle");
        assert_eq!(flags(Some("-D warnings".to_owned())), "-D warnings --cfg shuttle");
    }
}
