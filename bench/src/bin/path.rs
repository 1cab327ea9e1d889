//! Sends requests to the hot paths of every library, in a process of its own. It has the system's allocator, unlike
//! `count`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use bench::inprocess::{Drive, Floor, Time};
use clap::Parser;

#[derive(Parser)]
enum Task {
    /// Measures the time of every case of every subject, and prints it as JSON
    Time(Time),
    /// Measures what every layer has to do, and prints it as JSON
    Floor(Floor),
    /// Sends requests of one case to one subject, and nothing else
    Drive(Drive),
}

fn main() -> ExitCode {
    match run(&Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "path: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    match task {
        Task::Time(time) => Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&time.run()?)?)?),
        Task::Floor(floor) => {
            Ok(writeln!(io::stdout(), "{}", serde_json::to_string(&floor.run()?)?)?)
        }
        Task::Drive(drive) => drive.run(),
    }
}
