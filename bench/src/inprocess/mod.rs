//! The cost of a session layer over the bare service, in one process.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bench_hot::{Case, Ours, Prepared};
use express_session::MemoryStore;
use express_session_testkit::Spy;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::subjects::Subject;
use self::time::Times;
use crate::figures;
use crate::plot::{Bar, Plot};
use crate::process::{self, Options};
use crate::report::{Row, Section, Table, Target, cells, figure, short};

mod actix;
pub(crate) mod drive;
pub(crate) mod lower_bound;
mod peers;
pub mod subjects;
pub(crate) mod time;

/// The peers of the targets: the lower bound, and a library.
const PEERS: [&str; 2] = ["minimal-layer", "tower-sessions-signed"];

/// The targets of ours: the cost over the bare service as a multiple of that of each of these peers, if there is one.
const LIMITS: [(Case, [Option<f64>; PEERS.len()]); 5] = [
    (Case::Ignore, [Some(1.10), Some(0.45)]),
    (Case::Read, [Some(1.15), Some(0.55)]),
    (Case::Write, [Some(1.15), Some(0.45)]),
    (Case::New, [Some(1.15), Some(0.80)]),
    (Case::Forged, [Some(1.10), None]),
];

/// A finding about each subject in each case, by its [`key`].
pub type Found<T> = BTreeMap<String, T>;

/// Returns the name of a finding.
pub fn key(subject: &str, case: Case) -> String {
    format!("{subject}, {}", case.name())
}

/// The allocations of a request. `src/bin/count.rs` counts them with an allocator of its own.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Allocations {
    /// The number of allocations, those that grow an older one included.
    pub count: f64,
    /// Their bytes.
    pub bytes: f64,
}

#[derive(Serialize)]
struct Findings {
    times: Found<Times>,
    lower_bound: Vec<(String, f64)>,
    allocations: Found<Allocations>,
    instructions: Found<f64>,
    /// Our calls of the store, for a request in each case.
    store_calls: BTreeMap<&'static str, f64>,
}

pub(crate) fn run(options: Options) -> Result<Section> {
    let [time, lower_bound] = if options.quick {
        [["time", "11", "500"], ["lower-bound", "11", "2000"]]
    } else {
        [["time", "101", "4000"], ["lower-bound", "101", "20000"]]
    };
    let counter = process::itself()?.with_file_name("count");
    ensure!(counter.exists(), "{} is missing: build all programs", counter.display());
    let findings = Findings {
        times: process::found_on_core(&time)?,
        lower_bound: process::found_on_core(&lower_bound)?,
        allocations: process::read(&mut Command::new(counter))?,
        instructions: counted(options)?,
        store_calls: Case::ALL.map(calls).into_iter().collect::<Result<_>>()?,
    };
    Ok(Section {
        title: "In process: the cost of a session",
        text: include_str!("section.md"),
        tables: findings.tables(),
        plots: vec![findings.plot()?],
        rows: findings.rows(),
        raw: json!(findings),
    })
}

/// Counts instructions, in a quick run only those of ours and of the peers of the targets. All cores count: no time is
/// measured here.
fn counted(options: Options) -> Result<Found<f64>> {
    if !drive::can_count() {
        return Ok(Found::new());
    }
    let is_wanted =
        |name| !options.quick || ["ours", "bare"].contains(&name) || PEERS.contains(&name);
    let subjects = subjects::ALL.par_iter().filter(|subject| is_wanted(subject.name));
    let work = subjects.flat_map(|subject| Case::ALL.map(|case| (subject, case)));
    let count = |(subject, case): (&Subject, Case)| {
        let requests = if options.quick { subject.requests / 10 } else { subject.requests };
        let count = drive::per_request(subject, case, requests);
        let count = count.with_context(|| format!("{}, {}", subject.title, case.title()))?;
        Ok((key(subject.name, case), count))
    };
    work.map(count).collect()
}

#[expect(clippy::cast_precision_loss, reason = "few calls")]
fn calls(case: Case) -> Result<(&'static str, f64)> {
    let spy = Spy::new(MemoryStore::new());
    let runtime = subjects::runtime()?;
    let mut prepared = Prepared::new(case, &Ours::on(spy.clone())?, &runtime)?;
    let _seeding = spy.take_calls();
    prepared.run(&runtime, 64)?;
    Ok((case.name(), spy.take_calls().len() as f64 / 64.0))
}

impl Findings {
    fn tables(&self) -> Vec<Table> {
        let time = |subject: &Subject, case| {
            self.cost(subject, case).map(|[low, middle, high]| {
                format!("{} ({}–{})", figure(middle), figure(low), figure(high))
            })
        };
        let allocations = |subject: &Subject, case| {
            let count = over_bare(&self.allocations, subject, case, |it| it.count)?;
            let bytes = over_bare(&self.allocations, subject, case, |it| it.bytes)?;
            Some(format!("{} ({} B)", short(count), figure(bytes)))
        };
        let instructions = |subject: &Subject, case| {
            over_bare(&self.instructions, subject, case, |count| *count).map(figure)
        };
        let calls = |case: Case| cells(case.title(), [short(self.store_calls[case.name()])]);
        let bare = |subject: &Subject, case| {
            let key = key(subject.name, case);
            let ns = self.times.get(&key).map(|times| figures::median(times.rounds.clone()));
            let count = self.allocations.get(&key).map(|it| it.count);
            let text = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), figure);
            Some(format!("{} ns, {}", text(ns), text(count)))
        };
        let steps = self.lower_bound.iter().map(|(step, ns)| cells(step, [figure(*ns)]));
        vec![
            table("Time over the bare service in ns: median (quartiles)", false, time),
            table("Allocations over the bare service (and their bytes)", false, allocations),
            table("Instructions over the bare service", false, instructions),
            Table::new(
                "Calls of the store, for a request to ours",
                ["case", "calls"],
                Case::ALL.map(calls),
            ),
            table(
                "The bare services, with the request that is made: time, allocations",
                true,
                bare,
            ),
            Table::new(
                "The steps of every layer, each alone, on warm caches",
                ["step", "ns"],
                steps,
            ),
        ]
    }

    fn plot(&self) -> Result<Plot> {
        let mut bars = Vec::new();
        for case in [Case::Ignore, Case::Read, Case::Write, Case::New, Case::Forged] {
            for subject in measured(false).filter(|subject| subject.name != "axum-session-signed") {
                if let Some([_, value, _]) = self.cost(subject, case) {
                    // A title that fits beside a bar.
                    let is_long = case == Case::Ignore;
                    let title = if is_long { "session ignored" } else { case.title() };
                    let label = format!("{title}: {}", subject.title);
                    bars.push(Bar { label, value, is_ours: subject.name == "ours" });
                }
            }
        }
        let title = "Time over the bare service (axum_session does not fit)";
        Plot::bars("inprocess", title, "ns", bars)
    }

    fn rows(&self) -> Vec<Row> {
        let ours = &subjects::ALL[0];
        let median = |subject, case| self.cost(subject, case).map(|[_, median, _]| median);
        let mut rows = Vec::new();
        for (at, name) in PEERS.iter().enumerate() {
            let Some(peer) = subjects::ALL.iter().find(|subject| subject.name == *name) else {
                continue;
            };
            for (case, limits) in LIMITS {
                let Some(limit) = limits[at] else { continue };
                rows.push(Row {
                    case: format!("{}, beside {}", case.title(), peer.title),
                    unit: "ns",
                    target: Target::TimesAtMost(limit),
                    ours: median(ours, case),
                    peer: median(peer, case),
                });
            }
        }
        let case = format!("{}: allocations", Case::Ignore.title());
        let target = Target::AtMost(6.0);
        let ours = over_bare(&self.allocations, ours, Case::Ignore, |it| it.count);
        rows.push(Row { case, unit: "allocations", target, ours, peer: None });
        let case = format!("{}: calls of the store", Case::Forged.title());
        let target = Target::AtMost(0.0);
        let ours = self.store_calls.get(Case::Forged.name()).copied();
        rows.push(Row { case, unit: "calls", target, ours, peer: None });
        rows
    }

    /// Returns the quartiles of the time over the bare service.
    fn cost(&self, subject: &Subject, case: Case) -> Option<[f64; 3]> {
        let rounds = |name| Some(&self.times.get(&key(name, case))?.rounds);
        let (with, without) = (rounds(subject.name)?, rounds(subject.bare?)?);
        figures::quartiles(with.iter().zip(without).map(|(with, without)| with - without).collect())
    }
}

fn over_bare<T>(
    found: &Found<T>,
    subject: &Subject,
    case: Case,
    of: impl Fn(&T) -> f64,
) -> Option<f64> {
    let value = |name| found.get(&key(name, case)).map(&of);
    Some(value(subject.name)? - value(subject.bare?)?)
}

/// Returns the subjects with sessions, or those without.
fn measured(bare: bool) -> impl Iterator<Item = &'static Subject> {
    subjects::ALL.iter().filter(move |subject| subject.bare.is_none() == bare)
}

/// Returns a table with a row for each case and a column for each library, or for each service without sessions.
fn table(caption: &str, bare: bool, cell: impl Fn(&Subject, Case) -> Option<String>) -> Table {
    let row = |case: Case| {
        let cell = |subject| cell(subject, case).unwrap_or_else(|| "–".to_owned());
        cells(case.title(), measured(bare).map(cell))
    };
    let head = cells("case", measured(bare).map(|subject| subject.title.to_owned()));
    Table::new(caption, head, Case::ALL.map(row))
}
