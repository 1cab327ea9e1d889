//! The project's own tool: `cargo xtask <command>`.
//!
//! One module for each command. A command is a function from its arguments to an exit code; what it
//! needs of the machine it gets through [`process`], [`tools`] and [`workspace`].

#![allow(clippy::print_stdout, reason = "a command-line tool speaks on standard output")]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::passthrough_args::PassthroughArgs;

mod bench;
mod conformance;
mod fuzz;
mod instructions;
mod interop;
mod mutants;
mod passthrough_args;
mod process;
mod races;
mod test;
mod tools;
mod workspace;

/// The tasks of the express-session for Rust workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Measures ours and the peers on the same work, in one run.
    Bench(PassthroughArgs),
    /// Runs every check that a change must pass, as CI does.
    Test(test::Options),
    /// Plays generated requests against the real express-session on Node and compares.
    Conformance(PassthroughArgs),
    /// Looks for inputs that break what always has to hold.
    Fuzz(fuzz::Options),
    /// Plays the real npm stores and ours against each other, on real servers.
    Interop(PassthroughArgs),
    /// Changes the engine in a thousand small ways, and sees whether a test notices.
    Mutants(mutants::Options),
    /// Lets requests of one visitor overlap, on every store, and counts what is lost.
    Races(PassthroughArgs),
}

fn main() -> ExitCode {
    run(&Task::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: &Task) -> Result<ExitCode> {
    match task {
        Task::Bench(options) => bench::run(options),
        Task::Test(options) => test::run(options),
        Task::Conformance(options) => conformance::run(options),
        Task::Fuzz(options) => fuzz::run(options),
        Task::Interop(options) => interop::run(options),
        Task::Mutants(options) => mutants::run(options),
        Task::Races(options) => races::run(options),
    }
}
