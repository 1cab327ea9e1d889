//! Processes that are measured: how they are started, on which core they run, and what they take.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use procfs::process::Process;
use serde::de::DeserializeOwned;

/// A core that a process is kept on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Core {
    /// What is measured, alone.
    Measured,
    /// All that it needs: who asks, and where its data is.
    Other,
}

/// A server that is being measured. It ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a program that prints its port and ends with its input.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("no output")?;
        let mut server = Self { child, port: 0 };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        server.port = line.trim().parse().context("it ended before it was ready")?;
        Ok(server)
    }

    /// The time that it has spent on the processor, in all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Core {
    /// Makes a command run there, where the machine has more than one.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        if !can_pin() {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", self.number()]).arg(program);
        command
    }

    /// Moves a process there, with all its threads.
    pub(crate) fn take(self, process: u32) -> Result<()> {
        if can_pin() {
            let mut command = Command::new("taskset");
            command.args(["--all-tasks", "--cpu-list", "--pid", self.number()]);
            output(command.arg(process.to_string()))?;
        }
        Ok(())
    }

    fn number(self) -> &'static str {
        match self {
            Self::Measured => "0",
            Self::Other => "1",
        }
    }
}

/// Whether there is a core for what is measured and one for the rest.
pub(crate) fn can_pin() -> bool {
    available_parallelism().is_ok_and(|cores| cores.get() > 1)
        && Command::new("taskset").arg("--version").output().is_ok()
}

/// The time that a process has spent on the processor, in all its threads.
pub(crate) fn cpu(process: u32) -> Result<Duration> {
    let stat = Process::new(i32::try_from(process)?)?.stat()?;
    let ticks = (stat.utime + stat.stime) as f64;
    Ok(Duration::from_secs_f64(ticks / procfs::ticks_per_second() as f64))
}

/// The time that those processes have spent there that this one started, and that have ended.
pub(crate) fn cpu_of_ended() -> Result<Duration> {
    let stat = Process::myself()?.stat()?;
    let ticks = (stat.cutime + stat.cstime) as f64;
    Ok(Duration::from_secs_f64(ticks / procfs::ticks_per_second() as f64))
}

/// The program that is measured in processes of its own.
pub(crate) fn subject() -> Result<PathBuf> {
    beside("subject")
}

/// A program that lies beside this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name(name);
    ensure!(program.exists(), "{} is missing: build all programs", program.display());
    Ok(program)
}

/// Runs the program that is measured, and gives what it found.
pub(crate) fn found<T: DeserializeOwned>(arguments: &[&str]) -> Result<T> {
    let text = output(Command::new(subject()?).args(arguments))?;
    serde_json::from_str(&text).context("what the subject found has an unknown form")
}

/// Runs a command, and gives what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let name = command.get_program().to_string_lossy().into_owned();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The folder of the programs for Node, with their packages.
pub(crate) fn node_folder() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let packages = folder.join("node_modules");
    ensure!(packages.exists(), "the npm packages are not installed: run `cargo xtask bench`");
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_a_child_counts_when_it_has_ended() {
        let before = cpu_of_ended().unwrap();
        let mut busy = Command::new("sh");
        output(busy.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"])).unwrap();
        assert!(cpu_of_ended().unwrap() > before);
    }

    #[test]
    fn time_of_a_process_is_told_while_there_is_one() {
        assert!(cpu(std::process::id()).is_ok());
        assert!(cpu(u32::MAX).is_err());
    }
}
