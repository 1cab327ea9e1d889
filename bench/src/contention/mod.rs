//! Many writers of one session, through the stores of our npm package and the npm stores beside them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use express_session_testkit::child::Child;
use express_session_testkit::servers;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::process::{Core, Options};
use crate::report::{Row, Section, Table, Target, cells, figure, short};
use crate::{figures, machine};

/// The two sides of every comparison, as contention.mjs calls them.
const SIDES: [&str; 2] = ["ours", "npm"];

/// How long each measurement is repeated before the first that counts: code is compiled, and connections are opened.
const WARM_UP: Duration = Duration::from_secs(1);

/// A measurement that is taken of both sides.
#[derive(Clone, Copy)]
struct Task {
    name: &'static str,
    caption: &'static str,
    /// The meaning of a failure.
    failure: &'static str,
    /// Whether the visitors take it, or the process that has the store.
    is_over_http: bool,
    /// The largest share of the npm store's time, if the time has a target.
    most: Option<f64>,
}

const TASKS: [Task; 4] = [
    Task {
        name: "writes",
        caption: "1,000 concurrent writes of one session",
        failure: "failed",
        is_over_http: false,
        most: Some(1.2),
    },
    Task {
        name: "visits",
        caption: "400 concurrent requests of one visitor",
        failure: "failed",
        is_over_http: true,
        most: Some(1.2),
    },
    Task {
        name: "loads",
        caption: "20 loads of other sessions during 1,000 writes of one",
        failure: "refused",
        is_over_http: false,
        most: None,
    },
    Task {
        name: "logins",
        caption: "100 logins, each followed immediately by the next page",
        failure: "not logged in",
        is_over_http: true,
        most: None,
    },
];

/// One round of a task on one side.
#[derive(Debug, Deserialize, Serialize)]
struct Round {
    ms: f64,
    failed: u32,
}

/// The rounds of every task on both sides of a pair of stores.
struct Finding {
    store: &'static str,
    /// The npm store.
    peer: &'static str,
    tasks: [[Vec<Round>; 2]; TASKS.len()],
}

pub(crate) fn run(options: Options) -> Result<Section> {
    let stores = [
        ("memory", "MemoryStore", Some(String::new())),
        ("redis", "connect-redis", servers::shared_redis().map(|it| it.url().to_owned())),
        ("postgres", "connect-pg-simple", servers::shared_postgres().map(servers::Postgres::url)),
        ("mysql", "express-mysql-session", servers::shared_mariadb().map(servers::MariaDb::url)),
        ("sqlite", "connect-sqlite3", Some(String::new())),
        ("file", "session-file-store", Some(String::new())),
        (
            "memcached",
            "connect-memcached",
            servers::shared_memcached().map(servers::Memcached::url),
        ),
    ];
    let rounds = if options.quick { 1 } else { 5 };
    let mut findings = Vec::new();
    for (store, peer, url) in stores {
        let Some(url) = url else { continue };
        findings.push(Finding::of(store, peer, &url, rounds).context(store)?);
    }
    Ok(section(&findings))
}

impl Finding {
    /// Takes all measurements of a pair of stores, the sides in turn.
    fn of(store: &'static str, peer: &'static str, url: &str, rounds: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut visitor = Child::start(Core::Other.node()?.arg("visitor.mjs"))?;
        let mut sides = Vec::new();
        for side in SIDES {
            let folder = folder.path().join(side);
            fs::create_dir(&folder)?;
            let mut command = Core::Measured.node()?;
            command.args(["contention.mjs", store, side, url]).arg(folder);
            let mut child = Child::start(&mut command)?;
            sides.push((child.port()?, child));
        }
        let mut tasks = TASKS.map(|_| [Vec::new(), Vec::new()]);
        for number in 0..=rounds {
            for (task, found) in TASKS.iter().zip(&mut tasks) {
                for ((port, child), found) in sides.iter_mut().zip(found) {
                    let start = machine::instant();
                    let mut round = task.measure(*port, child, &mut visitor)?;
                    while number == 0 && start.elapsed() < WARM_UP {
                        round = task.measure(*port, child, &mut visitor)?;
                    }
                    if number > 0 {
                        found.push(round);
                    }
                }
            }
        }
        Ok(Self { store, peer, tasks })
    }

    fn pair(&self) -> String {
        format!("{} beside {}", self.store, self.peer)
    }

    fn raw(&self) -> Value {
        let sides = |[ours, npm]: &[Vec<Round>; 2]| json!({ "ours": ours, "npm": npm });
        let tasks = TASKS.iter().zip(&self.tasks);
        let tasks: BTreeMap<_, _> = tasks.map(|(task, found)| (task.name, sides(found))).collect();
        json!({ "store": self.store, "peer": self.peer, "tasks": tasks })
    }

    /// Returns the median times of a task on both sides, in milliseconds.
    fn times(&self, task: usize) -> [f64; 2] {
        self.tasks[task].each_ref().map(|rounds| figures::median(rounds.iter().map(|it| it.ms)))
    }

    /// Returns the most failures in one round of a task, on both sides.
    fn failures(&self, task: usize) -> [u32; 2] {
        let most = |rounds: &Vec<Round>| rounds.iter().map(|it| it.failed).max().unwrap_or(0);
        self.tasks[task].each_ref().map(most)
    }
}

fn section(findings: &[Finding]) -> Section {
    let tasks = || TASKS.iter().enumerate();
    Section {
        title: "Many writers of one session",
        text: include_str!("section.md"),
        tables: tasks().map(|(at, task)| task.table(findings, at)).collect(),
        rows: tasks().flat_map(|(at, task)| task.rows(findings, at)).collect(),
        raw: findings.iter().map(Finding::raw).collect(),
        ..Section::default()
    }
}

impl Task {
    fn measure(&self, port: u16, store: &mut Child, visitor: &mut Child) -> Result<Round> {
        let answer = match self.is_over_http {
            true => visitor.ask(&format!("{} {port}", self.name)),
            false => store.ask(self.name),
        };
        let answer = answer.context(self.name)?;
        serde_json::from_str(&answer).with_context(|| format!("{}: {answer}", self.name))
    }

    fn table(&self, findings: &[Finding], at: usize) -> Table {
        let row = |finding: &Finding| {
            let [ours, npm] = finding.times(at);
            let times = [figure(ours), figure(npm), short(ours / npm)];
            let failures = finding.failures(at).map(|count| count.to_string());
            cells(finding.pair(), times.into_iter().chain(failures))
        };
        let failures = SIDES.map(|side| format!("{side}: {}", self.failure));
        let head = ["stores", "ours (ms)", "npm (ms)", "ratio"].map(str::to_owned);
        Table::new(self.caption, head.into_iter().chain(failures), findings.iter().map(row))
    }

    /// Returns the times that have a target, and the failures of all stores.
    fn rows(&self, findings: &[Finding], at: usize) -> Vec<Row> {
        let row = |pair: String, unit, target, [ours, peer]: [f64; 2]| {
            let case = format!("npm package, {}, {pair}", self.caption);
            Row { case, unit, target, ours: Some(ours), peer: Some(peer) }
        };
        let timed = |finding: &Finding| {
            let target = Target::TimesAtMost(self.most?);
            Some(row(finding.pair(), "ms", target, finding.times(at)))
        };
        let failures = findings.iter().map(|finding| finding.failures(at).map(f64::from));
        let failures = failures.fold([0.0; 2], |sums, more| [sums[0] + more[0], sums[1] + more[1]]);
        let failed = row("all stores".to_owned(), self.failure, Target::AtMost(0.0), failures);
        findings.iter().filter_map(timed).chain([failed]).collect()
    }
}
