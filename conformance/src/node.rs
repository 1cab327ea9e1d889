//! The Node process that the real express-session runs in.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use crate::outcome::Outcome;
use crate::scenario::Scenario;

/// A running judge. Dropping it ends the process.
#[derive(Debug)]
pub struct Node {
    process: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

impl Node {
    /// Starts the judge.
    ///
    /// # Errors
    ///
    /// When `node` is not installed, or the packages are not (`npm ci`).
    pub fn start() -> io::Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        if !folder.join("node_modules/express-session").exists() {
            return Err(io::Error::other(format!("run `npm ci` in {} first", folder.display())));
        }
        let mut process = Command::new("node")
            .arg("judge.mjs")
            .current_dir(folder)
            .env("NO_DEPRECATION", "express-session")
            .env_remove("NODE_ENV")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot run node: {error}")))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("the pipes of node are missing"));
        };
        Ok(Self { process, input: Some(BufWriter::new(input)), output: BufReader::new(output) })
    }

    /// Plays one scenario and waits for what becomes of it.
    ///
    /// # Errors
    ///
    /// When the process has ended, or writes what is no outcome.
    pub fn play(&mut self, scenario: &Scenario) -> io::Result<Outcome> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{}", scenario.line())?;
        input.flush()?;
        read(&mut self.output)
    }

    /// Plays many, Node ahead of `judge`, which gets each with its outcome, in order.
    ///
    /// # Errors
    ///
    /// As [`play`](Self::play), and what `judge` returns.
    pub fn play_all(
        &mut self,
        scenarios: impl Iterator<Item = Scenario> + Clone + Send,
        mut judge: impl FnMut(Scenario, Outcome) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut input = self.input.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let again = scenarios.clone();
        thread::scope(|scope| {
            let writer = scope.spawn(move || -> io::Result<_> {
                for scenario in scenarios {
                    writeln!(input, "{}", scenario.line())?;
                }
                input.flush()?;
                Ok(input)
            });
            let judged = again
                .map(|scenario| judge(scenario, read(&mut self.output)?))
                .find_map(Result::err);
            if let Some(error) = judged {
                // The writer may be waiting for Node to read on.
                let _ = self.process.kill();
                return Err(error);
            }
            self.input = Some(writer.join().map_err(|_| io::Error::other("the writer panicked"))??);
            Ok(())
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // With its input closed, Node ends by itself; after an error it may be in the middle.
        drop(self.input.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(output: &mut BufReader<ChildStdout>) -> io::Result<Outcome> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "node has ended"));
    }
    serde_json::from_str(&line).map_err(io::Error::from)
}
