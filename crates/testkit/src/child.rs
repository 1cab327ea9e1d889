//! A program that a test or a bench starts, with pipes to its input and output.

use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

/// A running program. Dropping the value closes the program's input and ends it.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

/// Returns a command that runs Node in this folder, in production mode.
///
/// # Errors
///
/// The folder's npm packages are not installed. The message contains `how`, which installs them.
pub fn node(folder: &Path, how: &str) -> io::Result<Command> {
    if !folder.join("node_modules").exists() {
        return Err(io::Error::other(format!("the npm packages are not installed: run {how}")));
    }
    let mut command = Command::new("node");
    command
        .current_dir(folder)
        .env("NO_DEPRECATION", "express-session")
        .env("NODE_ENV", "production");
    Ok(command)
}

impl Child {
    /// Starts the program.
    ///
    /// # Errors
    ///
    /// Those of the system; the message contains the program's name.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| {
                let name = command.get_program().display();
                io::Error::new(error.kind(), format!("cannot run {name}: {error}"))
            })?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("the program has no pipes"));
        };
        Ok(Self { process, input: Some(BufWriter::new(input)), output: BufReader::new(output) })
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the port that a server prints when it is ready.
    ///
    /// # Errors
    ///
    /// The program has ended, or printed something else.
    pub fn port(&mut self) -> io::Result<u16> {
        let line = self.line()?;
        let port = line.split_whitespace().next().and_then(|word| word.parse().ok());
        port.ok_or_else(|| io::Error::other(format!("{line:?} is no port")))
    }

    /// Sends a line and waits for the answer, which is one line.
    ///
    /// # Errors
    ///
    /// The program has ended.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{line}")?;
        input.flush()?;
        self.line()
    }

    /// Sends a line for each item from a thread, so that the program works ahead, and passes each item with its
    /// answer to `answered`, in order.
    ///
    /// # Errors
    ///
    /// The program has ended, or `answered` failed. Either ends the program.
    pub fn ask_all<T>(
        &mut self,
        items: impl Iterator<Item = T> + Clone + Send,
        line: impl Fn(&T) -> String + Send,
        mut answered: impl FnMut(T, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut input = self.input.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut asked = items.clone();
        thread::scope(|scope| {
            let writer = scope.spawn(move || -> io::Result<_> {
                for item in items {
                    writeln!(input, "{}", line(&item))?;
                }
                input.flush()?;
                Ok(input)
            });
            if let Err(error) = asked.try_for_each(|item| answered(item, &self.line()?)) {
                // The writer may be waiting for the program to read.
                let _ = self.process.kill();
                return Err(error);
            }
            self.input = Some(writer.join().map_err(|_| io::Error::other("the writer panicked"))??);
            Ok(())
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the program has ended"));
        }
        Ok(line)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.input.take());
        // The program may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_answers_each_line() {
        let mut cat = Child::start(&mut Command::new("cat")).unwrap();
        assert_eq!(cat.ask("one").unwrap(), "one\n");
        let mut answers = Vec::new();
        cat.ask_all(0..1000, u32::to_string, |number, line| {
            answers.push(line == format!("{number}\n"));
            Ok(())
        })
        .unwrap();
        assert_eq!(answers, [true; 1000]);
        assert_eq!(cat.ask("again").unwrap(), "again\n");
    }

    #[test]
    fn program_that_ends_is_an_error() {
        let mut child = Child::start(&mut Command::new("true")).unwrap();
        assert!(child.port().is_err());
        let error = Child::start(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().starts_with("cannot run no-such-program: "), "{error}");
    }

    #[test]
    fn port_is_the_first_word_of_the_line() {
        let mut echo = Command::new("echo");
        assert_eq!(Child::start(echo.arg("3000 express 5.1.0")).unwrap().port().unwrap(), 3000);
    }

    #[test]
    fn error_names_the_command_that_installs_the_packages() {
        let error = node(Path::new("/no/such/folder"), "`npm ci`").unwrap_err();
        assert_eq!(error.to_string(), "the npm packages are not installed: run `npm ci`");
    }
}
