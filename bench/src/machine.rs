//! What the figures were taken on.

use std::fmt;
use std::fs;
use std::process::Command;

use procfs::{CpuInfo, Current as _, Meminfo};
use serde::Serialize;

/// The machine, as far as figures depend on it.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: Option<u64>,
    kernel: String,
    rustc: String,
    node: String,
}

const UNKNOWN: &str = "unknown";

impl Machine {
    /// Asks the system; what it does not tell is unknown.
    #[must_use]
    pub fn read() -> Self {
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
