//! The cost of a session layer over the bare service, in one process.

use std::thread;

use anyhow::{Context as _, Result, anyhow};
use bench_hot::{Case, Ours, Prepared};
use express_session::MemoryStore;
use express_session_testkit::Spy;
use serde_json::json;

use self::allocations::Allocations;
use self::lower_bound::Step;
use self::subjects::Subject;
use self::time::Times;
use crate::figures;
use crate::plot::{Bar, Data, Plot};
use crate::process::{self, Options};
use crate::report::{Row, Section, Table, Target, figure, short};

mod actix;
pub mod allocations;
mod axum_session;
pub(crate) mod drive;
pub(crate) mod lower_bound;
pub mod subjects;
pub(crate) mod time;
mod tower_sessions;

/// The peer of the targets.
const RIVAL: &str = "tower-sessions-signed";

/// The targets of ours: nanoseconds over the bare service, and the ratio to the rival's cost.
const LIMITS: [(Case, f64, Option<f64>); 5] = [
    (Case::Ignore, 400.0, Some(1.0 / 4.0)),
    (Case::Read, 600.0, Some(1.0 / 4.0)),
    (Case::Write, 1100.0, Some(1.0 / 4.0)),
    (Case::New, 1200.0, Some(1.0 / 3.0)),
    (Case::Forged, 300.0, None),
];

struct Findings {
    times: Vec<Times>,
    lower_bound: Vec<Step>,
    allocations: Vec<Allocations>,
    instructions: Vec<Instructions>,
    /// Our calls of the store, for a request in each case.
    calls: Vec<(Case, f64)>,
}

#[derive(serde::Serialize)]
struct Instructions {
    case: &'static str,
    subject: &'static str,
    count: f64,
}

pub(crate) fn run(options: Options) -> Result<Section> {
    let [time, lower_bound] = if options.quick {
        [["time", "11", "500"], ["lower-bound", "11", "2000"]]
    } else {
        [["time", "101", "4000"], ["lower-bound", "101", "20000"]]
    };
    let findings = Findings {
        times: process::found_on_core(&time)?,
        lower_bound: process::found_on_core(&lower_bound)?,
        allocations: allocations::counted()?,
        instructions: counted(options)?,
        calls: Case::ALL.into_iter().map(|case| Ok((case, calls(case)?))).collect::<Result<_>>()?,
    };
    Ok(findings.section())
}

/// Counts instructions, in a quick run only those of ours and the rival. All cores count: no time is measured here.
fn counted(options: Options) -> Result<Vec<Instructions>> {
    if !drive::can_count() {
        return Ok(Vec::new());
    }
    let wanted =
        |subject: &&Subject| !options.quick || ["ours", RIVAL, "bare"].contains(&subject.name);
    let subjects = subjects::ALL.iter().filter(wanted);
    let work: Vec<_> =
        subjects.flat_map(|subject| Case::ALL.map(move |case| (subject, case))).collect();
    let count = |&(subject, case): &(&'static Subject, Case)| {
        let requests = if options.quick { subject.requests / 10 } else { subject.requests };
        let count = drive::per_request(subject, case, requests);
        let count = count.with_context(|| format!("{}, {}", subject.title, case.title()))?;
        Ok(Instructions { case: case.name(), subject: subject.name, count })
    };
    let cores = thread::available_parallelism()?.get();
    let (work, count) = (&work, &count);
    thread::scope(|scope| {
        let share = |first| move || work.iter().skip(first).step_by(cores).map(count).collect();
        let counting: Vec<_> = (0..cores).map(|first| scope.spawn(share(first))).collect();
        let shares = counting.into_iter().map(|share| {
            let counted: Result<Vec<_>> =
                share.join().map_err(|_| anyhow!("a counting thread panicked"))?;
            counted
        });
        Ok(shares.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    })
}

#[expect(clippy::cast_precision_loss, reason = "few calls")]
fn calls(case: Case) -> Result<f64> {
    let spy = Spy::new(MemoryStore::new());
    let runtime = subjects::runtime()?;
    let mut prepared = Prepared::new(case, &Ours::on(spy.clone())?, &runtime)?;
    let _seeding = spy.take_calls();
    prepared.run(&runtime, 64)?;
    Ok(spy.take_calls().len() as f64 / 64.0)
}

impl Findings {
    fn section(self) -> Section {
        let calls = self.calls.iter().map(|(case, calls)| (case.name().to_owned(), json!(calls)));
        let calls: serde_json::Map<_, _> = calls.collect();
        Section {
            title: "In process: the cost of a session",
            text: include_str!("section.md"),
            tables: self.tables(),
            plots: vec![self.plot()],
            rows: self.rows(),
            raw: json!({
                "times": self.times,
                "lower_bound": self.lower_bound,
                "allocations": self.allocations,
                "instructions": self.instructions,
                "store_calls": calls,
            }),
        }
    }

    fn tables(&self) -> Vec<Table> {
        let time = |subject: &Subject, case| {
            self.cost(subject, case).map(|[low, middle, high]| {
                format!("{} ({}–{})", figure(middle), figure(low), figure(high))
            })
        };
        let allocations = |subject: &Subject, case| {
            let (count, bytes) = self.allocated(subject, case)?;
            Some(format!("{} ({} B)", short(count), figure(bytes)))
        };
        let instructions = |subject: &Subject, case| self.instructed(subject, case).map(figure);
        let calls = self.calls.iter();
        let calls = calls.map(|(case, calls)| vec![case.title().to_owned(), short(*calls)]);
        let steps = self.lower_bound.iter();
        let steps = steps.map(|step| vec![step.what.clone(), figure(step.nanoseconds)]);
        vec![
            table("Time over the bare service in ns: median (quartiles)", time),
            table("Allocations over the bare service (and their bytes)", allocations),
            table("Instructions over the bare service", instructions),
            Table::new("Calls of the store, for a request to ours", ["case", "calls"], calls),
            self.bare(),
            Table::new(
                "The steps of every layer, each alone, on warm caches",
                ["step", "ns"],
                steps,
            ),
        ]
    }

    fn bare(&self) -> Table {
        let bare = || subjects::ALL.iter().filter(|subject| subject.bare.is_none());
        let row = |case: Case| {
            let cell = |subject: &Subject| {
                let ns = self
                    .rounds(subject.name, case)
                    .map(|rounds| figures::median(rounds.iter().copied()));
                let count = self.allocations_of(subject.name, case).map(|found| found.count);
                let text = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), figure);
                format!("{} ns, {}", text(ns), text(count))
            };
            [case.title().to_owned()].into_iter().chain(bare().map(cell)).collect()
        };
        let caption = "The bare services, with the request that is made: time, allocations";
        Table::new(caption, head(bare()), Case::ALL.into_iter().map(row))
    }

    fn plot(&self) -> Plot {
        let mut bars = Vec::new();
        for case in [Case::Ignore, Case::Read, Case::Write, Case::New, Case::Forged] {
            for subject in measured().filter(|subject| subject.name != "axum-session-signed") {
                if let Some([_, value, _]) = self.cost(subject, case) {
                    let label = format!("{}: {}", short_title(case), subject.title);
                    bars.push(Bar { label, value, is_ours: subject.name == "ours" });
                }
            }
        }
        Plot {
            name: "inprocess",
            title: "Time over the bare service (axum_session does not fit)",
            data: Data::Bars("ns", bars),
        }
    }

    fn rows(&self) -> Vec<Row> {
        let ours = &subjects::ALL[0];
        let rival = subjects::ALL.iter().find(|subject| subject.name == RIVAL);
        let median = |subject, case| self.cost(subject, case).map(|[_, median, _]| median);
        let mut rows = Vec::new();
        for (case, limit, times) in LIMITS {
            let (title, ours) = (case.title(), median(ours, case));
            let alone = Target::AtMost(limit);
            rows.push(Row { case: title.to_owned(), unit: "ns", target: alone, ours, peer: None });
            if let Some(times) = times {
                rows.push(Row {
                    case: format!("{title}, beside tower-sessions signed"),
                    unit: "ns",
                    target: Target::TimesAtMost(times),
                    ours,
                    peer: rival.and_then(|rival| median(rival, case)),
                });
            }
        }
        rows.push(Row {
            case: format!("{}: allocations", Case::Ignore.title()),
            unit: "allocations",
            target: Target::AtMost(6.0),
            ours: self.allocated(ours, Case::Ignore).map(|(count, _)| count),
            peer: None,
        });
        let mut calls = self.calls.iter();
        rows.push(Row {
            case: format!("{}: calls of the store", Case::Forged.title()),
            unit: "calls",
            target: Target::AtMost(0.0),
            ours: calls.find(|(case, _)| *case == Case::Forged).map(|(_, calls)| *calls),
            peer: None,
        });
        rows
    }

    /// Returns the quartiles of the time over the bare service.
    fn cost(&self, subject: &Subject, case: Case) -> Option<[f64; 3]> {
        let rounds = self.rounds(subject.name, case)?;
        let bare = self.rounds(subject.bare?, case)?;
        let costs = rounds.iter().zip(bare).map(|(with, without)| with - without).collect();
        figures::quartiles(costs)
    }

    fn rounds(&self, subject: &str, case: Case) -> Option<&[f64]> {
        let mut times = self.times.iter();
        let found = times.find(|times| times.subject == subject && times.case == case.name())?;
        Some(&found.rounds)
    }

    /// Returns the allocations and their bytes over the bare service.
    fn allocated(&self, subject: &Subject, case: Case) -> Option<(f64, f64)> {
        let with = self.allocations_of(subject.name, case)?;
        let without = self.allocations_of(subject.bare?, case)?;
        Some((with.count - without.count, with.bytes - without.bytes))
    }

    fn allocations_of(&self, subject: &str, case: Case) -> Option<&Allocations> {
        let mut all = self.allocations.iter();
        all.find(|found| found.subject == subject && found.case == case.name())
    }

    fn instructed(&self, subject: &Subject, case: Case) -> Option<f64> {
        let count = |name: &str| {
            let mut all = self.instructions.iter();
            let found = all.find(|found| found.subject == name && found.case == case.name())?;
            Some(found.count)
        };
        Some(count(subject.name)? - count(subject.bare?)?)
    }
}

fn measured() -> impl Iterator<Item = &'static Subject> {
    subjects::ALL.iter().filter(|subject| subject.bare.is_some())
}

/// Returns a table with a row for each case and a column for each library.
fn table(caption: &str, cell: impl Fn(&Subject, Case) -> Option<String>) -> Table {
    let row = |case: Case| {
        let cells = measured().map(|subject| cell(subject, case).unwrap_or_else(|| "–".to_owned()));
        [case.title().to_owned()].into_iter().chain(cells).collect()
    };
    Table::new(caption, head(measured()), Case::ALL.into_iter().map(row))
}

fn head<'s>(subjects: impl Iterator<Item = &'s Subject>) -> Vec<String> {
    let titles = subjects.map(|subject| subject.title.to_owned());
    ["case".to_owned()].into_iter().chain(titles).collect()
}

/// Returns a title that fits beside a bar.
fn short_title(case: Case) -> &'static str {
    if case == Case::Ignore { "session ignored" } else { case.title() }
}
