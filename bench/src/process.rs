//! Processes that are measured: how they are started, on which core they run, and what they take.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
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
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    ticks(&stat).map(|ticks| TICK * ticks).context("the state of a process has an unknown form")
}

/// The program that is measured in processes of its own; it lies beside this one.
pub(crate) fn subject() -> Result<PathBuf> {
    let subject = std::env::current_exe()?.with_file_name("subject");
    ensure!(subject.exists(), "{} is missing: build all programs", subject.display());
    Ok(subject)
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

/// A folder for files, removed at the end.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("no folder {}", folder.display()))?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system empties its temporary folder some day.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What Linux counts the time of a process in, for whoever reads it.
const TICK: Duration = Duration::from_millis(10);

/// The ticks in user and in kernel mode: the 14th and the 15th field. The second, a name in brackets, may
/// have blanks.
fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_a_process_is_read_whatever_its_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 90 0 0 0 12 30 5 6 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
        assert!(cpu(std::process::id()).is_ok());
    }
}
