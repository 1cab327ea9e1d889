//! What the figures were taken on.

use std::fmt;
use std::fs;
use std::process::Command;

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
        let cpu = field("/proc/cpuinfo", "model name");
        let memory = field("/proc/meminfo", "MemTotal");
        let memory = memory.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            cpu: cpu.unwrap_or_else(|| UNKNOWN.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.map(|kib| kib / 1024),
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

/// The first value of that name, in a file of names and values.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| UNKNOWN.to_owned(), |text| text.trim().to_owned())
}
