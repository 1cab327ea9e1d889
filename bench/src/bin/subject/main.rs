//! What is measured in a process of its own: a server, or a store. It prints what it found as JSON.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tokio::runtime;

mod calls;
mod churn;
mod hold;
mod latency;
mod machine;
mod plain;
mod serve;
mod threads;
mod trips;
mod view;

#[derive(Parser)]
enum Task {
    /// Serves the view counter on a port of loopback, which is printed, until the input ends
    Serve(serve::Args),
    /// Gives the text of the view counter's first record
    Record,
    /// Fills a memory store, and says what it takes
    Hold(hold::Args),
    /// Measures our memory store's calls while it gets rid of a million sessions, and while it does not
    Latency(latency::Args),
    /// Measures a memory store from several threads
    Threads(threads::Args),
    /// Lets sessions come and go in our memory store, and says what it takes
    Churn(churn::Args),
    /// Measures the calls of a store, beside a plain write
    Calls(calls::Args),
    /// Counts what a request asks of a store
    Trips(trips::Args),
}

/// Whose sessions they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Maker {
    /// There are none.
    Bare,
    /// The least layer's, on our store.
    Least,
    Ours,
    TowerSessions,
}

fn main() -> ExitCode {
    match run(&Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "subject: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let alone = runtime::Builder::new_current_thread().enable_all().build()?;
    let found = match task {
        Task::Serve(args) => return alone.block_on(serve::run(args)),
        Task::Record => alone.block_on(view::record())?.text.as_ref().into(),
        Task::Hold(args) => alone.block_on(hold::run(args))?,
        Task::Latency(args) => alone.block_on(latency::run(args))?,
        Task::Threads(args) => threads::run(args)?,
        Task::Churn(args) => alone.block_on(churn::run(args))?,
        Task::Calls(args) => {
            let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(calls::run(args))?
        }
        Task::Trips(args) => alone.block_on(trips::run(args))?,
    };
    writeln!(io::stdout(), "{found}")?;
    Ok(())
}
