//! Loads servers in turn, all with the same requests.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::data::Started;
use super::round::{Paced, Round};
use super::visitors::Visitors;
use crate::figures;
use crate::process::{self, Core, Options, Server};

/// A server that answers with a number of views.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    pub(crate) library: &'static str,
    /// Where it keeps its sessions: `none` if it has none, and so no cookies.
    pub(crate) store: &'static str,
    pub(crate) workloads: &'static [Workload],
}

/// The program that serves a subject.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// This one.
    Bench,
    /// That of `bench/tower-sessions-14`.
    TowerSessions14,
    /// An application of server.mjs, on Node.
    Node(&'static str),
}

/// Visitors who all do the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// `/` counts a view, `/read` only tells the number.
    path: &'static str,
    visitors: usize,
}

impl Workload {
    /// The visitors' sessions are read and written.
    pub(crate) const COUNTING: Self = Self::new("The view counter", "/", 1000);
    pub(crate) const COUNTING_64: Self = Self::new("The view counter, 64 visitors", "/", 64);
    /// The sessions are only read.
    pub(crate) const READING: Self = Self::new("Reading only", "/read", 1000);
    pub(crate) const READING_64: Self = Self::new("Reading only, 64 visitors", "/read", 64);
    pub(crate) const READING_1: Self = Self::new("Reading only, one busy visitor", "/read", 1);

    const fn new(name: &'static str, path: &'static str, visitors: usize) -> Self {
        Self { name, path, visitors }
    }

    fn counts(self) -> bool {
        self.path == "/"
    }
}

impl Subject {
    fn has_sessions(self) -> bool {
        self.store != "none"
    }

    /// Starts it, with what its sessions are kept in.
    fn start(self, data: &Started) -> Result<Server> {
        let url = data.of(self.store).map_or("", |data| &data.url);
        let mut command = match self.program {
            Program::Bench => {
                let mut command = Core::Measured.command(process::itself()?);
                command.args(["serve", self.library]);
                command
            }
            Program::TowerSessions14 => Core::Measured.command(tower_sessions_14()?),
            Program::Node(application) => {
                let mut command = Core::Measured.node()?;
                command.args(["server.mjs", application, self.library]);
                command
            }
        };
        Server::start(command.args([self.store, url]))
    }
}

/// Builds the program of `bench/tower-sessions-14` into the folder that this one is in.
fn tower_sessions_14() -> Result<PathBuf> {
    let program = process::itself()?.with_file_name("bench-tower-sessions-14");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tower-sessions-14/Cargo.toml");
    let target = program.ancestors().nth(2).context("the program is in no target folder")?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
    process::output(cargo.arg("--target-dir").arg(target))?;
    Ok(program)
}

/// The findings about one workload of one server.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) subject: Subject,
    pub(crate) workload: Workload,
    rounds: Vec<Round>,
    /// Requests that were answered and not counted; `None` where there are no sessions, or they are only read.
    lost: Option<u64>,
    /// Its answers to a part of the load, if it got one.
    pub(crate) paced: Option<Paced>,
}

/// The requests in a second that a server is to get in further rounds, known once all have had their full load.
type Pace<'a> = &'a dyn Fn(Subject, &[&Loaded]) -> Option<f64>;

/// Loads every server, in rounds that are interleaved.
pub(crate) fn load(subjects: &[Subject], options: Options) -> Result<Vec<Loaded>> {
    load_and_pace(subjects, options, &|_, _| None)
}

/// Does the same, and then loads each server with so many requests in a second.
pub(crate) fn load_and_pace(
    subjects: &[Subject],
    options: Options,
    pace: Pace<'_>,
) -> Result<Vec<Loaded>> {
    let (rounds, time) = if options.quick { (2, 1) } else { (5, 3) };
    let folder = tempfile::tempdir()?;
    let data = Started::for_subjects(subjects, folder.path())?;
    let servers = subjects.iter().map(|subject| subject.start(&data).context(subject.name));
    let servers: Vec<_> = servers.collect::<Result<_>>()?;

    let mut runs = Vec::new();
    for (subject, server) in subjects.iter().zip(&servers) {
        for workload in subject.workloads {
            let visitors = Visitors::new(server.port, workload.visitors).context(subject.name)?;
            let (given, due) = (!visitors.cookies.is_empty(), subject.has_sessions());
            ensure!(given == due, "{}: cookies are {given}, sessions {due}", subject.name);
            let (subject, workload) = (*subject, *workload);
            let loaded = Loaded { subject, workload, rounds: Vec::new(), lost: None, paced: None };
            runs.push((loaded, server, visitors));
        }
    }
    // Those who are compared are neighbours in a round.
    let workloads = runs.iter().map(|(loaded, ..)| loaded.workload).collect::<Vec<_>>();
    runs.sort_by_key(|(loaded, ..)| workloads.iter().position(|it| *it == loaded.workload));
    // A server without sessions gets the cookies of another: its requests are as long.
    let some = runs.iter().find(|(loaded, ..)| loaded.subject.has_sessions());
    let (.., some) = some.context("there are no sessions at all")?;
    let file = |Loaded { subject, workload, .. }: &Loaded| {
        folder.path().join(format!("{}, {}.cookies", subject.name, workload.name))
    };
    for (loaded, _, own) in &runs {
        let visitors = if loaded.subject.has_sessions() { own } else { some };
        fs::write(file(loaded), visitors.cookies.join("\n"))?;
    }
    for number in 0..=rounds {
        for (loaded, server, visitors) in &mut runs {
            let data = data.of(loaded.subject.store).and_then(|data| data.process);
            let round = Round::play(server, loaded.workload.path, &file(loaded), data, time)
                .context(loaded.subject.name)?;
            visitors.requests += round.printed.requests;
            // In the first round, code is compiled and memory allocated.
            if number > 0 {
                loaded.rounds.push(round);
            }
        }
    }
    let loaded: Vec<_> = runs.iter().map(|(loaded, ..)| loaded).collect();
    let paces: Vec<_> = loaded.iter().map(|it| pace(it.subject, &loaded)).collect();
    for ((loaded, server, visitors), pace) in runs.iter_mut().zip(paces) {
        let Some(pace) = pace else { continue };
        let paced =
            Paced::play(server, &file(loaded), pace, time * rounds).context(loaded.subject.name)?;
        visitors.requests += paced.requests;
        loaded.paced = Some(paced);
    }
    let end = |(mut loaded, server, visitors): (Loaded, &Server, Visitors)| {
        let has_lost = loaded.subject.has_sessions() && loaded.workload.counts();
        loaded.lost = has_lost.then(|| visitors.lost(server.port)).transpose()?;
        Ok(loaded)
    };
    runs.into_iter().map(end).collect()
}

impl Loaded {
    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        figures::median(self.rounds.iter().map(of))
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.median(|round| round.printed.requests as f64 / round.printed.seconds)
    }

    /// Returns the processor time of a request in the server's process, in microseconds.
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.median(|round| round.cpu_seconds / round.printed.requests as f64) * 1e6
    }

    /// Returns the requests in a second of processor time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        1e6 / self.cpu_micros()
    }

    /// Returns the processor time of a request in the processes of the server of the data, in microseconds.
    pub(crate) fn data_micros(&self) -> f64 {
        self.median(|round| round.data_cpu_seconds / round.printed.requests as f64) * 1e6
    }

    /// Returns the figures for other programs.
    pub(crate) fn raw(&self) -> Value {
        json!({
            "server": self.subject.name,
            "workload": self.workload.name,
            "requests_per_second": self.per_second(),
            "cpu_microseconds_per_request": self.cpu_micros(),
            "data_cpu_microseconds_per_request": self.data_micros(),
            "lost": self.lost,
            "rounds": self.rounds,
            "paced": self.paced,
        })
    }

    /// Returns the cells of two percentiles in milliseconds, and of the lost requests.
    pub(crate) fn last_cells(&self) -> [String; 3] {
        let millis = |of: fn(&Round) -> f64| format!("{:.2}", self.median(of) / 1000.0);
        let lost = self.lost.map(|lost| lost.to_string()).unwrap_or_default();
        [millis(|round| round.printed.p50), millis(|round| round.printed.p99), lost]
    }
}
