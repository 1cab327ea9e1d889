//! A process that outlives no test.
//!
//! Between the test and the server stands a shell that reads orders from a pipe. When the pipe ends,
//! because its value here was dropped or because the test's process is no more, the shell ends the
//! server and removes its folder. Only the kernel has to keep its word for that.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = r#"
folder=$1 stop=$2 server=
shift 2
end() {
    [ -n "$server" ] || return
    kill -s "$1" "$server"
    wait "$server"
    server=
}
while read -r order; do
    case $order in
    start)
        "$@" </dev/null >>"$folder/log" 2>&1 &
        server=$!
        echo "$server" ;;
    kill)
        end KILL
        echo killed ;;
    esac
done
end "$stop"
rm -rf "$folder"
"#;

#[derive(Debug)]
pub(super) struct Supervisor {
    shell: Child,
    /// Always there until it is dropped.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
    server: Option<u32>,
}

impl Supervisor {
    /// Prepares to run a command in a folder. On `stop` the server must end soon.
    pub(super) fn new(folder: &Path, stop: &str, command: &[OsString]) -> Result<Self, String> {
        let told = |error| format!("`sh` does not run: {error}");
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(folder)
            .arg(stop)
            .args(command)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The reader of the test's output must not wait for the servers to end.
            .stderr(Stdio::null())
            // An interrupt from the keyboard is for the test; the servers follow in order.
            .process_group(0)
            .spawn()
            .map_err(told)?;
        let orders = shell.stdin.take();
        let answers = shell.stdout.take().ok_or("`sh` has no output")?;
        let answers = BufReader::new(answers);
        Ok(Self { shell, orders, answers, folder: folder.to_owned(), server: None })
    }

    /// Starts the server; whether it comes up is another question.
    pub(super) fn start(&mut self) -> Result<u32, String> {
        let answer = self.order("start")?;
        let server = answer.parse().map_err(|_| format!("`sh` answers {answer:?}"))?;
        self.server = Some(server);
        Ok(server)
    }

    /// Ends the server without a chance to tidy up.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.server = None;
        self.order("kill").map(drop)
    }

    /// The number of the server's process, if it was started.
    pub(super) fn server(&self) -> Option<u32> {
        self.server
    }

    /// The end of what the server said.
    pub(super) fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        let end = log.get(log.len().saturating_sub(4_000)..).unwrap_or_default();
        String::from_utf8_lossy(end).into_owned()
    }

    fn order(&mut self, order: &str) -> Result<String, String> {
        let told = |error| format!("the shell that supervises a server is gone: {error}");
        // It is dropped only with the whole.
        let orders = self.orders.as_mut().ok_or("the server was stopped")?;
        writeln!(orders, "{order}").map_err(told)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(told)?;
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.orders = None;
        // Nothing can be done about a shell that cannot be waited for.
        let _ = self.shell.wait();
    }
}

/// Whether a process is no more, as far as the system tells.
pub(super) fn has_ended(process: u32) -> bool {
    let Ok(state) = fs::read_to_string(format!("/proc/{process}/stat")) else {
        return Path::new("/proc/self/stat").exists();
    };
    // `12 (name) Z …`, where the name may hold anything; Z has ended and was not yet waited for.
    state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("express-session-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn sleeper(folder: &Path) -> Supervisor {
        Supervisor::new(folder, "TERM", &["sleep", "600"].map(OsString::from)).unwrap()
    }

    #[test]
    fn dropping_ends_the_server_and_removes_its_folder() {
        let folder = folder("dropped");
        let mut supervisor = sleeper(&folder);
        let server = supervisor.start().unwrap();
        assert!(!has_ended(server));
        drop(supervisor);
        assert!(has_ended(server));
        assert!(!folder.exists());
    }

    #[test]
    fn a_killed_server_can_be_started_again_in_its_folder() {
        let folder = folder("killed");
        let mut supervisor = sleeper(&folder);
        let first = supervisor.start().unwrap();
        supervisor.kill().unwrap();
        assert!(has_ended(first));
        assert!(folder.exists());
        let second = supervisor.start().unwrap();
        assert!(!has_ended(second));
        drop(supervisor);
        assert!(has_ended(second));
    }

    #[test]
    fn a_server_that_ends_by_itself_is_seen_and_its_log_kept() {
        let folder = folder("ended");
        let command = ["sh", "-c", "echo no such luck; exit 3"].map(OsString::from);
        let mut supervisor = Supervisor::new(&folder, "TERM", &command).unwrap();
        let server = supervisor.start().unwrap();
        super::super::probe::until(|| {
            if has_ended(server) { Ok(()) } else { Err("it runs") }.into()
        })
        .unwrap();
        assert_eq!(supervisor.log(), "no such luck\n");
    }
}
