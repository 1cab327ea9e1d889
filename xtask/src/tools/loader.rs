//! wrk, which loads the servers of the benchmark, from Debian's packages.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::servers::{can_install, install};

const BY_HAND: &str = "`wrk` is missing: install it (on Debian: apt-get install wrk)";

pub(super) fn provide() -> Result<()> {
    if is_there() {
        return Ok(());
    }
    if !can_install() {
        bail!(BY_HAND);
    }
    install(&["wrk"]).context(BY_HAND)?;
    if !is_there() {
        bail!("wrk is installed, and cannot be started");
    }
    Ok(())
}

/// Whether it starts. When asked for its version it says so, and fails.
fn is_there() -> bool {
    Command::new("wrk").arg("-v").output().is_ok()
}
