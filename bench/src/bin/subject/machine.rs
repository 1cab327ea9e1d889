//! What only the machine knows: the time, and the memory that this process takes.

use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};
use express_session::Timestamp;
use procfs::process::Process;

pub(crate) fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is what measures")]
    Instant::now()
}

pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the stores are asked at the present time")]
    let now = SystemTime::now();
    now.into()
}

/// The resident memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64> {
    let kilobytes = Process::myself()?.status()?.vmrss;
    Ok(kilobytes.context("the system does not say what memory is taken")? * 1024)
}
