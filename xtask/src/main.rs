//! The project's own tool: `cargo xtask <command>`.
//!
//! Each command is a module with a function from arguments to an exit code. Commands reach the machine through
//! [`process`], [`tools`] and [`workspace`].

#![allow(clippy::print_stdout, reason = "a command-line tool prints its results")]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::passthrough_args::PassthroughArgs;

mod audit;
mod bench;
mod conformance;
mod fuzz;
mod instructions;
mod interop;
mod mutants;
mod passthrough_args;
mod process;
mod races;
mod sbom;
mod test;
mod tools;
mod workspace;

/// The tasks of the express-session for Rust workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Prints the findings of the audit with the tests that close them, and the table of the ASVS.
    Audit,
    /// Measures this library and its peers on the same work, in one run.
    Bench(PassthroughArgs),
    /// Runs every check that a change must pass, as CI does.
    Test(test::Options),
    /// Sends generated requests to the real express-session on Node and to ours, and compares the answers.
    Conformance(PassthroughArgs),
    /// Fuzzes for inputs that break an invariant.
    Fuzz(fuzz::Options),
    /// Runs the real npm stores and ours over the same records, on real servers.
    Interop(PassthroughArgs),
    /// Mutates the engine in a thousand small ways, and checks that a test fails each time.
    Mutants(mutants::Options),
    /// Overlaps requests of one visitor, on every store, and counts lost updates.
    Races(PassthroughArgs),
    /// Writes the bill of materials of the published crates (CycloneDX, JSON).
    Sbom,
}

fn main() -> ExitCode {
    run(&Task::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: &Task) -> Result<ExitCode> {
    match task {
        Task::Audit => audit::run(),
        Task::Bench(options) => bench::run(options),
        Task::Test(options) => test::run(options),
        Task::Conformance(options) => conformance::run(options),
        Task::Fuzz(options) => fuzz::run(options),
        Task::Interop(options) => interop::run(options),
        Task::Mutants(options) => mutants::run(options),
        Task::Races(options) => races::run(options),
        Task::Sbom => sbom::run(),
    }
}
