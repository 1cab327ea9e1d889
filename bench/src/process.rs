//! The processes of a measurement: how they start, the core that they run on, and their processor time.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use express_session_testkit::child::{self, Child};
use procfs::process::Process;
use serde::de::DeserializeOwned;

/// The options of a run, which every part receives.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// Measures less of everything: enough to see that it works, not for figures
    #[arg(long)]
    pub(crate) quick: bool,
    /// Runs the memory store's churn for so long, in real time
    #[arg(long, value_name = "MINUTES")]
    pub(crate) churn_minutes: Option<u32>,
}

/// A core that a process is pinned to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Core {
    /// The core of the process that is measured.
    Measured = 0,
    /// The core of everything else: the load generator and the server of the data.
    Other = 1,
}

/// A server that is being measured. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a program that prints its port and ends with its input.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut child = Child::start(command)?;
        Ok(Self { port: child.port()?, child })
    }

    /// Returns the processor time of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu(self.child.id())
    }
}

impl Core {
    /// Returns a command that runs on this core, if the machine has more than one.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        if !can_pin() {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.arg("--cpu-list").arg((self as u32).to_string()).arg(program);
        command
    }

    /// Returns a command that runs Node on this core, in the folder of this bench's programs.
    pub(crate) fn node(self) -> Result<Command> {
        let node = node()?;
        let mut command = self.command(node.get_program());
        command.envs(node.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(node.get_current_dir().context("no folder")?);
        Ok(command)
    }

    /// Moves a process to this core, with all its threads.
    pub(crate) fn take(self, process: u32) -> Result<()> {
        if can_pin() {
            let mut command = Command::new("taskset");
            command.args(["--all-tasks", "--cpu-list", "--pid"]);
            output(command.args([self as u32, process].map(|number| number.to_string())))?;
        }
        Ok(())
    }
}

/// Checks that the machine has two cores and `taskset`.
pub(crate) fn can_pin() -> bool {
    available_parallelism().is_ok_and(|cores| cores.get() > 1)
        && Command::new("taskset").arg("--version").output().is_ok()
}

/// Returns the processor time of a process, in all its threads.
pub(crate) fn cpu(process: u32) -> Result<Duration> {
    let stat = Process::new(i32::try_from(process)?)?.stat()?;
    Ok(time(stat.utime + stat.stime))
}

/// Returns the process and those that it has started.
pub(crate) fn family(process: u32) -> Result<Vec<u32>> {
    let parent = i32::try_from(process)?;
    // A process may end while it is read.
    let stats = procfs::process::all_processes()?.flatten().filter_map(|it| it.stat().ok());
    let children = stats.filter(|stat| stat.ppid == parent).map(|stat| stat.pid.unsigned_abs());
    Ok([process].into_iter().chain(children).collect())
}

/// Returns the processor time of a process and of those that it has started, the ended ones included.
pub(crate) fn cpu_of_family(process: u32) -> Result<Duration> {
    let parent = Process::new(i32::try_from(process)?)?;
    let of_ended = || {
        let stat = parent.stat()?;
        Ok::<_, Error>(time((stat.cutime + stat.cstime).unsigned_abs()))
    };
    loop {
        let ended = of_ended()?;
        let running = family(process)?.into_iter().filter_map(|process| cpu(process).ok());
        let sum = ended + running.sum::<Duration>();
        // A process that has ended meanwhile may be in neither part.
        if of_ended()? == ended {
            return Ok(sum);
        }
    }
}

/// Returns the processor time of the child processes that have ended.
pub(crate) fn cpu_of_ended() -> Result<Duration> {
    let stat = Process::myself()?.stat()?;
    Ok(time((stat.cutime + stat.cstime).unsigned_abs()))
}

fn time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64)
}

/// Returns this program, which runs each measurement in a process of its own.
pub(crate) fn itself() -> Result<PathBuf> {
    Ok(std::env::current_exe()?)
}

/// Runs a task of this program, and returns what it found.
pub(crate) fn found<T: DeserializeOwned>(arguments: &[&str]) -> Result<T> {
    read(Command::new(itself()?).args(arguments))
}

/// Runs a task of this program on the core of what is measured.
pub(crate) fn found_on_core<T: DeserializeOwned>(arguments: &[&str]) -> Result<T> {
    read(Core::Measured.command(itself()?).args(arguments))
}

pub(crate) fn read<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    serde_json::from_str(&output(command)?).context("the output has an unknown form")
}

pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let name = command.get_program().to_string_lossy().into_owned();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    ensure!(output.status.success(), "{name} failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns a command that runs Node in the folder of this bench's programs.
pub(crate) fn node() -> Result<Command> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    Ok(child::node(&folder, "`cargo xtask bench`")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_of_a_child_counts_when_it_has_ended() {
        let before = cpu_of_ended().unwrap();
        let mut busy = Command::new("sh");
        output(busy.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"])).unwrap();
        assert!(cpu_of_ended().unwrap() > before);
    }

    #[test]
    fn processor_time_of_a_running_process_is_known() {
        assert!(cpu(std::process::id()).is_ok());
        assert!(cpu(u32::MAX).is_err());
    }
}
