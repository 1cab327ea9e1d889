//! Chromium, the browser that the npm package is tried in, from Debian's packages.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::servers::{can_install, install};
use crate::process;

const BY_HAND: &str = "`chromium` is missing: install it (on Debian: apt-get install chromium)";

pub(super) fn provide() -> Result<()> {
    if is_there() {
        return Ok(());
    }
    if !can_install() {
        bail!(BY_HAND);
    }
    install(&["chromium"]).context(BY_HAND)?;
    if !is_there() {
        bail!("chromium is installed, and cannot be started");
    }
    Ok(())
}

fn is_there() -> bool {
    process::works(Command::new("chromium").arg("--version"))
}
