//! The view counter over HTTP: requests per second, and the processor time of a request.

use anyhow::Result;

pub(crate) use self::load::{Loaded, Program, Subject, Workload, load_and_pace};
pub(crate) use self::round::Paced;
use crate::plot::{Bar, Plot};
use crate::process::Options;
use crate::report::{Row, Section, Table, Target, figure};

mod calls;
mod data;
mod load;
mod round;
pub(crate) mod serve;
mod visitors;

const fn rust(
    name: &'static str,
    library: &'static str,
    store: &'static str,
    workloads: &'static [Workload],
) -> Subject {
    Subject { name, program: Program::Bench, library, store, workloads }
}

const fn tower_sessions_14(
    name: &'static str,
    store: &'static str,
    workloads: &'static [Workload],
) -> Subject {
    let program = Program::TowerSessions14;
    Subject { name, program, library: "tower-sessions", store, workloads }
}

const fn express(name: &'static str, store: &'static str) -> Subject {
    let (program, library) = (Program::Node("bare"), "express-session");
    Subject { name, program, library, store, workloads: COUNTING }
}

const COUNTING: &[Workload] = &[Workload::COUNTING];
const BOTH: &[Workload] = &[Workload::COUNTING, Workload::READING];
const SQL: &[Workload] = &[Workload::COUNTING_64, Workload::READING_64, Workload::READING_1];

/// The servers, in the order of the rounds.
const SUBJECTS: [Subject; 21] = [
    rust("axum without sessions", "axum", "none", COUNTING),
    rust("axum, the minimal layer, memory", "minimal-layer", "memory", COUNTING),
    rust("axum, ours, memory", "ours", "memory", COUNTING),
    rust("axum, tower-sessions 0.15, memory", "tower-sessions", "memory", COUNTING),
    rust("axum, ours, Redis", "ours", "redis", BOTH),
    tower_sessions_14("axum, tower-sessions 0.14, Redis", "redis", BOTH),
    rust("actix, actix-session, Redis", "actix-session", "redis", BOTH),
    rust("axum, the calls alone, Redis", "calls", "redis", BOTH),
    rust("axum, ours, Valkey", "ours", "valkey", BOTH),
    tower_sessions_14("axum, tower-sessions 0.14, Valkey", "valkey", BOTH),
    rust("actix, actix-session, Valkey", "actix-session", "valkey", BOTH),
    rust("axum, the calls alone, Valkey", "calls", "valkey", BOTH),
    rust("axum, ours, PostgreSQL", "ours", "postgres", SQL),
    tower_sessions_14("axum, tower-sessions 0.14, PostgreSQL", "postgres", SQL),
    rust("axum, ours, MariaDB", "ours", "mysql", SQL),
    tower_sessions_14("axum, tower-sessions 0.14, MariaDB", "mysql", SQL),
    rust("axum, ours, SQLite", "ours", "sqlite", SQL),
    tower_sessions_14("axum, tower-sessions 0.14, SQLite", "sqlite", SQL),
    express("Express without sessions", "none"),
    express("Express, express-session, memory", "MemoryStore"),
    express("Express, express-session, Redis", "connect-redis"),
];

/// A figure, with its unit.
type Measure = (&'static str, fn(&Loaded) -> f64);

const PER_SECOND: Measure = ("requests/s", Loaded::per_second);
const PER_CPU_SECOND: Measure = ("requests/CPU s", Loaded::per_cpu_second);
const DATA_MICROS: Measure = ("data CPU µs/request", Loaded::data_micros);

/// The targets: the peer, what both keep their sessions in, the workload, the figure, and the limit.
const GOALS: [(&str, &str, Workload, Measure, Target); 17] = {
    use Target::{TimesAtLeast as AtLeast, TimesAtMost as AtMost};
    const COUNTING: Workload = Workload::COUNTING;
    const READING: Workload = Workload::READING;
    const TOWER: &str = "axum, tower-sessions 0.14";
    const MINIMAL: &str = "axum, the minimal layer";
    const EXPRESS: &str = "Express, express-session";
    [
        (MINIMAL, "memory", COUNTING, PER_CPU_SECOND, AtLeast(0.95)),
        (EXPRESS, "memory", COUNTING, PER_CPU_SECOND, AtLeast(16.0)),
        (EXPRESS, "Redis", COUNTING, PER_CPU_SECOND, AtLeast(10.0)),
        (TOWER, "Redis", COUNTING, PER_SECOND, AtLeast(1.1)),
        (TOWER, "Valkey", COUNTING, PER_SECOND, AtLeast(1.4)),
        (TOWER, "Redis", READING, PER_SECOND, AtLeast(1.3)),
        (TOWER, "Valkey", READING, PER_SECOND, AtLeast(1.3)),
        (TOWER, "Redis", COUNTING, DATA_MICROS, AtMost(1.4)),
        (TOWER, "Valkey", COUNTING, DATA_MICROS, AtMost(1.0)),
        (TOWER, "PostgreSQL", Workload::COUNTING_64, PER_SECOND, AtLeast(1.1)),
        (TOWER, "PostgreSQL", Workload::READING_64, PER_SECOND, AtLeast(1.1)),
        (TOWER, "PostgreSQL", Workload::READING_1, PER_SECOND, AtLeast(1.0)),
        (TOWER, "MariaDB", Workload::COUNTING_64, PER_SECOND, AtLeast(1.1)),
        (TOWER, "MariaDB", Workload::READING_64, PER_SECOND, AtLeast(1.1)),
        (TOWER, "MariaDB", Workload::READING_1, PER_SECOND, AtLeast(1.0)),
        (TOWER, "SQLite", Workload::COUNTING_64, PER_SECOND, AtLeast(1.2)),
        (TOWER, "SQLite", Workload::READING_64, PER_SECOND, AtLeast(1.2)),
    ]
};

pub(crate) fn run(options: Options) -> Result<Section> {
    let outcomes = load::load(&SUBJECTS, options)?;
    let counting = outcomes.iter().filter(|outcome| outcome.workload == Workload::COUNTING);
    let bars = counting.map(|outcome| Bar {
        label: outcome.subject.name.to_owned(),
        value: outcome.per_cpu_second(),
        is_ours: outcome.subject.library == "ours",
    });
    let rows = GOALS.map(|(peer, data, workload, (unit, of), target)| {
        let find = |who: &str| {
            let name = format!("{who}, {data}");
            let is_it = |it: &&Loaded| it.subject.name == name && it.workload == workload;
            outcomes.iter().find(is_it).map(of)
        };
        let case = format!("{} over HTTP, {data}, beside {peer}", workload.name);
        Row { case, unit, target, ours: find("axum, ours"), peer: find(peer) }
    });
    let title = "The view counter over HTTP: requests in a second of the processor";
    Ok(Section {
        title: "Over HTTP",
        text: include_str!("section.md"),
        tables: tables(&outcomes),
        plots: vec![Plot::bars("http", title, "", bars)?],
        rows: rows.into(),
        raw: outcomes.iter().map(Loaded::raw).collect(),
    })
}

/// Returns a table for each workload.
fn tables(outcomes: &[Loaded]) -> Vec<Table> {
    let mut head = vec!["server", "requests/s", "CPU µs/request", "requests/CPU second"];
    head.extend(["data CPU µs/request", "busy", "other", "p50 ms", "p99 ms", "lost"]);
    let groups = outcomes.chunk_by(|one, other| one.workload == other.workload);
    let table = |group: &[Loaded]| {
        Table::new(group[0].workload.name, head.clone(), group.iter().map(cells))
    };
    groups.map(table).collect()
}

fn cells(outcome: &Loaded) -> Vec<String> {
    let data = outcome.data_micros();
    let data = if data > 0.0 { format!("{data:.1}") } else { String::new() };
    let busy = outcome.median(|round| round.cpu_seconds / round.printed.seconds);
    let other = outcome
        .median(|round| (round.wrk_cpu_seconds + round.data_cpu_seconds) / round.printed.seconds);
    let mut cells = vec![
        outcome.subject.name.to_owned(),
        figure(outcome.per_second()),
        format!("{:.1}", outcome.cpu_micros()),
        figure(outcome.per_cpu_second()),
        data,
    ];
    cells.extend([busy, other].map(|share| format!("{:.0} %", share * 100.0)));
    cells.extend(outcome.last_cells());
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_names_two_servers_with_its_workload() {
        for (peer, data, workload, ..) in GOALS {
            for who in ["axum, ours", peer] {
                let name = format!("{who}, {data}");
                let is_it = |subject: &&Subject| subject.name == name;
                let subject = SUBJECTS.iter().find(is_it).expect(&name);
                assert!(subject.workloads.contains(&workload), "{name}: {}", workload.name);
            }
        }
    }
}
