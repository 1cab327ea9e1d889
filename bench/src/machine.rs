//! The machine: what the figures were taken on, its clock, and the memory of this process.

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result};
use express_session::Timestamp;
use procfs::process::Process;
use procfs::{CpuInfo, Current as _, Meminfo};
use serde::Serialize;

/// The properties of the machine that figures depend on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: Option<u64>,
    kernel: String,
    rustc: String,
    node: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// Reads them from the system; a missing one is shown as unknown.
    pub(crate) fn read() -> Self {
        let cpu = CpuInfo::current().ok();
        let cpu = cpu.and_then(|cpu| cpu.model_name(0).map(str::to_owned));
        let memory = Meminfo::current().ok();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            cpu: cpu.unwrap_or_else(|| UNKNOWN.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.map(|memory| memory.mem_total / (1024 * 1024)),
            kernel: kernel.map_or_else(|| UNKNOWN.to_owned(), |text| text.trim().to_owned()),
            rustc: version("rustc"),
            node: version("node"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "- processor: {}, {} cores", self.cpu, self.cores)?;
        if let Some(mib) = self.memory_mib {
            writeln!(f, "- memory: {mib} MiB")?;
        }
        writeln!(f, "- kernel: {}", self.kernel)?;
        writeln!(f, "- {}", self.rustc)?;
        writeln!(f, "- node {}", self.node)
    }
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| UNKNOWN.to_owned(), |text| text.trim().to_owned())
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

/// Returns the resident memory of this process, in bytes.
pub(crate) fn resident() -> Result<u64> {
    let kilobytes = Process::myself()?.status()?.vmrss;
    Ok(kilobytes.context("the system does not report the memory of this process")? * 1024)
}
