//! The machine: what the figures were taken on, its clock, and the memory of this process.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};
use express_session::Timestamp;
use procfs::process::Process;
use procfs::{CpuInfo, Current as _, Meminfo};

/// Returns the properties of the machine that figures depend on. A missing one is shown as unknown.
pub(crate) fn properties() -> BTreeMap<&'static str, String> {
    let unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    let cpu = CpuInfo::current().ok();
    let cpu = cpu.and_then(|cpu| cpu.model_name(0).map(str::to_owned));
    let memory = Meminfo::current().ok();
    let memory = memory.map(|memory| format!("{} MiB", memory.mem_total / (1024 * 1024)));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok();
        output.and_then(|output| String::from_utf8(output.stdout).ok())
    };
    let properties = [
        ("processor", Some(format!("{}, {cores} cores", unknown(cpu)))),
        ("memory", memory),
        ("kernel", kernel),
        ("rustc", version("rustc").map(|text| text.trim_start_matches("rustc ").to_owned())),
        ("node", version("node")),
        ("redis", version("redis-server")),
        ("valkey", version("valkey-server")),
        ("postgres", version("postgres")),
        ("mariadb", version("mariadbd")),
    ];
    properties.map(|(name, value)| (name, unknown(value).trim().to_owned())).into()
}

pub(crate) fn instant() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is what measures")]
    Instant::now()
}

pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the stores are called at the present time")]
    let now = SystemTime::now();
    now.into()
}

/// Returns a time from which a simulated clock can run on: the stores remove nothing by a clock that is ahead of the
/// machine's.
pub(crate) fn long_ago() -> Timestamp {
    const YEAR_IN_MILLIS: i64 = 366 * 24 * 60 * 60 * 1000;
    Timestamp::from_millis(now().millis() - YEAR_IN_MILLIS)
}

/// Returns the resident memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64> {
    let kilobytes = Process::myself()?.status()?.vmrss;
    Ok(kilobytes.context("the system does not report the memory of this process")? * 1024)
}
