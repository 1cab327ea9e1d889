//! The memory of a session, beside that of express-session and tower-sessions.

use std::process::Command;

use anyhow::{Context as _, Result};
use procfs::{Current as _, Meminfo};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::parts::Options;
use crate::plot::{Lines, Plot};
use crate::process;
use crate::report::{Row, Section, Table, Target, figure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LockToken {
    Ours,
    ExpressSession,
    TowerSessions,
}

const HOLDERS: [LockToken; 3] =
    [LockToken::Ours, LockToken::ExpressSession, LockToken::TowerSessions];

/// The number of sessions that the targets are for.
const MILLION: u64 = 1_000_000;
const QUICK: [u64; 3] = [10_000, 100_000, MILLION];
const ALL: [u64; 5] = [1000, 10_000, 100_000, MILLION, 10 * MILLION];

/// What a session may take, with what it takes to count that.
const MOST_BYTES: u64 = 1200;

/// From so many members of an object on, V8 numbers all of them anew with each that is added.
const OBJECT: u64 = 1 << 23;

/// What a process says about its memory.
#[derive(Debug, Deserialize, Serialize)]
struct Held {
    before: u64,
    after: u64,
    sessions: u64,
}

/// What the sessions of a store take.
#[derive(Debug)]
struct Line {
    holder: LockToken,
    points: Vec<Held>,
}

pub(super) fn run(options: &Options) -> Result<Section> {
    let counts = if options.quick { &QUICK[..] } else { &ALL };
    let room = available()? / MOST_BYTES;
    let counts: Vec<_> = counts.iter().copied().filter(|count| *count < room).collect();
    let record: String = process::found(&["record"])?;
    let mut lines = Vec::new();
    for holder in HOLDERS {
        let counts = counts.iter().filter(|count| holder.can_hold(**count));
        let points = counts.map(|count| holder.hold(*count, &record));
        lines.push(Line { holder, points: points.collect::<Result<_>>()? });
    }
    Ok(section(&counts, &lines))
}

impl LockToken {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::ExpressSession => "express-session",
            Self::TowerSessions => "tower-sessions",
        }
    }

    /// Whether it takes so many sessions in a time that can be waited for.
    fn can_hold(self, sessions: u64) -> bool {
        match self {
            Self::Ours | Self::TowerSessions => true,
            Self::ExpressSession => sessions < OBJECT,
        }
    }

    fn hold(self, sessions: u64, record: &str) -> Result<Held> {
        let count = sessions.to_string();
        match self {
            Self::Ours | Self::TowerSessions => process::found(&["hold", self.name(), &count]),
            Self::ExpressSession => {
                let mut node = Command::new("node");
                // More than it takes: it is not the limit that is measured.
                node.args(["--expose-gc", "--max-old-space-size=16000", "memory.mjs"]);
                node.args([&count, record]).current_dir(process::node_folder()?);
                Ok(serde_json::from_str(&process::output(&mut node)?)?)
            }
        }
    }
}

impl Held {
    fn bytes_of_one(&self) -> f64 {
        self.after.saturating_sub(self.before) as f64 / self.sessions as f64
    }
}

impl Line {
    fn at(&self, sessions: u64) -> Option<f64> {
        self.points.iter().find(|held| held.sessions == sessions).map(Held::bytes_of_one)
    }
}

fn section(counts: &[u64], lines: &[Line]) -> Section {
    let figures = |count: u64| {
        lines.iter().map(move |line| line.at(count).map(figure).unwrap_or_else(|| "–".to_owned()))
    };
    let rows = counts
        .iter()
        .map(|count| [figure(*count as f64)].into_iter().chain(figures(*count)).collect());
    let head = ["sessions"].into_iter().chain(lines.iter().map(|line| line.holder.name()));
    let points = |line: &Line| {
        line.points.iter().map(|held| (held.sessions as f64, held.bytes_of_one())).collect()
    };
    let raw = lines.iter().map(|line| json!({ "store": line.holder.name(), "held": line.points }));
    Section {
        tables: vec![Table {
            caption: "Bytes of resident memory for a session".to_owned(),
            head: head.map(str::to_owned).collect(),
            rows: rows.collect(),
        }],
        plots: vec![Plot::Lines(Lines {
            name: "memory".to_owned(),
            title: "Resident memory of a session".to_owned(),
            x: "sessions".to_owned(),
            y: "bytes".to_owned(),
            log_x: true,
            log_y: false,
            series: lines
                .iter()
                .map(|line| (line.holder.name().to_owned(), points(line)))
                .collect(),
        })],
        rows: [(LockToken::ExpressSession, 0.6), (LockToken::TowerSessions, 0.5)]
            .into_iter()
            .map(|(peer, most)| row(lines, peer, most))
            .collect(),
        raw: raw.collect(),
        ..Section::default()
    }
}

/// The target beside a peer.
fn row(lines: &[Line], peer: LockToken, most: f64) -> Row {
    let of = |holder| lines.iter().find(|line| line.holder == holder)?.at(MILLION);
    Row {
        case: format!("memory store, 1,000,000 sessions, beside {}", peer.name()),
        unit: "bytes/session",
        target: Target::TimesAtMost(most),
        ours: of(LockToken::Ours),
        peer: of(peer),
    }
}

/// The memory that processes can still have.
fn available() -> Result<u64> {
    Meminfo::current()?.mem_available.context("the system does not say what memory is left")
}
